//! The main job of podgate, on this machine: a sidecar that is slow to be ready, a gate, and an app. `make demo` runs it.
//!
//! Three real processes: this program as the sidecar (an HTTP server that answers 503 until it is ready), `podgate wait`, and this
//! program as the app, which podgate becomes. Each says when it began, on the clock that they share; the timeline is made from that.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demo shows something")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "of a few numbers of its own")]

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the sidecar takes to be ready.
const SLOW: Duration = Duration::from_millis(2300);
/// The width of the chart.
const WIDTH: usize = 60;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mode = env::args().nth(1);
    let done = match mode.as_deref() {
        Some("sidecar") => sidecar(),
        Some("app") => app(),
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

/// Microseconds on the clock that all processes share.
fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

/// Tells the demo of an event, on stdout.
fn tell(event: &str) -> Result<()> {
    println!("{event} {}", now()?);
    Ok(std::io::stdout().flush()?)
}

/// Answers 503 until it is ready, and 200 from then on; ends with the demo, which closes its stdin.
fn sidecar() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("port {}", listener.local_addr()?.port());
    tell("started")?;
    let ready = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let answers = std::sync::Arc::clone(&ready);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let status = if answers.load(std::sync::atomic::Ordering::SeqCst) { "200 OK" } else { "503 Not Yet" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    std::thread::sleep(SLOW);
    ready.store(true, std::sync::atomic::Ordering::SeqCst);
    tell("ready")?;
    // Until the demo is over, which closes our stdin.
    let _ = std::io::stdin().read(&mut [0])?;
    Ok(())
}

/// Begins, and works for a moment.
fn app() -> Result<()> {
    tell("started")?;
    std::thread::sleep(Duration::from_millis(300));
    tell("ended")
}

/// The demo's own processes do not outlive it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the next `event number` line.
fn hear(lines: &mut impl BufRead, event: &str) -> Result<u64> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let number = line.trim().strip_prefix(event).ok_or_else(|| format!("expected {event:?}, heard {line:?}"))?;
    Ok(number.trim().parse()?)
}

fn podgate_binary(me: &Path) -> Result<PathBuf> {
    // target/…/release/examples/demo stands below target/…/release/podgate.
    let beside = me.parent().and_then(Path::parent).map(|folder| folder.join("podgate"));
    beside.filter(|path| path.exists()).ok_or_else(|| "podgate is not built; say make demo".into())
}

fn demo() -> Result<()> {
    let me = env::current_exe()?;
    let podgate = podgate_binary(&me)?;
    let mut sidecar = Process(Command::new(&me).arg("sidecar").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut from_sidecar = BufReader::new(sidecar.0.stdout.take().ok_or("the sidecar has no output")?);
    let port = hear(&mut from_sidecar, "port")?;
    let sidecar_started = hear(&mut from_sidecar, "started")?;

    println!("A sidecar that takes {} ms to be ready, and an app that must not start before:\n", SLOW.as_millis());
    println!("$ podgate wait http://127.0.0.1:{port}/ready -- app");
    let gate_started = now()?;
    let mut gate = Process(
        Command::new(podgate)
            .args(["wait", &format!("http://127.0.0.1:{port}/ready"), "--"])
            .arg(&me)
            .arg("app")
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut from_app = BufReader::new(gate.0.stdout.take().ok_or("the app has no output")?);
    let ready = hear(&mut from_sidecar, "ready")?;
    let app_started = hear(&mut from_app, "started")?;
    let app_ended = hear(&mut from_app, "ended")?;
    let status = gate.0.wait()?;

    let since = |time: u64| time.saturating_sub(sidecar_started);
    println!();
    for (time, event) in [
        (sidecar_started, "sidecar started"),
        (gate_started, "gate started: podgate wait"),
        (ready, "sidecar ready"),
        (app_started, "app started (the same process: podgate became it)"),
        (app_ended, "app ended"),
    ] {
        println!("{:>7.1} ms  {event}", since(time) as f64 / 1000.0);
    }
    let end = since(app_ended).max(1);
    let column = |time: u64| usize::try_from(since(time) * WIDTH as u64 / end).unwrap_or(WIDTH);
    let row = |name: &str, parts: &[(u64, u64, char)]| {
        let mut bar = vec![' '; WIDTH + 1];
        for (from, to, letter) in parts {
            bar[column(*from)..=column(*to)].fill(*letter);
        }
        println!("{name:>9} |{}|", bar.into_iter().collect::<String>());
    };
    println!();
    row("sidecar", &[(sidecar_started, ready, '.'), (ready, app_ended, '#')]);
    row("app", &[(gate_started, app_started, '-'), (app_started, app_ended, '#')]);
    println!("{:>9}  . starting   - held by the gate   # ready, running\n", "");

    if app_started < ready {
        return Err("the app started before its sidecar was ready".into());
    }
    if !status.success() {
        return Err(format!("the app did not end well: {status}").into());
    }
    let gap = (app_started - ready) as f64 / 1000.0;
    let wait = (ready - gate_started) as f64 / 1000.0;
    println!(
        "The gap from ready to the app's start: {gap:.1} ms, {:.1} % of the {wait:.0} ms that it waited.\n\
         A loop with `sleep 1` adds up to 1000 ms, one with `sleep 5` up to 5000 ms.",
        100.0 * gap / wait
    );
    Ok(())
}
