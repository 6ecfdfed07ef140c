//! Every option, declared once, by the part of the service that it sets. The loader, the `config` command,
//! the check for unknown names, reference, schema and README are all made of these declarations.
//!
//! Does not live here: how an option is declared (`declare`), reading its text (`reader`).

pub(super) mod broker;
pub(super) mod certificates;
pub(super) mod connector;
pub(super) mod connector_metrics;
pub(super) mod consoles;
pub(super) mod directory;
pub(super) mod harfanglab;
pub(super) mod import;
pub(super) mod journal;
pub(super) mod management;
pub(super) mod opencti;
mod other_connectors;
pub(super) mod pipeline;
pub(super) mod s3;
mod secrets;
pub(super) mod sending;
pub(super) mod syslog;
pub(super) mod webhook;

use super::{
    declare::Block,
    option::{OUR_SECTION, OptionSpec, Scope},
};

/// Every block, in the order of the reference.
pub(super) const BLOCKS: [Block; 20] = [
    opencti::OPENCTI,
    connector::CONNECTOR,
    sending::SENDING,
    s3::S3,
    connector_metrics::CONNECTOR_METRICS,
    other_connectors::OTHER_CONNECTORS,
    broker::BROKER,
    harfanglab::HARFANGLAB,
    harfanglab::ENRICHMENT,
    import::FILTER,
    import::IMPORT,
    webhook::ENDPOINT,
    webhook::WEBHOOK,
    webhook::ACCESS,
    syslog::SYSLOG,
    consoles::CONSOLE,
    journal::JOURNAL,
    management::MANAGEMENT,
    pipeline::PIPELINE,
    directory::DIRECTORY,
];

/// Returns every option.
pub(super) fn all() -> impl Iterator<Item = &'static OptionSpec> {
    BLOCKS.iter().flat_map(|block| block.options.iter().copied())
}

/// Returns the options of the service that an entry of `consoles:` may have, too.
pub(super) fn of_service_and_console() -> impl Iterator<Item = &'static OptionSpec> {
    all().filter(|option| option.section == OUR_SECTION && option.scope != Scope::Service)
}

/// Returns the options that an entry of `consoles:` may have, in the order in which they are shown.
pub(super) fn of_console() -> impl Iterator<Item = &'static OptionSpec> {
    [&consoles::CONSOLE_NAME, &consoles::CONSOLE_AUTHOR].into_iter().chain(of_service_and_console())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::option::{Kind, OUR_PREFIX, SECTIONS, Standing, ValueType};

    #[test]
    fn every_name_is_listed_once_and_our_keys_are_our_variables_in_lower_case() {
        let mut variables = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for option in all() {
            assert!(variables.insert(option.variable), "{} twice", option.variable);
            let Some(path) = option.path() else { continue };
            assert!(paths.insert(path.clone()), "{path} twice");
            assert!(SECTIONS.iter().any(|(section, _)| *section == option.section), "{path}");
            if option.section == OUR_SECTION {
                let expected = option.variable.trim_start_matches(OUR_PREFIX).to_lowercase();
                assert_eq!(option.key, expected);
            }
        }
    }

    #[test]
    fn a_secret_has_no_default_and_what_must_be_given_has_none_either() {
        for option in all() {
            let must_be_given = option.placeholder.is_some();
            if option.kind.is_secret() || must_be_given {
                assert_eq!(option.default, None, "{}", option.variable);
            }
            if option.kind == Kind::Secret && must_be_given {
                assert_eq!(option.placeholder, Some("ChangeMe"), "{}", option.variable);
            }
        }
    }

    #[test]
    fn bounds_are_bounds_and_every_default_keeps_to_them() {
        for option in all().filter(|option| option.standing == Standing::Used) {
            let Some(default) = option.default else { continue };
            let name = option.variable;
            match option.value_type {
                ValueType::Whole(_, _) | ValueType::Size(_, _, _) => {
                    assert!(option.whole::<u64>(default).is_ok(), "{name}");
                }
                ValueType::Length(_, _) => assert!(option.length(default).is_ok(), "{name}"),
                ValueType::Choice(names) => assert!(names.contains(&default), "{name}"),
                _ => {}
            }
        }
    }
}
