//! MITRE ATT&CK: the techniques and tactics that an alert, its rule or a threat names, under MITRE's
//! own names of version 19.
//!
//! A technique goes out only under the name that stands in the table: OpenCTI takes the last name sent
//! for everyone's technique, so a number or a guess as name would overwrite MITRE's. A replaced
//! technique goes out as the one that took its place, an unknown sub-technique as its technique, a
//! retired one under its own number and without phases. For the same reason techniques carry neither
//! author nor marking, and no dates. What the table does not know is reported.

mod table;

use self::table::{Technique, phase_name, tactic};
use super::draft::Draft;
use crate::{
    alert::{Alert, Threat},
    stix::{clean, object::KillChainPhase},
};

/// The tactic that ATT&CK 19 divided.
const DEFENSE_EVASION: &str = "defense-evasion";
/// Its two halves. The first has its number, and is meant where no technique says which.
const HALVES: [&str; 2] = ["stealth", "defense-impairment"];

/// Techniques and tactics in the order in which they were first named, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    techniques: Vec<&'static Technique>,
    tactics: Vec<&'static str>,
    unknown: Vec<Unknown>,
}

/// A name that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unknown {
    /// `attack-pattern` or `tactic`.
    what: &'static str,
    why: String,
}

/// Place of a text in the alert or rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Among tactics and techniques only.
    Attack,
    /// Among tags of all kinds.
    Tags,
}

impl Named {
    /// Returns what an alert and the tags of its rule name.
    pub(super) fn by_alert(alert: &Alert, rule_tags: &[String]) -> Self {
        Self::read_all(&alert.mitre_cells, alert.tags.iter().chain(rule_tags))
    }

    /// Returns what the tags of a rule name.
    pub(super) fn by_tags(tags: &[String]) -> Self {
        Self::read_all([], tags)
    }

    /// Returns what a threat and its rules name.
    pub(super) fn by_threat(threat: &Threat) -> Self {
        Self::read_all(&threat.tactics, threat.rules.iter().flat_map(|rule| &rule.tags))
    }

    fn read_all<'a>(
        of_attack: impl IntoIterator<Item = &'a String>,
        tags: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let mut named = Self::default();
        of_attack.into_iter().for_each(|text| named.read(text, Source::Attack));
        tags.into_iter().for_each(|text| named.read(text, Source::Tags));
        named.divide_defense_evasion();
        named
    }

    /// Reads `attack.t1059.001`, `attack.lateral_movement`, `persistence__t1547.001`, `T1059`,
    /// `Lateral Movement`, `TA0008`; software, groups and tags of other kinds name nothing.
    fn read(&mut self, text: &str, source: Source) {
        let text = clean::line(text).to_lowercase();
        let (tag, name) = match text.strip_prefix("attack.") {
            Some(name) => (Source::Attack, name),
            None => (source, text.as_str()),
        };
        let parts = || name.split("__").map(bare).filter(|part| !part.is_empty());
        let is_of_attack = tag == Source::Attack || parts().any(|it| number(it).is_some());
        for part in parts() {
            if let Some(number) = number(part) {
                self.technique(number, part);
            } else if let Some(tactic) = known_tactic(part) {
                if !self.tactics.contains(&tactic) {
                    self.tactics.push(tactic);
                }
            } else if is_of_attack && !is_of_another_kind(part) {
                let why = format!("{part} is no tactic of ATT&CK 19; check the tags of the rule");
                self.unknown("tactic", why);
            }
        }
    }

    /// Adds the technique of a number, which `text` writes, perhaps with a sub-technique.
    fn technique(&mut self, number: &str, text: &str) {
        let (number, text) = (number.to_uppercase(), text.to_uppercase());
        let technique = Technique::current(&text).or_else(|| {
            let technique = Technique::current(&number);
            let instead = technique.map(|it| format!(", so {} is sent", it.number));
            let instead = instead.unwrap_or_default();
            let why =
                format!("{text} is no technique of ATT&CK 19{instead}; check the tags of the rule");
            self.unknown("attack-pattern", why);
            technique
        });
        if let Some(technique) = technique.filter(|it| !self.techniques.contains(it)) {
            self.techniques.push(technique);
        }
    }

    fn unknown(&mut self, what: &'static str, why: String) {
        let unknown = Unknown { what, why };
        if !self.unknown.contains(&unknown) {
            self.unknown.push(unknown);
        }
    }

    /// Puts that half of Defense Evasion in its place which the techniques named beside it belong to.
    fn divide_defense_evasion(&mut self) {
        let Some(position) = self.tactics.iter().position(|it| *it == DEFENSE_EVASION) else {
            return;
        };
        self.tactics.remove(position);
        let is_meant = |half: &&str| self.techniques.iter().any(|it| it.tactics.contains(half));
        let mut meant: Vec<_> = HALVES.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            meant.push(HALVES[0]);
        }
        meant.retain(|half| !self.tactics.contains(half));
        self.tactics.splice(position..position, meant);
    }

    /// Returns the tactics named.
    pub(super) fn tactics(&self) -> &[&'static str] {
        &self.tactics
    }

    /// Returns the techniques named, as `T1059.001 PowerShell`.
    pub(super) fn techniques(&self) -> impl Iterator<Item = String> {
        self.techniques.iter().map(|technique| format!("{} {}", technique.number, technique.name))
    }

    /// Returns the tactics named, as phases of a kill chain.
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

    /// Adds the techniques and answers their ids; what the table does not know is left out.
    pub(super) fn add_techniques(&self, draft: &mut Draft) -> Vec<String> {
        for unknown in &self.unknown {
            draft.leave_out(unknown.what, unknown.why.clone());
        }
        let objects = self.techniques.iter().map(|technique| technique.object());
        objects.map(|object| draft.shared_object(&object)).collect()
    }
}

/// Returns a name without blanks and punctuation around it.
fn bare(part: &str) -> &str {
    part.trim_matches([' ', '.', ',', ';'])
}

/// Returns whether a tag, in lower case, is of ATT&CK: `attack.…`, or a bare number or tactic, as
/// consoles list them beside rules.
pub(super) fn is_of_attack(tag: &str) -> bool {
    let is_name = |part: &str| number(part).is_some() || known_tactic(part).is_some();
    tag.starts_with("attack.") || tag.split("__").all(is_name)
}

fn known_tactic(text: &str) -> Option<&'static str> {
    let name = phase_name(text);
    if name == DEFENSE_EVASION { Some(DEFENSE_EVASION) } else { tactic(&name) }
}

/// Returns the technique's part of `t1059` or `t1059.001`: `t` and four digits, which a dot and up to
/// three more may follow.
fn number(text: &str) -> Option<&str> {
    let (technique, sub) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = technique.strip_prefix('t').is_some_and(|it| it.len() == 4 && all_digits(it))
        && (1..=3).contains(&sub.len())
        && all_digits(sub);
    is_number.then_some(technique)
}

/// Returns whether this is the number of software (`s0057`), a group, a campaign, a mitigation, a data
/// source or a detection: letters, then four digits.
fn is_of_another_kind(text: &str) -> bool {
    let digits = text.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
    let has_prefix = (1..=3).contains(&(text.len() - digits.len()));
    let is_number = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    has_prefix && is_number && !text.starts_with('t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(texts: &[&str]) -> (Vec<&'static str>, Vec<&'static str>, Vec<String>) {
        let tags: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let named = Named::by_tags(&tags);
        let numbers = named.techniques.iter().map(|technique| technique.number).collect();
        (numbers, named.tactics, named.unknown.into_iter().map(|it| it.why).collect())
    }

    #[test]
    fn techniques_and_tactics_are_read_in_every_spelling() {
        let (techniques, tactics, unknown) = named(&[
            "persistence__t1547.001",
            "ATTACK.T1547.001",
            "attack.lateral_movement",
            "Command And Control",
            "attack.TA0112",
            "ta0010",
            "T1086",
            "attack.s0057",
            "attack.g0016",
            "attack.ds0029",
            "attack.",
            "classification.Windows",
            "my__own__tag",
            "__",
        ]);
        assert_eq!(techniques, ["T1547.001", "T1059.001"], "the last one in place of T1086");
        let expected =
            ["persistence", "lateral-movement", "command-and-control", "defense-impairment"];
        assert_eq!(tactics, [&expected[..], &["exfiltration"]].concat());
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn an_unknown_name_is_reported_and_an_unknown_sub_technique_becomes_its_technique() {
        let (techniques, tactics, unknown) = named(&[
            "attack.t9999",
            "T9999",
            "attack.t1059.999.",
            "t1566.1",
            "attack.t1562.099",
            "attack.t",
            "attack.т1059",
            "attack.evading",
            "evading__t1204",
            "attack.ta0999",
        ]);
        assert_eq!(techniques, ["T1059", "T1566", "T1685", "T1204"]);
        assert_eq!(tactics, [""; 0]);
        let expected = [
            "T9999 is no technique of ATT&CK 19; check the tags of the rule",
            "T1059.999 is no technique of ATT&CK 19, so T1059 is sent; check the tags of the rule",
            "T1566.1 is no technique of ATT&CK 19, so T1566 is sent; check the tags of the rule",
            "T1562.099 is no technique of ATT&CK 19, so T1685 is sent; check the tags of the rule",
            "t is no tactic of ATT&CK 19; check the tags of the rule",
            "т1059 is no tactic of ATT&CK 19; check the tags of the rule",
            "evading is no tactic of ATT&CK 19; check the tags of the rule",
            "ta0999 is no tactic of ATT&CK 19; check the tags of the rule",
        ];
        assert_eq!(unknown, expected);
    }

    #[test]
    fn defense_evasion_becomes_the_half_that_its_techniques_belong_to() {
        for old in ["defense-evasion", "attack.defense_evasion", "Defense Evasion"] {
            assert_eq!(named(&[old]).1, ["stealth"]);
            assert_eq!(named(&[old, "attack.t1562.001"]).1, ["defense-impairment"]);
            assert_eq!(named(&["t1070.004", old]).1, ["stealth"]);
            assert_eq!(named(&[old, "t1562.001", "t1036"]).1, HALVES);
            assert_eq!(named(&[old, "t1059"]).1, ["stealth"], "no technique of either half");
            assert_eq!(named(&["stealth", old, "t1685"]).1, HALVES);
        }
        assert_eq!(named(&["attack.ta0005", "t1562.001"]).1, ["stealth"], "MITRE's own number");
        let (techniques, tactics, unknown) =
            named(&["execution__t1059", "defense-evasion__t1562.002", "impact__t1490"]);
        assert_eq!(techniques, ["T1059", "T1685.001", "T1490"]);
        assert_eq!(tactics, ["execution", "defense-impairment", "impact"], "in its place");
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn retired_techniques_keep_their_number_and_have_no_phases() {
        let named = Named::by_tags(&["attack.t1064".to_owned()]);
        assert_eq!(named.techniques().collect::<Vec<_>>(), ["T1064 Scripting"]);
        assert_eq!(named.techniques[0].object().kill_chain_phases, []);
        assert_eq!(named.phases_of_rule(), []);
    }
}
