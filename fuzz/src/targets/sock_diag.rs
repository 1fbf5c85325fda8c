//! The kernel's answer about listening sockets. The result is the same as that of a second reading
//! of netlink(7) and sock_diag(7).

use crate::is_planted;
use podgate::core::errno::Errno;
use podgate::core::sock_diag::{QUESTION, read};
use std::net::IpAddr;

/// The sequence of the question. The seeds have it, too.
const SEQUENCE: u32 = 7;

/// The sockets, and whether the answer is complete.
type Found = (Vec<(IpAddr, u16, bool)>, bool);

pub(crate) fn run(bytes: &[u8]) {
    let found = read(bytes, SEQUENCE).map(|part| {
        let listeners = part.listeners.into_iter();
        let listeners = listeners.map(|it| (it.address, it.port, it.is_only_ipv6));
        (listeners.collect(), part.is_last)
    });
    let mut expected = answer(bytes);
    if is_planted()
        && let Ok((sockets, _)) = &mut expected
        && let Some((_, port, _)) = sockets.get_mut(1)
    {
        *port = port.wrapping_add(1);
    }
    assert_eq!(found, expected, "{bytes:?}");
}

/// The same result in another way: by lengths, without cutting the bytes into slices first.
fn answer(bytes: &[u8]) -> Result<Found, Errno> {
    const BAD: Errno = Errno(74);
    let byte = |at: usize| bytes.get(at).copied().ok_or(BAD);
    let four = |at: usize| -> Result<[u8; 4], Errno> {
        Ok([byte(at)?, byte(at + 1)?, byte(at + 2)?, byte(at + 3)?])
    };
    let two = |at: usize| -> Result<[u8; 2], Errno> { Ok([byte(at)?, byte(at + 1)?]) };
    let (mut at, mut sockets) = (0, Vec::new());
    while at < bytes.len() {
        let length = u32::from_ne_bytes(four(at)?) as usize;
        let end = at + length;
        if length < 16 || end > bytes.len() || u32::from_ne_bytes(four(at + 8)?) != SEQUENCE {
            return Err(BAD);
        }
        let status = || match four(at + 16) {
            Ok(status) if length >= 20 => Ok(i32::from_ne_bytes(status)),
            Ok(_) | Err(_) => Err(BAD),
        };
        match u16::from_ne_bytes(two(at + 4)?) {
            1 => {}
            2 => {
                let status = status()?;
                return Err(if status < 0 {
                    Errno(status.saturating_neg())
                } else {
                    BAD
                });
            }
            3 => {
                let status = status()?;
                return if status < 0 {
                    Err(Errno(status.saturating_neg()))
                } else {
                    Ok((sockets, true))
                };
            }
            20 if length >= 16 + QUESTION => {
                let body = at + 16;
                let address = match byte(body)? {
                    2 => IpAddr::from(four(body + 8)?),
                    10 => {
                        let mut octets = [0; 16];
                        for (index, octet) in octets.iter_mut().enumerate() {
                            *octet = byte(body + 8 + index)?;
                        }
                        IpAddr::from(octets).to_canonical()
                    }
                    _ => return Err(BAD),
                };
                let port = u16::from_be_bytes(two(body + 4)?);
                if byte(body + 1)? == 10 {
                    sockets.push((address, port, only_ipv6(&bytes[body + 72..end])));
                }
            }
            _ => return Err(BAD),
        }
        at = end.div_ceil(4) * 4;
    }
    if sockets.is_empty() {
        Err(BAD)
    } else {
        Ok((sockets, false))
    }
}

fn only_ipv6(attributes: &[u8]) -> bool {
    let mut at = 0;
    while at + 4 <= attributes.len() {
        let length = usize::from(u16::from_ne_bytes([attributes[at], attributes[at + 1]]));
        let kind = u16::from_ne_bytes([attributes[at + 2], attributes[at + 3]]);
        if kind == 11 {
            return length == 5 && attributes.get(at + 4) == Some(&1);
        }
        at += length.max(4).div_ceil(4) * 4;
    }
    false
}
