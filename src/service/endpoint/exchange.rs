//! Requests and answers on one connection: when the next request's head is due, and whether there
//! may be a next one.
//!
//! actix-http times the head of a connection's first request only, so the later ones are timed here.

use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
};
use tokio::time::{Instant, sleep_until};

use super::{HEAD_TIMEOUT, KEEP_ALIVE, OpenConnection};

/// The state of a connection between one request and the next.
#[derive(Debug, Default)]
pub(super) struct Exchange(Cell<State>);

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// The first head is on its way, or a request is being answered.
    #[default]
    Untimed,
    /// Nothing of the next head was read since the last answer. Some of it may have been read before,
    /// which is why there is a deadline.
    Idle { deadline: Instant },
    /// The next head is on its way.
    Head { deadline: Instant },
}

impl Exchange {
    /// Notes that the client sent something.
    pub(super) fn bytes_were_read(&self, now: Instant) {
        if let State::Idle { .. } = self.0.get() {
            self.0.set(State::Head { deadline: now + HEAD_TIMEOUT });
        }
    }

    fn request_begins(&self) {
        self.0.set(State::Untimed);
    }

    fn request_ends(&self, now: Instant) {
        self.0.set(State::Idle { deadline: now + KEEP_ALIVE + HEAD_TIMEOUT });
    }

    /// By when the next head has to be here; `None` while none is waited for.
    fn deadline(&self) -> Option<Instant> {
        match self.0.get() {
            State::Untimed => None,
            State::Idle { deadline } | State::Head { deadline } => Some(deadline),
        }
    }

    /// Runs `serving` until it ends or a head is overdue.
    pub(super) async fn unless_overdue(&self, serving: impl Future) {
        let mut serving = pin!(serving);
        let mut timer = pin!(sleep_until(Instant::now() + KEEP_ALIVE + HEAD_TIMEOUT));
        poll_fn(|context| {
            if serving.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            // Looked at after each poll of the connection, since nothing else changes the state.
            let Some(deadline) = self.deadline() else { return Poll::Pending };
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
}

/// Times the head of the next request, and closes the connection after the answer unless a delivery
/// on it has been verified.
pub(super) async fn around_a_request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let exchange = request.conn_data::<Rc<Exchange>>().cloned();
    let open = request.conn_data::<Arc<OpenConnection>>().cloned();
    if let Some(exchange) = &exchange {
        exchange.request_begins();
    }
    let mut answered = next.call(request).await;
    if let (Some(open), Ok(response)) = (&open, &mut answered)
        && !open.is_verified()
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if let Some(exchange) = &exchange {
        exchange.request_ends(Instant::now());
    }
    answered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_head_is_due_soon_after_its_first_byte_however_many_follow() {
        let (exchange, now) = (Exchange::default(), Instant::now());
        exchange.bytes_were_read(now);
        assert_eq!(exchange.deadline(), None, "the first head is timed elsewhere");
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
        let (exchange, now) = (Exchange::default(), Instant::now());
        exchange.request_begins();
        exchange.bytes_were_read(now);
        exchange.request_ends(now);
        assert_eq!(exchange.deadline(), Some(now + KEEP_ALIVE + HEAD_TIMEOUT));
    }

    #[tokio::test]
    async fn a_connection_ends_when_a_head_is_overdue() {
        let exchange = Exchange::default();
        exchange.request_ends(Instant::now() - KEEP_ALIVE - HEAD_TIMEOUT);
        exchange.unless_overdue(std::future::pending::<()>()).await;
    }
}
