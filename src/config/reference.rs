//! The commented reference: what `config reference` prints, and a `config.yml` to start from.

use std::collections::BTreeMap;

use super::options::OptionSpec;

/// Every option with its meaning and default, as a `config.yml`.
pub const REFERENCE: &str = include_str!("reference.yml");

/// What the reference says of one option.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// The value that stands there; empty for an option without default.
    pub(super) value: String,
    /// The comment above it, a line each.
    comment: Vec<String>,
}

impl Entry {
    /// Whether an operator has to replace the value.
    pub(super) fn is_required(&self) -> bool {
        ["ChangeMe", "https://"].iter().any(|mark| self.value.starts_with(mark))
    }

    /// The comment on one line.
    pub(super) fn comment(&self) -> String {
        self.comment.join(" ")
    }

    /// What the comment says, without the names of the option that it begins with.
    pub(super) fn words(&self, option: &OptionSpec) -> String {
        let comment = self.comment();
        match comment.split_once(": ") {
            Some((names, words)) if names.contains(option.variable) => words.to_owned(),
            _ if comment.trim() == option.variable => option.expects(),
            _ => comment,
        }
    }
}

/// The entry of each key, by `section.key`. A line `#key:` stands for an option without default.
pub(super) fn entries() -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    let mut section = "";
    let mut comment = Vec::new();
    for line in REFERENCE.lines() {
        let trimmed = line.trim();
        let is_section = |name: &&str| !name.starts_with([' ', '#']);
        if let Some(name) = line.strip_suffix(':').filter(is_section) {
            section = name;
            comment.clear();
        } else if trimmed.starts_with("# ") || trimmed == "#" {
            comment.push(trimmed.trim_start_matches('#').trim().to_owned());
        } else if let Some((key, value)) = trimmed.split_once(':') {
            let key = format!("{section}.{}", key.trim_start_matches('#'));
            let value = if trimmed.starts_with('#') { "" } else { value.trim() };
            let value = value.trim_matches('"').to_owned();
            let seen = entries.insert(key, Entry { value, comment: std::mem::take(&mut comment) });
            debug_assert!(seen.is_none(), "an option stands twice in the reference: {line}");
        } else {
            comment.clear();
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::{REFERENCE, entries};
    use crate::config::options::{self, Kind, OptionSpec, Standing};

    fn is_documented(option: &OptionSpec) -> bool {
        option.standing != Standing::WithoutEffect && option.path().is_some()
    }

    #[test]
    fn the_reference_lists_every_option_with_its_variable_and_its_default() {
        let mut entries = entries();
        for option in options::all().filter(|option| is_documented(option)) {
            let path = option.path().unwrap();
            let entry =
                entries.remove(&path).unwrap_or_else(|| panic!("{path} is not in the reference"));
            let (value, comment) = (&entry.value, entry.comment());
            if !entry.is_required() {
                assert_eq!(value, option.default.unwrap_or_default(), "default of {path}");
            }
            assert!(comment.contains(option.variable), "{path} does not name {}", option.variable);
            if option.kind == Kind::Secret {
                assert!(value.is_empty() || value == "ChangeMe", "{path} holds a secret");
            }
        }
        assert!(entries.is_empty(), "not in the table: {:?}", entries.keys());
        for option in options::all().filter(|option| option.path().is_none()) {
            assert!(REFERENCE.contains(option.variable), "{}", option.variable);
        }
    }
}
