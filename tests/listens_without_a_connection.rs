//! P3.7: `listen://` asks the kernel for the socket. The server sees no connection, and the
//! question costs next to nothing.

use crate::support::{Done, inside, namespaces, python3};
use std::time::Duration;

const SOCKETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sockets.py");

/// Each way to listen, with the checks that it lets pass and those that it does not. `PORT` is its
/// port.
const WAYS: &[(&str, &[&str], &[&str])] = &[
    (
        "0.0.0.0",
        &[":PORT", "127.0.0.1:PORT", "127.0.0.2:PORT"],
        &["[::1]:PORT"],
    ),
    (
        "127.0.0.1",
        &[":PORT", "127.0.0.1:PORT"],
        &["127.0.0.2:PORT", "[::1]:PORT"],
    ),
    (
        "127.0.0.2",
        &[":PORT", "127.0.0.2:PORT"],
        &["127.0.0.1:PORT"],
    ),
    (
        "::1",
        &[":PORT", "[::1]:PORT"],
        &["127.0.0.1:PORT", "[::2]:PORT"],
    ),
    (
        "::,dual",
        &[
            ":PORT",
            "[::1]:PORT",
            "127.0.0.1:PORT",
            "[::ffff:127.0.0.1]:PORT",
        ],
        &[],
    ),
    (
        "::ffff:127.0.0.1,dual",
        &[":PORT", "127.0.0.1:PORT"],
        &["[::1]:PORT"],
    ),
    (
        "0.0.0.0,device",
        &[":PORT", "127.0.0.1:PORT"],
        &["[::1]:PORT"],
    ),
    (
        "127.0.0.1,mptcp",
        &[":PORT", "127.0.0.1:PORT"],
        &["[::1]:PORT"],
    ),
    ("127.0.0.1,bound", &[], &[":PORT", "127.0.0.1:PORT"]),
    ("127.0.0.1,connected", &[], &[":PORT", "127.0.0.1:PORT"]),
];

/// Starts podgate in a network namespace of its own, as in a pod, beside these sockets.
fn beside(sockets: &[String], refused: &[&str], arguments: &[String]) -> Done {
    const SCRIPT: &str = "ip link set lo up && exec python3 \"$0\" \"$@\"";
    let mut starter = vec!["unshare", "--net", "sh", "-c", SCRIPT, SOCKETS];
    starter.extend(sockets.iter().map(String::as_str));
    starter.extend(refused);
    starter.push("--");
    inside(&starter, arguments).run()
}

/// Checks all ways to listen at once, and holds each verdict.
fn every_way_is_seen(refused: &[&str]) {
    let (mut sockets, mut checks) = (Vec::new(), Vec::new());
    for (port, (way, pass, fail)) in (8001_u16..).zip(WAYS) {
        let (address, option) = way.split_once(',').unwrap_or((way, ""));
        sockets.push(format!("listen={port},{address},{option}"));
        let all = pass
            .iter()
            .map(|it| (it, true))
            .chain(fail.iter().map(|it| (it, false)));
        checks.extend(all.map(|(check, passes)| {
            (
                *way,
                format!("listen://{}", check.replace("PORT", &port.to_string())),
                passes,
            )
        }));
    }
    let words: Vec<String> = ["check".to_owned()]
        .into_iter()
        .chain(checks.iter().map(|(_, check, _)| check.clone()))
        .collect();
    let done = beside(&sockets, refused, &words);
    done.code(1);
    for (way, check, passes) in checks {
        // The verdict names IPv4-mapped addresses as they were given.
        let line = done
            .stderr
            .lines()
            .find(|line| line.contains(&format!("{check:?}")));
        let line = line.unwrap_or_else(|| panic!("{check}: {}", done.stderr));
        let verdict = if passes {
            "passed"
        } else {
            "no process listens on this port"
        };
        assert!(line.contains(verdict), "{way}, {refused:?}: {line}");
    }
}

fn can_restrict() -> bool {
    namespaces() && python3()
}

#[test]
fn listen_sees_every_way_to_listen_and_no_other_socket() {
    if can_restrict() {
        every_way_is_seen(&[]);
    }
}

#[test]
fn where_netlink_is_refused_listen_sees_the_same() {
    if !can_restrict() {
        return;
    }
    for refused in [
        "refuse=netlink,EPERM",
        "refuse=netlink,EACCES",
        "refuse=netlink,ENOSYS",
        "refuse=netlink,EAFNOSUPPORT",
        "refuse=netlink,EPROTONOSUPPORT",
        "refuse=netlink,EMFILE",
        "refuse=send,EPERM",
        // As a kernel without the module answers.
        "refuse=send,ENOENT",
        "refuse=receive,EPERM",
        "refuse=receive,EAGAIN",
    ] {
        every_way_is_seen(&[refused]);
    }
}

#[test]
fn listen_knows_a_socket_that_takes_no_ipv4() {
    if !can_restrict() {
        return;
    }
    let socket = ["listen=8001,::,v6only".to_owned()];
    let check = |address: &str| {
        let check = format!("listen://{address}:8001");
        beside(&socket, &[], &["check".to_owned(), check])
    };
    check("").code(0);
    check("[::1]").code(0);
    check("127.0.0.1")
        .code(1)
        .says("no process listens on this port");
}

#[test]
fn a_wait_for_a_port_costs_less_than_a_twentieth_of_a_core() {
    if !can_restrict() {
        return;
    }
    // The sum of user and system time of podgate, in seconds.
    const TIMED: &str = "import os,resource,subprocess,sys\n\
                         subprocess.run(sys.argv[1:])\n\
                         used=resource.getrusage(resource.RUSAGE_CHILDREN)\n\
                         print(used.ru_utime+used.ru_stime)";
    let starter = [
        "unshare",
        "--net",
        "sh",
        "-c",
        "ip link set lo up && exec \"$@\"",
        "sh",
        "python3",
        "-c",
        TIMED,
    ];
    let done = inside(&starter, ["wait", "-q", "-t", "3s", "listen://:7001"]).run();
    let used: f64 = done.stdout.trim().parse().unwrap();
    let used = Duration::from_secs_f64(used);
    assert!(
        used < Duration::from_millis(150),
        "{used:?} of 3 s: {}",
        done.stderr
    );
}

#[test]
fn listen_needs_no_proc() {
    if !can_restrict() {
        return;
    }
    let script = "mount -t tmpfs none /proc && exec \"$@\"";
    let starter = ["unshare", "--mount", "--net", "sh", "-c", script, "sh"];
    inside(&starter, ["check", "listen://:80"])
        .run()
        .code(1)
        .says("no process listens on this port");
}
