//! PostgreSQL, a server that this project did not write: `exec:pg_isready`, `unix://`, `tcp://` and
//! `listen://`.

use crate::support::{Folder, Program, eventually, needs, output, podgate, program};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

pub(crate) struct Postgres {
    pub(crate) bin: PathBuf,
    pub(crate) folder: Folder,
    pub(crate) port: u16,
}

impl Postgres {
    /// A cluster that is not started yet. `None` where there is no PostgreSQL.
    pub(crate) fn new() -> Option<Self> {
        let mut bins: Vec<String> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin").display().to_string())
            .collect();
        bins.sort();
        let bins: Vec<&str> = bins.iter().rev().map(String::as_str).collect();
        let initdb = program("initdb", &bins).and_then(|path| fs::canonicalize(path).ok());
        if !needs("PostgreSQL", initdb.is_some())
            || !needs(
                "root, to run PostgreSQL as nobody",
                nix::unistd::geteuid().is_root(),
            )
        {
            return None;
        }
        let bin = initdb?.parent()?.to_owned();
        let folder = Folder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let postgres = Self { bin, folder, port };
        output(postgres.as_nobody("initdb").args([
            "-D",
            &postgres.folder.text("data"),
            "-A",
            "trust",
            "-U",
            "me",
            "--no-sync",
        ]));
        Some(postgres)
    }

    pub(crate) fn as_nobody(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(self.bin.join(name))
            .current_dir(self.folder.path());
        command
    }

    fn start(&self) -> Program {
        self.start_with(&["log_connections=on"])
    }

    /// Starts it with these settings besides the usual ones.
    pub(crate) fn start_with(&self, settings: &[&str]) -> Program {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut command = self.as_nobody("postgres");
        command.args([
            "-D",
            &self.folder.text("data"),
            "-k",
            self.folder.path().to_str().unwrap(),
            "-p",
            &self.port.to_string(),
        ]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        // PostgreSQL must leave nothing in /dev/shm when it is killed.
        command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        Program::start(command.stdout(Stdio::null()).stderr(log))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

#[test]
fn every_kind_of_check_waits_for_postgres() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    let isready = format!(
        "exec:{}/pg_isready -h {} -p {}",
        postgres.bin.display(),
        postgres.folder.path().display(),
        postgres.port
    );
    let socket = format!(
        "unix://{}/.s.PGSQL.{}",
        postgres.folder.path().display(),
        postgres.port
    );
    let listen = format!("listen://:{}", postgres.port);
    let tcp = format!("tcp://127.0.0.1:{}", postgres.port);
    podgate(["check", &isready])
        .run()
        .code(1)
        .says("exit code 2")
        .says("no response");
    let waiting = podgate([
        "wait",
        "--attempt-timeout",
        "5s",
        &isready,
        &socket,
        &listen,
        &tcp,
        "--",
        "echo",
        "started",
    ])
    .start();
    waiting.says("no response");
    waiting.says("the path does not exist");
    waiting.says("no process listens on this port");
    waiting.says("refused");
    let mut server = postgres.start();
    waiting.finish().code(0).prints("started\n");
    assert!(server.has_ended().is_none());

    // `listen://` leaves no line in the server's log; `tcp://` leaves one.
    let settled = || {
        podgate(["check", "--attempt-timeout", "5s", &isready])
            .run()
            .status
            .success()
            .then_some(())
    };
    eventually("PostgreSQL", settled);
    let received = || postgres.log().matches("connection received").count();
    // Lines of earlier checks may still be written.
    let settled = || {
        let before = received();
        std::thread::sleep(std::time::Duration::from_millis(300));
        (received() == before).then_some(before)
    };
    let before = eventually("the log to be written", settled);
    for _ in 0..5 {
        podgate(["check", &listen]).run().code(0);
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(received(), before, "{}", postgres.log());
    podgate(["check", &tcp]).run().code(0);
    eventually("a line for tcp://", || (received() > before).then_some(()));
}
