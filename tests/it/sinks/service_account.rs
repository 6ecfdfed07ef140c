//! The user of our own that an administrator's token makes.

use std::sync::Arc;

use harfanglab_incidents::opencti::{ApiSink, Connector, OpenCti, ServiceAccount, Sink};
use serde_json::json;

use super::{CONNECTOR, bundle, delivery};
use crate::support::opencti::{FakeOpenCti, Personality, connector_settings};

fn connector(platform: &FakeOpenCti) -> Arc<Connector> {
    let account =
        ServiceAccount { connector_name: "HarfangLab EDR".to_owned(), max_confidence: 75 };
    let client = OpenCti::with_service_account(&platform.settings(), account).unwrap();
    Arc::new(Connector::new(client, connector_settings(CONNECTOR)))
}

#[tokio::test]
async fn the_account_is_made_once_and_everything_is_imported_as_it() {
    for personality in [Personality::V6_9_28, Personality::V7_260817_0] {
        let platform = FakeOpenCti::start_without_broker(personality);
        for _start in 0..2 {
            let registration = connector(&platform).registration().await.unwrap();
            assert_eq!(registration.connector_user_id.as_deref(), Some("user-1"));
        }
        let users = platform.state().users;
        assert_eq!(users.len(), 1, "{personality:?}");
        assert_eq!(users[0].email, "harfanglab-edr@connector.octi.filigran.io");
        let made = &users[0].input;
        assert_eq!(made["name"], "[C] HarfangLab EDR");
        assert_eq!(made["groups"], json!(["group-connectors"]));
        assert_eq!(made["user_confidence_level"]["max_confidence"], 75);
        assert_eq!(made["user_service_account"], true);
        assert!(made["password"].as_str().unwrap().len() >= 64);
        assert_eq!(users[0].tokens.len(), 1, "the token before was revoked: {personality:?}");
        assert_eq!(platform.state().refused, 0, "{personality:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_made_again_and_a_token_without_the_right_is_named() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let registered = connector(&platform);
    registered.registration().await.unwrap();
    platform.revoke_tokens();
    let sink = ApiSink::new(Arc::clone(&registered), 1 << 20);
    assert_eq!(sink.deliver(&delivery(vec![bundle(1, "a")])).await, [Ok(())]);
    assert_eq!(platform.requests("UserTokenAdd").len(), 2);

    platform.fail_next("FindUser", "FORBIDDEN_ACCESS", "You are not allowed to do this.");
    let error = connector(&platform).registration().await.unwrap_err().to_string();
    assert!(error.contains("administrator"), "{error}");
    let text = format!("{:?} {:?}", registered, connector(&platform));
    assert!(!text.contains("plain-"), "tokens are not shown: {text}");
}
