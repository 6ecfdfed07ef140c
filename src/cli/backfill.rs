//! `backfill`: everything of a stretch of time.

use std::{path::Path, time::Duration};

use anyhow::Context as _;

use super::{
    arguments::BackfillArguments, consoles, failure::Failure, job, output, runtime, setup,
};
use crate::{
    clock::Clock,
    config::{self, ConsoleSettings},
    harfanglab::{Console, PAGE_LIMIT},
    sweep::{Job, Range, Size, size_of},
};

/// Counts, or has the running service fill the stretch, or fills it.
pub(super) fn run(config: Option<&Path>, arguments: &BackfillArguments) -> Result<(), Failure> {
    let range = range(arguments)?;
    let settings = setup::load(config)?.settings;
    let chosen = consoles::chosen(&settings, arguments.console.as_deref())?;
    if arguments.dry_run {
        let counted = chosen.iter().map(|it| (it.name.clone(), estimate(it, &range))).collect();
        let counted = consoles::print_each(&settings, counted, |estimate| estimate);
        output::print("nothing was imported\n")?;
        return counted;
    }
    let ended = job::run(settings.clone(), &chosen, Job::Backfill(range))?;
    consoles::print_each(&settings, ended, |done| {
        format!("backfilled: {} new, {} known already", done.new, done.known)
    })
}

fn range(arguments: &BackfillArguments) -> Result<Range, Failure> {
    let now = Clock::system().now();
    let moment = |flag: &str, text: &str| {
        config::moment(text, now).map_err(|problem| Failure::Usage(format!("--{flag}: {problem}")))
    };
    let since = moment("since", &arguments.since)?;
    let until = arguments.until.as_deref().map(|text| moment("until", text)).transpose()?;
    if since >= until.unwrap_or(now) {
        return Err(Failure::Usage("--since must lie before --until, and before now".to_owned()));
    }
    let types = arguments.types.iter().map(|item| item.trim().to_lowercase());
    let types = types.filter(|item| !item.is_empty() && item != "all").collect();
    Ok(Range { since, until, types })
}

/// Prints what `--dry-run` says.
fn estimate(settings: &ConsoleSettings, range: &Range) -> anyhow::Result<String> {
    let console = Console::new(&settings.harfanglab).context("cannot reach the console")?;
    let now = Clock::system().now();
    let import = &settings.import;
    let Size { items, is_least } =
        runtime::run(async |_stop| size_of(&console, range, import, now).await)?
            .context("the console did not count")?;
    let pages = items.div_ceil(u64::from(PAGE_LIMIT));
    let rate = u64::from(settings.harfanglab.requests_per_second).max(1);
    let least = Duration::from_secs(pages.div_ceil(rate));
    let at_least = if is_least { "at least " } else { "" };
    Ok(format!(
        "{at_least}{items} items from {} to {}: {at_least}{pages} pages, which take {} s or more at \
         {rate} requests a second; enriching what is new takes requests of its own",
        range.since.to_rfc3339(),
        range.until.unwrap_or(now).to_rfc3339(),
        least.as_secs(),
    ))
}
