//! Metrics under the names of OpenCTI's Python connectors (`CONNECTOR_EXPOSE_METRICS`), for the
//! dashboards and rules that were made for those. Like there they have a port of their own, and any
//! path answers.
//!
//! They are a view of our own metrics, so that the two never differ: each is the sum of some of our
//! series that mean the same. What means nothing that can be kept is not offered: pycti counts in
//! `errors_total` whatever its own code caught, and `client_errors_total` it declares and leaves to
//! each connector.
//!
//! Does not live here: our own metrics (`metrics_page`, `catalogue`), counting.

use std::{fmt::Write as _, net::TcpListener};

use actix_service::IntoServiceFactory;
use actix_web::{App, HttpResponse, dev::Server, web};

use super::{Anyone, Metrics, options, reading};
use crate::{clock::Clock, http_server};

/// A counter as pycti declares it (`connector/opencti_metric_handler.py`, 6.4 to 7.x).
struct Offered {
    name: &'static str,
    help: &'static str,
    /// Ours that are added up: name, and a label that the series must have, if any.
    of: &'static [(&'static str, &'static str)],
}

const OFFERED: [Offered; 5] = [
    Offered {
        name: "bundles_sent_total",
        help: "Number of bundles sent",
        // On the queue each object is a bundle of its own.
        of: &[("confirmed_messages_total", ""), ("api_bundles_total", "")],
    },
    Offered {
        name: "records_sent_total",
        help: "Number of records (objects per bundle) sent",
        of: &[("confirmed_messages_total", ""), ("api_objects_total", "")],
    },
    Offered { name: "runs_total", help: "Number of runs", of: &[("sweeps_total", "")] },
    Offered {
        name: "ping_api_total",
        help: "Number of pings to the API",
        of: &[("heartbeats_total", "outcome=\"ok\"")],
    },
    Offered {
        name: "ping_api_errors_total",
        help: "Number of errors when pinging the API",
        of: &[("heartbeats_total", "outcome=\"failed\"")],
    },
];

/// Connections to their address.
const MAX_CONNECTIONS: usize = 512;

/// Serves them on `listener`, each name behind `prefix`.
///
/// # Errors
/// Fails when the listener cannot be used.
pub fn serve_connector_metrics(
    metrics: Metrics,
    prefix: String,
    listener: TcpListener,
    clock: &Clock,
) -> std::io::Result<Server> {
    let shown = web::Data::new((metrics, prefix));
    http_server::serve(
        options("connector_metrics", MAX_CONNECTIONS),
        Anyone,
        (listener, clock),
        move || {
            App::new().app_data(shown.clone()).default_service(reading().to(page)).into_factory()
        },
    )
}

async fn page(shown: web::Data<(Metrics, String)>) -> HttpResponse {
    let (metrics, prefix) = &**shown;
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(translated(&metrics.rendered(), prefix))
}

/// Our page in those names.
fn translated(ours: &str, prefix: &str) -> String {
    let mut text = String::new();
    for Offered { name, help, of } in OFFERED {
        let value: f64 = of.iter().map(|(name, label)| sum(ours, name, label)).sum();
        let name = format!("{prefix}{name}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
    }
    let name = format!("{prefix}state");
    let current = if sum(ours, "sweep_under_way", "") > 0.0 { "running" } else { "idle" };
    let _ = writeln!(text, "# HELP {name} State of connector\n# TYPE {name} gauge");
    // Who is asked is not stopped.
    for state in ["idle", "running", "stopped"] {
        let _ = writeln!(text, "{name}{{{name}=\"{state}\"}} {}", u8::from(state == current));
    }
    text
}

/// Adds up the series of a metric that have this label.
fn sum(page: &str, name: &str, label: &str) -> f64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']) && rest.contains(label))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_the_sum_of_the_series_that_mean_the_same() {
        let ours = "# TYPE sweeps_total counter\nsweeps_total{outcome=\"done\"} 3\n\
                    sweeps_total{outcome=\"failed\"} 1\nconfirmed_messages_total 40\n\
                    confirmed_messages_total_of_others 7\napi_bundles_total 2\n\
                    api_objects_total 30\nheartbeats_total{outcome=\"ok\"} 5\n\
                    heartbeats_total{outcome=\"failed\"} 6\nsweep_under_way 1\n";
        let page = translated(ours, "ns_");
        for line in [
            "ns_bundles_sent_total 42",
            "ns_records_sent_total 70",
            "ns_runs_total 4",
            "ns_ping_api_total 5",
            "ns_ping_api_errors_total 6",
            "ns_state{ns_state=\"running\"} 1",
            "ns_state{ns_state=\"idle\"} 0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
        }
    }
}
