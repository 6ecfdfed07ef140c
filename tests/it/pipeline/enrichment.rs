//! Enrichment that the console does not show at once: the alert leaves, and is completed once, in order.

use std::time::Duration;

use chrono::TimeDelta;
use harfanglab_incidents::{
    config::Settings,
    demo::{Collection, DemoAlert, Fault, Generator, Kind, RequestKind},
    intake::dialect::Dialect,
};
use serde_json::{Value, json};

use crate::support::pipeline::{TestPipeline, has, has_page, incident, start};

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn alert() -> DemoAlert {
    Generator::new(3).alert(Kind::SelfProtection, start())
}

pub(super) fn with(element: Value, field: &str, value: Value) -> Value {
    let mut element = element;
    element[field] = value;
    element
}

#[tokio::test]
async fn an_alert_leaves_after_the_first_wait_and_what_is_found_later_is_sent_once() {
    let mut rig = TestPipeline::start(|_| {}).await;
    let alert = alert();
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    rig.pass(SECOND).await;
    let bare = rig.delivered(1).await.remove(0);
    assert!(!has_page(&bare));
    let counts = rig.until("it is followed up", |counts| counts.following_up == 1).await;
    assert_eq!((counts.delivered, counts.pending), (1, 0));
    assert!(rig.journal.is_drained().await.unwrap(), "nobody waits for a follow-up");

    rig.console.add_alert(alert.api_item());
    rig.pass(SECOND * 3).await;
    let completed = rig.delivered(2).await.remove(1);
    assert!(has_page(&completed));
    assert_eq!(incident(&completed)["id"], incident(&bare)["id"], "the same incident");
    let counts = rig.until("all is known", |counts| counts.delivered == 2).await;
    assert_eq!((counts.pending, counts.following_up, counts.superseded), (0, 0, 0));

    assert_eq!(rig.sweep(&alert.api_item()).await, 0, "the sweep knows it");
    assert_eq!(rig.journal.next_due().await.unwrap(), None, "and nothing is sent again");
}

#[tokio::test]
async fn an_ecs_event_without_an_id_is_matched_later_and_completed_under_its_incident() {
    let mut rig = TestPipeline::start(|_| {}).await;
    let alert = alert();
    rig.push(Dialect::EcsAlert, &alert.ecs()).await;
    rig.pass(SECOND).await;
    let bare = rig.delivered(1).await.remove(0);
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    rig.console.add_alert(alert.api_item());
    rig.pass(SECOND * 3).await;
    let completed = rig.delivered(2).await.remove(1);
    assert!(has_page(&completed));
    assert_eq!(incident(&completed)["id"], incident(&bare)["id"], "the same incident");

    rig.until("it is done", |counts| counts.delivered == 2).await;
    assert_eq!(rig.sweep(&alert.api_item()).await, 0, "the sweep knows it by its id");
    // A later status goes to the same incident, too.
    let closed = with(alert.api_item(), "status", json!("closed"));
    assert_eq!(rig.sweep(&closed).await, 1);
    let closed = rig.delivered(3).await.remove(2);
    assert_eq!(incident(&closed)["id"], incident(&bare)["id"]);
}

#[tokio::test]
async fn after_the_enrichment_time_the_sweep_completes_the_incident_once() {
    let mut rig =
        TestPipeline::start(|settings| settings.consoles[0].enrichment.first_wait = Duration::ZERO)
            .await;
    let alert = alert();
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    rig.delivered(1).await;
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    // Looked for now and then, not all the time.
    let asked = rig.console.requests().total();
    rig.pass(TimeDelta::minutes(5)).await;
    rig.rest().await;
    rig.pass(TimeDelta::minutes(6)).await;
    let counts = rig.until("it gave up", |counts| counts.superseded == 1).await;
    assert_eq!((counts.delivered, counts.following_up), (1, 0));
    assert_eq!(rig.console.requests().total(), asked + 2, "one look a step");

    assert_eq!(rig.sweep(&alert.api_item()).await, 0, "the same version");
    let completed = rig.delivered(2).await.remove(1);
    assert!(has_page(&completed));
    rig.until("it is complete", |counts| counts.delivered == 2).await;
    rig.sweep(&alert.api_item()).await;
    assert_eq!(rig.journal.next_due().await.unwrap(), None, "completed once");
}

#[tokio::test]
async fn a_newer_status_does_not_wait_for_a_follow_up_and_ends_it() {
    let mut rig =
        TestPipeline::start(|settings| settings.consoles[0].enrichment.first_wait = Duration::ZERO)
            .await;
    let alert = alert();
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    rig.delivered(1).await;
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    rig.push(Dialect::NativeAlert, &with(alert.native(), "status", json!("closed"))).await;
    let newer = rig.delivered(2).await.remove(1);
    assert!(incident(&newer)["description"].to_string().contains("closed"));
    let overtaken = |counts: &harfanglab_incidents::journal::Counts| counts.superseded == 1;
    rig.until("the follow-up of the older one is over", overtaken).await;

    rig.console.add_alert(with(alert.api_item(), "status", json!("closed")));
    rig.pass(SECOND * 3).await;
    let completed = rig.delivered(3).await.remove(2);
    assert!(has_page(&completed));
    assert!(incident(&completed)["description"].to_string().contains("closed"), "never back");
    let counts = rig.until("all is known", |counts| counts.delivered == 3).await;
    assert_eq!((counts.following_up, counts.superseded), (0, 1));
}

#[tokio::test]
async fn a_rule_that_could_not_be_read_is_added_when_it_can() {
    let mut rig = TestPipeline::start(|_| {}).await;
    rig.console.seed(start());
    let alert = Generator::new(3).alert(Kind::Correlation, start());
    rig.console.add_alert(alert.api_item());
    rig.console.fail_next(RequestKind::One(Collection::CorrelationRules), 1, Fault::Status(403));
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    let first = rig.delivered(1).await.remove(0);
    assert!(has_page(&first) && !has(&first, "indicator"));
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    rig.pass(SECOND * 3).await;
    let completed = rig.delivered(2).await.remove(1);
    assert!(has(&completed, "indicator") && has(&completed, "sighting"));
}

#[tokio::test]
async fn a_console_that_fails_does_not_keep_an_alert_and_completes_it_afterwards() {
    let mut rig = TestPipeline::start(|_| {}).await;
    let alert = alert();
    rig.console.add_alert(alert.api_item());
    // Three tries of four quick ones each.
    let list = RequestKind::List(Collection::Alerts);
    rig.console.fail_next(list, 12, Fault::Status(503));
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    for _tries in 1..3 {
        rig.pass(SECOND * 5).await;
    }
    let bare = rig.delivered(1).await.remove(0);
    assert!(!has_page(&bare));
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    // A console that failed so often is asked again after a while.
    assert!(has_page(&rig.passed_until(2).await[1]));
    assert_eq!(rig.console.requests().of(list), 13);
}

#[tokio::test]
async fn a_console_that_never_answers_holds_an_alert_up_for_one_deadline_and_completes_it() {
    let change = |settings: &mut Settings| {
        settings.consoles[0].harfanglab.request_timeout = Duration::from_secs(15);
    };
    let mut rig = TestPipeline::start(change).await;
    let alert = alert();
    rig.console.add_alert(alert.api_item());
    // A third of what the request may take, without a second try: that one would be answered.
    rig.console.fail_next(RequestKind::List(Collection::Alerts), 1, Fault::Hang);
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    let bare = rig.delivered(1).await.remove(0);
    assert!(!has_page(&bare));
    rig.until("it is followed up", |counts| counts.following_up == 1).await;
    // It is asked again after a while.
    assert!(has_page(&rig.passed_until(2).await[1]));
}

/// A rig that prepares one event at a time, and whose console never answers a request for its list of alerts.
pub(super) async fn rig_of_hanging_console() -> TestPipeline {
    let change = |settings: &mut Settings| {
        settings.consoles[0].harfanglab.request_timeout = Duration::from_secs(15);
        settings.pipeline.concurrency = 1;
    };
    let rig = TestPipeline::start(change).await;
    rig.console.fail_next(RequestKind::List(Collection::Alerts), 1_000, Fault::Hang);
    rig
}

#[tokio::test]
async fn behind_an_alert_that_waits_for_a_console_in_vain_no_other_waits_but_threats_do() {
    let mut rig = rig_of_hanging_console().await;
    let number = |number| json!(format!("5f0c2a54-0c0e-4f7e-9a53-0d6c2f4f7{number:03}"));
    let alerts: Vec<_> =
        (0..60).map(|it| with(alert().native(), "alert_unique_id", number(it))).collect();
    rig.push_together(Dialect::NativeAlert, &alerts).await;
    // One deadline each would be longer than the test's patience.
    rig.delivered(60).await;
    assert_eq!(rig.console.requests().total(), 1, "the others asked nothing");

    // Nothing would bring its note later.
    let threat = json!({
        "id": "8123", "slug": "brave-otter", "status": "new", "level": "high",
        "creation_date": start().to_rfc3339(), "last_update": start().to_rfc3339(),
        "top_agents": [], "top_impacted_users": [], "top_rules": [],
    });
    rig.console.add(Collection::Threats, threat.clone());
    rig.console.set_note("8123", json!({ "title": "Triage", "content": "First words." }));
    rig.push(Dialect::NativeThreat, &threat).await;
    assert!(has(&rig.delivered(61).await[60], "note"));
}

#[tokio::test]
async fn an_agent_that_the_alert_only_names_is_looked_up_and_only_fills_what_is_empty() {
    let mut rig = TestPipeline::start(|_| {}).await;
    rig.console.seed(start());
    let alert = alert();
    let agent = json!({"agentid": alert.agent_id(), "osversion": "as the alert says"});
    for number in 0..3 {
        let id = json!(format!("5f0c2a54-0c0e-4f7e-9a53-0d6c2f4f7b1{number}"));
        let item = with(with(alert.api_item(), "agent", agent.clone()), "alert_unique_id", id);
        rig.sweep(&item).await;
    }
    let bundles = rig.delivered(3).await;
    let name = incident(&bundles[0])["name"].as_str().unwrap();
    assert!(name.ends_with(&format!(" on {}", alert.host())), "{name}");
    assert!(incident(&bundles[0])["description"].to_string().contains("as the alert says"));
    assert_eq!(rig.console.requests().of(RequestKind::One(Collection::Agents)), 1, "cached");
}

#[tokio::test]
async fn an_alert_that_lost_its_agent_on_the_way_is_as_the_console_shows_it() {
    let mut rig = TestPipeline::start(|_| {}).await;
    rig.console.seed(start());
    let alert = alert();
    rig.console.add(Collection::Alerts, alert.api_item());
    let whole = alert.native();
    let cut = json!({
        "alert_unique_id": whole["alert_unique_id"], "rule_name": whole["rule_name"],
        "alert_time": whole["alert_time"], "@event_create_date": whole["@event_create_date"],
        "status": "closed", "level": "low", "agent": {"type": "filebeat", "hostname": "collector"},
    });
    rig.push(Dialect::NativeAlert, &cut).await;
    let bundles = rig.delivered(1).await;
    let incident = incident(&bundles[0]);
    let name = incident["name"].as_str().unwrap();
    assert!(name.ends_with(&format!(" on {}", alert.host())), "{name}");
    assert!(has_page(&bundles[0]) && has(&bundles[0], "hostname"), "{:?}", bundles[0]);
    assert_eq!(incident["severity"], "low", "the version is the one that was pushed");
}

#[tokio::test]
async fn an_alert_whose_ids_no_console_can_be_asked_with_leaves_at_once_with_what_is_known() {
    let mut rig = TestPipeline::start(|_settings| {}).await;
    let element = json!({
        "log_type": "alert", "alert_type": "selfprotection", "status": "new", "level": "high",
        "alert_unique_id": "u".repeat(9_000), "rule_name": "Firewall Rule Removed",
        "alert_time": start().to_rfc3339(), "agent": { "agentid": "a".repeat(100_000) },
    });
    rig.push(Dialect::NativeAlert, &element).await;
    rig.delivered(1).await;
    let counts = rig.until("it has left", |counts| counts.delivered == 1).await;
    assert_eq!((counts.following_up, counts.pending), (0, 0), "nothing is waited for");
    assert_eq!(rig.console.requests().total(), 0);
}

#[tokio::test]
async fn with_confirmation_only_what_the_console_shows_is_imported() {
    let mut rig =
        TestPipeline::start(|settings| settings.consoles[0].enrichment.confirm = true).await;
    let alert = alert();
    let forged =
        with(alert.native(), "alert_unique_id", json!("f0f0f0f0-0000-4000-8000-00000000f0f0"));
    // Whoever posts can claim an id of the console, too.
    let forged = with(forged, "id", json!("claimed"));
    rig.console.add_alert(alert.api_item());
    rig.push(Dialect::NativeAlert, &alert.native()).await;
    assert!(has_page(&rig.delivered(1).await[0]));
    rig.push(Dialect::NativeAlert, &forged).await;
    rig.rest().await;
    assert_eq!(rig.until("it waits", |counts| counts.pending == 1).await.dead, 0);

    // A console that cannot be asked confirms nothing and denies nothing.
    let list = RequestKind::List(Collection::Alerts);
    rig.console.fail_next(list, 4, Fault::Status(503));
    rig.pass(TimeDelta::minutes(11)).await;
    rig.rest().await;
    assert_eq!(rig.until("it still waits", |counts| counts.pending == 1).await.dead, 0);
    rig.pass(TimeDelta::minutes(2)).await;
    rig.until("it is not imported", |counts| counts.dead == 1).await;
    rig.delivered(1).await;
}

#[tokio::test]
async fn what_one_sink_lacks_is_not_sent_again_to_the_other() {
    let mut rig = TestPipeline::start(|_| {}).await;
    rig.second_sink_fails.store(2, std::sync::atomic::Ordering::SeqCst);
    rig.sweep(&alert().api_item()).await;
    rig.delivered(1).await;
    rig.rest().await;
    assert_eq!(rig.until("it waits", |counts| counts.pending == 1).await.delivered, 0);
    for _try in 0..2 {
        rig.pass(SECOND * 10).await;
    }
    rig.until("both have it", |counts| counts.delivered == 1).await;
    rig.delivered(1).await;
}
