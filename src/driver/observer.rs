//! Observes the members that a life is related to: decides when to look at which one.
//!
//! inotify tells which files changed. A slow poll is the safety net, and a fast one replaces
//! inotify where that is not available. The kernel reports that a lock's file was closed a moment
//! before it frees the lock, so a member whose lock was closed is observed a few times more (P6.5).
//!
//! The kernel frees the lock and the socket of a dead process a moment apart. If the two signs of
//! life contradict each other for longer than that, locks are not shared on this volume. That is
//! reported, and the member is polled, because no event reports the end of a socket (P6.14).

use crate::core::life::Seen;
use crate::core::member::Name;
use crate::core::observation::{Observation, Snapshot, observe};
use crate::event_loop::Interest;
use crate::members::watch::{CLOSING, Change, FAST, SLOW, Watch};
use crate::members::{Volume, is_bound};
use crate::message::Severity;
use crate::message::volume::{contradiction, unusable, unusable_record};
use crate::report::Report;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the two signs of a member's life contradict each other before that is reported.
const LASTS: Duration = Duration::from_secs(1);

/// The first pause before the member of a lock that was just closed is observed again. Each pause
/// is twice as long as the one before.
const AGAIN: Duration = Duration::from_millis(1);

/// The limit of reports about unusable records, for each member: a process that keeps writing
/// garbage must not fill the log.
const REPORTS_PER_MEMBER: usize = 4;

/// Observes members on one volume. Without a volume it sees nothing.
pub(crate) struct Observer<'a> {
    volume: Option<Rc<Volume>>,
    members: &'a [Name],
    watch: Option<Watch>,
    /// The pause between two polls. `None`: inotify reports every change.
    pause: Option<Duration>,
    poll: Option<Instant>,
    again: Option<Again>,
    /// For each member.
    signs: Vec<Signs>,
    /// The causes of unusable records that were reported. Each is reported once.
    reported: Vec<String>,
}

/// Another observation of all members.
struct Again {
    at: Instant,
    /// The pause before it.
    pause: Duration,
}

/// The signs of life of one member, over time.
#[derive(Clone, Default)]
struct Signs {
    /// The incarnation that was last seen alive.
    alive: Option<u64>,
    /// Since when they contradict each other.
    contradict: Option<Instant>,
    is_reported: bool,
}

/// The result of one turn.
pub(crate) struct Observed {
    /// `None`: there was no reason to observe.
    pub(crate) seen: Option<Vec<Seen>>,
    /// Whether a request to quit may have been made to this process's own member.
    pub(crate) may_be_asked: bool,
}

impl<'a> Observer<'a> {
    /// Begins to watch. The first observation sees what changed before it.
    pub(crate) fn new(volume: Option<&Rc<Volume>>, members: &'a [Name], is_member: bool) -> Self {
        let volume = volume.filter(|_| is_member || !members.is_empty());
        let watch = volume.and_then(|volume| Watch::new(volume.path()).ok());
        let pause = match (&watch, members.is_empty()) {
            (Some(_), false) => Some(SLOW),
            // Without inotify, requests to quit are not reported either.
            (None, false) => Some(FAST),
            (None, true) if is_member => Some(FAST),
            (Some(_) | None, true) => None,
        };
        Self {
            volume: volume.map(Rc::clone),
            members,
            watch,
            pause,
            poll: after(pause),
            again: None,
            signs: vec![Signs::default(); members.len()],
            reported: Vec::new(),
        }
    }

    /// The descriptor that becomes readable when the volume has changed.
    pub(crate) fn interest(&self) -> Option<Interest<'_>> {
        let watch = self.watch.as_ref()?;
        Some(Interest::readable(watch.as_fd()))
    }

    /// When to call [`Observer::proceed`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let again = self.again.as_ref().map(|again| again.at);
        again.into_iter().chain(self.poll).min()
    }

    /// Observes the members whose files have changed, or all members when a poll is due.
    /// `has_change`: the descriptor is readable. `own` is the name of this process's own member.
    pub(crate) fn proceed(
        &mut self,
        has_change: bool,
        own: Option<&Name>,
        report: &mut Report,
    ) -> Observed {
        let watch = self.watch.as_ref().filter(|_| has_change);
        let changes = watch.map(Watch::changes).unwrap_or_default();
        let has_changed = |name: &Name| changes.iter().any(|change| is_about(change, name));
        let is_own = own.is_some_and(has_changed);
        if changes.iter().any(is_lock) && self.members.iter().any(has_changed) {
            self.again = Again::after(AGAIN);
        }
        let now = Instant::now();
        let is_poll = self.poll.take_if(|at| *at <= now).is_some();
        if is_poll {
            self.poll = after(self.pause);
        }
        let is_due = self.is_again_due(now) || is_poll;
        let looks = is_due || !changes.is_empty();
        let seen = looks.then(|| self.observe(|name| is_due || has_changed(name), report));
        Observed {
            seen,
            may_be_asked: is_own || is_poll,
        }
    }

    /// Whether another observation is due. Plans the one after it.
    fn is_again_due(&mut self, now: Instant) -> bool {
        let Some(due) = self.again.take_if(|again| again.at <= now) else {
            return false;
        };
        let pause = due.pause.saturating_mul(2);
        if pause <= CLOSING {
            self.again = Again::after(pause);
        }
        true
    }

    pub(crate) fn observe_all(&mut self, report: &mut Report) -> Vec<Seen> {
        self.observe(|_| true, report)
    }

    /// Observes some of the members.
    fn observe(&mut self, which: impl Fn(&Name) -> bool, report: &mut Report) -> Vec<Seen> {
        let Some(volume) = self.volume.clone() else {
            return Vec::new();
        };
        let mut seen = Vec::new();
        for (member, name) in self.members.iter().enumerate().filter(|(_, it)| which(it)) {
            // A member that cannot be observed now stays as it was, and is observed again soon.
            let Some(snapshot) = volume.look(name) else {
                self.again = self.again.take().or_else(|| Again::after(FAST));
                continue;
            };
            self.report_unusable(&volume, name, &snapshot, report);
            let observation = observe(&snapshot, volume.host());
            let Some(signs) = self.signs.get_mut(member) else {
                continue;
            };
            let is_hidden = signs.hide(observation);
            if signs.contradict(is_hidden || snapshot.contradicts_itself()) {
                report.line(&contradiction(volume.path(), name));
            }
            if let Some(since) = signs.contradict {
                let pause = if since.elapsed() < CLOSING {
                    AGAIN
                } else {
                    FAST
                };
                self.again = self.again.take().or_else(|| Again::after(pause));
            }
            if !is_hidden {
                seen.push(Seen {
                    member,
                    observation,
                });
            }
        }
        seen
    }

    fn report_unusable(
        &mut self,
        volume: &Volume,
        name: &Name,
        found: &Snapshot,
        report: &mut Report,
    ) {
        let record = found.record.as_ref();
        let path = volume.record_path(name);
        let Some(text) = record.and_then(|it| unusable_record(&path, it, volume.host())) else {
            return;
        };
        let has_room = self.reported.len() / REPORTS_PER_MEMBER < self.members.len();
        if has_room && !self.reported.contains(&text) {
            report.line(&unusable(Severity::Warning, text.clone()));
            self.reported.push(text);
        }
    }

    /// The members on the volume, without `own`, and without those of the life's relations that
    /// have no usable record.
    pub(crate) fn others(&self, own: Option<&Name>) -> Vec<Name> {
        let Some(volume) = &self.volume else {
            return Vec::new();
        };
        let is_there = |name: &Name| {
            volume.look(name).is_some_and(|found| {
                !matches!(
                    observe(&found, volume.host()),
                    Observation::Absent | Observation::Unreadable
                )
            })
        };
        let mut names = volume.names().unwrap_or_default();
        names.retain(|name| Some(name) != own && (!self.members.contains(name) || is_there(name)));
        names
    }
}

impl Signs {
    /// Whether the record of a living member has disappeared or cannot be read, so that the
    /// observation does not show the member. Its lock looks free, and its socket exists: it stays
    /// as it was. File systems that share no locks may also show a file that was replaced as
    /// absent.
    fn hide(&mut self, observation: Observation) -> bool {
        match observation {
            Observation::Alive { id, .. } => self.alive = id.or(self.alive),
            Observation::Ended { .. } => self.alive = None,
            Observation::Absent | Observation::Unreadable => {
                return self.alive.is_some_and(is_bound);
            }
        }
        false
    }

    /// Takes whether the signs contradict each other now. Returns whether to report that.
    fn contradict(&mut self, is_now: bool) -> bool {
        if !is_now {
            self.contradict = None;
            return false;
        }
        let since = self.contradict.get_or_insert_with(Instant::now);
        let is_due = !self.is_reported && since.elapsed() >= LASTS;
        self.is_reported |= is_due;
        is_due
    }
}

impl Again {
    fn after(pause: Duration) -> Option<Self> {
        after(Some(pause)).map(|at| Self { at, pause })
    }
}

fn after(pause: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(pause?)
}

/// Whether a change may be one of this member's files: `NAME.record`, `NAME.lock` and so on.
fn is_about(change: &Change, name: &Name) -> bool {
    match change {
        Change::File(file) => file
            .split_once('.')
            .is_some_and(|(owner, _)| owner == name.as_str()),
        Change::Anything => true,
    }
}

fn is_lock(change: &Change) -> bool {
    match change {
        Change::File(file) => file.ends_with(".lock"),
        Change::Anything => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, LASTS, Observer, SLOW, is_about, is_lock};
    use crate::core::life::Seen;
    use crate::core::logging::{Format, Level, LogTo};
    use crate::core::member::{Name, Stage};
    use crate::core::observation::{End, Observation};
    use crate::core::plain_dir::Plain;
    use crate::event_loop::Poller;
    use crate::members::{Membership, Statement, Volume};
    use crate::report::Report;
    use std::fs;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let file = format!("podgate-observer-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(file);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("volume")).expect("a folder");
            Self(path)
        }

        fn volume(&self) -> Rc<Volume> {
            let path = self.0.join("volume");
            Rc::new(Volume::open(&path, Plain::Allowed).expect("a volume"))
        }

        fn report(&self) -> Report {
            let log = LogTo::File(self.0.join("log"));
            Report::open(Format::Text, Level::Normal, &log).expect("a log")
        }

        fn log(&self) -> String {
            fs::read_to_string(self.0.join("log")).expect("a log")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(all: &[&str]) -> Vec<Name> {
        let name = |text: &&str| Name::parse(text).expect("a name");
        all.iter().map(name).collect()
    }

    fn take(volume: &Rc<Volume>, name: &Name) -> Membership {
        let statement = Statement {
            name: name.clone(),
            policy: None,
            is_joined: false,
        };
        Membership::take(volume, statement, &|| false)
            .map_err(|_| ())
            .expect("a membership")
    }

    /// Turns of a loop until one of them saw something.
    fn next(observer: &mut Observer<'_>, report: &mut Report) -> Vec<Seen> {
        let limit = Instant::now() + Duration::from_secs(10);
        while Instant::now() < limit {
            let mut poller = Poller::new();
            if let Some(interest) = observer.interest() {
                poller.add(interest, ());
            }
            let ready = poller.wait(observer.deadline()).expect("a wait");
            let observed = observer.proceed(!ready.is_empty(), None, report);
            if let Some(seen) = observed.seen.filter(|seen| !seen.is_empty()) {
                return seen;
            }
        }
        panic!("nothing was seen");
    }

    #[test]
    fn a_change_belongs_to_the_member_named_before_the_first_dot() {
        let [main, ma] = <[Name; 2]>::try_from(names(&["main", "ma"])).expect("two");
        let file = |name: &str| Change::File(name.to_owned());
        for (change, about_main, about_ma, lock) in [
            (file("main.record"), true, false, false),
            (file("main.lock"), true, false, true),
            (file("main"), false, false, false),
            (Change::Anything, true, true, false),
        ] {
            assert_eq!(is_about(&change, &main), about_main, "{change:?}");
            assert_eq!(is_about(&change, &ma), about_ma, "{change:?}");
            assert_eq!(is_lock(&change), lock, "{change:?}");
        }
    }

    #[test]
    fn only_the_member_that_changed_is_observed() {
        let folder = Folder::new("changed");
        let (volume, members) = (folder.volume(), names(&["a", "b"]));
        let (mut report, mut b) = (folder.report(), take(&volume, &members[1]));
        let mut observer = Observer::new(Some(&volume), &members, false);
        assert_eq!(observer.observe_all(&mut report).len(), 2);
        b.publish(Stage::Ready).expect("published");
        let seen = next(&mut observer, &mut report);
        let stage = match seen[..] {
            [
                Seen {
                    member: 1,
                    observation: Observation::Alive { stage, .. },
                },
            ] => stage,
            _ => None,
        };
        assert_eq!(stage, Some(Stage::Ready), "{seen:?}");
    }

    #[test]
    fn a_lock_that_is_free_a_moment_after_its_close_is_seen_before_the_slow_poll() {
        let folder = Folder::new("closed");
        let (volume, members) = (folder.volume(), names(&["main"]));
        let (mut report, main) = (folder.report(), take(&volume, &members[0]));
        let mut observer = Observer::new(Some(&volume), &members, false);
        observer.observe_all(&mut report);
        let start = Instant::now();
        drop(main);
        let is_lost =
            |seen: &Seen| matches!(seen.observation, Observation::Ended { end: End::Lost, .. });
        while !next(&mut observer, &mut report).iter().any(is_lost) {}
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_member_without_a_usable_record_is_not_among_the_others() {
        let folder = Folder::new("others");
        let (volume, members) = (folder.volume(), names(&["main", "second"]));
        let own = names(&["proxy"]);
        let _proxy = take(&volume, &own[0]);
        fs::write(volume.record_path(&members[0]), "garbage").expect("written");
        let observer = Observer::new(Some(&volume), &members, true);
        assert_eq!(observer.others(own.first()), []);
        let _second = take(&volume, &members[1]);
        let mian = names(&["mian"]);
        let _mian = take(&volume, &mian[0]);
        let others = names(&["mian", "second"]);
        assert_eq!(observer.others(own.first()), others);
    }

    /// Binds the socket of a member that is dead, so that its signs of life contradict each other.
    fn contradict(volume: &Rc<Volume>, name: &Name) -> UnixDatagram {
        let id = take(volume, name).record().id;
        let address = SocketAddr::from_abstract_name(format!("podgate.{id:016x}"));
        UnixDatagram::bind_addr(&address.expect("a name")).expect("a socket")
    }

    #[test]
    fn a_free_lock_beside_a_socket_means_alive_and_is_reported_once_if_it_lasts() {
        let folder = Folder::new("contradiction");
        let (volume, members) = (folder.volume(), names(&["main"]));
        let mut report = folder.report();
        let socket = contradict(&volume, &members[0]);
        let mut observer = Observer::new(Some(&volume), &members, false);
        let start = Instant::now();
        let is_alive = |seen: &[Seen]| seen.iter().all(|seen| seen.observation.is_alive());
        assert!(is_alive(&observer.observe_all(&mut report)));
        while start.elapsed() < LASTS / 2 {
            assert!(is_alive(&next(&mut observer, &mut report)));
        }
        assert_eq!(folder.log(), "", "the member may just be dying");
        while start.elapsed() < LASTS * 2 {
            assert!(is_alive(&next(&mut observer, &mut report)));
        }
        let log = folder.log();
        assert_eq!(log.matches("locks are not shared").count(), 1, "{log}");
        // No event reports the end of a socket.
        let closed = Instant::now();
        drop(socket);
        assert!(!is_alive(&next(&mut observer, &mut report)));
        assert!(closed.elapsed() < SLOW, "by the fast poll");
    }

    #[test]
    fn a_member_whose_record_disappears_stays_alive_while_its_socket_is_there() {
        let folder = Folder::new("hidden");
        let (volume, members) = (folder.volume(), names(&["main"]));
        let mut report = folder.report();
        let socket = contradict(&volume, &members[0]);
        let mut observer = Observer::new(Some(&volume), &members, false);
        assert!(observer.observe_all(&mut report)[0].observation.is_alive());
        fs::remove_file(volume.record_path(&members[0])).expect("removed");
        assert!(observer.observe_all(&mut report).is_empty(), "as it was");
        fs::write(volume.record_path(&members[0]), "garbage").expect("written");
        assert!(observer.observe_all(&mut report).is_empty(), "as it was");
        drop(socket);
        let seen = observer.observe_all(&mut report);
        assert_eq!(seen[0].observation, Observation::Unreadable);
    }

    #[test]
    fn an_unusable_record_is_reported_once_and_garbage_does_not_fill_the_log() {
        let folder = Folder::new("garbage");
        let (volume, members) = (folder.volume(), names(&["main"]));
        let mut report = folder.report();
        let mut observer = Observer::new(Some(&volume), &members, false);
        for version in 2..20 {
            let record = format!("podgate: {version}\n");
            fs::write(volume.record_path(&members[0]), record).expect("written");
            observer.observe_all(&mut report);
            observer.observe_all(&mut report);
        }
        let lines = folder.log();
        assert_eq!(lines.lines().count(), 4, "{lines}");
    }

    #[test]
    fn without_members_and_requests_nothing_is_polled() {
        let folder = Folder::new("nothing");
        let volume = folder.volume();
        assert_eq!(Observer::new(Some(&volume), &[], false).deadline(), None);
        assert_eq!(Observer::new(None, &[], false).deadline(), None);
        let alone = Observer::new(Some(&volume), &[], true);
        assert!(alone.interest().is_some() || alone.deadline().is_some());
    }
}
