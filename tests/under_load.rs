//! Many members, pods, signals, files and restarts: no event is lost, nothing grows, and podgate
//! does not spin (P6 and P7).
//!
//! The default is a load for every test run. `PODGATE_LOAD=full` sets the full load: 200 pods at
//! once, storms of 20,000 signals, and as many restarts as a day can have. The time limits are
//! generous, because they only tell progress from a hang. The measured figures are printed.

use crate::support::{
    Folder, LIMIT, PODGATE, Program, Running, eventually, eventually_or, output, podgate, python3,
};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A clock tick of /proc/PID/stat (proc(5)). Linux reports 100 ticks a second, whatever its own
/// timer is.
const TICK: Duration = Duration::from_millis(10);

fn scaled(usual: usize, full: usize) -> usize {
    if std::env::var("PODGATE_LOAD").is_ok_and(|load| load == "full") {
        full
    } else {
        usual
    }
}

/// The words of `podgate COMMAND --dir … OPTIONS -- CMD`.
fn call<'a>(command: &'a str, dir: &'a str, options: &[&'a str], cmd: &[&'a str]) -> Vec<&'a str> {
    let dashes: &[&str] = if cmd.is_empty() { &[] } else { &["--"] };
    [
        &[command, "--dir", dir, "--allow-plain-dir"],
        options,
        dashes,
        cmd,
    ]
    .concat()
}

/// The CPU time of this process so far.
fn cpu(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |field: usize| {
        fields
            .split_ascii_whitespace()
            .nth(field - 3)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    TICK * (ticks(14) + ticks(15))
}

/// The anonymous memory of this process, in KiB.
fn memory(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn threads(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// A line of a record.
fn field(volume: &Path, member: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(volume.join(format!("{member}.record"))).ok()?;
    Some(
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?
            .to_owned(),
    )
}

#[test]
fn a_process_that_spins_or_grows_is_noticed() {
    let folder = Folder::new();
    // One pipe for each step, because the reader of the step before may still have its pipe open.
    let steps: Vec<String> = (0..3)
        .map(|number| folder.text(&number.to_string()))
        .collect();
    steps
        .iter()
        .for_each(|step| mkfifo(Path::new(step), Mode::S_IRWXU).unwrap());
    // The script opens files, then fills memory, and then spins.
    let script = format!(
        "read -r go <{}; exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null
         read -r go <{}; text=x
         for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do text=$text$text; done
         read -r go <{}; while :; do :; done",
        steps[0], steps[1], steps[2]
    );
    let program = Program::start(Command::new("sh").args(["-c", &script]));
    let pid = program.pid();
    // Opening the pipe waits for its reader, which has then finished the step before.
    let proceed = |step: usize| File::options().write(true).open(&steps[step]).unwrap();
    let first = proceed(0);
    let before = descriptors(pid);
    drop(first);
    let second = proceed(1);
    // The shell may still have to move the new descriptor to its final number.
    assert!(
        descriptors(pid) >= before + 4,
        "{before} and {}",
        descriptors(pid)
    );
    let before = memory(pid);
    drop(second);
    let third = proceed(2);
    assert!(memory(pid) > before + 512, "{before} and {}", memory(pid));
    quiet(pid);
    let before = cpu(pid);
    drop(third);
    eventually("a process that spins", || {
        (cpu(pid) - before > 25 * TICK).then_some(())
    });
}

#[test]
fn a_sidecar_of_199_mains_ends_after_all_of_them() {
    let folder = Folder::new();
    let volume = folder.join("volume");
    fs::create_dir(&volume).unwrap();
    let (dir, go) = (folder.text("volume"), folder.text("go"));
    mkfifo(Path::new(&go), Mode::S_IRWXU).unwrap();
    let names: Vec<String> = (1..200).map(|number| format!("main-{number}")).collect();
    let start = Instant::now();
    let mut options = vec!["--name", "sidecar"];
    names
        .iter()
        .for_each(|name| options.extend(["--until", name.as_str()]));
    let sidecar = podgate(call("run", &dir, &options, &["sleep", "1000"])).start();
    // Each waits until the test opens the pipe for writing. Then all continue at once.
    let script = format!("read -r go <{go}; exit 0");
    let main = |name: &String| {
        podgate(call("run", &dir, &["--name", name], &["sh", "-c", &script])).start()
    };
    let mains: Vec<Running> = names.iter().map(main).collect();
    let ready = || {
        let status = podgate(call("status", &dir, &["--json"], &[])).run();
        let count = |text: &str| {
            status
                .code(0)
                .stdout
                .lines()
                .filter(|line| line.contains(text))
                .count()
        };
        (count("\"state\":\"ready\",") == 200 && count("\"alive\":true") == 200)
            .then_some(status.took)
    };
    let status = eventually("200 members that are ready", ready);
    let all_ready = start.elapsed();
    // The sidecar has seen all changes. Nothing changes from now on, so it must be idle.
    let pid = sidecar.pid();
    quiet(pid);
    let before = (cpu(pid), Instant::now());
    thread::sleep(Duration::from_millis(1000));
    let idle = (cpu(pid) - before.0, before.1.elapsed());
    assert!(idle.0 * 4 < idle.1, "{idle:?} of CPU time while idle");

    // A shell that opens the pipe late finds no writer, and waits for the next one.
    let (writer, is_over) = (go.clone(), std::sync::Arc::new(AtomicBool::new(false)));
    let ended = std::sync::Arc::clone(&is_over);
    let start = Instant::now();
    let opener = thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            use std::os::unix::fs::OpenOptionsExt;
            drop(
                File::options()
                    .write(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(&writer),
            );
            thread::sleep(Duration::from_millis(5));
        }
    });
    for main in mains {
        main.finish().code(0);
    }
    let mains_took = start.elapsed();
    is_over.store(true, Ordering::SeqCst);
    opener.join().unwrap();
    sidecar.finish().code(0);
    let took = start.elapsed();
    let stopping = field(&volume, "sidecar", "stopping").unwrap();
    for name in &names {
        let exited = field(&volume, name, "exited").unwrap();
        assert!(
            exited <= stopping,
            "{name} ended at {exited}, and the sidecar was stopped at {stopping}"
        );
    }
    println!(
        "200 members: ready after {all_ready:?}, status {status:?}, \
         the sidecar used {:?} of the CPU until then and {:?} of an idle {:?}; \
         199 ended within {mains_took:?}, the sidecar within {took:?}",
        before.0, idle.0, idle.1
    );
}

/// Waits until this process sleeps for a while.
fn quiet(pid: Pid) {
    let look = || {
        let before = cpu(pid);
        thread::sleep(Duration::from_millis(200));
        (cpu(pid) - before <= 2 * TICK).then_some(())
    };
    eventually(&format!("{pid} to sleep"), look);
}

#[test]
fn many_pods_at_once_keep_their_order_and_exit_codes() {
    let count = scaled(40, 200);
    let folder = Folder::new();
    let code = |number: usize| if number.is_multiple_of(3) { 3 } else { 0 };
    let pod = |number: usize| {
        let dir = folder.text(&number.to_string());
        fs::create_dir(&dir).unwrap();
        let ready = format!("file://{dir}/is-ready");
        let start = |options: &[&str], script: &str| {
            let mut command = Command::new(PODGATE);
            crate::support::without_own_variables(&mut command);
            let errors = File::options()
                .create(true)
                .append(true)
                .open(format!("{dir}/said"))
                .unwrap();
            command
                .args(call("run", &dir, options, &["sh", "-c", script]))
                .stdout(Stdio::null())
                .stderr(errors);
            Program::start(&mut command)
        };
        let sidecar = format!(
            "trap 'echo stop >>{dir}/log; kill $!; exit 0' TERM; sleep 1000 &\n\
             echo begin >>{dir}/log; : >{dir}/is-ready; wait"
        );
        let main = format!(
            "echo main >>{dir}/log; sleep 0.2; echo end >>{dir}/log; exit {}",
            code(number)
        );
        let sidecar = start(
            &["--name", "sidecar", "--until", "main", "--ready", &ready],
            &sidecar,
        );
        let main = start(
            &[
                "--name",
                "main",
                "--after",
                "ready:sidecar",
                "--after-timeout",
                "none",
            ],
            &main,
        );
        (dir, sidecar, main)
    };
    let start = Instant::now();
    let mut pods: Vec<_> = (0..count).map(pod).collect();
    let started = start.elapsed();
    // The whole machine is busy, so this limit is longer than for one process.
    let patience = LIMIT * 4;
    for (number, (dir, sidecar, main)) in pods.iter_mut().enumerate() {
        for (who, program) in [("main", main), ("sidecar", sidecar)] {
            let end = loop {
                if let Some(status) = program.has_ended() {
                    break status.code();
                }
                assert!(
                    start.elapsed() < patience,
                    "pod {number}: {who} is still running\n{}",
                    said(dir)
                );
                thread::sleep(Duration::from_millis(2));
            };
            assert_eq!(
                end,
                Some(code(number)),
                "pod {number}: {who}\n{}",
                said(dir)
            );
        }
        let log = fs::read_to_string(format!("{dir}/log")).unwrap();
        assert_eq!(
            log,
            "begin\nmain\nend\nstop\n",
            "pod {number}\n{}",
            said(dir)
        );
    }
    println!(
        "{count} pods: started within {started:?}, all over after {:?}",
        start.elapsed()
    );
}

fn said(dir: &str) -> String {
    fs::read_to_string(format!("{dir}/said")).unwrap_or_default()
}

/// Counts its signals, separately for each kind, and prints the counts when it gets 41. SIGQUIT
/// ends it with 42 after a while.
///
/// 40 and 41 are real-time signals, which queue: each one must arrive. A standard signal that is
/// already pending is not queued again. The kernel delivers the lowest number first, so all signals
/// sent before have arrived when 41 arrives (signal(7)).
const COUNTER: &str = "
import os, signal, sys, time
ends = int(signal.SIGQUIT)
standard = 'HUP USR1 USR2 WINCH CONT'.split()
kinds = [int(getattr(signal, 'SIG' + it)) for it in standard] + [ends, 40, 41]
signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
counts = dict.fromkeys(kinds, 0)
for _ in range(int(sys.argv[1])):
    # Its child leaves an orphan behind.
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
    os.wait()
print('up', flush=True)
while True:
    kind = int(signal.sigwaitinfo(kinds).si_signo)
    counts[kind] += 1
    if kind in (ends, 41):
        print('counts', *(counts[it] for it in kinds), flush=True)
    if kind == ends:
        time.sleep(0.3)
        sys.exit(42)
";

/// `storm PID TIMES SIGNAL…`: sends each signal this many times, in turns.
const STORM: &str = "
import os, sys
pid, times, kinds = int(sys.argv[1]), int(sys.argv[2]), [int(it) for it in sys.argv[3:]]
for _ in range(times):
    for kind in kinds:
        os.kill(pid, kind)
";

/// `storm PID SIGNAL…`: sends the signals without a pause until the process is gone, for at most
/// 20 s.
const UNTIL_GONE: &str = "
import os, sys, time
pid, kinds, end = int(sys.argv[1]), [int(it) for it in sys.argv[2:]], time.monotonic() + 20
try:
    while time.monotonic() < end:
        for kind in kinds * 100:
            os.kill(pid, kind)
except ProcessLookupError:
    pass
";

#[test]
fn no_queued_signal_is_lost_in_a_storm() {
    if !python3() {
        return;
    }
    // At most as many at a time as the kernel queues (RLIMIT_SIGPENDING). It drops signals above
    // that.
    const AT_A_TIME: usize = 250;
    let rounds = scaled(4, 80);
    let words = [
        "run",
        "--map-signal",
        "TERM=QUIT",
        "--grace",
        "60s",
        "--",
        "python3",
        "-c",
        COUNTER,
        "300",
    ];
    let mut running = podgate(words).start();
    let pid = running.pid();
    eventually("the counter", || {
        running.stdout().contains("up").then_some(())
    });
    let storm = |times: usize, kinds: &[i32]| {
        let numbers = [i32::try_from(times).unwrap()]
            .iter()
            .chain(kinds)
            .map(i32::to_string)
            .collect::<Vec<_>>();
        output(
            Command::new("python3")
                .args(["-c", STORM, &pid.to_string()])
                .args(numbers),
        );
    };
    let standard = [
        libc::SIGHUP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGCONT,
    ];
    // The counts that the counter printed, for the nth time: the five kinds, SIGQUIT, 40 and 41.
    let counted = |nth: usize| -> Vec<usize> {
        let look = || {
            let stdout = running.stdout();
            // The last line may be incomplete.
            let lines = stdout
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let line = lines
                .filter_map(|line| line.strip_prefix("counts "))
                .nth(nth - 1)?;
            Some(
                line.split_ascii_whitespace()
                    .map(|count| count.parse().unwrap())
                    .collect(),
            )
        };
        eventually_or("the counter's output", look, || {
            format!("line {nth}\n{}", running.stdout())
        })
    };
    let start = Instant::now();
    for round in 1..=rounds {
        storm(AT_A_TIME, &[&standard[..], &[libc::SIGCHLD, 40]].concat());
        storm(1, &[41]);
        let counts = counted(round);
        assert_eq!(counts[6], round * AT_A_TIME, "real-time signals are lost");
    }
    let took = start.elapsed();
    // A signal of each kind after the storm must arrive.
    let before = counted(rounds);
    assert!(
        before[..5].iter().all(|count| *count >= rounds),
        "{before:?}"
    );
    storm(1, &standard);
    storm(1, &[41]);
    let after = counted(rounds + 1);
    assert!(
        before[..5]
            .iter()
            .zip(&after)
            .all(|(before, after)| *after == before + 1),
        "{before:?} {after:?}"
    );
    // All orphans were reaped.
    let states = || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        (children.split_ascii_whitespace().count() == 1).then_some(())
    };
    eventually("no child but the command", states);
    // Then it gets stop signals again and again while it ends.
    assert!(!running.has_ended());
    let sent = Instant::now();
    let kinds = [libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD].map(|kind| kind.to_string());
    let storms: Vec<Program> = (0..2)
        .map(|_| {
            Program::start(
                Command::new("python3")
                    .args(["-c", UNTIL_GONE, &pid.to_string()])
                    .args(&kinds),
            )
        })
        .collect();
    let done = running.finish();
    let stopped = sent.elapsed();
    drop(storms);
    done.code(42);
    // The counter itself takes 0.3 s.
    assert!(
        stopped < Duration::from_secs(10),
        "it took {stopped:?} to end"
    );
    let last: Vec<_> = done.stdout.lines().last().unwrap().split(' ').collect();
    assert!(last[0] == "counts" && last[6] == "1", "{done}");
    println!(
        "{} signals of 7 kinds in {took:?}, then SIGTERM for {stopped:?}",
        rounds * AT_A_TIME * 7
    );
}

#[test]
fn ten_thousand_foreign_files_keep_no_process_busy() {
    let folder = Folder::new();
    let (dir, volume) = (folder.text("volume"), folder.join("volume"));
    fs::create_dir(&volume).unwrap();
    let foreign = |kind: &str, count: usize| {
        (0..count).for_each(|number| {
            fs::write(volume.join(format!("foreign-{number}{kind}")), "x").unwrap()
        });
    };
    foreign(".tmp", 5_000);
    let limit = Duration::from_secs(10);
    let words = call(
        "run",
        &dir,
        &["--name", "sidecar", "--until", "main"],
        &["sleep", "1000"],
    );
    let (start, sidecar) = (Instant::now(), podgate(words).start());
    let is_ready = || (field(&volume, "sidecar", "state")? == "ready").then_some(());
    eventually("the sidecar", is_ready);
    let started = start.elapsed();
    assert!(started < limit, "{started:?}");
    let pid = sidecar.pid();
    quiet(pid);
    // More files appear while it watches. After that it must be idle.
    let before = cpu(pid);
    foreign("", 5_000);
    quiet(pid);
    let watching = cpu(pid) - before;
    assert!(
        watching < Duration::from_secs(2),
        "{watching:?} of CPU time for foreign files"
    );
    let before = cpu(pid);
    thread::sleep(Duration::from_secs(1));
    let idle = cpu(pid) - before;
    assert!(idle <= 25 * TICK, "{idle:?} of CPU time in an idle second");
    let status = podgate(call("status", &dir, &[], &[])).run();
    assert!(
        status.code(0).within(limit).stdout.lines().count() <= 3,
        "{status}"
    );
    let mut main = podgate(call("run", &dir, &["--name", "main"], &["sleep", "1000"])).start();
    eventually("the main", || {
        (field(&volume, "main", "state")? == "ready").then_some(())
    });
    assert!(!main.has_ended());
    let quit = podgate(call("quit", &dir, &["member:main"], &[])).run();
    quit.code(0).within(limit);
    main.finish();
    let (asked, code) = (Instant::now(), sidecar.finish());
    assert!(asked.elapsed() < limit, "{code}");
    println!(
        "10,000 foreign files: a start in {started:?}, {watching:?} of the CPU while 5,000 came, \
         {idle:?} of an idle second, status in {:?}, \
         quit in {:?}",
        status.took, quit.took
    );
}

#[test]
fn a_day_of_restarts_leaves_nothing_behind() {
    let lives = scaled(120, 5_000);
    let folder = Folder::new();
    let (dir, volume) = (folder.text("volume"), folder.join("volume"));
    fs::create_dir(&volume).unwrap();
    // A failure is not final, and its code is not final either. The observer therefore stays, and
    // acts on none of the failures.
    let options = [
        "--name",
        "sidecar",
        "--until",
        "main",
        "--restart-policy",
        "on-failure",
        "--linger",
        "1h",
    ];
    let mut sidecar = podgate(call("run", &dir, &options, &["sleep", "100000"])).start();
    let pid = sidecar.pid();
    let seen = |state: &str| (field(&volume, "sidecar", "state")? == state).then_some(());
    eventually("the sidecar", || seen("ready"));
    let main = |options: &[&str], cmd: &[&str]| {
        podgate(call(
            "run",
            &dir,
            &[
                &["--name", "main", "--restart-policy", "on-failure"],
                options,
            ]
            .concat(),
            cmd,
        ))
    };
    let names = || -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&volume)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let (start, mut first, mut most) = (Instant::now(), None, 0);
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    let mut before: u64 = 0;
    for life in 0..lives {
        let how = ["fails", "is killed", "is stopped"][life % 3];
        *ends.entry(how).or_default() += 1;
        let running = main(
            &[],
            if how == "fails" {
                &["false"]
            } else {
                &["sleep", "1000"]
            },
        )
        .start();
        if how != "fails" {
            let is_there = || {
                let record: u64 = field(&volume, "main", "incarnation")?.parse().unwrap();
                (record > before && field(&volume, "main", "state")? == "ready").then_some(())
            };
            eventually("the next life", is_there);
            // PDEATHSIG kills CMD together with podgate. SIGTERM ends it with 143.
            running.signal(if how == "is killed" {
                Signal::SIGKILL
            } else {
                Signal::SIGTERM
            });
        }
        let done = running.finish();
        let code = done.status.code();
        assert_eq!(code, [Some(1), None, Some(143)][life % 3], "{done}");
        before = field(&volume, "main", "incarnation")
            .unwrap()
            .parse()
            .unwrap();
        most = most.max(names().len());
        if life + 1 == lives / 4 {
            quiet(pid);
            first = Some((memory(pid), descriptors(pid), threads(pid)));
        }
    }
    let took = start.elapsed();
    assert_eq!(before, lives as u64, "each life is an incarnation");
    quiet(pid);
    let (first, last) = (
        first.unwrap(),
        (memory(pid), descriptors(pid), threads(pid)),
    );
    assert!(!sidecar.has_ended());
    // A few pages more or less depend on the depth of the stack.
    assert!(
        last.0 <= first.0 + 64,
        "{} KiB of memory after a quarter, {} KiB at the end",
        first.0,
        last.0
    );
    assert_eq!(
        (first.1, first.2),
        (last.1, last.2),
        "descriptors and threads"
    );
    // For each member a lock, a record, its spare files, and the file that is being written.
    assert!(most <= 10, "{most} files");
    // The CMDs have ended, too. The last life succeeds, which ends the observer.
    main(&[], &["true"]).run().code(0);
    let done = sidecar.finish();
    done.code(0);
    println!(
        "{lives} lives in {took:?} ({ends:?}): memory {} KiB and then {} KiB, {} descriptors, \
         {} threads, at most {most} files, at last {:?}",
        first.0,
        last.0,
        last.1,
        last.2,
        names()
    );
}
