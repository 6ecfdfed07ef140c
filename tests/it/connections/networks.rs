//! Two consoles in one process that take deliveries from different networks, directly and through a
//! trusted proxy.

use std::fs;

use super::limit::{asked, closed, refused};
use crate::support::{
    app::WEBHOOK_SECRET,
    offline::offline_home,
    sockets::{authority, connect},
};

const PROXY: &str = "127.0.0.7";
/// A path, an address in its networks, and a client of them that comes through the proxy.
const LYON: [&str; 3] = ["lyon", "127.0.0.2", "192.0.2.7"];
const PARIS: [&str; 3] = ["paris", "127.0.0.3", "198.51.100.9"];

fn post(console: &str, lines: &str) -> String {
    format!(
        "POST /webhooks/{console} HTTP/1.1\r\nHost: service\r\nAuthorization: {WEBHOOK_SECRET}\r\n\
         Content-Type: application/json\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn each_console_takes_deliveries_from_its_own_networks_and_one_that_none_takes_is_cut_off() {
    let mut home = offline_home();
    for name in ["URL", "TOKEN", "WEBHOOK_SECRET"] {
        home.unset(&format!("HARFANGLAB_INCIDENTS_{name}"));
    }
    home.set("HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES", PROXY);
    let consoles = [(1, LYON), (2, PARIS)].map(|(port, [name, address, client])| {
        format!(
            "- name: {name}\n  url: http://127.0.0.1:{port}\n  token: a-token\n  \
             webhook_secret: {WEBHOOK_SECRET}\n  webhook_allowed_networks: [{address}, {client}]\n"
        )
    });
    let text = format!("consoles:\n{}", consoles.concat());
    fs::write(home.path().join("config.yml"), text).unwrap();
    let mut app = home.start(&["serve"]);
    let to = authority(&app.webhook().await).to_owned();

    for (own, other) in [(LYON, PARIS), (PARIS, LYON)] {
        let ([path, address, client], [others_path, ..]) = (own, other);
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        for (from, lines) in [(address, ""), (PROXY, &*forwarded)] {
            // Verified, the connection stays; each request is still judged by itself.
            let mut stream = connect(from, &to).await;
            for (path, expected) in [(path, 200), (path, 200), (others_path, 403)] {
                let status = asked(&mut stream, &post(path, lines)).await;
                assert_eq!(status, Some(expected), "{from}, {lines:?}, to {path}");
            }
        }
        let foreign = post(path, "X-Forwarded-For: 203.0.113.1\r\n");
        let mut proxied = connect(PROXY, &to).await;
        assert_eq!(asked(&mut proxied, &foreign).await, Some(403), "a client of neither");
    }
    let mut stranger = connect("127.0.0.4", &to).await;
    assert_eq!(closed(&mut stranger).await, "", "before it has said a word");
    let of_none = refused(&mut app, "network").await;
    assert_eq!(of_none, 1, "of the listener's, not of a console's");
}
