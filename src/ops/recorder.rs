//! Gives metrics of a console the label `console`, by the task that counts.
//!
//! Does not live here: which metrics those are (`catalogue`), whose a task is (`label`).

use std::collections::HashSet;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};

use super::catalogue::CATALOGUE;
use crate::label::ConsoleLabel;

/// Name of the label.
const CONSOLE: &str = "console";

/// A recorder in front of another.
pub(super) struct Labelling<R> {
    inner: R,
    of_consoles: HashSet<&'static str>,
}

impl<R> Labelling<R> {
    pub(super) fn new(inner: R) -> Self {
        let of_consoles =
            CATALOGUE.iter().filter(|metric| metric.of_console).map(|metric| metric.name).collect();
        Self { inner, of_consoles }
    }

    /// The key with its label; `None`: as it is.
    fn labelled(&self, key: &Key) -> Option<Key> {
        let label = ConsoleLabel::current();
        let name = label.name().filter(|_| self.of_consoles.contains(key.name()))?;
        Some(key.with_extra_labels(vec![Label::new(CONSOLE, name.to_owned())]))
    }
}

impl<R: Recorder> Recorder for Labelling<R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let labelled = self.labelled(key);
        self.inner.register_counter(labelled.as_ref().unwrap_or(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let labelled = self.labelled(key);
        self.inner.register_gauge(labelled.as_ref().unwrap_or(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let labelled = self.labelled(key);
        self.inner.register_histogram(labelled.as_ref().unwrap_or(key), metadata)
    }
}
