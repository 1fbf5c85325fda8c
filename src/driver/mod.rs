//! Where the machines of `core` meet the world. Each driver makes events of what happens, and
//! carries out the actions of its machine.

pub(crate) mod exec;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod life;
pub(crate) mod membership;
mod observer;
pub(crate) mod quit;
pub(crate) mod reset;
pub(crate) mod status;
mod watchdog;
