//! The bytes of an HTTP answer, read as Go's net/http reads them: it is the kubelet's client. What
//! it accepts (a folded header line, a reason that is missing) passes here, and what it refuses
//! (a doubled Transfer-Encoding, a chunk size of `+5`) fails here.
//!
//! The HTTP library gets an answer without these oddities: a status line, a `Location`, and a body
//! that ends with the connection.

use super::http::{MOST_HEADERS, is_token};
use super::outcome::{BadAnswer, one_line};
use super::protocol::{self, Protocol};

/// The longest line of a chunk's size, and the longest trailer (net/http's buffer), in bytes.
const MOST_LINE: usize = 4096;
/// How much of the bytes between the chunks may be of no use (net/http's limit).
const MOST_EXCESS: u64 = 16 * 1024;
/// How much of a first line that is not HTTP is shown, in bytes.
const SHOWN: usize = 60;

/// Reads an answer in pieces.
#[derive(Debug)]
pub struct AnswerReader {
    /// The request was HEAD, so the answer has no body.
    is_head: bool,
    stage: Stage,
    /// The bytes of the current line, or of the trailer.
    held: Vec<u8>,
    /// The bytes of the current head so far.
    size: usize,
    head: Head,
    /// The bytes between the chunks, less what each chunk is allowed.
    excess: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    StatusLine,
    Headers,
    /// A body of which so many bytes are missing.
    Length(u64),
    /// A body that ends with the connection.
    ToTheEnd,
    ChunkSize,
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    Trailer,
    Done,
}

/// How an answer ends when the connection does.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    /// Not one byte came.
    Nothing,
    Broken(BadAnswer),
}

/// The parts of a head that matter.
#[derive(Debug, Default)]
struct Head {
    version: (u8, u8),
    status: u16,
    /// The header whose lines are being read.
    open: Option<Vec<u8>>,
    location: Option<Vec<u8>>,
    encodings: Vec<Vec<u8>>,
    lengths: Vec<Vec<u8>>,
    /// The names that Trailer headers announce.
    trailers: Vec<Vec<u8>>,
}

impl AnswerReader {
    /// The reader of the answer to a request with this method.
    pub fn new(method: &str) -> Self {
        Self {
            is_head: method == "HEAD",
            stage: Stage::StatusLine,
            held: Vec::new(),
            size: 0,
            head: Head::default(),
            excess: 0,
        }
    }

    /// Whether the answer is complete. Further bytes are ignored.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether the head is complete.
    pub fn is_in_body(&self) -> bool {
        !matches!(self.stage, Stage::StatusLine | Stage::Headers)
    }

    /// Takes the next bytes, and appends what they are for the HTTP library to `out`.
    ///
    /// # Errors
    /// The answer breaks HTTP's rules.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Done => return Ok(()),
                Stage::ToTheEnd => {
                    out.extend_from_slice(bytes);
                    return Ok(());
                }
                Stage::Length(left) => {
                    let left = pass(&mut bytes, left, out);
                    self.stage = if left == 0 {
                        Stage::Done
                    } else {
                        Stage::Length(left)
                    };
                }
                Stage::Chunk(left) => {
                    let left = pass(&mut bytes, left, out);
                    self.stage = if left == 0 {
                        Stage::ChunkEnd
                    } else {
                        Stage::Chunk(left)
                    };
                }
                Stage::ChunkEnd => {
                    if take(&mut bytes, &mut self.held, 2) {
                        if self.held != b"\r\n" {
                            return Err(BadAnswer::Chunks);
                        }
                        self.held.clear();
                        self.stage = Stage::ChunkSize;
                    }
                }
                Stage::Trailer => {
                    self.held.extend_from_slice(bytes);
                    return self.trailer();
                }
                Stage::ChunkSize => {
                    let line = self.line(&mut bytes);
                    if self.held.len() > MOST_LINE {
                        return Err(BadAnswer::Chunks);
                    }
                    if line {
                        self.chunk_size()?;
                    }
                }
                Stage::StatusLine | Stage::Headers => self.head(&mut bytes, out)?,
            }
        }
        Ok(())
    }

    /// What the end of the connection means.
    pub fn end(&mut self) -> End {
        match self.stage {
            Stage::Done | Stage::ToTheEnd => End::Complete,
            Stage::StatusLine if self.held.is_empty() && self.size == 0 => End::Nothing,
            Stage::StatusLine if !is_like_http(&self.held) => {
                End::Broken(not_http(&self.held, true))
            }
            Stage::StatusLine | Stage::Headers => End::Broken(BadAnswer::BrokenHead),
            Stage::Length(_)
            | Stage::ChunkSize
            | Stage::Chunk(_)
            | Stage::ChunkEnd
            | Stage::Trailer => End::Broken(BadAnswer::BrokenBody),
        }
    }

    /// Moves bytes to `held`, up to and with a line end. Returns whether there was one.
    fn line(&mut self, bytes: &mut &[u8]) -> bool {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(bytes.len(), |end| end.saturating_add(1));
        let length = self.held.len().saturating_add(length);
        take(bytes, &mut self.held, length);
        end.is_some()
    }

    fn head(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let before = self.held.len();
        let is_line = self.line(bytes);
        let more = self.held.len().saturating_sub(before);
        self.size = self.size.saturating_add(more);
        if self.size > MOST_HEADERS {
            return Err(BadAnswer::LongHeaders);
        }
        if !is_line {
            // A binary protocol sends no line end, and may keep the connection open.
            return match protocol::of(&self.held) {
                Some(found) if self.stage == Stage::StatusLine && found != Protocol::Http => {
                    Err(BadAnswer::Speaks(found))
                }
                Some(_) | None => Ok(()),
            };
        }
        let held = std::mem::take(&mut self.held);
        let line = held.strip_suffix(b"\n").unwrap_or(&held);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.stage == Stage::StatusLine {
            let Some((version, status)) = status_line(line) else {
                let whole = [&held, *bytes].concat();
                return Err(not_http(&whole, false));
            };
            self.head = Head {
                version,
                status,
                ..Head::default()
            };
            self.stage = Stage::Headers;
            return Ok(());
        }
        if self.head.line(line)? {
            self.finish(out)?;
        }
        Ok(())
    }

    /// Decides by a complete head what follows.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadAnswer> {
        let head = std::mem::take(&mut self.head);
        let is_chunked = head.is_chunked()?;
        let length = head.length()?;
        if is_chunked {
            head.may_announce()?;
        }
        self.size = 0;
        // 101 is the last answer: what follows is another protocol.
        if (100..200).contains(&head.status) && head.status != 101 {
            // `end` must not take what comes now for the first byte.
            self.size = 1;
            self.stage = Stage::StatusLine;
            return Ok(());
        }
        out.extend_from_slice(format!("HTTP/1.1 {} \r\n", head.status).as_bytes());
        if let Some(location) = &head.location {
            out.extend_from_slice(b"Location: ");
            out.extend_from_slice(location);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let has_no_body = self.is_head || head.status == 101 || matches!(head.status, 204 | 304);
        self.stage = match (has_no_body, is_chunked, length) {
            (true, _, _) | (false, false, Some(0)) => Stage::Done,
            (false, true, _) => Stage::ChunkSize,
            (false, false, Some(length)) => Stage::Length(length),
            (false, false, None) => Stage::ToTheEnd,
        };
        Ok(())
    }

    fn chunk_size(&mut self) -> Result<(), BadAnswer> {
        let held = std::mem::take(&mut self.held);
        let line = held.strip_suffix(b"\r\n").ok_or(BadAnswer::Chunks)?;
        if line.contains(&b'\r') {
            return Err(BadAnswer::Chunks);
        }
        let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
        let size = end.and_then(|end| line.get(..=end)).unwrap_or_default();
        let size = size.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = hexadecimal(size).ok_or(BadAnswer::Chunks)?;
        let overhead = u64::try_from(held.len()).unwrap_or(u64::MAX);
        self.excess = self
            .excess
            .saturating_add(overhead)
            .saturating_sub(16_u64.saturating_add(size.saturating_mul(2)));
        if self.excess > MOST_EXCESS {
            return Err(BadAnswer::Chunks);
        }
        self.stage = if size == 0 {
            Stage::Trailer
        } else {
            Stage::Chunk(size)
        };
        Ok(())
    }

    /// Reads what follows the last chunk: an empty line, or header lines and an empty line.
    fn trailer(&mut self) -> Result<(), BadAnswer> {
        const END: &[u8] = b"\r\n\r\n";
        if self.held.starts_with(b"\r\n") {
            self.stage = Stage::Done;
            return Ok(());
        }
        let beginning = self.held.get(..MOST_LINE).unwrap_or(&self.held);
        let Some(end) = beginning.windows(END.len()).position(|it| it == END) else {
            return if self.held.len() >= MOST_LINE {
                Err(BadAnswer::Chunks)
            } else {
                Ok(())
            };
        };
        let lines = beginning.get(..end.saturating_add(END.len()));
        let mut trailer = Head::default();
        for line in lines.unwrap_or_default().split(|byte| *byte == b'\n') {
            if trailer.line(line.strip_suffix(b"\r").unwrap_or(line))? {
                break;
            }
        }
        self.stage = Stage::Done;
        Ok(())
    }
}

impl Head {
    /// Takes a line without its end. Returns whether it was the last one.
    fn line(&mut self, line: &[u8]) -> Result<bool, BadAnswer> {
        let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if is_folded {
            // RFC 9112, 5.2: the line goes on with the one before it.
            let open = self.open.as_mut().ok_or(BadAnswer::HeaderLine)?;
            open.push(b' ');
            open.extend_from_slice(trimmed(line));
            return Ok(false);
        }
        if let Some(field) = self.open.take() {
            self.field(&field)?;
        }
        if line.is_empty() {
            return Ok(true);
        }
        if !line.contains(&b':') {
            return Err(BadAnswer::HeaderLine);
        }
        self.open = Some(trimmed(line).to_vec());
        Ok(false)
    }

    fn field(&mut self, field: &[u8]) -> Result<(), BadAnswer> {
        let colon = field.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .and_then(|at| Some((field.get(..at)?, field.get(at.saturating_add(1)..)?)))
            .ok_or(BadAnswer::HeaderLine)?;
        // net/http keeps a name with spaces, and takes it for another header.
        let is_name = |byte: &u8| *byte == b' ' || is_token(&[*byte]);
        let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if name.is_empty() || !name.iter().all(is_name) || !value.iter().all(is_value) {
            return Err(BadAnswer::HeaderLine);
        }
        let start = value.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        let value = start.and_then(|start| value.get(start..));
        let value = value.unwrap_or_default().to_vec();
        if name.eq_ignore_ascii_case(b"Location") {
            self.location.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            self.encodings.push(value);
        } else if name.eq_ignore_ascii_case(b"Content-Length") {
            self.lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"Trailer") {
            self.trailers.push(value);
        }
        Ok(())
    }

    /// Whether the body is in chunks. net/http knows no other encoding, and none before HTTP/1.1.
    fn is_chunked(&self) -> Result<bool, BadAnswer> {
        let version = match self.version {
            (0, 0) => (1, 1),
            version => version,
        };
        match self.encodings.as_slice() {
            [] => Ok(false),
            _ if version < (1, 1) => Ok(false),
            [one] if one.eq_ignore_ascii_case(b"chunked") => Ok(true),
            _ => Err(BadAnswer::TransferEncoding),
        }
    }

    /// The value of Content-Length, which may be repeated.
    fn length(&self) -> Result<Option<u64>, BadAnswer> {
        let mut lengths = self.lengths.iter().map(|value| value.trim_ascii());
        let Some(first) = lengths.next() else {
            return Ok(None);
        };
        let is_one = lengths.all(|other| other == first) && first.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(first).ok();
        number
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|_| is_one)
            .and_then(|length| u64::try_from(length).ok())
            .map(Some)
            .ok_or(BadAnswer::ContentLength)
    }

    /// Whether its trailer may have the headers that it announces.
    fn may_announce(&self) -> Result<(), BadAnswer> {
        let is_framing = |name: &[u8]| {
            ["Transfer-Encoding", "Trailer", "Content-Length"]
                .iter()
                .any(|it| it.as_bytes().eq_ignore_ascii_case(name.trim_ascii()))
        };
        let mut names = self
            .trailers
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b','));
        if names.any(is_framing) {
            return Err(BadAnswer::HeaderLine);
        }
        Ok(())
    }
}

/// Reads `HTTP/1.1 200 OK`: the version and the status. The reason may be missing.
pub(super) fn status_line(line: &[u8]) -> Option<((u8, u8), u16)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (version, rest) = line.split_at_checked(space)?;
    let version = match version.strip_prefix(b"HTTP/")? {
        [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            (major.wrapping_sub(b'0'), minor.wrapping_sub(b'0'))
        }
        _ => return None,
    };
    let mut words = rest
        .split(|byte| *byte == b' ')
        .skip_while(|it| it.is_empty());
    let status = words.next().filter(|it| it.len() == 3)?;
    if !status.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    (100..1000).contains(&status).then_some((version, status))
}

/// Whether these bytes may be the beginning of an HTTP answer.
fn is_like_http(bytes: &[u8]) -> bool {
    let http = b"HTTP/";
    bytes.starts_with(http) || http.starts_with(bytes)
}

/// What answered instead of an HTTP server. These are the first bytes of its answer.
pub(super) fn not_http(bytes: &[u8], is_all: bool) -> BadAnswer {
    match protocol::of(bytes) {
        Some(Protocol::Http) | None if is_all && bytes.is_empty() => BadAnswer::BrokenHead,
        Some(Protocol::Http) | None => beginning(bytes),
        Some(found) => BadAnswer::Speaks(found),
    }
}

/// The first line of an answer in an unknown protocol, or its first bytes if it is not text.
pub(super) fn beginning(bytes: &[u8]) -> BadAnswer {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.trim_ascii_end();
    let text = std::str::from_utf8(line).ok();
    let text = text.filter(|text| !text.is_empty() && !text.contains(is_binary));
    match text {
        Some(text) => BadAnswer::Text(one_line(text, SHOWN)),
        None => {
            let hex = bytes.iter().take(8).map(|byte| format!("{byte:02x}"));
            BadAnswer::Bytes(hex.collect::<Vec<_>>().join(" "))
        }
    }
}

fn is_binary(letter: char) -> bool {
    letter.is_control() && letter != '\t'
}

/// Moves at most `left` bytes of a body. Returns how many are missing then.
fn pass(bytes: &mut &[u8], left: u64, out: &mut Vec<u8>) -> u64 {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    let (body, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
    out.extend_from_slice(body);
    *bytes = rest;
    left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Moves bytes until `held` has this length. Returns whether it has.
fn take(bytes: &mut &[u8], held: &mut Vec<u8>, length: usize) -> bool {
    let count = length.saturating_sub(held.len()).min(bytes.len());
    let (some, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
    held.extend_from_slice(some);
    *bytes = rest;
    held.len() == length
}

/// At most 16 digits and no sign.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Without spaces and tabs at both ends.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(is_text)
        .map_or(0, |end| end.saturating_add(1));
    line.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{AnswerReader, End};
    use crate::core::http::MOST_HEADERS;
    use crate::core::outcome::BadAnswer;
    use crate::core::protocol::Protocol;
    use proptest::prelude::*;

    /// What an answer that comes in these pieces is for the HTTP library, and how it ends.
    fn read(pieces: &[&[u8]]) -> Result<Vec<u8>, BadAnswer> {
        let mut reader = AnswerReader::new("GET");
        let mut out = Vec::new();
        for piece in pieces {
            reader.feed(piece, &mut out)?;
        }
        match reader.end() {
            End::Complete => Ok(out),
            End::Nothing => Ok(Vec::new()),
            End::Broken(how) => Err(how),
        }
    }

    #[test]
    fn an_answer_is_handed_over_without_its_oddities() {
        for (answer, expected) in [
            ("HTTP/2.0  204\nX: a\n\tb\n\n", "HTTP/1.1 204 \r\n\r\n"),
            (
                "HTTP/1.1 100 C\r\nX: a\r\n\r\nHTTP/1.1 302 F\r\nLocation:\r\n /x\r\n\r\nok",
                "HTTP/1.1 302 \r\nLocation: /x\r\n\r\nok",
            ),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\n\r\n",
                "HTTP/1.1 200 \r\n\r\nok",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
                "HTTP/1.1 200 \r\n\r\nok",
            ),
        ] {
            assert_eq!(read(&[answer.as_bytes()]), Ok(expected.into()), "{answer}");
        }
    }

    #[test]
    fn a_broken_answer_has_its_own_fault() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let long = format!("{ok}X: {}", "x".repeat(MOST_HEADERS));
        for (answer, fault) in [
            (format!("{ok} X: folded first\r\n"), BadAnswer::HeaderLine),
            (format!("{ok}X: \0\r\n\r\n"), BadAnswer::HeaderLine),
            (format!("{ok}X"), BadAnswer::BrokenHead),
            (long, BadAnswer::LongHeaders),
            (
                format!("{ok}Transfer-Encoding: gzip\r\n\r\n"),
                BadAnswer::TransferEncoding,
            ),
            (
                format!("{ok}Content-Length: +2\r\n\r\n"),
                BadAnswer::ContentLength,
            ),
            (
                format!("{ok}Transfer-Encoding: chunked\r\n\r\n+5\r\n"),
                BadAnswer::Chunks,
            ),
            (
                format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n"),
                BadAnswer::BrokenBody,
            ),
            (
                format!("{ok}Content-Length: 3\r\n\r\nok"),
                BadAnswer::BrokenBody,
            ),
            ("SSH-2.0-x\r\n".to_owned(), BadAnswer::Speaks(Protocol::Ssh)),
            (
                "ICY 200\tOK\r\n".to_owned(),
                BadAnswer::Text("ICY 200 OK".to_owned()),
            ),
            (
                "\u{1}\u{2}".to_owned(),
                BadAnswer::Bytes("01 02".to_owned()),
            ),
        ] {
            assert_eq!(read(&[answer.as_bytes()]), Err(fault), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut reader = AnswerReader::new("HEAD");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(reader.feed(answer, &mut Vec::new()), Ok(()));
        assert!(reader.is_done());
    }

    const PIECES: &str = "(HTTP/1\\.1 [1-5]0[0-4] ?|X: a|Transfer-Encoding: chunked|Location: /|\
                          Content-Length: [0-9]|\r\n|\r\n\r\n|\n| |\t|[0-9a-f];?|ok|\0|\
                          [ -~]){0,14}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_does_not_matter_in_which_pieces_an_answer_comes(
            rest in PIECES,
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let whole = format!("HTTP/1.1 200 OK\r\n{rest}");
            let mut cuts = cuts;
            cuts.retain(|cut| *cut < whole.len());
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&whole.as_bytes()[start..cut]);
                start = cut;
            }
            pieces.push(&whole.as_bytes()[start..]);
            prop_assert_eq!(read(&pieces), read(&[whole.as_bytes()]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[&bytes]);
        }
    }
}
