//! Hostile texts for everything that reads: a stored corpus (`tests/corpus`), replayed in every run,
//! and what proptest makes, more of it with `scripts/test.sh --long`. Nothing panics, what grows does
//! so about as its input does, and what is written can be read back by somebody else.

use std::{fs, path::PathBuf, time::Duration};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use harfanglab_incidents::{
    alert::{Alert, date, element::MaxValues},
    clock::Clock,
    config::{WebhookScheme, load},
    convert::carried_intelligence,
    intake::{
        Samples,
        decode::{decode, text_of},
        sort,
        verification::Verifier,
    },
    stix::pattern::Pattern,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::support::{
    app::WEBHOOK_SECRET,
    configuration::{PEER_ENVIRONMENT, environment, now, write_private},
    notifications::minimal_alert,
    offline::started,
    stage::{http, post},
    verification::{at, proof_of_a_push, settings},
};

/// Elements that the endpoint takes in one body.
const ELEMENTS_MAX: usize = 10_000;

fn cases() -> ProptestConfig {
    let long = std::env::var_os("HARFANGLAB_INCIDENTS_TEST_LONG").is_some_and(|value| value == "1");
    ProptestConfig::with_cases(if long { 20_000 } else { 256 })
}

/// The files of one folder of the corpus, by name.
fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// The lines of a folder's files.
fn lines(folder: &str) -> Vec<String> {
    let files = corpus(folder).into_iter();
    files
        .flat_map(|(_name, bytes)| {
            let text = String::from_utf8(bytes).unwrap();
            text.split('\n').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// A body all the way to the journal's door.
fn read_body(body: &[u8]) {
    let text = text_of(body);
    let Ok(elements) = decode(&text, ELEMENTS_MAX) else { return };
    let count = elements.len();
    let (samples, max) = (Samples::default(), MaxValues::default());
    let sorted = sort(&proof_of_a_push(at(0)), elements, &samples, max);
    assert!(sorted.notifications.len() + sorted.ignored() <= count);
}

fn read_rule(text: &str) {
    let alert = Alert {
        alert_type: "sigma".to_owned(),
        rule_name: Some("Rule".to_owned()),
        rule_content: Some(text.to_owned()),
        ..Alert::default()
    };
    let _ = carried_intelligence(&alert);
}

/// Reads a file as a configuration; what is said of it quotes none of it.
fn read_config(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    fs::write(&path, bytes).unwrap();
    if let Err(faults) = load(&environment(&[]), Some(&path), now()) {
        assert!(!faults.to_string().contains("s3cret"), "{faults}");
    }
}

fn read_headers(pairs: &[(String, Vec<u8>)]) {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for scheme in [WebhookScheme::Header, WebhookScheme::Hmac, WebhookScheme::StandardWebhooks] {
        let verifier = Verifier::new(&settings(scheme, &[secret])).unwrap().unwrap();
        let _ = verifier.glance(&headers);
        assert!(verifier.verify(&headers, b"{}", at(0)).is_err(), "{pairs:?}");
    }
}

/// Returns what a pattern of one comparison says, read by the grammar's rules for a quoted text.
fn value_of(pattern: &str, path: &str) -> Option<String> {
    let quoted = pattern.strip_prefix(&format!("[{path} = '"))?.strip_suffix("']")?;
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.push(characters.next().filter(|next| matches!(next, '\\' | '\''))?),
            // The text would end here, and something else begin.
            '\'' => return None,
            other => value.push(other),
        }
    }
    Some(value)
}

fn there_and_back(text: &str) {
    let pattern = Pattern::text("file:name", text).to_string();
    assert_eq!(value_of(&pattern, "file:name").as_deref(), Some(text), "{pattern}");
}

#[test]
fn every_stored_hostile_input_is_read_without_a_panic() {
    for (_name, body) in corpus("webhook") {
        read_body(&body);
    }
    for (_name, rule) in corpus("sigma") {
        read_rule(&String::from_utf8_lossy(&rule));
    }
    for (_name, config) in corpus("config") {
        read_config(&config);
    }
    for line in lines("headers") {
        if let Some((name, value)) = line.split_once(": ") {
            read_headers(&[(name.to_owned(), value.as_bytes().to_vec())]);
        }
    }
    for line in lines("dates") {
        let _ = date::parse(&line);
    }
    for line in lines("patterns") {
        there_and_back(&line);
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_body_makes_decoding_or_sorting_panic(
        pieces in prop::collection::vec(
            prop_oneof![
                select(vec![
                    "{", "}", "[", "]", ",", ":", "\"", "\\", "\n", "\\ud800", "1e999", "null",
                    r#""log_type":"alert""#, r#"{"log_type":"alert","alert_unique_id":"x"}"#, "{}",
                    r#""event":{"kind":"alert"}"#, "\u{feff}", "\u{0}", "é",
                ]).prop_map(|text| text.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..8),
            ],
            0..40,
        )
    ) {
        read_body(&pieces.concat());
    }

    #[test]
    fn no_headers_make_a_verifier_panic_or_agree(
        pairs in prop::collection::vec(
            (
                select(vec![
                    "authorization", "x-signature-256", "webhook-id", "webhook-timestamp",
                    "webhook-signature",
                ]).prop_map(str::to_owned),
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60),
                    "(sha256=|v1,|v1a,|whsec_| )?([0-9a-fA-F]{0,70}|[A-Za-z0-9+/]{0,44}={0,2}){1,3}"
                        .prop_map(String::into_bytes),
                ],
            ),
            0..6,
        )
    ) {
        read_headers(&pairs);
    }

    #[test]
    fn no_text_makes_a_date_panic_and_what_is_written_is_read_back(
        text in "[0-9TZtz:. +/-]{0,40}|\\PC{0,20}",
        seconds in 1_i64..253_402_300_799,
    ) {
        let _ = date::parse(&text);
        let written = at(seconds).to_rfc3339();
        prop_assert_eq!(date::parse(&written), Some(at(seconds)));
    }

    #[test]
    fn no_yaml_makes_reading_a_rule_panic(
        lines in prop::collection::vec(
            select(vec![
                "logsource:", "  product: windows", "detection:", "  condition: x", "title: &a x",
                "tags: [*a, attack.t1059]", "- x", "? y", ": z", "---", "...", "<<: *a", "\t", "'",
                "\"", "|", ">", "!!binary x", "date: 2026/01/01", "references:", "  - http://x", "{",
                "[", "&a", "*a", "%YAML 9.9", "\u{0}", "é: é",
            ]),
            0..20,
        )
    ) {
        read_rule(&lines.join("\n"));
    }

    #[test]
    fn no_file_or_variable_makes_the_loader_panic_or_quote_a_secret(
        file in "(opencti|mq|harfanglab_incidents|connector|x):\n(  (token|pass|webhook_secret): [\"'\\[{&*]?s3cret[\"'\\]}]?\n){0,3}\\PC{0,10}",
        place in 0..PEER_ENVIRONMENT.len(),
        value in "\\PC{0,30}",
    ) {
        read_config(file.as_bytes());
        let mut variables = environment(&PEER_ENVIRONMENT);
        variables.insert(PEER_ENVIRONMENT[place].0.to_owned(), value.clone());
        if let Err(faults) = load(&variables, None, now()) {
            let is_secret = PEER_ENVIRONMENT[place].0.ends_with("TOKEN");
            let quoted = value.len() > 8 && faults.to_string().contains(&value);
            prop_assert!(!(is_secret && quoted), "{}", faults);
        }
    }

    #[test]
    fn a_pattern_says_what_it_was_given_and_nothing_more(text in "([\\\\'\\[\\]= ]|\\PC){0,30}") {
        there_and_back(&text);
    }
}

/// The shortest of three runs, in time of the processor: what else the machine does is left out.
fn time(run: impl Fn()) -> Duration {
    let once = |_| {
        let began = processor_time();
        run();
        processor_time().saturating_sub(began)
    };
    (0..3).map(once).min().unwrap()
}

/// Returns how long this thread has run.
#[expect(clippy::disallowed_methods, reason = "no date, and no clock that a test could set")]
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

#[test]
fn reading_takes_about_eight_times_as_long_for_eight_times_as_much() {
    for shape in ["[", "{\"a\":", "\"{", "{}\n{\n", "[\n", "{\"a\":1}\n\"", "\\ud800\n", "[{},\n"] {
        let of = |times: usize| shape.repeat(times).into_bytes();
        let (small, large) = (of(4_000), of(32_000));
        let run = |body: &[u8]| {
            let _ = decode(&text_of(body), ELEMENTS_MAX);
        };
        let (short, long) = (time(|| run(&small)), time(|| run(&large)));
        // Squared it would be sixty-four times; the clock is not exact for the shortest.
        let bound = short.max(Duration::from_micros(200)) * 40;
        assert!(long < bound, "{shape:?}: {short:?}, then {long:?}");
    }
}

#[test]
fn yaml_whose_aliases_unfold_a_thousand_million_times_is_refused_and_not_unfolded() {
    for folder in ["sigma", "config"] {
        let (_name, text) =
            corpus(folder).into_iter().find(|(name, _)| name == "aliases.yml").unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.len() < 1_000 && text.matches("*h").count() == 10);
    }
    let (_name, bomb) =
        corpus("sigma").into_iter().find(|(name, _)| name == "aliases.yml").unwrap();
    let bomb = String::from_utf8(bomb).unwrap();
    let alert = |rule: String| Alert {
        alert_type: "sigma".to_owned(),
        rule_name: Some("Rule".to_owned()),
        rule_content: Some(rule),
        ..Alert::default()
    };
    assert!(carried_intelligence(&alert(bomb.clone())).is_none());
    let harmless = bomb.split('\n').find(|line| line.starts_with("logsource")).unwrap().to_owned();
    assert!(carried_intelligence(&alert(harmless + "\ndetection: {condition: x}\n")).is_some());

    let folder = tempfile::tempdir().unwrap();
    let (_name, bomb) =
        corpus("config").into_iter().find(|(name, _)| name == "aliases.yml").unwrap();
    let path = write_private(folder.path(), "config.yml", &String::from_utf8(bomb).unwrap());
    let faults =
        load(&environment(&PEER_ENVIRONMENT), Some(&path), Clock::system().now()).unwrap_err();
    assert!(faults.to_string().contains("is not readable"), "{faults}");
}

#[tokio::test]
async fn the_endpoint_answers_bombs_of_json_and_goes_on() {
    let (_home, mut app, url) = started(&[]).await;
    let many =
        |count: usize| -> Value { (0..count).map(|_| json!({ "log_type": "process" })).collect() };
    for (name, body, status) in [
        ("ten thousand elements", many(ELEMENTS_MAX).to_string(), 202),
        ("one more", many(ELEMENTS_MAX + 1).to_string(), 413),
        ("nested a hundred thousand times", "[".repeat(100_000), 400),
        ("nested and closed", "[".repeat(100_000) + &"]".repeat(100_000), 202),
        (
            "a number of a million digits",
            format!("{{\"log_type\":{}}}", "9".repeat(1_000_000)),
            202,
        ),
    ] {
        let request = http().post(&url).header("Authorization", WEBHOOK_SECRET);
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{name}");
    }
    // What was no object is kept as it was, for a person to look at.
    assert_eq!(app.events_stored().await, 2);
    let mut twice = minimal_alert("twice").to_string();
    twice.insert_str(1, "\"status\":\"closed\",");
    let (status, answer) = post(&url, &serde_json::from_str(&twice).unwrap()).await;
    assert_eq!((status.as_u16(), &answer["accepted"]), (202, &json!(1)), "{answer}");
}
