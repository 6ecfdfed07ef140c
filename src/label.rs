//! The console that a task works for: an attribute of its log lines, a label of its metrics.
//!
//! Nothing has to hand it on: it goes with the task, and [`ConsoleLabel::current`] takes it along to a
//! task that is spawned. Where there is one console, nothing is labelled. The values are the names in
//! the configuration, so that there are never more of them.
//!
//! Does not live here: which metrics have the label (`ops`).

use std::sync::Arc;

use tracing::{Instrument as _, Span};

tokio::task_local! {
    static CONSOLE: ConsoleLabel;
}

/// The name of a console, where consoles have to be told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsoleLabel(Option<Arc<str>>);

impl ConsoleLabel {
    /// Of one of several consoles.
    pub fn of(name: &str) -> Self {
        Self(Some(Arc::from(name)))
    }

    /// That of the task that asks.
    pub fn current() -> Self {
        CONSOLE.try_with(Self::clone).unwrap_or_default()
    }

    /// The name; `None`: there is one console.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The future, working for this console.
    pub fn on<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let span = match self.name() {
            Some(console) => tracing::error_span!("console", console),
            None => Span::none(),
        };
        CONSOLE.scope(self.clone(), future).instrument(span)
    }

    /// Does something at once for this console.
    pub fn now<T>(&self, act: impl FnOnce() -> T) -> T {
        CONSOLE.sync_scope(self.clone(), act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_has_the_label_that_it_was_given_and_others_have_none() {
        let paris = ConsoleLabel::of("paris");
        let spawned = paris.on(async {
            let label = ConsoleLabel::current();
            tokio::spawn(label.on(async { ConsoleLabel::current() })).await
        });
        assert_eq!(spawned.await.map_err(|_| ()), Ok(paris.clone()));
        assert_eq!(ConsoleLabel::current().name(), None);
        assert_eq!(
            paris.now(|| ConsoleLabel::current().name().map(str::to_owned)),
            Some("paris".to_owned())
        );
    }
}
