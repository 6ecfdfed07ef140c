//! The binary and an S3 server behind TLS with a certificate of a private authority.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::combined::{stage_with_an_alert, with_s3};
use crate::support::{authority::Authority, opencti::Personality, s3::S3Server};

/// Serves `server` by TLS, with this certificate and key; answers the port.
pub(crate) fn behind_tls(server: &S3Server, (certificate, key): &(String, String)) -> u16 {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let told = server.told();
    let target = format!("{}:{}", told["endpoint"].as_str().unwrap(), told["port"]);
    let (listener, port) = listener();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // A client that does not know the authority ends the handshake.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

fn listener() -> (TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (TcpListener::from_std(listener).unwrap(), port)
}

#[tokio::test]
async fn objects_go_to_s3_by_tls_when_its_authority_is_named_and_not_before() {
    let (server, authority) = (S3Server::connect(), Authority::new());
    let mut stage = stage_with_an_alert(Personality::V7_260817_0).await;
    with_s3(&mut stage, &server);
    let port = behind_tls(&server, &authority.issue()).to_string();
    for (name, value) in [
        ("CONNECTOR_SEND_TO_QUEUE", "false"),
        ("S3_USE_SSL", "true"),
        ("S3_PORT", &port),
        ("CONNECTOR_RUN_AND_TERMINATE", "false"),
        ("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0"),
    ] {
        stage.home.set(name, value);
    }
    let mut app = stage.home.start(&["serve"]);
    app.wait_for_log("its certificate is refused", |line| {
        let is_it = line["message"].as_str()?.starts_with("bundles could not be");
        let reason = line["attributes"]["reason"].as_str().filter(|_| is_it)?;
        reason.to_lowercase().contains("certificate").then_some(())
    })
    .await;
    assert!(app.terminate().await.success(), "{}", app.log());
    assert!(server.names().await.is_empty());

    let file = stage.home.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    stage.home.set("OPENCTI_SSL_VERIFY", file.to_str().unwrap());
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    assert_eq!(server.names().await.len(), 1);
}
