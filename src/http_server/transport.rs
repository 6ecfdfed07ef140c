//! The stream of a connection, plain or TLS. Hands on one request at a time: what a client sends behind a
//! request stays here, or with the system, until the answer has left.
//!
//! actix-http reads on while a request is being answered, and keeps every request that it finds: 128 KiB
//! of short ones become megabytes of parsed requests and of answers, on each connection of whoever
//! reads none of them.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_http::Extensions;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::server::TlsStream;

use super::exchange::{Exchange, Reading};
use crate::connections::OpenConnection;

/// Bytes that are read at a time while a head is on its way.
const READ_SIZE: usize = 4 << 10;
/// Bytes of the largest head.
pub(super) const HEAD_MAX: usize = 32 << 10;

/// The bytes.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream that hands on one request at a time.
pub(super) struct Held {
    transport: Transport,
    /// Read, and not handed on yet.
    kept: Vec<u8>,
    /// Bytes of `kept` that are known not to end a head.
    searched: usize,
    /// Set while the bytes since the last line feed are none, or a carriage return.
    is_line_empty: bool,
    open: Arc<OpenConnection>,
    exchange: Rc<Exchange>,
}

impl Held {
    pub(super) fn new(
        transport: Transport,
        open: Arc<OpenConnection>,
        exchange: Rc<Exchange>,
    ) -> Self {
        Self { transport, kept: Vec::new(), searched: 0, is_line_empty: true, open, exchange }
    }

    /// Makes the connection known to its requests.
    pub(super) fn hand_on(&self, extensions: &mut Extensions) {
        extensions.insert(Arc::clone(&self.open));
        extensions.insert(Rc::clone(&self.exchange));
    }

    /// Reads until a whole head is kept. Answers its size, or zero at the end of the stream.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if let Some(size) = self.end_of_head() {
                return Poll::Ready(Ok(size));
            }
            if self.kept.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
                // No method begins so: TLS, for one. Whoever parses it says so at once.
                return Poll::Ready(Ok(self.kept.len()));
            }
            if self.kept.len() >= HEAD_MAX {
                self.exchange.head_is_too_large();
                return Poll::Ready(Err(io::Error::other("the head of a request is too large")));
            }
            let mut bytes = [0; READ_SIZE];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.transport).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(0));
            }
            self.exchange.bytes_were_read(Instant::now());
            self.kept.extend_from_slice(read.filled());
        }
    }

    /// The size of the head that `kept` begins with, once it is whole. Empty lines before it are dropped,
    /// as they are by whoever parses it.
    fn end_of_head(&mut self) -> Option<usize> {
        if self.searched == 0 {
            let empty = self.kept.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.kept.drain(..empty);
            self.is_line_empty = false;
        }
        for (position, byte) in self.kept.iter().enumerate().skip(self.searched) {
            match byte {
                b'\n' if self.is_line_empty => {
                    self.searched = 0;
                    return Some(position + 1);
                }
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
        }
        self.searched = self.kept.len();
        None
    }

    /// Hands on up to `most` bytes, kept ones first; answers how many.
    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let most = most.min(buffer.remaining());
        if !self.kept.is_empty() {
            let size = most.min(self.kept.len());
            buffer.put_slice(&self.kept[..size]);
            self.kept.drain(..size);
            return Poll::Ready(Ok(size));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut part))?;
        let size = part.filled().len();
        buffer.advance(size);
        if size > 0 {
            self.exchange.bytes_were_read(Instant::now());
        }
        Poll::Ready(Ok(size))
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut reading = this.exchange.reading();
        if reading == Reading::Head {
            match ready!(this.poll_head(context))? {
                0 => return Poll::Ready(Ok(())),
                size => reading = this.exchange.head_is_here(size),
            }
        }
        let Reading::Bytes(most) = reading else {
            this.exchange.wait_to_read(context);
            return Poll::Pending;
        };
        let size = ready!(this.poll_bytes(context, buffer, most))?;
        this.exchange.bytes_were_handed_on(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, buffer)
    }

    /// Called by actix-http once everything that it had to write is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_flush(context))?;
        self.exchange.everything_left();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
