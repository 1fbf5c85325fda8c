//! The findings of `podgate doctor`: one line each, with a remedy where something is wrong.

use super::volume::{dir_error, not_shared};
use crate::core::duration::show;
use crate::core::errno::Errno;
use crate::core::member::Name;
use crate::core::volume_error::DirError;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Not wrong by itself.
    Note,
    Wrong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub text: String,
}

/// Whether containers see each other's locks on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locks {
    /// These members of other containers hold their locks.
    Shared(Vec<Name>),
    /// These members are alive, and their locks look free.
    NotShared(Vec<Name>),
    /// No member of another container is alive.
    NotKnown,
}

/// What inotify does on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inotify {
    Works,
    /// It did not report a change that was made.
    Silent,
    /// The file system does not report all changes.
    Incomplete,
    Unavailable(Errno),
}

/// What PID 1 of this container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Init {
    ThisProcess,
    /// It belongs to another container.
    Shared,
    /// It belongs to another user, so that this one may not signal it.
    OtherUser,
    /// The path of its program, if it can be read.
    Program(Option<String>),
}

/// Whether a neighbour can replace this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binary<'a> {
    /// It can be replaced: the warning.
    Replaceable(String),
    Safe(&'a Path),
    /// /proc is not mounted.
    Unknown,
}

/// The lines that `doctor` prints.
pub fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let word = match finding.verdict {
            Verdict::Fine => "ok   ",
            Verdict::Note => "note ",
            Verdict::Wrong => "WRONG",
        };
        format!("{word} {}\n", finding.text)
    };
    findings.iter().map(line).collect()
}

fn fine(text: impl Into<String>) -> Finding {
    finding(Verdict::Fine, text)
}

fn note(text: impl Into<String>) -> Finding {
    finding(Verdict::Note, text)
}

fn wrong(text: impl Into<String>) -> Finding {
    finding(Verdict::Wrong, text)
}

fn finding(verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding {
        verdict,
        text: text.into(),
    }
}

pub fn no_dir() -> Finding {
    note("--dir is none: there are no members, and nothing that needs them")
}

pub fn unusable_dir(dir: &Path, error: DirError) -> Finding {
    wrong(format!("volume: {dir:?}: {}", dir_error(error)))
}

/// `is_plain`: `dir` is on the container's own root file system; `None`: unknown without /proc.
/// `above`: the mount on which it lies, if it is not a mount itself.
pub fn mount(
    dir: &Path,
    is_plain: Option<bool>,
    is_plain_allowed: bool,
    above: Option<&Path>,
) -> Finding {
    match (is_plain, is_plain_allowed) {
        (Some(false), _) => match above {
            None => fine(format!("volume: {dir:?} is a separate mount")),
            Some(above) => note(format!(
                "volume: {dir:?} lies on the mount {above:?}; every container that takes part must \
                 mount the same volume and use the same directory on it"
            )),
        },
        (Some(true), false) => {
            let cause = dir_error(DirError::OnRootFileSystem);
            wrong(format!("volume: {dir:?}: {cause}"))
        }
        (Some(true), true) => note(format!(
            "volume: {dir:?} is a plain directory, which --allow-plain-dir allows"
        )),
        (None, _) => note(format!(
            "volume: without /proc it is not known whether {dir:?} is a mount; check the pod's \
             volumeMounts"
        )),
    }
}

/// Whether this user can take part; the error is a cause with its remedy. `is_read_only`: the
/// volume is mounted readOnly, as for a container that only looks at members.
pub fn trial(uid: u32, outcome: Result<(), &str>, is_read_only: bool) -> Finding {
    match outcome {
        Ok(()) => fine(format!(
            "volume: uid {uid} can write there; renaming and space for records work, and locks \
             within this container"
        )),
        Err(cause) => {
            let verdict = if is_read_only {
                Verdict::Note
            } else {
                Verdict::Wrong
            };
            let text = format!(
                "volume: uid {uid} cannot take part there: {cause} (to look at members, reading is \
                 enough)"
            );
            finding(verdict, text)
        }
    }
}

/// Whether containers see each other's locks, which a trial within one container cannot prove.
pub fn locks(dir: &Path, locks: &Locks) -> Finding {
    match locks {
        Locks::Shared(names) => fine(format!("locks: they are shared with {}", list(names))),
        Locks::NotShared(names) => wrong(format!(
            "locks: they are not shared on {}",
            not_shared(dir, names)
        )),
        Locks::NotKnown => note(
            "locks: no member of another container is alive, so it is not known whether \
             containers see each other's locks here; run doctor again beside a living member",
        ),
    }
}

fn list(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

pub const TRIAL_IS_TAKEN: &str = "another doctor is running; try again";

pub fn inotify(inotify: Inotify) -> Finding {
    match inotify {
        Inotify::Works => fine("inotify: the kernel reports changes on the volume"),
        Inotify::Silent => {
            wrong("inotify: the kernel did not report a change on the volume; use an emptyDir")
        }
        Inotify::Incomplete => note(
            "inotify: the volume's file system does not report all changes, so podgate looks every \
             100 ms; use an emptyDir",
        ),
        Inotify::Unavailable(errno) => note(format!(
            "inotify: not available ({}), so podgate looks every 100 ms; raise \
             fs.inotify.max_user_instances on the node",
            errno.words()
        )),
    }
}

pub fn init(init: &Init) -> Finding {
    match init {
        Init::ThisProcess => fine("PID 1: it is this process"),
        Init::Shared => note(
            "PID 1 is not this container's own (shareProcessNamespace): join --until does not work \
             here, and if run dies, only the end of the container kills its command",
        ),
        Init::OtherUser => note(
            "PID 1 belongs to another user: join --until does not work here; run the hook as the \
             same user as PID 1",
        ),
        Init::Program(path) => {
            let program = path.as_deref().unwrap_or("another program");
            note(format!(
                "PID 1 is {program}: run should be the container's entrypoint; for a hook or a \
                 probe this is right"
            ))
        }
    }
}

/// Whether the PID namespace is shared; `None`: unknown without /proc.
pub fn pid_namespace(is_shared: Option<bool>) -> Option<Finding> {
    match is_shared {
        Some(false) => Some(fine("PID namespace: this container has its own")),
        // The finding about PID 1 has it.
        Some(true) => None,
        None => Some(note(
            "PID namespace: not known without /proc/1/mountinfo; check shareProcessNamespace in \
             the pod",
        )),
    }
}

pub fn container_log(path: &str, uid: u32, is_writable: bool) -> Finding {
    if is_writable {
        fine("container log: a hook can write to it with --log-to container")
    } else {
        note(format!(
            "container log: uid {uid} cannot write {path}, so --log-to container logs to stderr; \
             run the hook as the user that PID 1 was started as (runAsUser)"
        ))
    }
}

pub fn termination_message(path: &str, is_writable: bool) -> Finding {
    if is_writable {
        fine("termination message: it can be written")
    } else {
        note(format!(
            "termination message: {path} does not exist or cannot be written, so only the log \
             shows why podgate failed; set --termination-log to the pod's terminationMessagePath"
        ))
    }
}

/// The grace period and its margin, or why they do not fit.
pub fn grace_budget(budget: Result<(Duration, Duration), &str>) -> Finding {
    match budget {
        Ok((grace, margin)) => fine(format!(
            "grace budget: of {} after SIGTERM, {} are for holding it back and {} for the \
             command's own stop; --grace must be the pod's terminationGracePeriodSeconds, which a \
             container cannot see, less the time of its preStop hook",
            show(grace),
            show(grace.saturating_sub(margin)),
            show(margin)
        )),
        Err(cause) => wrong(format!("grace budget: {cause}")),
    }
}

pub fn binary(binary: &Binary<'_>) -> Finding {
    match binary {
        Binary::Replaceable(warning) => wrong(format!("binary: {warning}")),
        Binary::Safe(path) => fine(format!(
            "binary: no other container can replace {}",
            path.display()
        )),
        Binary::Unknown => note(
            "binary: its path is not known without /proc/self/exe; check that a neighbour cannot \
             replace it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Binary, Finding, Init, Inotify, Locks, Verdict, binary, container_log, grace_budget, init,
        inotify, lines, locks, mount, pid_namespace, termination_message, trial,
    };
    use crate::core::errno::Errno;
    use crate::core::member::Name;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn each_finding_is_one_line_that_begins_with_its_verdict() {
        let findings = [
            pid_namespace(Some(false)).expect("a finding"),
            inotify(Inotify::Unavailable(Errno::EMFILE)),
            grace_budget(Err("too short")),
        ];
        let text = lines(&findings);
        let verdicts: Vec<&str> = text.lines().map(|line| &line[..6]).collect();
        assert_eq!(verdicts, ["ok    ", "note  ", "WRONG "]);
        assert!(text.ends_with("WRONG grace budget: too short\n"), "{text}");
    }

    fn names(all: &[&str]) -> Vec<Name> {
        let name = |text: &&str| Name::parse(text).expect("a name");
        all.iter().map(name).collect()
    }

    #[test]
    fn the_finding_about_locks_claims_no_more_than_was_seen() {
        let dir = Path::new("/run/podgate");
        let text = |found: Locks| locks(dir, &found).text;
        assert_eq!(
            text(Locks::Shared(names(&["app", "main"]))),
            "locks: they are shared with app, main"
        );
        assert_eq!(
            text(Locks::NotShared(names(&["app", "main"]))),
            "locks: they are not shared on \"/run/podgate\": app, main are alive (their sockets \
             exist), and their locks are free here; use an emptyDir with medium: Memory, and with \
             gVisor also its mount annotations"
        );
        assert!(text(Locks::NotKnown).starts_with("locks: no member of another container"));
        assert!(
            trial(7, Ok(()), false)
                .text
                .ends_with("and locks within this container")
        );
    }

    #[test]
    fn each_finding_has_its_verdict() {
        let dir = Path::new("/run/podgate");
        let verdicts = |findings: &[Finding]| {
            findings
                .iter()
                .map(|finding| finding.verdict)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            verdicts(&[
                mount(dir, Some(false), false, None),
                trial(7, Ok(()), false),
                locks(dir, &Locks::Shared(names(&["main"]))),
                inotify(Inotify::Works),
                init(&Init::ThisProcess),
                container_log("/proc/1/fd/2", 7, true),
                termination_message("/dev/termination-log", true),
                grace_budget(Ok((Duration::from_secs(30), Duration::from_secs(5)))),
                binary(&Binary::Safe(dir)),
            ]),
            [Verdict::Fine; 9]
        );
        assert_eq!(
            verdicts(&[
                mount(dir, Some(false), false, Some(Path::new("/run"))),
                mount(dir, Some(true), true, None),
                mount(dir, None, false, None),
                trial(7, Err("it is read-only"), true),
                locks(dir, &Locks::NotKnown),
                inotify(Inotify::Incomplete),
                init(&Init::Shared),
                init(&Init::OtherUser),
                init(&Init::Program(None)),
                container_log("/proc/1/fd/2", 7, false),
                termination_message("/dev/termination-log", false),
                binary(&Binary::Unknown),
            ]),
            [Verdict::Note; 12]
        );
        assert_eq!(
            verdicts(&[
                mount(dir, Some(true), false, None),
                trial(7, Err("it is full"), false),
                locks(dir, &Locks::NotShared(names(&["main"]))),
                inotify(Inotify::Silent),
                binary(&Binary::Replaceable("it can".to_owned())),
            ]),
            [Verdict::Wrong; 5]
        );
    }

    #[test]
    fn the_grace_budget_is_shown_in_its_parts() {
        let budget = grace_budget(Ok((Duration::from_secs(30), Duration::from_secs(5))));
        assert!(
            budget.text.starts_with(
                "grace budget: of 30s after SIGTERM, 25s are for holding it back and 5s for the \
                 command's own stop; "
            ),
            "{}",
            budget.text
        );
    }
}
