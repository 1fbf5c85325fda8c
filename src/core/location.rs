//! Where the `Location` of a redirect leads, as Go's net/url reads it and net/http follows it.

use super::url::{Scheme, Server, Url, over_network};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The longest `Location` that is followed, in bytes. RFC 9112, 3, recommends request lines of 8000
/// bytes, and few servers take more.
pub const MOST_LOCATION: usize = 8 * 1024;

/// Where a `Location` leads.
pub(super) enum Next {
    /// To the same host; whether the `Location` names none.
    Same(Box<Url>, bool),
    /// To another host, or to none: `mailto:admin@example.com`.
    Elsewhere,
    /// It is not a URL, or podgate cannot send a request there.
    Bad,
    Long,
}

/// The parts of a URL reference (RFC 3986, 4.1) without its fragment.
struct Reference<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    /// The path and the query.
    path: &'a str,
}

/// Where this non-empty `Location` leads from `at`.
pub(super) fn next(at: &Url, location: &[u8]) -> Next {
    let text = String::from_utf8_lossy(location);
    let Some(reference) = reference(&text) else {
        return Next::Bad;
    };
    let is_long = location.len() > MOST_LOCATION;
    let own = at.host().to_string();
    let authority = reference.authority.unwrap_or_default();
    if reference.scheme.is_none() && authority.is_empty() {
        if is_long {
            return Next::Long;
        }
        let path = resolved(&at.path, reference.path);
        return Next::Same(Box::new(Url { path, ..at.clone() }), true);
    }
    // Only the name of the host matters here: the URL of another host may be one that podgate
    // cannot use.
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    if name.is_empty() || !name.starts_with('[') && !name.eq_ignore_ascii_case(&own) {
        return Next::Elsewhere;
    }
    if is_long {
        return Next::Long;
    }
    let scheme = match (reference.scheme, at.scheme) {
        (Some(scheme), _) => scheme,
        (None, Scheme::Plain) => "http",
        (None, Scheme::Tls) => "https",
    };
    same_host(at, scheme, authority, reference.path)
}

/// A `Location` that names the host of `at`.
fn same_host(at: &Url, scheme: &str, authority: &str, path: &str) -> Next {
    // `host:` has the default port (RFC 3986, 3.2.3).
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    let Ok(url) = over_network(Scheme::Plain, &encoded(&format!("{authority}{path}"))) else {
        return Next::Bad;
    };
    if url.host() != at.host() {
        return Next::Elsewhere;
    }
    let scheme = if scheme.eq_ignore_ascii_case("http") {
        Scheme::Plain
    } else if scheme.eq_ignore_ascii_case("https") {
        Scheme::Tls
    } else {
        return Next::Bad;
    };
    // `http://localhost/…` from a unix socket means that socket. The user info is kept, as in Go's
    // client.
    let server = match &at.server {
        Server::Socket(path) => Server::Socket(path.clone()),
        Server::Host(..) => url.server,
    };
    let user_info = url.user_info.or_else(|| at.user_info.clone());
    Next::Same(
        Box::new(Url {
            scheme,
            user_info,
            server,
            path: url.path,
        }),
        false,
    )
}

/// Takes a reference apart. `None` if net/url refuses it.
fn reference(text: &str) -> Option<Reference<'_>> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.chars().any(|letter| letter.is_ascii_control()) || !has_whole_escapes(fragment) {
        return None;
    }
    let scheme = text
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| is_scheme(scheme));
    let rest = match scheme {
        Some(scheme) => text.get(scheme.len().saturating_add(1)..)?,
        None => text,
    };
    let before_query = rest.split_once('?').map_or(rest, |(path, _)| path);
    if !before_query.starts_with('/') {
        // `localhost:80/x` and `mailto:x` have a scheme and no host.
        let segment = before_query.split('/').next().unwrap_or_default();
        if scheme.is_none() && segment.contains(':') {
            return None;
        }
        let is_path = scheme.is_some() || has_whole_escapes(before_query);
        return is_path.then_some(Reference {
            scheme,
            authority: None,
            path: rest,
        });
    }
    let after = rest
        .strip_prefix("//")
        .filter(|after| scheme.is_some() || !after.starts_with('/'));
    let (authority, path) = match after {
        Some(after) => {
            let end = after.find(['/', '?']).unwrap_or(after.len());
            let (authority, path) = after.split_at_checked(end)?;
            (Some(authority), path)
        }
        None => (None, rest),
    };
    let before_query = path.split_once('?').map_or(path, |(path, _)| path);
    let is_valid = has_whole_escapes(before_query) && authority.is_none_or(is_authority);
    is_valid.then_some(Reference {
        scheme,
        authority,
        path,
    })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether two digits follow each `%`.
fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether net/url accepts it as `user:password@host:port`.
fn is_authority(text: &str) -> bool {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", text),
    };
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_user) || !has_whole_escapes(user) {
        return false;
    }
    let is_port = |text: &str| {
        let digits = text.strip_prefix(':').unwrap_or(text);
        text.is_empty() || text.starts_with(':') && digits.bytes().all(|it| it.is_ascii_digit())
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.rsplit_once(']').is_some_and(|(address, port)| {
            // A zone follows `%25` (RFC 6874).
            let address = address.split_once("%25").map_or(address, |(it, _)| it);
            address.parse::<std::net::Ipv6Addr>().is_ok() && is_port(port)
        });
    }
    let (name, port) = match host.rfind(':').and_then(|at| host.split_at_checked(at)) {
        Some((name, port)) => (name, port),
        None => (host, ""),
    };
    // Only what is not ASCII can be encoded in a host.
    let is_host =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:<>]\"%".contains(&byte);
    let is_high = |after: &str| after.starts_with(|it: char| it.is_ascii_hexdigit() && it > '7');
    name.bytes().all(|byte| !byte.is_ascii() || is_host(byte))
        && has_whole_escapes(name)
        && name.split('%').skip(1).all(is_high)
        && is_port(port)
}

/// Percent-encodes the characters that a request line cannot have. Servers leave them in a
/// `Location`.
fn encoded(text: &str) -> String {
    const NOT_IN_A_URL: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`');
    utf8_percent_encode(text, NOT_IN_A_URL).to_string()
}

/// Resolves a relative reference without authority against a path (RFC 3986, 5.2).
fn resolved(base: &str, reference: &str) -> String {
    let reference = encoded(reference);
    let base_path = base.split_once('?').map_or(base, |(path, _)| path);
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference.as_str(), None),
    };
    let merged = if path.is_empty() {
        base_path.to_owned()
    } else if path.starts_with('/') {
        path.to_owned()
    } else {
        let folder = base_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{path}")
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false;
    for part in merged.split('/').skip(1) {
        open = matches!(part, "." | "..");
        if part == ".." {
            kept.pop();
        } else if part != "." {
            kept.push(part);
        }
    }
    if open {
        kept.push("");
    }
    // An empty reference keeps the base's query.
    let query = query.or_else(|| {
        if reference.is_empty() {
            base.split_once('?').map(|(_, query)| query)
        } else {
            None
        }
    });
    let path = format!("/{}", kept.join("/"));
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::{Next, next, resolved};
    use crate::core::check::{Kind, parse};

    /// What follows from a `Location` on `http://h:1/a/`: a URL, or how the answer counts.
    fn follow(location: &str) -> String {
        let Kind::Http(at) = parse("http://h:1/a/").unwrap().kind else {
            panic!("not a URL");
        };
        match next(&at, location.as_bytes()) {
            Next::Same(url, _) => url.to_string(),
            Next::Elsewhere => "own status".to_owned(),
            Next::Bad => "fails".to_owned(),
            Next::Long => "long".to_owned(),
        }
    }

    #[test]
    fn a_location_without_a_host_or_to_another_one_counts_by_its_own_status() {
        for location in [
            "mailto:a@b",
            "mailto:",
            "about:blank",
            "javascript:alert(1)",
            "urn:a:b",
            "data:,x",
            "tel:+1",
            "myapp://login",
            "myapp:login",
            "file:///etc/passwd",
            "ftp://other/x",
            "localhost:80/x",
            "h:1/x",
            "a+b:x",
            "x:y/z",
            "mailto:%zz",
            "http:",
            "http:x",
            "http:/x",
            "http://",
            "http:///x",
            "http://other:99999/",
            "http://o%c3%a9/",
            "http://u@v@other/",
            "http://u@]other/",
            "http://other?%zz",
            "http://[::1]/",
        ] {
            assert_eq!(follow(location), "own status", "{location}");
        }
    }

    #[test]
    fn a_location_that_cannot_be_parsed_or_asked_fails() {
        for location in [
            ":",
            ":x",
            "://x",
            "1a://h/",
            "127.0.0.1:80/x",
            "[::1]:80/",
            "a_b:x",
            "foo bar:baz",
            "%zz",
            "/%zz",
            "/%z",
            "/%",
            "/a%2",
            "#%zz",
            "/a\tb",
            "http://other:9x/",
            "http://other:-1/",
            "http://[::1/",
            "http://[::1]:x/",
            "http://[::1]x/",
            "http://[foo]/",
            "http://[1.2.3.4]/",
            "http://a[::1]/",
            "http://o ther/",
            "http://o%20ther/",
            "http://o%zz/",
            "http://o\\ther/",
            "http://o^t/",
            "http://o|t/",
            "http://{o}/",
            "http://o`t/",
            "http://u p@other/",
            "http://u%zz@other/",
            "http://u[@other/",
            "http://o[x/",
            "http://other/%zz",
            "http://other#%zz",
            "ftp://other/%zz",
            "ftp://h/b",
            "ws://h:1/b",
            "http://h:99999/",
        ] {
            assert_eq!(follow(location), "fails", "{location}");
        }
    }

    #[test]
    fn a_location_on_the_same_host_is_followed() {
        for (location, url) in [
            ("*", "http://h:1/a/*"),
            ("/%41", "http://h:1/%41"),
            ("?%zz", "http://h:1/a/?%zz"),
            ("x/y:z", "http://h:1/a/x/y:z"),
            ("./x:y", "http://h:1/a/x:y"),
            ("http//x", "http://h:1/a/http//x"),
            ("<url>", "http://h:1/a/%3Curl%3E"),
            ("HTTP://h:2/b", "http://h:2/b"),
            ("//h:2/b", "http://h:2/b"),
            ("//", "http://h:1/a/"),
            ("http://h?x", "http://h/?x"),
        ] {
            assert_eq!(follow(location), url, "{location}");
        }
    }

    #[test]
    fn dots_in_a_path_are_resolved() {
        for (base, reference, path) in [
            ("/a/b/c?q", "./d", "/a/b/d"),
            ("/a/b/c", "../../../d", "/d"),
            ("/a", "..", "/"),
            ("/a/b?q", "", "/a/b?q"),
        ] {
            assert_eq!(resolved(base, reference), path);
        }
    }
}
