//! TLS to a real RabbitMQ with a private authority.

use std::{path::Path, process::Command, sync::Arc};

use harfanglab_incidents::{
    config::{BrokerVerification, MqOverrides},
    opencti::{
        BrokerConnection, Connector, DEFAULT_MAX_MESSAGE_BYTES, OpenCti, QueueSink, Sink, probe,
    },
};
use secrecy::SecretString;

use super::broker::{bundle, delivery};
use crate::support::{
    authority::Authority,
    broker::{Broker, fresh_connector_id, push_queue},
    configuration::{load_with, write_private},
    opencti::{FakeOpenCti, Personality, connector_settings},
    private_broker::PrivateBroker,
    skipped::skipped,
};

/// The TLS listener, and the authority that is trusted.
fn overrides(broker: &PrivateBroker, authority: Option<&Authority>) -> MqOverrides {
    let authority_of_broker = broker.tls().authority;
    MqOverrides {
        host: Some(authority_of_broker.host),
        port: Some(authority_of_broker.port),
        use_ssl: Some(true),
        ssl_ca: authority.map(Authority::pem),
        ..MqOverrides::default()
    }
}

fn with_certificate(overrides: MqOverrides, (certificate, key): (String, String)) -> MqOverrides {
    MqOverrides { ssl_cert: Some(certificate), ssl_key: Some(SecretString::from(key)), ..overrides }
}

/// Returns what `check` would say; every field of the connection is overridden but user and password.
pub(crate) async fn probed(overrides: &MqOverrides) -> Result<(), String> {
    let answered = BrokerConnection {
        host: "unused".to_owned(),
        port: 1,
        vhost: "/".to_owned(),
        use_ssl: false,
        user: "guest".to_owned(),
        pass: SecretString::from("guest"),
    };
    probe(&answered, overrides).await.map_err(|refusal| refusal.to_string())
}

async fn refusal(overrides: &MqOverrides) -> String {
    probed(overrides).await.expect_err("it is refused")
}

/// Sends a bundle through the TLS listener and finds it on the queue.
async fn is_delivered(broker: &PrivateBroker, overrides: MqOverrides) {
    let plain = Arc::new(Broker::connect_to(broker.url()).await);
    let platform = FakeOpenCti::start(Personality::V7_260817_0, Arc::clone(&plain));
    let id = fresh_connector_id();
    let client = OpenCti::new(&platform.settings()).unwrap();
    let connector = Arc::new(Connector::new(client, connector_settings(&id)));
    let sink = QueueSink::new(connector, overrides, DEFAULT_MAX_MESSAGE_BYTES);
    assert_eq!(sink.deliver(&delivery(vec![bundle("over TLS")])).await, [Ok(())]);
    plain.messages(&push_queue(&id), 3).await;
}

#[tokio::test]
async fn the_brokers_certificate_is_checked_by_authority_and_host_unless_that_is_turned_off() {
    let authority = Authority::new();
    let broker = PrivateBroker::with_tls(&authority, "--tls");
    is_delivered(&broker, overrides(&broker, Some(&authority))).await;

    let stranger = Authority::new();
    for unknown in [None, Some(&stranger)] {
        let text = refusal(&overrides(&broker, unknown)).await;
        assert!(text.contains("is not trusted: set MQ_USE_SSL_CA"), "{text}");
    }
    let elsewhere =
        MqOverrides { host: Some("127.0.0.1".to_owned()), ..overrides(&broker, Some(&authority)) };
    let text = refusal(&elsewhere).await;
    assert!(text.contains("made out for another host: set MQ_HOST"), "{text}");
    let plain_port = Broker::connect_to(broker.url()).await.uri.authority.port;
    let plain = MqOverrides { port: Some(plain_port), ..overrides(&broker, Some(&authority)) };
    let text = refusal(&plain).await;
    assert!(text.contains("check that MQ_PORT is its TLS port"), "{text}");

    let unchecked = |overrides| MqOverrides { verification: BrokerVerification::Off, ..overrides };
    is_delivered(&broker, unchecked(overrides(&broker, None))).await;
    is_delivered(&broker, unchecked(elsewhere)).await;
}

#[tokio::test]
async fn a_broker_that_demands_a_certificate_gets_ours_also_when_its_key_is_encrypted() {
    let authority = Authority::new();
    let broker = PrivateBroker::with_tls(&authority, "--tls-clients");
    let trusted = || overrides(&broker, Some(&authority));
    let ours = authority.issue_for("connector.example");
    is_delivered(&broker, with_certificate(trusted(), ours.clone())).await;
    for refused in [trusted(), with_certificate(trusted(), Authority::new().issue())] {
        let text = refusal(&refused).await;
        assert!(text.contains("demands a client certificate that it trusts"), "{text}");
    }

    let folder = tempfile::tempdir().unwrap();
    let Some(encrypted) = encrypt(folder.path(), &ours.1, "a passphrase of the tests") else {
        skipped("openssl is not installed: encrypted keys");
        return;
    };
    let locked = with_certificate(trusted(), (ours.0, encrypted));
    let text = refusal(&locked).await;
    assert!(text.contains("set MQ_USE_SSL_PASSPHRASE"), "{text}");
    let with = |passphrase: &str| MqOverrides {
        ssl_passphrase: Some(SecretString::from(passphrase)),
        ..locked.clone()
    };
    let text = refusal(&with("another one")).await;
    assert!(text.contains("does not open the key") && !text.contains("another"), "{text}");
    is_delivered(&broker, with("a passphrase of the tests")).await;
}

/// The key as OpenSSL encrypts it.
fn encrypt(folder: &Path, key: &str, passphrase: &str) -> Option<String> {
    let plain = write_private(folder, "key.pem", key);
    let pass = format!("pass:{passphrase}");
    let arguments = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &pass, "-in"];
    let output = Command::new("openssl").args(arguments).arg(plain).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn turning_the_check_off_is_heeded_and_warned_of() {
    let loaded = load_with(&[
        ("MQ_USE_SSL_REJECT_UNAUTHORIZED", "false"),
        ("MQ_USE_SSL_PASSPHRASE", "hunter2-hunter2"),
    ])
    .unwrap();
    assert_eq!(loaded.settings.mq.verification, BrokerVerification::Off);
    assert!(loaded.settings.mq.ssl_passphrase.is_some());
    assert!(!format!("{:?}", loaded.settings.mq).contains("hunter2"));
    assert!(
        loaded.warnings.iter().any(|text| text.contains("NOT checked")),
        "{:?}",
        loaded.warnings
    );

    let checked = load_with(&[]).unwrap();
    assert_eq!(checked.settings.mq.verification, BrokerVerification::On);
    assert!(!checked.warnings.iter().any(|text| text.contains("NOT checked")));
}
