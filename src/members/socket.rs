//! The second sign of life: an abstract unix socket (unix(7)), named after the incarnation.
//!
//! Some volumes share their files between containers and not their locks: gVisor without mount
//! annotations, desktop and FUSE bind mounts. There the lock of a living member looks free. The
//! containers of a pod share the network namespace, and with it the names of abstract sockets. The
//! kernel frees such a name when the process is dead, as it frees the lock.
//!
//! The socket is bound before the id is published, so no other process can have its name before. It
//! is never read: a datagram socket that is asked for by connect(2) has no queue of connections.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use std::os::fd::{AsRawFd, OwnedFd};

fn open(id: u64) -> Result<(OwnedFd, UnixAddr), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = UnixAddr::new_abstract(format!("podgate.{id:016x}").as_bytes())?;
    Ok((socket, address))
}

/// Binds the socket of an incarnation. `None` if that is impossible here: the member then has its
/// lock as its only sign of life.
pub(super) fn hold(id: u64) -> Option<OwnedFd> {
    let (socket, address) = open(id).ok()?;
    bind(socket.as_raw_fd(), &address).ok()?;
    Some(socket)
}

/// Whether a process of this network namespace has the socket of an incarnation. Never blocks.
/// `false` also if the kernel does not tell that.
pub(crate) fn is_bound(id: u64) -> bool {
    let Ok((socket, address)) = open(id) else {
        return false;
    };
    match connect(socket.as_raw_fd(), &address) {
        // A name that is bound by a socket of another kind, or whose owner has no time.
        Ok(()) | Err(Errno::EPROTOTYPE | Errno::EAGAIN) => true,
        // ECONNREFUSED: no process has the name. EPERM, ENOSYS and others: not known.
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{hold, is_bound};
    use crate::members::record::random;

    #[test]
    fn a_socket_is_there_until_its_owner_closes_it() {
        let id = random();
        assert!(!is_bound(id));
        let socket = hold(id).expect("a socket");
        assert!(is_bound(id));
        assert!(hold(id).is_none(), "one owner");
        assert!(!is_bound(id.wrapping_add(1)));
        drop(socket);
        assert!(!is_bound(id));
    }
}
