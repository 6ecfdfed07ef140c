//! The commented reference: what `config reference` prints, and a `config.yml` to start from.

/// Every option with its meaning and default, as a `config.yml`.
pub const REFERENCE: &str = include_str!("reference.yml");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::REFERENCE;
    use crate::config::options::{self, Kind, OptionSpec, Standing};

    /// The entry of each key: `Some(value)` where it is set, and the comment above it. A line
    /// `#key:` stands for an option without default.
    fn entries() -> BTreeMap<String, (String, String)> {
        let mut entries = BTreeMap::new();
        let mut section = String::new();
        let mut comment = String::new();
        for line in REFERENCE.lines() {
            let trimmed = line.trim();
            if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with([' ', '#']))
            {
                name.clone_into(&mut section);
            } else if trimmed.starts_with("# ") || trimmed == "#" {
                comment.push_str(trimmed);
            } else if let Some((key, value)) = trimmed.split_once(':') {
                let key = format!("{section}.{}", key.trim_start_matches('#'));
                let value = if trimmed.starts_with('#') { "" } else { value.trim() };
                let value = value.trim_matches('"').to_owned();
                let seen = entries.insert(key.clone(), (value, std::mem::take(&mut comment)));
                assert!(seen.is_none(), "{key} stands twice in the reference");
            } else {
                comment.clear();
            }
        }
        entries
    }

    fn is_documented(option: &OptionSpec) -> bool {
        option.standing != Standing::WithoutEffect && option.path().is_some()
    }

    #[test]
    fn the_reference_lists_every_option_with_its_variable_and_its_default() {
        let mut entries = entries();
        for option in options::all().filter(|option| is_documented(option)) {
            let path = option.path().unwrap();
            let (value, comment) =
                entries.remove(&path).unwrap_or_else(|| panic!("{path} is not in the reference"));
            let is_required = ["ChangeMe", "https://"].iter().any(|mark| value.starts_with(mark));
            if !is_required {
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
