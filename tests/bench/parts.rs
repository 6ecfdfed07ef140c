//! The cost of single parts: verification, decoding, reading, converting, splitting, ids.
//! `scripts/bench.sh parts` runs them; Criterion compares with the run before.
//!
//! Does not live here: whole processes and ratios (`main`).

mod settings;

use std::hint::black_box;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use criterion::{Criterion, criterion_group, criterion_main};
use harfanglab_incidents::{
    clock::Clock,
    config::{Settings, WebhookScheme},
    convert::{Known, convert_alert},
    demo::Generator,
    intake::{
        decode::decode,
        dialect::{Dialect, read_alert},
        verification::Verifier,
    },
    opencti::split,
    stix::id,
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde_json::Value;
use sha2::Sha256;
use strum::VariantArray as _;

const SECRET: &str = "a-webhook-secret-of-the-benchmarks";

/// An alert of each kind, as it is posted.
fn bodies() -> Vec<String> {
    let (mut generator, now) = (Generator::new(3), Clock::system().now());
    harfanglab_incidents::demo::Kind::VARIANTS
        .iter()
        .map(|kind| generator.alert(*kind, now).native().to_string())
        .collect()
}

fn verifier(scheme: WebhookScheme) -> Verifier {
    let console = settings::console();
    let folder = std::env::temp_dir();
    let mut settings = Settings::embedded("sqlite::memory:".to_owned(), folder, console);
    settings.consoles[0].webhook.secrets = vec![SecretString::from(SECRET)];
    settings.consoles[0].webhook.schemes = vec![scheme];
    settings.consoles[0].webhook.hmac_header = Some("x-signature".to_owned());
    Verifier::new(&settings.consoles[0].webhook)
        .expect("the settings are valid")
        .expect("there is a secret")
}

fn verification(criterion: &mut Criterion) {
    let (body, now) = (bodies().remove(0), Clock::system().now());
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static(SECRET));
    let by_header = verifier(WebhookScheme::Header);
    criterion.bench_function("verify a static header", |bencher| {
        bencher.iter(|| by_header.verify(black_box(&headers), body.as_bytes(), now));
    });
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let signature = HeaderValue::from_str(&signature).expect("hex is a header");
    headers.insert(HeaderName::from_static("x-signature"), signature);
    let by_hmac = verifier(WebhookScheme::Hmac);
    assert!(by_hmac.verify(&headers, body.as_bytes(), now).is_ok(), "the signature is right");
    criterion.bench_function("verify an HMAC", |bencher| {
        bencher.iter(|| by_hmac.verify(black_box(&headers), body.as_bytes(), now));
    });
}

fn conversion(criterion: &mut Criterion) {
    let bodies = bodies();
    criterion.bench_function("decode a body of each kind", |bencher| {
        bencher.iter(|| {
            for body in &bodies {
                black_box(decode(body, 10)).expect("it is JSON");
            }
        });
    });
    let elements: Vec<Value> =
        bodies.iter().map(|body| serde_json::from_str(body).expect("it is JSON")).collect();
    let read = |element: &Value| read_alert(Dialect::NativeAlert, element);
    criterion.bench_function("read an alert of each kind", |bencher| {
        bencher.iter(|| elements.iter().map(read).for_each(|alert| drop(black_box(alert))));
    });
    let alerts: Vec<_> = elements.iter().map(read).collect();
    let settings = settings::convert();
    let known = Known::received(Clock::system().now());
    let convert = |alert| convert_alert(alert, None, &known, &settings);
    criterion.bench_function("convert an alert of each kind", |bencher| {
        bencher.iter(|| alerts.iter().map(convert).for_each(|made| drop(black_box(made))));
    });
    let bundles: Vec<_> = alerts.iter().map(|alert| convert(alert).bundle).collect();
    criterion.bench_function("split a bundle of each kind", |bencher| {
        bencher.iter(|| {
            for bundle in &bundles {
                black_box(split(bundle)).expect("our bundles can be split");
            }
        });
    });
}

fn ids(criterion: &mut Criterion) {
    criterion.bench_function("the id of an incident", |bencher| {
        let created = "2026-05-26T07:39:58.447Z";
        bencher.iter(|| id::incident(black_box("Suspicious Thing on pc-01"), created));
    });
}

criterion_group!(parts, verification, conversion, ids);
criterion_main!(parts);
