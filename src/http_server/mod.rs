//! HTTP servers of ours, for deliveries and for operators: each on a connection limit of its own, refuses
//! connections before any TLS, serves one request at a time on each, closes those of strangers after
//! one answer, and cuts whoever sends a head too slowly.
//!
//! HTTP/1.1 only: with HTTP/2 one connection could take every place in flight, and no sender of
//! HarfangLab's needs it.
//!
//! Does not live here: the connection limit (`connections`), what is done with a request
//! (`intake::webhook`, `ops`), who may connect (`service::endpoint`).

mod exchange;
mod transport;

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Request, error::DispatchError};
use actix_service::{
    Service, ServiceFactory, apply_fn_factory, fn_factory, fn_service, map_config,
};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Server, ServiceResponse},
};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::{
    exchange::{Exchange, Served},
    transport::{Held, Transport},
};
use crate::{
    clock::Clock,
    complaints::Complaints,
    connections::{self, ConnectionLimit, Peer},
};

/// Longest time a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a connection without requests is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Longest time for a client to take note that its connection is being closed.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest time that open requests get at shutdown.
const SHUTDOWN_TIMEOUT_SECONDS: u64 = 10;

/// The reason for which a connection carries no request. The value is its name in metrics.
pub type Refused = (&'static str, String);

/// Decides who may connect, and is told who could not.
pub trait Admission: Send + Sync + 'static {
    /// The other end of a connection from `address`.
    ///
    /// # Errors
    /// Nobody may connect from there, for this reason.
    fn peer(&self, address: IpAddr) -> Result<Peer, Refused>;

    /// Counts a connection that was refused or closed for another one.
    fn count_refusal(&self, _reason: &'static str) {}
}

/// An app of actix-web, ready to be served.
pub trait HttpApp:
    ServiceFactory<
        Request,
        Config = AppConfig,
        Response = ServiceResponse<<Self as HttpApp>::Body>,
        Error = Error,
        InitError = (),
    > + 'static
{
    /// The body of its answers.
    type Body: MessageBody + 'static;
}

impl<App, Body> HttpApp for App
where
    App: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<Body>,
            Error = Error,
            InitError = (),
        > + 'static,
    Body: MessageBody + 'static,
{
    type Body = Body;
}

/// The settings of a server.
pub struct Options {
    /// The name of the server's threads and of its listener.
    pub name: &'static str,
    /// Threads.
    pub workers: usize,
    /// Most connections.
    pub max_connections: usize,
    /// Most connections from one address.
    pub max_connections_per_address: usize,
    /// The certificate and its key in effect; `None`: no TLS.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// Once this is cancelled, connections are closed after the request that they carry.
    pub draining: CancellationToken,
}

/// All that the workers share.
struct Shared<A> {
    admission: A,
    limit: ConnectionLimit,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    draining: CancellationToken,
    name: &'static str,
    complaints: Complaints,
    clock: Clock,
}

/// Serves at `listener` what `app` makes, once for each worker, to whom `admission` lets in.
///
/// # Errors
/// Fails when the listener cannot be used.
pub fn serve<App: HttpApp>(
    options: Options,
    admission: impl Admission,
    (listener, clock): (TcpListener, &Clock),
    app: impl Fn() -> App + Clone + Send + 'static,
) -> std::io::Result<Server> {
    let Options { name, workers, max_connections, max_connections_per_address, tls, draining } =
        options;
    // Those that wait to be admitted hold a socket too. Beyond them the system keeps a connection.
    let sockets = max_connections + connections::WAITING_MAX;
    let limit =
        ConnectionLimit::new(name, max_connections, max_connections_per_address, clock.clone());
    let (complaints, clock) = (Complaints::default(), clock.clone());
    let shared = Arc::new(Shared { admission, limit, tls, draining, name, complaints, clock });
    let server = actix_server::Server::build()
        .workers(workers)
        .max_concurrent_connections(sockets.div_ceil(workers))
        .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
        .disable_signals()
        .listen(name, listener, move || worker(Arc::clone(&shared), app.clone()))?;
    Ok(server.run())
}

/// A worker's way of serving a connection.
fn worker<App: HttpApp>(
    shared: Arc<Shared<impl Admission>>,
    app: impl Fn() -> App + Clone + 'static,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    fn_factory(move || {
        let (shared, app) = (Arc::clone(&shared), app.clone());
        async move {
            let draining = shared.draining.clone();
            let served = apply_fn_factory(app(), |mut request, app: &App::Service| {
                let served = Served::begin(&mut request);
                served.end_with(app.call(request))
            });
            let service = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                // `exchange` times heads.
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .graceful_shutdown_signal(move || draining.clone().cancelled_owned())
                .on_connect_ext(Held::hand_on)
                .h1(map_config(served, |()| AppConfig::default()));
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

impl<A: Admission> Shared<A> {
    /// Everything that happens on a connection.
    async fn converse<S>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        http: &S,
    ) -> Result<(), Refused>
    where
        S: Service<(Held, Option<SocketAddr>), Error = DispatchError>,
    {
        let connected = self.admission.peer(peer.ip().to_canonical())?;
        let too_many = |refused| ("too_many_connections", format!("{refused}"));
        let open = Arc::new(self.limit.admit(connected).await.map_err(too_many)?);
        let transport = match &self.tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let handshake = open.handshake(tls.load_full(), stream);
                let shaken = open.unless_evicted(handshake).await.map_err(too_many)?;
                Transport::Tls(Box::new(shaken.map_err(|error| ("handshake", error.to_string()))?))
            }
        };
        let exchange = Rc::new(Exchange::new(Instant::now()));
        let held = Held::new(transport, Arc::clone(&open), Rc::clone(&exchange));
        let served = exchange.unless_overdue(http.call((held, Some(peer))));
        let served = open.unless_evicted(served).await.map_err(too_many)?;
        if exchange.ended_with_too_large_a_head() {
            let size = transport::HEAD_MAX;
            return Err(("head_too_large", format!("the head of a request has over {size} bytes")));
        }
        match served {
            Some(Err(DispatchError::Parse(error))) => {
                Err(("not_http", format!("it sent no request that can be read: {error}")))
            }
            Some(Err(
                error @ (DispatchError::Body(_)
                | DispatchError::InternalError
                | DispatchError::Service(_)),
            )) => {
                error!(listener = self.name, %error, "a request could not be answered");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts a refusal, and tells the log at most once a minute.
    fn refuse(&self, address: IpAddr, (reason, why): Refused) {
        self.admission.count_refusal(reason);
        if let Some(left_out) = self.complaints.due(self.clock.now()) {
            let listener = self.name;
            warn!(%address, listener, reason, left_out, "a connection was refused: {why}");
        }
    }
}
