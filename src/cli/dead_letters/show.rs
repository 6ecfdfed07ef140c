//! Dead letters as they are shown: as lines, in full, as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    cli::{
        events,
        output::{line_of, moment},
    },
    journal::{DeadLetter, DeadLetterGroup, DeadLetterKind, EventId, ListedRefusal, Retried},
};

/// The form in which the outcome of a letter is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Words,
    Json,
}

/// Longest part of a reason in a line of the list, in characters.
const REASON_LENGTH: usize = 100;

pub(super) fn heading() -> String {
    format!("{:>8}  {:<20}  {:<9}  {:>5}  {:<36}  REASON\n", "ID", "DIED", "SOURCE", "TRIES", "KEY")
}

pub(super) fn heading_of_groups() -> String {
    format!("{:>8}  {:<20}  {:>8}  REASON\n", "LETTERS", "NEWEST", "EXAMPLE")
}

pub(super) fn group_as_line(group: &DeadLetterGroup, console: Option<&str>) -> String {
    let reason: String = line_of(&group.reason).chars().take(REASON_LENGTH).collect();
    let (count, newest, example) = (group.letters, moment(group.newest_at), group.example);
    let of_console = console.map(|console| format!("[{console}] ")).unwrap_or_default();
    format!("{count:>8}  {newest:<20}  {example:>8}  {of_console}{reason}\n")
}

pub(super) fn as_line(letter: &DeadLetter, console: Option<&str>) -> String {
    let reason: String = line_of(&letter.reason).chars().take(REASON_LENGTH).collect();
    let key: String = line_of(&letter.key).chars().take(36).collect();
    let (id, died) = (letter.id, moment(letter.ended_at));
    let of_console = console.map(|console| format!("[{console}] ")).unwrap_or_default();
    format!(
        "{id:>8}  {died}  {:<9}  {:>5}  {key:<36}  {of_console}{reason}\n",
        letter.origin, letter.attempts
    )
}

pub(super) fn as_json(letter: &DeadLetter, console: Option<&str>, body: Option<&str>) -> Value {
    let mut object = json!({
        "id": letter.id,
        "key": letter.key,
        "version": letter.version,
        "source": letter.origin,
        "dialect": letter.dialect,
        "title": letter.title,
        "received_at": moment(letter.received_at),
        "died_at": moment(letter.ended_at),
        "tries": letter.attempts,
        "reason": letter.reason,
        "size_bytes": letter.size_bytes,
    });
    if let Some(console) = console {
        object["console"] = json!(console);
    }
    if let Some(body) = body {
        object["body"] = json!(body);
    }
    object
}

/// Describes in two lines what OpenCTI refused.
pub(super) fn refusal(listed: &ListedRefusal, console: Option<&str>) -> String {
    let ListedRefusal { refusal, times, key, title, .. } = listed;
    let event = refusal.event.map_or("an unknown event".to_owned(), |id| format!("event {id}"));
    let alert = [key, title].into_iter().flatten().map(|text| line_of(text)).collect::<Vec<_>>();
    let of_console = console.map(|console| format!("[{console}] ")).unwrap_or_default();
    format!(
        "{}  {of_console}{} of {event} ({}), {times} times\n    {}\n",
        moment(refusal.refused_at),
        events::refused(&refusal.object),
        alert.join(", "),
        line_of(&refusal.reason)
    )
}

pub(super) fn refusal_as_json(listed: &ListedRefusal, console: Option<&str>) -> String {
    let ListedRefusal { refusal, times, key, title, root_id } = listed;
    let mut object = json!({
        "refused_at": moment(refusal.refused_at),
        "event": refusal.event,
        "object": refusal.object,
        "reason": refusal.reason,
        "work": refusal.work,
        "times": times,
        "key": key,
        "title": title,
        "root_id": root_id,
    });
    if let Some(console) = console {
        object["console"] = json!(console);
    }
    format!("{object}\n")
}

pub(super) fn in_full(
    letter: &DeadLetter,
    console: Option<&str>,
    kind: DeadLetterKind,
    body: &str,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<10} {}", line_of(value));
    };
    line("letter", &format!("{} ({})", letter.id, kind.state()));
    line("reason", &letter.reason);
    if let Some(console) = console {
        line("console", console);
    }
    line("alert", &letter.key);
    if let Some(title) = &letter.title {
        line("rule", title);
    }
    line("version", &letter.version);
    line("read as", letter.dialect.as_deref().unwrap_or("nothing known"));
    line("source", &letter.origin);
    line("received", &moment(letter.received_at));
    line("died", &moment(letter.ended_at));
    line("tries", &letter.attempts.to_string());
    line("size", &format!("{} bytes", letter.size_bytes));
    let body = if letter.size_bytes == 0 { "(its text was removed)" } else { body };
    let _ = writeln!(text, "\n{body}");
    text
}

/// `None`: a dry run.
pub(super) fn of_retry(id: EventId, became: Option<Retried>, form: Form) -> String {
    let (name, words) = match became {
        None => ("would_retry", "would be tried again"),
        Some(Retried::Pending) => ("pending", "waits to be delivered again"),
        Some(Retried::Superseded) => {
            ("superseded", "superseded: a newer version was delivered, or the same one came again")
        }
        Some(Retried::StillUnreadable) => {
            ("still_unreadable", "stays a dead letter: its text is still of no known dialect")
        }
        Some(Retried::NotThere) => ("not_there", "is no letter any more, or its text was removed"),
    };
    told(id, name, words, form)
}

pub(super) fn of_drop(id: EventId, form: Form) -> String {
    told(id, "dropped", "is dropped", form)
}

pub(super) fn of_dry_drop(id: EventId, form: Form) -> String {
    told(id, "would_drop", "would be dropped", form)
}

fn told(id: EventId, name: &str, words: &str, form: Form) -> String {
    match form {
        Form::Json => format!("{}\n", json!({ "id": id, "became": name })),
        Form::Words => format!("{id} {words}\n"),
    }
}
