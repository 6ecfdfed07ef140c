//! Whatever an attacker writes into an alert is text in every description: never an image, HTML or a link.

use comrak::{Arena, Options, nodes::NodeValue, parse_document};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

use super::fixtures::{cases, converted, fixtures};

/// Pieces of Markdown and HTML; texts are made by joining some.
const PIECES: [&str; 34] = [
    "![a](https://evil.example/a.png)",
    "[a](https://evil.example)",
    "[a]: https://evil.example",
    "[a]",
    "<img src=x onerror=alert(1)>",
    "<b>",
    "</td>",
    "<!-- ",
    "<https://evil.example>",
    "https://evil.example/a?b=c",
    "http://evil.example",
    "ftp://evil.example",
    "www.evil.example",
    "mailto:ada@evil.example",
    "ada@evil.example",
    "xmpp:ada@evil.example",
    "`",
    "``",
    "```",
    "~~~",
    "|",
    "\\",
    "\\|",
    "\n",
    "\r\n",
    "\t",
    "    ",
    "#",
    "- ",
    "> ",
    "&lt;",
    "*",
    "word",
    " ",
];

/// Returns what a reader of OpenCTI's kind (GitHub's dialect, with links found in plain text) makes of a
/// text, apart from text.
fn markup(text: &str) -> Vec<String> {
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.parse.relaxed_autolinks = true;
    let arena = Arena::new();
    let found = parse_document(&arena, text, &options).descendants().filter_map(|node| {
        let value = &node.data.borrow().value;
        let is_markup = matches!(
            value,
            NodeValue::Image(_)
                | NodeValue::Link(_)
                | NodeValue::HtmlInline(_)
                | NodeValue::HtmlBlock(_)
                | NodeValue::Heading(_)
        );
        is_markup.then(|| format!("{value:?}"))
    });
    found.collect()
}

#[test]
fn the_reader_of_this_test_finds_markup() {
    for text in PIECES[..3].iter().chain(&PIECES[4..6]).chain(&PIECES[8..14]) {
        let text = format!("a {text}\n\n[a]: https://evil.example");
        assert!(!markup(&text).is_empty(), "{text}");
    }
}

fn hostile() -> impl Strategy<Value = String> {
    vec(select(PIECES.to_vec()), 1..6).prop_map(|pieces| pieces.concat())
}

/// Puts the texts into every text of the document in turn, but into those that make it an alert.
fn fill(value: &mut Value, key: &str, texts: &mut impl Iterator<Item = String>) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(key, value)| fill(value, key, texts));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, key, texts)),
        Value::String(text) if !["log_type", "alert_type", "kind"].contains(&key) => {
            *text = texts.next().unwrap_or_default();
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn nothing_in_an_alert_becomes_markup_in_a_description(
        fixture in any::<prop::sample::Index>(),
        texts in vec(hostile(), 1..40),
    ) {
        let fixtures = fixtures();
        let (name, element) = fixtures.iter().nth(fixture.index(fixtures.len())).unwrap();
        let mut element = element.clone();
        fill(&mut element, "", &mut texts.iter().cycle().cloned());
        let Some(conversion) = converted(&element) else { return Ok(()) };
        for object in &conversion.bundle.objects {
            // An indicator's description is the rule's, which the operator has chosen.
            if object["type"] == "indicator" {
                continue;
            }
            for key in ["description", "x_opencti_description"] {
                let text = object.get(key).and_then(Value::as_str).unwrap_or_default();
                prop_assert_eq!(markup(text), Vec::<String>::new(), "{}: {}", name, text);
            }
        }
    }
}
