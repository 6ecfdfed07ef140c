//! A look at SQLite's write-ahead log before it is opened: whether its last commit was written to
//! its end. SQLite leaves such an end out in silence, which is right after a power failure and
//! wrong to be silent about when the file was cut.
//!
//! The layout is that of "WAL-mode File Format" in SQLite's manual: a header of 32 bytes with the
//! page size and two salts, then frames of 24 bytes and a page each; a frame belongs to the log when
//! it has the header's salts, and ends a commit when its second field is not zero.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use crate::journal::file::beside;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The end of a log that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TornEnd {
    /// How much of the log is left out.
    pub(super) bytes: u64,
}

/// What is left out at the end of the log beside `database`; `None` when the log is whole or there
/// is none.
pub(super) fn torn_end(database: &Path) -> Option<TornEnd> {
    let log = File::open(beside(database, "-wal")).ok()?;
    let length = log.metadata().ok()?.len();
    // What cannot be read here, SQLite will not be able to read either, and says so.
    let committed = committed_bytes(BufReader::new(log)).ok()?;
    (committed.end > committed.last_commit)
        .then(|| TornEnd { bytes: length.min(committed.end) - committed.last_commit })
}

/// Whether the log beside `database` was removed: SQLite removes it together with its index (`-shm`)
/// when the last user closes the file in order, and leaves both otherwise.
pub(super) fn is_gone(database: &Path) -> bool {
    beside(database, "-shm").exists() && !beside(database, "-wal").exists()
}

/// Returns the length of a log of so many frames.
pub(super) fn bytes_of(frames: u64, page_bytes: u64) -> u64 {
    match frames {
        0 => 0,
        frames => HEADER_BYTES as u64 + frames * (FRAME_HEADER_BYTES as u64 + page_bytes),
    }
}

struct Committed {
    last_commit: u64,
    /// Where the frames of this log end; behind it are those of earlier rounds, which do not count.
    end: u64,
}

fn committed_bytes(mut log: impl Read + Seek) -> io::Result<Committed> {
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(&mut log, &mut header)?;
    if read < HEADER_BYTES {
        return Ok(Committed { last_commit: 0, end: read as u64 });
    }
    let page_bytes = u64::from(number(&header, 8));
    let salts = &header[16..24];
    let mut at = HEADER_BYTES as u64;
    let mut last_commit = at;
    loop {
        let mut frame = [0; FRAME_HEADER_BYTES];
        let read = read_up_to(&mut log, &mut frame)?;
        if read < FRAME_HEADER_BYTES {
            return Ok(Committed { last_commit, end: at + read as u64 });
        }
        if frame[8..16] != *salts {
            return Ok(Committed { last_commit, end: at });
        }
        let page = io::copy(&mut log.by_ref().take(page_bytes), &mut io::sink())?;
        at += FRAME_HEADER_BYTES as u64 + page;
        if page < page_bytes {
            return Ok(Committed { last_commit, end: at });
        }
        if number(&frame, 4) != 0 {
            last_commit = at;
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match source.read(&mut buffer[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}
