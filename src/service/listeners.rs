//! The sockets: the endpoint that HarfangLab posts to, and the management pages.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
};
use arc_swap::ArcSwap;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use tracing_actix_web::TracingLogger;

use super::{ServiceError, console::ConsoleService, request_span::RequestSpan, secrets, tls};
use crate::{
    clock::Clock,
    config::{ConsoleSettings, Settings, WebhookSettings},
    health::Health,
    intake::{
        verification::Verifier,
        webhook::{Webhook, routes},
    },
    ops::{self, ManagedConsole, Management, Metrics},
    sweep::Pushes,
};

/// Longest time a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without requests is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Longest time that open requests get at shutdown.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 10;

/// What listens and is shown.
pub(super) struct Shown<'a> {
    pub(super) consoles: &'a [ConsoleService],
    pub(super) health: Arc<Health>,
    pub(super) sinks: Vec<&'static str>,
}

/// Bound and serving.
#[derive(Default)]
pub(super) struct Listeners {
    webhook: Option<(SocketAddr, ServerHandle)>,
    management: Option<ServerHandle>,
    _secrets: Vec<AbortOnDropHandle<()>>,
}

/// One console's endpoint.
#[derive(Clone)]
struct Endpoint {
    path: String,
    webhook: Arc<Webhook>,
}

impl Listeners {
    /// Binds both, the endpoint only when there is a secret, and serves. A single run takes no
    /// deliveries and has no sockets.
    pub(super) fn open(
        settings: &Settings,
        clock: &Clock,
        shown: Shown<'_>,
    ) -> Result<Self, ServiceError> {
        if settings.connector.runs_once() {
            return Ok(Self::default());
        }
        let labels: Vec<_> = shown.consoles.iter().map(|console| console.label.clone()).collect();
        let metrics = Metrics::install(&labels)?;
        let (mut endpoints, mut secrets) = (Vec::new(), Vec::new());
        for console in shown.consoles {
            let (endpoint, current) = console.label.now(|| endpoint(console, clock))?;
            secrets.push(current);
            endpoints.extend(endpoint);
        }
        let webhook = if endpoints.is_empty() {
            None
        } else {
            Some(open_webhook(&settings.webhook, endpoints)?)
        };
        let bound_webhook = webhook.as_ref().map(|(address, _handle)| *address);
        let address = settings.management_listen;
        let (listener, bound) = bind("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address)?;
        let consoles = shown.consoles.iter().map(|console| managed(console, bound_webhook));
        let management = Management {
            consoles: consoles.collect(),
            health: shown.health,
            metrics,
            clock: clock.clone(),
            address: bound,
            opencti: settings.opencti.as_ref().map(|opencti| opencti.url.to_string()),
            sinks: shown.sinks,
        };
        let server = ops::serve(management, settings.management_token.as_ref(), listener)
            .map_err(not_listening("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address))?;
        info!(address = %bound, "listening for health checks and metrics");
        Ok(Self { webhook, management: Some(spawn(server)), _secrets: secrets })
    }

    /// Whether this console can push.
    pub(super) fn pushes(&self, console: &ConsoleSettings) -> Pushes {
        if self.webhook.is_some() && !console.webhook.secrets.is_empty() {
            Pushes::Taken
        } else {
            Pushes::NotTaken
        }
    }

    pub(super) fn webhook_address(&self) -> Option<SocketAddr> {
        self.webhook.as_ref().map(|(address, _handle)| *address)
    }

    /// Stops accepting and lets open requests finish.
    pub(super) async fn close(&self) {
        if let Some((_address, handle)) = &self.webhook {
            handle.stop(true).await;
            info!("no longer accepting deliveries");
        }
        if let Some(handle) = &self.management {
            handle.stop(false).await;
        }
    }
}

/// A console's endpoint, if it has a secret, and what keeps that current.
fn endpoint(
    console: &ConsoleService,
    clock: &Clock,
) -> Result<(Option<Endpoint>, AbortOnDropHandle<()>), ServiceError> {
    let settings = &console.settings.webhook;
    let verifier = Verifier::new(settings)?.map(ArcSwap::from_pointee).map(Arc::new);
    let current =
        secrets::keep_current(settings, verifier.clone()).map_err(ServiceError::Signal)?;
    let Some(verifier) = verifier else {
        match console.label.name() {
            None => warn!(
                "no webhook secret is set: the endpoint stays closed and alerts come by the sweep \
                 only; set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it"
            ),
            Some(console) => warn!(
                console,
                "the console has no webhook_secret: its endpoint stays closed and its alerts come \
                 by the sweep only"
            ),
        }
        return Ok((None, current));
    };
    let webhook = Webhook::new(verifier, console.door.clone(), clock.clone(), settings);
    Ok((Some(Endpoint { path: settings.path.clone(), webhook }), current))
}

/// What the management pages show of a console.
fn managed(console: &ConsoleService, webhook: Option<SocketAddr>) -> ManagedConsole {
    let ConsoleService { settings, label, journal, arrived, board, .. } = console;
    let webhook = webhook.filter(|_address| !settings.webhook.secrets.is_empty());
    ManagedConsole {
        name: settings.name.clone(),
        label: label.clone(),
        journal: Arc::clone(journal),
        jobs: Arc::clone(board),
        arrived: Arc::clone(arrived),
        endpoint: webhook.map(|address| format!("{address}{}", settings.webhook.path)),
    }
}

fn open_webhook(
    settings: &WebhookSettings,
    endpoints: Vec<Endpoint>,
) -> Result<(SocketAddr, ServerHandle), ServiceError> {
    let tls = settings.tls.as_ref().map(tls::server_config).transpose()?;
    let (listener, address) = bind("HARFANGLAB_INCIDENTS_LISTEN", settings.listen)?;
    let paths = endpoints.iter().map(|endpoint| endpoint.path.as_str()).collect::<Vec<_>>();
    let paths = paths.join(", ");
    // The bound is each worker's own: together they stay within the configured one.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(settings.max_connections);
    let server = HttpServer::new(move || {
        let app = App::new().wrap(TracingLogger::<RequestSpan>::new());
        endpoints.iter().fold(app, |app, Endpoint { path, webhook }| {
            app.configure(routes(Arc::clone(webhook), path))
        })
    })
    .client_request_timeout(HEAD_TIMEOUT)
    .tls_handshake_timeout(HEAD_TIMEOUT)
    .workers(workers)
    .max_connections(settings.max_connections / workers)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
    .disable_signals();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    let server =
        server.map_err(not_listening("HARFANGLAB_INCIDENTS_LISTEN", settings.listen))?.run();
    info!(%address, scheme, path = %paths, "listening for deliveries");
    Ok((address, spawn(server)))
}

fn bind(
    variable: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let listener = TcpListener::bind(address).map_err(not_listening(variable, address))?;
    let bound = listener.local_addr().map_err(not_listening(variable, address))?;
    Ok((listener, bound))
}

fn not_listening(
    variable: &'static str,
    address: SocketAddr,
) -> impl FnOnce(std::io::Error) -> ServiceError {
    move |error| ServiceError::Listen { variable, address, error }
}

fn spawn(server: Server) -> ServerHandle {
    let handle = server.handle();
    tokio::spawn(server);
    handle
}
