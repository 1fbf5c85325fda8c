//! The quit endpoint: serves `core::endpoint` on a socket. No client can block or delay the loop:
//! no read, write or accept waits, every connection has a time limit, and their number has a limit.
//!
//! The caller's loop waits for [`Endpoint::interests`] until [`Endpoint::deadline`], and calls
//! [`Endpoint::proceed`] after each wait.

use crate::core::endpoint::{self, LONGEST, State};
use crate::event_loop::{Interest, Poller};
use nix::sys::socket::{Backlog, listen};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The largest number of connections. The oldest is dropped for a new one.
const MOST: usize = 16;
/// How long a request may take to be complete.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may take to read its answer, and to close the connection.
const LINGER: Duration = Duration::from_secs(1);
/// How long no connection is accepted after accept(2) failed because no descriptor was left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The listening socket with its connections.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    /// The oldest first.
    connections: Vec<Connection>,
    /// No connection is accepted before this.
    closed_until: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    is_local: bool,
    until: Instant,
    doing: Doing,
}

#[derive(Debug)]
enum Doing {
    /// The request so far.
    Reads(Vec<u8>),
    /// The rest of the answer.
    Writes(Vec<u8>),
    /// The answer is sent. More bytes from the client are read and dropped: if a socket is closed
    /// with unread bytes, the connection is reset and the answer may be lost (RFC 9112, 9.6).
    Drains,
}

enum Next {
    Stays,
    Ends,
    /// A request to quit was answered.
    Quits,
}

impl Endpoint {
    /// Listens, with SO_REUSEADDR and CLOEXEC, which std sets.
    ///
    /// # Errors
    /// Those of bind(2): the port is in use (EADDRINUSE), or needs a capability (EACCES).
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        // std's backlog is 128. This is the longest that the kernel allows (net.core.somaxconn,
        // 4096). If it is full, a client tries again after 1 s and 3 s (tcp_syn_retries of tcp(7)).
        listen(&listener, Backlog::MAXALLOWABLE)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connections: Vec::new(),
            closed_until: None,
        })
    }

    /// The address of the listener, with the port that the kernel chose for port 0.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Registers the listener and the connections, all with one token: [`Endpoint::proceed`]
    /// serves all of them.
    pub fn interests<'a, T: Copy>(&'a self, poller: &mut Poller<'a, T>, token: T) {
        if self.closed_until.is_none() {
            poller.add(Interest::readable(self.listener.as_fd()), token);
        }
        for connection in &self.connections {
            let fd = connection.stream.as_fd();
            let interest = match connection.doing {
                Doing::Reads(_) | Doing::Drains => Interest::readable(fd),
                Doing::Writes(_) => Interest::writable(fd),
            };
            poller.add(interest, token);
        }
    }

    /// When to call [`Endpoint::proceed`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.connections
            .iter()
            .map(|connection| connection.until)
            .chain(self.closed_until)
            .min()
    }

    /// Serves the connections, without waiting. `true`: a client on this machine has asked to quit,
    /// and was answered.
    pub fn proceed(&mut self, state: State<'_>) -> bool {
        let now = Instant::now();
        self.closed_until = self.closed_until.filter(|until| now < *until);
        let mut quits = self.serve(now, state);
        // Each connection is served as soon as it is accepted, so that none is dropped before its
        // request was read.
        for _ in 0..MOST {
            if self.closed_until.is_some() || !self.accept(now) {
                break;
            }
            quits |= self.serve_newest(now, state);
        }
        quits
    }

    /// Accepts one connection. `false`: there is none.
    fn accept(&mut self, now: Instant) -> bool {
        match self.listener.accept() {
            Ok((stream, peer)) => {
                if stream.set_nonblocking(true).is_ok() {
                    if self.connections.len() >= MOST {
                        self.connections.remove(0);
                    }
                    let own = stream.local_addr().map(|own| own.ip());
                    let is_local = own.is_ok_and(|own| endpoint::is_local(peer.ip(), own));
                    let until = now.checked_add(PATIENCE).unwrap_or(now);
                    self.connections.push(Connection {
                        stream,
                        is_local,
                        until,
                        doing: Doing::Reads(Vec::new()),
                    });
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // This client is gone again. accept(2) recommends to try the next one.
            Err(error)
                if [ErrorKind::ConnectionAborted, ErrorKind::Interrupted]
                    .contains(&error.kind()) =>
            {
                true
            }
            // EMFILE, ENFILE, ENOBUFS, ENOMEM: the socket stays ready, so a wait would return at
            // once, again and again.
            Err(_) => {
                self.closed_until = now.checked_add(BACK_OFF);
                false
            }
        }
    }

    /// Serves only the newest connection. Serving all for each new one would be slow in a flood.
    fn serve_newest(&mut self, now: Instant, state: State<'_>) -> bool {
        let Some(mut newest) = self.connections.pop() else {
            return false;
        };
        let next = newest.proceed(now, state);
        if !matches!(next, Next::Ends) {
            self.connections.push(newest);
        }
        matches!(next, Next::Quits)
    }

    fn serve(&mut self, now: Instant, state: State<'_>) -> bool {
        let mut quits = false;
        self.connections
            .retain_mut(|connection| match connection.proceed(now, state) {
                Next::Stays => true,
                Next::Ends => false,
                Next::Quits => {
                    quits = true;
                    true
                }
            });
        quits
    }
}

impl Connection {
    fn proceed(&mut self, now: Instant, state: State<'_>) -> Next {
        match self.doing {
            Doing::Reads(_) => self.read(now, state),
            Doing::Writes(_) => self.write(now),
            Doing::Drains => self.drain(now),
        }
    }

    /// Reads the request. When it is complete, begins to answer it.
    fn read(&mut self, now: Instant, state: State<'_>) -> Next {
        let Doing::Reads(request) = &mut self.doing else {
            return Next::Stays;
        };
        let mut buffer = [0; LONGEST + 1];
        let room = buffer.len().saturating_sub(request.len());
        let came = self.stream.read(buffer.get_mut(..room).unwrap_or_default());
        let answer = match came {
            // The client half-closed before its request was complete.
            Ok(0) => return Next::Ends,
            Ok(count) => {
                request.extend_from_slice(buffer.get(..count).unwrap_or_default());
                endpoint::answer(request, self.is_local, state)
            }
            Err(error) if is_later(&error) => None,
            Err(_) => return Next::Ends,
        };
        let answer = match answer {
            None if now < self.until => return Next::Stays,
            None => endpoint::too_slow(),
            Some(answer) => answer,
        };
        self.doing = Doing::Writes(answer.bytes);
        self.until = now.checked_add(LINGER).unwrap_or(now);
        // A complete request counts even if its client does not read the answer.
        let next = self.write(now);
        if answer.quits { Next::Quits } else { next }
    }

    /// Writes the rest of the answer.
    fn write(&mut self, now: Instant) -> Next {
        let Doing::Writes(answer) = &mut self.doing else {
            return Next::Stays;
        };
        match self.stream.write(answer) {
            Ok(count) => drop(answer.drain(..count.min(answer.len()))),
            Err(error) if is_later(&error) => {}
            Err(_) => return Next::Ends,
        }
        if !answer.is_empty() {
            return if now < self.until {
                Next::Stays
            } else {
                Next::Ends
            };
        }
        self.doing = Doing::Drains;
        match self.stream.shutdown(Shutdown::Write) {
            Ok(()) => self.drain(now),
            Err(_) => Next::Ends,
        }
    }

    /// Reads and drops what the client still sends, until it closes the connection.
    fn drain(&mut self, now: Instant) -> Next {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(1..) if now < self.until => Next::Stays,
            Err(error) if is_later(&error) && now < self.until => Next::Stays,
            Ok(_) | Err(_) => Next::Ends,
        }
    }
}

/// Whether the operation has to be tried again later.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, MOST, State};
    use crate::event_loop::Poller;
    use std::io::{Read, Write};
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::time::{Duration, Instant};

    const QUIT: &[u8] = b"POST /quitquitquit HTTP/1.1\r\nHost: x\r\n\r\n";
    const READY: &[u8] = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n";

    fn state() -> State<'static> {
        State {
            is_ready: true,
            status: &|| "{}".to_owned(),
        }
    }

    struct Loop(Endpoint, SocketAddr);

    impl Loop {
        fn new() -> Self {
            let endpoint = Endpoint::bind(([127, 0, 0, 1], 0).into()).expect("a port");
            let address = endpoint.listener.local_addr().expect("its address");
            Self(endpoint, address)
        }

        fn client(&self) -> TcpStream {
            let stream = TcpStream::connect(self.1).expect("a connection");
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("a timeout");
            stream
        }

        /// Serves like the loop of `run`, until a client asks to quit or `so_long` is over. Returns
        /// the number of turns, and whether a client asked to quit.
        fn turns(&mut self, so_long: Duration) -> (u32, bool) {
            let end = Instant::now() + so_long;
            for turn in 1.. {
                if self.0.proceed(state()) {
                    return (turn, true);
                }
                if Instant::now() >= end {
                    return (turn, false);
                }
                let mut poller = Poller::new();
                self.0.interests(&mut poller, ());
                let until = self.0.deadline().map_or(end, |deadline| deadline.min(end));
                poller.wait(Some(until)).expect("a wait");
            }
            unreachable!()
        }

        fn serve(&mut self) -> bool {
            self.turns(Duration::from_millis(60)).1
        }
    }

    fn status(mut stream: &TcpStream) -> String {
        let mut text = String::new();
        match stream.read_to_string(&mut text) {
            Ok(_) => text.get(9..12).unwrap_or("none").to_owned(),
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn a_post_from_loopback_is_answered_before_the_quit() {
        let mut run = Loop::new();
        let mut client = run.client();
        assert!(!run.serve());
        client.write_all(QUIT).expect("sent");
        assert!(run.turns(Duration::from_secs(20)).1);
        // The endpoint is gone, and the client has its answer.
        drop(run);
        assert_eq!(status(&client), "200");
    }

    #[test]
    fn a_request_in_pieces_counts_and_an_incomplete_one_does_not() {
        let mut run = Loop::new();
        let (mut pieces, mut half, mut gone) = (run.client(), run.client(), run.client());
        half.write_all(&QUIT[..QUIT.len() - 2]).expect("sent");
        half.shutdown(Shutdown::Write).expect("half-closed");
        gone.write_all(b"POST /quitquitquit HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc")
            .expect("sent");
        drop(gone);
        for piece in QUIT.chunks(7) {
            assert!(!run.serve());
            pieces.write_all(piece).expect("sent");
        }
        assert_eq!(status(&half), "none");
        assert!(run.turns(Duration::from_secs(20)).1);
    }

    #[test]
    fn a_client_that_has_half_closed_gets_its_answer() {
        let mut run = Loop::new();
        let mut client = run.client();
        client.write_all(READY).expect("sent");
        client.shutdown(Shutdown::Write).expect("half-closed");
        assert!(!run.serve());
        assert_eq!(status(&client), "200");
        assert!(run.0.connections.is_empty() && run.0.deadline().is_none());
    }

    #[test]
    fn a_slow_client_gets_408_and_delays_no_other_client() {
        let mut run = Loop::new();
        let (mut slow, mut quick) = (run.client(), run.client());
        slow.write_all(b"POST /quitq").expect("sent");
        let start = Instant::now();
        assert!(!run.serve());
        quick.write_all(READY).expect("sent");
        assert!(!run.serve());
        assert_eq!(status(&quick), "200");
        let (turns, quits) = run.turns(Duration::from_millis(5500));
        assert!(!quits && turns < 20, "{turns} turns");
        assert_eq!(status(&slow), "408");
        assert!(start.elapsed() > super::PATIENCE);
    }

    #[test]
    fn a_request_that_is_too_long_gets_an_answer_and_not_a_reset() {
        let mut run = Loop::new();
        let mut client = run.client();
        client.write_all(b"GET /").expect("sent");
        client.write_all(&[b'a'; 40_000]).expect("sent");
        run.serve();
        assert_eq!(status(&client), "431");
        // It keeps on sending, and is dropped.
        let _ = client.write_all(&[b'a'; 1000]);
        run.turns(super::LINGER + Duration::from_millis(100));
        assert!(run.0.connections.is_empty());
    }

    #[test]
    fn silent_clients_do_not_keep_others_out() {
        let mut run = Loop::new();
        let silent: Vec<TcpStream> = (0..3 * MOST).map(|_| run.client()).collect();
        run.serve();
        assert_eq!(run.0.connections.len(), MOST);
        assert_eq!(status(&silent[0]), "none", "the oldest are dropped");
        let mut client = run.client();
        client.write_all(QUIT).expect("sent");
        assert!(run.turns(Duration::from_secs(20)).1);
        assert_eq!(status(&client), "200");
    }

    #[test]
    fn without_a_descriptor_it_backs_off_and_serves_later() {
        let own = std::env::current_exe().expect("this test");
        let status = std::process::Command::new("sh")
            .args([
                "-c",
                "ulimit -n 40 && \
                 exec \"$0\" --exact quit_endpoint::tests::without_descriptors --ignored",
            ])
            .arg(own)
            .status();
        assert!(status.expect("sh").success());
    }

    #[test]
    #[ignore = "needs its own process with few descriptors: the test above starts it"]
    fn without_descriptors() {
        let mut run = Loop::new();
        let mut client = run.client();
        client.write_all(QUIT).expect("sent");
        let mut all = Vec::new();
        while let Ok(one) = client.try_clone() {
            all.push(one);
        }
        assert!(all.len() > 10);
        let (turns, quits) = run.turns(Duration::from_millis(450));
        assert!(!quits && (3..15).contains(&turns), "{turns} turns");
        drop(all);
        assert!(run.turns(Duration::from_secs(20)).1);
        assert_eq!(status(&client), "200");
    }

    #[test]
    fn idle_connections_cost_no_turns() {
        let mut run = Loop::new();
        let mut client = run.client();
        client.write_all(b"POST /").expect("sent");
        run.serve();
        let (turns, _) = run.turns(Duration::from_millis(500));
        assert!(turns <= 2, "{turns} turns");
    }
}
