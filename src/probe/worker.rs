//! A worker runs a blocking job in its own thread. Its descriptor is ready when the job has a
//! result.
//!
//! A worker keeps its thread for the next job. A thread whose job does not return is abandoned
//! together with the job, and ends by itself when the job is done.
//!
//! Where no more threads are allowed (`pids.max` of the container, RLIMIT_NPROC), a job runs in
//! place: a signal or another check then waits for it.

use crate::core::errno::Errno;
use crate::event_loop::Interest;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The stack of a thread in bytes. Pages that are not used cost nothing.
const STACK: usize = 128 * 1024;

/// Runs one job at a time.
pub(super) struct Worker<T> {
    /// `None` until the first job.
    thread: Option<Arc<Shared<T>>>,
    /// The result of a job that ran in place.
    done_in_place: Option<T>,
}

/// The state that the worker and its thread share.
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Readable when the state is `Done`.
    done: EventFd,
}

enum State<T> {
    Idle,
    Queued(Box<dyn FnOnce() -> T + Send>),
    Running,
    Done(T),
    /// The worker does not need the result any more. The thread ends.
    Abandoned,
}

impl<T: Send + 'static> Worker<T> {
    /// A worker. Its thread is started with the first job.
    pub(super) const fn new() -> Self {
        Self {
            thread: None,
            done_in_place: None,
        }
    }

    /// Whether there is a job whose result was not taken.
    pub(super) fn is_busy(&self) -> bool {
        let has_job = |thread: &Arc<Shared<T>>| match *thread.state() {
            State::Queued(_) | State::Running | State::Done(_) => true,
            State::Idle | State::Abandoned => false,
        };
        self.done_in_place.is_some() || self.thread.as_ref().is_some_and(has_job)
    }

    /// Starts a job. If the result of an earlier job was not taken, that job is abandoned. A job
    /// that has no thread is done when this returns, so call [`Worker::take`] next.
    ///
    /// # Errors
    /// No descriptor is available (EMFILE, ENFILE).
    pub(super) fn start(&mut self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<()> {
        if self.is_busy() {
            self.abandon();
        }
        let thread = match &self.thread {
            Some(thread) => thread,
            None => match Shared::start() {
                Ok(thread) => self.thread.insert(thread),
                Err(error) if Errno::of(&error) == Errno::EAGAIN => {
                    self.done_in_place = Some(job());
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        *thread.state() = State::Queued(Box::new(job));
        thread.changed.notify_one();
        Ok(())
    }

    /// The result of the job, if the job is done.
    pub(super) fn take(&mut self) -> Option<T> {
        if let Some(result) = self.done_in_place.take() {
            return Some(result);
        }
        let thread = self.thread.as_ref()?;
        let mut state = thread.state();
        match std::mem::replace(&mut *state, State::Idle) {
            State::Done(result) => {
                // This cannot fail: the counter is 1.
                let _ = thread.done.read();
                Some(result)
            }
            other @ (State::Idle | State::Queued(_) | State::Running | State::Abandoned) => {
                *state = other;
                None
            }
        }
    }

    /// Abandons the thread and its job.
    pub(super) fn abandon(&mut self) {
        self.done_in_place = None;
        if let Some(thread) = self.thread.take() {
            thread.abandon();
        }
    }

    /// Ready when the job is done.
    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        self.thread
            .as_ref()
            .map(|thread| Interest::readable(thread.done.as_fd()))
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        if let Some(thread) = &self.thread {
            thread.abandon();
        }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn abandon(&self) {
        *self.state() = State::Abandoned;
        self.changed.notify_one();
    }
}

impl<T: Send + 'static> Shared<T> {
    fn start() -> io::Result<Arc<Self>> {
        let done =
            EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Self {
            state: Mutex::new(State::Idle),
            changed: Condvar::new(),
            done,
        });
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || own.run())?;
        Ok(shared)
    }

    /// Runs jobs until the worker abandons the thread.
    fn run(&self) {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut *state, State::Running) {
                State::Queued(job) => {
                    drop(state);
                    let result = job();
                    state = self.state();
                    if matches!(*state, State::Abandoned) {
                        return;
                    }
                    *state = State::Done(result);
                    // This cannot fail: the counter goes from 0 to 1.
                    let _ = self.done.write(1);
                }
                State::Abandoned => return,
                other @ (State::Idle | State::Running | State::Done(_)) => {
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
    use super::Worker;
    use crate::event_loop::Poller;
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    fn result(worker: &mut Worker<thread::ThreadId>) -> thread::ThreadId {
        let mut poller = Poller::new();
        poller.add(worker.interest().expect("a thread"), "done");
        let until = Instant::now() + Duration::from_secs(20);
        assert_eq!(poller.wait(Some(until)), Ok(vec!["done"]));
        worker.take().expect("a result")
    }

    #[test]
    fn one_thread_runs_many_jobs() {
        let mut worker = Worker::new();
        assert!(worker.take().is_none() && !worker.is_busy());
        worker.start(|| thread::current().id()).expect("a thread");
        let first = result(&mut worker);
        assert!(worker.take().is_none() && !worker.is_busy());
        worker.start(|| thread::current().id()).expect("a thread");
        assert_eq!(result(&mut worker), first);
    }

    #[test]
    fn a_thread_whose_job_does_not_return_is_abandoned() {
        let mut worker = Worker::new();
        let (release, held) = mpsc::channel::<()>();
        worker
            .start(move || {
                let _ = held.recv();
                thread::current().id()
            })
            .expect("a thread");
        assert!(worker.is_busy() && worker.take().is_none());
        worker
            .start(|| thread::current().id())
            .expect("another thread");
        let second = result(&mut worker);
        drop(release);
        thread::sleep(Duration::from_millis(50));
        assert!(worker.take().is_none(), "an abandoned result is dropped");
        worker.start(|| thread::current().id()).expect("the thread");
        assert_eq!(result(&mut worker), second);
    }
}
