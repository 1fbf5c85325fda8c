//! `podgate doctor`: is this container set up right for podgate? One line a finding, and each says what to do. Exit code 0 if nothing is
//! wrong, 1 otherwise.

use crate::cli::Stop;
use crate::config::Place;
use crate::core::duration::show;
use crate::core::exit::Exit;
use crate::core::member::Name;
use crate::members::watch::{Watch, tells};
use crate::members::{Own, Plain, Refusal, Statement, Volume, is_plain, mount_id};
use crate::process;
use nix::unistd::{AccessFlags, access, geteuid};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The name that the trial takes on the volume: longer than a person would give, and gone afterwards.
const TRIAL: &str = "podgate-doctor-trial";
const CONTAINER_LOG: &str = "/proc/1/fd/2";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Not wrong by itself.
    Note,
    Wrong,
}

struct Findings(Vec<(Verdict, String)>);

impl Findings {
    fn fine(&mut self, text: impl Into<String>) {
        self.0.push((Verdict::Fine, text.into()));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.0.push((Verdict::Note, text.into()));
    }

    fn wrong(&mut self, text: impl Into<String>) {
        self.0.push((Verdict::Wrong, text.into()));
    }
}

/// Runs the command.
pub(super) fn run(place: &Place, budget: Result<(Duration, Duration), Stop>) -> Exit {
    let mut findings = Findings(Vec::new());
    match &place.dir {
        Some(dir) => look_at_volume(dir, place.plain, &mut findings),
        None => findings.note("--dir is none: no members, and nothing that needs them"),
    }
    look_at_process(&mut findings);
    match budget {
        Ok((grace, margin)) => findings.fine(format!(
            "grace budget: of {} after SIGTERM, {} are for holding it back and {} for the command's own stop; --grace must be the pod's \
             terminationGracePeriodSeconds, which a container cannot see, less the time of its preStop hook",
            show(grace),
            show(grace.saturating_sub(margin)),
            show(margin)
        )),
        Err(Stop::Wrong(text) | Stop::Read(text) | Stop::Begin(text)) => findings.wrong(format!("grace budget: {text}")),
    }
    match replaceable(place.dir.as_deref()) {
        Some(why) => findings.wrong(format!("binary: {why}")),
        None if fs::read_link(MYSELF).is_err() => {
            findings.note(format!(
                "binary: where it lies cannot be seen without {MYSELF}; see that a neighbour cannot replace it"
            ));
        }
        None => findings.fine(format!(
            "binary: {} cannot be replaced from here",
            own_path().display()
        )),
    }
    let is_wrong = findings
        .0
        .iter()
        .any(|(verdict, _)| *verdict == Verdict::Wrong);
    let mut text = String::new();
    for (verdict, finding) in findings.0 {
        let word = match verdict {
            Verdict::Fine => "ok   ",
            Verdict::Note => "note ",
            Verdict::Wrong => "WRONG",
        };
        text.push_str(&format!("{word} {finding}\n"));
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    if is_wrong {
        Exit::NotPassed
    } else {
        Exit::Passed
    }
}

fn look_at_volume(dir: &Path, plain: Plain, findings: &mut Findings) {
    // First whether it can be used at all, then what kind of thing it is.
    let volume = match Volume::open(dir, Plain::Allowed) {
        Ok(volume) => Rc::new(volume),
        Err(cause) => {
            findings.wrong(format!("volume: {dir:?}: {cause}"));
            return;
        }
    };
    match (is_plain(dir), plain) {
        (Some(false), _) => findings.fine(format!("volume: {dir:?} is a mount of its own")),
        (Some(true), Plain::Refused) => findings.wrong(format!(
            "volume: {dir:?} is a directory of this container's own root file system, which no other container sees; mount one emptyDir \
             there in every container that takes part"
        )),
        (Some(true), Plain::Allowed) => {
            findings.note(format!("volume: {dir:?} is a plain directory, as --allow-plain-dir says it may be"));
        }
        (None, _) => findings.note(format!("volume: whether {dir:?} is a mount cannot be seen without /proc; see the pod's volumeMounts")),
    }
    let watch = Watch::new(dir);
    let tried = Name::parse(TRIAL).map(|name| try_out(&volume, name));
    let could_write = matches!(tried, Ok(Ok(())));
    match tried {
        Ok(Ok(())) => {
            findings
                .fine(format!("volume: uid {} can write there; locks, renaming and space for records work", geteuid()));
        }
        Ok(Err(cause)) => findings.wrong(format!(
            "volume: uid {} cannot take part there: {cause} (to look at members, reading is enough)",
            geteuid()
        )),
        Err(cause) => findings.wrong(cause),
    }
    match watch {
        Ok(watch) if could_write && watch.changes().is_empty() => {
            findings.wrong("inotify: the kernel did not tell of a change on the volume; use an emptyDir");
        }
        Ok(_) => findings.fine("inotify: changes on the volume are told by the kernel"),
        Err(_) if !tells(dir) => findings.note(
            "inotify: the volume's file system does not tell of all changes; podgate looks every 100 ms instead: use an emptyDir",
        ),
        Err(error) => findings.note(format!(
            "inotify: cannot be had ({}); podgate looks every 100 ms instead: raise fs.inotify.max_user_instances on the node",
            error.desc().to_lowercase()
        )),
    }
}

/// Takes part for a moment, under a name of its own, and takes everything away again but the lock's file, which is never removed by
/// members; here nobody waits for it.
fn try_out(volume: &Rc<Volume>, name: Name) -> Result<(), String> {
    let paths: Vec<PathBuf> = ["lock", "record", "acted"]
        .iter()
        .map(|kind| volume.path().join(format!("{name}.{kind}")))
        .collect();
    let tried = Own::take(
        volume,
        Statement {
            name,
            policy: None,
            is_joined: false,
        },
    );
    let result = match tried {
        Ok(mut own) => own.exit(0).map_err(|error| error.to_string()),
        Err(Refusal::Taken(_)) => {
            return Err("another doctor is looking at it; try again".to_owned());
        }
        Err(Refusal::Volume(cause)) => Err(cause),
    };
    for path in paths {
        let _ = fs::remove_file(path);
    }
    result
}

fn look_at_process(findings: &mut Findings) {
    let is_shared = process::shares_pid_namespace();
    if process::is_pid_1() {
        findings.fine("PID 1: this process is it");
    } else if is_shared == Some(true) {
        findings.note(
            "PID 1 is not this container's own (shareProcessNamespace): join --until does not work here, and a command of run is not \
             killed with its container's PID 1 but by the runtime",
        );
    } else {
        let init = fs::read_link("/proc/1/exe").map_or("another program".to_owned(), |path| {
            path.display().to_string()
        });
        findings.note(format!(
            "PID 1 is {init}: run belongs there, as the container's entrypoint; a hook or a probe is right not to be it"
        ));
    }
    match is_shared {
        Some(false) => findings.fine("PID namespace: this container has its own"),
        Some(true) => {}
        None => findings
            .note("PID namespace: cannot be seen without /proc/1/mountinfo; see shareProcessNamespace in the pod"),
    }
    let can_write = |path: &str| access(path, AccessFlags::W_OK).is_ok();
    if can_write(CONTAINER_LOG) {
        findings.fine("container log: a hook can write into it with --log-to container");
    } else {
        findings.note(format!(
            "container log: {CONTAINER_LOG} cannot be written by uid {}: --log-to container will log to stderr; run the hook as the user \
             that PID 1 was started as (runAsUser)",
            geteuid()
        ));
    }
    if can_write(TERMINATION_LOG) {
        findings.fine("termination message: can be written");
    } else {
        findings.note(format!(
            "termination message: {TERMINATION_LOG} is not there or cannot be written: why podgate failed will be in its log alone; name \
             the pod's terminationMessagePath with --termination-log"
        ));
    }
}

const MYSELF: &str = "/proc/self/exe";

/// This binary, whatever it is called.
fn own_path() -> PathBuf {
    fs::read_link(MYSELF).unwrap_or_else(|_| PathBuf::from(MYSELF))
}

/// Can a neighbour replace this binary? It can where it lies on a volume that is mounted writable here: what this container may write,
/// another one may, too. The root file system is nobody else's.
pub(super) fn replaceable(volume: Option<&Path>) -> Option<String> {
    let path = own_path();
    let folder = path.parent()?;
    let mount = mount_id(&path)?;
    if volume.and_then(mount_id) == Some(mount) && is_plain(folder) == Some(false) {
        return Some(format!(
            "{path:?} lies on the volume where members meet, so that every one of them can replace it; install it on a second volume, \
             mounted readOnly here"
        ));
    }
    // A file that is a mount by itself (subPath) is not replaced by way of its folder.
    let place = if mount_id(folder) == Some(mount) {
        folder
    } else {
        path.as_path()
    };
    let is_open = is_plain(place) == Some(false) && access(place, AccessFlags::W_OK).is_ok();
    is_open.then(|| {
        format!(
            "{path:?} lies on a volume that is mounted writable here, so that it can be replaced; mount it readOnly: true in every \
             container but the one that installs it"
        )
    })
}
