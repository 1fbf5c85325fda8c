//! The members of a pod: their names, their restart policies, and how far their commands are.

use std::fmt;

/// The longest name: a DNS label, as container names are (RFC 1123).
const LONGEST_NAME: usize = 63;

/// The name of a member: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63 bytes. It has no dot and no
/// slash, so a file name that contains it never leads out of the volume.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// The cause, with a right example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty()
            || text.len() > LONGEST_NAME
            || !text.bytes().all(fine)
            || text.starts_with('-')
            || text.ends_with('-')
        {
            let remedy = if text.contains(',') {
                "give it once for each member"
            } else {
                "use main"
            };
            return Err(format!(
                "is not a member's name (at most {LONGEST_NAME} small letters, digits and inner \
                 hyphens, as for a container); {remedy}"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The pod's `restartPolicy`: what the end of a member means to the members that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Nothing is restarted: any end is final.
    Never,
    /// A container that exits 0 is not restarted, and any other is.
    OnFailure,
    /// Everything is restarted: no end is final.
    Always,
    /// Unknown: any end counts, and the exit codes let the pod's own policy decide.
    Auto,
}

impl Policy {
    /// As it is written on the command line and in records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
            Self::Auto => "auto",
        }
    }

    /// Reads a policy, also in Kubernetes' own spelling (`OnFailure`).
    ///
    /// # Errors
    /// The text is not a policy. The error names all of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase();
        let all = [Self::Never, Self::OnFailure, Self::Always, Self::Auto];
        let is_it = |policy: &Self| policy.word() == word || policy.word().replace('-', "") == word;
        all.into_iter().find(is_it).ok_or_else(|| {
            "is not a restart policy; use never, on-failure, always or auto".to_owned()
        })
    }
}

/// How far a living member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Its command is not started.
    Waiting,
    /// Its command runs.
    Running,
    /// Its command runs and was ready once in this incarnation. It stays so: this is not liveness.
    Ready,
}

#[cfg(test)]
mod tests {
    use super::{Name, Policy};
    #[test]
    fn names_are_dns_labels() {
        for fine in ["a", "main", "a-b", "0", "istio-proxy", &"x".repeat(63)] {
            assert_eq!(Name::parse(fine).expect("a name").as_str(), fine);
        }
        for bad in [
            "",
            "A",
            "-a",
            "a-",
            "a.b",
            "a/b",
            "..",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policies_are_read_in_both_spellings() {
        for (text, policy) in [
            ("never", Policy::Never),
            ("on-failure", Policy::OnFailure),
            ("OnFailure", Policy::OnFailure),
            ("Always", Policy::Always),
            ("auto", Policy::Auto),
        ] {
            assert_eq!(Policy::parse(text), Ok(policy));
        }
        assert!(Policy::parse("sometimes").is_err());
    }
}
