//! Self-signed certificates in the files of authorities: each is trusted as itself, for its hosts, and no
//! other one is.

use std::{fs, path::Path};

use harfanglab_incidents::{
    clock::Clock,
    config::{MqOverrides, S3Settings, TlsVerification},
    journal::PostgresDatabase,
    opencti::S3Bucket,
    outbound::ServerTrust,
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::{
    opencti::broker_tls::probed,
    outbound::proxies_and_authorities::{check, server},
    support::{
        authority::{Mark, self_signed},
        check::CheckScene,
        configuration::write_private,
        private_broker::PrivateBroker,
        private_postgres::PrivatePostgres,
        s3::S3Server,
        tls_front::TlsFront,
    },
};

fn path(folder: &Path, name: &str, text: &str) -> String {
    write_private(folder, name, text).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_console_and_a_platform_are_trusted_by_their_own_self_signed_certificate_and_its_host() {
    for mark in [Mark::Authority, Mark::Server] {
        let mut scene = CheckScene::new();
        let (own, other) = (self_signed("localhost", mark), self_signed("localhost", mark));
        let (port, trusted) = server(&own);
        let trusted = || std::mem::take(&mut *trusted.lock().unwrap());
        let folder = scene.home.path().to_owned();
        let (own, other) = (path(&folder, "own.pem", &own.0), path(&folder, "other.pem", &other.0));
        let mut told = async |host: &str, file: &str| {
            for (address, verify) in [
                ("HARFANGLAB_INCIDENTS_URL", "HARFANGLAB_INCIDENTS_SSL_VERIFY"),
                ("OPENCTI_URL", "OPENCTI_SSL_VERIFY"),
            ] {
                scene.home.set(address, &format!("https://{host}:{port}"));
                scene.home.set(verify, file);
            }
            let (console, platform) = check(&scene).await;
            [(console, "HARFANGLAB_INCIDENTS"), (platform, "OPENCTI")]
        };
        told("localhost", &own).await;
        assert!(trusted() >= 2, "both are trusted: {mark:?}");

        for (line, prefix) in told("localhost", &other).await {
            assert!(line.contains("shows a self-signed certificate that is not trusted"), "{line}");
            assert!(line.contains(&format!("set {prefix}_SSL_VERIFY")), "{line}");
        }
        for (line, prefix) in told("127.0.0.1", &own).await {
            assert!(line.contains("made out for another host"), "{line}");
            assert!(line.contains(&format!("name the host in {prefix}_URL")), "{line}");
        }
        assert_eq!(trusted(), 0, "{mark:?}");
    }
}

#[tokio::test]
async fn a_broker_is_trusted_by_its_own_self_signed_certificate_and_its_host() {
    let own = self_signed("localhost", Mark::Authority);
    let broker = PrivateBroker::with_certificate(&own.0, own.clone(), "--tls");
    let tls = broker.tls().authority;
    let told = async |host: &str, authority: &str| {
        let overrides = MqOverrides {
            host: Some(host.to_owned()),
            port: Some(tls.port),
            use_ssl: Some(true),
            ssl_ca: Some(authority.to_owned()),
            ..MqOverrides::default()
        };
        probed(&overrides).await
    };
    assert_eq!(told("localhost", &own.0).await, Ok(()));

    let other = self_signed("localhost", Mark::Authority).0;
    let text = told("localhost", &other).await.unwrap_err();
    let said = "the broker shows a self-signed certificate that is not trusted: set MQ_USE_SSL_CA";
    assert!(text.contains(said), "{text}");
    let text = told("127.0.0.1", &own.0).await.unwrap_err();
    assert!(text.contains("made out for another host: set MQ_HOST"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_is_trusted_by_its_own_self_signed_certificate_of_a_server_and_its_host() {
    for mark in [Mark::Server, Mark::Authority] {
        let own = self_signed("localhost", mark);
        let database = block_in_place(|| PrivatePostgres::with_certificate(&own.0, own.clone()));
        database.run("CREATE ROLE journal LOGIN PASSWORD 'journal'").await;
        database.run("CREATE DATABASE journal OWNER journal").await;
        let folder = TempDir::new().unwrap();
        let other = path(folder.path(), "other.pem", &self_signed("localhost", mark).0);
        let own = path(folder.path(), "own.pem", &own.0);
        let told = async |host: &str, file: &str| {
            let port = database.port();
            let url = format!(
                "postgres://journal@{host}:{port}/journal?sslmode=verify-full&sslrootcert={file}"
            );
            let found = PostgresDatabase::probe(&url, Some(&SecretString::from("journal"))).await;
            found.map_err(|refusal| refusal.to_string())
        };
        let (right, stranger) = (told("localhost", &own).await, told("localhost", &other).await);
        let text = stranger.unwrap_err();
        assert!(text.contains("sslrootcert") && text.contains("self-signed certificate"), "{text}");
        if mark == Mark::Server {
            let text = right.unwrap();
            assert!(text.contains("host of its certificate checked"), "{text}");
            let text = told("127.0.0.1", &own).await.unwrap_err();
            assert!(text.contains("made out for another host"), "{text}");
        } else {
            // The driver checks certificates by itself and takes no such one.
            let text = right.unwrap_err();
            assert!(text.contains("basicConstraints=critical,CA:FALSE"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_bucket_is_trusted_by_its_servers_own_self_signed_certificate_and_its_host() {
    let server = S3Server::connect();
    let own = self_signed("localhost", Mark::Authority);
    let port = TlsFront::before(&server.address(), &own).port();
    let folder = TempDir::new().unwrap();
    let told = async |host: &str, text: &str| {
        let file = folder.path().join("authorities.pem");
        fs::write(&file, text).unwrap();
        let settings = S3Settings {
            endpoint: Some(host.to_owned()),
            port: Some(port),
            use_ssl: Some(true),
            ..server.explicit_settings()
        };
        let trust = ServerTrust::new(&TlsVerification::CaFile(file)).unwrap();
        let bucket = S3Bucket::new(&settings, None, &trust, Clock::system()).unwrap();
        bucket.probe().await.map_err(|refusal| refusal.to_string())
    };
    assert_eq!(told("localhost", &own.0).await, Ok(()));

    let other = self_signed("localhost", Mark::Authority).0;
    let text = told("localhost", &other).await.unwrap_err();
    let said = "S3 shows a self-signed certificate that is not trusted: set OPENCTI_SSL_VERIFY";
    assert!(text.contains(said), "{text}");
    let text = told("127.0.0.1", &own.0).await.unwrap_err();
    assert!(text.contains("made out for another host: name the host in S3_ENDPOINT"), "{text}");
}
