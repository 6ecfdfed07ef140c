//! Jobs over the management address, for the commands `sweep` and `backfill` beside a running
//! service. Only a JSON body is taken, which no other site's page can make a browser send.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Management;
use crate::sweep::{Job, Progress};

/// The newest job and whose it is.
pub(super) async fn current(management: web::Data<Management>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&management, &management.jobs.current()))
}

/// 202 with the job; 409 with the one that is under way already.
pub(super) async fn submit(management: web::Data<Management>, job: web::Json<Job>) -> HttpResponse {
    match management.jobs.submit(job.into_inner()) {
        Ok(progress) => HttpResponse::Accepted().json(shown(&management, &progress)),
        Err(progress) => HttpResponse::Conflict().json(shown(&management, &progress)),
    }
}

fn shown(management: &Management, progress: &Progress) -> serde_json::Value {
    json!({ "console": management.jobs.console(), "progress": progress })
}
