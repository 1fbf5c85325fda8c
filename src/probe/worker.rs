//! Letters from a thread: what blocks runs there, and a descriptor is ready when its result has come.
//!
//! A desk keeps its thread for the next letter: an attempt that is answered costs no new one. A thread that does not come back is left
//! behind with its letter, and ends by itself when it is done.

use crate::event_loop::Interest;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The stack of a thread. The deepest one, a TLS handshake, uses about 40 KiB; pages that are not used cost nothing.
const STACK: usize = 512 * 1024;

/// Who writes letters, one at a time.
pub(super) struct Desk<T> {
    writer: Option<Arc<Writer<T>>>,
}

/// A thread, and what goes in and out.
struct Writer<T> {
    desk: Mutex<State<T>>,
    changed: Condvar,
    come: EventFd,
}

enum State<T> {
    /// Nothing to write.
    Idle,
    /// To be written.
    Asked(Box<dyn FnOnce() -> T + Send>),
    /// Being written.
    Writing,
    /// Written.
    Come(T),
    /// Nobody reads any more.
    Closed,
}

impl<T: Send + 'static> Desk<T> {
    /// Without a thread, until something is asked.
    pub(super) const fn new() -> Self {
        Self { writer: None }
    }

    /// Has something been asked that has not come?
    pub(super) fn is_busy(&self) -> bool {
        self.writer
            .as_ref()
            .is_some_and(|writer| match *writer.state() {
                State::Asked(_) | State::Writing | State::Come(_) => true,
                State::Idle | State::Closed => false,
            })
    }

    /// Asks for a letter. What was asked before and has not come is given up.
    ///
    /// # Errors
    /// No thread or no descriptor could be had: EAGAIN (a limit on processes), EMFILE, ENOMEM.
    pub(super) fn ask(&mut self, write: impl FnOnce() -> T + Send + 'static) -> io::Result<()> {
        if self.is_busy() {
            self.give_up();
        }
        let writer = match &self.writer {
            Some(writer) => writer,
            None => self.writer.insert(Writer::start()?),
        };
        *writer.state() = State::Asked(Box::new(write));
        writer.changed.notify_one();
        Ok(())
    }

    /// The letter, if it has come.
    pub(super) fn take(&mut self) -> Option<T> {
        let writer = self.writer.as_ref()?;
        let mut state = writer.state();
        match std::mem::replace(&mut *state, State::Idle) {
            State::Come(letter) => {
                // Cannot fail: it has come.
                let _ = writer.come.read();
                Some(letter)
            }
            other @ (State::Idle | State::Asked(_) | State::Writing | State::Closed) => {
                *state = other;
                None
            }
        }
    }

    /// Leaves the thread behind.
    pub(super) fn give_up(&mut self) {
        if let Some(writer) = self.writer.take() {
            *writer.state() = State::Closed;
            writer.changed.notify_one();
        }
    }

    /// What is ready when the letter has come.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.writer
            .as_ref()
            .map(|writer| Interest::readable(writer.come.as_fd()))
    }
}

impl<T> Drop for Desk<T> {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            *writer.state() = State::Closed;
            writer.changed.notify_one();
        }
    }
}

impl<T> fmt::Debug for Desk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

impl<T> Writer<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Writer<T> {
    fn start() -> io::Result<Arc<Self>> {
        let come =
            EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let writer = Arc::new(Self {
            desk: Mutex::new(State::Idle),
            changed: Condvar::new(),
            come,
        });
        let own = Arc::clone(&writer);
        thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || own.serve())?;
        Ok(writer)
    }

    /// Writes what is asked, until nobody reads any more.
    fn serve(&self) {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut *state, State::Writing) {
                State::Asked(write) => {
                    drop(state);
                    let letter = write();
                    state = self.state();
                    if matches!(*state, State::Closed) {
                        return;
                    }
                    *state = State::Come(letter);
                    // Cannot fail: the counter goes from 0 to 1.
                    let _ = self.come.write(1);
                }
                State::Closed => return,
                other @ (State::Idle | State::Writing | State::Come(_)) => {
                    *state = other;
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Desk;
    use crate::event_loop::Poller;
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    fn come(desk: &mut Desk<thread::ThreadId>) -> thread::ThreadId {
        let mut poller = Poller::new();
        poller.add(desk.interest().expect("a thread"), "came");
        let until = Instant::now() + Duration::from_secs(20);
        assert_eq!(poller.wait(Some(until)), Ok(vec!["came"]));
        desk.take().expect("a letter")
    }

    #[test]
    fn a_thread_writes_many_letters() {
        let mut desk = Desk::new();
        assert!(desk.take().is_none() && !desk.is_busy());
        desk.ask(|| thread::current().id()).expect("a thread");
        let first = come(&mut desk);
        assert!(desk.take().is_none() && !desk.is_busy());
        desk.ask(|| thread::current().id()).expect("a thread");
        assert_eq!(come(&mut desk), first);
    }

    #[test]
    fn one_that_does_not_come_back_is_left_behind() {
        let mut desk = Desk::new();
        let (release, held) = mpsc::channel::<()>();
        desk.ask(move || {
            let _ = held.recv();
            thread::current().id()
        })
        .expect("a thread");
        assert!(desk.is_busy() && desk.take().is_none());
        desk.ask(|| thread::current().id()).expect("another thread");
        let second = come(&mut desk);
        drop(release);
        thread::sleep(Duration::from_millis(50));
        assert!(desk.take().is_none(), "its letter is nobody's");
        desk.ask(|| thread::current().id()).expect("the thread");
        assert_eq!(come(&mut desk), second);
    }
}
