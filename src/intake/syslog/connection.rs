//! One connection: reads a chunk, takes the whole frames in it, commits them, and only then reads on.
//! So a journal that waits makes the sender wait.
//!
//! A frame longer than a chunk needs one of the shared places for long frames before more of it is
//! read, so that the memory of all connections together is bounded.
//!
//! At a stop it reads on until the socket is empty, for a second at most: nobody else will have what the
//! sender has sent by then.

use std::{io, sync::Arc, time::Duration};

use actix_web::web::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed, timeout_at},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    framing::{Framed, Framer},
    messages::{GoOn, Read, Shared},
    refusal::Refusal,
};
use crate::{
    connections::{OpenConnection, TooManyConnections},
    intake::verification::Sender,
};

/// Bytes that are read at once, and that every connection may hold.
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest time from the first byte of a frame to its last.
const FRAME_TIME: Duration = Duration::from_secs(30);

/// Longest time for which a socket is read after the service was asked to stop, and silence after which
/// it counts as empty.
const DRAIN_TIME: Duration = Duration::from_secs(1);
const EMPTY_AFTER: Duration = Duration::from_millis(100);

/// A stream that tells how much of it was not read.
pub(super) trait Socket: AsyncRead + Unpin {
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The bounds of a connection.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) max_frame_bytes: usize,
    pub(super) idle_timeout: Duration,
    /// Places for frames longer than a chunk.
    pub(super) long_frames: Arc<Semaphore>,
}

/// One connection.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Limits,
    pub(super) sender: Sender,
    pub(super) open: OpenConnection,
    /// No more is to be read.
    pub(super) stop: CancellationToken,
}

/// The bytes that have come and not been taken yet.
struct Pending {
    framer: Framer,
    buffer: BytesMut,
    /// The time at which the frame that is not whole yet was begun.
    begun: Option<Instant>,
    long_frame: Option<OwnedSemaphorePermit>,
    /// Until when it is read after the service was asked to stop.
    drain_until: Option<Instant>,
}

/// The result of a reading.
enum Arrived {
    Bytes,
    /// The sender has ended, or we are to.
    End(Option<Refusal>),
}

impl Pending {
    /// Gives a long frame's place back with its memory, once nothing of the frame is left.
    fn release_long_frame(&mut self) {
        if self.buffer.len() < CHUNK_BYTES && self.long_frame.take().is_some() {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }
}

impl Connection {
    /// Reads until the sender ends, the service stops, or the stream cannot be followed.
    pub(super) async fn run(self, mut stream: impl Socket) {
        let mut pending = Pending {
            framer: Framer::new(self.limits.max_frame_bytes),
            buffer: BytesMut::new(),
            begun: None,
            long_frame: None,
            drain_until: None,
        };
        loop {
            let (frames, broken) = self.whole_frames(&mut pending);
            let go_on = self.take(&frames).await;
            let has_taken_some = !frames.is_empty();
            drop(frames);
            pending.release_long_frame();
            if go_on == GoOn::No {
                return;
            }
            if has_taken_some && pending.begun.is_some() {
                // Our waiting for the journal is not this sender's slowness.
                pending.begun = Some(Instant::now());
            }
            if let Some(refusal) = broken {
                return self.shared.refuse(self.sender.address, &refusal);
            }
            match self.read(&mut stream, &mut pending).await {
                Arrived::Bytes => {}
                Arrived::End(refusal) => {
                    if self.stop.is_cancelled() {
                        self.tell_what_is_left(stream.tcp(), &pending);
                    }
                    return self.end(pending, refusal).await;
                }
            }
        }
    }

    /// Every frame that is whole; and why there will be no further one.
    fn whole_frames(&self, pending: &mut Pending) -> (Vec<Bytes>, Option<Refusal>) {
        let mut frames = Vec::new();
        loop {
            let was_within = pending.framer.is_within_a_frame();
            let next = pending.framer.next(&mut pending.buffer);
            if was_within && !pending.framer.is_within_a_frame() {
                pending.begun = None;
            }
            match next {
                Ok(Framed::Whole(frame)) => {
                    frames.push(frame);
                    pending.begun = None;
                }
                // The time runs on while it is passed over.
                Ok(Framed::TooLong) => self.shared.refuse(self.sender.address, &Refusal::TooLong),
                Ok(Framed::NeedsMore) => break,
                Err(error) => return (frames, Some(error.into())),
            }
        }
        let is_within = !pending.buffer.is_empty() || pending.framer.is_within_a_frame();
        pending.begun =
            if is_within { pending.begun.or_else(|| Some(Instant::now())) } else { None };
        (frames, None)
    }

    /// Verifies, reads and commits frames.
    async fn take(&self, frames: &[Bytes]) -> GoOn {
        let Some(_charge) = self.shared.charge(frames).await else { return GoOn::No };
        let mut read = Read::default();
        let mut go_on = GoOn::Yes;
        for frame in frames {
            go_on = self.shared.take(self.sender, frame, &mut read);
            if go_on == GoOn::No {
                break;
            }
        }
        if read.verified > 0 {
            self.open.verified(self.sender.address);
        }
        let count = read.notifications.len();
        if self.shared.store(read.notifications).await.is_err() {
            error!(
                count,
                "the service ended before alerts that came by syslog could be stored; the next \
                 sweep finds them"
            );
            return GoOn::No;
        }
        go_on
    }

    /// Reads some more, within the bounds.
    async fn read(&self, stream: &mut impl Socket, pending: &mut Pending) -> Arrived {
        if pending.buffer.len() >= CHUNK_BYTES && pending.long_frame.is_none() {
            let place = Arc::clone(&self.limits.long_frames).acquire_owned();
            pending.long_frame = match self.until_stopped(place).await {
                Some(Ok(place)) => Some(place),
                Some(Err(_)) | None => return self.stopped(),
            };
            // Waiting for others is not this sender's slowness.
            pending.begun = Some(Instant::now());
        }
        pending.buffer.reserve(CHUNK_BYTES);
        let deadline = match pending.begun {
            Some(begun) => begun + FRAME_TIME,
            None => Instant::now() + self.limits.idle_timeout,
        };
        let reading = timeout_at(deadline, stream.read_buf(&mut pending.buffer));
        let read = match self.until_stopped(reading).await {
            None if self.stop.is_cancelled() => self.drain(stream, pending).await,
            read => read,
        };
        match read {
            None => self.stopped(),
            Some(Err(_elapsed)) if pending.begun.is_some() => Arrived::End(Some(Refusal::TooSlow)),
            Some(Err(_elapsed)) => Arrived::End(Some(Refusal::Idle)),
            Some(Ok(Ok(0) | Err(_))) => Arrived::End(None),
            Some(Ok(Ok(count))) => {
                metrics::counter!("syslog_bytes_total").increment(count as u64);
                Arrived::Bytes
            }
        }
    }

    /// Reads what the socket holds at a stop; `None` once it is empty, or the time for it is over.
    async fn drain(
        &self,
        stream: &mut impl Socket,
        pending: &mut Pending,
    ) -> Option<Result<io::Result<usize>, Elapsed>> {
        let now = Instant::now();
        let until = *pending.drain_until.get_or_insert(now + DRAIN_TIME);
        if now >= until {
            return None;
        }
        let reading = stream.read_buf(&mut pending.buffer);
        timeout_at(until.min(now + EMPTY_AFTER), reading).await.ok().map(Ok)
    }

    /// Counts what the sender has sent and nobody takes any more.
    fn tell_what_is_left(&self, socket: &TcpStream, pending: &Pending) {
        // A socket that cannot be asked is broken: nothing comes from it.
        let unread = rustix::io::ioctl_fionread(socket).unwrap_or(0);
        self.shared.standing.left(unread.saturating_add(pending.buffer.len() as u64));
    }

    async fn until_stopped<T>(&self, doing: impl Future<Output = T>) -> Option<T> {
        let doing = self.stop.run_until_cancelled(doing);
        self.open.unless_evicted(doing).await.ok().flatten()
    }

    fn stopped(&self) -> Arrived {
        let is_evicted = self.open.is_evicted() && !self.stop.is_cancelled();
        Arrived::End(is_evicted.then_some(TooManyConnections::Evicted.into()))
    }

    /// Takes the last line, which need not be ended, when the sender has ended the connection.
    async fn end(&self, mut pending: Pending, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            return self.shared.refuse(self.sender.address, &refusal);
        }
        if pending.begun.is_none() {
            return;
        }
        match pending.framer.last(&mut pending.buffer) {
            Some(last) if !self.stop.is_cancelled() => {
                self.take(&[last]).await;
            }
            _ => self.shared.refuse(self.sender.address, &Refusal::Cut),
        }
    }
}
