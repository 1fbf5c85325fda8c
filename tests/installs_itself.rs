//! `install`: an init container puts the binary on a volume.

use crate::support::server::ClosedPort;
use crate::support::{Folder, inside, output, podgate};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn into_a_file_or_a_directory_and_it_runs_from_there() {
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
        "nothing else is left"
    );
}

#[test]
fn over_a_copy_that_runs() {
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
fn what_cannot_be_installed_is_said_and_nothing_is_left() {
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
fn without_proc_it_says_what_it_misses() {
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
