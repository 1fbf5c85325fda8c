//! `run` in a shell behaves as the plain command would: Ctrl-Z, `fg`, `bg`, and who may use the
//! terminal (P2.6). The tests use real terminals, and run each case with the plain command, too.

use crate::support::terminal::{Terminal, terminals};
use crate::support::{
    AS_PID_1, Folder, PODGATE, eventually, eventually_or, inside, namespaces, needs, podgate,
    program,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::thread;
use std::time::Duration;

/// Ctrl-C and Ctrl-Z.
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

/// Prints its pid, and sleeps.
const SLEEPS: &str = "echo \"pid is $$.\"; exec sleep 100";

/// The start of a command line: nothing for the plain command.
fn prefixes() -> [String; 3] {
    [
        String::new(),
        format!("{PODGATE} run -- "),
        format!("{PODGATE} run --signal-group -- "),
    ]
}

/// The shells that the tests use.
fn shells() -> Vec<&'static str> {
    let has = |name: &&str| needs(name, program(name, &[]).is_some());
    ["bash", "dash"].into_iter().filter(has).collect()
}

/// An interactive shell on its own terminal.
struct Shell {
    terminal: Terminal,
    marks: u32,
}

impl Shell {
    fn start(shell: &str) -> Self {
        let options = if shell == "bash" { "--norc -i" } else { "-i" };
        let mut it = Self {
            terminal: Terminal::start(&format!("exec {shell} {options}")),
            marks: 0,
        };
        it.has_prompt();
        it
    }

    /// Types a command, and waits until this text has arrived.
    fn runs(&mut self, command: &str, text: &str) -> String {
        self.terminal.types(&format!("{command}\n"));
        self.terminal.shows(text)
    }

    /// Waits until the shell takes commands again.
    fn has_prompt(&mut self) {
        self.marks += 1;
        // The terminal echoes the command, which does not contain its output.
        let number = 4000 + self.marks;
        self.runs(
            &format!("echo mark-$(({number}+1000))"),
            &format!("mark-{}\r\n", number + 1000),
        );
    }

    /// Starts a program that prints its pid.
    fn starts(&mut self, command: &str) -> Pid {
        self.terminal.types(&format!("{command}\n"));
        pid_in(&self.terminal.shows(".\r\n"))
    }

    /// Types Ctrl-Z, and waits until the shell takes commands again.
    fn suspends(&mut self) {
        self.terminal.types(CTRL_Z);
        self.terminal.shows("Stopped");
        self.has_prompt();
    }

    /// The exit code of the last command.
    fn last_code(&mut self, code: i32) {
        self.runs("echo code-$?.", &format!("code-{code}.\r\n"));
    }
}

/// The pid in `pid is 42.`.
fn pid_in(text: &str) -> Pid {
    let (_, after) = text.rsplit_once("pid is ").unwrap();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    Pid::from_raw(digits.parse().unwrap())
}

/// The state of a process and its parent (proc(5)).
fn stat(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.next()?.parse().ok()?)))
}

fn has_ended(pid: Pid) -> bool {
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// Waits until this process, and its podgate if it has one, are in this state.
fn both(pid: Pid, state: char) {
    let parent = stat(pid).unwrap().1;
    let exe = fs::read_link(format!("/proc/{parent}/exe")).unwrap();
    let is_wrapped = exe.ends_with("podgate");
    for pid in [Some(pid), is_wrapped.then_some(parent)]
        .into_iter()
        .flatten()
    {
        eventually_or(
            "the state of a process",
            || (stat(pid)?.0 == state).then_some(()),
            || format!("{pid} {:?} is not {state}", stat(pid)),
        );
    }
}

#[test]
fn ctrl_z_brings_the_prompt_back_and_the_command_goes_on_with_fg_and_bg() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let app = folder.script("app", SLEEPS);
    for shell in shells() {
        for prefix in prefixes() {
            let mut shell = Shell::start(shell);
            let pid = shell.starts(&format!("{prefix}{app}"));
            both(pid, 'S');
            shell.suspends();
            both(pid, 'T');
            shell.terminal.types("fg\n");
            both(pid, 'S');
            // It has the terminal again.
            shell.suspends();
            both(pid, 'T');
            shell.terminal.types("bg\n");
            both(pid, 'S');
            shell.has_prompt();
            shell.terminal.types("fg\n");
            thread::sleep(Duration::from_millis(100));
            shell.terminal.types(CTRL_C);
            shell.has_prompt();
            eventually("its end", || has_ended(pid).then_some(()));
        }
    }
}

#[test]
fn a_stopped_job_ends_when_the_shell_kills_it() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let app = folder.script("app", SLEEPS);
    for prefix in prefixes() {
        let mut shell = Shell::start("bash");
        let pid = shell.starts(&format!("{prefix}{app}"));
        shell.suspends();
        shell.terminal.types("kill %1\n");
        eventually_or(
            "its end",
            || has_ended(pid).then_some(()),
            || format!("{prefix} {:?}", stat(pid)),
        );
    }
}

#[test]
fn all_processes_of_the_command_stop_and_go_on() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let inner = folder.script("inner", SLEEPS);
    let app = folder.script("app", &format!("{inner}; exit 7"));
    for prefix in prefixes() {
        let mut shell = Shell::start("bash");
        let pid = shell.starts(&format!("{prefix}{app}"));
        let outer = stat(pid).unwrap().1;
        shell.suspends();
        both(outer, 'T');
        both(pid, 'T');
        shell.terminal.types("fg\n");
        both(outer, 'S');
        both(pid, 'S');
        kill(pid, Signal::SIGKILL).unwrap();
        shell.has_prompt();
    }
}

#[test]
fn a_command_whose_input_is_a_pipe_can_use_the_terminal() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    // As a pager does.
    let pager = folder.script(
        "pager",
        "cat; stty -echo </dev/tty; echo ready.; read line </dev/tty; echo \"line-is-$line\"; \
         stty echo </dev/tty",
    );
    for shell in shells() {
        for prefix in prefixes() {
            let mut shell = Shell::start(shell);
            shell.runs(&format!("echo text | {prefix}{pager}"), "ready.\r\n");
            shell.runs("hello", "line-is-hello");
            shell.has_prompt();
            // Ctrl-Z there, too.
            shell.runs(&format!("echo text | {prefix}{pager}"), "ready.\r\n");
            shell.suspends();
            shell.terminal.types("fg\n");
            thread::sleep(Duration::from_millis(200));
            shell.runs("more", "line-is-more");
            shell.has_prompt();
        }
    }
}

#[test]
fn a_command_substitution_can_use_the_terminal() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let asks = folder.script(
        "asks",
        "echo ready. >&2; read line </dev/tty; echo \"is-$line\"",
    );
    for shell in shells() {
        for prefix in prefixes() {
            for before in ["", "echo text | "] {
                let mut shell = Shell::start(shell);
                shell.runs(&format!("x=$({before}{prefix}{asks})"), "ready.\r\n");
                shell.terminal.types("hello\n");
                shell.runs("echo line-$x", "line-is-hello");
                shell.has_prompt();
            }
        }
    }
}

#[test]
fn a_command_behind_it_in_a_pipeline_can_use_the_terminal() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let pager = folder.script(
        "pager",
        "read first; stty -echo </dev/tty; echo ready.; read line </dev/tty; \
         echo \"$first-line-is-$line\"; stty echo </dev/tty",
    );
    let producer = folder.script("producer", "echo text; sleep 0.5");
    // This one uses the terminal before the pager does.
    let asks = folder.script(
        "asks",
        "read line </dev/tty; echo $line; sleep 0.3; echo more",
    );
    for shell in shells() {
        for prefix in prefixes() {
            let mut shell = Shell::start(shell);
            shell.runs(&format!("{prefix}{producer} | {pager}"), "ready.\r\n");
            shell.runs("hello", "text-line-is-hello");
            shell.has_prompt();
        }
    }
    for prefix in prefixes() {
        let mut shell = Shell::start("bash");
        shell.terminal.types(&format!("{prefix}{asks} | {pager}\n"));
        thread::sleep(Duration::from_millis(300));
        shell.runs("first", "ready.\r\n");
        shell.runs("hello", "first-line-is-hello");
        shell.has_prompt();
    }
}

#[test]
fn a_background_command_that_reads_the_terminal_stops_until_fg() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let reads = folder.script(
        "reads",
        "echo \"pid is $$.\"; read line; echo \"line-is-$line\"",
    );
    for shell in shells() {
        for prefix in prefixes() {
            let mut shell = Shell::start(shell);
            let pid = shell.starts(&format!("{prefix}{reads} &"));
            both(pid, 'T');
            shell.has_prompt();
            shell.terminal.types("fg\n");
            both(pid, 'S');
            shell.runs("hello", "line-is-hello");
            shell.has_prompt();
        }
    }
}

#[test]
fn with_stty_tostop_a_background_command_that_writes_stops_until_fg() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let file = folder.text("pid");
    let writes = folder.script("writes", &format!("echo $$ >{file}; echo out-$((1+1))"));
    for shell in shells() {
        for prefix in prefixes() {
            let _ = fs::remove_file(&file);
            let mut shell = Shell::start(shell);
            shell.terminal.types("stty tostop\n");
            shell.has_prompt();
            shell.terminal.types(&format!("{prefix}{writes} &\n"));
            let pid = eventually("the pid", || {
                fs::read_to_string(&file).ok()?.trim().parse().ok()
            });
            both(Pid::from_raw(pid), 'T');
            shell.runs("fg", "out-2");
            shell.has_prompt();
        }
    }
}

#[test]
fn a_script_that_calls_it_stops_and_goes_on_with_it() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let app = folder.script("app", SLEEPS);
    for shell in shells() {
        for (index, prefix) in prefixes().iter().enumerate() {
            let name = format!("calls{index}");
            let script = folder.script(&name, &format!("{prefix}{app}; echo \"code is $?\""));
            let mut shell = Shell::start(shell);
            let pid = shell.starts(&script);
            shell.suspends();
            both(pid, 'T');
            shell.terminal.types("fg\n");
            both(pid, 'S');
            kill(pid, Signal::SIGKILL).unwrap();
            shell.terminal.shows("code is 137");
            shell.has_prompt();
        }
    }
}

#[test]
fn a_command_that_stops_itself_stops_the_job() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    // An editor stops its process group by SIGTSTP or SIGSTOP when it reads Ctrl-Z.
    for signal in ["TSTP", "STOP"] {
        let editor = folder.script(
            signal,
            &format!(
                "trap 'kill -{signal} 0; echo again.' USR1; echo \"pid is $$.\"; \
                 while :; do sleep 0.02; done"
            ),
        );
        for prefix in prefixes() {
            let mut shell = Shell::start("bash");
            let pid = shell.starts(&format!("{prefix}{editor}"));
            kill(pid, Signal::SIGUSR1).unwrap();
            shell.terminal.shows("Stopped");
            shell.has_prompt();
            both(pid, 'T');
            shell.runs("fg", "again.");
            shell.terminal.types(CTRL_C);
            shell.has_prompt();
        }
    }
}

#[test]
fn without_a_shell_that_could_go_on_ctrl_z_does_nothing() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let app = folder.script("app", "echo up; sleep 1; exit 3");
    for prefix in prefixes() {
        let mut terminal = Terminal::start(&format!("exec {prefix}{app}"));
        terminal.shows("up");
        thread::sleep(Duration::from_millis(300));
        terminal.types(CTRL_Z);
        assert_eq!(terminal.code(), Some(3), "{prefix}");
    }
}

#[test]
fn ctrl_z_stops_a_gate_too_and_what_comes_after_wait_is_the_plain_command() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let app = folder.script("app", SLEEPS);
    let opens = folder.text("opens");
    for call in [
        format!("run --after file://{opens} --"),
        format!("wait file://{opens} --"),
    ] {
        let _ = fs::remove_file(&opens);
        let mut shell = Shell::start("bash");
        shell.runs(&format!("{PODGATE} {call} {app}"), "waiting for");
        shell.suspends();
        fs::write(&opens, "").unwrap();
        shell.terminal.types("fg\n");
        let pid = pid_in(&shell.terminal.shows(".\r\n"));
        shell.suspends();
        both(pid, 'T');
        shell.terminal.types("fg\n");
        both(pid, 'S');
        shell.terminal.types(CTRL_C);
        shell.last_code(130);
    }
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    if !terminals() {
        return;
    }
    let folder = Folder::new();
    let counts = folder.script(
        "counts",
        "trap 'echo interrupted >&2' INT; trap 'exit 5' USR1; echo \"pid is $$.\" >&2; \
         while :; do sleep 0.02; done",
    );
    let ignores = folder.script("ignores", "trap '' INT; cat");
    // Behind a pipe podgate has the terminal, and forwards the signal.
    for behind in [String::new(), format!(" | {ignores}")] {
        let mut shell = Shell::start("bash");
        let pid = shell.starts(&format!("{PODGATE} run -- {counts}{behind}"));
        for _ in 0..3 {
            shell.terminal.types(CTRL_C);
            shell.terminal.shows("interrupted");
        }
        thread::sleep(Duration::from_millis(200));
        kill(pid, Signal::SIGUSR1).unwrap();
        let rest = shell.runs("echo code-$?.", "code-");
        assert!(!rest.contains("interrupted"), "{rest}");
    }
}

#[test]
fn ctrl_z_stops_the_quits_after_the_command_too() {
    if !terminals() {
        return;
    }
    // It accepts connections and does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let options = format!("-v --restart-policy never --quit-timeout 3s --quit {url}");
    let mut shell = Shell::start("bash");
    let call = format!("{PODGATE} run {options} -- true");
    shell.runs(&call, "asking ");
    thread::sleep(Duration::from_millis(200));
    shell.suspends();
    shell.terminal.types("fg\n");
    thread::sleep(Duration::from_millis(200));
    shell.last_code(0);
}

/// The first child of a process that runs `sleep`.
fn sleep_of(podgate: Pid) -> Pid {
    eventually("sleep", || {
        let list = fs::read_to_string(format!("/proc/{podgate}/task/{podgate}/children")).ok()?;
        let pid = Pid::from_raw(list.split_ascii_whitespace().next()?.parse().ok()?);
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "sleep").then_some(pid)
    })
}

#[test]
fn a_stop_signal_without_a_terminal_stops_both_and_cont_continues_both() {
    for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        let running = podgate(["run", "--", "sleep", "100"]).start();
        let cmd = sleep_of(running.pid());
        running.signal(signal);
        both(cmd, 'T');
        running.signal(Signal::SIGCONT);
        both(cmd, 'S');
        running.signal(Signal::SIGTERM);
        running.finish().code(143);
    }
}

#[test]
fn podgate_goes_on_when_another_process_stops_cmd() {
    let running = podgate(["run", "--", "sleep", "100"]).start();
    let cmd = sleep_of(running.pid());
    kill(cmd, Signal::SIGSTOP).unwrap();
    eventually("CMD to stop", || (stat(cmd)?.0 == 'T').then_some(()));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(stat(running.pid()).unwrap().0, 'S');
    kill(cmd, Signal::SIGCONT).unwrap();
    running.signal(Signal::SIGTERM);
    running.finish().code(143);
}

#[test]
fn pid_1_does_not_stop() {
    if !namespaces() {
        return;
    }
    let running = inside(AS_PID_1, ["run", "--", "sleep", "100"]).start();
    let pid_1 = running.podgate_pid();
    let cmd = sleep_of(pid_1);
    kill(pid_1, Signal::SIGTSTP).unwrap();
    eventually("CMD to stop", || (stat(cmd)?.0 == 'T').then_some(()));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(stat(pid_1).unwrap().0, 'S');
    kill(pid_1, Signal::SIGCONT).unwrap();
    eventually("CMD to go on", || (stat(cmd)?.0 == 'S').then_some(()));
    kill(pid_1, Signal::SIGTERM).unwrap();
    running.finish().code(143);
}
