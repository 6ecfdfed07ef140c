//! Times, numbers and foreign text as people read them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maud::{Markup, html};

use crate::{escape, label::ConsoleLabel};

/// Describes the time since `then`.
pub(super) fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = now - then;
    if past < TimeDelta::seconds(5) { "just now".to_owned() } else { format!("{} ago", long(past)) }
}

/// A length of time in its largest unit.
pub(super) fn long(time: TimeDelta) -> String {
    let units = [
        (time.num_days(), "day"),
        (time.num_hours(), "hour"),
        (time.num_minutes(), "minute"),
        (time.num_seconds(), "second"),
    ];
    // A day is said from the second one on: 30 hours tell more than a day.
    let least = |unit: &str| if unit == "day" { 2 } else { 1 };
    let told = units.into_iter().find(|(number, unit)| *number >= least(unit));
    let (number, unit) = told.unwrap_or((0, "second"));
    counted(u64::try_from(number).unwrap_or_default(), unit)
}

/// Returns the console that is meant, where there are several.
pub(super) fn of(console: &ConsoleLabel) -> String {
    console.name().map(|name| format!(" of {name}")).unwrap_or_default()
}

/// `1 alert`, `1 234 alerts`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Digits in groups of three, parted by narrow spaces that do not break.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A size in the unit that fits.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => counted(bytes, "byte"),
        1024..=1_048_575 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// A moment: how long ago, and exactly when one points at it.
pub(super) fn moment(then: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let exact = then.to_rfc3339_opts(SecondsFormat::Secs, true);
    html! { time datetime=(exact) title=(exact) { (ago(then, now)) } }
}

/// Text that came in over the wire, harmless to look at: what would not show, or would turn the text
/// around it, is named by its number. Escaping is the template's.
pub(super) fn visible(text: &str) -> Markup {
    html! {
        // Each run ends before the next hidden letter, or with it.
        @for run in text.split_inclusive(is_hidden) {
            (run.trim_end_matches(is_hidden))
            @if let Some(letter) = run.chars().next_back().filter(|letter| is_hidden(*letter)) {
                span.hidden-letter { "U+" (format!("{:04X}", u32::from(letter))) }
            }
        }
    }
}

fn is_hidden(letter: char) -> bool {
    escape::is_hidden(letter) && !escape::is_layout(letter)
}

/// The longest beginning of `text` that is at most `bytes` long.
pub(super) fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_told_in_words() {
        let told: Vec<_> = [0, 59, 61, 7_200, 100_000, 200_000]
            .map(|seconds| long(TimeDelta::seconds(seconds)))
            .into();
        assert_eq!(told, ["0 seconds", "59 seconds", "1 minute", "2 hours", "27 hours", "2 days"]);
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((counted(1, "alert"), size(2048)), ("1 alert".into(), "2 KiB".into()));
    }

    #[test]
    fn what_would_not_show_is_named_and_markup_is_text() {
        let shown = visible("a<b>\u{202e}gpj.\u{0}\n").into_string();
        let named = |number: &str| format!("<span class=\"hidden-letter\">U+{number}</span>");
        assert_eq!(shown, format!("a&lt;b&gt;{}gpj.{}\n", named("202E"), named("0000")));
        assert_eq!(beginning("aé", 2), "a");
    }
}
