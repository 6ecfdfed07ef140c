//! Text that an outsider chose stays text on the operator's terminal, in what is exported and in errors.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    clock::Clock,
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::{EventId, Outcome, Refusal, WorkPart},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::{app::Home, notifications::LEASE, skipped::skipped, stores::open_sqlite};

/// Clears the screen, renames the window, colours by C1, turns the text around, hides and breaks lines.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj.exe\u{2066}\u{200b}\u{ad}\u{2028}\u{85}\
                       \u{e0041}\u{7f}\u{8}\r\nerror: forged";

/// An address at which nobody answers.
const NOWHERE: &str = "http://127.0.0.1:1";

fn home() -> Home {
    Home::new(
        "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11",
        (NOWHERE, "a-token-of-the-console"),
        (NOWHERE, "a-token-of-the-platform"),
    )
}

/// An alert whose every text is hostile.
fn hostile(raised: DateTime<Utc>) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": format!("id{HOSTILE}"),
        "status": "new", "level": "high", "rule_name": format!("rule{HOSTILE}"),
        "alert_time": raised.to_rfc3339(), "msg": HOSTILE, "tags": ["attack.t9999", HOSTILE],
        "agent": { "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": HOSTILE },
        "process": { "commandline": HOSTILE, "image_name": HOSTILE, "pid": 7 },
    })
}

/// A journal with one dead letter and one refusal, all of their texts hostile.
async fn journal(home: &Home) -> (EventId, String) {
    let url = format!("sqlite:{}", home.journal().display());
    let journal = open_sqlite(&url, &format!("{NOWHERE}/")).await;
    let now = Clock::system().now();
    let element = hostile(now);
    let text = element.to_string();
    let proof = Proof::answered_by_console(now);
    let notification =
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, text.clone());
    journal.append(&[vec![notification]]).await.unwrap();
    let event = journal.claim(1, LEASE, now).await.unwrap().remove(0);
    let id = event.claim.event;
    let outcome = Outcome::Dead { reason: format!("reason{HOSTILE}") };
    journal.finish(&[(event.claim, outcome)], now).await.unwrap();
    journal
        .work_opened("work--1", &[WorkPart { event: id, objects: Vec::new() }], now)
        .await
        .unwrap();
    let refusal = Refusal {
        event: Some(id),
        work: "work--1".to_owned(),
        object: format!("object{HOSTILE}"),
        reason: format!("refused{HOSTILE}"),
        refused_at: now,
    };
    journal.remove_work("work--1", &[refusal]).await.unwrap();
    (id, text)
}

/// True for what must never reach a terminal.
fn is_hostile(character: char) -> bool {
    (character.is_control() && character != '\n')
        || "\u{202e}\u{2066}\u{200b}\u{ad}\u{2028}\u{e0041}".contains(character)
}

/// Returns what a command writes, on stdout and on stderr; neither may hold what is hostile.
async fn said(home: &Home, arguments: &[&str]) -> (String, String) {
    let mut app = home.start(arguments);
    let mut stdout = String::new();
    app.stdout().read_to_string(&mut stdout).await.unwrap();
    app.exit().await;
    let stderr = app.whole_log().await;
    for text in [&stdout, &stderr] {
        assert!(!text.contains(is_hostile), "{arguments:?}: {text:?}");
        let is_forged = |line: &str| line.starts_with("error: forged");
        assert!(!text.lines().any(is_forged), "{arguments:?}: {text}");
    }
    (stdout, stderr)
}

#[tokio::test]
async fn no_command_lets_hostile_text_move_the_cursor_turn_the_line_or_forge_one() {
    let home = home();
    let (id, text) = journal(&home).await;
    let id = id.to_string();
    let (list, _) = said(&home, &["dead-letters", "list"]).await;
    assert!(list.contains("reason\\u001b[2J"), "{list}");
    let (refused, _) = said(&home, &["dead-letters", "refused"]).await;
    assert!(
        refused.contains("refused\\u001b[2J") && refused.contains("\\u202egpj.exe"),
        "{refused}"
    );
    let (shown, _) = said(&home, &["dead-letters", "show", &id]).await;
    assert!(shown.contains("\\u009b31m") && shown.contains("\\udb40\\udc41"), "{shown}");
    let (story, _) = said(&home, &["events", "show", &id]).await;
    assert!(story.contains("OpenCTI refused object\\u001b[2J"), "{story}");
    said(&home, &["dead-letters", "retry", "--dry-run", &id]).await;
    let (_, unknown) = said(&home, &["events", "show", HOSTILE]).await;
    assert!(unknown.contains("error: the journal knows nothing of \\u001b[2J"), "{unknown}");
    let (_, usage) = said(&home, &["dead-letters", "show", "7\u{1b}[2J\u{202e}"]).await;
    assert!(usage.contains("'7\\u202e'"), "{usage}");

    // As JSON the texts are escaped, too, and read as what they are.
    let (one, _) = said(&home, &["dead-letters", "show", &id, "--json"]).await;
    let (all, _) = said(&home, &["dead-letters", "list", "--json"]).await;
    let file = home.path().join("letters.jsonl");
    said(&home, &["dead-letters", "export", "--output", file.to_str().unwrap()]).await;
    let exported = fs::read_to_string(&file).unwrap();
    assert!(!exported.contains(is_hostile), "{exported}");
    let (piped, _) = said(&home, &["dead-letters", "export"]).await;
    assert_eq!(piped, exported);
    for letter in [one, all, exported] {
        let letter: Value = serde_json::from_str(&letter).unwrap();
        assert_eq!(letter["reason"], json!(format!("reason{HOSTILE}")));
        assert!(letter["body"].is_null() || letter["body"] == json!(text), "{letter}");
    }
    let (story, _) = said(&home, &["events", "show", &id, "--json"]).await;
    let story: Value = serde_json::from_str(&story).unwrap();
    let refusal = &story["events"][0]["refused_by_opencti"][0];
    assert_eq!(refusal["reason"], json!(format!("refused{HOSTILE}")));
}

#[tokio::test]
async fn a_converted_alert_is_shown_without_anything_that_its_sender_hid_in_it() {
    let home = home();
    let file = home.path().join("alert.json");
    fs::write(&file, hostile(Clock::system().now()).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let (tree, _) = said(&home, &["convert", "--summary", "--explain", "--file", file]).await;
    assert!(tree.contains("\\u202egpj.exe"), "{tree}");
    for arguments in [&["convert", "--file", file][..], &["convert", "--pretty", "--file", file]] {
        let (bundle, _) = said(&home, arguments).await;
        let bundle: Value = serde_json::from_str(&bundle).unwrap();
        let objects = bundle["objects"].as_array().unwrap();
        let process = objects.iter().find(|object| object["type"] == "process").unwrap();
        assert!(process["command_line"].as_str().unwrap().contains("\u{202e}gpj.exe"), "{process}");
    }
}

#[tokio::test]
async fn the_body_of_a_letter_is_exact_for_a_pipe_and_escaped_on_a_terminal() {
    let home = home();
    let url = format!("sqlite:{}", home.journal().display());
    let journal = open_sqlite(&url, &format!("{NOWHERE}/")).await;
    let now = Clock::system().now();
    let proof = Proof::answered_by_console(now);
    // Spaces between the tokens that a JSON writer would not make, and raw characters in a text.
    let text = hostile(now).to_string().replace(',', ",\r\n ");
    let element = serde_json::from_str(&text).unwrap();
    let notification =
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, text.clone());
    journal.append(&[vec![notification]]).await.unwrap();
    let event = journal.claim(1, LEASE, now).await.unwrap().remove(0);
    let id = event.claim.event;
    let outcome = Outcome::Dead { reason: "odd".to_owned() };
    journal.finish(&[(event.claim, outcome)], now).await.unwrap();
    drop(journal);

    let mut app = home.start(&["dead-letters", "show", &id.to_string(), "--body"]);
    let mut piped = String::new();
    app.stdout().read_to_string(&mut piped).await.unwrap();
    assert_eq!(piped, text);

    if !Path::new("/usr/bin/script").exists() {
        return skipped("what a terminal shows: `script` is not installed");
    }
    let mut app = home.start_on_a_terminal(&format!("dead-letters show {id} --body"));
    let mut shown = String::new();
    app.stdout().read_to_string(&mut shown).await.unwrap();
    // The terminal itself puts a carriage return before each line feed.
    let shown = shown.replace("\r\n", "\n");
    assert!(!shown.contains(is_hostile), "{shown:?}");
    assert!(shown.contains("\\u202egpj.exe") && shown.contains(",\\r\n"), "{shown}");
}
