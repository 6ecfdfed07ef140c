//! Rules whose text OpenCTI refused: shown with what it refused, and asked for again.

use serde_json::json;

use super::{super::failure::Failure, arguments::RetryArguments};
use crate::{
    cli::{
        journal::Desk,
        output::{self, line_of, moment},
    },
    journal::{Journal, RefusedRule},
};

/// Stands for every rule.
const ALL: &str = "all";

/// Returns the rules that are left out, the newest refusal first. All consoles share them.
pub(super) fn refused(desk: &Desk) -> Result<Vec<RefusedRule>, Failure> {
    match journal(desk) {
        Some(journal) => desk.wait(journal.left_out_rules(desk.now())),
        None => Ok(Vec::new()),
    }
}

fn journal(desk: &Desk) -> Option<&Journal> {
    desk.consoles.first().map(|console| &console.journal)
}

/// Lets rules be sent again with their next alerts.
pub(super) fn retry(desk: &Desk, arguments: &RetryArguments) -> Result<(), Failure> {
    let refused = refused(desk)?;
    let is_meant = |rule: &&RefusedRule| {
        arguments.rules.iter().any(|name| name == ALL || *name == rule.indicator)
    };
    let meant: Vec<&RefusedRule> = refused.iter().filter(is_meant).collect();
    for name in arguments.rules.iter().filter(|name| *name != ALL) {
        if meant.iter().all(|rule| rule.indicator != *name) {
            Err(anyhow::anyhow!(
                "no rule with the indicator {name} is left out; `dead-letters refused` lists them"
            ))?;
        }
    }
    if !arguments.dry_run {
        for rule in &meant {
            let Some(journal) = journal(desk) else { break };
            desk.wait(journal.forget_refused_rules(Some(&rule.indicator)))?;
        }
    }
    let told = meant.iter().map(|rule| {
        if arguments.json {
            format!("{}\n", json!({ "indicator": rule.indicator, "rule": rule.name }))
        } else {
            format!("{}  {}\n", rule.indicator, line_of(&rule.name))
        }
    });
    output::print(&told.collect::<String>())?;
    let count = meant.len();
    output::say(&if arguments.dry_run {
        format!("{count} rules would be sent again; nothing was changed")
    } else {
        format!("{count} rules are sent again with their next alerts")
    });
    Ok(())
}

/// One of them, in two lines.
pub(super) fn in_words(rule: &RefusedRule) -> String {
    format!(
        "{}  the rule {} is left out until {}, {}\n    {}\n",
        moment(rule.refused_at),
        line_of(&rule.name),
        moment(rule.left_out_until()),
        rule.indicator,
        line_of(&rule.reason)
    )
}

pub(super) fn as_json(rule: &RefusedRule) -> String {
    let object = json!({
        "refused_at": moment(rule.refused_at),
        "rule": rule.name,
        "indicator": rule.indicator,
        "reason": rule.reason,
        "platform_version": rule.platform,
        "left_out_until": moment(rule.left_out_until()),
    });
    format!("{object}\n")
}
