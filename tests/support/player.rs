//! Reads a Kubernetes manifest and plays its pod: by the kubelet's rules ([`super::kubelet`]), in
//! its own network, with local programs in place of the images.
//!
//! A Job, CronJob or Deployment is played as one pod of its template. A field that the player does
//! not know is an error, because the example might depend on it. Fields that it ignores are in
//! [`WITHOUT_EFFECT`], each with the reason.
//!
//! A played container sees its own root file system with the files of its image ([`Image`]) and the
//! volumes that the manifest mounts. It also sees `/test`, a directory that it shares with the
//! test. There the programs note events (`note WORD…`, [`Played::happened`]) and wait for the
//! test's permission ([`Played::allow`]).
//!
//! Times are the manifest's. [`Manifest::shortened`] replaces those that are too long for a test,
//! visibly and in the text.

use super::kubelet::{Play, RestartPolicy, Role, Rules};
use super::pod::{Access, Container, PROGRAMS, Pod, StartupProbe};
use super::{PODGATE, eventually_or, needs};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

/// What a manifest may contain without any effect here: the object, its field, and the reason.
const WITHOUT_EFFECT: &[(&str, &str, &str)] = &[
    ("object", "apiVersion", "the schema is checked elsewhere"),
    ("object", "metadata", "names and labels are for others"),
    ("template", "metadata", "names and labels are for others"),
    (
        "Job",
        "backoffLimit",
        "one pod is played, without the Job's controller",
    ),
    (
        "Job",
        "ttlSecondsAfterFinished",
        "one pod is played, without the Job's controller",
    ),
    (
        "Job",
        "podFailurePolicy",
        "one pod is played, without the Job's controller",
    ),
    (
        "Job",
        "activeDeadlineSeconds",
        "one pod is played, without the Job's controller",
    ),
    ("CronJob", "schedule", "one pod is played, now"),
    ("CronJob", "concurrencyPolicy", "one pod is played"),
    ("Deployment", "replicas", "one pod is played"),
    ("Deployment", "selector", "one pod is played"),
    (
        "pod",
        "automountServiceAccountToken",
        "there is no API server",
    ),
    (
        "container",
        "ports",
        "documentation: it opens nothing and closes nothing",
    ),
    (
        "container",
        "resources",
        "no promise here rests on a limit; an OOM kill is played as SIGKILL",
    ),
    (
        "container",
        "readinessProbe",
        "it takes a pod out of a Service, and there is none",
    ),
    (
        "securityContext",
        "seccompProfile",
        "RuntimeDefault refuses nothing that podgate calls (tests::confined)",
    ),
    (
        "emptyDir",
        "sizeLimit",
        "the kubelet evicts a pod that exceeds it",
    ),
    ("emptyDir", "medium", "all are in memory here"),
    ("image volume", "pullPolicy", "nothing is pulled"),
];

type Read<T> = Result<T, String>;

/// The replacement for an image: files with local programs.
#[derive(Clone, Debug, Default)]
pub struct Image {
    entrypoint: Vec<String>,
    user: Option<(u32, u32)>,
    /// The path, and the text of a script.
    files: Vec<(String, String)>,
}

impl Image {
    /// An image whose entrypoint is a program with this name or path: this shell script.
    pub fn new(program: &str, script: &str) -> Self {
        let entrypoint = vec![program.to_owned()];
        Self {
            entrypoint,
            ..Self::default()
        }
        .with(program, script)
    }

    /// Adds another program. A name without a path is found by `PATH`.
    pub fn with(mut self, program: &str, script: &str) -> Self {
        self.files
            .push((at(program), format!("#!/bin/sh\n{script}\n")));
        self
    }

    /// The user of the image, as in `USER`.
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.user = Some((user, group));
        self
    }
}

fn at(program: &str) -> String {
    if program.starts_with('/') {
        program.to_owned()
    } else {
        format!("{PROGRAMS}/{program}")
    }
}

/// A program that behaves as `tests/support/fake_sidecar.py` describes, with these arguments.
pub fn fake(arguments: &str) -> String {
    format!("exec fake {arguments}")
}

/// A program that works until the test allows `end-NAME`, and then exits with this code. On SIGTERM
/// it notes `told`, works for `seconds` more, and exits with 0.
pub fn app(name: &str, code: i32, seconds: f32) -> String {
    format!(
        "trap 'note {name} told; sleep {seconds}; note {name} ended; exit 0' TERM\n\
         note {name} up\n\
         until test -e /test/end-{name}; do sleep 0.02; done\n\
         note {name} ended\n\
         exit {code}"
    )
}

/// A program that exits with one of these codes in each life of its container, and with the last
/// one in all later lives.
pub fn app_in_lives(name: &str, codes: &[i32]) -> String {
    let last = codes.last().unwrap();
    let codes: Vec<String> = codes.iter().map(i32::to_string).collect();
    format!(
        "note {name} up\n\
         life=$(grep -c ' {name} up$' /test/events)\n\
         set -- {}\n\
         shift $((life - 1)) 2>/dev/null || set -- {last}\n\
         note {name} ended\n\
         exit ${{1:-{last}}}",
        codes.join(" ")
    )
}

/// The image `podgate:0.1.0`: see the Dockerfile.
const PODGATE_IMAGE: &str = "podgate:0.1.0";
const PODGATE_USER: (u32, u32) = (65532, 65532);

/// The text of a manifest.
pub struct Manifest {
    name: String,
    text: String,
    /// Name and image.
    injected: Vec<(String, String)>,
}

impl Manifest {
    /// An example of this repository.
    pub fn example(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::new(name, &text)
    }

    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            injected: Vec::new(),
        }
    }

    /// The same with a container that a mesh's webhook adds. It is the last of the list, so only
    /// podgate can order the start. The webhook's init container and hooks are not played.
    pub fn injected(mut self, name: &str, image: &str) -> Self {
        self.injected.push((name.to_owned(), image.to_owned()));
        self
    }

    /// The same with each of these texts replaced everywhere.
    #[track_caller]
    pub fn shortened(mut self, replacements: &[(&str, &str)]) -> Self {
        for (long, short) in replacements {
            assert!(self.text.contains(long), "{} has no {long:?}", self.name);
            self.text = self.text.replace(long, short);
        }
        self
    }

    /// What the player understands of the manifest.
    ///
    /// # Errors
    /// A field or a value that the player does not support, by its path.
    pub fn read(&self) -> Read<Spec> {
        let documents = YamlLoader::load_from_str(&self.text)
            .map_err(|error| format!("{}: {error}", self.name))?;
        let mut specs = Vec::new();
        for document in &documents {
            specs.push(object(document).map_err(|error| format!("{}: {error}", self.name))?);
        }
        match specs.len() {
            1 => {
                let mut spec = specs.remove(0);
                for (name, image) in &self.injected {
                    let part = Part {
                        name: name.clone(),
                        image: image.clone(),
                        ..Part::default()
                    };
                    spec.containers.push((Role::Main, part));
                }
                Ok(spec)
            }
            number => Err(format!(
                "{}: {number} objects with a pod, not one",
                self.name
            )),
        }
    }

    /// Plays the pod. `None` where this machine cannot.
    #[track_caller]
    pub fn play(&self, images: &[(&str, Image)]) -> Option<Played> {
        let spec = self.read().unwrap_or_else(|error| panic!("{error}"));
        // Enough for several copies of an unoptimized podgate.
        let pod = Pod::with_network("size=512m")?;
        needs(
            "python3 in /usr/bin",
            Path::new("/usr/bin/python3").exists(),
        )
        .then_some(())?;
        Some(spec.play(pod, images))
    }
}

/// The part of a pod's spec that is played.
#[derive(Debug)]
pub struct Spec {
    policy: RestartPolicy,
    grace: Duration,
    volumes: BTreeMap<String, Volume>,
    containers: Vec<(Role, Part)>,
}

#[derive(Debug)]
enum Volume {
    EmptyDir,
    /// The files of an image, read-only.
    Image(String),
}

/// A container of the spec.
#[derive(Debug, Default)]
struct Part {
    name: String,
    image: String,
    command: Option<Vec<String>>,
    arguments: Option<Vec<String>>,
    env: Vec<(String, String)>,
    working_dir: Option<String>,
    mounts: Vec<(String, String, Access)>,
    post_start: Option<Vec<String>>,
    pre_stop: Option<Vec<String>>,
    startup_probe: Option<StartupProbe>,
    security: Security,
}

/// A `securityContext` of the pod or of a container.
#[derive(Clone, Copy, Debug, Default)]
struct Security {
    user: Option<u32>,
    group: Option<u32>,
    non_root: bool,
    read_only_root: bool,
    no_capabilities: bool,
    no_new_privileges: bool,
}

/// A mapping that is read field by field. At the end every field must have been read.
struct Fields<'a> {
    kind: &'static str,
    hash: &'a Hash,
    read: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(kind: &'static str, yaml: &'a Yaml) -> Read<Self> {
        static NOTHING: std::sync::LazyLock<Hash> = std::sync::LazyLock::new(Hash::new);
        match yaml {
            Yaml::Hash(hash) => Ok(Self {
                kind,
                hash,
                read: Vec::new(),
            }),
            Yaml::Null => Ok(Self {
                kind,
                hash: &NOTHING,
                read: Vec::new(),
            }),
            Yaml::Real(_)
            | Yaml::Integer(_)
            | Yaml::String(_)
            | Yaml::Boolean(_)
            | Yaml::Array(_)
            | Yaml::Alias(_)
            | Yaml::BadValue => Err(format!("{kind} is {yaml:?}, not a mapping")),
        }
    }

    fn get(&mut self, name: &'static str) -> Option<&'a Yaml> {
        self.read.push(name);
        self.hash.get(&Yaml::String(name.to_owned()))
    }

    fn is_not(&self, name: &str, yaml: &Yaml, what: &str) -> String {
        format!("{}.{name} is {yaml:?}, not {what}", self.kind)
    }

    fn text(&mut self, name: &'static str) -> Read<Option<String>> {
        let text = |yaml: &Yaml| {
            yaml.as_str()
                .map(str::to_owned)
                .ok_or_else(|| self.is_not(name, yaml, "text"))
        };
        let found = self
            .hash
            .get(&Yaml::String(name.to_owned()))
            .map(text)
            .transpose();
        self.read.push(name);
        found
    }

    fn needed(&mut self, name: &'static str) -> Read<String> {
        self.text(name)?
            .ok_or_else(|| format!("{} has no {name}", self.kind))
    }

    fn number(&mut self, name: &'static str) -> Read<Option<u32>> {
        let Some(yaml) = self.get(name) else {
            return Ok(None);
        };
        let number = yaml.as_i64().and_then(|number| u32::try_from(number).ok());
        number
            .map(Some)
            .ok_or_else(|| self.is_not(name, yaml, "a number"))
    }

    fn seconds(&mut self, name: &'static str, default: u32) -> Read<Duration> {
        Ok(Duration::from_secs(
            self.number(name)?.unwrap_or(default).into(),
        ))
    }

    fn flag(&mut self, name: &'static str) -> Read<Option<bool>> {
        let Some(yaml) = self.get(name) else {
            return Ok(None);
        };
        yaml.as_bool()
            .map(Some)
            .ok_or_else(|| self.is_not(name, yaml, "true or false"))
    }

    fn list(&mut self, name: &'static str) -> Read<&'a [Yaml]> {
        let Some(yaml) = self.get(name) else {
            return Ok(&[]);
        };
        yaml.as_vec()
            .map(Vec::as_slice)
            .ok_or_else(|| self.is_not(name, yaml, "a list"))
    }

    fn words(&mut self, name: &'static str) -> Read<Option<Vec<String>>> {
        let Some(yaml) = self.get(name) else {
            return Ok(None);
        };
        let word = |yaml: &Yaml| yaml.as_str().map(str::to_owned);
        let words: Option<Vec<String>> = yaml
            .as_vec()
            .and_then(|words| words.iter().map(word).collect());
        let words = words.ok_or_else(|| self.is_not(name, yaml, "a list of texts"))?;
        // The kubelet expands `$(NAME)`.
        match words.iter().find(|word| word.contains("$(")) {
            Some(word) => Err(format!(
                "{}.{name}: {word:?} is expanded, which is not played",
                self.kind
            )),
            None => Ok(Some(words)),
        }
    }

    /// A field that must have this value, because no other one is supported.
    fn only(&mut self, name: &'static str, value: &str) -> Read<bool> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) if text == value => Ok(true),
            Some(text) => Err(format!(
                "{}.{name}: {text:?} is not played, only {value:?}",
                self.kind
            )),
        }
    }

    fn end(self) -> Read<()> {
        let known = |name: &str| {
            self.read.contains(&name)
                || WITHOUT_EFFECT
                    .iter()
                    .any(|(kind, field, _)| (*kind, *field) == (self.kind, name))
        };
        match self
            .hash
            .keys()
            .filter_map(Yaml::as_str)
            .find(|name| !known(name))
        {
            Some(name) => Err(format!("{}.{name} is not played", self.kind)),
            None => Ok(()),
        }
    }
}

fn object(yaml: &Yaml) -> Read<Spec> {
    let mut object = Fields::of("object", yaml)?;
    let kind = object.needed("kind")?;
    let spec = object.get("spec").unwrap_or(&Yaml::Null);
    object.end()?;
    match kind.as_str() {
        "Pod" => pod(spec),
        "Job" => job(spec),
        "CronJob" => {
            let mut cron = Fields::of("CronJob", spec)?;
            let template = cron.get("jobTemplate").unwrap_or(&Yaml::Null);
            cron.end()?;
            let mut template = Fields::of("template", template)?;
            let spec = template.get("spec").unwrap_or(&Yaml::Null);
            template.end()?;
            job(spec)
        }
        "Deployment" => template(Fields::of("Deployment", spec)?),
        other => Err(format!("{other} is not played")),
    }
}

fn job(spec: &Yaml) -> Read<Spec> {
    let spec = template(Fields::of("Job", spec)?)?;
    match spec.policy {
        RestartPolicy::Never | RestartPolicy::OnFailure => Ok(spec),
        RestartPolicy::Always => Err("a Job's restartPolicy is Never or OnFailure".to_owned()),
    }
}

fn template(mut owner: Fields<'_>) -> Read<Spec> {
    let mut template = Fields::of("template", owner.get("template").unwrap_or(&Yaml::Null))?;
    owner.end()?;
    let spec = template.get("spec").unwrap_or(&Yaml::Null);
    template.end()?;
    pod(spec)
}

fn pod(spec: &Yaml) -> Read<Spec> {
    let mut pod = Fields::of("pod", spec)?;
    let policy = match pod.text("restartPolicy")?.as_deref() {
        None | Some("Always") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        Some(other) => return Err(format!("pod.restartPolicy: {other:?}")),
    };
    let grace = pod.seconds("terminationGracePeriodSeconds", 30)?;
    let security = security(pod.get("securityContext"), Security::default())?;
    let volumes = pod
        .list("volumes")?
        .iter()
        .map(volume)
        .collect::<Read<BTreeMap<_, _>>>()?;
    let mut containers = Vec::new();
    for (role, name) in [(Role::Init, "initContainers"), (Role::Main, "containers")] {
        for yaml in pod.list(name)? {
            containers
                .push(container(role, yaml, security).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    pod.end()?;
    for (_, part) in &containers {
        if let Some((volume, ..)) = part
            .mounts
            .iter()
            .find(|(volume, ..)| !volumes.contains_key(volume))
        {
            return Err(format!("{}: there is no volume {volume:?}", part.name));
        }
    }
    Ok(Spec {
        policy,
        grace,
        volumes,
        containers,
    })
}

fn volume(yaml: &Yaml) -> Read<(String, Volume)> {
    let mut fields = Fields::of("volume", yaml)?;
    let (name, empty, image) = (
        fields.needed("name")?,
        fields.get("emptyDir"),
        fields.get("image"),
    );
    fields.end()?;
    let volume = match (empty, image) {
        (Some(empty), None) => {
            Fields::of("emptyDir", empty)?.end()?;
            Volume::EmptyDir
        }
        (None, Some(image)) => {
            let mut fields = Fields::of("image volume", image)?;
            let reference = fields.needed("reference")?;
            fields.end()?;
            Volume::Image(reference)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(format!(
                "volume {name:?} is neither an emptyDir nor an image"
            ));
        }
    };
    Ok((name, volume))
}

fn container(role: Role, yaml: &Yaml, of_the_pod: Security) -> Read<(Role, Part)> {
    let mut fields = Fields::of("container", yaml)?;
    let name = fields.needed("name")?;
    let role = match role {
        Role::Init if fields.only("restartPolicy", "Always")? => Role::Sidecar,
        Role::Init | Role::Sidecar | Role::Main => role,
    };
    let mut part = Part {
        image: fields.needed("image")?,
        command: fields.words("command")?,
        arguments: fields.words("args")?,
        working_dir: fields.text("workingDir")?,
        security: security(fields.get("securityContext"), of_the_pod)?,
        startup_probe: fields.get("startupProbe").map(startup_probe).transpose()?,
        name,
        ..Part::default()
    };
    for yaml in fields.list("env")? {
        let mut variable = Fields::of("env", yaml)?;
        part.env.push((
            variable.needed("name")?,
            variable.text("value")?.unwrap_or_default(),
        ));
        variable.end()?;
    }
    for yaml in fields.list("volumeMounts")? {
        let mut mount = Fields::of("volumeMount", yaml)?;
        let access = if mount.flag("readOnly")? == Some(true) {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        part.mounts
            .push((mount.needed("name")?, mount.needed("mountPath")?, access));
        mount.end()?;
    }
    if let Some(yaml) = fields.get("lifecycle") {
        let mut lifecycle = Fields::of("lifecycle", yaml)?;
        part.post_start = lifecycle.get("postStart").map(exec).transpose()?;
        part.pre_stop = lifecycle.get("preStop").map(exec).transpose()?;
        lifecycle.end()?;
    }
    if role == Role::Init
        && (part.post_start.is_some() || part.pre_stop.is_some() || part.startup_probe.is_some())
    {
        return Err(format!(
            "{}: an init container has neither hooks nor probes",
            part.name
        ));
    }
    fields.end()?;
    Ok((role, part))
}

/// The command of a handler: only `exec` is supported.
fn exec(yaml: &Yaml) -> Read<Vec<String>> {
    let mut handler = Fields::of("handler", yaml)?;
    let mut exec = Fields::of("exec", handler.get("exec").unwrap_or(&Yaml::Null))?;
    handler.end()?;
    let words = exec
        .words("command")?
        .ok_or("a handler without a command is not played")?;
    exec.end()?;
    Ok(words)
}

fn startup_probe(yaml: &Yaml) -> Read<StartupProbe> {
    let mut probe = Fields::of("startupProbe", yaml)?;
    let mut exec = Fields::of("exec", probe.get("exec").unwrap_or(&Yaml::Null))?;
    // The defaults: `SetDefaults_Probe` in `pkg/apis/core/v1/defaults.go`.
    let read = StartupProbe {
        command: exec
            .words("command")?
            .ok_or("a startupProbe without a command is not played")?,
        initial_delay: probe.seconds("initialDelaySeconds", 0)?,
        period: probe.seconds("periodSeconds", 10)?,
        timeout: probe.seconds("timeoutSeconds", 1)?,
        failure_threshold: probe.number("failureThreshold")?.unwrap_or(3),
    };
    exec.end()?;
    probe.end()?;
    Ok(read)
}

fn security(yaml: Option<&Yaml>, outer: Security) -> Read<Security> {
    let Some(yaml) = yaml else { return Ok(outer) };
    let mut fields = Fields::of("securityContext", yaml)?;
    let mut security = Security {
        user: fields.number("runAsUser")?.or(outer.user),
        group: fields.number("runAsGroup")?.or(outer.group),
        non_root: fields.flag("runAsNonRoot")?.unwrap_or(outer.non_root),
        read_only_root: fields
            .flag("readOnlyRootFilesystem")?
            .unwrap_or(outer.read_only_root),
        no_new_privileges: fields
            .flag("allowPrivilegeEscalation")?
            .map_or(outer.no_new_privileges, |may| !may),
        ..outer
    };
    if let Some(yaml) = fields.get("capabilities") {
        let mut capabilities = Fields::of("capabilities", yaml)?;
        let drop = capabilities.words("drop")?.unwrap_or_default();
        capabilities.end()?;
        if drop != ["ALL"] {
            return Err(format!(
                "capabilities.drop: {drop:?} is not played, only ALL"
            ));
        }
        security.no_capabilities = true;
    }
    fields.end()?;
    Ok(security)
}

impl Spec {
    /// The mounts: the container, its image, the path, and the access.
    pub fn mounts(&self) -> Vec<(&str, &str, &str, Access)> {
        let mut mounts = Vec::new();
        for (_, part) in &self.containers {
            mounts.extend(
                part.mounts
                    .iter()
                    .map(|(_, path, access)| (&*part.name, &*part.image, &**path, *access)),
            );
        }
        mounts
    }

    fn play(self, pod: Pod, images: &[(&str, Image)]) -> Played {
        let folder = pod.sandbox().folder();
        let test = folder.join("test");
        fs::create_dir(&test).unwrap();
        fs::write(test.join("events"), "").unwrap();
        for (path, mode) in [(&test, 0o777), (&test.join("events"), 0o666)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let files = Files::new(folder.path());
        for (name, volume) in &self.volumes {
            let path = pod.volume().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            if let Volume::Image(reference) = volume {
                assert_eq!(
                    reference, PODGATE_IMAGE,
                    "no other image is played as a volume"
                );
                fs::copy(PODGATE, path.join("podgate")).unwrap();
            }
        }
        let containers: Vec<_> = self
            .containers
            .iter()
            .map(|(role, part)| (*role, self.made(part, &test, &files, images)))
            .collect();
        let back_off = Duration::from_millis(100);
        let rules = Rules {
            back_off,
            longest_back_off: 8 * back_off,
            policy: self.policy,
            grace: self.grace,
        };
        let begin = Instant::now();
        Played {
            play: pod.play_all(rules, containers),
            grace: self.grace,
            begin,
            test,
            _pod: pod,
        }
    }

    /// A container of the spec as one of a pod.
    fn made(&self, part: &Part, test: &Path, files: &Files, images: &[(&str, Image)]) -> Container {
        let is_podgate = part.image == PODGATE_IMAGE;
        let podgate = Image {
            entrypoint: vec!["/podgate".to_owned()],
            user: Some(PODGATE_USER),
            files: Vec::new(),
        };
        let found = || {
            images
                .iter()
                .find(|(name, _)| *name == part.image)
                .map(|(_, image)| image.clone())
        };
        let image = if is_podgate {
            podgate
        } else {
            found().unwrap_or_else(|| panic!("no image {:?}", part.image))
        };
        // `command` replaces the image's entrypoint, and its arguments too.
        let command = part.command.clone().unwrap_or(image.entrypoint);
        let words = [command, part.arguments.clone().unwrap_or_default()].concat();

        let mut container =
            Container::with_own_root(&part.name, words).mount(test, "/test", Access::ReadWrite);
        if is_podgate {
            container = container.mount(Path::new(PODGATE), "/podgate", Access::ReadOnly);
        }
        for (path, source) in files
            .common
            .iter()
            .map(|(path, source)| (path, source.clone()))
            .chain(
                image
                    .files
                    .iter()
                    .map(|(path, script)| (path, files.executable(script))),
            )
        {
            container = container.mount(&source, path, Access::ReadOnly);
        }
        for (volume, path, access) in &part.mounts {
            // An image volume is read-only, even if the mount does not ask for it.
            let access = if matches!(self.volumes[volume], Volume::Image(_)) {
                Access::ReadOnly
            } else {
                *access
            };
            container = container.shared(volume, path, access);
        }
        for (name, value) in &part.env {
            container = container.env(name, value);
        }
        let security = &part.security;
        let user = security
            .user
            .or(image.user.map(|(user, _)| user))
            .unwrap_or(0);
        // The runtime looks up the user's group in /etc/passwd of the image. Without an entry it is
        // 0.
        let group = security
            .group
            .or(image
                .user
                .map(|(_, group)| group)
                .filter(|_| security.user.is_none()))
            .unwrap_or(0);
        // The kubelet does not start such a container: `verifyRunAsNonRoot` in
        // `kuberuntime/security_context.go`.
        assert!(
            !security.non_root || user != 0,
            "{}: runAsNonRoot, and the image runs as root",
            part.name
        );
        assert_eq!(
            security.no_capabilities, security.no_new_privileges,
            "{}: only both are played, or neither",
            part.name
        );
        if user != 0 || group != 0 {
            container = container.user(user, group);
        }
        if security.no_capabilities {
            container = container.hardened();
        }
        if security.read_only_root {
            container = container.read_only_root();
        }
        if let Some(path) = &part.working_dir {
            container = container.working_dir(path);
        }
        if let Some(hook) = &part.post_start {
            container = container.post_start(hook);
        }
        if let Some(hook) = &part.pre_stop {
            container = container.pre_stop(hook);
        }
        match &part.startup_probe {
            Some(probe) => container.startup_probe(probe.clone()),
            None => container,
        }
    }
}

/// The files of the images, on this machine.
struct Files {
    folder: PathBuf,
    common: Vec<(String, PathBuf)>,
}

impl Files {
    fn new(folder: &Path) -> Self {
        let folder = folder.join("files");
        fs::create_dir(&folder).unwrap();
        let mut files = Self {
            folder,
            common: Vec::new(),
        };
        let note = "#!/bin/sh\necho \"$(date +%s.%N) $*\" >>/test/events\n";
        let sidecar = format!(
            "#!/usr/bin/python3 -SE\n{}",
            include_str!("fake_sidecar.py")
        );
        files.common = vec![
            (at("note"), files.executable(note)),
            (at("fake"), files.executable(&sidecar)),
        ];
        files
    }

    fn executable(&self, text: &str) -> PathBuf {
        let path = self
            .folder
            .join(fs::read_dir(&self.folder).unwrap().count().to_string());
        let text = if text.starts_with("#!") {
            text.to_owned()
        } else {
            format!("#!/bin/sh\n{text}\n")
        };
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// A manifest's pod that is being played.
pub struct Played {
    // Dropped before the pod.
    play: Play,
    grace: Duration,
    begin: Instant,
    test: PathBuf,
    _pod: Pod,
}

impl Deref for Played {
    type Target = Play;

    fn deref(&self) -> &Play {
        &self.play
    }
}

/// An event that a program noted.
#[derive(Clone, Debug)]
pub struct Happening {
    /// By the machine's clock.
    pub at: Duration,
    pub what: String,
}

impl Happening {
    /// By the clock of the containers' ends ([`std::time::Instant`]). An end may be noticed later
    /// than it happened.
    pub fn when(&self) -> Instant {
        let ago = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + self.at)
            .unwrap_or_default();
        Instant::now() - ago
    }
}

impl Played {
    /// Lets programs go on that wait for `/test/NAME`.
    pub fn allow(&self, name: &str) {
        fs::write(self.test.join(name), "").unwrap();
    }

    /// Deletes the pod, with its own grace period.
    pub fn delete_it(&self) {
        self.play.delete(self.grace);
    }

    /// The time when the pod was started.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// All events that the programs noted so far, in order.
    pub fn happenings(&self) -> Vec<Happening> {
        let text = fs::read_to_string(self.test.join("events")).unwrap();
        let happening = |line: &str| {
            let (at, what) = line.split_once(' ').unwrap();
            Happening {
                at: Duration::from_secs_f64(at.parse().unwrap()),
                what: what.to_owned(),
            }
        };
        text.lines().map(happening).collect()
    }

    /// Waits for this event.
    #[track_caller]
    pub fn comes(&self, what: &str) -> Happening {
        self.comes_again(what, 1)
    }

    /// Waits until this event has happened `times` times.
    #[track_caller]
    pub fn comes_again(&self, what: &str, times: usize) -> Happening {
        let look = || {
            self.happenings()
                .into_iter()
                .filter(|its| its.what == what)
                .nth(times - 1)
        };
        eventually_or(&format!("{what:?} to happen {times} times"), look, || {
            self.to_string()
        })
    }

    /// How often this event has happened.
    pub fn count(&self, what: &str) -> usize {
        self.happenings()
            .iter()
            .filter(|its| its.what == what)
            .count()
    }

    /// All of these events happened, in this order. Other events may have happened in between.
    #[track_caller]
    pub fn happened(&self, all: &[&str]) -> &Self {
        let happenings = self.happenings();
        let mut rest = happenings.iter();
        for what in all {
            assert!(
                rest.any(|its| its.what == *what),
                "{what:?} did not happen in its place of {all:?}\n{self}"
            );
        }
        self
    }

    #[track_caller]
    pub fn never_happened(&self, what: &str) -> &Self {
        assert_eq!(self.count(what), 0, "{what:?} happened\n{self}");
        self
    }

    /// The pod has ended in this phase, and its containers with these codes in all their lives.
    #[track_caller]
    pub fn ends_as(&self, phase: super::kubelet::Phase, codes: &[(&str, &[i32])]) -> &Self {
        assert_eq!(self.finish(), phase, "{self}");
        for (name, codes) in codes {
            assert_eq!(self.codes(name), *codes, "{name}\n{self}");
        }
        self
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let happenings = self.happenings();
        let first = happenings.first().map_or(Duration::ZERO, |its| its.at);
        for Happening { at, what } in &happenings {
            writeln!(
                f,
                "{:7.0} ms  {what}",
                at.saturating_sub(first).as_secs_f64() * 1000.0
            )?;
        }
        write!(f, "{}", self.play)
    }
}
