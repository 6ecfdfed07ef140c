//! The HTTP server of the endpoint, on a connection limit of its own: refuses connections before any
//! TLS, closes those of strangers after one answer, and cuts whoever sends a head too slowly.
//!
//! HTTP/1.1 only: with HTTP/2 one connection could take every place in flight, and no sender of
//! HarfangLab's needs it.
//!
//! Does not live here: what is done with a request (`intake::webhook`), the other sockets
//! (`listeners`).

mod exchange;
mod transport;

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service, map_config,
};
use actix_web::{
    App, Error,
    body::MessageBody,
    dev::{AppConfig, Server, ServiceResponse},
    middleware::from_fn,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use tracing_actix_web::TracingLogger;

use self::{
    exchange::{Exchange, around_a_request},
    transport::{Held, Transport},
};
use super::request_span::RequestSpan;
use crate::{
    clock::Clock,
    config::WebhookSettings,
    intake::{
        complaints::Complaints,
        connections::{self, ConnectionLimit, OpenConnection, Peer},
        webhook::{Webhook, routes},
    },
};

/// Longest time a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a connection without requests is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Longest time for a client to take note that its connection is being closed.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time that open requests get at shutdown.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 10;

/// One console's endpoint.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) webhook: Arc<Webhook>,
}

/// All that the workers share.
struct Shared {
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<rustls::ServerConfig>>,
    limit: ConnectionLimit,
    complaints: Complaints,
    clock: Clock,
    draining: CancellationToken,
}

/// Why a connection carries no request. The value is its name in metrics.
type Refused = (&'static str, String);

/// Serves `endpoints` at `listener`. Once `draining` is cancelled, connections are closed after the
/// request that they carry.
pub(super) fn serve(
    settings: &WebhookSettings,
    endpoints: Vec<Endpoint>,
    tls: Option<rustls::ServerConfig>,
    listener: TcpListener,
    (clock, draining): (&Clock, CancellationToken),
) -> std::io::Result<Server> {
    let (total, per_address) = (settings.max_connections, settings.max_connections_per_address);
    let shared = Arc::new(Shared {
        endpoints,
        tls: tls.map(Arc::new),
        limit: ConnectionLimit::new("webhook", total, per_address, clock.clone()),
        complaints: Complaints::default(),
        clock: clock.clone(),
        draining,
    });
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Those that wait to be admitted hold a socket too. Beyond them the system keeps a connection.
    let sockets = total + connections::WAITING_MAX;
    let server = actix_server::Server::build()
        .workers(workers)
        .max_concurrent_connections(sockets.div_ceil(workers))
        .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
        .disable_signals()
        .listen("webhook", listener, move || worker(Arc::clone(&shared)))?;
    Ok(server.run())
}

/// A worker's way of serving a connection.
fn worker(
    shared: Arc<Shared>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    fn_factory(move || {
        let shared = Arc::clone(&shared);
        async move {
            let draining = shared.draining.clone();
            let service = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .graceful_shutdown_signal(move || draining.clone().cancelled_owned())
                .on_connect_ext(Held::hand_on)
                .h1(map_config(app(shared.endpoints.clone()), |()| AppConfig::default()));
            let http = Rc::new(service.new_service(()).await?);
            Ok(fn_service(move |stream: TcpStream| {
                let (http, shared) = (Rc::clone(&http), Arc::clone(&shared));
                async move {
                    if let Ok(peer) = stream.peer_addr()
                        && let Err(refused) = shared.converse(stream, peer, &*http).await
                    {
                        shared.refuse(peer.ip(), refused);
                    }
                    Ok(())
                }
            }))
        }
    })
}

/// The endpoints of all consoles.
fn app(
    endpoints: Vec<Endpoint>,
) -> impl ServiceFactory<
    Request,
    Config = AppConfig,
    Response = ServiceResponse<impl MessageBody + 'static>,
    Error = Error,
    InitError = (),
> {
    let app = App::new().wrap(TracingLogger::<RequestSpan>::new()).wrap(from_fn(around_a_request));
    let app = endpoints
        .into_iter()
        .fold(app, |app, Endpoint { path, webhook }| app.configure(routes(webhook, &path)));
    app.into_factory()
}

impl Shared {
    /// Everything that happens on a connection.
    async fn converse<S>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        http: &S,
    ) -> Result<(), Refused>
    where
        S: Service<(Held, Option<SocketAddr>)>,
    {
        let connected = self.peer(peer.ip().to_canonical())?;
        let too_many = |refused| ("too_many_connections", format!("{refused}"));
        let open = Arc::new(self.limit.admit(connected).await.map_err(too_many)?);
        let transport = match &self.tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let handshake = open.handshake(Arc::clone(tls), stream);
                let shaken = open.unless_evicted(handshake).await.map_err(too_many)?;
                Transport::Tls(Box::new(shaken.map_err(|error| ("handshake", error.to_string()))?))
            }
        };
        let exchange = Rc::new(Exchange::default());
        let held = Held::new(transport, Arc::clone(&open), Rc::clone(&exchange));
        let served = exchange.unless_overdue(http.call((held, Some(peer))));
        open.unless_evicted(served).await.map_err(too_many)
    }

    /// The other end of a connection, when any console takes deliveries from there.
    fn peer(&self, address: IpAddr) -> Result<Peer, Refused> {
        let sources = || self.endpoints.iter().map(|endpoint| endpoint.webhook.sources());
        if !sources().any(|sources| sources.may_connect(address)) {
            let reason = "it is in none of HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS; if it is \
                          your proxy, name it in HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES";
            return Err(("network", reason.to_owned()));
        }
        if sources().any(|sources| sources.trusts(address)) {
            return Ok(Peer::TrustedProxy(address));
        }
        Ok(Peer::Direct(address))
    }

    /// Counts a refusal, and tells the log at most once a minute.
    fn refuse(&self, address: IpAddr, (reason, why): Refused) {
        metrics::counter!("webhook_refused_total", "reason" => reason).increment(1);
        if let Some(left_out) = self.complaints.due(self.clock.now()) {
            warn!(%address, reason, left_out, "a connection to the endpoint was refused: {why}");
        }
    }
}
