//! A letter from a thread: one value, and a descriptor that is ready when it has come.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The stack of a thread. The deepest one, a TLS handshake, uses about 40 KiB; pages that are not used cost nothing.
const STACK: usize = 512 * 1024;

/// Where the letter will be.
#[derive(Debug)]
pub(super) struct Mail<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    letter: Mutex<Option<T>>,
    come: EventFd,
}

impl<T: Send + 'static> Mail<T> {
    /// Runs `write` in a thread of its own. If the mail is dropped, nobody reads the letter, and the thread ends by itself.
    ///
    /// # Errors
    /// No thread or no descriptor could be had: EAGAIN (a limit on processes), EMFILE, ENOMEM.
    pub(super) fn from(write: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let come = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let inner = Arc::new(Inner { letter: Mutex::new(None), come });
        let sender = Arc::clone(&inner);
        thread::Builder::new().stack_size(STACK).spawn(move || {
            let letter = write();
            *sender.letter.lock().unwrap_or_else(PoisonError::into_inner) = Some(letter);
            // Cannot fail: the counter goes from 0 to 1.
            let _ = sender.come.write(1);
        })?;
        Ok(Self { inner })
    }

    /// The letter, if it has come.
    pub(super) fn take(&self) -> Option<T> {
        self.inner.letter.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> AsFd for Mail<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.come.as_fd()
    }
}
