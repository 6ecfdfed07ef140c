//! Proofs that are none: stripped, cut, listed, disguised, of another scheme, of another body.

use std::{fs, path::Path};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use harfanglab_incidents::{
    config::{WebhookScheme, WebhookSettings},
    intake::verification::{NotVerified, Verifier},
};
use secrecy::SecretString;

use crate::support::{
    configuration::load_with,
    verification::{BODY, at, mac, settings},
};

/// For every scheme a secret that all of them can use.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNED_AT: i64 = 1_614_265_330;

/// All three schemes at once, each in a header of its own.
fn all_schemes() -> WebhookSettings {
    let mut settings = settings(WebhookScheme::Header, &[SECRET]);
    settings.schemes =
        vec![WebhookScheme::Header, WebhookScheme::Hmac, WebhookScheme::StandardWebhooks];
    settings.hmac_header = Some("X-Signature-256".to_owned());
    settings
}

fn verdict(settings: &WebhookSettings, pairs: &[(&str, Vec<u8>)]) -> Result<(), NotVerified> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let Ok(value) = HeaderValue::from_bytes(value) else { return Err(NotVerified::Malformed) };
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    let verifier = Verifier::new(settings).unwrap().expect("there is a secret");
    let by_headers = verifier.glance(&headers);
    let verdict = verifier.verify(&headers, BODY, at(SIGNED_AT)).map(|_proof| ());
    assert!(verdict.is_err() || by_headers.is_ok(), "what verifies also looks good");
    verdict
}

fn standard(signature: String) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("webhook-id", b"msg_1".to_vec()),
        ("webhook-timestamp", SIGNED_AT.to_string().into_bytes()),
        ("webhook-signature", signature.into_bytes()),
    ]
}

fn standard_signature() -> String {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let timestamp = SIGNED_AT.to_string();
    let parts: [&[u8]; 5] = [b"msg_1", b".", timestamp.as_bytes(), b".", BODY];
    STANDARD.encode(mac(&key, &parts))
}

#[test]
fn with_three_schemes_each_proof_counts_in_its_own_header_only() {
    let settings = all_schemes();
    let hex = hex::encode(mac(SECRET.as_bytes(), &[BODY]));
    let signed = format!("v1,{}", standard_signature());
    let good = [
        vec![("authorization", SECRET.as_bytes().to_vec())],
        vec![("x-signature-256", format!("sha256={hex}").into_bytes())],
        standard(signed.clone()),
    ];
    for pairs in &good {
        assert_eq!(verdict(&settings, pairs), Ok(()), "{pairs:?}");
    }
    let proofs = [SECRET.to_owned(), hex, signed];
    for (header, own) in [("authorization", 0), ("x-signature-256", 1), ("webhook-signature", 2)] {
        for (place, proof) in proofs.iter().enumerate().filter(|(place, _)| *place != own) {
            let pairs = [(header, proof.clone().into_bytes())];
            assert!(verdict(&settings, &pairs).is_err(), "{place} in {header}");
        }
    }
}

#[test]
fn no_proof_that_is_cut_listed_repeated_or_disguised_is_taken() {
    let settings = all_schemes();
    let hex = hex::encode(mac(SECRET.as_bytes(), &[BODY]));
    let full_width: String =
        SECRET.chars().map(|it| char::from_u32(u32::from(it) + 0xfee0).unwrap()).collect();
    let cyrillic = SECRET.replace('a', "\u{430}");
    assert_ne!(cyrillic, SECRET);
    let secrets = [
        String::new(),
        " ".to_owned(),
        format!("Bearer Bearer {SECRET}"),
        format!("Bearer {SECRET},{SECRET}"),
        format!("Token {SECRET}"),
        format!("{SECRET},{SECRET}"),
        format!("{SECRET}\u{a0}"),
        format!("{SECRET}\u{200b}"),
        SECRET[..SECRET.len() - 1].to_owned(),
        SECRET.to_uppercase(),
        full_width,
        cyrillic,
        format!("{SECRET}\0"),
    ];
    for secret in secrets {
        assert!(
            verdict(&settings, &[("authorization", secret.clone().into())]).is_err(),
            "{secret:?}"
        );
    }
    let empty_key = hex::encode(mac(b"", &[BODY]));
    let empty_body = hex::encode(mac(SECRET.as_bytes(), &[]));
    let signatures = [
        String::new(),
        "sha256=".to_owned(),
        format!("sha1={hex}"),
        format!("sha256=sha256={hex}"),
        format!("Bearer {hex}"),
        format!("{hex},{hex}"),
        format!("{hex} {hex}"),
        format!("{hex}00"),
        hex[..62].to_owned(),
        hex[..63].to_owned(),
        hex.replace(|digit: char| digit.is_ascii_digit(), "\u{ff11}"),
        STANDARD.encode(mac(SECRET.as_bytes(), &[BODY])),
        empty_key,
        empty_body,
    ];
    for signature in signatures {
        let pairs = [("x-signature-256", signature.clone().into_bytes())];
        assert!(verdict(&settings, &pairs).is_err(), "{signature:?}");
        let twice = [pairs[0].clone(), ("x-signature-256", hex.clone().into_bytes())];
        assert!(verdict(&settings, &twice).is_err(), "{signature:?} beside the right one");
    }
}

#[test]
fn a_standard_signature_counts_among_the_first_sixteen_once_and_with_all_its_parts() {
    let settings = all_schemes();
    let good = format!("v1,{}", standard_signature());
    let wrong = "v1,AAAA ";
    assert_eq!(verdict(&settings, &standard(wrong.repeat(15) + &good)), Ok(()));
    assert!(verdict(&settings, &standard(wrong.repeat(16) + &good)).is_err());
    for signature in [
        good.replace("v1,", "V1,"),
        good.replace("v1,", "v1, "),
        good.replace("v1,", "v1"),
        good.replace("v1,", "\u{ff56}1,"),
        good.trim_end_matches('=').to_owned(),
        good[..good.len() - 4].to_owned(),
    ] {
        assert!(verdict(&settings, &standard(signature.clone())).is_err(), "{signature}");
    }
    for stripped in 0..3 {
        let mut pairs = standard(good.clone());
        pairs.remove(stripped);
        assert!(verdict(&settings, &pairs).is_err(), "without {stripped}");
        let mut pairs = standard(good.clone());
        pairs.push(pairs[stripped].clone());
        assert!(verdict(&settings, &pairs).is_err(), "{stripped} twice");
    }
    for timestamp in ["", "0", "-1", "9223372036854775807", "99999999999999999999", "1614265330.0"]
    {
        let mut pairs = standard(good.clone());
        pairs[1].1 = timestamp.into();
        assert!(verdict(&settings, &pairs).is_err(), "{timestamp}");
    }
}

#[test]
fn no_secret_that_is_empty_ever_opens_the_endpoint() {
    for secret in ["", " ", ",", " , ,", "\n"] {
        let loaded = load_with(&[("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", secret)]);
        let secrets = loaded.map(|loaded| loaded.settings.consoles[0].webhook.secrets.len());
        assert!(!secrets.is_ok_and(|count| count > 0), "{secret:?}");
    }
    // And if one did, no scheme of signatures would take it for a key of its own.
    let mut settings = settings(WebhookScheme::StandardWebhooks, &[]);
    for secret in ["", "whsec_", " "] {
        settings.secrets = vec![SecretString::from(secret)];
        assert!(Verifier::new(&settings).is_err(), "{secret:?}");
    }
}

/// Secrets are of a type that cannot be compared (`SecretString`); what is read out of it meets what
/// was sent in two places, and in no file of the schemes is anything else compared.
#[test]
fn what_is_sent_meets_a_secret_in_constant_time_comparisons_alone() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intake/verification");
    let mut constant = Vec::new();
    for scheme in ["static_header.rs", "hmac_header.rs", "standard_webhooks.rs"] {
        let source = fs::read_to_string(folder.join(scheme)).unwrap();
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let compares = ["==", "!=", ".eq(", ".ne(", ".cmp(", "assert"];
            assert!(!compares.iter().any(|how| line.contains(how)), "{scheme}: {line}");
            if ["ct_eq(", "verify_slice("].iter().any(|how| line.contains(how)) {
                constant.push(scheme);
            }
        }
    }
    assert_eq!(constant, ["static_header.rs", "hmac_header.rs"], "the third asks the second");
}
