//! What `PODGATE_DISABLE` turns off.

use super::{LogEvent, Message, Severity, quoted};

fn disabled(text: &str) -> Message {
    let text = format!("PODGATE_DISABLE is set: {text}");
    Message::new(Severity::Info, LogEvent::Disabled, text)
}

pub fn gates(checks: &[String]) -> Message {
    if checks.is_empty() {
        return disabled("not waiting for any check");
    }
    disabled(&format!("not waiting for {}", quoted(checks)))
}

pub fn members() -> Message {
    disabled("not taking part as a member, and not looking at members")
}

pub fn reset() -> Message {
    disabled("not resetting the volume of the members")
}

pub fn member_checks(checks: &[String]) -> Message {
    disabled(&format!("not looking at {}", quoted(checks)))
}

pub fn quits(targets: &[String]) -> Message {
    disabled(&format!("not asking {} to quit", quoted(targets)))
}

#[cfg(test)]
mod tests {
    use super::{gates, member_checks, quits};

    #[test]
    fn a_list_has_each_item_in_quotes() {
        let list = ["tcp://a:1".to_owned(), "ready:b".to_owned()];
        for (message, text) in [
            (gates(&list), "not waiting for \"tcp://a:1\", \"ready:b\""),
            (gates(&[]), "not waiting for any check"),
            (member_checks(&list[1..]), "not looking at \"ready:b\""),
            (quits(&list[..1]), "not asking \"tcp://a:1\" to quit"),
        ] {
            assert_eq!(message.text, format!("PODGATE_DISABLE is set: {text}"));
        }
    }
}
