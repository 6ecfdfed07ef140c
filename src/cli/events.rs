//! `events show`: where is my alert? Its whole story from the journal.

use std::{fmt::Write as _, path::Path};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    journal::{Desk, OfConsole},
    output::{self, line_of, moment},
};
use crate::journal::{Access, EventHistory, HistoryEntry, ListedRefusal, WaitsFor};

pub(super) const AFTER: &str = "\
Examples:
  harfanglab-incidents events show 11111111-2222-4333-8444-555555555555
  harfanglab-incidents events show 42 --json
  harfanglab-incidents events show incident--0b3cf0a8-7a5c-5a0f-9d4f-0d6b6f1f7c11";

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Tell the story of an alert or threat: what came in, what left, what waits for what.
    #[command(after_help = AFTER)]
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The `alert_unique_id`, the threat's id, the id of an event in the journal, or the STIX id of
    /// the incident or case.
    #[arg(value_name = "ID")]
    id: String,
    /// Only of this console [default: of whichever has it].
    #[arg(long, value_name = "NAME")]
    console: Option<String>,
    /// As a JSON object; a line for each console that has it.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Option<&Path>, command: &EventsCommand) -> Result<(), Failure> {
    let EventsCommand::Show(arguments) = command;
    let desk = Desk::open(config, arguments.console.as_deref(), Access::Read)?;
    let (id, now) = (&arguments.id, desk.now());
    let mut texts = Vec::new();
    for OfConsole { name, journal } in &desk.consoles {
        let Some(story) = desk.wait(journal.event_history(id))? else { continue };
        texts.push(if arguments.json {
            format!("{}\n", as_json(&story, name.as_deref(), now))
        } else {
            in_words(&story, name.as_deref(), now)
        });
    }
    if texts.is_empty() {
        Err(anyhow::anyhow!(
            "the journal knows nothing of {id}: no push or sweep brought it for this console, or \
             it ended so long ago that its row was removed"
        ))?;
    }
    output::print(&texts.join(if arguments.json { "" } else { "\n" }))
}

fn in_words(story: &EventHistory, console: Option<&str>, now: DateTime<Utc>) -> String {
    let mut text = match console {
        Some(console) => format!("{}, console {console}\n", line_of(&story.key)),
        None => format!("{}\n", line_of(&story.key)),
    };
    // Writing to a string cannot fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    match &story.identity {
        Some(identity) => line(format!(
            "  incident: {} (created {})",
            line_of(&identity.name),
            moment(identity.created)
        )),
        None => line("  incident: has no name yet".to_owned()),
    }
    for chapter in &story.entries {
        let what = match chapter.follows {
            Some(event) => format!("follow-up of event {event}"),
            None => format!("version {}", line_of(&chapter.version)),
        };
        line(format!("\n  event {}: {what}", chapter.id));
        line(format!(
            "    received {} by {}, read as {}",
            moment(chapter.received_at),
            chapter.origin,
            chapter.dialect.as_deref().unwrap_or("nothing known")
        ));
        if let Some(key) = &chapter.received_key {
            line(format!("    known as {} until it was matched", line_of(key)));
        }
        line(format!("    {}, {}", standing(chapter), tries(chapter.attempts)));
        if let Some(waits_for) = story.waits_for(chapter, now) {
            line(format!("    waits for {}", waiting(waits_for)));
        }
        if let Some(reason) = &chapter.reason {
            line(format!("    reason: {}", line_of(reason)));
        }
        if let Some(deadline) = chapter.deadline_at {
            line(format!("    asks the console until {}", moment(deadline)));
        }
        if let Some(root_id) = &chapter.root_id {
            line(format!("    {root_id}"));
        }
        for ListedRefusal { refusal, times, .. } in refusals_of(story, chapter) {
            line(format!(
                "    OpenCTI refused {}, {times} times, last {}: {}",
                refused(&refusal.object),
                moment(refusal.refused_at),
                line_of(&refusal.reason)
            ));
        }
        if chapter.times_requeued > 0 {
            line(format!(
                "    left once more because of what OpenCTI refused: {} times",
                chapter.times_requeued
            ));
        }
        if let Some(pruned_at) = chapter.pruned_at {
            line(format!("    its text was removed {}", moment(pruned_at)));
        }
    }
    text
}

fn refusals_of<'a>(
    story: &'a EventHistory,
    chapter: &'a HistoryEntry,
) -> impl Iterator<Item = &'a ListedRefusal> {
    story.refusals.iter().filter(|listed| listed.refusal.event == Some(chapter.id))
}

/// Describes what was refused, as far as OpenCTI said it.
pub(super) fn refused(object: &str) -> String {
    if object.is_empty() { "an object".to_owned() } else { line_of(object) }
}

fn standing(chapter: &HistoryEntry) -> String {
    match chapter.finished_at {
        Some(finished_at) => format!("{} {}", chapter.state, moment(finished_at)),
        None => chapter.state.clone(),
    }
}

fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}

fn waiting(waits_for: WaitsFor) -> String {
    match waits_for {
        WaitsFor::Worker(until) => {
            format!(
                "a worker that has it now; should that one have ended, from {} on",
                moment(until)
            )
        }
        WaitsFor::Event(event) => format!("event {event}, which leaves first"),
        WaitsFor::Time(time) => format!("its next try at {}", moment(time)),
        WaitsFor::Nothing => "the service, which takes it up next".to_owned(),
    }
}

fn as_json(story: &EventHistory, console: Option<&str>, now: DateTime<Utc>) -> Value {
    let events: Vec<Value> = story
        .entries
        .iter()
        .map(|chapter| {
            json!({
                "id": chapter.id,
                "generation": chapter.generation,
                "version": chapter.version,
                "received_key": chapter.received_key,
                "source": chapter.origin,
                "dialect": chapter.dialect,
                "state": chapter.state,
                "tries": chapter.attempts,
                "reason": chapter.reason,
                "received_at": moment(chapter.received_at),
                "due_at": moment(chapter.due_at),
                "leased_until": chapter.leased_until.map(moment),
                "finished_at": chapter.finished_at.map(moment),
                "pruned_at": chapter.pruned_at.map(moment),
                "root_id": chapter.root_id,
                "follows": chapter.follows,
                "asks_until": chapter.deadline_at.map(moment),
                "sent_again": chapter.times_requeued,
                "waits_for": story.waits_for(chapter, now).map(waiting_as_json),
                "refused_by_opencti": refusals_of(story, chapter)
                    .map(|listed| {
                        json!({
                            "object": listed.refusal.object,
                            "reason": listed.refusal.reason,
                            "work": listed.refusal.work,
                            "times": listed.times,
                            "refused_at": moment(listed.refusal.refused_at),
                        })
                    })
                    .collect::<Vec<_>>(),
            })
        })
        .collect();
    let incident = story
        .identity
        .as_ref()
        .map(|identity| json!({ "name": identity.name, "created": identity.created.to_rfc3339() }));
    let mut told = json!({ "key": story.key, "incident": incident, "events": events });
    if let Some(console) = console {
        told["console"] = json!(console);
    }
    told
}

fn waiting_as_json(waits_for: WaitsFor) -> Value {
    match waits_for {
        WaitsFor::Worker(until) => json!({ "worker_until": moment(until) }),
        WaitsFor::Event(event) => json!({ "event": event }),
        WaitsFor::Time(time) => json!({ "time": moment(time) }),
        WaitsFor::Nothing => json!("nothing"),
    }
}
