//! TLS: what is agreed on, and floods of handshakes beside a sender that was verified before.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::limit::{good, refused};
use crate::support::{
    app::{App, Home},
    authority::Authority,
    configuration::write_private,
    notifications::minimal_alert,
    offline::offline_home,
    sockets::{authority, connect},
    syslog::{self, message},
    waiting::until,
};

/// Connections of strangers at once.
const STRANGERS: u8 = 200;

/// A home whose `listener` (`WEBHOOK` or `SYSLOG`) speaks TLS.
fn with_tls(mut home: Home, listener: &str, authority: &Authority) -> Home {
    let (certificate, key) = authority.issue();
    for (name, text) in [("CERT", certificate), ("KEY", key)] {
        let path = write_private(home.path(), &format!("{name}.pem"), &text);
        let name = format!("HARFANGLAB_INCIDENTS_{listener}_TLS_{name}");
        home.set(&name, path.to_str().unwrap());
    }
    home
}

fn client(authority: &Authority, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A full handshake each time.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

async fn shaken(
    config: &Arc<ClientConfig>,
    from: &str,
    to: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(config)).connect(name(), connect(from, to).await).await
}

/// The first bytes of a handshake.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut client = ClientConnection::new(Arc::clone(config), name()).unwrap();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Strangers of many addresses, each of which begins one handshake after the other.
fn flood(hello: &[u8], to: &str) -> JoinSet<()> {
    let mut strangers = JoinSet::new();
    for number in 0..STRANGERS {
        let (hello, to) = (hello.to_vec(), to.to_owned());
        strangers.spawn(async move {
            loop {
                let mut stream = connect(&format!("127.0.3.{number}"), &to).await;
                if stream.write_all(&hello).await.is_ok() {
                    let _answer_or_end = stream.read(&mut [0; 16]).await;
                }
            }
        });
    }
    strangers
}

async fn posted(config: &Arc<ClientConfig>, to: &str) -> std::io::Result<u16> {
    let mut stream = shaken(config, super::limit::SENDER, to).await?;
    stream.write_all(good().as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer)[9..].parse().unwrap())
}

#[tokio::test]
async fn beside_a_flood_of_handshakes_a_known_sender_is_answered_on_every_new_connection() {
    let authority_of_tests = Authority::new();
    let home = with_tls(offline_home(), "WEBHOOK", &authority_of_tests);
    let mut app = home.start(&["serve"]);
    let address = authority(&app.webhook().await).to_owned();
    let config = client(&authority_of_tests, &["http/1.1"]);
    assert_eq!(posted(&config, &address).await.unwrap(), 200);
    let strangers = flood(&hello(&config), &address);
    until("strangers are refused before any computing", async || {
        (refused(&mut app, "handshake").await > 500).then_some(())
    })
    .await;
    for _ in 0..30 {
        assert_eq!(posted(&config, &address).await.unwrap(), 200);
    }
    drop(strangers);
}

#[tokio::test]
async fn beside_a_flood_of_handshakes_a_known_sender_by_syslog_is_heard_on_every_new_connection() {
    let authority = Authority::new();
    let home = with_tls(syslog::listening(offline_home()), "SYSLOG", &authority);
    let mut app = home.start(&["serve"]);
    let address: SocketAddr = syslog::address(&mut app).await;
    let config = client(&authority, &[]);
    let send = async |number: u64| {
        let mut stream = shaken(&config, super::limit::SENDER, &address.to_string()).await.unwrap();
        let line = format!("{}\n", message(&minimal_alert(&format!("alert-{number}"))));
        stream.write_all(line.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    send(0).await;
    syslog::until_stored(&mut app, 1).await;
    let strangers = flood(&hello(&config), &address.to_string());
    until("strangers are refused", async || {
        let refused = async |app: &mut App, reason: &str| {
            app.metric(&format!("syslog_refused_total{{reason=\"{reason}\"}}")).await
        };
        (refused(&mut app, "handshake").await > 200).then_some(())
    })
    .await;
    for number in 1..30 {
        send(number).await;
    }
    drop(strangers);
    syslog::until_stored(&mut app, 30).await;
}

#[tokio::test]
async fn by_tls_http_1_1_is_agreed_on_and_http_2_is_not() {
    let authority_of_tests = Authority::new();
    let home = with_tls(offline_home(), "WEBHOOK", &authority_of_tests);
    let mut app = home.start(&["serve"]);
    let address = authority(&app.webhook().await).to_owned();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(Some("http/1.1"))),
        (&["http/1.1"], Some(Some("http/1.1"))),
        (&[], Some(None)),
        (&["h2"], None),
    ] {
        let config = client(&authority_of_tests, offered);
        let stream = shaken(&config, super::limit::SENDER, &address).await.ok();
        let protocol = stream.as_ref().map(|stream| stream.get_ref().1.alpn_protocol());
        assert_eq!(protocol, agreed.map(|name| name.map(str::as_bytes)), "{offered:?}");
    }
}
