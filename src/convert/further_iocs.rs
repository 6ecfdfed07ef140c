//! The IOCs that an alert matched beside the one that it is about: each becomes an indicator of its own.
//! The console is asked for the first only, so what the alert says is all there is of these.

use std::collections::HashSet;

use super::{
    draft::Draft,
    indicator::{self, Basis},
    ioc::IocValue,
    rule,
};
use crate::alert::{
    SeenIndicator,
    intelligence::{Intelligence, IocRule},
};

/// The most indicators of one alert: as many as its description shows of its IOCs.
const MOST_INDICATORS: usize = 8;

/// Adds the indicators of the IOCs beside `main` and answers them; reports each that becomes none.
pub(super) fn add_further(
    main: Option<&Intelligence>,
    basis: Basis<'_>,
    draft: &mut Draft,
) -> Vec<SeenIndicator> {
    let main = match main {
        Some(Intelligence::Ioc(ioc)) => Some(ioc),
        Some(_) => return Vec::new(),
        None => None,
    };
    let further = further(main, rule::matched_iocs(basis.alert, main));
    let room = MOST_INDICATORS - usize::from(main.is_some());
    if let Some(beyond) = further.len().checked_sub(room).filter(|beyond| *beyond > 0) {
        let why = format!(
            "the alert matched {} IOCs; the first {MOST_INDICATORS} become indicators, {beyond} do not",
            further.len() + MOST_INDICATORS - room
        );
        draft.leave_out("indicator", why);
    }
    let further = further.into_iter().take(room).map(Intelligence::Ioc);
    let indicators =
        further.filter_map(|ioc| indicator::add_indicator(indicator::read(&ioc), basis, draft));
    indicators.collect()
}

/// Returns the matched IOCs that are not `main`, each once however it is spelt.
fn further(main: Option<&IocRule>, matched: Vec<IocRule>) -> Vec<IocRule> {
    let of_main = main.and_then(|main| IocValue::read(main).ok());
    let mut seen = HashSet::new();
    let is_further = |ioc: &IocRule| {
        let is_main = main.is_some_and(|main| main.value == ioc.value && main.kind == ioc.kind);
        let text = match IocValue::read(ioc) {
            Ok(value) if of_main.as_ref().is_some_and(|main| main.covers(&value)) => return false,
            Ok(value) => value.pattern().0.to_string(),
            Err(why) => why,
        };
        !is_main && seen.insert(text)
    };
    matched.into_iter().filter(is_further).collect()
}
