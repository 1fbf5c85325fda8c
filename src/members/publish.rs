//! Publishes a member: its record, and its memory of failures. It reserves space for the records to
//! come, so that a full disk loses none.

use super::lock::{self, NotTaken, PATIENCE, RETRY, own_uid, system_error};
use super::mount::container;
use super::record::{create, random, read};
use super::socket;
use super::volume::Volume;
use crate::core::errno::Errno;
use crate::core::exit::Exit;
use crate::core::member::{Name, Policy, Stage};
use crate::core::observation::Sign;
use crate::core::record::{LONGEST, Record, Stamp, Times, decode_acted, encode_acted};
use crate::core::volume_error::{Operation, VolumeError};
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How many files may follow the first record: running, ready and exited, and a memory of failures.
const SPARES: usize = 4;
/// How many failures are remembered. Older ones are not needed, because old incarnations never come
/// back.
const REMEMBERED: usize = 64;

/// Why a member cannot take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A living member has the name.
    Taken {
        /// Its record, if it can be read.
        holder: Option<Box<Record>>,
        /// What shows that it is alive.
        by: Sign,
    },
    Volume(VolumeError),
}

/// The facts that a member publishes about itself when it starts.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) name: Name,
    /// Its restart policy, if it is known.
    pub(crate) policy: Option<Policy>,
    /// The member belongs to `join`, which cannot know how PID 1 ends.
    pub(crate) is_joined: bool,
}

/// The membership of this process: the lock of a name, and its files.
#[derive(Debug)]
pub(crate) struct Membership {
    volume: Rc<Volume>,
    /// The second sign of life, held as long as the lock.
    socket: Option<OwnedFd>,
    /// The lock file. It is held until the process is dead, and never written to.
    lock: File,
    record: Record,
    spares: Vec<PathBuf>,
    acted: Vec<u64>,
}

impl Membership {
    /// Takes a name: its lock, then the socket and the record of a new incarnation, then space for
    /// later records. Waits a while for another holder of the name, but not once `is_stopped`.
    ///
    /// # Errors
    /// A living member has the name, or the volume cannot be used. In both cases the files of other
    /// members are unchanged.
    pub(crate) fn take(
        volume: &Rc<Volume>,
        statement: Statement,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Self, Refusal> {
        let name = &statement.name;
        let start = Instant::now();
        let lock =
            lock::take(&volume.file(name, "lock"), is_stopped).map_err(|error| match error {
                NotTaken::Held => Refusal::Taken {
                    holder: volume.record(name).and_then(Result::ok).map(Box::new),
                    by: Sign::Lock,
                },
                NotTaken::Failed(error) => Refusal::Volume(error),
            })?;
        lock::check_owner(&volume.record_path(name)).map_err(Refusal::Volume)?;
        let before = last_record(volume, name, start, is_stopped)?;
        let acted = match &before {
            // The memory of a member of another pod does not count.
            None => Vec::new(),
            Some(_) => read(&volume.file(name, "acted"))
                .map(|bytes| decode_acted(&bytes))
                .unwrap_or_default(),
        };
        let incarnation = before.map_or(0, |record| record.incarnation);
        // The starts of earlier rounds count, too: the kubelet's back-off goes on.
        let round = volume.round().ok().flatten();
        let incarnation = incarnation.max(round.map_or(0, |round| round.starts(name)));
        volume.set_own(name);
        let record = first_record(statement, volume.host(), incarnation.saturating_add(1));
        let mut member = Self {
            volume: Rc::clone(volume),
            socket: socket::hold(record.id),
            lock,
            record,
            spares: Vec::new(),
            acted,
        };
        member.sweep();
        member
            .write("record", &member.record.encode())
            .map_err(|error| member.refusal(Operation::Write, &error))?;
        lock::narrow(&member.lock).map_err(|error| member.refusal(Operation::Narrow, &error))?;
        member.reserve()?;
        Ok(member)
    }

    /// Reserves space for the records to come. If that fails, the membership ends.
    fn reserve(&mut self) -> Result<(), Refusal> {
        for _ in 0..SPARES {
            match self.keep() {
                Ok(path) => self.spares.push(path),
                Err(error) => {
                    let refusal = self.refusal(Operation::Reserve, &error);
                    if self.record.is_joined {
                        // The container continues without the member.
                        self.sweep();
                    } else {
                        // The container ends here. Publish that if there is space left. If not,
                        // the free lock shows that the member is lost.
                        let _ = self.exit(Exit::Internal.code());
                    }
                    return Err(refusal);
                }
            }
        }
        Ok(())
    }

    /// A failed write of the record, as a refusal.
    fn refusal(&self, operation: Operation, error: &io::Error) -> Refusal {
        let path = self.record_path();
        Refusal::Volume(system_error(operation, &path, Errno::of(error)))
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// The file of the record, for messages.
    pub(crate) fn record_path(&self) -> PathBuf {
        self.volume.record_path(&self.record.name)
    }

    /// The file of the memory of failures, for messages.
    pub(crate) fn memory_path(&self) -> PathBuf {
        self.volume.file(&self.record.name, "acted")
    }

    /// The failures that earlier incarnations have acted on.
    pub(crate) fn acted(&self) -> &[u64] {
        &self.acted
    }

    /// Publishes the stage that the member has reached.
    ///
    /// # Errors
    /// The record cannot be written. The lock still shows that the member lives.
    pub(crate) fn publish(&mut self, stage: Stage) -> io::Result<()> {
        // The hook of `join` may have published it before the background process does.
        if self.record.stage == stage && stage != Stage::Waiting {
            return Ok(());
        }
        self.record.stage = stage;
        let times = &mut self.record.times;
        match stage {
            Stage::Waiting => {}
            Stage::Running => times.running = Some(now()),
            Stage::Ready => {
                times.ready = Some(now());
                times.running = times.running.or(times.ready);
            }
        }
        self.write("record", &self.record.encode())
    }

    /// Stores that a stop signal from outside is the cause of the end, for the last record.
    pub(crate) const fn ends_by_signal(&mut self) {
        self.record.is_stopped = true;
    }

    /// Stores the time when the stop began, for the last record.
    pub(crate) fn stopping(&mut self) {
        self.record.times.stopping.get_or_insert_with(now);
    }

    /// Publishes the end of the member.
    ///
    /// # Errors
    /// The record cannot be written. The free lock still shows that the member is dead.
    pub(crate) fn exit(&mut self, code: u8) -> io::Result<()> {
        self.record.exit = Some(code);
        self.record.times.exited = Some(now());
        let written = self.write("record", &self.record.encode());
        self.sweep();
        written
    }

    /// Remembers that this member has acted on these failures.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub(crate) fn remember(&mut self, ids: &[u64]) -> io::Result<()> {
        let new = ids
            .iter()
            .filter(|id| !self.acted.contains(id))
            .copied()
            .collect::<Vec<_>>();
        self.acted.extend(new);
        let from = self.acted.len().saturating_sub(REMEMBERED);
        self.acted.drain(..from);
        self.write("acted", &encode_acted(&self.acted))
    }

    /// Whether another member has asked this incarnation to quit.
    pub(crate) fn is_asked_to_quit(&self) -> bool {
        let prefix = format!("{}.quit.{:016x}.", self.record.name, self.record.id);
        let Ok(entries) = fs::read_dir(self.volume.path()) else {
            return false;
        };
        // Only a regular file is a request.
        let is_one = |entry: &fs::DirEntry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(&prefix))
                && entry.file_type().is_ok_and(|kind| kind.is_file())
        };
        entries.flatten().any(|entry| is_one(&entry))
    }

    /// The descriptors that are signs of life. A background process keeps them.
    pub(crate) fn signs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let socket = self.socket.as_ref().map(OwnedFd::as_fd);
        socket.into_iter().chain([self.lock.as_fd()])
    }

    /// Replaces one of the member's files. Uses reserved space if some is left, so that a full disk
    /// does not matter.
    fn write(&mut self, kind: &str, text: &str) -> io::Result<()> {
        let target = self.volume.file(&self.record.name, kind);
        let kept = self.spares.pop().and_then(|path| {
            let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let file = OpenOptions::new()
                .write(true)
                .custom_flags(flags.bits())
                .open(&path)
                .ok()?;
            fill(&file, text)
                .and_then(|()| fs::rename(&path, &target))
                .ok()
        });
        if kept.is_some() {
            return Ok(());
        }
        let path = self.next();
        let file = create(&path)?;
        let written = fill(&file, text).and_then(|()| fs::rename(&path, &target));
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written
    }

    /// Creates a file with space for a record.
    fn keep(&self) -> io::Result<PathBuf> {
        let path = self.next();
        let mut file = create(&path)?;
        // Written and not allocated with fallocate(2), which not every file system has.
        match file.write_all(&[b' '; LONGEST]) {
            Ok(()) => Ok(path),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn next(&self) -> PathBuf {
        self.volume.file(
            &self.record.name,
            &format!("next.{:016x}.{:016x}", self.record.id, random()),
        )
    }

    /// Removes the reserved files of this member and of its earlier incarnations, and the requests
    /// to earlier incarnations, which are dead.
    fn sweep(&mut self) {
        self.spares.clear();
        let Ok(entries) = fs::read_dir(self.volume.path()) else {
            return;
        };
        let (next, quit) = (
            format!("{}.next.", self.record.name),
            format!("{}.quit.", self.record.name),
        );
        let current = format!("{quit}{:016x}.", self.record.id);
        for file in entries.flatten().map(|entry| entry.file_name()) {
            let is_old = file.to_str().is_some_and(|file| {
                file.starts_with(&next) || (file.starts_with(&quit) && !file.starts_with(&current))
            });
            if is_old {
                let _ = fs::remove_file(self.volume.path().join(file));
            }
        }
    }
}

fn fill(mut file: &File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
}

/// The record of the incarnation before this one, whose lock is free. Waits until its socket is
/// gone as well: the kernel frees the two a moment apart.
///
/// # Errors
/// The socket stays. Another container has the name, and its lock looks free here.
fn last_record(
    volume: &Volume,
    name: &Name,
    start: Instant,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Option<Record>, Refusal> {
    loop {
        let record = volume.record(name).and_then(Result::ok);
        let record = record.filter(|record| record.host == volume.host());
        match record {
            Some(record) if volume.has_socket(&record) => {
                if start.elapsed() >= PATIENCE || is_stopped() {
                    return Err(Refusal::Taken {
                        holder: Some(Box::new(record)),
                        by: Sign::Socket,
                    });
                }
                thread::sleep(RETRY);
            }
            Some(_) | None => return Ok(record),
        }
    }
}

/// The record of a new incarnation on this host.
fn first_record(statement: Statement, host: &str, incarnation: u64) -> Record {
    Record {
        incarnation,
        id: random(),
        host: host.to_owned(),
        container: container(),
        uid: own_uid(),
        policy: statement.policy,
        is_joined: statement.is_joined,
        stage: Stage::Waiting,
        exit: None,
        is_stopped: false,
        times: Times {
            waiting: Some(now()),
            ..Times::default()
        },
        name: statement.name,
    }
}

/// The wall clock. It is for people only; no decision uses it.
fn now() -> Stamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Stamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::lock::{Hold, hold, whole_file};
    use super::super::volume::Volume;
    use super::{Membership, PATIENCE, Refusal, Statement, socket};
    use crate::core::member::{Name, Stage};
    use crate::core::observation::{End, Observation, Sign};
    use crate::core::plain_dir::Plain;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podgate-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn volume(&self) -> Rc<Volume> {
            Rc::new(Volume::open(&self.0, Plain::Allowed).expect("a volume"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn name() -> Name {
        Name::parse("main").expect("a name")
    }

    fn take(volume: &Rc<Volume>) -> Membership {
        Membership::take(
            volume,
            Statement {
                name: name(),
                policy: None,
                is_joined: false,
            },
            &|| false,
        )
        .expect("the name")
    }

    #[test]
    fn a_stop_ends_the_wait_for_a_name_by_the_sign_of_its_holder() {
        let folder = Folder::new("stopped");
        let volume = folder.volume();
        let held = take(&volume);
        let refused = |sign| {
            let statement = Statement {
                name: name(),
                policy: None,
                is_joined: false,
            };
            let start = Instant::now();
            let refusal = Membership::take(&volume, statement, &|| true).expect_err("taken");
            assert!(matches!(refusal, Refusal::Taken { by, .. } if by == sign));
            assert!(start.elapsed() < PATIENCE / 2);
        };
        refused(Sign::Lock);
        let id = held.record().id;
        drop(held);
        let _socket = socket::hold(id).expect("a socket");
        refused(Sign::Socket);
    }

    #[test]
    fn the_last_64_failures_that_were_acted_on_survive_restarts() {
        let folder = Folder::new("acted");
        let volume = folder.volume();
        for restart in 0..100 {
            let mut member = take(&volume);
            member
                .remember(&[2 * restart, 2 * restart + 1])
                .expect("a memory");
            member.exit(3).expect("an end");
        }
        assert_eq!(take(&volume).acted(), (136..200).collect::<Vec<u64>>());
        let length = fs::metadata(folder.0.join("main.acted"))
            .expect("a file")
            .len();
        assert!(length < 2048, "{length} bytes");
    }

    #[test]
    fn each_state_of_a_member_is_seen() {
        let folder = Folder::new("life");
        let volume = folder.volume();
        assert_eq!(volume.observe(&name()), Some(Observation::Absent));
        let mut member = take(&volume);
        let id = member.record().id;
        let alive = |stage| {
            Some(Observation::Alive {
                id: Some(id),
                stage: Some(stage),
            })
        };
        assert_eq!(volume.observe(&name()), alive(Stage::Waiting));
        member.publish(Stage::Ready).expect("a record");
        assert_eq!(volume.observe(&name()), alive(Stage::Ready));
        member.exit(3).expect("a record");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Ended {
                id,
                incarnation: Some(1),
                end: End::Code(3),
                policy: None
            })
        );
        drop(member);
        let again = take(&volume);
        assert_eq!(again.record().incarnation, 2);
        drop(again);
        let id = volume
            .look(&name())
            .expect("a look")
            .record
            .expect("a record")
            .expect("a good one")
            .id;
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Ended {
                id,
                incarnation: Some(2),
                end: End::Lost,
                policy: None
            })
        );
        assert_eq!(
            fs::read_dir(&folder.0).expect("the volume").count(),
            6,
            "lock, record, and four spare files of the lost member"
        );
        take(&volume).exit(0).expect("a record");
        assert_eq!(
            fs::read_dir(&folder.0).expect("the volume").count(),
            2,
            "the next incarnation removes them"
        );
    }

    #[test]
    fn a_member_that_has_not_written_its_record_is_not_in_the_state_of_the_old_one() {
        let folder = Folder::new("whole");
        let volume = folder.volume();
        take(&volume).publish(Stage::Ready).expect("a record");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.0.join("main.lock"))
            .expect("the lock");
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)))
            .expect("held as at a start");
        assert_eq!(
            volume.observe(&name()),
            Some(Observation::Alive {
                id: None,
                stage: None
            })
        );
    }

    #[test]
    fn an_observer_that_cannot_read_a_member_does_not_see_its_death() {
        let folder = Folder::new("look");
        let volume = folder.volume();
        let member = take(&volume);
        assert!(volume.look(&name()).is_some_and(|found| found.is_held));
        // ENAMETOOLONG stands for all errors of an observer (EMFILE, ENOMEM, EIO).
        assert_eq!(
            hold(&folder.0.join("x".repeat(300))),
            Err(nix::errno::Errno::ENAMETOOLONG)
        );
        assert_eq!(hold(&folder.0.join("nobody.lock")), Ok(Hold::Free));
        assert_eq!(hold(&folder.0.join("main.lock")), Ok(Hold::First));
        drop(member);
        assert_eq!(hold(&folder.0.join("main.lock")), Ok(Hold::Free));
    }

    #[test]
    fn a_member_that_publishes_its_end_and_dies_is_never_seen_as_lost() {
        let folder = Folder::new("dies");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let volume = folder.volume();
                for _ in 0..300 {
                    let mut member = take(&volume);
                    member.publish(Stage::Ready).expect("a record");
                    member.exit(0).expect("a record");
                }
                is_over.store(true, Ordering::SeqCst);
            });
            let volume = folder.volume();
            let mut looks = 0_u32;
            while !is_over.load(Ordering::SeqCst) {
                let observation = volume.observe(&name());
                assert!(
                    !matches!(observation, Some(Observation::Ended { end: End::Lost, .. })),
                    "{observation:?}"
                );
                looks += 1;
            }
            assert!(looks > 100, "{looks} looks");
        });
    }
}
