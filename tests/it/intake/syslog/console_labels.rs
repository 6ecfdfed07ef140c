//! Of which console what comes by syslog is, where the configuration names its console.

use std::fs;

use crate::support::{
    notifications::minimal_alert,
    offline::offline_home,
    syslog::{address, listening, message, send, until_stored},
};

#[tokio::test]
async fn what_comes_by_syslog_is_counted_for_the_console_that_is_named_alone() {
    let mut home = listening(offline_home());
    let url = home.get("HARFANGLAB_INCIDENTS_URL");
    home.unset("HARFANGLAB_INCIDENTS_URL");
    home.unset("HARFANGLAB_INCIDENTS_TOKEN");
    home.unset("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET");
    let text = format!("consoles:\n- name: lyon\n  url: {url}\n  token: console-token\n");
    fs::write(home.path().join("config.yml"), text).unwrap();
    let mut app = home.start(&["serve"]);
    let listener = address(&mut app).await;
    send("127.0.0.1", listener, format!("{}\n", message(&minimal_alert("one"))).as_bytes()).await;
    until_stored(&mut app, 1).await;
    let accepted = "events_received_total{origin=\"push\",result=\"accepted\",console=\"lyon\"}";
    assert_eq!(app.metric(accepted).await, 1);
    assert!(app.terminate().await.success(), "{}", app.log());
}
