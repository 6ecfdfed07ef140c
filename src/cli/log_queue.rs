//! Standard error while the service runs: a bounded buffer, written by a thread of its own.
//!
//! A write to a pipe that is full waits for its reader, and a reader that hangs would stop every task
//! that logs. Here only the thread waits. Lines that find the buffer full are dropped; their number
//! takes their place in the log once it is read again.
//!
//! Not `tracing-appender`: it bounds lines instead of bytes, says nothing of lines whose write failed,
//! and when it ends prints to a standard stream, which may be the full pipe.

use std::{
    io::{self, Write},
    sync::OnceLock,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Bytes of lines that wait to be written; as many may be in the thread's hands.
const LIMIT_BYTES: usize = 2 << 20;
/// From one try to the next when a writer that does not wait is full.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for the reader at the end of the process.
const FLUSH_MAX: Duration = Duration::from_secs(3);

static STDERR: OnceLock<LogQueue> = OnceLock::new();

/// Lines on their way to a writer.
pub(super) struct LogQueue {
    state: Mutex<State>,
    changed: Condvar,
    limit_bytes: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines lost that the log does not tell of yet.
    dropped: u64,
    is_writing: bool,
}

/// Starts the thread that writes to stderr from now on; once a process. `notice` words how many lines
/// were dropped.
pub(super) fn start(
    notice: impl Fn(u64) -> String + Send + 'static,
) -> io::Result<&'static LogQueue> {
    let queue = STDERR.get_or_init(|| LogQueue::new(LIMIT_BYTES));
    let writing = move || queue.write_to(&mut io::stderr(), notice);
    thread::Builder::new().name("log".to_owned()).spawn(writing)?;
    Ok(queue)
}

/// The queue in front of stderr, where there is one.
pub(super) fn started() -> Option<&'static LogQueue> {
    STDERR.get()
}

/// Waits until everything is written, but not for ever on a reader that hangs.
pub(super) fn flush() {
    if let Some(queue) = started() {
        queue.flush(FLUSH_MAX);
    }
}

/// Flushes at the end of its scope, also of a panic.
pub(super) struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}

impl LogQueue {
    fn new(limit_bytes: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), limit_bytes }
    }

    /// Takes a line, or drops it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.waiting.len() + line.len() <= self.limit_bytes {
            state.waiting.extend_from_slice(line);
            self.changed.notify_all();
        } else {
            state.dropped += 1;
            drop(state);
            count(1);
        }
    }

    /// Writes whatever comes, for ever.
    fn write_to(&self, out: &mut impl Write, notice: impl Fn(u64) -> String) {
        loop {
            let (lines, dropped) = self.next();
            let mut written = write_whole(out, &lines);
            if dropped > 0 && written.is_ok() {
                written = write_whole(out, notice(dropped).as_bytes());
            }
            self.finish(&lines, dropped, &written.and_then(|()| out.flush()));
        }
    }

    fn next(&self) -> (Vec<u8>, u64) {
        let is_idle = |state: &mut State| state.waiting.is_empty();
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, is_idle);
        state.is_writing = true;
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.dropped))
    }

    /// Lines that could not be written are told of when the next ones can.
    fn finish(&self, lines: &[u8], dropped: u64, written: &io::Result<()>) {
        let mut state = self.state.lock();
        state.is_writing = false;
        self.changed.notify_all();
        if written.is_err() {
            let lost = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            state.dropped += dropped + lost as u64;
            drop(state);
            count(lost as u64);
        }
    }

    fn flush(&self, longest: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        self.changed.wait_while_for(&mut self.state.lock(), is_busy, longest);
    }
}

/// Writes all of `bytes`, also to a pipe that was inherited with `O_NONBLOCK` and is full.
fn write_whole(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

fn count(dropped: u64) {
    metrics::counter!("log_lines_dropped_total").increment(dropped);
}

/// One call writes one line.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes a chunk when the test asks for it, or fails.
    struct Pipe {
        begun: Sender<String>,
        answers: Receiver<io::Result<usize>>,
    }

    /// Takes the chunk whole.
    const WHOLE: io::Result<usize> = Ok(usize::MAX);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun
                .send(String::from_utf8_lossy(bytes).into_owned())
                .map_err(io::Error::other)?;
            self.answers.recv().map_err(io::Error::other)?.map(|taken| taken.min(bytes.len()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue of ten bytes; what its thread begins to write; the answers to that.
    fn queue() -> (&'static LogQueue, Receiver<String>, Sender<io::Result<usize>>) {
        let queue: &LogQueue = Box::leak(Box::new(LogQueue::new(10)));
        let (begun, begins) = channel();
        let (answer, answers) = channel();
        let mut pipe = Pipe { begun, answers };
        thread::spawn(move || queue.write_to(&mut pipe, |dropped| format!("{dropped} lost\n")));
        (queue, begins, answer)
    }

    #[test]
    fn a_reader_that_hangs_holds_up_nobody_and_is_told_how_many_lines_it_missed() {
        let (queue, begins, answer) = queue();
        queue.push(b"first\n");
        assert_eq!(begins.recv().unwrap(), "first\n");
        for line in ["2345\n", "7890\n", "lost\n", "lost\n"] {
            queue.push(line.as_bytes());
        }
        queue.flush(Duration::from_millis(1));
        answer.send(WHOLE).unwrap();
        for expected in ["2345\n7890\n", "2 lost\n"] {
            assert_eq!(begins.recv().unwrap(), expected);
            answer.send(WHOLE).unwrap();
        }
        queue.flush(Duration::MAX);
        queue.push(b"later\n");
        assert_eq!(begins.recv().unwrap(), "later\n");
    }

    #[test]
    fn lines_that_could_not_be_written_are_told_of_once_others_can() {
        let (queue, begins, answer) = queue();
        for _full_disk in 0..2 {
            queue.push(b"1\n");
            begins.recv().unwrap();
            answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
            queue.flush(Duration::MAX);
        }
        queue.push(b"3\n");
        for expected in ["3\n", "2 lost\n"] {
            assert_eq!(begins.recv().unwrap(), expected);
            answer.send(WHOLE).unwrap();
        }
        queue.flush(Duration::MAX);
    }

    #[test]
    fn a_pipe_that_is_full_and_does_not_wait_gets_the_rest_later() {
        let (queue, begins, answer) = queue();
        queue.push(b"12345678\n");
        for (expected, taken) in [
            ("12345678\n", Err(io::ErrorKind::WouldBlock.into())),
            ("12345678\n", Ok(4)),
            ("5678\n", Err(io::ErrorKind::Interrupted.into())),
            ("5678\n", WHOLE),
        ] {
            assert_eq!(begins.recv().unwrap(), expected);
            answer.send(taken).unwrap();
        }
        queue.flush(Duration::MAX);
        queue.push(b"later\n");
        assert_eq!(begins.recv().unwrap(), "later\n");
        answer.send(WHOLE).unwrap();
        queue.push(b"last\n");
        assert_eq!(begins.recv().unwrap(), "last\n", "nothing was dropped");
    }
}
