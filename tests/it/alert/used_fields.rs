//! The fields in use of an element say to every reader what the whole of it says.

use std::fs;

use harfanglab_incidents::{
    alert::element::{self, MaxValues, content_hash},
    intake::{
        decode::{Element, decode, text_of},
        dialect::{
            Dialect, Recognised, key, key_of_threat, read_alert, read_threat, recognise, version,
            version_of_threat,
        },
    },
};
use serde_json::{Value, json};

use super::fixtures::{fixture, fixtures};
use crate::support::shared::shared;

/// Values that are built of the largest real alert: far below the bound.
const REAL_ALERTS_AT_MOST: usize = 2_000;

/// Every element that is at hand, as its text.
fn texts() -> Vec<(String, String)> {
    let mut texts: Vec<_> =
        fixtures().into_iter().map(|name| (name.clone(), fixture(&name).to_string())).collect();
    if let Some(folder) = shared("samples", "real payloads of HarfangLab") {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let body = fs::read(&path).unwrap();
            for element in decode(&text_of(&body), 1_000).unwrap_or_default() {
                if let Element::Json { raw } = element {
                    texts.push((name.clone(), raw.into_owned()));
                }
            }
        }
    }
    texts
}

/// All that is made of an element, but for its conversion.
fn said(element: &Value, text: &str) -> String {
    let threat = read_threat(element);
    let threat_key = key_of_threat(text, &threat);
    let alerts = [Dialect::NativeAlert, Dialect::EcsAlert].map(|dialect| {
        let alert = read_alert(dialect, element);
        (key(dialect, element, text, &alert), version(&alert), alert)
    });
    let of_threat = (threat_key, version_of_threat(&threat), threat);
    format!("{:#?} {alerts:#?} {of_threat:#?}", recognise(element))
}

#[test]
fn fixtures_and_samples_are_read_alike_whole_and_as_built() {
    let texts = texts();
    assert!(texts.len() > 20);
    for (name, text) in texts {
        let whole: Value = serde_json::from_str(&text).unwrap();
        let built = element::read(&text, MaxValues(REAL_ALERTS_AT_MOST)).unwrap();
        assert_alike(&said(&built, &text), &said(&whole, &text), &name);
    }
}

fn assert_alike(built: &str, whole: &str, name: &str) {
    let differs = built.lines().zip(whole.lines()).find(|(built, whole)| built != whole);
    assert!(built == whole, "{name}: {differs:?}");
}

#[test]
fn an_alert_is_imported_whatever_stands_in_a_field_that_nobody_reads() {
    let odd = [
        "1e400".to_owned(),
        format!("{}{}", "[".repeat(200), "]".repeat(200)),
        format!("[{}1]", "1,".repeat(100_000)),
        format!("[{}[]]", "[[]],".repeat(100_000)),
        format!("[{}{{}}]", r#"{"":0},"#.repeat(100_000)),
    ];
    for odd in odd {
        let text = format!(
            r#"{{"alert_type":"sigma","level":"high","unheard_of":{odd},"msg":"m","agent":{{"agentid":"a"}}}}"#
        );
        let built = element::read(&text, MaxValues::default()).unwrap();
        assert_eq!(recognise(&built), Recognised::Notification(Dialect::NativeAlert));
        let alert = read_alert(Dialect::NativeAlert, &built);
        assert_eq!((alert.level.as_deref(), alert.message.as_deref()), (Some("high"), Some("m")));
        let key = key(Dialect::NativeAlert, &built, &text, &alert);
        assert_eq!(key, format!("content:{}", content_hash(&text)));
    }
}

#[test]
fn what_the_api_wraps_has_the_key_of_the_alert_inside() {
    let inner = json!({"alert_type": "sigma", "level": "low", "unheard_of": {"b": 1, "a": [2]},
        "msg": "m", "agent": {"agentid": "a"}});
    let text = json!({"zz": 1, "alert": inner}).to_string();
    let built = element::read(&text, MaxValues::default()).unwrap();
    let alert = read_alert(Dialect::NativeAlert, &built);
    let key = key(Dialect::NativeAlert, &built, &text, &alert);
    assert_eq!(key, format!("content:{}", content_hash(&inner.to_string())));
}
