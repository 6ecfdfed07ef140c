//! Names that no option has: in our own section a fault that suggests the nearest one,
//! elsewhere a warning, since the Python connectors passed over them.

use std::collections::BTreeMap;

use super::{
    fault::Fault,
    file::{self, ConfigFile},
    nearest::nearest,
    option::{CONSOLES, OUR_PREFIX, OUR_SECTION, OptionSpec, SECTIONS},
    options,
};

/// Variables of ours that the project's own tests set.
const TEST_PREFIX: &str = "HARFANGLAB_INCIDENTS_TEST_";

/// Findings about the names.
#[derive(Debug, Default)]
pub(super) struct NameFindings {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
}

/// Looks through the names of the environment and of the file.
pub(super) fn check(environment: &BTreeMap<String, String>, file: &ConfigFile) -> NameFindings {
    let mut findings = NameFindings::default();
    check_environment(environment, &mut findings);
    check_file(file, &mut findings);
    check_consoles(file, &mut findings);
    findings
}

fn check_environment(environment: &BTreeMap<String, String>, findings: &mut NameFindings) {
    let known: Vec<String> = options::all().flat_map(variables).collect();
    for (name, value) in environment {
        let foreign = !name.starts_with(OUR_PREFIX) || name.starts_with(TEST_PREFIX);
        if foreign || known.contains(name) || is_service_link(name, value) {
            continue;
        }
        // What the names share says nothing of what was meant.
        let meant = nearest(
            &name[OUR_PREFIX.len()..],
            known.iter().filter_map(|known| known.strip_prefix(OUR_PREFIX)),
        );
        let meant = meant.map(|rest| format!("{OUR_PREFIX}{rest}"));
        findings.faults.push(unknown(name, meant.as_deref()));
    }
}

fn check_file(file: &ConfigFile, findings: &mut NameFindings) {
    for section in file.sections() {
        let known = SECTIONS.into_iter().map(|(name, _comment)| name);
        if !known.clone().any(|known| known == section) {
            let meant = nearest(section, known.chain([CONSOLES]));
            let warning = format!("config.yml: the section {section} is not known, and not read");
            if matches!(meant, Some(OUR_SECTION | CONSOLES)) {
                findings.faults.push(unknown(&format!("config.yml: section {section}"), meant));
            } else {
                findings.warnings.push(warning);
            }
            continue;
        }
        let known: Vec<String> =
            options::all().filter(|option| option.section == section).flat_map(keys).collect();
        for key in file.keys(section).filter(|key| !known.iter().any(|known| known == key)) {
            let meant = nearest(key, known.iter().map(String::as_str));
            let subject = format!("config.yml: {section}.{key}");
            if section == OUR_SECTION {
                findings.faults.push(unknown(&subject, meant));
            } else {
                let guess = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                findings.warnings.push(format!("{subject} is not known, and not read{guess}"));
            }
        }
    }
}

fn check_consoles(file: &ConfigFile, findings: &mut NameFindings) {
    let known: Vec<String> = options::of_console().flat_map(keys).collect();
    for (position, console) in file.consoles().iter().enumerate() {
        let name = file::console_name(position, console);
        for key in console.keys().filter(|key| !known.iter().any(|known| known == key)) {
            let subject = format!("config.yml: {CONSOLES}.{name}.{key}");
            let of_service =
                options::all().find(|option| option.section == OUR_SECTION && option.key == key);
            findings.faults.push(match of_service {
                Some(option) => Fault::about(
                    subject,
                    "is one for the whole service",
                    format!("set {OUR_SECTION}.{} instead", option.key),
                ),
                None => unknown(&subject, nearest(key, known.iter().map(String::as_str))),
            });
        }
    }
}

fn unknown(subject: &str, meant: Option<&str>) -> Fault {
    let remedy = match meant {
        Some(name) => format!("did you mean {name}?"),
        None => "remove it; `config reference` lists every name".to_owned(),
    };
    Fault::about(subject, "is not known", remedy)
}

fn variables(option: &'static OptionSpec) -> Vec<String> {
    let mut names = vec![option.variable.to_owned()];
    if option.kind.is_secret() {
        names.push(format!("{}_FILE", option.variable));
    }
    names
}

fn keys(option: &'static OptionSpec) -> Vec<String> {
    let mut names = vec![option.key.to_owned()];
    if option.kind.is_secret() {
        names.push(format!("{}_file", option.key));
    }
    names
}

/// Kubernetes tells every container of a namespace about its services: one named
/// `harfanglab-incidents…` puts `HARFANGLAB_INCIDENTS…_SERVICE_HOST`, `…_PORT` and
/// `…_PORT_8080_TCP_ADDR` into our environment, which nobody misspelt.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.starts_with(known))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.rsplit_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
        // `…_PORT_8080_TCP_PORT` ends in a second `_PORT`, which `rsplit_once` does not match.
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_gives_to_services_are_not_misspellings() {
        for (name, value) in [
            ("HARFANGLAB_INCIDENTS_SERVICE_HOST", "10.0.0.1"),
            ("HARFANGLAB_INCIDENTS_SERVICE_PORT", "8080"),
            ("HARFANGLAB_INCIDENTS_SERVICE_PORT_HTTP", "8080"),
            ("HARFANGLAB_INCIDENTS_PORT", "tcp://10.0.0.1:8080"),
            ("HARFANGLAB_INCIDENTS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("HARFANGLAB_INCIDENTS_PORT_8080_TCP_PORT", "8080"),
            ("HARFANGLAB_INCIDENTS_WEBHOOK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        assert!(!is_service_link("HARFANGLAB_INCIDENTS_PORT", "8080"));
        assert!(!is_service_link("HARFANGLAB_INCIDENTS_LISTEN_PORT_NUMBER", "8080"));
    }
}
