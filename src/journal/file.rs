//! The journal's file on disk: whether the path still leads to the file that was opened. One that was
//! removed or replaced goes on being written until the process ends, and is gone then.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A file by its path and by what it is.
#[derive(Debug, Clone)]
pub(super) struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Returns the identity of the file that is at `path` now.
    ///
    /// # Errors
    /// Fails when the file cannot be looked at.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Checks that the path still leads to the same file.
    ///
    /// # Errors
    /// Says what happened to it and what to do about that.
    pub(super) fn check(&self) -> Result<(), String> {
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
