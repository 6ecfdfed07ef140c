//! Jobs over the management address, for the commands `sweep` and `backfill` beside a running
//! service. A JSON body and DELETE are what no other site's page can make a browser send, and an
//! answer is only given under an address or `localhost`: a page whose name is made to point here (DNS
//! rebinding) is another site.

use actix_web::{HttpResponse, guard::GuardContext, http::header, web};
use serde_json::json;
use tracing::info;

use super::Management;
use crate::{
    health::Role,
    sweep::{Job, JobState, Progress},
};

/// Whether a request names this host by its address, or as `localhost`.
pub(super) fn is_local_name(request: &GuardContext<'_>) -> bool {
    let host = request.head().headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let parsed = host.and_then(|host| url::Url::parse(&format!("http://{host}/")).ok());
    parsed.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(_address) => true,
        None => false,
    })
}

/// The newest job and whose it is.
pub(super) async fn current(management: web::Data<Management>) -> HttpResponse {
    HttpResponse::Ok().json(shown(&management, &management.jobs.current()))
}

/// 202 with the job; 409 with the one that is under way already; 421 where another replica leads,
/// which alone asks the console.
pub(super) async fn submit(management: web::Data<Management>, job: web::Json<Job>) -> HttpResponse {
    if management.health.role() == Role::Follows {
        return HttpResponse::MisdirectedRequest().finish();
    }
    match management.jobs.submit(job.into_inner()) {
        Ok(progress) => HttpResponse::Accepted().json(shown(&management, &progress)),
        Err(progress) => HttpResponse::Conflict().json(shown(&management, &progress)),
    }
}

/// 202: the job ends at its next page. 409: another one is under way; 404: none is.
pub(super) async fn cancel(
    management: web::Data<Management>,
    number: web::Path<u64>,
) -> HttpResponse {
    match management.jobs.cancel(*number) {
        Ok(progress) => {
            info!(number = *number, "the job is cancelled; it ends at its next page");
            HttpResponse::Accepted().json(shown(&management, &progress))
        }
        Err(progress) if progress.state == JobState::Running => {
            HttpResponse::Conflict().json(shown(&management, &progress))
        }
        Err(progress) => HttpResponse::NotFound().json(shown(&management, &progress)),
    }
}

fn shown(management: &Management, progress: &Progress) -> serde_json::Value {
    json!({ "console": management.jobs.console(), "progress": progress })
}
