//! The messages of sock_diag(7): the question for the listening TCP sockets of one port, and the
//! kernel's answer. Numbers are in the machine's own byte order, ports and addresses in the
//! network's (`linux/netlink.h`, `linux/inet_diag.h`).
//!
//! The question is a dump that is limited to listening sockets and one port. A question for one
//! exact socket would cost the kernel 2 µs instead of 8, but it cannot be trusted to answer
//! "nobody": it ends with ENOENT both if there is no such socket and if the kernel has no module
//! `tcp_diag`, and it does not find a socket that is bound to an address or a device that the
//! question does not name. A dump ends with a status of its own.

use super::errno::Errno;
use super::listening::Listener;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The length of a question in bytes.
pub const QUESTION: usize = 72;

/// A number for a question, which its answer repeats.
pub type Sequence = u32;

/// The family of sockets that a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    /// Also those that accept IPv4.
    Ipv6,
}

/// One part of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub listeners: Vec<Listener>,
    /// No other part follows.
    pub is_last: bool,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const FLAGS: u16 = 0x001 | 0x300;
const TCP: u8 = 6;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The attribute for IPV6_V6ONLY. Kernels before 4.2 do not send it.
const INET_DIAG_SKV6ONLY: u16 = 11;

/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The length of `struct inet_diag_msg`, after which the attributes begin.
const SOCKET: usize = 72;
/// The place of `struct inet_diag_sockid` in `struct inet_diag_msg`.
const ID: usize = 4;

/// An answer that cannot be read.
const EBADMSG: Errno = Errno(74);

/// The question for all listening sockets of this family that are bound to `port`.
pub fn question(family: Family, port: u16, sequence: Sequence) -> [u8; QUESTION] {
    let family = match family {
        Family::Ipv4 => AF_INET,
        Family::Ipv6 => AF_INET6,
    };
    let (no_extension, padding, no_sender) = (0, 0, 0_u32);
    let states = 1_u32 << LISTEN;
    let mut bytes = [0; QUESTION];
    let fields = (QUESTION as u32)
        .to_ne_bytes()
        .into_iter()
        .chain(SOCK_DIAG_BY_FAMILY.to_ne_bytes())
        .chain(FLAGS.to_ne_bytes())
        .chain(sequence.to_ne_bytes())
        .chain(no_sender.to_ne_bytes())
        .chain([family, TCP, no_extension, padding])
        .chain(states.to_ne_bytes())
        .chain(port.to_be_bytes());
    // The rest is zero: any address, any peer, any device.
    bytes
        .iter_mut()
        .zip(fields)
        .for_each(|(to, byte)| *to = byte);
    bytes
}

/// Reads one datagram of the answer to the question with this sequence.
///
/// # Errors
/// The kernel's status, such as ENOENT if it has no module `tcp_diag`. EBADMSG if the bytes are not
/// an answer.
pub fn read(mut bytes: &[u8], sequence: Sequence) -> Result<Part, Errno> {
    let mut part = Part::default();
    while !bytes.is_empty() && !part.is_last {
        let message = Message::first(bytes).ok_or(EBADMSG)?;
        if message.sequence != sequence {
            return Err(EBADMSG);
        }
        match message.kind {
            SOCK_DIAG_BY_FAMILY => {
                let found = listener(message.body).ok_or(EBADMSG)?;
                part.listeners.extend(found);
            }
            NLMSG_DONE => match number(message.body).ok_or(EBADMSG)? {
                status if status < 0 => return Err(Errno(status.saturating_neg())),
                _ => part.is_last = true,
            },
            NLMSG_ERROR => match number(message.body) {
                Some(status) if status < 0 => return Err(Errno(status.saturating_neg())),
                Some(_) | None => return Err(EBADMSG),
            },
            NLMSG_NOOP => {}
            _ => return Err(EBADMSG),
        }
        bytes = message.rest;
    }
    if part == Part::default() {
        // An empty datagram. To read on might never end.
        return Err(EBADMSG);
    }
    Ok(part)
}

struct Message<'a> {
    kind: u16,
    sequence: Sequence,
    body: &'a [u8],
    /// The messages that follow.
    rest: &'a [u8],
}

impl<'a> Message<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
        Some(Self {
            kind: u16::from_ne_bytes(array(bytes, 4)?),
            sequence: u32::from_ne_bytes(array(bytes, 8)?),
            body: bytes.get(HEADER..length)?,
            rest: bytes.get(aligned(length)..).unwrap_or_default(),
        })
    }
}

/// The socket of a `struct inet_diag_msg`. `Some(None)`: it does not listen.
fn listener(body: &[u8]) -> Option<Option<Listener>> {
    let attributes = body.get(SOCKET..)?;
    let [family, state] = array(body, 0)?;
    let address = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::from(array::<4>(body, ID + 4)?)),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(array::<16>(body, ID + 4)?)).to_canonical(),
        _ => return None,
    };
    let found = Listener {
        address,
        port: u16::from_be_bytes(array(body, ID)?),
        is_only_ipv6: is_only_ipv6(attributes),
    };
    Some((state == LISTEN).then_some(found))
}

fn is_only_ipv6(mut attributes: &[u8]) -> bool {
    while let (Some(length), Some(kind)) = (array(attributes, 0), array(attributes, 2)) {
        let length = usize::from(u16::from_ne_bytes(length));
        if u16::from_ne_bytes(kind) == INET_DIAG_SKV6ONLY {
            return attributes.get(4..length) == Some(&[1]);
        }
        match attributes.get(aligned(length.max(4))..) {
            Some(rest) => attributes = rest,
            None => return false,
        }
    }
    false
}

fn number(body: &[u8]) -> Option<i32> {
    array(body, 0).map(i32::from_ne_bytes)
}

/// Messages and attributes begin at multiples of 4 bytes.
const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn array<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::{
        Family, INET_DIAG_SKV6ONLY, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, Part, SOCK_DIAG_BY_FAMILY,
        Sequence, question, read,
    };
    use crate::core::errno::Errno;
    use crate::core::listening::Listener;
    use proptest::prelude::*;
    use std::net::IpAddr;

    const EBADMSG: Result<Part, Errno> = Err(Errno(74));

    fn message(kind: u16, sequence: Sequence, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 16).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([2, 0]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn socket(address: IpAddr, port: u16, state: u8, attributes: &[u8]) -> Vec<u8> {
        let (family, octets) = match address {
            IpAddr::V4(it) => (2, it.octets().to_vec()),
            IpAddr::V6(it) => (10, it.octets().to_vec()),
        };
        let mut body = vec![family, state, 0, 0];
        body.extend(port.to_be_bytes());
        body.extend([0; 2]);
        body.extend(octets);
        body.resize(72, 0);
        body.extend(attributes);
        body
    }

    fn done(status: i32) -> Vec<u8> {
        message(NLMSG_DONE, 7, &status.to_ne_bytes())
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_question_has_the_bytes_that_ss_sends() {
        // `ss -tln sport = 8080`, as strace shows it, without its bytecode.
        let mut expected = vec![72, 0, 0, 0, 20, 0, 1, 3, 7, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([10, 6, 0, 0, 0, 4, 0, 0, 0x1f, 0x90]);
        expected.resize(72, 0);
        assert_eq!(question(Family::Ipv6, 8080, 7).to_vec(), expected);
        assert_eq!(question(Family::Ipv4, 8080, 7)[16], 2);
    }

    #[test]
    fn nobody_is_an_answer_and_a_missing_module_is_an_error() {
        let nobody = Part {
            listeners: Vec::new(),
            is_last: true,
        };
        assert_eq!(read(&done(0), 7), Ok(nobody));
        // No `tcp_diag`; then no `inet_diag`.
        assert_eq!(read(&done(-2), 7), Err(Errno::ENOENT));
        let refused = message(NLMSG_ERROR, 7, &(-2_i32).to_ne_bytes());
        assert_eq!(read(&refused, 7), Err(Errno::ENOENT));
    }

    #[test]
    fn only_listening_sockets_count() {
        let address: IpAddr = [10, 0, 0, 1].into();
        let mut bytes = Vec::new();
        for state in 1..=12 {
            bytes.extend(message(
                SOCK_DIAG_BY_FAMILY,
                7,
                &socket(address, 80, state, &[]),
            ));
        }
        let listener = Listener {
            address,
            port: 80,
            is_only_ipv6: false,
        };
        let part = read(&bytes, 7).unwrap();
        assert_eq!((part.listeners, part.is_last), (vec![listener], false));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_an_error() {
        let one = message(
            SOCK_DIAG_BY_FAMILY,
            7,
            &socket([0, 0, 0, 0].into(), 80, 10, &[]),
        );
        assert_eq!(read(&[], 7), EBADMSG, "an empty datagram");
        assert_eq!(read(&one, 8), EBADMSG, "the answer to another question");
        for length in 1..one.len() {
            assert_eq!(read(&one[..length], 7), EBADMSG, "{length} bytes");
        }
        assert_eq!(read(&message(NLMSG_ERROR, 7, &[0; 4]), 7), EBADMSG);
        assert_eq!(read(&message(NLMSG_DONE, 7, &[]), 7), EBADMSG);
        assert_eq!(read(&message(4, 7, &[]), 7), EBADMSG, "NLMSG_OVERRUN");
        assert_eq!(read(&message(NLMSG_NOOP, 7, &[]), 7), EBADMSG, "no end");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            sequence: u32,
        ) {
            let _ = read(&bytes, sequence);
        }

        #[test]
        fn no_nearly_right_message_makes_it_panic(
            kind in prop_oneof![Just(SOCK_DIAG_BY_FAMILY), Just(NLMSG_DONE), Just(NLMSG_ERROR)],
            body in proptest::collection::vec(any::<u8>(), 0..120),
            cut in 0_usize..140,
        ) {
            let bytes = message(kind, 7, &body);
            let _ = read(&bytes[..bytes.len().min(cut)], 7);
        }

        #[test]
        fn what_the_kernel_sends_is_read_back(
            v4 in any::<[u8; 4]>(),
            v6 in any::<[u8; 16]>(),
            port: u16,
            other in proptest::collection::vec(any::<u8>(), 0..9),
            only: bool,
        ) {
            let mut attributes = attribute(8, &other);
            attributes.extend(attribute(INET_DIAG_SKV6ONLY, &[u8::from(only)]));
            attributes.extend(attribute(15, &[0; 4]));
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for address in [IpAddr::from(v4), IpAddr::from(v6)] {
                let body = socket(address, port, 10, &attributes);
                bytes.extend(message(SOCK_DIAG_BY_FAMILY, 7, &body));
                expected.push(Listener {
                    address: address.to_canonical(),
                    port,
                    is_only_ipv6: only,
                });
            }
            bytes.extend(done(0));
            // What follows the end is not read.
            bytes.push(1);
            let part = read(&bytes, 7).unwrap();
            prop_assert_eq!((part.listeners, part.is_last), (expected, true));
        }
    }
}
