//! Shows the whole life of a Job's pod on this machine. `make demo` runs it.
//!
//! Scene 1: a sidecar becomes ready slowly and would run without end. A job waits for it, works,
//! and ends; the sidecar ends with the job. Scene 2: the job is killed with SIGKILL, as the OOM
//! killer does it, so it can run no code at its end. The sidecar ends all the same.
//!
//! The processes are real: `podgate run` runs twice, each around this program as the sidecar or the
//! job. They share a directory, as containers share a volume. The timeline is drawn only from the
//! records that they leave there.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a demo shows something"
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the demo computes with a few small numbers of its own"
)]

use std::env;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time until the sidecar is ready.
const SLOW: Duration = Duration::from_millis(1200);
/// The time that the job works.
const WORK: Duration = Duration::from_millis(1500);
/// The time that the sidecar takes to end after its stop signal.
const DRAIN: Duration = Duration::from_millis(200);
/// The time limit of a scene.
const LIMIT: Duration = Duration::from_secs(20);
/// A day in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;
/// The width of the chart in letters.
const WIDTH: u64 = 64;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mode = env::args().nth(1);
    let done = match mode.as_deref() {
        Some("sidecar") => sidecar(),
        Some("job") => {
            thread::sleep(WORK);
            Ok(())
        }
        _ => demo(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Behaves like a proxy: answers 503 until it is ready and 200 afterwards, and runs without end.
fn sidecar() -> Result<()> {
    // The demo chose a free port. If another program has taken it meanwhile, the demo fails.
    let listener = TcpListener::bind(env::args().nth(2).ok_or("no address")?)?;
    let ready = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&ready);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let status = if answers.load(Ordering::SeqCst) {
                "200 OK"
            } else {
                "503 Not Yet"
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    // std has no signal handlers. The shell around this process traps SIGTERM, waits for DRAIN, and
    // kills this process.
    thread::sleep(SLOW);
    ready.store(true, Ordering::SeqCst);
    loop {
        thread::park();
    }
}

/// A process that is killed when the demo ends.
struct Process(Child);

impl Process {
    fn wait(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > LIMIT {
                return Err("a container does not end: podgate has failed its promise".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn podgate_binary(me: &Path) -> Result<PathBuf> {
    // This program is target/…/release/examples/demo; podgate is target/…/release/podgate.
    let beside = me
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join("podgate"));
    beside
        .filter(|path| path.exists())
        .ok_or_else(|| "podgate is not built; run `make demo`".into())
}

/// A directory in place of the pod's volume. It is removed at the end.
struct Volume(PathBuf);

impl Volume {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("podgate-demo-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// The value of a key in a member's record.
    fn get(&self, member: &str, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.0.join(format!("{member}.record"))).ok()?;
        let value = |line: &str| {
            line.strip_prefix(key)?
                .strip_prefix(": ")
                .map(str::to_owned)
        };
        text.lines().find_map(value)
    }

    /// A time in a member's record, in milliseconds since midnight.
    fn time(&self, member: &str, key: &str) -> Option<u64> {
        let text = self.get(member, key)?;
        let (_, time) = text.split_once('T')?;
        let number = |from: usize, to: usize| time.get(from..to)?.parse::<u64>().ok();
        Some(((number(0, 2)? * 60 + number(3, 5)?) * 60 + number(6, 8)?) * 1000 + number(9, 12)?)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn demo() -> Result<()> {
    println!("Scene 1: a job, and a sidecar that is slow to be ready and would run for ever\n");
    scene(End::ByItself)?;
    println!(
        "\nScene 2: the same, but the job is killed with SIGKILL, as the OOM killer does it\n"
    );
    scene(End::Killed)
}

/// How the job ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    ByItself,
    Killed,
}

fn scene(end: End) -> Result<()> {
    let me = env::current_exe()?;
    let podgate = podgate_binary(&me)?;
    let volume = Volume::new()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let run = |words: &[&str]| {
        let mut command = Command::new(&podgate);
        command
            .arg("run")
            .args(words)
            .arg("--quiet")
            .arg("--dir")
            .arg(&volume.0)
            .arg("--allow-plain-dir")
            .arg("--");
        command
    };
    let url = format!("http://{address}/ready");
    println!("$ podgate run --name proxy --until job --ready {url} -- proxy");
    let drain = format!(
        "\"$0\" sidecar {address} & trap 'sleep {}; kill $!; exit 0' TERM; wait",
        DRAIN.as_secs_f64()
    );
    let mut proxy = Process(
        run(&["--name", "proxy", "--until", "job", "--ready", &url])
            .args(["sh", "-c", &drain])
            .arg(&me)
            .spawn()?,
    );
    println!("$ podgate run --name job --after ready:proxy -- job");
    let mut job = Process(
        run(&["--name", "job", "--after", "ready:proxy"])
            .arg(&me)
            .arg("job")
            .spawn()?,
    );

    let mut killed = None;
    if end == End::Killed {
        let start = Instant::now();
        while volume.time("job", "running").is_none() {
            if start.elapsed() > LIMIT {
                return Err("the job was not started".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(WORK / 2);
        killed = Some(today()?);
        job.0.kill()?;
        println!(
            "$ kill -KILL {}   # the job's podgate, and with it the job",
            job.0.id()
        );
    }
    let status = job.wait()?;
    let proxy_status = proxy.wait()?;

    let zero = volume
        .time("job", "waiting")
        .ok_or("the job's record has no beginning")?;
    // Counts from a second before the job, because the proxy may begin earlier. Wraps at midnight.
    let since = |time: u64| (time + DAY + 1000 - zero) % DAY;
    let get = |member: &str, key: &str| {
        volume
            .time(member, key)
            .map(since)
            .ok_or(format!("{member}'s record has no {key}"))
    };
    let begin = get("proxy", "waiting")?.min(get("job", "waiting")?);
    let job_end = match killed {
        Some(time) => since(time),
        None => get("job", "exited")?,
    };
    let stopping = get("proxy", "stopping")?;
    let last = get("proxy", "exited")?;
    println!();
    let mut moments = vec![
        (get("proxy", "running")?, "proxy runs".to_owned()),
        (
            get("job", "waiting")?,
            "job waits for ready:proxy".to_owned(),
        ),
        (get("proxy", "ready")?, "proxy is ready".to_owned()),
        (get("job", "running")?, "job runs".to_owned()),
        (
            job_end,
            if killed.is_some() {
                "job is killed".to_owned()
            } else {
                format!("job ends: {}", shown(status))
            },
        ),
        (stopping, "proxy is told to stop".to_owned()),
        (last, format!("proxy ends: {}", shown(proxy_status))),
    ];
    moments.sort_by_key(|(time, _)| *time);
    for (time, event) in &moments {
        println!("{:>6} ms  {event}", time - begin);
    }
    println!();
    let column =
        |time: u64| usize::try_from((time - begin) * WIDTH / (last - begin).max(1)).unwrap_or(0);
    let row = |name: &str, parts: &[(u64, u64, char)]| {
        let mut bar = vec![' '; usize::try_from(WIDTH).unwrap_or(0) + 1];
        for (from, to, letter) in parts {
            bar[column(*from)..=column(*to)].fill(*letter);
        }
        println!("{name:>7} |{}|", bar.into_iter().collect::<String>());
    };
    let (proxy_runs, proxy_ready) = (get("proxy", "running")?, get("proxy", "ready")?);
    let (job_waits, job_runs) = (get("job", "waiting")?, get("job", "running")?);
    row(
        "proxy",
        &[
            (proxy_runs, proxy_ready, '.'),
            (proxy_ready, stopping, '#'),
            (stopping, last, '~'),
        ],
    );
    let mark = if killed.is_some() { 'X' } else { '#' };
    row(
        "job",
        &[
            (job_waits, job_runs, '-'),
            (job_runs, job_end, '#'),
            (job_end, job_end, mark),
        ],
    );
    println!(
        "{:>7}  - waiting   . running   # ready   ~ stopping   X killed\n",
        ""
    );

    if job_runs < proxy_ready {
        return Err("the job ran before its proxy was ready".into());
    }
    if stopping < job_end {
        return Err("the proxy was stopped before the job had ended".into());
    }
    let codes = (status.code(), proxy_status.code());
    let expected = if killed.is_some() {
        (None, Some(137))
    } else {
        (Some(0), Some(0))
    };
    if codes != expected {
        return Err(format!("wrong exit codes: {codes:?}").into());
    }
    println!(
        "From the job's end to the proxy's stop signal: {} ms. {}",
        stopping - job_end,
        match end {
            End::ByItself => "Both exit 0, so the Job completes.",
            End::Killed =>
                "The proxy exits with the job's 137, so the pod's restartPolicy decides \
                 about both.",
        }
    );
    Ok(())
}

fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// The current time in milliseconds since midnight (UTC), as in records.
fn today() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() % u128::from(DAY);
    Ok(u64::try_from(now)?)
}
