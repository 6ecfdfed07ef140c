//! MITRE ATT&CK: the techniques and tactics that an alert, its rule or a threat names, under
//! MITRE's own names.
//!
//! The table beside this file is made by `scripts/attack.sh`. A technique goes out only under the
//! name that stands there: OpenCTI takes the last name sent for everyone's technique, so a number
//! or a guess as name would overwrite MITRE's. A revoked technique goes out as the one that took
//! its place. For the same reason techniques carry neither author nor marking.

use std::{collections::HashMap, sync::LazyLock};

use super::draft::Draft;
use crate::{
    alert::{Alert, Threat},
    stix::{
        clean,
        object::{AttackPattern, KillChainPhase, SHARED_SINCE},
        time::Timestamp,
    },
};

/// Lines of number, name, tactics and, for a revoked technique, the number of its successor.
const TABLE: &str = include_str!("techniques.tsv");

static TECHNIQUES: LazyLock<HashMap<&'static str, Technique>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(Technique::of_line).map(|technique| (technique.number, technique)).collect()
});

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Technique {
    /// `T1059` or `T1059.001`, in upper case.
    number: &'static str,
    name: &'static str,
    /// In lower case with hyphens.
    tactics: Vec<&'static str>,
    successor: Option<&'static str>,
}

impl Technique {
    fn of_line(line: &'static str) -> Option<Self> {
        let mut columns = line.split('\t');
        let (number, name, tactics) = (columns.next()?, columns.next()?, columns.next()?);
        let tactics = tactics.split(',').filter(|tactic| !tactic.is_empty()).collect();
        Some(Self { number, name, tactics, successor: columns.next() })
    }

    /// The technique of this number, or the one that took its place.
    fn current(number: &str) -> Option<&'static Self> {
        let technique = TECHNIQUES.get(number)?;
        match technique.successor {
            Some(successor) => TECHNIQUES.get(successor),
            None => Some(technique),
        }
    }

    fn object(&self) -> AttackPattern {
        AttackPattern {
            name: self.name,
            x_mitre_id: self.number,
            kill_chain_phases: self
                .tactics
                .iter()
                .map(|it| KillChainPhase::mitre_attack(it))
                .collect(),
            created: Timestamp(SHARED_SINCE),
            modified: Timestamp(SHARED_SINCE),
        }
    }
}

/// Techniques and tactics in the order in which they were first named, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    techniques: Vec<&'static Technique>,
    tactics: Vec<&'static str>,
    unknown: Vec<String>,
}

impl Named {
    /// What an alert and the tags of its rule name.
    pub(super) fn by_alert(alert: &Alert, rule_tags: &[String]) -> Self {
        let mut named = Self::default();
        for text in alert.mitre_cells.iter().chain(&alert.tags).chain(rule_tags) {
            named.read(text);
        }
        named
    }

    /// What the tags of a rule name.
    pub(super) fn by_tags(tags: &[String]) -> Self {
        let mut named = Self::default();
        for text in tags {
            named.read(text);
        }
        named
    }

    /// What a threat and its rules name.
    pub(super) fn by_threat(threat: &Threat) -> Self {
        let mut named = Self::default();
        let of_rules = threat.rules.iter().flat_map(|rule| &rule.tags);
        threat.tactics.iter().chain(of_rules).for_each(|text| named.read(text));
        named
    }

    /// Reads `attack.t1059.001`, `attack.lateral_movement`, `persistence__t1547.001`, `T1059`,
    /// `Lateral Movement`; anything else (software, groups, classifications) names nothing.
    fn read(&mut self, text: &str) {
        let text = clean::line(text).to_lowercase();
        let text = text.strip_prefix("attack.").unwrap_or(&text);
        for part in text.split("__") {
            if is_number(part) {
                self.technique(&part.to_uppercase());
            } else if let Some(tactic) = tactic(part)
                && !self.tactics.contains(&tactic)
            {
                self.tactics.push(tactic);
            }
        }
    }

    fn technique(&mut self, number: &str) {
        match Technique::current(number) {
            Some(technique) if !self.techniques.contains(&technique) => {
                self.techniques.push(technique);
            }
            Some(_) => {}
            None if self.unknown.iter().any(|unknown| unknown == number) => {}
            None => self.unknown.push(number.to_owned()),
        }
    }

    /// The tactics named.
    pub(super) fn tactics(&self) -> &[&'static str] {
        &self.tactics
    }

    /// The techniques named, as `T1059.001 PowerShell`.
    pub(super) fn techniques(&self) -> impl Iterator<Item = String> {
        self.techniques.iter().map(|technique| format!("{} {}", technique.number, technique.name))
    }

    /// The tactics named, as phases of a kill chain.
    pub(super) fn phases(&self) -> Vec<KillChainPhase> {
        self.tactics.iter().map(|tactic| KillChainPhase::mitre_attack(tactic)).collect()
    }

    /// As [`phases`](Self::phases); when no tactic is named, those of the techniques.
    pub(super) fn phases_of_rule(mut self) -> Vec<KillChainPhase> {
        if self.tactics.is_empty() {
            for tactic in self.techniques.iter().flat_map(|technique| &technique.tactics) {
                if !self.tactics.contains(tactic) {
                    self.tactics.push(tactic);
                }
            }
        }
        self.phases()
    }

    /// Adds the techniques and answers their ids; an unknown one is left out.
    pub(super) fn add_techniques(&self, draft: &mut Draft) -> Vec<String> {
        for number in &self.unknown {
            draft.leave_out("attack-pattern", format!("{number} has no name in our ATT&CK table"));
        }
        let objects = self.techniques.iter().map(|technique| technique.object());
        objects.map(|object| draft.shared_object(&object)).collect()
    }
}

/// Whether a tag, in lower case, is of ATT&CK: `attack.…`, or a bare number or tactic, as consoles
/// list them beside rules.
pub(super) fn is_of_attack(tag: &str) -> bool {
    let is_name = |part: &str| is_number(part) || tactic(part).is_some();
    tag.starts_with("attack.") || tag.split("__").all(is_name)
}

/// `t` and four digits, for a sub-technique a dot and three more.
fn is_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('t') else {
        return false;
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match digits.split_once('.') {
        Some((technique, sub)) => {
            technique.len() == 4 && sub.len() == 3 && all_digits(technique) && all_digits(sub)
        }
        None => digits.len() == 4 && all_digits(digits),
    }
}

/// The tactic of this name, written with underscores, blanks or hyphens.
fn tactic(text: &str) -> Option<&'static str> {
    static TACTICS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let mut tactics: Vec<_> = TECHNIQUES.values().flat_map(|it| it.tactics.clone()).collect();
        tactics.sort_unstable();
        tactics.dedup();
        tactics
    });
    let text = text.replace(['_', ' '], "-");
    TACTICS.iter().copied().find(|tactic| *tactic == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(texts: &[&str]) -> (Vec<&'static str>, Vec<&'static str>, Vec<String>) {
        let mut named = Named::default();
        for text in texts {
            named.read(text);
        }
        let numbers = named.techniques.iter().map(|technique| technique.number).collect();
        (numbers, named.tactics, named.unknown)
    }

    #[test]
    fn the_table_is_whole() {
        assert!(TABLE.starts_with("# MITRE ATT&CK for Enterprise "));
        assert!(TECHNIQUES.len() > 800);
        for technique in TECHNIQUES.values() {
            assert!(is_number(&technique.number.to_lowercase()), "{technique:?}");
            assert!(technique.name.chars().count() >= 2, "{technique:?}");
            assert!(!technique.tactics.is_empty(), "{technique:?}");
            let current = Technique::current(technique.number);
            assert!(current.is_some_and(|it| it.successor.is_none()), "{technique:?}");
        }
    }

    #[test]
    fn techniques_and_tactics_are_read_in_every_spelling() {
        let (techniques, tactics, unknown) = named(&[
            "persistence__t1547.001",
            "ATTACK.T1547.001",
            "attack.lateral_movement",
            "Command And Control",
            "T1086",
            "attack.t9999",
            "attack.s0057",
            "attack.g0016",
            "attack.",
            "attack.t",
            "t1059.01",
            "classification.Windows",
            "__",
            "attack.т1059",
        ]);
        assert_eq!(techniques, ["T1547.001", "T1059.001"], "the last one in place of T1086");
        assert_eq!(tactics, ["persistence", "lateral-movement", "command-and-control"]);
        assert_eq!(unknown, ["T9999"]);
    }
}
