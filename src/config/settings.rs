//! [`Settings`]: everything the service can be told, and the rules that tie several options together.
//!
//! Every option is read before any result is used, so that all faults are found in one pass. A function
//! whose reader noted a fault answers `FaultNoted`.

use url::Url;

use super::{
    option::{CONSOLES, OptionSpec, Standing},
    options::{
        self,
        broker::{self, MqOverrides},
        connector::{CONNECTOR_NAME, CONNECTOR_SEND_TO_QUEUE, ConnectorSettings, connector_name},
        connector_metrics::{self, ConnectorMetricsSettings},
        consoles::{self, ConsoleSettings},
        directory::CONNECTOR_SEND_TO_DIRECTORY,
        harfanglab::HARFANGLAB_INCIDENTS_URL,
        import::ImportSettings,
        journal::JournalSettings,
        management::{HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, ManagementSettings},
        opencti::OpenCtiSettings,
        pipeline::PipelineSettings,
        s3::CONNECTOR_SEND_TO_S3,
        syslog::{self, HARFANGLAB_INCIDENTS_SYSLOG_LISTEN, SyslogSettings},
        webhook::{EndpointSettings, HARFANGLAB_INCIDENTS_LISTEN},
    },
    parse,
    reader::{Read, Reader},
};

/// Everything the service can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `opencti:`; `None` only for `demo`, which has no platform.
    pub opencti: Option<OpenCtiSettings>,
    /// `connector:`.
    pub connector: ConnectorSettings,
    /// `mq:`: overrides of the broker connection that registration answers.
    pub mq: MqOverrides,
    /// The consoles; never none.
    pub consoles: Vec<ConsoleSettings>,
    /// Names of consoles in log, metrics and commands.
    pub console_names: ConsoleNames,
    /// The endpoint that HarfangLab posts to.
    pub endpoint: EndpointSettings,
    /// `…_SYSLOG_…`; `None`: nothing is listened to.
    pub syslog: Option<SyslogSettings>,
    /// The durable store.
    pub journal: JournalSettings,
    /// Concurrency and retries between journal and OpenCTI.
    pub pipeline: PipelineSettings,
    /// `…_MANAGEMENT_…`: status page, health and metrics.
    pub management: ManagementSettings,
    /// `CONNECTOR_EXPOSE_METRICS`: metrics under the names of Python connectors; `None`: off.
    pub connector_metrics: Option<ConnectorMetricsSettings>,
}

/// Says if consoles are told apart by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleNames {
    /// `consoles:` lists them, be it one.
    Shown,
    /// There is one, of the service's own options.
    Hidden,
}

/// Says if there is a platform to deliver to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// The service delivers to OpenCTI.
    OpenCti,
    /// There is none (`demo`): `opencti:` is not read.
    None,
}

impl Settings {
    /// Reads everything.
    pub(super) fn read(reader: &mut Reader<'_>, platform: Platform) -> Read<Self> {
        let opencti = match platform {
            Platform::OpenCti => OpenCtiSettings::read(reader).map(Some),
            Platform::None => Ok(None),
        };
        let connector = ConnectorSettings::read(reader);
        let mq = broker::read(reader);
        let consoles = consoles::read(reader);
        let endpoint = EndpointSettings::read(reader);
        let syslog = syslog::read(reader);
        let journal = JournalSettings::read(reader);
        let pipeline = PipelineSettings::read(reader);
        let management = ManagementSettings::read(reader);
        let connector_metrics = connector_metrics::read(reader);
        for option in options::all().filter(|option| option.standing != Standing::Used) {
            reader.hold_to_default(option);
        }
        consoles::check_given_for_all(reader, options::of_service_and_console());
        if platform == Platform::OpenCti {
            check_sinks(reader);
        }
        check_addresses(reader);
        check_syslog_of_several(reader, &syslog, &consoles);
        let console_names = if reader.file().consoles().is_empty() {
            ConsoleNames::Hidden
        } else {
            ConsoleNames::Shown
        };
        Ok(Self {
            opencti: opencti?,
            connector: connector?,
            mq: mq?,
            consoles: consoles?,
            console_names,
            endpoint: endpoint?,
            syslog: syslog?,
            journal: journal?,
            pipeline: pipeline?,
            management: management?,
            connector_metrics: connector_metrics?,
        })
    }

    /// Lists the ways on which alerts of a console come besides its posts, in words.
    pub fn roads_besides_posts(&self, console: &ConsoleSettings) -> &'static str {
        match (self.syslog.is_some(), console.elastic_pull) {
            (true, true) => "syslog, the Elastic connector's queue and the sweep",
            (true, false) => "syslog and the sweep",
            (false, true) => "the Elastic connector's queue and the sweep",
            (false, false) => "the sweep",
        }
    }

    /// Returns whether consoles have to be told apart.
    pub fn has_several_consoles(&self) -> bool {
        self.console_names == ConsoleNames::Shown
    }
}

/// Reads what `convert` needs: it runs offline, so nothing that is reached is required.
pub(super) fn read_for_conversion(
    reader: &mut Reader<'_>,
) -> Read<(String, ImportSettings, Option<Url>)> {
    let author = reader.required(&CONNECTOR_NAME, connector_name);
    let import = ImportSettings::read(reader);
    let console_url = reader.optional(&HARFANGLAB_INCIDENTS_URL, parse::base_url);
    Ok((author?, import?, console_url?))
}

/// A message of syslog does not say which console it is from.
fn check_syslog_of_several(
    reader: &mut Reader<'_>,
    syslog: &Read<Option<SyslogSettings>>,
    consoles: &Read<Vec<ConsoleSettings>>,
) {
    if matches!((syslog, consoles), (Ok(Some(_)), Ok(consoles)) if consoles.len() > 1) {
        reader.fault(
            &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN,
            format!("is given, but `{CONSOLES}:` lists several, and no message says whose it is"),
            "leave it out and take pushes by the webhook or `elastic_pull:`, or give the console that \
             speaks syslog a service of its own",
        );
    }
}

// The two checks below look at the values in effect instead of at the settings, which are not
// there as soon as anything else is faulty: all faults are told at once.

fn check_sinks(reader: &mut Reader<'_>) {
    let is_off = |option: &OptionSpec| {
        let value = reader.effective.get(option.variable).and_then(|value| value.value.as_deref());
        value.is_some_and(|text| parse::boolean(text) == Ok(false))
    };
    let sinks = [&CONNECTOR_SEND_TO_QUEUE, &CONNECTOR_SEND_TO_DIRECTORY, &CONNECTOR_SEND_TO_S3];
    if sinks.into_iter().all(is_off) {
        reader.fault(
            &CONNECTOR_SEND_TO_QUEUE,
            "is off, and so are CONNECTOR_SEND_TO_DIRECTORY and CONNECTOR_SEND_TO_S3, so that \
             nothing would be delivered",
            "set one of the three to true",
        );
    }
}

fn check_addresses(reader: &mut Reader<'_>) {
    let address = |option: &OptionSpec| {
        let value = reader.effective.get(option.variable).and_then(|value| value.value.as_deref());
        value.and_then(|text| parse::listen_address(text).ok())
    };
    let listeners = [
        &HARFANGLAB_INCIDENTS_LISTEN,
        &HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN,
        &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN,
    ];
    // Port 0 asks the system for a free port each.
    let addresses = listeners.map(|option| address(option).filter(|address| address.port() != 0));
    for (at, option) in listeners.iter().enumerate().skip(1) {
        let Some(shared) = addresses[at] else { continue };
        if let Some(first) = addresses[..at].iter().position(|other| *other == Some(shared)) {
            reader.fault(
                option,
                format!("is {shared}, as is {}", listeners[first].variable),
                "give the two different ports",
            );
        }
    }
}
