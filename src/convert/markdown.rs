//! Markdown for descriptions: a two-column table, and text in a fence. What stands in an alert may
//! be anything; nothing of it may break the table or close the fence, and nothing is endless.

use std::fmt::Write as _;

use crate::stix::clean;

/// The most characters of one value: a command line can have forty thousand.
const LONGEST_VALUE: usize = 2_000;
/// The most values of one row.
const MOST_VALUES: usize = 8;

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

    /// Adds a row of plain texts, each once; of many the first ones.
    pub(super) fn texts(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let (values, more) = first_ones(values);
        self.text(name, Some(&format!("{}{more}", values.join("; "))));
    }

    /// Adds a row of code: paths and command lines keep every character.
    pub(super) fn code(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = one_line(value) {
            self.row(name, &in_backticks(&value));
        }
    }

    /// Adds a row of code with one fence a value, each value once; of many the first ones.
    pub(super) fn codes(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let (values, more) = first_ones(values);
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| in_backticks(value)).collect();
            self.row(name, &format!("{}{more}", values.join(", ")));
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

/// The text in a fence that nothing in it can close.
pub(super) fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(3.max(longest_run_of_backticks(text) + 1));
    format!("{fence}{language}\n{text}\n{fence}")
}

/// The text, at most `longest` characters of it.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

fn one_line(value: Option<&str>) -> Option<String> {
    let value = value?.replace(['\r', '\n', '\t'], " ");
    let value = clean::line(&value);
    (!value.is_empty()).then(|| shortened(&value, LONGEST_VALUE))
}

/// The first values, and in words how many more there are.
fn first_ones(values: impl IntoIterator<Item = String>) -> (Vec<String>, String) {
    let mut kept: Vec<String> = Vec::new();
    let mut more = 0_usize;
    for value in values {
        match one_line(Some(&value)) {
            Some(value) if kept.contains(&value) => {}
            Some(value) if kept.len() < MOST_VALUES => kept.push(value),
            Some(_) => more += 1,
            None => {}
        }
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (kept, more)
}

fn in_backticks(value: &str) -> String {
    let fence = "`".repeat(longest_run_of_backticks(value) + 1);
    let inner = value.replace('|', "\\|");
    // A blank inside the fence keeps a backtick at either end apart from it.
    let pad = if inner.starts_with('`') || inner.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{inner}{pad}{fence}")
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_breaks_its_row_and_none_is_endless() {
        let mut table = Table::default();
        table.text("Text", Some("a|b\n*c*"));
        table.code("Code", Some("`a` | b"));
        table.code("Long", Some(&"x".repeat(LONGEST_VALUE + 1)));
        table.codes("Many", (0..11).map(|number| number.to_string()));
        table.texts("Twice", ["a", "a", "", "b"].map(str::to_owned));
        table.codes("None", []);
        let text = table.below("");
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows[0], r"| Text | a\|b \*c\* |");
        assert_eq!(rows[1], r"| Code | `` `a` \| b `` |");
        assert!(rows[2].ends_with("x…` |"));
        assert_eq!(rows[3], "| Many | `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7` and 3 more |");
        assert_eq!(rows[4], "| Twice | a; b |");
        assert_eq!(rows.len(), 5);
    }

    #[test]
    fn no_text_closes_its_fence() {
        assert_eq!(fenced("json", "a\n````\nb"), "`````json\na\n````\nb\n`````");
        assert_eq!(shortened("été", 2), "ét…");
        assert_eq!(shortened("été", 3), "été");
    }
}
