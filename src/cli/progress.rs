//! One line on a terminal that tells which stage takes so long.
//!
//! Plain text that overwrites itself, without colour: `NO_COLOR` has nothing to take away.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What is faster than this is over before it is read.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);

/// Shows stages that take long.
pub(crate) struct Progress {
    shown: bool,
    /// Since when the run goes on, so that many short stages are shown, too.
    began: Instant,
}

impl Progress {
    /// Shows on standard error, where that is a terminal that can take a line back.
    pub(crate) fn new(wanted: bool) -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let shown = wanted && !dumb && io::stderr().is_terminal();
        Self { shown, began: Instant::now() }
    }

    /// Does the work of a stage, and shows its name while it goes on.
    pub(crate) fn during<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        if !self.shown {
            return work();
        }
        let began = self.began;
        let (done, until) = mpsc::channel::<()>();
        let line = thread::Builder::new().spawn(move || {
            let mut wait = PATIENCE.saturating_sub(began.elapsed()).max(EVERY);
            let mut written = false;
            while let Err(RecvTimeoutError::Timeout) = until.recv_timeout(wait) {
                let seconds = began.elapsed().as_secs_f64();
                let mut stderr = io::stderr().lock();
                // A terminal that is gone is no reason to stop.
                let _ = write!(stderr, "\r\x1b[K{stage} … {seconds:.1} s");
                let _ = stderr.flush();
                (written, wait) = (true, EVERY);
            }
            if written {
                let mut stderr = io::stderr().lock();
                let _ = write!(stderr, "\r\x1b[K");
                let _ = stderr.flush();
            }
        });
        let result = work();
        drop(done);
        // Without a thread there is no line, and the work is done all the same.
        if let Ok(line) = line {
            let _ = line.join();
        }
        result
    }
}
