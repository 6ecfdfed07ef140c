//! `dead-letters`: what could not be delivered, for a person to look at, retry, drop or export.
//!
//! Does not live here: what becomes of a letter (`journal`), how it is shown (`show`).

mod arguments;
mod rules;
mod show;

use std::{
    fs::OpenOptions,
    io::{self, BufRead as _, BufWriter, IsTerminal as _, Write},
    path::Path,
};

use anyhow::Context as _;

pub(super) use self::arguments::{AFTER, DeadLettersCommand};
use self::arguments::{
    DropArguments, ExportArguments, ListArguments, Listing, RetryArguments, Selection,
    ShowArguments,
};
use super::{
    failure::Failure,
    journal::{Desk, OfConsole},
    output,
};
use crate::{
    escape,
    journal::{DeadLetter, DeadLetterFilter, DeadLetterKind, EventId, Journal, Retried},
};

/// Letters read, and changed in one commit, at a time.
const PAGE: usize = 200;

pub(super) fn run(
    config: Option<&Path>,
    console: Option<&str>,
    command: &DeadLettersCommand,
) -> Result<(), Failure> {
    let desk = Desk::open(config, console, command.access())?;
    match command {
        DeadLettersCommand::List(arguments) => list(&desk, arguments),
        DeadLettersCommand::Refused(arguments) => refused(&desk, arguments),
        DeadLettersCommand::Show(arguments) => show(&desk, arguments),
        DeadLettersCommand::Retry(arguments) => retry(&desk, arguments),
        DeadLettersCommand::Drop(arguments) => discard(&desk, arguments),
        DeadLettersCommand::Export(arguments) => export(&desk, arguments),
    }
}

fn list(desk: &Desk, arguments: &ListArguments) -> Result<(), Failure> {
    let Listing { limit, json } = arguments.listing;
    let filter = arguments.selection.filter(arguments.pile.kind(), desk.now());
    if arguments.groups() {
        return list_groups(desk, &filter, limit);
    }
    let mut listed = 0;
    let mut text = String::new();
    for_each_page(desk, &filter, |console, page| {
        let name = console.name.as_deref();
        for letter in page.iter().take(limit.saturating_sub(listed)) {
            if json {
                text.push_str(&show::as_json(letter, name, None).to_string());
                text.push('\n');
            } else {
                text.push_str(&show::as_line(letter, name));
            }
        }
        listed += page.len();
        Ok(listed <= limit)
    })?;
    if listed == 0 && !json {
        return output::print(&format!("no {} letters\n", arguments.pile.kind().state()));
    }
    if !json {
        text.insert_str(0, &show::heading());
        if listed > limit {
            text.push_str("… and more; see them with a larger --limit\n");
        }
    }
    output::print(&text)
}

/// A line for each reason, the most frequent first.
fn list_groups(desk: &Desk, filter: &DeadLetterFilter, limit: usize) -> Result<(), Failure> {
    let mut groups = Vec::new();
    for OfConsole { name, journal } in &desk.consoles {
        let of_console = desk.wait(journal.dead_letter_groups(filter, limit.saturating_add(1)))?;
        groups.extend(of_console.into_iter().map(|group| (name.as_deref(), group)));
    }
    if groups.is_empty() {
        return output::print(&format!("no {} letters\n", filter.kind.state()));
    }
    groups.sort_by_key(|(_name, group)| std::cmp::Reverse(group.letters));
    let mut text = show::heading_of_groups();
    for (name, group) in groups.iter().take(limit) {
        text.push_str(&show::group_as_line(group, *name));
    }
    if groups.len() > limit {
        text.push_str("… and more; see them with a larger --limit\n");
    }
    text.push_str("each letter: dead-letters list --each, or --like ID for one reason\n");
    output::print(&text)
}

fn refused(desk: &Desk, &Listing { limit, json }: &Listing) -> Result<(), Failure> {
    let mut refusals = Vec::new();
    for OfConsole { name, journal } in &desk.consoles {
        let of_console = desk.wait(journal.refusals(limit))?;
        refusals.extend(of_console.into_iter().map(|listed| (name.as_deref(), listed)));
    }
    refusals.sort_by_key(|(_name, listed)| std::cmp::Reverse(listed.refusal.refused_at));
    refusals.truncate(limit);
    let rules = rules::refused(desk)?;
    if refusals.is_empty() && rules.is_empty() && !json {
        return output::print("OpenCTI refused nothing that is known\n");
    }
    let lines: Vec<String> =
        refusals
            .iter()
            .map(|(name, listed)| {
                if json {
                    show::refusal_as_json(listed, *name)
                } else {
                    show::refusal(listed, *name)
                }
            })
            .collect();
    let rules = rules.iter().take(limit);
    let left_out = rules.map(|it| if json { rules::as_json(it) } else { rules::in_words(it) });
    output::print(&lines.into_iter().chain(left_out).collect::<String>())
}

fn show(desk: &Desk, arguments: &ShowArguments) -> Result<(), Failure> {
    let id = arguments.id;
    let mut found = None;
    for (console, kind) in desk.consoles.iter().flat_map(|console| {
        [DeadLetterKind::Dead, DeadLetterKind::Dropped].map(|kind| (console, kind))
    }) {
        let filter = DeadLetterFilter { kind, ids: vec![id], ..DeadLetterFilter::default() };
        let letters = desk.wait(console.journal.dead_letters(&filter, 0, 1))?;
        found = found.or(letters.into_iter().next().map(|letter| (console, kind, letter)));
    }
    let (OfConsole { name, journal }, kind, letter) = found.ok_or_else(|| {
        anyhow::anyhow!(
            "event {id} is no dead letter; `harfanglab-incidents events show {id}` tells what \
             became of it"
        )
    })?;
    let text = desk.wait(journal.text(id))?.unwrap_or_default();
    let name = name.as_deref();
    if arguments.body {
        return output::print_as_received(&text);
    }
    output::print(&if arguments.json {
        format!("{}\n", show::as_json(&letter, name, Some(&text)))
    } else {
        show::in_full(&letter, name, kind, &text)
    })
}

fn retry(desk: &Desk, arguments: &RetryArguments) -> Result<(), Failure> {
    if !arguments.rules.is_empty() {
        return rules::retry(desk, arguments);
    }
    let filter = arguments.choice.selection.filter(arguments.pile.kind(), desk.now());
    let letters = chosen(desk, &arguments.choice.selection, &filter)?;
    let mut text = String::new();
    let (mut again, mut unreadable) = (0, 0);
    for (journal, page) in pages(&letters) {
        let became = if arguments.dry_run {
            vec![None; page.len()]
        } else {
            let became = desk.wait(journal.retry(page, desk.now()))?;
            became.into_iter().map(Some).collect()
        };
        for (id, became) in page.iter().zip(became) {
            again += usize::from(became == Some(Retried::Pending));
            unreadable += usize::from(became == Some(Retried::StillUnreadable));
            text.push_str(&show::of_retry(*id, became, arguments.form()));
        }
    }
    output::print(&text)?;
    if arguments.dry_run {
        output::say(&format!("{} would be tried again; nothing was changed", count(&letters)));
        return Ok(());
    }
    output::say(&format!("{again} of {} wait to be delivered again", count(&letters)));
    if unreadable > 0 {
        let stay = anyhow::anyhow!(
            "{unreadable} cannot be read by this version either and stay dead letters"
        );
        return Err(stay.into());
    }
    Ok(())
}

fn discard(desk: &Desk, arguments: &DropArguments) -> Result<(), Failure> {
    let filter = arguments.choice.selection.filter(DeadLetterKind::Dead, desk.now());
    let letters = chosen(desk, &arguments.choice.selection, &filter)?;
    let of = if arguments.dry_run { show::of_dry_drop } else { show::of_drop };
    let ids = letters.iter().flat_map(|(_journal, ids)| ids);
    let text: String = ids.map(|id| of(*id, arguments.form())).collect();
    if arguments.dry_run {
        output::print(&text)?;
        output::say(&format!("{} would be dropped; nothing was changed", count(&letters)));
        return Ok(());
    }
    if count(&letters) == 0 {
        output::say("nothing to drop");
        return Ok(());
    }
    if !arguments.yes {
        confirm(count(&letters))?;
    }
    let mut dropped = 0;
    for (journal, page) in pages(&letters) {
        dropped += desk.wait(journal.discard(page, desk.now()))?;
    }
    output::print(&text)?;
    output::say(&format!(
        "{dropped} dropped for good: their texts are removed, and the same versions, when they come \
         again, are duplicates of them"
    ));
    if let Some((journal, _ids)) = letters.first() {
        give_disk_back(desk, journal);
    }
    Ok(())
}

/// Gives what is free in the journal back to the file system before the command ends. The service goes on
/// with it otherwise.
fn give_disk_back(desk: &Desk, journal: &Journal) {
    loop {
        match desk.wait(journal.shrink()) {
            Ok(given_back) if given_back.bytes == 0 => return,
            Ok(_some) => {}
            Err(failure) => {
                return output::say(&format!(
                    "the file could not be made smaller now: {failure}; the service tries again"
                ));
            }
        }
    }
}

fn export(desk: &Desk, arguments: &ExportArguments) -> Result<(), Failure> {
    let filter = arguments.selection.filter(arguments.pile.kind(), desk.now());
    let mut target: Box<dyn Write> = match &arguments.output {
        Some(path) => {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Alerts are nobody else's business.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let file = file.with_context(|| format!("cannot make {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(output::stdout()),
    };
    let mut exported = 0;
    for_each_page(desk, &filter, |OfConsole { name, journal }, page| {
        for letter in page {
            // What was retried or pruned since the page was read has its text elsewhere or nowhere.
            let Some(text) = desk.wait(journal.text(letter.id))? else { continue };
            let line = show::as_json(letter, name.as_deref(), Some(&text)).to_string();
            if let Err(error) = writeln!(target, "{}", escape::lines(&line)) {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    return Ok(false);
                }
                return Err(anyhow::Error::new(error).context("cannot write the letters").into());
            }
            exported += 1;
        }
        Ok(true)
    })?;
    target.flush().context("cannot write the letters")?;
    output::say(&format!("{exported} exported"));
    Ok(())
}

/// Ids of letters, and in which console's rows they are.
type Chosen<'a> = Vec<(&'a Journal, Vec<EventId>)>;

fn count(letters: &Chosen<'_>) -> usize {
    letters.iter().map(|(_journal, ids)| ids.len()).sum()
}

/// As many as are changed in one commit.
fn pages<'a>(letters: &'a Chosen<'_>) -> impl Iterator<Item = (&'a Journal, &'a [EventId])> {
    letters.iter().flat_map(|(journal, ids)| ids.chunks(PAGE).map(move |page| (*journal, page)))
}

/// The ids of all that are meant; who names ids means every one of them.
fn chosen<'a>(
    desk: &'a Desk,
    selection: &Selection,
    filter: &DeadLetterFilter,
) -> Result<Chosen<'a>, Failure> {
    let mut chosen: Chosen<'a> =
        desk.consoles.iter().map(|console| (&console.journal, Vec::new())).collect();
    for (console, (_journal, ids)) in desk.consoles.iter().zip(&mut chosen) {
        for_each_page_of(desk, console, filter, |page| {
            ids.extend(page.iter().map(|letter| letter.id));
            Ok(true)
        })?;
    }
    let is_there = |id: &EventId| chosen.iter().any(|(_journal, ids)| ids.contains(id));
    let missing: Vec<String> =
        selection.named().iter().filter(|id| !is_there(id)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(chosen);
    }
    Err(anyhow::anyhow!(
        "no {} letter that fits all that was said: {}; nothing was changed",
        filter.kind.state(),
        missing.join(", ")
    ))?
}

/// Hands on page by page, console by console, until `take` has enough.
fn for_each_page<'a>(
    desk: &'a Desk,
    filter: &DeadLetterFilter,
    mut take: impl FnMut(&'a OfConsole, &[DeadLetter]) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut wants_more = true;
    for console in &desk.consoles {
        if wants_more {
            for_each_page_of(desk, console, filter, |page| {
                wants_more = take(console, page)?;
                Ok(wants_more)
            })?;
        }
    }
    Ok(())
}

fn for_each_page_of(
    desk: &Desk,
    console: &OfConsole,
    filter: &DeadLetterFilter,
    mut take: impl FnMut(&[DeadLetter]) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let page = desk.wait(console.journal.dead_letters(filter, after, PAGE))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        if !take(&page)? {
            return Ok(());
        }
    }
}

/// Asks whoever sits at the terminal.
fn confirm(count: usize) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let what =
            format!("this drops {count} letters for good and nobody can be asked: add --yes");
        return Err(Failure::Usage(what));
    }
    output::ask(&format!("Drop {count} letters for good? Type yes: "));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("cannot read the answer")?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(anyhow::anyhow!("nothing was dropped"))?
}
