//! Alerts of every dialect that journals are filled with, and how their events end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    alert::IncidentIdentity,
    clock::Clock,
    demo::Generator,
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::Outcome,
};
use serde_json::{Value, json};

/// The lease of a claim.
pub(crate) const LEASE: Duration = Duration::from_mins(5);

/// Returns the time at which these tests begin.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-05-26T07:40:00Z".parse().unwrap()
}

/// Returns a native alert, as HarfangLab pushes it.
pub(crate) fn alert(unique_id: &str, status: &str) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": unique_id,
        "status": status, "level": "high", "rule_name": "Suspicious Thing",
        "alert_time": "2026-05-26T07:39:58.447687Z",
        "agent": { "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": "pc-01" },
    })
}

/// Returns an ECS alert without an id.
pub(crate) fn ecs() -> Value {
    json!({
        "@timestamp": "2026-05-26T07:39:59.000Z", "ecs": { "version": "9.0.0" },
        "event": { "kind": "alert" },
        "agent": { "id": "00000000-0000-4000-8000-0000000000a1", "type": "hurukai" },
        "host": { "hostname": "pc-01" },
        "hlab": { "detection": { "title": "Suspicious Thing", "level": "high" } },
    })
}

/// Returns the notification of an element that the console answered with.
pub(crate) fn notification(dialect: Dialect, element: &Value) -> Notification {
    let proof = Proof::answered_by_console(start());
    Notification::of_dialect(&proof, dialect, element, element.to_string())
}

/// Returns the notification of [`alert`].
pub(crate) fn native(unique_id: &str, status: &str) -> Notification {
    notification(Dialect::NativeAlert, &alert(unique_id, status))
}

/// Returns the outcome of a delivery.
pub(crate) fn delivered() -> Outcome {
    Outcome::Delivered {
        root_id: "incident--00000000-0000-5000-8000-000000000001".to_owned(),
        remark: None,
    }
}

/// Returns an incident's identity of this name, dated [`start`].
pub(crate) fn identity(name: &str) -> IncidentIdentity {
    IncidentIdentity { name: name.to_owned(), created: start() }
}

/// Returns an alert of the fewest fields that are read.
pub(crate) fn minimal_alert(id: &str) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": id, "status": "new",
        "level": "high", "rule_name": "Suspicious Thing",
        "agent": { "hostname": "pc-01" },
    })
}

/// Returns the notification of an alert of some 2 KB, received at this time.
pub(crate) fn padded_native(unique_id: &str, at: DateTime<Utc>) -> Notification {
    let mut element = minimal_alert(unique_id);
    element["padding"] = "x".repeat(2_000).into();
    let proof = Proof::answered_by_console(at);
    Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
}

/// Returns a realistic native alert of now.
pub(crate) fn generated_alert(seed: u64) -> Value {
    Generator::new(seed).next_alert(Clock::system().now()).native()
}
