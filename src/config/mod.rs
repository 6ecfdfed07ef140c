//! Configuration: defaults ← `config.yml` ← environment, checked as a whole before anything starts.
//!
//! Lives here: the typed [`Settings`], the one loader ([`load`]), the table of options that loader,
//! `config` command and reference are held to, and the commented reference (`reference.yml`,
//! compiled in). Does not live here: command-line flags (`cli`), reaching anything (`cli::check`).
//!
//! How a value travels: `options` names it, `given` finds its text in the environment or in `file`,
//! `parse` understands it, `reader` notes its source or its fault, `assemble` puts it into
//! [`Settings`]. What is wrong becomes a [`Fault`]; all faults come back together.

mod assemble;
mod console;
mod effective;
mod exposure;
mod fault;
mod file;
mod given;
mod loader;
mod names;
mod options;
mod parse;
mod reader;
mod reference;
mod schema;
mod sending;
mod settings;

pub use self::{
    assemble::{
        STANDARD_WEBHOOKS_KEY, opencti_token, standard_webhooks_key, syslog_tokens, webhook_secrets,
    },
    console::{ConsoleSettings, ONLY_CONSOLE},
    effective::{Effective, EffectiveConsole, EffectiveValue, Source},
    exposure::Exposure,
    fault::{Fault, Faults},
    loader::{ConversionSettings, Loaded, load, load_for_conversion, locate},
    reference::REFERENCE,
    schema::schema,
    sending::{Approval, QueueProtocol, S3Settings, SendingSettings},
    settings::{
        ALERT_LEVELS, AccessSettings, AccountIdentity, AlertFilter, BrokerVerification,
        ConnectorMetricsSettings, ConnectorSettings, CustomProperties, DirectorySettings,
        EndpointTls, EnrichmentSettings, HarfangLabSettings, HmacEncoding, ImportSettings,
        IncidentNaming, JournalSettings, Marking, MqOverrides, OpenCtiSettings, PipelineSettings,
        RawAttachment, Settings, StartDate, SyslogSettings, TlsVerification, WebhookScheme,
        WebhookSettings,
    },
};

/// An ISO-8601 duration such as `PT2H` or `P7D`, for commands.
///
/// # Errors
/// Why it is none, in words that follow the text.
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
