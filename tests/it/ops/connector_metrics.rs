//! Metrics under the names of Python connectors (`CONNECTOR_EXPOSE_METRICS`): the names are those
//! that pycti declares, and the values are what happened.

use std::collections::BTreeMap;

use harfanglab_incidents::{clock::Clock, demo::Generator};
use tokio::process::Command;

use crate::support::{
    app::PATIENCE,
    opencti::Personality,
    stage::{Stage, http, post},
};

/// The metrics that pycti 7.261026.0 declares in `connector/opencti_metric_handler.py`, and of which type its
/// Prometheus client shows each; 6.4.0 declares the same.
const DECLARED: [(&str, &str); 8] = [
    ("bundles_sent_total", "counter"),
    ("client_errors_total", "counter"),
    ("errors_total", "counter"),
    ("ping_api_errors_total", "counter"),
    ("ping_api_total", "counter"),
    ("records_sent_total", "counter"),
    ("runs_total", "counter"),
    ("state", "gauge"),
];
/// Of them those that mean nothing that could be true here.
const NOT_OFFERED: [&str; 2] = ["client_errors_total", "errors_total"];
/// A Python that has pycti; see `consumer`.
const PYTHON: &str = "HARFANGLAB_INCIDENTS_TEST_PYCTI";
/// Prints what pycti serves, without serving it.
const PRINT: &str = "
import logging
from unittest import mock
from prometheus_client import generate_latest
from pycti import OpenCTIMetricHandler
with mock.patch('pycti.connector.opencti_metric_handler.start_http_server'):
    OpenCTIMetricHandler(logging.getLogger(), True, 'soc', 'edr', 0)
print(generate_latest().decode())
";

/// The metrics of a page whose names begin with `soc_edr_`, without that, with their types.
fn types(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE soc_edr_"));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn declared() -> BTreeMap<String, String> {
    DECLARED.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("soc_edr_{series} ")));
    line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).parse().unwrap()
}

/// A service that serves them, after an alert was delivered and a sweep is done; the page.
async fn page_after_an_alert(protocol: &str) -> (Stage, String) {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home = stage.home.with_webhook();
    for (name, value) in [
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
        ("CONNECTOR_QUEUE_PROTOCOL", protocol),
        ("CONNECTOR_EXPOSE_METRICS", "true"),
        ("CONNECTOR_METRICS_PORT", "0"),
        ("CONNECTOR_METRICS_NAMESPACE", "soc"),
        ("CONNECTOR_METRICS_SUBSYSTEM", "edr"),
    ] {
        stage.home.set(name, value);
    }
    let now = Clock::system().now();
    stage.console.seed(now);
    let alert = Generator::new(8).next_alert(now);
    stage.console.add_alert(alert.api_item());
    let mut app = stage.home.start(&["serve"]);
    let port = app
        .wait_for_log("the port of the metrics", |line| {
            let is_it = line["message"].as_str()?.starts_with("listening for metrics under");
            let address = is_it.then(|| line["attributes"]["address"].as_str()).flatten()?;
            Some(address.rsplit_once(':')?.1.to_owned())
        })
        .await;
    assert_eq!(post(&app.webhook().await, &alert.native()).await.0.as_u16(), 202);
    for words in ["to every sink", "the sweep is done"] {
        let ends_so =
            |line: &serde_json::Value| line["message"].as_str()?.ends_with(words).then_some(());
        app.wait_for_log(words, ends_so).await;
    }
    stage
        .opencti
        .wait_for("a heartbeat", |state| state.connectors.values().any(|it| it.pings > 0))
        .await;
    // It is counted when its answer is read, a moment after OpenCTI gave it.
    let url = format!("http://127.0.0.1:{port}/");
    let page = async || http().get(&url).send().await.unwrap().text().await.unwrap();
    let counted = async {
        loop {
            let shown = page().await;
            if value(&shown, "ping_api_total") >= 1.0 {
                return shown;
            }
        }
    };
    let shown = tokio::time::timeout(PATIENCE, counted).await.expect("a heartbeat is counted");
    assert!(app.terminate().await.success(), "{}", app.log());
    (stage, shown)
}

#[tokio::test]
async fn every_declared_name_that_can_be_true_is_served_with_its_value() {
    let (stage, page) = page_after_an_alert("amqp").await;
    let mut expected = declared();
    expected.retain(|name, _| !NOT_OFFERED.contains(&&**name));
    assert_eq!(types(&page), expected);
    let work = &stage.closed_works(1).await[0];
    #[expect(clippy::cast_precision_loss, reason = "a few messages")]
    let messages = work.expected as f64;
    assert!(messages > 5.0, "{work:?}");
    for (series, expected) in [
        ("bundles_sent_total", messages),
        ("records_sent_total", messages),
        ("runs_total", 1.0),
        ("ping_api_total", 1.0),
        ("ping_api_errors_total", 0.0),
        ("state{soc_edr_state=\"idle\"}", 1.0),
        ("state{soc_edr_state=\"running\"}", 0.0),
        ("state{soc_edr_state=\"stopped\"}", 0.0),
    ] {
        assert!((value(&page, series) - expected).abs() < 0.5, "{series}: {page}");
    }
}

#[tokio::test]
async fn by_the_api_a_bundle_is_one_with_all_its_records() {
    let (stage, page) = page_after_an_alert("api").await;
    let pushes = stage.opencti.state().pushes;
    #[expect(clippy::cast_precision_loss, reason = "a few objects")]
    let objects = pushes[0].bundle["objects"].as_array().unwrap().len() as f64;
    assert!((value(&page, "bundles_sent_total") - 1.0).abs() < 0.5, "{page}");
    assert!((value(&page, "records_sent_total") - objects).abs() < 0.5, "{page}");
}

#[tokio::test]
async fn the_public_consumer_declares_the_names_that_are_listed_here() {
    let Ok(python) = std::env::var(PYTHON) else {
        println!("SKIPPED: {PYTHON} is not set: scripts/consume.sh sets it and runs this");
        return;
    };
    let output = Command::new(python).args(["-c", PRINT]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut theirs = types(&String::from_utf8(output.stdout).unwrap());
    // When each counter began is the Prometheus client's own addition.
    theirs.retain(|name, _| !name.ends_with("_created"));
    assert_eq!(theirs, declared());
}
