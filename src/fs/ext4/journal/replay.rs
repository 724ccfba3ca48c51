//! Recovery: what the kernel does with the journal when it mounts a filesystem that was not
//! unmounted (`fs/jbd2/recovery.c` says how its passes judge the log).

use std::collections::HashMap;
use std::sync::Arc;

use super::area::JournalArea;
use super::log::{
    COMMIT, DESCRIPTOR, REVOKE, commit_agrees_v1, commit_is_right, commit_seconds, crc32_be,
    fast_commit_of, header, revoked, tag_is_right, tags, tail_is_right,
};
use super::shown::{BlockCopy, Shown};
use crate::block::{Overlay, ReadBlocks, WriteBlocks};
use crate::fs::FsError;
use crate::fs::ext4::features::incompat;
use crate::fs::ext4::superblock::{STATE_ERROR, SUPERBLOCK_AT, Superblock};

/// The most revoked blocks we keep, about 64 MiB: a journal of 1 GiB full of deletions has fewer.
const MAX_REVOKED: usize = 1 << 21;

/// What a replay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many transactions were whole.
    pub transactions: u32,
    /// How many blocks were written.
    pub blocks: u64,
}

/// Replays the journal into `device`, marks it as clean and clears `needs_recovery`; `None` when
/// there was nothing to replay. The device's superblock has to be read anew afterwards.
///
/// # Errors
/// `Unsupported` when the journal is on another device, has features we do not know or fast
/// commits that were not replayed; `Corrupt` where the kernel would refuse to mount, and where a
/// logged block belongs in the journal itself.
pub fn replay(device: &Arc<dyn WriteBlocks>) -> Result<Option<Replayed>, FsError> {
    let readable: Arc<dyn ReadBlocks> = Arc::<dyn WriteBlocks>::clone(device);
    let Some((area, logged)) = read(&readable)? else { return Ok(None) };
    let mut bytes = vec![0; area.block_size() as usize];
    for copy in &logged.blocks {
        copy.read(&**device, &mut bytes)?;
        device.write_at(copy.block * area.block_size(), &bytes)?;
    }
    let replayed = logged.replayed;
    finish(device, area, logged.end)?;
    Ok(Some(replayed))
}

/// What `device` will be once its journal was replayed, to be read: the logged blocks stay where
/// they are in the journal and are shown where they belong, so that memory holds their places and
/// not their content. `None` when there is nothing to replay.
///
/// # Errors
/// As [`replay`].
pub fn replayed(device: &Arc<dyn ReadBlocks>) -> Result<Option<Arc<dyn ReadBlocks>>, FsError> {
    let Some((area, logged)) = read(device)? else { return Ok(None) };
    let end = logged.end;
    let shown = Shown::new(Arc::clone(device), area.block_size(), logged.blocks);
    let overlay: Arc<dyn WriteBlocks> = Arc::new(Overlay::new(Arc::new(shown)));
    finish(&overlay, area, end)?;
    Ok(Some(overlay))
}

/// What the journal holds that is to be written.
struct Logged {
    /// The last copy of each block, ascending by the block where it belongs.
    blocks: Vec<BlockCopy>,
    replayed: Replayed,
    /// The sequence number behind the last whole transaction; `None` for a log that is empty.
    end: Option<u32>,
}

/// Reads the journal of a filesystem that has to be recovered.
fn read(device: &Arc<dyn ReadBlocks>) -> Result<Option<(JournalArea, Logged)>, FsError> {
    let superblock = Superblock::read(&**device)?;
    if !superblock.has_incompat(incompat::NEEDS_RECOVERY) {
        return Ok(None);
    }
    let Some(area) = JournalArea::open(device, &superblock)? else {
        return Err(FsError::corrupt(
            "superblock",
            format_args!("byte {SUPERBLOCK_AT}"),
            "needs_recovery without has_journal",
        ));
    };
    let mut logged =
        Logged { blocks: Vec::new(), replayed: Replayed { transactions: 0, blocks: 0 }, end: None };
    if area.superblock().start() != 0 {
        let log = Pass { device: &**device, area: &area };
        let end = log.scan()?.end;
        let revoked = log.revoke(end)?;
        (logged.blocks, logged.replayed.blocks) = log.collect(end, &revoked)?;
        logged.replayed.transactions = end.wrapping_sub(area.superblock().sequence());
        logged.end = Some(end);
    }
    Ok(Some((area, logged)))
}

/// Marks the journal as clean and the filesystem as recovered, behind what was replayed.
fn finish(
    device: &Arc<dyn WriteBlocks>,
    mut area: JournalArea,
    end: Option<u32>,
) -> Result<(), FsError> {
    if let Some(end) = end {
        area.superblock_mut().set_clean(end.wrapping_add(1));
    }
    let mut superblock = Superblock::read(&**device)?;
    if area.superblock().errno() != 0 {
        // The kernel takes over what the journal recorded when the filesystem could not.
        superblock.set_state(superblock.state() | STATE_ERROR);
        area.superblock_mut().clear_errno();
    }
    superblock.set_incompat(incompat::NEEDS_RECOVERY, false);
    area.write_superblock(&**device)?;
    Ok(device.write_at(SUPERBLOCK_AT, &superblock.to_bytes())?)
}

struct Scanned {
    /// The sequence number behind the last whole transaction.
    end: u32,
}

struct Pass<'a> {
    device: &'a dyn ReadBlocks,
    area: &'a JournalArea,
}

/// A place in the log: it goes round, and ends at the latest where it began.
struct Cursor<'a> {
    pass: &'a Pass<'a>,
    block: u32,
    left: u32,
}

impl Cursor<'_> {
    /// Reads the block here and moves on.
    fn read(&mut self) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; self.pass.area.block_size() as usize];
        self.pass.device.read_at(self.pass.area.at(self.block)?, &mut bytes)?;
        self.skip(1)?;
        Ok(bytes)
    }

    fn skip(&mut self, blocks: usize) -> Result<(), FsError> {
        let (first, end) = (self.pass.area.superblock().first(), self.pass.area.superblock().end());
        let blocks = u32::try_from(blocks).ok().filter(|&blocks| blocks <= self.left);
        let Some(blocks) = blocks else {
            return Err(FsError::corrupt(
                "journal",
                format_args!("journal block {}", self.block),
                "the log does not end",
            ));
        };
        self.left -= blocks;
        let length = end - first;
        self.block = first + (self.block - first + blocks) % length;
        Ok(())
    }
}

impl Pass<'_> {
    fn cursor(&self) -> Cursor<'_> {
        let journal = self.area.superblock();
        // One more than the log has, so that a log that fills it can be seen to end.
        Cursor { pass: self, block: journal.start(), left: journal.end() - journal.first() + 1 }
    }

    /// Finds the end of the log.
    fn scan(&self) -> Result<Scanned, FsError> {
        let journal = self.area.superblock();
        let mut cursor = self.cursor();
        let mut sequence = journal.sequence();
        let mut sum = u32::MAX;
        let mut last_commit = 0;
        // Set where a checksum is wrong: the commit's time then tells a stale block, left from
        // before the journal was made anew, from a damaged one.
        let mut suspicious = false;
        loop {
            let at = cursor.block;
            // A log that fills the journal ends where it began.
            if cursor.left <= 1 {
                break;
            }
            let block = cursor.read()?;
            let Some((kind, found)) = header(&block) else { break };
            if found != sequence {
                break;
            }
            match kind {
                DESCRIPTOR => {
                    suspicious |= !tail_is_right(&block, journal);
                    let count = tags(&block, journal).len();
                    if journal.has_checksum_v1() && !suspicious {
                        sum = crc32_be(sum, &block);
                        for _ in 0..count {
                            sum = crc32_be(sum, &cursor.read()?);
                        }
                    } else if cursor.skip(count).is_err() {
                        // Stale: no transaction is longer than the log.
                        break;
                    }
                }
                REVOKE => suspicious |= !tail_is_right(&block, journal),
                COMMIT => {
                    let time = commit_seconds(&block);
                    if suspicious {
                        if time >= last_commit {
                            return Err(corrupt(
                                at,
                                format_args!("a wrong checksum in transaction {sequence}"),
                            ));
                        }
                        break;
                    }
                    let right = if journal.has_checksum_v1() {
                        commit_agrees_v1(&block, sum)
                    } else {
                        commit_is_right(&block, journal)
                    };
                    if !right {
                        if time < last_commit || journal.has_async_commit() {
                            break;
                        }
                        return Err(corrupt(
                            at,
                            format_args!(
                                "a wrong checksum in the commit of transaction {sequence}"
                            ),
                        ));
                    }
                    sum = u32::MAX;
                    last_commit = time;
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
        }
        self.refuse_fast_commits(sequence)?;
        Ok(Scanned { end: sequence })
    }

    /// Fast commits go on from the last transaction, in a form of their own that we do not replay.
    fn refuse_fast_commits(&self, end: u32) -> Result<(), FsError> {
        let journal = self.area.superblock();
        // The kernel leaves the first block behind the log unused.
        let Some(first) = journal.end().checked_add(1).filter(|it| *it < journal.total_blocks())
        else {
            return Ok(());
        };
        let mut block = vec![0; self.area.block_size() as usize];
        self.device.read_at(self.area.at(first)?, &mut block)?;
        if fast_commit_of(&block) == Some(end) {
            return Err(FsError::unsupported(
                "fast commits that were not replayed (fast_commit): mount it once, or run e2fsck",
            ));
        }
        Ok(())
    }

    /// Every block that was revoked, with the last transaction that did so.
    fn revoke(&self, end: u32) -> Result<HashMap<u64, u32>, FsError> {
        let journal = self.area.superblock();
        let mut revoked_in = HashMap::new();
        self.each(end, |at, sequence, block, cursor| match block.kind {
            DESCRIPTOR => cursor.skip(tags(block.bytes, journal).len()),
            REVOKE => {
                let blocks = revoked(block.bytes, journal)
                    .ok_or_else(|| corrupt(at, "a revocation longer than its block"))?;
                for block in blocks {
                    revoked_in
                        .entry(block)
                        .and_modify(|last| {
                            if is_after(sequence, *last) {
                                *last = sequence;
                            }
                        })
                        .or_insert(sequence);
                }
                if revoked_in.len() > MAX_REVOKED {
                    return Err(FsError::unsupported(format!(
                        "a journal that revokes more than {MAX_REVOKED} blocks"
                    )));
                }
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(revoked_in)
    }

    /// Finds the last copy of every block that is to be written; gives how many copies there are.
    fn collect(
        &self,
        end: u32,
        revoked_in: &HashMap<u64, u32>,
    ) -> Result<(Vec<BlockCopy>, u64), FsError> {
        let journal = self.area.superblock();
        let block_size = self.area.block_size();
        let blocks = self.device.len() / block_size;
        let mut copies = Vec::new();
        self.each(end, |at, sequence, block, cursor| {
            if block.kind != DESCRIPTOR {
                return Ok(());
            }
            if !tail_is_right(block.bytes, journal) {
                return Err(corrupt(at, "wrong checksum"));
            }
            for tag in tags(block.bytes, journal) {
                let at = cursor.block;
                let bytes = cursor.read()?;
                if revoked_in.get(&tag.block).is_some_and(|last| !is_after(sequence, *last)) {
                    continue;
                }
                if !tag_is_right(tag, &bytes, sequence, journal) {
                    return Err(corrupt(at, format_args!("wrong checksum of block {}", tag.block)));
                }
                if tag.block >= blocks {
                    return Err(corrupt(at, format_args!("block {} lies outside", tag.block)));
                }
                if self.area.holds(tag.block) {
                    let problem = format_args!("block {} is the journal's own", tag.block);
                    return Err(corrupt(at, problem));
                }
                copies.push(BlockCopy::new(tag.block, self.area.at(at)?, tag.escaped));
            }
            Ok(())
        })?;
        let count = copies.len() as u64;
        // In the order of the log, so the last of equal ones counts.
        copies.sort_by_key(|copy| copy.block);
        copies.dedup_by(|next, kept| {
            let same = next.block == kept.block;
            if same {
                *kept = *next;
            }
            same
        });
        copies.shrink_to_fit();
        Ok((copies, count))
    }

    /// Shows each descriptor and revocation of the whole transactions; `each` moves past what a
    /// descriptor announces.
    fn each(
        &self,
        end: u32,
        mut each: impl FnMut(u32, u32, LogBlock<'_>, &mut Cursor<'_>) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let mut cursor = self.cursor();
        let mut sequence = self.area.superblock().sequence();
        while sequence != end {
            let at = cursor.block;
            let bytes = cursor.read()?;
            match header(&bytes) {
                Some((COMMIT, found)) if found == sequence => sequence = sequence.wrapping_add(1),
                Some((kind @ (DESCRIPTOR | REVOKE), found)) if found == sequence => {
                    each(at, sequence, LogBlock { kind, bytes: &bytes }, &mut cursor)?;
                }
                _ => return Err(corrupt(at, format_args!("transaction {sequence} ends here"))),
            }
        }
        Ok(())
    }
}

struct LogBlock<'a> {
    kind: u32,
    bytes: &'a [u8],
}

/// Whether a sequence number comes after another; they go round.
fn is_after(sequence: u32, other: u32) -> bool {
    sequence.wrapping_sub(other).cast_signed() > 0
}

fn corrupt(block: u32, problem: impl std::fmt::Display) -> FsError {
    FsError::corrupt("journal", format_args!("journal block {block}"), problem)
}
