//! A two-column table in Markdown, for descriptions.

use std::fmt::Write as _;

use crate::stix::clean;

/// The rows of a table; those without a value are not written.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    rows: String,
}

impl Table {
    /// Adds a row of plain text.
    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = one_line(value) {
            let mut cell = String::with_capacity(value.len());
            for character in value.chars() {
                if matches!(character, '\\' | '|' | '*' | '_' | '`' | '<' | '[' | ']') {
                    cell.push('\\');
                }
                cell.push(character);
            }
            self.row(name, &cell);
        }
    }

    /// Adds a row of code: paths and command lines keep every character.
    pub(super) fn code(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = one_line(value) {
            let fence = "`".repeat(longest_run_of_backticks(&value) + 1);
            let inner = value.replace('|', "\\|");
            // A blank inside the fence keeps a backtick at either end apart from it.
            let pad = if inner.starts_with('`') || inner.ends_with('`') { " " } else { "" };
            self.row(name, &format!("{fence}{pad}{inner}{pad}{fence}"));
        }
    }

    fn row(&mut self, name: &str, cell: &str) {
        writeln!(self.rows, "| {name} | {cell} |").expect("a string takes every write");
    }

    /// `introduction` and the table below it.
    pub(super) fn below(self, introduction: &str) -> String {
        let table = match self.rows.trim_end() {
            "" => String::new(),
            rows => format!("|  |  |\n| --- | --- |\n{rows}"),
        };
        let parts = [introduction, &table];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n")
    }
}

fn one_line(value: Option<&str>) -> Option<String> {
    let value = value?.replace(['\r', '\n', '\t'], " ");
    Some(clean::line(&value)).filter(|value| !value.is_empty())
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}
