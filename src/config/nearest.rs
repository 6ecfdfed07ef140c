//! The name that was probably meant by one that is not known.

/// Returns the nearest of `candidates`, when one is near enough to be what was meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        let names = ["alert_types", "alert_statuses", "listen"];
        assert_eq!(nearest("alert_type", names.into_iter()), Some("alert_types"));
        assert_eq!(nearest("zzz", names.into_iter()), None);
    }
}
