//! URLs of HTTP checks, and the hosts, ports and socket paths in them.
//!
//! Pure text: nothing is resolved or connected here. An accepted URL prints back to a text that
//! reads as the same URL.

use super::digits;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The longest path of a unix socket: `sun_path` has 108 bytes with its NUL (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// All but the unreserved characters of RFC 3986, 2.3.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    /// Name and password as they stand in the URL, percent-encoded.
    pub user_info: Option<String>,
    pub server: Server,
    /// Path and query. Starts with `/`.
    pub path: String,
}

/// Whether there is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http`, and `http+unix`.
    Plain,
    /// `https`.
    Tls,
}

impl Scheme {
    /// The port of a URL without one.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// The server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A host and a port. The port is as typed, for the `Host` header.
    Host(Host, Option<u16>),
    /// The path of a unix socket.
    Socket(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Whether it is this machine, so that an attempt costs next to nothing.
    pub fn is_near(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => {
                address.to_canonical().is_loopback() || address.is_unspecified()
            }
        }
    }
}

impl Server {
    /// `host` or `host:port`, as in the `Host` header. `localhost` for a unix socket, as in curl.
    pub fn authority(&self) -> String {
        match self {
            Self::Host(host, None) => host.to_string(),
            Self::Host(host, Some(port)) => format!("{host}:{port}"),
            Self::Socket(_) => "localhost".to_owned(),
        }
    }

    /// Whether it is on this machine.
    pub fn is_near(&self) -> bool {
        match self {
            Self::Host(host, _) => host.is_near(),
            Self::Socket(_) => true,
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
    /// What the `Host` header has: [`Server::authority`].
    pub fn authority(&self) -> String {
        self.server.authority()
    }

    /// The host that a redirect must keep.
    pub fn host(&self) -> Host {
        match &self.server {
            Server::Host(host, _) => host.clone(),
            Server::Socket(_) => Host::Name("localhost".to_owned()),
        }
    }

    /// The port to connect to. Meaningless for a unix socket.
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
                    utf8_percent_encode(path, RESERVED),
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

/// Reads what follows `http+unix://`: the percent-encoded path of a socket, then path and query.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub(super) fn over_socket(rest: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "use http+unix://%2Frun%2Fapp.sock/ready";
    let (authority, path) = split(rest);
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

/// Reads what follows `http://` or `https://`.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub(super) fn over_network(scheme: Scheme, rest: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "use http://localhost:8080/ready";
    let (authority, path) = split(rest);
    let (user_info, authority) = user_info(authority)?;
    let (host, port) = host_and_port(authority, EXAMPLE)?;
    Ok(Url {
        scheme,
        user_info,
        server: Server::Host(host, port),
        path: path_and_query(path)?,
    })
}

/// Splits what follows `://` into the authority, and the path with the query.
pub(super) fn split(rest: &str) -> (&str, &str) {
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.split_at_checked(at).unwrap_or((rest, ""))
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
                return Err(
                    "has a user or password with characters that must be percent-encoded (/ as \
                     %2F, @ as %40)"
                        .to_owned(),
                );
            }
            Ok((Some(user_info.to_owned()), rest))
        }
    }
}

pub(super) fn host_and_port(authority: &str, example: &str) -> Result<(Host, Option<u16>), String> {
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
            "has a host with several colons; write an IPv6 address in brackets, as in \
             [::1]:8080; {example}"
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
    // Host names have no underscores, but DNS names that people use have them (docker compose).
    let fine = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fine || name.len() > 253 || name.starts_with(['-', '.']) || name.contains("..") {
        return Err(format!("has a host that is not a name; {example}"));
    }
    // 1.2.3 and 0x7f.1 are addresses for inet_aton(3), and never names.
    if name
        .rsplit('.')
        .next()
        .is_some_and(|label| digits::are_all(label.as_bytes()))
    {
        return Err(format!(
            "has a host that is neither an address nor a name; {example}"
        ));
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

pub(super) fn port(text: &str, example: &str) -> Result<u16, String> {
    digits::number(text)
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("needs a port from 1 to 65535; {example}"))
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

/// Decodes `%2F`. `None` where a `%` is not followed by two hex digits, or the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let is_encoded = |after: &str| {
        let digits = after.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !text.split('%').skip(1).all(is_encoded) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

pub(super) fn absolute(path: &str, example: &str) -> Result<String, String> {
    if path.starts_with('/') && !path.contains('\0') {
        Ok(path.to_owned())
    } else {
        Err(format!("needs an absolute path; use {example}"))
    }
}

pub(super) fn socket_path(path: &str) -> Result<String, String> {
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "is longer than a socket's path can be ({LONGEST_SOCKET_PATH} bytes); use \
             unix:///run/app.sock"
        ));
    }
    if path.ends_with('/') || path.contains('\0') {
        return Err("is not the path of a socket; use unix:///run/app.sock".to_owned());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{RESERVED, percent_decoded};
    use percent_encoding::utf8_percent_encode;
    use proptest::prelude::*;

    #[test]
    fn a_percent_sign_is_followed_by_two_hex_digits_of_utf_8() {
        for (text, decoded) in [
            ("", Some("")),
            ("a-b", Some("a-b")),
            ("%2Frun%2fapp", Some("/run/app")),
            ("%C3%A4", Some("\u{e4}")),
            ("%", None),
            ("%2", None),
            ("%2G", None),
            ("%+1", None),
            ("%%41", None),
            ("%\u{e4}", None),
            ("%C3", None),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), decoded, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_encoded_text_decodes_to_itself(text in "\\PC*") {
            let encoded = utf8_percent_encode(&text, RESERVED).to_string();
            prop_assert!(
                encoded
                    .bytes()
                    .all(|it| it.is_ascii_alphanumeric() || b"-._~%".contains(&it))
            );
            prop_assert_eq!(percent_decoded(&encoded), Some(text));
        }
    }
}
