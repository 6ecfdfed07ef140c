//! The contents of a delivery, in the words in which a work tells it to an analyst.

/// Incidents and cases of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    new_incidents: usize,
    updated_incidents: usize,
    new_cases: usize,
    updated_cases: usize,
}

impl Tally {
    /// Counts events by the STIX id of their incident or case and whether OpenCTI has it already.
    pub(super) fn of<'a>(events: impl Iterator<Item = (&'a str, bool)>) -> Self {
        let mut tally = Self::default();
        for (root_id, is_known) in events {
            let counter = match (root_id.starts_with("case-incident--"), is_known) {
                (false, false) => &mut tally.new_incidents,
                (false, true) => &mut tally.updated_incidents,
                (true, false) => &mut tally.new_cases,
                (true, true) => &mut tally.updated_cases,
            };
            *counter += 1;
        }
        tally
    }

    /// Such as `12 HarfangLab alerts and 1 threat`.
    pub(super) fn subject(&self) -> String {
        let alerts = self.new_incidents + self.updated_incidents;
        let threats = self.new_cases + self.updated_cases;
        match (alerts, threats) {
            (alerts, 0) => format!("{alerts} HarfangLab {}", plural(alerts, "alert")),
            (0, threats) => format!("{threats} HarfangLab {}", plural(threats, "threat")),
            (alerts, threats) => format!(
                "{alerts} HarfangLab {} and {threats} {}",
                plural(alerts, "alert"),
                plural(threats, "threat")
            ),
        }
    }

    /// Such as `12 HarfangLab alerts: 9 new incidents, 3 updated incidents`.
    pub(super) fn summary(&self) -> String {
        let parts: Vec<String> = [
            (self.new_incidents, "new incident"),
            (self.updated_incidents, "updated incident"),
            (self.new_cases, "new case"),
            (self.updated_cases, "updated case"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {}", plural(count, what)))
        .collect();
        format!("{}: {}", self.subject(), parts.join(", "))
    }
}

fn plural(count: usize, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{word}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_says_how_many_incidents_and_cases_are_new_and_how_many_updated() {
        let events = [("incident--1", false), ("incident--2", true), ("incident--3", false)];
        let tally = Tally::of(events.into_iter());
        assert_eq!(tally.summary(), "3 HarfangLab alerts: 2 new incidents, 1 updated incident");
        let tally = Tally::of([("incident--1", true), ("case-incident--1", false)].into_iter());
        assert_eq!(
            tally.summary(),
            "1 HarfangLab alert and 1 threat: 1 updated incident, 1 new case"
        );
        let tally = Tally::of([("case-incident--1", true)].into_iter());
        assert_eq!(tally.summary(), "1 HarfangLab threat: 1 updated case");
    }
}
