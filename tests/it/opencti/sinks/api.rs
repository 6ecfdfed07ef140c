//! Bundles given to OpenCTI's API.

use harfanglab_incidents::opencti::{ApiSink, DEFAULT_MAX_BODY_BYTES, Sink};
use serde_json::Value;

use super::{CONNECTOR, bundle, connector, delivery, is_refused, is_unavailable};
use crate::support::opencti::{FakeOpenCti, Personality};

fn sink(platform: &FakeOpenCti) -> ApiSink {
    ApiSink::new(connector(platform), DEFAULT_MAX_BODY_BYTES)
}

/// The ids of the objects of each push, in order.
fn pushed(platform: &FakeOpenCti) -> Vec<Vec<String>> {
    let ids = |bundle: &Value| -> Vec<String> {
        let objects = bundle["objects"].as_array().unwrap().iter();
        objects.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
    };
    platform.state().pushes.iter().map(|push| ids(&push.bundle)).collect()
}

#[tokio::test]
async fn a_delivery_is_one_clean_bundle_and_one_work_without_expectations() {
    for personality in Personality::ALL {
        let platform = FakeOpenCti::start_without_broker(personality);
        let results =
            sink(&platform).deliver(&delivery(vec![bundle(1, "a"), bundle(2, "b")])).await;
        assert_eq!(results, [Ok(()), Ok(())]);

        assert_eq!(pushed(&platform), [["identity--1", "incident--1", "incident--2"]]);
        let push = &platform.state().pushes[0];
        let incident = push.bundle["objects"][1].as_object().unwrap();
        assert!(!incident.contains_key("nothing_ref") && !incident.contains_key("nb_deps"));
        let works = platform.works();
        assert_eq!(works.len(), 1, "{personality:?}");
        assert_eq!((&push.work_id, works[0].expected), (&works[0].id, 0), "the worker announces");
        if personality == Personality::V6_4_0 {
            assert!(works[0].name.starts_with("HarfangLab run @ "), "the platform's own");
            assert_eq!(works[0].closed, None);
        } else {
            assert_eq!(works[0].name, "2 alerts");
            assert_eq!(works[0].closed, Some(("2 alerts, done".to_owned(), false)));
        }
        assert_eq!(platform.state().refused, 0, "{personality:?} understood every request");
    }
}

#[tokio::test]
async fn a_platform_that_does_not_know_the_work_gets_the_bundle_without_it() {
    let platform = FakeOpenCti::start_without_broker(Personality::V6_4_0);
    platform.claim_version("6.9.28");
    let sink = sink(&platform);
    // Refused: the field of the registration, then the argument of the push; each once.
    for number in 1..=2 {
        assert_eq!(sink.deliver(&delivery(vec![bundle(number, "a")])).await, [Ok(())]);
    }
    assert_eq!(platform.state().refused, 2);
    assert_eq!(pushed(&platform).len(), 2);
    let ours: Vec<_> = platform.works().into_iter().filter(|it| it.name == "2 alerts").collect();
    assert!(ours.len() == 1 && ours[0].is_deleted, "nothing was in it");
}

#[tokio::test]
async fn a_connector_deleted_in_opencti_is_registered_again_within_the_delivery() {
    for personality in [Personality::V6_4_0, Personality::V7_260817_0] {
        let platform = FakeOpenCti::start_without_broker(personality);
        let sink = sink(&platform);
        assert_eq!(sink.deliver(&delivery(vec![bundle(1, "a")])).await, [Ok(())]);
        platform.delete_connector(CONNECTOR).await;
        assert_eq!(sink.deliver(&delivery(vec![bundle(2, "b")])).await, [Ok(())]);
        assert_eq!(pushed(&platform).len(), 2, "{personality:?}");
    }
}

#[tokio::test]
async fn what_opencti_calls_invalid_is_refused_alone_and_an_outage_is_a_reason_to_wait() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let sink = sink(&platform);
    // Refused three times: as it comes, after registering again, and the first of the two alone.
    for _time in 0..3 {
        platform.fail_next("StixBundlePushWork", "UNSUPPORTED_ERROR", "Invalid bundle");
    }
    let results = sink.deliver(&delivery(vec![bundle(1, "a"), bundle(2, "b")])).await;
    assert!(is_refused(&results[0], "Invalid bundle") && results[1].is_ok(), "{results:?}");
    assert_eq!(pushed(&platform), [["identity--1", "incident--2"]]);
    assert!(platform.works()[0].closed.is_some());

    platform.fail_next("StixBundlePushWork", "DATABASE_ERROR", "search engine");
    let results = sink.deliver(&delivery(vec![bundle(3, "c")])).await;
    assert!(is_unavailable(&results, "DATABASE_ERROR"), "{results:?}");
    assert!(platform.works()[1].is_deleted, "nothing can have arrived");

    platform.go_down();
    let results = sink.deliver(&delivery(vec![bundle(3, "c"), bundle(4, "d")])).await;
    assert!(is_unavailable(&results, "maintenance"), "{results:?}");
    platform.come_back();
    platform.change_token("rotated");
    let results = sink.deliver(&delivery(vec![bundle(3, "c")])).await;
    assert!(is_unavailable(&results, "OPENCTI_TOKEN"), "{results:?}");
}

#[tokio::test]
async fn bundles_too_large_together_go_alone_and_one_too_large_alone_is_refused() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.limit_bodies(20_000);
    let long = "x".repeat(15_000);
    let bundles = vec![bundle(1, &long), bundle(2, &long), bundle(3, &long.repeat(2))];
    let results = sink(&platform).deliver(&delivery(bundles)).await;
    assert_eq!(results[..2], [Ok(()), Ok(())]);
    assert!(is_refused(&results[2], "413"), "{results:?}");
    assert_eq!(pushed(&platform).len(), 2);

    assert!(sink(&platform).deliver(&delivery(Vec::new())).await.is_empty());
    assert_eq!(platform.works().len(), 1, "no work for nothing");
}
