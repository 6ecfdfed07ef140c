//! The binary and an S3 server behind TLS with a certificate of a private authority.

use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use reqwest::Method;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::combined::{stage_with_an_alert, with_s3};
use crate::support::{authority::Authority, opencti::Personality, s3::S3Server, stage::http};

/// More than any object of these tests, in bytes.
const BODY_MAX: usize = 10 << 20;

/// Serves `server` by TLS, with a certificate of `authority`; answers the port.
fn behind_tls(server: &S3Server, authority: &Authority) -> u16 {
    let (certificate, key) = authority.issue();
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
    let target = format!("http://{}:{}", told["endpoint"].as_str().unwrap(), told["port"]);
    let target = web::Data::new(target);
    let listening = HttpServer::new(move || {
        App::new()
            .app_data(target.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .default_service(web::to(forward))
    })
    .workers(1)
    .disable_signals()
    .bind_rustls_0_23(("127.0.0.1", 0), tls)
    .unwrap();
    let port = listening.addrs()[0].port();
    tokio::spawn(listening.run());
    port
}

/// The host stays as the client named it: it is part of what was signed.
async fn forward(
    request: HttpRequest,
    body: web::Bytes,
    target: web::Data<String>,
) -> HttpResponse {
    let url = format!("{}{}", **target, request.uri().path_and_query().unwrap());
    let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap();
    let host = request.connection_info().host().to_owned();
    let mut forwarded = http().request(method, url).header("host", host).body(body.to_vec());
    if let Some(kind) = request.headers().get("content-type") {
        forwarded = forwarded.header("content-type", kind.as_bytes());
    }
    let answer = forwarded.send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    HttpResponse::build(status).body(answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn objects_go_to_s3_by_tls_when_its_authority_is_named_and_not_before() {
    let (server, authority) = (S3Server::connect(), Authority::new());
    let mut stage = stage_with_an_alert(Personality::V7_260817_0).await;
    with_s3(&mut stage, &server);
    let port = behind_tls(&server, &authority).to_string();
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
