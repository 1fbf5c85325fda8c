//! The check grammar (P3): one word on the command line, one thing that must be true.
//!
//! Pure text: nothing is resolved, opened or connected here. An accepted check prints back, by
//! `Display` of [`Kind`], to a text that parses to the same check. What a person typed is kept in
//! [`Check`] and printed with its user info hidden.

use super::backend::{self, Database, Grpc};
use super::member::Name;
use super::preset::{self, Sidecar};
use super::url::{
    self, Host, Scheme, Server, Url, absolute, host_and_port, port, socket_path, split,
};
use super::{hint, redact, schedule};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Begins a check that passes when the check after it does not hold.
const NOT: &str = "not:";
const TWICE: &str = "has not: twice; leave both out, as in tcp://localhost:5432";

/// A check: as it was typed, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// As it was typed, with the user info hidden: its name in messages.
    pub name: String,
    pub kind: Kind,
    /// The preset that it was typed as. It is asked by a plain GET; the HTTP options do not apply.
    pub preset: Option<Sidecar>,
    /// A word of an `exec:` check that looks like an operator of a shell.
    pub shell_word: Option<&'static str>,
}

impl Check {
    /// The URL of an HTTP check that the HTTP options apply to. `None` for a preset.
    pub fn url(&self) -> Option<&Url> {
        self.kind.url().filter(|_| self.preset.is_none())
    }

    /// Whether its attempts begin with TLS.
    pub fn uses_tls(&self) -> bool {
        let is_grpcs = matches!(self.kind.positive(), Kind::Grpc(it) if it.scheme == Scheme::Tls);
        is_grpcs || self.url().is_some_and(|url| url.scheme == Scheme::Tls)
    }

    /// Whether the options about TLS apply to it. A redirect may lead from http to https.
    pub fn may_use_tls(&self) -> bool {
        self.uses_tls() || self.url().is_some()
    }

    /// The check after `not:`, as it was typed.
    pub fn negated(&self) -> Option<&str> {
        let Kind::Not(_) = self.kind else { return None };
        self.name.strip_prefix(NOT).map(str::trim_start)
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
    /// Some process in this network namespace listens on the port; on this address, if one is
    /// given.
    Listen(Option<IpAddr>, u16),
    /// The path exists.
    File(String),
    /// The path is a file that is not empty.
    NonEmpty(String),
    /// The name has an address. It is a [`Host::Name`].
    Dns(Host),
    /// The service answers SERVING.
    Grpc(Grpc),
    /// The database accepts connections. The server has a port.
    Database(Database, Server),
    /// The command exits 0. Never empty.
    Exec(Vec<String>),
    /// The fact is true of the member.
    Member(Fact, Name),
    /// The check definitely does not hold ([`super::negation`]). Never about a member, and never
    /// twice.
    Not(Box<Self>),
    /// CMD has sent `READY=1` by sd_notify(3). Only `run --ready` takes it.
    Notify,
}

/// How [`Kind::Notify`] is typed.
const NOTIFY: &str = "notify";

/// A condition of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// It is alive, and its command runs.
    Started,
    /// It is alive and ready.
    Ready,
    /// It is not alive: it never came, has ended, or was lost.
    Gone,
    /// Its last incarnation ended with 0.
    Succeeded,
}

impl Fact {
    const ALL: [Self; 4] = [Self::Started, Self::Ready, Self::Gone, Self::Succeeded];

    const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Gone => "gone",
            Self::Succeeded => "succeeded",
        }
    }
}

impl Check {
    /// A check that was not typed, but follows from another option.
    pub fn of(kind: Kind) -> Self {
        Self {
            name: kind.to_string(),
            kind,
            preset: None,
            shell_word: None,
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
            Self::NonEmpty(path) => write!(f, "nonempty://{path}"),
            Self::Dns(host) => write!(f, "dns://{host}"),
            Self::Grpc(grpc) => write!(f, "{grpc}"),
            Self::Database(database, server) => backend::server(f, database.scheme(), server),
            Self::Exec(words) => {
                let command = shell_words::join(words);
                // `exec://` is refused as a typing error, so a space goes before a command that
                // starts with //.
                let space = if command.starts_with("//") { " " } else { "" };
                write!(f, "exec:{space}{command}")
            }
            Self::Member(fact, name) => write!(f, "{}:{name}", fact.word()),
            Self::Not(inner) => write!(f, "{NOT}{inner}"),
            Self::Notify => f.write_str(NOTIFY),
        }
    }
}

impl Kind {
    /// The least pause between two attempts, by what an attempt costs.
    pub fn floor(&self) -> Duration {
        let near = match self.positive() {
            Self::Http(url) => url.server.is_near(),
            Self::Grpc(grpc) => grpc.server.is_near(),
            Self::Database(_, server) => server.is_near(),
            Self::Tcp(host, _) => host.is_near(),
            Self::Unix(_)
            | Self::Listen(..)
            | Self::File(_)
            | Self::NonEmpty(_)
            | Self::Member(..)
            | Self::Notify => true,
            Self::Exec(_) | Self::Dns(_) | Self::Not(_) => false,
        };
        if near { schedule::NEAR } else { schedule::FAR }
    }

    /// A word of an `exec:` check that a shell would read as an operator: it stands by itself and
    /// was not quoted.
    fn shell_word(&self, typed: &str) -> Option<&'static str> {
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
        let Self::Exec(words) = self.positive() else {
            return None;
        };
        let is_bare = |operator: &&&str| {
            words.iter().any(|word| word == **operator)
                && typed
                    .split_ascii_whitespace()
                    .any(|word| word == **operator)
        };
        OPERATORS.iter().find(is_bare).copied()
    }

    /// Without `not:`.
    pub fn positive(&self) -> &Self {
        if let Self::Not(inner) = self {
            inner
        } else {
            self
        }
    }

    /// Whether an attempt may hang in the kernel, because it uses a path whose file system may not
    /// answer.
    pub fn goes_by_path(&self) -> bool {
        match self.positive() {
            Self::Unix(_) | Self::Exec(_) => true,
            Self::Http(Url { server, .. })
            | Self::Grpc(Grpc { server, .. })
            | Self::Database(_, server) => matches!(server, Server::Socket(_)),
            // A file is looked up in its own thread.
            Self::File(_)
            | Self::NonEmpty(_)
            | Self::Tcp(..)
            | Self::Listen(..)
            | Self::Dns(_)
            | Self::Member(..)
            | Self::Notify
            | Self::Not(_) => false,
        }
    }

    /// Whether it is about a path, so that the kernel can report a change.
    pub fn is_watched(&self) -> bool {
        match self.positive() {
            Self::File(_) | Self::NonEmpty(_) | Self::Member(..) => true,
            Self::Http(_)
            | Self::Grpc(_)
            | Self::Database(..)
            | Self::Tcp(..)
            | Self::Unix(_)
            | Self::Listen(..)
            | Self::Dns(_)
            | Self::Exec(_)
            | Self::Notify
            | Self::Not(_) => false,
        }
    }

    /// The member that it is about, if any.
    pub const fn member(&self) -> Option<(Fact, &Name)> {
        let Self::Member(fact, name) = self else {
            return None;
        };
        Some((*fact, name))
    }

    /// The HTTP URL, if this is an HTTP check, with `not:` or without.
    pub fn url(&self) -> Option<&Url> {
        let Self::Http(url) = self.positive() else {
            return None;
        };
        Some(url)
    }
}

/// Reads one check.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub fn parse(text: &str) -> Result<Check, String> {
    let after_not = text.strip_prefix(NOT).map(str::trim_start);
    let positive = after_not.unwrap_or(text);
    let preset = preset::parse(positive).transpose();
    let read = preset.and_then(|preset| {
        let kind = match preset {
            Some(sidecar) => kind(&sidecar.ready()),
            None => kind(positive),
        };
        Ok((preset, kind?))
    });
    let (preset, kind) = match (after_not, read) {
        (None, read) => read?,
        (Some(_), Ok((preset, kind))) => (preset, not(kind)?),
        (Some(positive), Err(_)) if positive.starts_with('!') => return Err(TWICE.to_owned()),
        (Some(positive), Err(cause)) => {
            return Err(match fact(positive) {
                Some((fact, _)) => not_for_members(fact, "main"),
                None => format!("the check after not: {cause}"),
            });
        }
    };
    Ok(Check {
        name: redact::urls(text),
        shell_word: kind.shell_word(text),
        kind,
        preset,
    })
}

/// Reads a check of `--ready`, which takes no `not:`.
///
/// # Errors
/// As of [`parse`].
pub fn parse_ready(text: &str) -> Result<Check, String> {
    // Before it is read, because an example in an error would have `not:`, too.
    if text.starts_with(NOT) {
        return Err(
            "does not show that CMD is ready: it also passes before CMD listens or writes its \
             file; use a check that holds only while CMD is ready, as http://localhost:8080/ready"
                .to_owned(),
        );
    }
    parse(text)
}

/// Reads a check of `run --ready`, which also takes `notify`.
///
/// # Errors
/// As of [`parse_ready`].
pub fn parse_run_ready(text: &str) -> Result<Check, String> {
    if text == NOTIFY {
        return Ok(Check::of(Kind::Notify));
    }
    parse_ready(text)
}

/// The opposite of a check.
fn not(kind: Kind) -> Result<Kind, String> {
    let Kind::Member(fact, name) = kind else {
        return Ok(Kind::Not(Box::new(kind)));
    };
    Err(not_for_members(fact, &name.to_string()))
}

fn not_for_members(fact: Fact, name: &str) -> String {
    let opposite = match fact {
        Fact::Gone => Fact::Started,
        Fact::Started | Fact::Ready | Fact::Succeeded => Fact::Gone,
    };
    let word = opposite.word();
    format!("is about a member, which not: does not take; use {word}:{name}")
}

/// The fact and the name in the text of a check of a member. The name may be wrong.
fn fact(text: &str) -> Option<(Fact, &str)> {
    let (word, name) = text.split_once(':')?;
    let fact = Fact::ALL.into_iter().find(|fact| fact.word() == word)?;
    Some((fact, name))
}

fn kind(text: &str) -> Result<Kind, String> {
    if text == NOTIFY {
        return Err(
            "is a check of run --ready only, because only run gives its CMD a NOTIFY_SOCKET: \
             podgate run --ready notify -- CMD"
                .to_owned(),
        );
    }
    if text.starts_with(NOT) {
        return Err(TWICE.to_owned());
    }
    if let Some(command) = text.strip_prefix("exec:") {
        return exec(command);
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character; use http://localhost:8080/ready".to_owned());
    }
    if let Some((fact, name)) = fact(text) {
        let word = fact.word();
        return Name::parse(name)
            .map(|name| Kind::Member(fact, name))
            .map_err(|cause| cause.replace("use main", &format!("use {word}:main")));
    }
    let Some((scheme, rest)) = text.split_once("://").filter(|_| !text.starts_with('!')) else {
        return Err(hint::hint(text, |example| parse(example).is_ok()));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" if rest.starts_with("unix:/") => Err(hint::scheme("http-get", rest)),
        "http" => url::over_network(Scheme::Plain, rest).map(Kind::Http),
        "https" => url::over_network(Scheme::Tls, rest).map(Kind::Http),
        "http+unix" => url::over_socket(rest).map(Kind::Http),
        "tcp" => tcp(rest),
        "unix" => absolute(rest, "unix:///run/app.sock")
            .and_then(|path| socket_path(&path).map(Kind::Unix)),
        "listen" => listen(rest),
        "file" => absolute(rest, "file:///run/ready").map(Kind::File),
        "nonempty" => absolute(rest, "nonempty:///run/ready").map(Kind::NonEmpty),
        "dns" => dns(rest),
        "grpc" => backend::grpc(Scheme::Plain, rest, false).map(Kind::Grpc),
        "grpcs" => backend::grpc(Scheme::Tls, rest, false).map(Kind::Grpc),
        "grpc+unix" => backend::grpc(Scheme::Plain, rest, true).map(Kind::Grpc),
        "postgres" | "postgresql" => database(Database::Postgres, rest, false),
        "postgres+unix" | "postgresql+unix" => database(Database::Postgres, rest, true),
        "mysql" => database(Database::Mysql, rest, false),
        "redis" => database(Database::Redis, rest, false),
        "https+unix" => Err(
            "TLS over a unix socket is not supported; use http+unix://%2Frun%2Fapp.sock/ready"
                .to_owned(),
        ),
        "http+tcp" | "tcp4" | "tcp6" => {
            Err("is not a kind of check; use tcp://localhost:5432".to_owned())
        }
        scheme => Err(hint::scheme(scheme, rest)),
    }
}

fn database(database: Database, rest: &str, is_socket: bool) -> Result<Kind, String> {
    backend::database(database, rest, is_socket).map(|server| Kind::Database(database, server))
}

fn dns(rest: &str) -> Result<Kind, String> {
    const EXAMPLE: &str = "use dns://db";
    if rest.contains('@') {
        return Err(format!("does not take user info; {EXAMPLE}"));
    }
    let (authority, path) = split(rest);
    if !path.is_empty() && path != "/" {
        return Err(format!("does not take a path; {EXAMPLE}"));
    }
    match host_and_port(authority, EXAMPLE)? {
        (Host::Address(address), _) => Err(format!(
            "is an address, and no name server is asked for it; {EXAMPLE}, or tcp://{}:5432",
            Host::Address(address)
        )),
        (Host::Name(_), Some(_)) => Err(format!(
            "does not take a port; {EXAMPLE}, or tcp://db:5432 to connect"
        )),
        (name, None) => Ok(Kind::Dns(name)),
    }
}

fn exec(command: &str) -> Result<Kind, String> {
    if command.starts_with("//") {
        return Err("exec: does not take //; use exec:pg_isready -h localhost".to_owned());
    }
    let words = shell_words::split(command)
        .map_err(|_| "has a quote that is not closed; use exec:test -f '/a b'".to_owned())?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err("has a NUL character; use exec:pg_isready -h localhost".to_owned());
    }
    if words.first().is_none_or(String::is_empty) {
        return Err("has no command; use exec:pg_isready -h localhost".to_owned());
    }
    Ok(Kind::Exec(words))
}

fn tcp(rest: &str) -> Result<Kind, String> {
    const EXAMPLE: &str = "use tcp://localhost:5432";
    if rest.contains('@') {
        return Err(format!("does not take user info; {EXAMPLE}"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(format!(
            "does not take a path; {EXAMPLE}, or http://… for a path"
        ));
    }
    match host_and_port(rest, EXAMPLE)? {
        (_, None) => Err(format!("needs a port; {EXAMPLE}")),
        (host, Some(port)) => Ok(Kind::Tcp(host, port)),
    }
}

fn listen(rest: &str) -> Result<Kind, String> {
    const EXAMPLE: &str = "use listen://:8080 or listen://127.0.0.1:8080";
    if let Some(rest) = rest.strip_prefix(':') {
        return Ok(Kind::Listen(None, port(rest, EXAMPLE)?));
    }
    match host_and_port(rest, EXAMPLE)? {
        (_, None) => Err(format!("needs a port; {EXAMPLE}")),
        (Host::Address(address), Some(port)) => Ok(Kind::Listen(Some(address), port)),
        (Host::Name(name), Some(_)) => Err(format!(
            "looks at sockets on this machine and takes an address, not the name {name:?}; \
             {EXAMPLE}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, Database, Grpc, Kind, parse, parse_ready, parse_run_ready};
    use crate::core::redact;
    use crate::core::url::{Host, Scheme, Server, Url, percent_decoded};
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

    fn not(kind: Kind) -> Kind {
        Kind::Not(Box::new(kind))
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
            ("nonempty:///a b", Kind::NonEmpty("/a b".to_owned())),
            ("dns://DB.corp./", Kind::Dns(name("db.corp."))),
            ("not:tcp://db:5432", not(Kind::Tcp(name("db"), 5432))),
            ("not: exec:a b", not(kind("exec:a b"))),
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

    fn server(host: Host, port: u16) -> Server {
        Server::Host(host, Some(port))
    }

    #[test]
    fn a_grpc_service_is_read() {
        let one = || "::1".parse().map(Host::Address).unwrap();
        let socket = || Server::Socket("/run/app.sock".to_owned());
        for (text, scheme, server, service) in [
            ("grpc://db:1", Scheme::Plain, server(name("db"), 1), ""),
            ("GRPC://db:1/", Scheme::Plain, server(name("db"), 1), ""),
            ("grpcs://[::1]:1/a.B", Scheme::Tls, server(one(), 1), "a.B"),
            (
                "grpc://db:1/a/b%20c",
                Scheme::Plain,
                server(name("db"), 1),
                "a/b c",
            ),
            ("grpc+unix://%2Frun%2Fapp.sock", Scheme::Plain, socket(), ""),
            (
                "grpc+unix://%2Frun%2Fapp.sock/a",
                Scheme::Plain,
                socket(),
                "a",
            ),
        ] {
            let service = service.to_owned();
            let grpc = Grpc {
                scheme,
                server,
                service,
            };
            assert_eq!(kind(text), Kind::Grpc(grpc), "{text}");
        }
    }

    #[test]
    fn a_database_is_read() {
        use Database::{Mysql, Postgres, Redis};
        let socket = Server::Socket("/run/.s.PGSQL.5432".to_owned());
        for (text, database, server, printed) in [
            (
                "postgres://db:1",
                Postgres,
                server(name("db"), 1),
                "postgres://db:1",
            ),
            (
                "postgresql://db:1/",
                Postgres,
                server(name("db"), 1),
                "postgres://db:1",
            ),
            (
                "postgres+unix://%2Frun%2F.s.PGSQL.5432",
                Postgres,
                socket,
                "postgres+unix://%2Frun%2F.s.PGSQL.5432",
            ),
            ("mysql://db:1", Mysql, server(name("db"), 1), "mysql://db:1"),
            ("redis://db:1", Redis, server(name("db"), 1), "redis://db:1"),
        ] {
            let found = kind(text);
            assert_eq!(found.to_string(), printed, "{text}");
            assert_eq!(found, Kind::Database(database, server), "{text}");
        }
    }

    /// A user or password is refused by that word, and is not in the text.
    #[test]
    fn no_credentials_are_tried() {
        for scheme in [
            "grpc",
            "grpcs",
            "grpc+unix",
            "postgres",
            "postgresql",
            "postgres+unix",
            "mysql",
            "redis",
        ] {
            for rest in [
                "u:s3cret@db:1",
                "s3cret@db:1/x",
                "u:s3/cret@db:1",
                ":s3?cret@db",
            ] {
                let text = format!("{scheme}://{rest}");
                let error = parse(&text).expect_err(&text);
                assert!(
                    error.starts_with("does not take a user or password"),
                    "{text}: {error}"
                );
                assert!(!error.contains("s3"), "{text}: {error}");
            }
        }
    }

    #[test]
    fn the_opposite_of_a_check_has_what_the_check_has() {
        for text in [
            "http://localhost/",
            "https://db/",
            "tcp://db:1",
            "unix:///run/app.sock",
            "listen://:8080",
            "file:///run/x",
            "nonempty:///run/x",
            "dns://db",
            "grpcs://localhost:1/a",
            "postgres+unix://%2Frun%2Fx",
            "exec:a && b",
            "istio",
            "vault-agent:1",
        ] {
            let plain = parse(text).expect(text);
            let typed = format!("not:{text}");
            let opposite = parse(&typed).expect(text);
            let facts = |check: &Check| {
                (
                    (
                        check.kind.floor(),
                        check.kind.goes_by_path(),
                        check.kind.is_watched(),
                    ),
                    (check.url().cloned(), check.uses_tls(), check.may_use_tls()),
                    (check.preset, check.shell_word),
                )
            };
            assert_eq!(facts(&opposite), facts(&plain), "{text}");
            assert_eq!(opposite.kind.to_string(), format!("not:{}", plain.kind));
            assert_eq!((opposite.negated(), plain.negated()), (Some(text), None));
            assert!(parse_ready(text).is_ok());
            assert!(
                parse_ready(&typed)
                    .expect_err(text)
                    .contains("CMD is ready")
            );
        }
    }

    /// Found by fuzzing: the example for `not:` with a mistake in it was `not:http://…`, which
    /// --ready refuses.
    #[test]
    fn readiness_takes_no_not_whatever_follows() {
        for text in [
            "not:",
            "not:\0",
            "not:db:5432",
            "not:ready:main",
            "not:not:file:///",
        ] {
            let error = parse_ready(text).expect_err(text);
            assert!(error.contains("CMD is ready"), "{text:?}: {error}");
        }
        assert_eq!(parse_ready("tcp://db"), parse("tcp://db"));
    }

    #[test]
    fn common_mistakes_get_a_right_example() {
        for (text, hint) in [
            ("db:5432", "use tcp://db:5432"),
            ("localhost:8080/ready", "use http://localhost:8080/ready"),
            (":8080", "listen://:8080"),
            ("8080", "tcp://localhost:8080"),
            ("/run/x", "file:///run/x"),
            ("unix:/run/x", "unix:///run/x"),
            ("ready:Proxy", "member's name"),
            ("Istio", "use istio for"),
            ("istio-proxy", "use istio for"),
            ("cloudsql", "use cloud-sql-proxy for"),
            ("vault:8200", "tcp://HOST:8200"),
            ("envoy:1:2", "use envoy:9901"),
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
            ("exec:", "has no command"),
            ("exec:a 'b", "quote"),
            ("http+unix:///run/app.sock/ready", "%2F"),
            ("notify", "podgate run --ready notify"),
            ("not:notify", "podgate run --ready notify"),
            ("gopher://x", "is not a kind of check"),
            ("", "empty"),
            ("redis://x", "needs a port; use redis://localhost:6379"),
            ("grpc://x/a", "needs a port; use grpc://localhost:50051"),
            (
                "grpc://x:1/a?b",
                "name of a service; use grpc://localhost:50051/",
            ),
            ("grpc+unix:///run/x", "%2F"),
            (
                "postgres://h:1/db",
                "no database is opened; use postgres://localhost:5432",
            ),
            ("mysql://h:1?a=b", "no database is opened"),
            ("mysql+unix://%2Fa", "use unix:///run/app.sock"),
            (
                "dns://10.0.0.1",
                "no name server is asked for it; use dns://db, or tcp://10.0.0.1",
            ),
            ("dns://db:53", "does not take a port"),
            ("dns://db/x", "does not take a path"),
            ("dns://a@db", "user info"),
            ("nonempty://x", "use nonempty:///run/ready"),
            ("rediss://h:1", "use tcp://localhost:6379, or exec:"),
            ("mongodb://h", "use tcp://localhost:27017"),
            ("amqp://u:p@h", "use tcp://localhost:5672"),
            ("kafka://h:1", "use tcp://localhost:9092"),
            ("memcached://h", "use tcp://localhost:11211"),
            ("nats://h", "use tcp://localhost:4222"),
            ("tls://h:1", "use https://localhost:8443/ready"),
            ("!tcp://db:5432", "use not:tcp://db:5432"),
            ("! istio", "use not:istio"),
            ("!exec:pgrep x", "use not:exec:pgrep x"),
            ("tcp:db:5432", "use tcp://db:5432"),
            ("tcp:5432", "use tcp://localhost:5432"),
            ("socket:/run/app.sock", "use unix:///run/app.sock"),
            ("http-get://h:1/x", "use http://localhost:8080/ready"),
            ("https-get://h:1/x", "use https://localhost:8443/ready"),
            ("http-get://unix:/a:/b", "use http+unix://%2Frun"),
            ("http://unix:/a:/b", "use http+unix://%2Frun"),
            ("postgresql", "use postgres://localhost:5432"),
            ("temporal", "use grpc://localhost:7233"),
            ("u:p@tcp(db:3306)/x", "use mysql://localhost:3306"),
            ("host=db password=x", "use postgres://localhost:5432"),
            (
                "not:db:5432",
                "the check after not: has no kind of check; use tcp://db:5432",
            ),
            (
                "not:tcp://db",
                "the check after not: needs a port; use tcp://localhost:5432",
            ),
            (
                "not:ready:main",
                "about a member, which not: does not take; use gone:main",
            ),
            ("not:gone:main", "use started:main"),
            ("not:not:tcp://db:1", "has not: twice"),
            ("not:!tcp://db:1", "has not: twice"),
            ("!not:tcp://db:1", "is not a check"),
            ("not:", "empty"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(hint), "{text:?}: {error}");
        }
    }

    #[test]
    fn notify_is_a_check_of_run_ready_only() {
        let check = parse_run_ready("notify").expect("a check");
        assert_eq!(check.kind, Kind::Notify);
        assert_eq!(
            (check.name, check.kind.to_string()),
            ("notify".into(), "notify".into())
        );
        for text in ["notify", "notify:", "notify://", "Notify"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse_run_ready("tcp://h:1"), parse("tcp://h:1"));
        for text in ["notify://", "not:tcp://h:1", "not:notify"] {
            assert_eq!(parse_run_ready(text), parse_ready(text), "{text}");
        }
    }

    #[test]
    fn a_member_without_a_right_name_has_an_example_with_its_kind() {
        for (text, end) in [
            ("ready:", "; use ready:main"),
            ("gone:A", "; use gone:main"),
            ("started:a,b", "; give it once for each member"),
            ("not:ready:", "; use gone:main"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.ends_with(end), "{text:?}: {error}");
        }
        let kinds = parse("x y").expect_err("no check");
        assert!(kinds.contains("started:, ready:, gone:, succeeded: or not:"));
    }

    /// Found by fuzzing: the error showed an example that was refused itself.
    #[test]
    fn an_example_made_of_the_typed_text_is_accepted() {
        for (text, hint) in [
            (")db:5432", "is not a check"),
            ("d b:80/x", "is not a check"),
            ("0", "is not a check"),
            ("6/", "is not a check"),
            (":0", "is not a check"),
            ("/run/app/", "is a path; use file:///run/app/"),
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
                .starts_with("is not a check")
        );
    }

    /// Found by fuzzing: it was printed as `exec://bin/x a`, which is refused.
    #[test]
    fn a_command_that_begins_with_two_slashes_prints_back_to_itself() {
        let check = parse("exec: //bin/x a").expect("a check");
        assert_eq!(check.kind.to_string(), "exec: //bin/x a");
        assert_eq!(parse(&check.kind.to_string()), Ok(check));
    }

    /// Found by fuzzing: the port of the hint was everything after the last colon.
    #[test]
    fn a_password_after_a_presets_name_is_not_in_the_hint() {
        let error = parse("istio-proxy:secret@host").expect_err("no check");
        assert!(
            error.contains("use istio for")
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
    fn an_unquoted_shell_operator_is_found() {
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
    fn a_check_of_this_machine_is_near() {
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

    /// Checks, and texts that are nearly checks.
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
            (
                some_host(),
                "(grpcs?|postgres|mysql|redis|dns)",
                "(:[0-9]{1,5})?",
                path
            )
                .prop_map(|(host, kind, port, path)| format!("{kind}://{host}{port}{path}")),
            "(unix|file|nonempty)://(/[ -~]{0,20}){0,3}",
            "(grpc|postgres)\\+unix://(%2F[a-z]{1,5}){1,3}(/[a-z%A-F0-9]{0,5})?",
            "http\\+unix://(%2F[a-z]{1,5}){1,3}(/[a-z]{0,5})?",
            "exec:[ -~]{0,40}",
            "exec:\\PC{0,40}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = (parse(&text), redact::urls(&text), percent_decoded(&text));
        }

        #[test]
        fn an_accepted_check_prints_back_to_itself(
            text in (prop_oneof![Just(""), Just("not:")], nearly_a_check())
                .prop_map(|(not, text)| format!("{not}{text}")),
        ) {
            if let Ok(check) = parse(&text) {
                let printed = check.kind.to_string();
                let again = parse(&printed).map_err(|error| {
                    TestCaseError::fail(format!("{text:?} printed {printed:?}: {error}"))
                })?;
                prop_assert_eq!(&again.kind, &check.kind, "{} printed {}", text, printed);
                prop_assert_eq!(again.kind.to_string(), printed);
            }
        }

        #[test]
        fn a_password_is_never_in_the_name(
            password in "[a-zA-Z0-9]{12,20}",
            scheme in "(not:)?(http|https|htpp|tcp|http\\+unix|grpcs?|postgres|redis|amqp|dns)",
            tail in "(/[a-z@]{0,5})?",
        ) {
            let text = format!("{scheme}://user:{password}@host{tail}");
            prop_assert!(!redact::urls(&text).contains(&password));
            prop_assert!(!redact::refused(&text).contains(&password));
            for text in [text.as_str(), text.split_once("://").expect("a scheme").1] {
                match parse(text) {
                    Ok(check) => prop_assert!(!check.name.contains(&password), "{}", check.name),
                    Err(error) => prop_assert!(!error.contains(&password), "{}", error),
                }
            }
        }
    }
}
