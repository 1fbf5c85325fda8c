//! Every `unsafe` of the crate: the calls that nix has no safe function for.

#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, signal,
    sigprocmask,
};
use nix::unistd::{ForkResult, Pid, getppid, tcsetpgrp};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The signal mask and the dispositions from before podgate changed them. CMD and the commands of
/// checks get them back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(super) mask: SigSet,
    pub(super) ignores_child: bool,
}

/// The effect of podgate's death on a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// None. This is for CMD of `wait`, which becomes podgate's own process.
    Survives,
    /// The kernel kills it, too (PR_SET_PDEATHSIG). This is for the command of a check, and for CMD
    /// of `run`. Spawn it from the main thread, because the signal is sent when the spawning thread
    /// dies (prctl(2)).
    Dies,
}

/// Gives SIGCHLD its default action, and returns whether it was ignored. While it is ignored, the
/// kernel reaps children, and their exit codes are lost (wait(2), NOTES).
///
/// # Errors
/// Those of sigaction(2). None is expected.
pub(super) fn reset_sigchld() -> Result<bool, Errno> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of podgate, and no other code has set a handler for SIGCHLD.
    let before = unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    Ok(matches!(before.handler(), SigHandler::SigIgn))
}

/// Ignores SIGPIPE, as Rust's runtime does at the start. An exec that failed has restored its
/// default action. Without this, the message about the failure would end podgate if its reader is
/// gone.
pub(super) fn ignore_pipe() {
    // SAFETY: SIG_IGN runs no code of podgate.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Ends this process by `signal`, whose default action ends a process. This is for the few signals
/// that signal-hook does not know, such as SIGPWR. Returns if the signal could not be raised.
pub(super) fn die_by(signal: Signal) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: SIG_DFL runs no code of podgate.
    let _ = unsafe { sigaction(signal, &default) };
    let _ = raise(signal);
}

/// A set of these signals, by number. nix has no real-time signals. musl's sigaddset(3) refuses 32
/// to 34, which it uses between threads, but 34 is RTMIN for glibc and for the kernel's users.
pub(super) fn signal_set(numbers: impl IntoIterator<Item = i32>) -> SigSet {
    let one = |number: i32| {
        u32::try_from(number)
            .ok()?
            .checked_sub(1)
            .and_then(|shift| 1_u64.checked_shl(shift))
    };
    let bits = numbers
        .into_iter()
        .filter_map(one)
        .fold(0, |bits, bit| bits | bit);
    let mut set = *SigSet::empty().as_ref();
    // SAFETY: the kernel's set has 64 bits, and libc's set begins with them; it is larger, and
    // aligned as an unsigned long. `set` is a local variable and was initialised.
    unsafe { (&raw mut set).cast::<u64>().write(bits) };
    // SAFETY: any 64 bits are a valid set of signals.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// Sends a signal to a process, or to a process group if `to` is negative (kill(2)). The signal is
/// a number for the same reason as in [`signal_set`].
///
/// # Errors
/// ESRCH: the process is gone. EPERM: it has changed its user. EINVAL: there is no such signal.
pub(super) fn send(to: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill takes two numbers and touches no memory.
    Errno::result(unsafe { libc::kill(to.as_raw(), signal) }).map(drop)
}

/// A child that has ended and is not reaped yet: this child, or any. nix's waitid fails for a child
/// that was killed by a real-time signal.
pub(super) fn ended(which: Option<Pid>) -> Option<Pid> {
    let (kind, id) = match which {
        Some(pid) => (libc::P_PID, libc::id_t::try_from(pid.as_raw()).ok()?),
        None => (libc::P_ALL, 0),
    };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut found = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `found` is a local variable and large enough. Zeroed, it is a siginfo_t without a
    // child.
    let pid = unsafe {
        if libc::waitid(kind, id, found.as_mut_ptr(), flags) != 0 {
            return None;
        }
        found.assume_init().si_pid()
    };
    (pid != 0).then(|| Pid::from_raw(pid))
}

/// The signal by which this child was stopped since the last call, if it is still stopped.
pub(super) fn stopped(pid: Pid) -> Option<u8> {
    let id = libc::id_t::try_from(pid.as_raw()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: as in `ended`; si_status is valid for a child that was found.
    let (pid, signal) = unsafe {
        let flags = libc::WSTOPPED | libc::WNOHANG;
        if libc::waitid(libc::P_PID, id, found.as_mut_ptr(), flags) != 0 {
            return None;
        }
        let found = found.assume_init();
        (found.si_pid(), found.si_status())
    };
    u8::try_from(signal).ok().filter(|_| pid != 0)
}

/// Whether this process ignores this signal.
pub(super) fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the current one to a local variable.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Whether this signal is blocked and has arrived for this process.
pub(super) fn is_pending(signal: i32) -> bool {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` is a local variable; zeroed, it is the empty set.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this exit code.
    Exited(i32),
    /// By the signal of this number.
    Killed(i32),
}

/// Reaps this child if it has ended. Returns how it ended.
pub(super) fn reap(pid: Pid) -> Option<End> {
    let mut status = 0;
    // SAFETY: `status` is a local variable.
    let found = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) };
    if found != pid.as_raw() {
        return None;
    }
    Some(if libc::WIFSIGNALED(status) {
        End::Killed(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    })
}

/// Gives the terminal to the process group of `command` when it is executed. The group exists by
/// then. `command` must be started while `terminal` is open.
pub(super) fn hand_over_terminal(command: &mut Command, terminal: BorrowedFd<'_>) {
    let terminal = terminal.as_raw_fd();
    let give = move || -> io::Result<()> {
        // SAFETY: it was open at the fork, and is closed by the exec at the earliest.
        let terminal = unsafe { BorrowedFd::borrow_raw(terminal) };
        // SIGTTOU is blocked here. If this fails, the command runs without the terminal.
        let _ = tcsetpgrp(terminal, Pid::this());
        Ok(())
    };
    // SAFETY: tcsetpgrp is one ioctl and getpid one system call: both are async-signal-safe.
    unsafe { command.pre_exec(give) };
}

/// Makes `command` start with the original signal mask and dispositions. `Command` itself restores
/// SIGPIPE, which Rust's runtime ignores.
pub(crate) fn restore_signals(command: &mut Command, original: Original, death: Death) {
    let parent = Pid::this();
    let prepare = move || -> io::Result<()> {
        if death == Death::Dies {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the call above.
            if getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
        }
        if original.ignores_child {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: SIG_IGN runs no code, and sigaction is async-signal-safe.
            unsafe { sigaction(Signal::SIGCHLD, &ignore) }?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&original.mask), None)?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)).
    // prctl, getppid, sigaction and sigprocmask are plain system calls; the closure does not
    // allocate, lock or panic.
    unsafe { command.pre_exec(prepare) };
}

/// The process that continues after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    Parent,
    Child,
}

/// Duplicates this process (fork(2)).
///
/// # Errors
/// EAGAIN: a limit on processes is reached. ENOMEM.
pub(crate) fn fork() -> Result<Fork, Errno> {
    // SAFETY: only `join` calls this, when no other thread is left: the watchdogs that it had were
    // joined (`Watchdog::leave`). So the child may continue as any process does.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { .. } => Ok(Fork::Parent),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Creates a System V semaphore set with this key in the IPC namespace (semget(2)). It exists until
/// the namespace is gone, and any user can find it.
///
/// # Errors
/// EEXIST: there is one with this key. ENOSYS, EPERM: semaphores are refused. ENOSPC: there are too
/// many.
pub(super) fn create_semaphore(key: i32) -> Result<(), Errno> {
    // SAFETY: semget takes three numbers and touches no memory.
    Errno::result(unsafe { libc::semget(key, 1, libc::IPC_CREAT | libc::IPC_EXCL | 0o400) })
        .map(drop)
}

/// Finds the set with this key. No rights are asked for, so any user may do it.
///
/// # Errors
/// ENOENT: there is none.
pub(super) fn find_semaphore(key: i32) -> Result<(), Errno> {
    // SAFETY: as above.
    Errno::result(unsafe { libc::semget(key, 0, 0) }).map(drop)
}

/// Removes the set with this key.
#[cfg(test)]
pub(super) fn remove_semaphore(key: i32) {
    // SAFETY: semget and semctl take numbers, and IPC_RMID has no fourth argument.
    unsafe { libc::semctl(libc::semget(key, 0, 0), 0, libc::IPC_RMID) };
}

/// A datagram that was received.
pub(super) struct Datagram {
    /// How many bytes of the buffer it fills.
    pub(super) length: usize,
    /// The buffer has all of it.
    pub(super) is_whole: bool,
    /// The pid of its sender in this PID namespace. 0: the sender is outside of it.
    pub(super) sender: i32,
}

/// Receives a datagram, without waiting, on a unix socket with SO_PASSCRED (recvmsg(2)).
///
/// There is room for the credentials only, which the kernel writes first. It closes descriptors
/// that were sent and find no room (unix(7), SCM_RIGHTS), so none is ever open here. nix gives no
/// credentials when something found no room.
///
/// # Errors
/// EAGAIN: none has arrived. ENOMEM.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Datagram, Errno> {
    // CMSG_SPACE(sizeof(struct ucred)), aligned as a cmsghdr.
    let mut control = [0_u64; 4];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a msghdr of zeros is valid: it has no name, no parts and no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the pointers of `message` are to local variables and to `buffer`, with their sizes.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(Errno::result(length)?).unwrap_or(0);
    // SAFETY: the kernel has filled `message`, and msg_controllen has what it wrote. Credentials
    // are a ucred.
    let sender = unsafe {
        match libc::CMSG_FIRSTHDR(&raw const message).as_ref() {
            Some(first)
                if first.cmsg_level == libc::SOL_SOCKET
                    && first.cmsg_type == libc::SCM_CREDENTIALS =>
            {
                let credentials = libc::CMSG_DATA(first).cast::<libc::ucred>();
                credentials.read_unaligned().pid
            }
            Some(_) | None => 0,
        }
    };
    Ok(Datagram {
        length,
        is_whole: message.msg_flags & libc::MSG_TRUNC == 0,
        sender,
    })
}

/// Closes the descriptors from 3 on that a background process has inherited, except `kept`.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) {
    // Without /proc, the number that a process may have by default.
    let listed = std::fs::read_dir("/proc/self/fd").map(|entries| {
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect::<Vec<i32>>()
    });
    for fd in listed.unwrap_or_else(|_| (3..1024).collect()) {
        if fd > 2 && !kept.iter().any(|it| it.as_raw_fd() == fd) {
            // SAFETY: no value of this process owns it. The caller names the descriptors in use,
            // and the others were inherited. EBADF (for the descriptor of the listing) does no
            // harm.
            unsafe { libc::close(fd) };
        }
    }
}

/// Gives the pages of this program's code and constants back to the kernel, which keeps them in its
/// cache. Most are needed only for the start, and the kernel brings a page back when it is used
/// (madvise(2), MADV_DONTNEED). An idle `run` has 0.4 MiB resident instead of 1.4 (VmRSS of
/// proc(5), median of three, the release binary on x86_64). `tests/wraps_a_command.rs` tests this.
pub(crate) fn give_back_code() {
    // SAFETY: getauxval reads values that the kernel has put on the stack (getauxval(3)).
    let (headers, count) = unsafe {
        (
            libc::getauxval(libc::AT_PHDR),
            libc::getauxval(libc::AT_PHNUM),
        )
    };
    let (Ok(headers), Ok(count)) = (usize::try_from(headers), usize::try_from(count)) else {
        return;
    };
    if headers == 0 {
        return;
    }
    // SAFETY: the kernel gives address and number of the program headers (elf(5)); they are part of
    // a segment that is only read.
    let table = unsafe { std::slice::from_raw_parts(headers as *const libc::Elf64_Phdr, count) };
    let address = |value: u64| usize::try_from(value).unwrap_or(0);
    // The address of the program, which is position-independent: the headers are on the first page
    // of its file, which is the first page of its first segment.
    const PAGE: usize = 4096;
    let Some(first) = table
        .iter()
        .find(|it| it.p_type == libc::PT_LOAD && it.p_offset == 0)
    else {
        return;
    };
    let base = (headers & !PAGE.wrapping_sub(1)).wrapping_sub(address(first.p_vaddr));
    for segment in table
        .iter()
        .filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0)
    {
        let start = base.wrapping_add(address(segment.p_vaddr)) & !PAGE.wrapping_sub(1);
        let end = base
            .wrapping_add(address(segment.p_vaddr))
            .wrapping_add(address(segment.p_memsz));
        // SAFETY: the segment is never written to (the linker puts relocated data into a writable
        // one), so a page is the same when it is read again. Its last page holds nothing of the
        // next segment: segments with other rights begin on a page of their own.
        let _ = unsafe {
            libc::madvise(
                start as *mut libc::c_void,
                end.saturating_sub(start),
                libc::MADV_DONTNEED,
            )
        };
    }
}
