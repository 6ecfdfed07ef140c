//! The sockets: the endpoint that HarfangLab posts to, the listener for its syslog (`syslog`), the
//! management pages, and the metrics under the names of Python connectors.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
};
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use tracing_actix_web::TracingLogger;

use super::{
    ServiceError,
    request_span::RequestSpan,
    secrets,
    syslog::{self, Syslog},
    tls,
};
use crate::{
    clock::Clock,
    config::{ConnectorMetricsSettings, Settings, WebhookSettings},
    health::Health,
    intake::{
        Door,
        verification::Verifier,
        webhook::{Webhook, routes},
    },
    journal::Journal,
    ops::{self, Management, Metrics},
    sweep::JobBoard,
};

/// Longest time a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without requests is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Longest time that open requests get at shutdown.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 10;

/// What the management pages show of the service.
pub(super) struct Shown {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) health: Arc<Health>,
    pub(super) jobs: Arc<JobBoard>,
    pub(super) arrived: Arc<Notify>,
    pub(super) sinks: Vec<&'static str>,
}

/// Bound and serving.
#[derive(Default)]
pub(super) struct Listeners {
    webhook: Option<(SocketAddr, ServerHandle)>,
    syslog: Option<Syslog>,
    management: Option<ServerHandle>,
    connector_metrics: Option<ServerHandle>,
    _secrets: Option<AbortOnDropHandle<()>>,
}

impl Listeners {
    /// Binds both, the endpoint only when there is a secret, and serves. A single run takes no
    /// deliveries and has none of the two.
    pub(super) fn open(
        settings: &Settings,
        door: &Door,
        clock: &Clock,
        shown: Shown,
    ) -> Result<Self, ServiceError> {
        let connector_metrics =
            settings.connector_metrics.as_ref().map(open_connector_metrics).transpose()?;
        if settings.connector.runs_once() {
            return Ok(Self { connector_metrics, ..Self::default() });
        }
        let metrics = Metrics::install()?;
        let verifier = Verifier::new(&settings.webhook)?.map(ArcSwap::from_pointee).map(Arc::new);
        let secrets = secrets::keep_current(&settings.webhook, verifier.clone())
            .map_err(ServiceError::Signal)?;
        let webhook = if let Some(verifier) = verifier {
            Some(open_webhook(&settings.webhook, verifier, door.clone(), clock.clone())?)
        } else {
            warn!(
                "no webhook secret is set: the endpoint stays closed and alerts come by {} only; \
                 set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it",
                if settings.syslog.is_some() { "syslog and the sweep" } else { "the sweep" }
            );
            None
        };
        let syslog = syslog::open(settings.syslog.as_ref(), door, clock)?;
        let address = settings.management_listen;
        let (listener, bound) = bind("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address)?;
        let Shown { journal, health, jobs, arrived, sinks } = shown;
        let path = &settings.webhook.path;
        let management = Management {
            journal,
            health,
            metrics,
            clock: clock.clone(),
            jobs,
            arrived,
            address: bound,
            endpoint: webhook.as_ref().map(|(address, _handle)| format!("{address}{path}")),
            syslog: syslog.as_ref().map(Syslog::standing),
            opencti: settings.opencti.as_ref().map(|opencti| opencti.url.to_string()),
            sinks,
        };
        let server = ops::serve(management, settings.management_token.as_ref(), listener)
            .map_err(not_listening("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address))?;
        info!(address = %bound, "listening for health checks and metrics");
        let management = Some(spawn(server));
        Ok(Self { webhook, syslog, management, connector_metrics, _secrets: Some(secrets) })
    }

    pub(super) fn webhook_address(&self) -> Option<SocketAddr> {
        self.webhook.as_ref().map(|(address, _handle)| *address)
    }

    /// Whether the console can push to us, by whatever road.
    pub(super) fn take_pushes(&self) -> bool {
        self.webhook.is_some() || self.syslog.is_some()
    }

    /// Stops accepting and lets open requests finish.
    pub(super) async fn close(&self) {
        if let Some(syslog) = &self.syslog {
            syslog.close().await;
        }
        if let Some((_address, handle)) = &self.webhook {
            handle.stop(true).await;
            info!("no longer accepting deliveries");
        }
        for handle in self.management.iter().chain(&self.connector_metrics) {
            handle.stop(false).await;
        }
    }
}

/// Where Python connectors serve them: on every address, without a password.
fn open_connector_metrics(
    settings: &ConnectorMetricsSettings,
) -> Result<ServerHandle, ServiceError> {
    let variable = "CONNECTOR_METRICS_PORT";
    let metrics = Metrics::install()?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port));
    let (listener, bound) = bind(variable, address)?;
    let server = ops::serve_connector_metrics(metrics, settings.prefix.clone(), listener)
        .map_err(not_listening(variable, address))?;
    info!(address = %bound, "listening for metrics under the names of Python connectors");
    Ok(spawn(server))
}

fn open_webhook(
    settings: &WebhookSettings,
    verifier: Arc<ArcSwap<Verifier>>,
    door: Door,
    clock: Clock,
) -> Result<(SocketAddr, ServerHandle), ServiceError> {
    let tls = settings.tls.as_ref();
    let tls = tls.map(|tls| tls::server_config(tls, tls::WEBHOOK)).transpose()?;
    let (listener, address) = bind("HARFANGLAB_INCIDENTS_LISTEN", settings.listen)?;
    let webhook = Webhook::new(verifier, door, clock, settings);
    let path = settings.path.clone();
    // The bound is each worker's own: together they stay within the configured one.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(settings.max_connections);
    let server = HttpServer::new(move || {
        App::new()
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(routes(Arc::clone(&webhook), &path))
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
    info!(%address, scheme, path = %settings.path, "listening for deliveries");
    Ok((address, spawn(server)))
}

pub(super) fn bind(
    variable: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServiceError> {
    let listener = TcpListener::bind(address).map_err(not_listening(variable, address))?;
    let bound = listener.local_addr().map_err(not_listening(variable, address))?;
    Ok((listener, bound))
}

pub(super) fn not_listening(
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
