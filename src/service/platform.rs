//! Life with OpenCTI: getting to know it, taking over what it remembers of us, and the heartbeat.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ServiceError, outage, reset::Reset, until_answered::until_answered};
use crate::{
    clock::Clock,
    config::{ConnectorSettings, IncidentNaming, OpenCtiSettings, Settings},
    health::{Health, Part},
    journal::{Journal, JournalError},
    opencti::{
        ConfirmedObjects, Connector, Feature, HEARTBEAT_INTERVAL, Heartbeat, HeartbeatEvent,
        OpenCti, OpenCtiError, Pulse, QueueLoad, ServiceAccount, resolve_workflow,
    },
    pipeline::NegativeSightings,
    sweep::{self, ConnectorState},
};

/// Longest wait between two tries to reach OpenCTI at start, without its jitter, which may double it:
/// the end of an outage shows within 15 seconds.
const MEET_AGAIN_MAX: Duration = Duration::from_secs(6);
/// Attempts to ask OpenCTI for the workflow of incidents at start.
const WORKFLOW_TRIES: usize = 3;

/// OpenCTI, as this connector sees it.
pub(super) struct Platform {
    connector: Arc<Connector>,
    /// Notes its version for all.
    journal: Journal,
}

impl Platform {
    pub(super) fn new(
        opencti: &OpenCtiSettings,
        settings: &Settings,
        journal: Journal,
    ) -> Result<Self, OpenCtiError> {
        let client = client(opencti, &settings.connector)?;
        let connector = Arc::new(Connector::new(client, settings.connector.clone()));
        Ok(Self { connector, journal })
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.connector)
    }

    /// Registers, for as long as it takes; a single run gives up when OpenCTI refuses it for good.
    /// Then takes over what OpenCTI remembers, if the journal remembers nothing, or starts over when
    /// OpenCTI was made to forget it.
    pub(super) async fn meet(
        &self,
        state: &ConnectorState,
        health: &Health,
        clock: &Clock,
        once: bool,
        is_alone: bool,
    ) -> Result<(), ServiceError> {
        let mut waits = waits_to_meet();
        let mut told: Option<String> = None;
        let registration = loop {
            let register = || self.connector.registration();
            let client = self.connector.platform();
            match outage::await_answer(register, client, health, outage::PACE).await {
                Ok(registration) => break registration,
                Err(failure) if once && !failure.is_retryable() => return Err(failure.into()),
                Err(failure) => {
                    let reason = failure.to_string();
                    health.degraded(Part::OpenCti, reason.clone());
                    if told.as_ref() != Some(&reason) {
                        warn!(
                            %failure,
                            "OpenCTI cannot be reached; deliveries are accepted and wait in the \
                             journal"
                        );
                    }
                    told = Some(reason);
                    tokio::time::sleep(waits.next().unwrap_or(MEET_AGAIN_MAX)).await;
                }
            }
        };
        health.well(Part::OpenCti);
        // Before anything is prepared: rules that another version refused are sent again.
        let client = self.connector.platform();
        until_answered(|| outage::note_version(client, &self.journal)).await;
        if is_alone && until_answered(|| state.is_reset_asked_for()).await {
            finish_reset(state).await;
        } else if let Some(remote) = &registration.state {
            until_answered(|| take_over(state, remote, clock.now())).await;
        } else if is_alone && until_answered(|| state.was_cleared(None)).await {
            self.start_over(state).await;
        }
        Ok(())
    }

    /// Starts over when OpenCTI was made to forget this connector's state while no replica beat: the
    /// first thing in a term. What OpenCTI said when this replica started may be long past.
    pub(super) async fn heed_clearing(&self, state: &ConnectorState) {
        if until_answered(|| state.is_reset_asked_for()).await {
            return finish_reset(state).await;
        }
        let asked = self.connector.platform().register(self.connector.settings()).await;
        match asked {
            Ok(registration) if registration.state.is_none() => {
                if until_answered(|| state.was_cleared(None)).await {
                    self.start_over(state).await;
                }
            }
            Ok(_) => {}
            Err(failure) => {
                warn!(%failure, "OpenCTI cannot be asked for the connector's state; the heartbeat will");
            }
        }
    }

    /// The connector was reset or deleted in OpenCTI while nobody listened.
    async fn start_over(&self, state: &ConnectorState) {
        info!("OpenCTI holds no state of this connector any more: everything is imported again");
        until_answered(|| state.start_over()).await;
        // A reset is told to the first beat: this one, so that the next one is no second reset.
        if let Err(failure) = Heartbeat::new(self.connector()).beat(&Pulse::default()).await {
            warn!(%failure, "OpenCTI was not told that its reset is heeded");
        }
    }

    /// Beats once, at the end of a single run, so that the next one goes on from there even when
    /// the journal does not survive.
    pub(super) async fn beat_once(
        &self,
        state: &ConnectorState,
        pulse: Pulse,
    ) -> Result<(), OpenCtiError> {
        let pulse = with_state(state, pulse).await;
        match Heartbeat::new(self.connector()).beat(&pulse).await? {
            Some(HeartbeatEvent::Held) => until_answered(|| state.remember_held()).await,
            Some(HeartbeatEvent::StateChanged(None) | HeartbeatEvent::Recreated(_)) => {
                info!("the connector was reset in OpenCTI: the next run imports everything again");
                until_answered(|| state.start_over()).await;
            }
            Some(HeartbeatEvent::StateChanged(Some(_))) | None => {}
        }
        Ok(())
    }

    /// Returns how it learns that a sighting is one of a false positive, by the version that registration
    /// found. What somebody has to approve first is edited by nobody before.
    pub(super) fn negative_sightings(&self) -> NegativeSightings {
        let settings = self.connector.settings();
        let is_imported_at_once = settings.send_to_queue && !settings.sending.approval.is_needed();
        if is_imported_at_once && !self.connector.platform().has(Feature::NegativeByBundle) {
            NegativeSightings::ByEdit
        } else {
            NegativeSightings::ByBundle
        }
    }

    /// The operator's map of statuses as ids that OpenCTI knows; says what it does not know. A
    /// platform that cannot be asked leaves the ids as they were given.
    pub(super) async fn workflow(
        &self,
        wanted: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        if wanted.is_empty() {
            return BTreeMap::new();
        }
        let ask = || self.connector.platform().incident_statuses();
        let waits = ExponentialBuilder::default().with_max_times(WORKFLOW_TRIES);
        let asked = ask.retry(waits).when(OpenCtiError::is_retryable).await;
        match asked {
            Ok(statuses) => {
                let resolved = resolve_workflow(wanted, &statuses);
                if let Some(complaint) = resolved.complaint {
                    warn!("{complaint}");
                }
                resolved.ids
            }
            Err(failure) => {
                warn!(
                    %failure,
                    "OpenCTI does not tell the workflow of incidents; the ids of \
                     HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES are sent as they are, names are not \
                     until the next start"
                );
                let is_id = |status: &String| uuid::Uuid::parse_str(status).is_ok();
                wanted.clone().into_iter().filter(|(_, status)| is_id(status)).collect()
            }
        }
    }

    /// Beats until `stop`, and carries the cursors along. `reset` is asked for when somebody has
    /// asked in OpenCTI for everything again, and nothing counts as `confirmed` then.
    pub(super) fn beat(
        &self,
        state: ConnectorState,
        mut pulses: watch::Receiver<Pulse>,
        mut load: watch::Receiver<QueueLoad>,
        reset: Arc<Reset>,
        confirmed: Option<Arc<ConfirmedObjects>>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let heartbeat = Heartbeat::new(self.connector());
        async move {
            let pulse = pulses.borrow_and_update().clone();
            let queue = *load.borrow_and_update();
            let first = with_state(&state, Pulse { queue, ..pulse }).await;
            let (complete, beaten) = watch::channel(first);
            let (events, mut learnt) = mpsc::channel(1);
            let beating = heartbeat.run(HEARTBEAT_INTERVAL, beaten, events, stop.clone());
            let following = async {
                loop {
                    tokio::select! {
                        changed = pulses.changed() => {
                            if changed.is_err() { return }
                            let pulse = pulses.borrow_and_update().clone();
                            let queue = *load.borrow();
                            let pulse = with_state(&state, Pulse { queue, ..pulse }).await;
                            complete.send_replace(pulse);
                        }
                        Ok(()) = load.changed() => {
                            let queue = *load.borrow_and_update();
                            complete.send_modify(|pulse| pulse.queue = queue);
                        }
                        event = learnt.recv() => match event {
                            Some(event) => {
                                heed(&event, &state, &reset, confirmed.as_deref()).await;
                            }
                            None => return,
                        },
                    }
                }
            };
            tokio::join!(beating, stop.run_until_cancelled(following));
        }
    }
}

/// Waits between tries to reach OpenCTI at start.
fn waits_to_meet() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(MEET_AGAIN_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

/// A client that speaks for the user of the token, or for a service account that it makes.
fn client(
    opencti: &OpenCtiSettings,
    connector: &ConnectorSettings,
) -> Result<OpenCti, OpenCtiError> {
    match service_account(connector) {
        Some(account) => OpenCti::with_service_account(opencti, account),
        None => OpenCti::new(opencti),
    }
}

/// The account that is to be made, if one is.
pub(crate) fn service_account(connector: &ConnectorSettings) -> Option<ServiceAccount> {
    let max_confidence = connector.sending.service_account_confidence?;
    Some(ServiceAccount { connector_name: connector.name.clone(), max_confidence })
}

/// A reset that was asked for before did not reach every console.
async fn finish_reset(state: &ConnectorState) {
    info!("a reset in OpenCTI was not heeded to its end: everything is imported again");
    until_answered(|| state.start_over()).await;
}

/// The pulse with the cursors as the connector's state.
async fn with_state(state: &ConnectorState, pulse: Pulse) -> Pulse {
    match state.told().await {
        Ok(state) => Pulse { state, ..pulse },
        Err(failure) => {
            warn!(%failure, "the cursors cannot be read; the heartbeat goes without them");
            pulse
        }
    }
}

async fn heed(
    event: &HeartbeatEvent,
    state: &ConnectorState,
    reset: &Reset,
    confirmed: Option<&ConfirmedObjects>,
) {
    // The queue was purged or made anew with it.
    if !matches!(event, HeartbeatEvent::Held | HeartbeatEvent::StateChanged(Some(_)))
        && let Some(confirmed) = confirmed
    {
        confirmed.forget();
    }
    match event {
        HeartbeatEvent::Held => until_answered(|| state.remember_held()).await,
        HeartbeatEvent::StateChanged(Some(_)) => {
            info!("OpenCTI held another state; the journal's cursor stands and is sent again");
        }
        HeartbeatEvent::StateChanged(None) => {
            info!("the connector was reset in OpenCTI: everything is imported again");
            reset.ask().await;
        }
        HeartbeatEvent::Recreated(_) => {
            warn!(
                "the connector had been deleted in OpenCTI and was registered again: everything is \
                 imported again"
            );
            reset.ask().await;
        }
    }
}

/// An empty journal goes on where the Python connector stopped, under the names that it gave, or where
/// this one did whose journal was lost. The names come first: cursors without them would name every
/// incident anew after a crash in between.
async fn take_over(
    state: &ConnectorState,
    remote: &Value,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    for (kept, own) in state.to_take_over(remote).await? {
        let (console, journal) = (kept.console.name(), &kept.journal);
        if !sweep::names_by_title(own) && journal.remembered(sweep::NAMING).await?.is_none() {
            journal.remember(sweep::NAMING, "message").await?;
            info!(
                console,
                "incidents keep the names that the Python connector gave them; set \
                 HARFANGLAB_INCIDENTS_INCIDENT_NAME=title for the new ones"
            );
        }
        sweep::take_over(journal, own, now).await?;
        info!(
            console,
            "the journal was empty: going on where the connector's state in OpenCTI stands"
        );
    }
    Ok(())
}

/// Returns the naming of incidents: as set, else as remembered, else by title.
pub(super) async fn naming(set: Option<IncidentNaming>, journal: &Journal) -> IncidentNaming {
    if let Some(naming) = set {
        return naming;
    }
    match until_answered(|| journal.remembered(sweep::NAMING)).await.as_deref() {
        Some("message") => IncidentNaming::Message,
        _ => IncidentNaming::Title,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_outage_at_the_start_is_noticed_within_fifteen_seconds() {
        let waits: Vec<Duration> = waits_to_meet().take(100).collect();
        assert!(waits.len() == 100 && waits.iter().all(|wait| *wait < Duration::from_secs(15)));
    }
}
