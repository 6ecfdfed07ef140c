//! Objects in a real S3-compatible server.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use harfanglab_incidents::{
    clock::Clock,
    config::S3Settings,
    opencti::{Connector, OpenCti, S3Bucket, S3Sink, Sink},
};
use secrecy::SecretString;
use serde_json::Value;

use super::{CONNECTOR, bundle, delivery, is_unavailable};
use crate::support::{
    opencti::{FakeOpenCti, Personality, connector_settings},
    s3::S3Server,
    stage::system_trust,
};

fn sink_with(platform: &FakeOpenCti, settings: S3Settings, clock: Clock) -> S3Sink {
    let client = OpenCti::new(&platform.settings()).unwrap();
    let mut connector = connector_settings(CONNECTOR);
    connector.sending.s3 = Some(settings.clone());
    let connector = Arc::new(Connector::new(client, connector));
    S3Sink::new(connector, settings, system_trust(), clock)
}

fn sink(platform: &FakeOpenCti, settings: S3Settings) -> S3Sink {
    sink_with(platform, settings, Clock::system())
}

#[tokio::test]
async fn each_bundle_is_an_object_in_the_bucket_that_the_platform_told_of() {
    let server = S3Server::connect();
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.tell_s3(server.told());
    let sink = sink(&platform, server.settings());
    assert_eq!(
        sink.deliver(&delivery(vec![bundle(1, "é"), bundle(2, "b")])).await,
        [Ok(()), Ok(())]
    );

    let names = server.names().await;
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("harfanglab-20") && names[0].contains(".json"), "{names:?}");
    let (kind, text) = server.get(&names[0]).await;
    assert_eq!(kind, "application/json");
    let object: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["bundle_type"], "S3_BUNDLE");
    assert_eq!(object["bundle"], serde_json::to_value(bundle(1, "é")).unwrap());
    assert!(platform.works().is_empty(), "works are the queue's");
}

#[tokio::test]
async fn only_old_objects_of_ours_are_removed() {
    let server = S3Server::connect();
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.tell_s3(server.told());
    let ours = "harfanglab-20200101-000000-1577836800.000000.json";
    let foreign = "harfanglab-notes.json";
    server.put(ours).await;
    server.put(foreign).await;
    // Their age is that of the object, not of the name.
    sink(&platform, server.settings()).deliver(&delivery(Vec::new())).await;
    assert_eq!(server.names().await, [ours, foreign], "put a moment ago");

    let later = Clock::from_fn(|| Clock::system().now() + chrono::TimeDelta::days(8));
    let keeping = S3Settings { retention_days: 0, ..server.settings() };
    sink_with(&platform, keeping, later.clone()).deliver(&delivery(Vec::new())).await;
    assert_eq!(server.names().await.len(), 2, "zero days keeps everything");

    sink_with(&platform, server.settings(), later).deliver(&delivery(Vec::new())).await;
    assert_eq!(server.names().await, [foreign]);
}

#[tokio::test]
async fn without_a_word_from_the_platform_the_settings_say_where_s3_is() {
    let server = S3Server::connect();
    for personality in [Personality::V6_4_0, Personality::V6_9_28] {
        let platform = FakeOpenCti::start_without_broker(personality);
        let results =
            sink(&platform, server.settings()).deliver(&delivery(vec![bundle(1, "a")])).await;
        assert!(
            is_unavailable(&results, "S3_ENDPOINT, CONNECTOR_SEND_TO_S3_BUCKET"),
            "{results:?}"
        );
        let results = sink(&platform, server.explicit_settings());
        assert_eq!(results.deliver(&delivery(vec![bundle(1, "a")])).await, [Ok(())]);
    }
    assert_eq!(server.names().await.len(), 2);

    // One that claims to know it and does not is asked without it.
    let platform = FakeOpenCti::start_without_broker(Personality::V6_4_0);
    platform.claim_version("6.9.28");
    let explicit = sink(&platform, server.explicit_settings());
    assert_eq!(explicit.deliver(&delivery(vec![bundle(1, "a")])).await, [Ok(())]);
    assert_eq!(platform.state().refused, 2, "the server and the field, each by itself");
}

#[tokio::test]
async fn wrong_keys_a_missing_bucket_and_a_dead_server_are_reasons_to_wait_and_told_apart() {
    let server = S3Server::connect();
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.tell_s3(server.told());
    let right = server.settings();
    let wrong_secret = SecretString::from("hunter2");
    for (settings, part) in [
        (S3Settings { secret_key: Some(wrong_secret), ..right.clone() }, "S3_SECRET_KEY"),
        (S3Settings { bucket: Some("missing".to_owned()), ..right.clone() }, "NoSuchBucket"),
        (S3Settings { port: Some(1), ..right }, "does not answer"),
    ] {
        let results = sink(&platform, settings).deliver(&delivery(vec![bundle(1, "a")])).await;
        assert!(is_unavailable(&results, part), "{results:?}");
        let text = format!("{results:?}");
        assert!(!text.contains("hunter2") && !text.contains("X-Amz"), "{text}");
    }
    assert!(server.names().await.is_empty());
}

#[tokio::test]
async fn a_server_whose_clock_differs_is_told_from_one_that_refuses_the_keys() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = S3Settings {
        port: Some(listener.local_addr().unwrap().port()),
        endpoint: Some("127.0.0.1".to_owned()),
        ..S3Server::connect().explicit_settings()
    };
    std::thread::spawn(move || {
        let body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
        let head = "HTTP/1.1 403 Forbidden\r\nConnection: close";
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // What is asked, or by whom, makes no difference.
            let _asked = stream.read(&mut [0; 16 << 10]).unwrap();
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    let bucket = S3Bucket::new(&settings, None, &system_trust(), Clock::system()).unwrap();
    let refusal = bucket.probe().await.unwrap_err().to_string();
    assert!(refusal.contains("check the clock of this machine"), "{refusal}");
}

/// As with one that hangs, where each request would take its whole time.
#[tokio::test]
async fn a_server_that_answers_none_of_the_first_requests_is_asked_no_more_of_a_delivery() {
    let (listener, asked) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(AtomicUsize::new(0)));
    let settings = S3Settings {
        port: Some(listener.local_addr().unwrap().port()),
        endpoint: Some("127.0.0.1".to_owned()),
        ..S3Server::connect().explicit_settings()
    };
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for _closed_at_once in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let bundles = (0..64).map(|number| bundle(number, "a")).collect();
    let results = sink(&platform, settings).deliver(&delivery(bundles)).await;
    assert!(is_unavailable(&results, "S3 at"), "{results:?}");
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked < 32, "{asked} requests for 64 bundles");
}
