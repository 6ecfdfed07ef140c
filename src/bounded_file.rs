//! Reads a file of secrets or certificates, bounded in size and time: its path may lead to a pipe, a
//! device or a file system that hangs.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Longest wait for the content: a pipe may have no writer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Name of the thread that reads.
const READER: &str = "bounded-file";

/// A thread's turn to read a file: one that hangs keeps a single thread, however often it is read.
struct Turn(PathBuf);

static READING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static TURN_ENDED: Condvar = Condvar::new();

impl Turn {
    /// Waits until nobody else reads `path`; `None`: not within `longest`.
    fn wait(path: PathBuf, longest: Duration) -> Option<Self> {
        let is_taken = |reading: &mut BTreeSet<PathBuf>| reading.contains(&path);
        let mut reading = READING.lock();
        TURN_ENDED.wait_while_for(&mut reading, is_taken, longest);
        reading.insert(path.clone()).then(|| Self(path))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        READING.lock().remove(&self.0);
        TURN_ENDED.notify_all();
    }
}

/// Returns the content of `path`, at most `max_bytes` of it, within `longest`.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] and [`io::ErrorKind::TimedOut`] beyond these bounds.
pub(crate) fn read(path: PathBuf, max_bytes: u64, longest: Duration) -> io::Result<Vec<u8>> {
    let read = move |path: &Path| {
        let mut content = Vec::new();
        File::open(path)?.take(max_bytes + 1).read_to_end(&mut content)?;
        if content.len() as u64 > max_bytes {
            let why = format!("it has more than {max_bytes} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(content)
    };
    let late = || {
        let why = format!("it could not be read within {} s", longest.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, why)
    };
    let began = Instant::now();
    let turn = Turn::wait(path, longest).ok_or_else(late)?;
    let (done, answer) = mpsc::channel();
    let reading = move || done.send(read(&turn.0));
    thread::Builder::new().name(READER.to_owned()).spawn(reading)?;
    let left = longest.saturating_sub(began.elapsed());
    answer.recv_timeout(left).unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    const MAX_BYTES: u64 = 64 << 10;

    #[test]
    fn neither_a_pipe_without_a_writer_nor_a_file_without_end_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let failure = |path: PathBuf, longest| read(path, MAX_BYTES, longest).unwrap_err().kind();
        for _time in 0..3 {
            let path = pipe.clone();
            assert_eq!(failure(path, Duration::from_millis(10)), io::ErrorKind::TimedOut);
        }
        let threads = fs::read_dir("/proc/self/task").unwrap();
        let names =
            threads.flatten().flat_map(|thread| fs::read_to_string(thread.path().join("comm")));
        assert!(
            names.filter(|name| name.trim_end() == READER).count() <= 1,
            "the others hang, too"
        );
        // Whoever hangs is done with the first writer; then it is read again.
        fs::write(&pipe, "nobody waits for this").unwrap();
        while READING.lock().contains(&pipe) {
            thread::yield_now();
        }
        let second = pipe.clone();
        let writer = thread::spawn(move || fs::write(second, "text").unwrap());
        assert_eq!(read(pipe, MAX_BYTES, READ_TIMEOUT).unwrap(), b"text");
        writer.join().unwrap();
        let endless = PathBuf::from("/dev/zero");
        assert_eq!(failure(endless, READ_TIMEOUT), io::ErrorKind::FileTooLarge);
    }
}
