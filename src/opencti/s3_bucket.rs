//! A bucket on an S3-compatible server: put, list, remove. Requests are signed (version 4) by
//! `rusty-s3` and sent by our own HTTP client.
//!
//! The bucket is named in the path, not in the host: every server understands that. A signed
//! address is as good as a password for an hour, so it never gets into a message.
//!
//! Does not live here: what is put and when (`s3`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{DeleteObject, ListObjectsV2, PutObject},
};
use secrecy::ExposeSecret;

use super::registration::S3Connection;
use crate::{
    clock::Clock,
    config::S3Settings,
    outbound::{self, ClientError, ServerTrust},
    tls::{Peer, Remedies},
};

/// S3 in advice on TLS.
const PEER: Peer = Peer {
    name: "S3",
    authorities: "OPENCTI_SSL_VERIFY or HTTPS_CA_CERTIFICATES",
    unchecked: "",
    remedies: Remedies::Own {
        other_host: "name the host in S3_ENDPOINT as the certificate does",
        client_certificate: "S3 demands a client certificate, and this program shows none",
        no_tls: "it does not speak TLS as we do: check S3_PORT and S3_USE_SSL",
    },
};

/// The remedy where there is no answer, unless TLS failed.
const CHECK: &str = "check S3_ENDPOINT, S3_PORT, S3_USE_SSL";

/// Longest time of a request, to which a large object adds a second for so many bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const LEAST_BYTES_A_SECOND: u64 = 128 << 10;

/// Time for which a signature is good.
const SIGNATURE_LIFETIME: Duration = Duration::from_hours(1);

/// Longest answer that is read: a page of a thousand keys is well below.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Most pages of keys that are read in one go; the rest comes next time.
const MAX_PAGES: usize = 100;

/// The kind of what we put.
const JSON: &str = "application/json";

/// The reason for which S3 did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It is not known where S3 is or who we are there.
    #[error(
        "it is not known where S3 is: {missing} is neither set nor told by OpenCTI (which tells it \
         from 6.9.10 on)"
    )]
    Unknown {
        /// Variables that would say it.
        missing: String,
    },
    /// The parts that are known of it make no address.
    #[error("S3 at {host} cannot be addressed: {reason}; check S3_ENDPOINT and S3_PORT")]
    Address {
        /// Host and port.
        host: String,
        /// The fault.
        reason: String,
    },
    /// No answer.
    #[error("S3 at {host} does not answer: {reason}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The innermost cause and the remedy.
        reason: String,
    },
    /// The object is larger than the server takes.
    #[error("S3 at {host} takes no object of {bytes} bytes ({status})")]
    TooLarge {
        /// Host and port.
        host: String,
        /// Size of the object.
        bytes: usize,
        /// HTTP status.
        status: StatusCode,
    },
    /// It answered with an error.
    #[error("S3 at {host} answers {status} {code} about the bucket {bucket}; check {advice}")]
    Answer {
        /// Host and port.
        host: String,
        /// The bucket.
        bucket: String,
        /// HTTP status.
        status: StatusCode,
        /// The error's code in the answer, such as `NoSuchBucket`; may be empty.
        code: String,
        /// Variables or clocks that may be wrong.
        advice: &'static str,
    },
}

/// An object's key and the time of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) changed: DateTime<Utc>,
}

/// A bucket that can be used.
pub struct S3Bucket {
    http: reqwest::Client,
    bucket: Bucket,
    credentials: Credentials,
    host: String,
    clock: Clock,
}

impl S3Bucket {
    /// Makes a bucket at the place that the settings name, and for what they leave open that of the platform.
    /// Nothing is
    /// sent yet.
    pub fn new(
        settings: &S3Settings,
        told: Option<&S3Connection>,
        trust: &ServerTrust,
        clock: Clock,
    ) -> Result<Self, S3Error> {
        let mut missing = Vec::new();
        let mut need = |set: Option<String>, told: Option<String>, variable: &'static str| {
            set.or(told).unwrap_or_else(|| {
                missing.push(variable);
                String::new()
            })
        };
        let secret = |set: &Option<secrecy::SecretString>| {
            set.as_ref().map(|secret| secret.expose_secret().to_owned())
        };
        let of = |pick: fn(&S3Connection) -> String| told.map(pick);
        let endpoint = need(settings.endpoint.clone(), of(|s3| s3.endpoint.clone()), "S3_ENDPOINT");
        let bucket = need(
            settings.bucket.clone(),
            of(|s3| s3.bucket_name.clone()),
            "CONNECTOR_SEND_TO_S3_BUCKET",
        );
        let access = need(
            secret(&settings.access_key),
            of(|s3| s3.access_key.expose_secret().to_owned()),
            "S3_ACCESS_KEY",
        );
        let secret_key = need(
            secret(&settings.secret_key),
            of(|s3| s3.secret_key.expose_secret().to_owned()),
            "S3_SECRET_KEY",
        );
        if !missing.is_empty() {
            return Err(S3Error::Unknown { missing: missing.join(", ") });
        }
        // Without a word on it: encrypted, on the port that goes with it, in the region of those
        // who have none.
        let use_ssl = settings.use_ssl.or(told.map(|s3| s3.use_ssl)).unwrap_or(true);
        let port = settings.port.or(told.map(|s3| s3.port));
        let port = port.unwrap_or(if use_ssl { 443 } else { 80 });
        let region = settings.region.clone().or(of(|s3| s3.bucket_region.clone()));
        let region = region.filter(|region| !region.is_empty());
        let host = format!("{endpoint}:{port}");
        let address = |reason: String| S3Error::Address { host: host.clone(), reason };
        let scheme = if use_ssl { "https" } else { "http" };
        let url = format!("{scheme}://{host}/")
            .parse()
            .map_err(|error: url::ParseError| address(error.to_string()))?;
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let bucket = Bucket::new(url, UrlStyle::Path, bucket, region)
            .map_err(|error| address(error.to_string()))?;
        let http = outbound::client(trust, REQUEST_TIMEOUT)?;
        Ok(Self { http, bucket, credentials: Credentials::new(access, secret_key), host, clock })
    }

    /// Host, port and bucket, for messages.
    pub fn place(&self) -> String {
        format!("bucket {} at {}", self.bucket.name(), self.host)
    }

    /// Tries out the bucket and the keys, by listing.
    ///
    /// # Errors
    /// As for every request.
    pub async fn probe(&self) -> Result<(), S3Error> {
        self.page("", None).await.map(drop)
    }

    /// Puts an object; it is stored when the server answers.
    pub(super) async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), S3Error> {
        let bytes = content.len();
        let mut action = PutObject::new(&self.bucket, Some(&self.credentials), key);
        action.headers_mut().insert("content-type", JSON);
        let sending = Duration::from_secs(bytes as u64 / LEAST_BYTES_A_SECOND);
        let request = self.http.put(self.sign(&action)).header(CONTENT_TYPE, JSON).body(content);
        let request = request.timeout(REQUEST_TIMEOUT + sending);
        match self.send(request).await {
            Err(S3Error::Answer { host, status, code, .. })
                if status == StatusCode::PAYLOAD_TOO_LARGE || code == "EntityTooLarge" =>
            {
                Err(S3Error::TooLarge { host, bytes, status })
            }
            answer => answer.map(drop),
        }
    }

    /// Removes an object; one that is gone already is no error.
    pub(super) async fn remove(&self, key: &str) -> Result<(), S3Error> {
        let action = DeleteObject::new(&self.bucket, Some(&self.credentials), key);
        self.send(self.http.delete(self.sign(&action))).await.map(drop)
    }

    /// The objects whose keys begin with `prefix`.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Found>, S3Error> {
        let mut found = Vec::new();
        let mut next = None;
        for _page in 0..MAX_PAGES {
            let page = self.page(prefix, next).await?;
            found.extend(page.contents.into_iter().filter_map(|object| {
                let changed = object.last_modified?.parse().ok()?;
                Some(Found { key: object.key, changed })
            }));
            next = page.next_continuation_token;
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<rusty_s3::actions::ListObjectsV2Response, S3Error> {
        let mut action = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
        action.with_prefix(prefix);
        if let Some(token) = after {
            action.with_continuation_token(token);
        }
        let answer = self.send(self.http.get(self.sign(&action))).await?;
        let body = self.read(answer).await?;
        ListObjectsV2::parse_response(&in_one_namespace(&body)).map_err(|_unreadable| {
            S3Error::Unreachable {
                host: self.host.clone(),
                reason: format!("its answer is not that of an S3 server; {CHECK}"),
            }
        })
    }

    fn sign<'a>(&self, action: &impl S3Action<'a>) -> url::Url {
        let now = self.clock.now().timestamp();
        // Fails only for years beyond 9999.
        let now = jiff::Timestamp::from_second(now).unwrap_or(jiff::Timestamp::MAX);
        action.sign_with_time(SIGNATURE_LIFETIME, &now)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, S3Error> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let code = code(&self.read(answer).await.unwrap_or_default());
        let advice = match (status.as_u16(), &*code) {
            (_, "RequestTimeTooSkewed") => {
                "the clock of this machine and that of the server, which differ by more than it allows"
            }
            (301 | 307 | 400, _) => "S3_BUCKET_REGION and S3_ENDPOINT",
            (401 | 403, _) => "S3_ACCESS_KEY, S3_SECRET_KEY and what that key may do",
            (404, _) => "CONNECTOR_SEND_TO_S3_BUCKET",
            _ => "the server's own log",
        };
        let (host, bucket) = (self.host.clone(), self.bucket.name().to_owned());
        Err(S3Error::Answer { host, bucket, status, code, advice })
    }

    /// The answer's text, up to the limit.
    async fn read(&self, mut answer: Response) -> Result<String, S3Error> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn unreachable(&self, error: reqwest::Error) -> S3Error {
        let reason = outbound::why_no_answer(error, &PEER, CHECK);
        S3Error::Unreachable { host: self.host.clone(), reason }
    }
}

/// The listing in the namespace of Amazon's own server: some others give it another one or none,
/// which the parser would take for another language.
fn in_one_namespace(listing: &str) -> String {
    const NAMESPACE: &str = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    let root = listing.split_once("<ListBucketResult");
    match root.and_then(|(_before, rest)| rest.split_once('>')) {
        Some((attributes, rest)) if !attributes.ends_with('/') => format!("{NAMESPACE}{rest}"),
        _ => listing.to_owned(),
    }
}

/// Returns the text of `<Code>` in an error's answer, when it is a word.
fn code(body: &str) -> String {
    let code = body.split_once("<Code>").and_then(|(_before, rest)| rest.split_once("</Code>"));
    let code = code.map(|(code, _after)| code).unwrap_or_default();
    let is_word = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { code.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_in_whatever_namespace_it_comes() {
        for root in [
            "<ListBucketResult>",
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
            "<ListBucketResult xmlns=\"http://doc.s3.amazonaws.com/2006-03-01/\" >",
        ] {
            let listing = format!(
                "<?xml version=\"1.0\"?>\n{root}<Name>bucket</Name><Prefix>a/</Prefix>\
                 <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>\
                 <Contents><Key>a/b.json</Key><LastModified>2026-11-22T19:25:18.000Z</LastModified>\
                 <ETag>x</ETag><Size>2</Size><StorageClass>STANDARD</StorageClass></Contents>\
                 </ListBucketResult>"
            );
            let page = ListObjectsV2::parse_response(&in_one_namespace(&listing)).unwrap();
            assert_eq!(page.contents[0].key, "a/b.json", "{root}");
        }
    }

    #[test]
    fn only_a_word_is_taken_for_the_code_of_an_error() {
        assert_eq!(code("<Error><Code>NoSuchBucket</Code></Error>"), "NoSuchBucket");
        assert_eq!(code("<Error><Code>no such\nbucket</Code></Error>"), "");
        assert_eq!(code("Bad Gateway"), "");
    }
}
