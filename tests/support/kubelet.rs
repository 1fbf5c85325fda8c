//! What the kubelet does with a pod's containers, as far as podgate's promises rest on it (DESIGN 2).
//!
//! One thread plays it, so that what it does happens in one order: containers are started in the order of the list; a `postStart`
//! hook holds back all that comes after it, a deletion too; one that fails stops its container, and the next one starts all the same
//! (`startContainer` and `SyncPod` in `pkg/kubelet/kuberuntime`). Not played: init containers, probes, a back-off that grows.

use super::pod::{Container, End, Exec, Life, Pod, Sandbox, pause};
use super::{Done, LIMIT, eventually_or};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Never,
    OnFailure,
    Always,
}

/// How a pod is looked after.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub policy: RestartPolicy,
    /// From an end to the next start.
    pub back_off: Duration,
    /// What a container gets when its `postStart` has failed: a pod's `terminationGracePeriodSeconds`.
    pub grace: Duration,
}

impl From<RestartPolicy> for Rules {
    fn from(policy: RestartPolicy) -> Self {
        Self { policy, back_off: Duration::from_millis(100), grace: Duration::from_secs(2) }
    }
}

/// As `kubectl get pod` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    PostStart,
    PreStop,
}

/// The kubelet always leaves a container this long after its `preStop`, or what the grace was if that is less.
const SMALLEST_WINDOW: Duration = Duration::from_secs(2);

/// A pod that is being played. When dropped, all of it is killed.
pub struct Play {
    kubelet: Arc<Kubelet>,
    tell: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

struct Kubelet {
    rules: Rules,
    sandbox: Arc<Sandbox>,
    slots: Mutex<Vec<Slot>>,
    /// The test is over: nothing more is started.
    closing: AtomicBool,
    /// All have ended, for good.
    finished: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// A container of the list, and what became of it.
struct Slot {
    container: Container,
    lives: Vec<Arc<Life>>,
    hooks: Vec<(Hook, Arc<Done>)>,
    plan: Plan,
}

#[derive(Clone, Copy)]
enum Plan {
    Start(Instant),
    /// It runs; its end is an event.
    Wait,
    Over,
}

enum Event {
    Ended(usize),
    Delete(Duration),
    Close,
}

impl Pod {
    /// Starts these containers and looks after them, in the background.
    pub fn play(&self, rules: impl Into<Rules>, containers: impl IntoIterator<Item = Container>) -> Play {
        let plan = Plan::Start(Instant::now());
        let slots = containers.into_iter();
        let kubelet = Arc::new(Kubelet {
            rules: rules.into(),
            sandbox: Arc::clone(self.sandbox()),
            slots: Mutex::new(
                slots.map(|container| Slot { container, lives: Vec::new(), hooks: Vec::new(), plan }).collect(),
            ),
            closing: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let (tell, events) = mpsc::channel();
        let (its, tells) = (Arc::clone(&kubelet), tell.clone());
        let thread = thread::spawn(move || its.work(&tells, &events));
        Play { kubelet, tell, thread: Some(thread) }
    }
}

impl Kubelet {
    fn work(&self, tell: &Sender<Event>, events: &Receiver<Event>) {
        while !self.is_closing() {
            let next = self.next();
            let wait = match next {
                Next::Start(_, when) => when.saturating_duration_since(Instant::now()),
                Next::Wait => LIMIT,
                Next::Finished => return self.finished.store(true, Ordering::SeqCst),
            };
            // What has happened goes before what is due: a deletion between two starts keeps the second from happening.
            match (events.recv_timeout(wait), next) {
                (Ok(Event::Ended(index)), _) => self.ended(index),
                (Ok(Event::Delete(grace)), _) => {
                    self.stop_all(grace);
                    return self.finished.store(true, Ordering::SeqCst);
                }
                (Ok(Event::Close) | Err(RecvTimeoutError::Disconnected), _) => return,
                (Err(RecvTimeoutError::Timeout), Next::Start(index, _)) => self.start(index, tell),
                (Err(RecvTimeoutError::Timeout), Next::Wait | Next::Finished) => {}
            }
        }
    }

    /// The next start: those that never ran first, then the earliest.
    fn next(&self) -> Next {
        let slots = self.slots();
        let due = |(index, slot): (usize, &Slot)| match slot.plan {
            Plan::Start(when) => Some((!slot.lives.is_empty(), when, index)),
            Plan::Wait | Plan::Over => None,
        };
        match slots.iter().enumerate().filter_map(due).min() {
            Some((_, when, index)) => Next::Start(index, when),
            None if slots.iter().all(|slot| matches!(slot.plan, Plan::Over)) => Next::Finished,
            None => Next::Wait,
        }
    }

    fn start(&self, index: usize, tell: &Sender<Event>) {
        let container = self.slots()[index].container.clone();
        let tell = tell.clone();
        let life = match Life::start(&self.sandbox, &container, move || drop(tell.send(Event::Ended(index)))) {
            Ok(life) => Arc::new(life),
            Err(error) => {
                // The fault is the test's, or that the test is over.
                *self.failure.lock().unwrap() = Some(error);
                return self.closing.store(true, Ordering::SeqCst);
            }
        };
        let mut slots = self.slots();
        slots[index].plan = Plan::Wait;
        slots[index].lives.push(Arc::clone(&life));
        drop(slots);
        // Whoever closes kills the lives that it sees: this one it may not have seen.
        if self.is_closing() {
            return life.kill();
        }
        let Some(hook) = &container.post_start else { return };
        let mut exec = life.start_exec(hook);
        // The kubelet sets no limit; the container's end is one.
        let done = loop {
            if let Some(done) = exec.done() {
                break done;
            }
            pause();
        };
        let failed = !done.status.success();
        self.slots()[index].hooks.push((Hook::PostStart, Arc::new(done)));
        if failed {
            self.stop(index, &life, self.rules.grace);
        }
    }

    fn ended(&self, index: usize) {
        let slot = &mut self.slots()[index];
        let Some(end) = slot.lives.last().and_then(|life| life.end()) else { return };
        slot.plan = match self.rules.policy {
            RestartPolicy::Never => Plan::Over,
            RestartPolicy::OnFailure if end.code == 0 => Plan::Over,
            RestartPolicy::OnFailure | RestartPolicy::Always => Plan::Start(end.at + self.rules.back_off),
        };
    }

    /// Stops all that run, at once: in one breath where no hook comes first, and load does not matter.
    fn stop_all(&self, grace: Duration) {
        let alive = |(index, slot): (usize, &Slot)| {
            let life = slot.lives.last().filter(|life| life.is_running())?;
            Some((index, Arc::clone(life), slot.container.clone()))
        };
        let running: Vec<_> = self.slots().iter().enumerate().filter_map(alive).collect();
        for (_, life, container) in running.iter().filter(|(_, _, container)| container.pre_stop.is_none()) {
            life.signal(container.stop_signal);
        }
        thread::scope(|scope| {
            for (index, life, container) in &running {
                scope.spawn(move || match container.pre_stop {
                    Some(_) => self.stop(*index, life, grace),
                    None => end_within(life, grace),
                });
            }
        });
    }

    /// Stops a container: its `preStop`, the stop signal, and at the end of the grace SIGKILL.
    fn stop(&self, index: usize, life: &Life, grace: Duration) {
        let (begin, container) = (Instant::now(), self.slots()[index].container.clone());
        let mut window = grace;
        if let Some(hook) = &container.pre_stop {
            let mut exec: Exec = life.start_exec(hook);
            let done = loop {
                let done = exec.done();
                if done.is_some() || begin.elapsed() >= grace {
                    break done;
                }
                pause();
            };
            self.slots()[index].hooks.extend(done.map(|done| (Hook::PreStop, Arc::new(done))));
            window = grace.saturating_sub(begin.elapsed()).max(grace.min(SMALLEST_WINDOW));
        }
        life.signal(container.stop_signal);
        end_within(life, window);
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap()
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst) || self.sandbox.is_closed()
    }
}

/// Waits for the end of a container that was told to, and kills it if it does not come.
fn end_within(life: &Life, window: Duration) {
    if life.ended_within(window).is_none() {
        life.kill();
        let _ = life.ended_within(LIMIT);
    }
}

enum Next {
    Start(usize, Instant),
    Wait,
    Finished,
}

impl Play {
    /// The newest life of a container; waits for the first one. Its hook may still run.
    #[track_caller]
    pub fn life(&self, name: &str) -> Arc<Life> {
        self.wait(&format!("{name:?} to run"), || self.lives(name).last().cloned())
    }

    /// A container's life number `number`, from 0; waits for it.
    #[track_caller]
    pub fn nth_life(&self, name: &str, number: usize) -> Arc<Life> {
        self.wait(&format!("life {number} of {name:?}"), || self.lives(name).get(number).cloned())
    }

    /// All its lives so far.
    #[track_caller]
    pub fn lives(&self, name: &str) -> Vec<Arc<Life>> {
        self.slot(name, |slot| slot.lives.clone())
    }

    /// How its lives ended, so far.
    #[track_caller]
    pub fn ends(&self, name: &str) -> Vec<End> {
        self.lives(name).iter().filter_map(|life| life.end()).collect()
    }

    /// The codes of its ends.
    #[track_caller]
    pub fn codes(&self, name: &str) -> Vec<i32> {
        self.ends(name).iter().map(|end| end.code).collect()
    }

    #[track_caller]
    pub fn restarts(&self, name: &str) -> usize {
        self.lives(name).len().saturating_sub(1)
    }

    /// Its hooks of this kind that have ended.
    #[track_caller]
    pub fn hooks(&self, name: &str, hook: Hook) -> Vec<Arc<Done>> {
        self.slot(name, |slot| {
            slot.hooks.iter().filter(|(its, _)| *its == hook).map(|(_, done)| Arc::clone(done)).collect()
        })
    }

    /// Waits for the end of its next `postStart`, or the one it has had.
    #[track_caller]
    pub fn post_start(&self, name: &str) -> Arc<Done> {
        self.wait(&format!("the postStart of {name:?}"), || self.hooks(name, Hook::PostStart).last().cloned())
    }

    pub fn phase(&self) -> Phase {
        let slots = self.kubelet.slots();
        let codes: Vec<_> = slots.iter().map(|slot| Some(slot.lives.last()?.end()?.code)).collect();
        if !self.kubelet.finished.load(Ordering::SeqCst) {
            let all_came = slots.iter().all(|slot| !slot.lives.is_empty());
            return if all_came { Phase::Running } else { Phase::Pending };
        }
        if codes.iter().all(|code| *code == Some(0)) { Phase::Succeeded } else { Phase::Failed }
    }

    /// Deletes the pod, as `kubectl delete --wait=false`: `preStop` and stop signal to all at once, and what is left at the end of
    /// the grace is killed. A `postStart` that still runs is waited for first.
    pub fn delete(&self, grace: Duration) {
        let _ = self.tell.send(Event::Delete(grace));
    }

    /// Waits until all have ended for good.
    #[track_caller]
    pub fn finish(&self) -> Phase {
        self.wait("the end of the pod", || self.kubelet.finished.load(Ordering::SeqCst).then_some(()));
        self.phase()
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let look = || {
            if let Some(failure) = &*self.kubelet.failure.lock().unwrap() {
                panic!("{failure}");
            }
            look()
        };
        eventually_or(what, look, || self.to_string())
    }

    #[track_caller]
    fn slot<T>(&self, name: &str, look: impl FnOnce(&Slot) -> T) -> T {
        let slots = self.kubelet.slots();
        let found = slots.iter().find(|slot| slot.container.name == name).map(look);
        drop(slots);
        found.unwrap_or_else(|| panic!("the pod has no container {name:?}"))
    }
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for slot in &*self.kubelet.slots() {
            slot.lives.iter().try_for_each(|life| write!(f, "{life}"))?;
            slot.hooks.iter().try_for_each(|(hook, done)| write!(f, "{:?} {hook:?} {done}", slot.container.name))?;
        }
        Ok(())
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.kubelet.closing.store(true, Ordering::SeqCst);
        let _ = self.tell.send(Event::Close);
        for slot in &*self.kubelet.slots() {
            slot.lives.iter().for_each(|life| life.kill());
        }
        let _ = self.thread.take().map(JoinHandle::join);
        for slot in &*self.kubelet.slots() {
            for life in &slot.lives {
                let _ = life.ended_within(LIMIT);
            }
        }
    }
}
