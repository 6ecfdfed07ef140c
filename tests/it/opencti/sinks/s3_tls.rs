//! The binary and an S3 server behind TLS with a certificate of a private authority.

use super::combined::{stage_with_an_alert, with_s3};
use crate::support::{
    authority::Authority, opencti::Personality, s3::S3Server, tls_front::TlsFront,
};

#[tokio::test]
async fn objects_go_to_s3_by_tls_when_its_authority_is_named_and_not_before() {
    let (server, authority) = (S3Server::connect(), Authority::new());
    let mut stage = stage_with_an_alert(Personality::V7_260817_0).await;
    with_s3(&mut stage, &server);
    let port = TlsFront::before(&server.address(), &authority.issue()).port().to_string();
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
