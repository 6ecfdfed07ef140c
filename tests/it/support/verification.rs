//! Verifiers, and proofs that only they can make.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    config::{AccessSettings, HmacEncoding, WebhookScheme, WebhookSettings},
    intake::verification::{Proof, Verifier},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;

/// A body to be signed.
pub(crate) const BODY: &[u8] = br#"{"test": 2432232314}"#;

/// Returns the settings of an endpoint with this scheme and these secrets.
pub(crate) fn settings(scheme: WebhookScheme, secrets: &[&str]) -> WebhookSettings {
    WebhookSettings {
        path: "/webhooks/harfanglab".to_owned(),
        schemes: vec![scheme],
        secrets: secrets.iter().map(|secret| SecretString::from(*secret)).collect(),
        header: "Authorization".to_owned(),
        hmac_header: None,
        hmac_encoding: HmacEncoding::Hex,
        hmac_prefix: "sha256=".to_owned(),
        tolerance: std::time::Duration::from_mins(5),
        max_body_bytes: 1_000_000,
        max_in_flight: 8,
        secret_file: None,
        access: AccessSettings {
            allowed_networks: Vec::new(),
            trusted_proxies: Vec::new(),
            max_failures_per_minute: 30,
        },
    }
}

/// Returns these headers.
pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The proof of a push that was verified.
pub(crate) fn proof_of_a_push(now: DateTime<Utc>) -> Proof {
    let secret = "a secret of the tests";
    let settings = settings(WebhookScheme::Header, &[secret]);
    let verifier = Verifier::new(&settings).unwrap().expect("there is a secret");
    verifier.verify(&headers(&[("authorization", secret)]), BODY, now).unwrap()
}

/// Returns the HMAC-SHA256 of these parts.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Returns the time so many seconds after 1970.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}
