//! Faults of a configuration, said so that one reading is enough to put it right.
//!
//! A fault never holds the value of a secret.

use std::fmt;

use super::option::OptionSpec;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its subject: an environment variable with its key in `config.yml`, or a file.
    pub subject: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

impl Fault {
    pub(super) fn of(
        option: &OptionSpec,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::about(subject(option), problem, remedy)
    }

    pub(super) fn about(
        subject: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { subject: subject.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

/// Names an option in a fault.
pub(super) fn subject(option: &OptionSpec) -> String {
    match option.path() {
        Some(path) => format!("{} ({path} in config.yml)", option.variable),
        None => option.variable.to_owned(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.subject, self.problem, self.remedy)
    }
}

/// Everything that is wrong, in the order in which the reference lists the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Keeps each fault once: several consoles share options, and a rule may read one that was read before.
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let mut told: Vec<Fault> = Vec::with_capacity(faults.len());
        for fault in faults {
            if !told.contains(&fault) {
                told.push(fault);
            }
        }
        Self(told)
    }

    /// The faults; never none.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let plural = if count == 1 { "" } else { "s" };
        writeln!(formatter, "the configuration has {count} fault{plural}:")?;
        for fault in &self.0 {
            writeln!(formatter, "  - {fault}")?;
        }
        formatter.write_str(
            "`harfanglab-incidents config reference` prints every option with its meaning",
        )
    }
}

impl std::error::Error for Faults {}
