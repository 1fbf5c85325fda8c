//! The world of the model: its members, what may still happen to them, and every step that may come
//! next.

use super::judge::Truth;
use super::member::{Cmd, Hold, KILLED, LIVES, Machine, Member, Phase, Purpose, Written, id};
use super::{Flaw, Pod};
use podgate::core::completion::{Answer, Reader};
use podgate::core::life::{Action, Event, Life, Relation, Seen, Spec, State};
use podgate::core::member::{Name, Policy, Stage};
use podgate::core::observation::{End, Observation, Snapshot, observe};
use podgate::core::record::{Record, Times};
use podgate::core::time::Time;
use std::rc::Rc;
use std::time::Duration;

/// What a restart takes beyond the kubelet's back-off, at most.
const DELAY: Duration = Duration::from_secs(59);
const GRACE: Duration = Duration::from_secs(30);
const MARGIN: Duration = Duration::from_secs(5);
/// When `--absent-timeout` is over. Before any `--linger`, so that a tick at this time has no other
/// effect.
const ABSENT: Duration = Duration::from_millis(500);
const HOST: &str = "pod";

/// What may still happen, and what has happened to the pod as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    pub(super) kills: u8,
    pub(super) probes: u8,
    pub(super) quits: u8,
    /// How often it may still happen that acted-on failures cannot be written down.
    pub(super) forgets: u8,
    pub(super) rounds: u8,
    pub(super) crashes: u8,
    pub(super) is_deleted: bool,
    /// Whether a container that would be restarted has ended its last life. Then the pod is
    /// deleted.
    pub(super) is_given_up: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) members: Vec<Rc<Member>>,
    pub(super) fate: Fate,
    pub(super) wrong: Option<String>,
}

/// A step of one member.
pub(super) struct Step {
    pub(super) who: usize,
    pub(super) what: &'static str,
    /// Whether it happens in the end.
    pub(super) is_certain: bool,
    pub(super) world: World,
}

/// Adds a step: its text, whether it happens in the end, and its effect.
type Add<'a> = dyn FnMut(&'static str, bool, &dyn Fn(&mut World)) + 'a;

impl World {
    pub(super) fn new(pod: &Pod) -> Self {
        let fate = Fate {
            kills: pod.kills,
            probes: pod.probes,
            quits: pod.quits,
            forgets: pod.forgets,
            rounds: pod.rounds,
            crashes: pod.crashes,
            is_deleted: false,
            is_given_up: false,
        };
        Self {
            members: pod.roles.iter().map(|_| Rc::new(Member::new())).collect(),
            fate,
            wrong: None,
        }
    }

    pub(super) fn of(&mut self, who: usize) -> &mut Member {
        Rc::make_mut(&mut self.members[who])
    }

    /// Every step that may come next.
    pub(super) fn steps(&self, pod: &Pod) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in 0..self.members.len() {
            let mut add = |what, is_certain, change: &dyn Fn(&mut World)| {
                let mut world = self.clone();
                change(&mut world);
                world.decide(who, pod);
                steps.push(Step {
                    who,
                    what,
                    is_certain,
                    world,
                });
            };
            self.of_container(who, pod, &mut add);
            self.of_cmd(who, pod, &mut add);
            self.of_others(who, pod, &mut add);
        }
        steps.extend(self.of_all(pod));
        if !self.fate.is_deleted && (pod.may_be_deleted || self.fate.is_given_up) {
            let mut world = self.clone();
            world.fate.is_deleted = true;
            (0..world.members.len()).for_each(|who| world.signal(who, pod));
            let what = "and all others get the stop signal: the pod is deleted";
            steps.push(Step {
                who: 0,
                what,
                is_certain: self.fate.is_given_up,
                world,
            });
        }
        steps
    }

    /// What happens to all containers at once. A pod that has ended stays as it is.
    fn of_all(&self, pod: &Pod) -> Vec<Step> {
        let mut steps = Vec::new();
        let is_over = self.members.iter().all(|it| it.phase == Phase::Over);
        let mut add = |what, is_left: bool, change: &dyn Fn(&mut World)| {
            if is_left && !is_over && !self.fate.is_deleted && !self.fate.is_given_up {
                let mut world = self.clone();
                change(&mut world);
                steps.push(Step {
                    who: 0,
                    what,
                    is_certain: false,
                    world,
                });
            }
        };
        let what = "and all others are killed, and start again: RestartAllContainers";
        add(what, self.fate.rounds > 0, &|world| {
            world.fate.rounds -= 1;
            let keeps = pod.flaw == Flaw::KeepsRound;
            for it in &mut world.members {
                *it = Rc::new(it.in_next_round(keeps));
            }
        });
        let what = "and all others are killed: the sandbox crashes";
        add(what, self.fate.crashes > 0, &|world| {
            world.fate.crashes -= 1;
            for who in 0..world.members.len() {
                if world.members[who].is_alive() {
                    world.die(who, KILLED);
                }
                if pod.flaw == Flaw::ForgetsRound {
                    world.of(who).record = None;
                    world.of(who).memory.clear();
                }
            }
        });
        steps
    }

    /// The steps of a container, taken by the kubelet and by podgate's driver.
    fn of_container(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let role = &pod.roles[who];
        match self.members[who].phase {
            Phase::Down if self.fate.is_deleted => {
                add("is not started any more", true, &|world| {
                    world.of(who).phase = Phase::Over
                });
            }
            Phase::Down if self.may_restart(who, pod) => add("starts", true, &|world| {
                let it = world.of(who);
                *it = it.renewed(Phase::TakesLock);
                it.lives += 1;
                it.is_probed = false;
                it.cmd = if role.is_joined { Cmd::Runs } else { Cmd::None };
            }),
            // Its socket as well: no other member knows its id before the record is written.
            Phase::TakesLock => add("takes its lock", true, &|world| {
                world.of(who).has_socket = true;
                world.of(who).hold = if pod.flaw == Flaw::NarrowLock {
                    Hold::First
                } else {
                    Hold::Whole
                };
                world.of(who).phase = Phase::WritesRecord;
                world.has_changed(who, pod);
            }),
            Phase::WritesRecord => add("writes its first record", true, &|world| {
                let it = world.of(who);
                let policy = Some(role.policy).filter(|policy| *policy != Policy::Auto);
                it.record = Some(Written {
                    id: id(who, it.lives),
                    stage: Stage::Waiting,
                    exit: None,
                    is_stopped: false,
                    incarnation: pod.starts_before + it.earlier + it.lives,
                    policy,
                });
                it.notes.wrote[usize::from(it.lives)] = true;
                it.phase = Phase::NarrowsLock;
                world.has_changed(who, pod);
            }),
            Phase::NarrowsLock => add("narrows its lock", true, &|world| {
                world.of(who).hold = Hold::First;
                world.has_changed(who, pod);
                if role.is_joined {
                    world.of(who).phase = Phase::Announces
                } else {
                    world.come_alive(who, pod)
                }
            }),
            Phase::Announces => add("publishes that it runs", true, &|world| {
                let stage = if role.has_ready {
                    Stage::Running
                } else {
                    Stage::Ready
                };
                world.publish(who, stage, pod);
                world.come_alive(who, pod);
            }),
            Phase::Lives => self.of_podgate(who, pod, add),
            // Its record has the end, so the order of its two signs makes no difference.
            Phase::Exits(code) => add("exits", true, &|world| {
                world.of(who).hold = Hold::Free;
                world.of(who).has_socket = false;
                world.has_changed(who, pod);
                world.end(who, code, pod);
            }),
            Phase::Dies(code) => self.of_dying(who, code, pod, add),
            Phase::Down | Phase::Over => {}
        }
    }

    /// The steps in which the kernel ends a process: its lock and its socket are freed in either
    /// order.
    fn of_dying(&self, who: usize, code: u8, pod: &Pod, add: &mut Add<'_>) {
        let it = &self.members[who];
        let (is_held, has_socket) = (it.hold != Hold::Free, it.has_socket);
        if is_held {
            add("loses its lock", true, &|world| {
                world.of(who).hold = Hold::Free;
                world.has_changed(who, pod);
            });
        }
        if has_socket {
            add("loses its socket", true, &|world| {
                world.of(who).has_socket = false;
                // No event reports this. The member is looked at again.
                if pod.flaw != Flaw::ForgetsSockets {
                    world.has_changed(who, pod);
                }
            });
        }
        if !is_held && !has_socket {
            add("is dead", true, &|world| world.end(who, code, pod));
        }
    }

    /// What a living podgate may do next, as in a turn of its event loop.
    fn of_podgate(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let (it, role) = (&self.members[who], &pod.roles[who]);
        if let Some(action) = it.todo.front() {
            if matches!(action, Action::Remember(_)) && self.fate.forgets > 0 {
                add("cannot write down what it acts on", false, &|world| {
                    world.fate.forgets -= 1;
                    world.of(who).todo.pop_front();
                });
            }
            if *action == Action::Start && role.may_not_start {
                add("cannot start CMD", false, &|world| {
                    world.of(who).todo.pop_front();
                    world.handle(who, Time::ZERO, Event::NotStarted(127), pod);
                });
            }
            return add(name(action), true, &|world| world.act(who, pod));
        }
        if it.look.is_some() {
            return self.of_look(who, pod, add);
        }
        let Some(Machine(life)) = &it.life else {
            return;
        };
        if life.state() == State::Over {
            return;
        }
        if !it.has_begun {
            return add("begins", true, &|world| {
                let it = world.of(who);
                it.has_begun = true;
                if !role.has_needs() {
                    it.open(pod);
                }
            });
        }
        let is_started = it.cmd != Cmd::None;
        if it.is_signalled && (is_started || pod.flaw != Flaw::IgnoresEarlySignal) {
            add("takes a signal", true, &|world| {
                let it = world.of(who);
                it.is_signalled = false;
                if is_started {
                    it.begin_look(0..role.relations.len(), Purpose::Stop);
                } else {
                    it.events.push_back(Event::Stop(Vec::new()));
                }
            });
        }
        if it.is_asked {
            add("takes the request", true, &|world| {
                world.of(who).is_asked = false;
                world.of(who).events.push_back(Event::Quit);
            });
        }
        if let Some(code) = it.ended {
            add("reaps CMD", true, &|world| {
                world.of(who).ended = None;
                world.of(who).events.push_back(Event::Ended(code));
            });
        }
        if pod.flaw != Flaw::IgnoresChanges {
            for relation in (0..role.relations.len()).filter(|relation| it.changed[*relation]) {
                add("begins to look", true, &|world| {
                    world
                        .of(who)
                        .begin_look(relation..relation + 1, Purpose::Change)
                });
            }
        }
        match life.state() {
            State::Gate if role.has_needs() => {
                for relation in role.needs().filter(|relation| it.gate_changed[*relation]) {
                    let what = "begins to look whether its gate is open";
                    add(what, true, &|world| {
                        world
                            .of(who)
                            .begin_look(relation..relation + 1, Purpose::Gate)
                    });
                }
                let never = role.needs().any(|relation| {
                    self.members[role.relations[relation].0].phase == Phase::Over
                        && !it.gate_changed[relation]
                });
                add("gives up at its gate", never, &|world| {
                    world.of(who).events.push_back(Event::NotOpened(124))
                });
            }
            State::Holding { until } => add("is at the end of its hold", false, &|world| {
                world.of(who).notes.is_out_of_grace = true;
                world.handle(who, until, Event::Tick, pod);
            }),
            State::Stopping { kill: Some(kill) }
                if !role.obeys && it.cmd == Cmd::Signalled && !role.is_joined =>
            {
                add("is at the end of its grace", true, &|world| {
                    world.handle(who, kill, Event::Tick, pod)
                });
            }
            State::Gate
            | State::Running
            | State::Starting
            | State::Stopping { .. }
            | State::Over => {}
        }
        // Also while its stop is held back.
        let runs = matches!(life.state(), State::Running | State::Holding { .. });
        if runs && it.cmd == Cmd::Runs && role.has_ready && !life.is_ready() {
            add("is ready", true, &|world| {
                world.of(who).events.push_back(Event::Ready)
            });
        }
        if life.state() == State::Running
            && role.has_absent_timeout
            && life.absent().next().is_some()
        {
            let never = life.absent().all(|relation| {
                self.members[role.relations[relation].0].phase == Phase::Over
                    && !it.changed[relation]
            });
            let what = "has waited long enough for an absent member";
            add(what, never, &|world| {
                world.handle(who, Time::at(ABSENT), Event::Tick, pod)
            });
        }
        if matches!(life.state(), State::Gate | State::Running) {
            self.of_linger(who, life, pod, add);
        }
    }

    /// `--linger` is over when no member will come back that it waits for, or earlier if the
    /// kubelet's back-off and [`DELAY`] take longer.
    fn of_linger(&self, who: usize, life: &Life, pod: &Pod, add: &mut Add<'_>) {
        let (it, role) = (&self.members[who], &pod.roles[who]);
        let until = role
            .relations
            .iter()
            .zip(life.members())
            .filter(|((_, relation), _)| relation.until);
        let reader = Reader {
            policy: role.policy,
            linger: pod.linger,
            acted: &life.spec().acted,
        };
        let (mut after, mut are_over) = (None, true);
        for ((member, _), watched) in until {
            if let Answer::NotDone(Some(at)) = watched.answer(Time::ZERO, &reader) {
                after = after.max(Some(at));
                let other = &self.members[*member];
                let starts = pod.starts_before + other.earlier + other.notes.last_written();
                let back = Time::at(kubelet_back_off(starts) + DELAY);
                are_over = are_over && (other.phase == Phase::Over || at <= back);
            }
        }
        if let Some(after) = after.filter(|_| are_over && !it.changed.contains(&true)) {
            let mut life = Life::clone(life);
            if life
                .handle(after, Event::Tick)
                .iter()
                .any(|action| !matches!(action, Action::Notice(_)))
            {
                add("has lingered", true, &|world| {
                    world.handle(who, after, Event::Tick, pod)
                });
            }
        }
    }

    /// The steps of CMD.
    fn of_cmd(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let (it, role) = (&self.members[who], &pod.roles[who]);
        let is_there = if role.is_joined {
            it.is_alive()
        } else {
            it.phase == Phase::Lives
        };
        if !is_there {
            return;
        }
        match it.cmd {
            Cmd::Runs => {
                for code in role.ends {
                    add("CMD ends by itself", true, &|world| {
                        world.end_cmd(who, *code, pod)
                    });
                }
            }
            Cmd::Signalled if role.obeys => add("CMD ends on its stop signal", true, &|world| {
                world.end_cmd(who, role.stop_code, pod)
            }),
            Cmd::Signalled | Cmd::None | Cmd::Dead => {}
        }
        if it.has_living_cmd() && self.fate.kills > 0 {
            add("CMD is killed", false, &|world| {
                world.fate.kills -= 1;
                world.end_cmd(who, KILLED, pod);
            });
        }
    }

    /// What is done to it from outside.
    fn of_others(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let it = &self.members[who];
        if !it.is_alive() {
            return;
        }
        if self.fate.kills > 0 {
            add("is killed", false, &|world| {
                world.fate.kills -= 1;
                world.die(who, KILLED);
            });
        }
        if self.fate.probes > 0 {
            add("gets the stop signal, alone", false, &|world| {
                world.fate.probes -= 1;
                world.signal(who, pod);
            });
            add(
                "fails its liveness probe, and is stopped",
                false,
                &|world| {
                    world.fate.probes -= 1;
                    world.of(who).is_probed = true;
                    world.signal(who, pod);
                },
            );
        }
        // A request is for an incarnation that has been seen.
        if self.fate.quits > 0 && it.phase == Phase::Lives && !it.is_asked {
            add("is asked to quit", false, &|world| {
                world.fate.quits -= 1;
                world.of(who).is_asked = true;
            });
        }
    }

    /// SIGTERM goes to PID 1: podgate, or the CMD of a joined member.
    fn signal(&mut self, who: usize, pod: &Pod) {
        if !self.members[who].is_alive() || matches!(self.members[who].phase, Phase::Exits(_)) {
            return;
        }
        let it = self.of(who);
        if !pod.roles[who].is_joined {
            it.is_signalled = true;
        } else if it.cmd == Cmd::Runs {
            it.cmd = Cmd::Signalled;
        }
    }

    /// Whether all others have seen the end: the kubelet takes longer than a turn of podgate.
    fn may_restart(&self, who: usize, pod: &Pod) -> bool {
        let has_seen_all = |(other, it): (usize, &Rc<Member>)| {
            let is_at_gate = it.cmd == Cmd::None;
            let is_news =
                |relation: usize| it.changed[relation] || (is_at_gate && it.gate_changed[relation]);
            it.phase != Phase::Lives
                || (it.is_idle() && !pod.roles[other].relations_to(who).any(is_news))
        };
        self.members[who].lives == 0
            || pod.is_eager
            || self.members.iter().enumerate().all(has_seen_all)
    }

    /// Something of this member has changed on the volume.
    fn has_changed(&mut self, who: usize, pod: &Pod) {
        for (other, role) in pod.roles.iter().enumerate() {
            for relation in role.relations_to(who) {
                let it = &self.members[other];
                if it.phase == Phase::Lives && !it.changed[relation] {
                    self.of(other).changed[relation] = true;
                }
                let it = &self.members[other];
                let is_at_gate = it.phase == Phase::Lives && it.cmd == Cmd::None;
                if is_at_gate && role.relations[relation].1.needs && !it.gate_changed[relation] {
                    self.of(other).gate_changed[relation] = true;
                }
            }
        }
    }

    /// The member has its name. Its life begins with a look at all other members.
    fn come_alive(&mut self, who: usize, pod: &Pod) {
        let role = &pod.roles[who];
        let relations: Vec<Relation> = role
            .relations
            .iter()
            .map(|(_, relation)| *relation)
            .collect();
        let spec = Spec {
            policy: role.policy,
            linger: pod.linger,
            grace: GRACE,
            margin: if pod.flaw == Flaw::NeverHolds {
                GRACE
            } else {
                MARGIN
            },
            absent_timeout: role.has_absent_timeout.then_some(ABSENT),
            has_ready: role.has_ready,
            serves: role.serves(),
            gate_proves_needs: true,
            is_joined: role.is_joined,
            acted: self.members[who].memory.clone(),
            relations,
        };
        let it = self.of(who);
        it.life = Some(Machine(Rc::new(Life::new(spec, Time::ZERO))));
        it.phase = Phase::Lives;
        it.changed[..role.relations.len()].fill(true);
        role.needs()
            .for_each(|relation| it.gate_changed[relation] = true);
        it.begin_look(0..role.relations.len(), Purpose::Change);
    }

    /// One of the reads of a look, as in `members`.
    fn of_look(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let Some(look) = &self.members[who].look else {
            return;
        };
        let Some(relation) = look.rest.clone().next() else {
            return;
        };
        let member = pod.roles[who].relations[relation].0;
        let record = self.members[member].record;
        let is_joined = pod.roles[member].is_joined;
        match (look.first, look.hold, look.socket) {
            (None, _, _) => add("reads a record", true, &|world| {
                let it = world.of(who);
                // A change from now on is a new one.
                let looks_forever = pod.flaw == Flaw::LooksForever;
                match it.look.as_ref().map(|look| look.purpose) {
                    Some(Purpose::Gate) => it.gate_changed[relation] = false,
                    Some(Purpose::Change | Purpose::Stop | Purpose::Start) | None => {
                        it.changed[relation] = looks_forever;
                    }
                }
                it.look
                    .iter_mut()
                    .for_each(|look| look.first = Some(record));
            }),
            (Some(_), None, _) => add("tests a lock", true, &|world| {
                let other = &world.members[member];
                let seen = if pod.shares_locks {
                    other.hold
                } else {
                    Hold::Free
                };
                let found = (seen, Truth::of(member, other, pod));
                world
                    .of(who)
                    .look
                    .iter_mut()
                    .for_each(|look| look.hold = Some(found));
            }),
            // Only where the lock is free and the record has no end.
            (Some(Some(first)), Some((Hold::Free, _)), None)
                if first.exit.is_none() && pod.flaw != Flaw::LockAlone =>
            {
                add("asks for a socket", true, &|world| {
                    let other = &world.members[member];
                    let is_bound = other.is_bound() && first.id == id(member, other.lives);
                    let found = (is_bound, Truth::of(member, other, pod));
                    world
                        .of(who)
                        .look
                        .iter_mut()
                        .for_each(|look| look.socket = Some(found));
                });
            }
            (Some(first), Some((hold, truth)), socket)
                if first == record || pod.flaw == Flaw::ReadsOnce =>
            {
                add("reads the record again", true, &|world| {
                    let is_bound = socket.is_some_and(|(is_bound, _)| is_bound);
                    let observation = observation(first, hold, is_bound, is_joined);
                    let later = socket.map_or(truth, |(_, truth)| truth);
                    let codes = world.members[member].notes.codes;
                    let truths = truth.between(later, &codes, member);
                    world.is_sighting_right(member, observation, &truths, pod);
                    world.saw(who, relation, observation, pod);
                });
            }
            (Some(_), Some(_), _) => {
                add("reads another record", true, &|world| {
                    world
                        .of(who)
                        .look
                        .iter_mut()
                        .for_each(|look| look.again(record));
                });
                if pod.is_hasty {
                    add("reads another record, for the last time", false, &|world| {
                        let observation = observation(record, Hold::First, false, is_joined);
                        world.saw(who, relation, observation, pod);
                    });
                }
            }
        }
    }

    /// The look at one relation is over. After the last one the whole look is over.
    fn saw(&mut self, who: usize, relation: usize, observation: Observation, pod: &Pod) {
        let (member, _) = pod.roles[who].relations[relation];
        let is_absent_done = pod.flaw == Flaw::AbsentIsDone && observation == Observation::Absent;
        let observation = if is_absent_done {
            Observation::Ended {
                id: 1,
                incarnation: Some(1),
                end: End::Code(0),
                policy: None,
            }
        } else {
            observation
        };
        let is_alive = self.members[member].hold != Hold::Free;
        let it = self.of(who);
        it.notes.saw_alive[relation] = is_alive && observation.is_alive();
        let Some(mut look) = it.look.take() else {
            return;
        };
        look.seen[relation] = Some(observation);
        look.rest.start += 1;
        (look.first, look.hold, look.socket) = (None, None, None);
        if !look.rest.is_empty() {
            it.look = Some(look);
            return;
        }
        let one = |(member, seen): (usize, &Option<Observation>)| {
            seen.map(|observation| Seen {
                member,
                observation,
            })
        };
        let seen: Vec<Seen> = look.seen.iter().enumerate().filter_map(one).collect();
        match look.purpose {
            Purpose::Change => it.events.push_back(Event::Seen(seen)),
            Purpose::Stop => it.events.push_back(Event::Stop(seen)),
            // These pods have at most one need. Several needs would each have to pass once.
            Purpose::Gate => {
                if let Observation::Alive {
                    id: Some(id),
                    stage: Some(Stage::Ready),
                } = observation
                {
                    it.notes.needed[relation] = id;
                    if pod.flaw == Flaw::GateLooksAlone {
                        it.open(pod);
                    } else {
                        it.begin_look(0..pod.roles[who].relations.len(), Purpose::Start);
                    }
                }
            }
            Purpose::Start => {
                it.events.push_back(Event::Opening);
                it.events.push_back(Event::Seen(seen));
                it.open(pod);
            }
        }
    }

    /// A decision follows at once from the step before: a step of another member in between makes
    /// no difference.
    fn decide(&mut self, who: usize, pod: &Pod) {
        while self.members[who].is_deciding()
            && let Some(event) = self.of(who).events.pop_front()
        {
            self.handle(who, Time::ZERO, event, pod);
        }
    }

    /// Hands an event to the life.
    fn handle(&mut self, who: usize, now: Time, event: Event, pod: &Pod) {
        if event == Event::Opened && self.members[who].is_signalled {
            self.wrong = Some("its gate opens after a signal to end".to_owned());
        }
        self.note_event(who, &event, pod);
        let it = self.of(who);
        let Some(Machine(life)) = &mut it.life else {
            return;
        };
        let mut actions = Rc::make_mut(life).handle(now, event);
        if pod.flaw == Flaw::ActsFirst {
            actions.sort_by_key(|action| matches!(action, Action::Remember(_)));
        }
        it.todo.extend(
            actions
                .into_iter()
                .filter(|action| !matches!(action, Action::Notice(_))),
        );
        self.note_decision(who, pod);
    }

    fn act(&mut self, who: usize, pod: &Pod) {
        let Some(action) = self.of(who).todo.pop_front() else {
            return;
        };
        self.is_written_before(who, &action);
        match action {
            Action::Start => {
                self.is_start_right(who, pod);
                self.of(who).cmd = if self.members[who].cmd == Cmd::None {
                    Cmd::Runs
                } else {
                    self.members[who].cmd
                };
                self.of(who).gate_changed.fill(false);
                self.handle(who, Time::ZERO, Event::Started, pod);
            }
            Action::Publish(stage) => self.publish(who, stage, pod),
            Action::Remember(ids) => {
                self.is_new_to(who, &ids);
                if pod.flaw != Flaw::Forgets {
                    self.of(who).memory.extend(ids);
                }
            }
            // CMD may get its stop signal a second time.
            Action::StopCmd => {
                if self.members[who].cmd == Cmd::Runs {
                    self.is_stop_right(who, pod);
                    self.of(who).cmd = Cmd::Signalled;
                }
            }
            Action::Kill => self.end_cmd(who, KILLED, pod),
            Action::Notice(_) => {}
            Action::Finish(code) => {
                let of_cmd = self.members[who]
                    .notes
                    .cmd_code
                    .filter(|_| pod.flaw == Flaw::ExitsAsCmd);
                let code = of_cmd.unwrap_or(code);
                self.is_end_right(who, code, pod);
                let it = self.of(who);
                let is_stopped = it.life.as_ref().is_some_and(|life| life.0.is_stopped());
                if let Some(record) = &mut it.record {
                    record.exit = Some(code);
                    record.is_stopped = is_stopped && pod.flaw != Flaw::ForgetsStop;
                    it.notes.codes[usize::from(it.lives)] = Some(code);
                    it.notes.were_stopped[usize::from(it.lives)] = is_stopped;
                }
                *it = it.renewed(Phase::Exits(code));
                self.has_changed(who, pod);
            }
        }
    }

    fn publish(&mut self, who: usize, stage: Stage, pod: &Pod) {
        if self.members[who]
            .record
            .is_some_and(|record| record.stage == stage)
        {
            return;
        }
        self.of(who)
            .record
            .iter_mut()
            .for_each(|record| record.stage = stage);
        self.has_changed(who, pod);
    }

    /// CMD ends. For a joined member it is PID 1, and its container dies with it.
    fn end_cmd(&mut self, who: usize, code: u8, pod: &Pod) {
        if !self.members[who].has_living_cmd() {
            return;
        }
        self.of(who).cmd = Cmd::Dead;
        if pod.roles[who].is_joined {
            self.die(who, code);
        } else {
            self.of(who).ended = Some(code);
        }
    }

    /// The container is killed. Its CMD lives until it has lost its lock and its socket.
    fn die(&mut self, who: usize, code: u8) {
        let it = self.of(who);
        let cmd = it.cmd;
        *it = it.renewed(Phase::Dies(code));
        it.cmd = cmd;
    }

    /// The container has ended.
    fn end(&mut self, who: usize, code: u8, pod: &Pod) {
        let is_restarted = match pod.restarts {
            Policy::Always => true,
            Policy::OnFailure => code != 0 || self.members[who].is_probed,
            Policy::Never | Policy::Auto => false,
        } && !self.fate.is_deleted;
        let comes_back = is_restarted && self.members[who].lives < LIVES;
        self.fate.is_given_up = self.fate.is_given_up || (is_restarted && !comes_back);
        let it = self.of(who);
        *it = it.renewed(if comes_back { Phase::Down } else { Phase::Over });
    }

    /// Nothing is left to do. May the world stay like this?
    pub(super) fn may_stay_so(&self, pod: &Pod) -> Result<(), String> {
        for (who, it) in self
            .members
            .iter()
            .enumerate()
            .filter(|(_, it)| it.phase != Phase::Over)
        {
            let role = &pod.roles[who];
            // A member that was killed before its first record is unknown (README:
            // `--absent-timeout`).
            let is_unseen = |member: usize| {
                self.members[member].notes.last_written() == 0 && !role.has_absent_timeout
            };
            let serves_on =
                it.cmd == Cmd::Runs && !self.fate.is_deleted && role.untils().next().is_none();
            // It waits for a member that has not ended.
            let waits_for_one = role
                .untils()
                .any(|member| self.members[member].phase != Phase::Over);
            if !serves_on && !role.untils().any(is_unseen) && !waits_for_one {
                return Err(format!("{} never ends", pod.roles[who].name));
            }
        }
        Ok(())
    }
}

/// The kubelet's back-off before the restart that follows this many starts.
fn kubelet_back_off(starts: u8) -> Duration {
    let seconds = match starts {
        0 | 1 => 0,
        2..=6 => 10 << (starts - 2),
        7.. => 300,
    };
    Duration::from_secs(seconds)
}

/// The meaning of the reads of a look, as in `members` and by `observe`.
fn observation(
    record: Option<Written>,
    hold: Hold,
    is_bound: bool,
    is_joined: bool,
) -> Observation {
    let record = if hold == Hold::Whole { None } else { record };
    let record = record.map(|written| {
        Ok(Record {
            name: Name::parse("m").expect("a name"),
            incarnation: written.incarnation.into(),
            id: written.id,
            host: HOST.to_owned(),
            container: 0,
            uid: 0,
            policy: written.policy,
            is_joined,
            stage: written.stage,
            exit: written.exit,
            is_stopped: written.is_stopped,
            times: Times::default(),
        })
    });
    observe(
        &Snapshot {
            record,
            is_held: hold != Hold::Free,
            is_bound,
        },
        HOST,
    )
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Start => "starts CMD",
        Action::Publish(Stage::Waiting) => "publishes that it waits",
        Action::Publish(Stage::Running) => "publishes that it runs",
        Action::Publish(Stage::Ready) => "publishes that it is ready",
        Action::Remember(_) => "writes down what it acts on",
        Action::StopCmd => "sends CMD its stop signal",
        Action::Kill => "kills CMD",
        Action::Notice(_) => "reports",
        Action::Finish(_) => "publishes its end",
    }
}
