//! `/proc/net/tcp` and `tcp6`. An accepted line describes a listening socket in the kernel's form,
//! and the socket accepts what it should.

use crate::is_planted;
use podgate::core::listening::{Listener, parse};
use std::net::IpAddr;

pub(crate) fn run(bytes: &[u8]) {
    // As `probe::listener` reads the file: line by line, up to the first line that is not text.
    for line in bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map_while(|line| std::str::from_utf8(line).ok())
    {
        let mut found = parse(line);
        if is_planted() && line.contains(":1F91 ") {
            found = Some(Listener {
                address: IpAddr::from([1, 2, 3, 4]),
                port: 1,
                is_only_ipv6: false,
            });
        }
        assert_eq!(
            found.map(|it| (it.address, it.port)),
            listener(line),
            "{line:?}"
        );
        let Some(it) = found else { continue };
        assert!(
            it.accepts(None, it.port) && it.accepts(Some(it.address), it.port),
            "{it:?}"
        );
        assert!(!it.accepts(None, it.port.wrapping_add(1)), "{it:?}");
        assert_eq!(it.address, it.address.to_canonical());
    }
}

/// The same result in another way: the columns of proc(5), byte by byte.
fn listener(line: &str) -> Option<(IpAddr, u16)> {
    let columns: Vec<&str> = line
        .split([' ', '\t', '\n', '\r', '\x0c'])
        .filter(|it| !it.is_empty())
        .collect();
    let [_, local, _, "0A", ..] = columns.as_slice() else {
        return None;
    };
    let (address, port) = local.split_once(':')?;
    let hex = |text: &str| {
        text.chars()
            .map(|it| it.to_digit(16))
            .collect::<Option<Vec<u32>>>()
    };
    let (address, port) = (hex(address)?, hex(port)?);
    let [a, b, c, d] = port.as_slice() else {
        return None;
    };
    let octets: Vec<u8> = address
        .chunks(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |sum, it| sum << 4 | it)).unwrap())
        .collect();
    let words: Vec<u8> = octets
        .chunks(4)
        .flat_map(|word| {
            if cfg!(target_endian = "little") {
                word.iter().rev().copied().collect()
            } else {
                word.to_vec()
            }
        })
        .collect();
    let address = match address.len() {
        8 => IpAddr::from(<[u8; 4]>::try_from(words).unwrap()),
        32 => IpAddr::from(<[u8; 16]>::try_from(words).unwrap()).to_canonical(),
        _ => return None,
    };
    Some((
        address,
        u16::try_from(a << 12 | b << 8 | c << 4 | d).unwrap(),
    ))
}
