//! The sockets of a look-up: questions to name servers, and their answers. `core::lookup` decides
//! whom to ask, and `core::dns` reads the bytes.
//!
//! Nothing here blocks, and there is no thread. Each server has one socket for A and one for AAAA
//! questions, each with its own port, because some NATs lose the second of two questions from one
//! port. The sockets are connected, so the kernel drops datagrams from other senders and reports a
//! closed port. An epoll instance stands for all of them.

use crate::core::dns::{self, Answer, Family};
use crate::core::errno::Errno;
use crate::core::lookup::{Action, Event, Lookup, Question, Reply, Spec};
use crate::core::outcome::NameError;
use crate::core::time::Time;
use crate::event_loop::Interest;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, socket};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// The longest datagram that is read, in bytes. A server sends at most 512 to a client that does
/// not offer more (RFC 1035, 4.2.1).
const LONGEST: usize = 4096;
/// The most datagrams of one socket that are read in one step.
const MOST_AT_ONCE: usize = 64;

/// A look-up on its sockets.
pub(super) struct Query {
    lookup: Lookup,
    names: Vec<String>,
    servers: Vec<SocketAddr>,
    uses_tcp: bool,
    began: Instant,
    datagrams: Vec<Datagrams>,
    streams: Vec<Stream>,
    /// The questions that a server has, and has not answered.
    waiting: Vec<(Question, usize)>,
    ids: RandomState,
    epoll: Epoll,
}

/// The datagrams between this process and one server, for one family.
struct Datagrams {
    server: usize,
    family: Family,
    socket: UdpSocket,
}

/// A question over TCP. Question and answer are preceded by their length (RFC 1035, 4.2.2).
struct Stream {
    server: usize,
    question: Question,
    socket: TcpStream,
    /// The part of the question that is not sent yet.
    output: Vec<u8>,
    input: Vec<u8>,
}

/// A random number for one look-up and one purpose.
fn random(state: &RandomState, of: usize) -> u64 {
    state.hash_one(of)
}

impl Query {
    /// Asks nothing before [`Query::proceed`]. `spec.first` is the first server, or any if `None`.
    ///
    /// # Errors
    /// Those of epoll_create1(2): no descriptor, no memory.
    pub(super) fn new(
        mut spec: Spec,
        servers: Vec<SocketAddr>,
        uses_tcp: bool,
        rotates: bool,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let ids = RandomState::new();
        if rotates {
            let turn = usize::try_from(random(&ids, usize::MAX)).unwrap_or(0);
            spec.first = turn.checked_rem(servers.len()).unwrap_or(0);
        }
        Ok(Self {
            names: spec.names.clone(),
            lookup: Lookup::new(spec, Time::ZERO),
            servers,
            uses_tcp,
            began: Instant::now(),
            datagrams: Vec::new(),
            streams: Vec::new(),
            waiting: Vec::new(),
            ids,
            epoll,
        })
    }

    /// Continues as far as possible without waiting. Returns the addresses when they are known, or
    /// why there are none.
    pub(super) fn proceed(&mut self) -> Option<Result<Vec<IpAddr>, NameError>> {
        let mut events = VecDeque::new();
        self.receive(&mut events);
        events.push_back(Event::Tick);
        while let Some(event) = events.pop_front() {
            let now = Time::at(self.began.elapsed());
            for action in self.lookup.handle(now, event) {
                match action {
                    Action::Ask { question, server } => {
                        if let Err(error) = self.ask(question, server, self.uses_tcp) {
                            events.push_back(self.failed(question, server, &error));
                        }
                    }
                    Action::Finish(found) => return Some(found),
                }
            }
        }
        None
    }

    /// Ready when a server may have answered.
    pub(super) fn interest(&self) -> Interest<'_> {
        Interest::readable(self.epoll.0.as_fd())
    }

    /// When to call [`Query::proceed`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let at = self.lookup.deadline()?;
        self.began.checked_add(at.since_start())
    }

    /// The id of a question. It stays the same when the question is repeated.
    fn id(&self, question: Question) -> u16 {
        let family = match question.family {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        let of = question.name.saturating_mul(2).saturating_add(family);
        // The low bits of a random number.
        (random(&self.ids, of) & 0xffff) as u16
    }

    fn name(&self, question: Question) -> &str {
        self.names.get(question.name).map_or("", String::as_str)
    }

    fn failed(&self, question: Question, server: usize, error: &io::Error) -> Event {
        let address = self.servers.get(server).map(SocketAddr::ip);
        let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        Event::Replied {
            question,
            server,
            reply: Reply::Failed(NameError::CannotAsk(address, Errno::of(error))),
        }
    }

    fn ask(&mut self, question: Question, server: usize, over_tcp: bool) -> io::Result<()> {
        let bytes = dns::question(self.id(question), self.name(question), question.family)
            .ok_or(ErrorKind::InvalidInput)?;
        let address = *self.servers.get(server).ok_or(ErrorKind::InvalidInput)?;
        if over_tcp {
            let stream = Stream::new(question, server, address, &bytes)?;
            watch(&self.epoll, &stream.socket, EpollFlags::EPOLLOUT)?;
            self.streams.push(stream);
            return Ok(());
        }
        let is_same = |it: &&Datagrams| it.server == server && it.family == question.family;
        let socket = match self.datagrams.iter().find(is_same) {
            Some(known) => &known.socket,
            None => {
                let socket = connected(address)?;
                watch(&self.epoll, &socket, EpollFlags::EPOLLIN)?;
                self.datagrams.push(Datagrams {
                    server,
                    family: question.family,
                    socket,
                });
                match self.datagrams.last() {
                    Some(new) => &new.socket,
                    None => return Ok(()),
                }
            }
        };
        match socket.send(&bytes) {
            Ok(_) => {}
            // A full buffer loses the datagram, as a network may lose it.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.waiting.push((question, server));
        Ok(())
    }

    /// Reads what has arrived.
    fn receive(&mut self, events: &mut VecDeque<Event>) {
        let mut truncated = Vec::new();
        let mut buffer = [0; LONGEST];
        for it in &self.datagrams {
            for _ in 0..MOST_AT_ONCE {
                match it.socket.recv(&mut buffer) {
                    Ok(length) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        let Some((question, answer)) = self.read(it.family, bytes) else {
                            continue;
                        };
                        if answer == Answer::Truncated {
                            truncated.push((question, it.server));
                        } else {
                            events.push_back(self.replied(question, it.server, answer));
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // The error is about the server: its port is closed, or it cannot be reached.
                    Err(error) => {
                        let is_lost = |(question, server): &&(Question, usize)| {
                            question.family == it.family && *server == it.server
                        };
                        let lost = self.waiting.iter().filter(is_lost);
                        events.extend(
                            lost.map(|(question, server)| self.failed(*question, *server, &error)),
                        );
                        break;
                    }
                }
            }
        }
        for event in &*events {
            if let Event::Replied {
                question, server, ..
            } = event
            {
                self.waiting.retain(|it| *it != (*question, *server));
            }
        }
        for (question, server) in truncated {
            self.waiting.retain(|it| *it != (question, server));
            let is_asked = |it: &Stream| it.question == question && it.server == server;
            if !self.streams.iter().any(is_asked)
                && let Err(error) = self.ask(question, server, true)
            {
                events.push_back(self.failed(question, server, &error));
            }
        }
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|stream| match stream.proceed(&self.epoll) {
            Ok(None) => true,
            Ok(Some(bytes)) => {
                let (question, server) = (stream.question, stream.server);
                let id = self.id(question);
                let answer = dns::answer(&bytes, id, self.name(question), question.family);
                events.push_back(match answer {
                    Some(Answer::Truncated) | None => {
                        let error = ErrorKind::InvalidData.into();
                        self.failed(question, server, &error)
                    }
                    Some(answer) => self.replied(question, server, answer),
                });
                false
            }
            Err(error) => {
                events.push_back(self.failed(stream.question, stream.server, &error));
                false
            }
        });
        self.streams = streams;
    }

    /// The question of this family that these bytes answer, and the answer.
    fn read(&self, family: Family, bytes: &[u8]) -> Option<(Question, Answer)> {
        (0..self.names.len()).find_map(|name| {
            let question = Question { name, family };
            let answer = dns::answer(bytes, self.id(question), self.name(question), family)?;
            Some((question, answer))
        })
    }

    fn replied(&self, question: Question, server: usize, answer: Answer) -> Event {
        let failed = |code| {
            let name = self.name(question).to_owned();
            Reply::Failed(NameError::Answered(code, name))
        };
        let reply = match answer {
            Answer::Addresses(found) => Reply::Addresses(found),
            Answer::NoName => Reply::NoName,
            Answer::NoAddress => Reply::NoAddress,
            Answer::Failed(code) => failed(code),
            Answer::Truncated => failed(0),
        };
        Event::Replied {
            question,
            server,
            reply,
        }
    }
}

impl Stream {
    fn new(
        question: Question,
        server: usize,
        address: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None)?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(nix::Error::EINPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let length = u16::try_from(bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
        Ok(Self {
            server,
            question,
            socket: socket.into(),
            output: [&length.to_be_bytes(), bytes].concat(),
            input: Vec::new(),
        })
    }

    /// Sends and reads as much as possible. Returns the answer when it is complete.
    fn proceed(&mut self, epoll: &Epoll) -> io::Result<Option<Vec<u8>>> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count.min(self.output.len()));
                    if self.output.is_empty() {
                        let mut event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
                        epoll.modify(&self.socket, &mut event)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; LONGEST];
        loop {
            if let Some((length, rest)) = self.input.split_first_chunk::<2>()
                && let Some(answer) = rest.get(..u16::from_be_bytes(*length).into())
            {
                return Ok(Some(answer.to_vec()));
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::ConnectionReset.into()),
                Ok(count) => self
                    .input
                    .extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A datagram socket with a random port that exchanges datagrams with one server only.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}

fn watch(epoll: &Epoll, socket: &impl AsFd, flags: EpollFlags) -> io::Result<()> {
    epoll.add(socket, EpollEvent::new(flags, 0))?;
    Ok(())
}
