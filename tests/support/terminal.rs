//! A program on a terminal of its own, as a person uses it.

use super::{LIMIT, eventually, needs, program, without_own_variables};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

/// May the test use terminals?
#[track_caller]
pub fn terminals() -> bool {
    needs("script (bsdutils)", program("script", &[]).is_some())
}

/// A process with its own terminal.
pub struct Terminal(Child);

impl Terminal {
    pub fn start(call: &str) -> Self {
        let mut command = Command::new("script");
        command
            .args(["-qec", call, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("PS1", "");
        without_own_variables(&mut command);
        Self(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub fn types(&mut self, text: &str) {
        self.0
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// Reads until this text has arrived.
    pub fn shows(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let stdout = self.0.stdout.as_mut().unwrap();
            let mut wanted = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
            let is_there = poll(&mut wanted, PollTimeout::try_from(LIMIT).unwrap()).unwrap() > 0;
            assert!(
                is_there,
                "waited {LIMIT:?} for {text:?}: {:?}",
                String::from_utf8_lossy(&seen)
            );
            let count = stdout.read(&mut byte).unwrap();
            assert!(
                count > 0,
                "the end came before {text:?}: {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    pub fn code(mut self) -> Option<i32> {
        eventually("the terminal's end", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
