//! `opencti:`, and reading the token again.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use super::certificates::{self, TlsVerification};
use crate::config::{
    declare::{Field, settings},
    fault::{self, Fault},
    option::{secret, text, url},
    parse::{self, Refusal},
    raw,
    reader::{Read, Reader},
};

settings! { OPENCTI "":
    /// `opencti:` / `OPENCTI_*`.
    #[derive(Debug, Clone)]
    pub struct OpenCtiSettings {
        /// The base URL, with its base path if it has one, without /graphql.
        url: Url = OPENCTI_URL:
            url("the base URL of OpenCTI, such as https://opencti.example.org, without /graphql")
                .required("https://opencti.example.org").row("the platform"), by platform_url;
        /// The API token of a user of the group "Connectors". A file of it is read again when it changes
        /// and at SIGHUP.
        token: SecretString = OPENCTI_TOKEN: secret("the API token of the connector's user")
            .required("ChangeMe").row("the API token of a user of the group \"Connectors\""),
            by |text| parse::token(text).map(SecretString::from);
        /// `OPENCTI_TOKEN_FILE`, where the token came from one; it is read again when it changes.
        token_file: Option<PathBuf> = file of OPENCTI_TOKEN;
        /// true checks OpenCTI's certificate by the system's authorities, the path of a PEM file also by the
        /// authorities in it, false not at all. Differs from the Python connectors, which did not check by
        /// default. A server's own certificate in the file is trusted as itself, for the hosts that it names
        /// and while it is valid. Files of certificates have at most 4 MiB; this one is read again
        /// when it changes. `HTTPS_CA_CERTIFICATES`
        /// (environment only): a PEM file or PEM text with further authorities for OpenCTI; it turns the
        /// check on.
        also OPENCTI_SSL_VERIFY:
            text("true, false, or the path of a PEM file with OpenCTI's certificate authority")
                .default("true");
        also HTTPS_CA_CERTIFICATES:
            text("the path of a PEM file, or PEM text that begins with -----BEGIN CERTIFICATE-----")
                .environment_only();
        /// Certificate check (`OPENCTI_SSL_VERIFY`, `HTTPS_CA_CERTIFICATES`).
        tls: TlsVerification = from verification;
        /// Sent with every request to OpenCTI, as name:value;name2:value2.
        also OPENCTI_CUSTOM_HEADERS: secret("HTTP headers as name:value;name2:value2");
        /// `OPENCTI_CUSTOM_HEADERS`: name and value of each.
        custom_headers: Vec<(String, SecretString)> = from custom_headers;
    }
}

/// Reads the token again from the file that it came from.
///
/// # Errors
/// The fault that the same file would have been at the start.
pub fn opencti_token(path: &Path) -> Result<SecretString, Fault> {
    let raw = raw::secret_file(&OPENCTI_TOKEN, &fault::subject(&OPENCTI_TOKEN), path.to_owned())?;
    parse::token(&raw.text).map(SecretString::from).map_err(|refusal| {
        let problem = format!("names the file {}, whose value {refusal}", path.display());
        Fault::of(&OPENCTI_TOKEN, problem, format!("expected {}", OPENCTI_TOKEN.expects()))
    })
}

/// `HTTPS_CA_CERTIFICATES` turns the check on, as it does in the Python connectors; the path of a file in
/// `OPENCTI_SSL_VERIFY` is more precise and wins.
fn verification(reader: &mut Reader<'_>) -> Read<TlsVerification> {
    let verification = TlsVerification::read(reader, &OPENCTI_SSL_VERIFY);
    let authorities = reader.optional(&HTTPS_CA_CERTIFICATES, certificates::authorities);
    match (verification?, authorities?) {
        (verification @ TlsVerification::CaFile(_), Some(_)) => {
            let ignored = "HTTPS_CA_CERTIFICATES is not read: OPENCTI_SSL_VERIFY names a file";
            reader.warnings.push(ignored.to_owned());
            Ok(verification)
        }
        (_, Some(authorities)) => Ok(authorities),
        (verification, None) => Ok(verification),
    }
}

fn custom_headers(reader: &mut Reader<'_>) -> Read<Vec<(String, SecretString)>> {
    let headers = reader.optional(&OPENCTI_CUSTOM_HEADERS, parse::custom_headers)?;
    let secret = |(name, value)| (name, SecretString::from(value));
    Ok(headers.into_iter().flatten().map(secret).collect())
}

fn platform_url(text: &str) -> Result<Url, Refusal> {
    let url = parse::base_url(text)?;
    if url.path().trim_end_matches('/').ends_with("/graphql") {
        return Err("ends in /graphql, which is added to it".to_owned());
    }
    Ok(url)
}
