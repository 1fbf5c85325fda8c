//! How often something may be reported that can happen at any rate: a log must not be filled by a
//! check whose reason changes with every attempt, or by a service whose status does.

use super::time::Time;
use std::time::Duration;

/// The most reports at once. After them it is one in `EVERY`.
pub const AT_ONCE: u32 = 20;
const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Credit {
    /// How many more reports there may be.
    left: u32,
    /// When `left` was last raised.
    raised: Time,
}

impl Credit {
    pub const fn new(now: Time) -> Self {
        Self {
            left: AT_ONCE,
            raised: now,
        }
    }

    /// Whether there may be one more report now, which is then spent.
    pub fn spend(&mut self, now: Time) -> bool {
        let earned = now
            .since(self.raised)
            .as_secs()
            .checked_div(EVERY.as_secs())
            .unwrap_or(0);
        if earned > 0 {
            self.raised = now;
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(AT_ONCE);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Credit, EVERY};
    use crate::core::time::Time;

    #[test]
    fn after_the_first_reports_there_is_one_in_ten_seconds() {
        let mut credit = Credit::new(Time::ZERO);
        let spent = (0..1000).filter(|_| credit.spend(Time::ZERO)).count();
        assert_eq!(u32::try_from(spent), Ok(AT_ONCE));
        let later = Time::ZERO.plus(EVERY);
        assert!(credit.spend(later) && !credit.spend(later));
        let much_later = Time::ZERO.plus(EVERY * 1000);
        let spent = (0..1000).filter(|_| credit.spend(much_later)).count();
        assert_eq!(u32::try_from(spent), Ok(AT_ONCE));
    }
}
