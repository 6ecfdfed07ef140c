//! Real senders: `logger` of util-linux, rsyslogd, and `openssl s_client`, over TCP and TLS. What is
//! not installed is skipped, loudly.

use std::{net::SocketAddr, path::Path, process::Stdio};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{
    app::{App, Home},
    authority::Authority,
    configuration::write_private,
    notifications::minimal_alert,
    offline::offline_home,
    programs::{Server, free_port},
    skipped::skipped,
    syslog::{TOKEN, address, listening, message, refused, started, until_stored},
    waiting::until,
};

/// Runs a program with this input; `None`, said aloud, when it is not installed.
async fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<bool> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            skipped(&format!("{program} cannot be started: {error}"));
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let _cut_off = stdin.write_all(input).await;
    drop(stdin);
    Some(child.wait().await.unwrap().success())
}

#[tokio::test]
async fn logger_sends_rfc_5424_with_the_token_in_both_framings() {
    let (_home, mut app, address) = started(&[]).await;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let token = format!("token=\"{TOKEN}\"");
    let with_token = ["--rfc5424", "--sd-id", "harfanglab@32473", "--sd-param", &token];
    let with_token: &[&str] = &with_token;
    let mut stored = 0;
    for (number, (header, framing)) in [
        (with_token, "--octet-count"),
        (with_token, "--tcp"),
        (&["--rfc5424"], "--octet-count"),
        (&["--rfc3164"], "--tcp"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut alert = minimal_alert(&format!("alert-{number}"));
        alert["command_line"] = Value::from("\u{e9}]\"\\ ".repeat(2_000));
        let body = alert.to_string();
        let mut arguments =
            vec!["--tcp", framing, "--server", &host, "--port", &port, "--size", "100000"];
        arguments.extend_from_slice(header);
        arguments.extend(["--", &body]);
        let Some(sent) = run("logger", &arguments, b"").await else { return };
        assert!(sent, "{arguments:?}");
        stored += u64::from(header.len() > 1);
        until_stored(&mut app, stored).await;
    }
    until("what had no token was refused", async || {
        (refused(&mut app, "missing").await == 2).then_some(())
    })
    .await;
}

/// A service that speaks TLS and wants a client's certificate, no token; its files, and where it is.
struct WithTls {
    home: Home,
    app: App,
    address: SocketAddr,
    files: Files,
}

/// Paths of PEM files.
struct Files {
    authority: String,
    client: (String, String),
    stranger: (String, String),
}

impl WithTls {
    async fn started() -> Self {
        let mut home = listening(offline_home());
        home.unset("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN");
        let (servers, clients) = (Authority::new(), Authority::new());
        let folder = home.path().to_owned();
        let file =
            |name: &str, text: &str| write_private(&folder, name, text).display().to_string();
        let pair = |name: &str, (certificate, key): (String, String)| {
            (file(&format!("{name}.pem"), &certificate), file(&format!("{name}.key"), &key))
        };
        let server = pair("server", servers.issue());
        let files = Files {
            authority: file("authority.pem", &servers.pem()),
            client: pair("client", clients.issue_for("console.example")),
            stranger: pair("stranger", Authority::new().issue_for("console.example")),
        };
        for (name, value) in [
            ("CERT", server.0),
            ("KEY", server.1),
            ("CLIENT_CA", file("clients.pem", &clients.pem())),
        ] {
            home.set(&format!("HARFANGLAB_INCIDENTS_SYSLOG_TLS_{name}"), &value);
        }
        let mut app = home.start(&["serve"]);
        let address = address(&mut app).await;
        Self { home, app, address, files }
    }
}

#[tokio::test]
async fn openssl_sends_with_the_right_certificate_and_nobody_gets_in_without() {
    let WithTls { home: _home, mut app, address, files } = WithTls::started().await;
    let to = address.to_string();
    let line = |id: &str| format!("<14>1 - - - - - - {}\n", minimal_alert(id));
    let common = ["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-connect", &to];
    let arguments = |pair: Option<&(String, String)>| {
        let mut all: Vec<String> = common.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["-CAfile".to_owned(), files.authority.clone()]);
        if let Some((certificate, key)) = pair {
            all.extend(["-cert".to_owned(), certificate.clone(), "-key".to_owned(), key.clone()]);
        }
        all
    };
    for (count, pair) in [(1, None), (2, Some(&files.stranger))] {
        let arguments = arguments(pair);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if run("openssl", &arguments, line("forged").as_bytes()).await.is_none() {
            return;
        }
        until("the handshake was refused", async || {
            (refused(&mut app, "handshake").await == count).then_some(())
        })
        .await;
    }
    // Neither does who speaks no TLS at all.
    crate::support::syslog::send("127.0.0.1", address, line("plain").as_bytes()).await;
    until("plain text was refused", async || {
        (refused(&mut app, "handshake").await == 3).then_some(())
    })
    .await;
    let right = arguments(Some(&files.client));
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    assert!(run("openssl", &right, line("right").as_bytes()).await.unwrap());
    until_stored(&mut app, 1).await;
}

/// The way in which rsyslog forwards.
struct Forwarding {
    framing: &'static str,
    tls: Option<(String, String, String)>,
}

/// rsyslogd that takes what HarfangLab sends at `port` and forwards it as it came.
fn rsyslogd(folder: &Path, port: u16, to: SocketAddr, forwarding: &Forwarding) -> Option<Server> {
    let (host, target) = (to.ip(), to.port());
    let (files, driver) = match &forwarding.tls {
        None => (String::new(), ""),
        Some((authority, certificate, key)) => (
            format!(
                "defaultNetstreamDriverCAFile=\"{authority}\" \
                 defaultNetstreamDriverCertFile=\"{certificate}\" \
                 defaultNetstreamDriverKeyFile=\"{key}\""
            ),
            "streamDriver=\"gtls\" streamDriverMode=\"1\" streamDriverAuthMode=\"x509/certvalid\"",
        ),
    };
    let framing = forwarding.framing;
    let config = format!(
        "global(maxMessageSize=\"1m\" workDirectory=\"{}\" {files})\n\
         module(load=\"imptcp\")\n\
         input(type=\"imptcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         action(type=\"omfwd\" target=\"{host}\" port=\"{target}\" protocol=\"tcp\" \
         TCP_Framing=\"{framing}\" template=\"RSYSLOG_SyslogProtocol23Format\" {driver} \
         action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\")\n",
        folder.display()
    );
    let config = write_private(folder, &format!("rsyslog-{port}.conf"), &config);
    let pid = folder.join(format!("rsyslog-{port}.pid"));
    let mut command = std::process::Command::new("/usr/sbin/rsyslogd");
    Server::start(command.arg("-n").arg("-f").arg(config).arg("-i").arg(pid))
}

/// Sends `line` to rsyslogd as soon as it listens.
async fn forwarded(port: u16, line: &str) {
    let mut stream = until("rsyslogd listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    stream.write_all(line.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn rsyslog_forwards_by_tcp_in_both_framings_with_structured_data_and_all() {
    let (home, mut app, address) = started(&[]).await;
    for (stored, framing) in [(1, "traditional"), (2, "octet-counted")] {
        let port = free_port();
        let forwarding = Forwarding { framing, tls: None };
        let Some(_server) = rsyslogd(home.path(), port, address, &forwarding) else { return };
        let mut alert = minimal_alert(framing);
        alert["padding"] = Value::from("x]\"\u{e9}".repeat(5_000));
        forwarded(port, &format!("{}\n", message(&alert))).await;
        until_stored(&mut app, stored).await;
    }
}

#[tokio::test]
async fn rsyslog_forwards_by_tls_with_its_certificate() {
    if !Path::new("/usr/lib").is_dir() || !has_gtls() {
        skipped("rsyslog's TLS driver (rsyslog-gnutls) is not installed");
        return;
    }
    let WithTls { home, mut app, address, files } = WithTls::started().await;
    let (certificate, key) = files.client;
    for (stored, framing) in [(1, "traditional"), (2, "octet-counted")] {
        let port = free_port();
        let tls = Some((files.authority.clone(), certificate.clone(), key.clone()));
        let forwarding = Forwarding { framing, tls };
        let Some(_server) = rsyslogd(home.path(), port, address, &forwarding) else { return };
        forwarded(port, &format!("{}\n", message(&minimal_alert(framing)))).await;
        until_stored(&mut app, stored).await;
    }
}

/// Returns whether rsyslog's driver for TLS is installed, in whichever folder of libraries.
fn has_gtls() -> bool {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut all = folders.chain(["/usr/lib".into(), "/usr/lib64".into()]);
    all.any(|folder| folder.join("rsyslog/lmnsd_gtls.so").exists())
}
