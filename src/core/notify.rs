//! What a service says by sd_notify(3): the datagrams at its NOTIFY_SOCKET.
//!
//! A datagram has one `NAME=VALUE` a line. Only `READY=1` and `STATUS=` have a meaning here. Bytes
//! are read as systemd's manager reads them (`manager_invoke_notify_message`): a datagram with a
//! NUL anywhere but at its end counts for nothing, and a line counts only if it is complete.

use super::outcome::one_line;

/// The longest datagram that is read, in bytes. systemd's manager has the same limit.
pub const LONGEST: usize = 4096;
/// The most bytes of a status that are shown.
const LONGEST_STATUS: usize = 120;

/// The meaning of one or more datagrams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    /// The service is ready.
    pub is_ready: bool,
    /// The state of the service in words: one line.
    pub status: Option<String>,
}

impl Notification {
    /// Adds a later one, whose status replaces this one.
    pub fn add(&mut self, later: Self) {
        self.is_ready |= later.is_ready;
        self.status = later.status.or_else(|| self.status.take());
    }
}

/// Reads a whole datagram.
pub fn read(datagram: &[u8]) -> Notification {
    let mut notification = Notification::default();
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.contains(&0) {
        return notification;
    }
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        notification.is_ready |= line == b"READY=1";
        // The first status counts.
        if notification.status.is_none()
            && let Some(status) = line.strip_prefix(b"STATUS=")
            && let Ok(status) = str::from_utf8(status)
        {
            notification.status = Some(one_line(status, LONGEST_STATUS));
        }
    }
    notification
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, LONGEST_STATUS, Notification, read};
    use proptest::prelude::*;

    fn notification(is_ready: bool, status: Option<&str>) -> Notification {
        let status = status.map(str::to_owned);
        Notification { is_ready, status }
    }

    #[test]
    fn ready_and_status_are_read_and_all_else_is_ignored() {
        for (datagram, is_ready, status) in [
            (&b"READY=1"[..], true, None),
            (b"READY=1\n", true, None),
            (b"READY=1\0", true, None),
            (b"READY=1\r\nMAINPID=7\r\n", true, None),
            // HAProxy, Redis and PostgreSQL.
            (
                b"READY=1\nMAINPID=12\nSTATUS=Ready.\n",
                true,
                Some("Ready."),
            ),
            (
                b"STATUS=Ready to accept connections\n",
                false,
                Some("Ready to accept connections"),
            ),
            (b"STOPPING=1", false, None),
            (b"RELOADING=1\nMONOTONIC_USEC=1", false, None),
            (b"WATCHDOG=1", false, None),
            (b"BARRIER=1", false, None),
            (b"STATUS=one\nSTATUS=two", false, Some("one")),
            (b"STATUS=\xff\nREADY=1", true, None),
            (b"STATUS=a\x1b[31mb", false, Some("a [31mb")),
            (b"STATUS=", false, Some("")),
            // Only the whole line counts.
            (b"READY=10", false, None),
            (b"READY=0", false, None),
            (b" READY=1", false, None),
            (b"XREADY=1", false, None),
            (b"ready=1", false, None),
            (b"STATUS=READY=1", false, Some("READY=1")),
            // systemd ignores such datagrams.
            (b"READY=1\0READY=1", false, None),
            (b"\0READY=1", false, None),
            (b"READY=1\0\0", false, None),
            (b"", false, None),
        ] {
            let text = String::from_utf8_lossy(datagram);
            assert_eq!(read(datagram), notification(is_ready, status), "{text:?}");
        }
    }

    #[test]
    fn a_later_status_replaces_an_earlier_one_and_ready_stays() {
        let mut all = Notification::default();
        all.add(notification(true, Some("one")));
        all.add(notification(false, Some("two")));
        all.add(notification(false, None));
        assert_eq!(all, notification(true, Some("two")));
    }

    proptest! {
        #[test]
        fn a_status_is_one_short_line(bytes in prop::collection::vec(any::<u8>(), 0..LONGEST)) {
            let datagram = [b"STATUS=", &bytes[..]].concat();
            if let Some(status) = read(&datagram).status {
                prop_assert!(!status.contains(char::is_control));
                prop_assert!(status.len() < LONGEST_STATUS + 8);
            }
        }
    }
}
