//! What an operator looks at: health, readiness and metrics, on an address of their own.
//!
//! Does not live here: the numbers themselves, which are counted where things happen.

mod health;
mod metrics_page;

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, web};

pub use self::{
    health::{Health, Part},
    metrics_page::{Metrics, MetricsError},
};
use crate::journal::Journal;

/// What the management pages show.
pub struct Management {
    /// Asked whether it can be used, and how full it is.
    pub journal: Arc<dyn Journal>,
    /// What the parts say of themselves.
    pub health: Arc<Health>,
    /// The recorder of this process.
    pub metrics: Metrics,
}

/// Serves `/healthz`, `/readyz` and `/metrics` on `listener`.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(management: Management, listener: TcpListener) -> std::io::Result<Server> {
    let management = web::Data::new(management);
    Ok(HttpServer::new(move || {
        App::new()
            .app_data(management.clone())
            .route("/healthz", web::get().to(health::alive))
            .route("/readyz", web::get().to(health::ready))
            .route("/metrics", web::get().to(metrics_page::page))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run())
}
