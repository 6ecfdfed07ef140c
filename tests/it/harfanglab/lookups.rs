//! One alert, one threat, one note.

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    demo::{
        Collection, DemoConsole, DemoConsoleConfig, Fault, Generator, Kind, RequestKind,
        UniqueIdFilter,
    },
    harfanglab::Item,
};
use serde_json::{Value, json};

use crate::support::demo_console::{client, fill, noon, started};

#[tokio::test]
async fn an_alert_is_found_by_its_unique_id_on_every_kind_of_console() {
    for filter in [UniqueIdFilter::Honoured, UniqueIdFilter::Ignored, UniqueIdFilter::Refused] {
        let config = DemoConsoleConfig { unique_id_filter: filter, ..Default::default() };
        let console = DemoConsole::start(config).unwrap();
        let alerts = fill(&console, 30, TimeDelta::seconds(1));
        let client = client(&console);
        let wanted = &alerts[20];

        let found = client.page_of_push(wanted.unique_id(), None, None).await.unwrap();
        if filter == UniqueIdFilter::Honoured {
            assert_eq!(found, Some(wanted.api_id()));
        } else {
            // Never another alert in its place.
            assert_eq!(found, None, "{filter:?}");
        }
        let absent = client.page_of_push("00000000-0000-0000-0000-000000000000", None, None).await;
        assert_eq!(absent.unwrap(), None, "{filter:?}");

        let (agent, rule, time) = (wanted.agent_id(), wanted.rule_name(), wanted.event_time());
        let matched = client.alert_matching(&agent, rule, time).await.unwrap();
        assert_eq!(matched.unwrap()["id"], wanted.api_id(), "{filter:?}");
    }
}

#[tokio::test]
async fn an_ecs_alert_is_matched_by_host_rule_and_nearest_time() {
    let console = started();
    let mut generator = Generator::new(3);
    let alert = generator.alert(Kind::SigmaEventLog, noon());
    let ecs = alert.ecs();
    // The same rule on the same host a minute later, on another host at that instant, and another
    // rule on the same host at that instant.
    let twin = |field: &str, value: Value, minutes| {
        let mut item = alert.api_item();
        *item.pointer_mut(field).unwrap() = value;
        item["id"] = json!(format!("twin of {field}"));
        let time = noon() + TimeDelta::minutes(minutes);
        for date in ["alert_time", "@event_create_date", "detection_date"] {
            item[date] = json!(time.to_rfc3339());
        }
        item
    };
    console.add_alert(twin("/agent/agentid", json!("another host"), 0));
    console.add_alert(twin("/rule_name", json!("Another rule"), 0));
    console.add_alert(twin("/status", json!("new"), 1));
    console.add_alert(alert.api_item());

    let client = client(&console);
    let agent = ecs["host"]["id"].as_str().unwrap();
    let title = ecs["hlab"]["detection"]["title"].as_str().unwrap();
    let time = ecs["@timestamp"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let matched = client.alert_matching(agent, title, time).await.unwrap().unwrap();
    assert_eq!(matched["id"], alert.api_id());

    let hour = TimeDelta::hours(1);
    assert_eq!(client.alert_matching(agent, title, time + hour).await.unwrap(), None);
    assert_eq!(client.alert_matching("nobody", title, time).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_there_is_not_an_error() {
    let console = started();
    let client = client(&console);
    assert_eq!(client.threat("no such id").await.unwrap(), None);
    assert_eq!(client.threat_note("no such id").await.unwrap(), None);
}

#[tokio::test]
async fn a_threat_without_a_note_is_answered_with_nothing_and_that_is_no_fault() {
    let console = started();
    console.seed(noon());
    let client = client(&console);
    let threats = client
        .page(harfanglab_incidents::harfanglab::Listing::Threats, noon(), None, 0, 100)
        .await
        .unwrap()
        .items;
    let mut notes = 0;
    for threat in threats.iter().map(Item::value) {
        let id = threat["id"].as_str().map_or_else(|| threat["id"].to_string(), str::to_owned);
        assert_eq!(client.threat(&id).await.unwrap().as_ref(), Some(threat));
        notes += usize::from(client.threat_note(&id).await.unwrap().is_some());
    }
    assert_eq!((threats.len(), notes), (6, 3));
    assert_eq!(console.requests().of(RequestKind::Note), 6);
}

#[tokio::test]
async fn an_answer_that_is_no_threat_is_not_taken_for_the_one_that_was_asked_for() {
    let console = started();
    let body = r#"{"count": 0, "next": null, "results": []}"#;
    let page = Fault::Answer { status: 200, content_type: "application/json", body };
    console.fail_next(RequestKind::One(Collection::Threats), 9, page);
    let error = client(&console).threat("77").await.unwrap_err();
    assert!(error.to_string().contains("it is no threat"), "{error}");
}

#[tokio::test]
async fn what_no_console_can_be_asked_with_is_not_sent_and_the_console_stays_well() {
    let console = started();
    let client = client(&console);
    let huge = "a".repeat(1 << 20);
    assert!(client.agent(&huge).await.unwrap_err().is_unaskable());
    assert!(client.threat("..").await.unwrap_err().is_unaskable());
    assert!(client.sigma_rule(None, Some("Odd\0Rule")).await.unwrap_err().is_unaskable());
    assert!(client.ioc_rule(None, &huge).await.unwrap_err().is_unaskable());
    assert_eq!(console.requests().total(), 0);
    let names = [huge, "no such file".to_owned()];
    assert!(client.yara_file(&names).await.unwrap().is_none());
    assert_eq!(console.requests().total(), 1, "for the other name");

    let agents = RequestKind::One(Collection::Agents);
    for status in [414, 431] {
        let asked = console.requests().of(agents);
        console.fail_next(agents, 1, Fault::Status(status));
        let id = format!("long for this console: {status}");
        assert!(client.agent(&id).await.unwrap_err().is_unaskable());
        assert_eq!(console.requests().of(agents), asked + 1, "not asked again");
    }
    assert!(client.denied().borrow().is_none());
}

#[tokio::test]
async fn a_push_with_an_id_that_cannot_be_asked_for_says_nothing_of_those_asked_for_with_it() {
    let console = started();
    let alerts = fill(&console, 9, TimeDelta::seconds(1));
    let client = client(&console);
    let huge = "a".repeat(1 << 20);
    // Nothing is listed at these times, so that one is asked for by its id in place of all.
    let at = |minutes| Some(noon() + TimeDelta::minutes(minutes));
    let look_ups = [
        // Asked for alone, while the other two wait.
        client.page_of_push(alerts[1].unique_id(), None, at(90)),
        client.page_of_push(&huge, None, at(100)),
        client.page_of_push(alerts[5].unique_id(), None, at(110)),
    ];
    let found = futures_util::future::join_all(look_ups).await;
    assert_eq!(found[0], Ok(Some(alerts[1].api_id())));
    assert!(found[1].as_ref().unwrap_err().is_unaskable());
    assert_eq!(found[2], Ok(Some(alerts[5].api_id())));
}
