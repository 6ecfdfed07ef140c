//! Two readers of one stream that disagree about where a request ends: through the example's real
//! nginx, and to the service itself. What is hidden in the first request is an alert with the right
//! secret, said to be forwarded for the only address that may post: where the hidden request were
//! taken for one of the proxy's own, it would be believed.

use super::reverse_proxy::{self, CONSOLE, STRANGER};
use crate::support::{
    notifications::minimal_alert,
    offline::started,
    programs::free_port,
    sockets::{exchanged, head, sent, statuses},
};

/// Ways to say two lengths at once, and a body that hides `hidden` behind one of them.
fn disguises(hidden: &str) -> Vec<(&'static str, String)> {
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let ended = format!("0\r\n\r\n{hidden}");
    let length = ended.len();
    let both = |coding: &str| format!("Content-Length: {length}\r\n{coding}\r\n");
    vec![
        ("CL.TE", head(&both("Transfer-Encoding: chunked")) + &ended),
        ("TE.CL", head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + &chunk),
        ("TE with a blank", head(&both("Transfer-Encoding : chunked")) + &ended),
        ("TE of another case", head(&both("Transfer-Encoding: ChUnKeD, identity")) + &ended),
        ("TE with a tab", head(&both("Transfer-Encoding:\tchunked")) + &ended),
        ("TE with a vertical tab", head(&both("Transfer-Encoding: \u{b}chunked")) + &ended),
        ("TE twice", {
            head(&both("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")) + &ended
        }),
        ("TE folded", head(&both("Transfer-Encoding:\r\n chunked")) + &ended),
        ("TE behind a bare LF", head(&both("X: y\nTransfer-Encoding: chunked")) + &ended),
        (
            "two lengths",
            head(&format!("Content-Length: 2\r\nContent-Length: {}\r\n", hidden.len() + 2))
                + "{}"
                + hidden,
        ),
        ("a list of lengths", head("Content-Length: 2, 2\r\n") + "{}" + hidden),
        ("a signed length", head("Content-Length: +2\r\n") + "{}" + hidden),
        ("a hexadecimal length", head("Content-Length: 0x2\r\n") + "{}" + hidden),
        ("a chunk extension", {
            let body = format!("2;x=\"\r\n\r\n{hidden}\"\r\n{{}}\r\n0\r\n\r\n");
            head("Transfer-Encoding: chunked\r\n") + &body
        }),
        ("a bare LF in a chunk extension", {
            let body =
                format!("2;\n{{}}\r\n{:x}\r\n0\r\n\r\n{hidden}\r\n0\r\n\r\n", hidden.len() + 5);
            head("Transfer-Encoding: chunked\r\n") + &body
        }),
        ("a chunk of more than all memory", {
            head("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\n{}\r\n0\r\n\r\n" + hidden
        }),
        ("HTTP/1.0 with chunks", {
            head("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0") + &ended
        }),
        ("a trailer", {
            let body =
                format!("2\r\n{{}}\r\n0\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
            head("Transfer-Encoding: chunked\r\n") + &body
        }),
    ]
}

/// A whole post of an alert, said to be forwarded for the console.
fn forwarded(id: &str) -> String {
    let body = minimal_alert(id).to_string();
    let lines = format!("Content-Length: {}\r\nX-Forwarded-For: {CONSOLE}\r\n", body.len());
    head(&lines) + &body
}

/// Sends `bytes` and, since nginx gives up whoever stops talking, a last request to be closed after.
async fn exchanged_with_nginx(from: &str, to: &str, bytes: &str) -> Vec<u16> {
    let farewell = "GET /farewell HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n";
    statuses(sent(from, to, format!("{bytes}{farewell}").as_bytes()).await).await
}

#[tokio::test]
async fn through_nginx_no_disguise_hides_a_request_from_the_list_of_allowed_networks() {
    let port = free_port();
    let plain = format!("listen 127.0.0.1:{port};\n    server_name edr-webhooks.example;");
    let changes = [("server_name edr-webhooks.example;", plain)];
    let Some(mut proxied) = reverse_proxy::started(&changes).await else { return };
    let nginx = format!("127.0.0.1:{port}");
    let whole = forwarded("visible");
    assert_eq!(exchanged_with_nginx(STRANGER, &nginx, &whole).await, [403, 404], "in the open");
    for (name, bytes) in disguises(&forwarded("hidden")) {
        let statuses = exchanged_with_nginx(STRANGER, &nginx, &bytes).await;
        let refused = |status: &u16| (400..600).contains(status);
        assert!(statuses.iter().all(refused), "{name}: {statuses:?}");
        assert_eq!(proxied.app.events_stored().await, 0, "{name}");
    }
    // The judge is awake: who may post does.
    let open = exchanged_with_nginx(CONSOLE, &nginx, &forwarded("open")).await;
    assert_eq!(open, [202, 404]);
    assert_eq!(proxied.app.events_stored().await, 1);
}

#[tokio::test]
async fn the_service_itself_answers_a_disguised_request_once_and_closes() {
    let (_home, mut app, url) = started(&[
        ("HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES", "127.0.0.1"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS", CONSOLE),
    ])
    .await;
    let service = crate::support::sockets::authority(&url);
    let after_a_whole_request = |name: &str| name == "a trailer";
    for (name, bytes) in disguises(&forwarded("hidden")) {
        if after_a_whole_request(name) {
            // A second request may rightly begin there; whose it is, the proxy says.
            continue;
        }
        // Nothing says who it is for: only what is hidden would be let in.
        let statuses = exchanged("127.0.0.1", service, bytes.as_bytes()).await;
        assert!(statuses.len() <= 1 && !statuses.contains(&202), "{name}: {statuses:?}");
        assert_eq!(app.events_stored().await, 0, "{name}");
    }
    let open = forwarded("open");
    assert_eq!(exchanged("127.0.0.1", service, open.as_bytes()).await, [202]);
}
