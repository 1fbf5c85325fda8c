//! Signals by name and number (signal(7)), and which signal CMD gets for each that arrives.

use super::digits;
use signal_hook::low_level::signal_name;

/// The last signal.
const LAST: u8 = 64;
/// The first real-time signal, as glibc, runtimes and `kill -l` count: glibc keeps 32 and 33 for
/// itself.
const RTMIN: u8 = 34;
pub const KILL: u8 = 9;
pub const TERM: u8 = 15;
pub const CHLD: u8 = 17;
pub const STOP: u8 = 19;

/// The last signal that has its own name; the real-time signals follow.
const LAST_NAMED: u8 = 31;

/// Two signals of Linux that signal-hook does not name.
const UNNAMED: [(u8, &str); 2] = [(16, "SIGSTKFLT"), (30, "SIGPWR")];

/// The name of a signal that is not a real-time signal.
fn standard_name(number: u8) -> Option<&'static str> {
    signal_name(number.into()).or_else(|| {
        let unnamed = UNNAMED.iter().find(|(it, _)| *it == number);
        unnamed.map(|(_, name)| *name)
    })
}

/// Reads a signal: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
///
/// # Errors
/// `text` is not a signal. The error is the end of a sentence that begins with `text`.
pub fn parse(text: &str) -> Result<u8, String> {
    const EXAMPLE: &str = "is not a signal; use TERM, QUIT or RTMIN+3";
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = || {
        let number = match name.strip_prefix("RTMIN")? {
            "" => RTMIN,
            rest => RTMIN.checked_add(digits::number(rest.strip_prefix('+')?)?)?,
        };
        (number <= LAST).then_some(number)
    };
    let from_end = || match name.strip_prefix("RTMAX")? {
        "" => Some(LAST),
        rest => LAST
            .checked_sub(digits::number(rest.strip_prefix('-')?)?)
            .filter(|number| *number >= RTMIN),
    };
    let named = || {
        (1..=LAST_NAMED).find(|number| {
            standard_name(*number).and_then(|it| it.strip_prefix("SIG")) == Some(name)
        })
    };
    let number = digits::number(&upper).filter(|number| (1..=LAST).contains(number));
    number
        .or_else(named)
        .or_else(real_time)
        .or_else(from_end)
        .ok_or_else(|| EXAMPLE.to_owned())
}

/// Reads a signal that podgate can receive and forward: not KILL and STOP, which no process can
/// catch, and not CHLD, which is about podgate's own children.
///
/// # Errors
/// Those of [`parse`], or the signal cannot be forwarded.
pub fn deliverable(text: &str) -> Result<u8, String> {
    match parse(text)? {
        KILL | STOP => {
            Err("cannot be caught, so it cannot be forwarded; use TERM or QUIT".to_owned())
        }
        CHLD => {
            Err("is about podgate's own children and is not forwarded; use TERM or QUIT".to_owned())
        }
        number => Ok(number),
    }
}

/// The name of a signal, as `kill -l` prints it, with `SIG`.
pub fn name(number: u8) -> String {
    match standard_name(number) {
        Some(name) => name.to_owned(),
        None if number >= RTMIN => format!("SIGRTMIN+{}", number.saturating_sub(RTMIN)),
        None => format!("signal {number}"),
    }
}

/// Which processes get a signal that is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// CMD alone.
    Child,
    /// CMD's whole process group: `--signal-group`.
    Group,
}

/// What CMD gets when one signal arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The signal that arrives.
    pub from: u8,
    /// The signal that CMD gets; `None`: nothing.
    pub to: Option<u8>,
}

/// Reads `TERM=QUIT` or `HUP=none`.
///
/// # Errors
/// `text` is not a mapping. The error is the end of a sentence that begins with `text`.
pub fn mapping(text: &str) -> Result<Mapping, String> {
    let Some((from, to)) = text.split_once('=') else {
        return Err("is not a mapping; use TERM=QUIT, or HUP=none to drop a signal".to_owned());
    };
    // CMD can be sent every signal, KILL too.
    let to = if to == "none" {
        None
    } else {
        Some(parse(to).map_err(|cause| format!("{to:?} {cause}"))?)
    };
    Ok(Mapping {
        from: deliverable(from).map_err(|cause| format!("{from:?} {cause}"))?,
        to,
    })
}

/// The signal that CMD gets when `number` arrives; the last mapping counts.
pub fn mapped(mappings: &[Mapping], number: u8) -> Option<u8> {
    mappings
        .iter()
        .rev()
        .find(|mapping| mapping.from == number)
        .map_or(Some(number), |mapping| mapping.to)
}

#[cfg(test)]
mod tests {
    use super::{Mapping, deliverable, mapped, mapping, name, parse};

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("QUIT", 3),
            ("WINCH", 28),
            ("SYS", 31),
            ("IO", 29),
            ("SIGSTKFLT", 16),
            ("PWR", 30),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("RTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for bad in [
            "",
            "0",
            "65",
            "256",
            "SIG",
            "TREM",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX-40",
            "+15",
            "-15",
            "RTMIN+",
            "SIGSIGTERM",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["KILL", "STOP", "CHLD", "9"] {
            assert!(deliverable(bad).is_err(), "{bad}");
        }
        for number in (1..=31).chain(34..=64) {
            assert_eq!(parse(&name(number)), Ok(number));
        }
    }

    #[test]
    fn one_signal_becomes_another_or_none() {
        let maps = [
            mapping("TERM=QUIT").expect("a mapping"),
            mapping("HUP=none").expect("a mapping"),
        ];
        assert_eq!(
            maps,
            [
                Mapping {
                    from: 15,
                    to: Some(3)
                },
                Mapping { from: 1, to: None }
            ]
        );
        assert_eq!(
            (mapped(&maps, 15), mapped(&maps, 1), mapped(&maps, 2)),
            (Some(3), None, Some(2))
        );
        for bad in [
            "TERM",
            "TERM=",
            "=QUIT",
            "KILL=TERM",
            "TERM=QUIT=INT",
            "TERM=NONE ",
        ] {
            assert!(mapping(bad).is_err(), "{bad}");
        }
    }
}
