//! The socket at which CMD reports by sd_notify(3) that it is ready.
//!
//! It is an abstract unix socket (unix(7)), so it needs no directory that can be written, and no
//! rights. Its name cannot be guessed, but every container of the pod can find it in
//! `/proc/net/unix`. So what counts is the sender: the kernel says which process has sent a
//! datagram, by its pid in this PID namespace, and 0 for a process outside of it.

use super::sys::receive;
use crate::core::notify::{LONGEST, Notification, read};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt,
};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The most datagrams that are read in a row. After them the other events have their turn.
const MOST: usize = 32;

#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: OwnedFd,
    /// Its name without the NUL before it.
    name: String,
}

impl NotifySocket {
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub(crate) fn bind() -> Result<Self, Errno> {
        // std seeds its hashers from getrandom(2).
        let random = RandomState::new().build_hasher().finish();
        let name = format!("podgate.notify.{random:016x}");
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Before the socket has a name: a datagram that came earlier would have no sender.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        bind(
            socket.as_raw_fd(),
            &UnixAddr::new_abstract(name.as_bytes())?,
        )?;
        Ok(Self { socket, name })
    }

    /// The value of NOTIFY_SOCKET.
    pub(crate) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// What has arrived since the last call from this PID namespace. Does not block. If much has
    /// arrived, the rest is left for the next call.
    ///
    /// # Errors
    /// Those of recvmsg(2) that another call would have, too. The socket is of no use then.
    pub(crate) fn receive(&self) -> Result<Notification, Errno> {
        let mut all = Notification::default();
        let mut buffer = [0; LONGEST];
        for _ in 0..MOST {
            let datagram = match receive(self.socket.as_fd(), &mut buffer) {
                Ok(datagram) => datagram,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOMEM | Errno::ENOBUFS) => break,
                Err(error) => return Err(error),
            };
            if datagram.sender > 0
                && datagram.is_whole
                && let Some(bytes) = buffer.get(..datagram.length)
            {
                all.add(read(bytes));
            }
        }
        Ok(all)
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, NotifySocket};
    use crate::core::notify::{LONGEST, Notification};
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::{self, IoSlice, PipeWriter, Read};
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn receive(notify: &NotifySocket) -> Notification {
        notify.receive().expect("read")
    }

    /// A process that reports: this one.
    fn service(notify: &NotifySocket) -> UnixDatagram {
        let service = UnixDatagram::unbound().expect("a socket");
        let name = notify.address().replacen('@', "", 1);
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        service.connect_addr(&address).expect("connected");
        service.set_nonblocking(true).expect("set");
        service
    }

    /// Sends this with a pipe so many times.
    fn send_with_pipes(service: &UnixDatagram, text: &[u8], pipe: &PipeWriter, count: usize) {
        let fds = vec![pipe.as_raw_fd(); count];
        let parts = [IoSlice::new(text)];
        let rights = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::empty();
        sendmsg::<UnixAddr>(service.as_raw_fd(), &parts, &rights, flags, None).expect("sent");
    }

    fn status(text: &str) -> Notification {
        Notification {
            is_ready: false,
            status: Some(text.to_owned()),
        }
    }

    #[test]
    fn what_a_process_of_this_namespace_sends_is_received_once() {
        let notify = NotifySocket::bind().expect("a socket");
        let service = service(&notify);
        assert_eq!(receive(&notify), Notification::default());
        service.send(b"STATUS=one").expect("sent");
        service.send(b"READY=1").expect("sent");
        let expected = Notification {
            is_ready: true,
            ..status("one")
        };
        assert_eq!(receive(&notify), expected);
        assert_eq!(receive(&notify), Notification::default());
    }

    #[test]
    fn a_datagram_counts_only_if_it_is_whole() {
        let notify = NotifySocket::bind().expect("a socket");
        let service = service(&notify);
        let mut longest = b"READY=1\n".to_vec();
        longest.resize(LONGEST + 1, b'x');
        service.send(&longest).expect("sent");
        assert!(!receive(&notify).is_ready);
        longest.truncate(LONGEST);
        service.send(&longest).expect("sent");
        assert!(receive(&notify).is_ready);
    }

    #[test]
    fn a_descriptor_that_was_sent_is_closed_and_its_message_counts() {
        let notify = NotifySocket::bind().expect("a socket");
        let service = service(&notify);
        for count in [1, 2, 253] {
            let (mut reader, writer) = io::pipe().expect("a pipe");
            send_with_pipes(&service, b"READY=1", &writer, count);
            drop(writer);
            assert!(receive(&notify).is_ready, "{count}");
            // Only the sent descriptors kept the pipe open.
            assert_eq!(reader.read(&mut [0]).expect("the end"), 0, "{count}");
        }
    }

    #[test]
    fn one_call_reads_a_limited_number_of_datagrams() {
        let notify = NotifySocket::bind().expect("a socket");
        // Each sender may fill the queue only so far (net.unix.max_dgram_qlen).
        let service = service(&notify);
        let mut sent = 0;
        while sent < MOST + 5 && service.send(format!("STATUS={sent}").as_bytes()).is_ok() {
            sent += 1;
        }
        let first = receive(&notify);
        assert_eq!(first, status(&(sent.min(MOST) - 1).to_string()));
        let rest = receive(&notify);
        assert_eq!(rest.status.is_some(), sent > MOST, "{sent} were sent");
    }

    #[test]
    fn two_sockets_have_different_names() {
        let first = NotifySocket::bind().expect("a socket");
        let second = NotifySocket::bind().expect("a socket");
        assert_ne!(first.address(), second.address());
        assert!(first.address().starts_with("@podgate.notify."));
    }
}
