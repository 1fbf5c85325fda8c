//! `postgres://`, `mysql://` and `redis://` against PostgreSQL, PgBouncer, MariaDB and Redis, which
//! this project did not write.

use crate::real_postgres::Postgres;
use crate::support::server::{Server, free_port};
use crate::support::{
    Done, Folder, Program, eventually, inside, namespaces, needs, output, podgate, program,
};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

const NOBODY: u32 = 65534;
/// Starts a program as nobody: the servers refuse to run as root, or should not.
const AS_NOBODY: &[&str] = &["--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// A slow machine must not make a difference.
fn check(url: &str) -> Done {
    podgate(["check", "--attempt-timeout", "10s", url]).run()
}

fn wait(url: &str) -> crate::support::Running {
    podgate(["wait", "--attempt-timeout", "10s", url]).start()
}

/// The exit code of pg_isready: 0 accepting connections, 1 rejecting them, 2 no response.
fn pg_isready(postgres: &Postgres, port: u16) -> Option<i32> {
    let port = port.to_string();
    let mut command = Command::new(postgres.bin.join("pg_isready"));
    command.args(["-h", "127.0.0.1", "-p", &port, "-t", "10"]);
    command.stdout(Stdio::null()).status().unwrap().code()
}

fn psql(postgres: &Postgres, sql: &str) -> Command {
    let mut command = Command::new(postgres.bin.join("psql"));
    command.args(["-h", postgres.folder.path().to_str().unwrap(), "-U", "me"]);
    command.args(["-p", &postgres.port.to_string(), "-c", sql, "postgres"]);
    command
}

fn postgres_url(postgres: &Postgres) -> String {
    format!("postgres://127.0.0.1:{}", postgres.port)
}

/// Lines of the log that an administrator would look at.
fn complaints(postgres: &Postgres) -> Vec<String> {
    let is_complaint = |line: &&str| {
        ["FATAL", "ERROR", "WARNING", "could not", "reset by peer"]
            .iter()
            .any(|it| line.contains(it))
    };
    postgres
        .log()
        .lines()
        .filter(is_complaint)
        .map(str::to_owned)
        .collect()
}

#[test]
fn postgres_passes_over_tcp_and_a_socket_when_the_server_accepts_connections() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    let tcp = postgres_url(&postgres);
    let socket = format!(
        "{}/.s.PGSQL.{}",
        postgres.folder.path().display(),
        postgres.port
    );
    let socket = format!("postgres+unix://{}", socket.replace('/', "%2F"));
    check(&tcp).code(1).says("connection refused");
    check(&socket).code(1).says("the path does not exist");
    let waiting = [wait(&tcp), wait(&socket)];
    let _server = postgres.start_with(&["log_connections=on"]);
    for waiting in waiting {
        waiting.finish().code(0);
    }
    // With `trust` only a role of this name keeps the log clean.
    let complaint = "role \"podgate\" does not exist";
    eventually("two complaints", || {
        (postgres.log().matches(complaint).count() == 2).then_some(())
    });
    output(&mut psql(&postgres, "CREATE ROLE podgate LOGIN"));
    // The log so far has what was refused while the server started.
    let before = complaints(&postgres).len();
    for url in [&tcp, &socket] {
        check(url).code(0);
    }
    eventually("the log", || {
        let authorized = "user=podgate database=postgres application_name=podgate";
        (postgres.log().matches(authorized).count() == 4).then_some(())
    });
    assert_eq!(complaints(&postgres).len(), before, "{}", postgres.log());
}

#[test]
fn a_postgres_that_is_starting_up_does_not_pass() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    // A recovery that asks for an archived file for as long as this one exists.
    let hold = postgres.folder.file("hold", "");
    postgres.folder.file("data/recovery.signal", "");
    let restore = format!("restore_command=while [ -e {hold} ]; do sleep 0.05; done; false");
    let _server = postgres.start_with(&[&restore]);
    let url = postgres_url(&postgres);
    let waiting = wait(&url);
    waiting.says("the server answers: the database system is starting up");
    assert_eq!(
        pg_isready(&postgres, postgres.port),
        Some(1),
        "rejecting connections"
    );
    // The negative control: the port is open.
    check(&format!("tcp://127.0.0.1:{}", postgres.port)).code(0);
    check(&url).code(1).says("check the server's log");
    fs::remove_file(&hold).unwrap();
    waiting.finish().code(0);
    assert_eq!(pg_isready(&postgres, postgres.port), Some(0));
}

#[test]
fn a_postgres_that_is_shutting_down_does_not_pass() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    let server = postgres.start_with(&[]);
    let url = postgres_url(&postgres);
    wait(&url).finish().code(0);
    // A smart shutdown waits for this session.
    let mut session = psql(&postgres, "SELECT 'begun', pg_sleep(60)");
    let _session = Program::start(session.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("the session", || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%begun%'";
        output(&mut psql(&postgres, count))
            .contains('2')
            .then_some(())
    });
    nix::sys::signal::kill(server.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    eventually("the shutdown", || {
        (pg_isready(&postgres, postgres.port) == Some(1)).then_some(())
    });
    check(&url)
        .code(1)
        .says("the server answers: the database system is shutting down");
}

#[test]
fn postgres_passes_whatever_it_answers_to_this_user() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    let server = postgres.start_with(&[]);
    let url = postgres_url(&postgres);
    wait(&url).finish().code(0);
    output(&mut psql(&postgres, "CREATE ROLE podgate LOGIN"));
    let rules = |rule: &str| {
        postgres.folder.file(
            "data/pg_hba.conf",
            &format!("local all all trust\n{rule}\n"),
        );
        let loaded = postgres.log().matches("reloading configuration").count();
        nix::sys::signal::kill(server.pid(), nix::sys::signal::Signal::SIGHUP).unwrap();
        eventually("the new rules", || {
            (postgres.log().matches("reloading configuration").count() > loaded).then_some(())
        });
        // The postmaster reads the file just after it has written that.
        let shown = "SELECT count(*) FROM pg_hba_file_rules";
        output(&mut psql(&postgres, shown));
    };
    // Each request for a password leaves the log clean.
    let before = complaints(&postgres).len();
    for method in ["scram-sha-256", "md5", "password"] {
        rules(&format!("host all all all {method}"));
        check(&url).code(0);
    }
    assert_eq!(complaints(&postgres).len(), before, "{}", postgres.log());
    // These are errors.
    for (rule, complaint) in [
        ("host all all all reject", "pg_hba.conf rejects connection"),
        ("", "no pg_hba.conf entry for host"),
    ] {
        rules(rule);
        check(&url).code(0);
        assert_eq!(pg_isready(&postgres, postgres.port), Some(0));
        eventually(complaint, || {
            postgres.log().contains(complaint).then_some(())
        });
    }
    rules("host all all all trust");
    // No such database: "postgres" has another name.
    let mut rename = psql(&postgres, "ALTER DATABASE postgres RENAME TO other");
    let last = rename.get_args().count() - 1;
    let words: Vec<_> = rename
        .get_args()
        .take(last)
        .map(ToOwned::to_owned)
        .collect();
    rename = Command::new(rename.get_program());
    output(rename.args(words).arg("template1"));
    check(&url).code(0);
    eventually("the log", || {
        postgres
            .log()
            .contains("database \"postgres\" does not exist")
            .then_some(())
    });
}

#[test]
fn pgbouncer_passes_while_the_server_behind_it_is_down() {
    let Some(postgres) = Postgres::new() else {
        return;
    };
    let bouncer = program("pgbouncer", &[]);
    if !needs("PgBouncer", bouncer.is_some()) {
        return;
    }
    let port = free_port();
    for auth in ["scram-sha-256", "trust"] {
        let users = postgres.folder.file("users", "\"me\" \"x\"\n");
        let config = format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = {auth}\nauth_file = {users}\n",
            postgres.port
        );
        let config = postgres.folder.file("pgbouncer.ini", &config);
        let mut command = Command::new("setpriv");
        command
            .args(AS_NOBODY)
            .arg(bouncer.as_ref().unwrap())
            .arg(config);
        let _bouncer = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait(&format!("postgres://127.0.0.1:{port}"))
            .finish()
            .code(0);
        // As pg_isready judges it.
        assert_eq!(pg_isready(&postgres, port), Some(0));
        check(&postgres_url(&postgres))
            .code(1)
            .says("connection refused");
    }
}

/// A MariaDB of its own, as nobody.
struct Mariadb {
    folder: Folder,
    port: u16,
}

impl Mariadb {
    /// A data folder with no accounts but root's on the socket.
    fn new() -> Option<Self> {
        let is_there = ["mariadbd", "mariadb", "mariadb-install-db"]
            .iter()
            .all(|name| program(name, &[]).is_some());
        if !needs("MariaDB", is_there)
            || !needs(
                "root, to run MariaDB as nobody",
                nix::unistd::geteuid().is_root(),
            )
        {
            return None;
        }
        let folder = Folder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mariadb = Self {
            folder,
            port: free_port(),
        };
        output(
            Command::new("setpriv")
                .args(AS_NOBODY)
                .arg("mariadb-install-db")
                .args(mariadb.options())
                .args(["--auth-root-authentication-method=normal", "--skip-test-db"]),
        );
        Some(mariadb)
    }

    fn options(&self) -> [String; 2] {
        [
            "--no-defaults".to_owned(),
            format!("--datadir={}", self.folder.text("data")),
        ]
    }

    /// Starts it behind these words, with these options besides the usual ones.
    fn start(&self, before: &[&str], options: &[&str]) -> Program {
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let mut command = Command::new(before[0]);
        command
            .args(&before[1..])
            .args(["setpriv"])
            .args(AS_NOBODY)
            .arg(program("mariadbd", &[]).unwrap())
            .args(self.options())
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", self.folder.text("socket")))
            .arg(format!("--pid-file={}", self.folder.text("pid")))
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=16M",
            ])
            .args(options);
        Program::start(command.stdout(Stdio::null()).stderr(log))
    }

    /// What the server answers, on its socket.
    fn ask(&self, sql: &str) -> String {
        let mut command = Command::new("mariadb");
        command.args([
            "--no-defaults",
            "-u",
            "root",
            "-N",
            "-S",
            &self.folder.text("socket"),
        ]);
        output(command.args(["-e", sql]))
    }
}

#[test]
fn mysql_passes_at_the_greeting_and_not_with_too_many_connections() {
    let Some(mariadb) = Mariadb::new() else {
        return;
    };
    let url = format!("mysql://127.0.0.1:{}", mariadb.port);
    check(&url).code(1).says("connection refused");
    let waiting = wait(&url);
    let _server = mariadb.start(
        &["env"],
        &["--bind-address=127.0.0.1", "--max-connections=10"],
    );
    waiting.finish().code(0);
    // One more is kept for an administrator. A connection counts before it logs in.
    let connect = || TcpStream::connect(("127.0.0.1", mariadb.port)).unwrap();
    let mut held: Vec<_> = (0..11).map(|_| connect()).collect();
    let waiting = wait(&url);
    waiting.says("the server answers: error 1040: Too many connections");
    // The negative control: the port is open.
    check(&format!("tcp://127.0.0.1:{}", mariadb.port)).code(0);
    held.clear();
    waiting.finish().code(0);
    // The port of another protocol.
    check(&url.replace("mysql:", "redis:"))
        .code(1)
        .says("not an answer in the Redis protocol: the server speaks the MySQL protocol");
}

#[test]
fn mysql_checks_are_no_connection_errors_that_block_the_host() {
    if !namespaces() {
        return;
    }
    let Some(mariadb) = Mariadb::new() else {
        return;
    };
    // A server counts no errors of loopback addresses, so this network has another one; and only
    // errors of hosts whose names it can resolve.
    let hosts = mariadb
        .folder
        .file("hosts", "127.0.0.1 localhost\n192.0.2.1 app\n");
    let network = format!(
        "ip link set lo up && ip address add 192.0.2.1/32 dev lo && \
         mount --bind {hosts} /etc/hosts && exec \"$@\""
    );
    let server = mariadb.start(
        &["unshare", "--net", "--mount", "sh", "-c", &network, "sh"],
        &[
            "--max-connect-errors=3",
            "--performance-schema=on",
            "--secure-auth=off",
        ],
    );
    let socket = mariadb.folder.join("socket");
    eventually("MariaDB's socket", || socket.exists().then_some(()));
    let net = format!("--net=/proc/{}/ns/net", server.pid());
    let check = |scheme: &str| {
        let url = format!("{scheme}://192.0.2.1:{}", mariadb.port);
        inside(
            &["nsenter", &net],
            ["check", "--attempt-timeout", "10s", &url],
        )
        .run()
    };
    // No account may come from there yet.
    check("mysql")
        .code(1)
        .says("the server answers: error 1130: Host 'app' is not allowed to connect");
    let errors = || {
        let sql = "SELECT SUM_CONNECT_ERRORS, COUNT_AUTHENTICATION_ERRORS \
                   FROM performance_schema.host_cache";
        mariadb.ask(sql).trim().to_owned()
    };
    // The server asks an unknown user for the login of an account that exists. The second one wants
    // another login than was sent (AuthSwitchRequest).
    for (login, errors_then) in [
        ("BY 'x'", "0\t10"),
        ("VIA mysql_old_password USING '378b243e220ca493'", "0\t20"),
    ] {
        mariadb.ask("DROP USER IF EXISTS app@'%'");
        mariadb.ask(&format!("CREATE USER app@'%' IDENTIFIED {login}"));
        for _ in 0..10 {
            check("mysql").code(0);
        }
        eventually("ten logins that failed", || {
            (errors() == errors_then).then_some(())
        });
    }
    // The negative control: a client that just goes away is counted.
    for _ in 0..4 {
        check("tcp").code(0);
    }
    let count = || errors().split('\t').next()?.parse::<u32>().ok();
    eventually("connection errors", || count().filter(|it| *it >= 3));
    check("mysql")
        .code(1)
        .says("the server answers: error 1129: Host '192.0.2.1' is blocked");
}

/// A Redis in this folder, with these options.
fn redis(folder: &Folder, port: u16, options: &[&str]) -> Option<Program> {
    if !needs("Redis", program("redis-server", &[]).is_some()) {
        return None;
    }
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    command
        .args(["--dir", folder.path().to_str().unwrap()])
        .args(options);
    Some(Program::start(command.stdout(log).stderr(Stdio::null())))
}

fn redis_cli(port: u16, words: &[&str]) -> String {
    output(
        Command::new("redis-cli")
            .args(["-p", &port.to_string()])
            .args(words),
    )
}

#[test]
fn redis_passes_with_and_without_a_password() {
    let (folder, port) = (Folder::new(), free_port());
    let url = format!("redis://127.0.0.1:{port}");
    check(&url).code(1).says("connection refused");
    let waiting = wait(&url);
    let Some(_server) = redis(&folder, port, &[]) else {
        return;
    };
    waiting.finish().code(0);
    redis_cli(port, &["ACL", "SETUSER", "default", "-ping"]);
    assert!(redis_cli(port, &["PING"]).starts_with("NOPERM "));
    check(&url).code(0);
    redis_cli(port, &["CONFIG", "SET", "requirepass", "x"]);
    assert!(redis_cli(port, &["PING"]).starts_with("NOAUTH "));
    check(&url).code(0);
}

#[test]
fn a_redis_that_is_loading_its_data_does_not_pass() {
    let (folder, port) = (Folder::new(), free_port());
    let url = format!("redis://127.0.0.1:{port}");
    {
        let Some(_server) = redis(&folder, port, &["--enable-debug-command", "yes"]) else {
            return;
        };
        wait(&url).finish().code(0);
        redis_cli(port, &["DEBUG", "POPULATE", "20000"]);
        redis_cli(port, &["SAVE"]);
    }
    // 0.1 ms a key, and the server answers now and then while it loads.
    let slowly = [
        "--key-load-delay",
        "100",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let _server = redis(&folder, port, &slowly);
    let waiting = wait(&url);
    waiting.says("the server answers: LOADING Redis is loading the dataset in memory");
    // The negative control: the port is open.
    check(&format!("tcp://127.0.0.1:{port}")).code(0);
    waiting.finish().code(0);
    assert_eq!(redis_cli(port, &["DBSIZE"]).trim(), "20000");
}

#[test]
fn a_replica_without_its_master_does_not_pass() {
    let (folder, port, master) = (Folder::new(), free_port(), free_port().to_string());
    let options = [
        "--replicaof",
        "127.0.0.1",
        &master,
        "--replica-serve-stale-data",
        "no",
    ];
    let Some(_server) = redis(&folder, port, &options) else {
        return;
    };
    let waiting = wait(&format!("redis://127.0.0.1:{port}"));
    waiting.says("the server answers: MASTERDOWN Link with MASTER is down");
    redis_cli(port, &["REPLICAOF", "NO", "ONE"]);
    waiting.finish().code(0);
}

#[test]
fn a_proxy_that_accepts_and_closes_does_not_pass() {
    let proxy = Server::raw(|_| {});
    // The negative control: this is what a mesh does while the server behind it is down.
    check(&format!("tcp://{}", proxy.address)).code(0);
    for scheme in ["postgres", "mysql", "redis"] {
        check(&format!("{scheme}://{}", proxy.address))
            .code(1)
            .says("closed before an answer")
            .says("a proxy or a mesh");
    }
}

#[test]
fn a_server_that_never_stops_sending_does_not_pass() {
    let flood = |first: &'static [u8], bytes: &'static [u8]| {
        Server::raw(move |mut stream| {
            let _ = stream.write_all(first);
            while stream.write_all(bytes).is_ok() {}
        })
    };
    // A line, an error and a greeting that never end, and notices without an end.
    for (scheme, first) in [
        ("redis", &b"+"[..]),
        ("redis", b"-LOADING "),
        ("mysql", b"\xff\xff\0\0\x0a8.0.36"),
        ("postgres", b"E"),
    ] {
        check(&format!("{scheme}://{}", flood(first, b"xxxxxxxx").address)).code(1);
    }
    let notices = flood(b"", b"N\0\0\0\x0cSNOTICE\0");
    podgate([
        "check",
        "--attempt-timeout",
        "1s",
        &format!("postgres://{}", notices.address),
    ])
    .run()
    .code(1)
    .says("timed out after 1s");
}
