//! The one loader: defaults ← `config.yml` ← environment, checked as a whole.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use url::Url;

use super::{
    effective::Effective,
    fault::Faults,
    file::ConfigFile,
    file_parser, names,
    options::{
        directory::DirectorySettings, harfanglab::HarfangLabSettings, import::ImportSettings,
        management::HARFANGLAB_INCIDENTS_CONFIG,
    },
    reader::{FileState, Read, Reader},
    settings::{self, Platform, Settings},
    warnings,
};

/// Mode of the files that `demo` and tests have written: for their owner.
const EMBEDDED_MODE: u32 = 0o600;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every option in effect and where it came from, secrets masked.
    pub effective: Effective,
    /// Remarks that deserve attention but do not keep the service from starting.
    pub warnings: Vec<String>,
}

/// The part of a configuration that `convert` needs.
#[derive(Debug, Clone)]
pub struct ConversionSettings {
    /// `CONNECTOR_NAME`.
    pub author: String,
    /// Names, markings and scores of incidents.
    pub import: ImportSettings,
    /// `HARFANGLAB_INCIDENTS_URL`, when it is given.
    pub console_url: Option<Url>,
}

/// Finds `config.yml`: as the command line says, else as `HARFANGLAB_INCIDENTS_CONFIG` says,
/// else in `working_directory` if there is one. A file that was named is not looked for here, so
/// that its absence is a fault when it is read.
pub fn locate(
    flag: Option<&Path>,
    environment: &BTreeMap<String, String>,
    working_directory: &Path,
) -> Option<PathBuf> {
    let named = environment.get(HARFANGLAB_INCIDENTS_CONFIG.variable);
    let named = named.map(|path| path.trim()).filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.map(Path::to_owned).or(named).or_else(|| {
        let usual = working_directory.join("config.yml");
        usual.is_file().then_some(usual)
    })
}

/// Loads the configuration from `environment` (variables by name) and `file`; `now` is what
/// `P30D` in the start date is counted back from.
///
/// Besides `file` it reads the files that `…_FILE` name, and looks whether certificate files can
/// be read; it reaches nothing else.
pub fn load(
    environment: &BTreeMap<String, String>,
    file: Option<&Path>,
    now: DateTime<Utc>,
) -> Result<Loaded, Faults> {
    with_reader(environment, file, now, |reader| {
        let settings = Settings::read(reader, Platform::OpenCti)?;
        warnings::of(reader, &settings);
        Ok(settings)
    })
    .map(|(settings, effective, warnings)| Loaded { settings, effective, warnings })
}

/// Loads what an offline conversion takes: nothing is required, the same names are known.
pub fn load_for_conversion(
    environment: &BTreeMap<String, String>,
    file: Option<&Path>,
    now: DateTime<Utc>,
) -> Result<ConversionSettings, Faults> {
    let ((author, import, console_url), ..) =
        with_reader(environment, file, now, settings::read_for_conversion)?;
    Ok(ConversionSettings { author, import, console_url })
}

impl Settings {
    /// The defaults without a platform, for `demo` and tests: `journal_url` as `…_JOURNAL_URL`,
    /// bundles into `directory` and to no queue, `harfanglab` as the simulated console describes
    /// itself. Every listener asks the system for a free port, and the endpoint is closed until
    /// `webhook.secrets` has one.
    ///
    /// # Panics
    ///
    /// If the declared defaults are faulty, which a test rules out.
    pub fn embedded(
        journal_url: String,
        directory: PathBuf,
        harfanglab: HarfangLabSettings,
    ) -> Self {
        let environment = [
            ("CONNECTOR_ID", "embedded"),
            ("CONNECTOR_SEND_TO_QUEUE", "false"),
            ("HARFANGLAB_INCIDENTS_URL", harfanglab.url.as_str()),
            ("HARFANGLAB_INCIDENTS_TOKEN", "embedded"),
            ("HARFANGLAB_INCIDENTS_LISTEN", "127.0.0.1:0"),
            ("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0"),
        ];
        let environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (mut settings, ..) = with_reader(&environment, None, DateTime::UNIX_EPOCH, |reader| {
            Self::read(reader, Platform::None)
        })
        .expect("the declared defaults are valid, as a test shows");
        settings.journal.url = journal_url;
        settings.connector.directory =
            Some(DirectorySettings { path: directory, retention_days: 0, mode: EMBEDDED_MODE });
        settings.consoles[0].harfanglab = harfanglab;
        settings
    }
}

/// Reads with `read` and turns everything that was noted into one answer.
fn with_reader<T>(
    environment: &BTreeMap<String, String>,
    path: Option<&Path>,
    now: DateTime<Utc>,
    read: impl FnOnce(&mut Reader<'_>) -> Read<T>,
) -> Result<(T, Effective, Vec<String>), Faults> {
    let (file, file_fault) = match file_parser::read(path) {
        Ok(file) => (file, None),
        Err(fault) => (ConfigFile::default(), Some(fault)),
    };
    let file_state = if file_fault.is_some() { FileState::Unreadable } else { FileState::Read };
    let names = names::check(environment, &file);
    let mut reader = Reader::new(environment, &file, file_state, now);
    let settings = read(&mut reader);

    let mut faults: Vec<_> = file_fault.into_iter().collect();
    faults.append(&mut reader.faults);
    faults.extend(names.faults);
    let mut warnings = names.warnings;
    warnings.append(&mut reader.warnings);
    match settings {
        Ok(value) if faults.is_empty() => Ok((value, reader.effective, warnings)),
        _ => Err(Faults::new(faults)),
    }
}
