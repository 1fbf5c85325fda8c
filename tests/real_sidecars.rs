//! Servers that this project did not write, as sidecars of a job in a pod. They start first,
//! outlive the job when the pod is deleted, and end when the job is done. They are wrapped by
//! `run`, joined by a hook with their images as they are, or asked to quit.

use crate::support::kubelet::{Phase, Play, RestartPolicy};
use crate::support::pod::{Container, IMAGE, Pod, VOLUME, words};
use crate::support::server::free_port;
use crate::support::{Folder, Program, eventually, needs, output, program};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The user of servers that refuse to run as root. The job has another uid.
const NOBODY: (u32, u32) = (65534, 65534);
const JOB: (u32, u32) = (1000, 1000);

const GRACE: Duration = Duration::from_secs(25);

/// A server that is not started yet.
struct Server {
    /// The entrypoint of its image.
    command: Vec<String>,
    /// The image's `STOPSIGNAL`.
    stop: Signal,
    ready: String,
    /// The job's request, as a shell command.
    query: String,
    folder: Folder,
    /// A server outside of the pod that this one needs.
    _behind: Option<(Program, Folder)>,
}

/// A folder for a server that runs as nobody.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    chown(folder.path(), Some(NOBODY.0), Some(NOBODY.1)).unwrap();
    folder
}

fn curl(port: u16) -> Option<String> {
    needs("curl", program("curl", &[]).is_some())
        .then(|| format!("curl -fsS --max-time 5 --noproxy '*' http://127.0.0.1:{port}/ok"))
}

impl Server {
    fn nginx() -> Option<Self> {
        let nginx = program("nginx", &[]);
        needs("nginx", nginx.is_some()).then_some(())?;
        let (folder, port) = (folder(), free_port());
        let at = folder.path().display();
        let config = folder.file(
            "nginx.conf",
            &format!(
                "pid {at}/pid; error_log stderr; worker_processes 1; events {{}}\n\
                 http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; \
                 fastcgi_temp_path {at}/f;\n\
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
                 server {{ listen 127.0.0.1:{port}; \
                 location = /ok {{ return 200 'all is well'; }} }} }}\n"
            ),
        );
        Some(Self {
            command: words([
                nginx?.to_str()?,
                "-c",
                &config,
                "-p",
                folder.path().to_str()?,
                "-g",
                "daemon off;",
            ]),
            stop: Signal::SIGQUIT,
            ready: format!("http://127.0.0.1:{port}/ok"),
            query: curl(port)?,
            folder,
            _behind: None,
        })
    }

    /// With a master and a worker (`-W`), or in one process (`-db`). `-q` would set its stderr to
    /// /dev/null once it runs, and a later `join` would not find the container's log.
    fn haproxy(mode: &str) -> Option<Self> {
        let haproxy = program("haproxy", &[]);
        needs("HAProxy", haproxy.is_some()).then_some(())?;
        let (folder, port) = (folder(), free_port());
        let config = folder.file(
            "haproxy.cfg",
            &format!(
                "defaults\n mode http\n timeout client 5s\n timeout server 5s\n \
                 timeout connect 5s\n\
                 frontend f\n bind 127.0.0.1:{port}\n http-request return status 200 \
                 content-type text/plain string ok\n"
            ),
        );
        Some(Self {
            command: words([haproxy?.to_str()?, mode, "-db", "-f", &config]),
            stop: Signal::SIGUSR1,
            ready: format!("http://127.0.0.1:{port}/ok"),
            query: curl(port)?,
            folder,
            _behind: None,
        })
    }

    fn postgres() -> Option<Self> {
        let (bin, folder, port) = (postgres()?, folder(), free_port());
        let at = folder.path().to_str()?;
        output(as_nobody(&bin, "initdb", &folder).args([
            "-D",
            &folder.text("data"),
            "-A",
            "trust",
            "-U",
            "me",
            "--no-sync",
        ]));
        let path = |name: &str| bin.join(name).display().to_string();
        Some(Self {
            command: words([
                &path("postgres"),
                "-D",
                &folder.text("data"),
                "-k",
                at,
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                // It must leave nothing in /dev/shm when it is killed.
                "-c",
                "dynamic_shared_memory_type=mmap",
            ]),
            stop: Signal::SIGINT,
            ready: format!("exec:{} -h 127.0.0.1 -p {port}", path("pg_isready")),
            query: format!(
                "{} -h 127.0.0.1 -p {port} -U me -d postgres -Atc 'select 6 * 7'",
                path("psql")
            ),
            folder,
            _behind: None,
        })
    }

    /// PgBouncer, in front of a PostgreSQL outside of the pod.
    fn pgbouncer() -> Option<Self> {
        let pgbouncer = program("pgbouncer", &[]);
        needs("PgBouncer", pgbouncer.is_some()).then_some(())?;
        let database = Self::postgres()?;
        let (bin, folder, port) = (postgres()?, folder(), free_port());
        let at = folder.path().display();
        let mut server = as_nobody(&bin, "postgres", &database.folder);
        let log = fs::File::create(database.folder.join("log")).unwrap();
        let server = Program::start(
            server
                .args(&database.command[1..])
                .stdout(Stdio::null())
                .stderr(log),
        );
        let ready = || {
            Command::new("sh")
                .args(["-c", &database.query])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        eventually("PostgreSQL", || ready().unwrap().success().then_some(()));
        let behind = database
            .command
            .iter()
            .position(|word| word == "-p")
            .map(|at| &database.command[at + 1])?;
        let users = folder.file("users", "\"me\" \"\"\n");
        let config = folder.file(
            "pgbouncer.ini",
            &format!(
                "[databases]\npostgres = host=127.0.0.1 port={behind}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir = {at}\nauth_type = trust\nauth_file = {users}\n"
            ),
        );
        let psql = bin.join("psql");
        Some(Self {
            command: words([pgbouncer?.to_str()?, &config]),
            // SIGINT waits for running queries; SIGTERM does not.
            stop: Signal::SIGINT,
            ready: format!("tcp://127.0.0.1:{port}"),
            query: format!(
                "{} -h 127.0.0.1 -p {port} -U me -d postgres -Atc 'select 6 * 7'",
                psql.display()
            ),
            folder,
            _behind: Some((server, database.folder)),
        })
    }

    fn stop_signal(&self) -> &'static str {
        self.stop.as_str().strip_prefix("SIG").unwrap()
    }

    /// The server wrapped by `run`, with the image's own command as CMD.
    fn wrapped(&self) -> Container {
        let mut call = words([
            "run",
            "--name",
            "proxy",
            "--until",
            "job",
            "--stop-signal",
            self.stop_signal(),
            "--ready",
            &self.ready,
        ]);
        call.extend(words(["--attempt-timeout", "5s", "--"]));
        call.extend(self.command.clone());
        Container::podgate("proxy", call)
            .user(NOBODY.0, NOBODY.1)
            .working_dir(self.folder.path().to_str().unwrap())
    }

    /// The unchanged image, with a hook that joins.
    fn joined(&self) -> Container {
        let hook = [
            IMAGE,
            "join",
            "--name",
            "proxy",
            "--restart-policy",
            "never",
            "--until",
            "job",
            "--stop-signal",
            self.stop_signal(),
            "--attempt-timeout",
            "5s",
            "--ready",
            &self.ready,
            "--wait",
        ];
        Container::new("proxy", &self.command)
            .user(NOBODY.0, NOBODY.1)
            .working_dir(self.folder.path().to_str().unwrap())
            .post_start(hook)
    }

    /// Sends requests until SIGTERM, or at most `most` times. After SIGTERM it takes about a second
    /// more, and sends a last request.
    fn job(&self, most: u32) -> Container {
        let query = &self.query;
        let script = format!(
            "trap 'stop=1' TERM; count=0\n\
             while [ -z \"$stop\" ] && [ $count -lt {most} ]; do\n\
             {query} >/dev/null || {{ echo query $count failed; exit 4; }}\n\
             count=$((count + 1)); echo asked $count; sleep 0.05\n\
             done\n\
             [ -z \"$stop\" ] || {{ echo got SIGTERM; sleep 1; }}\n\
             {query} || exit 5\n\
             echo last answer"
        );
        let call = [
            "run",
            "--name",
            "job",
            "--restart-policy",
            "never",
            "--after",
            "ready:proxy",
            "--",
            "sh",
            "-c",
            &script,
        ];
        Container::podgate("job", call).user(JOB.0, JOB.1)
    }
}

/// The directory of PostgreSQL's programs.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let bins = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists());
    let bin = bins.max();
    needs("PostgreSQL", bin.is_some()).then_some(())?;
    needs(
        "root, to run PostgreSQL as nobody",
        nix::unistd::geteuid().is_root(),
    )
    .then_some(bin?)
}

fn as_nobody(bin: &Path, name: &str, folder: &Folder) -> Command {
    let mut command = Command::new("setpriv");
    let (user, group) = (NOBODY.0.to_string(), NOBODY.1.to_string());
    command.args(["--reuid", &user, "--regid", &group, "--clear-groups"]);
    command.arg(bin.join(name)).current_dir(folder.path());
    command
}

/// The server must have seen the end of the job. The order of the two ends proves nothing, because
/// they are milliseconds apart.
#[track_caller]
fn ended_in_order(play: &Play, job: i32, proxy: i32) {
    assert_eq!(
        (play.codes("job"), play.codes("proxy")),
        (vec![job], vec![proxy]),
        "{play}"
    );
    let seen = if job == 137 {
        "job was lost".to_owned()
    } else {
        format!("job ended with exit code {job}")
    };
    assert!(play.life("proxy").stderr().contains(&seen), "{play}");
}

/// The pod is deleted while the job works: the server stays until the job has received its last
/// answer.
fn outlives_its_job(server: Option<Server>, own_signal: bool) {
    let (Some(pod), Some(server)) = (Pod::new(), server) else {
        return;
    };
    let mut proxy = server.wrapped();
    if own_signal {
        // The runtime sends the image's own stop signal.
        proxy = proxy.stop_signal(server.stop);
    }
    let play = pod.play(RestartPolicy::Never, [proxy, server.job(u32::MAX)]);
    play.life("job").prints("asked 3");
    let begin = Instant::now();
    play.delete(GRACE);
    let phase = play.finish();
    ended_in_order(&play, 0, 0);
    assert_eq!(phase, Phase::Succeeded);
    let job = play.life("job");
    assert!(
        job.prints("got SIGTERM") > begin && job.stdout().ends_with("last answer\n"),
        "{job}"
    );
    assert!(
        play.ends("job")[0].at.duration_since(begin) > Duration::from_millis(900),
        "{job}"
    );
    let proxy = play.life("proxy");
    assert!(proxy.says("holding") < job.prints("last answer"), "{proxy}");
    assert!(!proxy.stderr().contains("killing it"), "{proxy}");
}

/// The job ends by itself, and then the server ends.
fn ends_with_its_job(server: Option<Server>) {
    let (Some(pod), Some(server)) = (Pod::new(), server) else {
        return;
    };
    let play = pod.play(RestartPolicy::Never, [server.wrapped(), server.job(3)]);
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    ended_in_order(&play, 0, 0);
    assert!(
        play.life("job").stdout().ends_with("last answer\n"),
        "{play}"
    );
    play.life("proxy").says("job is done, with success");
}

/// The same with an unchanged image and a hook, and with a job that is killed.
fn joins(server: Option<Server>) {
    let (Some(pod), Some(server)) = (Pod::new(), server) else {
        return;
    };
    let play = pod.play(RestartPolicy::Never, [server.joined(), server.job(3)]);
    let phase = play.finish();
    ended_in_order(&play, 0, 0);
    assert_eq!(phase, Phase::Succeeded, "{play}");
    play.post_start("proxy").code(0);
    drop(play);

    let Some(pod) = Pod::new() else { return };
    let play = pod.play(
        RestartPolicy::Never,
        [server.joined(), server.job(u32::MAX)],
    );
    let (job, proxy) = (play.life("job"), play.life("proxy"));
    job.prints("asked 2");
    assert!(proxy.is_running());
    job.kill();
    assert_eq!(play.finish(), Phase::Failed, "{play}");
    ended_in_order(&play, 137, 0);
    assert_eq!(proxy.processes(), []);
}

macro_rules! servers {
    ($($name:ident: $server:expr;)*) => {
        $(mod $name {
            use super::Server;

            #[test]
            fn outlives_its_job() {
                super::outlives_its_job($server, false);
            }

            #[test]
            fn outlives_its_job_by_its_own_signal() {
                super::outlives_its_job($server, true);
            }

            #[test]
            fn ends_with_its_job() {
                super::ends_with_its_job($server);
            }
        })*
    };
}

servers! {
    nginx: Server::nginx();
    haproxy_master_and_worker: Server::haproxy("-W");
    haproxy_alone: Server::haproxy("-db");
    pgbouncer: Server::pgbouncer();
    postgres: Server::postgres();
}

#[test]
fn nginx_joins() {
    joins(Server::nginx());
}

#[test]
fn haproxy_joins() {
    joins(Server::haproxy("-db"));
}

/// HAProxy's master ends when it has no children left. The process that a hook leaves behind would
/// be such a child, so it has to end first.
#[test]
fn haproxys_master_joins() {
    joins(Server::haproxy("-W"));
}

#[test]
fn pgbouncer_joins() {
    joins(Server::pgbouncer());
}

#[test]
fn postgres_joins() {
    joins(Server::postgres());
}

/// Envoy with this admin port. It is LIVE after it has waited one second for a control plane that
/// does not exist.
fn envoy(folder: &Folder, port: u16) -> Option<Container> {
    let envoy = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/envoy/bin/envoy");
    needs("Envoy", envoy.exists()).then_some(())?;
    needs("curl", program("curl", &[]).is_some()).then_some(())?;
    let config = folder.file("envoy.yaml", &crate::real_envoy::config(port, "1s"));
    let command = [
        envoy.to_str()?,
        "-c",
        &config,
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "error",
    ];
    Some(Container::new("envoy", command))
}

fn live(port: u16) -> String {
    format!("curl -fsS --noproxy '*' http://127.0.0.1:{port}/ready")
}

#[test]
fn envoy_starts_before_the_job_and_ends_after_it() {
    for code in [0, 3] {
        let (folder, port) = (Folder::new(), free_port());
        let (Some(pod), Some(envoy)) = (Pod::new(), envoy(&folder, port)) else {
            return;
        };
        let script = format!("{} && echo has begun; exit {code}", live(port));
        let preset = format!("envoy:{port}");
        let call = [
            "run",
            "--sidecar",
            &preset,
            "--restart-policy",
            "never",
            "--",
            "sh",
            "-c",
            &script,
        ];
        let play = pod.play(
            RestartPolicy::Never,
            [envoy, Container::podgate("job", call).user(JOB.0, JOB.1)],
        );
        let phase = play.finish();
        assert_eq!(
            (play.codes("job"), play.codes("envoy")),
            (vec![code], vec![0]),
            "{play}"
        );
        assert_eq!(
            phase,
            if code == 0 {
                Phase::Succeeded
            } else {
                Phase::Failed
            }
        );
        let job = play.life("job");
        assert_eq!(job.stdout(), "LIVE\nhas begun\n", "{job}");
        assert!(job.stderr().contains("has quit after"), "{job}");
    }
}

#[test]
fn envoy_stays_for_the_retry_under_on_failure() {
    let (folder, port) = (Folder::new(), free_port());
    let (Some(pod), Some(envoy)) = (Pod::new(), envoy(&folder, port)) else {
        return;
    };
    let script = format!(
        "{}; test -e {VOLUME}/tried && exit 0; touch {VOLUME}/tried; exit 3",
        live(port)
    );
    let preset = format!("envoy:{port}");
    let call = [
        "run",
        "--sidecar",
        &preset,
        "--restart-policy",
        "on-failure",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let play = pod.play(
        RestartPolicy::OnFailure,
        [envoy, Container::podgate("job", call).user(JOB.0, JOB.1)],
    );
    assert_eq!(play.finish(), Phase::Succeeded, "{play}");
    assert_eq!(
        (play.codes("job"), play.codes("envoy")),
        (vec![3, 0], vec![0]),
        "{play}"
    );
    let jobs = play.lives("job");
    assert!(jobs.iter().all(|job| job.stdout() == "LIVE\n"), "{play}");
    assert!(
        !jobs[0].stderr().contains("acknowledged") && jobs[1].stderr().contains("has quit after"),
        "{play}"
    );
    assert!(play.ends("envoy")[0].at > jobs[1].started(), "{play}");
}

#[test]
fn envoy_is_asked_to_quit_by_a_script() {
    let (folder, port) = (Folder::new(), free_port());
    let (Some(pod), Some(envoy)) = (Pod::new(), envoy(&folder, port)) else {
        return;
    };
    let script = format!(
        "{IMAGE} wait envoy:{port} && {}; {IMAGE} quit envoy:{port} && exit 6",
        live(port)
    );
    let play = pod.play(
        RestartPolicy::Never,
        [envoy, Container::sh("job", &script).user(JOB.0, JOB.1)],
    );
    assert_eq!(play.finish(), Phase::Failed, "{play}");
    assert_eq!(
        (play.codes("job"), play.codes("envoy")),
        (vec![6], vec![0]),
        "{play}"
    );
    assert_eq!(play.life("job").stdout(), "LIVE\n", "{play}");
}
