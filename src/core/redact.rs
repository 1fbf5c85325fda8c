//! Hiding of user names and passwords in texts that are printed.

/// Hides the user info of every URL in a text: an accepted check, or the output of a command.
pub fn urls(text: &str) -> String {
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

/// Hides the user info in a text that was refused as a check. Everything before the last `@` is
/// hidden: a password that is not encoded may hold anything, and the scheme may be missing.
///
/// A database's parameters may hold a password, too: `host=db password=secret`.
pub fn refused(text: &str) -> String {
    if text
        .strip_prefix("not:")
        .unwrap_or(text)
        .starts_with("exec:")
    {
        return urls(text);
    }
    if let Some((before, _)) = text.split_once("password=") {
        return format!("{}password=***", refused(before));
    }
    match text.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{host}"),
            None => format!("***@{host}"),
        },
        None => urls(text),
    }
}

/// Hides the user info in the value of an option that takes no URL. A person may give one by
/// mistake, with its scheme or without.
pub fn value(text: &str) -> String {
    let has_password = text
        .rsplit_once('@')
        .is_some_and(|(before, _)| before.contains(':'));
    if text.contains("://") || has_password {
        refused(text)
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{refused, urls, value};

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
            assert_eq!(urls(text), shown);
        }
        for (text, shown) in [
            ("htp://user:secret@host", "htp://***@host"),
            ("http://user:se/cret@host/p", "http://***@host/p"),
            ("user:secret@host:80", "***@host:80"),
            ("http://host/p p", "http://host/p p"),
            ("host=db password=secret user=me", "host=db password=***"),
            (
                "jdbc:mysql://h/?password=a@b",
                "jdbc:mysql://h/?password=***",
            ),
            ("u:secret@h/?password=a", "***@h/?password=***"),
            ("not:http://user:secret@host", "not:http://***@host"),
            (
                "not:exec:a http://u:secret@h/ b@c '",
                "not:exec:a http://***@h/ b@c '",
            ),
        ] {
            assert_eq!(refused(text), shown);
        }
    }

    /// Found by fuzzing: a URL in the place of another value was shown with its password.
    #[test]
    fn a_url_in_the_place_of_another_value_hides_its_user_info() {
        assert_eq!(value("http://user:se/cret@host/"), "http://***@host/");
        assert_eq!(value("me@host"), "me@host");
    }
}
