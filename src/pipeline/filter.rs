//! The operator's filter. It runs once, after the journal, alike for push and sweep; what it does
//! not let through ends as *filtered*, with the reason.

use crate::{
    alert::Alert,
    config::{ALERT_LEVELS, AlertFilter},
};

/// Returns why `alert` is not imported; `None` when it is. What an alert does not say, no filter refuses.
pub(super) fn refusal(filter: &AlertFilter, alert: &Alert) -> Option<String> {
    let alert_type = Some(alert.alert_type.as_str()).filter(|text| !text.is_empty());
    refused_by("ALERT_TYPES", &filter.types, alert_type)
        .or_else(|| refused_by("ALERT_STATUSES", &filter.statuses, alert.status.as_deref()))
        .or_else(|| refused_by("ALERT_MATURITIES", &filter.maturities, alert.maturity.as_deref()))
        .or_else(|| refused_by_level(filter.min_level.as_deref(), alert.level.as_deref()))
}

fn refused_by_level(min_level: Option<&str>, level: Option<&str>) -> Option<String> {
    let severity = |level: &str| ALERT_LEVELS.iter().position(|known| *known == level);
    let (level, min_level) = (level?, min_level?);
    let is_below = severity(&level.to_lowercase())? < severity(min_level)?;
    is_below.then(|| {
        format!("`{level}` is below HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL, which is `{min_level}`")
    })
}

fn refused_by(name: &str, allowed: &[String], value: Option<&str>) -> Option<String> {
    let value = value?;
    let let_through = allowed.is_empty() || allowed.iter().any(|allowed| allowed == value);
    (!let_through).then(|| format!("`{value}` is not in HARFANGLAB_INCIDENTS_{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter() -> AlertFilter {
        AlertFilter {
            statuses: vec!["new".to_owned(), "investigating".to_owned()],
            types: Vec::new(),
            maturities: vec!["stable".to_owned()],
            min_level: Some("medium".to_owned()),
        }
    }

    #[test]
    fn a_status_that_is_not_listed_is_filtered_with_the_reason() {
        let alert = Alert { status: Some("closed".to_owned()), ..Alert::default() };
        let reason = refusal(&filter(), &alert).expect("closed is not listed");
        assert!(reason.contains("`closed`") && reason.contains("ALERT_STATUSES"), "{reason}");
    }

    #[test]
    fn an_alert_below_the_least_level_is_filtered_and_one_of_an_unknown_level_is_not() {
        for (level, is_refused) in [
            ("informational", true),
            ("Low", true),
            ("medium", false),
            ("critical", false),
            ("red", false),
        ] {
            let alert = Alert { level: Some(level.to_owned()), ..Alert::default() };
            assert_eq!(refusal(&filter(), &alert).is_some(), is_refused, "{level}");
        }
    }

    #[test]
    fn an_alert_that_does_not_say_its_status_or_maturity_passes() {
        let alert = Alert { alert_type: "hlai".to_owned(), ..Alert::default() };
        assert_eq!(refusal(&filter(), &alert), None);
    }
}
