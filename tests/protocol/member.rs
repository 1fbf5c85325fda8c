//! A member of the model: the content of its files, and the state of its container.

use super::judge::{Truth, Why};
use super::{Flaw, Pod, Role};
use podgate::core::life::{Action, Event, Life};
use podgate::core::member::{Policy, Stage};
use podgate::core::observation::Observation;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::rc::Rc;

/// The most relations of one member.
const MOST: usize = 2;
/// The most starts of one container.
pub(super) const LIVES: u8 = 2;
/// 128 + SIGKILL.
pub(super) const KILLED: u8 = 137;

/// The part of its lock file that a member has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    Free,
    /// The whole file: the member is starting, and the record is not its own yet.
    Whole,
    /// The first byte only: the record is its own.
    First,
}

/// The content of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Written {
    pub(super) id: u64,
    pub(super) stage: Stage,
    pub(super) exit: Option<u8>,
    pub(super) is_stopped: bool,
    pub(super) incarnation: u8,
    pub(super) policy: Option<Policy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// It will be started.
    Down,
    TakesLock,
    WritesRecord,
    NarrowsLock,
    /// Of `join` only: the hook publishes that its container runs.
    Announces,
    Lives,
    /// Its end is published.
    Exits(u8),
    /// It was killed. The kernel frees its lock and its socket one after the other, and then the
    /// rest is dead.
    Dies(u8),
    /// It will not be started again.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cmd {
    None,
    Runs,
    /// It was sent its stop signal.
    Signalled,
    Dead,
}

/// The reason for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Something has changed.
    Change,
    /// A stop signal arrived: which members live now?
    Stop,
    /// The gate's own look: is the need ready?
    Gate,
    /// The gate has opened: the life has to know the members before CMD starts.
    Start,
}

/// A look in progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) purpose: Purpose,
    /// The relations that the look still has to read, the current one first.
    pub(super) rest: Range<usize>,
    pub(super) seen: [Option<Observation>; MOST],
    pub(super) first: Option<Option<Written>>,
    pub(super) hold: Option<(Hold, Truth)>,
    pub(super) socket: Option<(bool, Truth)>,
}

/// The machine, compared and hashed by what changes in it.
#[derive(Clone, Debug, Eq)]
pub(super) struct Machine(pub(super) Rc<Life>);

impl PartialEq for Machine {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        Rc::ptr_eq(a, b) || (a.changing() == b.changing() && a.spec() == b.spec())
    }
}

impl Hash for Machine {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.changing().hash(hasher);
    }
}

/// A member: its files, which outlive its container, and its container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) hold: Hold,
    /// The second sign of life: the socket of this incarnation.
    pub(super) has_socket: bool,
    pub(super) record: Option<Written>,
    pub(super) memory: Vec<u64>,
    /// How often its container was started in earlier rounds.
    pub(super) earlier: u8,
    /// How often its container was started.
    pub(super) lives: u8,
    /// Whether the kubelet stops this container because of a probe, and will start it again.
    pub(super) is_probed: bool,
    pub(super) phase: Phase,
    pub(super) cmd: Cmd,
    pub(super) life: Option<Machine>,
    /// Whether its gate, if it has one, is at work.
    pub(super) has_begun: bool,
    pub(super) look: Option<Look>,
    pub(super) events: VecDeque<Event>,
    pub(super) todo: VecDeque<Action>,
    /// The relations that have changed since the member looked at them.
    pub(super) changed: [bool; MOST],
    /// The relations that have changed since the gate looked at them.
    pub(super) gate_changed: [bool; MOST],
    pub(super) is_signalled: bool,
    pub(super) is_asked: bool,
    /// The exit code of CMD, until it is reaped.
    pub(super) ended: Option<u8>,
    pub(super) notes: Notes,
}

/// For the judge only: facts that podgate does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Notes {
    /// Which of its lives wrote a record.
    pub(super) wrote: [bool; LIVES as usize + 1],
    /// The code that each of its lives published as its end.
    pub(super) codes: [Option<u8>; LIVES as usize + 1],
    /// Which of its lives ended because of a stop signal.
    pub(super) were_stopped: [bool; LIVES as usize + 1],
    /// The failures that it acted on and wrote down.
    pub(super) acted: Vec<u64>,
    /// The stop signals of this incarnation.
    pub(super) stops: u8,
    pub(super) was_asked: bool,
    pub(super) is_out_of_grace: bool,
    pub(super) was_ready: bool,
    /// The first cause of its end.
    pub(super) why: Option<Why>,
    pub(super) cmd_code: Option<u8>,
    /// Which members lived at its last look.
    pub(super) saw_alive: [bool; MOST],
    /// The incarnation of each need that the gate saw ready.
    pub(super) needed: [u64; MOST],
}

pub(super) fn id(who: usize, life: u8) -> u64 {
    u64::try_from(who).expect("small") * 16 + u64::from(life) + 16
}

impl Member {
    pub(super) fn new() -> Self {
        Self {
            hold: Hold::Free,
            has_socket: false,
            record: None,
            memory: Vec::new(),
            earlier: 0,
            lives: 0,
            is_probed: false,
            phase: Phase::Down,
            cmd: Cmd::None,
            life: None,
            has_begun: false,
            look: None,
            events: VecDeque::new(),
            todo: VecDeque::new(),
            changed: [false; MOST],
            gate_changed: [false; MOST],
            is_signalled: false,
            is_asked: false,
            ended: None,
            notes: Notes {
                wrote: [false; LIVES as usize + 1],
                codes: [None; LIVES as usize + 1],
                were_stopped: [false; LIVES as usize + 1],
                acted: Vec::new(),
                stops: 0,
                was_asked: false,
                is_out_of_grace: false,
                was_ready: false,
                why: None,
                cmd_code: None,
                saw_alive: [false; MOST],
                needed: [0; MOST],
            },
        }
    }

    /// The same files, with a new container.
    pub(super) fn renewed(&self, phase: Phase) -> Self {
        let new = Self::new();
        let notes = Notes {
            wrote: self.notes.wrote,
            codes: self.notes.codes,
            were_stopped: self.notes.were_stopped,
            acted: self.notes.acted.clone(),
            ..new.notes
        };
        Self {
            hold: self.hold,
            has_socket: self.has_socket,
            record: self.record,
            memory: self.memory.clone(),
            earlier: self.earlier,
            lives: self.lives,
            is_probed: self.is_probed,
            phase,
            notes,
            ..new
        }
    }

    /// A container that has not been started yet, in the next round.
    pub(super) fn in_next_round(&self, keeps_files: bool) -> Self {
        let new = Self {
            earlier: self.earlier + self.notes.last_written(),
            ..Self::new()
        };
        if keeps_files {
            Self {
                record: self.record,
                memory: self.memory.clone(),
                ..new
            }
        } else {
            new
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Down | Phase::Over | Phase::Dies(_))
    }

    pub(super) fn has_living_cmd(&self) -> bool {
        matches!(self.cmd, Cmd::Runs | Cmd::Signalled)
    }

    /// Whether its socket is that of the record.
    pub(super) fn is_bound(&self) -> bool {
        self.has_socket && self.notes.has_written(self.lives)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Lives
            && self.look.is_none()
            && self.events.is_empty()
            && self.todo.is_empty()
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.phase == Phase::Lives
            && self.look.is_none()
            && self.todo.is_empty()
            && !self.events.is_empty()
    }

    pub(super) fn begin_look(&mut self, rest: Range<usize>, purpose: Purpose) {
        self.look = Some(Look {
            purpose,
            rest,
            seen: [None; MOST],
            first: None,
            hold: None,
            socket: None,
        });
        self.end_empty_look();
    }

    /// Opens its gate. A pending signal is handled first.
    pub(super) fn open(&mut self, pod: &Pod) {
        if pod.flaw != Flaw::IgnoresEarlySignal && std::mem::take(&mut self.is_signalled) {
            self.events.push_back(Event::Stop(Vec::new()));
        }
        self.events.push_back(Event::Opened);
    }

    /// A look at no member ends at once.
    fn end_empty_look(&mut self) {
        if let Some(look) = self.look.take_if(|look| look.rest.is_empty())
            && look.purpose == Purpose::Stop
        {
            self.events.push_back(Event::Stop(Vec::new()));
        }
    }
}

impl Look {
    /// The record has changed: the signs of life are read again.
    pub(super) fn again(&mut self, record: Option<Written>) {
        (self.first, self.hold, self.socket) = (Some(record), None, None);
    }
}

impl Notes {
    pub(super) fn has_written(&self, life: u8) -> bool {
        self.wrote[usize::from(life)]
    }

    /// The last of its lives that has written a record, or 0.
    pub(super) fn last_written(&self) -> u8 {
        (1..=LIVES)
            .rev()
            .find(|life| self.has_written(*life))
            .unwrap_or(0)
    }
}

impl Role {
    pub(super) fn untils(&self) -> impl Iterator<Item = usize> {
        self.relations
            .iter()
            .filter(|(_, relation)| relation.until)
            .map(|(member, _)| *member)
    }

    pub(super) fn needs(&self) -> impl Iterator<Item = usize> {
        self.relations
            .iter()
            .enumerate()
            .filter(|(_, (_, relation))| relation.needs)
            .map(|(at, _)| at)
    }

    /// Its relations to this other member.
    pub(super) fn relations_to(&self, other: usize) -> impl Iterator<Item = usize> {
        self.relations
            .iter()
            .enumerate()
            .filter(move |(_, (member, _))| *member == other)
            .map(|(at, _)| at)
    }

    pub(super) fn has_needs(&self) -> bool {
        self.needs().next().is_some()
    }

    pub(super) fn serves(&self) -> bool {
        self.relations
            .iter()
            .any(|(_, relation)| relation.until || relation.outlives)
    }
}
