//! Pages for an operator: the status page, health, readiness and metrics, and the jobs that
//! commands ask for, on an address of their own.
//!
//! Does not live here: the numbers themselves, which are counted where things happen.

mod catalogue;
mod connector_metrics;
mod health;
mod host;
mod jobs;
mod metrics_page;
mod page;
mod recorder;
mod turns;

use std::{
    net::{IpAddr, TcpListener},
    sync::Arc,
};

use actix_service::IntoServiceFactory;
use actix_web::{App, Route, dev::Server, guard, middleware::from_fn, web};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::{
    catalogue::{CATALOGUE, Kind, Metric},
    connector_metrics::serve_connector_metrics,
    metrics_page::{Metrics, MetricsError},
};
use crate::{
    clock::Clock,
    config::ManagementSettings,
    connections::Peer,
    health::Health,
    http_server::{self, Admission, Options, Refused},
    intake::{Door, syslog::SyslogStanding},
    journal::Journal,
    label::ConsoleLabel,
    sweep::JobBoard,
};

/// The part of the management pages that is about a console.
pub struct ManagedConsole {
    /// Its name.
    pub name: String,
    /// None where there is one console.
    pub label: ConsoleLabel,
    /// Asked how full it is with what is of this console.
    pub journal: Journal,
    /// Asked whether a delivery could be stored.
    pub door: Door,
    /// The board of its jobs.
    pub jobs: Arc<JobBoard>,
    /// Told when a dead letter waits for the pipeline again.
    pub arrived: Arc<Notify>,
    /// The address at which its deliveries are taken; `None`: nowhere.
    pub endpoint: Option<String>,
    /// The other ways by which its alerts come, in words.
    pub roads_besides_posts: &'static str,
}

/// The parts of the management pages.
pub struct Management {
    /// Every console; at least one.
    pub consoles: Vec<ManagedConsole>,
    /// The state of the parts, told by themselves.
    pub health: Arc<Health>,
    /// The recorder of this process.
    pub metrics: Metrics,
    /// The time, for ages.
    pub clock: Clock,
    /// Names under which they answer beside addresses and names of this network, in small letters.
    pub hosts: Vec<String>,
    /// The standing of the listener for syslog; `None`: there is none.
    pub syslog: Option<Arc<SyslogStanding>>,
    /// The address of OpenCTI, if there is one.
    pub opencti: Option<String>,
    /// Names of everything that deliveries go to.
    pub sinks: Vec<&'static str>,
}

impl Management {
    /// The console of this name; without a name the only one.
    fn console(&self, name: Option<&str>) -> Option<&ManagedConsole> {
        match (name, self.consoles.as_slice()) {
            (Some(name), consoles) => consoles.iter().find(|console| console.name == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// Serves the status page, `/healthz`, `/readyz`, `/metrics` and `/jobs` on `listener`; the token of
/// `settings` lets operators read and change things on the page.
///
/// # Errors
/// Fails when the listener cannot be used.
pub fn serve(
    management: Management,
    settings: &ManagementSettings,
    listener: TcpListener,
) -> std::io::Result<Server> {
    let management = web::Data::new(management);
    let gate = page::Gate::new(settings.token.as_ref(), settings.max_failures_per_minute);
    let gate = web::Data::new(gate);
    let turns = web::Data::new(turns::Turns::new());
    let probe = web::Data::new(health::JournalProbe::new());
    let clock = management.clock.clone();
    let options = options("management", settings.max_connections);
    http_server::serve(options, Anyone, (listener, &clock), move || {
        App::new()
            .wrap(from_fn(host::guarded))
            .app_data(management.clone())
            .app_data(gate.clone())
            .app_data(turns.clone())
            .app_data(probe.clone())
            .service(web::resource("/healthz").route(reading().to(health::alive)))
            .service(web::resource("/readyz").route(reading().to(health::ready)))
            .service(web::resource("/metrics").route(reading().to(metrics_page::page)))
            .service(web::scope("").wrap(from_fn(page::guarded)).configure(pages))
            .into_factory()
    })
}

/// Whoever can reach an address for operators.
struct Anyone;

impl Admission for Anyone {
    fn peer(&self, address: IpAddr) -> Result<Peer, Refused> {
        Ok(Peer::Direct(address))
    }
}

/// Returns the options of the listener `name`, for operators. Of `max_connections` the one that is open
/// longest is closed for a new one.
fn options(name: &'static str, max_connections: usize) -> Options {
    Options {
        name,
        workers: 1,
        max_connections,
        max_connections_per_address: max_connections,
        tls: None,
        draining: CancellationToken::new(),
    }
}

/// Bytes of the longest job: a few names and dates.
const JOB_BYTES_MAX: usize = 4 << 10;

/// Registers what a browser could be made to ask for.
fn pages(config: &mut web::ServiceConfig) {
    let jobs = web::resource("/jobs")
        .app_data(web::JsonConfig::default().limit(JOB_BYTES_MAX))
        .route(reading().to(jobs::current))
        .route(web::post().to(jobs::submit));
    let job = web::resource("/jobs/{number}").route(web::delete().to(jobs::cancel));
    config
        .service(jobs)
        .service(job)
        .service(web::resource("/").route(reading().to(page::status)))
        .service(web::resource("/sign-in").route(reading().to(page::sign_in)))
        .service(web::resource("/letters/{id}").route(reading().to(page::letter)))
        .service(web::resource("/letters/{id}/text").route(reading().to(page::text)))
        .service(web::resource("/letters/{id}/retry").route(web::post().to(page::retry)))
        .service(web::resource("/letters/{id}/drop").route(web::post().to(page::discard)));
}

/// GET, and HEAD, which load balancers prefer.
fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
