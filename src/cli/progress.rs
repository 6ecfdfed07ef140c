//! Progress of a job: a bar on a terminal, else a line now and then.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{line_of, say};
use crate::sweep::Progress;

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress on stderr.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Option<Instant>,
}

impl Display {
    /// A bar if stderr is a terminal.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let template = "{bar:30} {human_pos}/{human_len}, {eta} left  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, began: Instant::now(), told: None }
    }

    /// Shows it, if it is time.
    pub(super) fn show(&mut self, progress: &Progress) {
        let read = progress.new + progress.known;
        if progress.expected == 0 {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(progress.expected.max(read));
            bar.set_position(read);
            bar.set_message(line_of(&progress.words));
            return;
        }
        let now = Instant::now();
        if self.told.is_some_and(|told| now - told < LINE_INTERVAL) {
            return;
        }
        self.told = Some(now);
        say(&line(progress, now - self.began));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `300 of 1200 read (300 new), about 12 s left`.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let read = progress.new + progress.known;
    let mut line = format!("{read} of {} read ({} new)", progress.expected.max(read), progress.new);
    if read > 0 && read < progress.expected {
        let left = u128::from(progress.expected - read) * elapsed.as_millis() / u128::from(read);
        line = format!("{line}, about {} s left", left.div_ceil(1_000));
    }
    if !progress.words.is_empty() {
        line.push_str("; ");
        line.push_str(&line_of(&progress.words));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_is_read_and_how_long_the_rest_will_take() {
        let mut progress =
            Progress { expected: 1_200, new: 200, known: 100, ..Progress::default() };
        let after = Duration::from_secs(4);
        assert_eq!(line(&progress, after), "300 of 1200 read (200 new), about 12 s left");
        progress.known = 1_300;
        progress.words = "waits".to_owned();
        assert_eq!(line(&progress, after), "1500 of 1500 read (200 new); waits");
    }
}
