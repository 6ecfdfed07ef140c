//! Configuration: defaults ← `config.yml` ← environment, checked as a whole before anything starts.
//!
//! Lives here: the options, each declared once in `options`, the typed [`Settings`] that they become, the
//! one loader ([`load`]), and the documents that are made of the declarations. Does not live here:
//! command-line flags (`cli`), reaching anything (`cli::check`).
//!
//! The way of a value: `options` declares it, `raw` finds its text in the environment or in `file`,
//! `parse` parses it, `reader` notes its source or its fault. A fault becomes a [`Fault`]; all faults come
//! back together.

mod declare;
mod effective;
mod exposure;
mod fault;
mod file;
mod file_parser;
mod loader;
mod names;
mod nearest;
mod option;
mod options;
mod parse;
mod raw;
mod reader;
mod reference;
mod schema;
mod settings;
mod warnings;
mod yaml;

pub use self::{
    effective::{Effective, EffectiveConsole, EffectiveValue, Source},
    exposure::Exposure,
    fault::{Fault, Faults},
    loader::{ConversionSettings, Loaded, load, load_for_conversion, locate},
    options::{
        broker::{BrokerVerification, MqOverrides},
        certificates::{EndpointTls, TlsVerification},
        connector::ConnectorSettings,
        connector_metrics::ConnectorMetricsSettings,
        consoles::{ConsoleSettings, ONLY_CONSOLE},
        directory::DirectorySettings,
        harfanglab::{EnrichmentSettings, HarfangLabSettings},
        import::{
            ALERT_LEVELS, AccountIdentity, AlertFilter, CustomProperties, ImportSettings,
            IncidentNaming, Marking, RawAttachment,
        },
        journal::JournalSettings,
        management::ManagementSettings,
        opencti::{OpenCtiSettings, opencti_token},
        pipeline::PipelineSettings,
        s3::S3Settings,
        sending::{Approval, QueueProtocol, SendingSettings},
        syslog::{SyslogSettings, syslog_tokens},
        webhook::{
            AccessSettings, EndpointSettings, HmacEncoding, STANDARD_WEBHOOKS_KEY, WebhookScheme,
            WebhookSettings, standard_webhooks_key, webhook_secrets,
        },
    },
    parse::StartDate,
    reference::{reference, table},
    schema::schema,
    settings::{ConsoleNames, Settings},
};

/// An ISO-8601 duration such as `PT2H` or `P7D`, for commands.
///
/// # Errors
/// The reason why it is none, in words that follow the text.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    parse::duration(text, std::time::Duration::ZERO, std::time::Duration::MAX)
}

/// A date, a date and time, or how long ago, as `HARFANGLAB_INCIDENTS_IMPORT_START_DATE` takes it.
///
/// # Errors
/// Says what was expected.
pub fn moment(
    text: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<chrono::DateTime<chrono::Utc>, String> {
    parse::start_date(text, now).map_err(|refusal| {
        format!(
            "`{text}` {refusal}; give a date such as 2026-01-31 or 2026-01-31T08:00:00Z, or how long \
             ago, such as P30D"
        )
    })
}
