//! The check grammar. An accepted check prints as a text that means the same. A refused one gets an
//! example that is valid. No message shows the user info of a URL.

use super::SECRET;
use crate::is_planted;
use podgate::core::check::{Kind, parse};
use podgate::core::quit::target;
use podgate::core::redact;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match parse(text) {
        Ok(check) => {
            let printed = check.kind.to_string();
            let mut again = parse(&printed)
                .unwrap_or_else(|cause| panic!("{printed:?} {cause}"))
                .kind;
            if is_planted() && matches!(&again, Kind::Http(url) if url.path.contains("//")) {
                again = Kind::File("/planted".to_owned());
            }
            assert_eq!(again, check.kind, "{printed:?}");
            if let Some(url) = check.kind.url() {
                assert!(
                    url.path.starts_with('/')
                        && url.path.bytes().all(|byte| byte.is_ascii_graphic()),
                    "{url:?}"
                );
                let full = format!("http://{}{}", url.authority(), url.path);
                assert!(
                    full.parse::<http::Uri>().is_ok(),
                    "{full:?} cannot be asked"
                );
                assert!(
                    url.user_info.is_none() || check.name.contains("***@"),
                    "{}",
                    check.name
                );
            }
            assert_eq!(check.name, redact::urls(text));
        }
        Err(cause) => {
            assert!(
                !cause.is_empty() && !cause.contains(char::is_control)
                    || text.contains(char::is_control),
                "{cause:?}"
            );
            are_right(&cause, text);
        }
    }
    if let Some((before, host)) = text.rsplit_once('@')
        && !text.contains(SECRET)
    {
        hides(&format!("{before}{SECRET}@{host}"));
    }
}

/// Examples that are made of the input are valid.
fn are_right(cause: &str, typed: &str) {
    let said = match cause
        .strip_prefix("has no kind of check; use ")
        .or_else(|| cause.strip_prefix("has too few slashes; use "))
        .or_else(|| cause.strip_prefix("is written in another way here; use "))
    {
        Some(said) if !typed.contains(" or ") => said,
        Some(_) | None => return,
    };
    for example in said.split(" or ") {
        assert!(parse(example).is_ok(), "{typed:?} {cause}");
    }
}

fn hides(planted: &str) {
    let read = parse(planted);
    let is_user_info = match &read {
        Ok(check) => check
            .kind
            .url()
            .and_then(|url| url.user_info.as_ref())
            .is_some_and(|user_info| user_info.contains(SECRET)),
        // The words of a command are shown, except for URLs in them.
        Err(_) => !planted
            .strip_prefix("not:")
            .unwrap_or(planted)
            .starts_with("exec:"),
    };
    if !is_user_info {
        return;
    }
    match read {
        Ok(check) => assert!(
            !check.name.contains(SECRET),
            "{planted:?} is called {:?}",
            check.name
        ),
        Err(cause) => {
            assert!(!cause.contains(SECRET), "{planted:?} {cause}");
            assert!(!redact::refused(planted).contains(SECRET), "{planted:?}");
        }
    }
    if let Err(cause) = target(planted) {
        assert!(!cause.contains(SECRET), "{planted:?} as a target {cause}");
    }
}
