//! The quit endpoint on its socket. However a request is cut into pieces, and whoever else is
//! connected, the client gets the bytes that `core::endpoint` answers with, and the container stops
//! if and only if that answer says so.

use super::endpoint::{asked, contains, state};
use crate::input::{expanded, pieces};
use crate::is_planted;
use nix::sys::socket::{setsockopt, sockopt};
use podgate::quit_endpoint::Endpoint;
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

thread_local! {
    static SERVED: RefCell<Option<(Endpoint, SocketAddr)>> = const { RefCell::new(None) };
}

pub(crate) fn run(bytes: &[u8]) {
    SERVED.with_borrow_mut(|served| {
        let (endpoint, address) = served.get_or_insert_with(bound);
        exchange(endpoint, *address, bytes);
    });
}

fn bound() -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let port = endpoint.address().expect("its address").port();
    (endpoint, (Ipv4Addr::LOCALHOST, port).into())
}

/// The first byte selects the size of the pieces, and whether there is another, silent client.
fn exchange(endpoint: &mut Endpoint, address: SocketAddr, bytes: &[u8]) {
    let Some((how, request)) = bytes.split_first() else {
        return;
    };
    let request = &expanded(request)[..];
    let neighbour = (how & 1 == 1).then(|| {
        let mut client = connected(address);
        client
            .write_all(b"POST /quitquitquit HTTP/1.1\r\nHost")
            .expect("sent");
        client
    });
    let expected = asked(request, true);
    let mut client = connected(address);
    let mut quits = 0;
    let sizes = [1, 9, 100, 3000][usize::from(how >> 1 & 3)].max(request.len() / 40);
    let mut sent = 0;
    for piece in pieces(request, sizes) {
        // After its answer the endpoint discards what still arrives, and closes.
        if client.write_all(piece).is_err() {
            break;
        }
        sent += 1;
        quits += u32::from(endpoint.proceed(state()));
    }
    let _ = client.shutdown(Shutdown::Write);
    let answer = answered(endpoint, &mut client, &mut quits);
    if is_planted() && sent > 1 && request.ends_with(b"\n\n") && contains(request, b"/quitquitquit")
    {
        quits = 1;
    }
    assert_eq!(
        answer,
        expected
            .as_ref()
            .map(|it| it.bytes.clone())
            .unwrap_or_default(),
        "{:?}",
        String::from_utf8_lossy(request)
    );
    assert_eq!(
        quits,
        u32::from(expected.is_some_and(|it| it.quits)),
        "{:?}",
        String::from_utf8_lossy(request)
    );
    drop((client, neighbour));
    // The clients are gone, and the endpoint notices it at once.
    let end = Instant::now() + Duration::from_secs(5);
    while endpoint.deadline().is_some() && Instant::now() < end {
        assert!(!endpoint.proceed(state()));
    }
    assert_eq!(endpoint.deadline(), None, "a connection stays");
}

/// A client whose connection ends with a reset, so that its port is free again at once.
fn connected(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("a connection");
    client.set_nonblocking(true).expect("no waiting");
    client.set_nodelay(true).expect("no delay");
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&client, sockopt::Linger, &linger).expect("a reset");
    client
}

/// Reads to the end while the endpoint runs.
fn answered(endpoint: &mut Endpoint, client: &mut TcpStream, quits: &mut u32) -> Vec<u8> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        *quits += u32::from(endpoint.proceed(state()));
        match client.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    panic!("no end, after {:?}", String::from_utf8_lossy(&answer));
}
