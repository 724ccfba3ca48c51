//! How long each stage of a run took.

use std::time::{Duration, Instant};

use super::args::SayArgs;
use super::out;
use super::progress::Progress;

/// Measures stages one after the other, and says on standard error what is being done: always with
/// `-x`, and what takes long where that is a terminal.
pub(crate) struct Stopwatch {
    trace: bool,
    progress: Progress,
    stages: Vec<(String, f64)>,
}

impl Stopwatch {
    pub(crate) fn new(say: &SayArgs) -> Self {
        let shown = !say.quiet && !say.trace;
        Self { trace: say.trace, progress: Progress::new(shown), stages: Vec::new() }
    }

    /// Runs one stage.
    pub(crate) fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = self.during(name, work);
        self.add(name, start.elapsed());
        result
    }

    /// Runs one stage whose time is [added](Self::add) later, from a closer measurement.
    pub(crate) fn during<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        if self.trace {
            out::note(format_args!("{name} …"));
        }
        self.progress.during(name, work)
    }

    /// Adds a stage that was measured elsewhere.
    pub(crate) fn add(&mut self, name: &str, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        if self.trace {
            out::note(format_args!("{name}: {millis:.1} ms"));
        }
        self.stages.push((name.to_owned(), millis));
    }

    /// Each stage with its milliseconds, in order.
    pub(crate) fn stages(&self) -> Vec<(String, f64)> {
        self.stages.clone()
    }
}
