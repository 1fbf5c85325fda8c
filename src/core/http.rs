//! The HTTP rules (P4). They are the kubelet's (`pkg/probe/http`): which status passes, which
//! redirect is followed, what a header option means. They do not depend on the defaults of the HTTP
//! library.

pub use super::location::MOST_LOCATION;
use super::location::{Next, next};
use super::outcome::{BadRedirect, Reason};
use super::url::Url;
use std::fmt;
use std::path::PathBuf;

/// As the kubelet's `kube-probe/1.32`.
pub const USER_AGENT: &str = concat!("podgate/", env!("CARGO_PKG_VERSION"));
/// The most redirects that are followed. With one more the check does not pass yet.
pub const MOST_REDIRECTS: u32 = 10;
/// The most bytes of a body that are read, as the kubelet's `maxRespBodyLength`.
pub const MOST_BODY: u64 = 10 * 1024;
/// The most bytes of headers that are read. Go's limit is 1 MiB; no health endpoint sends so much.
pub const MOST_HEADERS: usize = 64 * 1024;

/// The request of every HTTP check of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET by default.
    pub method: String,
    /// In the order in which they were given.
    pub headers: Vec<Header>,
    /// The file with the token of an `Authorization: Bearer`. It is read for each attempt.
    pub bearer: Option<PathBuf>,
    /// The statuses that pass.
    pub pass: Statuses,
    /// What the first 10 KiB of the body must contain.
    pub body_contains: Option<String>,
}

impl Request {
    /// A request with this method and no options.
    pub fn plain(method: &str, pass: Statuses) -> Self {
        Self {
            method: method.to_owned(),
            headers: Vec::new(),
            bearer: None,
            pass,
            body_contains: None,
        }
    }
}

/// A header of `--http-header` or `--quit-header`.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// A token of RFC 9110.
    pub name: String,
    /// Visible characters, spaces and tabs. An empty value removes a default header, as in the
    /// kubelet for `Accept`.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

impl Header {
    /// Whether it has this name. Case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Reads `Name: value`.
///
/// # Errors
/// The cause, without the value, which may be a secret.
pub fn header(text: &str) -> Result<Header, String> {
    const EXAMPLE: &str = "use 'X-Probe: podgate' (the value is not shown here)";
    let Some((name, value)) = text.split_once(':') else {
        return Err(format!("has no colon; {EXAMPLE}"));
    };
    if !is_token(name.as_bytes()) {
        return Err(format!("has a name that a header cannot have; {EXAMPLE}"));
    }
    let value = value.trim_matches([' ', '\t']);
    if !value
        .bytes()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
    {
        return Err(format!(
            "{name:?} has a value with control characters; {EXAMPLE}"
        ));
    }
    for hop in [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Expect",
        "TE",
        "Trailer",
    ] {
        if name.eq_ignore_ascii_case(hop) {
            return Err(format!(
                "{name:?} is set by podgate: an attempt has no body and one connection; leave it \
                 out"
            ));
        }
    }
    if name.eq_ignore_ascii_case("Host")
        && (value.is_empty() || value.contains([' ', '/', '@', '?', '#', ',']))
    {
        return Err("\"Host\" needs a host name; use 'Host: example.com'".to_owned());
    }
    Ok(Header {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// Reads a method.
///
/// # Errors
/// The cause and a right example.
pub fn method(text: &str) -> Result<String, String> {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(
        match known.iter().find(|it| it.eq_ignore_ascii_case(text)) {
            Some(right) => format!("methods are in capitals; use {right}"),
            None => format!(
                "is not a method that a check can use; use GET, or one of {}",
                known.join(", ")
            ),
        },
    )
}

/// Whether it is a token, as methods and the names of headers are (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// The statuses that pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statuses {
    /// 200–399: the kubelet's rule.
    Kubelet,
    /// `--http-status`: ranges, both ends included. Never empty.
    Ranges(Vec<(u16, u16)>),
}

impl Statuses {
    /// Whether this status passes.
    pub fn contain(&self, status: u16) -> bool {
        match self {
            Self::Kubelet => (200..400).contains(&status),
            Self::Ranges(ranges) => ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&status)),
        }
    }

    /// Whether exactly this status was named. A redirect that was named by its number is the
    /// answer, and is not followed.
    fn name(&self, status: u16) -> bool {
        match self {
            Self::Kubelet => false,
            Self::Ranges(ranges) => ranges.contains(&(status, status)),
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubelet => f.write_str("200-399"),
            Self::Ranges(ranges) => {
                for (index, (first, last)) in ranges.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    if first == last {
                        write!(f, "{comma}{first}")?
                    } else {
                        write!(f, "{comma}{first}-{last}")?
                    }
                }
                Ok(())
            }
        }
    }
}

/// Reads `200-299,401`.
///
/// # Errors
/// The cause and a right example.
pub fn statuses(text: &str) -> Result<Statuses, String> {
    const EXAMPLE: &str = "use 200-299,401";
    let status = |text: &str| {
        let text = text.trim();
        let number = text
            .parse::<u16>()
            .ok()
            .filter(|it| (100..=599).contains(it));
        number
            .filter(|_| text.len() == 3)
            .ok_or_else(|| format!("a status is a number from 100 to 599; {EXAMPLE}"))
    };
    let range = |text: &str| match text.split_once('-') {
        None => status(text).map(|it| (it, it)),
        Some((first, last)) => {
            let (first, last) = (status(first)?, status(last)?);
            if first > last {
                Err(format!(
                    "a range goes from the lower to the higher; {EXAMPLE}"
                ))
            } else {
                Ok((first, last))
            }
        }
    };
    text.split(',')
        .map(range)
        .collect::<Result<_, _>>()
        .map(Statuses::Ranges)
}

/// What to do with an answer, before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its own status decides.
    Decides,
    /// Send the request there instead.
    Follow {
        next: Box<Url>,
        /// Whether the `Location` names no host. Then a given `Host` header is kept, as in
        /// net/http.
        is_relative: bool,
    },
    /// A redirect that can be neither followed nor counted.
    Fails(Reason),
}

/// Decides whether an answer is a redirect to follow: only while the host name stays the same. A
/// redirect to another host counts by its own status, as in the kubelet's `RedirectChecker`.
/// `location` is as it was sent, `followed` is the number of redirects so far.
pub fn answer(
    at: &Url,
    status: u16,
    location: Option<&[u8]>,
    pass: &Statuses,
    followed: u32,
) -> Answer {
    // An empty one is none, as in net/http.
    let location = location.map(<[u8]>::trim_ascii).filter(|it| !it.is_empty());
    let Some(location) = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else {
        return Answer::Decides;
    };
    if pass.name(status) {
        return Answer::Decides;
    }
    match next(at, location) {
        Next::Elsewhere => Answer::Decides,
        Next::Long => Answer::Fails(Reason::BadRedirect(BadRedirect::TooLong(status))),
        Next::Bad => Answer::Fails(Reason::BadRedirect(BadRedirect::NotAUrl(status))),
        Next::Same(..) if followed >= MOST_REDIRECTS => Answer::Fails(Reason::TooManyRedirects),
        Next::Same(next, is_relative) => Answer::Follow { next, is_relative },
    }
}

/// The method of the next request. 303 makes it GET, and so do 301 and 302 for a POST (RFC 9110,
/// 15.4).
pub fn next_method(status: u16, method: &str) -> &str {
    match (status, method) {
        (_, "HEAD") => "HEAD",
        (303, _) | (301 | 302, "POST") => "GET",
        (_, method) => method,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Answer, MOST_LOCATION, MOST_REDIRECTS, Statuses, answer, header, method, next_method,
        statuses,
    };
    use crate::core::check::{Kind, parse};
    use crate::core::outcome::{BadRedirect, Reason};
    use crate::core::url::Url;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        match parse(text).expect(text).kind {
            Kind::Http(url) => url,
            other => panic!("{other}"),
        }
    }

    fn follow(at: &str, location: &str) -> String {
        match answer(
            &url(at),
            302,
            Some(location.as_bytes()),
            &Statuses::Kubelet,
            0,
        ) {
            Answer::Follow { next, .. } => next.to_string(),
            Answer::Decides => "own status".to_owned(),
            Answer::Fails(Reason::BadRedirect(how)) => format!("{how:?}"),
            Answer::Fails(reason) => panic!("{reason:?}"),
        }
    }

    #[test]
    fn redirects_are_followed_while_the_host_name_stays_the_same() {
        for (location, expected) in [
            ("/b", "http://h:1/b"),
            ("b?x", "http://h:1/a/b?x"),
            ("../b", "http://h:1/b"),
            ("?q", "http://h:1/a/?q"),
            ("", "own status"),
            (" ", "own status"),
            ("#f", "http://h:1/a/"),
            ("http://h:2/b", "http://h:2/b"),
            ("http://H/b#f", "http://h/b"),
            ("https://h/b", "https://h/b"),
            ("//h:3/b", "http://h:3/b"),
            ("/ä b", "http://h:1/%C3%A4%20b"),
            ("http://other/b", "own status"),
            ("//other/b", "own status"),
            ("http://h:/b", "http://h/b"),
            ("http://-bad_/b", "own status"),
            ("http://other:99999/b", "own status"),
            ("myapp://login", "own status"),
            ("ftp://h/b", "NotAUrl(302)"),
            ("http://", "own status"),
        ] {
            assert_eq!(follow("http://h:1/a/", location), expected, "{location}");
        }
        assert_eq!(
            follow("http+unix://%2Fs/a", "http://localhost/b"),
            "http+unix://%2Fs/b"
        );
        assert_eq!(
            follow("http://[::1]:1/a", "http://[0:0::1]:2/b"),
            "http://[::1]:2/b"
        );
    }

    #[test]
    fn a_location_of_more_than_8_kib_is_not_followed() {
        let long =
            |before: &str, length: usize| format!("{before}{}", "x".repeat(length - before.len()));
        for before in ["/", "http://h:2/", "?"] {
            let at = url("http://h:1/");
            let location = long(before, MOST_LOCATION + 1);
            let found = answer(&at, 302, Some(location.as_bytes()), &Statuses::Kubelet, 0);
            let too_long = Reason::BadRedirect(BadRedirect::TooLong(302));
            assert_eq!(found, Answer::Fails(too_long), "{before}");
        }
        assert_eq!(
            follow("http://h:1/", &long("http://other/", MOST_LOCATION + 1)),
            "own status"
        );
        assert_eq!(
            follow("http://h:1/", &long("/", MOST_LOCATION)),
            format!("http://h:1{}", long("/", MOST_LOCATION))
        );
    }

    #[test]
    fn an_eleventh_redirect_is_not_followed() {
        let ask = |followed| {
            answer(
                &url("http://h/"),
                301,
                Some(b"/x"),
                &Statuses::Kubelet,
                followed,
            )
        };
        assert!(matches!(
            ask(MOST_REDIRECTS - 1),
            Answer::Follow {
                is_relative: true,
                ..
            }
        ));
        assert_eq!(ask(MOST_REDIRECTS), Answer::Fails(Reason::TooManyRedirects));
    }

    #[test]
    fn an_answer_that_is_not_a_redirect_counts_by_its_own_status() {
        let at = url("http://h/");
        assert_eq!(
            answer(&at, 200, Some(b"/x"), &Statuses::Kubelet, 0),
            Answer::Decides
        );
        assert_eq!(
            answer(&at, 304, Some(b"/x"), &Statuses::Kubelet, 0),
            Answer::Decides
        );
        assert_eq!(
            answer(&at, 302, None, &Statuses::Kubelet, 0),
            Answer::Decides
        );
        assert_eq!(
            answer(&at, 302, Some(b"/x"), &statuses("302").unwrap(), 0),
            Answer::Decides,
            "named by its number"
        );
        assert!(matches!(
            answer(&at, 302, Some(b"/x"), &statuses("200-399").unwrap(), 0),
            Answer::Follow { .. }
        ));
    }

    #[test]
    fn the_kubelets_rule_is_200_to_399() {
        for (status, passes) in [
            (101, false),
            (199, false),
            (200, true),
            (399, true),
            (400, false),
            (503, false),
        ] {
            assert_eq!(Statuses::Kubelet.contain(status), passes, "{status}");
        }
        let some = statuses("200-299,401").unwrap();
        assert!(some.contain(204) && some.contain(401) && !some.contain(302) && !some.contain(400));
    }

    #[test]
    fn bad_values_are_refused() {
        for text in [
            "", "2xx", "99", "600", "300-200", "200,", "-200", "+20", "200-",
        ] {
            assert!(statuses(text).is_err(), "{text:?}");
        }
        for text in [
            "no colon",
            ": v",
            "a b: v",
            "a: b\nc: d",
            "a\r: b",
            "ü: x",
            "Content-Length: 3",
            "Host: a b",
            "Host:",
        ] {
            assert!(header(text).is_err(), "{text:?}");
        }
        assert!(method("get").unwrap_err().contains("GET"));
        assert!(method("CONNECT").is_err());
        assert_eq!(header("Accept:").unwrap().value, "");
    }

    #[test]
    fn the_method_after_a_redirect_is_that_of_rfc_9110() {
        for (status, before, after) in [
            (303, "POST", "GET"),
            (302, "POST", "GET"),
            (307, "POST", "POST"),
            (303, "HEAD", "HEAD"),
        ] {
            assert_eq!(next_method(status, before), after);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_and_no_error_shows_the_value(
            name in "[a-zA-Z !-]{0,8}",
            value in "\\PC{0,30}",
        ) {
            prop_assume!(value.len() > 12 && !value.contains("podgate"));
            if let Err(error) = header(&format!("{name}:{value}")) {
                prop_assert!(!error.contains(value.trim()), "{}", error);
            }
        }

        #[test]
        fn headers_print_back(name in "[a-zA-Z][a-zA-Z0-9-]{0,10}", value in "[ -~]{0,20}") {
            if let Ok(first) = header(&format!("{name}: {value}")) {
                prop_assert_eq!(
                    header(&format!("{}: {}", first.name, first.value)),
                    Ok(first)
                );
            }
        }

        #[test]
        fn statuses_print_back(text in "([1-6][0-9]{2}(-[1-6][0-9]{2})?)(,[1-6][0-9]{2}){0,3}") {
            if let Ok(first) = statuses(&text) {
                prop_assert_eq!(statuses(&first.to_string()), Ok(first));
            }
        }

        #[test]
        fn no_location_makes_it_panic_and_a_followed_one_keeps_the_host(
            location in "\\PC{0,40}",
            status in 300_u16..310,
        ) {
            if let Answer::Follow { next, .. } = answer(
                &url("http://h:1/a/b?c"),
                status,
                Some(location.as_bytes()),
                &Statuses::Kubelet,
                0,
            ) {
                prop_assert_eq!(url(&next.to_string()).host(), url("http://h/").host());
            }
        }
    }
}
