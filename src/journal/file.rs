//! The journal's file on disk and those beside it: the one name, by which everybody locks and measures it,
//! and whether the names still lead to the files that were opened. One that was removed or replaced goes on
//! being written until the process ends, and is gone then.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::error::JournalError;
use crate::disk::Disk;

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

/// The journal's files by their paths and by what they are.
#[derive(Debug, Clone)]
pub(super) struct FileIdentity {
    file: Named,
    names: u64,
    /// Those that SQLite has beside it while it is open, its write-ahead log first.
    beside: Arc<OnceLock<[Named; 2]>>,
    disk: Disk,
}

#[derive(Debug, Clone)]
struct Named {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Lengths of the journal's files, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) file: u64,
    /// Of the write-ahead log; zero: it is not there.
    pub(super) log: u64,
}

/// A file is no longer the one that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// The journal's file; with what to do.
    File(String),
    /// One of those beside it; with what happened.
    Beside(String),
}

impl FileIdentity {
    /// Returns the identity of the file that is at `path` now.
    ///
    /// # Errors
    /// Fails when the file cannot be looked at.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let names = fs::metadata(path)?.nlink();
        let file = Named::at(path.to_owned())?;
        Ok(Self { file, names, beside: Arc::default(), disk: Disk::default() })
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
        let (file, names) = (self.file.path.display(), self.names);
        Err(JournalError::Address(format!(
            "cannot open {file}: it has {names} names (hard links), by which two services could use it at \
             once; remove all but one of them, `find / -xdev -samefile {file}` lists them"
        )))
    }

    /// Watches from now on that the files beside it stay these, too. SQLite removes them only with its last
    /// connection: there has to be one for as long.
    ///
    /// # Errors
    /// Fails when one of them is not there.
    pub(super) fn watch_beside(&self) -> io::Result<()> {
        let [log, index] =
            ["-wal", "-shm"].map(|suffix| Named::at(beside(&self.file.path, suffix)));
        let _already = self.beside.set([log?, index?]);
        Ok(())
    }

    /// Checks that the paths still lead to the same files, and holds up nobody else meanwhile; `None`: the
    /// disk does not answer, or with an error that says nothing about the files.
    pub(super) async fn look(&self) -> Option<Result<Lengths, Gone>> {
        let identity = self.clone();
        self.disk.ask(move || identity.check()).await.flatten()
    }

    /// Measures the files, as [`Self::look`] does.
    ///
    /// # Errors
    /// As those of [`Self::measure`]; [`io::ErrorKind::TimedOut`] when the disk does not answer.
    pub(super) async fn lengths(&self) -> io::Result<Lengths> {
        let identity = self.clone();
        let silent =
            || io::Error::new(io::ErrorKind::TimedOut, "the journal's disk does not answer");
        self.disk.ask(move || identity.measure()).await.ok_or_else(silent)?
    }

    /// Measures the files, as long as the disk takes.
    ///
    /// # Errors
    /// Fails when one of them cannot be looked at; a log that is not there is empty.
    pub(super) fn measure(&self) -> io::Result<Lengths> {
        let log = match fs::metadata(beside(&self.file.path, "-wal")) {
            Ok(log) => log.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Lengths { file: fs::metadata(&self.file.path)?.len(), log })
    }

    fn check(&self) -> Option<Result<Lengths, Gone>> {
        match self.check_names() {
            Ok(()) => self.measure().ok().map(Ok),
            Err(gone) => Some(Err(gone)),
        }
    }

    fn check_names(&self) -> Result<(), Gone> {
        self.file.check().map_err(|happened| {
            Gone::File(format!(
                "the journal's file {} was {happened} while the service runs. The service still has the \
                 old one open and delivers what waits in it: stop it when \
                 journal_events{{state=\"pending\"}} of /metrics is 0, put the file that you want in \
                 place, together with those that begin with its name, and start it again",
                self.file.path.display()
            ))
        })?;
        for beside in self.beside.get().into_iter().flatten() {
            beside.check().map_err(|happened| {
                let path = beside.path.display();
                Gone::Beside(format!("{path} was {happened} while the service runs"))
            })?;
        }
        Ok(())
    }
}

/// Returns the path of the file beside `file` whose name has this suffix.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

impl Named {
    fn at(path: PathBuf) -> io::Result<Self> {
        let found = fs::metadata(&path)?;
        Ok(Self { path, device: found.dev(), inode: found.ino() })
    }

    /// Checks that the path still leads to the same file.
    fn check(&self) -> Result<(), &'static str> {
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_other) => Err("replaced by another one"),
            Err(error) if is_missing(error.kind()) => Err("removed or moved away"),
            // Says nothing about the file.
            Err(_error) => Ok(()),
        }
    }
}

fn is_missing(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_that_is_not_there_is_empty_and_what_cannot_be_looked_at_has_no_length() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("journal.db");
        fs::write(&path, "content").unwrap();
        let identity = FileIdentity::at(&path).unwrap();
        assert_eq!(identity.measure().unwrap(), Lengths { file: 7, log: 0 });
        let missing = FileIdentity {
            file: Named { path: folder.path().join("missing"), ..identity.file.clone() },
            ..identity.clone()
        };
        assert_eq!(missing.measure().unwrap_err().kind(), io::ErrorKind::NotFound);
        let below = Named { path: path.join("below"), ..identity.file.clone() };
        let below_a_file = FileIdentity { file: below, ..identity };
        assert_eq!(below_a_file.measure().unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
