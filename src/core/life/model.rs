//! The whole protocol, tried in every order of its steps: members that start, look, act, end, are killed and restarted, on one volume.
//!
//! What decides is what ships: [`Life`], [`sight`], and what they rest on. What is modelled is the shell around it, in steps that nothing
//! can divide: to take the lock, to write a record, to narrow the lock, each of the three reads of a look, each action of a life, to
//! let go of the lock and to be dead. What a member decides follows at once from what it has learnt. Between any two steps of one container all others may take theirs; a container may be killed, and
//! its CMD, and the pod be deleted.
//!
//! **Time** is abstract. A turn takes milliseconds, a restart's back-off 10 s and more: between a look and what follows from it nobody
//! is restarted ([`World::may_restart`]). `--linger` is longer than the longest back-off: it is over when the member does not come back.
//! A grace period may be over at any time. What has changed is looked at in the end (inotify, or the slow poll), however late.
//!
//! **In the end**: a step that is only possible (a kill, a deletion) need not happen; all others do. They lead to a world in which
//! nothing is left to be done, whatever their order, because nobody lives more than twice: who would have to live a third time has reached
//! its Job's `backoffLimit`, and the pod is deleted. In the end, no sidecar may be left over.

#![allow(clippy::print_stdout, reason = "the tests tell how much they have tried")]

use super::{Action, Cause, Event, Life, Relation, Spec, State};
use crate::core::done::Answer;
use crate::core::member::{End, Found, Name, Policy, Sighting, Stage, sight};
use crate::core::record::{Record, Times};
use crate::core::time::Time;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

const LINGER: Duration = Duration::from_secs(360);
const GRACE: Duration = Duration::from_secs(30);
const MARGIN: Duration = Duration::from_secs(5);
/// How often a container is started at most.
const LIVES: u8 = 2;
const HOST: &str = "pod";

/// What a container is for.
#[derive(Clone, Debug)]
struct Role {
    /// What others are to it: their places in the pod.
    relations: Vec<(usize, Relation)>,
    /// What `--restart-policy` says, and whether its record says so.
    policy: Policy,
    /// With which codes CMD may end by itself. None: only when it is told to.
    ends: &'static [u8],
    /// With which code it ends when it is told to.
    told: u8,
    has_ready: bool,
}

/// A pod, and what may happen to it.
#[derive(Clone, Debug)]
struct Pod {
    name: &'static str,
    roles: Vec<Role>,
    /// The pod's own policy: OnFailure, else Never.
    restarts: bool,
    kills: u8,
    may_be_deleted: bool,
    /// May one container alone be told to stop, as by a liveness probe?
    probes: u8,
    flaw: Flaw,
}

/// What is made wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A look does not read the record a second time.
    LooksOnce,
    /// The lock of who starts is at once that of one whose record is its own.
    NarrowLock,
    /// What was acted on is not written down.
    Forgets,
    /// Absent is done.
    AbsentIsDone,
    /// Nobody looks again when something has changed.
    Deaf,
    /// A stop is not held back.
    HoldsNothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hold {
    Free,
    Whole,
    First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Written {
    id: u64,
    stage: Stage,
    exit: Option<u8>,
    policy: Option<Policy>,
}

/// A member's files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Files {
    hold: Hold,
    record: Option<Written>,
    acted: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// To be started.
    Down,
    TakesLock,
    WritesRecord,
    NarrowsLock,
    Lives,
    /// Its end is published.
    Exits(u8),
    /// It was killed: the lock is free already, the rest is not dead yet.
    Dies,
    /// It will not be started again.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cmd {
    None,
    Runs,
    Told,
    Dead,
}

/// A look: at whom, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Look {
    /// Relations that are still to be looked at, the present one first.
    rest: VecDeque<usize>,
    seen: Vec<(usize, Sighting)>,
    /// Is it for the sake of a stop signal?
    before_stop: bool,
    first: Option<Option<Written>>,
    hold: Option<Hold>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Container {
    lives: u8,
    phase: Phase,
    cmd: Cmd,
    life: Option<Life>,
    /// Did it begin: is its gate at work, or was there none?
    has_begun: bool,
    look: Option<Look>,
    events: VecDeque<Event>,
    todo: VecDeque<Action>,
    /// Which relations have changed since they were looked at.
    changed: Vec<bool>,
    is_signalled: bool,
    /// CMD's end that was not taken in yet.
    ended: Option<u8>,
    // What the checks need to know.
    stops: u8,
    is_out_of_grace: bool,
    /// Did this incarnation write a record?
    has_written: bool,
    /// The exit codes that DESIGN 7 allows, once all are done.
    expected: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    containers: Vec<Container>,
    files: Vec<Files>,
    kills: u8,
    probes: u8,
    is_deleted: bool,
    /// Has a container failed in its last life? Then the Job's backoffLimit is reached, and the pod will be deleted.
    is_given_up: bool,
    /// What has published its end, and how.
    published: Vec<(u64, u8)>,
    /// Who has acted on which failure.
    acted: Vec<(usize, u64)>,
    wrong: Option<String>,
}

/// A step: who, what, and does it happen in the end?
struct Step {
    who: usize,
    what: &'static str,
    is_certain: bool,
    world: World,
}

/// Adds a step: what it is, whether it happens in the end, and what it does.
type Add<'a> = dyn FnMut(&'static str, bool, &dyn Fn(&mut World)) + 'a;

fn id(who: usize, lives: u8) -> u64 {
    u64::try_from(who).expect("small") * 16 + u64::from(lives) + 16
}

impl Container {
    fn new(relations: usize) -> Self {
        Self {
            lives: 0,
            phase: Phase::Down,
            cmd: Cmd::None,
            life: None,
            has_begun: false,
            look: None,
            events: VecDeque::new(),
            todo: VecDeque::new(),
            changed: vec![false; relations],
            is_signalled: false,
            ended: None,
            stops: 0,
            is_out_of_grace: false,
            has_written: false,
            expected: Vec::new(),
        }
    }

    fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Down | Phase::Over | Phase::Dies)
    }

    fn has_living_cmd(&self) -> bool {
        matches!(self.cmd, Cmd::Runs | Cmd::Told)
    }

    fn is_idle(&self) -> bool {
        self.phase == Phase::Lives && self.look.is_none() && self.events.is_empty() && self.todo.is_empty()
    }

    fn is_deciding(&self) -> bool {
        self.phase == Phase::Lives && self.look.is_none() && self.todo.is_empty() && !self.events.is_empty()
    }

    /// Which of its incarnations may be taken for the last one, by who has no CMD yet or has one?
    fn last_end(&self, published: &[(u64, u8)], who: usize, is_at_gate: bool) -> Option<u8> {
        let is_published = published.iter().any(|(it, _)| *it == id(who, self.lives));
        let has_ended = matches!(self.phase, Phase::Down | Phase::Over | Phase::Dies | Phase::Exits(_)) || is_published;
        match self.lives {
            0 => None,
            lives if has_ended => Some(lives),
            // It was just started again: who starts at the same moment may look before it says so. No CMD is stopped for that.
            lives if lives > 1 && is_at_gate => Some(lives - 1),
            _ => None,
        }
    }

    fn begin_look(&mut self, rest: VecDeque<usize>, before_stop: bool) {
        self.look = Some(Look { rest, seen: Vec::new(), before_stop, first: None, hold: None });
    }

    /// Hands an event to the life.
    fn handle(&mut self, now: Time, event: Event) {
        if event == Event::Stop {
            self.stops = self.stops.saturating_add(1);
        }
        if let Some(life) = &mut self.life {
            let actions = life.handle(now, event);
            self.todo.extend(actions.into_iter().filter(|action| !matches!(action, Action::Notice(_))));
        }
    }
}

impl World {
    fn new(pod: &Pod) -> Self {
        let files = Files { hold: Hold::Free, record: None, acted: Vec::new() };
        Self {
            containers: pod.roles.iter().map(|role| Container::new(role.relations.len())).collect(),
            files: vec![files; pod.roles.len()],
            kills: pod.kills,
            probes: pod.probes,
            is_deleted: false,
            is_given_up: false,
            published: Vec::new(),
            acted: Vec::new(),
            wrong: None,
        }
    }

    fn steps(&self, pod: &Pod) -> Vec<Step> {
        let mut steps = Vec::new();
        for who in 0..self.containers.len() {
            let mut add = |what, is_certain, change: &dyn Fn(&mut World)| {
                let mut world = self.clone();
                change(&mut world);
                world.decide(who, pod);
                steps.push(Step { who, what, is_certain, world });
            };
            let it = &self.containers[who];
            match it.phase {
                Phase::Down if self.is_deleted => {
                    add("is not started any more", true, &|world| world.containers[who].phase = Phase::Over)
                }
                Phase::Down if self.may_restart(who, pod) => add("starts", true, &|world| {
                    let lives = world.containers[who].lives;
                    world.containers[who] = Container::new(pod.roles[who].relations.len());
                    world.containers[who].lives = lives + 1;
                    world.containers[who].phase = Phase::TakesLock;
                }),
                Phase::TakesLock => add("takes its lock", true, &|world| {
                    world.files[who].hold = if pod.flaw == Flaw::NarrowLock { Hold::First } else { Hold::Whole };
                    world.tell(who, pod);
                    world.containers[who].phase = Phase::WritesRecord;
                }),
                Phase::WritesRecord => add("writes its first record", true, &|world| {
                    let id = id(who, world.containers[who].lives);
                    let policy = Some(pod.roles[who].policy).filter(|policy| *policy != Policy::Auto);
                    world.files[who].record = Some(Written { id, stage: Stage::Waiting, exit: None, policy });
                    world.containers[who].has_written = true;
                    world.tell(who, pod);
                    world.containers[who].phase = Phase::NarrowsLock;
                }),
                Phase::NarrowsLock => add("narrows its lock", true, &|world| world.come_alive(who, pod)),
                Phase::Lives => self.living(who, pod, &mut add),
                Phase::Exits(code) => add("exits", true, &|world| {
                    world.files[who].hold = Hold::Free;
                    world.tell(who, pod);
                    world.end(who, code, pod);
                }),
                Phase::Dies => add("is dead", true, &|world| world.end(who, 137, pod)),
                Phase::Down | Phase::Over => {}
            }
            // CMD's own doings.
            if it.phase == Phase::Lives {
                match it.cmd {
                    Cmd::Runs => {
                        for code in pod.roles[who].ends {
                            add("CMD ends by itself", true, &|world| world.end_cmd(who, *code));
                        }
                    }
                    Cmd::Told => add("CMD ends as told", true, &|world| world.end_cmd(who, pod.roles[who].told)),
                    Cmd::None | Cmd::Dead => {}
                }
                if it.has_living_cmd() && self.kills > 0 {
                    add("CMD is killed", false, &|world| {
                        world.kills -= 1;
                        world.end_cmd(who, 137);
                    });
                }
            }
            if it.is_alive() {
                if self.kills > 0 {
                    add("is killed", false, &|world| {
                        world.kills -= 1;
                        world.files[who].hold = Hold::Free;
                        world.tell(who, pod);
                        world.containers[who].phase = Phase::Dies;
                    });
                }
                if self.probes > 0 {
                    add("is told to stop, alone", false, &|world| {
                        world.probes -= 1;
                        world.containers[who].is_signalled = true;
                    });
                }
            }
        }
        if !self.is_deleted && (pod.may_be_deleted || self.is_given_up) {
            let mut world = self.clone();
            world.is_deleted = true;
            world.containers.iter_mut().filter(|it| it.is_alive()).for_each(|it| it.is_signalled = true);
            let what = "and all others are told to stop: the pod is deleted";
            steps.push(Step { who: 0, what, is_certain: self.is_given_up, world });
        }
        steps
    }

    /// What a living podgate may do next: the turn of `command::run`.
    fn living(&self, who: usize, pod: &Pod, add: &mut Add<'_>) {
        let it = &self.containers[who];
        if !it.todo.is_empty() {
            return add("does what is to be done", true, &|world| world.act(who, pod));
        }
        if it.look.is_some() {
            return add("looks", true, &|world| world.look(who, pod));
        }
        let Some(life) = &it.life else { return };
        if life.state == State::Over {
            return;
        }
        if !it.has_begun {
            // In one breath: a signal that is there is taken first.
            return add("begins", true, &|world| {
                let it = &mut world.containers[who];
                it.has_begun = true;
                if std::mem::take(&mut it.is_signalled) {
                    it.events.push_back(Event::Stop);
                } else if !pod.roles[who].relations.iter().any(|(_, relation)| relation.needs) {
                    it.events.push_back(Event::Opened);
                }
            });
        }
        if it.is_signalled {
            add("takes a signal", true, &|world| {
                let it = &mut world.containers[who];
                it.is_signalled = false;
                if it.cmd == Cmd::None {
                    it.events.push_back(Event::Stop);
                } else {
                    it.begin_look((0..pod.roles[who].relations.len()).collect(), true);
                    world.look_if_any(who);
                }
            });
        }
        if let Some(code) = it.ended {
            add("reaps CMD", true, &|world| {
                world.containers[who].ended = None;
                world.containers[who].events.push_back(Event::Ended(code));
            });
        }
        if pod.flaw != Flaw::Deaf {
            for relation in (0..it.changed.len()).filter(|relation| it.changed[*relation]) {
                add("begins to look", true, &|world| world.containers[who].begin_look([relation].into(), false));
            }
        }
        match life.state {
            State::Gate => {
                // The gate's own look at its needs.
                let needs =
                    || pod.roles[who].relations.iter().zip(life.members()).filter(|((_, relation), _)| relation.needs);
                let is_ready = |sighting| matches!(sighting, Sighting::Alive { stage: Some(Stage::Ready), .. });
                if needs().all(|(_, member)| is_ready(member.sighting())) {
                    add("finds its gate open", true, &|world| world.containers[who].events.push_back(Event::Opened));
                } else if needs().any(|((member, _), _)| self.containers[*member].phase == Phase::Over) {
                    add("gives up at its gate", true, &|world| {
                        world.containers[who].events.push_back(Event::NotOpened(124))
                    });
                }
            }
            State::Running if it.cmd == Cmd::Runs && pod.roles[who].has_ready && !life.is_ready() => {
                add("is ready", true, &|world| world.containers[who].events.push_back(Event::Ready));
            }
            State::Holding { until } => add("is at the end of its grace", false, &|world| {
                world.containers[who].is_out_of_grace = true;
                world.containers[who].handle(until, Event::Tick);
            }),
            State::Running | State::Starting | State::Stopping { .. } | State::Over => {}
        }
        if matches!(life.state, State::Gate | State::Running) {
            let lingers = |answer: Answer| matches!(answer, Answer::NotDone(Some(_)));
            let until = pod.roles[who].relations.iter().zip(life.members()).filter(|((_, relation), _)| relation.until);
            let (mut count, mut are_over) = (0, true);
            for ((member, _), watched) in until {
                if lingers(watched.answer(Time::ZERO, pod.roles[who].policy, LINGER)) {
                    count += 1;
                    are_over = are_over && self.containers[*member].phase == Phase::Over;
                }
            }
            if count > 0 && are_over && !it.changed.contains(&true) {
                let after = Time::at(LINGER);
                let mut life = life.clone();
                if life.handle(after, Event::Tick).iter().any(|action| !matches!(action, Action::Notice(_))) {
                    add("has lingered", true, &|world| {
                        world.containers[who].handle(after, Event::Tick);
                        world.note_completion(who, pod);
                    });
                }
            }
        }
    }

    /// What a member decides is its own affair: it follows from the step before, and no other step in between makes a difference.
    fn decide(&mut self, who: usize, pod: &Pod) {
        while self.containers[who].is_deciding()
            && let Some(event) = self.containers[who].events.pop_front()
        {
            self.containers[who].handle(Time::ZERO, event);
            self.note_completion(who, pod);
        }
    }

    /// The kubelet's back-off is longer than anybody's turn.
    fn may_restart(&self, who: usize, pod: &Pod) -> bool {
        self.containers[who].lives == 0
            || self.containers.iter().enumerate().all(|(other, it)| {
                let mut relations = pod.roles[other].relations.iter().zip(&it.changed);
                it.phase != Phase::Lives
                    || (it.is_idle() && relations.all(|((member, _), has_changed)| *member != who || !has_changed))
            })
    }

    /// Something of this member has changed on the volume.
    fn tell(&mut self, who: usize, pod: &Pod) {
        for (other, it) in self.containers.iter_mut().enumerate().filter(|(_, it)| it.phase == Phase::Lives) {
            for (relation, (member, _)) in pod.roles[other].relations.iter().enumerate() {
                it.changed[relation] = it.changed[relation] || *member == who;
            }
        }
    }

    fn come_alive(&mut self, who: usize, pod: &Pod) {
        let role = &pod.roles[who];
        self.files[who].hold = Hold::First;
        self.tell(who, pod);
        let relations: Vec<Relation> = role.relations.iter().map(|(_, relation)| *relation).collect();
        let spec = Spec {
            policy: role.policy,
            linger: LINGER,
            grace: GRACE,
            margin: if pod.flaw == Flaw::HoldsNothing { GRACE } else { MARGIN },
            absent_timeout: None,
            has_ready: role.has_ready,
            serves: relations.iter().any(|it| it.until || it.outlives),
            gate_proves_needs: true,
            is_joined: false,
            acted: self.files[who].acted.clone(),
            relations,
        };
        let it = &mut self.containers[who];
        it.life = Some(Life::new(spec, Time::ZERO));
        it.phase = Phase::Lives;
        it.begin_look((0..role.relations.len()).collect(), false);
        self.look_if_any(who);
    }

    /// A look at nobody is over.
    fn look_if_any(&mut self, who: usize) {
        let it = &mut self.containers[who];
        if let Some(look) = it.look.take_if(|look| look.rest.is_empty())
            && look.before_stop
        {
            it.events.push_back(Event::Stop);
        }
    }

    /// One of the reads of a look.
    fn look(&mut self, who: usize, pod: &Pod) {
        let Some(mut look) = self.containers[who].look.take() else { return };
        let Some(relation) = look.rest.front().copied() else { return };
        let files = &self.files[pod.roles[who].relations[relation].0];
        match (look.first, look.hold) {
            (None, _) => {
                // What changes from now on is told anew.
                self.containers[who].changed[relation] = false;
                look.first = Some(files.record);
            }
            (Some(_), None) => look.hold = Some(files.hold),
            (Some(first), Some(hold)) if first == files.record || pod.flaw == Flaw::LooksOnce => {
                let sighting = self.sighting(first, hold, pod.roles[who].relations[relation].0, pod.flaw);
                look.seen.push((relation, sighting));
                look.rest.pop_front();
                (look.first, look.hold) = (None, None);
            }
            (Some(_), Some(_)) => {
                look.first = Some(files.record);
                look.hold = None;
            }
        }
        let it = &mut self.containers[who];
        if !look.rest.is_empty() {
            it.look = Some(look);
            return;
        }
        if look.before_stop {
            if let Some(life) = &mut it.life {
                look.seen.iter().for_each(|(member, sighting)| life.note(Time::ZERO, *member, *sighting));
            }
            it.events.push_back(Event::Stop);
        } else {
            it.events.extend(
                look.seen.iter().map(|(member, sighting)| Event::Seen { member: *member, sighting: *sighting }),
            );
        }
    }

    /// What the three reads mean: as `volume::look` has it, and `sight`.
    fn sighting(&mut self, record: Option<Written>, hold: Hold, member: usize, flaw: Flaw) -> Sighting {
        let record = if hold == Hold::Whole { None } else { record };
        let record = record.map(|written| {
            Ok(Record {
                name: Name::parse("m").expect("a name"),
                incarnation: 1,
                id: written.id,
                host: HOST.to_owned(),
                container: 0,
                uid: 0,
                policy: written.policy,
                is_joined: false,
                stage: written.stage,
                exit: written.exit,
                times: Times::default(),
            })
        });
        let sighting = sight(&Found { record, is_held: hold != Hold::Free }, HOST);
        match sighting {
            Sighting::Ended { id, end: End::Lost, .. } if self.published.iter().any(|(it, _)| *it == id) => {
                self.wrong = Some(format!("{member}, which has published its end, is taken for lost"));
            }
            Sighting::Absent if flaw == Flaw::AbsentIsDone => {
                return Sighting::Ended { id: 1, end: End::Code(0), policy: None };
            }
            Sighting::Ended { .. } | Sighting::Absent | Sighting::Alive { .. } | Sighting::Unreadable => {}
        }
        sighting
    }

    /// Once all are done: have they really ended, and with which exit code may this one?
    fn note_completion(&mut self, who: usize, pod: &Pod) {
        let it = &self.containers[who];
        let Some(Cause::Done(_)) = it.life.as_ref().and_then(|life| life.cause.as_ref()) else { return };
        if !it.expected.is_empty() {
            return;
        }
        let is_at_gate = it.cmd == Cmd::None;
        match self.codes_of_completion(who, pod, is_at_gate) {
            Ok(codes) => self.containers[who].expected = codes,
            Err(what) => self.wrong = Some(what),
        }
    }

    /// DESIGN 7, "all `--until` are done". Who is at its gate may have looked at a member just before that was started again: then both
    /// its ends will do.
    fn codes_of_completion(&self, who: usize, pod: &Pod, is_at_gate: bool) -> Result<Vec<u8>, String> {
        let mut codes = vec![0];
        // From the last to the first, because the first failure decides.
        for (member, _) in pod.roles[who].relations.iter().rev().filter(|(_, relation)| relation.until) {
            let main = &self.containers[*member];
            let Some(last) = main.last_end(&self.published, *member, is_at_gate) else {
                return Err(format!("done, and {member} has not ended"));
            };
            let stated = pod.roles[*member].policy;
            let policy = if stated == Policy::Auto { pod.roles[who].policy } else { stated };
            let code =
                |life| self.published.iter().find(|(it, _)| *it == id(*member, life)).map_or(137, |(_, code)| *code);
            // A success is final, though who was killed after it had told it is started again.
            let has_succeeded = (1..=last).any(|life| code(life) == 0);
            if !has_succeeded && policy == Policy::OnFailure && main.phase != Phase::Over {
                return Err(format!("done, and {member} has failed and will be restarted"));
            }
            // Nobody knows of a life that was over before it had written its first record.
            let is_unknown = last == main.lives && !main.has_written;
            let before = if (is_at_gate || is_unknown) && last > 1 { last - 1 } else { last };
            let after = |its: u8| match its {
                0 => codes.clone(),
                _ if policy == Policy::Never => vec![0],
                failed => vec![failed],
            };
            let success = if has_succeeded { after(0) } else { Vec::new() };
            codes = [after(code(last)), after(code(before)), success].concat();
            codes.sort_unstable();
            codes.dedup();
        }
        Ok(codes)
    }

    fn act(&mut self, who: usize, pod: &Pod) {
        let Some(action) = self.containers[who].todo.pop_front() else { return };
        match action {
            Action::Start => {
                if self.containers[who].stops > 0 {
                    self.wrong = Some("CMD is started after a signal to end".to_owned());
                }
                for (need, _) in pod.roles[who].relations.iter().filter(|(_, relation)| relation.needs) {
                    let record = self.files[*need].record;
                    let is_its = |record: Written| record.id == id(*need, self.containers[*need].lives);
                    if !record.is_some_and(|record| is_its(record) && record.stage == Stage::Ready) {
                        self.wrong = Some(format!("CMD is started, and {need}, which it needs, is not ready"));
                    }
                }
                self.containers[who].cmd = Cmd::Runs;
                self.containers[who].handle(Time::ZERO, Event::Started);
                self.note_completion(who, pod);
            }
            Action::Publish(stage) => {
                if let Some(record) = &mut self.files[who].record {
                    record.stage = stage;
                }
                self.tell(who, pod);
            }
            Action::Remember(ids) => {
                if ids.iter().all(|id| self.acted.contains(&(who, *id))) {
                    self.wrong = Some("a failure is acted on twice".to_owned());
                }
                self.acted.extend(ids.iter().map(|id| (who, *id)));
                self.acted.sort_unstable();
                self.acted.dedup();
                if pod.flaw != Flaw::Forgets {
                    self.files[who].acted.extend(ids);
                }
            }
            Action::StopCmd => {
                // Who was told already may be told again.
                if self.containers[who].cmd == Cmd::Runs {
                    self.is_stop_right(who, pod);
                    self.containers[who].cmd = Cmd::Told;
                }
            }
            Action::Kill => self.end_cmd(who, 137),
            Action::Notice(_) => {}
            Action::Finish(code) => {
                let expected = &self.containers[who].expected;
                if !expected.is_empty() && !expected.contains(&code) {
                    self.wrong = Some(format!("exit code {code}, and it should be one of {expected:?}"));
                }
                if self.containers[who].has_living_cmd() {
                    self.wrong = Some("it ends, and its CMD lives".to_owned());
                }
                if let Some(record) = &mut self.files[who].record {
                    record.exit = Some(code);
                    self.published.push((record.id, code));
                    self.published.sort_unstable();
                }
                self.tell(who, pod);
                self.containers[who].phase = Phase::Exits(code);
            }
        }
    }

    /// CMD is stopped: does nobody live for whom it has to stay?
    fn is_stop_right(&mut self, who: usize, pod: &Pod) {
        let it = &self.containers[who];
        let is_excused = match it.life.as_ref().and_then(|life| life.cause.as_ref()) {
            Some(Cause::Quit | Cause::NeedLost(_)) => true,
            // One that is told alone may miss who is just starting: absent counts as gone.
            Some(Cause::Signal { .. }) => it.stops > 1 || it.is_out_of_grace || pod.probes > 0,
            Some(Cause::Own | Cause::Done(_) | Cause::NeverCame(_)) | None => false,
        };
        if is_excused {
            return;
        }
        for (member, relation) in &pod.roles[who].relations {
            let other = &self.containers[*member];
            if (relation.until || relation.outlives) && other.has_living_cmd() && other.phase != Phase::Dies {
                self.wrong = Some(format!("CMD is stopped, and {member} lives"));
            }
        }
    }

    fn end_cmd(&mut self, who: usize, code: u8) {
        let it = &mut self.containers[who];
        if it.has_living_cmd() {
            it.cmd = Cmd::Dead;
            it.ended = Some(code);
        }
    }

    /// The container has ended.
    fn end(&mut self, who: usize, code: u8, pod: &Pod) {
        let it = &self.containers[who];
        let (lives, has_written) = (it.lives, it.has_written);
        let is_failure = pod.restarts && code != 0 && !self.is_deleted;
        let comes_back = is_failure && lives < LIVES;
        self.is_given_up = self.is_given_up || (is_failure && !comes_back);
        let mut next = Container::new(pod.roles[who].relations.len());
        next.lives = lives;
        next.has_written = has_written;
        next.phase = if comes_back { Phase::Down } else { Phase::Over };
        self.containers[who] = next;
    }

    /// Nothing is left to be done: may it stay so?
    fn may_rest(&self, pod: &Pod) -> Result<(), String> {
        for (who, it) in self.containers.iter().enumerate().filter(|(_, it)| it.phase != Phase::Over) {
            let until: Vec<usize> =
                pod.roles[who].relations.iter().filter(|(_, it)| it.until).map(|(member, _)| *member).collect();
            // Killed before it has written that it is there: nobody can know (README: `--absent-timeout`).
            let is_unseen = |member: &usize| !self.containers[*member].has_written;
            let serves_on = it.cmd == Cmd::Runs && !self.is_deleted && until.is_empty();
            // It waits for one that does so.
            let waits_for_one = until.iter().any(|member| self.containers[*member].phase != Phase::Over);
            if !serves_on && !until.iter().any(is_unseen) && !waits_for_one {
                return Err(format!("{who} never ends"));
            }
        }
        Ok(())
    }
}

/// What a search found.
struct Outcome {
    worlds: usize,
    steps: usize,
    rests: usize,
    wrong: Option<String>,
}

fn hash(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Tries every order, the shortest first.
fn search(pod: &Pod) -> Outcome {
    let start = World::new(pod);
    let mut seen: HashSet<u64> = HashSet::from([hash(&start)]);
    // How each world was come to.
    let mut trail: Vec<(usize, usize, &'static str)> = vec![(0, 0, "begins")];
    let mut queue: VecDeque<(usize, World)> = VecDeque::from([(0, start)]);
    let (mut steps, mut rests) = (0, 0);
    let tell = |trail: &[(usize, usize, &'static str)], mut at: usize, what: &str| {
        let mut lines = vec![format!("wrong: {what}")];
        while at != 0 {
            let (before, who, step) = trail[at];
            lines.push(format!("{who} {step}"));
            at = before;
        }
        lines.reverse();
        lines.join("\n")
    };
    while let Some((at, world)) = queue.pop_front() {
        let next = world.steps(pod);
        if !next.iter().any(|step| step.is_certain) {
            rests += 1;
            if let Err(what) = world.may_rest(pod) {
                return Outcome { worlds: seen.len(), steps, rests, wrong: Some(tell(&trail, at, &what)) };
            }
        }
        for step in next {
            steps += 1;
            if !seen.insert(hash(&step.world)) {
                continue;
            }
            trail.push((at, step.who, step.what));
            let here = trail.len() - 1;
            if let Some(what) = &step.world.wrong {
                return Outcome { worlds: seen.len(), steps, rests, wrong: Some(tell(&trail, here, what)) };
            }
            queue.push_back((here, step.world));
        }
    }
    Outcome { worlds: seen.len(), steps, rests, wrong: None }
}

const UNTIL: Relation = Relation { until: true, outlives: true, needs: false };
const OUTLIVE: Relation = Relation { until: false, outlives: true, needs: false };
const NEED: Relation = Relation { until: false, outlives: false, needs: true };

fn main_with(policy: Policy) -> Role {
    Role { relations: Vec::new(), policy, ends: &[0, 3], told: 143, has_ready: false }
}

fn server(relations: &[(usize, Relation)], policy: Policy) -> Role {
    Role { relations: relations.to_vec(), policy, ends: &[], told: 0, has_ready: false }
}

fn pod(name: &'static str, restarts: bool, roles: Vec<Role>) -> Pod {
    Pod { name, roles, restarts, kills: 1, may_be_deleted: true, probes: 0, flaw: Flaw::None }
}

/// A main, and a sidecar that ends with it.
fn pair(restarts: bool, policy: Policy) -> Pod {
    pod("a main and its sidecar", restarts, vec![main_with(policy), server(&[(0, UNTIL)], policy)])
}

/// The same, and the main cannot do without it.
fn needing(restarts: bool, policy: Policy) -> Pod {
    let main = Role { relations: vec![(1, NEED)], ..main_with(policy) };
    let sidecar = Role { has_ready: true, ..server(&[(0, UNTIL)], policy) };
    pod("a main that needs its sidecar", restarts, vec![main, sidecar])
}

/// `a` until `b` until the main.
fn chain(restarts: bool, policy: Policy) -> Pod {
    let roles = vec![main_with(policy), server(&[(0, UNTIL)], policy), server(&[(1, UNTIL)], policy)];
    pod("a chain of two sidecars", restarts, roles)
}

/// Two mains and the sidecar of both.
fn two_mains(restarts: bool, policy: Policy) -> Pod {
    let roles = vec![main_with(policy), main_with(policy), server(&[(0, UNTIL), (1, UNTIL)], policy)];
    pod("two mains and their sidecar", restarts, roles)
}

/// Servers, one of which outlives the other.
fn servers() -> Pod {
    pod("a server and its proxy", true, vec![server(&[], Policy::Auto), server(&[(0, OUTLIVE)], Policy::Auto)])
}

/// Nothing is wrong, whatever the order; and the search was one.
fn holds(pod: &Pod, at_least: usize) {
    let found = search(pod);
    let policy = pod.roles.first().map(|role| role.policy);
    println!(
        "{} (restarts: {}, {policy:?}, kills: {}, probes: {}): {} worlds, {} steps, {} ends",
        pod.name, pod.restarts, pod.kills, pod.probes, found.worlds, found.steps, found.rests
    );
    if let Some(wrong) = found.wrong {
        panic!("{}:\n{wrong}", pod.name);
    }
    assert!(found.worlds >= at_least && found.rests > 0, "{} worlds only", found.worlds);
}

#[test]
fn a_main_and_its_sidecar_in_every_order() {
    holds(&Pod { kills: 2, ..pair(false, Policy::Auto) }, 80_000);
    holds(&pair(false, Policy::Never), 20_000);
    holds(&pair(true, Policy::Auto), 50_000);
    holds(&Pod { may_be_deleted: false, ..pair(true, Policy::OnFailure) }, 20_000);
}

#[test]
fn a_main_that_needs_its_sidecar_in_every_order() {
    holds(&Pod { may_be_deleted: false, ..needing(false, Policy::Never) }, 10_000);
    holds(&Pod { kills: 0, ..needing(true, Policy::OnFailure) }, 10_000);
}

#[test]
fn a_server_and_its_proxy_in_every_order() {
    holds(&servers(), 20_000);
    holds(&Pod { kills: 0, probes: 1, ..servers() }, 10_000);
}

#[test]
fn three_members_in_every_order() {
    for pod in [chain(false, Policy::Auto), two_mains(false, Policy::Auto)] {
        holds(&Pod { kills: 0, may_be_deleted: false, ..pod }, 20_000);
    }
}

#[test]
#[ignore = "minutes: `cargo test --release -- --ignored --nocapture larger_pods`"]
fn larger_pods_in_every_order() {
    let policies = [(false, Policy::Auto), (false, Policy::Never), (true, Policy::Auto), (true, Policy::OnFailure)];
    for (restarts, policy) in policies {
        holds(&Pod { kills: 2, ..pair(restarts, policy) }, 80_000);
        holds(&Pod { probes: 1, ..pair(restarts, policy) }, 80_000);
        holds(&needing(restarts, policy), 80_000);
    }
    holds(&Pod { kills: 2, ..servers() }, 100_000);
    holds(&Pod { kills: 1, probes: 2, ..servers() }, 100_000);
    for make in [chain, two_mains] {
        holds(&Pod { kills: 0, ..make(false, Policy::Auto) }, 500_000);
        holds(&Pod { may_be_deleted: false, ..make(false, Policy::Never) }, 500_000);
        holds(&Pod { may_be_deleted: false, kills: 0, ..make(true, Policy::Auto) }, 100_000);
        holds(&Pod { may_be_deleted: false, kills: 0, ..make(true, Policy::OnFailure) }, 100_000);
    }
}

#[test]
fn every_flaw_is_found() {
    let restarted = || pair(true, Policy::Auto);
    for (flaw, pod, what) in [
        (Flaw::LooksOnce, restarted(), "0, which has published its end, is taken for lost"),
        (Flaw::NarrowLock, needing(true, Policy::OnFailure), "CMD is started, and 1, which it needs, is not ready"),
        (Flaw::Forgets, restarted(), "a failure is acted on twice"),
        (Flaw::AbsentIsDone, restarted(), "done, and 0 has not ended"),
        (Flaw::Deaf, restarted(), "0 never ends"),
        (Flaw::HoldsNothing, servers(), "CMD is stopped, and 0 lives"),
    ] {
        let found = search(&Pod { flaw, ..pod });
        let wrong = found.wrong.unwrap_or_default();
        println!("{flaw:?}, found after {} worlds:\n{wrong}\n", found.worlds);
        assert!(wrong.ends_with(&format!("wrong: {what}")), "{flaw:?}: {wrong}");
    }
}
