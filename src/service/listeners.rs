//! The sockets: the endpoint that HarfangLab posts to (`endpoint`), the listener for its syslog (`syslog`), the
//! management pages, and the metrics under the names of Python connectors.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use actix_web::dev::{Server, ServerHandle};
use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use super::{
    ServiceError, certificates,
    console::ConsoleService,
    endpoint::{self, Endpoint},
    secrets,
    socket::{bind, not_listening},
    syslog::{self, Syslog},
};
use crate::{
    clock::Clock,
    config::{ConnectorMetricsSettings, ConsoleSettings, EndpointSettings, Settings},
    health::Health,
    intake::{verification::Verifier, webhook::Webhook},
    label::ConsoleLabel,
    ops::{self, ManagedConsole, Management, Metrics},
    sweep::Pushes,
    tls,
};

/// The parts that listen and are shown.
pub(super) struct Shown<'a> {
    pub(super) consoles: &'a [ConsoleService],
    pub(super) health: Arc<Health>,
    pub(super) sinks: Vec<&'static str>,
}

/// Bound and serving.
#[derive(Default)]
pub(super) struct Listeners {
    webhook: Option<OpenWebhook>,
    syslog: Option<Syslog>,
    management: Option<ServerHandle>,
    connector_metrics: Option<ServerHandle>,
    _secrets: Vec<AbortOnDropHandle<()>>,
}

/// The endpoint, serving.
struct OpenWebhook {
    address: SocketAddr,
    handle: ServerHandle,
    draining: CancellationToken,
    _certificates: Option<AbortOnDropHandle<()>>,
}

impl Listeners {
    /// Binds both, the endpoint only when there is a secret, and serves. A single run takes no
    /// deliveries and has none of the two.
    pub(super) fn open(
        settings: &Settings,
        clock: &Clock,
        shown: Shown<'_>,
    ) -> Result<Self, ServiceError> {
        let labels: Vec<_> = shown.consoles.iter().map(|console| console.label.clone()).collect();
        let connector_metrics = settings.connector_metrics.as_ref();
        let connector_metrics = connector_metrics
            .map(|metrics| open_connector_metrics(metrics, &labels, clock))
            .transpose()?;
        if settings.connector.runs_once() {
            return Ok(Self { connector_metrics, ..Self::default() });
        }
        let metrics = Metrics::install(&labels)?;
        let syslog = open_syslog(settings, clock, shown.consoles)?;
        let (mut endpoints, mut secrets) = (Vec::new(), Vec::new());
        for console in shown.consoles {
            let roads = settings.roads_besides_posts(&console.settings);
            let (endpoint, current) = console.label.now(|| endpoint(console, roads, clock))?;
            secrets.push(current);
            endpoints.extend(endpoint);
        }
        let webhook = if endpoints.is_empty() {
            None
        } else {
            Some(open_webhook(&settings.endpoint, endpoints, clock)?)
        };
        let bound_webhook = webhook.as_ref().map(|webhook| webhook.address);
        let address = settings.management.listen;
        let (listener, bound) = bind("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address)?;
        let consoles = shown.consoles.iter();
        let consoles = consoles.map(|console| managed(settings, console, bound_webhook));
        let management = Management {
            consoles: consoles.collect(),
            health: shown.health,
            metrics,
            clock: clock.clone(),
            hosts: settings.management.hosts.clone(),
            syslog: syslog.as_ref().map(Syslog::standing),
            opencti: settings.opencti.as_ref().map(|opencti| opencti.url.to_string()),
            sinks: shown.sinks,
        };
        let server = ops::serve(management, &settings.management, listener)
            .map_err(not_listening("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address))?;
        info!(address = %bound, "listening for health checks and metrics");
        let management = Some(spawn(server));
        Ok(Self { webhook, syslog, management, connector_metrics, _secrets: secrets })
    }

    /// Returns whether this console can push to us, by whatever road.
    pub(super) fn pushes(&self, console: &ConsoleSettings) -> Pushes {
        let posts = self.webhook.is_some() && !console.webhook.secrets.is_empty();
        if posts || self.syslog.is_some() { Pushes::Taken } else { Pushes::NotTaken }
    }

    pub(super) fn webhook_address(&self) -> Option<SocketAddr> {
        self.webhook.as_ref().map(|webhook| webhook.address)
    }

    /// Stops accepting and lets open requests finish, at every door at the same time.
    pub(super) async fn close(&self) {
        let syslog = async {
            if let Some(syslog) = &self.syslog {
                syslog.close().await;
            }
        };
        let webhook = async {
            if let Some(webhook) = &self.webhook {
                webhook.draining.cancel();
                webhook.handle.stop(true).await;
                info!("no longer accepting deliveries");
            }
        };
        tokio::join!(syslog, webhook);
        for handle in self.management.iter().chain(&self.connector_metrics) {
            handle.stop(false).await;
        }
    }
}

/// The listener for syslog: no message says which console it is from, so that there is but one.
fn open_syslog(
    settings: &Settings,
    clock: &Clock,
    consoles: &[ConsoleService],
) -> Result<Option<Syslog>, ServiceError> {
    match consoles {
        [only] => syslog::open(settings.syslog.as_ref(), &only.door, clock),
        _ if settings.syslog.is_some() => Err(ServiceError::SyslogOfSeveral),
        _ => Ok(None),
    }
}

/// A console's endpoint, if it has a secret, and what keeps that current.
fn endpoint(
    console: &ConsoleService,
    roads: &'static str,
    clock: &Clock,
) -> Result<(Option<Endpoint>, AbortOnDropHandle<()>), ServiceError> {
    let settings = &console.settings.webhook;
    let verifier = Verifier::new(settings)?.map(ArcSwap::from_pointee).map(Arc::new);
    let current =
        secrets::keep_current(settings, verifier.clone()).map_err(ServiceError::Signal)?;
    let Some(verifier) = verifier else {
        match console.label.name() {
            None => warn!(
                "no webhook secret is set: the endpoint stays closed and alerts come by {roads} \
                 only; set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it"
            ),
            Some(console) => warn!(
                console,
                "the console has no webhook_secret: its endpoint stays closed and its alerts come \
                 by {roads} only"
            ),
        }
        return Ok((None, current));
    };
    let webhook = Webhook::new(verifier, console.door.clone(), clock.clone(), settings);
    Ok((Some(Endpoint { path: settings.path.clone(), webhook }), current))
}

/// Returns what the management pages show of a console.
fn managed(
    service: &Settings,
    console: &ConsoleService,
    webhook: Option<SocketAddr>,
) -> ManagedConsole {
    let ConsoleService { settings, label, journal, door, arrived, board, .. } = console;
    let webhook = webhook.filter(|_address| !settings.webhook.secrets.is_empty());
    ManagedConsole {
        name: settings.name.clone(),
        label: label.clone(),
        journal: journal.clone(),
        door: door.clone(),
        jobs: Arc::clone(board),
        arrived: Arc::clone(arrived),
        endpoint: webhook.map(|address| format!("{address}{}", settings.webhook.path)),
        roads_besides_posts: service.roads_besides_posts(settings),
    }
}

/// Listens at the place where Python connectors serve them: on every address, without a password.
fn open_connector_metrics(
    settings: &ConnectorMetricsSettings,
    labels: &[ConsoleLabel],
    clock: &Clock,
) -> Result<ServerHandle, ServiceError> {
    let variable = "CONNECTOR_METRICS_PORT";
    let metrics = Metrics::install(labels)?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port));
    let (listener, bound) = bind(variable, address)?;
    let server = ops::serve_connector_metrics(metrics, settings.prefix.clone(), listener, clock)
        .map_err(not_listening(variable, address))?;
    info!(address = %bound, "listening for metrics under the names of Python connectors");
    Ok(spawn(server))
}

fn open_webhook(
    settings: &EndpointSettings,
    endpoints: Vec<Endpoint>,
    clock: &Clock,
) -> Result<OpenWebhook, ServiceError> {
    let tls = settings.tls.as_ref();
    let tls = tls.map(|tls| certificates::open(tls, tls::WEBHOOK)).transpose()?;
    let (tls, certificates) = tls.unzip();
    let (listener, address) = bind("HARFANGLAB_INCIDENTS_LISTEN", settings.listen)?;
    let paths = endpoints.iter().map(|endpoint| endpoint.path.as_str()).collect::<Vec<_>>();
    let paths = paths.join(", ");
    let scheme = if tls.is_some() { "https" } else { "http" };
    let draining = CancellationToken::new();
    let server = endpoint::serve(settings, endpoints, tls, listener, (clock, draining.clone()))
        .map_err(not_listening("HARFANGLAB_INCIDENTS_LISTEN", settings.listen))?;
    info!(%address, scheme, path = %paths, "listening for deliveries");
    Ok(OpenWebhook { address, handle: spawn(server), draining, _certificates: certificates })
}

fn spawn(server: Server) -> ServerHandle {
    let handle = server.handle();
    tokio::spawn(server);
    handle
}
