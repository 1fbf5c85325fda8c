//! Shows the whole life of a Job's pod on this machine. `make demo` runs it.
//!
//! Scene 1: a sidecar becomes ready slowly and would run without end. A job waits for it, works,
//! and ends; the sidecar ends with the job. Scene 2: the job is killed with SIGKILL, as by the OOM
//! killer, so it can run no code at its end. The sidecar still ends.
//!
//! The processes are real: `podgate run` runs twice, each around this program as the sidecar or the
//! job. They share a directory, as containers share a volume. The timeline is made only from the
//! records that they leave there.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demo prints")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the demo computes with a few small numbers"
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
/// The width of the chart in characters.
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
                return Err("a container does not end, although podgate promises it".into());
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
    println!("Scene 1: a job, and a sidecar that becomes ready slowly and would run without end\n");
    scene(End::ByItself)?;
    println!("\nScene 2: the same, but the job is killed with SIGKILL, as by the OOM killer\n");
    scene(End::Killed)
}

/// How the job ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    ByItself,
    Killed,
}

fn scene(end: End) -> Result<()> {
    let volume = Volume::new()?;
    let (mut proxy, mut job) = start(&volume)?;
    let killed = match end {
        End::ByItself => None,
        End::Killed => Some(kill(&mut job, &volume)?),
    };
    let (job_status, proxy_status) = (job.wait()?, proxy.wait()?);
    let moments = Moments::read(&volume, killed)?;
    moments.print(end, job_status, proxy_status);
    moments.draw(end);
    moments.check()?;
    let codes = (job_status.code(), proxy_status.code());
    let expected = match end {
        End::ByItself => (Some(0), Some(0)),
        End::Killed => (None, Some(137)),
    };
    if codes != expected {
        return Err(format!("wrong exit codes: {codes:?}").into());
    }
    let conclusion = match end {
        End::ByItself => "Both exit 0, so the Job completes.",
        End::Killed => {
            "The proxy exits with the job's 137, so the pod's restartPolicy decides about both."
        }
    };
    println!(
        "From the job's end to the proxy's stop signal: {} ms. {conclusion}",
        moments.stopping - moments.job_end
    );
    Ok(())
}

/// Starts the proxy and the job, each with its own `podgate run`.
fn start(volume: &Volume) -> Result<(Process, Process)> {
    let me = env::current_exe()?;
    let podgate = podgate_binary(&me)?;
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
    let proxy = run(&["--name", "proxy", "--until", "job", "--ready", &url])
        .args(["sh", "-c", &drain])
        .arg(&me)
        .spawn()?;
    let proxy = Process(proxy);
    println!("$ podgate run --name job --after ready:proxy -- job");
    let job = run(&["--name", "job", "--after", "ready:proxy"])
        .arg(&me)
        .arg("job")
        .spawn()?;
    Ok((proxy, Process(job)))
}

/// Kills the job while it works. Returns when, in milliseconds since midnight.
fn kill(job: &mut Process, volume: &Volume) -> Result<u64> {
    let start = Instant::now();
    while volume.time("job", "running").is_none() {
        if start.elapsed() > LIMIT {
            return Err("the job was not started".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(WORK / 2);
    let killed = today()?;
    job.0.kill()?;
    let id = job.0.id();
    println!("$ kill -KILL {id}   # the job's podgate, and with it the job");
    Ok(killed)
}

/// When things happened, from the members' records. In milliseconds since a second before the job
/// began, because the proxy may begin earlier than the job.
struct Moments {
    begin: u64,
    proxy_runs: u64,
    proxy_ready: u64,
    job_waits: u64,
    job_runs: u64,
    job_end: u64,
    stopping: u64,
    last: u64,
}

impl Moments {
    /// `killed` is the time of the job's death, which is not in its record.
    fn read(volume: &Volume, killed: Option<u64>) -> Result<Self> {
        let zero = volume
            .time("job", "waiting")
            .ok_or("the job's record has no beginning")?;
        // Wraps at midnight.
        let since = |time: u64| (time + DAY + 1000 - zero) % DAY;
        let get = |member: &str, key: &str| {
            volume
                .time(member, key)
                .map(since)
                .ok_or(format!("{member}'s record has no {key}"))
        };
        let job_waits = get("job", "waiting")?;
        Ok(Self {
            begin: get("proxy", "waiting")?.min(job_waits),
            proxy_runs: get("proxy", "running")?,
            proxy_ready: get("proxy", "ready")?,
            job_waits,
            job_runs: get("job", "running")?,
            job_end: match killed {
                Some(time) => since(time),
                None => get("job", "exited")?,
            },
            stopping: get("proxy", "stopping")?,
            last: get("proxy", "exited")?,
        })
    }

    /// Prints the moments in their order.
    fn print(&self, end: End, job: ExitStatus, proxy: ExitStatus) {
        let job_end = match end {
            End::ByItself => format!("job ends: {}", shown(job)),
            End::Killed => "job is killed".to_owned(),
        };
        let mut moments = [
            (self.proxy_runs, "proxy runs".to_owned()),
            (self.job_waits, "job waits for ready:proxy".to_owned()),
            (self.proxy_ready, "proxy is ready".to_owned()),
            (self.job_runs, "job runs".to_owned()),
            (self.job_end, job_end),
            (self.stopping, "proxy gets its stop signal".to_owned()),
            (self.last, format!("proxy ends: {}", shown(proxy))),
        ];
        moments.sort_by_key(|(time, _)| *time);
        println!();
        for (time, event) in &moments {
            println!("{:>6} ms  {event}", time - self.begin);
        }
        println!();
    }

    /// Draws a row for each member.
    fn draw(&self, end: End) {
        let mark = match end {
            End::ByItself => '#',
            End::Killed => 'X',
        };
        let proxy = [
            (self.proxy_runs, self.proxy_ready, '.'),
            (self.proxy_ready, self.stopping, '#'),
            (self.stopping, self.last, '~'),
        ];
        let job = [
            (self.job_waits, self.job_runs, '-'),
            (self.job_runs, self.job_end, '#'),
            (self.job_end, self.job_end, mark),
        ];
        for (name, parts) in [("proxy", proxy), ("job", job)] {
            let mut bar = vec![' '; usize::try_from(WIDTH).unwrap_or(0) + 1];
            for (from, to, letter) in parts {
                bar[self.column(from)..=self.column(to)].fill(letter);
            }
            println!("{name:>7} |{}|", bar.into_iter().collect::<String>());
        }
        println!(
            "{:>7}  - waiting   . running   # ready   ~ stopping   X killed\n",
            ""
        );
    }

    fn column(&self, time: u64) -> usize {
        let length = (self.last - self.begin).max(1);
        usize::try_from((time - self.begin) * WIDTH / length).unwrap_or(0)
    }

    /// The order that podgate promises.
    fn check(&self) -> Result<()> {
        if self.job_runs < self.proxy_ready {
            return Err("the job ran before its proxy was ready".into());
        }
        if self.stopping < self.job_end {
            return Err("the proxy was stopped before the job had ended".into());
        }
        Ok(())
    }
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
