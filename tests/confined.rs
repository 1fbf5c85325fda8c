//! The restrictions of containers: not root, nothing writable, no capability, another network and
//! other name servers.

use crate::support::server::Server;
use crate::support::{Folder, inside, namespaces, python3};
use std::fs;
use std::time::Duration;

/// Runs a command as another user without capabilities and new privileges, on a read-only file
/// system.
const HARDENED: &[&str] = &[
    "unshare",
    "--mount",
    "sh",
    "-c",
    "for point in $(awk '$5 != \"/proc\" && $5 !~ /^\\/proc\\// {print $5}' /proc/self/mountinfo | \
     sort -r); do mount -o remount,bind,ro \"$point\" 2>/dev/null; done; \
     exec setpriv --reuid 65532 --regid 65532 --clear-groups \
     --bounding-set -all --inh-caps -all --no-new-privs \"$@\"",
    "sh",
];

/// A copy of the binary that any user can execute, unlike the one in the build folder.
fn public_binary(folder: &Folder) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.text("podgate");
    fs::copy(crate::support::PODGATE, &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn it_works_as_nobody_on_a_read_only_file_system() {
    if !namespaces() {
        return;
    }
    let server = Server::status(200);
    let folder = Folder::new();
    let binary = public_binary(&folder);
    let hardened = |arguments: &[&str]| {
        // HARDENED ends with the $0 of its shell. The command follows.
        let mut starter: Vec<&str> = HARDENED.to_vec();
        starter.extend([
            "sh",
            "-c",
            "touch /tmp/x 2>/dev/null && exit 99; test $(id -u) = 65532 || exit 98; \
             shift; exec \"$0\" \"$@\"",
            &binary,
        ]);
        inside(&starter, arguments.iter().copied()).run()
    };
    let (url, tcp, listen) = (
        server.url("/"),
        format!("tcp://{}", server.address),
        format!("listen://:{}", server.port()),
    );
    hardened(&[
        "wait",
        &url,
        &tcp,
        &listen,
        "file:///etc/passwd",
        "exec:true",
        "--",
        "id",
        "-u",
    ])
    .code(0)
    .prints("65532\n");
    hardened(&["check", &url, &tcp, &listen]).code(0);
    hardened(&["wait", "-t", "300ms", "file:///none", "exec:false"])
        .code(124)
        .says("gave up");
    hardened(&["wait", "--log-to", "/tmp/log", "file:///"])
        .code(2)
        .says("--log-to");
}

/// Runs a command with this file as /etc/hosts.
fn with_hosts(hosts: &str) -> Vec<&str> {
    vec![
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
        hosts,
    ]
}

#[test]
fn localhost_is_every_address_that_it_resolves_to() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    let both = folder.file("both", "::1 localhost\n127.0.0.1 localhost\n");
    let neither = folder.file("neither", "");
    let only6 = folder.file("only6", "::1 localhost\n");
    let four = Server::status(200);
    let six = Server::on(std::net::TcpListener::bind("[::1]:0").unwrap(), |_| {});
    for hosts in [&both, &neither] {
        for port in [four.port(), six.port()] {
            inside(
                &with_hosts(hosts),
                ["check", &format!("tcp://localhost:{port}")],
            )
            .run()
            .code(0);
        }
        inside(
            &with_hosts(hosts),
            ["check", &format!("http://localhost:{}/", four.port())],
        )
        .run()
        .code(0);
    }
    inside(
        &with_hosts(&only6),
        ["check", &format!("tcp://localhost:{}", six.port())],
    )
    .run()
    .code(0);
    inside(
        &with_hosts(&only6),
        ["check", &format!("tcp://localhost:{}", four.port())],
    )
    .run()
    .code(1)
    .says("refused");
}

#[test]
fn a_refused_connection_is_reported_on_a_machine_without_ipv6() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    let hosts = folder.file("hosts", "127.0.0.1 localhost\n::1 localhost\n");
    let script = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; \
                  mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let starter = ["unshare", "--net", "--mount", "sh", "-c", script, &hosts];
    inside(&starter, ["check", "tcp://localhost:9"])
        .run()
        .code(1)
        .says("connection refused");
    inside(&starter, ["check", "tcp://[::1]:9"])
        .run()
        .code(1)
        .says("cannot connect: ");
}

/// Runs a command in a separate network whose name server never answers: a socket receives the
/// questions.
const SILENT_DNS: &[&str] = &[
    "unshare",
    "--net",
    "--mount",
    "sh",
    "-c",
    "ip link set lo up && echo 'nameserver 127.0.0.1' > \"$0\" && \
     mount --bind \"$0\" /etc/resolv.conf && \
     exec python3 -c 'import os,socket,sys\n\
     silent=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
     silent.bind((\"127.0.0.1\",53))\n\
     silent.set_inheritable(True)\n\
     os.execvp(sys.argv[1],sys.argv[1:])' \"$@\"",
];

#[test]
fn a_name_server_that_never_answers_ends_in_a_timeout() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    let resolv = folder.text("resolv.conf");
    let silent: Vec<&str> = SILENT_DNS
        .iter()
        .copied()
        .chain([resolv.as_str()])
        .collect();
    for check in ["http://db.example/", "tcp://db.example:5432"] {
        let done = inside(
            &silent,
            ["wait", "-t", "1500ms", "--attempt-timeout", "500ms", check],
        )
        .run();
        done.code(124)
            .within(Duration::from_secs(12))
            .says("while resolving the name");
        inside(&silent, ["check", check])
            .run()
            .code(1)
            .within(Duration::from_secs(12))
            .says("timed out after 800ms while resolving the name");
    }
    let running = inside(
        &silent,
        [
            "wait",
            "-t",
            "20s",
            "--attempt-timeout",
            "20s",
            "http://db.example/",
            "--",
            "echo",
            "no",
        ],
    )
    .start();
    let pid = running.podgate_pid();
    std::thread::sleep(Duration::from_millis(300));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert_eq!(threads, 1, "no thread asks the name server");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    running
        .finish()
        .killed_by(nix::sys::signal::Signal::SIGTERM)
        .within(Duration::from_secs(10))
        .prints("");
}

#[test]
fn attempts_that_wait_for_a_name_server_cost_no_thread() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    let resolv = folder.text("resolv.conf");
    let silent: Vec<&str> = SILENT_DNS
        .iter()
        .copied()
        .chain([resolv.as_str()])
        .collect();
    let running = inside(
        &silent,
        [
            "wait",
            "-t",
            "20s",
            "--attempt-timeout",
            "50ms",
            "http://db.example/",
        ],
    )
    .start();
    let pid = running.podgate_pid();
    std::thread::sleep(Duration::from_secs(1));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert_eq!(threads, 1);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(files <= 12, "{files} descriptors");
}

#[test]
fn a_name_that_cannot_be_resolved_is_reported() {
    if !namespaces() {
        return;
    }
    // Nothing listens on the name server's port.
    let script = "ip link set lo up && echo 'nameserver 127.0.0.1' > \"$0\" && \
                  mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let folder = Folder::new();
    let resolv = folder.text("resolv.conf");
    let starter = ["unshare", "--net", "--mount", "sh", "-c", script, &resolv];
    let done = inside(
        &starter,
        [
            "wait",
            "-t",
            "12s",
            "--attempt-timeout",
            "11s",
            "--failure-threshold",
            "1",
            "tcp://db.example:5432",
        ],
    )
    .run();
    done.code(1).says("the name cannot be resolved");
}

#[test]
fn an_address_that_never_answers_times_out_and_the_next_address_is_tried() {
    if !namespaces() {
        return;
    }
    // A listener with a full backlog drops new connections, which then stay half open (listen(2)).
    let folder = Folder::new();
    let hosts = folder.file("hosts", "127.0.0.9 twice\n127.0.0.1 twice localhost\n");
    let server = "import socket,subprocess,sys\n\
                  while True:\n\
                  \x20 full,fine=socket.socket(),socket.socket()\n\
                  \x20 full.bind((\"127.0.0.9\",0));port=full.getsockname()[1]\n\
                  \x20 try: fine.bind((\"127.0.0.1\",port));break\n\
                  \x20 except OSError: pass\n\
                  full.listen(0);fine.listen()\n\
                  clients=[socket.socket() for _ in range(4)]\n\
                  [(it.setblocking(False),it.connect_ex((\"127.0.0.9\",port))) for it in clients]\n\
                  words=[word.replace(\"PORT\",str(port)) for word in sys.argv[1:]]\n\
                  sys.exit(subprocess.run(words).returncode)";
    let starter: Vec<&str> = with_hosts(&hosts)
        .into_iter()
        .chain(["python3", "-c", server])
        .collect();
    let done = inside(
        &starter,
        [
            "check",
            "--attempt-timeout",
            "500ms",
            "tcp://127.0.0.9:PORT",
        ],
    )
    .run();
    done.code(1)
        .within(Duration::from_secs(10))
        .says("timed out after 500ms while connecting");
    inside(
        &starter,
        ["check", "--attempt-timeout", "2s", "tcp://twice:PORT"],
    )
    .run()
    .code(0)
    .within(Duration::from_secs(10));
}

#[test]
fn without_proc_and_netlink_a_listen_check_fails_with_the_reason() {
    if !namespaces() || !python3() {
        return;
    }
    let starter = [
        "python3",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sockets.py"),
        "refuse=netlink,EPERM",
        "--",
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /proc && exec \"$@\"",
        "sh",
    ];
    inside(&starter, ["check", "listen://:80"])
        .run()
        .code(1)
        .says("/proc/net/tcp");
}

#[test]
fn too_few_descriptors_are_a_reason_and_not_a_crash() {
    let server = Server::status(200);
    let starter = ["sh", "-c", "ulimit -n 12; exec \"$@\"", "sh"];
    let urls: Vec<String> = (0..20)
        .map(|index| server.url(&format!("/{index}")))
        .collect();
    let files = [
        "/", "/tmp", "/etc", "/usr", "/bin", "/dev", "/proc", "/sys", "/var", "/lib",
    ]
    .map(|path| format!("file://{path}"));
    // A check that has passed closes its descriptors, so that the others can use them.
    inside(
        &starter,
        ["wait", "-t", "20s"]
            .into_iter()
            .chain(urls.iter().chain(&files).map(String::as_str)),
    )
    .run()
    .code(0);
    let none = ["sh", "-c", "ulimit -n 4; exec \"$@\"", "sh"];
    let error = std::io::Error::from_raw_os_error(nix::libc::EMFILE).to_string();
    let words = error.split(" (os error").next().unwrap();
    inside(&none, ["wait", "-t", "300ms", "file:///"])
        .run()
        .code(124)
        .says(&format!(
            "cannot look up the path: {}",
            words.to_lowercase()
        ));
}
