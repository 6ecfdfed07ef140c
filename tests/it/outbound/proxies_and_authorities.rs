//! Proxies and authorities that the environment names, as other connectors are given them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::support::{authority::Authority, check::CheckScene, command::printed};

/// Returns what `check` says of the console and of OpenCTI.
pub(crate) async fn check(scene: &CheckScene) -> (String, String) {
    let text = printed(&mut scene.home.start(&["check"])).await;
    let about = |party: &str| {
        let mut lines = text.lines();
        lines.find(|line| line.split_whitespace().nth(1) == Some(party)).unwrap().to_owned()
    };
    (about("HarfangLab"), about("OpenCTI"))
}

/// A proxy that passes nothing on; answers its port and the head of every request that it gets.
fn proxy() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    // Ends with the test's process: it is blocked in `accept` until then.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            heads.lock().unwrap().push(head);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_proxy_in_quotes_is_asked_and_no_proxy_with_a_port_leads_around_it() {
    let mut scene = CheckScene::new();
    let (port, asked) = proxy();
    let console = scene.console.url().port().unwrap();
    let opencti = scene.opencti.url().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    scene.home.set("HTTP_PROXY", &format!("\"http://me:p%40ss@127.0.0.1:{port}\""));
    scene.home.set("NO_PROXY", &format!("\"127.0.0.1:{opencti}\""));
    let (of_console, of_opencti) = check(&scene).await;
    assert!(of_console.starts_with("WRONG"), "{of_console}");
    assert!(of_opencti.starts_with("ok"), "{of_opencti}");
    let heads = std::mem::take(&mut *asked.lock().unwrap());
    assert!(!heads.is_empty());
    let authorization = format!("basic {}", STANDARD.encode("me:p@ss")).to_lowercase();
    for head in heads {
        assert!(head.starts_with(&format!("GET http://127.0.0.1:{console}/")), "{head}");
        assert!(head.to_lowercase().contains(&authorization), "{head}");
    }

    scene.home.set("no_proxy", &format!("127.0.0.1:{opencti}, 127.0.0.1:{console}"));
    let (of_console, _) = check(&scene).await;
    assert!(of_console.starts_with("ok"), "the small letters count: {of_console}");
    assert_eq!(*asked.lock().unwrap(), [] as [String; 0]);

    scene.home.set("HTTP_PROXY", "socks5://me:s3cret-of-the-proxy@127.0.0.1:1");
    let (of_console, _) = check(&scene).await;
    assert!(of_console.contains("HTTP_PROXY is not an http:// or https:// proxy"), "{of_console}");
    assert!(!of_console.contains("s3cret"), "{of_console}");
}

/// A TLS server with this certificate and key; answers its port and how many clients trusted it.
pub(crate) fn server((certificate, key): &(String, String)) -> (u16, Arc<Mutex<usize>>) {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let trusted = Arc::new(Mutex::new(0));
    let count = Arc::clone(&trusted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not trust it hangs up in the middle.
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            *count.lock().unwrap() += usize::from(!connection.is_handshaking());
        }
    });
    (port, trusted)
}

#[tokio::test]
async fn the_authorities_of_requests_are_trusted_and_a_bundle_that_is_not_there_is_no_obstacle() {
    let mut scene = CheckScene::new();
    let authority = Authority::new();
    let (port, trusted) = server(&authority.issue_for("localhost"));
    scene.home.set("HARFANGLAB_INCIDENTS_URL", &format!("https://localhost:{port}"));
    scene.home.set("HARFANGLAB_INCIDENTS_SSL_VERIFY", "true");
    let bundle = scene.home.path().join("bundle.pem");
    scene.home.set("REQUESTS_CA_BUNDLE", bundle.to_str().unwrap());
    let (of_console, of_opencti) = check(&scene).await;
    assert!(of_console.contains("certificate"), "there is no bundle yet: {of_console}");
    assert!(of_opencti.starts_with("ok"), "{of_opencti}");
    assert_eq!(*trusted.lock().unwrap(), 0);

    fs::write(&bundle, authority.pem()).unwrap();
    let (of_console, _) = check(&scene).await;
    assert!(*trusted.lock().unwrap() > 0, "{of_console}");
}
