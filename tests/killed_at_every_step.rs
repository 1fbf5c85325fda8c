//! In many small pods one process is killed with SIGKILL at a random moment, and the promises hold
//! all the same (P6 and P7).
//!
//! The test looks from outside: each CMD itself writes down when it began, when it ended and when
//! it got a stop signal. An end is written before it happens and a stop after it was sent, so load
//! can hide a fault but cannot invent one.
//!
//! `PODGATE_CHAOS_SEED` and `PODGATE_CHAOS_ROUNDS` repeat or prolong it.

use crate::support::kubelet::{Phase, Play, RestartPolicy, Rules};
use crate::support::pod::{Container, Pod, VOLUME};
use crate::support::{Folder, PODGATE, Program, eventually};
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const AT_ONCE: usize = 5;

/// The pause between an end and the next start.
const RESTART: Duration = Duration::from_millis(150);

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    number(
        "PODGATE_CHAOS_SEED",
        u64::try_from(now() & u128::from(u32::MAX)).unwrap(),
    )
}

/// The wall clock, as `date +%s%N` prints it.
fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Nobody,
    /// PID 1. The kernel ends the container with it.
    Container(&'static str),
    Cmd(&'static str),
}

#[derive(Clone, Debug)]
struct Round {
    pods: RestartPolicy,
    policy: &'static str,
    mains: &'static [&'static str],
    is_needed: bool,
    /// The exit code of the first life of the first main. Later lives succeed.
    code: u64,
    /// How long a main's CMD works.
    work: u64,
    victim: Victim,
    /// The delay from the start of the victim's life, or from the last moments of its CMD.
    after: Duration,
    at_end: bool,
}

impl Round {
    fn new(dice: &mut Dice) -> Self {
        let pods = dice.pick(&[RestartPolicy::Never, RestartPolicy::OnFailure]);
        let policies: &[_] = if pods == RestartPolicy::Never {
            &["auto", "never"]
        } else {
            &["auto", "on-failure"]
        };
        let mains: &[&str] = dice.pick(&[&["main"][..], &["main"], &["main", "second"]]);
        let one = dice.pick(&["main", "main", "sidecar"]);
        let victim = dice.pick(&[
            Victim::Nobody,
            Victim::Container(one),
            Victim::Container(one),
            Victim::Cmd(one),
        ]);
        // The kubelet restarts a main that is killed between publishing 0 and its own end. Its
        // sidecar took it for a success and is gone, so a main that needs it would never start.
        let may_need = pods == RestartPolicy::Never || victim != Victim::Container("main");
        Self {
            pods,
            policy: dice.pick(policies),
            mains,
            // A killed need stops the main with 69, and the pod starts the main again.
            is_needed: dice.roll(4) == 0 && may_need,
            code: dice.pick(&[0, 0, 3]),
            work: 30 + dice.roll(90),
            victim,
            after: Duration::from_micros(if dice.roll(4) == 0 {
                dice.roll(120_000)
            } else {
                dice.roll(20_000)
            }),
            at_end: dice.roll(2) == 0,
        }
    }
}

/// The CMD of a main: `begin`, work, `end`.
fn main_script(name: &str, round: &Round) -> String {
    let code = if name == "main" { round.code } else { 0 };
    format!(
        "echo begin $(date +%s%N) >>{VOLUME}/{name}-log
trap 'echo end $(date +%s%N) >>{VOLUME}/{name}-log; exit 143' TERM
sleep 0.{:03} & wait
code=0
mkdir {VOLUME}/{name}-was 2>/dev/null && code={code}
echo end $(date +%s%N) >>{VOLUME}/{name}-log
exit $code",
        round.work
    )
}

/// The CMD of a sidecar: `begin`, and `stop` as soon as it gets its stop signal.
fn sidecar_script() -> String {
    format!(
        "trap 'echo stop $(date +%s%N) >>{VOLUME}/sidecar-log; exit 0' TERM
echo begin $(date +%s%N) >>{VOLUME}/sidecar-log
sleep 100 & wait"
    )
}

fn moments(volume: &Path, name: &str, what: &str) -> Vec<u128> {
    let text = fs::read_to_string(volume.join(format!("{name}-log"))).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix(what)?.trim().parse().ok())
        .collect()
}

/// Did the sidecar get its stop signal while a main's CMD was alive? `killed`: each process that
/// was killed, and a time just before that.
fn violation(volume: &Path, mains: &[&str], killed: &[(&str, u128)]) -> Option<String> {
    for name in mains {
        let ends = moments(volume, name, "end ");
        let kills: Vec<u128> = killed
            .iter()
            .filter(|(victim, _)| victim == name)
            .map(|(_, at)| *at)
            .collect();
        let ends: Vec<u128> = ends.into_iter().chain(kills.iter().copied()).collect();
        // What happened between the look at the clock and the kill belongs to the killed process.
        // Its restart comes later.
        let is_killed = |begin: &u128| {
            kills
                .iter()
                .any(|at| (*at..*at + RESTART.as_nanos()).contains(begin))
        };
        for begin in moments(volume, name, "begin ")
            .into_iter()
            .filter(|begin| !is_killed(begin))
        {
            let end = ends.iter().filter(|end| **end >= begin).min();
            for stop in moments(volume, "sidecar", "stop ") {
                if begin < stop && end.is_none_or(|end| stop < *end) {
                    return Some(format!(
                        "stopped at {stop}, and {name} lived from {begin} to {end:?}"
                    ));
                }
            }
        }
    }
    None
}

fn containers(round: &Round) -> Vec<Container> {
    let mut sidecar = vec![
        "run",
        "--name",
        "sidecar",
        "--restart-policy",
        round.policy,
        "--grace",
        "10s",
        "--linger",
        "2s",
    ];
    for name in round.mains {
        sidecar.extend(["--until", name]);
    }
    if round.pods == RestartPolicy::Never {
        // A main that is killed before podgate wrote a record never came.
        sidecar.extend(["--absent-timeout", "2s"]);
    }
    let script = sidecar_script();
    sidecar.extend(["--", "sh", "-c", &script]);
    let mut all = vec![Container::podgate("sidecar", sidecar)];
    for name in round.mains {
        let script = main_script(name, round);
        let mut words = vec!["run", "--name", name];
        if round.is_needed {
            words.extend(["--needs", "sidecar", "--after-timeout", "5s"]);
        }
        words.extend(["--", "sh", "-c", &script]);
        all.push(Container::podgate(name, words));
    }
    all
}

/// Kills the victim. Returns its name and a time just before the kill.
fn strike(pod: &Pod, play: &Play, round: &Round) -> Option<(&'static str, u128)> {
    let (Victim::Container(name) | Victim::Cmd(name)) = round.victim else {
        return None;
    };
    let life = play.life(name);
    if round.at_end {
        // At about the time when the work is done.
        let work = Duration::from_millis(round.work).saturating_sub(Duration::from_millis(10));
        let volume = pod.volume();
        let start = Instant::now();
        while moments(&volume, "main", "begin ").is_empty()
            && start.elapsed() < Duration::from_secs(2)
        {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(work);
    }
    thread::sleep(round.after);
    let cmd = || {
        life.processes()
            .into_iter()
            .find(|process| process.name == "sh" && process.inside != 1)
    };
    let victim = if matches!(round.victim, Victim::Cmd(_)) {
        cmd()?.pid
    } else {
        life.pid()
    };
    if !life.is_running() {
        return None;
    }
    let at = now();
    let _ = kill(victim, Signal::SIGKILL);
    Some((name, at))
}

fn play(round: &Round) {
    let pod = Pod::new().unwrap();
    let rules = Rules {
        back_off: RESTART,
        ..round.pods.into()
    };
    let play = pod.play(rules, containers(round));
    let killed: Vec<_> = strike(&pod, &play, round).into_iter().collect();
    // All mains end by themselves, so only a sidecar that stays makes this time out.
    let phase = play.finish();
    let show = || format!("{round:?}\nkilled: {killed:?}\n{play}");
    if let Some(what) = violation(&pod.volume(), round.mains, &killed) {
        panic!("{what}\n{}", show());
    }
    let is_victim = |name: &str| killed.iter().any(|(victim, _)| *victim == name);
    let last = |name: &str| *play.codes(name).last().unwrap();
    if round.pods == RestartPolicy::OnFailure {
        assert_eq!(phase, Phase::Succeeded, "{}", show());
    } else {
        for name in round.mains {
            let own = if *name == "main" {
                i32::try_from(round.code).unwrap()
            } else {
                0
            };
            let allowed = [own]
                .into_iter()
                .chain(is_victim(name).then_some(137))
                // The sidecar that it needs was killed, or had gone before the main came.
                .chain(
                    (round.is_needed && round.victim != Victim::Nobody)
                        .then_some([69, 124])
                        .into_iter()
                        .flatten(),
                )
                // A sidecar that has gone and states `never` can never be ready.
                .chain(
                    (round.is_needed
                        && round.policy == "never"
                        && (round.victim != Victim::Nobody || round.mains.len() > 1))
                        .then_some(1),
                )
                .chain(
                    (round.is_needed && round.mains.len() > 1)
                        .then_some([69, 124])
                        .into_iter()
                        .flatten(),
                );
            assert!(
                allowed.collect::<Vec<_>>().contains(&last(name)),
                "{name}: {}",
                show()
            );
        }
        if !is_victim("sidecar") {
            // For the others, a process that is killed after it published its CMD's code ended
            // with that code.
            let codes = |killed: bool| -> i32 {
                let code = |name: &&str| match last(name) {
                    137 if !killed && *name == "main" => i32::try_from(round.code).unwrap(),
                    137 if !killed => 0,
                    code => code,
                };
                round
                    .mains
                    .iter()
                    .map(code)
                    .find(|code| *code != 0)
                    .unwrap_or(0)
            };
            let expected = if round.policy == "never" {
                [0; 2]
            } else {
                [codes(true), codes(false)]
            };
            let never_came =
                last("sidecar") == 124 && round.mains.iter().any(|name| is_victim(name));
            assert!(
                expected.contains(&last("sidecar")) || never_came,
                "{}",
                show()
            );
        }
    }
    // No life ends with 125, which is a failure of podgate itself.
    for name in round.mains.iter().chain(&["sidecar"]) {
        assert!(!play.codes(name).contains(&125), "{}", show());
    }
    let volume = pod.volume();
    let spares = fs::read_dir(volume).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().contains(".next.")
    });
    assert!(spares.count() <= 4 * killed.len(), "{}", show());
}

#[test]
fn a_kill_at_any_moment_breaks_no_promise() {
    if Pod::new().is_none() {
        return;
    }
    let (seed, rounds) = (seed(), number("PODGATE_CHAOS_ROUNDS", 300));
    println!("PODGATE_CHAOS_SEED={seed} PODGATE_CHAOS_ROUNDS={rounds}");
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= rounds || !failures.lock().unwrap().is_empty() {
                        return;
                    }
                    let round = Round::new(&mut Dice(seed.wrapping_add(number)));
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(&round))) {
                        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failures
                            .lock()
                            .unwrap()
                            .push(format!("round {number} of seed {seed}: {round:?}\n{text}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The negative control: the same test of a sidecar that ends at a fixed time.
#[test]
fn a_sidecar_that_only_sleeps_is_caught() {
    let Some(pod) = Pod::new() else { return };
    let round = Round {
        work: 900,
        ..Round::new(&mut Dice(1))
    };
    let main = Container::sh("main", &main_script("main", &round));
    let naive = "sh -c \"$0\" & sleep 0.3; kill -TERM $!; wait";
    let script = sidecar_script();
    let play = pod.play(
        RestartPolicy::Never,
        [
            main,
            Container::new("sidecar", ["sh", "-c", naive, &script]),
        ],
    );
    play.finish();
    let found = violation(&pod.volume(), &["main"], &[]);
    assert!(
        found.is_some_and(|text| text.contains("main lived")),
        "{play}"
    );
}

/// Where podgate is not PID 1, the kernel kills CMD together with podgate (PR_SET_PDEATHSIG), and
/// the sidecar of the killed main ends.
#[test]
fn without_namespaces_the_command_dies_with_podgate() {
    let seed = seed();
    println!("PODGATE_CHAOS_SEED={seed}");
    let mut dice = Dice(seed);
    for round in 0..40 {
        let (folder, files) = (Folder::new(), Folder::new());
        let run = |words: &[&str], script: &str| {
            let mut command = Command::new(PODGATE);
            command
                .args([
                    "run",
                    "--dir",
                    folder.path().to_str().unwrap(),
                    "--allow-plain-dir",
                ])
                .args(words);
            command
                .args(["--", "sh", "-c", script])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let alive = files.text("alive");
        let script = format!("exec 9>{alive}; flock 9; exec sleep 100");
        let mut main = Program::start(&mut run(&["--name", "main"], &script));
        let mut sidecar = Program::start(&mut run(
            &["--name", "sidecar", "--until", "main"],
            "exec sleep 100",
        ));
        if dice.roll(3) > 0 {
            eventually("the record", || {
                folder.join("main.record").exists().then_some(())
            });
        } else {
            eventually("CMD", || is_locked(&alive).then_some(()));
        }
        thread::sleep(Duration::from_micros(dice.roll(20_000)));
        kill(main.pid(), Signal::SIGKILL).unwrap();
        let status = eventually("the end of podgate", || main.has_ended());
        assert_eq!(status.signal(), Some(9));
        let what = format!("the end of CMD in round {round} of seed {seed}");
        eventually(&what, || (!is_locked(&alive)).then_some(()));
        // Lets the moment between flock's fork and its exec pass.
        thread::sleep(Duration::from_millis(5));
        assert!(!is_locked(&alive), "{what}");
        let status = eventually("the end of the sidecar", || sidecar.has_ended());
        assert_eq!(status.code(), Some(137), "round {round} of seed {seed}");
    }
}

fn is_locked(path: &str) -> bool {
    let test = Command::new("flock")
        .args(["--nonblock", "--shared", path, "true"])
        .status()
        .unwrap();
    Path::new(path).exists() && !test.success()
}
