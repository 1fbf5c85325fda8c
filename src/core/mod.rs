//! The decisions: values in, decisions out. Nothing here reads a clock or a file, makes a system
//! call, starts a thread or prints.
//!
//! Machines of one shape take events and return actions: `new(spec, now)`, `handle(&mut self,
//! now, Event) -> Vec<Action>` and `deadline(&self) -> Option<Time>`. A driver turns what happens
//! into events, each with a [`time::Time`], and carries out the actions. So every decision can be
//! tested with plain values and invented times.
//!
//! ```text
//! what was typed ── check::parse ──> Check
//!
//! an attempt ended, time passed, ──> gate::Gate ──> Attempt, Cancel, Notice, Finish
//! a file appeared, a signal
//!
//! an attempt ended, time passed  ──> quit::Quit ──> Attempt, Cancel, Notice, Finish
//!
//! a signal, CMD's end, the gate  ──> life::Life ──> Start, StopCmd, Kill, Publish, Remember,
//! opened, a look at the members                     Notice, Finish
//!   record and lock ── observation::observe ──> Observation ── completion ──> is the member done?
//! ```
//!
//! | module | decides |
//! | --- | --- |
//! | [`gate`] | when each of many checks is tried, and whether the gate opens |
//! | [`quit`] | whether a sidecar that was asked to end is gone |
//! | [`life`] | when CMD is started, held, stopped and killed, and the exit code |
//! | [`attempt`] | when one attempt begins and is cancelled |
//! | [`heartbeat`] | when a wait is reported again |
//! | [`credit`] | how often a change may be reported |
//! | [`schedule`] | how long the pause between two attempts is |
//! | [`outcome`] | how an attempt ends: pass, not yet (why), never (why) |
//! | [`check`] | what a check means (P3) |
//! | [`url`] | what a URL, a host and a port mean |
//! | [`backend`] | which gRPC service or database a URL means |
//! | [`negation`] | which outcomes let `not:CHECK` pass |
//! | [`lookup`] | which name is asked for at which name server, and what the answers mean together |
//! | [`dns`] | the bytes of questions to name servers, and of their answers |
//! | `hint` | which check a person may have meant by a refused one |
//! | [`redact`] | which parts of a text are secrets |
//! | [`preset`] | which sidecars are known by name, and where they answer |
//! | [`http`] | which status passes, which redirect is followed, which header is valid |
//! | [`location`] | where a redirect leads |
//! | [`token`] | which text can be a bearer token |
//! | [`answer`] | which bytes are an HTTP answer, and where its body ends |
//! | [`dialogue`] | the shape of a talk with a server: bytes in, bytes out, an outcome |
//! | [`postgres`], [`mysql`], [`redis`], `database` | whether a database accepts connections |
//! | [`grpc`] | what is sent for a gRPC health check, and what the answer means |
//! | [`protocol`] | what a server speaks that does not speak HTTP or TLS |
//! | [`pem`], [`x509`] | which certificates and keys a file has, and what is in one |
//! | [`listening`] | which listening socket is the one of a `listen://` check |
//! | [`sock_diag`] | how the kernel is asked for listening sockets |
//! | [`notify`] | what CMD says by sd_notify(3) |
//! | [`endpoint`] | how a request to the quit endpoint is answered |
//! | [`digits`] | which number is written with digits only |
//! | [`boolean`] | what a switch in the environment means |
//! | [`duration`] | what a duration on the command line means |
//! | [`signal`] | the names of signals, and how they are forwarded |
//! | [`job_control`] | who gets the terminal, and when podgate stops with CMD |
//! | [`exit`] | every exit code |
//! | [`member`] | what a member's name and restart policy may be |
//! | [`record`] | the bytes of a member's record |
//! | [`observation`] | what a record and a lock mean together |
//! | [`round`] | which records still count when the init containers run again |
//! | [`completion`] | whether a member that is waited for is done |
//! | [`linger`] | how long a member that may be started again is waited for |
//! | [`errno`], [`exec_error`], [`volume_error`] | nothing: errors as values |
//! | [`logging`], [`plain_dir`], [`trust`] | nothing: settings as values |

#![forbid(unsafe_code)]

pub mod answer;
pub mod attempt;
pub mod backend;
pub mod boolean;
pub mod check;
pub mod completion;
pub mod credit;
mod database;
pub mod dialogue;
pub mod digits;
pub mod dns;
pub mod duration;
pub mod endpoint;
pub mod errno;
pub mod exec_error;
pub mod exit;
pub mod gate;
pub mod grpc;
pub mod heartbeat;
pub mod hint;
pub mod http;
pub mod job_control;
pub mod life;
pub mod linger;
pub mod listening;
pub mod location;
pub mod logging;
pub mod lookup;
pub mod member;
pub mod mysql;
pub mod negation;
pub mod notify;
pub mod observation;
pub mod outcome;
pub mod pem;
pub mod plain_dir;
pub mod postgres;
pub mod preset;
pub mod protocol;
pub mod quit;
pub mod record;
pub mod redact;
pub mod redis;
pub mod round;
pub mod schedule;
pub mod signal;
pub mod sock_diag;
pub mod time;
pub mod token;
pub mod trust;
pub mod url;
pub mod volume_error;
pub mod x509;
