//! A member's record: from bytes to [`Record`] and back. It has lines of `key: value`, so that
//! `cat` shows the state to a person. Any podgate can read the record of another version: unknown
//! keys are ignored, and the first line has the version.

use super::digits::number;
use super::errno::Errno;
use super::member::{Name, Policy, Stage};
use std::fmt::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// The version that is written, and the newest that is read. A new meaning of an old key changes
/// it, and a new key does not.
pub const VERSION: u32 = 1;
/// The longest record that is read, in bytes. A written record has a tenth of it.
pub const LONGEST: usize = 4096;
/// The longest host name (sethostname(2)).
const LONGEST_HOST: usize = 64;

/// The cause of an end after a stop signal from outside. Other ends have none.
const STOPPED: &str = "stop-signal";

/// The last millisecond of RFC 3339: its years have four digits.
const LAST: u64 = 253_402_300_799_999;

/// A moment of the wall clock in milliseconds since the epoch, for people and for diagrams. No
/// decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock can be wrong by millennia, and `to_string` panics if Display fails.
        let time = UNIX_EPOCH
            .checked_add(Duration::from_millis(self.0.min(LAST)))
            .unwrap_or(UNIX_EPOCH);
        write!(f, "{}", humantime::format_rfc3339_millis(time))
    }
}

/// When a member's incarnation reached each of its states. `None`: it has not, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Its process started.
    pub waiting: Option<Stamp>,
    /// CMD was started.
    pub running: Option<Stamp>,
    /// CMD was ready.
    pub ready: Option<Stamp>,
    /// CMD was sent its stop signal.
    pub stopping: Option<Stamp>,
    pub exited: Option<Stamp>,
}

/// The lines of [`Times`].
const MOMENTS: [&str; 5] = ["waiting", "running", "ready", "stopping", "exited"];

impl Times {
    const fn all(&self) -> [Option<Stamp>; 5] {
        [
            self.waiting,
            self.running,
            self.ready,
            self.stopping,
            self.exited,
        ]
    }
}

/// What a member publishes of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    /// The number of its starts on this volume, this one included.
    pub incarnation: u64,
    /// The id of this incarnation, unique among all members.
    pub id: u64,
    /// The pod's host name. A record with another one is from another pod.
    pub host: String,
    /// The container: the inode of its mount namespace (namespaces(7)). 0 if it is not known.
    pub container: u64,
    pub uid: u32,
    /// The restart policy that it states, if any.
    pub policy: Option<Policy>,
    /// Whether it is a `join`, which cannot know how PID 1 ends.
    pub is_joined: bool,
    /// How far it is, or was when it ended.
    pub stage: Stage,
    /// Its exit code, once it has ended.
    pub exit: Option<u8>,
    /// Whether it ended because of a stop signal from outside.
    pub is_stopped: bool,
    pub times: Times,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It was written by a podgate with a newer format: this version.
    Newer(u32),
    /// It is not a record.
    Garbage(Garbage),
    /// It could not be read.
    System(Errno),
}

/// What is wrong with a file that is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    NotUtf8,
    /// The first line is not `podgate: VERSION`.
    NoVersion,
    VersionIsNotANumber,
    /// A line that every record has is missing or wrong.
    BadLine,
    /// It is longer than [`LONGEST`].
    TooLong,
    /// The record is another member's.
    OtherName,
    Symlink,
    NotAFile,
}

impl Record {
    /// The name of the state, as in the reference.
    pub const fn state(&self) -> &'static str {
        match (self.exit, self.stage) {
            (Some(_), Stage::Waiting | Stage::Running | Stage::Ready) => "exited",
            (None, Stage::Waiting) => "waiting",
            (None, Stage::Running) => "running",
            (None, Stage::Ready) => "ready",
        }
    }

    /// When the present state began.
    pub const fn since(&self) -> Option<Stamp> {
        match (self.exit, self.stage) {
            (Some(_), Stage::Waiting | Stage::Running | Stage::Ready) => self.times.exited,
            (None, Stage::Waiting) => self.times.waiting,
            (None, Stage::Running) => self.times.running,
            (None, Stage::Ready) => self.times.ready,
        }
    }

    pub fn encode(&self) -> String {
        let mut text = format!(
            "podgate: {VERSION}\nname: {}\nstate: {}\n",
            self.name,
            self.state()
        );
        let mut line = |key: &str, value: &dyn fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key}: {value}");
        };
        if let Some(code) = &self.exit {
            line("exit", code);
            line("stage", &stage_word(self.stage));
            if self.is_stopped {
                line("cause", &STOPPED);
            }
        }
        line("incarnation", &self.incarnation);
        line("id", &format_args!("{:016x}", self.id));
        line("host", &self.host);
        line("container", &self.container);
        line("uid", &self.uid);
        line("kind", &if self.is_joined { "join" } else { "run" });
        if let Some(policy) = self.policy {
            line("restart-policy", &policy.word());
        }
        for (key, time) in MOMENTS.into_iter().zip(self.times.all()) {
            if let Some(time) = time {
                line(key, &time);
            }
        }
        text
    }

    /// Reads a record.
    ///
    /// # Errors
    /// The bytes are of a newer version, or not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let lines = Lines::read(bytes)?;
        let get = |key: &str| lines.get(key);
        let lacks = Unreadable::Garbage(Garbage::BadLine);
        let state = get("state").ok_or(lacks)?;
        let exit = if state == "exited" {
            Some(get("exit").and_then(number).ok_or(lacks)?)
        } else {
            None
        };
        let stage = if exit.is_some() {
            get("stage").unwrap_or("running")
        } else {
            state
        };
        let policy = match get("restart-policy") {
            None => None,
            Some(word) => Some(Policy::parse(word).map_err(|_| lacks)?),
        };
        let [waiting, running, ready, stopping, exited] =
            MOMENTS.map(|key| get(key).and_then(stamp));
        Ok(Self {
            name: get("name")
                .and_then(|name| Name::parse(name).ok())
                .ok_or(lacks)?,
            incarnation: get("incarnation").and_then(number).ok_or(lacks)?,
            id: get("id").and_then(id).ok_or(lacks)?,
            host: get("host")
                .filter(|host| is_host(host))
                .ok_or(lacks)?
                .to_owned(),
            container: get("container").and_then(number).unwrap_or(0),
            uid: get("uid").and_then(number).unwrap_or(0),
            policy,
            is_joined: get("kind") == Some("join"),
            stage: [Stage::Waiting, Stage::Running, Stage::Ready]
                .into_iter()
                .find(|it| stage_word(*it) == stage)
                .ok_or(lacks)?,
            exit,
            is_stopped: exit.is_some() && get("cause") == Some(STOPPED),
            times: Times {
                waiting,
                running,
                ready,
                stopping,
                exited,
            },
        })
    }
}

/// The lines of a file of the volume, after the one with the version.
pub(super) struct Lines<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Lines<'a> {
    /// # Errors
    /// The bytes are of a newer version, or not such lines.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Garbage(Garbage::NotUtf8))?;
        let mut lines = text.lines();
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix("podgate: "))
            .ok_or(Unreadable::Garbage(Garbage::NoVersion))?;
        // A version may have parts: 2.1 is a 2.
        let major = version.split('.').next().unwrap_or_default();
        match number(major) {
            Some(1) => {}
            Some(version @ 2..) => return Err(Unreadable::Newer(version)),
            Some(_) | None => return Err(Unreadable::Garbage(Garbage::VersionIsNotANumber)),
        }
        Ok(Self(
            lines.filter_map(|line| line.split_once(": ")).collect(),
        ))
    }

    /// The value of the first line with this key.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(it, _)| *it == key);
        found.map(|(_, value)| *value)
    }

    /// Every key and its value.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().copied()
    }
}

/// Writes which failures a member has acted on: one id a line.
pub fn encode_acted(ids: &[u64]) -> String {
    let mut text = format!("podgate: {VERSION}\n");
    for id in ids {
        let _ = writeln!(text, "{id:016x}");
    }
    text
}

/// Reads them back. A line that cannot be read is skipped: acting twice is better than never.
pub fn decode_acted(bytes: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.lines().filter_map(id).collect()
}

const fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting",
        Stage::Running => "running",
        Stage::Ready => "ready",
    }
}

/// Printable, and one word.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= LONGEST_HOST
        && text
            .chars()
            .all(|letter| !letter.is_whitespace() && !letter.is_control())
}

fn id(text: &str) -> Option<u64> {
    let fine = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| fine)
}

fn stamp(text: &str) -> Option<Stamp> {
    let time = humantime::parse_rfc3339(text)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    u64::try_from(time.as_millis()).ok().map(Stamp)
}

#[cfg(test)]
pub mod tests {
    use super::{LONGEST, Record, Stamp, Times, Unreadable, decode_acted, encode_acted};
    use crate::core::member::{Name, Policy, Stage};
    use proptest::prelude::*;

    /// A record for tests.
    pub fn record(stage: Stage, exit: Option<u8>) -> Record {
        Record {
            name: Name::parse("main").expect("a name"),
            incarnation: 2,
            id: 0x0123_4567_89ab_cdef,
            host: "pod".to_owned(),
            container: 4_026_531_840,
            uid: 65_532,
            policy: None,
            is_joined: false,
            stage,
            exit,
            is_stopped: false,
            times: Times {
                waiting: Some(Stamp(1_700_000_000_123)),
                ..Times::default()
            },
        }
    }

    #[test]
    fn a_record_is_lines_of_text() {
        let record = Record {
            policy: Some(Policy::OnFailure),
            ..record(Stage::Ready, Some(3))
        };
        let expected = "podgate: 1\nname: main\nstate: exited\nexit: 3\nstage: ready\n\
             incarnation: 2\nid: 0123456789abcdef\nhost: pod\ncontainer: 4026531840\n\
             uid: 65532\nkind: run\nrestart-policy: on-failure\n\
             waiting: 2023-11-14T22:13:20.123Z\n";
        assert_eq!(record.encode(), expected);
    }

    #[test]
    fn a_newer_version_is_named_and_unknown_keys_are_ignored() {
        let text = record(Stage::Running, None).encode();
        let newer =
            |version: &str| Record::decode(text.replacen("podgate: 1", version, 1).as_bytes());
        assert_eq!(newer("podgate: 2"), Err(Unreadable::Newer(2)));
        assert_eq!(newer("podgate: 3.7"), Err(Unreadable::Newer(3)));
        assert_eq!(newer("podgate: 1.4"), Ok(record(Stage::Running, None)));
        assert_eq!(
            Record::decode(format!("{text}mood: fine\nno key at all\n").as_bytes()),
            Ok(record(Stage::Running, None))
        );
    }

    #[test]
    fn garbage_is_not_a_record_and_has_no_exit_code() {
        let text = record(Stage::Running, Some(0)).encode();
        for (from, to) in [
            ("podgate: 1", "podgate: x"),
            ("podgate: 1", "podgate: 0"),
            ("podgate", "bodgate"),
            ("exit: 0", "exit: 256"),
            ("exit: 0", "exit: -1"),
            ("exit: 0", "exit: +1"),
            ("exit: 0\n", ""),
            ("state: exited", "state: happy"),
            ("id: 0123", "id: +123"),
            ("name: main", "name: ../main"),
            ("incarnation: 2", "incarnation: two"),
            // Found by fuzzing: a carriage return more or less made another host.
            ("host: pod", "host: pod\r\r"),
            ("host: pod", "host: a pod"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text, "{from}");
            assert!(
                matches!(Record::decode(bad.as_bytes()), Err(Unreadable::Garbage(_))),
                "{bad}"
            );
        }
        assert!(Record::decode(&[0xff; 64]).is_err());
        assert!(Record::decode(b"").is_err());
    }

    /// Found by fuzzing: a Display that fails makes `to_string` panic.
    #[test]
    fn a_clock_beyond_the_year_9999_is_printed_as_its_end() {
        assert_eq!(
            Stamp(253_402_300_799_999).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
        for millis in [253_402_300_800_000, u64::MAX] {
            assert_eq!(Stamp(millis).to_string(), "9999-12-31T23:59:59.999Z");
        }
    }

    #[test]
    fn acted_on_failures_come_back() {
        let ids = vec![0, 1, u64::MAX];
        assert_eq!(decode_acted(encode_acted(&ids).as_bytes()), ids);
        assert!(decode_acted(b"\xff\xff garbage \n 12\n+123456789abcdef\n").is_empty());
    }

    fn policy() -> impl Strategy<Value = Policy> {
        proptest::sample::select(vec![Policy::Never, Policy::OnFailure, Policy::Always])
    }

    fn times() -> impl Strategy<Value = Times> {
        let one = || proptest::option::of((0_u64..4_000_000_000_000).prop_map(Stamp));
        (one(), one(), one(), one(), one()).prop_map(
            |(waiting, running, ready, stopping, exited)| Times {
                waiting,
                running,
                ready,
                stopping,
                exited,
            },
        )
    }

    proptest! {
        #[test]
        fn a_written_record_is_read_back(
            name in "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?",
            numbers in any::<(u64, u64, u64, u32)>(),
            host in "[-a-zA-Z0-9.]{1,64}",
            policy in proptest::option::of(policy()),
            stage in proptest::sample::select(vec![Stage::Waiting, Stage::Running, Stage::Ready]),
            is_joined in any::<bool>(),
            exit in proptest::option::of(any::<u8>()),
            is_stopped in any::<bool>(),
            times in times(),
        ) {
            let (incarnation, id, container, uid) = numbers;
            let name = Name::parse(&name).expect("a name");
            let record = Record {
                name,
                incarnation,
                id,
                host,
                container,
                uid,
                policy,
                is_joined,
                stage,
                exit,
                // Only an end has a cause.
                is_stopped: is_stopped && exit.is_some(),
                times,
            };
            let bytes = record.encode();
            prop_assert!(bytes.len() < LONGEST / 4);
            prop_assert_eq!(Record::decode(bytes.as_bytes()), Ok(record));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(&bytes);
            let _ = decode_acted(&bytes);
        }

        #[test]
        fn a_record_that_was_cut_or_damaged_is_never_another_exit_code(
            cut in 0_usize..400,
            at in 0_usize..400,
            byte in any::<u8>(),
        ) {
            let whole = record(Stage::Running, Some(0)).encode();
            let text = whole.as_bytes();
            if let Ok(read) = Record::decode(&text[..cut.min(text.len())]) {
                prop_assert_eq!(read.exit, Some(0));
            }
            let mut damaged = text.to_vec();
            let at = at.min(damaged.len() - 1);
            damaged[at] = byte;
            let is_the_code = whole[..at].ends_with("exit: ");
            if let Ok(read) = Record::decode(&damaged)
                && !is_the_code
            {
                // Damage may change the state, but it never makes up a code.
                prop_assert!(
                    read.exit
                        .is_none_or(|code| code == 0 || byte.is_ascii_digit())
                );
            }
        }
    }
}
