//! What `PODGATE_DISABLE` turns off.

use super::{LogEvent, Message, Severity};

fn disabled(text: &str) -> Message {
    let text = format!("PODGATE_DISABLE is set: {text}");
    Message::new(Severity::Info, LogEvent::Disabled, text)
}

pub fn gates(checks: &[String]) -> Message {
    disabled(&format!("not waiting for {checks:?}"))
}

pub fn members() -> Message {
    disabled("not taking part as a member, and not looking at members")
}

pub fn reset() -> Message {
    disabled("not resetting the volume of the members")
}

pub fn member_checks(checks: &[String]) -> Message {
    disabled(&format!("not looking at {checks:?}"))
}

pub fn quits(targets: &[String]) -> Message {
    disabled(&format!("not asking {targets:?} to quit"))
}
