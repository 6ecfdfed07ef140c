//! The user of our own that an administrator's token makes.

use std::sync::Arc;

use harfanglab_incidents::opencti::{
    ADMINISTRATION, ApiSink, Connector, OpenCti, ServiceAccount, Sink,
};
use serde_json::json;

use super::{CONNECTOR, bundle, combined::stage_with_an_alert, delivery};
use crate::support::opencti::{FakeOpenCti, FakeRequest, Personality, connector_settings};

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

#[tokio::test]
async fn the_binary_imports_as_the_account_and_administrates_with_the_configured_token() {
    for personality in [Personality::V6_9_28, Personality::V7_260817_0] {
        let mut stage = stage_with_an_alert(personality).await;
        stage.home.set("CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT", "true");
        stage.home.set("CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL", "60");
        let mut app = stage.home.start(&[]);
        assert!(app.exit().await.success(), "{}", app.log());
        let works = stage.closed_works(1).await;
        let messages = stage.messages_of(&works).await;
        assert!(messages.iter().all(|message| message.body["applicant_id"] == "user-1"));

        let known = stage.opencti.state();
        let made = &known.users[0];
        assert_eq!(made.input["user_confidence_level"]["max_confidence"], 60);
        let own = &made.tokens[0].2;
        let administrates = |operation: &str| ADMINISTRATION.iter().any(|it| it.name == operation);
        let (of_administrator, of_account): (Vec<_>, Vec<_>) = known
            .requests
            .iter()
            .filter(|request| request.operation != "HealthCheck")
            .partition(|request| administrates(&request.operation));
        let carry = |requests: &[&FakeRequest], token: &str| {
            let bearer = format!("Bearer {token}");
            requests.iter().all(|request| request.headers["authorization"] == bearer)
        };
        assert!(!of_administrator.is_empty() && !of_account.is_empty());
        assert!(carry(&of_administrator, &stage.opencti.token()), "{personality:?}");
        assert!(carry(&of_account, own), "{personality:?}");
        assert!(!app.log().contains(own.as_str()), "{}", app.log());

        let mut app = stage.home.start(&[]);
        assert!(app.exit().await.success(), "{}", app.log());
        let users = stage.opencti.state().users;
        assert_eq!((users.len(), users[0].tokens.len()), (1, 1), "{personality:?}");
        assert_eq!(stage.opencti.state().refused, 0, "{personality:?}");
    }
}
