//! What `run` and `join` share: they give the settings of a life to its driver.

use crate::cli::OnTimeout;
use crate::config::Life;
use crate::driver::life::{CmdSettings, GateSettings, Settings};
use crate::members::Statement;
use crate::probe::http::Ask;

pub(super) fn settings<'a>(life: &'a Life, ask: &'a Ask) -> Settings<'a> {
    Settings {
        spec: &life.spec,
        members: &life.members,
        cmd: CmdSettings {
            stop_signal: life.stop_signal,
            given_stop: life.given_stop,
            holds: life.spec.relations.iter().any(|it| it.outlives),
            mappings: &life.mappings,
            reach: life.reach,
            ok_exits: &life.ok_exits,
        },
        after: GateSettings {
            checks: &life.after,
            spec: &life.after_gate,
            ask,
        },
        continues_on_timeout: life.on_timeout == OnTimeout::Run,
        ready: GateSettings {
            checks: &life.ready,
            spec: &life.ready_gate,
            ask,
        },
        listen: life.listen,
    }
}

/// What the member publishes about itself. `None` without `--name`.
pub(super) fn statement(life: &Life) -> Option<Statement> {
    Some(Statement {
        name: life.name.clone()?,
        policy: life.stated,
        is_joined: life.spec.is_joined,
    })
}
