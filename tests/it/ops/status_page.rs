//! The status page: what a real browser makes of it, and what a stranger gets.

use std::{fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use harfanglab_incidents::{
    clock::Clock,
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::{EventId, Journal, Outcome},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    chromium::Chromium,
    offline::{CONSOLE, offline_home},
    sockets::authority,
    stage::{Stage, alerts_in, http, post},
    stores::open_sqlite,
};

const TOKEN: &str = "the-token-of-the-status-page";
const RULE: &str = "<script>document.title = 'owned'</script>\u{202e}gpj.exe";
const LEASE: std::time::Duration = std::time::Duration::from_mins(5);

fn alert(unique_id: &str, rule: &str, text: &str, raised: DateTime<Utc>) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": unique_id,
        "status": "new", "level": "high", "rule_name": rule, "alert_time": raised.to_rfc3339(),
        "details": text,
        "agent": { "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": "pc-01" },
    })
}

/// Returns what a hostile alert would like to be: markup, another page's end, a link, a megabyte.
fn hostile(raised: DateTime<Utc>) -> Value {
    let text = format!(
        "</pre></textarea><script>document.title = 'owned'</script>\
         <img src=\"http://evil.example/pixel\" onerror=\"document.title = 'owned'\">\
         <a id=\"bait\" href=\"javascript:document.title = 'owned'\">look</a>\u{202e}\u{0}{}",
        "A".repeat(1 << 20)
    );
    alert("hostile", RULE, &text, raised)
}

/// Ends `element` so, as if it had come at `then`.
async fn ended(
    journal: &Journal,
    element: &Value,
    then: DateTime<Utc>,
    outcome: Outcome,
) -> EventId {
    let proof = Proof::answered_by_console(then);
    let notification =
        Notification::of_dialect(&proof, Dialect::NativeAlert, element, element.to_string());
    journal.append(&[vec![notification]]).await.unwrap();
    let event = journal.claim(1, LEASE, then).await.unwrap().remove(0);
    journal.finish(&[(event.claim, outcome)], then).await.unwrap();
    event.claim.event
}

/// A day of alerts, and two dead letters of which the first is hostile.
async fn day(stage: &Stage) -> EventId {
    let url = format!("sqlite:{}", stage.home.journal().display());
    let journal = open_sqlite(&url, stage.console.url().as_str()).await;
    let now = Clock::system().now();
    for number in 0..90 {
        let then = now - TimeDelta::minutes(1400 - 1300 * (number * number) / 8100);
        let element = alert(&format!("day-{number}"), "Odd Program", "", then);
        let root_id = "incident--00000000-0000-5000-8000-000000000001".to_owned();
        ended(&journal, &element, then, Outcome::Delivered { root_id, remark: None }).await;
    }
    let reason = "too large for the broker \"><script>document.title = 'owned'</script>".to_owned();
    let then = now - TimeDelta::hours(3);
    let id = ended(&journal, &hostile(then), then, Outcome::Dead { reason }).await;
    let reason = "defect: the conversion failed".to_owned();
    let other = alert("other", "Suspicious Scheduled Task", "", then);
    ended(&journal, &other, now - TimeDelta::minutes(20), Outcome::Dead { reason }).await;
    id
}

async fn stage() -> Stage {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN", TOKEN);
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage
}

/// Writes pictures of the page that is open, for people to look at.
async fn photograph(browser: &mut Chromium, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
    fs::create_dir_all(&folder).unwrap();
    for (scheme, width, kind) in
        [("light", 1100, "light"), ("dark", 1100, "dark"), ("light", 390, "phone")]
    {
        let picture = browser.picture(scheme, width).await;
        fs::write(folder.join(format!("{name}-{kind}.png")), picture).unwrap();
        let overflow = "document.documentElement.scrollWidth - innerWidth";
        let overflow = browser.value(overflow).await.as_i64().unwrap();
        assert!(overflow <= 0, "{name}, {kind}: {overflow} pixels wider than its window");
    }
}

#[tokio::test]
async fn a_browser_shows_a_hostile_letter_harmlessly_and_tries_it_again_with_the_token() {
    let Some(mut browser) = Chromium::start().await else { return };
    let stage = stage().await;
    let id = day(&stage).await;
    let mut app = stage.home.start(&["serve"]);
    let (management, webhook) = (app.management().await, app.webhook().await);
    let odd = json!({ "something": "new" });
    assert_eq!(post(&webhook, &odd).await.1["dead_letters"], 1);
    app.wait_for_log("the sweep is done", |line| {
        (line["message"] == "the sweep is done").then_some(())
    })
    .await;

    let job = json!({ "job": "backfill", "since": "2026-01-01T00:00:00Z", "types": ["<b>yara"] });
    let asked = http().post(format!("{management}/jobs")).json(&job).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    app.wait_for_log("the job is done", |line| {
        (line["message"] == "the job is done").then_some(())
    })
    .await;

    browser.open(&format!("{management}/")).await;
    let seen = browser.text().await;
    assert!(seen.contains("A backfill of <b>yara from 2026-01-01 00:00 UTC on"), "{seen}");
    assert!(seen.contains("3 dead letters need a decision"), "{seen}");
    assert!(seen.contains("too large for the broker \"><script>"), "{seen}");
    assert!(!seen.contains("gpj.exe"), "names of alerts are for operators: {seen}");
    assert_eq!(browser.value("document.forms.length").await, 0);
    photograph(&mut browser, "stranger").await;

    browser.open_with_password(&format!("{management}/sign-in"), TOKEN).await;
    let seen = browser.text().await;
    assert!(seen.contains("signed in") && seen.contains("U+202Egpj.exe"), "{seen}");
    photograph(&mut browser, "operator").await;
    browser.click(&format!("a[href='/letters/{id}']")).await;
    let seen = browser.text().await;
    assert!(seen.contains("</pre></textarea><script>") && seen.contains("javascript:"), "{seen}");
    assert!(seen.len() < 100_000, "{} bytes are shown", seen.len());
    for foreign in ["script", "img", "#bait", "iframe", "[onerror]"] {
        let found = format!("document.querySelector({}) === null", json!(foreign));
        assert_eq!(browser.value(&found).await, true, "{foreign}");
    }
    photograph(&mut browser, "letter").await;

    browser.click(&format!("form[action='/letters/{id}/retry'] button")).await;
    let seen = browser.text().await;
    assert!(seen.contains("It is on its way again"), "{seen}");
    stage.opencti.wait_for("the letter is delivered", |state| alerts_in(&state.works) >= 1).await;
    let (other, dropped) = (id + 1, "form[action$='/drop'] button");
    assert_eq!(browser.value("document.forms.length").await, 4, "two letters, two forms each");
    browser.click(dropped).await;
    let seen = browser.text().await;
    assert!(seen.contains("It is dropped"), "{seen}");
    let left = format!("document.querySelector(\"form[action='/letters/{other}/drop']\") === null");
    assert_eq!(browser.value(&left).await, true);

    assert_eq!(browser.value("document.title").await, "Look · HarfangLab incidents");
    let foreign: Vec<_> = browser
        .requested()
        .into_iter()
        .filter(|url| !url.starts_with(&management) && !url.starts_with("data:"))
        .collect();
    assert_eq!(foreign, [] as [&str; 0]);
    assert_eq!(browser.complaints(), [] as [&Value; 0]);
    assert!(!app.log().contains(TOKEN));
}

/// Answers status, headers and body.
async fn ask(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, reqwest::header::HeaderMap, String) {
    let mut request = http().request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

/// Method, address, headers, and the status of the answer.
type Case<'a> = (&'a Method, &'a str, Vec<(&'a str, &'a str)>, u16);

#[tokio::test]
async fn a_stranger_a_foreign_page_and_a_foreign_name_get_and_change_nothing() {
    let stage = stage().await;
    let id = day(&stage).await;
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let here = ("origin", management.as_str());
    let right = basic(TOKEN);
    let right = ("authorization", right.as_str());
    let wrong = basic("a-wrong-token");
    let wrong = ("authorization", wrong.as_str());
    let letter = format!("{management}/letters/{id}");
    let (text, retry) = (format!("{letter}/text"), format!("{letter}/retry"));
    let drop = format!("{letter}/drop");
    let (get, put) = (Method::GET, Method::POST);
    let cases: [Case; 12] = [
        (&get, &letter, vec![], 401),
        (&get, &text, vec![wrong], 401),
        (&put, &retry, vec![here], 401),
        (&put, &drop, vec![here, wrong], 401),
        (&put, &drop, vec![right], 403),
        (&put, &drop, vec![right, ("origin", "http://127.0.0.1:1")], 403),
        (&put, &retry, vec![right, ("sec-fetch-site", "same-site"), here], 403),
        (&get, &drop, vec![right, here], 405),
        (&get, &letter, vec![right, ("host", "evil.example")], 421),
        (&put, &drop, vec![right, here, ("host", "evil.example")], 421),
        (&get, &text, vec![right], 200),
        (&put, &drop, vec![right, here], 303),
    ];
    for (method, url, headers, expected) in cases {
        let (status, answered, body) = ask(method.clone(), url, &headers).await;
        let case = format!("{method} {url} {headers:?}: {status} {body:.200}");
        assert_eq!(status, expected, "{case}");
        assert_eq!(answered.get("www-authenticate").is_some(), expected == 401, "{case}");
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert_eq!(answered[name], value, "{case}");
        }
        // A foreign name gets plain text and no page.
        if expected != 421 {
            let policy = answered["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{case}");
            assert!(!policy.contains("unsafe"), "{case}");
        }
        assert_eq!(expected != 200, !body.contains("AAAAAAAA"), "{case}");
    }
    let (_status, _headers, page) = ask(get, &format!("{management}/"), &[]).await;
    assert!(!page.contains("gpj.exe") && !page.contains(TOKEN), "{page}");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let url = format!("{management}{path}");
        for (host, expected) in
            [("evil.example", 421), ("a-probe", 200), ("probes.a.svc:9090", 200)]
        {
            let (status, _headers, body) = ask(Method::GET, &url, &[("host", host)]).await;
            assert_eq!(status, expected, "{path} {host}");
            let names_the_option = body.contains("HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS");
            assert_eq!(names_the_option, expected == 421, "{path} {host}: {body}");
        }
    }
}

#[tokio::test]
async fn five_hundred_visitors_at_once_keep_nobody_from_readiness_and_each_gets_an_answer() {
    let home = offline_home();
    let url = format!("sqlite:{}", home.journal().display());
    let journal = open_sqlite(&url, CONSOLE).await;
    let proof = Proof::answered_by_console(Clock::system().now());
    let letter = |number: usize| {
        let reason = format!("reason {number}");
        Notification::dead_letter(&proof, format!("text {number}"), reason)
    };
    journal.append(&[(0..5_000).map(letter).collect()]).await.unwrap();
    drop(journal);
    let mut app = home.start(&["serve"]);
    let management = app.management().await;
    let visit = async || {
        let mut stream = TcpStream::connect(authority(&management)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let visits = join_all(std::iter::repeat_with(visit).take(500));
    let mut visits = std::pin::pin!(visits);
    let ready = format!("{management}/readyz");
    let mut probes = 0;
    let answers = loop {
        tokio::select! {
            answers = visits.as_mut() => break answers,
            (status, _headers, body) = ask(Method::GET, &ready, &[]) => {
                assert_eq!(status, StatusCode::OK, "{body}");
                probes += 1;
            }
        }
    };
    assert!(probes > 0, "nobody asked");
    let shown = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200 ")).count();
    let sent_away = answers.iter().filter(|answer| {
        answer.starts_with("HTTP/1.1 503 ") && answer.to_lowercase().contains("retry-after: ")
    });
    assert_eq!((shown > 0, shown + sent_away.count()), (true, 500));
}

#[tokio::test]
async fn without_a_token_the_page_is_read_only_and_says_how_to_change_that() {
    let mut stage = stage().await;
    stage.home.unset("HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN");
    let id = day(&stage).await;
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let (status, _headers, page) = ask(Method::GET, &format!("{management}/"), &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN") && !page.contains("<form"));
    let here = [("origin", management.as_str()), ("authorization", "Basic Og==")];
    let drop = format!("{management}/letters/{id}/drop");
    assert_eq!(ask(Method::POST, &drop, &here).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_address_may_give_as_many_wrong_tokens_as_the_option_says_and_the_right_one_always() {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN", TOKEN);
    home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_MAX_FAILURES", "2");
    let mut app = home.start(&["serve"]);
    let page = format!("{}/sign-in", app.management().await);
    let give = async |token: &str| {
        let (status, headers, _body) =
            ask(Method::GET, &page, &[("authorization", &basic(token))]).await;
        assert_eq!(headers.contains_key("retry-after"), status == StatusCode::TOO_MANY_REQUESTS);
        status.as_u16()
    };
    let answered = [give("a-guess").await, give("a-guess").await, give("a-guess").await];
    assert_eq!(answered, [401, 401, 429]);
    assert_eq!(give(TOKEN).await, 303);
}

fn basic(password: &str) -> String {
    use base64::Engine as _;
    let pair = format!("anybody:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}
