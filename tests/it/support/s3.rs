//! The real S3-compatible server that tests put objects into, given by
//! `HARFANGLAB_INCIDENTS_TEST_S3_URL` in the form that `scripts/s3.sh` prints. Tests share it: each
//! uses a folder of its own.

use std::time::Duration;

use harfanglab_incidents::config::S3Settings;
use rusty_s3::{
    Bucket, Credentials, S3Action, UrlStyle,
    actions::{GetObject, ListObjectsV2, PutObject},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::{broker::fresh_connector_id, stage::http};

const LIFETIME: Duration = Duration::from_mins(5);

/// A folder of its own in the test's bucket.
pub(crate) struct S3Server {
    url: Url,
    bucket: Bucket,
    credentials: Credentials,
    pub(crate) folder: String,
}

impl S3Server {
    pub(crate) fn connect() -> Self {
        let url = std::env::var("HARFANGLAB_INCIDENTS_TEST_S3_URL").expect(
            "HARFANGLAB_INCIDENTS_TEST_S3_URL is not set: run the tests by scripts/test.sh, which \
             starts an S3 server for them",
        );
        let url: Url = url.parse().expect("HARFANGLAB_INCIDENTS_TEST_S3_URL is a URL");
        let mut root = url.clone();
        root.set_username("").unwrap();
        root.set_password(None).unwrap();
        root.set_path("");
        let bucket = url.path().trim_matches('/').to_owned();
        let bucket = Bucket::new(root, UrlStyle::Path, bucket, "us-east-1").unwrap();
        let credentials = Credentials::new(url.username(), url.password().unwrap());
        Self { url, bucket, credentials, folder: fresh_connector_id() }
    }

    /// Returns host and port.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap(), self.url.port().unwrap())
    }

    /// Returns what registration of a platform with this server answers.
    pub(crate) fn told(&self) -> Value {
        json!({
            "endpoint": self.url.host_str(),
            "port": self.url.port(),
            "use_ssl": false,
            "bucket_name": self.bucket.name(),
            "bucket_region": "us-east-1",
            "access_key": self.credentials.key(),
            "secret_key": self.credentials.secret(),
        })
    }

    /// Settings that leave everything to the platform.
    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: None,
            folder: self.folder.clone(),
            retention_days: 7,
            endpoint: None,
            port: None,
            use_ssl: None,
            region: None,
            access_key: None,
            secret_key: None,
        }
    }

    /// Settings that leave nothing to the platform.
    pub(crate) fn explicit_settings(&self) -> S3Settings {
        S3Settings {
            bucket: Some(self.bucket.name().to_owned()),
            endpoint: self.url.host_str().map(str::to_owned),
            port: self.url.port(),
            use_ssl: Some(false),
            access_key: Some(SecretString::from(self.credentials.key())),
            secret_key: Some(SecretString::from(self.credentials.secret())),
            ..self.settings()
        }
    }

    /// Keys in the folder, without the folder, sorted.
    pub(crate) async fn names(&self) -> Vec<String> {
        let mut list = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
        let folder = format!("{}/", self.folder);
        list.with_prefix(folder.clone());
        let answer = http().get(list.sign(LIFETIME)).send().await.unwrap();
        let page = ListObjectsV2::parse_response(&answer.text().await.unwrap()).unwrap();
        let name = |key: &str| key.strip_prefix(&folder).unwrap().to_owned();
        let mut names: Vec<_> = page.contents.iter().map(|object| name(&object.key)).collect();
        names.sort();
        names
    }

    /// Content type and text of an object.
    pub(crate) async fn get(&self, name: &str) -> (String, String) {
        let key = format!("{}/{name}", self.folder);
        let get = GetObject::new(&self.bucket, Some(&self.credentials), &key);
        let answer = http().get(get.sign(LIFETIME)).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, answer.error_for_status().unwrap().text().await.unwrap())
    }

    /// Puts an object there that somebody else might have put.
    pub(crate) async fn put(&self, name: &str) {
        let key = format!("{}/{name}", self.folder);
        let put = PutObject::new(&self.bucket, Some(&self.credentials), &key);
        let answer = http().put(put.sign(LIFETIME)).body("{}").send().await.unwrap();
        answer.error_for_status().unwrap();
    }
}
