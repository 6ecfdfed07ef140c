//! The journal's file on disk: its one name, by which everybody locks and measures it, and whether that
//! still leads to the file that was opened. One that was removed or replaced goes on being written until
//! the process ends, and is gone then.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

use super::JournalError;

/// Longest wait for a disk that is asked about the file.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the path of `file` without symbolic links, also when the file is not there yet. Where that cannot
/// be told it is `file` itself, and opening it fails.
pub(super) fn real_path(file: &Path) -> PathBuf {
    match fs::canonicalize(file) {
        Ok(real) => return real,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return file.to_owned(),
        Err(_missing) => {}
    }
    let folder = Path::new(".").join(file.parent().unwrap_or(Path::new("")));
    match (fs::read_link(file), fs::canonicalize(&folder), file.file_name()) {
        (Ok(target), ..) => real_path(&folder.join(target)),
        (_, Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

/// A file by its path and by what it is.
#[derive(Debug, Clone)]
pub(super) struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
    names: u64,
    /// Held while the disk is asked: one that hangs keeps a single thread.
    looking: Arc<Mutex<()>>,
}

impl FileIdentity {
    /// Returns the identity of the file that is at `path` now.
    ///
    /// # Errors
    /// Fails when the file cannot be looked at.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        let (device, inode, names) = (found.dev(), found.ino(), found.nlink());
        Ok(Self { path: path.to_owned(), device, inode, names, looking: Arc::default() })
    }

    /// Checks that the file had a single name. The files that SQLite puts beside it go by its name, as does
    /// the lock, so that two processes that use two names destroy it.
    ///
    /// # Errors
    /// [`JournalError::Address`] with what to do.
    pub(super) fn check_single_name(&self) -> Result<(), JournalError> {
        if self.names <= 1 {
            return Ok(());
        }
        let (file, names) = (self.path.display(), self.names);
        Err(JournalError::Address(format!(
            "cannot open {file}: it has {names} names (hard links), by which two services could use it at \
             once; remove all but one of them, `find / -xdev -samefile {file}` lists them"
        )))
    }

    /// Checks that the path still leads to the same file, and holds up nobody else meanwhile; `None`: the
    /// disk does not answer.
    ///
    /// # Errors
    /// Says what happened to it and what to do about that.
    pub(super) async fn look(&self) -> Option<Result<(), String>> {
        let identity = self.clone();
        let looked = async {
            let turn = Arc::clone(&self.looking).lock_owned().await;
            let check = move || {
                let _turn = turn;
                identity.check()
            };
            spawn_blocking(check).await
        };
        timeout(LOOK_TIMEOUT, looked).await.ok()?.ok()
    }

    fn check(&self) -> Result<(), String> {
        let happened = match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => return Ok(()),
            Ok(_other) => "replaced by another one",
            Err(error) if is_missing(error.kind()) => "removed or moved away",
            // Says nothing about the file.
            Err(_error) => return Ok(()),
        };
        Err(format!(
            "the journal's file {} was {happened} while the service runs. The service still has the old \
             one open and delivers what waits in it: stop it when journal_events{{state=\"pending\"}} of \
             /metrics is 0, put the file that you want in place, together with those that begin with its \
             name, and start it again",
            self.path.display()
        ))
    }
}

fn is_missing(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
