//! The heartbeat: every 40 seconds the platform hears that we live and what our state is, and
//! answers the state that it holds. Without one for five minutes it shows the connector as down.
//!
//! The platform's answer wins over what was sent: it differs after a reset in OpenCTI. A connector
//! that was deleted in OpenCTI is registered again, by the heartbeat or by a delivery that was
//! earlier; then the new registration without a state tells it.
//!
//! Does not live here: what the state means and what a reset does (`sweep`, `service`). Not run for
//! a single run (`CONNECTOR_RUN_AND_TERMINATE`).

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    backpressure::QueueLoad,
    error::OpenCtiError,
    operations::PING_CONNECTOR,
    registration::{Connector, Registration, parse_state},
};

/// Time between two heartbeats, as every connector has it.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(40);

/// The content of a heartbeat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pulse {
    /// The connector's state; `None` when there is none.
    pub state: Option<Value>,
    /// The fill of the connector's queue, and whether deliveries wait because of it.
    pub queue: QueueLoad,
    /// The end of the last sweep.
    pub last_run: Option<DateTime<Utc>>,
    /// The beginning of the next sweep.
    pub next_run: Option<DateTime<Utc>>,
}

/// The news of a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub enum HeartbeatEvent {
    /// The platform holds the state that was sent. Told when that begins, not at every beat.
    Held,
    /// The platform holds another state than the one we sent; `None`: it was reset.
    StateChanged(Option<Value>),
    /// The connector had been deleted in OpenCTI and is registered again, with this state.
    Recreated(Option<Value>),
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "pingConnector")]
    connector: Pinged,
}

#[derive(Deserialize)]
struct Pinged {
    connector_state: Option<String>,
}

/// Sends heartbeats for a connector.
#[derive(Debug)]
pub struct Heartbeat {
    connector: Arc<Connector>,
    sent: Mutex<Option<Sent>>,
}

/// State that the platform may hold of us: a registration without a state after it tells of a deletion.
#[derive(Debug)]
struct Sent {
    under: Arc<Registration>,
    /// True where it answered that it holds the state. What it did not answer may have been taken, too.
    is_held: bool,
}

impl Heartbeat {
    /// For this connector.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, sent: Mutex::new(None) }
    }

    /// Sends one heartbeat now, registering first where needed; answers what is new.
    pub async fn beat(&self, pulse: &Pulse) -> Result<Option<HeartbeatEvent>, OpenCtiError> {
        let learnt = self.ping(pulse).await;
        let outcome = if learnt.is_ok() { "ok" } else { "failed" };
        metrics::counter!("heartbeats_total", "outcome" => outcome).increment(1);
        learnt
    }

    async fn ping(&self, pulse: &Pulse) -> Result<Option<HeartbeatEvent>, OpenCtiError> {
        let registration = self.connector.registration().await?;
        let mut sent = self.sent.lock().await;
        let was_recreated = registration.state.is_none()
            && sent.as_ref().is_some_and(|sent| !Arc::ptr_eq(&sent.under, &registration));
        let variables = self.variables(pulse);
        let event = match self.connector.platform().call::<Data>(&PING_CONNECTOR, variables).await {
            // Only now: after a reset this beat is the one whose state the platform drops.
            Ok(_) if was_recreated => Some(HeartbeatEvent::Recreated(None)),
            Ok(Data { connector }) => {
                let answered = parse_state(connector.connector_state.as_deref());
                // Compared as JSON: the platform may write the same state in other words.
                if answered != pulse.state {
                    Some(HeartbeatEvent::StateChanged(answered))
                } else if answered.is_some() {
                    let before = sent.replace(Sent { under: registration, is_held: true });
                    let begins = before.is_none_or(|before| !before.is_held);
                    return Ok(begins.then_some(HeartbeatEvent::Held));
                } else {
                    None
                }
            }
            Err(OpenCtiError::ConnectorUnknown) => {
                self.connector.forget(&registration);
                // Registering may fail: then the next beat has to know it.
                sent.get_or_insert(Sent { under: registration, is_held: false });
                let state = self.connector.registration().await?.state.clone();
                Some(HeartbeatEvent::Recreated(state))
            }
            Err(error) => {
                if pulse.state.is_some() && may_have_been_taken(&error) {
                    sent.get_or_insert(Sent { under: registration, is_held: false });
                }
                return Err(error);
            }
        };
        *sent = None;
        Ok(event)
    }

    /// Beats at once and then every `interval` with the newest pulse, until `stop`. What is learnt
    /// goes to `events`. A failure is logged when it begins, changes and ends, not at every beat.
    pub async fn run(
        self,
        interval: Duration,
        pulse: watch::Receiver<Pulse>,
        events: mpsc::Sender<HeartbeatEvent>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut registrations = self.connector.registrations();
        let mut trouble: Option<String> = None;
        let beats = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // Registered again by a delivery: was the connector deleted meanwhile?
                    Ok(()) = registrations.changed() => {
                        if registrations.borrow_and_update().is_none() {
                            continue;
                        }
                    }
                }
                let now = pulse.borrow().clone();
                let result = self.beat(&now).await;
                // What this beat itself registered needs no other one.
                registrations.mark_unchanged();
                log_changes(&mut trouble, result.as_ref().err());
                if let Ok(Some(event)) = result {
                    // Nobody listens any more only when the service is ending.
                    let _ = events.send(event).await;
                }
            }
        };
        stop.run_until_cancelled(beats).await;
    }

    fn variables(&self, pulse: &Pulse) -> Value {
        let settings = self.connector.settings();
        let date = |date: Option<DateTime<Utc>>| {
            date.map(|date| date.to_rfc3339_opts(SecondsFormat::Secs, true))
        };
        json!({
            "id": settings.id,
            // Without a state the text `null`, as other connectors send it.
            "state": pulse.state.as_ref().unwrap_or(&Value::Null).to_string(),
            "connectorInfo": {
                "run_and_terminate": settings.run_and_terminate,
                "buffering": pulse.queue.buffering,
                "queue_threshold": settings.queue_threshold_mb,
                "queue_messages_size": pulse.queue.size_mb,
                "next_run_datetime": date(pulse.next_run),
                "last_run_datetime": date(pulse.last_run),
            },
        })
    }
}

/// Returns whether a beat that failed like this may have reached the platform and changed something there: the
/// answer was lost, or it failed in the middle.
fn may_have_been_taken(error: &OpenCtiError) -> bool {
    match error {
        OpenCtiError::Unreachable { .. } | OpenCtiError::Other { .. } => true,
        OpenCtiError::NotThePlatform { status } => {
            matches!(*status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
        }
        _ => false,
    }
}

fn log_changes(trouble: &mut Option<String>, error: Option<&OpenCtiError>) {
    let now = error.map(ToString::to_string);
    if *trouble != now {
        if let Some(reason) = &now {
            tracing::warn!(reason, "heartbeat to OpenCTI failed; trying again");
        } else {
            tracing::info!("heartbeat to OpenCTI works again");
        }
        *trouble = now;
    }
}
