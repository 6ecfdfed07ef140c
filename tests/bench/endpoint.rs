//! The endpoint by itself, as the service serves it, with a journal behind its door or nothing.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle};
use arc_swap::ArcSwap;
use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    config::{Settings, WebhookSettings},
    intake::{
        Door, Entries, Receipt,
        verification::Verifier,
        webhook::{Webhook, routes},
    },
    journal::{Journal, write_what_comes_in},
};
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::{
    app::WEBHOOK_SECRET,
    stores::{Database, Fresh},
};

/// Requests that one commit shares at most, in front of nothing as in front of a journal.
const WAITING: usize = 1_024;
/// More than 10,000 alerts have.
const MAX_BODY_BYTES: usize = 128 << 20;
/// Events read at once afterwards.
const CLAIM: usize = 1_000;

/// The part behind the endpoint.
#[derive(Clone, Copy)]
pub(crate) enum Behind {
    /// A new journal.
    Journal(Database),
    /// Answers everything as stored, and stores nothing.
    Nothing,
}

/// A running endpoint.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    server: ServerHandle,
    writer: JoinHandle<()>,
    journal: Option<(Journal, Fresh)>,
}

fn settings() -> WebhookSettings {
    let folder = std::env::temp_dir();
    let url = "sqlite::memory:".to_owned();
    let mut settings = Settings::embedded(url, folder, crate::settings::console());
    // The largest body that is measured has the most elements, not the most bytes.
    settings.consoles[0].webhook.max_body_bytes = MAX_BODY_BYTES;
    settings.consoles[0].webhook.secrets = vec![SecretString::from(WEBHOOK_SECRET)];
    settings.consoles.remove(0).webhook
}

impl Endpoint {
    pub(crate) async fn open(behind: Behind) -> Self {
        let (door, entries) = Door::new(WAITING);
        let (writer, journal) = match behind {
            Behind::Journal(database) => {
                let place = database.fresh().await;
                let journal = place.open().await;
                let kept = journal.clone();
                let writing = write_what_comes_in(kept, entries, Arc::default());
                (tokio::spawn(writing), Some((journal, place)))
            }
            Behind::Nothing => (tokio::spawn(nothing(entries)), None),
        };
        let settings = settings();
        let verifier = Verifier::new(&settings).expect("the settings are valid");
        let verifier = Arc::new(ArcSwap::from_pointee(verifier.expect("there is a secret")));
        let webhook = Webhook::new(verifier, door, Clock::system(), &settings);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let path = settings.path.clone();
        let route = path.clone();
        let server =
            HttpServer::new(move || App::new().configure(routes(Arc::clone(&webhook), &route)))
                .workers(2)
                .disable_signals()
                .listen(listener)
                .expect("the port is ours")
                .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, path, server: handle, writer, journal }
    }

    /// Ends it; answers the alerts that the journal keeps, when there is one.
    pub(crate) async fn end(self) -> Option<BTreeSet<String>> {
        self.server.stop(false).await;
        self.writer.abort();
        let (journal, _place) = self.journal?;
        let (lease, now) = (Duration::from_hours(1), Clock::system().now() + TimeDelta::hours(1));
        let mut kept = BTreeSet::new();
        loop {
            let events = journal.claim(CLAIM, lease, now).await.expect("the journal answers");
            if events.is_empty() {
                return Some(kept);
            }
            kept.extend(events.iter().map(|event| unique_id(&event.body)));
        }
    }
}

async fn nothing(mut entries: Entries) {
    let mut waiting = Vec::new();
    while entries.deliveries.recv_many(&mut waiting, WAITING).await > 0 {
        for entry in waiting.drain(..) {
            let accepted = entry.notifications.len();
            let receipt = Receipt { accepted, first_seen: accepted, ..Receipt::default() };
            let _gone = entry.reply.send(Ok(receipt));
        }
    }
}

fn unique_id(body: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("what was kept is JSON");
    body["alert_unique_id"].as_str().expect("our alerts have ids").to_owned()
}
