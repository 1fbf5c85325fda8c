//! One module for each target. Its `run` takes an input, and panics where podgate breaks a promise.

pub(crate) mod argv;
pub(crate) mod check;
mod database;
pub(crate) mod dns;
pub(crate) mod duration;
pub(crate) mod endpoint;
pub(crate) mod grpc_frames;
pub(crate) mod hpack;
pub(crate) mod http;
pub(crate) mod listen;
pub(crate) mod listening;
pub(crate) mod mysql;
pub(crate) mod notify;
pub(crate) mod option;
pub(crate) mod pem;
pub(crate) mod postgres;
pub(crate) mod record;
pub(crate) mod redis;
pub(crate) mod rules;
pub(crate) mod sock_diag;

/// A text that must never be printed, and that appears nowhere else.
pub(crate) const SECRET: &str = "zQ7kXw3V";
