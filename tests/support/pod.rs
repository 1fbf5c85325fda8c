//! A pod without Kubernetes: containers, each PID 1 of namespaces of its own, that share a network and a volume.
//!
//! ```text
//! test process ── pipe ──▶ sandbox: a PID and a mount namespace, in which the volume (a tmpfs) is mounted
//!                             ├─ container: PID and mount namespace; PID 1 is the program itself
//!                             └─ container …
//! ```
//!
//! The sandbox ends when the pipe does, and the kernel then ends all that is in it: no process and no mount outlives the pod, nor the
//! test process, however that dies. Nothing is ever mounted in the namespace of the test.
//!
//! What a container sees: the files of this machine (there is no image), its own `/proc`, an empty `/run` of its own with the volume
//! at [`VOLUME`] and podgate at [`IMAGE`], and no variables but `PATH` and those it was given. Where a manifest is played
//! ([`super::player`]), it has a root file system of its own instead, with its image's files, and the volumes that the manifest mounts.
//!
//! The restart policy, hooks and deletion are the kubelet's: see [`super::kubelet`].

use super::{Done, Folder, LIMIT, PODGATE, eventually, needs, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, fchown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a container sees the pod's volume, unless it says otherwise.
pub const VOLUME: &str = "/run/podgate";

/// Where every container sees podgate, whatever its user, and read-only.
pub const IMAGE: &str = "/run/image/podgate";

/// What a container's PID 1 is called until it is the program; [`Life`] is not given out before.
const STARTER: &str = "podstart-";

/// What the starter says if it fails.
const NOT_SET_UP: &str = "podstart: the container cannot be set up";

/// Where a container with a root of its own finds its image's programs by name.
pub const PROGRAMS: &str = "/image/bin";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Words of a command.
pub fn words(words: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect()
}

/// The programs that make a container, by path: a container's own `PATH` must not choose them.
struct Tools {
    mkdir: String,
    /// With an option of its own: words for a shell.
    mount: String,
    nsenter: String,
    pivot_root: String,
    rmdir: String,
    setpriv: String,
    sh: String,
    umount: String,
    unshare: String,
}

/// The tools, if they are there and may be used.
fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let find = || {
        let path = |name: &str| Some(program(name, &["/bin"])?.to_str()?.to_owned());
        let tools = Tools {
            mkdir: path("mkdir")?,
            // Without -n it leaves a directory in /run.
            mount: path("mount")? + " -n",
            nsenter: path("nsenter")?,
            pivot_root: path("pivot_root")?,
            rmdir: path("rmdir")?,
            setpriv: path("setpriv")?,
            sh: path("sh")?,
            umount: path("umount")?,
            unshare: path("unshare")?,
        };
        let mut attempt = Command::new(&tools.unshare);
        attempt
            .args(["--pid", "--fork", "--mount", "--mount-proc", "true"])
            .stderr(Stdio::null());
        (geteuid().is_root() && attempt.status().ok()?.success()).then_some(tools)
    };
    TOOLS.get_or_init(find).as_ref()
}

/// A volume, and what containers need around it. All that runs in it ends with it.
pub struct Pod {
    sandbox: Arc<Sandbox>,
}

/// The pod's own namespaces, and the process that holds them.
pub(super) struct Sandbox {
    tools: &'static Tools,
    folder: Folder,
    /// PID 1 of the sandbox, as this machine sees it.
    pid: Pid,
    /// The `unshare` that waits for it; its standard input is what the sandbox lives by.
    child: Mutex<Child>,
    closed: AtomicBool,
    network: Network,
}

/// Whose ports a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    OfTheMachine,
    /// Its own, with a loopback interface and nothing else: no port is taken, and nothing can be reached.
    Own,
}

impl Pod {
    /// A pod with a volume of 4 MiB that everyone may write. `None` where this machine cannot do it: the test is skipped, or under CI failed.
    pub fn new() -> Option<Self> {
        Self::with_volume("size=4m")
    }

    /// The same with these options for the volume's tmpfs: `size=4k`, `nr_inodes=8`, `mode=0700`.
    pub fn with_volume(options: &str) -> Option<Self> {
        Self::with(options, Network::OfTheMachine)
    }

    /// The same with a network namespace of its own: fixed ports of two pods do not clash.
    pub fn with_network(options: &str) -> Option<Self> {
        Self::with(options, Network::Own)
    }

    fn with(options: &str, network: Network) -> Option<Self> {
        let tools = tools();
        needs(
            "the right to make containers (root, and unshare, nsenter, setpriv, mount of util-linux)",
            tools.is_some(),
        )
        .then(|| Self::make(tools.unwrap(), options, network))
    }

    fn make(tools: &'static Tools, options: &str, network: Network) -> Self {
        let folder = Folder::new();
        let volume = folder.text("volume");
        fs::create_dir(&volume).unwrap();
        symlink(&tools.sh, folder.join(&format!("{STARTER}sh"))).unwrap();
        // Where the test is killed, nobody else removes the folder.
        let (net, up) = match network {
            Network::OfTheMachine => (None, String::new()),
            Network::Own => (
                Some("--net"),
                format!(
                    "{} link set lo up && ",
                    program("ip", &[]).unwrap().display()
                ),
            ),
        };
        let script = format!(
            "{up}{} -t tmpfs -o mode=0777,{options} podgate-volume {volume} && echo ready && read x; {} -l {volume} && rm -r {}",
            tools.mount,
            tools.umount,
            folder.path().display()
        );
        let mut child = Command::new(&tools.unshare)
            .args(["--pid", "--fork", "--mount", "--mount-proc"])
            .args(net)
            .args(["--", &tools.sh, "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // unshare says something about an end by SIGKILL.
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line != "ready\n" {
            panic!("no volume with {options:?}: {:?}", child.wait_with_output());
        }
        let pid = only_child(&child).unwrap();
        Self {
            sandbox: Arc::new(Sandbox {
                tools,
                folder,
                pid,
                child: Mutex::new(child),
                closed: AtomicBool::new(false),
                network,
            }),
        }
    }

    /// The volume, as the test sees it: to look into, and to plant files. Gone with the pod.
    pub fn volume(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/root{}",
            self.sandbox.pid,
            self.sandbox.staging()
        ))
    }

    /// Changes the volume for all at once: `size=8k`, `ro`. The kernel refuses `ro` while a file in it is open for writing.
    pub fn remount(&self, options: &str) {
        let (sandbox, tools) = (&self.sandbox, self.sandbox.tools);
        let options = format!("remount,{options}");
        let target = sandbox.pid.to_string();
        let script = format!("{} -o {options} {}", tools.mount, sandbox.staging());
        super::output(Command::new(&tools.nsenter).args([
            "--target", &target, "--mount", "--", &tools.sh, "-c", &script,
        ]));
    }

    /// Starts a container, once: no kubelet looks after it. When this returns, its PID 1 is its program.
    #[track_caller]
    pub fn start(&self, container: &Container) -> Life {
        Life::start(&self.sandbox, container, || {}).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.sandbox.closed.store(true, Ordering::SeqCst);
        let _ = kill(self.sandbox.pid, Signal::SIGKILL);
        // It comes back when the last process of the sandbox is gone: the kernel makes its PID 1 wait for them.
        let _ = self.sandbox.child.lock().unwrap().wait();
    }
}

impl Sandbox {
    /// Where the volume is mounted in the sandbox. A container moves its copy of that mount to where it wants it.
    fn staging(&self) -> String {
        self.folder.text("volume")
    }

    /// A folder on this machine that goes with the pod.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where a volume of this name lies. The one tmpfs holds them all.
    fn shared(&self, volume: &str) -> String {
        format!("{}/{volume}", self.staging())
    }

    /// Enters the pod's network with `nsenter`, where it has its own.
    fn net(&self) -> Option<&'static str> {
        match self.network {
            Network::OfTheMachine => None,
            Network::Own => Some("--net"),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// A file that is already deleted: what a process prints, complete as soon as the process is gone.
    fn nameless_file(&self) -> io::Result<File> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = self
            .folder
            .join(&format!("output-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path)?;
        fs::remove_file(path)?;
        Ok(file)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// What a container has of the pod's volume.
#[derive(Clone, Debug)]
enum Volume {
    Mounted(String, Access),
    Absent,
    /// A directory at [`VOLUME`] that lies on the container's own root file system.
    PlainDirectory,
    /// Those of [`Mount::Shared`], in a root file system of the container's own.
    OfTheManifest,
}

#[derive(Clone, Debug)]
enum Mount {
    Bind {
        source: PathBuf,
        at: String,
        access: Access,
    },
    Empty {
        at: String,
    },
    /// A volume of the pod by its name.
    Shared {
        volume: String,
        at: String,
        access: Access,
    },
}

/// A container as a pod's spec has it. To be started, any number of times, by [`Pod::start`] or a kubelet.
#[derive(Clone, Debug)]
pub struct Container {
    pub(super) name: String,
    words: Vec<String>,
    user: Option<(u32, u32)>,
    hardened: bool,
    read_only_root: bool,
    umask: String,
    variables: Vec<(String, String)>,
    working_dir: String,
    host_name: Option<String>,
    volume: Volume,
    mounts: Vec<Mount>,
    pub(super) post_start: Option<Vec<String>>,
    pub(super) pre_stop: Option<Vec<String>>,
    pub(super) stop_signal: Signal,
    pub(super) startup_probe: Option<StartupProbe>,
}

/// A `startupProbe` with an exec.
#[derive(Clone, Debug)]
pub struct StartupProbe {
    pub command: Vec<String>,
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub failure_threshold: u32,
}

impl Container {
    /// A container with this program as its PID 1. The program is found as `PATH` says.
    pub fn new(name: &str, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self {
            name: name.to_owned(),
            words: words(command),
            user: None,
            hardened: false,
            read_only_root: false,
            umask: "0022".to_owned(),
            variables: Vec::new(),
            working_dir: "/".to_owned(),
            host_name: None,
            volume: Volume::Mounted(VOLUME.to_owned(), Access::ReadWrite),
            mounts: Vec::new(),
            post_start: None,
            pre_stop: None,
            stop_signal: Signal::SIGTERM,
            startup_probe: None,
        }
    }

    /// A container with a root file system of its own: this machine's programs and libraries, read-only, and its image's files.
    pub fn with_own_root(name: &str, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let plain = Self {
            volume: Volume::OfTheManifest,
            ..Self::new(name, command)
        };
        plain.env("PATH", &format!("{PROGRAMS}:{PATH}"))
    }

    /// The same with a shell script.
    pub fn sh(name: &str, script: &str) -> Self {
        Self::new(name, ["sh", "-c", script])
    }

    /// The same with podgate.
    pub fn podgate(name: &str, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self::new(name, [words([IMAGE]), words(arguments)].concat())
    }

    /// `runAsUser` and `runAsGroup`, without other groups. Root is the default.
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.user = Some((user, group));
        self
    }

    /// No capability at all, and no new privileges.
    pub fn hardened(mut self) -> Self {
        self.hardened = true;
        self
    }

    /// `readOnlyRootFilesystem`.
    pub fn read_only_root(mut self) -> Self {
        self.read_only_root = true;
        self
    }

    pub fn umask(mut self, umask: &str) -> Self {
        umask.clone_into(&mut self.umask);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn working_dir(mut self, path: &str) -> Self {
        path.clone_into(&mut self.working_dir);
        self
    }

    /// A host name of its own, as only a container of another pod has.
    pub fn host_name(mut self, name: &str) -> Self {
        self.host_name = Some(name.to_owned());
        self
    }

    /// The volume at another path: one that exists, or any below `/run`.
    pub fn volume_at(mut self, path: &str, access: Access) -> Self {
        self.volume = Volume::Mounted(path.to_owned(), access);
        self
    }

    pub fn read_only_volume(self) -> Self {
        self.volume_at(VOLUME, Access::ReadOnly)
    }

    /// No volume, and nothing where it would be.
    pub fn no_volume(mut self) -> Self {
        self.volume = Volume::Absent;
        self
    }

    /// No volume, but a directory at its place that everyone may write: what an image author gets who forgets the mount.
    /// It lies on the same mount as `/`, for the container gets a root file system of its own.
    pub fn plain_directory(mut self) -> Self {
        self.volume = Volume::PlainDirectory;
        self
    }

    /// A directory or a file of this machine at another path: one that exists, or any below `/run`.
    pub fn mount(mut self, source: &Path, at: &str, access: Access) -> Self {
        self.mounts.push(Mount::Bind {
            source: source.to_owned(),
            at: at.to_owned(),
            access,
        });
        self
    }

    /// A volume of the pod at any path, for a container with a root of its own.
    pub fn shared(mut self, volume: &str, at: &str, access: Access) -> Self {
        self.mounts.push(Mount::Shared {
            volume: volume.to_owned(),
            at: at.to_owned(),
            access,
        });
        self
    }

    pub fn startup_probe(mut self, probe: StartupProbe) -> Self {
        self.startup_probe = Some(probe);
        self
    }

    /// An empty directory of its own at this path, which everyone may write: an emptyDir at `/tmp`. It hides what the test has there.
    pub fn empty_dir(mut self, at: &str) -> Self {
        self.mounts.push(Mount::Empty { at: at.to_owned() });
        self
    }

    /// Runs in the container once its PID 1 runs; a kubelet's matter, as the next two are.
    pub fn post_start(mut self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.post_start = Some(words(command));
        self
    }

    /// Runs in the container before it is told to stop.
    pub fn pre_stop(mut self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.pre_stop = Some(words(command));
        self
    }

    /// The image's `STOPSIGNAL`.
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// What makes the container, from inside its namespaces, for `sh -c … sh PROGRAM…`; the last step becomes the program.
    fn set_up(&self, sandbox: &Sandbox) -> String {
        let Tools {
            mkdir,
            mount,
            umount,
            ..
        } = sandbox.tools;
        let staging = sandbox.staging();
        let mut lines = vec![
            "set -e".to_owned(),
            format!("trap 'echo \"{NOT_SET_UP}\" >&2' EXIT"),
        ];
        lines.push(format!("{mount} -t proc proc /proc"));
        if matches!(self.volume, Volume::OfTheManifest) {
            lines.push(self.image_root(sandbox));
            return self.last_lines(lines, sandbox);
        }
        let run = if matches!(self.volume, Volume::PlainDirectory) {
            lines.push(own_root(sandbox.tools));
            // There, /run is a directory as any other.
            String::new()
        } else {
            format!("{mount} -t tmpfs -o mode=0755 run /run\n")
        };
        lines.push(format!(
            "{run}{mkdir} -p /run/image\n: >{IMAGE}\n{mount} -o bind,ro {} {IMAGE}",
            shell_words::quote(PODGATE)
        ));
        match &self.volume {
            Volume::Mounted(path, access) => {
                if path.starts_with("/run/") {
                    lines.push(format!("{mkdir} -p {path}"));
                }
                lines.push(format!("{mount} --move {staging} {path}"));
                if *access == Access::ReadOnly {
                    lines.push(format!("{mount} -o remount,bind,ro {path}"));
                }
            }
            Volume::Absent => lines.push(format!("{umount} {staging}")),
            Volume::PlainDirectory => {
                lines.push(format!("{umount} {staging}\n{mkdir} -m 0777 {VOLUME}"))
            }
            Volume::OfTheManifest => {}
        }
        for extra in &self.mounts {
            let (Mount::Bind { at, .. } | Mount::Empty { at } | Mount::Shared { at, .. }) = extra;
            let is_file = matches!(extra, Mount::Bind { source, .. } if !source.is_dir());
            if at.starts_with("/run/") && is_file {
                lines.push(format!(
                    "{mkdir} -p {}\n: >{at}",
                    at.rsplit_once('/').unwrap().0
                ));
            } else if at.starts_with("/run/") {
                lines.push(format!("{mkdir} -p {at}"));
            }
            lines.push(match extra {
                Mount::Bind { source, at, access } => {
                    let options = if *access == Access::ReadOnly {
                        "bind,ro"
                    } else {
                        "bind"
                    };
                    format!(
                        "{mount} -o {options} {} {at}",
                        shell_words::quote(source.to_str().unwrap())
                    )
                }
                Mount::Empty { at } => format!("{mount} -t tmpfs -o mode=0777 empty-dir {at}"),
                Mount::Shared { .. } => panic!("{:?} has no root of its own for {at}", self.name),
            });
        }
        self.last_lines(lines, sandbox)
    }

    fn last_lines(&self, mut lines: Vec<String>, sandbox: &Sandbox) -> String {
        let mount = &sandbox.tools.mount;
        if let Some(name) = &self.host_name {
            lines.push(format!("echo {name} >/proc/sys/kernel/hostname"));
        }
        if self.read_only_root {
            lines.push(format!("{mount} -o remount,bind,ro /"));
        }
        // The harness says go when it knows the pid.
        lines.push("read -r go\ntrap - EXIT".to_owned());
        lines.push(format!("{} </dev/null", self.become_program(sandbox.tools)));
        lines.join("\n")
    }

    /// A root file system with what the image and the manifest put there. Of this machine it has the programs and libraries, read-only.
    fn image_root(&self, sandbox: &Sandbox) -> String {
        let Tools {
            mkdir,
            mount,
            pivot_root,
            rmdir,
            umount,
            ..
        } = sandbox.tools;
        let mut lines = vec![format!(
            "{mount} -t tmpfs -o mode=0755 root /run
for entry in /bin /sbin /lib* /usr; do
    if [ -h \"$entry\" ]; then
        ln -s \"$(readlink \"$entry\")\" \"/run$entry\"
    else
        {mkdir} \"/run$entry\"
        {mount} --rbind \"$entry\" \"/run$entry\"
        {mount} -o remount,bind,ro \"/run$entry\"
    fi
done
{mkdir} /run/dev /run/proc /run/etc /run/run /run/var /run/old-root
{mkdir} -m 1777 /run/tmp
{mount} --rbind /dev /run/dev
{mount} --rbind /proc /run/proc
for entry in hosts passwd group nsswitch.conf ld.so.cache alternatives; do
    [ ! -e /etc/$entry ] || cp -r /etc/$entry /run/etc/
done"
        )];
        for extra in &self.mounts {
            let (source, at, access) = match extra {
                Mount::Bind { source, at, access } => {
                    (source.to_str().unwrap().to_owned(), at, access)
                }
                Mount::Shared { volume, at, access } => (sandbox.shared(volume), at, access),
                Mount::Empty { at } => panic!(
                    "{:?} has an empty directory at {at} by no manifest",
                    self.name
                ),
            };
            let (source, at) = (
                shell_words::quote(&source).into_owned(),
                format!("/run{at}"),
            );
            let (folder, _) = at.rsplit_once('/').unwrap();
            let options = if *access == Access::ReadOnly {
                "bind,ro"
            } else {
                "bind"
            };
            lines.push(format!(
                "{mkdir} -p {folder}\nif [ -d {source} ]; then {mkdir} -p {at}; else : >{at}; fi\n{mount} -o {options} {source} {at}"
            ));
        }
        lines.push(format!(
            "cd /run\n{pivot_root} . old-root\n{umount} -l /old-root\n{rmdir} /old-root"
        ));
        lines.join("\n")
    }

    /// The last step, of the container itself and of each exec in it.
    fn become_program(&self, tools: &Tools) -> String {
        let mut exec = "exec".to_owned();
        if self.user.is_some() || self.hardened {
            exec = format!("exec {}", tools.setpriv);
            if let Some((user, group)) = self.user {
                exec += &format!(" --reuid={user} --regid={group} --clear-groups");
            }
            if self.hardened {
                exec += " --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs";
            }
            exec += " --";
        }
        format!(
            "umask {}\ncd {}\nunset PWD OLDPWD\n{exec} \"$@\"",
            self.umask, self.working_dir
        )
    }

    fn variables(&self, command: &mut Command) {
        command.env_clear().env("PATH", PATH);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// A runtime gives a container's streams to its user, so that `/proc/1/fd/2` can be opened.
    fn owns(&self, stream: impl std::os::fd::AsFd) -> io::Result<()> {
        self.user.map_or(Ok(()), |(user, group)| {
            fchown(stream, Some(user), Some(group))
        })
    }
}

/// A root file system of the container's own: a tmpfs with this machine's directories in it, but `/run`.
fn own_root(tools: &Tools) -> String {
    let Tools {
        mkdir,
        mount,
        pivot_root,
        rmdir,
        umount,
        ..
    } = tools;
    format!(
        "{mount} -t tmpfs -o mode=0755 root /run
for entry in /*; do
    if [ -h \"$entry\" ]; then
        ln -s \"$(readlink \"$entry\")\" \"/run$entry\"
    elif [ -d \"$entry\" ] && [ \"$entry\" != /run ]; then
        {mkdir} \"/run$entry\"
        {mount} --rbind \"$entry\" \"/run$entry\"
    fi
done
{mkdir} /run/run /run/old-root
cd /run
{pivot_root} . old-root
{umount} -l /old-root
{rmdir} /old-root"
    )
}

/// The only child of what was started, if it has one yet.
fn only_child(parent: &Child) -> Option<Pid> {
    child_of(Pid::from_raw(i32::try_from(parent.id()).unwrap()))
}

fn child_of(parent: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(Pid::from_raw(
        children.split_ascii_whitespace().next()?.parse().ok()?,
    ))
}

/// How a container ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// As a runtime reports it: 0 to 255, and 128+n for signal n.
    pub code: i32,
    pub at: Instant,
}

/// One life of a container: from the start of its PID 1 to the death of its last process. Killed when dropped.
pub struct Life {
    container: Container,
    sandbox: Arc<Sandbox>,
    pid: Pid,
    namespace: Namespace,
    started: Instant,
    stdout: Log,
    stderr: Log,
    end: Arc<(Mutex<Option<End>>, Condvar)>,
}

impl Life {
    /// Starts a container. `at_end` is called, from another thread, once its end is known.
    pub(super) fn start(
        sandbox: &Arc<Sandbox>,
        container: &Container,
        at_end: impl FnOnce() + Send + 'static,
    ) -> Result<Self, String> {
        let cannot = |error: &dyn fmt::Display| format!("container {:?}: {error}", container.name);
        Self::try_start(sandbox, container, at_end)
            .map_err(|error| cannot(&error))?
            .map_err(|error| cannot(&error))
    }

    fn try_start(
        sandbox: &Arc<Sandbox>,
        container: &Container,
        at_end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Result<Self, String>> {
        if sandbox.is_closed() {
            return Ok(Err("the pod is gone".to_owned()));
        }
        let tools = sandbox.tools;
        let target = sandbox.pid.to_string();
        let sh = sandbox.folder.text(&format!("{STARTER}sh"));
        let mut command = Command::new(&tools.nsenter);
        command
            .args(["--target", &target, "--mount", "--pid"])
            .args(sandbox.net());
        command.args(["--", &tools.unshare, "--pid", "--mount"]);
        if container.host_name.is_some() {
            command.arg("--uts");
        }
        // unshare could fork by itself, but does not give an end by SIGKILL on (util-linux 2.38). A shell does, and its first child
        // is PID 1; the shell's own stderr would get "Killed".
        let wait = "exec 3>&2 2>/dev/null; (exec \"$0\" -c \"$@\" 2>&3 3>&-); exit $?";
        command
            .args(["--", &sh, "-c", wait, &sh, &container.set_up(sandbox), "sh"])
            .args(&container.words);
        container.variables(&mut command);
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        container.owns(&stdout_writer)?;
        container.owns(&stderr_writer)?;
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(stdout_writer)
            .stderr(stderr_writer)
            .spawn()?;
        // It holds the ends that are written to: without it, the readers see the end of the streams.
        drop(command);
        let (stdout, stdout_reader) = Log::read(stdout);
        let (stderr, stderr_reader) = Log::read(stderr);

        // The child is nsenter, its child becomes unshare and then a shell, whose child becomes the program.
        let found = loop {
            let found = only_child(&child).and_then(child_of);
            if let Some(found) = found.and_then(|pid| Some((pid, Namespace::of(pid)?))) {
                break Some(found);
            }
            if child.try_wait()?.is_some() || started.elapsed() > LIMIT {
                break None;
            }
            pause();
        };
        let Some((pid, namespace)) = found else {
            let _ = child.kill();
            child.wait()?;
            return Ok(Err(format!("no process came to be: {}", stderr.text())));
        };
        // If it is dead already, that is seen below.
        let _ = child.stdin.take().unwrap().write_all(b"go\n");
        while fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.starts_with(STARTER) || name.trim_end() == "setpriv")
        {
            if started.elapsed() > LIMIT {
                let _ = kill(pid, Signal::SIGKILL);
            }
            pause();
        }
        let is_over = !Path::new(&format!("/proc/{pid}")).exists();

        let end = Arc::new((Mutex::new(None), Condvar::new()));
        let told = Arc::clone(&end);
        thread::spawn(move || {
            let code = code(child.wait().unwrap());
            let at = Instant::now();
            // Nobody is left to write: once the end is known, the text is complete.
            let _ = (stdout_reader.join(), stderr_reader.join());
            *told.0.lock().unwrap() = Some(End { code, at });
            told.1.notify_all();
            at_end();
        });
        let (container, sandbox) = (container.clone(), Arc::clone(sandbox));
        let life = Self {
            container,
            sandbox,
            pid,
            namespace,
            started,
            stdout,
            stderr,
            end,
        };
        if is_over && life.ended_within(LIMIT).is_some() && life.stderr().contains(NOT_SET_UP) {
            return Ok(Err(life.stderr()));
        }
        Ok(Ok(life))
    }

    /// PID 1, as this machine numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn is_running(&self) -> bool {
        self.end().is_none()
    }

    /// Its end, if it has come. From then on [`Life::stdout`] and [`Life::stderr`] are complete.
    pub fn end(&self) -> Option<End> {
        *self.end.0.lock().unwrap()
    }

    pub(super) fn ended_within(&self, limit: Duration) -> Option<End> {
        let (end, changed) = &*self.end;
        *changed
            .wait_timeout_while(end.lock().unwrap(), limit, |end| end.is_none())
            .unwrap()
            .0
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(&self) -> End {
        self.ended_within(LIMIT)
            .unwrap_or_else(|| panic!("it did not end within {LIMIT:?}\n{self}"))
    }

    /// Waits for its end, which must be with this code.
    #[track_caller]
    pub fn code(&self, code: i32) -> End {
        let end = self.finish();
        assert_eq!(end.code, code, "{self}");
        end
    }

    /// Sends a signal to PID 1 from outside, as a runtime does: the kernel drops what PID 1 does not handle, but SIGKILL and SIGSTOP.
    /// Nothing is sent to one that is over.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() && self.namespace.holds(self.pid) {
            let _ = kill(self.pid, signal);
        }
    }

    /// SIGKILL to PID 1, and the kernel ends the rest of the container: as the OOM killer does on cgroup v2.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has said this on stderr; and when that came.
    #[track_caller]
    pub fn says(&self, text: &str) -> Instant {
        super::eventually_or(
            &format!("{text:?} on stderr"),
            || self.stderr.arrival(text),
            || self.to_string(),
        )
    }

    /// The same for stdout.
    #[track_caller]
    pub fn prints(&self, text: &str) -> Instant {
        super::eventually_or(
            &format!("{text:?} on stdout"),
            || self.stdout.arrival(text),
            || self.to_string(),
        )
    }

    /// All its processes, PID 1 among them: also those that an exec left there.
    pub fn processes(&self) -> Vec<Process> {
        self.namespace.processes()
    }

    /// Waits for a process of this name (the kernel's `comm`: the file's name, 15 letters) that is not PID 1.
    #[track_caller]
    pub fn process(&self, name: &str) -> Process {
        let find = || {
            self.processes()
                .into_iter()
                .find(|process| process.name == name && process.inside != 1)
        };
        super::eventually_or(&format!("a process {name:?}"), find, || {
            format!("{:?}\n{self}", self.processes())
        })
    }

    /// What tells the container's processes from others, also when the container is over.
    pub fn namespace(&self) -> Namespace {
        Namespace(self.namespace.0.try_clone().unwrap())
    }

    /// Runs a command in the container to its end, as the container's user, with its variables.
    #[track_caller]
    pub fn exec(&self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Done {
        self.start_exec(command).finish()
    }

    /// Starts a command in the container.
    pub fn start_exec(&self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Exec {
        let (container, tools, words) = (&self.container, self.sandbox.tools, words(command));
        let (stdout, stderr) = (
            self.sandbox.nameless_file().unwrap(),
            self.sandbox.nameless_file().unwrap(),
        );
        container.owns(&stdout).unwrap();
        container.owns(&stderr).unwrap();
        let mut command = Command::new(&tools.nsenter);
        command
            .args([
                "--target",
                &self.pid.to_string(),
                "--mount",
                "--pid",
                "--uts",
            ])
            .args(self.sandbox.net());
        command
            .args([
                "--",
                &tools.sh,
                "-c",
                &container.become_program(tools),
                "sh",
            ])
            .args(&words);
        container.variables(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        let started = Instant::now();
        Exec {
            child: command.spawn().unwrap(),
            words,
            started,
            stdout,
            stderr,
        }
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "container {:?}, pid {}: {:?}",
            self.container.name, self.pid, self.container.words
        )?;
        match self.end() {
            Some(end) => writeln!(
                f,
                "ended with {} after {:?}",
                end.code,
                end.at.duration_since(self.started)
            )?,
            None => writeln!(f, "runs for {:?}", self.started.elapsed())?,
        }
        writeln!(
            f,
            "--- stdout\n{}--- stderr\n{}---",
            self.stdout(),
            self.stderr()
        )
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
        let _ = self.ended_within(LIMIT);
    }
}

/// A command that runs in a container. If it is dropped it goes on, until the container ends.
pub struct Exec {
    child: Child,
    words: Vec<String>,
    started: Instant,
    stdout: File,
    stderr: File,
}

impl Exec {
    /// Waits for its end; not for that of what it leaves behind.
    #[track_caller]
    pub fn finish(mut self) -> Done {
        eventually(&format!("the end of {:?}", self.words), || self.done())
    }

    /// How it ended, if it did.
    pub fn done(&mut self) -> Option<Done> {
        let status = self.child.try_wait().unwrap()?;
        let took = self.started.elapsed();
        Some(Done {
            words: self.words.clone(),
            status,
            stdout: content(&self.stdout),
            stderr: content(&self.stderr),
            took,
        })
    }
}

impl Exec {
    /// Kills the command: the kubelet does that when a probe's time is over.
    pub(super) fn kill(&self) {
        // This is nsenter, whose child is the command.
        if let Some(pid) = only_child(&self.child) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // This is nsenter, which waits for the command.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of a file, without moving the offset that others share.
fn content(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    let count = file.read_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// As a runtime reports an end.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// Between two looks at something that takes less than a millisecond.
pub(super) fn pause() {
    thread::sleep(Duration::from_micros(200));
}

/// A container's PID namespace. Its number is not given to another one while this lives.
pub struct Namespace(File);

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// As this machine numbers it: to be signalled.
    pub pid: Pid,
    /// As the container numbers it.
    pub inside: i32,
    /// The kernel's `comm`.
    pub name: String,
    /// `R`, `S`, …; `Z` for one that nobody has reaped.
    pub state: char,
}

impl Namespace {
    fn of(pid: Pid) -> Option<Self> {
        File::open(format!("/proc/{pid}/ns/pid")).ok().map(Self)
    }

    fn holds(&self, pid: Pid) -> bool {
        let number = self.0.metadata().unwrap().ino();
        fs::metadata(format!("/proc/{pid}/ns/pid")).is_ok_and(|its| its.ino() == number)
    }

    pub fn processes(&self) -> Vec<Process> {
        let numbers = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let process = |number| {
            let pid = Pid::from_raw(number);
            let status =
                fs::read_to_string(self.holds(pid).then(|| format!("/proc/{pid}/status"))?).ok()?;
            let field = |name: &str| {
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                Some(line?.trim().to_owned())
            };
            let inside = field("NSpid")?
                .split_ascii_whitespace()
                .last()?
                .parse()
                .ok()?;
            Some(Process {
                pid,
                inside,
                name: field("Name")?,
                state: field("State")?.chars().next()?,
            })
        };
        numbers.filter_map(process).collect()
    }
}

/// A stream that is read as it comes.
struct Log(Arc<Mutex<Arrived>>);

#[derive(Default)]
struct Arrived {
    bytes: Vec<u8>,
    /// How many bytes there were, and since when.
    marks: Vec<(usize, Instant)>,
}

impl Log {
    fn read(mut stream: io::PipeReader) -> (Self, JoinHandle<()>) {
        let log = Self(Arc::default());
        let into = Arc::clone(&log.0);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut into = into.lock().unwrap();
                into.bytes.extend_from_slice(&buffer[..count]);
                let length = into.bytes.len();
                into.marks.push((length, Instant::now()));
            }
        });
        (log, reader)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().bytes).into_owned()
    }

    /// When the first occurrence of this text was complete.
    fn arrival(&self, text: &str) -> Option<Instant> {
        let arrived = self.0.lock().unwrap();
        let start = arrived
            .bytes
            .windows(text.len())
            .position(|window| window == text.as_bytes())?;
        arrived
            .marks
            .iter()
            .find(|(length, _)| *length >= start + text.len())
            .map(|(_, at)| *at)
    }
}
