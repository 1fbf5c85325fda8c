//! What the kubelet does with a pod's containers, as far as podgate's promises depend on it
//! (docs/kubernetes.md).
//!
//! One thread plays the kubelet, so that everything happens in one order. Each rule below has a
//! test in `player_rules` or `pod_harness`. The sources are `pkg/kubelet/…` of Kubernetes 1.32;
//! "doc" is the page Pod Lifecycle, "KEP" is KEP-753.
//!
//! | rule | source |
//! | --- | --- |
//! | init containers run one after the other, each until it exits with 0, before any main container starts | doc; `computeInitContainerActions` in `kuberuntime/kuberuntime_container.go` |
//! | an init container that fails is restarted; under Never the pod fails and its native sidecars are stopped | the same |
//! | the container after a native sidecar (`restartPolicy: Always`) starts when the sidecar's `postStart` and `startupProbe` have passed | KEP; the same |
//! | a native sidecar that ends is restarted whatever the pod's policy is, and containers that were started after it go on | KEP; the same |
//! | main containers start in the order of the list; a `postStart` delays all containers after it, and a deletion too | `SyncPod` in `kuberuntime/kuberuntime_manager.go` |
//! | a `postStart` that fails stops its container; a main container after it starts nevertheless, one after a native sidecar does not | `startContainer`, `SyncPod` |
//! | a `startupProbe` that fails `failureThreshold` times stops its container; on a main container it delays nothing | `prober/worker.go` |
//! | a main container is restarted by the pod's policy, after a back-off that doubles up to a limit | doc |
//! | a main container whose liveness or startup probe failed is restarted under OnFailure, even if it exits 0 | `computePodActions`; seen on 1.36.2 |
//! | RestartAllContainers: all containers are killed at once, without `preStop`; the sandbox and the volumes stay; init containers run again, and then all main containers, also those that had exited 0 | seen on 1.36.2 |
//! | a new sandbox (a crash, a reboot): the same in another IPC namespace, but a main container that had exited 0 under OnFailure does not start again, and under Never nothing does | seen on 1.36.2; `computePodActions` |
//! | when all main containers have ended, the native sidecars are stopped, and the pod ends | `computePodActions` (nothing to keep: `KillPod`) |
//! | deletion: the `preStop` hooks of all containers at once, then the stop signal to all main containers at once | `killContainer` |
//! | a native sidecar gets the stop signal when all main containers and all native sidecars after it have ended, or at the end of the grace period | `kuberuntime_termination_order.go` |
//! | SIGKILL at the end of the grace period, but at least 2 s after a `preStop` or a wait for others that used it up | `killContainer`, `minimumGracePeriodInSeconds` |
//! | phase: Pending until all main containers were started, Succeeded if all of them exited with 0, otherwise Failed; native sidecars do not count | `getPhase` in `kubelet_pods.go` |
//!
//! Two things differ. The back-off is short, and the first restart has one too (the kubelet
//! restarts as soon as it has seen the end, up to a second later). Readiness probes are not played,
//! and a liveness probe fails when a test says so.

use super::pod::{Container, End, Exec, Life, Pod, Sandbox, StartupProbe, pause};
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

/// The restart policy, and the times of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub policy: RestartPolicy,
    /// The time from an end to the next start, doubled for each restart.
    pub back_off: Duration,
    pub longest_back_off: Duration,
    /// The grace period of a container whose `postStart` has failed: the pod's
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
}

impl From<RestartPolicy> for Rules {
    fn from(policy: RestartPolicy) -> Self {
        let (back_off, longest_back_off) = (Duration::from_millis(100), Duration::from_secs(1));
        Self {
            policy,
            back_off,
            longest_back_off,
            grace: Duration::from_secs(2),
        }
    }
}

/// The phase of a pod, as `kubectl get pod` shows it.
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

/// The list that a container is in, and how it is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `initContainers`: runs until it ends.
    Init,
    /// `initContainers` with `restartPolicy: Always`: a native sidecar.
    Sidecar,
    /// `containers`.
    Main,
}

/// The kubelet leaves a container at least this much time after its `preStop`, or the grace period
/// if that is shorter.
const SMALLEST_WINDOW: Duration = Duration::from_secs(2);

/// A pod that is being played. When dropped, all its containers are killed.
pub struct Play {
    kubelet: Arc<Kubelet>,
    tell: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

struct Kubelet {
    rules: Rules,
    sandbox: Arc<Sandbox>,
    slots: Mutex<Vec<Slot>>,
    /// The test is over: nothing is started any more.
    closing: AtomicBool,
    /// All containers have ended and are not restarted.
    finished: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// A container of the list, and its state.
struct Slot {
    role: Role,
    container: Container,
    lives: Vec<Arc<Life>>,
    /// How many of its lives belong to earlier rounds or sandboxes.
    earlier: usize,
    hooks: Vec<(Hook, Arc<Done>)>,
    /// The time from which the next container of the list may start: the end of an init container,
    /// or the readiness of a native sidecar. It never changes again.
    passed: Option<Instant>,
    /// Whether it was stopped because its liveness or startup probe failed.
    is_probed: bool,
    plan: Plan,
}

impl Slot {
    /// In this round and sandbox.
    fn has_not_run(&self) -> bool {
        self.lives.len() == self.earlier
    }
}

#[derive(Clone, Copy)]
enum Plan {
    Start(Instant),
    /// The container runs. Its end is an event.
    Wait,
    Over,
}

enum Event {
    Ended(usize),
    /// The `startupProbe` of this life has passed, or has failed for good.
    Probed(usize, Arc<Life>, bool),
    /// The liveness probe of this life has failed for good.
    NotLive(usize, Arc<Life>),
    Delete(Duration),
    RestartAll,
    NewSandbox,
    Close,
}

impl Pod {
    /// Starts these containers and restarts them, in the background.
    pub fn play(
        &self,
        rules: impl Into<Rules>,
        containers: impl IntoIterator<Item = Container>,
    ) -> Play {
        self.play_all(
            rules,
            containers
                .into_iter()
                .map(|container| (Role::Main, container)),
        )
    }

    /// The same with init containers before them.
    pub fn play_all(
        &self,
        rules: impl Into<Rules>,
        containers: impl IntoIterator<Item = (Role, Container)>,
    ) -> Play {
        let plan = Plan::Start(Instant::now());
        let slot = |(role, container)| Slot {
            role,
            container,
            lives: Vec::new(),
            earlier: 0,
            hooks: Vec::new(),
            passed: None,
            is_probed: false,
            plan,
        };
        let slots: Vec<_> = containers.into_iter().map(slot).collect();
        assert!(
            slots.is_sorted_by_key(|slot| slot.role == Role::Main),
            "init containers come first"
        );
        let kubelet = Arc::new(Kubelet {
            rules: rules.into(),
            sandbox: Arc::clone(self.sandbox()),
            slots: Mutex::new(slots),
            closing: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            failure: Mutex::new(None),
        });
        let (tell, events) = mpsc::channel();
        let (its, tells) = (Arc::clone(&kubelet), tell.clone());
        let thread = thread::spawn(move || its.work(&tells, &events));
        Play {
            kubelet,
            tell,
            thread: Some(thread),
        }
    }
}

impl Kubelet {
    fn work(&self, tell: &Sender<Event>, events: &Receiver<Event>) {
        while !self.is_closing() {
            let next = self.next();
            let wait = match next {
                Next::Start(_, when) => when.saturating_duration_since(Instant::now()),
                Next::Wait => LIMIT,
                Next::Finished => {
                    // Only native sidecars still run.
                    self.stop_all(self.rules.grace);
                    return self.finished.store(true, Ordering::SeqCst);
                }
            };
            // Events come before starts that are due: a deletion between two starts prevents the
            // second one.
            match (events.recv_timeout(wait), next) {
                (Ok(Event::Ended(index)), _) => self.ended(index),
                (Ok(Event::Probed(index, life, true)), _) => {
                    if self.is_newest(index, &life) {
                        self.pass(index, Instant::now());
                    }
                }
                (Ok(Event::Probed(index, life, false) | Event::NotLive(index, life)), _) => {
                    self.slots()[index].is_probed = true;
                    self.stop(index, &life, self.rules.grace, &[])
                }
                (Ok(Event::RestartAll), _) => self.start_again(|_| true),
                (Ok(Event::NewSandbox), _) => self.new_sandbox(),
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

    /// The next start: first the containers that never ran, then the earliest restart.
    fn next(&self) -> Next {
        let slots = self.slots();
        let is_over = |slot: &Slot| matches!(slot.plan, Plan::Over);
        let has_failed = slots
            .iter()
            .any(|slot| slot.role == Role::Init && is_over(slot) && slot.passed.is_none());
        if has_failed
            || slots
                .iter()
                .filter(|slot| slot.role == Role::Main)
                .all(is_over)
        {
            return Next::Finished;
        }
        // The first container that holds others back. All after it wait, unless they have run
        // before.
        let holds = slots
            .iter()
            .position(|slot| slot.role != Role::Main && slot.passed.is_none());
        let due = |(index, slot): (usize, &Slot)| match slot.plan {
            Plan::Start(_) if slot.has_not_run() && holds.is_some_and(|holds| index > holds) => {
                None
            }
            Plan::Start(when) => Some((!slot.has_not_run(), when, index)),
            Plan::Wait | Plan::Over => None,
        };
        slots
            .iter()
            .enumerate()
            .filter_map(due)
            .min()
            .map_or(Next::Wait, |(_, when, index)| Next::Start(index, when))
    }

    fn start(&self, index: usize, tell: &Sender<Event>) {
        let (role, container) = {
            let slot = &self.slots()[index];
            (slot.role, slot.container.clone())
        };
        let its = tell.clone();
        let life = match Life::start(&self.sandbox, &container, move || {
            drop(its.send(Event::Ended(index)))
        }) {
            Ok(life) => Arc::new(life),
            Err(error) => {
                // The test has made a mistake, or is over.
                *self.failure.lock().unwrap() = Some(error);
                return self.closing.store(true, Ordering::SeqCst);
            }
        };
        let mut slots = self.slots();
        slots[index].plan = Plan::Wait;
        slots[index].lives.push(Arc::clone(&life));
        drop(slots);
        // `close` kills the lives that it sees. It may have missed this one.
        if self.is_closing() {
            return life.kill();
        }
        if let Some(hook) = &container.post_start {
            let mut exec = life.start_exec(hook);
            // The kubelet sets no limit. The end of the container is one.
            let done = loop {
                if let Some(done) = exec.done() {
                    break done;
                }
                pause();
            };
            let failed = !done.status.success();
            self.slots()[index]
                .hooks
                .push((Hook::PostStart, Arc::new(done)));
            if failed {
                return self.stop(index, &life, self.rules.grace, &[]);
            }
        }
        match container.startup_probe {
            Some(probe) => {
                let tell = tell.clone();
                thread::spawn(move || {
                    let passed = ask(&life, &probe);
                    passed.map(|passed| tell.send(Event::Probed(index, life, passed)))
                });
            }
            None if role == Role::Sidecar => self.pass(index, Instant::now()),
            None => {}
        }
    }

    fn is_newest(&self, index: usize, life: &Arc<Life>) -> bool {
        let slots = self.slots();
        slots[index]
            .lives
            .last()
            .is_some_and(|it| Arc::ptr_eq(it, life))
    }

    /// Kills all containers. Those that `comes_again` names start again, after the init containers.
    fn start_again(&self, comes_again: impl Fn(&Slot) -> bool) {
        let lives: Vec<_> = self
            .slots()
            .iter()
            .filter_map(|slot| slot.lives.last().cloned())
            .collect();
        // What has ended before ended by itself.
        let count = self.slots().len();
        (0..count).for_each(|index| self.ended(index));
        lives.iter().for_each(|life| life.kill());
        for life in lives {
            let _ = life.ended_within(LIMIT);
        }
        for slot in &mut *self.slots() {
            slot.plan = if comes_again(slot) {
                (slot.earlier, slot.passed, slot.is_probed) = (slot.lives.len(), None, false);
                Plan::Start(Instant::now())
            } else {
                Plan::Over
            };
        }
    }

    fn new_sandbox(&self) {
        self.sandbox.replace_ipc();
        let is_never = self.rules.policy == RestartPolicy::Never;
        self.start_again(|slot| {
            let is_over = slot.role == Role::Main && matches!(slot.plan, Plan::Over);
            !is_never && !is_over
        });
    }

    fn pass(&self, index: usize, now: Instant) {
        self.slots()[index].passed.get_or_insert(now);
    }

    fn ended(&self, index: usize) {
        let slot = &mut self.slots()[index];
        // The end of a life that was killed for a new round is no reason for anything.
        if !matches!(slot.plan, Plan::Wait) {
            return;
        }
        let Some(end) = slot.lives.last().and_then(|life| life.end()) else {
            return;
        };
        let restarts = u32::try_from(slot.lives.len()).unwrap() - 1;
        let back_off = self
            .rules
            .back_off
            .saturating_mul(2_u32.saturating_pow(restarts));
        let is_probed = std::mem::take(&mut slot.is_probed);
        let again = Plan::Start(end.at + back_off.min(self.rules.longest_back_off));
        slot.plan = match (slot.role, self.rules.policy) {
            (Role::Init, _) if end.code == 0 => {
                slot.passed = Some(end.at);
                Plan::Over
            }
            (Role::Init | Role::Main, RestartPolicy::Never) => Plan::Over,
            (Role::Main, RestartPolicy::OnFailure) if end.code == 0 && !is_probed => Plan::Over,
            (Role::Sidecar, _)
            | (Role::Init | Role::Main, RestartPolicy::OnFailure | RestartPolicy::Always) => again,
        };
    }

    /// Stops all running containers: native sidecars in their order, all others at once. Without
    /// hooks they all get the signal in one loop, so load makes no difference.
    fn stop_all(&self, grace: Duration) {
        let alive = |(index, slot): (usize, &Slot)| {
            let life = slot.lives.last().filter(|life| life.is_running())?;
            Some((index, Arc::clone(life), slot.role, slot.container.clone()))
        };
        let running: Vec<_> = self.slots().iter().enumerate().filter_map(alive).collect();
        let at_once =
            |role, container: &Container| role != Role::Sidecar && container.pre_stop.is_none();
        for (_, life, role, container) in &running {
            if at_once(*role, container) {
                life.signal(container.stop_signal);
            }
        }
        // The containers whose end a native sidecar waits for: all main containers, and the native
        // sidecars after it.
        let before = |index, role| {
            let goes_first = |other: usize, its: Role| match (role, its) {
                (Role::Sidecar, Role::Main) => true,
                (Role::Sidecar, Role::Sidecar) => other > index,
                (Role::Init | Role::Main, _) | (Role::Sidecar, Role::Init) => false,
            };
            let lives = running
                .iter()
                .filter(|(other, _, its, _)| goes_first(*other, *its));
            lives
                .map(|(_, life, _, _)| Arc::clone(life))
                .collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            for (index, life, role, container) in &running {
                let before = before(*index, *role);
                scope.spawn(move || match at_once(*role, container) {
                    true => end_within(life, grace),
                    false => self.stop(*index, life, grace, &before),
                });
            }
        });
    }

    /// Stops a container: its `preStop`, the end of those before it, the stop signal, and SIGKILL
    /// at the end of the grace period.
    fn stop(&self, index: usize, life: &Life, grace: Duration, before: &[Arc<Life>]) {
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
            self.slots()[index]
                .hooks
                .extend(done.map(|done| (Hook::PreStop, Arc::new(done))));
        }
        for other in before {
            other.ended_within(grace.saturating_sub(begin.elapsed()));
        }
        if container.pre_stop.is_some() || !before.is_empty() {
            window = grace
                .saturating_sub(begin.elapsed())
                .max(grace.min(SMALLEST_WINDOW));
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

/// Waits for the end of a container that got its stop signal, and kills it at the end of the grace
/// period.
fn end_within(life: &Life, window: Duration) {
    if life.ended_within(window).is_none() {
        life.kill();
        let _ = life.ended_within(LIMIT);
    }
}

/// Runs a `startupProbe` until it passes or has failed for good. `None`: the container has ended.
fn ask(life: &Life, probe: &StartupProbe) -> Option<bool> {
    let mut due = Instant::now() + probe.initial_delay;
    let mut failures = 0;
    loop {
        while Instant::now() < due {
            life.is_running().then_some(())?;
            thread::sleep(Duration::from_millis(1));
        }
        life.is_running().then_some(())?;
        let begin = Instant::now();
        // A tick that arrives during an attempt is kept (Go's `time.Ticker`), so the next attempt
        // starts at once.
        due = begin + probe.period;
        let mut exec = life.start_exec(&probe.command);
        let passed = loop {
            match exec.done() {
                Some(done) => break done.status.success(),
                None if begin.elapsed() >= probe.timeout => {
                    exec.kill();
                    break false;
                }
                None => pause(),
            }
        };
        life.is_running().then_some(())?;
        if passed {
            return Some(true);
        }
        failures += 1;
        if failures >= probe.failure_threshold {
            return Some(false);
        }
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
        self.wait(&format!("{name:?} to run"), || {
            self.lives(name).last().cloned()
        })
    }

    /// Life number `number` of a container, from 0; waits for it.
    #[track_caller]
    pub fn nth_life(&self, name: &str, number: usize) -> Arc<Life> {
        self.wait(&format!("life {number} of {name:?}"), || {
            self.lives(name).get(number).cloned()
        })
    }

    /// All its lives so far.
    #[track_caller]
    pub fn lives(&self, name: &str) -> Vec<Arc<Life>> {
        self.slot(name, |slot| slot.lives.clone())
    }

    /// How its lives have ended so far.
    #[track_caller]
    pub fn ends(&self, name: &str) -> Vec<End> {
        self.lives(name)
            .iter()
            .filter_map(|life| life.end())
            .collect()
    }

    /// The exit codes of its lives.
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
            slot.hooks
                .iter()
                .filter(|(its, _)| *its == hook)
                .map(|(_, done)| Arc::clone(done))
                .collect()
        })
    }

    /// Waits for the end of its next `postStart`, or returns one that has already ended.
    #[track_caller]
    pub fn post_start(&self, name: &str) -> Arc<Done> {
        self.wait(&format!("the postStart of {name:?}"), || {
            self.hooks(name, Hook::PostStart).last().cloned()
        })
    }

    /// The time at which its `startupProbe` and hook let the next container start, or the end of an
    /// init container.
    #[track_caller]
    pub fn passed(&self, name: &str) -> Option<Instant> {
        self.slot(name, |slot| slot.passed)
    }

    pub fn phase(&self) -> Phase {
        let slots = self.kubelet.slots();
        let slots: Vec<_> = slots
            .iter()
            .filter(|slot| slot.role == Role::Main)
            .collect();
        let codes: Vec<_> = slots
            .iter()
            .map(|slot| Some(slot.lives.last()?.end()?.code))
            .collect();
        if !self.kubelet.finished.load(Ordering::SeqCst) {
            let all_came = slots.iter().all(|slot| !slot.lives.is_empty());
            return if all_came {
                Phase::Running
            } else {
                Phase::Pending
            };
        }
        if codes.iter().all(|code| *code == Some(0)) {
            Phase::Succeeded
        } else {
            Phase::Failed
        }
    }

    /// The liveness probe of a running container fails for good: the kubelet stops the container.
    #[track_caller]
    pub fn fails_its_liveness_probe(&self, name: &str) {
        let life = self.life(name);
        let slots = self.kubelet.slots();
        let index = slots.iter().position(|slot| slot.container.name == name);
        let index = index.unwrap_or_else(|| panic!("the pod has no container {name:?}"));
        let _ = self.tell.send(Event::NotLive(index, life));
    }

    /// A container ends by a rule with the action RestartAllContainers.
    pub fn restarts_all_containers(&self) {
        let _ = self.tell.send(Event::RestartAll);
    }

    /// The sandbox is gone after a crash, and the kubelet makes a new one.
    pub fn gets_a_new_sandbox(&self) {
        let _ = self.tell.send(Event::NewSandbox);
    }

    /// Deletes the pod, as `kubectl delete --wait=false`: `preStop` and the stop signal to all
    /// containers at once; what still runs at the end of the grace period is killed. A running
    /// `postStart` is waited for first.
    pub fn delete(&self, grace: Duration) {
        let _ = self.tell.send(Event::Delete(grace));
    }

    /// Waits until all containers have ended for good.
    #[track_caller]
    pub fn finish(&self) -> Phase {
        self.wait("the end of the pod", || {
            self.kubelet.finished.load(Ordering::SeqCst).then_some(())
        });
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
        let found = slots
            .iter()
            .find(|slot| slot.container.name == name)
            .map(look);
        drop(slots);
        found.unwrap_or_else(|| panic!("the pod has no container {name:?}"))
    }
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for slot in &*self.kubelet.slots() {
            slot.lives.iter().try_for_each(|life| write!(f, "{life}"))?;
            slot.hooks.iter().try_for_each(|(hook, done)| {
                write!(f, "{:?} {hook:?} {done}", slot.container.name)
            })?;
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
