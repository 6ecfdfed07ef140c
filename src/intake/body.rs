//! The bytes of a delivery: read whole within the bound, and, once verified, decompressed within
//! the same bound.
//!
//! Does not live here: what the bytes say (`decode`), whether they may be believed
//! (`verification`, which sees them as they were sent).

use std::{io::Read, pin::pin, time::Duration};

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
    web,
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;

use super::{
    memory::{Charge, Exhausted, MemoryBudget, SMALL_BYTES, Standing},
    refusal::Refusal,
};

/// Bytes decompressed at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Longest time a body may take to arrive, once there is memory for it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The encoding of a body's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// A body with the memory that it is charged.
pub(super) struct Body {
    pub(super) bytes: web::Bytes,
    pub(super) charge: Charge,
}

/// At the bound the sender is asked to come back.
impl From<Exhausted> for Refusal {
    fn from(_: Exhausted) -> Self {
        let error = "too much is being received at once; try again shortly";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

/// Reads the whole body; at the bound it stops reading, whether the length was announced or not,
/// and so it does when the sender takes too long.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    max_bytes: usize,
    (memory, standing): (&MemoryBudget, Standing),
) -> Result<Body, Refusal> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > max_bytes {
        return Err(Refusal::too_large());
    }
    let mut charge = Charge::of(standing);
    if announced > SMALL_BYTES {
        // Before anything of it is read: who waits holds nothing.
        memory.receive(&mut charge, CHUNK_BYTES).await?;
    }
    read_all(payload, max_bytes, memory, charge).await
}

async fn read_all(
    mut payload: web::Payload,
    max_bytes: usize,
    memory: &MemoryBudget,
    mut charge: Charge,
) -> Result<Body, Refusal> {
    let mut time = pin!(tokio::time::sleep(READ_TIMEOUT));
    // What is announced may never come: memory for it is only taken as it does.
    let mut body = web::BytesMut::new();
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = payload.next() => chunk,
            () = &mut time => {
                let error = "the body took too long";
                return Err(Refusal::unfinished(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        let Some(chunk) = chunk else {
            return Ok(Body { bytes: body.freeze(), charge });
        };
        let chunk = chunk.map_err(|_cut| {
            Refusal::unfinished(StatusCode::BAD_REQUEST, "the body ended before its length")
        })?;
        let length = body.len() + chunk.len();
        if length > max_bytes {
            return Err(Refusal::too_large());
        }
        if charge.is_large() || length > SMALL_BYTES {
            let was_beyond = charge.is_beyond();
            memory.receive(&mut charge, length).await?;
            if charge.is_beyond() && !was_beyond {
                // It was we who made it wait; this happens once.
                time.set(tokio::time::sleep(READ_TIMEOUT));
            }
        } else {
            memory.charge(&mut charge, length)?;
        }
        body.extend_from_slice(&chunk);
    }
}

/// Reads what the headers say about the body: JSON, as it is or by gzip.
pub(super) fn encoding(request: &HttpRequest) -> Result<Encoding, Refusal> {
    let unsupported = |error| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let media_type = text(header::CONTENT_TYPE).unwrap_or("application/json");
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/x-ndjson", "application/ndjson", "text/json"];
    // `application/cloudevents+json` and the like (RFC 6839).
    if !known.contains(&essence.as_str()) && !essence.ends_with("+json") {
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
    memory: &MemoryBudget,
) -> Result<Body, Refusal> {
    if encoding == Encoding::Identity {
        return Ok(body);
    }
    if !body.charge.has_turn() {
        memory.charge(&mut body.charge, body.bytes.len() + SMALL_BYTES.min(max_bytes))?;
        match unpacked(&body, SMALL_BYTES.min(max_bytes)).await? {
            Unpacked::Whole(bytes) => return Ok(Body { bytes, ..body }),
            Unpacked::TooLarge if max_bytes <= SMALL_BYTES => return Err(Refusal::too_large()),
            // Again from the beginning: until the turn comes, only what was sent is held.
            Unpacked::TooLarge => memory.take_turn(&mut body.charge).await?,
        }
    }
    match unpacked(&body, max_bytes).await? {
        Unpacked::Whole(bytes) => Ok(Body { bytes, ..body }),
        Unpacked::TooLarge => Err(Refusal::too_large()),
    }
}

/// The outcome of decompressing.
#[derive(Debug, PartialEq, Eq)]
enum Unpacked {
    Whole(web::Bytes),
    /// Larger than the bound.
    TooLarge,
}

/// Decompresses beside this thread: megabytes take milliseconds, in which it would answer nobody else.
async fn unpacked(body: &Body, max_bytes: usize) -> Result<Unpacked, Refusal> {
    let bytes = body.bytes.clone();
    web::block(move || gunzip(&bytes, max_bytes))
        .await
        .unwrap_or_else(|_stopping| Err(Refusal::stopping()))
}

/// Decompresses chunk by chunk and stops at the bound, however much would follow.
fn gunzip(body: &[u8], max_bytes: usize) -> Result<Unpacked, Refusal> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut whole = web::BytesMut::new();
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let length = decoder.read(&mut chunk).map_err(|_broken| {
            Refusal::new(StatusCode::BAD_REQUEST, "the body is not whole gzip")
        })?;
        if length == 0 {
            return Ok(Unpacked::Whole(whole.freeze()));
        }
        if whole.len() + length > max_bytes {
            return Ok(Unpacked::TooLarge);
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

    fn status(body: &[u8]) -> Option<StatusCode> {
        gunzip(body, 100).err().map(|refusal| refusal.answer().status())
    }

    fn whole(body: &[u8], max_bytes: usize) -> Unpacked {
        gunzip(body, max_bytes).unwrap()
    }

    #[test]
    fn gzip_is_taken_up_to_the_bound_and_in_several_members() {
        let text = b"{}".repeat(50_000);
        assert_eq!(whole(&gzip(&text), text.len()), Unpacked::Whole(text.clone().into()));
        assert_eq!(whole(&gzip(&text), text.len() - 1), Unpacked::TooLarge);
        let members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(whole(&members, 100), Unpacked::Whole("[1,2]".into()));
    }

    #[test]
    fn a_cut_a_changed_and_a_plain_body_are_no_gzip() {
        let mut changed = gzip(br#"{"log_type":"alert"}"#);
        assert_eq!(status(&changed[..changed.len() - 1]), Some(StatusCode::BAD_REQUEST));
        let checksum = changed.len() - 8;
        changed[checksum] ^= 1;
        assert_eq!(status(&changed), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status(b"{}"), Some(StatusCode::BAD_REQUEST));
    }
}
