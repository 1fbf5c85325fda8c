//! The HTTP rules that are pure text: where a redirect leads, what is a header, which statuses
//! pass.
//!
//! An input is a line with the URL, a line with the `Location`, and the rest.

use super::SECRET;
use crate::is_planted;
use podgate::core::check::{Kind, parse};
use podgate::core::http::{Answer, MOST_REDIRECTS, Statuses, answer, header, method, statuses};
use podgate::core::url::Server;

pub(crate) fn run(bytes: &[u8]) {
    // A header is bytes. What is not UTF-8 becomes replacement characters, as in `probe::http`.
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(3, '\n');
    let (at, location, rest) = (
        lines.next().unwrap_or(""),
        lines.next().unwrap_or(""),
        lines.next().unwrap_or(""),
    );
    if let Ok(Kind::Http(at)) = parse(at).map(|check| check.kind) {
        for (status, followed) in [(301, 0), (303, MOST_REDIRECTS - 1), (308, MOST_REDIRECTS)] {
            match answer(
                &at,
                status,
                Some(location.as_bytes()),
                &Statuses::Kubelet,
                followed,
            ) {
                Answer::Decides | Answer::Fails(_) => {}
                Answer::Follow {
                    mut next,
                    is_relative,
                } => {
                    if is_planted() && location.ends_with('?') {
                        next.path.push(' ');
                    }
                    assert!(followed < MOST_REDIRECTS);
                    assert_eq!(next.host(), at.host(), "{location:?}");
                    assert!(
                        next.path.starts_with('/')
                            && next.path.bytes().all(|it| it.is_ascii_graphic()),
                        "{next:?}"
                    );
                    let full = format!("http://{}{}", next.authority(), next.path);
                    assert!(
                        full.parse::<http::Uri>().is_ok(),
                        "{full:?} cannot be asked"
                    );
                    if is_relative {
                        assert_eq!((&next.server, next.scheme), (&at.server, at.scheme));
                    }
                    if let Server::Socket(_) = &at.server {
                        assert_eq!(next.server, at.server);
                    }
                }
            }
        }
    }
    match header(rest) {
        Ok(it) => {
            assert!(
                !it.name.is_empty()
                    && !it.value.contains(['\r', '\n', '\0'])
                    && !it.name.contains([' ', ':'])
            )
        }
        Err(cause) => assert!(!cause.contains(char::is_control), "{cause:?}"),
    }
    if !rest.contains(SECRET) {
        for text in [
            format!("{rest}: {SECRET}"),
            format!("X-Token: {rest}{SECRET}"),
            format!("{rest}{SECRET}"),
        ] {
            match header(&text) {
                Ok(it) => assert!(
                    it.name.contains(SECRET) || !format!("{it:?}").contains(SECRET),
                    "{it:?}"
                ),
                // The name of a header may be shown.
                Err(cause) => assert!(
                    !cause.contains(SECRET)
                        || text.split_once(':').is_some_and(|it| it.0.contains(SECRET)),
                    "{cause}"
                ),
            }
        }
    }
    if let Ok(read) = statuses(rest) {
        assert_eq!(statuses(&read.to_string()).as_ref(), Ok(&read));
        assert!(
            (0..100)
                .chain(600..=u16::MAX)
                .all(|status| !read.contain(status))
        );
    }
    let _ = method(rest).map(|it| assert_eq!(it, rest));
}
