//! Flags of `dead-letters`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand};

use super::show::Form;
use crate::{
    config,
    intake::Origin,
    journal::{Access, DeadLetterFilter, DeadLetterKind, EventId},
};

pub(in crate::cli) const AFTER: &str = "\
A dead letter is a notification that was accepted and cannot be delivered as it is. It is kept with
its text and the reason until somebody retries or drops it. Works beside the running service, which
takes up what is retried within half a minute.

`list` counts letters with the same reason in one line, with an example; `--each` lists every one, and
`--like 42` means those with the same reason as letter 42.

`refused` lists what OpenCTI's workers could not import of alerts that were delivered: those are no
dead letters. What was refused because something was missing or busy leaves once more, up to three
times; else the next version of the alert brings the object again. A rule whose text OpenCTI refused is
left out for 7 days, or until the text or OpenCTI's version changes; `retry --rule` asks for it at once.

Examples:
  harfanglab-incidents dead-letters list --older-than P1D
  harfanglab-incidents dead-letters show 42 --body | jq .
  harfanglab-incidents dead-letters retry --reason \"too large\" --dry-run
  harfanglab-incidents dead-letters retry --rule all
  harfanglab-incidents dead-letters drop 42 43
  harfanglab-incidents dead-letters drop --like 42 --yes
  harfanglab-incidents dead-letters export --output letters.jsonl";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeadLettersCommand {
    /// A line for each reason, with how many letters have it; `--each`: a line a letter, the oldest
    /// first.
    List(ListArguments),
    /// One letter with its reason and its text.
    Show(ShowArguments),
    /// Let letters enter the pipeline again. One that a newer version has overtaken ends as
    /// superseded.
    Retry(RetryArguments),
    /// Drop letters for good: their texts are removed at once, and the same version, when it comes
    /// again, is a duplicate.
    Drop(DropArguments),
    /// Refusals by OpenCTI of alerts after they were delivered, the newest first.
    Refused(Listing),
    /// Write letters with their text as received, a JSON object a line.
    Export(ExportArguments),
}

impl DeadLettersCommand {
    /// Returns what it does with the journal.
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Retry(_) | Self::Drop(_) => Access::Change,
            Self::List(_) | Self::Show(_) | Self::Refused(_) | Self::Export(_) => Access::Read,
        }
    }
}

/// The letters that are meant.
#[derive(Debug, Args)]
pub(in crate::cli) struct Selection {
    /// Ids, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<EventId>,
    /// Only those whose reason holds this text, in any case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those with the same reason as this letter.
    #[arg(long, value_name = "ID")]
    like: Option<EventId>,
    /// Only those that died longer ago than this: PT2H, P7D.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    older_than: Option<Duration>,
    /// Only those that came by this road: push, pull, sweep or follow-up.
    #[arg(long, value_name = "ROAD", value_parser = origin)]
    source: Option<Origin>,
}

/// The letters that are meant by a command that changes them: it must be said.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true)
    .args(["ids", "reason", "like", "older_than", "source", "all"]))]
pub(in crate::cli) struct Choice {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// All of them.
    #[arg(long)]
    all: bool,
}

/// Dead letters or dropped ones.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pile {
    /// Those that were dropped instead; their texts are gone, but for those of an earlier version.
    #[arg(long)]
    dropped: bool,
}

/// The number of letters that are shown, and the form.
#[derive(Debug, Args)]
pub(in crate::cli) struct Listing {
    /// At most this many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(super) limit: usize,
    /// A JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) pile: Pile,
    #[command(flatten)]
    pub(super) listing: Listing,
    /// A line a letter; without it, and without --json or ids, a line a reason.
    #[arg(long)]
    each: bool,
}

impl ListArguments {
    /// Returns whether letters with the same reason share a line. JSON has an object a letter,
    /// always.
    pub(super) fn groups(&self) -> bool {
        let names_letters = !self.selection.ids.is_empty() || self.selection.like.is_some();
        !self.each && !self.listing.json && !names_letters
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// Its id, as `list` shows it.
    #[arg(value_name = "ID")]
    pub(super) id: EventId,
    /// Print its text alone, byte for byte.
    #[arg(long, conflicts_with = "json")]
    pub(super) body: bool,
    /// As a JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RetryArguments {
    #[command(flatten)]
    pub(super) choice: Choice,
    #[command(flatten)]
    pub(super) pile: Pile,
    /// Instead of letters, the rule of this indicator whose text OpenCTI refused, as `refused` shows it,
    /// or `all` of them: it is sent again with the next alert that it raises.
    #[arg(long = "rule", value_name = "INDICATOR", group = "which",
        conflicts_with_all = ["ids", "reason", "like", "older_than", "source", "all", "dropped"])]
    pub(super) rules: Vec<String>,
    /// Say what would be retried, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// A JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

impl RetryArguments {
    /// Returns the form in which the outcome of each letter is told.
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Words }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DropArguments {
    #[command(flatten)]
    pub(super) choice: Choice,
    /// Say what would be dropped, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
    /// A JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

impl DropArguments {
    /// Returns the form in which the outcome of each letter is told.
    pub(super) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Words }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) pile: Pile,
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl Pile {
    pub(super) fn kind(&self) -> DeadLetterKind {
        if self.dropped { DeadLetterKind::Dropped } else { DeadLetterKind::Dead }
    }
}

impl Selection {
    pub(super) fn filter(
        &self,
        kind: DeadLetterKind,
        now: chrono::DateTime<chrono::Utc>,
    ) -> DeadLetterFilter {
        let ago = |length: Duration| {
            let length = chrono::TimeDelta::from_std(length).ok()?;
            now.checked_sub_signed(length)
        };
        DeadLetterFilter {
            kind,
            ids: self.ids.clone(),
            reason: self.reason.clone(),
            like: self.like,
            ended_before: self
                .older_than
                .map(|length| ago(length).unwrap_or(chrono::DateTime::<chrono::Utc>::MIN_UTC)),
            origin: self.source,
        }
    }

    /// Returns the ids that were named; each must be there.
    pub(super) fn named(&self) -> &[EventId] {
        &self.ids
    }
}

fn origin(text: &str) -> Result<Origin, String> {
    text.parse().map_err(|_| "give push, pull, sweep or follow-up".to_owned())
}
