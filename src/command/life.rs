//! What `run` and `join` share: the settings of their lives, as the driver takes them.

use crate::config::OnTimeout;
use crate::config::life::Life;
use crate::driver::life::{Gate, Settings};

pub(super) fn settings(life: &Life) -> Settings<'_> {
    Settings {
        spec: &life.spec,
        members: &life.members,
        after: Gate {
            checks: &life.after,
            spec: &life.after_gate,
        },
        continues_on_timeout: life.on_timeout == OnTimeout::Run,
        ready: Gate {
            checks: &life.ready,
            spec: &life.ready_gate,
        },
        ask: &life.ask,
        stop_signal: life.stop_signal,
        mappings: &life.mappings,
        reach: life.reach,
        ok_exits: &life.ok_exits,
    }
}
