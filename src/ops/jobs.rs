//! Jobs over the management address, for the commands `sweep` and `backfill` beside a running
//! service. A JSON body and DELETE are what no other site's page can make a browser send, and no such
//! page can have a name under which this address answers (`host`).

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::info;

use super::{ManagedConsole, Management};
use crate::{
    health::Role,
    sweep::{Job, JobState, Progress},
};

/// The console that is meant; needed where there are several.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    console: Option<String>,
}

/// The newest job and whose it is; without a name, of each of several consoles.
pub(super) async fn current(
    management: web::Data<Management>,
    which: web::Query<Which>,
) -> HttpResponse {
    let name = which.console.as_deref();
    match management.console(name) {
        Some(console) => HttpResponse::Ok().json(shown(console, &console.jobs.current())),
        None if name.is_none() => {
            let of = |console: &ManagedConsole| shown(console, &console.jobs.current());
            let all: Vec<Value> = management.consoles.iter().map(of).collect();
            HttpResponse::Ok().json(json!({ "consoles": all }))
        }
        None => unknown(&management),
    }
}

/// 202 with the job; 409 with the one that is under way already; 404 when no console of that name is
/// there, or none was named where there are several; 421 where another replica leads, which alone asks
/// the consoles.
pub(super) async fn submit(
    management: web::Data<Management>,
    which: web::Query<Which>,
    job: web::Json<Job>,
) -> HttpResponse {
    if management.health.role() == Role::Follows {
        let error = "this replica follows: ask the one that leads, as /readyz of each says";
        return HttpResponse::MisdirectedRequest().json(json!({ "error": error }));
    }
    let Some(console) = management.console(which.console.as_deref()) else {
        return unknown(&management);
    };
    match console.jobs.submit(job.into_inner()) {
        Ok(progress) => HttpResponse::Accepted().json(shown(console, &progress)),
        Err(progress) => HttpResponse::Conflict().json(shown(console, &progress)),
    }
}

/// 202: the job ends at its next page. 409: another one is under way; 404: none is, or no console of
/// that name is there, or none was named where there are several.
pub(super) async fn cancel(
    management: web::Data<Management>,
    which: web::Query<Which>,
    number: web::Path<u64>,
) -> HttpResponse {
    let Some(console) = management.console(which.console.as_deref()) else {
        return unknown(&management);
    };
    match console.jobs.cancel(*number) {
        Ok(progress) => {
            info!(
                console = console.name,
                number = *number,
                "the job is cancelled; it ends at its next page"
            );
            HttpResponse::Accepted().json(shown(console, &progress))
        }
        Err(progress) if progress.state == JobState::Running => {
            HttpResponse::Conflict().json(shown(console, &progress))
        }
        Err(progress) => HttpResponse::NotFound().json(shown(console, &progress)),
    }
}

fn unknown(management: &Management) -> HttpResponse {
    let names: Vec<&str> = management.consoles.iter().map(|each| each.name.as_str()).collect();
    let error = format!("say which console: /jobs?console=…, one of {}", names.join(", "));
    HttpResponse::NotFound().json(json!({ "error": error }))
}

fn shown(console: &ManagedConsole, progress: &Progress) -> Value {
    json!({ "name": console.name, "console": console.jobs.console(), "progress": progress })
}
