//! The check grammar (P3): one word on the command line, one thing that must be true.
//!
//! Pure text: nothing is resolved, opened or connected here. An accepted check prints back, by
//! `Display` of [`Kind`], to a text that parses to the same check. What a person typed is kept in
//! [`Check`] and printed with its user info hidden.

use super::member::Name;
use super::preset::{self, Sidecar};
use super::url::{self, Host, Scheme, Server, Url, absolute, host_and_port, port, socket_path};
use super::{hint, redact, schedule};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

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
    /// The command exits 0. Never empty.
    Exec(Vec<String>),
    /// The fact is true of the member.
    Member(Fact, Name),
}

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
            Self::Exec(words) => {
                let command = shell_words::join(words);
                // `exec://` is refused as a typing error, so a space goes before a command that
                // starts with //.
                let space = if command.starts_with("//") { " " } else { "" };
                write!(f, "exec:{space}{command}")
            }
            Self::Member(fact, name) => write!(f, "{}:{name}", fact.word()),
        }
    }
}

impl Kind {
    /// The least pause between two attempts, by what an attempt costs.
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
        let Self::Exec(words) = self else { return None };
        let is_bare = |operator: &&&str| {
            words.iter().any(|word| word == **operator)
                && typed
                    .split_ascii_whitespace()
                    .any(|word| word == **operator)
        };
        OPERATORS.iter().find(is_bare).copied()
    }

    /// Whether an attempt may hang in the kernel, because it uses a path whose file system may not
    /// answer.
    pub const fn goes_by_path(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Exec(_) => true,
            Self::Http(url) => matches!(url.server, Server::Socket(_)),
            // A file is looked up in its own thread.
            Self::File(_) | Self::Tcp(..) | Self::Listen(..) | Self::Member(..) => false,
        }
    }

    /// Whether it is about a path, so that the kernel can report a change.
    pub const fn is_watched(&self) -> bool {
        match self {
            Self::File(_) | Self::Member(..) => true,
            Self::Http(_) | Self::Tcp(..) | Self::Unix(_) | Self::Listen(..) | Self::Exec(_) => {
                false
            }
        }
    }

    /// The member that it is about, if any.
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
/// The cause and a right example, without the text itself.
pub fn parse(text: &str) -> Result<Check, String> {
    let preset = preset::parse(text).transpose()?;
    let kind = match preset {
        Some(sidecar) => kind(&sidecar.ready())?,
        None => kind(text)?,
    };
    Ok(Check {
        name: redact::urls(text),
        shell_word: kind.shell_word(text),
        kind,
        preset,
    })
}

fn kind(text: &str) -> Result<Kind, String> {
    if let Some(command) = text.strip_prefix("exec:") {
        return exec(command);
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character; use http://localhost:8080/ready".to_owned());
    }
    if let Some((word, name)) = text.split_once(':')
        && let Some(fact) = Fact::ALL.into_iter().find(|fact| fact.word() == word)
    {
        return Name::parse(name).map(|name| Kind::Member(fact, name));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(hint::hint(text, |example| kind(example).is_ok()));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => url::over_network(Scheme::Plain, rest).map(Kind::Http),
        "https" => url::over_network(Scheme::Tls, rest).map(Kind::Http),
        "http+unix" => url::over_socket(rest).map(Kind::Http),
        "tcp" => tcp(rest),
        "unix" => absolute(rest, "unix:///run/app.sock")
            .and_then(|path| socket_path(&path).map(Kind::Unix)),
        "listen" => listen(rest),
        "file" => absolute(rest, "file:///run/ready").map(Kind::File),
        "grpc" => Err(
            "grpc:// is reserved for later; use http://localhost:8080/healthz or exec:…".to_owned(),
        ),
        "https+unix" => Err(
            "TLS over a unix socket is not supported; use http+unix://%2Frun%2Fapp.sock/ready"
                .to_owned(),
        ),
        "http+tcp" | "tcp4" | "tcp6" => {
            Err("is not a kind of check; use tcp://localhost:5432".to_owned())
        }
        _ => Err(format!("is not a kind of check; {}", hint::kinds())),
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
    use super::{Kind, parse};
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
    fn common_mistakes_get_a_right_example() {
        for (text, hint) in [
            ("db:5432", "use tcp://db:5432"),
            ("localhost:8080/ready", "use http://localhost:8080/ready"),
            (":8080", "listen://:8080"),
            ("8080", "tcp://localhost:8080"),
            ("/run/x", "file:///run/x"),
            ("unix:/run/x", "unix:///run/x"),
            ("grpc://localhost:1", "reserved"),
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
            ("redis://x", "is not a kind of check"),
            ("", "empty"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(hint), "{text:?}: {error}");
        }
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
            let _ = (parse(&text), redact::urls(&text), percent_decoded(&text));
        }

        #[test]
        fn an_accepted_check_prints_back_to_itself(text in nearly_a_check()) {
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
            scheme in "(http|https|htpp|tcp|http\\+unix)",
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
