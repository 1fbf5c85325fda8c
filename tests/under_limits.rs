//! A container whose limits are reached: no more processes, no descriptors, no `/dev/null`. A check
//! needs as little as it can, and the reason names what is missing (P3.10).

use crate::support::server::{Server, unix_http};
use crate::support::{Done, Folder, Podgate, inside, namespaces, podgate};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// A user with no other process, who may have this many more processes and threads than podgate.
/// The kernel does not limit root.
fn with_room_for(more: u32, user: u32, folder: &Folder, arguments: &[&str]) -> Podgate {
    let binary = folder.join("podgate");
    if !binary.exists() {
        fs::copy(crate::support::PODGATE, &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // `inside` appends the binary of the build folder, which this user cannot execute.
    let limit = format!("--nproc={}", more + 1);
    let user = user.to_string();
    let starter = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
        "prlimit",
        &limit,
        "sh",
        "-c",
        "shift && exec \"$0\" \"$@\"",
        binary.to_str().unwrap(),
    ];
    inside(&starter, arguments)
}

/// A pids cgroup of its own is the limit in a pod.
fn in_a_pids_cgroup(max: u32, arguments: &[&str]) -> Option<Done> {
    let folder = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .map(|root| format!("{root}/podgate-test-{}-{max}", std::process::id()));
    let folder = folder.into_iter().find(|folder| {
        fs::create_dir(folder).is_ok_and(|()| {
            let has_limit = fs::write(format!("{folder}/pids.max"), max.to_string()).is_ok();
            if !has_limit {
                let _ = fs::remove_dir(folder);
            }
            has_limit
        })
    })?;
    let script = format!("echo $$ > {folder}/cgroup.procs && exec \"$@\"");
    let done = inside(&["sh", "-c", &script, "sh"], arguments).run();
    let _ = fs::remove_dir(folder);
    Some(done)
}

const NO_PROCESS: &str = "no more processes or threads are allowed (EAGAIN)";

#[test]
fn a_check_needs_no_thread_where_none_is_allowed() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::status(200);
    let socket = folder.join("http.sock");
    let _requests = unix_http(&socket, 200);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let unix = socket.to_str().unwrap();
    let checks = [
        server.url("/"),
        server.url("/2"),
        format!("tcp://{}", server.address),
        format!("tcp://localhost:{}", server.port()),
        format!("listen://:{}", server.port()),
        format!("unix://{unix}"),
        format!("http+unix://{}/", unix.replace('/', "%2F")),
        "file:///etc/passwd".to_owned(),
    ];
    for room in 0..3 {
        for command in ["check", "wait"] {
            let words: Vec<&str> = [command]
                .into_iter()
                .chain(checks.iter().map(String::as_str))
                .collect();
            with_room_for(room, 61_000 + room, &folder, &words)
                .run()
                .code(0);
        }
    }
}

#[test]
fn an_attempt_without_a_thread_keeps_its_time_limit() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let silent = Server::raw(|stream| {
        std::thread::sleep(Duration::from_secs(30));
        drop(stream);
    });
    let url = silent.url("/");
    with_room_for(0, 61_010, &folder, &["check", &url])
        .run()
        .code(1)
        .says("timed out after ")
        .says("ms while waiting for the answer")
        .within(Duration::from_secs(8));
}

#[test]
fn a_command_is_started_where_one_more_process_is_allowed() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for command in ["check", "wait"] {
        with_room_for(1, 61_020, &folder, &[command, "exec:/bin/true"])
            .run()
            .code(0);
    }
    with_room_for(
        1,
        61_021,
        &folder,
        &["run", "--after", "exec:/bin/true", "--", "/bin/true"],
    )
    .run()
    .code(0);
}

#[test]
fn a_command_that_cannot_be_started_names_the_limit_on_processes() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = |done: &Done| {
        done.says("cannot start \"/bin/true\"")
            .says(NO_PROCESS)
            .says("pids.max");
    };
    refused(
        with_room_for(0, 61_030, &folder, &["check", "exec:/bin/true"])
            .run()
            .code(1),
    );
    let words = ["wait", "-t", "300ms", "exec:/bin/true"];
    refused(with_room_for(0, 61_031, &folder, &words).run().code(124));
    with_room_for(0, 61_032, &folder, &["run", "--", "/bin/true"])
        .run()
        .code(125)
        .says("cannot run \"/bin/true\"")
        .says(NO_PROCESS)
        .says("pids.max");
    // The limit of a pod.
    if let Some(done) = in_a_pids_cgroup(1, &["check", "exec:/bin/true"]) {
        refused(done.code(1));
    }
    if let Some(done) = in_a_pids_cgroup(2, &["check", "exec:/bin/true"]) {
        done.code(0);
    }
}

#[test]
fn a_missing_or_unreadable_dev_null_is_named_and_not_the_command() {
    if !namespaces() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.text("podgate");
    fs::copy(crate::support::PODGATE, &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    for (node, cause) in [
        ("true", "no such file or directory"),
        ("mknod -m 600 /dev/null c 1 3", "permission denied"),
        ("mkdir -m 700 /dev/null", "permission denied"),
    ] {
        let script = format!(
            "mount -t tmpfs none /dev && {node} && shift && \
             exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\""
        );
        let starter = ["unshare", "--mount", "sh", "-c", &script, &binary];
        let said = format!("cannot open /dev/null for the command's input: {cause}");
        inside(&starter, ["check", "exec:/bin/true"])
            .run()
            .code(1)
            .says(&said)
            .says_not("cannot execute");
        // Not *never*: it is tried until the end.
        inside(&starter, ["wait", "-t", "300ms", "exec:/bin/true"])
            .run()
            .code(124)
            .says(&said);
    }
}

#[test]
fn an_exec_check_without_descriptors_names_the_limit_and_not_the_command() {
    let starter = ["sh", "-c", "ulimit -n 5; exec \"$@\"", "sh"];
    inside(&starter, ["wait", "-t", "300ms", "exec:true"])
        .run()
        .code(124)
        .says("cannot ")
        .says("ulimit -n")
        .says_not("cannot execute");
    podgate(["check", "exec:true"]).run().code(0);
}
