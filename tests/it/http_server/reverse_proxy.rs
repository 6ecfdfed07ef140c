//! The reverse proxy of `deploy/proxies/nginx.conf` with Debian's real nginx: whom the service takes
//! a client for, how large a body may be, and certificates of clients.

use std::{net::IpAddr, process::Command};

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};

use crate::support::{
    app::{App, WEBHOOK_SECRET},
    authority::Authority,
    configuration::write_private,
    programs::{Server, free_port},
    shared::read_deployed,
    stage::Stage,
    waiting::until,
};

/// A console's address and another one, both of this machine.
pub(crate) const CONSOLE: &str = "127.0.0.2";
pub(crate) const STRANGER: &str = "127.0.0.3";

/// The service behind nginx.
pub(crate) struct Proxied {
    stage: Stage,
    pub(crate) app: App,
    _nginx: Server,
    pub(crate) url: String,
    servers: Authority,
}

/// Starts both; `changes` are lines of the example to replace.
pub(crate) async fn started(changes: &[(&str, String)]) -> Option<Proxied> {
    let mut stage = Stage::with_webhook().await;
    for (name, value) in [
        ("IMPORT_START_DATE", "2999-01-01"),
        ("WEBHOOK_TRUSTED_PROXIES", "127.0.0.1"),
        ("WEBHOOK_ALLOWED_NETWORKS", CONSOLE),
    ] {
        stage.home.set(&format!("HARFANGLAB_INCIDENTS_{name}"), value);
    }
    let mut app = stage.home.start(&["serve"]);
    let service = app.webhook().await;
    let servers = Authority::new();
    let (certificate, key) = servers.issue();
    let folder = stage.home.path();
    let file = |name: &str, text: &str| write_private(folder, name, text).display().to_string();
    let port = free_port();
    let mut server = read_deployed("proxies/nginx.conf");
    let mut replace = |from: &str, to: &str| {
        assert!(server.contains(from), "{from} is not in the example");
        server = server.replace(from, to);
    };
    replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"));
    replace("/etc/ssl/edr-webhooks.example.pem", &file("server.pem", &certificate));
    replace("/etc/ssl/edr-webhooks.example.key", &file("server.key", &key));
    replace("http://127.0.0.1:8080", service.strip_suffix("/webhooks/harfanglab").unwrap());
    for (from, to) in changes {
        replace(from, to);
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    let whole = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{server}\n}}\n",
        folder.display()
    );
    let config = write_private(folder, "nginx.conf", &whole);
    let mut nginx = Server::start(
        Command::new(if cfg!(target_os = "linux") { "/usr/sbin/nginx" } else { "nginx" })
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&config),
    )?;
    until("nginx listens", async || {
        assert_eq!(nginx.ended(), None, "nginx ended; its configuration:\n{whole}");
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    let url = format!("https://127.0.0.1:{port}/webhooks/harfanglab");
    Some(Proxied { stage, app, _nginx: nginx, url, servers })
}

/// A client at this address of this machine.
#[expect(clippy::disallowed_methods, reason = "the service's own client has no address to choose")]
fn client(servers: &Authority, address: &str, identity: Option<&(String, String)>) -> Client {
    let _provider = crate::support::stage::http();
    let trusted = Certificate::from_pem(servers.pem().as_bytes()).unwrap();
    let builder = Client::builder()
        .tls_certs_only([trusted])
        .local_address(address.parse::<IpAddr>().unwrap());
    let pem = identity.map(|(certificate, key)| format!("{certificate}{key}"));
    match pem {
        Some(pem) => builder.identity(Identity::from_pem(pem.as_bytes()).unwrap()).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

/// Posts and answers the status.
async fn post(client: &Client, url: &str, body: &Value) -> u16 {
    let request = client
        .post(url)
        .header("Authorization", WEBHOOK_SECRET)
        // What a client says of itself.
        .header("X-Forwarded-For", CONSOLE)
        .header("Forwarded", format!("for={CONSOLE}"));
    request.json(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn behind_nginx_a_client_is_who_it_is_whatever_it_says_and_bodies_have_one_bound() {
    let Some(mut proxied) = started(&[]).await else { return };
    let console = client(&proxied.servers, CONSOLE, None);
    let stranger = client(&proxied.servers, STRANGER, None);
    assert_eq!(post(&console, &proxied.url, &json!({})).await, 200);
    assert_eq!(post(&stranger, &proxied.url, &json!({})).await, 403);
    // Below the bound of both the service answers, above it nginx does, with the same status.
    let telemetry = |bytes: usize| json!({ "log_type": "process", "text": "x".repeat(bytes) });
    assert_eq!(post(&console, &proxied.url, &telemetry(9 << 20)).await, 202);
    assert_eq!(post(&console, &proxied.url, &telemetry(10 << 20)).await, 413);
    let elsewhere = proxied.url.replace("/webhooks/harfanglab", "/metrics");
    assert_eq!(post(&console, &elsewhere, &json!({})).await, 404);
    assert_eq!(proxied.app.events_stored().await, 0);
    drop(proxied.stage);
}

#[tokio::test]
async fn with_the_commented_lines_nginx_lets_in_only_certificates_and_addresses_that_it_knows() {
    let clients = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let authorities = write_private(folder.path(), "clients.pem", &clients.pem());
    let Some(proxied) = started(&[
        ("# ssl_client_certificate /etc/ssl/edr-clients.pem;", {
            format!("ssl_client_certificate {};", authorities.display())
        }),
        ("# ssl_verify_client ", "ssl_verify_client ".to_owned()),
        ("# allow 192.0.2.10;", format!("allow {CONSOLE};")),
        ("# deny  all;", "deny all;".to_owned()),
    ])
    .await
    else {
        return;
    };
    let known = clients.issue();
    let status = async |address: &str, identity: Option<&(String, String)>| {
        post(&client(&proxied.servers, address, identity), &proxied.url, &json!({})).await
    };
    assert_eq!(status(CONSOLE, Some(&known)).await, 200);
    assert_eq!(status(CONSOLE, None).await, 400, "without a certificate");
    let other = Authority::new().issue();
    assert_eq!(status(CONSOLE, Some(&other)).await, 400, "with somebody else's");
    assert_eq!(status(STRANGER, Some(&known)).await, 403, "from elsewhere");
}
