//! The figures, as a table and as JSON, with a verdict a row.

use std::fmt;

use serde_json::{Value, json};

/// Figures of one side, a figure a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn one(figure: f64) -> Self {
        Self(vec![figure])
    }

    /// Least, middle and greatest.
    fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
    }

    pub(crate) fn median(&self) -> f64 {
        self.spread().1
    }
}

impl From<Vec<f64>> for Figures {
    fn from(figures: Vec<f64>) -> Self {
        Self(figures)
    }
}

/// The bar that a row must meet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// A value, or ratio where something stands beside, of at least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Figures,
    /// The figures that it is compared with, measured in turn with ours.
    pub(crate) beside: Option<(String, Figures)>,
    pub(crate) bar: Option<Bar>,
    /// Remarks on the figures.
    pub(crate) note: String,
}

impl Row {
    /// A figure with nothing beside it.
    pub(crate) fn alone(what: impl Into<String>, unit: &'static str, ours: Figures) -> Self {
        Self { what: what.into(), unit, ours, beside: None, bar: None, note: String::new() }
    }

    pub(crate) fn beside(mut self, name: impl Into<String>, figures: Figures) -> Self {
        self.beside = Some((name.into(), figures));
        self
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Ours to what stands beside it.
    fn ratio(&self) -> Option<f64> {
        let (_name, figures) = self.beside.as_ref()?;
        Some(self.ours.median() / figures.median())
    }

    fn verdict(&self) -> Option<bool> {
        let value = self.ratio().unwrap_or(self.ours.median());
        self.bar.map(|bar| match bar {
            Bar::AtLeast(least) => value >= least,
            Bar::AtMost(most) => value <= most,
        })
    }
}

/// Everything that was measured in a run.
#[derive(Default)]
pub(crate) struct Table(Vec<(String, Vec<Row>)>);

impl Table {
    pub(crate) fn add(&mut self, benchmark: &str, rows: Vec<Row>) {
        self.0.push((benchmark.to_owned(), rows));
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.0.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name.as_str(), row)))
    }

    /// Returns whether every bar is met.
    pub(crate) fn is_good(&self) -> bool {
        self.rows().all(|(_, row)| row.verdict() != Some(false))
    }

    pub(crate) fn to_json(&self) -> String {
        let rows: Vec<Value> = self
            .rows()
            .map(|(benchmark, row)| {
                json!({
                    "benchmark": benchmark, "what": row.what, "unit": row.unit, "ours": row.ours.0,
                    "beside": row.beside.as_ref().map(|(name, figures)| {
                        json!({"name": name, "figures": figures.0})
                    }),
                    "ratio": row.ratio(), "is_met": row.verdict(), "note": row.note,
                })
            })
            .collect();
        format!("{:#}\n", Value::Array(rows))
    }
}

/// Four digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn spread(figures: &Figures) -> String {
    let (least, median, greatest) = figures.spread();
    if figures.0.is_empty() {
        return "not measured".to_owned();
    }
    if figures.0.len() == 1 {
        return figure(median);
    }
    format!("{} / {} / {}", figure(least), figure(median), figure(greatest))
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| benchmark | what | min / median / max | beside | ratio | bar | |")?;
        writeln!(formatter, "|---|---|---|---|---|---|---|")?;
        for (benchmark, row) in self.rows() {
            let beside = row
                .beside
                .as_ref()
                .map(|(name, figures)| format!("{name}: {}", spread(figures)))
                .unwrap_or_default();
            let ratio = row.ratio().map(figure).unwrap_or_default();
            let bar = match row.bar {
                Some(Bar::AtLeast(least)) => format!("≥ {}", figure(least)),
                Some(Bar::AtMost(most)) => format!("≤ {}", figure(most)),
                None => String::new(),
            };
            let verdict = match row.verdict() {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            writeln!(
                formatter,
                "| {benchmark} | {} | {} {} | {beside} | {ratio} | {bar} | {verdict} |",
                row.what,
                spread(&row.ours),
                row.unit,
            )?;
        }
        for (benchmark, row) in self.rows().filter(|(_, row)| !row.note.is_empty()) {
            writeln!(formatter, "{benchmark}, {}: {}", row.what, row.note)?;
        }
        Ok(())
    }
}
