//! A small seeded generator (SplitMix64), so that every random test can be run again.

/// Deterministic pseudo-random numbers.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not 0).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// The seed of a random test: `SYSPREP_TEST_SEED` (decimal or `0x…`) or `default`.
///
/// CI always runs the same seeds, so that a change is judged by itself and not by luck;
/// `tests/soak` gives others.
pub(crate) fn seed(default: u64) -> u64 {
    let Ok(text) = std::env::var("SYSPREP_TEST_SEED") else { return default };
    text.strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
        .expect("SYSPREP_TEST_SEED is a number")
}

/// How many rounds a random test runs: `SYSPREP_TEST_ROUNDS` times `default`.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("SYSPREP_TEST_ROUNDS").map_or(default, |text| {
        default * text.parse::<usize>().expect("SYSPREP_TEST_ROUNDS is a number")
    })
}
