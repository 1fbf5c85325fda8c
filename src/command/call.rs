//! What all commands share: they open the files that their options name before they begin.

use super::usage;
use crate::cli::{FailureArgs, Kind, OutputArgs, UsageError, early_format};
use crate::config::{self, Gates, Life, Logging, Settings, Skipped};
use crate::core::exit::Exit;
use crate::core::http::Request;
use crate::core::logging::LogTo;
use crate::core::trust::{Roots, TrustSpec};
use crate::driver::membership::open_volume;
use crate::members::Volume;
use crate::message::{self, LogEvent, Message, disabled};
use crate::probe::http::Ask;
use crate::probe::tls::Trust;
use crate::process::watchdog::Watchdog;
use crate::process::{Signals, Which, end_by_signal};
use crate::report::Report;
use std::ffi::OsString;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A report for messages from before the options are read.
pub(crate) fn early_report(kind: Option<Kind>) -> Report {
    let mut report = Report::plain(early_format(&variable));
    // A failing or mistyped probe must not overwrite the reason why the app ended.
    if kind == Some(Kind::Check) {
        report.without_termination_log();
        report.end_without_line_end();
    }
    report
}

pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

pub(super) fn wrong(error: UsageError) -> Message {
    usage::message(&error)
}

pub(super) struct Call<'a> {
    pub(super) kind: Option<Kind>,
    pub(super) report: Report,
    pub(super) signals: &'a Signals,
}

impl Call<'_> {
    /// Opens the log that the options name, and reports to it from then on.
    pub(super) fn open_log(
        &mut self,
        output: &OutputArgs,
        failure: Option<&FailureArgs>,
    ) -> Result<Logging, Message> {
        let logging = config::logging(output, failure);
        let watchdog = matches!(logging.to, LogTo::File(_)).then(|| self.watchdog());
        let opened = Report::open(logging.format, logging.level, &logging.to);
        watchdog.into_iter().for_each(Watchdog::leave);
        self.report = opened.map_err(|cause| {
            message::usage::log_cannot_be_written(&logging.path(), &message::log::cause(cause))
        })?;
        if self.kind == Some(Kind::Check) {
            self.report.without_termination_log();
            self.report.end_without_line_end();
        } else if let Some(path) = &logging.termination {
            self.report.set_termination_log(path.clone());
        }
        Ok(logging)
    }

    /// Whether a signal that ends podgate has arrived.
    pub(super) fn is_stopped(&self) -> bool {
        self.signals.pending(None).is_some()
    }

    /// The request of HTTP checks, with the CAs that it needs.
    pub(super) fn ask(&self, request: &Request, trust: &TrustSpec) -> Result<Ask, Message> {
        Ok(Ask {
            request: Arc::new(request.clone()),
            trust: self.trust(trust)?,
        })
    }

    /// Reads the CAs, where they are needed.
    pub(super) fn trust(&self, spec: &TrustSpec) -> Result<Arc<Trust>, Message> {
        let trust = Trust::new(spec.clone());
        if spec.is_needed {
            let reads_file = matches!(spec.roots, Roots::File(..)) || spec.client.is_some();
            let watchdog = reads_file.then(|| self.watchdog());
            let ready = trust.ready();
            watchdog.into_iter().for_each(Watchdog::leave);
            ready.map_err(|error| message::usage::no_trust(&error))?;
        }
        Ok(Arc::new(trust))
    }

    /// Opens the volume, if a check looks at a member.
    pub(super) fn open_members(&mut self, settings: &Settings) -> Result<Option<Rc<Volume>>, Exit> {
        if !settings.skipped.is_empty() {
            self.report
                .line(&disabled::member_checks(&settings.skipped));
        }
        let mut kinds = settings.checks.iter().map(|check| &check.kind);
        if settings.gates == Gates::Disabled || kinds.all(|kind| kind.member().is_none()) {
            return Ok(None);
        }
        let dir = &settings.dir;
        let opened = open_volume(dir.path.as_deref(), dir.plain);
        opened.map(Some).map_err(|error| {
            let message = message::volume::failed(LogEvent::Volume, &error);
            self.report.failure(&message);
            Exit::Internal
        })
    }

    /// Reports what `PODGATE_DISABLE` takes away.
    pub(super) fn report_skipped(&mut self, life: &Life) {
        for skipped in &life.skipped {
            self.report.line(&match skipped {
                Skipped::Gates(checks) => disabled::gates(checks),
                Skipped::Members => disabled::members(),
                Skipped::Quits(targets) => disabled::quits(targets),
            });
        }
    }

    /// Watches the opening of a file that an option names. The file system may not answer, and then
    /// a signal alone could not end podgate.
    pub(super) fn watchdog(&self) -> Watchdog {
        const CHANCE: Duration = Duration::from_secs(1);
        let (kind, which) = (self.kind, self.signals.which());
        let more = || Duration::ZERO;
        Watchdog::start(self.signals, None, CHANCE, more, move |signal| {
            let number = signal.unwrap_or_default();
            let message = message::process::cannot_open_in_time(number);
            early_report(kind).failure(&message);
            if which == Which::Ending {
                end_by_signal(number);
            }
            std::process::exit(Exit::Signal(number).code().into());
        })
    }
}
