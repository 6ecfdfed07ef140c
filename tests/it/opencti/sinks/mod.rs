//! The ways to OpenCTI besides the plain queue: its API, S3, drafts, and all of them together.

mod api;
mod captures;
mod combined;
mod independence;
mod s3;
pub(crate) mod s3_tls;
mod service_account;

use std::sync::Arc;

use harfanglab_incidents::{
    opencti::{Connector, Delivery, DeliveryError, OpenCti},
    stix::Bundle,
};
use serde_json::json;

use crate::support::opencti::{FakeOpenCti, connector_settings};

const CONNECTOR: &str = "11111111-2222-4333-8444-555555555555";

fn connector(platform: &FakeOpenCti) -> Arc<Connector> {
    let client = OpenCti::new(&platform.settings()).unwrap();
    Arc::new(Connector::new(client, connector_settings(CONNECTOR)))
}

/// A bundle of two objects, the later one first, with a reference to nothing.
fn bundle(number: u32, name: &str) -> Bundle {
    let bundle = json!({
        "type": "bundle",
        "id": format!("bundle--11111111-1111-4111-8111-{number:012}"),
        "objects": [
            {"type": "incident", "id": format!("incident--{number}"), "name": name,
             "created_by_ref": "identity--1", "nothing_ref": null},
            {"type": "identity", "id": "identity--1", "name": "HarfangLab"},
        ],
    });
    serde_json::from_value(bundle).unwrap()
}

fn delivery(bundles: Vec<Bundle>) -> Delivery {
    let (title, summary) = ("2 alerts".to_owned(), "2 alerts, done".to_owned());
    let bundles = bundles.into_iter().map(Arc::new).collect();
    Delivery { title, summary, bundles, ..Delivery::default() }
}

fn is_unavailable(results: &[Result<(), DeliveryError>], part: &str) -> bool {
    results.iter().all(
        |result| matches!(result, Err(DeliveryError::Unavailable(text)) if text.contains(part)),
    )
}

fn is_refused(result: &Result<(), DeliveryError>, part: &str) -> bool {
    matches!(result, Err(DeliveryError::Refused(text)) if text.contains(part))
}
