//! The sink that writes files into a folder, one a bundle.
//!
//! A file is written under a temporary name, synced, renamed, and the folder synced, so that a
//! reader sees whole files only and a file that was answered `Ok` survives a power cut. Old files
//! are removed only if they are ours by name.
//!
//! Does not live here: what stands in a file and how it is called (`transfer`).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

use super::{
    registration::Connector,
    sink::{Delivery, DeliveryError, Sink},
    transfer::{self, Carrier, FileNames},
};
use crate::{
    clock::Clock,
    config::{ConnectorSettings, DirectorySettings},
};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
/// After this long nobody writes to a temporary file any more: its writer was killed.
const TEMPORARY_MAX: Duration = Duration::from_hours(1);

/// Writes bundles into a folder.
pub struct DirectorySink {
    folder: Arc<Folder>,
    settings: ConnectorSettings,
    connector: Option<Arc<Connector>>,
}

impl DirectorySink {
    /// Into the folder that `directory` names, which is made when it is missing. With a connector
    /// the files carry the id of its user; without (`demo`) none.
    pub fn new(
        directory: &DirectorySettings,
        settings: ConnectorSettings,
        connector: Option<Arc<Connector>>,
        clock: Clock,
    ) -> Self {
        let folder = Folder {
            path: directory.path.clone(),
            names: FileNames::new(&settings.name, clock.clone()),
            retention_days: directory.retention_days,
            mode: directory.mode,
            mode_refused: AtomicBool::new(false),
            clock,
        };
        Self { folder: Arc::new(folder), settings, connector }
    }

    async fn applicant(&self) -> Result<Option<String>, DeliveryError> {
        match &self.connector {
            None => Ok(None),
            Some(connector) => match connector.registration().await {
                Ok(registration) => Ok(registration.connector_user_id.clone()),
                Err(error) => Err(DeliveryError::Unavailable(error.to_string())),
            },
        }
    }
}

#[async_trait]
impl Sink for DirectorySink {
    fn name(&self) -> &'static str {
        "directory"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let applicant = match self.applicant().await {
            Ok(applicant) => applicant,
            Err(error) => return vec![Err(error); delivery.bundles.len()],
        };
        let contents: Vec<String> = delivery
            .bundles
            .iter()
            .map(|bundle| {
                let (settings, applicant) = (&self.settings, applicant.as_deref());
                transfer::content(Carrier::Directory, settings, bundle, applicant).to_string()
            })
            .collect();
        let folder = self.folder.clone();
        let (leases, senders) = (delivery.leases.clone(), delivery.senders.clone());
        let may_leave = move |position: usize| leases.holds(senders.get(position));
        let unavailable = |reason: String| DeliveryError::Unavailable(reason);
        match tokio::task::spawn_blocking(move || folder.write_all(&contents, may_leave)).await {
            Ok(results) => results
                .into_iter()
                .map(|result| match result {
                    Ok(Written::Whole) => Ok(()),
                    Ok(Written::Withdrawn) => Err(DeliveryError::LeaseLost),
                    Err(error) => Err(unavailable(self.folder.explain(&error))),
                })
                .collect(),
            Err(interrupted) => {
                vec![Err(unavailable(interrupted.to_string())); delivery.bundles.len()]
            }
        }
    }
}

struct Folder {
    path: PathBuf,
    names: FileNames,
    retention_days: u32,
    mode: u32,
    mode_refused: AtomicBool,
    clock: Clock,
}

/// The fate of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It is there.
    Whole,
    /// It was taken away before anybody could read it: its lease had ended.
    Withdrawn,
}

impl Folder {
    /// `may_leave` is asked of each content, by its position.
    fn write_all(
        &self,
        contents: &[String],
        may_leave: impl Fn(usize) -> bool,
    ) -> Vec<io::Result<Written>> {
        if let Err(error) = self.make() {
            return contents.iter().map(|_| Err(copy(&error))).collect();
        }
        if let Err(error) = self.remove_old() {
            tracing::warn!(%error, folder = %self.path.display(), "old files were not removed");
        }
        let writing = contents.iter().enumerate();
        let results: Vec<_> = writing
            .map(|(position, content)| self.write(content, || may_leave(position)))
            .collect();
        // Without it a renamed file may be gone after a power cut.
        match File::open(&self.path).and_then(|folder| folder.sync_all()) {
            Ok(()) => results,
            Err(error) => contents.iter().map(|_| Err(copy(&error))).collect(),
        }
    }

    /// Makes the folder when it is missing: who may read the files may enter it.
    fn make(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        let mode = 0o700 | self.mode | (self.mode & 0o444) >> 2;
        DirBuilder::new().recursive(true).mode(mode).create(&self.path)?;
        self.permit(&self.path, fs::set_permissions(&self.path, Permissions::from_mode(mode)));
        Ok(())
    }

    /// Tells once that a mode could not be set. What was made is never more open than it: only what
    /// the umask took away is missing.
    fn permit(&self, path: &Path, set: io::Result<()>) {
        if let Err(error) = set
            && !self.mode_refused.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %error,
                path = %path.display(),
                "the file system takes no mode (HARFANGLAB_INCIDENTS_DIRECTORY_MODE); its own stands"
            );
        }
    }

    /// The file leaves when it gets its name: `may_leave` is asked immediately before.
    fn write(&self, content: &str, may_leave: impl Fn() -> bool) -> io::Result<Written> {
        loop {
            let path = self.path.join(self.names.next());
            let temporary = path.with_extension("json.tmp");
            if path.exists() {
                continue;
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(self.mode);
            let mut file = match options.open(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            // The umask may have taken away what the reader needs.
            self.permit(&temporary, file.set_permissions(Permissions::from_mode(self.mode)));
            let written =
                file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
                    if !may_leave() {
                        return Ok(Written::Withdrawn);
                    }
                    fs::rename(&temporary, &path).map(|()| Written::Whole)
                });
            if !matches!(written, Ok(Written::Whole)) {
                // The write is what failed; a left-over is removed when it is an hour old.
                let _ = fs::remove_file(&temporary);
            }
            return written;
        }
    }

    fn remove_old(&self) -> io::Result<()> {
        let days = Duration::from_secs(u64::from(self.retention_days) * SECONDS_A_DAY);
        let now = SystemTime::from(self.clock.now());
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| self.is_ours(name)) else { continue };
            let age = match (name.strip_suffix(".tmp").is_some(), self.retention_days) {
                (true, _) => TEMPORARY_MAX,
                (false, 0) => continue,
                (false, _) => days,
            };
            if entry.metadata()?.modified()? < now - age {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// One of our files, or its temporary form.
    fn is_ours(&self, name: &str) -> bool {
        self.names.is_ours(name.strip_suffix(".tmp").unwrap_or(name))
    }

    fn explain(&self, error: &io::Error) -> String {
        format!("cannot write into {}: {error}", self.path.display())
    }
}

/// Another replica may have removed it meanwhile.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The same error once more, for each of the files it concerns.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

    use super::*;
    use crate::{config::SendingSettings, stix::Bundle};

    fn settings() -> ConnectorSettings {
        ConnectorSettings {
            id: "11111111-2222-4333-8444-555555555555".to_owned(),
            name: "Harfang Lab/EDR".to_owned(),
            scope: vec!["harfanglab".to_owned(), "edr".to_owned()],
            log_level: "error".to_owned(),
            json_logging: true,
            duration_period: Duration::from_mins(5),
            run_and_terminate: false,
            queue_threshold_mb: 500.0,
            send_to_queue: false,
            directory: None,
            sending: SendingSettings::default(),
        }
    }

    /// A sink into `path` at a moment that stands still.
    fn sink(path: &Path, retention_days: u32, now: &str) -> DirectorySink {
        let now = now.parse().unwrap();
        sink_of_mode(path, retention_days, 0o640, now)
    }

    fn sink_of_mode(
        path: &Path,
        retention_days: u32,
        mode: u32,
        now: DateTime<Utc>,
    ) -> DirectorySink {
        let directory = DirectorySettings { path: path.to_owned(), retention_days, mode };
        DirectorySink::new(&directory, settings(), None, Clock::from_fn(move || now))
    }

    fn delivery(count: usize) -> Delivery {
        let bundle = Arc::new(Bundle { id: "bundle--1".to_owned(), objects: Vec::new() });
        let (title, summary) = ("title".to_owned(), "summary".to_owned());
        Delivery { title, summary, bundles: vec![bundle; count], ..Delivery::default() }
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn each_bundle_is_a_whole_file_with_a_name_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("made/when/missing");
        let sink = sink(&path, 7, "2026-11-22T19:25:18.742491Z");
        assert_eq!(sink.deliver(&delivery(2)).await, [Ok(()), Ok(())]);
        assert_eq!(
            names(&path),
            [
                "harfang_lab_edr-20261122-192518-1795375518.742491.json",
                "harfang_lab_edr-20261122-192518-1795375518.742492.json",
            ]
        );
        let text = fs::read_to_string(path.join(&names(&path)[0])).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            file,
            json!({
                "bundle_type": "DIRECTORY_BUNDLE",
                "applicant_id": null,
                "connector": {
                    "id": "11111111-2222-4333-8444-555555555555",
                    "name": "Harfang Lab/EDR",
                    "type": "EXTERNAL_IMPORT",
                    "scope": "harfanglab, edr",
                    "auto": false,
                    "validate_before_import": false,
                },
                "entities_types": null,
                "bundle": {"type": "bundle", "id": "bundle--1", "objects": []},
                "update": false,
            })
        );
    }

    #[tokio::test]
    async fn files_and_a_folder_that_is_made_have_the_mode_whatever_the_umask() {
        let root = tempfile::tempdir().unwrap();
        let now = "2026-11-22T19:25:18Z".parse().unwrap();
        // Whatever umask this runs under, one of these has a bit that it takes away or leaves.
        for (mode, of_folder) in [(0o600, 0o700), (0o640, 0o750), (0o664, 0o775), (0o666, 0o777)] {
            let path = root.path().join(format!("{mode:o}"));
            let sink = sink_of_mode(&path, 0, mode, now);
            assert_eq!(sink.deliver(&delivery(1)).await, [Ok(())]);
            let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            let file = path.join(&names(&path)[0]);
            assert_eq!((mode_of(&file), mode_of(&path)), (mode, of_folder), "{mode:o}");
        }
    }

    #[tokio::test]
    async fn only_old_files_of_ours_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let ours = "harfang_lab_edr-20200101-000000-1577836800.000000.json";
        let interrupted = format!("{ours}.tmp");
        let foreign = "harfang_lab_edr-notes.json";
        for name in [ours, &interrupted, foreign] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        // Their age is that of the file, not of the name: by this clock they are a century old.
        let kept = sink(folder.path(), 0, "2126-01-01T00:00:00Z");
        assert_eq!(kept.deliver(&delivery(0)).await, []);
        assert_eq!(names(folder.path()), [ours, foreign], "zero days keeps every whole file");

        let cleaned = sink(folder.path(), 7, "2126-01-01T00:00:00Z");
        assert_eq!(cleaned.deliver(&delivery(0)).await, []);
        assert_eq!(names(folder.path()), [foreign]);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_a_reason_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let results = sink(&file, 7, "2026-11-22T19:25:18Z").deliver(&delivery(2)).await;
        assert_eq!(results.len(), 2);
        for result in results {
            assert!(
                matches!(result, Err(DeliveryError::Unavailable(text)) if text.contains("file"))
            );
        }
    }
}
