//! `connector:`: how this connector appears in OpenCTI, when it sweeps, and where bundles go.

use std::time::Duration;

use super::{
    directory::{self, DirectorySettings},
    sending::SendingSettings,
};
use crate::config::{
    declare::settings,
    option::{choice, length, list, positive, switch, text},
    parse::{self, Refusal},
};

settings! { CONNECTOR "":
    /// `connector:` / `CONNECTOR_*`.
    #[derive(Debug, Clone)]
    pub struct ConnectorSettings {
        /// An id no other connector has, a `UUIDv4`. Keep it: OpenCTI's queue and the connector's state hang
        /// on it.
        id: String = CONNECTOR_ID: text("an id that no other connector has: a UUIDv4")
            .required("ChangeMe").row("the connector's UUID"), by parse::token;
        /// Nothing else is supported.
        also CONNECTOR_TYPE: text("EXTERNAL_IMPORT").default("EXTERNAL_IMPORT")
            .only_default("this is an external import: set it to EXTERNAL_IMPORT or leave it out");
        /// Also the author of every object.
        name: String = CONNECTOR_NAME: text("a name of at least two characters")
            .default("HarfangLab Incidents"), by connector_name;
        /// Shown in OpenCTI.
        scope: Vec<String> = CONNECTOR_SCOPE: list("words separated by commas").default("harfanglab"),
            by |item| Ok(item.to_owned());
        /// trace, debug, info, warning or error. The libraries inside never speak below info, whatever is
        /// set here: below it they quote headers and URLs, which hold secrets.
        log_level: String = CONNECTOR_LOG_LEVEL:
            choice(&["trace", "debug", "info", "warning", "error"]).default("info"), by log_level;
        /// A JSON object a line on stderr; false for plain text.
        json_logging: bool = OPENCTI_JSON_LOGGING: switch().default("true");
        /// The time between two sweeps, which find what a push missed; 0 sweeps once and ends.
        duration_period: Duration = CONNECTOR_DURATION_PERIOD: length("PT0S", "P365D")
            .note("0 runs once").default("PT5M").row("time between two sweeps");
        /// Sweep once, deliver everything, and end.
        run_and_terminate: bool = CONNECTOR_RUN_AND_TERMINATE: switch().default("false")
            .row("one sweep, everything delivered, exit 0");
        /// Megabytes (10^6 bytes) in OpenCTI's queue above which nothing more is sent to it.
        queue_threshold_mb: f64 = CONNECTOR_QUEUE_THRESHOLD: positive().note("megabytes").default("500");
        /// Deliver to OpenCTI's queue.
        send_to_queue: bool = CONNECTOR_SEND_TO_QUEUE: switch().default("true");
        /// `CONNECTOR_SEND_TO_DIRECTORY…`; `None` when off.
        directory: Option<DirectorySettings> = from directory::read;
        /// Ways of bundles to OpenCTI besides its plain queue.
        sending: SendingSettings = from SendingSettings::read;
    }
}

impl ConnectorSettings {
    /// Returns whether the service sweeps once, delivers what it found, and ends.
    pub fn runs_once(&self) -> bool {
        self.run_and_terminate || self.duration_period.is_zero()
    }
}

/// OpenCTI refuses connectors whose name is blank or a single character.
pub(in crate::config) fn connector_name(text: &str) -> Result<String, Refusal> {
    if text.chars().count() < 2 {
        return Err("is shorter than two characters, which OpenCTI refuses".to_owned());
    }
    Ok(text.to_owned())
}

fn log_level(text: &str) -> Result<String, Refusal> {
    let levels = ["trace", "debug", "info", "warn", "warning", "error"];
    let names = ["trace", "debug", "info", "warn", "warn", "error"];
    parse::choice(text, &levels).map(|position| names[position].to_owned())
}
