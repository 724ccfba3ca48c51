//! How long each stage of a run took.

use std::time::{Duration, Instant};

/// Measures stages one after the other, and says on standard error what is being done (`-x`).
pub(crate) struct Stopwatch {
    trace: bool,
    stages: Vec<(String, f64)>,
}

impl Stopwatch {
    pub(crate) fn new(trace: bool) -> Self {
        Self { trace, stages: Vec::new() }
    }

    /// Runs one stage.
    pub(crate) fn stage<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        if self.trace {
            eprintln!("{name} …");
        }
        let start = Instant::now();
        let result = work();
        self.add(name, start.elapsed());
        result
    }

    /// Adds a stage that was measured elsewhere.
    pub(crate) fn add(&mut self, name: &str, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        if self.trace {
            eprintln!("{name}: {millis:.1} ms");
        }
        self.stages.push((name.to_owned(), millis));
    }

    /// Each stage with its milliseconds, in order.
    pub(crate) fn stages(&self) -> Vec<(String, f64)> {
        self.stages.clone()
    }
}
