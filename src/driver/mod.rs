//! Where the machines of `core` meet the world: each driver turns what happens into events, and
//! does what its machine decides.

pub(crate) mod exec;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod life;
pub(crate) mod membership;
mod observer;
pub(crate) mod quit;
pub(crate) mod status;
mod watchdog;
