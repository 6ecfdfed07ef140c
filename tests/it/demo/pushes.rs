//! Alerts that the simulated console makes and pushes.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{
        Generator, HmacCredentials, Kind,
        PushDialect::{Ecs, Native, SignedNative},
        PushPlan, Pusher,
    },
    harfanglab::{Item, Listing},
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use strum::VariantArray as _;
use tokio::sync::mpsc;
use url::Url;

use crate::support::{
    demo_console::{client, noon, started},
    skipped::skipped,
};

#[test]
fn the_same_seed_makes_the_same_alerts_and_each_form_has_its_own_ids() {
    let round = |seed| {
        let mut generator = Generator::new(seed);
        Kind::VARIANTS.iter().map(|_| generator.next_alert(noon())).collect::<Vec<_>>()
    };
    assert_eq!(round(5), round(5));
    assert_ne!(round(5), round(6));
    for alert in round(5) {
        let (native, item, ecs) = (alert.native(), alert.api_item(), alert.ecs());
        assert_eq!(native["log_type"], "alert");
        assert_eq!(native["alert_unique_id"], alert.unique_id());
        assert!(native.get("id").is_none());
        assert_eq!((&item["id"], item.get("log_type")), (&json!(alert.api_id()), None));
        assert_eq!(ecs["event"]["kind"], "alert");
        assert!(!ecs.to_string().contains(alert.unique_id()));
    }
}

/// Every path of an object, two levels deep.
fn paths(value: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        paths.push(key.clone());
        paths.extend(
            value.as_object().into_iter().flatten().map(|(inner, _)| format!("{key}.{inner}")),
        );
    }
    paths
}

#[test]
fn simulated_alerts_have_no_field_that_no_real_alert_has() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    if !std::path::Path::new(folder).exists() {
        skipped("../shared is not here: simulated fields against those of real alerts");
        return;
    }
    // Its tables have a row for every field of the real pushed alerts that are public.
    let facts = std::fs::read_to_string(format!("{folder}/facts/harfanglab.md")).unwrap();
    let mut generator = Generator::new(1);
    let mut unknown: Vec<String> = (0..200)
        .flat_map(|_| paths(&generator.next_alert(noon()).native()))
        .filter(|path| !facts.contains(&format!("| `{path}")))
        .collect();
    unknown.sort();
    unknown.dedup();
    assert_eq!(unknown, Vec::<String>::new());
}

/// The deliveries to a receiver: the credential's header and value, and the body.
type Posted = Arc<Mutex<Vec<(String, String, String)>>>;

/// A receiver that takes everything, but first says 503 to the second request.
fn receiver(posted: Posted) -> Url {
    let take = |request: HttpRequest, body: String, posted: web::Data<Posted>| async move {
        let headers = ["authorization", "x-signature-256"];
        let credential = headers.iter().find_map(|name| {
            Some((name.to_string(), request.headers().get(*name)?.to_str().unwrap().to_owned()))
        });
        let (name, value) = credential.unwrap();
        let mut posted = posted.lock().unwrap();
        posted.push((name, value, body));
        if posted.len() == 2 {
            return HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "0")).finish();
        }
        HttpResponse::Accepted().finish()
    };
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(posted.clone())).default_service(web::to(take))
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/hook", server.addrs()[0]).parse().unwrap();
    tokio::spawn(server.run());
    url
}

/// Eight alerts to this endpoint.
fn plan(target: Url) -> PushPlan {
    PushPlan {
        target,
        header: "Authorization".to_owned(),
        secret: SecretString::from("abc123"),
        hmac: Some(HmacCredentials {
            header: "X-Signature-256".to_owned(),
            secret: SecretString::from("key"),
        }),
        alerts_per_second: 0.0,
        count: Some(8),
    }
}

#[tokio::test]
async fn alerts_are_pushed_in_both_dialects_and_found_on_the_console_afterwards() {
    let console = started();
    let plan = plan(receiver(Posted::default()));
    let (reports, mut told) = mpsc::channel(8);
    let clock = Clock::from_fn(noon);
    let summary = Pusher::run(plan, Generator::new(1), &console, &clock, reports).await.unwrap();
    assert_eq!((summary.accepted, summary.refused, summary.telemetry), (8, 0, 44));

    let day = TimeDelta::days(1);
    let shown =
        client(&console).page(Listing::Alerts, noon() - day, None, 0, 100).await.unwrap().items;
    let mut dialects = Vec::new();
    while let Some(pushed) = told.recv().await {
        assert_eq!(pushed.status, 202);
        let is_it = |item: &&Value| item["alert_unique_id"] == pushed.unique_id.as_str();
        let found = shown.iter().map(Item::value).find(is_it).unwrap();
        assert_eq!(found["rule_name"], pushed.title);
        assert_eq!(found["agent"]["hostname"], pushed.host);
        dialects.push(pushed.dialect);
    }
    assert_eq!(dialects, [Ecs, Native, Ecs, SignedNative, Ecs, Native, Ecs, SignedNative]);
}

#[tokio::test]
async fn what_is_pushed_is_signed_or_has_the_secret_and_comes_again_after_503() {
    let console = started();
    let posted = Posted::default();
    let (reports, _told) = mpsc::channel(8);
    let clock = Clock::from_fn(noon);
    let plan = plan(receiver(posted.clone()));
    Pusher::run(plan, Generator::new(1), &console, &clock, reports).await.unwrap();

    let posted = posted.lock().unwrap();
    assert_eq!(posted.len(), 1 + 1 + 8 + 44, "the test, the repeated one, alerts and telemetry");
    assert_eq!(posted[0], ("authorization".to_owned(), "abc123".to_owned(), "{}".to_owned()));
    assert_eq!(posted[1], posted[2], "what was told 503 comes again");
    let mut signed = 0;
    for (header, value, body) in posted.iter() {
        if header == "x-signature-256" {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
            mac.update(body.as_bytes());
            mac.verify_slice(&hex::decode(value.strip_prefix("sha256=").unwrap()).unwrap())
                .unwrap();
            signed += 1;
        } else {
            assert_eq!(value, "abc123");
        }
    }
    assert_eq!(signed, 2);
}

#[tokio::test]
async fn a_pusher_says_when_its_secret_is_not_taken() {
    let console = started();
    // The simulated console's API stands in for an endpoint that refuses.
    let plan = plan(console.url());
    let (reports, _told) = mpsc::channel(1);
    let clock = Clock::from_fn(noon);
    let error = Pusher::run(plan, Generator::new(1), &console, &clock, reports).await.unwrap_err();
    assert!(error.to_string().contains("connection test with 401"), "{error}");
}
