//! Verification schemes: static header, HMAC, Standard Webhooks.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    config::{HmacEncoding, WebhookScheme, WebhookSettings},
    intake::verification::{NotVerified, Verifier},
};

use crate::support::verification::{BODY, at, headers, mac, settings};

fn verdict(
    settings: &WebhookSettings,
    pairs: &[(&str, &str)],
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), NotVerified> {
    let verifier = Verifier::new(settings).unwrap().expect("there is a secret");
    verifier.verify(&headers(pairs), body, now).map(|_proof| ())
}

#[test]
fn without_a_secret_there_is_no_verifier_and_the_endpoint_stays_closed() {
    assert!(Verifier::new(&settings(WebhookScheme::Header, &[])).unwrap().is_none());
}

#[test]
fn a_static_secret_is_taken_verbatim_or_as_a_bearer_token_and_several_are_valid_at_once() {
    let settings = settings(WebhookScheme::Header, &["abc123", "next-secret"]);
    let says = |value: &str| verdict(&settings, &[("authorization", value)], BODY, at(0));
    assert_eq!(says("abc123"), Ok(()));
    assert_eq!(says("next-secret"), Ok(()));
    assert_eq!(says("Bearer abc123"), Ok(()));
    assert_eq!(says("bearer  next-secret"), Ok(()));
    for wrong in [
        "",
        "abc12",
        "abc1234",
        "ABC123",
        "Bearer",
        "Bearer abc1234",
        "Bearerabc123",
        "Bearer Bearer abc123",
        "abc123,next-secret",
    ] {
        assert_eq!(says(wrong), Err(NotVerified::Mismatch), "{wrong:?}");
    }
    assert_eq!(verdict(&settings, &[], BODY, at(0)), Err(NotVerified::Missing));
}

#[test]
fn a_header_sent_twice_is_refused_even_when_one_of_them_fits() {
    let settings = settings(WebhookScheme::Header, &["abc123"]);
    let twice = [("authorization", "wrong"), ("authorization", "abc123")];
    assert_eq!(verdict(&settings, &twice, BODY, at(0)), Err(NotVerified::Malformed));
}

#[test]
fn an_hmac_is_taken_with_and_without_its_prefix_and_only_whole() {
    let settings = settings(WebhookScheme::Hmac, &["key"]);
    let whole = hex::encode(mac(b"key", &[BODY]));
    let says = |value: &str, body| verdict(&settings, &[("authorization", value)], body, at(0));
    assert_eq!(says(&format!("sha256={whole}"), BODY), Ok(()));
    assert_eq!(says(&whole.to_uppercase(), BODY), Ok(()));
    assert_eq!(says(&whole[..32], BODY), Err(NotVerified::Mismatch));
    assert_eq!(says(&whole, b"another body"), Err(NotVerified::Mismatch));
    assert_eq!(says("sha256=", BODY), Err(NotVerified::Mismatch));
    assert_eq!(says("not hex", BODY), Err(NotVerified::Malformed));
}

#[test]
fn an_hmac_in_base64_is_taken_from_a_header_of_its_own() {
    let mut settings = settings(WebhookScheme::Hmac, &["old key", "key"]);
    settings.hmac_encoding = HmacEncoding::Base64;
    settings.hmac_header = Some("X-Signature".to_owned());
    let value = STANDARD.encode(mac(b"key", &[BODY]));
    assert_eq!(verdict(&settings, &[("x-signature", &value)], BODY, at(0)), Ok(()));
    assert_eq!(
        verdict(&settings, &[("authorization", &value)], BODY, at(0)),
        Err(NotVerified::Missing)
    );
}

/// Secret, id, timestamp and signature as the libraries of Standard Webhooks publish them.
const PUBLISHED: [(&str, &str); 3] = [
    ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
    ("webhook-timestamp", "1614265330"),
    ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
];
const PUBLISHED_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_published_vector_of_standard_webhooks_passes_within_five_minutes_either_way() {
    let settings = settings(WebhookScheme::StandardWebhooks, &[PUBLISHED_SECRET]);
    let says = |now| verdict(&settings, &PUBLISHED, BODY, now);
    let signed_at = at(1_614_265_330);
    for minutes in [-5, 0, 5] {
        assert_eq!(says(signed_at + TimeDelta::minutes(minutes)), Ok(()), "{minutes}");
    }
    for seconds in [-301, 301] {
        let now = signed_at + TimeDelta::seconds(seconds);
        assert_eq!(says(now), Err(NotVerified::Stale), "{seconds}");
    }
}

#[test]
fn one_of_several_signatures_is_enough_and_other_versions_are_passed_over() {
    let settings = settings(WebhookScheme::StandardWebhooks, &[PUBLISHED_SECRET]);
    let now = at(1_614_265_330);
    let with = |signature: &str| {
        let mut pairs = PUBLISHED;
        pairs[2].1 = signature;
        verdict(&settings, &pairs, BODY, now)
    };
    let fits = PUBLISHED[2].1;
    assert_eq!(with(&format!("v1,AAAA v1a,AAAA {fits} v2,AAAA")), Ok(()));
    for wrong in [
        "",
        "v1,",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OI=",
    ] {
        assert_eq!(with(wrong), Err(NotVerified::Mismatch), "{wrong:?}");
    }
}

#[test]
fn a_signature_holds_for_its_id_timestamp_and_body_only() {
    let settings = settings(WebhookScheme::StandardWebhooks, &[PUBLISHED_SECRET]);
    let now = at(1_614_265_330);
    for (place, value) in [(0, "msg_other"), (1, "1614265331")] {
        let mut pairs = PUBLISHED;
        pairs[place].1 = value;
        assert_eq!(verdict(&settings, &pairs, BODY, now), Err(NotVerified::Mismatch), "{value}");
    }
    assert_eq!(verdict(&settings, &PUBLISHED, b"{}", now), Err(NotVerified::Mismatch));
    let mut pairs = PUBLISHED;
    pairs[1].1 = "yesterday";
    assert_eq!(verdict(&settings, &pairs, BODY, now), Err(NotVerified::Malformed));
}

#[test]
fn a_secret_that_is_not_base64_stops_the_start_and_says_how_to_make_one() {
    let refused = Verifier::new(&settings(WebhookScheme::StandardWebhooks, &["not base64!"]));
    let message = refused.err().expect("it cannot be used").to_string();
    assert!(message.contains("openssl rand") && !message.contains("not base64!"), "{message}");
}

#[test]
fn with_two_schemes_either_is_enough_and_neither_stands_in_for_the_other() {
    let mut settings = settings(WebhookScheme::Header, &["abc123"]);
    settings.schemes.push(WebhookScheme::Hmac);
    settings.hmac_header = Some("X-Signature-256".to_owned());
    let signature = hex::encode(mac(b"abc123", &[BODY]));
    let says = |pairs: &[(&str, &str)]| verdict(&settings, pairs, BODY, at(0));
    assert_eq!(says(&[("authorization", "abc123")]), Ok(()));
    assert_eq!(says(&[("x-signature-256", &signature)]), Ok(()));
    assert_eq!(says(&[("authorization", &signature)]), Err(NotVerified::Mismatch));
    assert_eq!(says(&[("x-signature-256", "abc123")]), Err(NotVerified::Mismatch));
}
