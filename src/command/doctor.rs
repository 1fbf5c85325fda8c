//! `podgate doctor`: examines how this container is set up for podgate. Prints one line for each
//! finding, with what to do. The exit code is 0 if nothing is wrong and 1 otherwise.

use super::call::{Call, wrong};
use crate::cli::DoctorArgs;
use crate::config::{self, MembersDir};
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::logging::TERMINATION_LOG;
use crate::core::member::Name;
use crate::core::observation::{Snapshot, observe};
use crate::core::plain_dir::Plain;
use crate::core::volume_error::{Operation, VolumeError};
use crate::driver::membership::{own_path, replaceable};
use crate::driver::status::{DYING, settled};
use crate::members::watch::{Watch, tells};
use crate::members::{Membership, Refusal, Statement, Volume, container, is_plain, mount_above};
use crate::message::doctor::{Binary, Finding, Init, Inotify, Locks, TRIAL_IS_TAKEN, Verdict};
use crate::message::{self, Message, doctor};
use crate::process;
use crate::report::{self, CONTAINER_LOG};
use nix::unistd::{AccessFlags, access, geteuid};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The member name of the trial. It is not a likely name for a container.
const TRIAL: &str = "podgate-doctor-trial";

pub(super) fn perform(args: &DoctorArgs, call: &mut Call<'_>) -> Result<Exit, Message> {
    call.open_log(&args.output, None)?;
    // A budget that does not fit is a finding.
    let budget = config::budget(&args.budget).map_err(|error| wrong(error).text);
    Ok(run(&MembersDir::of(&args.dir), budget))
}

/// `budget` is the grace period and its margin, or why they do not fit.
fn run(members: &MembersDir, budget: Result<(Duration, Duration), String>) -> Exit {
    let mut findings = match &members.path {
        Some(dir) => volume_findings(dir, members.plain),
        None => vec![doctor::no_dir()],
    };
    findings.extend(process_findings());
    findings.push(doctor::grace_budget(
        budget.as_ref().copied().map_err(String::as_str),
    ));
    findings.push(binary_finding(members.path.as_deref()));
    report::print(&doctor::lines(&findings));
    let is_wrong = |finding: &Finding| finding.verdict == Verdict::Wrong;
    if findings.iter().any(is_wrong) {
        Exit::NotPassed
    } else {
        Exit::Passed
    }
}

fn volume_findings(dir: &Path, plain: Plain) -> Vec<Finding> {
    // A plain directory is a finding, and does not end the examination.
    let volume = match Volume::open(dir, Plain::Allowed) {
        Ok(volume) => Rc::new(volume),
        Err(error) => return vec![doctor::unusable_dir(dir, error)],
    };
    // The watch begins before the trial, whose changes it must report.
    let watch = Watch::new(dir);
    let tried = Name::parse(TRIAL).and_then(|name| try_out(&volume, name));
    let inotify = match watch {
        Ok(watch) if tried.is_ok() && watch.changes().is_empty() => Inotify::Silent,
        Ok(_) => Inotify::Works,
        Err(_) if !tells(dir) => Inotify::Incomplete,
        Err(errno) => Inotify::Unavailable(Errno(errno as i32)),
    };
    let uid = geteuid().as_raw();
    vec![
        doctor::mount(
            dir,
            is_plain(dir),
            plain == Plain::Allowed,
            mount_above(dir).as_deref(),
        ),
        doctor::trial(
            uid,
            tried.as_ref().copied().map_err(String::as_str),
            access(dir, AccessFlags::W_OK) == Err(nix::errno::Errno::EROFS),
        ),
        doctor::locks(dir, &locks(&volume)),
        doctor::inotify(inotify),
    ]
}

/// Whether this container sees the locks of members in other containers. A lock within one mount
/// proves nothing about two, so only living members of other containers show it.
fn locks(volume: &Volume) -> Locks {
    let start = Instant::now();
    let (mut shared, mut not_shared) = (Vec::new(), Vec::new());
    let mut names = volume.names().unwrap_or_default();
    names.retain(|name| name.as_str() != TRIAL);
    for name in names {
        match settled(volume, &name, start, DYING) {
            Some(found) if found.contradicts_itself() => not_shared.push(name),
            Some(found) if is_held_elsewhere(&found, volume.host()) => shared.push(name),
            Some(_) | None => {}
        }
    }
    if !not_shared.is_empty() {
        Locks::NotShared(not_shared)
    } else if !shared.is_empty() {
        Locks::Shared(shared)
    } else {
        Locks::NotKnown
    }
}

/// Whether a member of this pod, in another container than this one, holds its lock.
fn is_held_elsewhere(found: &Snapshot, host: &str) -> bool {
    let own = container();
    let record = found.record.as_ref().and_then(|it| it.as_ref().ok());
    let is_elsewhere = record.is_some_and(|it| it.container != 0 && it.container != own);
    is_elsewhere && found.is_held && observe(found, host).is_alive()
}

/// Takes part for a moment under a special name, then removes every file, the lock too. A member
/// never removes its lock file, but no container waits for this one.
fn try_out(volume: &Rc<Volume>, name: Name) -> Result<(), String> {
    let paths: Vec<PathBuf> = ["lock", "record", "acted"]
        .iter()
        .map(|kind| volume.path().join(format!("{name}.{kind}")))
        .collect();
    let tried = Membership::take(
        volume,
        Statement {
            name: name.clone(),
            policy: None,
            is_joined: false,
        },
        &|| false,
    );
    let result = match tried {
        Ok(mut member) => member.exit(0).map_err(|error| {
            message::volume::volume_error(&VolumeError::System {
                operation: Operation::Write,
                path: volume.record_path(&name),
                errno: Errno::of(&error),
                uid: geteuid().as_raw(),
            })
        }),
        // The files belong to the other doctor.
        Err(Refusal::Taken { .. }) => return Err(TRIAL_IS_TAKEN.to_owned()),
        Err(Refusal::Volume(error)) => Err(message::volume::volume_error(&error)),
    };
    for path in paths {
        let _ = fs::remove_file(path);
    }
    result
}

fn process_findings() -> Vec<Finding> {
    let is_shared = process::shares_pid_namespace();
    let init = if process::is_pid_1() {
        Init::ThisProcess
    } else if is_shared == Some(true) {
        Init::Shared
    } else if !process::may_signal_init() {
        Init::OtherUser
    } else {
        let path = fs::read_link("/proc/1/exe").ok();
        Init::Program(path.map(|path| path.display().to_string()))
    };
    let is_writable = |path: &str| access(path, AccessFlags::W_OK).is_ok();
    let uid = geteuid().as_raw();
    let mut findings = vec![doctor::init(&init)];
    findings.extend(doctor::pid_namespace(is_shared));
    findings.extend([
        doctor::container_log(CONTAINER_LOG, uid, is_writable(CONTAINER_LOG)),
        doctor::termination_message(TERMINATION_LOG, is_writable(TERMINATION_LOG)),
    ]);
    findings
}

fn binary_finding(members_dir: Option<&Path>) -> Finding {
    let path = own_path();
    doctor::binary(&match (replaceable(members_dir), &path) {
        (Some(it), _) => Binary::Replaceable(message::volume::replaceable(
            &it.path,
            it.is_on_members_volume,
        )),
        (None, Some(path)) => Binary::Safe(path),
        (None, None) => Binary::Unknown,
    })
}
