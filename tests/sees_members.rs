//! What members of a pod see of each other: the checks, `status`, `doctor`, `quit member:`,
//! different users and mounts, and pods without membership.

use crate::support::cast::{
    NEVER, comes, job, let_end, line, onlooker, podgate_in, record, rules, run, server,
    stubborn_server,
};
use crate::support::kubelet::Phase;
use crate::support::pod::{Access, Container, IMAGE, Life, Pod, VOLUME, words};
use crate::support::{Done, Folder, PODGATE, eventually};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(15);

/// Runs a check, and expects this result.
#[track_caller]
fn check(life: &Life, checks: &str, passes: bool, says: &str) {
    podgate_in(life, &format!("check {checks}"))
        .code(if passes { 0 } else { 1 })
        .says(says);
}

#[test]
fn each_check_of_a_member_in_each_state() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o").read_only_volume());
    let is = |started: (bool, &str),
              ready: (bool, &str),
              gone: (bool, &str),
              succeeded: (bool, &str)| {
        for (fact, (passes, says)) in [
            ("started", started),
            ("ready", ready),
            ("gone", gone),
            ("succeeded", succeeded),
        ] {
            check(&o, &format!("{fact}:a"), passes, says);
        }
    };
    let yes = (true, "");
    let absent = (false, ": absent; no member has come yet");
    is(absent, absent, yes, absent);

    let options = format!("--after file://{VOLUME}/go-on --ready file://{VOLUME}/is-ready");
    let a = pod.start(&run("a", &options, &server(0)));
    comes(&pod, "a", "waiting");
    let waits = (false, "waiting for others");
    is(waits, waits, (false, "still alive"), waits);

    fs::write(pod.volume().join("go-on"), "").unwrap();
    comes(&pod, "a", "running");
    let runs = (false, "running, but not ready");
    is(yes, runs, (false, "still alive"), runs);

    fs::write(pod.volume().join("is-ready"), "").unwrap();
    comes(&pod, "a", "ready");
    is(yes, yes, (false, "still alive"), (false, "still running"));
    // Readiness is kept once it was reached. It is not a liveness check.
    fs::remove_file(pod.volume().join("is-ready")).unwrap();
    is(yes, yes, (false, "still alive"), (false, "still running"));

    a.prints("up");
    a.signal(Signal::SIGTERM);
    a.code(0);
    let ended = (
        false,
        "ended with exit code 0 after a stop signal from outside",
    );
    is(ended, ended, yes, yes);

    pod.start(&run("a", "", "exit 0")).code(0);
    let ended = (false, "ended with exit code 0");
    is(ended, ended, yes, yes);

    pod.start(&run("a", "", "exit 3")).code(3);
    let ended = (false, "ended with exit code 3");
    is(ended, ended, yes, ended);

    let a = pod.start(&run("a", "", &server(0)));
    comes(&pod, "a", "ready");
    a.kill();
    a.code(137);
    let lost = (false, "was lost: it left no exit code");
    is(lost, lost, yes, lost);
}

#[test]
fn ready_is_reset_by_a_restart() {
    let Some(pod) = Pod::new() else { return };
    let a = || {
        pod.start(&run(
            "a",
            &format!("--ready file://{VOLUME}/is-ready"),
            &server(0),
        ))
    };
    fs::write(pod.volume().join("is-ready"), "").unwrap();
    let first = a();
    comes(&pod, "a", "ready");
    fs::remove_file(pod.volume().join("is-ready")).unwrap();
    first.kill();
    first.code(137);
    let second = a();
    comes(&pod, "a", "running");
    check(&second, "ready:a", false, "running, but not ready");
}

#[test]
fn a_wait_for_a_member_that_is_never_restarted_ends_with_it() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    pod.start(&run("a", "--restart-policy never", "exit 0"))
        .code(0);
    let b = pod.start(&run("b", "--restart-policy never", &server(0)));
    comes(&pod, "b", "ready");
    b.kill();
    b.code(137);
    for (fact, says) in [
        ("ready:a", "ended with exit code 0"),
        ("started:a", "ended with exit code 0"),
        ("ready:b", "was lost"),
        ("started:b", "was lost"),
        ("succeeded:b", "was lost"),
    ] {
        podgate_in(&o, &format!("wait --timeout 30s {fact}"))
            .code(1)
            .says(says)
            .within(LONG);
    }
    podgate_in(&o, "wait --timeout 30s succeeded:a").code(0);
    podgate_in(&o, "wait --timeout 30s gone:a gone:b").code(0);
    // A gate of `run` ends, too.
    pod.start(&run("c", "--after ready:a --after-timeout 30s", "exit 0"))
        .code(1);
    // Any other member may come back.
    for options in ["", "--restart-policy on-failure", "--restart-policy always"] {
        pod.start(&run("a", options, "exit 0")).code(0);
        podgate_in(&o, "wait --timeout 300ms ready:a").code(124);
    }
}

#[test]
fn a_member_that_was_stopped_and_may_be_started_again_has_not_succeeded() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    for (options, code) in [
        ("", 0),
        ("--restart-policy never", 0),
        ("--restart-policy on-failure", 124),
        ("--restart-policy always", 124),
    ] {
        let a = pod.start(&run("a", options, &server(0)));
        a.prints("up");
        a.signal(Signal::SIGTERM);
        a.code(0);
        podgate_in(&o, "wait --timeout 300ms succeeded:a").code(code);
    }
}

#[test]
fn a_wait_goes_on_while_success_is_possible() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    // The member may be restarted, so success is still possible.
    pod.start(&run("a", "", "exit 3")).code(3);
    podgate_in(&o, "wait --timeout 300ms succeeded:a")
        .code(124)
        .says("ended with exit code 3");
    pod.start(&run("a", "--restart-policy on-failure", "exit 3"))
        .code(3);
    podgate_in(&o, "wait --timeout 300ms succeeded:a").code(124);
    // The record states that it will not be restarted.
    pod.start(&run("b", "--restart-policy never", "exit 3"))
        .code(3);
    podgate_in(&o, "wait --timeout 30s succeeded:b")
        .code(1)
        .says("ended with exit code 3")
        .within(LONG);
    // A member that joined has no exit code, so its success stays unknown.
    let c = pod.start(&onlooker("c"));
    podgate_in(&c, "join --name c --restart-policy on-failure").code(0);
    c.kill();
    c.code(137);
    podgate_in(&o, "wait --timeout 30s succeeded:c")
        .code(1)
        .says("it joined")
        .within(LONG);
    // The same with --after.
    let d = pod.start(&run("d", "--after succeeded:b", "echo started"));
    d.code(1);
    assert_eq!(d.stdout(), "");
}

#[test]
fn a_job_starts_after_the_success_of_another_job() {
    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        rules(crate::support::kubelet::RestartPolicy::OnFailure),
        [
            run(
                "migrate",
                "",
                &format!("test -e {VOLUME}/once || {{ touch {VOLUME}/once; exit 3; }}"),
            ),
            run("app", "--after succeeded:migrate", "echo started"),
        ],
    );
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(
        (play.codes("migrate"), play.codes("app")),
        (vec![3, 0], vec![0]),
        "{play}"
    );
    assert!(
        play.life("app").started() < play.ends("migrate")[1].at,
        "app started before migrate succeeded"
    );
}

#[test]
fn known_names_are_listed_if_a_member_is_absent() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o").read_only_volume());
    for name in ["main", "proxy"] {
        pod.start(&run(name, "", "exit 0")).code(0);
    }
    podgate_in(&o, "wait --timeout 100ms ready:mian")
        .code(124)
        .says(": absent; seen here: main, proxy");
    // A member does not see itself.
    let app = "--after ready:mian --after-timeout 100ms";
    let app = pod.start(&run("app", app, "exit 0"));
    app.code(124);
    app.says(": absent; seen here: main, proxy (");
    fs::remove_file(pod.volume().join("app.record")).unwrap();
    fs::remove_file(pod.volume().join("app.lock")).unwrap();
    // The check passes, because a preStop hook must not wait for an absent member. The message
    // still lists the names.
    podgate_in(&o, "wait gone:mian")
        .code(0)
        .says(": absent; seen here: main, proxy");
    podgate_in(&o, "check gone:mian")
        .code(0)
        .says(": absent; seen here: main, proxy");
    // The same for a record that does not count: one of another pod, and one that is not a record.
    pod.start(&run("other", "", "exit 0").host_name("other-pod"))
        .code(0);
    fs::write(pod.volume().join("broken.record"), "nonsense").unwrap();
    for call in ["wait", "check"] {
        podgate_in(&o, &format!("{call} gone:other"))
            .code(0)
            .says("other.record\" is from another host, \"other-pod\"");
        podgate_in(&o, &format!("{call} gone:broken"))
            .code(0)
            .says("broken.record\" is not a record");
    }
}

/// The time from an event until it was seen.
fn latency(at: Instant, seen: Instant) -> Duration {
    seen.saturating_duration_since(at)
}

#[test]
fn changes_are_seen_at_once() {
    let Some(pod) = Pod::new() else { return };
    // The best of five rounds counts, because this machine may be busy. The slow poll is 2 s and
    // the fast one 100 ms, so polling cannot be this quick each time.
    let mut best = [Duration::MAX; 3];
    for round in 0..5 {
        let name = format!("a{round}");
        let flag = pod.volume().join(format!("flag{round}"));
        let ready = format!("--ready file://{VOLUME}/flag{round}");
        let waits = pod
            .start(&Container::podgate("w", ["wait", &format!("ready:{name}")]).read_only_volume());
        waits.says("waiting for ");
        let gone = {
            let a = pod.start(&run(&name, &ready, &server(0)));
            comes(&pod, &name, "running");
            fs::write(flag, "").unwrap();
            let end = waits.code(0);
            let since = fs::metadata(pod.volume().join(format!("{name}.record")))
                .unwrap()
                .modified()
                .unwrap();
            let ago = since.elapsed().unwrap();
            best[0] = best[0].min(latency(Instant::now() - ago, end.at));
            let gone = pod.start(
                &Container::podgate("g", ["wait", &format!("gone:{name}")]).read_only_volume(),
            );
            let until = pod.start(&run("u", &format!("--until {name}"), &server(0)));
            until.prints("up");
            gone.says("waiting for ");
            a.kill();
            let dead = a.code(137).at;
            best[1] = best[1].min(latency(dead, gone.code(0).at));
            best[2] = best[2].min(latency(dead, until.says("was lost")));
            gone
        };
        drop(gone);
    }
    println!(
        "ready {:?}, gone {:?}, lost {:?}",
        best[0], best[1], best[2]
    );
    assert!(
        best.iter().all(|best| *best < Duration::from_millis(200)),
        "{best:?}"
    );
}

/// What another program reads from the JSON.
fn read_json(text: &str) -> String {
    let script = "import json,sys\nfor m in json.load(sys.stdin):\n print(m['name'], m['state'], \
                  m['incarnation'], m['exit_code'], m['alive'], m['since'] is not None, \
                  sorted(m) == ['alive','exit_code','incarnation','name','since','state'])";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn status_lists_the_members() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o").read_only_volume().user(999, 999));
    let empty = podgate_in(&o, "status");
    let lines: Vec<&str> = empty.code(0).stdout.lines().collect();
    assert!(lines[0].starts_with("NAME "), "{empty}");
    assert_eq!(&lines[1..], ["no member has come yet"], "{empty}");
    assert_eq!(
        read_json(&podgate_in(&o, "status --json").code(0).stdout),
        ""
    );

    let lives = [
        run("waits", &format!("--after file://{VOLUME}/no"), "true"),
        run("works", &format!("--ready file://{VOLUME}/no"), &server(0)),
        run("serves", "", &server(0)),
        run("lost", "", &server(0)),
    ]
    .map(|container| pod.start(&container));
    for (name, state) in [
        ("waits", "waiting"),
        ("works", "running"),
        ("serves", "ready"),
        ("lost", "ready"),
    ] {
        comes(&pod, name, state);
    }
    lives[3].kill();
    lives[3].code(137);
    pod.start(&run("ended", "", "exit 0")).code(0);
    pod.start(&run("ended", "", "exit 3")).code(3);
    fs::write(pod.volume().join("broken.record"), "nonsense").unwrap();
    fs::write(pod.volume().join("Not A Member"), "nonsense").unwrap();
    pod.start(&run("other", "", "exit 0").host_name("other-pod"))
        .code(0);

    let done = podgate_in(&o, "status --json");
    let expected = "broken unknown None None False False True\n\
                    ended exited 2 3 False True True\n\
                    lost lost 1 None False True True\n\
                    other absent None None False False True\n\
                    serves ready 1 None True True True\n\
                    waits waiting 1 None True True True\n\
                    works running 1 None True True True\n";
    assert_eq!(read_json(&done.code(0).stdout), expected, "{done}");
    done.says("broken.record\" is not a record")
        .says("other.record\" is another pod's");

    let table = podgate_in(&o, "status");
    let rows: Vec<Vec<&str>> = table
        .stdout
        .lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["NAME", "STATE", "INCARNATION", "SINCE", "EXIT", "ALIVE"]
    );
    let row = |name: &str| rows.iter().find(|row| row[0] == name).unwrap();
    assert_eq!(
        (row("ended")[1], row("ended")[2], &row("ended")[4..]),
        ("exited", "2", &["3", "no"][..]),
        "{table}"
    );
    assert_eq!(
        (row("serves")[1], &row("serves")[4..]),
        ("ready", &["-", "yes"][..]),
        "{table}"
    );
    assert_eq!(
        row("broken")[1..],
        ["unknown", "-", "-", "-", "no"],
        "{table}"
    );
    // The columns are aligned.
    let at = |line: &str, word: &str| line.find(word);
    let lines: Vec<&str> = table.stdout.lines().collect();
    let state = at(lines[0], "STATE").unwrap();
    assert!(
        lines
            .iter()
            .skip(1)
            .all(|line| line.as_bytes()[state] != b' ' && line.as_bytes()[state - 1] == b' '),
        "{table}"
    );
}

#[test]
fn the_endpoint_gives_the_same_json() {
    let Some(pod) = Pod::new() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let a = pod.start(&run("a", &format!("--listen 127.0.0.1:{port}"), &server(0)));
    comes(&pod, "a", "ready");
    pod.start(&run("b", "", "exit 4")).code(4);
    let script = format!(
        "import urllib.request,sys\n\
         answer = urllib.request.urlopen('http://127.0.0.1:{port}/status')\n\
         sys.stdout.write(answer.read().decode())"
    );
    let got = a.exec(["python3", "-c", &script]);
    got.code(0).prints(&podgate_in(&a, "status --json").stdout);
    assert_eq!(
        read_json(&got.stdout),
        "a ready 1 None True True True\nb exited 1 4 False True True\n"
    );
}

#[test]
fn status_without_a_volume() {
    let Some(pod) = Pod::new() else { return };
    podgate_in(&pod.start(&onlooker("a").no_volume()), "status")
        .code(125)
        .says("it does not exist; mount one emptyDir");
    podgate_in(&pod.start(&onlooker("b").plain_directory()), "status")
        .code(125)
        .says("it is not a volume but a directory");
    podgate_in(
        &pod.start(&onlooker("b").plain_directory()),
        "status --allow-plain-dir",
    )
    .code(0);
}

#[track_caller]
fn doctor(pod: &Pod, container: &Container, options: &str, code: i32, says: &[&str]) -> Done {
    let life = pod.start(container);
    let done = podgate_in(&life, &format!("doctor {options}"));
    done.code(code);
    for text in says {
        assert!(done.stdout.contains(text), "no {text:?}\n{done}");
    }
    assert_eq!(done.stdout.contains("WRONG"), code == 1, "{done}");
    done
}

#[test]
fn doctor_finds_nothing_wrong_in_a_correct_pod() {
    let Some(pod) = Pod::new() else { return };
    let fine = [
        "ok    volume: \"/run/podgate\" is a separate mount",
        "can write there; renaming and space for records work, and locks within this container",
        "note  locks: no member of another container is alive",
        "ok    inotify: ",
        "note  PID 1 is ",
        "ok    PID namespace: this container has its own",
        "ok    container log: ",
        "note  termination message: ",
        "ok    grace budget: of 30s after SIGTERM, 25s are for holding it back and 5s",
        "ok    binary: ",
    ];
    for container in [
        onlooker("a"),
        onlooker("a")
            .user(1234, 1234)
            .hardened()
            .read_only_root()
            .umask("0077"),
    ] {
        doctor(&pod, &container, "", 0, &fine);
    }
    // A container that only looks at members needs no right to write.
    doctor(
        &pod,
        &onlooker("a").read_only_volume(),
        "",
        0,
        &[
            "note  volume: uid 0 cannot take part there: ",
            "without readOnly",
            "reading is enough",
        ],
    );
    fs::create_dir(pod.volume().join("sub")).unwrap();
    doctor(
        &pod,
        &onlooker("a"),
        &format!("--dir {VOLUME}/sub"),
        0,
        &["note  volume: \"/run/podgate/sub\" lies on the mount \"/run/podgate\"; every container"],
    );
    fs::remove_dir(pod.volume().join("sub")).unwrap();
    let as_pid_1 = pod.start(&Container::podgate("d", ["doctor"]));
    as_pid_1.code(0);
    assert!(
        as_pid_1
            .stdout()
            .contains("ok    PID 1: it is this process"),
        "{as_pid_1}"
    );
    // A doctor leaves no file behind, and does not become a member.
    let left: Vec<_> = fs::read_dir(pod.volume())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    doctor(
        &pod,
        &onlooker("a").no_volume(),
        "--dir none",
        0,
        &["note  --dir is none"],
    );
    doctor(
        &pod,
        &onlooker("a").plain_directory(),
        "--allow-plain-dir",
        0,
        &["note  volume: ", "which --allow-plain-dir allows"],
    );
}

#[test]
fn doctor_finds_each_mistake() {
    // A volume with space for a binary.
    let Some(pod) = Pod::with_volume("size=64m") else {
        return;
    };
    let a = || onlooker("a");
    doctor(
        &pod,
        &a().no_volume(),
        "",
        1,
        &["WRONG volume: \"/run/podgate\": it does not exist; mount one emptyDir"],
    );
    doctor(
        &pod,
        &a().plain_directory(),
        "",
        1,
        &[
            "WRONG volume: ",
            "own root file system, which no other container sees",
        ],
    );
    doctor(
        &pod,
        &a(),
        "--dir /etc/passwd",
        1,
        &["it is not a directory"],
    );
    doctor(
        &pod,
        &a(),
        "--grace 3s",
        1,
        &["WRONG grace budget: ", "--stop-margin"],
    );
    doctor(
        &pod,
        &a(),
        "--grace 60s --stop-margin 10s",
        0,
        &["of 1m after SIGTERM, 50s are for"],
    );
    // A podgate on the volume, and one on another writable volume.
    fs::copy(PODGATE, pod.volume().join("copy")).unwrap();
    let life = pod.start(&a());
    let done = life.exec([&format!("{VOLUME}/copy"), "doctor"]);
    done.code(1);
    assert!(
        done.stdout.contains("WRONG binary: ") && done.stdout.contains("second volume"),
        "{done}"
    );
    let folder = Folder::new();
    fs::copy(PODGATE, folder.join("podgate")).unwrap();
    for (access, code) in [(Access::ReadWrite, 1), (Access::ReadOnly, 0)] {
        let life = pod.start(&a().mount(folder.path(), "/run/tools", access));
        let done = life.exec(["/run/tools/podgate", "doctor"]);
        done.code(code);
        assert_eq!(
            done.stdout.contains("mount it readOnly: true"),
            code == 1,
            "{done}"
        );
    }

    // A full volume, and a user who may not write.
    let Some(small) = Pod::with_volume("size=8k") else {
        return;
    };
    doctor(
        &small,
        &a(),
        "",
        1,
        &["the volume is full: free some space, or raise its sizeLimit"],
    );
    let Some(closed) = Pod::with_volume("mode=0755") else {
        return;
    };
    doctor(
        &closed,
        &a().user(1234, 1234).hardened(),
        "",
        1,
        &["uid 1234 cannot take part there", "fsGroup"],
    );
}

#[test]
fn doctor_in_a_shared_pid_namespace() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&onlooker("pause"));
    let done = life.exec(["unshare", "--mount", IMAGE, "doctor"]);
    done.code(0);
    assert!(
        done.stdout
            .contains("note  PID 1 is not this container's own (shareProcessNamespace)"),
        "{done}"
    );
}

#[test]
fn doctor_as_another_user_than_pid_1() {
    let Some(pod) = Pod::new() else { return };
    let life = pod.start(&onlooker("main"));
    let user = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];
    let done = life.exec(user.iter().chain(&["--", IMAGE, "doctor"]));
    done.code(0);
    assert!(
        done.stdout
            .contains("note  PID 1 belongs to another user: join --until does not work here"),
        "{done}"
    );
}

#[test]
fn quit_asks_members_and_waits_for_their_end() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o").user(2222, 2222));
    podgate_in(&o, "quit member:proxy")
        .code(0)
        .says("\"member:proxy\" is already gone: absent; no member has come yet\n")
        .within(LONG);
    let proxy = pod.start(
        &run("proxy", "--outlive app", &server(9))
            .user(1111, 1111)
            .hardened(),
    );
    proxy.prints("up");
    comes(&pod, "proxy", "ready");
    podgate_in(&o, "quit member:proxy")
        .code(0)
        .says("\"member:proxy\" has quit after");
    proxy.code(0);
    podgate_in(&o, "quit member:proxy")
        .code(0)
        .says("\"member:proxy\" is already gone\n");
    podgate_in(&o, "quit member:poxy")
        .code(0)
        .says("\"member:poxy\" is already gone: absent; seen here: proxy\n");

    // Several members at once.
    let two = ["a", "b"].map(|name| pod.start(&run(name, "", &server(0))));
    two.iter().for_each(|life| {
        life.prints("up");
    });
    podgate_in(&o, "quit member:a member:b")
        .code(0)
        .says("\"member:a\" has quit")
        .says("\"member:b\" has quit");
}

#[test]
fn quit_reports_a_member_that_does_not_end() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    let stubborn = pod.start(&run("stubborn", "--grace 60s", &stubborn_server()));
    stubborn.prints("up");
    comes(&pod, "stubborn", "ready");
    let done = podgate_in(&o, "quit --timeout 300ms member:stubborn");
    done.code(1)
        .says("was asked to quit and is still alive")
        .within(LONG);
    stubborn.prints("told");
    assert!(
        !fs::read_dir(pod.volume()).unwrap().any(|it| it
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .contains(".quit."))
    );
    let reads = pod.start(&onlooker("reads").read_only_volume());
    let done = podgate_in(&reads, "quit member:stubborn");
    done.code(1)
        .says("cannot ask \"member:stubborn\" to quit: ")
        .says("without readOnly")
        .within(LONG);
    // An absent member need not be asked.
    podgate_in(&reads, "quit member:nobody").code(0);
    podgate_in(
        &pod.start(&onlooker("bare").no_volume()),
        "quit member:stubborn",
    )
    .code(125)
    .says("it does not exist");
    podgate_in(&o, "quit member:No")
        .code(2)
        .says("is not a member's name");
}

#[test]
fn run_quits_members_after_its_own_end() {
    for (options, script, is_asked) in [
        ("--restart-policy never", "exit 0", true),
        ("--restart-policy never", "exit 3", true),
        ("--restart-policy on-failure", "exit 0", true),
        ("--restart-policy on-failure", "exit 3", false),
    ] {
        let Some(pod) = Pod::new() else { return };
        let proxy = pod.start(&run("proxy", "--outlive main", &server(9)));
        proxy.prints("up");
        comes(&pod, "proxy", "ready");
        let main = pod.start(&run(
            "main",
            &format!("{options} --quit member:proxy"),
            script,
        ));
        let code = if script == "exit 0" { 0 } else { 3 };
        main.code(code);
        if is_asked {
            proxy.code(0);
            assert!(
                main.stderr().contains("\"member:proxy\" has quit"),
                "{main}"
            );
        } else {
            assert!(
                proxy.is_running() && !proxy.stdout().contains("told"),
                "{proxy}"
            );
        }
    }
}

#[test]
fn members_of_different_users_see_each_other() {
    let Some(pod) = Pod::new() else { return };
    let hard = |container: Container, user: u32| {
        container
            .user(user, user)
            .hardened()
            .read_only_root()
            .umask("0077")
    };
    let play = pod.play(
        rules(NEVER),
        [
            hard(run("proxy", "--until main", &server(9)), 1001),
            hard(run("main", "--needs proxy", &job("main", 0)), 1002),
            hard(onlooker("o").read_only_volume(), 1003),
        ],
    );
    play.life("main").prints("up");
    let o = play.life("o");
    check(&o, "ready:main ready:proxy", true, "");
    podgate_in(&o, "wait --timeout 20s ready:proxy").code(0);
    for (file, owner) in [
        ("main.record", 1002),
        ("main.lock", 1002),
        ("proxy.record", 1001),
        ("proxy.lock", 1001),
    ] {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(pod.volume().join(file)).unwrap();
        assert_eq!(
            (found.uid(), found.mode() & 0o777),
            (owner, 0o644),
            "{file}"
        );
    }
    let_end(&pod, "main");
    play.life("main").code(0);
    play.life("proxy").code(0);
    check(&o, "succeeded:main succeeded:proxy", true, "");
}

#[test]
fn a_name_that_another_user_had_is_refused_with_both_uids() {
    let Some(pod) = Pod::new() else { return };
    pod.start(&run("main", "", "exit 0").user(1001, 1001))
        .code(0);
    let main = pod.start(&run("main", "", "echo started").user(1002, 1002).hardened());
    main.code(125);
    assert_eq!(main.stdout(), "");
    assert!(
        main.stderr()
            .contains("belongs to uid 1001, and this is uid 1002"),
        "{main}"
    );
    assert_eq!(line(&pod, "main", "uid").as_deref(), Some("1001"));
}

#[test]
fn run_refuses_a_directory_that_is_not_a_volume() {
    let Some(pod) = Pod::new() else { return };
    for (container, says) in [
        (
            run("main", "", "echo started").no_volume(),
            "it does not exist; mount one emptyDir",
        ),
        (
            run("main", "", "echo started").plain_directory(),
            "it is not a volume but a directory",
        ),
        (
            run("main", "", "echo started").read_only_volume(),
            "mount the volume without readOnly",
        ),
    ] {
        let life = pod.start(&container);
        life.code(125);
        assert!(
            life.stderr().contains(says) && life.stdout().is_empty(),
            "{life}"
        );
    }
    // Without an option that needs the volume, nothing is refused.
    let life = pod.start(&Container::podgate("a", ["run", "--", "echo", "started"]).no_volume());
    life.code(0);
    let life = pod.start(&run("main", "--allow-plain-dir", "echo started").plain_directory());
    life.code(0);
    assert_eq!(life.stdout(), "started\n");
}

#[test]
fn without_members_an_image_runs_alone() {
    let Some(pod) = Pod::new() else { return };
    for word in ["members", "all", "1"] {
        let options = "--until proxy --needs proxy --restart-policy never --quit member:proxy";
        let life = pod.start(
            &run("main", options, "echo started; exit 3")
                .no_volume()
                .env("PODGATE_DISABLE", word),
        );
        life.code(3);
        assert_eq!(life.stdout(), "started\n");
        assert!(
            life.stderr()
                .contains("PODGATE_DISABLE is set: not taking part as a member"),
            "{life}"
        );
    }
    // The options are still validated.
    let bad = pod.start(
        &run("main", "--until Proxy!", "true")
            .no_volume()
            .env("PODGATE_DISABLE", "all"),
    );
    bad.code(2);

    let life = pod.start(&run("main", "--dir none", "echo started").no_volume());
    life.code(0);
    let life = pod.start(
        &run("main", "", "echo started")
            .no_volume()
            .env("PODGATE_DIR", "none"),
    );
    life.code(0);
    for options in [
        "--until proxy",
        "--outlive proxy",
        "--needs proxy",
        "--after ready:proxy",
        "--ready gone:proxy",
    ] {
        let life =
            pod.start(&run("main", &format!("--dir none {options}"), "echo started").no_volume());
        life.code(2);
        assert!(
            life.stderr().contains("--dir none") && life.stdout().is_empty(),
            "{life}"
        );
    }
    assert_eq!(fs::read_dir(pod.volume()).unwrap().count(), 0);
}

#[test]
fn without_members_no_check_waits_for_a_member() {
    let Some(pod) = Pod::new() else { return };
    for word in ["members", "all"] {
        let o = pod.start(&onlooker("o").no_volume().env("PODGATE_DISABLE", word));
        let all_are_gone = podgate_in(&o, "wait ready:a gone:b");
        all_are_gone
            .code(0)
            .says("PODGATE_DISABLE is set")
            .says_not("no CHECK is given")
            .within(LONG);
        podgate_in(&o, "wait ready:a -- echo started")
            .code(0)
            .prints("started\n");
        podgate_in(&o, "quit member:a")
            .code(0)
            .says("PODGATE_DISABLE is set")
            .within(LONG);
        podgate_in(&o, "check ready:a")
            .code(0)
            .says("PODGATE_DISABLE is set")
            .within(LONG);
    }
    // Only checks of members are disabled; the others count.
    let o = pod.start(&onlooker("o").no_volume().env("PODGATE_DISABLE", "members"));
    podgate_in(&o, "wait --timeout 100ms ready:a file:///no")
        .code(124)
        .says("file:///no");
}

#[test]
fn a_user_who_cannot_read_the_volume_sees_no_death() {
    let Some(pod) = Pod::with_volume("size=4m,mode=0700") else {
        return;
    };
    let alive = pod.start(&run("m", "", &server(0)));
    alive.prints("up");
    comes(&pod, "m", "ready");
    let stranger = pod.start(&onlooker("o").user(65534, 65534));
    podgate_in(&stranger, "wait --timeout 300ms gone:m")
        .code(124)
        .says("the volume cannot be read at the moment");
    podgate_in(&stranger, "quit --timeout 300ms member:m").code(1);
    podgate_in(&stranger, "status")
        .code(125)
        .says("cannot list");
}

#[test]
fn readiness_can_depend_on_another_member() {
    let Some(pod) = Pod::new() else { return };
    let a = pod.start(&run("a", "--ready ready:b", &server(0)));
    a.prints("up");
    comes(&pod, "a", "running");
    let b = pod.start(&run("b", "", &server(0)));
    comes(&pod, "a", "ready");
    drop(b);
    assert_eq!(line(&pod, "a", "state").as_deref(), Some("ready"));
}

#[test]
fn a_record_is_readable_for_people() {
    let Some(pod) = Pod::new() else { return };
    let a = pod.start(&run("a", "--restart-policy OnFailure", &server(5)).user(1234, 1234));
    a.prints("up");
    a.signal(Signal::SIGTERM);
    a.code(5);
    let text = record(&pod, "a");
    for line in [
        "podgate: 1",
        "name: a",
        "state: exited",
        "exit: 5",
        "incarnation: 1",
        "uid: 1234",
        "kind: run",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(text.contains("restart-policy: on-failure\n"), "{text}");
    let moments: Vec<&str> = ["waiting", "running", "ready", "stopping", "exited"]
        .iter()
        .filter_map(|key| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        })
        .collect();
    assert!(moments.len() == 5 && moments.is_sorted(), "{text}");
}

#[test]
fn many_waiting_processes_wake_at_once() {
    let Some(pod) = Pod::new() else { return };
    let o = pod.start(&onlooker("o"));
    let script =
        format!("for i in $(seq 30); do {IMAGE} wait --timeout 25s ready:a & done; wait; echo all");
    let all = o.start_exec(words(["sh", "-c", &script]));
    eventually("30 waiting processes", || {
        (o.processes()
            .iter()
            .filter(|it| it.name == "podgate")
            .count()
            == 30)
            .then_some(())
    });
    let a = pod.start(&run("a", "", &server(0)));
    comes(&pod, "a", "ready");
    let ready = Instant::now();
    all.finish().code(0).prints("all\n");
    assert!(
        ready.elapsed() < Duration::from_secs(5),
        "{:?}",
        ready.elapsed()
    );
    assert!(a.is_running());
}
