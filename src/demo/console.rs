//! The simulated console itself: starts the server, and is what tests, benchmarks and the demo change
//! and read.

use std::{io, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::{
    faults::Fault,
    hosts,
    requests::{RequestKind, Requests},
    routes::handle,
    rules,
    state::{PageFault, Shared, State, UniqueIdFilter},
    store::Collection,
};
use crate::{
    alert::element::MaxValues,
    config::{HarfangLabSettings, TlsVerification},
};

/// Options of the simulated console.
#[derive(Debug, Clone)]
pub struct DemoConsoleConfig {
    /// The one API token it knows.
    pub token: SecretString,
    /// The time that it takes for every answer.
    pub latency: Duration,
    /// Its treatment of a filter by `alert_unique_id`.
    pub unique_id_filter: UniqueIdFilter,
}

impl Default for DemoConsoleConfig {
    fn default() -> Self {
        Self {
            token: SecretString::from("demo-console-api-token"),
            latency: Duration::ZERO,
            unique_id_filter: UniqueIdFilter::Honoured,
        }
    }
}

/// A HarfangLab console on a free port of 127.0.0.1. Stops when dropped.
pub struct DemoConsole {
    url: Url,
    server: ServerHandle,
    shared: Shared,
}

impl DemoConsole {
    /// Starts an empty console. Must be called within a tokio runtime.
    pub fn start(config: DemoConsoleConfig) -> io::Result<Self> {
        let state = State::new(config.token, config.latency, config.unique_id_filter);
        let shared = Shared::new(state);
        let data = web::Data::new(shared.clone());
        let server = HttpServer::new(move || {
            App::new().app_data(data.clone()).default_service(web::to(handle))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let url = Url::parse(&format!("http://{address}")).map_err(io::Error::other)?;
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { url, server: handle, shared })
    }

    /// Its address.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Settings with which a client reaches it, without a rate worth the name.
    pub fn settings(&self) -> HarfangLabSettings {
        HarfangLabSettings {
            url: self.url(),
            token: self.shared.lock().token.clone(),
            tls: TlsVerification::System,
            requests_per_second: 10_000,
            concurrency: 16,
            request_timeout: Duration::from_secs(10),
            max_values: MaxValues::default(),
        }
    }

    /// Adds the invented rules, agents and threats that the [`Generator`](super::Generator)'s
    /// alerts refer to. `now` is the date of the threats.
    pub fn seed(&self, now: DateTime<Utc>) {
        let rules = rules::all();
        let agents = hosts::HOSTS.iter().map(|host| (Collection::Agents, host.agent_item()));
        let threats = hosts::HOSTS.iter().map(|host| (Collection::Threats, host.threat_item(now)));
        for (collection, item) in rules.into_iter().chain(agents).chain(threats) {
            self.add(collection, item);
        }
        for host in hosts::HOSTS.iter().filter(|host| host.has_note()) {
            self.set_note(&host.threat_id(), host.note(now));
        }
    }

    /// Adds an object to a collection; an alert must be an API item (with `id`).
    pub fn add(&self, collection: Collection, item: Value) {
        self.shared.lock().records_mut(collection).add(item);
    }

    /// Adds an alert as the API shows it.
    pub fn add_alert(&self, item: Value) {
        self.add(Collection::Alerts, item);
    }

    /// Replaces fields of the alert with this `alert_unique_id`, as an analyst's action does;
    /// `last_update` should be among them. `None` when there is no such alert.
    pub fn update_alert(&self, unique_id: &str, changes: &Value) -> Option<()> {
        let mut state = self.shared.lock();
        state.records_mut(Collection::Alerts).update("alert_unique_id", unique_id, changes)
    }

    /// Replaces fields of the threat with this id. `None` when there is no such threat.
    pub fn update_threat(&self, id: &str, changes: &Value) -> Option<()> {
        self.shared.lock().records_mut(Collection::Threats).update("id", id, changes)
    }

    /// Writes the note of a threat.
    pub fn set_note(&self, threat_id: &str, note: Value) {
        self.shared.lock().notes.insert(threat_id.to_owned(), note);
    }

    /// Puts a chunk of ECS events at the end of the Elastic connector's queue.
    pub fn queue_chunk(&self, events: Vec<Value>) {
        self.shared.lock().queue.push_back(events);
    }

    /// Returns the number of chunks that nobody has taken yet.
    pub fn queued_chunks(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Changes the token: the old one is refused from now on.
    pub fn set_token(&self, token: SecretString) {
        self.shared.lock().token = token;
    }

    /// Changes how long it thinks about every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// The next `times` requests of this kind meet `fault`, after those already due.
    pub fn fail_next(&self, kind: RequestKind, times: usize, fault: Fault) {
        let mut state = self.shared.lock();
        state.faults.entry(kind).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// The next `times` requests of this kind for a page at `offset` or beyond meet `fault`.
    pub fn fail_page_from(&self, kind: RequestKind, offset: u64, times: usize, fault: Fault) {
        self.shared.lock().page_faults.push(PageFault { kind, offset, times, fault });
    }

    /// No fault is due any more.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.faults.clear();
        state.page_faults.clear();
    }

    /// Makes the `next` of every list an absolute address below `base`, as consoles behind a proxy
    /// give it.
    pub fn link_next_to(&self, base: &str) {
        base.clone_into(&mut self.shared.lock().next_base);
    }

    /// Returns what it has been asked so far.
    pub fn requests(&self) -> Requests {
        self.shared.lock().requests.clone()
    }

    /// Stops it. Afterwards nothing is answered any more, on open connections neither; requests
    /// being answered have a second to finish.
    pub async fn stop(self) {
        // A forced stop does not wait for the workers, which then still answer for a moment on
        // connections that are kept alive.
        self.server.stop(true).await;
    }
}

impl Drop for DemoConsole {
    fn drop(&mut self) {
        // The command is sent by the call; there is nobody to wait for its end.
        drop(self.server.stop(false));
    }
}
