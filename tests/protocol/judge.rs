//! What must hold in every world. It is judged from the state of the containers, not from what
//! podgate has observed.

use super::Pod;
use super::member::{Cmd, Hold, KILLED, Member, Phase, id};
use super::world::World;
use podgate::core::life::{Action, Cause, Event};
use podgate::core::member::{Policy, Stage};
use podgate::core::observation::{End, Observation};

/// The true state of a member at one moment, as far as the volume can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Truth {
    Absent,
    /// It has its lock, and has not published its id yet.
    Starts,
    Lives(u64),
    /// This incarnation ended, with this code if it published one.
    Ended(u64, Option<u8>),
}

impl Truth {
    pub(super) fn of(who: usize, it: &Member, pod: &Pod) -> Self {
        let ended = |life: u8| Self::Ended(id(who, life), it.notes.codes[usize::from(life)]);
        let is_seen = |hold| pod.shares_locks && it.hold == hold;
        match it.phase {
            Phase::WritesRecord | Phase::NarrowsLock if pod.shares_locks => Self::Starts,
            Phase::Announces | Phase::Lives => Self::Lives(id(who, it.lives)),
            Phase::Exits(_) => ended(it.lives),
            Phase::Dies(_) if it.notes.codes[usize::from(it.lives)].is_some() => ended(it.lives),
            Phase::Dies(_) if is_seen(Hold::Whole) => Self::Starts,
            Phase::Dies(_) if is_seen(Hold::First) => Self::Lives(id(who, it.lives)),
            // Without locks, a member is seen from its first record on.
            Phase::WritesRecord | Phase::NarrowsLock | Phase::Dies(_) if it.is_bound() => {
                Self::Lives(id(who, it.lives))
            }
            Phase::Down
            | Phase::Over
            | Phase::TakesLock
            | Phase::WritesRecord
            | Phase::NarrowsLock
            | Phase::Dies(_) => match it.notes.last_written() {
                0 => Self::Absent,
                life => ended(life),
            },
        }
    }

    /// The states that the member had between two moments of a look, for an observer that knows the
    /// state at both. A life that is over at the second one ended in between.
    pub(super) fn between(self, later: Self, codes: &[Option<u8>], who: usize) -> Vec<Self> {
        let mut states = vec![later, self];
        if let Self::Lives(it) = self
            && later != self
        {
            let ended = (0..).zip(codes).find(|(life, _)| id(who, *life) == it);
            states.extend(ended.map(|(_, code)| Self::Ended(it, *code)));
        }
        states
    }

    fn agrees_with(self, observation: Observation) -> bool {
        match (self, observation) {
            (Self::Absent, Observation::Absent)
            | (Self::Starts, Observation::Alive { id: None, .. }) => true,
            (Self::Lives(it), Observation::Alive { id: Some(id), .. }) => it == id,
            (
                Self::Ended(it, Some(code)),
                Observation::Ended {
                    id,
                    end: End::Code(seen),
                    ..
                },
            ) => (it, code) == (id, seen),
            (
                Self::Ended(it, Some(0)),
                Observation::Ended {
                    id,
                    end: End::Stopped,
                    ..
                },
            ) => it == id,
            (
                Self::Ended(it, None),
                Observation::Ended {
                    id,
                    end: End::Lost | End::Unknown,
                    ..
                },
            ) => it == id,
            (Self::Absent | Self::Starts | Self::Lives(_) | Self::Ended(..), _) => false,
        }
    }
}

/// Why a member ends, seen from outside. The first cause decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    CmdEnded,
    Signal {
        was_ready: bool,
    },
    Quit,
    /// It never started CMD. The code.
    Given(u8),
    /// All members of `--until` are done, which allows these codes.
    Done(Vec<u8>),
    NeedLost,
    NeverCame,
}

impl World {
    fn name(pod: &Pod, who: usize) -> &'static str {
        pod.roles[who].name
    }

    /// A look must show the true state at some moment during the look, although others go on
    /// meanwhile: when it tested the lock, or when it asked for the socket.
    pub(super) fn is_sighting_right(
        &mut self,
        member: usize,
        observation: Observation,
        truths: &[Truth],
        pod: &Pod,
    ) {
        let name = Self::name(pod, member);
        let codes = self.members[member].notes.codes;
        let has_published = |it| {
            (0..)
                .zip(codes)
                .any(|(life, code)| id(member, life) == it && code.is_some())
        };
        match observation {
            Observation::Ended {
                id, end: End::Lost, ..
            } if has_published(id) => {
                self.wrong = Some(format!(
                    "{name}, which has published its end, is considered lost"
                ));
            }
            Observation::Ended { .. }
            | Observation::Absent
            | Observation::Alive { .. }
            | Observation::Unreadable => {}
        }
        let is_true = truths.iter().any(|truth| truth.agrees_with(observation));
        if pod.judges_looks && self.wrong.is_none() && !is_true {
            let [truth, ..] = truths else { return };
            self.wrong = Some(format!(
                "{name} is {truth:?}, and is observed as {observation:?}"
            ));
        }
    }

    /// Notes an event that the life is about to handle.
    pub(super) fn note_event(&mut self, who: usize, event: &Event, pod: &Pod) {
        let has_ready = pod.roles[who].has_ready;
        let notes = &mut self.of(who).notes;
        match event {
            Event::Stop(_) => {
                notes.stops = notes.stops.saturating_add(1);
                notes.why.get_or_insert(Why::Signal {
                    was_ready: notes.was_ready || !has_ready,
                });
            }
            Event::Quit => {
                notes.was_asked = true;
                notes.why.get_or_insert(Why::Quit);
            }
            Event::Ended(code) => {
                notes.cmd_code = Some(*code);
                notes.why.get_or_insert(Why::CmdEnded);
            }
            Event::NotOpened(code) | Event::NotStarted(code) => {
                notes.why.get_or_insert(Why::Given(*code));
            }
            Event::Ready => notes.was_ready = true,
            Event::Tick | Event::Opening | Event::Opened | Event::Started | Event::Seen(_) => {}
        }
    }

    /// Judges a decision that the life has made by itself.
    pub(super) fn note_decision(&mut self, who: usize, pod: &Pod) {
        let it = &self.members[who];
        let (Some(machine), None) = (&it.life, &it.notes.why) else {
            return;
        };
        let why = match machine.0.cause() {
            None => return,
            Some(Cause::Done(_)) => self.codes_of_completion(who, pod).map(Why::Done),
            Some(Cause::NeedLost(relation)) => {
                let (need, _) = pod.roles[who].relations[*relation];
                let other = &self.members[need];
                let is_the_same = id(need, other.lives) == it.notes.needed[*relation]
                    && other.phase == Phase::Lives;
                match is_the_same {
                    true => Err(format!(
                        "{} is considered lost, and lives",
                        Self::name(pod, need)
                    )),
                    false => Ok(Why::NeedLost),
                }
            }
            Some(Cause::NeverCame(relation)) => {
                let (member, _) = pod.roles[who].relations[*relation];
                match self.members[member].notes.last_written() > 0 && !it.changed[*relation] {
                    true => Err(format!(
                        "{} was seen, and is considered absent",
                        Self::name(pod, member)
                    )),
                    false => Ok(Why::NeverCame),
                }
            }
            Some(Cause::CmdEnded | Cause::Quit | Cause::Signal { .. }) => {
                Err("it ends without a cause".to_owned())
            }
        };
        match why {
            Ok(why) => self.of(who).notes.why = Some(why),
            Err(wrong) => self.wrong = Some(wrong),
        }
    }

    /// The life that an observer may consider to be the last one. `is_loose`: the observer has no
    /// CMD yet, or restarts are eager.
    fn last_end(it: &Member, is_loose: bool) -> Option<u8> {
        let is_published = it.notes.codes[usize::from(it.lives)].is_some();
        let has_ended = !it.is_alive() || matches!(it.phase, Phase::Exits(_)) || is_published;
        match it.lives {
            0 => None,
            lives if has_ended => Some(lives),
            // It was just started again. An observer that starts at the same moment may look before
            // that is published; no CMD is stopped for it.
            lives if lives > 1 && is_loose => Some(lives - 1),
            _ => None,
        }
    }

    /// The codes that P7.14, "all `--until` are done", allows, or why the members are not done
    /// at all. An observer at its gate, or with eager restarts, may have looked at a member just
    /// before that was started again: then either of its ends is right.
    fn codes_of_completion(&self, who: usize, pod: &Pod) -> Result<Vec<u8>, String> {
        let is_loose = self.members[who].cmd == Cmd::None || pod.is_eager;
        let acted = &self.members[who].memory;
        let mut codes = vec![0];
        // In reverse, because the first failure decides.
        for (member, _) in pod.roles[who]
            .relations
            .iter()
            .rev()
            .filter(|(_, relation)| relation.until)
        {
            let (other, name, role) = (
                &self.members[*member],
                Self::name(pod, *member),
                &pod.roles[*member],
            );
            let Some(last) = Self::last_end(other, is_loose) else {
                return Err(format!("done, and {name} has not ended"));
            };
            // A life that ended before its first record is unknown, or at most known as lost.
            let is_unknown = !other.notes.has_written(last);
            let own = pod.roles[who].policy;
            let policy = if role.policy == Policy::Auto {
                own
            } else {
                role.policy
            };
            if policy == Policy::Always && !is_unknown {
                return Err(format!("done, and {name} is always restarted"));
            }
            let published = |life: u8| other.notes.codes[usize::from(life)];
            // A joined member has no code. Its policy excludes a failure.
            let code = |life| published(life).unwrap_or(if role.is_joined { 0 } else { KILLED });
            let was_stopped = |life: u8| {
                published(life) == Some(0) && other.notes.were_stopped[usize::from(life)]
            };
            // A success is final, although a member that is killed after it is started again.
            let is_success = |life: u8| {
                published(life) == Some(0) && (policy == Policy::Never || !was_stopped(life))
            };
            let has_succeeded = (1..=last).any(is_success);
            let is_waited_for = if is_unknown {
                own == Policy::OnFailure
            } else {
                policy == Policy::OnFailure
            };
            if !has_succeeded && is_waited_for && other.phase != Phase::Over {
                let has = if was_stopped(last) {
                    "was stopped"
                } else {
                    "has failed"
                };
                return Err(format!("done, and {name} {has} and will be restarted"));
            }
            let before = if (is_loose || is_unknown) && last > 1 {
                last - 1
            } else {
                last
            };
            let after = |its: u8, policy: Policy| match its {
                0 => codes.clone(),
                _ if policy == Policy::Never => vec![0],
                failed => vec![failed],
            };
            let success = if has_succeeded {
                after(0, policy)
            } else {
                Vec::new()
            };
            // The policy that its record would have stated is unknown, too.
            let lost = if is_unknown {
                after(KILLED, own)
            } else {
                Vec::new()
            };
            // Under auto, a stop from outside ends the observer once, with 143. A second time it is
            // a success, because the member was not started again.
            let of = |life| match (was_stopped(life), policy) {
                (true, Policy::Auto) if !acted.contains(&id(*member, life)) => after(143, policy),
                (true, _) => after(0, policy),
                (false, _) => after(code(life), policy),
            };
            codes = [of(last), of(before), success, lost].concat();
            codes.sort_unstable();
            codes.dedup();
        }
        Ok(codes)
    }

    /// CMD is about to be started: no signal arrived, and its needs are ready.
    pub(super) fn is_start_right(&mut self, who: usize, pod: &Pod) {
        let it = &self.members[who];
        if it.notes.stops > 0 {
            self.wrong = Some("CMD is started after a signal to end".to_owned());
            return;
        }
        for (relation, (need, _)) in pod.roles[who]
            .relations
            .iter()
            .enumerate()
            .filter(|(_, (_, its))| its.needs)
        {
            let other = &self.members[*need];
            let is_its = other
                .record
                .is_some_and(|it| it.id == id(*need, other.lives) && it.stage == Stage::Ready);
            let is_another = pod.is_eager && id(*need, other.lives) != it.notes.needed[relation];
            if !is_its && !is_another {
                let name = Self::name(pod, *need);
                self.wrong = Some(format!(
                    "CMD is started, and {name}, which it needs, is not ready"
                ));
                return;
            }
        }
    }

    /// A failure is written down before it is acted on (P6.6). Otherwise a member that is
    /// killed in between would act a second time.
    pub(super) fn is_written_before(&mut self, who: usize, action: &Action) {
        let acts = matches!(action, Action::StopCmd | Action::Kill | Action::Finish(_));
        if acts
            && self.members[who]
                .todo
                .iter()
                .any(|later| matches!(later, Action::Remember(_)))
        {
            self.wrong = Some("it acts on a failure that it has not written down".to_owned());
        }
    }

    /// It is about to act on these failures: at least one must be new to it.
    pub(super) fn is_new_to(&mut self, who: usize, ids: &[u64]) {
        if ids
            .iter()
            .all(|id| self.members[who].notes.acted.contains(id))
        {
            self.wrong = Some("a failure is acted on twice".to_owned());
        }
        let acted = &mut self.of(who).notes.acted;
        acted.extend(ids);
        acted.sort_unstable();
        acted.dedup();
    }

    /// CMD is sent its stop signal: no member that it has to outlive may live.
    pub(super) fn is_stop_right(&mut self, who: usize, pod: &Pod) {
        let it = &self.members[who];
        let is_excused = match &it.notes.why {
            Some(Why::Quit | Why::NeedLost) => true,
            Some(Why::Signal { .. }) => {
                it.notes.stops > 1 || it.notes.was_asked || it.notes.is_out_of_grace
            }
            // One of several members may have come. CMD is stopped for the one that has not.
            Some(Why::NeverCame) => true,
            Some(Why::CmdEnded | Why::Done(_) | Why::Given(_)) | None => false,
        };
        if is_excused {
            return;
        }
        // Between the look and this step other members may start: with eager restarts, after a
        // signal to one container alone (absent counts as gone), and if CMD runs before its
        // container has joined.
        let is_loose =
            pod.is_eager || pod.probes > 0 || pod.roles.iter().any(|role| role.is_joined);
        for (relation, (member, its)) in pod.roles[who].relations.iter().enumerate() {
            let other = &self.members[*member];
            let lives = other.has_living_cmd() && !matches!(other.phase, Phase::Dies(_));
            let was_seen = !is_loose || (it.notes.saw_alive[relation] && other.hold != Hold::Free);
            if (its.until || its.outlives) && lives && was_seen {
                self.wrong = Some(format!(
                    "CMD is stopped, and {} lives",
                    Self::name(pod, *member)
                ));
                return;
            }
        }
    }

    /// The exit code must be that of the table (P7.14).
    pub(super) fn is_end_right(&mut self, who: usize, code: u8, pod: &Pod) {
        let it = &self.members[who];
        let role = &pod.roles[who];
        if it.has_living_cmd() && !role.is_joined {
            self.wrong = Some("it ends, and its CMD lives".to_owned());
            return;
        }
        let cmd = it.notes.cmd_code;
        let expected = match (&it.notes.why, cmd) {
            (None, _) | (Some(Why::CmdEnded), None) => Vec::new(),
            (Some(Why::CmdEnded), Some(cmd)) => vec![cmd],
            (Some(Why::Signal { was_ready: false }), Some(0))
            | (Some(Why::Signal { .. }), None) => vec![143],
            (Some(Why::Signal { .. }), Some(cmd)) => vec![cmd],
            (Some(Why::Quit), _) if role.serves() => vec![0],
            (Some(Why::Quit), None) => vec![143],
            (Some(Why::Quit), Some(cmd)) => vec![cmd],
            (Some(Why::Given(given)), _) => vec![*given],
            (Some(Why::Done(codes)), _) => codes.clone(),
            (Some(Why::NeedLost), _) => vec![69],
            (Some(Why::NeverCame), _) => vec![124],
        };
        if !expected.contains(&code) {
            let why = &it.notes.why;
            self.wrong = Some(format!(
                "exit code {code}, expected one of {expected:?}: {why:?}"
            ));
        }
    }
}
