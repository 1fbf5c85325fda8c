//! Rounds: which records of a pod still count when its init containers run again.
//!
//! Init containers run again for three reasons, and nothing tells them which one it is:
//!
//! | reason | sandbox | members that started since the last reset | so the reset |
//! | --- | --- | --- | --- |
//! | RestartAllContainers: all containers start again | the same | some | removes what dead members left |
//! | a new sandbox (a crash, a reboot): a container that had succeeded does not start again | another | does not matter | removes nothing |
//! | the same init container again, because it failed or was killed | the same | none, because init containers come first | removes nothing |
//!
//! The third row matters after the second: a reset that removed an old success then would leave its
//! sidecar waiting for a member that never comes.
//!
//! The file is written before the first file of a member is removed, and again after the last one.
//! A reset that finds itself between the two finishes the work, in whichever sandbox.

use super::digits::number;
use super::member::Name;
use super::record::{Garbage, Lines, Unreadable, VERSION, is_host};
use std::fmt::Write;

/// The longest file that is read, in bytes. It has room for several hundred members.
pub const LONGEST_ROUND: usize = 65_536;

/// What a reset stores about the sandbox, to recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The key of a semaphore set in the IPC namespace of the pod, which lives as long as the
    /// sandbox. `None` where semaphores are refused.
    pub semaphore: Option<i32>,
    /// The inode of that namespace, which the kernel may give to a later one. 0 if it is not known.
    pub ipc: u64,
    /// The id of the kernel's boot. Empty if it is not known.
    pub boot: String,
}

impl Sandbox {
    /// Whether both are one sandbox as far as numbers tell. A crashed sandbox may leave its number
    /// to the next one, so this is only for where there is no semaphore.
    pub fn has_numbers_of(&self, other: &Self) -> bool {
        self.ipc != 0 && (self.ipc, &self.boot) == (other.ipc, &other.boot)
    }
}

/// How far the last reset came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A round began, and nothing of an earlier one is left.
    Begun,
    /// A round began, and not all files of the earlier one are removed yet.
    Removing,
    /// A new sandbox was found, and everything was kept.
    Kept,
}

const STATES: [(State, &str); 3] = [
    (State::Begun, "begun"),
    (State::Removing, "removing"),
    (State::Kept, "kept"),
];

/// The content of the file `round`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Counts from 1. RestartAllContainers begins the next one.
    pub number: u64,
    pub state: State,
    /// The pod's host name. A file with another one is from another pod.
    pub host: String,
    pub sandbox: Sandbox,
    /// How often each member had started before the last reset. The kubelet's back-off goes on, so
    /// incarnations count on from here.
    pub starts: Vec<(Name, u64)>,
    /// In [`State::Kept`], the members that were alive during the reset: native sidecars before it
    /// in the list. Their restarts do not show that the init containers have ended.
    pub early: Vec<Name>,
}

/// A member, as a reset finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: Name,
    pub is_alive: bool,
    /// The number of its starts, if its record can be read and is this pod's.
    pub incarnation: Option<u64>,
    /// Whether it left files that a new round removes.
    pub has_files: bool,
}

/// What a reset does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first reset of this pod writes its mark, and nothing else.
    First,
    /// A new round: what dead members left is removed.
    NewRound,
    /// An earlier reset did not finish a new round: it is finished.
    Unfinished,
    /// No container has started since the last reset: nothing is left to do.
    Again,
    /// A new sandbox: everything is kept.
    NewSandbox,
}

/// Decides what a reset does, from what the last one of this pod wrote.
pub fn verdict(last: Option<&Round>, is_same_sandbox: bool, members: &[Found]) -> Verdict {
    let Some(last) = last else {
        return Verdict::First;
    };
    let has_started = |it: &Found| {
        let starts = it.incarnation.unwrap_or_default();
        starts > last.starts(&it.name) && !last.early.contains(&it.name)
    };
    let is_left = |it: &Found| !it.is_alive && it.has_files;
    let is_new = match last.state {
        State::Removing => return Verdict::Unfinished,
        State::Kept => members.iter().any(has_started),
        // Nothing that a member can need is removed here: none of them ended in another sandbox.
        State::Begun => members.iter().any(is_left),
    };
    match (is_same_sandbox, is_new) {
        (false, _) => Verdict::NewSandbox,
        (true, true) => Verdict::NewRound,
        (true, false) => Verdict::Again,
    }
}

impl Round {
    /// The first round of a pod.
    pub const fn first(host: String, sandbox: Sandbox) -> Self {
        Self {
            number: 1,
            state: State::Begun,
            host,
            sandbox,
            starts: Vec::new(),
            early: Vec::new(),
        }
    }

    /// The same round in another sandbox.
    #[must_use]
    pub fn kept(&self, sandbox: Sandbox, members: &[Found]) -> Self {
        let alive = members.iter().filter(|it| it.is_alive);
        Self {
            state: State::Kept,
            sandbox,
            starts: self.starts_with(members),
            early: alive.map(|it| it.name.clone()).collect(),
            ..self.clone()
        }
    }

    /// The next round, of which nothing is removed yet. A round that was not finished keeps its
    /// number.
    #[must_use]
    pub fn next(&self, sandbox: Sandbox, members: &[Found]) -> Self {
        let is_finished = self.state != State::Removing;
        Self {
            number: self.number.saturating_add(u64::from(is_finished)),
            state: State::Removing,
            sandbox,
            starts: self.starts_with(members),
            early: Vec::new(),
            ..self.clone()
        }
    }

    /// How often a member had started before the last reset.
    pub fn starts(&self, name: &Name) -> u64 {
        let found = self.starts.iter().find(|(it, _)| it == name);
        found.map_or(0, |(_, starts)| *starts)
    }

    fn starts_with(&self, members: &[Found]) -> Vec<(Name, u64)> {
        let mut all = self.starts.clone();
        for (found, starts) in members.iter().filter_map(|it| Some((it, it.incarnation?))) {
            match all.iter_mut().find(|(name, _)| *name == found.name) {
                Some((_, known)) => *known = starts.max(*known),
                None => all.push((found.name.clone(), starts)),
            }
        }
        all
    }

    /// The text of the file. Members that do not fit into it are left out: only a neighbour that
    /// misuses the volume makes so many.
    pub fn encode(&self) -> String {
        let state = STATES.iter().find(|(state, _)| *state == self.state);
        let mut text = format!(
            "podgate: {VERSION}\nround: {}\nstate: {}\nhost: {}\nipc-namespace: {}\nboot: {}\n",
            self.number,
            state.map_or("", |(_, word)| word),
            self.host,
            self.sandbox.ipc,
            self.sandbox.boot,
        );
        if let Some(key) = self.sandbox.semaphore {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "semaphore: {key}");
        }
        let starts = self
            .starts
            .iter()
            .map(|(name, starts)| format!("starts-{name}: {starts}\n"));
        let early = self.early.iter().map(|name| format!("early: {name}\n"));
        for line in early.chain(starts) {
            if text.len().saturating_add(line.len()) <= LONGEST_ROUND {
                text.push_str(&line);
            }
        }
        text
    }

    /// Reads the file. Unknown lines are ignored.
    ///
    /// # Errors
    /// The bytes are of a newer version, or not such a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let lines = Lines::read(bytes)?;
        let get = |key: &str| lines.get(key);
        let lacks = Unreadable::Garbage(Garbage::BadLine);
        let state = get("state").ok_or(lacks)?;
        let state = STATES.iter().find(|(_, word)| *word == state);
        let semaphore = match get("semaphore") {
            None => None,
            Some(key) => Some(number(key).ok_or(lacks)?),
        };
        let boot = get("boot").unwrap_or_default();
        if !is_host(boot) {
            return Err(lacks);
        }
        let mut starts = Vec::new();
        let mut early = Vec::new();
        for (key, value) in lines.all() {
            if let Some(name) = key.strip_prefix("starts-") {
                let name = Name::parse(name).map_err(|_| lacks)?;
                starts.push((name, number(value).ok_or(lacks)?));
            } else if key == "early" {
                early.push(Name::parse(value).map_err(|_| lacks)?);
            }
        }
        Ok(Self {
            number: get("round").and_then(number).ok_or(lacks)?,
            state: state.map(|(state, _)| *state).ok_or(lacks)?,
            host: get("host")
                .filter(|it| is_host(it))
                .ok_or(lacks)?
                .to_owned(),
            sandbox: Sandbox {
                semaphore,
                ipc: get("ipc-namespace").and_then(number).ok_or(lacks)?,
                boot: boot.to_owned(),
            },
            starts,
            early,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, LONGEST_ROUND, Round, Sandbox, State, Verdict, verdict};
    use crate::core::member::Name;
    use crate::core::record::{Garbage, Unreadable};
    use proptest::prelude::*;

    fn name(name: &str) -> Name {
        Name::parse(name).expect("a name")
    }

    fn sandbox() -> Sandbox {
        Sandbox {
            semaphore: Some(7),
            ipc: 4_026_532_000,
            boot: "0b1e".to_owned(),
        }
    }

    fn found(it: &str, is_alive: bool, incarnation: u64) -> Found {
        Found {
            name: name(it),
            is_alive,
            incarnation: Some(incarnation),
            has_files: true,
        }
    }

    fn first() -> Round {
        Round::first("pod".to_owned(), sandbox())
    }

    #[test]
    fn the_file_is_lines_of_text() {
        let members = [found("main", false, 2), found("proxy", true, 1)];
        let kept = first().kept(sandbox(), &members);
        assert_eq!(
            kept.encode(),
            "podgate: 1\nround: 1\nstate: kept\nhost: pod\nipc-namespace: 4026532000\nboot: 0b1e\n\
             semaphore: 7\nearly: proxy\nstarts-main: 2\nstarts-proxy: 1\n"
        );
        let text = format!("{}mood: fine\nno key\n", kept.encode());
        assert_eq!(Round::decode(text.as_bytes()), Ok(kept));
    }

    #[test]
    fn garbage_is_not_a_round() {
        let text = first().next(sandbox(), &[found("main", false, 2)]).encode();
        assert!(Round::decode(text.as_bytes()).is_ok());
        for (from, to) in [
            ("podgate: 1", "podgate: x"),
            ("podgate", "bodgate"),
            ("round: 2", "round: +2"),
            ("round: 2\n", ""),
            ("state: removing", "state: happy"),
            ("host: pod", "host: a pod"),
            ("ipc-namespace: 4", "ipc-namespace: x"),
            ("semaphore: 7", "semaphore: 4294967296"),
            ("boot: 0b1e", "boot: 0b1e\r\r"),
            ("starts-main: 2", "starts-main: -2"),
            ("starts-main: 2", "starts-../main: 2"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            let read = Round::decode(bad.as_bytes());
            assert!(matches!(read, Err(Unreadable::Garbage(_))), "{bad}");
        }
        let newer = text.replacen("podgate: 1", "podgate: 2.1", 1);
        assert_eq!(Round::decode(newer.as_bytes()), Err(Unreadable::Newer(2)));
        let empty = Unreadable::Garbage(Garbage::NoVersion);
        assert_eq!(Round::decode(b""), Err(empty));
    }

    #[test]
    fn the_first_reset_of_a_pod_is_the_first_round() {
        let members = [found("main", false, 1)];
        assert_eq!(verdict(None, false, &members), Verdict::First);
        assert_eq!(verdict(None, true, &[]), Verdict::First);
    }

    #[test]
    fn a_member_that_ended_in_this_sandbox_makes_a_new_round() {
        let last = first();
        for (members, expected) in [
            (vec![], Verdict::Again),
            (vec![found("proxy", true, 1)], Verdict::Again),
            (vec![found("main", false, 1)], Verdict::NewRound),
        ] {
            assert_eq!(verdict(Some(&last), true, &members), expected);
            let other = verdict(Some(&last), false, &members);
            assert_eq!(other, Verdict::NewSandbox);
        }
        // Its record cannot be read, and does not count in the new round either.
        let garbage = Found {
            incarnation: None,
            ..found("main", false, 0)
        };
        let expected = Verdict::NewRound;
        assert_eq!(verdict(Some(&last), true, &[garbage]), expected);
    }

    #[test]
    fn a_reset_that_is_made_again_after_a_new_sandbox_loses_no_success() {
        let before = [found("main", false, 3), found("proxy", true, 5)];
        let kept = first().kept(sandbox(), &before);
        assert_eq!(verdict(Some(&kept), true, &before), Verdict::Again);
        // A native sidecar before the reset was started again, which is no new round.
        let again = [found("main", false, 3), found("proxy", false, 6)];
        assert_eq!(verdict(Some(&kept), true, &again), Verdict::Again);
        // The sidecar of main has started after the init containers.
        let mut round = before.to_vec();
        round.push(found("sidecar", false, 1));
        assert_eq!(verdict(Some(&kept), true, &round), Verdict::NewRound);
        let started = [found("main", true, 4)];
        assert_eq!(verdict(Some(&kept), true, &started), Verdict::NewRound);
        // And the sandbox may crash once more.
        assert_eq!(verdict(Some(&kept), false, &round), Verdict::NewSandbox);
    }

    #[test]
    fn a_round_that_was_not_finished_is_finished_in_any_sandbox() {
        let members = [found("main", false, 2)];
        let begun = first().next(sandbox(), &members);
        assert_eq!((begun.number, begun.state), (2, State::Removing));
        for is_same in [true, false] {
            for members in [&members[..], &[]] {
                assert_eq!(verdict(Some(&begun), is_same, members), Verdict::Unfinished);
            }
        }
        let finished = begun.next(sandbox(), &[]);
        assert_eq!(finished.number, 2);
        assert_eq!(finished.starts(&name("main")), 2);
    }

    #[test]
    fn starts_are_counted_over_rounds() {
        let second = first().next(sandbox(), &[found("main", false, 3), found("a", true, 1)]);
        let second = Round {
            state: State::Begun,
            ..second
        };
        let third = second.next(sandbox(), &[found("main", false, 4)]);
        assert_eq!(third.number, 3);
        assert_eq!(third.starts(&name("main")), 4);
        assert_eq!(third.starts(&name("a")), 1);
        assert_eq!(third.starts(&name("nobody")), 0);
    }

    #[test]
    fn numbers_alone_identify_a_sandbox_only_if_all_are_known_and_equal() {
        let here = sandbox();
        let other = |ipc, boot: &str| Sandbox {
            semaphore: None,
            ipc,
            boot: boot.to_owned(),
        };
        assert!(other(here.ipc, "0b1e").has_numbers_of(&here));
        assert!(!other(here.ipc, "0b1f").has_numbers_of(&here));
        assert!(!other(1, "0b1e").has_numbers_of(&here));
        assert!(!other(0, "0b1e").has_numbers_of(&other(0, "0b1e")));
    }

    #[test]
    fn members_that_do_not_fit_are_left_out() {
        let many: Vec<Found> = (0..2_000)
            .map(|number| found(&format!("{}-{number:04}", "x".repeat(58)), false, 1))
            .collect();
        let text = first().next(sandbox(), &many).encode();
        assert!(text.len() <= LONGEST_ROUND);
        let read = Round::decode(text.as_bytes()).expect("a round");
        assert!(read.starts.len() > 500, "{}", read.starts.len());
    }

    proptest! {
        #[test]
        fn a_written_round_is_read_back(
            number in any::<u64>(),
            state in proptest::sample::select(vec![State::Begun, State::Removing, State::Kept]),
            semaphore in proptest::option::of(0..=i32::MAX),
            ipc in any::<u64>(),
            boot in "[-0-9a-f]{0,36}",
            starts in proptest::collection::vec(("[a-z0-9]{1,63}", any::<u64>()), 0..9),
            early in proptest::collection::vec("[a-z0-9]{1,63}", 0..9),
        ) {
            let sandbox = Sandbox { semaphore, ipc, boot };
            let round = Round {
                number,
                state,
                starts: starts.iter().map(|(it, starts)| (name(it), *starts)).collect(),
                early: early.iter().map(|it| name(it)).collect(),
                ..Round::first("pod".to_owned(), sandbox)
            };
            prop_assert_eq!(Round::decode(round.encode().as_bytes()), Ok(round));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Round::decode(&bytes);
        }
    }
}
