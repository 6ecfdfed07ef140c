//! One field of a wrong type never costs the others: every value of every fixture is replaced by
//! values of other types, and everything else is still read.

use harfanglab_incidents::{
    alert::element::{self, MaxValues},
    alert::{Alert, Process, Threat},
    intake::{
        decode::{Element, decode, text_of},
        dialect::{Dialect, Recognised, key, read_alert, read_threat, recognise},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures::{fixture, fixtures};

/// A field of an alert, and the beginnings of the JSON pointers it may be read from.
type Field = (fn(&Alert) -> Option<String>, &'static [&'static str]);

const FIELDS: [Field; 19] = [
    (|alert| alert.unique_id.clone(), &["/alert_unique_id"]),
    (|alert| alert.agent.hostname.clone(), &["/agent", "/host"]),
    (|alert| alert.rule_name.clone(), &["/rule", "/hlab"]),
    (|alert| alert.level.clone(), &["/level", "/hlab"]),
    (|alert| alert.timestamp.map(|date| date.to_rfc3339()), &["/@timestamp"]),
    (|alert| alert.process.as_ref()?.command_line.clone(), &["/process"]),
    (
        |alert| alert.process.as_ref()?.image_path.clone(),
        &["/process", "/image_name", "/alert_subtype", "/pid"],
    ),
    (|alert| Some(format!("{:?}", alert.dns)), &["/details_dns", "/dns"]),
    (|alert| Some(format!("{:?}", own(alert).binary)), &["/process"]),
    (|alert| Some(format!("{:?}", own(alert).ancestors)), &["/process"]),
    (|alert| Some(format!("{:?}", own(alert).parent)), &["/process"]),
    (|alert| Some(format!("{:?}", alert.event_log)), &["/eventlog", "/winlog"]),
    (|alert| Some(format!("{:?}", alert.correlation)), &["/correlation"]),
    (|alert| Some(format!("{:?}", alert.firewall_filter)), &["/firewall_self_protection"]),
    (|alert| Some(format!("{:?}", alert.antivirus)), &["/av_detection_details"]),
    (|alert| Some(format!("{:?}", alert.status_history)), &["/status_history"]),
    (|alert| alert.tenant.clone(), &["/tenant", "/organization"]),
    (|alert| alert.powershell_command.clone(), &["/details_powershell"]),
    (|alert| alert.driver.as_ref()?.ioc_id.clone(), &["/driverload"]),
];

/// The one watched field that the full alert has not: no alert has both files and DNS.
const DNS: usize = 7;

/// The alert's process; one that says nothing when it has none.
fn own(alert: &Alert) -> Process {
    alert.process.clone().unwrap_or_default()
}

/// Every place in `value`, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            fields.iter().map(|(name, child)| (escaped(name), child)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect()
        }
        _ => Vec::new(),
    };
    for (name, child) in children {
        let place = format!("{at}/{name}");
        places(child, &place, found);
        found.push(place);
    }
}

fn with(element: &Value, place: &str, value: Value) -> Value {
    let mut element = element.clone();
    *element.pointer_mut(place).unwrap() = value;
    element
}

fn without(element: &Value, place: &str) -> Value {
    let mut element = element.clone();
    let (parent, name) = place.rsplit_once('/').unwrap();
    match element.pointer_mut(parent).unwrap() {
        Value::Array(items) => drop(items.remove(name.parse().unwrap())),
        Value::Object(fields) => {
            fields.shift_remove(&name.replace("~1", "/").replace("~0", "~")).unwrap();
        }
        scalar => panic!("{scalar} has no children"),
    }
    element
}

/// Returns what was read, without the list of dates that could not be.
fn read(dialect: Dialect, element: &Value) -> (Alert, Threat) {
    let alert = read_alert(dialect, element);
    let threat = match dialect {
        Dialect::NativeThreat => read_threat(element),
        Dialect::NativeAlert | Dialect::EcsAlert => Threat::default(),
    };
    (Alert { unreadable_dates: Vec::new(), ..alert }, threat)
}

/// Returns what each watched field says.
fn watched(alert: &Alert) -> Vec<Option<String>> {
    FIELDS.iter().map(|(field, _)| field(alert)).collect()
}

fn assert_others_are_intact(before: &[Option<String>], after: &Alert, place: &str, case: &str) {
    let place = place.strip_prefix("/alert/").map_or(place.to_owned(), |rest| format!("/{rest}"));
    for (index, (field, sources)) in FIELDS.iter().enumerate() {
        if !sources.iter().any(|source| place.starts_with(source)) {
            assert_eq!(before[index], field(after), "field {index}: {case}");
        }
    }
}

#[test]
fn a_value_of_a_wrong_type_leaves_the_rest_intact() {
    for name in fixtures() {
        let element = fixture(&name);
        let Recognised::Notification(dialect) = recognise(&element) else {
            continue;
        };
        let before = watched(&read(dialect, &element).0);
        let mut found = Vec::new();
        places(&element, "", &mut found);
        for place in found {
            for odd in [json!(null), json!([]), json!({}), json!(7), json!("x"), json!(true)] {
                let case = format!("{name}: {place} is {odd}");
                let changed = with(&element, &place, odd.clone());
                let recognised = recognise(&changed);
                if recognised == Recognised::Unknown {
                    continue;
                }
                assert_eq!(recognised, Recognised::Notification(dialect), "{case}");
                let after = read(dialect, &changed);
                assert_others_are_intact(&before, &after.0, &place, &case);
                let nothing = odd.is_null() || odd.is_array() || odd.is_object();
                if nothing {
                    assert_eq!(after, read(dialect, &without(&element, &place)), "{case}");
                }
            }
        }
    }
}

/// An alert that has every field of the model that a fixture alone never has together.
fn full() -> Value {
    let mut element = fixture("correlation_5x");
    for (name, block) in [
        ("sigma_eventlog_4x", "eventlog"),
        ("selfprotection_firewall_5x", "firewall_self_protection"),
        ("hurukaiav_4x", "av_detection_details"),
        ("sigma_powershell_3x", "details_powershell"),
        ("ioc_driver_2x", "driverload"),
        ("ioc_connection_5x", "details_connection"),
        ("ioc_filesystem_5x", "details_windows_filesystem_event"),
    ] {
        element[block] = fixture(name)[block].clone();
    }
    element
}

proptest! {
    #[test]
    fn any_json_in_the_place_of_any_field_leaves_the_rest_intact(
        odd in any_json(),
        place in any::<prop::sample::Index>(),
    ) {
        let element = full();
        let before = watched(&read_alert(Dialect::NativeAlert, &element));
        let mut found = Vec::new();
        places(&element, "", &mut found);
        let place = place.get(&found);
        let case = format!("{place} is {odd}");
        let after = read_alert(Dialect::NativeAlert, &with(&element, place, odd));
        assert_others_are_intact(&before, &after, place, &case);
    }
}

proptest! {
    #[test]
    fn no_damage_to_the_bytes_of_an_alert_makes_decoding_or_reading_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = full().to_string().into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        for element in decode(&text_of(&bytes), 100).unwrap_or_default() {
            if let Element::Json { raw } = element {
                let value = element::read(&raw, MaxValues::default()).unwrap();
                let _ = recognise(&value);
                let _ = read_alert(Dialect::NativeAlert, &value);
                let _ = read_alert(Dialect::EcsAlert, &value);
            }
        }
    }
}

#[test]
fn the_full_alert_has_every_field_that_is_watched() {
    let alert = read_alert(Dialect::NativeAlert, &full());
    for (index, value) in watched(&alert).into_iter().enumerate() {
        let value = value.unwrap_or_default();
        let nothing = ["", "None", "[]"].contains(&value.as_str());
        assert!(!nothing || index == DNS, "field {index}: {value}");
    }
}

#[test]
fn an_alert_is_known_as_one_even_when_one_of_its_marks_is_spoilt() {
    for (name, place) in [
        ("sigma_process_5x", "/log_type"),
        ("sigma_process_5x", "/alert_type"),
        ("sigma_process_5x", "/alert_unique_id"),
        ("rest_alert_details_5x", "/alert/alert_type"),
        ("threat_5x", "/log_type"),
        ("threat_5x", "/id"),
        ("rest_threat_5x", "/slug"),
        ("ecs_detection", "/ecs"),
        ("ecs_detection", "/agent"),
        ("ecs_detection", "/hlab"),
    ] {
        let element = fixture(name);
        for odd in [json!(null), json!([]), json!("x"), json!(7)] {
            let changed = with(&element, place, odd);
            assert_eq!(recognise(&changed), recognise(&element), "{name}: {place}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "alert",
        "alert_type",
        "log_type",
        "process",
        "agent",
        "eventlog",
        "driverload",
        "groups",
        "event",
        "kind",
        "hlab",
        "detection",
        "ecs",
        "version",
        "id",
        "slug",
        "create_time",
        "@timestamp",
        "image_name",
        "ioc_matches",
        "details_file",
        "user",
        "agent.type",
        "correlation",
        "events",
        "status_history",
        "timestamp",
        "firewall_self_protection",
        "filter_id",
        "av_detection_details",
        "event_data",
        "SubjectUserName",
        "signature_info",
        "signed",
        "pe_info",
        "ancestors",
        "details_connection",
        "Initiated",
        "tenant",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["alert", "threat", "hurukai", "-", "2026-01-01"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_recognising_or_reading_panic(element in any_json()) {
        let _ = recognise(&element);
        for dialect in [Dialect::NativeAlert, Dialect::EcsAlert] {
            let alert = read_alert(dialect, &element);
            prop_assert!(!key(dialect, &element, &element.to_string(), &alert).is_empty());
        }
        let _ = read_threat(&element);
    }
}
