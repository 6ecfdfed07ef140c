//! The proof of a message, without a socket: any one thing that is missing is enough to refuse it, and
//! no frame that anybody can think of gets in without.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    config::{EndpointTls, SyslogSettings},
    intake::{
        syslog::Message,
        verification::{ClientCertificate, NotProven, Sender, SyslogVerifier},
    },
};
use proptest::{prelude::*, sample::select};
use secrecy::SecretString;

use crate::support::{
    configuration::load_with,
    syslog::{TOKEN, message_with},
};

fn settings() -> SyslogSettings {
    let listen = ("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "127.0.0.1:0");
    let token = ("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN", TOKEN);
    load_with(&[listen, token]).unwrap().settings.syslog.unwrap()
}

fn sender(address: &str, certificate: ClientCertificate) -> Sender {
    Sender { address: address.parse::<IpAddr>().unwrap(), certificate }
}

fn verified(settings: &SyslogSettings, from: Sender, frame: &[u8]) -> Result<(), NotProven> {
    let message = Message::parse(frame).expect("it has a header");
    let verifier = SyslogVerifier::new(settings).expect("something proves it");
    verifier.verify(from, &message, DateTime::<Utc>::UNIX_EPOCH).map(|_proof| ())
}

#[test]
fn of_token_certificate_and_network_all_that_is_set_must_hold() {
    let tls = EndpointTls {
        certificate: "certificate.pem".into(),
        key: "key.pem".into(),
        client_authorities: Some("clients.pem".into()),
    };
    let all = SyslogSettings {
        tls: Some(tls),
        allowed_networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..settings()
    };
    let with = message_with(TOKEN, "{}");
    let shown = sender("192.0.2.7", ClientCertificate::Checked);
    let (right, frame) = (TOKEN.to_owned(), with.as_bytes());
    assert_eq!(verified(&all, shown, frame), Ok(()));
    let mapped = sender("::ffff:192.0.2.7", ClientCertificate::Checked);
    assert_eq!(verified(&all, mapped, frame), Ok(()), "the same address, written as IPv6");
    let elsewhere = sender("198.51.100.7", ClientCertificate::Checked);
    assert_eq!(verified(&all, elsewhere, frame), Err(NotProven::Elsewhere(elsewhere.address)));
    let not_shown = sender("192.0.2.7", ClientCertificate::None);
    assert_eq!(verified(&all, not_shown, frame), Err(NotProven::NoCertificate));
    let wrong = message_with(&right.to_uppercase(), "{}");
    assert_eq!(verified(&all, shown, wrong.as_bytes()), Err(NotProven::Mismatch));
    for without in [
        SyslogSettings { tokens: Vec::new(), ..all.clone() },
        SyslogSettings { tls: None, allowed_networks: Vec::new(), ..all.clone() },
    ] {
        assert!(SyslogVerifier::new(&without).is_some(), "one of them is enough");
    }
    let nothing =
        SyslogSettings { tokens: Vec::new(), tls: None, allowed_networks: Vec::new(), ..all };
    assert!(SyslogVerifier::new(&nothing).is_none(), "nothing is not");
}

#[test]
fn several_tokens_are_valid_at_once_under_a_name_of_ones_own() {
    let next = "another]token\"of\\the tests";
    let own = SyslogSettings {
        tokens: vec![SecretString::from(TOKEN), SecretString::from(next)],
        token_id: "edr@1".to_owned(),
        token_name: "key".to_owned(),
        ..settings()
    };
    let from = sender("192.0.2.7", ClientCertificate::None);
    for token in [TOKEN, r#"another\]token\"of\\the tests"#, r#"another]token\"of\\the tests"#] {
        let frame = format!("<14>1 - - - - - [x@1][edr@1 a=\"b\" key=\"{token}\"] {{}}");
        assert_eq!(verified(&own, from, frame.as_bytes()), Ok(()), "{token}");
    }
    let default = message_with(TOKEN, "{}");
    let missing = verified(&own, from, default.as_bytes());
    assert!(matches!(missing, Err(NotProven::Missing { .. })), "{missing:?}");
}

fn cases() -> ProptestConfig {
    let is_long = crate::support::app::is_long();
    ProptestConfig::with_cases(if is_long { 20_000 } else { 256 })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_frame_without_the_token_in_its_place_is_ever_verified(
        pieces in prop::collection::vec(
            select(vec![
                "<14>1 ", "<14>", "- ", "- - - - - ", "[", "]", "\"", "\\", " ", "=", "x@1",
                "harfanglab@32473", "harfanglab@32473 token=", "[harfanglab@32473 token=\"",
                "\"]", "{}", "\u{feff}", "token=\"a-syslog-token-of-the-test\"",
                "token=\"a-syslog-token-of-the-testss\"", "\n", "\0", "[harfanglab@32473]",
            ]),
            0..20,
        ),
    ) {
        let frame = format!("<14>1 - - - - - {}", pieces.concat());
        if let Ok(message) = Message::parse(frame.as_bytes()) {
            let verifier = SyslogVerifier::new(&settings()).unwrap();
            let from = sender("192.0.2.7", ClientCertificate::None);
            prop_assert!(verifier.verify(from, &message, DateTime::<Utc>::UNIX_EPOCH).is_err());
            // In the message itself it proves nothing either.
            let behind = format!("{frame} [harfanglab@32473 token=\"{TOKEN}\"] {{}}");
            if let Ok(message) = Message::parse(behind.as_bytes())
                && message.body().windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())
            {
                prop_assert!(verifier.verify(from, &message, DateTime::<Utc>::UNIX_EPOCH).is_err());
            }
        }
    }
}
