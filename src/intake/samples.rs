//! Samples of unknown kinds: of each shape some are kept a day, so that a person can see what comes;
//! the rest is counted. A flood of something new fills no journal.
//!
//! Counted in memory, one text once, so that neither an arrival nor a duplicate costs the journal a
//! statement. A start reads from the journal what is there of the day ([`Samples::recall`]). Replicas
//! count each for itself: together they keep as many times more. Days are those of UTC.
//!
//! Does not live here: which elements are of an unknown kind (`intake::dialect`).

use std::collections::{HashMap, HashSet, hash_map::Entry};

use chrono::{DateTime, NaiveDate, Utc};
use parking_lot::Mutex;
use tracing::warn;

use super::dialect::Shape;
use crate::complaints::Complaints;

/// As many are kept of a shape and day, and of as many shapes, unless configured.
const PER_SHAPE: usize = 100;
const SHAPES: usize = 50;

/// Decides which notifications of unknown kinds are kept.
#[derive(Debug)]
pub struct Samples {
    per_shape: usize,
    shapes: usize,
    today: Mutex<Today>,
    warnings: Complaints,
}

/// The keys of the texts that were kept, by their shape.
#[derive(Debug, Default)]
struct Today {
    day: NaiveDate,
    kept: HashMap<String, HashSet<u64>>,
}

/// The fate of a notification of an unknown kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampled {
    /// It is kept, or was already.
    Kept,
    /// It is counted.
    Counted,
}

impl Default for Samples {
    fn default() -> Self {
        Self::new(PER_SHAPE, SHAPES)
    }
}

impl Samples {
    /// Keeps `per_shape` of each of `shapes` shapes a day.
    pub fn new(per_shape: usize, shapes: usize) -> Self {
        Self { per_shape, shapes, today: Mutex::default(), warnings: Complaints::default() }
    }

    /// Knows what the journal has of the day of `now`: digests of shapes, each with the key of a text.
    pub fn recall(&self, known: impl IntoIterator<Item = (String, String)>, now: DateTime<Utc>) {
        let mut today = self.today.lock();
        today.begin(now);
        for (shape, key) in known {
            today.kept.entry(shape).or_default().insert(short(&key));
        }
    }

    /// Decides on a text of this shape by its key. The log is told once a minute at most which shape
    /// is no longer kept.
    pub(super) fn decide(&self, shape: &Shape, key: &str, now: DateTime<Utc>) -> Sampled {
        let mut today = self.today.lock();
        today.begin(now);
        let shapes = today.kept.len();
        let is_kept = match today.kept.entry(shape.digest().to_owned()) {
            Entry::Vacant(_) if shapes >= self.shapes || self.per_shape == 0 => false,
            Entry::Vacant(of_shape) => of_shape.insert(HashSet::new()).insert(short(key)),
            Entry::Occupied(mut of_shape) => {
                let of_shape = of_shape.get_mut();
                let is_full = of_shape.len() >= self.per_shape;
                of_shape.contains(&short(key)) || (!is_full && of_shape.insert(short(key)))
            }
        };
        drop(today);
        let outcome = if is_kept { "kept" } else { "counted" };
        metrics::counter!("unknown_kinds_total", "outcome" => outcome).increment(1);
        if is_kept {
            return Sampled::Kept;
        }
        if let Some(suppressed) = self.warnings.due(now) {
            warn!(
                shape = shape.words(),
                suppressed,
                "notifications of an unknown kind come in such numbers that only a sample of them is \
                 kept as dead letters; the rest is counted"
            );
        }
        Sampled::Counted
    }
}

impl Today {
    fn begin(&mut self, now: DateTime<Utc>) {
        let day = now.date_naive();
        if self.day != day {
            *self = Self { day, kept: HashMap::new() };
        }
    }
}

/// A key ends in the digits of a hash: eight bytes tell a day's samples apart.
fn short(key: &str) -> u64 {
    let digits = key.len().checked_sub(16).and_then(|start| key.get(start..));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::dialect::{UnknownKind, key_of_text, recognise_unknown};

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + day * 86_400, 0).unwrap()
    }

    fn decide(samples: &Samples, text: &str, day: i64) -> Sampled {
        let UnknownKind::Shaped(shape) = recognise_unknown(text) else {
            panic!("{text} has no shape");
        };
        samples.decide(&shape, &key_of_text(text), at(day))
    }

    #[test]
    fn of_each_shape_so_many_are_kept_a_day_and_one_text_counts_once() {
        let samples = Samples::new(2, 2);
        let text = |shape: &str, number: u32| format!("{{\"{shape}\": {number}}}");
        let kept =
            |shape, number, day| decide(&samples, &text(shape, number), day) == Sampled::Kept;
        assert!(kept("a", 1, 0) && kept("a", 1, 0) && kept("a", 2, 0), "the same text counts once");
        assert!(!kept("a", 3, 0) && kept("a", 2, 0), "what is kept is known again");
        assert!(kept("b", 1, 0) && !kept("c", 1, 0), "no third shape");
        assert!(kept("c", 1, 1) && kept("a", 3, 1), "another day");
        assert_eq!(decide(&Samples::new(0, 2), "{\"a\": 1}", 0), Sampled::Counted);
    }

    #[test]
    fn a_start_goes_on_with_what_the_journal_has_of_the_day() {
        let samples = Samples::new(2, 1);
        let UnknownKind::Shaped(shape) = recognise_unknown("{\"a\": 1}") else { panic!() };
        let known = ["{\"a\": 1}", "{\"a\": 2}"];
        let known = known.map(|text| (shape.digest().to_owned(), key_of_text(text)));
        samples.recall(known, at(0));
        assert_eq!(decide(&samples, "{\"a\": 2}", 0), Sampled::Kept);
        assert_eq!(decide(&samples, "{\"a\": 3}", 0), Sampled::Counted);
        assert_eq!(decide(&samples, "{\"a\": 3}", 1), Sampled::Kept);
    }
}
