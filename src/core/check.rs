//! The check grammar (P3): one word on the command line, one thing that must be true.
//!
//! Pure text: nothing is resolved, opened or connected here. What is accepted prints back, by `Display` of [`Kind`], to a text that
//! parses to the same check. What a person typed is kept in [`Check`] and printed with its user info hidden.

use super::member::Name;
use super::preset::{self, Sidecar};
use super::schedule;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The longest path of a unix socket: `sun_path` has 108 bytes with its NUL (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// The kinds of checks, for messages.
const KINDS: &str =
    "http://, https://, http+unix://, tcp://, unix://, listen://, file://, exec: or ready:";

/// A check: as it was typed, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// As it was typed, with the user info hidden: what messages call it by.
    pub name: String,
    /// What it means.
    pub kind: Kind,
    /// The preset that it was typed as: asked by a plain GET, whatever is said about HTTP checks.
    pub preset: Option<Sidecar>,
}

impl Check {
    /// The URL that the options about HTTP checks are about.
    pub fn url(&self) -> Option<&Url> {
        self.kind.url().filter(|_| self.preset.is_none())
    }
}

/// What must be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An HTTP answer passes.
    Http(Url),
    /// A connection to host and port is accepted.
    Tcp(Host, u16),
    /// A connection to the socket at this path is accepted.
    Unix(String),
    /// Some process in this network namespace listens on the port; on this address, if one is given.
    Listen(Option<IpAddr>, u16),
    /// The path exists.
    File(String),
    /// The command exits 0. Never empty.
    Exec(Vec<String>),
    /// This is true of the member.
    Member(Fact, Name),
}

/// What may be true of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// It is alive, and its CMD runs.
    Started,
    /// It is alive and ready.
    Ready,
    /// It is not alive: it never came, has ended, or was lost.
    Gone,
    /// Its last incarnation ended with 0.
    Succeeded,
}

/// The facts by their words.
const FACTS: [(&str, Fact); 4] = [
    ("started", Fact::Started),
    ("ready", Fact::Ready),
    ("gone", Fact::Gone),
    ("succeeded", Fact::Succeeded),
];

impl Check {
    /// One that was not typed, but follows from another option.
    pub fn of(kind: Kind) -> Self {
        Self {
            name: kind.to_string(),
            kind,
            preset: None,
        }
    }
}

/// Where an HTTP request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// With TLS or without.
    pub scheme: Scheme,
    /// Name and password as they stand in the URL, percent-encoded.
    pub user_info: Option<String>,
    /// Whom to connect to.
    pub server: Server,
    /// Path and query; starts with `/`.
    pub path: String,
}

/// With TLS or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`, and `http+unix`.
    Plain,
    /// `https`.
    Tls,
}

impl Scheme {
    /// The port where the URL names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A host and a port; the port as typed, for the `Host` header.
    Host(Host, Option<u16>),
    /// A unix socket.
    Socket(String),
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Is it this machine, so that asking costs next to nothing?
    pub fn is_near(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => {
                address.to_canonical().is_loopback() || address.is_unspecified()
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Url {
    /// `host` or `host:port`, as the `Host` header says it; `localhost` for a unix socket, as curl does.
    pub fn authority(&self) -> String {
        match &self.server {
            Server::Host(host, None) => host.to_string(),
            Server::Host(host, Some(port)) => format!("{host}:{port}"),
            Server::Socket(_) => "localhost".to_owned(),
        }
    }

    /// The host name that a redirect must keep.
    pub fn host(&self) -> Host {
        match &self.server {
            Server::Host(host, _) => host.clone(),
            Server::Socket(_) => Host::Name("localhost".to_owned()),
        }
    }

    /// The port to connect to; meaningless for a unix socket.
    pub fn port(&self) -> u16 {
        match &self.server {
            Server::Host(_, port) => port.unwrap_or(self.scheme.default_port()),
            Server::Socket(_) => 0,
        }
    }

    /// Scheme, host and port: what "one HTTP host" means for `--http-header`.
    pub fn origin(&self) -> (Scheme, Server) {
        let server = match &self.server {
            Server::Host(host, _) => Server::Host(host.clone(), Some(self.port())),
            Server::Socket(path) => Server::Socket(path.clone()),
        };
        (self.scheme, server)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user_info = self
            .user_info
            .as_ref()
            .map(|it| format!("{it}@"))
            .unwrap_or_default();
        match (&self.server, self.scheme) {
            (Server::Socket(path), Scheme::Plain | Scheme::Tls) => {
                write!(
                    f,
                    "http+unix://{user_info}{}{}",
                    percent_encoded(path),
                    self.path
                )
            }
            (Server::Host(..), Scheme::Plain) => {
                write!(f, "http://{user_info}{}{}", self.authority(), self.path)
            }
            (Server::Host(..), Scheme::Tls) => {
                write!(f, "https://{user_info}{}{}", self.authority(), self.path)
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{url}"),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{path}"),
            Self::Listen(None, port) => write!(f, "listen://:{port}"),
            Self::Listen(Some(address), port) => {
                write!(f, "listen://{}:{port}", Host::Address(*address))
            }
            Self::File(path) => write!(f, "file://{path}"),
            Self::Exec(words) => {
                let command = shell_words::join(words);
                // `exec://` is refused as a slip; a command whose name begins so stands apart.
                let space = if command.starts_with("//") { " " } else { "" };
                write!(f, "exec:{space}{command}")
            }
            Self::Member(fact, name) => {
                let word = FACTS
                    .iter()
                    .find(|(_, it)| it == fact)
                    .map_or("", |(word, _)| word);
                write!(f, "{word}:{name}")
            }
        }
    }
}

impl Kind {
    /// The least pause between two attempts: what asking costs.
    pub fn floor(&self) -> Duration {
        let near = match self {
            Self::Http(url) => match &url.server {
                Server::Host(host, _) => host.is_near(),
                Server::Socket(_) => true,
            },
            Self::Tcp(host, _) => host.is_near(),
            Self::Unix(_) | Self::Listen(..) | Self::File(_) | Self::Member(..) => true,
            Self::Exec(_) => false,
        };
        if near { schedule::NEAR } else { schedule::FAR }
    }

    /// A word of an `exec:` check that a shell would have read as an operator: it stands by itself, and was not quoted.
    pub fn shell_word(&self, typed: &str) -> Option<&'static str> {
        const OPERATORS: [&str; 11] = [
            "&&",
            "||",
            "|",
            ";",
            "&",
            ">",
            ">>",
            "<",
            "2>",
            "2>&1",
            "2>/dev/null",
        ];
        let Self::Exec(words) = self else { return None };
        let is_bare = |operator: &&&str| {
            words.iter().any(|word| word == **operator)
                && typed
                    .split_ascii_whitespace()
                    .any(|word| word == **operator)
        };
        OPERATORS.iter().find(is_bare).copied()
    }

    /// May an attempt hang in the kernel, because it goes by a path whose file system may not answer?
    pub const fn goes_by_path(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Exec(_) => true,
            Self::Http(url) => matches!(url.server, Server::Socket(_)),
            // Looked up in a thread of its own.
            Self::File(_) | Self::Tcp(..) | Self::Listen(..) | Self::Member(..) => false,
        }
    }

    /// Is it about a path, so that the kernel can tell of a change?
    pub const fn is_watched(&self) -> bool {
        match self {
            Self::File(_) | Self::Member(..) => true,
            Self::Http(_) | Self::Tcp(..) | Self::Unix(_) | Self::Listen(..) | Self::Exec(_) => {
                false
            }
        }
    }

    /// The member that it is about, if it is about one.
    pub const fn member(&self) -> Option<(Fact, &Name)> {
        match self {
            Self::Member(fact, name) => Some((*fact, name)),
            Self::Http(_)
            | Self::Tcp(..)
            | Self::Unix(_)
            | Self::Listen(..)
            | Self::File(_)
            | Self::Exec(_) => None,
        }
    }

    /// The HTTP URL, if this is an HTTP check.
    pub const fn url(&self) -> Option<&Url> {
        match self {
            Self::Http(url) => Some(url),
            Self::Tcp(..)
            | Self::Unix(_)
            | Self::Listen(..)
            | Self::File(_)
            | Self::Exec(_)
            | Self::Member(..) => None,
        }
    }
}

/// Reads one check.
///
/// # Errors
/// What is wrong and a right example, without the text itself.
pub fn parse(text: &str) -> Result<Check, String> {
    let preset = preset::parse(text).transpose()?;
    let kind = match preset {
        Some(sidecar) => kind(&sidecar.ready())?,
        None => kind(text)?,
    };
    Ok(Check {
        name: redacted(text),
        kind,
        preset,
    })
}

/// Hides the user info of every URL in a text: a check that was accepted, or what a command printed.
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after
            .find(|letter: char| "/?#".contains(letter) || letter.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        shown.push_str(before);
        shown.push_str("://");
        match authority.rsplit_once('@') {
            None => shown.push_str(authority),
            Some((_, host)) => {
                shown.push_str("***@");
                shown.push_str(host);
            }
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// The same for a text that was refused: all before the last `@` is hidden, because a password that was not encoded may hold
/// anything, and the scheme may be missing.
pub fn redacted_refusal(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) if !text.starts_with("exec:") => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{host}"),
            None => format!("***@{host}"),
        },
        Some(_) | None => redacted(text),
    }
}

/// The same for the value of another option, where a URL has no place but may stand by mistake, with its scheme or without.
pub fn redacted_value(text: &str) -> String {
    let has_password = text
        .rsplit_once('@')
        .is_some_and(|(before, _)| before.contains(':'));
    if text.contains("://") || has_password {
        redacted_refusal(text)
    } else {
        text.to_owned()
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    if let Some(command) = text.strip_prefix("exec:") {
        return exec(command);
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character; say http://localhost:8080/ready".to_owned());
    }
    if let Some((word, name)) = text.split_once(':')
        && let Some((_, fact)) = FACTS.iter().find(|(it, _)| *it == word)
    {
        return Name::parse(name).map(|name| Kind::Member(*fact, name));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(hint(text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => url(Scheme::Plain, rest).map(Kind::Http),
        "https" => url(Scheme::Tls, rest).map(Kind::Http),
        "http+unix" => http_unix(rest).map(Kind::Http),
        "tcp" => tcp(rest),
        "unix" => absolute(rest, "unix:///run/app.sock")
            .and_then(|path| socket_path(&path).map(Kind::Unix)),
        "listen" => listen(rest),
        "file" => absolute(rest, "file:///run/ready").map(Kind::File),
        "grpc" => Err(
            "grpc:// is reserved and not there yet; say http://localhost:8080/healthz or exec:…"
                .to_owned(),
        ),
        "https+unix" => Err(
            "there is no TLS over a unix socket here; say http+unix://%2Frun%2Fapp.sock/ready"
                .to_owned(),
        ),
        "http+tcp" | "tcp4" | "tcp6" => {
            Err("is no kind of check; say tcp://localhost:5432".to_owned())
        }
        _ => Err(format!(
            "is no kind of check; a check starts with {KINDS}, or is one of {}",
            preset::Names
        )),
    }
}

/// What a text without `://` may have been meant as.
fn hint(text: &str) -> String {
    let example = format!(
        "a check starts with {KINDS}, or is one of {}",
        preset::Names
    );
    if text.trim().is_empty() {
        return format!("is empty; {example}");
    }
    if let Some(name) = preset::nearest(text) {
        // What is no port may be a password.
        let port = text
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .map_or(80, |port| port.max(1));
        return format!(
            "is no check; for the sidecar say {name}, for a host http://… or tcp://HOST:{port}"
        );
    }
    if text.contains('@') {
        return format!("is no check; {example}");
    }
    // An example is one only if it is right.
    let is_right = |example: &String| kind(example).is_ok();
    if text.starts_with('/') {
        return match Some(format!("unix://{text}")).filter(is_right) {
            Some(socket) => format!(
                "is a path; say file://{text} (it exists) or {socket} (it accepts connections)"
            ),
            None => format!("is a path; say file://{text}"),
        };
    }
    if let Some((scheme, path)) = text
        .split_once(":/")
        .filter(|(scheme, _)| matches!(*scheme, "unix" | "file"))
        && let Some(meant) = Some(format!("{scheme}:///{path}")).filter(is_right)
    {
        return format!("has too few slashes; say {meant}");
    }
    if let Some((host, rest)) = text.rsplit_once(':') {
        let (port, path) = rest
            .find('/')
            .and_then(|at| rest.split_at_checked(at))
            .unwrap_or((rest, ""));
        let meant = match (host, path) {
            ("", "") => format!("listen://:{port}"),
            (_, "") => format!("tcp://{text}"),
            (_, _) => format!("http://{text}"),
        };
        if port.parse::<u16>().is_ok() && is_right(&meant) {
            let or = if host.is_empty() {
                format!(" or tcp://localhost:{port}")
            } else {
                String::new()
            };
            return format!("has no kind; say {meant}{or}");
        }
    }
    if let Some(meant) = Some(format!("listen://:{text}")).filter(is_right) {
        return format!("has no kind; say tcp://localhost:{text} or {meant}");
    }
    format!("is no check; {example}; a command goes after --")
}

fn exec(command: &str) -> Result<Kind, String> {
    if command.starts_with("//") {
        return Err("exec takes no //; say exec:pg_isready -h localhost".to_owned());
    }
    let words = shell_words::split(command)
        .map_err(|_| "has a quote that is not closed; say exec:test -f '/a b'".to_owned())?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err("has a NUL character; say exec:pg_isready -h localhost".to_owned());
    }
    match words.first() {
        None => Err("names no command; say exec:pg_isready -h localhost".to_owned()),
        Some(name) if name.is_empty() => {
            Err("names no command; say exec:pg_isready -h localhost".to_owned())
        }
        Some(_) => Ok(Kind::Exec(words)),
    }
}

fn absolute(path: &str, example: &str) -> Result<String, String> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path.to_owned())
    } else {
        Err(format!("needs an absolute path; say {example}"))
    }
}

fn socket_path(path: &str) -> Result<String, String> {
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "is longer than a socket's path can be ({LONGEST_SOCKET_PATH} bytes); say unix:///run/app.sock"
        ));
    }
    if path.ends_with('/') || path.contains('\0') {
        return Err("names no socket; say unix:///run/app.sock".to_owned());
    }
    Ok(path.to_owned())
}

fn tcp(rest: &str) -> Result<Kind, String> {
    const EXAMPLE: &str = "say tcp://localhost:5432";
    if rest.contains('@') {
        return Err(format!("takes no user info; {EXAMPLE}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!("takes no path; {EXAMPLE}, or http://… for a path"));
    }
    match host_and_port(rest, EXAMPLE)? {
        (_, None) => Err(format!("needs a port; {EXAMPLE}")),
        (host, Some(port)) => Ok(Kind::Tcp(host, port)),
    }
}

fn listen(rest: &str) -> Result<Kind, String> {
    const EXAMPLE: &str = "say listen://:8080 or listen://127.0.0.1:8080";
    if let Some(rest) = rest.strip_prefix(':') {
        return Ok(Kind::Listen(None, port(rest, EXAMPLE)?));
    }
    match host_and_port(rest, EXAMPLE)? {
        (_, None) => Err(format!("needs a port; {EXAMPLE}")),
        (Host::Address(address), Some(port)) => Ok(Kind::Listen(Some(address), port)),
        (Host::Name(name), Some(_)) => Err(format!(
            "looks at sockets on this machine and takes an address, not the name {name:?}; {EXAMPLE}"
        )),
    }
}

fn http_unix(rest: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "say http+unix://%2Frun%2Fapp.sock/ready";
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(format!(
            "has no socket: the slashes of its path must be written %2F; {EXAMPLE}"
        ));
    }
    let (user_info, socket) = user_info(authority)?;
    let socket = percent_decoded(socket)
        .ok_or_else(|| format!("has a socket path that is not percent-encoded; {EXAMPLE}"))?;
    let socket = absolute(&socket, "http+unix://%2Frun%2Fapp.sock/ready")
        .and_then(|path| socket_path(&path))?;
    Ok(Url {
        scheme: Scheme::Plain,
        user_info,
        server: Server::Socket(socket),
        path: path_and_query(path)?,
    })
}

fn url(scheme: Scheme, rest: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "say http://localhost:8080/ready";
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
    let (user_info, authority) = user_info(authority)?;
    let (host, port) = host_and_port(authority, EXAMPLE)?;
    Ok(Url {
        scheme,
        user_info,
        server: Server::Host(host, port),
        path: path_and_query(path)?,
    })
}

/// Splits `user:password@` off an authority.
fn user_info(authority: &str) -> Result<(Option<String>, &str), String> {
    match authority.rsplit_once('@') {
        None => Ok((None, authority)),
        Some((user_info, rest)) => {
            let fine =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%".contains(&byte);
            if user_info.is_empty()
                || !user_info.bytes().all(fine)
                || percent_decoded(user_info).is_none()
            {
                return Err("has a user or password with characters that must be percent-encoded (/ as %2F, @ as %40)"
                    .to_owned());
            }
            Ok((Some(user_info.to_owned()), rest))
        }
    }
}

fn host_and_port(authority: &str, example: &str) -> Result<(Host, Option<u16>), String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| format!("has a [ without ]; {example}"))?;
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| format!("has no IPv6 address between [ and ]; {example}"))?;
        let host = Host::Address(IpAddr::V6(address));
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("has something between ] and the port; {example}")),
            Some(text) => Ok((host, Some(port(text, example)?))),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() || authority.matches(':').count() > 1 {
        return Err(format!(
            "has a host with several colons; an IPv6 address stands in brackets, as in [::1]:8080; {example}"
        ));
    }
    let (name, number) = match authority.split_once(':') {
        None => (authority, None),
        Some((name, text)) => (name, Some(port(text, example)?)),
    };
    Ok((host(name, example)?, number))
}

fn host(name: &str, example: &str) -> Result<Host, String> {
    if name.is_empty() {
        return Err(format!("has no host; {example}"));
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    if !name.is_ascii() {
        return Err(format!(
            "has a host name that is not ASCII; write it in punycode (xn--…), or {example}"
        ));
    }
    // Underscores are no letters of host names, but of DNS names that people use (docker compose).
    let fine = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fine || name.len() > 253 || name.starts_with(['-', '.']) || name.contains("..") {
        return Err(format!("has a host that is no name; {example}"));
    }
    // 1.2.3 and 0x7f.1 are addresses to inet_aton(3) and names to nobody.
    if name
        .rsplit('.')
        .next()
        .is_some_and(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(format!(
            "has a host that is neither an address nor a name; {example}"
        ));
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

fn port(text: &str, example: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok(number),
        Ok(_) | Err(_) => Err(format!("needs a port from 1 to 65535; {example}")),
    }
}

fn path_and_query(text: &str) -> Result<String, String> {
    if text.contains('#') {
        return Err(
            "has a fragment (#…), which is never sent to a server; leave it out".to_owned(),
        );
    }
    let fine =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]|{}".contains(&byte);
    if !text.bytes().all(fine) {
        return Err(
            "has a path with characters that must be percent-encoded (a space as %20)".to_owned(),
        );
    }
    Ok(if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    })
}

/// Decodes `%2F`; `None` where a `%` is not followed by two hex digits, or the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Encodes all but letters, digits, and `-._~`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{
        Host, Kind, Scheme, Server, Url, parse, percent_decoded, redacted, redacted_refusal,
        redacted_value,
    };
    use proptest::prelude::*;

    fn kind(text: &str) -> Kind {
        parse(text)
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
            .kind
    }

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    fn url(scheme: Scheme, host: Host, port: Option<u16>, path: &str) -> Kind {
        Kind::Http(Url {
            scheme,
            user_info: None,
            server: Server::Host(host, port),
            path: path.to_owned(),
        })
    }

    #[test]
    fn each_kind_is_read() {
        let localhost = || name("localhost");
        let one = "::1".parse().map(Host::Address).unwrap();
        let cases = [
            (
                "http://localhost:15021/healthz/ready",
                url(Scheme::Plain, localhost(), Some(15021), "/healthz/ready"),
            ),
            (
                "HTTP://LocalHost",
                url(Scheme::Plain, localhost(), None, "/"),
            ),
            ("https://[::1]/a?b=c", url(Scheme::Tls, one, None, "/a?b=c")),
            ("http://h?x=1", url(Scheme::Plain, name("h"), None, "/?x=1")),
            ("tcp://db:5432", Kind::Tcp(name("db"), 5432)),
            (
                "unix:///run/app.sock",
                Kind::Unix("/run/app.sock".to_owned()),
            ),
            ("listen://:8080", Kind::Listen(None, 8080)),
            (
                "listen://127.0.0.1:8080",
                Kind::Listen(Some([127, 0, 0, 1].into()), 8080),
            ),
            ("file:///a b", Kind::File("/a b".to_owned())),
            (
                "exec:a 'b c' \"d e\" f\\ g",
                Kind::Exec(["a", "b c", "d e", "f g"].map(str::to_owned).to_vec()),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(kind(text), expected, "{text}");
        }
        let Kind::Http(socket) = kind("http+unix://%2Frun%2Fapp.sock/ready") else {
            panic!("a URL")
        };
        assert_eq!(socket.server, Server::Socket("/run/app.sock".to_owned()));
        assert_eq!(socket.path, "/ready");
        assert_eq!(socket.authority(), "localhost");
    }

    #[test]
    fn habits_get_a_right_example() {
        for (text, hint) in [
            ("db:5432", "say tcp://db:5432"),
            ("localhost:8080/ready", "say http://localhost:8080/ready"),
            (":8080", "listen://:8080"),
            ("8080", "tcp://localhost:8080"),
            ("/run/x", "file:///run/x"),
            ("unix:/run/x", "unix:///run/x"),
            ("grpc://localhost:1", "reserved"),
            ("ready:Proxy", "member's name"),
            ("Istio", "say istio,"),
            ("istio-proxy", "say istio,"),
            ("cloudsql", "say cloud-sql-proxy,"),
            ("vault:8200", "tcp://HOST:8200"),
            ("envoy:1:2", "say envoy:9901"),
            ("nonsense", "consul-dataplane"),
            ("tcp://db", "needs a port"),
            ("tcp://db:0", "1 to 65535"),
            ("tcp://db:+5", "1 to 65535"),
            ("tcp://::1:80", "brackets"),
            ("http://h/a b", "%20"),
            ("http://h/#a", "fragment"),
            ("http://", "no host"),
            ("http://1.2.3/", "neither"),
            ("listen://localhost:80", "an address, not the name"),
            ("exec:", "names no command"),
            ("exec:a 'b", "quote"),
            ("http+unix:///run/app.sock/ready", "%2F"),
            ("redis://x", "is no kind of check"),
            ("", "empty"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(hint), "{text:?}: {error}");
        }
    }

    /// What fuzzing found: examples that would have been refused, too.
    #[test]
    fn an_example_that_is_made_of_what_was_typed_can_be_typed() {
        for (text, hint) in [
            (")db:5432", "is no check"),
            ("d b:80/x", "is no check"),
            ("0", "is no check"),
            ("6/", "is no check"),
            (":0", "is no check"),
            ("/run/app/", "is a path; say file:///run/app/"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.starts_with(hint) && !error.contains(&format!("//{text} or")),
                "{text:?}: {error}"
            );
        }
        assert!(!parse("/run/app/").expect_err("a path").contains("unix://"));
        assert!(
            parse("unix:/run/app/")
                .expect_err("no socket")
                .starts_with("is no check")
        );
    }

    /// What fuzzing found: it was printed as `exec://bin/x a`, which is refused.
    #[test]
    fn a_command_that_begins_with_two_slashes_prints_back_to_itself() {
        let check = parse("exec: //bin/x a").expect("a check");
        assert_eq!(check.kind.to_string(), "exec: //bin/x a");
        assert_eq!(parse(&check.kind.to_string()), Ok(check));
    }

    /// What fuzzing found: the port of the hint was all that follows the last colon.
    #[test]
    fn a_password_behind_a_presets_name_is_not_in_the_hint() {
        let error = parse("istio-proxy:secret@host").expect_err("no check");
        assert!(
            error.contains("say istio,")
                && error.contains("tcp://HOST:80")
                && !error.contains("secret"),
            "{error}"
        );
        assert!(
            parse("vault:8200")
                .expect_err("no check")
                .contains("tcp://HOST:8200")
        );
    }

    /// What fuzzing found: a URL in the place of another value was shown with its password.
    #[test]
    fn a_url_in_the_place_of_another_value_hides_its_user_info() {
        assert_eq!(
            redacted_value("http://user:se/cret@host/"),
            "http://***@host/"
        );
        assert_eq!(redacted_value("me@host"), "me@host");
    }

    #[test]
    fn a_preset_is_a_check() {
        let check = parse("istio:1").unwrap();
        assert_eq!(
            (check.name.as_str(), check.kind.to_string().as_str()),
            ("istio:1", "http://localhost:1/healthz/ready")
        );
        assert!(check.preset.is_some() && check.url().is_none());
        assert_eq!(
            parse("vault-agent").unwrap().kind,
            Kind::Tcp(name("localhost"), 8200)
        );
        let check = parse("http://localhost:15021/healthz/ready").unwrap();
        assert!(check.preset.is_none() && check.url().is_some());
    }

    #[test]
    fn user_info_is_never_shown() {
        for (text, shown) in [
            ("http://user:secret@host/p", "http://***@host/p"),
            ("http://user:se@cret@host/p", "http://***@host/p"),
            ("http://host/@scope/p", "http://host/@scope/p"),
            (
                "exec:curl 'http://a:b@c/' https://d:e@f",
                "exec:curl 'http://***@c/' https://***@f",
            ),
            (
                "exec:curl \"http://u:p'w@h/\" 'http://x' a@b",
                "exec:curl \"http://***@h/\" 'http://x' a@b",
            ),
        ] {
            assert_eq!(redacted(text), shown);
        }
        for (text, shown) in [
            ("htp://user:secret@host", "htp://***@host"),
            ("http://user:se/cret@host/p", "http://***@host/p"),
            ("user:secret@host:80", "***@host:80"),
            ("http://host/p p", "http://host/p p"),
        ] {
            assert_eq!(redacted_refusal(text), shown);
        }
    }

    #[test]
    fn an_operator_of_the_shell_is_seen_where_it_is_not_quoted() {
        for (text, word) in [
            ("exec:true && false", Some("&&")),
            ("exec:echo a > b", Some(">")),
            ("exec:sh -c 'true && false'", None),
            ("exec:echo '|'", None),
            ("exec:echo a>b", None),
            ("tcp://localhost:80", None),
        ] {
            assert_eq!(kind(text).shell_word(text), word, "{text}");
        }
    }

    #[test]
    fn near_is_what_is_on_this_machine() {
        for (text, near) in [
            ("tcp://127.9.9.9:1", true),
            ("tcp://[::ffff:127.0.0.1]:1", true),
            ("http://localhost", true),
            ("http+unix://%2Fa/", true),
            ("tcp://10.0.0.1:1", false),
            ("http://db", false),
            ("exec:true", false),
        ] {
            assert_eq!(kind(text).floor() == super::schedule::NEAR, near, "{text}");
        }
    }

    fn some_host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z][a-z0-9_-]{0,10}(\\.[a-z][a-z0-9]{0,5}){0,3}\\.?",
            any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            any::<[u8; 16]>().prop_map(|bytes| format!("[{}]", std::net::Ipv6Addr::from(bytes))),
        ]
    }

    /// Texts that are checks, or nearly.
    fn nearly_a_check() -> impl Strategy<Value = String> {
        let path = "(/[a-zA-Z0-9%._~!$&'()*+,;=:@-]{0,8}){0,3}(\\?[a-z=&]{0,5})?";
        prop_oneof![
            (
                "https?",
                "([a-z%40:]{1,8}@)?",
                some_host(),
                "(:[0-9]{1,6})?",
                path
            )
                .prop_map(|(a, b, c, d, e)| format!("{a}://{b}{c}{d}{e}")),
            (some_host(), "[0-9]{0,6}").prop_map(|(host, port)| format!("tcp://{host}:{port}")),
            (some_host(), "[0-9]{0,6}").prop_map(|(host, port)| format!("listen://{host}:{port}")),
            "(unix|file)://(/[ -~]{0,20}){0,3}",
            "http\\+unix://(%2F[a-z]{1,5}){1,3}(/[a-z]{0,5})?",
            "exec:[ -~]{0,40}",
            "exec:\\PC{0,40}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = (parse(&text), redacted(&text), percent_decoded(&text));
        }

        #[test]
        fn what_is_accepted_prints_back_to_itself(text in nearly_a_check()) {
            if let Ok(check) = parse(&text) {
                let printed = check.kind.to_string();
                let again = parse(&printed).map_err(|error| TestCaseError::fail(format!("{text:?} printed {printed:?}: {error}")))?;
                prop_assert_eq!(&again.kind, &check.kind, "{} printed {}", text, printed);
                prop_assert_eq!(again.kind.to_string(), printed);
            }
        }

        #[test]
        fn a_password_is_never_in_the_name(password in "[a-zA-Z0-9]{12,20}", scheme in "(http|https|htpp|tcp|http\\+unix)", tail in "(/[a-z@]{0,5})?") {
            let text = format!("{scheme}://user:{password}@host{tail}");
            prop_assert!(!redacted(&text).contains(&password));
            prop_assert!(!redacted_refusal(&text).contains(&password));
            for text in [text.as_str(), text.split_once("://").expect("a scheme").1] {
                match parse(text) {
                    Ok(check) => prop_assert!(!check.name.contains(&password), "{}", check.name),
                    Err(error) => prop_assert!(!error.contains(&password), "{}", error),
                }
            }
        }
    }
}
