//! A directory as slots of 32 bytes (Microsoft FAT specification 1.03, sections 6 and 7): parsing,
//! editing in memory, and leaving nothing of what was removed.

use super::geometry::SLOT;
use super::name::{self, UNITS_A_SLOT};
use super::time;
use crate::bytes::{array, le16, le32};
use crate::fs::Timestamp;

/// A directory has at most 65,536 slots (specification, section 6.2).
pub(super) const MAX_BYTES: u64 = 65_536 * SLOT as u64;

/// The attribute of a file that is not to be written.
pub(super) const READ_ONLY: u8 = 0x01;
/// The attribute of the slot that holds the volume's label.
pub(super) const LABEL: u8 = 0x08;
/// The attribute of a directory.
pub(super) const DIRECTORY: u8 = 0x10;
/// The attribute of a file that a backup has not seen.
pub(super) const ARCHIVE: u8 = 0x20;
/// The attributes that together mark a slot of a long name.
const LONG: u8 = 0x0f;

/// First byte of a slot that is free, and of one after which all are.
const DELETED: u8 = 0xe5;
const END: u8 = 0;

/// An entry's 32 bytes: the short name and what the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short(pub(super) [u8; SLOT]);

impl Short {
    /// A new entry.
    pub(super) fn new(raw_name: &[u8; 11], attributes: u8, cluster: u32, now: Timestamp) -> Self {
        let mut short = Self([0; SLOT]);
        short.0[..11].copy_from_slice(raw_name);
        short.0[11] = attributes;
        short.set_cluster(cluster);
        let (date, clock) = time::to_dos(now);
        short.put16(14, clock);
        short.put16(16, date);
        short.set_mtime(now);
        short.set_atime(now);
        short
    }

    /// The 8.3 name as it is stored.
    pub(super) fn raw_name(&self) -> [u8; 11] {
        array(&self.0, 0).unwrap_or_default()
    }

    /// The attribute bits.
    pub(super) fn attributes(&self) -> u8 {
        self.0[11]
    }

    /// Whether it is a directory.
    pub(super) fn is_directory(&self) -> bool {
        self.attributes() & DIRECTORY != 0
    }

    fn is_label(&self) -> bool {
        self.attributes() & LABEL != 0
    }

    fn is_dots(&self) -> bool {
        self.0.starts_with(b".          ") || self.0.starts_with(b"..         ")
    }

    /// The first cluster; 0: none.
    pub(super) fn cluster(&self, wide: bool) -> u32 {
        let low = u32::from(le16(&self.0, 26).unwrap_or_default());
        // FAT12 and FAT16 systems put other things there.
        let high = if wide { u32::from(le16(&self.0, 20).unwrap_or_default()) } else { 0 };
        high << 16 | low
    }

    /// The length in bytes; a directory's is not stored.
    pub(super) fn size(&self) -> u32 {
        le32(&self.0, 28).unwrap_or_default()
    }

    /// When the content changed, and the day it was read.
    pub(super) fn times(&self) -> (Timestamp, Timestamp) {
        let word = |at| le16(&self.0, at).unwrap_or_default();
        (time::from_dos(word(24), word(22)), time::from_dos(word(18), 0))
    }

    fn put16(&mut self, at: usize, value: u16) {
        for (to, from) in self.0.iter_mut().skip(at).zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    /// Sets the first cluster; 0: none. `cluster` fits the filesystem's width.
    pub(super) fn set_cluster(&mut self, cluster: u32) {
        let [a, b, c, d] = cluster.to_le_bytes();
        self.put16(26, u16::from_le_bytes([a, b]));
        self.put16(20, u16::from_le_bytes([c, d]));
    }

    /// Sets the length in bytes.
    pub(super) fn set_size(&mut self, size: u32) {
        self.0[28..].copy_from_slice(&size.to_le_bytes());
    }

    /// Sets the attribute bits.
    pub(super) fn set_attributes(&mut self, attributes: u8) {
        self.0[11] = attributes;
    }

    /// Sets when the content changed.
    pub(super) fn set_mtime(&mut self, time: Timestamp) {
        let (date, clock) = time::to_dos(time);
        self.put16(22, clock);
        self.put16(24, date);
    }

    /// Sets the day it was read.
    pub(super) fn set_atime(&mut self, time: Timestamp) {
        self.put16(18, time::to_dos(time).0);
    }

    /// Sets the stored name; the small letters that the case flags ask for are the old name's.
    pub(super) fn set_raw_name(&mut self, raw: &[u8; 11]) {
        self.0[..11].copy_from_slice(raw);
        self.0[12] = 0;
    }
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The first slot: of the long name, where there is one.
    pub(super) first: usize,
    /// The slot of the entry itself.
    pub(super) slot: usize,
    /// The entry.
    pub(super) short: Short,
    /// The long name, or the short one where there is none that belongs to it.
    pub(super) name: String,
    /// The short name as text, by which the entry can be looked up too.
    pub(super) short_name: String,
}

impl Found {
    /// Whether `name` names this entry.
    pub(super) fn is_named(&self, name: &str) -> bool {
        name::same(&self.name, name) || name::same(&self.short_name, name)
    }
}

/// A directory's bytes in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    bytes: Vec<u8>,
}

/// A slot of a long name that was seen before its entry.
struct Pending {
    first: usize,
    sum: u8,
    /// The next slot's number; 0 when the name is whole.
    next: u8,
    /// The units so far; the slots come last one first.
    units: Vec<u16>,
}

impl Slots {
    /// The slots of a directory that has these bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn len(&self) -> usize {
        self.bytes.len() / SLOT
    }

    fn slot(&self, slot: usize) -> Option<[u8; SLOT]> {
        array(&self.bytes, slot.checked_mul(SLOT)?)
    }

    fn put(&mut self, slot: usize, bytes: &[u8; SLOT]) {
        let at = slot.saturating_mul(SLOT);
        if let Some(to) = self.bytes.get_mut(at..at.saturating_add(SLOT)) {
            to.copy_from_slice(bytes);
        }
    }

    /// Shows each entry in order, without `.`, `..` and the label, until `visit` gives `false`.
    pub(super) fn each(&self, mut visit: impl FnMut(Found) -> bool) {
        let mut pending: Option<Pending> = None;
        for number in 0..self.len() {
            let Some(bytes) = self.slot(number) else { return };
            match bytes[0] {
                END => return,
                DELETED => pending = None,
                _ if bytes[11] & 0x3f == LONG => pending = long_slot(pending, number, &bytes),
                _ => {
                    let short = Short(bytes);
                    let long = pending.take();
                    if short.is_label() || short.is_dots() {
                        continue;
                    }
                    let short_name = name::short_text(&short.raw_name(), bytes[12]);
                    let long = long
                        .filter(|long| {
                            long.next == 0 && long.sum == name::checksum(&short.raw_name())
                        })
                        .and_then(|long| Some((long.first, long_text(&long.units)?)));
                    let (first, name) = long.unwrap_or_else(|| (number, short_name.clone()));
                    if !visit(Found { first, slot: number, short, name, short_name }) {
                        return;
                    }
                }
            }
        }
    }

    /// Every entry.
    pub(super) fn all(&self) -> Vec<Found> {
        let mut all = Vec::new();
        self.each(|found| {
            all.push(found);
            true
        });
        all
    }

    /// The entry that `name` names.
    pub(super) fn find(&self, name: &str) -> Option<Found> {
        let mut found = None;
        self.each(|entry| {
            if entry.is_named(name) {
                found = Some(entry);
            }
            found.is_none()
        });
        found
    }

    /// The entry in a slot.
    pub(super) fn at(&self, slot: usize) -> Option<Short> {
        let bytes = self.slot(slot)?;
        let used = !matches!(bytes[0], END | DELETED) && bytes[11] & 0x3f != LONG;
        used.then_some(Short(bytes))
    }

    /// The volume's label, where a slot holds one.
    pub(super) fn label(&self) -> Option<[u8; 11]> {
        (0..self.len())
            .map_while(|slot| self.slot(slot).filter(|bytes| bytes[0] != END))
            .filter(|bytes| bytes[0] != DELETED && bytes[11] & 0x3f != LONG)
            .map(Short)
            .find(|short| short.is_label() && !short.is_directory())
            .map(|short| short.raw_name())
    }

    /// The first cluster that `.` and `..` name, where the directory begins with them.
    pub(super) fn dots(&self, wide: bool) -> Option<(u32, u32)> {
        let own = self.at(0).filter(|short| short.0.starts_with(b".          "))?;
        let parent = self.at(1).filter(|short| short.0.starts_with(b"..         "))?;
        Some((own.cluster(wide), parent.cluster(wide)))
    }

    /// Names another directory as the one above.
    pub(super) fn set_parent(&mut self, cluster: u32) {
        if let Some(mut parent) = self.at(1).filter(|short| short.0.starts_with(b"..         ")) {
            parent.set_cluster(cluster);
            self.put(1, &parent.0);
        }
    }

    /// Frees an entry with its long name.
    pub(super) fn remove(&mut self, found: &Found) {
        let mut free = [0; SLOT];
        free[0] = DELETED;
        for slot in found.first..=found.slot {
            self.put(slot, &free);
        }
    }

    /// Puts an entry in under a name that is free, where there is room; gives its slot.
    ///
    /// `Ok(None)`: the directory has to be larger.
    ///
    /// # Errors
    /// There is no short name left for it.
    pub(super) fn insert(&mut self, name: &str, mut short: Short) -> Result<Option<usize>, ()> {
        let mut taken = std::collections::HashSet::new();
        // Long names that a short one could be taken for.
        let mut names = std::collections::HashSet::new();
        self.each(|found| {
            taken.insert(found.short.raw_name());
            if found.name.len() <= 12 {
                names.insert(found.name.to_uppercase());
            }
            true
        });
        taken.extend(self.label());
        let (raw, units) = match name::exact_short(name).filter(|raw| !taken.contains(raw)) {
            Some(raw) => (raw, Vec::new()),
            None => {
                let free = |raw: &[u8; 11]| {
                    taken.contains(raw) || names.contains(&name::short_text(raw, 0))
                };
                (name::alias(name, free).ok_or(())?, name.encode_utf16().collect())
            }
        };
        short.set_raw_name(&raw);
        let long = units.len().div_ceil(UNITS_A_SLOT);
        let Some(first) = self.room(long + 1) else { return Ok(None) };
        let sum = name::checksum(&raw);
        for number in 0..long {
            // The last piece of the name comes first, marked as the last.
            let piece = long - 1 - number;
            let mark = if number == 0 { 0x40 } else { 0 };
            let order = u8::try_from(piece + 1).unwrap_or(0x3f) | mark;
            let units: Vec<u16> =
                units.iter().copied().skip(piece * UNITS_A_SLOT).take(UNITS_A_SLOT).collect();
            self.put(first + number, &long_bytes(order, sum, &units));
        }
        self.put(first + long, &short.0);
        Ok(Some(first + long))
    }

    /// The first of `count` free slots in a row.
    fn room(&self, count: usize) -> Option<usize> {
        let mut run = 0;
        let mut ended = false;
        for number in 0..self.len() {
            let first = self.slot(number)?[0];
            ended |= first == END;
            run = if ended || first == DELETED { run + 1 } else { 0 };
            if run == count {
                return Some(number + 1 - count);
            }
        }
        None
    }

    /// Makes the directory longer by free slots.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.clean();
        self.bytes.resize(self.bytes.len().saturating_add(bytes), 0);
    }

    /// Leaves nothing of removed entries: free slots are blank, those behind the last entry are
    /// zero, and slots of long names that belong to no entry are freed.
    pub(super) fn clean(&mut self) {
        let mut used = vec![false; self.len()];
        let mut mark = |first: usize, last: usize| {
            for flag in used.iter_mut().take(last + 1).skip(first) {
                *flag = true;
            }
        };
        self.each(|found| {
            mark(found.first, found.slot);
            true
        });
        for number in 0..self.len() {
            let Some(bytes) = self.slot(number).filter(|bytes| bytes[0] != END) else { break };
            let short = Short(bytes);
            // The label, `.` and `..`, which are no entries to `each`.
            let kept = bytes[0] != DELETED && bytes[11] & 0x3f != LONG;
            if kept && (short.is_label() || short.is_dots()) {
                mark(number, number);
            }
        }
        let end = used.iter().rposition(|&used| used).map_or(0, |last| last + 1);
        for (number, used) in used.into_iter().enumerate() {
            let mut free = [0; SLOT];
            if number < end {
                free[0] = DELETED;
            }
            if !used {
                self.put(number, &free);
            }
        }
    }

    /// How many slots of long names belong to no entry.
    pub(super) fn orphans(&self) -> usize {
        let mut long = 0;
        for number in 0..self.len() {
            let Some(bytes) = self.slot(number).filter(|bytes| bytes[0] != END) else { break };
            long += usize::from(bytes[0] != DELETED && bytes[11] & 0x3f == LONG);
        }
        let mut owned = 0;
        self.each(|found| {
            owned += found.slot - found.first;
            true
        });
        long.saturating_sub(owned)
    }
}

/// Where the 13 units of a long name's slot lie.
const UNITS: [usize; UNITS_A_SLOT] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// Takes one more slot of a long name; `None` when it does not continue what came before.
fn long_slot(pending: Option<Pending>, slot: usize, bytes: &[u8; SLOT]) -> Option<Pending> {
    let order = bytes[0] & 0x3f;
    let sum = bytes[13];
    let mut pending = if bytes[0] & 0x40 != 0 {
        Pending { first: slot, sum, next: order, units: Vec::new() }
    } else {
        pending?
    };
    if order == 0 || order > 20 || order != pending.next || sum != pending.sum {
        return None;
    }
    pending.next = order - 1;
    let units: Vec<u16> = UNITS.iter().filter_map(|&at| le16(bytes, at)).collect();
    pending.units.splice(0..0, units);
    Some(pending)
}

/// The text of a long name; `None` when it is none that a path can hold.
fn long_text(units: &[u16]) -> Option<String> {
    let units = units.split(|&unit| unit == 0).next()?;
    let text = String::from_utf16(units).ok()?;
    let holdable = !text.is_empty() && text != "." && text != ".." && !text.contains('/');
    (holdable && units.len() <= name::MAX_UNITS).then_some(text)
}

/// A slot of a long name: at most 13 units, ended by a zero and filled up with ones.
fn long_bytes(order: u8, sum: u8, units: &[u16]) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[0] = order;
    bytes[11] = LONG;
    bytes[13] = sum;
    let padded = units.iter().copied().chain([0]).chain(std::iter::repeat(0xffff));
    for (at, unit) in UNITS.into_iter().zip(padded) {
        for (to, from) in bytes.iter_mut().skip(at).zip(unit.to_le_bytes()) {
            *to = from;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Short {
        Short::new(b"           ", ARCHIVE, 0, Timestamp::default())
    }

    fn names(slots: &Slots) -> Vec<String> {
        slots.all().into_iter().map(|found| found.name).collect()
    }

    #[test]
    fn what_is_put_in_is_found_and_what_is_removed_leaves_nothing() {
        let mut slots = Slots::new(vec![0; 32 * 32]);
        let thirteen = "thirteen unit";
        let all = ["BOOT.EFI", "grub.cfg", "a name of more than one slot.txt", thirteen, "ü😀"];
        for name in all {
            slots.insert(name, short()).unwrap().unwrap();
        }
        assert_eq!(names(&slots), all);
        assert_eq!(slots.orphans(), 0);
        assert!(slots.find("GRUB.CFG").is_some() && slots.find("anameo~1.txt").is_some());
        let blank = slots.find("A NAME of more than one slot.txt").unwrap();
        slots.remove(&blank);
        let before = slots.bytes().to_vec();
        slots.clean();
        assert_eq!(slots.bytes(), before, "removing already leaves nothing");
        // The gap is used again.
        slots.insert("another quite long name.x", short()).unwrap().unwrap();
        assert_eq!(names(&slots)[2], "another quite long name.x");
        for found in slots.all() {
            slots.remove(&found);
        }
        slots.clean();
        assert!(slots.bytes().iter().all(|&byte| byte == 0));
    }

    #[test]
    fn names_that_others_removed_are_cleaned_away() {
        let mut slots = Slots::new(vec![0; 32 * 16]);
        for name in ["first long name", "second long name", "third long name"] {
            slots.insert(name, short()).unwrap().unwrap();
        }
        let second = slots.find("second long name").unwrap();
        // As DOS does it: only the first byte.
        for slot in second.first..=second.slot {
            slots.bytes[slot * SLOT] = DELETED;
        }
        // And an end with something behind it.
        let third = slots.find("third long name").unwrap();
        slots.bytes[third.first * SLOT] = END;
        slots.clean();
        assert_eq!(names(&slots), ["first long name"]);
        let first = slots.find("first long name").unwrap();
        assert!(slots.bytes[(first.slot + 1) * SLOT..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_full_directory_has_no_room() {
        let mut slots = Slots::new(vec![0; 32 * 3]);
        assert_eq!(slots.insert("long name", short()), Ok(Some(1)));
        assert_eq!(slots.insert("other name", short()), Ok(None));
        slots.grow(64);
        assert_eq!(slots.insert("other name", short()), Ok(Some(3)));
    }
}
