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
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
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
    time::{Instant, sleep_until, timeout},
};

use super::{HEAD_TIMEOUT, KEEP_ALIVE};
use crate::connections::OpenConnection;

/// Bytes of a body of known length that are read at a time.
const PART_SIZE: usize = 16 << 10;
/// Bytes of a chunked body that are read at a time: where it ends is known only when they are parsed.
const CHUNKS_SIZE: usize = 4 << 10;
/// The most of a body that is read only to be forgotten, and the longest time that is waited for it.
const DISCARDED_MAX: usize = 256 << 10;
const DISCARDED_TIME: Duration = Duration::from_secs(1);

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

/// The body of a request, read as it is asked for: what nobody asks for takes no memory here.
struct Body {
    payload: Payload,
    exchange: Rc<Exchange>,
    /// Bytes that were not let in yet; `None` where only the last chunk tells the end.
    to_read: Option<usize>,
    /// Bytes until its end, where its length is known. Behind the header `Upgrade: websocket`, which some
    /// proxies pass on, actix-http takes everything for the body that ever comes.
    left: Option<usize>,
    has_ended: bool,
}

impl Body {
    /// Takes the body of `request`; `None` when it has none.
    fn of(request: &mut Request, exchange: &Rc<Exchange>) -> Option<Self> {
        let headers = request.headers();
        let length = if headers.contains_key(header::TRANSFER_ENCODING) {
            None
        } else {
            let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
            if length == 0 {
                return None;
            }
            Some(length)
        };
        let payload = request.take_payload();
        let exchange = Rc::clone(exchange);
        Some(Self { payload, exchange, to_read: length, left: length, has_ended: false })
    }

    fn is_over(&self) -> bool {
        self.has_ended || self.left == Some(0)
    }

    fn let_more_be_read(&mut self) {
        let size = self.to_read.map_or(CHUNKS_SIZE, |to_read| to_read.min(PART_SIZE));
        if size > 0 && self.exchange.reading.get() == Reading::Nothing {
            self.to_read = self.to_read.map(|to_read| to_read - size);
            self.exchange.let_read(Reading::Bytes(size));
        }
    }

    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.is_over() {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.payload).poll_next(context);
        if polled.is_pending() {
            self.let_more_be_read();
        }
        let next = ready!(polled);
        match &next {
            Some(Ok(bytes)) => self.left = self.left.map(|left| left.saturating_sub(bytes.len())),
            Some(Err(_)) | None => self.has_ended = true,
        }
        if self.has_ended && self.left.is_none() {
            self.exchange.reading.set(Reading::Nothing);
        }
        Poll::Ready(next)
    }
}

impl Drop for Body {
    /// Has what is left thrown away as it comes, and never taken for the next head.
    fn drop(&mut self) {
        if !self.is_over() {
            self.exchange.is_draining.set(true);
            self.exchange.let_read(Reading::Bytes(CHUNKS_SIZE));
        }
    }
}

/// A body as whoever serves its request reads it.
struct SharedBody(Rc<RefCell<Body>>);

impl Stream for SharedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_part(context)
    }
}

/// Reads what was left of a body, up to a bound: the system takes back an answer that the client has not
/// read yet when a connection is closed with something of the body unread.
async fn discard(body: &RefCell<Body>) {
    let mut size = 0;
    while size < DISCARDED_MAX {
        match poll_fn(|context| body.borrow_mut().poll_part(context)).await {
            Some(Ok(bytes)) => size += bytes.len(),
            Some(Err(_)) | None => return,
        }
    }
}

/// A request that is being served.
pub(super) struct Served {
    exchange: Option<Rc<Exchange>>,
    open: Option<Arc<OpenConnection>>,
    body: Option<Rc<RefCell<Body>>>,
}

impl Served {
    /// Lets the body of `request` be read.
    pub(super) fn begin(request: &mut Request) -> Self {
        let exchange = request.conn_data::<Rc<Exchange>>().cloned();
        let open = request.conn_data::<Arc<OpenConnection>>().cloned();
        let body = exchange.as_ref().and_then(|exchange| {
            exchange.request_begins();
            Body::of(request, exchange)
        });
        let body = body.map(|body| Rc::new(RefCell::new(body)));
        if let Some(body) = &body {
            let shared = SharedBody(Rc::clone(body));
            *request.payload() = Payload::Stream { payload: Box::pin(shared) };
        }
        Self { exchange, open, body }
    }

    /// Answers what `serving` answers, times the head of the next request, and closes the connection
    /// after the answer unless a delivery on it has been verified; behind a chunked body in any case, since
    /// part of the next head may have been read with it.
    pub(super) async fn end_with<Answer, Failure>(
        self,
        serving: impl Future<Output = Result<ServiceResponse<Answer>, Failure>>,
    ) -> Result<ServiceResponse<Answer>, Failure> {
        let mut answered = serving.await;
        let is_chunked = self.body.as_ref().is_some_and(|body| body.borrow().left.is_none());
        if let Some(body) = &self.body {
            let _in_time = timeout(DISCARDED_TIME, discard(body)).await;
        }
        if let (Some(open), Ok(response)) = (&self.open, &mut answered)
            && (!open.is_verified() || is_chunked)
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
