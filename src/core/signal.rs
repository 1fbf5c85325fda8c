//! Signals by name and number (signal(7)), and which signal CMD gets for each that arrives.

use super::digits;
use signal_hook::low_level::signal_name;

/// The last signal.
const LAST: u8 = 64;
/// The first real-time signal, as glibc, runtimes and `kill -l` count: glibc keeps 32 and 33 for
/// itself.
const RTMIN: u8 = 34;
pub const HUP: u8 = 1;
pub const INT: u8 = 2;
pub const QUIT: u8 = 3;
pub const KILL: u8 = 9;
pub const TERM: u8 = 15;
pub const CHLD: u8 = 17;
pub const CONT: u8 = 18;
pub const STOP: u8 = 19;
pub const TSTP: u8 = 20;
pub const TTIN: u8 = 21;
pub const TTOU: u8 = 22;
const URG: u8 = 23;
pub const WINCH: u8 = 28;

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

/// The name without `SIG`, as options take it.
pub fn option_name(number: u8) -> String {
    let name = name(number);
    name.strip_prefix("SIG")
        .map_or_else(|| number.to_string(), str::to_owned)
}

/// Who has sent a signal (sigaction(2), `si_code` and `si_pid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: Ctrl-C and Ctrl-Z on a terminal, for example.
    Kernel,
    /// A process outside this PID namespace: the container's runtime, for example. Inside a
    /// container the kernel gives its pid as 0 (pid_namespaces(7)).
    Outside,
    /// Another process of this PID namespace.
    Neighbour,
}

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    pub number: u8,
    pub sender: Sender,
}

/// Whether a runtime may send this signal to stop a container, as the image's STOPSIGNAL. HUP is
/// not among them, because most servers reload their configuration at HUP.
pub const fn may_stop_a_container(number: u8) -> bool {
    !matches!(
        number,
        HUP | KILL | CHLD | CONT | STOP | TSTP | TTIN | TTOU | URG
    )
}

/// Whether a terminal sends this signal to every process of its foreground group.
pub const fn is_typed(number: u8) -> bool {
    matches!(number, INT | QUIT | TSTP | TTIN | TTOU | WINCH)
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

impl Mapping {
    /// As the option takes it.
    pub fn text(&self) -> String {
        let to = self.to.map_or_else(|| "none".to_owned(), option_name);
        format!("{}={to}", option_name(self.from))
    }
}

/// The signal that CMD gets when `number` arrives. The mappings apply once: with `TERM=INT` and
/// `INT=TERM`, CMD gets INT for TERM.
pub fn mapped(mappings: &[Mapping], number: u8) -> Option<u8> {
    mappings
        .iter()
        .find(|mapping| mapping.from == number)
        .map_or(Some(number), |mapping| mapping.to)
}

/// Why a mapping has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Useless {
    /// An earlier mapping is about the same signal.
    Repeated,
    /// The signal begins a stop, for which CMD gets the given stop signal.
    Stops,
}

/// The first mapping that has no effect, by its index. `stop`: the stop signal, if it is given.
pub fn useless(mappings: &[Mapping], stop: Option<u8>) -> Option<(usize, Useless)> {
    let why = |(index, mapping): (usize, &Mapping)| {
        let mut earlier = mappings.iter().take(index);
        if earlier.any(|it| it.from == mapping.from) {
            return Some((index, Useless::Repeated));
        }
        let stop = stop?;
        // TERM that is dropped begins no stop. TERM that becomes the stop signal does no harm.
        let replaces_term = mapping.from == TERM && mapping.to.is_some_and(|to| to != stop);
        (mapping.from == stop || replaces_term).then_some((index, Useless::Stops))
    };
    mappings.iter().enumerate().find_map(why)
}

#[cfg(test)]
mod tests {
    use super::{
        Mapping, Useless, deliverable, mapped, mapping, may_stop_a_container, name, option_name,
        parse, useless,
    };

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

    fn mappings(all: &[&str]) -> Vec<Mapping> {
        let one = |text: &&str| mapping(text).expect("a mapping");
        all.iter().map(one).collect()
    }

    #[test]
    fn mappings_apply_once_to_what_arrives() {
        // The table of dumb-init's tests (tests/proxies_signals_test.py).
        for (maps, becomes) in [
            (&[][..], [(15, 15), (3, 3), (18, 18), (2, 2)]),
            (&["TERM=INT"], [(15, 2), (3, 3), (18, 18), (2, 2)]),
            (
                &["TERM=INT", "INT=TERM", "QUIT=QUIT"],
                [(15, 2), (3, 3), (18, 18), (2, 15)],
            ),
            (&["1=31", "31=1"], [(1, 31), (31, 1), (15, 15), (2, 2)]),
        ] {
            let maps = mappings(maps);
            for (from, to) in becomes {
                assert_eq!(mapped(&maps, from), Some(to), "{maps:?}");
            }
        }
    }

    #[test]
    fn a_mapping_that_can_never_apply_is_found() {
        for (maps, stop, expected) in [
            (&["TERM=HUP"][..], Some(15), Some((0, Useless::Stops))),
            (&["TERM=none"], Some(15), Some((0, Useless::Stops))),
            (&["TERM=HUP"], Some(3), Some((0, Useless::Stops))),
            (
                &["HUP=none", "QUIT=INT"],
                Some(3),
                Some((1, Useless::Stops)),
            ),
            (&["QUIT=none"], Some(3), Some((0, Useless::Stops))),
            (&["TERM=QUIT", "15=INT"], None, Some((1, Useless::Repeated))),
            (
                &["INT=TERM", "INT=TERM"],
                None,
                Some((1, Useless::Repeated)),
            ),
            (
                &["RTMIN=TERM", "34=INT"],
                None,
                Some((1, Useless::Repeated)),
            ),
            (&["TERM=QUIT"], Some(3), None),
            (&["TERM=none"], Some(3), None),
            (&["TERM=INT", "INT=TERM"], None, None),
            (&["TERM=TERM"], None, None),
            (&["HUP=QUIT"], Some(3), None),
        ] {
            assert_eq!(
                useless(&mappings(maps), stop),
                expected,
                "{maps:?} {stop:?}"
            );
        }
    }

    #[test]
    fn a_mapping_is_shown_as_it_is_typed() {
        for text in ["TERM=QUIT", "HUP=none", "USR1=RTMIN+3", "PWR=KILL"] {
            assert_eq!(mapping(text).expect("a mapping").text(), text);
        }
        assert_eq!(option_name(32), "32");
    }

    #[test]
    fn every_signal_that_can_be_caught_may_be_a_stopsignal_except_a_few() {
        let others: Vec<u8> = (1..=64).filter(|it| !may_stop_a_container(*it)).collect();
        assert_eq!(others, [1, 9, 17, 18, 19, 20, 21, 22, 23]);
    }
}
