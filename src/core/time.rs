//! A moment on podgate's own clock. The core never reads a clock: the drivers stamp every event.

use std::time::Duration;

/// A moment, counted on the monotonic clock from the start of the process.
///
/// Additions saturate: a moment that cannot be represented never comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Duration);

impl Time {
    /// The start of the process.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A moment that never comes.
    pub const NEVER: Self = Self(Duration::MAX);

    /// The moment `since_start` after the process started.
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the process started.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier`; zero if it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment plus `by`.
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}
