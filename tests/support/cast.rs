//! The containers that the tests of `run` and `join` use, and what their programs do.

use super::kubelet::{RestartPolicy, Rules};
use super::pod::{Container, IMAGE, Life, Pod, VOLUME};
use std::fs;
use std::time::Duration;

pub const NEVER: RestartPolicy = RestartPolicy::Never;

/// Starts a pod with a short back-off.
pub fn rules(policy: RestartPolicy) -> Rules {
    Rules {
        back_off: Duration::from_millis(50),
        ..policy.into()
    }
}

/// A container whose entrypoint is `podgate run --name NAME OPTIONS -- sh -c SCRIPT`. Options must
/// not contain spaces.
pub fn run(name: &str, options: &str, script: &str) -> Container {
    let words = ["run", "--name", name]
        .into_iter()
        .chain(options.split_ascii_whitespace());
    Container::podgate(name, words.chain(["--", "sh", "-c", script]))
}

/// A server: prints `up`, runs until SIGTERM, prints `told`, and exits with this code.
pub fn server(code: i32) -> String {
    format!("trap 'echo told; exit {code}' TERM; echo up; sleep 100 & wait")
}

/// The same with a slow shutdown, after which it prints `ended`.
pub fn slow_server(code: i32, seconds: f32) -> String {
    format!(
        "trap 'echo told; sleep {seconds}; echo ended; exit {code}' TERM; \
         echo up; sleep 100 & wait; wait"
    )
}

/// A server that ignores SIGTERM.
pub fn stubborn_server() -> String {
    "trap 'echo told' TERM; echo up; while :; do sleep 100 & wait; done".to_owned()
}

/// A job that works until the test lets it end ([`let_end`]), and exits with this code.
pub fn job(name: &str, code: i32) -> String {
    format!("echo up; until test -e {VOLUME}/go-{name}; do sleep 0.02; done; exit {code}")
}

/// A job that exits with one of these codes in each of its lives, and with the last one in all
/// later lives.
pub fn job_in_lives(name: &str, codes: &[i32]) -> String {
    let cases: String = codes
        .iter()
        .enumerate()
        .map(|(life, code)| format!("{}) exit {code};; ", life + 1))
        .collect();
    let last = codes.last().unwrap();
    format!(
        "echo life >>{VOLUME}/lives-{name}; \
         case $(wc -l <{VOLUME}/lives-{name}) in {cases} *) exit {last};; esac"
    )
}

pub fn let_end(pod: &Pod, name: &str) {
    fs::write(pod.volume().join(format!("go-{name}")), "").unwrap();
}

/// A member's record on the volume; empty if there is none.
pub fn record(pod: &Pod, name: &str) -> String {
    fs::read_to_string(pod.volume().join(format!("{name}.record"))).unwrap_or_default()
}

/// A line of a record.
pub fn line(pod: &Pod, name: &str, key: &str) -> Option<String> {
    let record = record(pod, name);
    record.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(": ")
            .map(str::to_owned)
    })
}

/// Had the first member ended when the command of the other member got its stop signal? The
/// records' own times count, because the test may read the logs late.
#[track_caller]
pub fn goes_before(pod: &Pod, first: &str, then: &str) {
    let moments = (
        line(pod, first, "exited").unwrap(),
        line(pod, then, "stopping").unwrap(),
    );
    assert!(
        moments.0 <= moments.1,
        "{first} ended and {then} was stopped at {moments:?}"
    );
}

/// Waits until a member is in this state.
#[track_caller]
pub fn comes(pod: &Pod, name: &str, state: &str) {
    let is_there = || (line(pod, name, "state").as_deref() == Some(state)).then_some(());
    super::eventually_or(&format!("{name} to be {state}"), is_there, || {
        record(pod, name)
    });
}

/// A container that does nothing. The tests execute podgate in it.
pub fn onlooker(name: &str) -> Container {
    Container::new(name, ["sleep", "100"])
}

/// Runs podgate in a container.
#[track_caller]
pub fn podgate_in(life: &Life, arguments: &str) -> super::Done {
    life.exec(
        [IMAGE]
            .into_iter()
            .chain(arguments.split_ascii_whitespace()),
    )
}
