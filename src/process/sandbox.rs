//! The sandbox of the pod: the namespaces that its containers share, and that outlive them.
//!
//! A mark in the IPC namespace identifies it: a System V semaphore set, which the kernel removes
//! together with the namespace. The inode number of the namespace is not enough, because the kernel
//! gives the number of a namespace that is gone to a new one.

use super::sys;
use crate::core::round::Sandbox;
use nix::errno::Errno;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::MetadataExt;

/// The inode of the IPC namespace of the node (`PROC_IPC_INIT_INO` in the kernel's
/// `include/linux/proc_ns.h`).
const OF_THE_NODE: u64 = 0xEFFF_FFFF;
/// How many keys are tried, if another program uses one already.
const KEYS: usize = 8;

/// This sandbox, with a new mark in it.
pub(crate) fn mark() -> Sandbox {
    Sandbox {
        semaphore: (0..KEYS).find_map(|_| {
            let key = random_key();
            sys::create_semaphore(key).ok().map(|()| key)
        }),
        ..numbers()
    }
}

/// Whether `last`, which a reset has marked, is this sandbox.
pub(crate) fn is_here(last: &Sandbox) -> bool {
    match last.semaphore.map(sys::find_semaphore) {
        Some(Ok(())) => true,
        Some(Err(Errno::ENOENT)) => false,
        // Semaphores are refused here (ENOSYS, or EPERM by a seccomp profile).
        Some(Err(_)) | None => last.has_numbers_of(&numbers()),
    }
}

/// Whether the pod uses the IPC namespace of the node (`hostIPC`), which outlives its sandbox.
pub(crate) fn is_of_the_node(sandbox: &Sandbox) -> bool {
    sandbox.ipc == OF_THE_NODE
}

fn numbers() -> Sandbox {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Sandbox {
        semaphore: None,
        ipc: fs::metadata("/proc/self/ns/ipc").map_or(0, |found| found.ino()),
        boot: boot.trim().to_owned(),
    }
}

/// A positive number. 0 is IPC_PRIVATE, which makes a set without a key.
fn random_key() -> i32 {
    let bits = RandomState::new().build_hasher().finish() & 0x7fff_ffff;
    i32::try_from(bits).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::{is_here, mark};
    use crate::core::round::Sandbox;

    #[test]
    fn a_marked_sandbox_is_found_by_its_mark_alone() {
        let here = mark();
        assert!(here.semaphore.is_some_and(|key| key > 0), "{here:?}");
        assert!(is_here(&here));
        // The next sandbox may get the number of the namespace.
        let other = Sandbox {
            semaphore: here.semaphore.map(|key| key ^ 1),
            ..here.clone()
        };
        assert!(!is_here(&other));
        let unmarked = Sandbox {
            semaphore: None,
            ..here.clone()
        };
        assert!(is_here(&unmarked));
        let rebooted = Sandbox {
            boot: "before".to_owned(),
            ..unmarked
        };
        assert!(!is_here(&rebooted));
        here.semaphore
            .into_iter()
            .for_each(super::sys::remove_semaphore);
        assert!(!is_here(&here));
    }
}
