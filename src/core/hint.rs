//! Hints for a text that is not a check: the check that a person may have meant.

use super::preset;

/// The end of a hint where CMD may stand in the place of a check.
pub const CMD: &str = "; put a command after --";

/// What a check looks like: the end of a sentence.
pub(super) fn kinds() -> String {
    format!(
        "a check starts with http://, https://, http+unix://, tcp://, unix://, listen://, dns://, \
         file://, nonempty://, grpc://, postgres://, mysql://, redis://, exec:, started:, ready:, \
         gone:, succeeded: or not:, or is one of {}",
        preset::Names
    )
}

/// The hint for a text with this scheme, which is in small letters, and `rest` after `://`.
pub(super) fn scheme(scheme: &str, rest: &str) -> String {
    let instead = |example: &str| {
        format!(
            "is not a protocol that podgate speaks; use {example}, or exec:… with a client of this \
             image"
        )
    };
    let is_socket = rest.starts_with("unix:");
    match scheme {
        "http-get" | "https-get" if is_socket => {
            "is not a kind of check; use http+unix://%2Frun%2Fapp.sock/ready".to_owned()
        }
        "http-get" => "is not a kind of check; use http://localhost:8080/ready".to_owned(),
        "https-get" => "is not a kind of check; use https://localhost:8443/ready".to_owned(),
        "rediss" => instead("tcp://localhost:6379"),
        "mariadb" => "is not a kind of check; use mysql://localhost:3306".to_owned(),
        "mysql+unix" | "redis+unix" => {
            "is not supported over a unix socket; use unix:///run/app.sock".to_owned()
        }
        "mongodb" | "mongodb+srv" => instead("tcp://localhost:27017"),
        "amqp" => instead("tcp://localhost:5672"),
        "amqps" => instead("tcp://localhost:5671"),
        "kafka" => instead("tcp://localhost:9092"),
        "memcached" => instead("tcp://localhost:11211"),
        "nats" => instead("tcp://localhost:4222"),
        "tls" | "ssl" => {
            "is not a kind of check; use https://localhost:8443/ready, or tcp://localhost:8443"
                .to_owned()
        }
        _ => format!("is not a kind of check; {}", kinds()),
    }
}

/// An example for a word that names a kind of check, as in wait4x's commands.
fn word(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "tcp" => "tcp://localhost:5432",
        "http" => "http://localhost:8080/ready",
        "dns" => "dns://db",
        "grpc" => "grpc://localhost:50051",
        "postgres" | "postgresql" => "postgres://localhost:5432",
        "mysql" => "mysql://localhost:3306",
        "redis" => "redis://localhost:6379",
        "mongodb" => "tcp://localhost:27017",
        "rabbitmq" => "tcp://localhost:5672",
        "temporal" => "grpc://localhost:7233",
        "exec" => "exec:pg_isready",
        _ => return None,
    })
}

/// The check that was meant by the words of wait-on, or with `!` for `not:`.
fn other_words(text: &str) -> Option<String> {
    if let Some(positive) = text.strip_prefix('!') {
        return Some(format!("not:{}", positive.trim_start()));
    }
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "tcp" if rest.contains(':') => Some(format!("tcp://{rest}")),
        "tcp" => Some(format!("tcp://localhost:{rest}")),
        "socket" => Some(format!("unix://{rest}")),
        _ => None,
    }
}

/// The hint for a text without `://`, with an example. `is_check` is whether an example is right.
pub(super) fn hint(text: &str, is_check: impl Fn(&str) -> bool) -> String {
    let example = kinds();
    if text.trim().is_empty() {
        return format!("is empty; {example}");
    }
    if let Some(name) = preset::nearest(text) {
        // A text that is not a port may be a password.
        let port = text
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok())
            .map_or(80, |port| port.max(1));
        return format!(
            "is not a check; use {name} for the sidecar, or http://… or tcp://HOST:{port} for a \
             host"
        );
    }
    if let Some(example) = word(text) {
        return format!("is only the kind of a check; use {example}");
    }
    if text.contains("@tcp(") {
        return "is not a check; use mysql://localhost:3306, without a user and password"
            .to_owned();
    }
    if text.contains("host=") {
        return "is not a check; use postgres://localhost:5432, without a user and password"
            .to_owned();
    }
    if text.contains('@') {
        return format!("is not a check; {example}");
    }
    // An example must be right itself.
    let is_right = |example: &String| is_check(example);
    if let Some(meant) = other_words(text).filter(is_right) {
        return format!("is written in another way here; use {meant}");
    }
    if text.starts_with('/') {
        return match Some(format!("unix://{text}")).filter(is_right) {
            Some(socket) => format!(
                "is a path; use file://{text} (it exists) or {socket} (it accepts connections)"
            ),
            None => format!("is a path; use file://{text}"),
        };
    }
    if let Some((scheme, path)) = text
        .split_once(":/")
        .filter(|(scheme, _)| matches!(*scheme, "unix" | "file"))
        && let Some(meant) = Some(format!("{scheme}:///{path}")).filter(is_right)
    {
        return format!("has too few slashes; use {meant}");
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
            return format!("has no kind of check; use {meant}{or}");
        }
    }
    if let Some(meant) = Some(format!("listen://:{text}")).filter(is_right) {
        return format!("has no kind of check; use tcp://localhost:{text} or {meant}");
    }
    format!("is not a check; {example}{CMD}")
}
