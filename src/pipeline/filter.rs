//! The operator's filter. It runs once, after the journal, alike for push and sweep; what it does
//! not let through ends as *filtered*, with the reason.

use crate::{alert::Alert, config::AlertFilter};

/// Why `alert` is not imported; `None` when it is. What an alert does not say, no filter refuses.
pub(super) fn refusal(filter: &AlertFilter, alert: &Alert) -> Option<String> {
    let alert_type = Some(alert.alert_type.as_str()).filter(|text| !text.is_empty());
    refused_by("ALERT_TYPES", &filter.types, alert_type)
        .or_else(|| refused_by("ALERT_STATUSES", &filter.statuses, alert.status.as_deref()))
        .or_else(|| refused_by("ALERT_MATURITIES", &filter.maturities, alert.maturity.as_deref()))
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
        }
    }

    #[test]
    fn a_status_that_is_not_listed_is_filtered_with_the_reason() {
        let alert = Alert { status: Some("closed".to_owned()), ..Alert::default() };
        let reason = refusal(&filter(), &alert).expect("closed is not listed");
        assert!(reason.contains("`closed`") && reason.contains("ALERT_STATUSES"), "{reason}");
    }

    #[test]
    fn an_alert_that_does_not_say_its_status_or_maturity_passes() {
        let alert = Alert { alert_type: "hlai".to_owned(), ..Alert::default() };
        assert_eq!(refusal(&filter(), &alert), None);
    }
}
