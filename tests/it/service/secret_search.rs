//! The search for secrets: a journey with every secret set, at the most talkative level, also for
//! libraries as far as the service lets them speak, through success and every refusal; then everything that
//! was printed or shown is searched for each of them, also as base64, percent-encoded and in hexadecimal.
//! Beside it, `support::app` searches the log of every process that any test starts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, Fault, Generator, RequestKind},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::AsyncReadExt as _;

use crate::support::{
    app::{App, Home, forms_of},
    stage::{Stage, http},
};

const CONSOLE_TOKEN: &str = "console/t0ken+0123456789abcdef";
const OPENCTI_TOKEN: &str = "opencti/t0ken+0123456789abcdef";
/// One that every scheme can use.
const WEBHOOK_SECRET: &str = "whsec_d2ViaG9vay1zM2NyZXQtMDEyMzQ1Njc4OQ==";
const OLD_SECRET: &str = "whsec_b2xkLXdlYmhvb2stczNjcmV0LTAxMjM0NTY3ODk=";
const BROKER_PASSWORD: &str = "br0ker/passw0rd+of the tests";
const PASSPHRASE: &str = "passphrase/of+the-broker's-key";
const HEADER: &str = "gate/s3cret+0123456789";
const PROXY: &str = "pr0xy-passw0rd-of-the-tests";
const S3_ACCESS: &str = "S3ACCESSKEYOFTHETESTS";
const S3_SECRET: &str = "s3/secret+key/of-the-tests";

const SECRETS: [&str; 10] = [
    CONSOLE_TOKEN,
    OPENCTI_TOKEN,
    WEBHOOK_SECRET,
    OLD_SECRET,
    BROKER_PASSWORD,
    PASSPHRASE,
    HEADER,
    PROXY,
    S3_ACCESS,
    S3_SECRET,
];

/// All that anybody could see.
#[derive(Default)]
struct Seen {
    texts: Vec<(String, String)>,
}

impl Seen {
    fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.texts.push((place.into(), text.into()));
    }

    /// Searches what a command prints; returns its standard output.
    async fn run(&mut self, home: &Home, arguments: &[&str]) -> String {
        let mut app = home.start(arguments);
        let mut stdout = String::new();
        app.stdout().read_to_string(&mut stdout).await.unwrap();
        app.exit().await;
        let stderr = app.whole_log().await;
        assert!(!stdout.is_empty() || !stderr.is_empty(), "{arguments:?} says something");
        self.note(format!("{arguments:?}"), format!("{stdout}\n{stderr}"));
        stdout
    }

    /// A page of the management address.
    async fn page(&mut self, app: &mut App, page: &str) {
        let url = format!("{}/{page}", app.management().await);
        let response = http().get(url).send().await.unwrap();
        self.note(
            page,
            format!("{:?} {}", response.headers().clone(), response.text().await.unwrap()),
        );
    }

    async fn answer(&mut self, request: RequestBuilder) -> u16 {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = format!("{:?}", response.headers());
        self.note("an answer", format!("{headers} {}", response.text().await.unwrap()));
        status
    }

    /// Returns which secrets are where, and how many bytes were searched.
    fn search(&self) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        for secret in SECRETS {
            for form in forms_of(secret) {
                for (place, text) in self.texts.iter().filter(|(_, text)| text.contains(&form)) {
                    let line = text.lines().find(|line| line.contains(&form)).unwrap_or_default();
                    found.push(format!("{form} in {place}: {line}"));
                }
            }
        }
        (found, self.texts.iter().map(|(_, text)| text.len()).sum())
    }
}

async fn stage() -> Stage {
    let mut stage = Stage::with_webhook().await;
    stage.console.set_token(CONSOLE_TOKEN.into());
    stage.opencti.change_token(OPENCTI_TOKEN);
    let both = format!("{WEBHOOK_SECRET},{OLD_SECRET}");
    let header = format!("X-Gate:{HEADER}");
    for (name, value) in [
        ("CONNECTOR_LOG_LEVEL", "trace"),
        // What other programs take as leave for their libraries to quote what they send.
        ("RUST_LOG", "trace"),
        ("OPENCTI_TOKEN", OPENCTI_TOKEN),
        ("OPENCTI_CUSTOM_HEADERS", &header),
        ("HARFANGLAB_INCIDENTS_TOKEN", CONSOLE_TOKEN),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", &both),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_AUTH", "header,hmac,standard-webhooks"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER", "X-Signature-256"),
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
        ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT1S"),
        ("MQ_USE_SSL_PASSPHRASE", PASSPHRASE),
        ("S3_ACCESS_KEY", S3_ACCESS),
        ("S3_SECRET_KEY", S3_SECRET),
    ] {
        stage.home.set(name, value);
    }
    stage
}

/// Waits until the log has a line with these words.
async fn says(app: &mut App, words: &str) {
    app.wait_for_log(words, |line| line.to_string().contains(words).then_some(())).await;
}

fn post(url: &str, body: &str) -> RequestBuilder {
    http().post(url).header("Content-Type", "application/json").body(body.to_owned())
}

/// The same alert under each scheme, with the new and the old secret; then as strangers send it.
async fn deliveries(seen: &mut Seen, url: &str, element: &Value) {
    let body = element.to_string();
    for secret in [WEBHOOK_SECRET, OLD_SECRET] {
        let mac = |key: &[u8], text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes()
        };
        assert_eq!(seen.answer(post(url, &body).header("Authorization", secret)).await, 202);
        let signature = hex::encode(mac(secret.as_bytes(), &body));
        assert_eq!(seen.answer(post(url, &body).header("X-Signature-256", signature)).await, 202);
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let now = Clock::system().now().timestamp();
        let signature = STANDARD.encode(mac(&key, &format!("msg.{now}.{body}")));
        let signed = post(url, &body).header("webhook-id", "msg").header("webhook-timestamp", now);
        let signed = signed.header("webhook-signature", format!("v1,{signature}"));
        assert_eq!(seen.answer(signed).await, 202);
        let bearer = format!("Bearer {secret}");
        assert_eq!(seen.answer(post(url, &body).header("Authorization", bearer)).await, 202);
        // The secret where it does not belong.
        let token = format!("Token {secret}");
        assert_eq!(seen.answer(post(url, &body).header("Authorization", token)).await, 401);
        assert_eq!(seen.answer(post(url, &body).header("X-Signature-256", secret)).await, 401);
        assert_eq!(seen.answer(post(&format!("{url}?secret={secret}"), &body)).await, 401);
        assert_eq!(seen.answer(post(&format!("{url}/x?secret={secret}"), &body)).await, 404);
        let unreadable = post(url, "not JSON").header("Authorization", secret);
        assert_eq!(seen.answer(unreadable).await, 400);
    }
}

/// Everything refuses: the proxy is away, then the broker takes no such password.
async fn refusals(seen: &mut Seen, stage: &mut Stage) {
    let proxy = format!("http://proxy-user:{PROXY}@127.0.0.1:1");
    stage.home.set("HTTP_PROXY", &proxy);
    stage.home.set("MQ_PASS", BROKER_PASSWORD);
    stage.home.set("MQ_USER", "nobody-of-the-tests");
    let mut app = stage.home.start(&["serve"]);
    says(&mut app, "OpenCTI cannot be reached").await;
    seen.page(&mut app, "readyz").await;
    seen.run(&stage.home, &["check"]).await;
    app.terminate().await;
    seen.note("serve behind a proxy", app.whole_log().await);
    stage.home.unset("HTTP_PROXY");

    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let element = Generator::new(71).next_alert(Clock::system().now()).native();
    let posted = post(&url, &element.to_string()).header("Authorization", WEBHOOK_SECRET);
    assert_eq!(seen.answer(posted).await, 202);
    says(&mut app, "could not be delivered").await;
    seen.page(&mut app, "readyz").await;
    seen.run(&stage.home, &["check"]).await;
    app.terminate().await;
    seen.note("serve with a wrong password", app.whole_log().await);
    stage.home.unset("MQ_USER");
    stage.home.unset("MQ_PASS");
}

#[tokio::test]
async fn no_secret_is_in_any_log_page_answer_or_output_at_trace_level() {
    let mut stage = stage().await;
    let mut seen = Seen::default();
    refusals(&mut seen, &mut stage).await;

    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let element = Generator::new(72).next_alert(Clock::system().now()).native();
    deliveries(&mut seen, &url, &element).await;
    let odd = post(&url, r#"{"something":"new"}"#).header("Authorization", WEBHOOK_SECRET);
    assert_eq!(seen.answer(odd).await, 202);
    stage.closed_works(1).await;
    // A proxy made for debugging says back what it was sent.
    let lists = RequestKind::List(Collection::Alerts);
    stage.console.fail_next(lists, 1_000, Fault::EchoAuthorization);
    seen.run(&stage.home, &["sweep"]).await;
    seen.run(&stage.home, &["check"]).await;
    stage.console.heal();
    stage.opencti.change_token("another");
    let other = Generator::new(73).next_alert(Clock::system().now()).native();
    let posted = post(&url, &other.to_string()).header("Authorization", WEBHOOK_SECRET);
    assert_eq!(seen.answer(posted).await, 202);
    says(&mut app, "OPENCTI_TOKEN").await;
    for page in ["metrics", "readyz", "healthz", "jobs"] {
        seen.page(&mut app, page).await;
    }
    let letters = seen.run(&stage.home, &["dead-letters", "list", "--json"]).await;
    let letter: Value = serde_json::from_str(letters.lines().next().unwrap()).unwrap();
    let id = element["alert_unique_id"].as_str().unwrap();
    for arguments in [
        vec!["check"],
        vec!["config"],
        vec!["dead-letters", "list"],
        vec!["dead-letters", "show", &letter["id"].to_string()],
        vec!["events", "show", id],
    ] {
        seen.run(&stage.home, &arguments).await;
    }
    app.terminate().await;
    seen.note("serve", app.whole_log().await);
    // What cannot be used is not shown either.
    stage.home.set("OPENCTI_TOKEN", &format!("{OPENCTI_TOKEN}\nx"));
    stage.home.set("HARFANGLAB_INCIDENTS_URL", &format!("https://user:{PROXY}@console.example"));
    stage.home.set("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", "whsec_not base64!");
    seen.run(&stage.home, &["serve"]).await;

    let (found, bytes) = seen.search();
    let forms: usize = SECRETS.iter().map(|secret| forms_of(secret).len()).sum();
    println!(
        "searched {bytes} bytes in {} places for {} secrets in {forms} forms: {} found",
        seen.texts.len(),
        SECRETS.len(),
        found.len()
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The search is awake.
    seen.note("nowhere", json!({ "header": STANDARD.encode(HEADER) }).to_string());
    assert_eq!(seen.search().0.len(), 1);
}
