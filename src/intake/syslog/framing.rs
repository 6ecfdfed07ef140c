//! Beginnings and ends of messages in the stream: RFC 6587 (TCP) and RFC 5425 (TLS).
//!
//! Both ways of framing are taken, told apart at each frame's first byte: a digit from 1 to 9 begins
//! an octet count, anything else a frame that ends at a line feed (or NUL, which some senders put
//! there). What stands between frames (line feeds, carriage returns, NULs) is passed over.
//!
//! A frame over the bound is passed over as it arrives, never kept; the next one is taken. Only a wrong
//! octet count ends the connection: where the next frame begins is not known then. A count is wrong when
//! nothing can be made of it, or when what follows its frame begins none: some senders count characters,
//! and what is left over would be taken for a line that swallows everything up to a line feed.
//!
//! Does not live here: reading from a socket (`connection`), what a frame says (`header`).

use actix_web::web::{Bytes, BytesMut};

/// Longest frame that is passed over by its count; beyond it the count is not believed.
const PASSED_OVER_MAX_BYTES: usize = 64 << 20;
/// Digits of the greatest count that is looked at.
const COUNT_DIGITS_MAX: usize = 10;

/// The next part of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framed {
    /// A whole frame, never empty.
    Whole(Bytes),
    /// A frame over the bound has begun; what comes of it is passed over. Said once a frame.
    TooLong,
    /// The next frame is not whole yet.
    NeedsMore,
}

/// The stream cannot be followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    /// Digits that no space follows.
    #[error("an octet count is not followed by a space and a message")]
    NoCount,
    /// A count of more than is ever passed over.
    #[error("an octet count is greater than anything that is sent by syslog")]
    Huge,
    /// A count whose frame is followed by something that is none.
    #[error("an octet count is wrong: no message follows where it ends; it has to count bytes")]
    Wrong,
}

/// Cuts a stream into frames of at most `max_bytes`.
#[derive(Debug)]
pub(super) struct Framer {
    max_bytes: usize,
    passing_over: Rest,
    /// Bytes at the front of the buffer that are known to hold no line end: whoever sends a long line
    /// byte by byte must not have all of it searched for each.
    searched: usize,
    /// Set behind a frame that was counted.
    is_after_count: bool,
}

/// The rest of a frame that is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Bytes(usize),
    UntilLineEnd,
}

impl Framer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, passing_over: Rest::Nothing, searched: 0, is_after_count: false }
    }

    /// Returns whether the stream stands within a frame that is passed over.
    pub(super) fn is_within_a_frame(&self) -> bool {
        self.passing_over != Rest::Nothing
    }

    /// Takes the next frame off the front of `buffer`.
    ///
    /// # Errors
    /// [`FramingError`]: no further frame can be found.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Framed, FramingError> {
        if !self.pass_over(buffer) {
            return Ok(Framed::NeedsMore);
        }
        loop {
            let separators = buffer.iter().take_while(|byte| is_separator(**byte)).count();
            drop(buffer.split_to(separators));
            let framed = match buffer.first() {
                None => return Ok(Framed::NeedsMore),
                Some(b'1'..=b'9') => self.counted(buffer)?,
                Some(byte) if self.is_after_count && *byte != b'<' => {
                    return Err(FramingError::Wrong);
                }
                Some(_) => self.line(buffer),
            };
            // A count of nothing but line ends is no frame.
            if !matches!(&framed, Framed::Whole(frame) if frame.is_empty()) {
                return Ok(framed);
            }
        }
    }

    /// Returns what is left when the stream has ended: a last line that nobody ended. `None` when nothing is
    /// left, or a counted frame that is not whole.
    pub(super) fn last(&self, buffer: &mut BytesMut) -> Option<Bytes> {
        let is_line = !self.is_within_a_frame() && !matches!(buffer.first(), Some(b'1'..=b'9'));
        let rest = buffer.split();
        is_line.then(|| without_separators(&rest.freeze())).filter(|rest| !rest.is_empty())
    }

    /// Answers whether the next frame begins at the front of `buffer` now.
    fn pass_over(&mut self, buffer: &mut BytesMut) -> bool {
        match self.passing_over {
            Rest::Nothing => return true,
            Rest::Bytes(left) => {
                let passed = left.min(buffer.len());
                drop(buffer.split_to(passed));
                if left > passed {
                    self.passing_over = Rest::Bytes(left - passed);
                    return false;
                }
            }
            Rest::UntilLineEnd => {
                let Some(end) = line_end(buffer) else {
                    buffer.clear();
                    return false;
                };
                drop(buffer.split_to(end));
            }
        }
        self.passing_over = Rest::Nothing;
        true
    }

    fn counted(&mut self, buffer: &mut BytesMut) -> Result<Framed, FramingError> {
        let digits = buffer.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > COUNT_DIGITS_MAX {
            return Err(FramingError::Huge);
        }
        match buffer.get(digits) {
            None => return Ok(Framed::NeedsMore),
            Some(b' ') => {}
            Some(_) => return Err(FramingError::NoCount),
        }
        let count = std::str::from_utf8(&buffer[..digits]).ok().and_then(|text| text.parse().ok());
        let count: usize = count.ok_or(FramingError::Huge)?;
        if count > PASSED_OVER_MAX_BYTES.max(self.max_bytes) {
            return Err(FramingError::Huge);
        }
        let begin = digits + 1;
        if count > self.max_bytes {
            drop(buffer.split_to(begin));
            self.is_after_count = true;
            self.passing_over = Rest::Bytes(count);
            return Ok(Framed::TooLong);
        }
        if buffer.len() < begin + count {
            return Ok(Framed::NeedsMore);
        }
        drop(buffer.split_to(begin));
        self.is_after_count = true;
        Ok(Framed::Whole(without_separators(&buffer.split_to(count).freeze())))
    }

    fn line(&mut self, buffer: &mut BytesMut) -> Framed {
        let searched = std::mem::take(&mut self.searched);
        let end = line_end(&buffer[searched..]).map(|end| searched + end);
        match end {
            Some(end) if end <= self.max_bytes => {
                self.is_after_count = false;
                Framed::Whole(without_separators(&buffer.split_to(end).freeze()))
            }
            None if buffer.len() < self.max_bytes => {
                self.searched = buffer.len();
                Framed::NeedsMore
            }
            _ => {
                self.passing_over = Rest::UntilLineEnd;
                Framed::TooLong
            }
        }
    }
}

/// Returns the position at which the bytes behind the first line feed or NUL begin.
fn line_end(buffer: &[u8]) -> Option<usize> {
    buffer.iter().position(|byte| matches!(byte, b'\n' | 0)).map(|position| position + 1)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// The frame without the line ends that some senders count into it.
fn without_separators(frame: &Bytes) -> Bytes {
    let end = frame.iter().rposition(|byte| !is_separator(*byte)).map_or(0, |last| last + 1);
    let begin = frame[..end].iter().take_while(|byte| is_separator(**byte)).count();
    frame.slice(begin..end)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    const MAX_BYTES: usize = 48;

    /// Every frame and every frame that was passed over, however the stream is cut, and how it ends.
    fn frames(stream: &[u8], cuts: &[usize]) -> Vec<Result<Framed, FramingError>> {
        let mut framer = Framer::new(MAX_BYTES);
        let (mut buffer, mut found, mut sent) = (BytesMut::new(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([stream.len()]) {
            let cut = cut.clamp(sent, stream.len());
            buffer.extend_from_slice(&stream[sent..cut]);
            sent = cut;
            loop {
                match framer.next(&mut buffer) {
                    Ok(Framed::NeedsMore) => break,
                    Err(error) => {
                        found.push(Err(error));
                        return found;
                    }
                    next => found.push(next),
                }
            }
            assert!(buffer.len() <= MAX_BYTES + COUNT_DIGITS_MAX + 1, "{}", buffer.len());
        }
        found.extend(framer.last(&mut buffer).map(|last| Ok(Framed::Whole(last))));
        found
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands among errors")]
    fn whole(text: &str) -> Result<Framed, FramingError> {
        Ok(Framed::Whole(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn both_framings_are_taken_in_one_stream_with_any_line_end_between() {
        let stream = b"6 <1>a\nb8 <1>\xc3\xa9xy\n<1>c\r\n\r\n<1>d\x005 <1>e\n<1>f";
        let expected = [
            whole("<1>a\nb"),
            whole("<1>\u{e9}xy"),
            whole("<1>c"),
            whole("<1>d"),
            whole("<1>e"),
            whole("<1>f"),
        ];
        assert_eq!(frames(stream, &[]), expected);
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_next_frame_is_taken() {
        let long = "x".repeat(MAX_BYTES);
        let line = format!("<1>{long}\n<1>a\n");
        assert_eq!(frames(line.as_bytes(), &[]), [Ok(Framed::TooLong), whole("<1>a")]);
        let counted = format!("{} <1>{long}<1>a\n", long.len() + 3);
        assert_eq!(frames(counted.as_bytes(), &[]), [Ok(Framed::TooLong), whole("<1>a")]);
        let miscounted = format!("{} <1>{long}\u{e9}\n<1>a\n", long.len() + 3);
        assert_eq!(
            frames(miscounted.as_bytes(), &[]),
            [Ok(Framed::TooLong), Err(FramingError::Wrong)]
        );
    }

    #[test]
    fn a_wrong_count_ends_the_stream() {
        for (stream, error) in [
            ("99999999999 <1>a", FramingError::Huge),
            ("9999999999 <1>a", FramingError::Huge),
            ("12<1>a\n", FramingError::NoCount),
            ("5 <1>a\n12x", FramingError::NoCount),
            ("5 <1>\u{e9}\u{e9}\"}6 <1>abc", FramingError::Wrong),
            ("4 <1>ab\n<1>c", FramingError::Wrong),
        ] {
            assert_eq!(frames(stream.as_bytes(), &[]).last(), Some(&Err(error)), "{stream}");
        }
        assert_eq!(frames(b"5 <1>", &[]), [], "a counted frame that is cut is none");
    }

    #[test]
    fn what_was_searched_for_a_line_end_is_not_searched_again() {
        let mut framer = Framer::new(MAX_BYTES);
        let mut buffer = BytesMut::from("<1>abc");
        assert_eq!(framer.next(&mut buffer), Ok(Framed::NeedsMore));
        // Nobody does this; it shows where is looked.
        buffer[4] = b'\n';
        buffer.extend_from_slice(b"d");
        assert_eq!(framer.next(&mut buffer), Ok(Framed::NeedsMore));
        buffer.extend_from_slice(b"\n<2>e\n");
        assert_eq!(framer.next(&mut buffer), whole("<1>a\ncd"));
        assert_eq!(framer.next(&mut buffer), whole("<2>e"));
    }

    /// The streams of `tests/corpus/syslog`, which were made to be awkward.
    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/syslog");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_stream_of_the_corpus_has_the_same_frames_byte_by_byte() {
        let corpus = corpus();
        assert!(corpus.len() >= 5, "the corpus is there");
        for stream in corpus {
            let each: Vec<usize> = (0..stream.len()).collect();
            assert_eq!(frames(&stream, &each), frames(&stream, &[]));
        }
    }

    proptest! {
        #![proptest_config(super::super::cases())]

        #[test]
        fn any_split_of_a_stream_gives_the_same_frames(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("\n".to_owned()), Just("\r\n".to_owned()), Just("\0".to_owned()),
                    Just("<14>1 - - - - - - {}\n".to_owned()), Just("5 <1>{}".to_owned()),
                    Just("70 ".to_owned()), Just("9999999999 ".to_owned()), "[<>0-9 a{}\\n]{0,60}",
                ],
                0..12,
            ),
            cuts in prop::collection::vec(0..400usize, 0..20),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts = cuts;
            cuts.sort_unstable();
            prop_assert_eq!(frames(&stream, &cuts), frames(&stream, &[]));
        }

        #[test]
        fn what_was_framed_comes_out_again(
            messages in prop::collection::vec(("<[0-9]{1,3}>[a-z{}\" ]{0,30}", any::<bool>()), 0..10),
        ) {
            let mut stream = Vec::new();
            for (message, counted) in &messages {
                if *counted {
                    stream.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
                } else {
                    stream.extend_from_slice(format!("{message}\n").as_bytes());
                }
            }
            let expected: Vec<_> = messages.iter().map(|(message, _)| whole(message)).collect();
            prop_assert_eq!(frames(&stream, &[]), expected);
        }

        #[test]
        fn after_a_bad_message_every_good_one_on_a_new_connection_is_read_once(
            messages in prop::collection::vec((0..8_usize, any::<bool>(), "[a-z]{1,12}"), 1..12),
        ) {
            let (mut framer, mut buffer) = (Framer::new(MAX_BYTES), BytesMut::new());
            // Messages that were sent whole since the connection began, and what was read.
            let (mut is_new, mut due, mut read) = (true, Vec::new(), Vec::new());
            let count = messages.len();
            for (bad, is_counted, text) in messages {
                let good = format!("<1>{text}");
                let sent = match bad {
                    0 => format!("{} {good}\u{e9}\"}}", good.len()),
                    1 => format!("{}{good}", good.len()),
                    2 => format!("99999999999 {good}"),
                    _ if is_counted => format!("{} {good}", good.len()),
                    _ => format!("{good}\n"),
                };
                if bad > 2 && is_new {
                    due.push(good);
                }
                buffer.extend_from_slice(sent.as_bytes());
                loop {
                    match framer.next(&mut buffer) {
                        Ok(Framed::Whole(frame)) => read.push(frame),
                        Ok(Framed::TooLong) => {}
                        Ok(Framed::NeedsMore) => break,
                        Err(_closed) => {
                            (framer, buffer) = (Framer::new(MAX_BYTES), BytesMut::new());
                            break;
                        }
                    }
                }
                // A bad one whose end nobody can see may cost those behind it on its connection.
                is_new = buffer.is_empty();
            }
            prop_assert!(read.len() <= count, "one was read twice: {read:?}");
            let mut rest = read.iter().map(|frame| String::from_utf8_lossy(frame).into_owned());
            for message in due {
                prop_assert!(rest.any(|frame| frame == message), "{message} of {read:?}");
            }
        }
    }
}
