//! Finds YARA files that libyara surely does not compile: text that ends in mid-string or in mid-rule,
//! strings and identifiers that nothing defines, strings that nothing uses. An identifier that nothing
//! defines is an external variable, which OpenCTI's checker has none of. Whatever may compile passes:
//! `sigma_check` says why.

use std::collections::HashSet;

/// Words that are no identifiers in a condition.
const KEYWORDS: [&str; 56] = [
    "all",
    "and",
    "any",
    "ascii",
    "at",
    "base64",
    "base64wide",
    "condition",
    "contains",
    "defined",
    "endswith",
    "entrypoint",
    "false",
    "filesize",
    "for",
    "fullword",
    "global",
    "icontains",
    "iendswith",
    "iequals",
    "import",
    "in",
    "include",
    "int16",
    "int16be",
    "int32",
    "int32be",
    "int8",
    "int8be",
    "istartswith",
    "matches",
    "meta",
    "nocase",
    "none",
    "not",
    "of",
    "or",
    "private",
    "rule",
    "startswith",
    "strings",
    "them",
    "true",
    "uint16",
    "uint16be",
    "uint32",
    "uint32be",
    "uint8",
    "uint8be",
    "wide",
    "xor",
    "with",
    "int64",
    "uint64",
    "float32",
    "float64",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A word.
    Word(&'a str),
    /// `$a`, `#a`, `@a`, `!a`, without the sign; empty for the sign alone. A wildcard ends in `*`.
    String(&'a str),
    Text(&'a str),
    Number,
    Expression,
    /// The bytes of a string, in braces.
    Hex,
    /// `..`
    Range,
    Sign(char),
}

/// Returns why libyara does not compile a text; `Ok`: it may.
pub(super) fn check(text: &str) -> Result<(), String> {
    let tokens = tokens(text)?;
    let mut rest = &tokens[..];
    let (mut modules, mut rules) = (HashSet::new(), Vec::new());
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after.first()) {
            (Token::Word("import"), Some(Token::Text(module))) => {
                modules.insert(*module);
                &after[1..]
            }
            (Token::Word("include"), _) => return Err("it includes another file".to_owned()),
            (Token::Word("private" | "global"), _) => after,
            (Token::Word("rule"), Some(Token::Word(name))) => {
                let (rule, after) = rule(name, &after[1..])?;
                rules.push(rule);
                after
            }
            _ => return Err("something stands between its rules".to_owned()),
        };
    }
    let names: HashSet<&str> = rules.iter().map(|rule| rule.name).collect();
    if names.len() < rules.len() {
        return Err("two of its rules have one name".to_owned());
    }
    let known = |word: &str| modules.contains(word) || names.contains(word);
    rules.iter().try_for_each(|rule| {
        rule.check(known).map_err(|why| format!("its rule {} {why}", rule.name))
    })
}

struct Rule<'a> {
    name: &'a str,
    /// Names of its strings; empty for one without.
    strings: Vec<&'a str>,
    condition: &'a [Token<'a>],
}

/// Reads a rule from behind its name on; returns what follows it, too.
fn rule<'a>(name: &'a str, tokens: &'a [Token<'a>]) -> Result<(Rule<'a>, &'a [Token<'a>]), String> {
    let refused = |why: &str| format!("its rule {name} {why}");
    let begin = tokens.iter().position(|token| *token == Token::Sign('{'));
    let begin = begin.ok_or_else(|| refused("has no body"))?;
    let end = tokens.iter().position(|token| *token == Token::Sign('}'));
    let end = end.filter(|end| *end > begin).ok_or_else(|| refused("does not end"))?;
    let body = &tokens[begin + 1..end];
    let section =
        |word: &str| body.windows(2).position(|pair| pair == [Token::Word(word), Token::Sign(':')]);
    let condition = section("condition").ok_or_else(|| refused("has no condition"))?;
    let strings = match section("strings") {
        Some(strings) if strings < condition => &body[strings + 2..condition],
        _ => &[],
    };
    let strings = strings.windows(2).filter_map(|pair| match pair {
        [Token::String(name), Token::Sign('=')] => Some(*name),
        _ => None,
    });
    let strings = strings.collect();
    Ok((Rule { name, strings, condition: &body[condition + 2..] }, &tokens[end + 1..]))
}

impl Rule<'_> {
    fn check(&self, is_known: impl Fn(&str) -> bool) -> Result<(), String> {
        if self.condition.is_empty() {
            return Err("has an empty condition".to_owned());
        }
        self.check_strings()?;
        let variables = self.variables();
        for (place, token) in self.condition.iter().enumerate() {
            let Token::Word(word) = token else { continue };
            let around = |place: Option<usize>| place.and_then(|place| self.condition.get(place));
            let is_field = around(place.checked_sub(1)) == Some(&Token::Sign('.'));
            // The beginning of the names of several rules.
            let is_begun = around(place.checked_add(1)) == Some(&Token::Sign('*'));
            let is_defined = is_known(word) || variables.contains(word) || KEYWORDS.contains(word);
            if !is_field && !is_begun && !is_defined {
                return Err(format!("needs {word}, which it does not define"));
            }
        }
        Ok(())
    }

    fn check_strings(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        if let Some(twice) = self.strings.iter().find(|it| !it.is_empty() && !names.insert(**it)) {
            return Err(format!("has two strings ${twice}"));
        }
        let used: Vec<&str> = self
            .condition
            .iter()
            .filter_map(|token| match token {
                Token::String(name) => Some(*name),
                Token::Word("them") => Some("*"),
                _ => None,
            })
            .filter(|name| !name.is_empty())
            .collect();
        for name in &used {
            if !self.strings.iter().any(|it| is_meant(name, it)) {
                return Err(format!("uses the string ${name}, which it does not define"));
            }
        }
        let is_used = |name: &&&str| used.iter().any(|used| is_meant(used, name));
        // A name that begins with an underscore needs no use.
        match self.strings.iter().find(|name| !name.starts_with('_') && !is_used(name)) {
            Some(unused) => Err(format!("does not use its string ${unused}")),
            None => Ok(()),
        }
    }

    /// Variables of loops: what stands between `for` and `in`.
    fn variables(&self) -> HashSet<&str> {
        let mut variables = HashSet::new();
        let mut is_in_head = false;
        for token in self.condition {
            match token {
                Token::Word("for") => is_in_head = true,
                Token::Word("in" | "of") => is_in_head = false,
                Token::Word(word) if is_in_head => {
                    variables.insert(*word);
                }
                // No loop: the variables of a `with`.
                Token::Word("with") => is_in_head = true,
                _ => {}
            }
        }
        variables
    }
}

/// Returns whether a use means the string of this name.
fn is_meant(used: &str, name: &str) -> bool {
    match used.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => used == name,
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        if first.is_whitespace() || first == '\u{feff}' {
            rest = after;
            continue;
        }
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        }
        if rest.starts_with("/*") {
            // One that does not end goes to the end of the text.
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
            continue;
        }
        let (token, left) = match first {
            '"' => {
                let (content, left) = up_to('"', after).ok_or("a text does not end")?;
                (Token::Text(content), left)
            }
            '/' => {
                let (_, left) = up_to('/', after).ok_or("a regular expression does not end")?;
                (Token::Expression, left.trim_start_matches(['i', 's']))
            }
            '{' if tokens.last() == Some(&Token::Sign('=')) => (Token::Hex, hex(after)?),
            '!' | '=' if after.starts_with('=') => (Token::Sign('≠'), &after[1..]),
            '$' | '#' | '@' | '!' => {
                let name = word(after);
                let left = &after[name.len()..];
                // A count is multiplied, and no wildcard.
                match left.strip_prefix('*').filter(|_| first == '$') {
                    Some(left) => (Token::String(&after[..=name.len()]), left),
                    None => (Token::String(name), left),
                }
            }
            '.' if after.starts_with('.') => (Token::Range, &after[1..]),
            first if first.is_ascii_digit() => (Token::Number, after_number(rest)),
            first if first.is_ascii_alphabetic() || first == '_' => {
                let word = word(rest);
                (Token::Word(word), &rest[word.len()..])
            }
            sign => (Token::Sign(sign), after),
        };
        tokens.push(token);
        rest = left;
    }
    Ok(tokens)
}

fn word(text: &str) -> &str {
    let end = text.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// Skips a number, its fraction and its unit.
fn after_number(text: &str) -> &str {
    let mut left = &text[word(text).len()..];
    while let Some(fraction) = left.strip_prefix('.').filter(|it| !word(it).is_empty()) {
        left = &fraction[word(fraction).len()..];
    }
    left
}

/// Splits a line at the first `end` without a backslash before it.
fn up_to(end: char, text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (place, it) in text.char_indices() {
        match it {
            '\n' => return None,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            it if it == end => return Some((&text[..place], &text[place + 1..])),
            _ => {}
        }
    }
    None
}

/// Skips the bytes of a string, behind the brace with which they begin.
fn hex(text: &str) -> Result<&str, String> {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '}' => return Ok(&rest[1..]),
            '/' if rest.starts_with("//") => rest.find('\n').map_or("", |end| &rest[end..]),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or("", |end| &rest[end + 2..]),
            first => &rest[first.len_utf8()..],
        };
    }
    Err("the bytes of a string do not end".to_owned())
}
