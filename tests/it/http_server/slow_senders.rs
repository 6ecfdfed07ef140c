//! Attacks on time and memory: slow senders, more connections than the bound, methods and names that
//! nobody asked for.

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    offline::started,
    sockets::{authority, head, sent},
    stage::http,
    waiting::until,
};

/// A whole post that keeps its connection.
const TEST: &str = "Content-Length: 2\r\n";

async fn status(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).chars().skip("HTTP/1.1 ".len()).take(3).collect()
}

async fn connected(url: &str) -> TcpStream {
    TcpStream::connect(authority(url)).await.unwrap()
}

/// Returns what comes back for these bytes until the other side closes.
async fn answered(address: &str, bytes: &[u8]) -> String {
    let mut stream = sent("127.0.0.1", address, bytes).await;
    let _reset = stream.shutdown().await;
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn at_the_bound_of_connections_a_new_one_waits_and_those_that_are_there_go_on() {
    let (_home, _app, url) =
        started(&[("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS", "2")]).await;
    let post = head(TEST) + "{}";
    let (mut first, mut second) = (connected(&url).await, connected(&url).await);
    for stream in [&mut first, &mut second] {
        stream.write_all(post.as_bytes()).await.unwrap();
        assert_eq!(status(stream).await, "200");
    }
    // The system takes the connection; the service does not look at it.
    let mut third = connected(&url).await;
    third.write_all(post.as_bytes()).await.unwrap();
    for _ in 0..20 {
        for stream in [&mut first, &mut second] {
            stream.write_all(post.as_bytes()).await.unwrap();
            assert_eq!(status(stream).await, "200", "those that are there go on");
        }
    }
    let early = third.try_read(&mut [0; 16]);
    assert!(early.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    drop(first);
    assert_eq!(status(&mut third).await, "200", "a place became free");
}

#[tokio::test]
async fn who_sends_head_or_body_too_slowly_loses_the_connection_and_nobody_else_does() {
    let (_home, _app, url) = started(&[]).await;
    let slow_head = async {
        let mut stream = connected(&url).await;
        stream.write_all(b"POST /webhooks/harfanglab HTTP/1.1\r\nX: y").await.unwrap();
        let mut answer = String::new();
        let _reset = stream.read_to_string(&mut answer).await;
        assert_eq!(answer, "", "a sender could take it for the answer to its next request");
    };
    let slow_body = async {
        let mut stream = connected(&url).await;
        let begun = head("Content-Length: 1000\r\n") + "{";
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _reset = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    };
    let quick = async {
        let mut stream = connected(&url).await;
        stream.write_all((head(TEST) + "{}").as_bytes()).await.unwrap();
        assert_eq!(status(&mut stream).await, "200");
    };
    tokio::join!(slow_head, slow_body, quick);
}

#[tokio::test]
async fn a_request_that_arrived_while_the_service_stood_still_is_answered_and_silence_is_not() {
    let (_home, mut app, url) = started(&[]).await;
    let (_other_home, _other, other_url) = started(&[]).await;
    let mut late = connected(&url).await;
    let open = "connections_open{listener=\"webhook\",state=\"unverified\"}";
    until("it is admitted", async || (app.metric(open).await == 1).then_some(())).await;
    app.freeze();
    late.write_all((head(TEST) + "{}").as_bytes()).await.unwrap();
    // Another service shows when the head would be overdue.
    let mut silent = connected(&other_url).await;
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "", "nothing was asked");
    app.thaw();
    assert_eq!(status(&mut late).await, "200");
}

#[tokio::test]
async fn no_method_but_post_is_served_and_nothing_is_echoed() {
    let (_home, mut app, url) = started(&[]).await;
    let management = app.management().await;
    for method in ["TRACE", "OPTIONS", "DELETE", "PATCH", "CONNECTX", "get"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = http().request(method.clone(), &url).header("X-Mark", "mark-of-the-test");
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 405, "{method}");
        assert!(!response.text().await.unwrap().contains("mark-of-the-test"), "{method}");
        for page in ["healthz", "readyz", "metrics", "jobs"] {
            let page = format!("{management}/{page}");
            let response = http().request(method.clone(), &page).send().await.unwrap();
            assert!([404, 405].contains(&response.status().as_u16()), "{method} {page}");
        }
    }
}

#[tokio::test]
async fn no_rebound_name_reaches_the_management_address_wherever_it_is_bound() {
    // On every address, as in a container.
    let (_home, mut app, _url) = started(&[
        ("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "0.0.0.0:0"),
        ("HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS", "Incidents.example.org, metrics.example.org"),
    ])
    .await;
    let management = app.management().await.replace("0.0.0.0", "127.0.0.1");
    let address = authority(&management).to_owned();
    let port = address.rsplit(':').next().unwrap();
    let asked = async |host: &str| {
        let request = http().get(format!("{management}/jobs")).header("Host", host);
        request.send().await.unwrap().status().as_u16()
    };
    for good in [
        address.clone(),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        format!("harfanglab-incidents:{port}"),
        "harfanglab-incidents.opencti.svc.cluster.local".to_owned(),
        format!("incidents.example.org.:{port}"),
    ] {
        assert_eq!(asked(&good).await, 200, "{good}");
    }
    let cancelled = async |host: &str| {
        let request = http().delete(format!("{management}/jobs/1")).header("Host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(cancelled(&address).await, 404, "there is none");
    for bad in ["rebound.example", "127.0.0.1.rebound.example", "localhost.rebound.example", "x@y"]
    {
        assert_eq!((asked(bad).await, cancelled(bad).await), (421, 421), "{bad}");
        for path in ["", "healthz", "readyz", "metrics", "nothing"] {
            let request = http().get(format!("{management}/{path}")).header("Host", bad);
            assert_eq!(request.send().await.unwrap().status().as_u16(), 421, "/{path} {bad}");
        }
    }
    // No browser leaves it out; an old load balancer does.
    let old = answered(&address, b"GET /readyz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    let twice = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nHost: evil.example\r\n\r\n");
    let twice = answered(&address, twice.as_bytes()).await;
    assert!(twice.starts_with("HTTP/1.1 421") || twice.starts_with("HTTP/1.1 400"), "{twice}");
    let absolute = "GET http://evil.example/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let absolute = answered(&address, absolute.as_bytes()).await;
    assert!(absolute.starts_with("HTTP/1.1 421"), "{absolute}");
}
