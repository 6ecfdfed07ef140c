//! The bytes of a delivery: read whole within the bound, and, once verified, decompressed within
//! the same bound.
//!
//! Does not live here: what the bytes say (`decode`), whether they may be believed
//! (`verification`, which sees them as they were sent).

use std::{io::Read, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// Bytes decompressed at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Longest time a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory for all bodies together, and how many of the largest must fit.
const ROOM_BYTES: usize = 64 << 20;
const BODIES_AT_LEAST: usize = 4;
/// What room is counted in.
const UNIT_BYTES: usize = 1024;

/// How the bytes of a body are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// What all bodies together may take of the memory, in units of [`UNIT_BYTES`].
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for several bodies of `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        let bytes = ROOM_BYTES.max(max_bytes.saturating_mul(BODIES_AT_LEAST));
        Self(Arc::new(Semaphore::new((bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS))))
    }

    /// Takes room for `bytes` more; at the bound the sender is asked to come back.
    fn take(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Refusal> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_full| {
            let error = "too much is being received at once; try again shortly";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
        })?;
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}

/// A body with the room that it takes.
pub(super) struct Body {
    pub(super) bytes: web::Bytes,
    held: Option<OwnedSemaphorePermit>,
}

/// Reads the whole body; at the bound it stops reading, whether the length was announced or not,
/// and so it does when the sender takes too long.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    max_bytes: usize,
    room: &Room,
) -> Result<Body, Refusal> {
    let reading = read_all(request, payload, max_bytes, room);
    tokio::time::timeout(READ_TIMEOUT, reading).await.unwrap_or_else(|_elapsed| {
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))
    })
}

async fn read_all(
    request: &HttpRequest,
    mut payload: web::Payload,
    max_bytes: usize,
    room: &Room,
) -> Result<Body, Refusal> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(Refusal::too_large());
    }
    let mut held = None;
    // What is announced may never come.
    let mut body = web::BytesMut::with_capacity(announced.unwrap_or(0).min(CHUNK_BYTES));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_cut| {
            Refusal::new(StatusCode::BAD_REQUEST, "the body ended before its length")
        })?;
        if body.len() + chunk.len() > max_bytes {
            return Err(Refusal::too_large());
        }
        room.take(&mut held, chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: body.freeze(), held })
}

/// What the headers say about the body: JSON, as it is or by gzip.
pub(super) fn encoding(request: &HttpRequest) -> Result<Encoding, Refusal> {
    let unsupported = |error| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let media_type = text(header::CONTENT_TYPE).unwrap_or("application/json");
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/x-ndjson", "application/ndjson"];
    if !known.contains(&essence.as_str()) {
        return Err(unsupported("send application/json"));
    }
    let is_once = request.headers().get_all(header::CONTENT_ENCODING).count() <= 1;
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("identity").to_ascii_lowercase();
    match encoding.trim() {
        "identity" if is_once => Ok(Encoding::Identity),
        "gzip" | "x-gzip" if is_once => Ok(Encoding::Gzip),
        _ => Err(unsupported("send the body as it is, or with Content-Encoding: gzip")),
    }
}

/// The body as it was before it was encoded, at most `max_bytes` long.
pub(super) async fn decoded(
    mut body: Body,
    encoding: Encoding,
    max_bytes: usize,
    room: &Room,
) -> Result<Body, Refusal> {
    match encoding {
        Encoding::Identity => Ok(body),
        // Megabytes take milliseconds, in which this thread would answer nobody else.
        Encoding::Gzip => {
            room.take(&mut body.held, max_bytes)?;
            let Body { bytes, held } = body;
            let unpacked = web::block(move || gunzip(&bytes, max_bytes)).await;
            let bytes = unpacked.unwrap_or_else(|_stopping| {
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not stored; try again shortly"))
            })?;
            Ok(Body { bytes, held })
        }
    }
}

/// Decompresses chunk by chunk and stops at the bound, however much would follow.
fn gunzip(body: &[u8], max_bytes: usize) -> Result<web::Bytes, Refusal> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut whole = web::BytesMut::new();
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let length = decoder.read(&mut chunk).map_err(|_broken| {
            Refusal::new(StatusCode::BAD_REQUEST, "the body is not whole gzip")
        })?;
        if length == 0 {
            return Ok(whole.freeze());
        }
        if whole.len() + length > max_bytes {
            return Err(Refusal::too_large());
        }
        whole.extend_from_slice(&chunk[..length]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn status(body: &[u8], max_bytes: usize) -> Option<StatusCode> {
        gunzip(body, max_bytes).err().map(|refusal| refusal.answer().status())
    }

    #[test]
    fn gzip_is_taken_up_to_the_bound_and_in_several_members() {
        let text = b"{}".repeat(50_000);
        assert_eq!(gunzip(&gzip(&text), text.len()).unwrap(), text);
        assert_eq!(status(&gzip(&text), text.len() - 1), Some(StatusCode::PAYLOAD_TOO_LARGE));
        let members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(gunzip(&members, 100).unwrap(), "[1,2]");
    }

    #[test]
    fn a_cut_a_changed_and_a_plain_body_are_no_gzip() {
        let mut changed = gzip(br#"{"log_type":"alert"}"#);
        assert_eq!(status(&changed[..changed.len() - 1], 100), Some(StatusCode::BAD_REQUEST));
        let checksum = changed.len() - 8;
        changed[checksum] ^= 1;
        assert_eq!(status(&changed, 100), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status(b"{}", 100), Some(StatusCode::BAD_REQUEST));
    }
}
