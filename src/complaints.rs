//! Complaints about deliveries that were refused: one line in the log, then silence for a minute, so
//! that nobody fills the disk by knocking. The metrics count every refusal; the next line says how
//! many were left out.

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// From one line to the next.
const SILENCE: TimeDelta = TimeDelta::minutes(1);

/// The time of the last written line, and the number that have been suppressed since.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<Option<Silence>>);

#[derive(Debug)]
struct Silence {
    since: DateTime<Utc>,
    left_out: u64,
}

impl Complaints {
    /// Notes a refusal. `Some`: a line is due, and so many refusals before it had none.
    pub(crate) fn due(&self, now: DateTime<Utc>) -> Option<u64> {
        let mut silence = self.0.lock();
        match silence.as_mut() {
            // A clock that was set back does not silence for longer.
            Some(current) if (now - current.since).abs() < SILENCE => {
                current.left_out += 1;
                None
            }
            ended => {
                let left_out = ended.map_or(0, |ended| ended.left_out);
                *silence = Some(Silence { since: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_says_how_many_were_left_out() {
        let complaints = Complaints::default();
        let at = |seconds: i64| DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap();
        assert_eq!(complaints.due(at(0)), Some(0));
        assert_eq!(complaints.due(at(1)), None);
        assert_eq!(complaints.due(at(59)), None);
        assert_eq!(complaints.due(at(60)), Some(2));
        assert_eq!(complaints.due(at(61)), None);
        assert_eq!(complaints.due(at(-3600)), Some(1), "the clock was set back");
    }
}
