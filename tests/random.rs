//! Seeded random numbers: the same seed gives the same test on every host.

use crate::support::random;

/// The suite's generator under a test's name: that and the seed are printed, and so shown on
/// failure.
#[derive(Clone)]
pub(crate) struct Random(random::Random);

impl Random {
    pub(crate) fn new(test: &str, seed: u64) -> Self {
        println!("{test}: seed {seed}");
        let scattered = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1);
        Self(random::Random::new(scattered))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`; 0 for 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.number() % bound }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
