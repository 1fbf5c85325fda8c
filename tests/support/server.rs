//! Servers on loopback that a test controls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server on its own port. Ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Server {
    /// Hands each connection to `serve`, each in its own thread.
    pub fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    pub fn on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (ours, serve) = (Arc::clone(&seen), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ours.stop.load(Ordering::SeqCst) {
                    return;
                }
                ours.connections.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, seen }
    }

    /// Answers each request with the bytes that `answer` makes of its head, and closes the
    /// connection.
    pub fn http(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let slot: Arc<Mutex<Option<Arc<Seen>>>> = Arc::default();
        let ours = Arc::clone(&slot);
        let server = Self::raw(move |mut stream| {
            let head = head(&mut stream);
            if head.is_empty() {
                return;
            }
            if let Some(seen) = ours.lock().unwrap().as_ref() {
                seen.requests.lock().unwrap().push(head.clone());
            }
            let _ = stream.write_all(&answer(&head));
        });
        *slot.lock().unwrap() = Some(Arc::clone(&server.seen));
        server
    }

    /// Answers each request with this status.
    pub fn status(status: u16) -> Self {
        Self::http(move |_| answer(status, &[], "hello"))
    }

    /// Answers with the status that the handle sets; with 503 before that.
    pub fn switched() -> (Self, Switch) {
        let status = Arc::new(AtomicU16::new(503));
        let ours = Arc::clone(&status);
        (
            Self::http(move |_| answer(ours.load(Ordering::SeqCst), &[], "")),
            Switch(status),
        )
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT` followed by this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// Sets the status that a server answers with.
pub struct Switch(Arc<AtomicU16>);

impl Switch {
    pub fn set(&self, status: u16) {
        self.0.store(status, Ordering::SeqCst);
    }
}

/// Answers on a unix socket with this status, until the test ends.
pub fn unix_http(path: &Path, status: u16) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let ours = Arc::clone(&requests);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            ours.lock().unwrap().push(head(&mut stream));
            let _ = stream.write_all(&answer(status, &[], ""));
        }
    });
    requests
}

/// Reads up to the empty line; nothing if the client closes the connection before that.
pub fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An answer with a Content-Length.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A redirect.
pub fn redirect(status: u16, location: &str) -> Vec<u8> {
    answer(status, &[("Location", location)], "")
}

/// A port that is bound but not listening: connections are refused, and no other program gets the
/// port while the value lives.
pub struct ClosedPort(nix::sys::socket::SockaddrIn, std::os::fd::OwnedFd);

impl ClosedPort {
    pub fn new() -> Self {
        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket,
            sockopt,
        };
        use std::os::fd::AsRawFd;
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let address = getsockname(socket.as_raw_fd()).unwrap();
        Self(address, socket)
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }

    pub fn tcp(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port())
    }

    /// Starts to listen, and answers requests with 200.
    pub fn open(self) -> Server {
        nix::sys::socket::listen(&self.1, nix::sys::socket::Backlog::new(64).unwrap()).unwrap();
        Server::on(TcpListener::from(self.1), |mut stream| {
            if !head(&mut stream).is_empty() {
                let _ = stream.write_all(&answer(200, &[], ""));
            }
        })
    }
}

/// A port on which nothing listens, below the range that the kernel uses for clients and for `bind`
/// with port 0. So no other program gets it by accident before the test's server listens on it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    let own = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let port =
            FIRST + (own.wrapping_mul(7) % COUNT + NEXT.fetch_add(1, Ordering::SeqCst)) % COUNT;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("::1", port)).is_ok()
        {
            return port;
        }
    }
}
