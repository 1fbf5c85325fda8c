//! A hostile gRPC server. The outcome of a health check does not depend on the pieces in which the
//! answer comes, memory and output are bounded, and only an answer that is SERVING in a second
//! reading passes.

use super::hpack::Second;
use crate::input::{expanded, pieces};
use crate::{is_planted, memory};
use podgate::core::dialogue::Dialogue;
use podgate::core::grpc::hpack::Name;
use podgate::core::grpc::{Health, MOST_BYTES};
use podgate::core::outcome::{GrpcAnswer, Outcome, Reason, ServingStatus};
use podgate::message::reason;

/// Frames and fields of 64 KiB each, with the room of buffers that grow.
const MOST_MEMORY: usize = 400 * 1024;

/// Bit 0 of the first byte: the server's SETTINGS are sent first. Bit 1: the bytes 1 and 2 stand
/// for many letters. Bit 2: the answer is sent 99 times.
pub(crate) fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let mut answer = Vec::new();
    if how & 1 != 0 {
        answer.extend(*b"\0\0\0\x04\0\0\0\0\0");
    }
    let rest = if how & 2 != 0 {
        expanded(rest)
    } else {
        rest.to_vec()
    };
    answer.extend(rest.repeat(if how & 4 != 0 { 99 } else { 1 }));

    let mark = memory::mark();
    let (mut outcome, sent) = talk(&mut [&answer[..]].into_iter());
    let used = memory::most_since(mark);
    assert!(used < MOST_MEMORY, "{used} bytes of memory");
    assert!(
        sent <= answer.len().min(MOST_BYTES) + 17,
        "{sent} bytes sent"
    );
    let again = talk(&mut pieces(&answer, 7).into_iter());
    assert_eq!(
        (&outcome, sent),
        (&again.0, again.1),
        "pieces make a difference"
    );

    if is_planted() && is_of_other_number(&outcome) {
        outcome = Outcome::Pass;
    }
    match &outcome {
        Outcome::Pass => assert_eq!(serving(&answer), Some(true), "it is not SERVING"),
        Outcome::NotYet(reason) | Outcome::Never(reason) => {
            let text = reason::text(reason);
            assert!(
                !text.contains(char::is_control) && text.len() < 700,
                "{text}"
            );
            assert!(!reason::remedy(reason).is_empty());
        }
    }
    if let Outcome::Never(reason) = &outcome {
        assert!(
            matches!(reason, Reason::Grpc(GrpcAnswer::Status(12, _))),
            "{reason:?}"
        );
    }
}

fn is_of_other_number(outcome: &Outcome) -> bool {
    let Outcome::NotYet(Reason::Grpc(GrpcAnswer::NotServing(status))) = outcome else {
        return false;
    };
    matches!(status, ServingStatus::Other(_))
}

/// The outcome, and how many bytes were sent after the request.
fn talk(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Outcome, usize) {
    let mut health = Health::new("db:5000", "a.B", false, "podgate");
    let mut request = Vec::new();
    health.begin(&mut request);
    let mut out = Vec::new();
    for piece in pieces {
        if let Some(outcome) = health.feed(piece, &mut out) {
            return (outcome, out.len());
        }
    }
    (health.end(), out.len())
}

/// Whether an answer has the status 0 and the message SERVING. This reading knows no rules about
/// the order and the size of frames. `None` if there is no complete answer.
fn serving(answer: &[u8]) -> Option<bool> {
    let (mut at, mut second) = (0, Second::default());
    let (mut block, mut message, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_last = false;
    while let Some(head) = answer.get(at..at + 9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut content = answer.get(at + 9..at + 9 + length)?;
        at += 9 + length;
        let (kind, flags) = (head[3], head[4]);
        if matches!(kind, 0 | 1) {
            if flags & 8 != 0 {
                let padding = usize::from(content[0]);
                content = &content[1..content.len() - padding];
            }
            is_last |= flags & 1 != 0;
        }
        match kind {
            0 => message.extend(content),
            1 => block = content[if flags & 0x20 != 0 { 5 } else { 0 }..].to_vec(),
            9 => block.extend(content),
            _ => {}
        }
        if matches!(kind, 1 | 9) && flags & 4 != 0 {
            fields.extend(second.block(&block, MOST_BYTES).ok()?);
        }
        let is_complete = !matches!(kind, 1 | 9) || flags & 4 != 0;
        if is_last && is_complete {
            break;
        }
    }
    let last = |name| {
        fields
            .iter()
            .rev()
            .find(|it| it.0 == name)
            .map(|it| it.1.as_slice())
    };
    let status = std::str::from_utf8(last(Name::GrpcStatus)?).ok()?;
    let is_ok = status.parse::<u32>() == Ok(0) && last(Name::Status) == Some(b"200");
    let body = message.get(5..)?;
    let is_plain = message[..5] == [&[0][..], &(body.len() as u32).to_be_bytes()].concat();
    // The last varint of field 1, found from the front by the rules of protobuf.
    let (mut at, mut health) = (0, 0);
    while at < body.len() {
        let tag = varint(body, &mut at)?;
        match tag % 8 {
            0 => {
                let value = varint(body, &mut at)?;
                health = if tag / 8 == 1 { value as u32 } else { health };
            }
            1 => at += 8,
            2 => at += usize::try_from(varint(body, &mut at)?).ok()?,
            _ => at += 4,
        }
    }
    Some(is_last && is_ok && is_plain && health == 1)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value: u128 = 0;
    for index in 0..10 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value += u128::from(byte & 127) << (7 * index);
        if byte < 128 {
            return Some(value as u64);
        }
    }
    None
}
