//! The table of ATT&CK that is compiled in: tactics and techniques under MITRE's numbers and names.
//! `scripts/attack.sh` makes it.

use std::{collections::HashMap, sync::LazyLock};

use crate::stix::object::{AttackPattern, KillChainPhase};

/// Lines of number, name and tactics; of a replaced technique also the number of its successor.
const TABLE: &str = include_str!("techniques.tsv");

static TECHNIQUES: LazyLock<HashMap<&'static str, Technique>> = LazyLock::new(|| {
    rows()
        .filter_map(|row| Technique::of_row(&row))
        .map(|technique| (technique.number, technique))
        .collect()
});

static TACTICS: LazyLock<Vec<Tactic>> =
    LazyLock::new(|| rows().filter_map(|row| Tactic::of_row(&row)).collect());

/// A technique, or a sub-technique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Technique {
    /// `T1059` or `T1059.001`, in upper case.
    pub(super) number: &'static str,
    pub(super) name: &'static str,
    /// Names in kill chains; none of a retired technique.
    pub(super) tactics: Vec<&'static str>,
    successor: Option<&'static str>,
}

struct Tactic {
    /// `TA0005`.
    number: &'static str,
    /// Name in kill chains: `stealth`.
    phase: &'static str,
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect())
}

impl Technique {
    fn of_row(row: &[&'static str]) -> Option<Self> {
        let [number, name, tactics, successor @ ..] = row else {
            return None;
        };
        let tactics = tactics.split(',').filter(|tactic| !tactic.is_empty()).collect();
        let successor = successor.first().copied();
        let is_technique = !number.starts_with("TA");
        is_technique.then_some(Self { number, name, tactics, successor })
    }

    /// Returns the technique of this number in upper case, or the one that took its place.
    pub(super) fn current(number: &str) -> Option<&'static Self> {
        let technique = TECHNIQUES.get(number)?;
        match technique.successor {
            Some(successor) => TECHNIQUES.get(successor),
            None => Some(technique),
        }
    }

    pub(super) fn object(&self) -> AttackPattern {
        let phases = self.tactics.iter().map(|it| KillChainPhase::mitre_attack(it));
        AttackPattern {
            name: self.name,
            x_mitre_id: self.number,
            kill_chain_phases: phases.collect(),
        }
    }
}

impl Tactic {
    fn of_row(row: &[&'static str]) -> Option<Self> {
        match row {
            [number, _, phase] if number.starts_with("TA") => Some(Self { number, phase }),
            _ => None,
        }
    }
}

/// Returns the name of a tactic as kill chains write it, with hyphens.
pub(super) fn phase_name(text: &str) -> String {
    text.replace(['_', ' '], "-")
}

/// Returns the name in kill chains of the tactic with this number or [`phase_name`], in lower case.
pub(super) fn tactic(name: &str) -> Option<&'static str> {
    let is_it = |it: &&Tactic| it.phase == name || it.number.eq_ignore_ascii_case(name);
    TACTICS.iter().find(is_it).map(|it| it.phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let mut lines = TABLE.lines();
        assert!(lines.next().unwrap().starts_with("# MITRE ATT&CK for Enterprise 19.2"));
        assert!(lines.next().unwrap().contains("© 2026 The MITRE Corporation"), "the notice stays");
        assert_eq!(TACTICS.len(), 15);
        assert!(TECHNIQUES.len() > 850);
        assert_eq!(TACTICS.len() + TECHNIQUES.len(), rows().count(), "every row is read");
        for technique in TECHNIQUES.values() {
            assert!(technique.name.chars().count() >= 2, "{technique:?}");
            assert!(technique.tactics.iter().all(|it| tactic(it) == Some(it)), "{technique:?}");
            let current = Technique::current(technique.number).unwrap();
            assert!(current.successor.is_none(), "{technique:?}");
            assert!(technique.successor.is_none() || technique.tactics.is_empty());
        }
        let retired: Vec<_> = TECHNIQUES
            .values()
            .filter(|it| it.successor.is_none() && it.tactics.is_empty())
            .map(|it| it.number)
            .collect();
        assert_eq!(retired.len(), 12, "{retired:?}");
    }

    #[test]
    fn a_replaced_technique_leads_to_its_last_successor() {
        let successor = |number| Technique::current(number).map(|it| it.number);
        assert_eq!(successor("T1562.001"), Some("T1685"), "renumbered by ATT&CK 19");
        assert_eq!(successor("T1070.001"), Some("T1685.005"));
        assert_eq!(successor("T1089"), Some("T1685"), "by way of T1562.001");
        assert_eq!(successor("T1086"), Some("T1059.001"), "replaced years before");
        assert_eq!(successor("T1064"), Some("T1064"), "retired without a successor");
        assert_eq!(successor("T9999"), None);
    }
}
