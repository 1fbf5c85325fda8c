//! Whether a listening socket is the one that a `listen://` check waits for, and the lines of
//! `/proc/net/tcp` and `/proc/net/tcp6` (proc(5), `net/ipv4/tcp_ipv4.c: get_tcp4_sock`). They are
//! read where the kernel does not answer the question of [`super::sock_diag`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The `st` column of a listening socket: `TCP_LISTEN`.
const LISTENING: &str = "0A";

/// The address and port of a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// IPv4-mapped addresses are IPv4.
    pub address: IpAddr,
    pub port: u16,
    /// The server has set IPV6_V6ONLY. `/proc/net/tcp6` does not show it, so it is `false` there.
    pub is_only_ipv6: bool,
}

impl Listener {
    /// Whether it accepts connections to `port`, at `address` if one is given. A wildcard address
    /// accepts for its family, and `::` for IPv4 too, unless the server has set IPV6_V6ONLY.
    pub fn accepts(&self, address: Option<IpAddr>, port: u16) -> bool {
        let at = match (address.map(|it| it.to_canonical()), self.address) {
            (None, _) => true,
            (Some(wanted), IpAddr::V6(own)) if own.is_unspecified() => {
                wanted.is_ipv6() || !self.is_only_ipv6
            }
            (Some(IpAddr::V4(_)), IpAddr::V4(own)) if own.is_unspecified() => true,
            (Some(wanted), own) => wanted == own,
        };
        at && self.port == port
    }
}

/// Reads one line. `None` if it is not about a listening socket, as the header line.
pub fn parse(line: &str) -> Option<Listener> {
    let mut columns = line.split_ascii_whitespace();
    let _number = columns.next()?;
    let local = columns.next()?;
    let _remote = columns.next()?;
    if columns.next()? != LISTENING {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        address: parse_address(address)?,
        port: hex(port, 4).and_then(|it| u16::try_from(it).ok())?,
        is_only_ipv6: false,
    })
}

/// An address as the kernel prints it: 32-bit words in the machine's own byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |from: usize| hex(text.get(from..from.checked_add(8)?)?, 8).map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (chunk, from) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                chunk.copy_from_slice(&word(from)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

fn hex(text: &str, digits: usize) -> Option<u32> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::{Listener, parse};
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// As `net/ipv4/tcp_ipv4.c` and `net/ipv6/tcp_ipv6.c` print a line.
    fn printed(address: IpAddr, port: u16, state: u8) -> String {
        let hex: String = match address {
            IpAddr::V4(address) => format!("{:08X}", u32::from_ne_bytes(address.octets())),
            IpAddr::V6(address) => {
                let word =
                    |bytes: &[u8]| format!("{:08X}", u32::from_ne_bytes(bytes.try_into().unwrap()));
                address.octets().chunks(4).map(word).collect()
            }
        };
        format!(
            "   0: {hex}:{port:04X} 00000000:0000 {state:02X} 00000000:00000000 00:00000000 \
             00000000     0        0 1 1 0 100 0"
        )
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_line_of_a_real_file_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                        0        0 24 1 0000 100 0 0 10 0";
        assert_eq!(
            parse(line),
            Some(Listener {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 8080,
                is_only_ipv6: false,
            })
        );
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn wildcards_accept_for_their_family() {
        let at = |address: IpAddr| Listener {
            address,
            port: 80,
            is_only_ipv6: false,
        };
        let any4 = at(Ipv4Addr::UNSPECIFIED.into());
        let any6 = at(Ipv6Addr::UNSPECIFIED.into());
        let one = at(Ipv4Addr::LOCALHOST.into());
        let only6 = Listener {
            is_only_ipv6: true,
            ..any6
        };
        let localhost = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let localhost6 = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert!(
            any4.accepts(localhost, 80)
                && any6.accepts(localhost, 80)
                && one.accepts(localhost, 80)
        );
        assert!(
            any6.accepts(localhost6, 80)
                && !any4.accepts(localhost6, 80)
                && !one.accepts(localhost6, 80)
        );
        assert!(
            only6.accepts(None, 80)
                && only6.accepts(localhost6, 80)
                && !only6.accepts(localhost, 80)
        );
        assert!(one.accepts(None, 80) && !one.accepts(None, 81));
        assert!(!one.accepts(Some([127, 0, 0, 2].into()), 80));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,200}") {
            let _ = parse(&line);
        }

        #[test]
        fn no_nearly_right_line_makes_it_panic(
            line in "[ ]{0,3}[0-9]{1,3}: [0-9A-F]{0,33}(:[0-9A-F]{0,5})? [0-9A-F:]{0,13} \
                     0[A1](ü)?",
        ) {
            let _ = parse(&line);
        }

        #[test]
        fn what_the_kernel_prints_is_read_back(
            v4 in any::<[u8; 4]>(),
            v6 in any::<[u8; 16]>(),
            port: u16,
            state in 1_u8..13,
        ) {
            for address in [IpAddr::from(v4), IpAddr::from(v6)] {
                let expected = (state == 10).then_some(Listener {
                    address: address.to_canonical(),
                    port,
                    is_only_ipv6: false,
                });
                prop_assert_eq!(parse(&printed(address, port, state)), expected);
            }
        }
    }
}
