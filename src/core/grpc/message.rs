//! The messages of grpc.health.v1.Health/Check: HealthCheckRequest and HealthCheckResponse of
//! health.proto (github.com/grpc/grpc-proto, grpc/health/v1), and the prefix that gRPC puts before
//! a message (Length-Prefixed-Message in PROTOCOL-HTTP2.md of github.com/grpc/grpc).

use super::super::outcome::{BadMessage, ServingStatus};

/// The types of fields of protobuf (<https://protobuf.dev/programming-guides/encoding/>).
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// A Length-Prefixed-Message with a HealthCheckRequest, in which `service` is field 1.
pub fn request(service: &str) -> Vec<u8> {
    let mut field = Vec::new();
    // A field that has its default value is left out.
    if !service.is_empty() {
        field.push(1 << 3 | BYTES as u8);
        let mut length = service.len();
        while length > 0x7f {
            field.push(length as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend(service.bytes());
    }
    let [.., a, b, c, d] = field.len().to_be_bytes();
    let mut message = vec![0, a, b, c, d];
    message.extend(field);
    message
}

/// The status in a Length-Prefixed-Message with a HealthCheckResponse. `None` is SERVING.
///
/// # Errors
/// The bytes are not exactly one message that is not compressed.
pub fn response(bytes: &[u8]) -> Result<Option<ServingStatus>, BadMessage> {
    let (prefix, message) = match bytes.split_first_chunk::<5>() {
        Some(split) => split,
        None if bytes.is_empty() => return Err(BadMessage::Missing),
        None => return Err(BadMessage::Malformed),
    };
    let [is_compressed, length @ ..] = *prefix;
    match is_compressed {
        0 => {}
        1 => return Err(BadMessage::Compressed),
        _ => return Err(BadMessage::Malformed),
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(BadMessage::Malformed);
    }
    match status(message).ok_or(BadMessage::Malformed)? {
        1 => Ok(None),
        0 => Ok(Some(ServingStatus::Unknown)),
        2 => Ok(Some(ServingStatus::NotServing)),
        3 => Ok(Some(ServingStatus::ServiceUnknown)),
        other => Ok(Some(ServingStatus::Other(other))),
    }
}

/// Field 1 of a HealthCheckResponse. If there are several, the last one counts. Other fields are
/// skipped.
fn status(mut message: &[u8]) -> Option<i32> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        // 0 is no number of a field.
        if !(1 << 3..=u64::from(u32::MAX)).contains(&tag) {
            return None;
        }
        let skipped = match tag & 7 {
            VARINT => {
                let value = varint(&mut message)?;
                if tag >> 3 == 1 {
                    // An enum has 32 bits.
                    status = value as i32;
                }
                0
            }
            FIXED_64 => 8,
            FIXED_32 => 4,
            BYTES => usize::try_from(varint(&mut message)?).ok()?,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// A number of at most ten bytes with seven bits each, the lowest ones first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::{BadMessage, ServingStatus};
    use super::{request, response};
    use proptest::prelude::*;

    #[test]
    fn a_request_names_the_service() {
        assert_eq!(request(""), b"\0\0\0\0\0");
        assert_eq!(request("abc"), b"\0\0\0\0\x05\x0a\x03abc");
        let long = request(&"a".repeat(300));
        assert_eq!(&long[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
        assert_eq!(long.len(), 308);
    }

    fn read(message: &[u8]) -> Result<Option<ServingStatus>, BadMessage> {
        let mut bytes = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        bytes.extend(message);
        response(&bytes)
    }

    #[test]
    fn a_response_has_a_status() {
        use ServingStatus as S;
        for (message, expected) in [
            (&b"\x08\x01"[..], None),
            // The default is not sent.
            (b"", Some(S::Unknown)),
            (b"\x08\x00", Some(S::Unknown)),
            (b"\x08\x02", Some(S::NotServing)),
            (b"\x08\x03", Some(S::ServiceUnknown)),
            (b"\x08\x09", Some(S::Other(9))),
            // -1 has ten bytes.
            (
                b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                Some(S::Other(-1)),
            ),
            // The last one counts.
            (b"\x08\x01\x08\x02", Some(S::NotServing)),
            (b"\x08\x02\x08\x81\x00", None),
            // Fields that a later version may have, of each type.
            (
                b"\x10\x02\x19\0\0\0\0\0\0\0\0\x22\x02\x08\x02\x08\x01\x2d\0\0\0\0",
                None,
            ),
            // Field 1 of another type is another field.
            (b"\x0a\x01\x01", Some(S::Unknown)),
        ] {
            assert_eq!(read(message), Ok(expected), "{message:x?}");
        }
    }

    #[test]
    fn what_is_not_one_plain_message_is_refused() {
        for message in [
            &b"\x08"[..],
            b"\x08\x81",
            b"\x08\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01",
            b"\x00\x01",
            b"\x0a\x02\x01",
            b"\x2d\0\0\0",
            // A group.
            b"\x0b\x0c",
            b"\xff\xff\xff\xff\xff\x01\x01",
        ] {
            assert_eq!(read(message), Err(BadMessage::Malformed), "{message:x?}");
        }
        for (bytes, expected) in [
            (&b""[..], BadMessage::Missing),
            (b"\0\0\0\0", BadMessage::Malformed),
            (b"\0\0\0\0\x02\x08", BadMessage::Malformed),
            // Two messages.
            (b"\0\0\0\0\x02\x08\x01\0\0\0\0\0", BadMessage::Malformed),
            (b"\x01\0\0\0\x02\x08\x01", BadMessage::Compressed),
            (b"\x02\0\0\0\x02\x08\x01", BadMessage::Malformed),
        ] {
            assert_eq!(response(bytes), Err(expected), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = response(&bytes);
            let _ = read(&bytes);
        }
    }
}
