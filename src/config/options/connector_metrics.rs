//! Metrics under the names of Python connectors (`connector:`).

use crate::config::{
    declare::{Field, settings},
    option::{switch, text, whole},
    parse::Refusal,
    reader::{Read, Reader},
};

settings! { CONNECTOR_METRICS "":
    /// `CONNECTOR_METRICS_…`: where Python connectors serve their metrics, and what they call them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ConnectorMetricsSettings {
        /// Also serve metrics under the names of Python connectors, at `metrics_port` of every address and
        /// without a password, so that dashboards made for those go on working: `bundles_sent_total`,
        /// `records_sent_total`, `runs_total` (sweeps), `ping_api_total`, `ping_api_errors_total` and state
        /// (running while a sweep is under way). Not there: `errors_total` and `client_errors_total`, of which nothing
        /// says what a Python connector counts in them; look at `dead_letters_total` and `part_degraded`
        /// instead. All metrics of this service, under their own names, are always at `management_listen`,
        /// further down.
        also CONNECTOR_EXPOSE_METRICS: switch().default("false");
        /// The port, on every address; 0 takes a free one, which the log tells.
        port: u16 = CONNECTOR_METRICS_PORT: whole(0, 65_535).default("9095");
        /// The beginning of these names, an underscore behind it.
        also CONNECTOR_METRICS_NAMESPACE: text("letters, digits and underscores");
        /// The part between namespace and name, likewise.
        also CONNECTOR_METRICS_SUBSYSTEM: text("letters, digits and underscores");
        /// The beginning of every name: namespace and subsystem, each that is set with an underscore behind
        /// it.
        prefix: String = from prefix;
    }
}

/// Reads what is set of these metrics; `None` when they are not served.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Read<Option<ConnectorMetricsSettings>> {
    let is_on = bool::read(reader, &CONNECTOR_EXPOSE_METRICS);
    let settings = ConnectorMetricsSettings::read(reader);
    let (is_on, settings) = (is_on?, settings?);
    Ok(is_on.then_some(settings))
}

fn prefix(reader: &mut Reader<'_>) -> Read<String> {
    let namespace = reader.optional(&CONNECTOR_METRICS_NAMESPACE, metric_name);
    let subsystem = reader.optional(&CONNECTOR_METRICS_SUBSYSTEM, metric_name);
    let parts = [namespace?, subsystem?];
    // An empty one at the end puts an underscore behind the last.
    let parts: Vec<String> = parts.into_iter().flatten().chain([String::new()]).collect();
    Ok(parts.join("_"))
}

/// Parses what Prometheus takes as the beginning of a name.
fn metric_name(text: &str) -> Result<String, Refusal> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !text.chars().all(is_part) || text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Err("is no part of a metric's name: it may hold letters, digits and underscores, \
                    and not begin with a digit"
            .to_owned());
    }
    Ok(text.to_owned())
}
