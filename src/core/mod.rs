//! The decisions: values in, decisions out. Nothing here knows a clock, a file, a syscall, a thread, or how to print.
//!
//! ```text
//!   what was typed --check::parse--> Check ----+
//!                                              v
//!   shell:  attempt ends, time passes, --> gate::Gate --> Attempt, Cancel, Notice, Finish --> shell
//!           a file appears, a signal           |
//!                                          schedule (when to ask again), exit (with which code)
//!
//!   shell:  signals, CMD's end, the gate's answer, --> life::Life --> Start, StopCmd, Kill, Publish, Remember, Finish --> shell
//!           what is seen of members (member::sight)      |
//!           <-- record bytes, lock held or free      done (is that member done?)
//!   shell:  answers of a sidecar that was asked --> quit::Quit --> Ask, Look, Finish --> shell
//! ```
//!
//! The shell (`command::gate`, `command::run`, `quit`) owns the clock. It turns what happens into `Event`s stamped with a [`time::Time`], and does what the
//! returned `Action`s say. So every decision can be tested with plain values and invented times.
//!
//! | module | decides |
//! | --- | --- |
//! | [`check`] | what a check means: the grammar of P3 |
//! | [`preset`] | which sidecars we know: what is asked of them |
//! | [`outcome`] | how an attempt ends: pass, not yet (why), never (why) |
//! | [`schedule`] | when the next attempt is due |
//! | [`gate`] | many checks, one answer |
//! | [`quit`] | whether a sidecar that was asked to end is gone |
//! | [`http`] | which status passes, which redirect is followed, which header is a header |
//! | [`listening`] | which line of `/proc/net/tcp` is the socket we wait for |
//! | [`endpoint`] | what a request to the quit endpoint is answered with |
//! | [`duration`] | what a duration on the command line means |
//! | [`exit`] | every exit code |
//! | [`signal`] | signals by name and number, and what they are passed on as |
//! | [`member`] | who takes part, and what an observer sees of a member |
//! | [`record`] | a member's record: bytes and meaning |
//! | [`done`] | whether a member that is waited for is done |
//! | [`life`] | when CMD is started, held, stopped and killed, and with which code all ends |

#![forbid(unsafe_code)]

pub mod attempt;
pub mod check;
pub mod completion;
pub mod duration;
pub mod endpoint;
pub mod errno;
pub mod exec_error;
pub mod exit;
pub mod gate;
pub mod heartbeat;
mod hint;
pub mod http;
pub mod life;
pub mod listening;
pub mod member;
pub mod observation;
pub mod outcome;
pub mod preset;
pub mod quit;
pub mod record;
pub mod redact;
pub mod schedule;
pub mod signal;
pub mod time;
pub mod url;
pub mod volume_error;
