//! The endpoint: the deliveries of all consoles on one HTTP server, and who may connect to it.
//!
//! Does not live here: connections and their bounds (`http_server`), what is done with a request
//! (`intake::webhook`), the other sockets (`listeners`).

use std::{
    net::{IpAddr, TcpListener},
    sync::Arc,
};

use actix_service::IntoServiceFactory as _;
use actix_web::{App, HttpRequest, HttpResponse, dev::Server, web};
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use tracing_actix_web::TracingLogger;

use super::request_span::RequestSpan;
use crate::{
    clock::Clock,
    complaints::Complaints,
    config::EndpointSettings,
    connections::Peer,
    http_server::{self, Admission, HttpApp, Options, Refused},
    intake::webhook::{Webhook, routes},
};

/// Characters of a wrong path that the log shows.
const PATH_SHOWN: usize = 100;

/// One console's endpoint.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) path: String,
    pub(super) webhook: Arc<Webhook>,
}

/// Those from whom any console takes deliveries.
struct Senders(Vec<Endpoint>);

/// Serves `endpoints` at `listener`. Once `draining` is cancelled, connections are closed after the
/// request that they carry.
pub(super) fn serve(
    settings: &EndpointSettings,
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    listener: TcpListener,
    (clock, draining): (&Clock, CancellationToken),
) -> std::io::Result<Server> {
    let options = Options {
        name: "webhook",
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        max_connections: settings.max_connections,
        max_connections_per_address: settings.max_connections_per_address,
        tls,
        draining,
    };
    let senders = Senders(endpoints.clone());
    let paths = endpoints.iter().map(|endpoint| endpoint.path.as_str()).collect::<Vec<_>>();
    let wrong_paths = WrongPaths {
        paths: paths.join(", "),
        complaints: Complaints::default(),
        clock: clock.clone(),
    };
    let wrong_paths = Arc::new(wrong_paths);
    let app = move || app(endpoints.clone(), Arc::clone(&wrong_paths));
    http_server::serve(options, senders, (listener, clock), app)
}

/// Requests to paths of no endpoint.
struct WrongPaths {
    /// The paths of the endpoints, in words.
    paths: String,
    complaints: Complaints,
    clock: Clock,
}

/// Counts a request to another path, and tells the log at most once a minute which path would be right.
async fn not_found(request: HttpRequest, wrong_paths: web::Data<WrongPaths>) -> HttpResponse {
    metrics::counter!("webhook_refused_total", "reason" => "not_found").increment(1);
    if let Some(left_out) = wrong_paths.complaints.due(wrong_paths.clock.now()) {
        let address = request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
        let asked: String = request.path().chars().take(PATH_SHOWN).collect();
        let paths = &wrong_paths.paths;
        warn!(
            address,
            asked, left_out, "nothing is at the path of a request; deliveries go to {paths}"
        );
    }
    let mut response = HttpResponse::NotFound();
    response.force_close();
    response.json(serde_json::json!({ "error": "nothing is at this path" }))
}

/// The endpoints of all consoles.
fn app(endpoints: Vec<Endpoint>, wrong_paths: Arc<WrongPaths>) -> impl HttpApp {
    let app = App::new()
        .wrap(TracingLogger::<RequestSpan>::new())
        .app_data(web::Data::from(wrong_paths))
        .default_service(web::to(not_found));
    let app = endpoints
        .into_iter()
        .fold(app, |app, Endpoint { path, webhook }| app.configure(routes(webhook, &path)));
    app.into_factory()
}

impl Admission for Senders {
    fn peer(&self, address: IpAddr) -> Result<Peer, Refused> {
        let sources = || self.0.iter().map(|endpoint| endpoint.webhook.sources());
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

    fn count_refusal(&self, reason: &'static str) {
        metrics::counter!("webhook_refused_total", "reason" => reason).increment(1);
    }
}
