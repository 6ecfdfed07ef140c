//! Reads the platform's words out of an error of its worker, which writes Python's representation of
//! the answer: `{'name': 'FUNCTIONAL_ERROR', 'error_message': "can't"}`, `b'...'`.

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 8;
/// Keys under which the platform names an error and says what is wrong, in the order of reading.
const NAME: &str = "name";
const MESSAGES: [&str; 2] = ["message", "error_message"];

/// Returns the words of `text`: `NAME: message (further: value)`. A text that is no representation
/// of Python's comes back as it is.
pub(super) fn plain(text: &str) -> String {
    let text = text.trim();
    said(text, DEPTH_MAX).unwrap_or_else(|| text.to_owned())
}

fn said(text: &str, depth: usize) -> Option<String> {
    let mut reader = Reader { rest: text };
    let value = reader.value(depth)?;
    match value {
        // A bare word is nobody's representation.
        Python::Word(_) => None,
        value => reader.rest.trim().is_empty().then(|| value.words(depth)),
    }
}

enum Python {
    Text(String),
    /// A number, `None`, `True` or `False`.
    Word(String),
    List(Vec<Python>),
    Dict(Vec<(String, Python)>),
}

impl Python {
    fn words(self, depth: usize) -> String {
        match self {
            Self::Text(text) => depth
                .checked_sub(1)
                .and_then(|depth| said(text.trim(), depth))
                .unwrap_or_else(|| text.trim().to_owned()),
            Self::Word(word) => word,
            Self::List(items) => joined(items.into_iter().map(|item| item.words(depth)), ", "),
            Self::Dict(entries) => of_dict(entries, depth),
        }
    }
}

fn of_dict(entries: Vec<(String, Python)>, depth: usize) -> String {
    let (mut name, mut messages, mut others) = (None, Vec::new(), Vec::new());
    for (key, value) in entries {
        let words = value.words(depth);
        if key == NAME {
            name = Some(words);
        } else if MESSAGES.contains(&key.as_str()) {
            messages.push(words);
        } else if !words.is_empty() && words != "None" {
            others.push(format!("{key}: {words}"));
        }
    }
    let main = joined(name.into_iter().chain(messages), ": ");
    match (main.is_empty(), others.is_empty()) {
        (_, true) => main,
        (true, false) => others.join(", "),
        (false, false) => format!("{main} ({})", others.join(", ")),
    }
}

fn joined(texts: impl Iterator<Item = String>, between: &str) -> String {
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(between)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Python> {
        let depth = depth.checked_sub(1)?;
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '\'' | '"' | 'b' => self.text().map(Python::Text),
            '{' => self.dict(depth).map(Python::Dict),
            '[' => self.list(']', depth).map(Python::List),
            '(' => self.list(')', depth).map(Python::List),
            _ => self.word().map(Python::Word),
        }
    }

    fn takes(&mut self, expected: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn list(&mut self, end: char, depth: usize) -> Option<Vec<Python>> {
        let mut items = Vec::new();
        self.next()?;
        while !self.takes(end) {
            items.push(self.value(depth)?);
            if !self.takes(',') {
                return self.takes(end).then_some(items);
            }
        }
        Some(items)
    }

    fn dict(&mut self, depth: usize) -> Option<Vec<(String, Python)>> {
        let mut entries = Vec::new();
        self.next()?;
        while !self.takes('}') {
            let Python::Text(key) = self.value(depth)? else { return None };
            if !self.takes(':') {
                return None;
            }
            entries.push((key, self.value(depth)?));
            if !self.takes(',') {
                return self.takes('}').then_some(entries);
            }
        }
        Some(entries)
    }

    fn word(&mut self) -> Option<String> {
        let is_of_word = |it: char| it.is_ascii_alphanumeric() || "+-._".contains(it);
        let end = self.rest.find(|it| !is_of_word(it)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let is_known = matches!(word, "None" | "True" | "False") || word.parse::<f64>().is_ok();
        is_known.then(|| word.to_owned())
    }

    /// A string, or bytes, which are UTF-8 then.
    fn text(&mut self) -> Option<String> {
        let is_bytes = self.takes('b');
        let quote = self.next().filter(|it| matches!(it, '\'' | '"'))?;
        let mut bytes = Vec::new();
        loop {
            let character = match self.next()? {
                it if it == quote => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                '\\' => match self.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'x' if is_bytes => {
                        bytes.push(u8::try_from(self.hex(2)?).ok()?);
                        continue;
                    }
                    'x' => char::from_u32(self.hex(2)?)?,
                    'u' => char::from_u32(self.hex(4)?)?,
                    'U' => char::from_u32(self.hex(8)?)?,
                    other => other,
                },
                other => other,
            };
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let (code, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        u32::from_str_radix(code, 16).ok()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next();
        self.rest = characters.as_str();
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_words_are_read_from_pythons_representation() {
        for (text, words) in [
            (
                "{'name': 'MISSING_REFERENCE_ERROR', 'message': 'Element(s) not found'}",
                "MISSING_REFERENCE_ERROR: Element(s) not found",
            ),
            (
                r#"{'name': 'FUNCTIONAL_ERROR', 'error_message': "can't \"be\"", 'http_status': 500}"#,
                r#"FUNCTIONAL_ERROR: can't "be" (http_status: 500)"#,
            ),
            (
                "{'name': 'A', 'message': 'no', 'doc_code': None, 'ids': ['a--1', 'b--2'], 'x': {}}",
                "A: no (ids: a--1, b--2)",
            ),
            (r"b'Caf\xc3\xa9 \'bar\''", "Café 'bar'"),
            (r"'first\nsecond \u00e9 \xe9'", "first\nsecond é é"),
            (r#"{'message': "{'name': 'B', 'message': 'inner'}"}"#, "B: inner"),
            ("[{'message': 'one'}, {'message': 'two'}]", "one, two"),
            ("('Connection aborted.', 104)", "Connection aborted., 104"),
        ] {
            assert_eq!(plain(text), words);
        }
    }

    #[test]
    fn a_text_that_is_no_representation_stays_as_it_is() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "502 Bad Gateway",
            "bad gateway",
            "None",
            "500",
            "LOCK_ERROR: Execution timeout, too many concurrent call",
            "{'name': 'CUT",
            "{'name': 'A'} and more",
            "'it' was refused",
            r"'\x4'",
            "",
            &deep,
        ] {
            assert_eq!(plain(text), text);
        }
    }
}
