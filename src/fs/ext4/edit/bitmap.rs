//! One group's bitmap of clusters or inodes, and what changed in it.

use super::claims::clear;

/// The bits of one bitmap block. A set bit is in use; bits past the group's end are set.
#[derive(Clone, Debug)]
pub(super) struct Bitmap {
    now: Box<[u8]>,
    /// What was in use when the editor opened.
    before: Box<[u8]>,
    /// The same, and everything taken since.
    ever: Box<[u8]>,
    changed: bool,
}

impl Bitmap {
    /// Over a bitmap block of which `bits` count.
    pub(super) fn new(bytes: &[u8], bits: u32) -> Self {
        let mut now: Box<[u8]> = bytes.into();
        for bit in bits..len_in_bits(&now) {
            set(&mut now, bit);
        }
        Self { before: now.clone(), ever: now.clone(), now, changed: false }
    }

    /// The block's bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.now
    }

    /// Whether it differs from the disk.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// Says that it has to be written though no bit changed (it was never on the disk).
    pub(super) fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// Whether a bit is set; bits outside are.
    pub(super) fn is_set(&self, bit: u32) -> bool {
        is_set(&self.now, bit)
    }

    /// Whether a bit was set when the editor opened.
    pub(super) fn was_set_before(&self, bit: u32) -> bool {
        is_set(&self.before, bit)
    }

    /// Whether a bit was set when the editor opened, or since.
    pub(super) fn was_set(&self, bit: u32) -> bool {
        is_set(&self.ever, bit)
    }

    /// Whether no bit of `from..end` is set.
    pub(super) fn is_free_from(&self, from: u32, end: u32) -> bool {
        first_set(&self.now, from).is_none_or(|bit| bit >= end)
    }

    /// Sets bits that were clear.
    pub(super) fn take(&mut self, from: u32, count: u32) {
        for bit in from..from.saturating_add(count) {
            set(&mut self.now, bit);
            set(&mut self.ever, bit);
        }
        self.changed = true;
    }

    /// Clears bits; gives the first that was clear already, and then changes nothing.
    pub(super) fn release(&mut self, from: u32, count: u32) -> Result<(), u32> {
        let end = from.saturating_add(count);
        if let Some(free) = next(&self.now, from, false).filter(|&free| free < end) {
            return Err(free);
        }
        clear(&mut self.now, from, count)?;
        self.changed = true;
        Ok(())
    }

    /// The first run of clear bits at or after `from`: its start and its length, `most` at most.
    pub(super) fn free_run(&self, from: u32, most: u32) -> Option<(u32, u32)> {
        let start = next(&self.now, from, false)?;
        let end = next(&self.now, start, true).unwrap_or(len_in_bits(&self.now));
        Some((start, (end - start).min(most)))
    }

    /// Shows each run of clear bits: start and length.
    pub(super) fn free_runs(&self, visit: impl FnMut(u32, u32)) {
        runs(&self.now, visit);
    }

    /// How many bits were set when the editor opened and are clear now.
    pub(super) fn freed(&self) -> u32 {
        self.now.iter().zip(&self.before).map(|(now, before)| (before & !now).count_ones()).sum()
    }

    /// Shows each run of bits that were in use at some time and are clear now.
    pub(super) fn freed_runs(&self, visit: impl FnMut(u32, u32)) {
        let freed: Vec<u8> =
            self.now.iter().zip(&self.ever).map(|(now, ever)| !(ever & !now)).collect();
        runs(&freed, visit);
    }
}

fn len_in_bits(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() * 8).unwrap_or(u32::MAX)
}

fn is_set(bytes: &[u8], bit: u32) -> bool {
    bytes.get((bit / 8) as usize).is_none_or(|byte| byte >> (bit % 8) & 1 != 0)
}

/// Sets a bit; one outside is left.
pub(super) fn set(bytes: &mut [u8], bit: u32) {
    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
        *byte |= 1 << (bit % 8);
    }
}

/// The first bit that is set at or after `from`.
pub(super) fn first_set(bytes: &[u8], from: u32) -> Option<u32> {
    next(bytes, from, true)
}

/// Shows each run of clear bits.
pub(super) fn runs(bytes: &[u8], mut visit: impl FnMut(u32, u32)) {
    let mut at = 0;
    while let Some(start) = next(bytes, at, false) {
        let end = next(bytes, start, true).unwrap_or(len_in_bits(bytes));
        visit(start, end - start);
        at = end;
    }
}

/// The first bit of this value at or after `from`.
fn next(bytes: &[u8], from: u32, value: bool) -> Option<u32> {
    let none = if value { 0 } else { 0xff };
    let mut bit = from;
    while bit < len_in_bits(bytes) {
        if bit.is_multiple_of(8) {
            // Whole bytes without such a bit are most of a bitmap.
            let rest = &bytes[(bit / 8) as usize..];
            let skip = rest.iter().position(|&byte| byte != none).unwrap_or(rest.len());
            bit += u32::try_from(skip * 8).ok()?;
            if bit >= len_in_bits(bytes) {
                return None;
            }
        }
        if is_set(bytes, bit) == value {
            return Some(bit);
        }
        bit += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_and_changes_told() {
        let mut bitmap = Bitmap::new(&[0xff, 0x0f, 0, 0], 27);
        let mut free = Vec::new();
        bitmap.free_runs(|at, len| free.push((at, len)));
        assert_eq!(free, [(12, 15)]);
        assert_eq!(bitmap.free_run(0, 4), Some((12, 4)));
        assert_eq!(bitmap.free_run(20, 100), Some((20, 7)));
        assert_eq!(bitmap.free_run(27, 1), None);
        assert!(!bitmap.is_changed());
        bitmap.take(12, 2);
        assert_eq!(bitmap.release(10, 6), Err(14));
        bitmap.release(9, 4).unwrap();
        let mut freed = Vec::new();
        bitmap.freed_runs(|at, len| freed.push((at, len)));
        assert_eq!(freed, [(9, 4)]);
        assert_eq!(bitmap.freed(), 3);
        assert!(bitmap.is_changed() && bitmap.is_set(13) && !bitmap.is_set(12));
        assert!(bitmap.is_set(27) && bitmap.is_set(1_000_000));
    }
}
