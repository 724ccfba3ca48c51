//! How long each stage of a run took.

use std::time::{Duration, Instant};

use sysprep_rs::report::StageTime;

use super::args::SayArgs;
use super::out;
use super::progress::Progress;

/// Measures stages one after the other, and says on standard error what is being done: always with
/// `-x`, and what takes long where that is a terminal.
pub(crate) struct Stopwatch {
    trace: bool,
    progress: Progress,
    stages: Vec<StageTime>,
}

impl Stopwatch {
    pub(crate) fn new(say: &SayArgs) -> Self {
        let shown = !say.quiet && !say.trace;
        Self { trace: say.trace, progress: Progress::new(shown), stages: Vec::new() }
    }

    /// Runs one stage.
    pub(crate) fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let (result, took) = self.timed(name, work);
        self.add(name, took);
        result
    }

    /// Runs one stage whose time is [added](Self::add) later, from a closer measurement.
    pub(crate) fn during<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        self.timed(name, work).0
    }

    fn timed<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> (T, Duration) {
        if self.trace {
            out::note(format_args!("{name} …"));
        }
        let start = Instant::now();
        let result = self.progress.during(name, work);
        let took = start.elapsed();
        if self.trace {
            out::note(format_args!("{name}: {:.1} ms", millis(took)));
        }
        (result, took)
    }

    /// Adds a stage that was measured elsewhere.
    pub(crate) fn add(&mut self, name: &str, took: Duration) {
        self.stages.push(StageTime { stage: name.to_owned(), ms: millis(took) });
    }

    /// Each stage, in order.
    pub(crate) fn stages(&self) -> Vec<StageTime> {
        self.stages.clone()
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
