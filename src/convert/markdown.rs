//! Markdown for descriptions: a two-column table, paragraphs, and text in a fence. What stands in an alert
//! may be anything; nothing of it may become markup, a link or an image, break the table or close the fence,
//! and nothing is endless.

use std::fmt::Write as _;

use crate::stix::clean;

/// The most characters of one value: a command line can have forty thousand.
const LONGEST_VALUE: usize = 2_000;
/// The most characters of a value that must leave room for others: a page shows four hundred.
const LONGEST_BEGINNING: usize = 100;
/// Characters, beside letters and digits, that mean nothing to a Markdown reader within a line.
const PLAIN: &str = " ,.;:/()-+%'\"?=’→…";
/// The most values of one row.
const MOST_VALUES: usize = 8;
/// The most values of a row in which each says something else.
const MOST_FACTS: usize = 24;

/// The rows of a table; those without a value are not written.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    rows: String,
}

impl Table {
    /// Adds a row of text.
    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = one_line(value) {
            self.row(name, &shown(value).replace('|', "\\|"));
        }
    }

    /// Adds a row of plain texts, each once; of many the first ones.
    pub(super) fn texts(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let (values, more) = first_ones(values, MOST_VALUES);
        self.text(name, Some(&format!("{}{more}", values.join("; "))));
    }

    /// Adds a row of code: paths and command lines keep every character.
    pub(super) fn code(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = one_line(value) {
            self.code_row(name, &[value], "");
        }
    }

    /// Adds a row of code that leaves room for the rows below it in what a page shows; answers whether all
    /// of it is shown.
    pub(super) fn beginning(&mut self, name: &str, value: Option<&str>) -> bool {
        let Some(value) = one_line(value) else { return true };
        let shown = shortened(&value, LONGEST_BEGINNING);
        let is_whole = shown == value;
        self.code_row(name, &[shown], "");
        is_whole
    }

    /// Adds a row of code with one fence a value, each value once; of many the first ones.
    pub(super) fn codes(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        self.codes_up_to(MOST_VALUES, name, values);
    }

    /// As [`codes`](Self::codes), of a list whose values say different things: more of them are shown.
    pub(super) fn all_codes(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        self.codes_up_to(MOST_FACTS, name, values);
    }

    fn codes_up_to(&mut self, most: usize, name: &str, values: impl IntoIterator<Item = String>) {
        let (values, more) = first_ones(values, most);
        if !values.is_empty() {
            self.code_row(name, &values, &more);
        }
    }

    fn code_row(&mut self, name: &str, values: &[String], more: &str) {
        let values: Vec<String> = values.iter().map(|value| in_backticks(value)).collect();
        // Also inside code a bar ends its cell.
        let cell = values.join(", ").replace('|', "\\|");
        self.row(name, &format!("{cell}{more}"));
    }

    fn row(&mut self, name: &str, cell: &str) {
        writeln!(self.rows, "| {name} | {cell} |").expect("a string takes every write");
    }

    /// Returns the table; empty without rows.
    pub(super) fn finish(self) -> String {
        match self.rows.trim_end() {
            "" => String::new(),
            rows => format!("| Fact | Value |\n| --- | --- |\n{rows}"),
        }
    }
}

/// Returns a value as one line that is shown as it is, and is never markup, a link or an image.
pub(super) fn value(text: &str) -> String {
    one_line(Some(text)).map(shown).unwrap_or_default()
}

/// Returns one line as code, unless nothing in it means anything to a Markdown reader. Escapes would not
/// do: some readers look for links once the text is unescaped.
fn shown(line: String) -> String {
    if is_plain(&line) { line } else { in_backticks(&line) }
}

/// Returns a text of several lines, each as [`value`] shows it.
pub(super) fn paragraphs(text: &str) -> String {
    let lines = text.lines().map(value).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n\n")
}

/// Returns whether the text reads the same in Markdown, wherever it stands.
fn is_plain(text: &str) -> bool {
    let lower = text.to_lowercase();
    let has_link = ["://", "www.", "mailto:", "xmpp:"].iter().any(|link| lower.contains(link));
    let is_number = |first: char| first.is_ascii_digit();
    let is_list_item = text.starts_with(is_number) && text.contains(". ");
    let begins_a_word = text.starts_with(|first: char| {
        first.is_alphabetic() || is_number(first) || "\"'".contains(first)
    });
    begins_a_word
        && !is_list_item
        && !has_link
        && text.chars().all(|it| it.is_alphanumeric() || PLAIN.contains(it))
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
fn first_ones(values: impl IntoIterator<Item = String>, most: usize) -> (Vec<String>, String) {
    let mut kept: Vec<String> = Vec::new();
    let mut more = 0_usize;
    for value in values {
        match one_line(Some(&value)) {
            Some(value) if kept.contains(&value) => {}
            Some(value) if kept.len() < most => kept.push(value),
            Some(_) => more += 1,
            None => {}
        }
    }
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (kept, more)
}

fn in_backticks(value: &str) -> String {
    let fence = "`".repeat(longest_run_of_backticks(value) + 1);
    // A blank inside the fence keeps a backtick at either end apart from it.
    let pad = if value.starts_with('`') || value.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{value}{pad}{fence}")
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
        let text = table.finish();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(rows[0], r"| Text | `a\|b *c*` |");
        assert_eq!(rows[1], r"| Code | `` `a` \| b `` |");
        assert!(rows[2].ends_with("x…` |"));
        assert_eq!(rows[3], "| Many | `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7` and 3 more |");
        assert_eq!(rows[4], "| Twice | a; b |");
        assert_eq!(rows.len(), 5);
    }

    #[test]
    fn a_value_is_plain_only_where_nothing_in_it_means_anything() {
        for plain in ["Mimikatz on srv1", "a (b), c: 10 %", "12", "7.0 (x64)", "evil.example"] {
            assert_eq!(value(plain), plain);
        }
        for (risky, shown) in [
            ("https://evil.example", "`https://evil.example`"),
            ("www.evil.example", "`www.evil.example`"),
            ("ada@evil.example", "`ada@evil.example`"),
            ("![a](b)", "`![a](b)`"),
            ("<img src=x>", "`<img src=x>`"),
            ("&lt;b", "`&lt;b`"),
            ("# a", "`# a`"),
            ("- a", "`- a`"),
            ("1. a", "`1. a`"),
            ("a ``` b", "```` a ``` b ````".trim()),
        ] {
            let code = value(risky);
            assert!(code.starts_with('`') && code.ends_with('`'), "{code}");
            if !risky.contains('`') {
                assert_eq!(code, shown);
            }
        }
        assert_eq!(paragraphs("One.\n\n<b>two</b>\n"), "One.\n\n`<b>two</b>`");
    }

    #[test]
    fn no_text_closes_its_fence() {
        assert_eq!(fenced("json", "a\n````\nb"), "`````json\na\n````\nb\n`````");
        assert_eq!(shortened("été", 2), "ét…");
        assert_eq!(shortened("été", 3), "été");
    }
}
