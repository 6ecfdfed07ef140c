//! The endpoint's own TLS, with certificates made for each test.

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::support::{
    app::{App, WEBHOOK_SECRET},
    authority::Authority,
    configuration::{load_with, write_private},
    stage::Stage,
};

/// A client that trusts `authority` and shows `identity`.
#[expect(clippy::disallowed_methods, reason = "the service's own client shows no certificate")]
fn client(authority: &Authority, identity: Option<&(String, String)>) -> Client {
    // It makes ring the provider of the process.
    let _ = crate::support::stage::http();
    let trusted = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let builder = Client::builder().tls_certs_only([trusted]);
    let builder = match identity {
        Some((certificate, key)) => {
            let pem = format!("{certificate}{key}");
            builder.identity(Identity::from_pem(pem.as_bytes()).unwrap())
        }
        None => builder,
    };
    builder.build().unwrap()
}

/// The binary with a certificate of `authority`, and its URL.
async fn started(authority: &Authority, clients: Option<&Authority>) -> (Stage, App, String) {
    let mut stage = Stage::with_webhook().await;
    let (certificate, key) = authority.issue();
    let mut set = |name: &str, file: &str, text: &str| {
        let path = write_private(stage.home.path(), file, text);
        let name = format!("HARFANGLAB_INCIDENTS_WEBHOOK_TLS_{name}");
        stage.home.set(&name, path.to_str().unwrap());
    };
    set("CERT", "certificate.pem", &certificate);
    set("KEY", "key.pem", &key);
    if let Some(clients) = clients {
        set("CLIENT_CA", "clients.pem", &clients.pem());
    }
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await.replace("http://", "https://");
    (stage, app, url)
}

async fn post(client: &Client, url: &str) -> Result<(reqwest::Version, u16), reqwest::Error> {
    let request = client.post(url).header("Authorization", WEBHOOK_SECRET).json(&json!({}));
    let response = request.send().await?;
    let (version, status) = (response.version(), response.status().as_u16());
    let _: Value = response.json().await?;
    Ok((version, status))
}

#[tokio::test]
async fn with_a_certificate_the_endpoint_speaks_tls_and_nothing_else() {
    let authority = Authority::new();
    let (_stage, _app, url) = started(&authority, None).await;
    let answer = post(&client(&authority, None), &url).await.unwrap();
    assert_eq!(answer, (reqwest::Version::HTTP_11, 200));
    assert!(post(&client(&Authority::new(), None), &url).await.is_err(), "of another authority");
    let plain = url.replace("https://", "http://");
    assert!(post(&client(&authority, None), &plain).await.is_err(), "without TLS");
}

#[tokio::test]
async fn with_client_authorities_only_a_client_with_their_certificate_gets_in() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (_stage, _app, url) = started(&authority, Some(&clients)).await;
    let known = client(&authority, Some(&clients.issue()));
    assert_eq!(post(&known, &url).await.unwrap().1, 200);
    assert!(post(&client(&authority, None), &url).await.is_err(), "without a certificate");
    let stranger = client(&authority, Some(&Authority::new().issue()));
    assert!(post(&stranger, &url).await.is_err(), "with a certificate of somebody else");
}

/// Waits until the log says this of the certificate, with this cause.
async fn told(app: &mut App, what: &str, cause: &str) {
    app.wait_for_log(what, |line| {
        let said = format!("HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT {what}");
        let is_it = line["message"].as_str()?.contains(&said);
        (is_it && line["attributes"]["cause"] == cause).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_renewed_certificate_and_other_client_authorities_are_taken_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (old_clients, new_clients) = (Authority::new(), Authority::new());
    let (stage, mut app, url) = started(&old, Some(&old_clients)).await;
    let (known, renewed) = (old_clients.issue(), new_clients.issue());
    assert_eq!(post(&client(&old, Some(&known)), &url).await.unwrap().1, 200);

    let put = |file: &str, text: &str| write_private(stage.home.path(), file, text);
    let (certificate, key) = new.issue();
    put("key.pem", "no key");
    told(&mut app, "was not replaced", "the file changed").await;
    assert_eq!(post(&client(&old, Some(&known)), &url).await.unwrap().1, 200, "the old one stays");

    put("clients.pem", &new_clients.pem());
    put("certificate.pem", &certificate);
    put("key.pem", &key);
    told(&mut app, "was replaced", "the file changed").await;
    assert_eq!(post(&client(&new, Some(&renewed)), &url).await.unwrap().1, 200);
    assert!(
        post(&client(&old, Some(&renewed)), &url).await.is_err(),
        "the old certificate is gone"
    );
    assert!(post(&client(&new, Some(&known)), &url).await.is_err(), "as are the old authorities");
    app.hang_up();
    told(&mut app, "is the same as before", "SIGHUP").await;
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_ends_the_start_and_says_so() {
    let authority = Authority::new();
    let mut stage = Stage::with_webhook().await;
    let (certificate, key) = (authority.issue().0, authority.issue().1);
    for (name, text) in [("CERT", certificate), ("KEY", key)] {
        let path = write_private(stage.home.path(), name, &text);
        let name = format!("HARFANGLAB_INCIDENTS_WEBHOOK_TLS_{name}");
        stage.home.set(&name, path.to_str().unwrap());
    }
    let mut app = stage.home.start(&["serve"]);
    assert!(!app.exit().await.success());
    app.wait_for_log("what does not go together", |line| {
        line["message"].as_str()?.contains("the key must be that of the first").then_some(())
    })
    .await;
}

#[test]
fn half_of_a_tls_configuration_is_a_fault_that_names_the_other_half() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_private(folder.path(), "file.pem", "anything");
    for (given, absent) in [("CERT", "KEY"), ("KEY", "CERT"), ("CLIENT_CA", "CERT")] {
        let name = format!("HARFANGLAB_INCIDENTS_WEBHOOK_TLS_{given}");
        let faults = load_with(&[(&name, file.to_str().unwrap())]).unwrap_err().to_string();
        let absent = format!("is given without HARFANGLAB_INCIDENTS_WEBHOOK_TLS_{absent}");
        assert!(faults.contains(&name) && faults.contains(&absent), "{faults}");
    }
}
