//! Signals by name and number (signal(7)), and which one CMD gets for one that arrives.

/// The last one.
const LAST: u8 = 64;
/// The first real-time signal, as glibc, runtimes and `kill -l` count: it keeps the kernel's 32 and 33 for itself.
const RTMIN: u8 = 34;
pub const KILL: u8 = 9;
pub const TERM: u8 = 15;
pub const CHLD: u8 = 17;
pub const STOP: u8 = 19;

/// The names of 1 to 31, on every architecture that we build for (not on MIPS, Alpha and SPARC).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads a signal: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
///
/// # Errors
/// It is none, with a right example.
pub fn parse(text: &str) -> Result<u8, String> {
    const EXAMPLE: &str = "is no signal; say TERM, QUIT or RTMIN+3";
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let digits = |text: &str| {
        text.parse::<u8>()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let real_time = || {
        let number = match name.strip_prefix("RTMIN")? {
            "" => RTMIN,
            rest => RTMIN.checked_add(digits(rest.strip_prefix('+')?)?)?,
        };
        (number <= LAST).then_some(number)
    };
    let from_end = || match name.strip_prefix("RTMAX")? {
        "" => Some(LAST),
        rest => LAST
            .checked_sub(digits(rest.strip_prefix('-')?)?)
            .filter(|number| *number >= RTMIN),
    };
    let named = || {
        NAMES
            .iter()
            .position(|it| *it == name)
            .and_then(|at| u8::try_from(at.saturating_add(1)).ok())
    };
    let number = digits(&upper).filter(|number| (1..=LAST).contains(number));
    number
        .or_else(named)
        .or_else(real_time)
        .or_else(from_end)
        .ok_or_else(|| EXAMPLE.to_owned())
}

/// One that CMD may be sent and that may arrive: not those that nobody can catch, nor the one that tells of children.
///
/// # Errors
/// It is none of those.
pub fn deliverable(text: &str) -> Result<u8, String> {
    match parse(text)? {
        KILL | STOP => {
            Err("cannot be caught, so it cannot be passed on; say TERM or QUIT".to_owned())
        }
        CHLD => Err(
            "tells podgate of its own children and is not passed on; say TERM or QUIT".to_owned(),
        ),
        number => Ok(number),
    }
}

/// The name of a signal.
pub fn name(number: u8) -> String {
    let at = usize::from(number).checked_sub(1);
    match at.and_then(|at| NAMES.get(at)) {
        Some(name) => format!("SIG{name}"),
        None if number >= RTMIN => format!("SIGRTMIN+{}", number.saturating_sub(RTMIN)),
        None => format!("signal {number}"),
    }
}

/// What becomes of one signal that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// This one arrives.
    pub from: u8,
    /// CMD gets this one; `None`: nothing.
    pub to: Option<u8>,
}

/// Reads `TERM=QUIT` or `HUP=none`.
///
/// # Errors
/// What is wrong, with a right example.
pub fn mapping(text: &str) -> Result<Mapping, String> {
    let Some((from, to)) = text.split_once('=') else {
        return Err("maps nothing; say TERM=QUIT, or HUP=none to drop one".to_owned());
    };
    // Who is to be killed at once may say so.
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

/// What CMD gets when `number` arrives.
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
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("RTMAX-1", 63),
            ("64", 64),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for bad in [
            "", "0", "65", "256", "SIG", "TREM", "RTMIN+31", "RTMIN-1", "RTMAX-40", "+15", "-15",
            "RTMIN+",
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
