//! A pod without Kubernetes: containers that share a network and a volume. Each container is PID 1
//! of its own namespaces.
//!
//! ```text
//! test process ── pipe ──▶ sandbox: PID and mount namespace, where the volume (a tmpfs) is mounted
//!                             ├─ container: PID and mount namespace; PID 1 is the program itself
//!                             └─ container …
//! ```
//!
//! The sandbox ends when the pipe is closed, and the kernel then ends everything in it. So no
//! process and no mount outlives the pod, or the test process, however that ends. Nothing is
//! mounted in the namespace of the test.
//!
//! A container sees the files of this machine (there is no image), its own `/proc`, and its own
//! empty `/run` with the volume at [`VOLUME`] and podgate at [`IMAGE`]. Its only variables are
//! `PATH` and those that it was given. Where a manifest is played ([`super::player`]), the
//! container has its own root file system instead, with the files of its image and the volumes that
//! the manifest mounts.
//!
//! Restart policy, hooks and deletion are the kubelet's part: see [`super::kubelet`].

use super::{Done, Folder, LIMIT, PODGATE, eventually, needs, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, fchown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where a container sees the pod's volume by default.
pub const VOLUME: &str = "/run/podgate";

/// Where every container sees podgate, read-only, whatever its user.
pub const IMAGE: &str = "/run/image/podgate";

/// The name of a container's PID 1 before it becomes the program. A [`Life`] exists only after
/// that.
const STARTER: &str = "podstart-";

/// The text that the starter prints when it fails.
const NOT_SET_UP: &str = "podstart: the container cannot be set up";

/// Where a container with its own root file system finds the programs of its image by name.
pub const PROGRAMS: &str = "/image/bin";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The words of a command.
pub fn words(words: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect()
}

/// The programs that make a container, by path: the container's own `PATH` must not select them.
struct Tools {
    mkdir: String,
    /// With an option: words for a shell.
    mount: String,
    nsenter: String,
    pivot_root: String,
    rmdir: String,
    setpriv: String,
    sh: String,
    umount: String,
    unshare: String,
}

/// The programs, if they are installed and this user may use them.
fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let find = || {
        let path = |name: &str| Some(program(name, &["/bin"])?.to_str()?.to_owned());
        let tools = Tools {
            mkdir: path("mkdir")?,
            // Without -n, mount leaves a directory in /run.
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

/// A volume, and the namespaces around its containers. Everything in it ends when it is dropped.
pub struct Pod {
    sandbox: Arc<Sandbox>,
}

/// The pod's own namespaces, and the process that holds them.
pub(super) struct Sandbox {
    tools: &'static Tools,
    folder: Folder,
    /// PID 1 of the sandbox, as this machine numbers it.
    pid: Pid,
    /// The `unshare` that waits for it. The sandbox ends when its standard input is closed.
    child: Mutex<Child>,
    closed: AtomicBool,
    network: Network,
    /// The IPC namespace of all its containers. It exists as long as this file is open.
    ipc: Mutex<File>,
}

/// The network of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    OfTheMachine,
    /// Its own, with only a loopback interface: no port is in use, and nothing outside can be
    /// reached.
    Own,
}

impl Pod {
    /// A pod with a volume of 4 MiB that everyone may write. `None` where this machine cannot make
    /// containers: the test is skipped, or fails under CI.
    pub fn new() -> Option<Self> {
        Self::with_volume("size=4m")
    }

    /// The same with these options for the volume's tmpfs: `size=4k`, `nr_inodes=8`, `mode=0700`.
    pub fn with_volume(options: &str) -> Option<Self> {
        Self::with(options, Network::OfTheMachine)
    }

    /// The same with its own network namespace, so that fixed ports of two pods do not conflict.
    pub fn with_network(options: &str) -> Option<Self> {
        Self::with(options, Network::Own)
    }

    fn with(options: &str, network: Network) -> Option<Self> {
        let tools = tools();
        needs(
            "the right to make containers (root, and the programs of util-linux)",
            tools.is_some(),
        )
        .then(|| Self::make(tools.unwrap(), options, network))
    }

    fn make(tools: &'static Tools, options: &str, network: Network) -> Self {
        let folder = Folder::new();
        let volume = folder.text("volume");
        fs::create_dir(&volume).unwrap();
        symlink(&tools.sh, folder.join(&format!("{STARTER}sh"))).unwrap();
        // When the test is killed, nothing else removes the folder.
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
            "{up}{} -t tmpfs -o mode=0777,{options} podgate-volume {volume} && \
             echo ready && read x; \
             {} -l {volume} && rm -r {}",
            tools.mount,
            tools.umount,
            folder.path().display()
        );
        let mut child = Command::new(&tools.unshare)
            .args(["--pid", "--fork", "--mount", "--mount-proc", "--ipc"])
            .args(net)
            .args(["--", &tools.sh, "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // unshare prints a message when its child is killed.
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
                ipc: Mutex::new(ipc_namespace(pid)),
            }),
        }
    }

    /// The volume as the test sees it, to read and to plant files. Removed with the pod.
    pub fn volume(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/root{}",
            self.sandbox.pid,
            self.sandbox.staging()
        ))
    }

    /// Changes the volume for all containers: `size=8k`, `ro`. The kernel refuses `ro` while a file
    /// on it is open for writing.
    pub fn remount(&self, options: &str) {
        let (sandbox, tools) = (&self.sandbox, self.sandbox.tools);
        let options = format!("remount,{options}");
        let target = sandbox.pid.to_string();
        let script = format!("{} -o {options} {}", tools.mount, sandbox.staging());
        super::output(Command::new(&tools.nsenter).args([
            "--target", &target, "--mount", "--", &tools.sh, "-c", &script,
        ]));
    }

    /// Starts a container once, without a kubelet. When this returns, its PID 1 is its program.
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
        // It returns when the last process of the sandbox is gone: the kernel makes PID 1 wait for
        // them.
        let _ = self.sandbox.child.lock().unwrap().wait();
    }
}

impl Sandbox {
    /// Where the volume is mounted in the sandbox. A container moves its copy of the mount to the
    /// final path.
    fn staging(&self) -> String {
        self.folder.text("volume")
    }

    /// A folder on this machine that is removed with the pod.
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The path of the volume with this name. One tmpfs holds all volumes.
    fn shared(&self, volume: &str) -> String {
        format!("{}/{volume}", self.staging())
    }

    /// Enters the pod's network with `nsenter`, if it has its own.
    fn net(&self) -> Option<&'static str> {
        match self.network {
            Network::OfTheMachine => None,
            Network::Own => Some("--net"),
        }
    }

    /// Enters the pod's IPC namespace with `nsenter`.
    fn ipc(&self) -> String {
        let file = self.ipc.lock().unwrap().as_raw_fd();
        format!("--ipc=/proc/{}/fd/{file}", std::process::id())
    }

    /// Gives the containers that start from now on another IPC namespace, as in a new sandbox. The
    /// rest of the sandbox stays as it is: no promise depends on it.
    pub(super) fn replace_ipc(&self) {
        let mut child = Command::new(&self.tools.unshare)
            .args(["--ipc", "--", &self.tools.sh, "-c", "echo ready; read x"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        *self.ipc.lock().unwrap() = ipc_namespace(pid);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// A deleted file for the output of a process. It is complete as soon as the process is gone.
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

/// How a container mounts the pod's volume.
#[derive(Clone, Debug)]
enum Volume {
    Mounted(String, Access),
    Absent,
    /// A directory at [`VOLUME`] on the container's own root file system.
    PlainDirectory,
    /// The mounts of [`Mount::Shared`], in the container's own root file system.
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

/// A container as in a pod's spec. [`Pod::start`] or a kubelet can start it any number of times.
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
    /// A container with this program as its PID 1. The program is found by `PATH`.
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

    /// A container with its own root file system: this machine's programs and libraries, read-only,
    /// and the files of its image.
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

    /// `runAsUser` and `runAsGroup`, without other groups. The default is root.
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.user = Some((user, group));
        self
    }

    /// No capabilities, and no new privileges.
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

    /// Its own host name, as a container of another pod has.
    pub fn host_name(mut self, name: &str) -> Self {
        self.host_name = Some(name.to_owned());
        self
    }

    /// Mounts the volume at another path: one that exists, or any path below `/run`.
    pub fn volume_at(mut self, path: &str, access: Access) -> Self {
        self.volume = Volume::Mounted(path.to_owned(), access);
        self
    }

    pub fn read_only_volume(self) -> Self {
        self.volume_at(VOLUME, Access::ReadOnly)
    }

    /// No volume, and nothing at its path.
    pub fn no_volume(mut self) -> Self {
        self.volume = Volume::Absent;
        self
    }

    /// No volume, but a directory at its path that everyone may write: the result when an author
    /// forgets the mount. It is on the same mount as `/`, because the container gets its own root
    /// file system.
    pub fn plain_directory(mut self) -> Self {
        self.volume = Volume::PlainDirectory;
        self
    }

    /// Mounts a directory or a file of this machine at another path: one that exists, or any path
    /// below `/run`.
    pub fn mount(mut self, source: &Path, at: &str, access: Access) -> Self {
        self.mounts.push(Mount::Bind {
            source: source.to_owned(),
            at: at.to_owned(),
            access,
        });
        self
    }

    /// Mounts a volume of the pod at any path, for a container with its own root file system.
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

    /// An empty directory at this path that everyone may write, as an emptyDir at `/tmp`. It hides
    /// what the test has there.
    pub fn empty_dir(mut self, at: &str) -> Self {
        self.mounts.push(Mount::Empty { at: at.to_owned() });
        self
    }

    /// Runs in the container once its PID 1 runs. Only a kubelet uses this and the next two.
    pub fn post_start(mut self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.post_start = Some(words(command));
        self
    }

    /// Runs in the container before it gets the stop signal.
    pub fn pre_stop(mut self, command: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.pre_stop = Some(words(command));
        self
    }

    /// The image's `STOPSIGNAL`.
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// The script that makes the container from inside its namespaces, for `sh -c … sh PROGRAM…`.
    /// Its last step becomes the program.
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
            // There, /run is a directory like any other.
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
                Mount::Shared { .. } => {
                    panic!("{:?} has no own root file system for {at}", self.name)
                }
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
        // The test lets it continue when it knows the pid.
        lines.push("read -r go\ntrap - EXIT".to_owned());
        lines.push(format!("{} </dev/null", self.become_program(sandbox.tools)));
        lines.join("\n")
    }

    /// A root file system with the files of the image and the manifest, and this machine's programs
    /// and libraries, read-only.
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
                "{mkdir} -p {folder}\n\
                 if [ -d {source} ]; then {mkdir} -p {at}; else : >{at}; fi\n\
                 {mount} -o {options} {source} {at}"
            ));
        }
        lines.push(format!(
            "cd /run\n{pivot_root} . old-root\n{umount} -l /old-root\n{rmdir} /old-root"
        ));
        lines.join("\n")
    }

    /// The last step, for the container itself and for each exec in it.
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

    /// A runtime makes the container's user the owner of its streams, so that `/proc/1/fd/2` can be
    /// opened.
    fn owns(&self, stream: impl std::os::fd::AsFd) -> io::Result<()> {
        self.user.map_or(Ok(()), |(user, group)| {
            fchown(stream, Some(user), Some(group))
        })
    }
}

/// The container's own root file system: a tmpfs with this machine's directories in it, except
/// `/run`.
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

/// Keeps the IPC namespace of a process.
fn ipc_namespace(of: Pid) -> File {
    File::open(format!("/proc/{of}/ns/ipc")).unwrap()
}

/// The only child of the started process, if it has one yet.
fn only_child(parent: &Child) -> Option<Pid> {
    child_of(Pid::from_raw(i32::try_from(parent.id()).unwrap()))
}

fn child_of(parent: Pid) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Some(Pid::from_raw(
        children.split_ascii_whitespace().next()?.parse().ok()?,
    ))
}

/// The end of a container, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// As a runtime reports it: 0 to 255, and 128+n for signal n.
    pub code: i32,
    pub at: Instant,
}

/// One life of a container, from the start of its PID 1 to the end of its last process. Killed when
/// dropped.
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
    /// Starts a container. Another thread calls `at_end` once its end is known.
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
            .args(["--target", &target, "--mount", "--pid", &sandbox.ipc()])
            .args(sandbox.net());
        command.args(["--", &tools.unshare, "--pid", "--mount"]);
        if container.host_name.is_some() {
            command.arg("--uts");
        }
        // unshare could fork itself, but does not pass on an end by SIGKILL (util-linux 2.38). A
        // shell does; its first child is PID 1. The shell would print "Killed" on its own stderr.
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
        // The child has the writing ends. Once they are closed here, the readers see the end of the
        // streams.
        drop(command);
        let (stdout, stdout_reader) = Log::read(stdout);
        let (stderr, stderr_reader) = Log::read(stderr);

        // The child is nsenter. Its child becomes unshare and then a shell, whose child becomes the
        // program.
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
        // If it has already ended, the code below sees that.
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
            // No writer is left: once the end is known, the text is complete.
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

    /// Its end, if it has ended. From then on [`Life::stdout`] and [`Life::stderr`] are complete.
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

    /// Waits for its end, which must have this code.
    #[track_caller]
    pub fn code(&self, code: i32) -> End {
        let end = self.finish();
        assert_eq!(end.code, code, "{self}");
        end
    }

    /// Sends a signal to PID 1 from outside, as a runtime does: the kernel drops signals that PID 1
    /// does not handle, except SIGKILL and SIGSTOP. Does nothing after the end.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() && self.namespace.holds(self.pid) {
            let _ = kill(self.pid, signal);
        }
    }

    /// Sends SIGKILL to PID 1, and the kernel ends the rest of the container, as the OOM killer
    /// does on cgroup v2.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until this text is on stderr, and returns the time at which it was complete.
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

    /// All its processes with PID 1, including those that an exec left there.
    pub fn processes(&self) -> Vec<Process> {
        self.namespace.processes()
    }

    /// Waits for a process with this name (the kernel's `comm`: the first 15 letters of the file's
    /// name) that is not PID 1.
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

    /// Identifies the container's processes, even after the container's end.
    pub fn namespace(&self) -> Namespace {
        Namespace(self.namespace.0.try_clone().unwrap())
    }

    /// Runs a command in the container until it ends, as the container's user and with its
    /// variables.
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
                "--ipc",
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

/// A command that runs in a container. After a drop it goes on until the container ends.
pub struct Exec {
    child: Child,
    words: Vec<String>,
    started: Instant,
    stdout: File,
    stderr: File,
}

impl Exec {
    /// Waits for its end, but not for processes that it leaves behind.
    #[track_caller]
    pub fn finish(mut self) -> Done {
        eventually(&format!("the end of {:?}", self.words), || self.done())
    }

    /// How it ended, if it has ended.
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
    /// Kills the command, as the kubelet does when a probe takes too long.
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

/// The whole file, without moving the offset that other processes share.
fn content(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    let count = file.read_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// An end as a runtime reports it.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// The pause between two attempts to observe something that takes less than a millisecond.
pub(super) fn pause() {
    thread::sleep(Duration::from_micros(200));
}

/// A container's PID namespace. The kernel does not reuse its number while this value lives.
pub struct Namespace(File);

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// As this machine numbers it, to send signals to it.
    pub pid: Pid,
    /// As the container numbers it.
    pub inside: i32,
    /// The kernel's `comm`.
    pub name: String,
    /// `R`, `S`, …; `Z` for a process that was not reaped.
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

/// A stream that a thread reads as it arrives.
struct Log(Arc<Mutex<Arrived>>);

#[derive(Default)]
struct Arrived {
    bytes: Vec<u8>,
    /// Numbers of bytes, and the times at which they had arrived.
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

    /// The time at which the first occurrence of this text was complete.
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
