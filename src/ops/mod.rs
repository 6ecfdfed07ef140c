//! What an operator looks at: health, readiness and metrics, and the jobs that commands ask for, on
//! an address of their own.
//!
//! Does not live here: the numbers themselves, which are counted where things happen.

mod catalogue;
mod health;
mod jobs;
mod metrics_page;

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, Route, dev::Server, guard, web};

pub use self::{
    catalogue::{CATALOGUE, Kind, Metric},
    metrics_page::{Metrics, MetricsError},
};
use crate::{clock::Clock, health::Health, journal::Journal, sweep::JobBoard};

/// What the management pages show.
pub struct Management {
    /// Asked whether it can be used, and how full it is.
    pub journal: Arc<dyn Journal>,
    /// What the parts say of themselves.
    pub health: Arc<Health>,
    /// The recorder of this process.
    pub metrics: Metrics,
    /// The time, for ages.
    pub clock: Clock,
    /// Where jobs are hung up.
    pub jobs: Arc<JobBoard>,
}

/// Serves `/healthz`, `/readyz`, `/metrics` and `/jobs` on `listener`.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(management: Management, listener: TcpListener) -> std::io::Result<Server> {
    let management = web::Data::new(management);
    Ok(HttpServer::new(move || {
        App::new()
            .app_data(management.clone())
            .service(web::resource("/healthz").route(reading().to(health::alive)))
            .service(web::resource("/readyz").route(reading().to(health::ready)))
            .service(web::resource("/metrics").route(reading().to(metrics_page::page)))
            .service(
                web::resource("/jobs")
                    .guard(guard::fn_guard(jobs::is_local_name))
                    .route(reading().to(jobs::current))
                    .route(web::post().to(jobs::submit)),
            )
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run())
}

/// GET, and HEAD, which load balancers prefer.
fn reading() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}
