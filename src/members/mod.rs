//! The shared volume, where the members of a pod meet (P6): files and locks. `core` decides what
//! they mean.
//!
//! | file | writer | content |
//! | --- | --- | --- |
//! | `NAME.lock` | NAME | the lock, held from before the member writes anything until it is dead: on the whole file until its record is its own, then on the first byte. Never removed |
//! | `NAME.record` | NAME | its state, replaced by rename(2) |
//! | `NAME.acted` | NAME | the failures that it has acted on; survives its restarts |
//! | `NAME.next.ID.N` | NAME | space reserved for the records to come |
//! | `NAME.quit.ID.ASKER` | the asker | a request to incarnation ID of NAME; the file is empty |
//! | `round` | `reset` | the round, how to recognise its sandbox, and the starts of members before it |
//!
//! The socket of an incarnation (`socket`) is a second sign of life, for volumes on which
//! containers do not see each other's locks.
//!
//! A name contains no dot, so the files of two members have different names. Observers need only
//! the right to read: `F_OFD_GETLK` tests a lock through a descriptor that is open for reading
//! (fcntl(2)).

mod lock;
mod mount;
mod publish;
mod record;
mod round;
mod socket;
mod volume;
pub(crate) mod watch;

pub(crate) use mount::{container, is_plain, mount_above, mount_id};
pub(crate) use publish::{Membership, Refusal, Statement};
pub(crate) use socket::is_bound;
pub(crate) use volume::{Request, Volume};
