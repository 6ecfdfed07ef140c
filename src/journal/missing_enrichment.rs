//! The enrichment that a delivered version was without: the part of a version that speaks of its enrichment.

/// The part of an alert's enrichment that could not be had. Nothing, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MissingEnrichment {
    /// The alert itself as the console shows it, with the id of its page.
    pub page: bool,
    /// The rule that raised it.
    pub rule: bool,
    /// The details of its host.
    pub host: bool,
}

impl MissingEnrichment {
    /// Returns whether something is missing.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Returns whether less is missing here than in `before`.
    pub fn is_less_than(self, before: Self) -> bool {
        (before.page && !self.page) || (before.rule && !self.rule) || (before.host && !self.host)
    }

    /// As the journal writes it: `page,rule`.
    pub(super) fn to_text(self) -> String {
        let parts = [(self.page, "page"), (self.rule, "rule"), (self.host, "host")];
        let missing: Vec<_> =
            parts.into_iter().filter(|(lacks, _)| *lacks).map(|(_, name)| name).collect();
        missing.join(",")
    }

    /// As the journal wrote it.
    pub(super) fn from_text(text: &str) -> Self {
        let has = |name: &str| text.split(',').any(|part| part == name);
        Self { page: has("page"), rule: has("rule"), host: has("host") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_is_read_as_it_was_written_and_less_is_less() {
        let all = MissingEnrichment { page: true, rule: true, host: true };
        let rule = MissingEnrichment { rule: true, ..MissingEnrichment::default() };
        for missing in [all, rule, MissingEnrichment::default()] {
            assert_eq!(MissingEnrichment::from_text(&missing.to_text()), missing);
        }
        assert!(rule.is_less_than(all) && !all.is_less_than(rule) && !rule.is_less_than(rule));
        assert!(rule.is_any() && !MissingEnrichment::default().is_any());
    }
}
