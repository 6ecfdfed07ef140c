//! Requests and answers on one connection: which bytes of it may be read now, when the next request's
//! head is due, and whether there may be a next one.
//!
//! ```text
//! head ──▶ body, as far as it is asked for ──▶ nothing, until the answer has left ──▶ next head
//! ```
//!
//! Heads are timed here, and only after what has arrived was read: actix-http times the first one of a
//! connection, and answers 408 to a request that had arrived whole while the process stood still. Whoever
//! is too slow gets no answer, which a sender could take for that to its next request.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use actix_http::{HttpMessage as _, Payload, Request};
use actix_web::{
    dev::ServiceResponse,
    error::PayloadError,
    http::{ConnectionType, header},
    web::Bytes,
};
use futures_util::Stream;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{HEAD_TIMEOUT, KEEP_ALIVE};
use crate::connections::OpenConnection;

/// Bytes of a chunked body that are read at a time: where it ends is known only when they are parsed.
const CHUNKS_SIZE: usize = 4 << 10;

/// The state of a connection.
pub(super) struct Exchange {
    due: Cell<Due>,
    reading: Cell<Reading>,
    /// Set from the answer to a request until it has left.
    is_answered: Cell<bool>,
    /// Set while the rest of a chunked body that nobody wants is read.
    is_draining: Cell<bool>,
    is_head_too_large: Cell<bool>,
    reader: Cell<Option<Waker>>,
}

/// The part of the stream that may be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Reading {
    /// A head.
    #[default]
    Head,
    /// So many bytes, of a head that is here or of its body.
    Bytes(usize),
    /// Nothing.
    Nothing,
}

/// The time at which the next head is due.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// A request is being answered.
    Untimed,
    /// Nothing of the next head was read since the last answer. Some of it may have been read before,
    /// which is why there is a deadline.
    Idle { deadline: Instant },
    /// The first head is waited for, or the next one is on its way.
    Head { deadline: Instant },
}

impl Exchange {
    /// Makes the state of a connection that was opened at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: Cell::new(Due::Head { deadline: now + HEAD_TIMEOUT }),
            reading: Cell::default(),
            is_answered: Cell::default(),
            is_draining: Cell::default(),
            is_head_too_large: Cell::default(),
            reader: Cell::default(),
        }
    }

    pub(super) fn reading(&self) -> Reading {
        self.reading.get()
    }

    /// Notes that the client sent something.
    pub(super) fn bytes_were_read(&self, now: Instant) {
        if let Due::Idle { .. } = self.due.get() {
            self.due.set(Due::Head { deadline: now + HEAD_TIMEOUT });
        }
    }

    /// Lets a head of `size` bytes be read.
    pub(super) fn head_is_here(&self, size: usize) -> Reading {
        self.reading.set(Reading::Bytes(size));
        self.reading.get()
    }

    pub(super) fn head_is_too_large(&self) {
        self.is_head_too_large.set(true);
    }

    pub(super) fn ended_with_too_large_a_head(&self) -> bool {
        self.is_head_too_large.get()
    }

    pub(super) fn bytes_were_handed_on(&self, size: usize) {
        if let Reading::Bytes(left) = self.reading.get() {
            self.reading.set(match left.saturating_sub(size) {
                0 => Reading::Nothing,
                left => Reading::Bytes(left),
            });
        }
    }

    /// Wakes whoever reads once more may be read.
    pub(super) fn wait_to_read(&self, context: &Context<'_>) {
        self.reader.set(Some(context.waker().clone()));
        if self.is_draining.get() {
            // Only after what was read is parsed.
            self.let_read(Reading::Bytes(CHUNKS_SIZE));
        }
    }

    fn let_read(&self, reading: Reading) {
        self.reading.set(reading);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Lets the next head be read if an answer has left.
    pub(super) fn everything_left(&self) {
        let is_over = self.reading.get() == Reading::Nothing && !self.is_draining.get();
        if is_over && self.is_answered.take() {
            self.let_read(Reading::Head);
        }
    }

    fn request_begins(&self) {
        self.due.set(Due::Untimed);
        self.is_answered.set(false);
        self.is_draining.set(false);
    }

    fn request_ends(&self, now: Instant) {
        self.due.set(Due::Idle { deadline: now + KEEP_ALIVE + HEAD_TIMEOUT });
        self.is_answered.set(true);
    }

    /// Answers by when the next head has to be here; `None` while none is waited for.
    fn deadline(&self) -> Option<Instant> {
        match self.due.get() {
            Due::Untimed => None,
            Due::Idle { deadline } | Due::Head { deadline } => Some(deadline),
        }
    }

    /// Runs `serving` until it ends, or a head is overdue: `None`.
    pub(super) async fn unless_overdue<T>(&self, serving: impl Future<Output = T>) -> Option<T> {
        let mut serving = pin!(serving);
        let mut timer = pin!(sleep_until(Instant::now() + HEAD_TIMEOUT));
        let mut looked_again = None;
        loop {
            let ended = poll_fn(|context| {
                if let Poll::Ready(ended) = serving.as_mut().poll(context) {
                    return Poll::Ready(Some(ended));
                }
                // Looked at after each poll of the connection, since nothing else changes the state.
                let Some(deadline) = self.deadline() else { return Poll::Pending };
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                timer.as_mut().poll(context).map(|()| None)
            });
            let (ended, deadline) = (ended.await, self.deadline());
            if ended.is_some() || looked_again == deadline {
                return ended;
            }
            // The head may have arrived, and the runtime not have asked the system yet.
            looked_again = deadline;
            yield_now().await;
        }
    }
}

/// The rest of a chunked body, read as it is asked for.
struct Chunks {
    payload: Payload,
    exchange: Rc<Exchange>,
    has_ended: bool,
}

impl Stream for Chunks {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.payload).poll_next(context);
        if polled.is_pending() && self.exchange.reading.get() == Reading::Nothing {
            self.exchange.let_read(Reading::Bytes(CHUNKS_SIZE));
        }
        let next = ready!(polled);
        self.has_ended = !matches!(next, Some(Ok(_)));
        if self.has_ended {
            self.exchange.reading.set(Reading::Nothing);
        }
        Poll::Ready(next)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if !self.has_ended {
            self.exchange.is_draining.set(true);
            self.exchange.let_read(Reading::Bytes(CHUNKS_SIZE));
        }
    }
}

/// A body that ends after its length. Behind the header `Upgrade: websocket`, which some proxies pass on,
/// actix-http takes everything for the body that ever comes.
struct OfLength {
    payload: Payload,
    left: usize,
}

impl Stream for OfLength {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = ready!(Pin::new(&mut self.payload).poll_next(context));
        if let Some(Ok(bytes)) = &next {
            self.left = self.left.saturating_sub(bytes.len());
        }
        Poll::Ready(next)
    }
}

/// Lets the body of `request` be read. Answers how it ends.
fn admit_body(request: &mut Request, exchange: &Rc<Exchange>) -> Framing {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let payload = request.take_payload();
        let chunks = Chunks { payload, exchange: Rc::clone(exchange), has_ended: false };
        *request.payload() = Payload::Stream { payload: Box::pin(chunks) };
        return Framing::Chunks;
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let Some(length @ 1..) = length.and_then(|length| length.parse().ok()) else {
        return Framing::Length;
    };
    let is_upgrade = headers.contains_key(header::UPGRADE);
    exchange.let_read(Reading::Bytes(length));
    if is_upgrade {
        let sized = OfLength { payload: request.take_payload(), left: length };
        *request.payload() = Payload::Stream { payload: Box::pin(sized) };
    }
    Framing::Length
}

/// The mark at which a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Its length, which may be zero.
    Length,
    /// The last chunk, which only its parser finds.
    Chunks,
}

/// A request that is being served.
pub(super) struct Served {
    exchange: Option<Rc<Exchange>>,
    open: Option<Arc<OpenConnection>>,
    framing: Framing,
}

impl Served {
    /// Lets the body of `request` be read.
    pub(super) fn begin(request: &mut Request) -> Self {
        let exchange = request.conn_data::<Rc<Exchange>>().cloned();
        let open = request.conn_data::<Arc<OpenConnection>>().cloned();
        let framing = exchange.as_ref().map_or(Framing::Length, |exchange| {
            exchange.request_begins();
            admit_body(request, exchange)
        });
        Self { exchange, open, framing }
    }

    /// Answers what `serving` answers, times the head of the next request, and closes the connection
    /// after the answer unless a delivery on it has been verified; behind a chunked body in any case, since
    /// part of the next head may have been read with it.
    pub(super) async fn end_with<Body, Failure>(
        self,
        serving: impl Future<Output = Result<ServiceResponse<Body>, Failure>>,
    ) -> Result<ServiceResponse<Body>, Failure> {
        let mut answered = serving.await;
        if let (Some(open), Ok(response)) = (&self.open, &mut answered)
            && (!open.is_verified() || self.framing == Framing::Chunks)
        {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(exchange) = &self.exchange {
            exchange.request_ends(Instant::now());
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_head_is_due_soon_after_its_first_byte_however_many_follow() {
        let now = Instant::now();
        let exchange = Exchange::new(now);
        exchange.bytes_were_read(now + Duration::from_secs(1));
        assert_eq!(exchange.deadline(), Some(now + HEAD_TIMEOUT), "the first from the beginning");
        exchange.request_begins();
        exchange.request_ends(now);
        for seconds in 1..5 {
            exchange.bytes_were_read(now + Duration::from_secs(seconds));
        }
        assert_eq!(exchange.deadline(), Some(now + Duration::from_secs(1) + HEAD_TIMEOUT));
        exchange.request_begins();
        exchange.bytes_were_read(now);
        assert_eq!(exchange.deadline(), None, "its body is timed elsewhere");
    }

    #[test]
    fn half_a_head_that_came_with_the_request_before_does_not_keep_the_connection() {
        let now = Instant::now();
        let exchange = Exchange::new(now);
        exchange.request_begins();
        exchange.request_ends(now);
        assert_eq!(exchange.deadline(), Some(now + KEEP_ALIVE + HEAD_TIMEOUT));
    }

    #[test]
    fn the_next_head_is_read_only_once_an_answer_has_left() {
        let exchange = Exchange::new(Instant::now());
        exchange.head_is_here(40);
        exchange.bytes_were_handed_on(40);
        exchange.request_begins();
        exchange.everything_left();
        assert_eq!(exchange.reading.get(), Reading::Nothing, "no answer yet");
        exchange.request_ends(Instant::now());
        assert_eq!(exchange.reading.get(), Reading::Nothing);
        exchange.everything_left();
        assert_eq!(exchange.reading.get(), Reading::Head);
    }

    #[tokio::test]
    async fn a_connection_ends_when_a_head_is_overdue() {
        let exchange = Exchange::new(Instant::now() - HEAD_TIMEOUT);
        assert_eq!(exchange.unless_overdue(std::future::pending::<()>()).await, None);
        exchange.request_ends(Instant::now() - KEEP_ALIVE - HEAD_TIMEOUT);
        assert_eq!(exchange.unless_overdue(std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn a_head_that_has_arrived_is_read_however_late_we_are() {
        let exchange = Exchange::new(Instant::now() - HEAD_TIMEOUT);
        let serving = poll_fn(|_context| {
            exchange.request_begins();
            Poll::Ready(())
        });
        assert_eq!(exchange.unless_overdue(serving).await, Some(()));
    }
}
