//! `PODGATE_DISABLE`, with which one image runs with and without a mesh.

use crate::cli::{UsageError, Variables};
use crate::core::boolean;

/// The parts of podgate that are disabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disabled {
    /// Gates: podgate does not wait.
    pub gates: bool,
    /// Quits: no sidecar and no member is asked to quit.
    pub quits: bool,
    /// Membership: podgate is not a member, and does not observe members.
    pub members: bool,
}

impl Disabled {
    /// Reads the variable.
    ///
    /// # Errors
    /// An unknown word.
    pub fn read(variables: Variables<'_>) -> Result<Self, UsageError> {
        let value = variables("PODGATE_DISABLE").unwrap_or_default();
        let value = value.to_str().ok_or(UsageError::DisableNotUtf8)?;
        let mut off = Self::default();
        for word in value.split([',', '\n']).map(str::trim) {
            const ALL: Disabled = Disabled {
                gates: true,
                quits: true,
                members: true,
            };
            match (word, boolean::parse(word)) {
                ("", _) | (_, Some(false)) => {}
                ("all", _) | (_, Some(true)) => off = ALL,
                ("gates", _) => off.gates = true,
                ("quits", _) => off.quits = true,
                ("members", _) => off.members = true,
                (_, None) => {
                    let word = crate::core::redact::value(word);
                    return Err(UsageError::Disable { word });
                }
            }
        }
        Ok(off)
    }
}
