//! The judge: reads the queue to its end and compares it with the ledger.

use std::collections::{BTreeMap, BTreeSet};

use harfanglab_incidents::{
    config::Marking,
    convert::{ConvertSettings, convert_alert},
    intake::dialect::{Dialect, read_alert},
};
use serde_json::Value;

use super::producer::Ledger;
use crate::support::{samples, stage::Stage};

/// Fields that an incident must have kept from what was pushed.
const KEPT: [&str; 6] = ["name", "created", "severity", "incident_type", "source", "first_seen"];

/// The findings on the queue.
pub(crate) struct Found {
    messages: usize,
    ids: BTreeSet<String>,
    incidents: BTreeMap<String, Vec<Value>>,
    console_url: String,
}

/// The judge's verdict.
pub(crate) struct Verdict {
    acknowledged: usize,
    messages: usize,
    lost: Vec<String>,
    changed: Vec<String>,
    spurious: Vec<String>,
}

/// Reads the queue to its end.
pub(crate) async fn read_queue(stage: &Stage) -> Found {
    let mut found = Found {
        messages: 0,
        ids: BTreeSet::new(),
        incidents: BTreeMap::new(),
        console_url: stage.console.url().to_string(),
    };
    stage
        .broker
        .drain(&stage.queue(), |message| {
            found.messages += 1;
            for object in message.bundle["objects"].as_array().into_iter().flatten() {
                let id = object["id"].as_str().expect("every object has an id").to_owned();
                if object["type"] == "incident" {
                    found.incidents.entry(id.clone()).or_default().push(object.clone());
                }
                found.ids.insert(id);
            }
        })
        .await;
    found
}

impl Found {
    /// Takes out the incidents of this name: what they said, in the order in which they came.
    pub(crate) fn take_named(&mut self, name: &str) -> BTreeMap<String, Vec<Value>> {
        let is_named =
            |incidents: &Vec<Value>| incidents.iter().all(|incident| incident["name"] == name);
        let (named, others) =
            std::mem::take(&mut self.incidents).into_iter().partition(|(_, all)| is_named(all));
        self.incidents = others;
        named
    }

    /// Compares with what was pushed and acknowledged, which at the end is all of it.
    pub(crate) fn verdict(mut self, ledger: &Ledger) -> Verdict {
        assert_eq!(ledger.acknowledged(), ledger.alerts().len(), "everything was pushed");
        let settings = settings(&self.console_url);
        let (mut lost, mut changed) = (Vec::new(), Vec::new());
        for alert in ledger.alerts() {
            let read = read_alert(Dialect::NativeAlert, &alert.native());
            let expected = convert_alert(&read, None, &samples::never_seen(), &settings);
            let objects = &expected.bundle.objects;
            let text =
                |object: &serde_json::Map<String, Value>| object["id"].as_str().map(str::to_owned);
            let missing = objects.iter().filter_map(text).filter(|id| !self.ids.contains(id));
            lost.extend(missing.map(|id| format!("{} of alert {}", id, alert.unique_id())));
            let root = objects.iter().find(|object| object["type"] == "incident");
            let root = root.expect("every alert has an incident");
            for arrived in self.incidents.remove(&expected.root_id).unwrap_or_default() {
                let differs = |field: &&str| arrived.get(*field) != root.get(*field);
                let fields: Vec<&str> =
                    KEPT.iter().filter(|field| differs(field)).copied().collect();
                if !fields.is_empty() {
                    changed.push(format!("{}: {fields:?}", alert.unique_id()));
                }
            }
        }
        let spurious = self.incidents.into_keys().collect();
        let acknowledged = ledger.acknowledged();
        Verdict { acknowledged, messages: self.messages, lost, changed, spurious }
    }
}

/// As the binary of [`Surroundings`] converts.
fn settings(console_url: &str) -> ConvertSettings {
    ConvertSettings {
        author: "HarfangLab".to_owned(),
        marking: Marking::Amber,
        console_url: console_url.parse().expect("it was a URL"),
        ..samples::settings()
    }
}

impl Verdict {
    /// In a line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} notifications acknowledged, {} messages on the queue, {} objects lost, {} incidents \
             changed, {} spurious",
            self.acknowledged,
            self.messages,
            self.lost.len(),
            self.changed.len(),
            self.spurious.len()
        )
    }

    /// Fails when anything was lost, changed or made up.
    pub(crate) fn assert_just(&self) {
        assert_eq!(self.lost, Vec::<String>::new(), "lost");
        assert_eq!(self.changed, Vec::<String>::new(), "changed");
        assert_eq!(self.spurious, Vec::<String>::new(), "spurious");
    }
}

#[test]
fn the_judge_sees_what_is_lost_changed_and_made_up() {
    let url = "https://console.example/".to_owned();
    let ledger = Ledger::new(1, 2);
    ledger.note(ledger.alerts());
    let bundles: Vec<_> = ledger
        .alerts()
        .iter()
        .map(|alert| read_alert(Dialect::NativeAlert, &alert.native()))
        .map(|alert| convert_alert(&alert, None, &samples::never_seen(), &settings(&url)))
        .collect();
    let mut found =
        Found { messages: 0, ids: BTreeSet::new(), incidents: BTreeMap::new(), console_url: url };
    for object in bundles.iter().flat_map(|conversion| &conversion.bundle.objects) {
        found.ids.insert(object["id"].as_str().unwrap().to_owned());
    }
    found.ids.remove(&bundles[0].root_id);
    let mut changed = serde_json::json!({});
    changed["name"] = "another".into();
    found.incidents.insert(bundles[1].root_id.clone(), vec![changed]);
    found.incidents.insert("incident--made-up".to_owned(), Vec::new());
    let verdict = found.verdict(&ledger);
    assert_eq!((verdict.lost.len(), verdict.changed.len()), (1, 1));
    assert_eq!(verdict.spurious, ["incident--made-up"]);
}
