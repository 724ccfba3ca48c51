//! Swap areas (Linux, `include/linux/swap.h`; mkswap(8), swapon(8)): a page that says so, and pages
//! of whatever was in memory.

use crate::block::{BlockError, ReadBlocks, WriteBlocks, check_range};
use crate::bytes::{array, be32, le32};

/// The sizes that a page has on one machine or another.
const PAGES: [u64; 5] = [4096, 8192, 16384, 32768, 65536];

/// How much of an area says what it is.
pub const HEAD: usize = 65536;

/// Where the header's numbers begin, behind room for a boot loader.
const INFO_AT: usize = 1024;
/// Where the UUID is, in bytes from the area's start.
pub const UUID_AT: usize = INFO_AT + 12;

/// What stands at a page's end while a suspended system is in the area: of the kernel (swsusp,
/// uswsusp), TuxOnIce and hibernation in userspace, as libblkid knows them.
const SUSPENDED: [&[u8]; 5] =
    [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c", b"LINHIB0001"];

/// A swap area's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapArea {
    /// Bytes of a page: what is behind the first one was in memory.
    pub page: u64,
    /// Where the area ends, in bytes from its start.
    pub end: u64,
    /// The UUID, where it is not all zero.
    pub uuid: Option<[u8; 16]>,
    /// The label's bytes, up to the first NUL.
    pub label: Vec<u8>,
    /// It holds a suspended system.
    pub suspended: bool,
    /// Why nothing in it is to be touched, where its header makes no sense.
    pub problem: Option<String>,
}

impl SwapArea {
    /// Reads the header of what may be a swap area: `len` bytes of a device from `start` on.
    ///
    /// # Errors
    /// The device failed.
    pub fn read(device: &dyn ReadBlocks, start: u64, len: u64) -> Result<Option<Self>, BlockError> {
        let mut mark = [0; 10];
        for page in PAGES.into_iter().filter(|page| *page <= len) {
            device.read_at(start + page - 10, &mut mark)?;
            if is_mark(&mark) {
                let mut head = vec![0; page as usize];
                device.read_at(start, &mut head)?;
                return Ok(Self::from_head(&head, len));
            }
        }
        Ok(None)
    }

    /// Takes the header from the first bytes ([`HEAD`] of them, where there are so many) of an area
    /// of `len` bytes.
    pub fn from_head(head: &[u8], len: u64) -> Option<Self> {
        let (page, mark) = PAGES.into_iter().find_map(|page| {
            let at = usize::try_from(page).ok()?.checked_sub(10)?;
            let mark: [u8; 10] = array(head, at)?;
            is_mark(&mark).then_some((page, mark))
        })?;
        let suspended = !mark.starts_with(b"SWAP");
        let uuid = array(head, UUID_AT).filter(|uuid| *uuid != [0; 16]);
        let label = head.get(INFO_AT + 28..INFO_AT + 44).unwrap_or_default();
        let mut area = Self {
            page,
            end: len,
            uuid,
            label: label.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
            suspended,
            problem: None,
        };
        if mark == *b"SWAP-SPACE" {
            // The first version has no numbers: it ends where its device does.
            (area.uuid, area.label) = (None, Vec::new());
            return Some(area);
        }
        let last = match (le32(head, INFO_AT), be32(head, INFO_AT)) {
            (Some(1), _) => le32(head, INFO_AT + 4),
            (_, Some(1)) => be32(head, INFO_AT + 4),
            (version, _) => {
                area.problem = Some(format!("its version is {}", version.unwrap_or(0)));
                None
            }
        };
        let end = last.map(|last| (u64::from(last) + 1) * page);
        match end {
            Some(end) if (page..=len).contains(&end) => area.end = end,
            Some(end) => {
                area.problem = Some(format!("it says that it has {end} bytes, in {len}"));
            }
            None => {}
        }
        Some(area)
    }

    /// How many bytes of it were memory.
    pub fn content(&self) -> u64 {
        self.end.saturating_sub(self.page)
    }

    /// Discards what was memory, of the area that begins the device.
    ///
    /// # Errors
    /// The device failed, or ends before the area does.
    pub fn wipe(&self, device: &dyn WriteBlocks) -> Result<(), BlockError> {
        check_range(self.page, self.content(), device.len())?;
        device.zero(self.page, self.content())
    }
}

/// Gives the area that begins the device another UUID.
///
/// # Errors
/// The device failed.
pub fn set_uuid(device: &dyn WriteBlocks, uuid: [u8; 16]) -> Result<(), BlockError> {
    device.write_at(UUID_AT as u64, &uuid)
}

fn is_mark(mark: &[u8; 10]) -> bool {
    mark == b"SWAPSPACE2"
        || mark == b"SWAP-SPACE"
        || SUSPENDED.iter().any(|suspended| mark.starts_with(suspended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(page: usize, mark: &[u8], order: fn(u32) -> [u8; 4], last: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[page - 10..page - 10 + mark.len()].copy_from_slice(mark);
        head[1024..1028].copy_from_slice(&order(1));
        head[1028..1032].copy_from_slice(&order(last));
        head[1036..1052].fill(7);
        head[1052..1057].copy_from_slice(b"label");
        head
    }

    #[test]
    fn headers_of_every_machine() {
        for (page, order) in [
            (4096, u32::to_le_bytes as fn(u32) -> [u8; 4]),
            (4096, u32::to_be_bytes),
            (65536, u32::to_le_bytes),
            (16384, u32::to_be_bytes),
        ] {
            let area = SwapArea::from_head(&head(page, b"SWAPSPACE2", order, 9), 1 << 20).unwrap();
            assert_eq!((area.page, area.end), (page as u64, 10 * page as u64));
            assert_eq!((area.uuid, area.label.as_slice()), (Some([7; 16]), b"label".as_slice()));
            assert!(!area.suspended && area.problem.is_none());
        }
        let old = SwapArea::from_head(&head(4096, b"SWAP-SPACE", u32::to_le_bytes, 9), 70_000);
        assert_eq!(old.map(|it| (it.end, it.uuid)), Some((70_000, None)));
        assert_eq!(SwapArea::from_head(&vec![0; HEAD], 1 << 20), None);
        assert_eq!(SwapArea::from_head(b"short", 5), None);
    }

    #[test]
    fn suspended_systems_are_seen() {
        for mark in SUSPENDED {
            let area = SwapArea::from_head(&head(4096, mark, u32::to_le_bytes, 9), 1 << 20);
            assert!(area.unwrap().suspended, "{mark:?}");
        }
    }

    #[test]
    fn headers_that_lie_are_told() {
        for last in [1 << 8, u32::MAX] {
            let area =
                SwapArea::from_head(&head(4096, b"SWAPSPACE2", u32::to_le_bytes, last), 1 << 20);
            assert!(area.unwrap().problem.is_some());
        }
        let mut wrong = head(4096, b"SWAPSPACE2", u32::to_le_bytes, 9);
        wrong[1024] = 2;
        assert_eq!(
            SwapArea::from_head(&wrong, 1 << 20).unwrap().problem.unwrap(),
            "its version is 2"
        );
    }
}
