//! The configuration in effect as a `config.yml` whose comments name the sources.

use std::{fmt, fmt::Write as _};

use super::{
    effective::{Effective, EffectiveValue, Source},
    option::{CONSOLES, OUR_SECTION, OptionSpec, SECTIONS, Scope, Standing},
    options,
};

impl fmt::Display for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (section, _comment) in SECTIONS {
            let mut lines = String::new();
            for option in options::all().filter(|option| option.section == section) {
                // With several consoles it stands below each of them.
                let is_of_consoles = section == OUR_SECTION
                    && !self.consoles().is_empty()
                    && option.scope != Scope::Service;
                if option.standing == Standing::Used && !is_of_consoles {
                    write_option(&mut lines, option, self.get(option.variable))?;
                }
            }
            if !lines.is_empty() {
                write!(formatter, "{section}:\n{lines}")?;
            }
        }
        if !self.consoles().is_empty() {
            writeln!(formatter, "{CONSOLES}:")?;
        }
        for console in self.consoles() {
            let mut lines = String::new();
            for option in options::of_console() {
                write_option(&mut lines, option, console.get(option.key))?;
            }
            write!(formatter, "- {}", lines.trim_start())?;
        }
        for option in options::all().filter(|option| option.section.is_empty()) {
            if let Some(EffectiveValue { value: Some(value), source, .. }) =
                self.get(option.variable)
                && *source != Source::Default
            {
                writeln!(formatter, "# {} is {} ({source})", option.variable, scalar(value))?;
            }
        }
        Ok(())
    }
}

fn write_option(
    lines: &mut String,
    option: &OptionSpec,
    value: Option<&EffectiveValue>,
) -> fmt::Result {
    match value {
        Some(EffectiveValue { value: Some(value), source, .. }) => {
            let given_by = match source {
                Source::Environment => format!("environment, {}", option.variable),
                other => other.to_string(),
            };
            writeln!(lines, "  {}: {}  # {given_by}", option.key, scalar(value))
        }
        _ => writeln!(lines, "  # {} is not set", option.key),
    }
}

/// Writes a YAML scalar: bare where that is safe, else in double quotes.
pub(super) fn scalar(text: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    if !text.is_empty() && text.chars().all(is_bare) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
