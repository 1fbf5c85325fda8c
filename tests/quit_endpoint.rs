//! `run --listen`: a POST from loopback ends CMD, every client can read the state, and no other
//! request does any harm.

use crate::support::server::{Server, free_port};
use crate::support::{
    Done, Folder, Running, eventually, inside, namespaces, needs, output, podgate, program, python3,
};
use nix::sys::signal::{Signal, kill};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

const POST: &str = "POST /quitquitquit HTTP/1.1\r\nHost: x\r\n\r\n";

/// Ends with 9 after SIGTERM. A quit by the endpoint turns that into 0.
const CMD: &str = "trap 'echo got TERM >&2; exit 9' TERM; trap 'echo got USR1 >&2' USR1; \
                   echo up >&2; while :; do sleep 0.02; done";

/// A running `run --listen` with [`CMD`].
struct Listening {
    running: Running,
    address: SocketAddr,
}

impl Listening {
    fn new(options: &[&str]) -> Self {
        Self::on(([127, 0, 0, 1], free_port()).into(), options)
    }

    fn on(address: SocketAddr, options: &[&str]) -> Self {
        let listen = address.to_string();
        let call = ["run", "--listen", &listen]
            .into_iter()
            .chain(options.iter().copied());
        let running = podgate(call.chain(["--", "sh", "-c", CMD])).start();
        running.says("up");
        Self { running, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request and returns the answer.
    #[track_caller]
    fn ask(&self, request: &str) -> String {
        answer(self.address, request.as_bytes()).unwrap()
    }

    #[track_caller]
    fn says_status(&self, line: &str, status: u16) -> String {
        let text = self.ask(&format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {text}"
        );
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        text
    }

    fn has_quit(&self) -> bool {
        self.running.stderr().contains("asked to quit")
    }

    /// The number of descriptors that podgate has open.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.running.pid()))
            .unwrap()
            .count()
    }

    /// The processor time of podgate so far, without that of CMD.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.pid())).unwrap();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|it| it.parse().unwrap())
            .collect();
        // USER_HZ is 100 on every Linux that Rust supports.
        Duration::from_millis(10 * (fields[0] + fields[1]))
    }

    /// Waits for the end, which must be the result of a quit.
    #[track_caller]
    fn quits(self) -> Done {
        let done = self.running.finish();
        done.code(0).says("asked to quit").says("got TERM");
        done
    }
}

fn answer(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, 10 * SECOND)?;
    stream.set_read_timeout(Some(10 * SECOND))?;
    stream.write_all(request)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_post_ends_the_command_and_the_exit_code_is_0() {
    let client = "POST /quitquitquit HTTP/1.1\r\nHost: localhost:9099\r\n";
    for request in [
        POST.to_owned(),
        "POST /quitquitquit HTTP/1.0\r\n\r\n".to_owned(),
        format!("{client}Content-Length: 0\r\n\r\n"),
        format!("{client}Content-Length: 11\r\n\r\nhello world"),
        // Requests as `curl -d` and Go's http.Post send them.
        format!(
            "{client}User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Length: 3\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\na=b"
        ),
        format!(
            "{client}User-Agent: Go-http-client/1.1\r\nContent-Length: 2\r\n\
             Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{{}}"
        ),
        "POST /quitquitquit?now HTTP/1.1\nHost: x\n\n".to_owned(),
    ] {
        let listening = Listening::new(&[]);
        let text = listening.ask(&request);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{request}{text}");
        listening.quits().within(20 * SECOND);
    }
}

#[test]
fn other_programs_can_send_the_quit() {
    let curl = program("curl", &[]);
    if needs("curl", curl.is_some()) {
        for arguments in [
            &["-X", "POST"][..],
            &["-d", "a=b"],
            &["--json", "{}"],
            &["-X", "POST", "-H", "Expect: 100-continue"],
        ] {
            let listening = Listening::new(&[]);
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--fail", "--noproxy", "*"])
                .args(arguments);
            assert_eq!(
                output(curl.arg(listening.url("/quitquitquit"))),
                "OK\n",
                "{arguments:?}"
            );
            listening.quits();
        }
    }
    let listening = Listening::new(&[]);
    podgate(["quit", &listening.url("/quitquitquit")])
        .run()
        .code(0)
        .says("acknowledged")
        .says("has quit after");
    listening.quits();
    let listening = Listening::new(&[]);
    let preset = format!("envoy:{}", listening.address.port());
    podgate(["wait", &preset]).run().code(0);
    podgate(["quit", &preset])
        .run()
        .code(0)
        .says("has quit after");
    listening.quits();
}

#[test]
fn an_ipv6_address_or_a_port_alone_is_accepted() {
    let listening = Listening::on((std::net::Ipv6Addr::LOCALHOST, free_port()).into(), &[]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, listening.address.port())).is_err());
    listening.ask(POST);
    listening.quits();
    // A wildcard address accepts both families, and a mapped loopback address counts as loopback.
    let port = free_port();
    let listen = format!("[::]:{port}");
    let running = podgate(["run", "--listen", &listen, "--", "sh", "-c", CMD]).start();
    running.says("up");
    answer(([127, 0, 0, 1], port).into(), POST.as_bytes()).unwrap();
    running.finish().code(0);
    // The default address is loopback.
    let port = free_port();
    let running = podgate(["run", "--listen", &port.to_string(), "--", "sh", "-c", CMD]).start();
    running.says("up");
    let listeners = output(Command::new("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]));
    let local: Vec<_> = listeners
        .lines()
        .filter(|line| line.contains(&format!(":{port:04X} 0000")))
        .collect();
    assert!(
        local.len() == 1 && local[0].contains(" 0100007F:"),
        "{local:?}"
    );
    answer(([127, 0, 0, 1], port).into(), POST.as_bytes()).unwrap();
    running.finish().code(0);
}

#[test]
fn ready_and_status_report_the_state() {
    if !python3() {
        return;
    }
    let folder = Folder::new();
    let (flag, dir) = (folder.text("flag"), folder.text(""));
    let ready = format!("file://{flag}");
    let listening = Listening::new(&["--ready", &ready]);
    listening.says_status("GET /ready", 503);
    listening.says_status("HEAD /ready", 503);
    assert!(
        listening
            .says_status("GET /status", 200)
            .contains("\"state\":\"running\"")
    );
    std::fs::write(&flag, "").unwrap();
    let url = listening.url("/ready");
    podgate(["wait", &url]).run().code(0);
    assert!(
        listening
            .says_status("GET /ready", 200)
            .ends_with("\r\n\r\nOK\n")
    );
    assert!(
        listening
            .says_status("HEAD /ready", 200)
            .ends_with("\r\n\r\n")
    );
    let status = listening.says_status("GET /status", 200);
    assert!(
        status.contains("\r\nContent-Type: application/json\r\n")
            && status.contains("\"state\":\"ready\""),
        "{status}"
    );
    assert!(!listening.has_quit());
    listening.ask(POST);
    listening.quits();

    // For a member, /status returns the same as `podgate status --json`. /ready is 503 before CMD
    // has started.
    let gate = format!("file://{}", folder.text("gate"));
    let port = free_port().to_string();
    let call = [
        "run",
        "--listen",
        &port,
        "--name",
        "main",
        "--dir",
        &dir,
        "--allow-plain-dir",
        "--after",
        &gate,
    ];
    let running = podgate(call.into_iter().chain(["--", "sh", "-c", CMD])).start();
    running.says("the path does not exist");
    let address = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let ask =
        |path: &str| answer(address, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    assert!(ask("/ready").starts_with("HTTP/1.1 503 "));
    let json = || {
        let text = ask("/status").split_once("\r\n\r\n").unwrap().1.to_owned();
        let parse = "import json,sys; [it] = json.loads(sys.argv[1]); \
                     print(it['name'], it['state'], it['alive'])";
        output(Command::new("python3").args(["-c", parse, &text]))
    };
    assert_eq!(json(), "main waiting True\n");
    std::fs::write(folder.join("gate"), "").unwrap();
    running.says("up");
    eventually("ready", || {
        ask("/ready").starts_with("HTTP/1.1 200 ").then_some(())
    });
    assert_eq!(json(), "main ready True\n");
    answer(address, POST.as_bytes()).unwrap();
    running.finish().code(0);
    // A quit while the gate waits: CMD is never started.
    std::fs::remove_file(folder.join("gate")).unwrap();
    let running = podgate(call.into_iter().chain(["--", "sh", "-c", CMD])).start();
    running.says("the path does not exist");
    answer(address, POST.as_bytes()).unwrap();
    let done = running.finish();
    done.code(0).says_not("up\n");
    podgate(["status", "--dir", &dir, "--allow-plain-dir", "--json"])
        .run()
        .code(0);
}

#[test]
fn any_other_request_gets_its_status_and_does_nothing() {
    let listening = Listening::new(&[]);
    for line in [
        "GET /",
        "GET /quitquitquit/",
        "POST /",
        "POST /quit",
        "GET /readyz",
        "POST /QUITQUITQUIT",
        "GET /../status",
    ] {
        listening.says_status(line, 404);
    }
    for line in [
        "GET /quitquitquit",
        "HEAD /quitquitquit",
        "PUT /quitquitquit",
        "post /quitquitquit",
        "OPTIONS /quitquitquit",
    ] {
        assert!(
            listening
                .says_status(line, 405)
                .contains("\r\nAllow: POST\r\n"),
            "{line}"
        );
    }
    for line in [
        "POST /ready",
        "DELETE /ready",
        "POST /status",
        "PUT /status",
    ] {
        assert!(
            listening
                .says_status(line, 405)
                .contains("\r\nAllow: GET, HEAD\r\n"),
            "{line}"
        );
    }
    let post = "POST /quitquitquit HTTP/1.1\r\nHost: x\r\n";
    for (request, status) in [
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            411,
        ),
        (
            format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"),
            411,
        ),
        (
            format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
            400,
        ),
        (format!("{post}Content-Length: -1\r\n\r\n"), 400),
        (format!("{post}Content-Length: 1000000\r\n\r\n"), 413),
        (
            format!("{post}Content-Length: 18446744073709551616\r\n\r\n"),
            413,
        ),
        (format!("{post}X: {}\r\n\r\n", "y".repeat(9000)), 431),
        (format!("{post} folded: line\r\n\r\n"), 400),
        ("POST /quitquitquit HTTP/2.0\r\n\r\n".to_owned(), 505),
        ("POST /quitquitquit\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
    ] {
        let text = listening.ask(&request);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}{text}"
        );
    }
    if needs("curl", program("curl", &[]).is_some()) {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-d",
            "a",
            "-H",
            "Transfer-Encoding: chunked",
        ]);
        assert_eq!(output(curl.arg(listening.url("/quitquitquit"))), "411");
    }
    assert!(!listening.has_quit());
    listening.ask(POST);
    listening.quits();
}

#[test]
fn only_a_request_from_loopback_quits() {
    if !namespaces()
        || !needs("ip", program("ip", &[]).is_some())
        || !needs("curl", program("curl", &[]).is_some())
    {
        return;
    }
    // Its own network namespace, where a fixed port is free and the pod's address is known.
    let network = "ip link set lo up && ip address add 10.9.8.7/32 dev lo && \
                   ip -6 address add fd00::9/128 dev lo nodad && exec \"$@\"";
    let starter = ["unshare", "--net", "sh", "-c", network, "sh"];
    let running = inside(
        &starter,
        ["run", "--listen", "[::]:9099", "--", "sh", "-c", CMD],
    )
    .start();
    running.says("up");
    let pid = running.podgate_pid().to_string();
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("nsenter");
        curl.args([
            "--target",
            &pid,
            "--net",
            "curl",
            "-s",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        output(curl.args(arguments))
    };
    // From the pod's address to itself, from loopback to the pod's address (as the proxy of a mesh
    // forwards), and from the pod's address to loopback.
    for url in ["http://10.9.8.7:9099", "http://[fd00::9]:9099"] {
        assert_eq!(
            curl(&["-X", "POST", &format!("{url}/quitquitquit")]),
            "403",
            "{url}"
        );
        assert_eq!(
            curl(&["-d", "body", &format!("{url}/quitquitquit")]),
            "403",
            "{url}"
        );
        assert_eq!(curl(&[&format!("{url}/quitquitquit")]), "405", "{url}");
        assert_eq!(curl(&[&format!("{url}/ready")]), "200", "{url}");
        assert_eq!(curl(&[&format!("{url}/status")]), "200", "{url}");
    }
    let mesh = [
        "--interface",
        "127.0.0.6",
        "-X",
        "POST",
        "http://10.9.8.7:9099/quitquitquit",
    ];
    assert_eq!(curl(&mesh), "403");
    let back = [
        "--interface",
        "10.9.8.7",
        "-X",
        "POST",
        "http://127.0.0.1:9099/quitquitquit",
    ];
    assert_eq!(curl(&back), "403");
    // Headers cannot forge the source address.
    let forged = [
        "-X",
        "POST",
        "-H",
        "Host: localhost",
        "-H",
        "X-Forwarded-For: 127.0.0.1",
        "http://10.9.8.7:9099/quitquitquit",
    ];
    assert_eq!(curl(&forged), "403");
    assert!(!running.stderr().contains("asked to quit"));
    assert_eq!(
        curl(&["-X", "POST", "http://127.0.0.1:9099/quitquitquit"]),
        "200"
    );
    running.finish().code(0).says("asked to quit");
}

#[test]
fn a_port_in_use_is_a_failure_before_the_command_starts() {
    let (folder, server) = (Folder::new(), Server::status(200));
    let (dir, listen) = (folder.text(""), server.address.to_string());
    let place = ["--dir", &dir, "--allow-plain-dir"];
    let script = format!("touch {}", folder.text("started"));
    let call = ["run", "--listen", &listen, "--name", "main"]
        .into_iter()
        .chain(place)
        .chain(["--", "sh", "-c", &script]);
    let done = podgate(call).run();
    done.code(125)
        .says(&format!("cannot listen on --listen {listen}"))
        .says("another port")
        .within(10 * SECOND);
    assert!(!folder.join("started").exists());
    let status = podgate(["status", "--json"].into_iter().chain(place)).run();
    status.code(0);
    assert!(
        status.stdout.contains("\"state\":\"exited\"")
            && status.stdout.contains("\"exit_code\":125"),
        "{status}"
    );
    // The port is free now. It can be bound at once, although it was in use a moment ago.
    let listening = Listening::new(&[]);
    let address = listening.address;
    listening.ask(POST);
    listening.quits();
    let listening = Listening::on(address, &[]);
    listening.ask(POST);
    listening.quits();
}

#[test]
fn the_command_does_not_inherit_the_socket() {
    let listening = Listening::new(&[]);
    let held = TcpStream::connect(listening.address).unwrap();
    listening.says_status("GET /ready", 200);
    let pid = listening.running.pid();
    let child = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", child.trim())).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path());
        assert!(!target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:")));
    }
    drop(held);
    listening.ask(POST);
    listening.quits();
}

/// Threads that attack podgate until this is dropped. Each calls `round` again and again, with the
/// connections that it keeps open.
struct Attack {
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

type Kept = Vec<TcpStream>;

impl Attack {
    fn start(address: SocketAddr, round: fn(SocketAddr, &mut Kept)) -> Self {
        let (over, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let threads = (0..2).map(|_| {
            let (over, rounds) = (Arc::clone(&over), Arc::clone(&rounds));
            thread::spawn(move || {
                let mut kept = Kept::new();
                while !over.load(Ordering::SeqCst) {
                    round(address, &mut kept);
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        let threads = threads.collect();
        Self {
            over,
            rounds,
            threads,
        }
    }

    fn rounds(&self) -> usize {
        self.rounds.load(Ordering::SeqCst)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// An attacker's connection, with short timeouts.
fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SECOND / 5).ok()?;
    stream.set_write_timeout(Some(SECOND / 5)).ok()?;
    Some(stream)
}

/// The number of connections that an attacker keeps open at a time.
const HELD: usize = 150;

fn hold(kept: &mut Kept, stream: Option<TcpStream>) {
    kept.extend(stream);
    if kept.len() > HELD {
        kept.remove(0);
    }
}

/// Sends one byte at a time on hundreds of connections.
fn slowloris(address: SocketAddr, kept: &mut Kept) {
    while kept.len() < HELD {
        let Some(mut stream) = connect(address) else {
            break;
        };
        let _ = stream.write_all(b"POST /quitquitquit HTTP/1.1\r\nX: ");
        kept.push(stream);
    }
    kept.retain_mut(|stream| stream.write_all(b"a").is_ok());
    thread::sleep(Duration::from_millis(20));
}

fn flood(address: SocketAddr, kept: &mut Kept) {
    hold(kept, connect(address));
}

fn garbage(address: SocketAddr, kept: &mut Kept) {
    const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03quitquitquit";
    let seed = kept.len();
    for bytes in [
        HELLO,
        &[0; 5000],
        &[0xff; 20_000],
        b"\r\n\r\n\r\n\r\n",
        b"POST /quitquitquit",
        b"\x80\x00 /quitquitquit HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect(address);
        if let Some(stream) = &mut stream {
            let _ = stream.write_all(&bytes[seed % 3..]);
        }
        hold(kept, stream);
    }
}

/// An announced body that never completes, and a body that never ends.
fn endless_body(address: SocketAddr, kept: &mut Kept) {
    for length in ["8000", "99999999999", "8191"] {
        let mut stream = connect(address);
        if let Some(stream) = &mut stream {
            let _ = stream.write_all(
                format!("POST /quitquitquit HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")
                    .as_bytes(),
            );
            let _ = stream.write_all(&[b'a'; 1000]);
        }
        hold(kept, stream);
    }
    kept.retain_mut(|stream| stream.write_all(&[b'a'; 10]).is_ok());
}

fn long_line(address: SocketAddr, kept: &mut Kept) {
    let mut stream = connect(address);
    if let Some(stream) = &mut stream {
        let _ = stream.write_all(b"POST /quitquitquit");
        for _ in 0..64 {
            if stream.write_all(&[b'a'; 16 * 1024]).is_err() {
                break;
            }
        }
        let _ = stream.write_all(b" HTTP/1.1\r\n\r\n");
    }
    hold(kept, stream);
}

fn half_closed(address: SocketAddr, kept: &mut Kept) {
    for request in [
        "",
        "POST /quitquitquit HTTP/1.1\r\nHost: x\r\n",
        "GET /status HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect(address);
        if let Some(stream) = &mut stream {
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        }
        hold(kept, stream);
    }
}

fn resets(address: SocketAddr, kept: &mut Kept) {
    let request = if kept.is_empty() {
        &b"POST /quitquitquit HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"[..]
    } else {
        b""
    };
    if let Some(mut stream) = connect(address) {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
        let _ = stream.write_all(request);
    }
}

/// Sends requests, and never reads an answer.
fn never_reads(address: SocketAddr, kept: &mut Kept) {
    let mut stream = connect(address);
    if let Some(stream) = &mut stream {
        let _ = stream.write_all("GET /status HTTP/1.1\r\n\r\n".repeat(300).as_bytes());
    }
    hold(kept, stream);
}

/// The attacks run one at a time, because the test measures podgate and not this machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[track_caller]
fn withstands(name: &str, round: fn(SocketAddr, &mut Kept)) {
    let turn = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    let listening = Listening::new(&[]);
    listening.says_status("GET /ready", 200);
    let before = eventually("a count", || {
        let count = listening.descriptors();
        (count == listening.descriptors()).then_some(count)
    });

    let attack = Attack::start(listening.address, round);
    eventually("the attack", || (attack.rounds() > 20).then_some(()));
    let sent = Instant::now();
    listening.running.signal(Signal::SIGUSR1);
    listening.running.says("got USR1");
    let forwarded = sent.elapsed();
    assert!(
        forwarded < 2 * SECOND,
        "{name}: the signal took {forwarded:?}"
    );
    let most = listening.descriptors();
    // The limit of connections at a time, and the few descriptors that podgate opens for a short
    // time.
    assert!(
        most <= before + 20,
        "{name}: {most} descriptors, and {before} before"
    );
    let rounds = attack.rounds();
    eventually("more of the attack", || {
        (attack.rounds() > rounds + 20).then_some(())
    });
    drop(attack);

    // All of it is closed soon, and nothing remains open.
    eventually(&format!("{name}: {before} descriptors"), || {
        (listening.descriptors() <= before).then_some(())
    });
    // The kernel may have queued connections. An answer to a new one shows that they were accepted.
    listening.says_status("GET /ready", 200);
    eventually(&format!("{name}: {before} descriptors again"), || {
        (listening.descriptors() <= before).then_some(())
    });
    let cpu = listening.cpu();
    thread::sleep(SECOND / 2);
    let idle = listening.cpu() - cpu;
    assert!(
        idle <= SECOND / 20,
        "{name}: {idle:?} of processor time in an idle half second"
    );
    assert!(
        !listening.has_quit(),
        "{name}: {}",
        listening.running.stderr()
    );

    // A POST from loopback gets through during the attack.
    let attack = Attack::start(listening.address, round);
    eventually("the attack", || (attack.rounds() > 20).then_some(()));
    let sent = Instant::now();
    let mut attempts = 0;
    while sent.elapsed() < 10 * SECOND {
        attempts += 1;
        // A request whose connection is closed in favour of newer ones is sent again, as `podgate
        // quit` does.
        if answer(listening.address, POST.as_bytes())
            .is_ok_and(|text| text.starts_with("HTTP/1.1 200 "))
        {
            break;
        }
    }
    let answered = sent.elapsed();
    listening.quits();
    let ended = sent.elapsed();
    drop(attack);
    println!(
        "{name}: forwarded in {forwarded:?}; {attempts} attempt(s), answered after {answered:?}, \
         ended after {ended:?}"
    );
    assert!(
        ended < 2 * SECOND,
        "{name}: {attempts} attempts, answered after {answered:?}, ended after {ended:?}"
    );
    drop(turn);
}

#[test]
fn it_withstands_clients_that_send_slowly() {
    withstands("slowloris", slowloris);
}

#[test]
fn it_withstands_a_flood() {
    withstands("flood", flood);
}

#[test]
fn it_withstands_garbage() {
    withstands("garbage", garbage);
}

#[test]
fn it_withstands_an_endless_body() {
    withstands("endless body", endless_body);
}

#[test]
fn it_withstands_a_line_of_one_megabyte() {
    withstands("long line", long_line);
}

#[test]
fn it_withstands_half_closed_connections() {
    withstands("half-closed", half_closed);
}

#[test]
fn it_withstands_resets() {
    withstands("resets", resets);
}

#[test]
fn it_withstands_clients_that_read_no_answer() {
    withstands("no reading", never_reads);
}

#[test]
fn idle_connections_cost_nothing_and_are_closed() {
    let listening = Listening::new(&[]);
    let held: Vec<TcpStream> = (0..8)
        .map(|_| TcpStream::connect(listening.address).unwrap())
        .collect();
    listening.says_status("GET /ready", 200);
    let cpu = listening.cpu();
    thread::sleep(SECOND);
    let idle = listening.cpu() - cpu;
    assert!(
        idle <= SECOND / 10,
        "{idle:?} of processor time in a second with idle connections"
    );
    // Each gets an answer that the client was too slow.
    for mut stream in held {
        stream.set_read_timeout(Some(20 * SECOND)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    kill(listening.running.pid(), Signal::SIGTERM).unwrap();
    listening.running.finish().code(9);
}

#[test]
fn the_first_of_a_sigterm_and_a_quit_decides() {
    // The first cause decides.
    let script = "trap 'echo got TERM >&2; sleep 0.3; exit 9' TERM; echo up >&2; while :; \
                  do sleep 0.02; done";
    for quit_is_first in [true, false] {
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let running = podgate([
            "run",
            "--listen",
            &address.to_string(),
            "--",
            "sh",
            "-c",
            script,
        ])
        .start();
        running.says("up");
        let quit = || drop(answer(address, POST.as_bytes()));
        if quit_is_first {
            quit()
        } else {
            running.signal(Signal::SIGTERM)
        }
        running.says("got TERM");
        if quit_is_first {
            running.signal(Signal::SIGTERM)
        } else {
            quit()
        }
        running.finish().code(if quit_is_first { 0 } else { 9 });
    }
}

#[test]
fn a_wrong_address_is_refused() {
    for address in [
        "",
        "0",
        "localhost:9099",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "unix:/x",
    ] {
        podgate(["run", "--listen", address, "--", "true"])
            .run()
            .code(2)
            .says("--listen")
            .says("127.0.0.1:9099");
    }
    // An address that this machine does not have.
    podgate(["run", "--listen", "192.0.2.254:9099", "--", "true"])
        .run()
        .code(125)
        .says("cannot listen");
}
