//! `PODGATE_DISABLE`: one image then runs with and without its mesh.

use crate::cli::{UsageError, Variables};

/// What is taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disabled {
    /// Waiting.
    pub gates: bool,
    /// Asking others to quit.
    pub quits: bool,
    /// Being a member, and looking at members.
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
            match word {
                "" | "0" | "false" => {}
                "1" | "all" => {
                    off = Self {
                        gates: true,
                        quits: true,
                        members: true,
                    }
                }
                "gates" => off.gates = true,
                "quits" => off.quits = true,
                "members" => off.members = true,
                _ => {
                    let word = crate::core::redact::value(word);
                    return Err(UsageError::Disable { word });
                }
            }
        }
        Ok(off)
    }
}
