//! The rule behind an alert, and what its caches save.

use std::time::Duration;

use futures_util::future::join_all;
use harfanglab_incidents::demo::{Collection, Fault, Generator, Kind, RequestKind};

use crate::support::demo_console::{client, noon, started};

const IOC_RULES: RequestKind = RequestKind::List(Collection::IocRules);

#[tokio::test]
async fn fifty_alerts_that_wait_for_one_rule_cost_one_request() {
    let console = started();
    console.seed(noon());
    console.set_latency(Duration::from_millis(20));
    let client = client(&console);
    let lookups = (0..50).map(|_| client.ioc_rule(None, "parcel-notice.scr"));
    for rule in join_all(lookups).await {
        let rule = rule.unwrap().unwrap();
        assert_eq!((rule.kind.as_str(), rule.value.as_str()), ("filename", "parcel-notice.scr"));
    }
    assert_eq!(console.requests().of(IOC_RULES), 1);
}

#[tokio::test]
async fn a_rule_that_is_not_there_is_remembered_and_a_fault_is_not() {
    let console = started();
    console.seed(noon());
    let client = client(&console);
    for _ in 0..3 {
        assert_eq!(client.ioc_rule(None, "nothing.example").await.unwrap(), None);
    }
    assert_eq!(console.requests().of(IOC_RULES), 1);

    console.fail_next(IOC_RULES, 1, Fault::Status(400));
    assert!(client.ioc_rule(None, "sync.fern-updates.example").await.is_err());
    let rule = client.ioc_rule(None, "sync.fern-updates.example").await.unwrap();
    assert_eq!(rule.unwrap().kind, "domain_name");
    assert_eq!(console.requests().of(IOC_RULES), 3);
}

#[tokio::test]
async fn a_sigma_rule_is_found_by_id_then_by_name() {
    let console = started();
    console.seed(noon());
    let client = client(&console);
    let alert = Generator::new(1).alert(Kind::SigmaEventLog, noon()).native();
    let (id, name) = (alert["rule_id"].as_str(), alert["rule_name"].as_str());
    let rule = client.sigma_rule(id, name).await.unwrap().unwrap();
    assert_eq!(Some(rule.name.as_str()), name);
    assert!(rule.content.starts_with("title: Security Event Log Cleared\n"));
    assert_eq!(rule.technique_tags, ["attack.t1070.001"]);
    assert_eq!(rule.created, "2026-01-15T09:00:00Z".parse().ok());

    let unknown = Some("0d5f34cf-7a0e-4d3b-a8a6-54ad3e8e2c11");
    for _ in 0..2 {
        assert_eq!(client.sigma_rule(unknown, name).await.unwrap().as_ref(), Some(&rule));
        // A name in place of the id, as some engines give it, is not asked for as an id.
        assert_eq!(client.sigma_rule(name, name).await.unwrap().as_ref(), Some(&rule));
        assert_eq!(client.sigma_rule(name, None).await.unwrap(), None);
    }
    assert_eq!(console.requests().of(RequestKind::One(Collection::SigmaRules)), 2);
    assert_eq!(console.requests().of(RequestKind::List(Collection::SigmaRules)), 1);
}

#[tokio::test]
async fn a_yara_file_is_found_by_the_first_of_its_possible_names() {
    let console = started();
    console.seed(noon());
    let client = client(&console);
    let names = [String::new(), "YARA binary check".to_owned(), "cedar_loader.yar".to_owned()];
    let file = client.yara_file(&names).await.unwrap().unwrap();
    assert!(file.content.contains("rule cedar_loader_strings"));
    assert_eq!(client.yara_file(&names).await.unwrap(), Some(file));
    assert_eq!(client.yara_file(&[]).await.unwrap(), None);
    assert_eq!(console.requests().of(RequestKind::List(Collection::YaraFiles)), 2);
}
