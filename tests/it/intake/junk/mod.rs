//! Junk does not fill the journal: telemetry that names no kind is counted, unknown kinds are kept as a
//! sample, whatever carries a mark of an alert is kept, and when space runs short what nobody needs goes
//! before an alert is refused.

mod disk_space;
mod floods;

use harfanglab_incidents::{
    alert::element::MaxValues,
    intake::{
        Place, Samples, Sorted,
        decode::{Element, decode, text_of},
        sort,
    },
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{
    offline::offline_home,
    shared::shared,
    stage::post,
    verification::{at, proof_of_a_push},
};

/// Telemetry of four kinds as consoles push it that send no `log_type`.
pub(crate) fn telemetry(number: usize) -> Value {
    let mut event = match number % 4 {
        0 => json!({"requested_name": "intranet.orchard.example", "query_type": "AAAA",
            "ip_addresses": ["192.0.2.7"], "status": "success"}),
        1 => json!({"target_object": "HKLM\\SOFTWARE\\Pear\\Enable", "event_type": "SetValue",
            "details": "DWORD (0x00000001)", "event_id": 13}),
        2 => json!({"event_path": "C:\\Users\\ada\\pear.db", "operation": "create", "tid": 7}),
        _ => json!({"address": "127.0.0.1", "port": 55, "transport_protocol": "tcp"}),
    };
    event["id"] = number.into();
    event["pid"] = json!(8_888);
    event["process_image_path"] = "C:\\Tools\\walnut.exe".into();
    event["@timestamp"] = "2026-05-26T07:39:58.371482Z".into();
    event["@event_create_date"] = "2026-05-26T07:39:58.371482Z".into();
    event["agent"] = json!({"agentid": "5a0c", "hostname": "DESK-PEAR-07", "ostype": "windows"});
    event
}

#[tokio::test]
async fn telemetry_without_a_log_type_is_counted_by_kind_and_what_may_be_an_alert_is_kept() {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES", "2");
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    let events: Vec<Value> = (0..8).map(telemetry).collect();
    let (status, answer) = post(&url, &json!(events)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer, json!({"accepted": 0, "duplicates": 0, "ignored": 8}));
    for kind in ["dns_resolution", "registry", "file", "network"] {
        let series = format!("webhook_ignored_total{{kind=\"{kind}\"}}");
        assert_eq!(app.metric(&series).await, 2, "{kind}");
    }
    // Each carries a mark, so that none is sampled.
    let marked = |number: usize| {
        let mut event = telemetry(number);
        event["rule_name"] = "Walnut".into();
        event
    };
    let (_status, answer) = post(&url, &json!((0..9).map(marked).collect::<Vec<_>>())).await;
    assert_eq!((&answer["dead_letters"], &answer["ignored"]), (&json!(9), &json!(0)), "{answer}");
    // Of what is neither, a sample is kept, also over a restart.
    let odd = |number: usize| json!({"something": number, "new": true});
    let (_status, answer) = post(&url, &json!((0..3).map(odd).collect::<Vec<_>>())).await;
    assert_eq!((&answer["dead_letters"], &answer["ignored"]), (&json!(2), &json!(1)), "{answer}");
    let (_status, answer) = post(&url, &odd(1)).await;
    assert_eq!(answer["duplicates"], 1, "it is there: {answer}");
    app.wait_for_log("the shape is named", |line| {
        (line["attributes"]["shape"] == "an object with new, something").then_some(())
    })
    .await;
    assert_eq!(app.metric("unknown_kinds_total{outcome=\"counted\"}").await, 1);
    assert!(app.terminate().await.success());
    let mut app = home.start(&["serve"]);
    let (_status, answer) = post(&app.webhook().await, &odd(9)).await;
    assert_eq!(
        (&answer["dead_letters"], &answer["ignored"]),
        (&Value::Null, &json!(1)),
        "{answer}"
    );
}

fn classify(elements: Vec<Element<'_>>) -> Sorted {
    sort(&proof_of_a_push(at(0)), elements, &Samples::default(), MaxValues::default())
}

#[test]
fn a_ticket_about_an_alert_and_a_batch_are_dead_letters_that_say_what_to_change() {
    let ticket = r#"{"alert_unique_id":"a","status":"open","title":"x"}"#;
    let alert = crate::support::notifications::alert("a", "new");
    let batch =
        json!({"records": [alert, crate::support::notifications::alert("b", "new")]}).to_string();
    for (body, says) in [
        (ticket, "pass on HarfangLab's JSON as it is"),
        (batch.as_str(), "post each by itself"),
        (r#"{"rule_name":"x"}"#, "pass on HarfangLab's JSON as it is"),
    ] {
        let sorted = classify(decode(body, 10).unwrap());
        let [letter] = sorted.notifications.as_slice() else { panic!("{sorted:?}") };
        let Place::DeadLetter(reason) = letter.place() else { panic!("{letter:?}") };
        assert!(reason.contains(says), "{reason}");
        assert_eq!((&**letter.body(), letter.shape()), (body, None), "kept whole, and no sample");
    }
}

#[test]
fn the_cases_that_were_found_are_classified_as_they_should_be() {
    let Some(folder) = shared("cases", "inputs that failed before") else { return };
    let classified = |name: &str| {
        let body = std::fs::read(folder.join(name)).unwrap();
        let body = text_of(&body);
        classify(decode(&body, 10).unwrap())
    };
    for (number, kind) in [(1, "dns_resolution"), (3, "file"), (6, "network"), (11, "registry")] {
        let sorted = classified(&format!("telemetry-without-log-type-{number}.json"));
        assert_eq!(sorted.telemetry, [kind], "{number}");
        assert!(sorted.notifications.is_empty());
    }
    // Nothing of these is telemetry.
    for name in ["02-filebeat-wrapped.json", "03-ecs-detection-pipeline-error.json"] {
        let sorted = classified(name);
        assert_eq!((sorted.ignored(), sorted.notifications.len()), (0, 1), "{name}");
        let kept = &sorted.notifications[0];
        assert!(!matches!(kept.place(), Place::DeadLetter(_)) || kept.shape().is_none(), "{name}");
    }
}

#[test]
fn real_telemetry_whose_log_type_is_taken_away_is_still_known_where_it_names_its_agent() {
    let Some(folder) = shared("samples", "real payloads of HarfangLab") else { return };
    let mut known = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some((_, kind)) = name.split_once("push-syslog__") else { continue };
        let kind = kind.split("__").next().unwrap();
        let mut event: Value =
            serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        if ["alert", "threat"].contains(&kind) {
            continue;
        }
        event.as_object_mut().unwrap().remove("log_type");
        let text = event.to_string();
        let sorted = classify(decode(&text, 10).unwrap());
        let is_by_agent = event["agent"].is_object() && event.get("@event_create_date").is_some();
        // A relay kept the whole text, and with it the kind.
        let is_kept = event["event"]["original"].is_string();
        if is_by_agent || is_kept {
            assert_eq!(sorted.telemetry, [kind], "{name}");
            known += 1;
        } else {
            assert_eq!(sorted.notifications.len(), 1, "{name}");
        }
    }
    assert!(known >= 20, "{known}");
}
