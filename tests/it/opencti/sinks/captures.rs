//! One bundle through each sink, held against what other connectors were seen to send.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use harfanglab_incidents::{
    clock::Clock,
    config::{Approval, ConnectorSettings, DirectorySettings, MqOverrides},
    opencti::{
        ApiSink, Connector, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_MESSAGE_BYTES, Delivery,
        DirectorySink, OpenCti, QueueSink, S3Sink, Sink,
    },
    stix::Bundle,
};
use serde_json::{Value, json};

use super::CONNECTOR;
use crate::support::{
    broker::{Broker, fresh_connector_id, push_queue},
    opencti::{FakeOpenCti, Personality, connector_settings},
    s3::S3Server,
    shared,
    stage::system_trust,
};

/// Returns what a library of this version sent in one of its modes.
fn captured(version: &str, mode: &str) -> Option<Value> {
    let wire = shared::json(&format!("wire/wire_{version}.json"))?;
    Some(wire["samples"][mode].clone())
}

/// The variables of a captured request.
fn variables(captured: &Value, operation: &str) -> Value {
    let requests = captured["requests"].as_array().unwrap();
    let request = requests.iter().find(|it| it["operation"] == operation);
    request.unwrap_or_else(|| panic!("{operation} was captured"))["variables"].clone()
}

/// The bundle that every capture sent.
fn delivery(captured: &Value) -> Delivery {
    let bundle: Bundle =
        serde_json::from_value(captured["files"][0]["content"]["bundle"].clone()).unwrap();
    let (title, summary) = ("Run @ 1".to_owned(), "done".to_owned());
    Delivery { title, summary, bundles: vec![Arc::new(bundle)], ..Delivery::default() }
}

fn connector(platform: &FakeOpenCti, settings: ConnectorSettings) -> Arc<Connector> {
    Arc::new(Connector::new(OpenCti::new(&platform.settings()).unwrap(), settings))
}

const VERSIONS: [Personality; 2] = [Personality::V6_4_0, Personality::V7_260817_0];

#[tokio::test]
async fn a_file_and_an_object_are_byte_for_byte_what_other_connectors_write() {
    for personality in VERSIONS {
        let Some(capture) = captured(personality.version(), "directory") else { return };
        let platform = FakeOpenCti::start_without_broker(personality);
        let server = S3Server::connect();
        let mut settings = connector_settings(CONNECTOR);
        settings.sending.s3 = Some(server.explicit_settings());
        let connector = connector(&platform, settings.clone());
        let user = connector.registration().await.unwrap().connector_user_id.clone();
        let mut expected = capture["files"][0]["content"].clone();
        expected["applicant_id"] = json!(user);

        let folder = tempfile::tempdir().unwrap();
        let into =
            DirectorySettings { path: folder.path().to_owned(), retention_days: 7, mode: 0o640 };
        let registered = Some(Arc::clone(&connector));
        let directory = DirectorySink::new(&into, settings, registered, Clock::system());
        assert_eq!(directory.deliver(&delivery(&capture)).await, [Ok(())]);
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), expected.to_string());
        let shape = |name: &str| -> String {
            let digit = |character: char| if character.is_ascii_digit() { '0' } else { character };
            let name: String = name.chars().map(digit).collect();
            name.trim_end_matches(".json").trim_end_matches('0').to_owned()
        };
        let name = file.file_name().into_string().unwrap();
        assert_eq!(shape(&name), shape(capture["files"][0]["name"].as_str().unwrap()));

        let s3 =
            S3Sink::new(connector, server.explicit_settings(), system_trust(), Clock::system());
        assert_eq!(s3.deliver(&delivery(&capture)).await, [Ok(())]);
        expected["bundle_type"] = json!("S3_BUNDLE");
        let names = server.names().await;
        assert_eq!(shape(&names[0]), shape(&name));
        assert_eq!(server.get(&names[0]).await.1, expected.to_string());
    }
}

#[tokio::test]
async fn a_bundle_given_to_the_api_is_byte_for_byte_what_other_connectors_give() {
    for personality in VERSIONS {
        let Some(capture) = captured(personality.version(), "api") else { return };
        let bundle = delivery(&captured(personality.version(), "directory").unwrap());
        let platform = FakeOpenCti::start_without_broker(personality);
        let connector = connector(&platform, connector_settings(CONNECTOR));
        let sink = ApiSink::new(connector, DEFAULT_MAX_BODY_BYTES);
        assert_eq!(sink.deliver(&bundle).await, [Ok(())]);

        let theirs = variables(&capture, "StixBundlePush");
        let operation =
            if theirs.get("work_id").is_some() { "StixBundlePushWork" } else { "StixBundlePush" };
        let ours = &platform.requests(operation)[0];
        let keys =
            |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<String>>();
        assert_eq!(keys(ours), keys(&theirs));
        // They differ in blanks between tokens and in how é is escaped, not in what is said.
        let compact: Value = serde_json::from_str(theirs["bundle"].as_str().unwrap()).unwrap();
        assert_eq!(ours["bundle"].as_str().unwrap(), compact.to_string());
    }
}

#[tokio::test]
async fn messages_also_of_a_draft_are_byte_for_byte_what_other_connectors_publish() {
    for (mode, approval) in [("amqp", Approval::NotNeeded), ("draft", Approval::ByDraft)] {
        let Some(capture) = captured("7.260817.0", mode) else { return };
        let bundle = delivery(&captured("7.260817.0", "directory").unwrap());
        let broker = Arc::new(Broker::connect().await);
        let platform = FakeOpenCti::start(Personality::V7_260817_0, Arc::clone(&broker));
        let id = fresh_connector_id();
        let mut settings = connector_settings(&id);
        settings.sending.approval = approval;
        let connector = connector(&platform, settings);
        let sink = QueueSink::new(connector, MqOverrides::default(), DEFAULT_MAX_MESSAGE_BYTES);
        assert_eq!(sink.deliver(&bundle).await, [Ok(())]);

        let theirs = capture["amqp"].as_array().unwrap().iter().map(|event| &event["body"]);
        let theirs: Vec<&Value> = theirs.filter(|body| body.is_object()).collect();
        let ours = broker.messages(&push_queue(&id), u16::try_from(theirs.len()).unwrap()).await;
        for (ours, theirs) in ours.iter().zip(theirs) {
            let mut expected = theirs.clone();
            for key in ["applicant_id", "content", "work_id"] {
                expected[key] = ours.body[key].clone();
            }
            assert_eq!(ours.body.to_string(), expected.to_string(), "{mode}");
            let content = STANDARD.decode(theirs["content"].as_str().unwrap()).unwrap();
            let content: Value = serde_json::from_slice(&content).unwrap();
            assert_eq!(ours.bundle.to_string(), content.to_string(), "{mode}");
        }
        if approval.is_needed() {
            let mut draft = variables(&capture, "draftWorkspaceAdd");
            draft["input"]["name"] = json!("Run @ 1");
            assert_eq!(platform.requests("DraftWorkspaceAdd"), [draft]);
            let mut context = variables(&capture, "addDraftContext");
            context["id"] = json!(platform.works()[0].id);
            assert_eq!(platform.requests("WorkAddDraftContext"), [context]);
        }
    }
}

#[tokio::test]
async fn every_platform_gets_a_draft_and_its_work_knows_it_where_it_can() {
    for personality in Personality::ALL {
        let broker = Arc::new(Broker::connect().await);
        let platform = FakeOpenCti::start(personality, Arc::clone(&broker));
        let id = fresh_connector_id();
        let mut settings = connector_settings(&id);
        settings.sending.approval = Approval::ByDraft;
        let connector = connector(&platform, settings);
        let sink = QueueSink::new(connector, MqOverrides::default(), DEFAULT_MAX_MESSAGE_BYTES);
        platform.fail_next("DraftWorkspaceAdd", "DATABASE_ERROR", "search engine");
        let one = super::delivery(vec![super::bundle(1, "a")]);
        assert!(super::is_unavailable(&sink.deliver(&one).await, "DATABASE_ERROR"));
        assert!(platform.works()[0].is_deleted);

        assert_eq!(sink.deliver(&one).await, [Ok(())]);
        let draft = &platform.state().drafts[0];
        assert_eq!(draft.name, "2 alerts");
        let knows = (personality != Personality::V6_4_0).then(|| draft.id.clone());
        assert_eq!(platform.works()[1].draft, knows, "{personality:?}");
        for message in broker.messages(&push_queue(&id), 2).await {
            assert_eq!(message.body["draft_id"], json!(draft.id));
        }
        no_empty_draft_is_left_behind(personality, &platform, &broker, &sink).await;
        assert_eq!(platform.state().refused, 0);
    }
}

/// Deliveries after a good one that come to nothing, each later than the one before.
async fn no_empty_draft_is_left_behind(
    personality: Personality,
    platform: &FakeOpenCti,
    broker: &Broker,
    sink: &QueueSink,
) {
    let one = super::delivery(vec![super::bundle(1, "a")]);
    platform.fail_next("WorkAddExpectations", "DATABASE_ERROR", "search engine");
    assert!(sink.deliver(&one).await[0].is_err());
    assert_eq!(platform.state().drafts.len(), 1, "it is made last");
    if personality != Personality::V6_4_0 {
        platform.fail_next("WorkAddDraftContext", "DATABASE_ERROR", "search engine");
        assert!(sink.deliver(&one).await[0].is_err());
    }
    let id = platform.works()[0].connector_id.clone();
    broker.delete_queue(&push_queue(&id)).await;
    assert!(super::is_unavailable(&sink.deliver(&one).await, "queue is gone"));
    let deleted: Vec<bool> = platform.state().drafts.iter().map(|it| it.is_deleted).collect();
    match personality {
        Personality::V6_4_0 => assert_eq!(deleted, [false, false], "it deletes none"),
        Personality::V6_9_28 => assert_eq!(deleted, [false, false, false], "nor this"),
        Personality::V7_260817_0 => assert_eq!(deleted, [false, true, true]),
    }
}
