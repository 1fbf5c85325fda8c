//! Hints for a text that is not a check: the check that a person may have meant.

use super::preset;

/// What a check looks like: the end of a sentence.
pub(super) fn kinds() -> String {
    format!(
        "a check starts with http://, https://, http+unix://, tcp://, unix://, listen://, file://, \
         exec: or ready:, or is one of {}",
        preset::Names
    )
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
    if text.contains('@') {
        return format!("is not a check; {example}");
    }
    // An example must be right itself.
    let is_right = |example: &String| is_check(example);
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
    format!("is not a check; {example}; put a command after --")
}
