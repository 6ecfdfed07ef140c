//! Delivery to objects in S3 (`connector:` and `s3:`).

use secrecy::SecretString;

use crate::config::{
    declare::{Field, settings},
    option::{secret, switch, text, whole},
    parse::Refusal,
    reader::{Read, Reader},
};

settings! { S3 "":
    /// The objects' place in S3. Each of the `S3_*` overrides what registration answers.
    #[derive(Debug, Clone)]
    pub struct S3Settings {
        /// Deliver to objects in S3, as for a one-way transfer.
        also CONNECTOR_SEND_TO_S3: switch().default("false");
        /// Their bucket; left out: the one that OpenCTI tells.
        bucket: Option<String> = CONNECTOR_SEND_TO_S3_BUCKET: text("the name of a bucket");
        /// The beginning of their keys; a dot for the bucket's root.
        folder: String = CONNECTOR_SEND_TO_S3_FOLDER:
            text("a folder such as connectors, or a dot for the bucket's root").default("connectors"),
            by folder;
        /// Days after which our objects there are removed; 0 keeps them.
        retention_days: u32 = CONNECTOR_SEND_TO_S3_RETENTION: whole(0, 36_500)
            .note("days, 0 to keep the objects for ever").default("7");
        /// Host name only.
        endpoint: Option<String> = S3_ENDPOINT: text("the host name of an S3 server"), by host;
        port: Option<u16> = S3_PORT: whole(1, 65_535);
        /// The certificate is checked by the system's authorities and those of OpenCTI.
        use_ssl: Option<bool> = S3_USE_SSL: switch();
        region: Option<String> = S3_BUCKET_REGION: text("the name of a region, such as us-east-1");
        access_key: Option<SecretString> = S3_ACCESS_KEY: secret("an access key");
        secret_key: Option<SecretString> = S3_SECRET_KEY: secret("the secret key of S3_ACCESS_KEY");
    }
}

/// Reads what is set of S3; `None` when nothing is delivered to it.
pub(super) fn read(reader: &mut Reader<'_>) -> Read<Option<S3Settings>> {
    let is_on = bool::read(reader, &CONNECTOR_SEND_TO_S3);
    let settings = S3Settings::read(reader);
    let (is_on, settings) = (is_on?, settings?);
    Ok(is_on.then_some(settings))
}

/// Slashes at the ends mean nothing; `.` is the root.
fn folder(text: &str) -> Result<String, Refusal> {
    let folder = text.trim().trim_matches('/');
    if folder == "." {
        return Ok(String::new());
    }
    // A URL would resolve them and lead to another place.
    if folder.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("has an empty part or one of dots".to_owned());
    }
    Ok(folder.to_owned())
}

fn host(text: &str) -> Result<String, Refusal> {
    if text.contains(['/', '@', '?', '#']) || url::Host::parse(text).is_err() {
        return Err("is not a host name; S3_USE_SSL and S3_PORT say the rest".to_owned());
    }
    Ok(text.to_owned())
}
