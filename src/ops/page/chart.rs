//! The last hours as bars: an SVG inside the page, without script and without inline style.

use chrono::Timelike as _;
use maud::{Markup, html};

use super::words::{counted, grouped};
use crate::journal::{Activity, Hour};

/// Width of an hour, in the units of the picture.
const STEP: usize = 30;
/// Width of a bar.
const BAR: usize = 11;
/// Height of the bars.
const HEIGHT: u64 = 140;
/// Room on the left for the scale.
const LEFT: usize = 44;
/// Room at the top.
const TOP: u64 = 14;

/// Draws `activity`.
pub(super) fn chart(activity: &Activity) -> Markup {
    let top = activity.hours.iter().map(|hour| hour.received.max(hour.delivered)).max();
    let top = round_up(top.unwrap_or(0));
    let width = LEFT + activity.hours.len() * STEP;
    let (received, delivered) = totals(activity);
    let summary = format!(
        "{} received and {} delivered in the last 24 hours",
        grouped(received),
        grouped(delivered)
    );
    html! {
        figure {
            svg viewBox=(format!("0 0 {width} {}", TOP + HEIGHT + 24)) role="img" aria-label=(summary) {
                @for share in [0, 1, 2] {
                    @let y = TOP + HEIGHT - HEIGHT * share / 2;
                    line.grid x1=(LEFT) x2=(width) y1=(y) y2=(y) {}
                    @if share == 0 || (top * share).is_multiple_of(2) {
                        text.scale x=(LEFT - 8) y=(y + 4) text-anchor="end" {
                            (grouped(top * share / 2))
                        }
                    }
                }
                @for (position, hour) in activity.hours.iter().enumerate() {
                    (bars(LEFT + position * STEP, hour, top))
                }
            }
            figcaption {
                span.key.received {} (counted(received, "event")) " received"
                span.key.delivered {} (grouped(delivered)) " delivered"
                span.quiet { "by the hour, UTC" }
            }
        }
    }
}

/// Returns what was received and delivered in all hours.
pub(super) fn totals(activity: &Activity) -> (u64, u64) {
    let sum = |of: fn(&Hour) -> u64| activity.hours.iter().map(of).sum();
    (sum(|hour| hour.received), sum(|hour| hour.delivered))
}

fn bars(left: usize, hour: &Hour, top: u64) -> Markup {
    let o_clock = hour.begins.hour();
    let height = |count: u64| if count == 0 { 0 } else { (count * HEIGHT / top).max(2) };
    html! {
        g {
            title {
                (format!("{o_clock:02}:00 UTC: ")) (grouped(hour.received)) " received, "
                (grouped(hour.delivered)) " delivered"
            }
            // Something to point at where there is no bar.
            rect.nothing x=(left) y=(TOP) width=(STEP) height=(HEIGHT) {}
            @for (class, count, x) in [
                ("received", hour.received, left + 3),
                ("delivered", hour.delivered, left + 4 + BAR),
            ] {
                @let tall = height(count);
                @if tall > 0 {
                    rect class=(class) x=(x) y=(TOP + HEIGHT - tall) width=(BAR) height=(tall) rx="2" {}
                }
            }
            @if o_clock.is_multiple_of(6) {
                text.scale x=(left + STEP / 2) y=(TOP + HEIGHT + 18) text-anchor="middle" {
                    (format!("{o_clock:02}:00"))
                }
            }
        }
    }
}

/// The next number that makes a good scale: 1, 2 or 5 with zeros behind it, at least 4.
fn round_up(number: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [1, 2, 4, 5] {
            let candidate = scale.saturating_mul(step);
            if candidate >= number.max(4) {
                return candidate;
            }
        }
        scale = scale.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_in_a_round_number_whatever_there_is_to_show() {
        let scales = [0, 3, 4, 5, 11, 499, 501, u64::MAX].map(round_up);
        assert_eq!(scales, [4, 4, 4, 5, 20, 500, 1000, u64::MAX]);
    }
}
