//! `install` copies the binary to a volume, as an init container does.

use crate::support::server::ClosedPort;
use crate::support::{Folder, inside, output, podgate};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn it_installs_into_a_file_or_a_directory_and_runs_from_there() {
    let folder = Folder::new();
    for (dest, made) in [
        (folder.text("gate"), folder.text("gate")),
        (folder.text(""), folder.text("podgate")),
    ] {
        inside(
            &["sh", "-c", "umask 077; exec \"$@\"", "sh"],
            ["install", &dest],
        )
        .run()
        .code(0)
        .says("installed");
        assert_eq!(
            fs::metadata(&made).unwrap().permissions().mode() & 0o7777,
            0o755
        );
        assert!(output(Command::new(&made).arg("--version")).starts_with("podgate "));
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn it_replaces_a_copy_that_is_running() {
    let folder = Folder::new();
    let dest = folder.text("podgate");
    podgate(["install", &dest]).run().code(0);
    let closed = ClosedPort::new();
    let mut child = Command::new(&dest)
        .args(["wait", "-q", &closed.tcp()])
        .spawn()
        .unwrap();
    podgate(["install", &dest]).run().code(0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_failed_install_is_reported_and_leaves_nothing() {
    let folder = Folder::new();
    podgate(["install", &folder.text("no/such/folder")])
        .run()
        .code(125)
        .says("cannot install")
        .says("volume");
    podgate(["install"])
        .run()
        .code(2)
        .says("podgate install /podgate-bin/podgate");
    if crate::support::namespaces() {
        let full = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs -o size=64k none \"$0\"; \"$@\"; code=$?; ls -A \"$0\"; exit $code",
        ];
        let small = folder.text("");
        let starter: Vec<&str> = full.iter().copied().chain([small.as_str()]).collect();
        inside(&starter, ["install", &small])
            .run()
            .code(125)
            .says("No space left")
            .prints("");
    }
}

#[test]
fn without_proc_the_message_names_what_is_missing() {
    if crate::support::namespaces() {
        let folder = Folder::new();
        let no_proc = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            "umount -l /proc; exec \"$@\"",
            "sh",
        ];
        let done = inside(&no_proc, ["install", &folder.text("gate")]).run();
        done.code(125)
            .says("/proc/self/exe")
            .says("/proc is mounted");
    }
}
