//! The newest job that somebody asked for, of each console: a sweep or a backfill, how far it is, how it
//! ended.
//!
//! Does not live here: asking for it or cancelling it (`ops::jobs`).

use maud::{Markup, html};

use super::{
    snapshot::Snapshot,
    words::{grouped, moment, of},
};
use crate::{
    ops::ManagedConsole,
    sweep::{Job, JobState, Range},
};

/// The section; nothing where no job was asked for since the start.
pub(super) fn newest(snapshot: &Snapshot, console: &ManagedConsole) -> Markup {
    let progress = console.jobs.current();
    let Some(job) = progress.job.as_deref().filter(|_| progress.state != JobState::None) else {
        return html! {};
    };
    html! {
        section {
            h2 { "Newest job" (of(&console.label)) }
            p {
                (words(job)) ", number " (progress.number)
                @if let Some(asked_at) = progress.asked_at {
                    ", asked for " (moment(asked_at, snapshot.now))
                }
                "."
            }
            dl.facts {
                dt { "state" }
                dd.alarming[progress.state == JobState::Failed] { (state(progress.state)) }
                dt { "read" }
                dd {
                    (grouped(progress.new + progress.known))
                    @if progress.expected > 0 { " of " (grouped(progress.expected)) }
                    ", " (grouped(progress.new)) " of them new"
                }
                @if !progress.words.is_empty() { dt { "why" } dd { (progress.words) } }
                @if let Some(ended_at) = progress.ended_at {
                    dt { "ended" } dd { (moment(ended_at, snapshot.now)) }
                }
            }
        }
    }
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::None => "none",
        JobState::Running => "under way",
        JobState::Done => "done",
        JobState::Failed => "ended early",
        JobState::Interrupted => "called off",
    }
}

fn words(job: &Job) -> String {
    let Job::Backfill(Range { since, until, types }) = job else {
        return "A sweep".to_owned();
    };
    let day = |moment: &chrono::DateTime<chrono::Utc>| moment.format("%Y-%m-%d %H:%M").to_string();
    let types = if types.is_empty() { String::new() } else { format!(" of {}", types.join(", ")) };
    match until {
        Some(until) => format!("A backfill{types} from {} to {} UTC", day(since), day(until)),
        None => format!("A backfill{types} from {} UTC on", day(since)),
    }
}
