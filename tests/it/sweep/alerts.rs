//! The sweep, in place of the Python connector and beside pushes.

use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, Generator, Kind, RequestKind},
};

use crate::support::{
    broker::Message,
    opencti::Personality,
    stage::{Stage, incident_names, post},
};

#[tokio::test]
async fn with_the_python_connectors_variables_alone_300_alerts_are_imported_and_the_exit_is_0() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(5);
    for number in 0..300 {
        let raised_at = now - chrono::TimeDelta::seconds(number * 7);
        stage.console.add_alert(generator.next_alert(raised_at).api_item());
    }
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());

    let works = stage.opencti.works();
    assert!(works.iter().all(|work| matches!(&work.closed, Some((_, false)))), "{works:?}");
    let messages = stage.messages_of(&works).await;
    assert_eq!(incident_names(&messages).len(), 300);
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0, "nothing beyond what was announced");
    let requests = stage.console.requests();
    assert!(
        requests.of(RequestKind::List(Collection::Alerts)) <= 5,
        "pages, not one request an alert: {requests:?}"
    );

    // OpenCTI knows where to go on, should the journal not survive until the next run.
    let left = stage.opencti.connector(&stage.connector_id).state.unwrap_or_default();
    assert!(left.contains("last_incident_datetime"), "{left}");

    // A second run finds nothing new: no work, no message.
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    assert_eq!(stage.opencti.works().len(), works.len());
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0);
}

#[tokio::test]
async fn an_alert_that_was_pushed_and_is_swept_is_delivered_once() {
    let stage = Stage::with_webhook().await;
    let now = Clock::system().now();
    stage.console.seed(now);
    let alert = Generator::new(6).next_alert(now);
    stage.console.add_alert(alert.api_item());
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &alert.native()).await.0.as_u16(), 202);
    let works = stage.closed_works(1).await;
    assert_eq!(incident_names(&stage.messages_of(&works).await).len(), 1);
    assert!(app.terminate().await.success());

    let mut app = stage.home.start(&["serve"]);
    app.wait_for_log("the sweep saw it and knew it", |line| {
        let attributes = &line["attributes"];
        (line["message"] == "the sweep is done" && attributes["known"].as_u64() > Some(0))
            .then_some(())
    })
    .await;
    assert!(app.terminate().await.success());
    assert_eq!(stage.opencti.works().len(), 1, "nothing was sent again");
}

#[tokio::test]
async fn the_state_that_the_python_connector_left_is_where_the_import_goes_on() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    // A while ago, so that whatever changes below changes after everything was raised.
    let now = Clock::system().now() - chrono::TimeDelta::minutes(1);
    stage.console.seed(now);
    // The connector exists on the platform, with the state that its Python predecessor wrote.
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    std::fs::remove_file(stage.home.journal()).unwrap();
    let left = format!("{{\"last_incident_datetime\": \"{}\"}}", now.to_rfc3339());
    stage.opencti.keep_state(&stage.connector_id, &left);

    let mut generator = Generator::new(7);
    let imported_before = generator.alert(Kind::SigmaProcess, now - chrono::TimeDelta::days(2));
    let newer = generator.alert(Kind::SigmaProcess, now + chrono::TimeDelta::seconds(1));
    let same_instant = generator.alert(Kind::Yara, now);
    stage.console.add_alert(imported_before.api_item());
    stage.console.add_alert(newer.api_item());
    stage.console.add_alert(same_instant.api_item());
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let works = stage.opencti.works();
    let names = incident_names(&stage.messages_of(&works).await);
    let mut expected = [&newer, &same_instant].map(|alert| {
        let message = alert.native()["msg"].as_str().unwrap().to_owned();
        format!("{message} on {}", alert.host())
    });
    expected.sort();
    assert_eq!(names, expected, "none twice, none skipped, under the Python connector's names");

    // The alert of before is closed now: it keeps that name, too, and nothing else is sent again.
    let change = serde_json::json!({
        "status": "false_positive", "last_update": Clock::system().now().to_rfc3339(),
    });
    stage.console.update_alert(newer.unique_id(), &change).unwrap();
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let all_works = stage.opencti.works();
    let again = incident_names(&stage.messages_of(&all_works[works.len()..]).await);
    assert_eq!(again.len(), 1);
    assert!(expected.contains(&again[0]), "no second name: {again:?}");
}

#[tokio::test]
async fn who_loses_the_journal_goes_on_from_its_own_state_under_its_own_names() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(8);
    let older = generator.alert(Kind::SigmaProcess, now - chrono::TimeDelta::days(2));
    let newer = generator.alert(Kind::SigmaProcess, now - chrono::TimeDelta::minutes(1));
    stage.console.add_alert(older.api_item());
    stage.console.add_alert(newer.api_item());
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let works = stage.opencti.works();
    let names = incident_names(&stage.messages_of(&works).await);
    assert_eq!(names.len(), 2);

    std::fs::remove_file(stage.home.journal()).unwrap();
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let all_works = stage.opencti.works();
    let again = incident_names(&stage.messages_of(&all_works[works.len()..]).await);
    assert_eq!(again.len(), 1, "only what lies in the overlap");
    assert!(names.contains(&again[0]), "no second name: {again:?} beside {names:?}");
}

#[tokio::test]
async fn a_false_positive_reaches_opencti_though_the_filter_lets_only_open_alerts_in() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(12);
    // Long before every overlap: only its `last_update` can bring it back.
    let raised_at = now - chrono::TimeDelta::days(2);
    let imported = generator.alert(Kind::SigmaProcess, raised_at);
    let mut closed = generator.alert(Kind::SigmaProcess, raised_at).api_item();
    closed["status"] = "closed".into();
    stage.console.add_alert(imported.api_item());
    stage.console.add_alert(closed.clone());
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let first = stage.messages_of(&stage.opencti.works()).await;
    assert_eq!(incident_names(&first).len(), 1, "the closed one is filtered");

    let change = serde_json::json!({
        "status": "false_positive",
        "last_update": Clock::system().now().to_rfc3339(),
    });
    stage.console.update_alert(imported.unique_id(), &change).unwrap();
    let filtered_id = closed["alert_unique_id"].as_str().unwrap();
    stage.console.update_alert(filtered_id, &change).unwrap();
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let works = stage.opencti.works();
    let second = stage.messages_of(&works[1..]).await;
    assert_eq!(incident_names(&second), incident_names(&first), "the same incident, no other");
    let negative = second
        .iter()
        .flat_map(|message| message.bundle["objects"].as_array().unwrap())
        .find(|object| object["type"] == "sighting")
        .map(|sighting| sighting["x_opencti_negative"].clone());
    assert_eq!(negative, Some(true.into()));

    // The analyst was wrong: the status goes back, and so does the sighting.
    let change = serde_json::json!({
        "status": "new",
        "last_update": Clock::system().now().to_rfc3339(),
    });
    stage.console.update_alert(imported.unique_id(), &change).unwrap();
    let before = works.len();
    let mut run = stage.home.start(&[]);
    assert!(run.exit().await.success(), "{}", run.log());
    let works = stage.opencti.works();
    let third = stage.messages_of(&works[before..]).await;
    assert_eq!(incident_names(&third), incident_names(&first), "the same incident again");
    let sighting = third
        .iter()
        .flat_map(|message| message.bundle["objects"].as_array().unwrap())
        .find(|object| object["type"] == "sighting");
    assert_eq!(sighting.unwrap()["x_opencti_negative"], false);
}

#[tokio::test]
async fn a_reset_in_opencti_sends_everything_again_under_the_same_incidents() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let now = Clock::system().now();
    stage.console.seed(now);
    let raised_at = now - chrono::TimeDelta::days(2);
    let alert = Generator::new(13).alert(Kind::SigmaProcess, raised_at);
    stage.console.add_alert(alert.api_item());
    let mut app = stage.home.start(&["serve"]);
    let works = stage.closed_works(1).await;
    let first = stage.messages_of(&works).await;
    let id = stage.connector_id.clone();
    stage.opencti.wait_for("a heartbeat", |state| state.connectors[&id].pings > 0).await;

    stage.opencti.reset_state(&stage.connector_id).await;
    // The next heartbeat hears it.
    let works = stage.closed_works(2).await;
    let second = stage.messages_of(&works[1..]).await;
    let bundles = |messages: &[Message]| -> Vec<_> {
        messages.iter().map(|message| message.bundle.clone()).collect()
    };
    assert_eq!(bundles(&second), bundles(&first));
    assert!(app.terminate().await.success());
}
