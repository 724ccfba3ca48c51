//! Giving a filesystem another UUID.
//!
//! Every metadata checksum begins with the UUID, unless the superblock keeps a seed of its own
//! (`metadata_csum_seed`). To add that feature would be little work and leave a filesystem that
//! GRUB before 2.12 and kernels before 4.4 refuse, so the checksums are made anew, each only where
//! the old one was right.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::checksum::crc32c;
use super::dir::{self, Format};
use super::directory::{self, is_index};
use super::extent;
use super::features::{compat, incompat};
use super::group::{GroupDescriptor, descriptor_at};
use super::htree;
use super::inode::{self, Inode};
use super::map::{self, Mapped};
use super::orphan;
use super::raw::{put32, u32_at};
use super::source::{DeviceSource, Source};
use super::superblock::{STATE_VALID, SUPERBLOCK_AT, Superblock};
use super::xattr;
use crate::block::{Extent, WriteBlocks, is_zero};
use crate::fs::{FsError, FsInfo, Kind, uuid};

/// How much of an inode table is held at a time.
const TABLE_CHUNK: u64 = 256 << 10;

/// Where the multi-mount protection's block has its checksum.
const MMP_CHECKSUM_AT: usize = 0x3fc;

/// Why a filesystem keeps its UUID, where it does.
pub(super) fn fixed(info: &FsInfo) -> Option<String> {
    let has = |name: &str| info.features.iter().any(|it| it == name);
    if has("stable_inodes") {
        return Some("keys of encrypted files are made from it (feature stable_inodes)".to_owned());
    }
    if has("ea_inode") && !has("metadata_csum_seed") {
        let why = "the hashes of long attributes are made from it (feature ea_inode)";
        return Some(why.to_owned());
    }
    None
}

/// Sets the UUID, given as `blkid` prints it. The device is staged, its filesystem whole and its
/// journal empty, as [`EditFs::finish`](crate::fs::EditFs::finish) leaves it.
///
/// # Errors
/// `Unsupported` where the UUID is [`fixed`], the text is none, or the filesystem is not to be
/// edited; `Corrupt` where a checksum is wrong already.
pub(super) fn set(device: &Arc<dyn WriteBlocks>, uuid: &str) -> Result<(), FsError> {
    let wrong = || FsError::unsupported(format!("'{uuid}' is no UUID of ext4"));
    let uuid = uuid::parse(uuid).ok_or_else(wrong)?;
    let old = Superblock::read(&**device)?;
    if let Some(reason) = old.uneditable() {
        return Err(FsError::Unsupported(reason));
    }
    if old.has_incompat(incompat::NEEDS_RECOVERY) || old.last_orphan() != 0 {
        return Err(FsError::unsupported("another UUID while the journal is to be replayed"));
    }
    let seeded = old.has_incompat(incompat::METADATA_CSUM_SEED);
    if old.has_compat(compat::STABLE_INODES) || (old.has_incompat(incompat::EA_INODE) && !seeded) {
        return Err(FsError::unsupported("another UUID where keys or hashes are made from it"));
    }
    let mut new = old.clone();
    new.set_uuid(uuid);
    let change = Change {
        device,
        source: DeviceSource::new(Arc::clone(device) as _, old.clone()),
        format: directory::format(&old),
        old: &old,
        new: &new,
    };
    let sums = old.metadata_csum() && !seeded;
    let mut descriptors = Vec::new();
    for number in 0..old.group_count() {
        descriptors.push(change.source.group(number)?);
    }
    if sums {
        for (number, descriptor) in (0..).zip(&mut descriptors) {
            change.bitmaps(number, descriptor)?;
            change.inodes(number, descriptor)?;
        }
        change.mmp()?;
    }
    for (number, descriptor) in (0..).zip(&mut descriptors) {
        descriptor.update_checksum(&new, number);
    }
    change.write_descriptors(&descriptors)?;
    change.write_superblocks()?;
    Ok(device.flush()?)
}

/// A change of the UUID under way: what is on the device has the old checksums where nothing was
/// written yet, the new ones behind.
struct Change<'a> {
    device: &'a Arc<dyn WriteBlocks>,
    /// The filesystem under the old UUID.
    source: DeviceSource,
    format: Format,
    old: &'a Superblock,
    new: &'a Superblock,
}

impl Change<'_> {
    fn at(&self, block: u64) -> u64 {
        block * u64::from(self.old.block_size())
    }

    fn read(&self, block: u64) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; self.old.block_len()];
        self.device.read_at(self.at(block), &mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, block: u64, bytes: &[u8]) -> Result<(), FsError> {
        Ok(self.device.write_at(self.at(block), bytes)?)
    }

    /// The checksums of a group's bitmaps, which its descriptor holds.
    fn bitmaps(&self, number: u32, descriptor: &mut GroupDescriptor) -> Result<(), FsError> {
        let wrong = |what| FsError::corrupt(what, format_args!("group {number}"), "wrong checksum");
        if !descriptor.block_bitmap_is_uninit(self.old) {
            let bitmap = self.read(descriptor.block_bitmap())?;
            if !descriptor.block_bitmap_is_right(self.old, &bitmap) {
                return Err(wrong("block bitmap"));
            }
            descriptor.set_block_bitmap_checksum(self.new, &bitmap);
        }
        if !descriptor.inode_bitmap_is_uninit(self.old) {
            let bitmap = self.read(descriptor.inode_bitmap())?;
            if !descriptor.inode_bitmap_is_right(self.old, &bitmap) {
                return Err(wrong("inode bitmap"));
            }
            descriptor.set_inode_bitmap_checksum(self.new, &bitmap);
        }
        Ok(())
    }

    /// The inodes of a group, and what hangs on them.
    fn inodes(&self, number: u32, descriptor: &GroupDescriptor) -> Result<(), FsError> {
        let used = descriptor.used_inodes(self.old);
        if used == 0 {
            return Ok(());
        }
        let bitmap = self.read(descriptor.inode_bitmap())?;
        let size = u64::from(self.old.inode_size());
        let table = self.at(descriptor.inode_table());
        let first = number * self.old.inodes_per_group() + 1;
        let (mut index, mut buffer) = (0, Vec::new());
        while index < used {
            let at = table + u64::from(index) * size;
            let rest = u64::from(used - index) * size;
            let extent = self.device.extent_at(at)?.at_most(rest);
            let skip = u32::try_from(extent.len() / size).unwrap_or(u32::MAX);
            if matches!(extent, Extent::Zero(_)) && skip > 0 {
                index += skip;
                continue;
            }
            buffer.resize(rest.min(TABLE_CHUNK.max(size)) as usize, 0);
            self.device.read_at(at, &mut buffer)?;
            let mut changed = false;
            for raw in buffer.chunks_exact_mut(size as usize) {
                let in_use =
                    bitmap.get(index as usize / 8).is_some_and(|it| it >> (index % 8) & 1 != 0);
                if in_use && !is_zero(raw) {
                    let inode = self.inode(Inode::from_bytes(first + index, raw)?)?;
                    raw.copy_from_slice(inode.as_bytes());
                    changed = true;
                } else if !in_use && !is_zero(raw) {
                    // What a removed file left: its checksum would be wrong.
                    raw.fill(0);
                    changed = true;
                }
                index += 1;
            }
            if changed {
                self.device.write_at(at, &buffer)?;
            }
        }
        Ok(())
    }

    /// An inode under the new UUID, and everything that hangs on it.
    fn inode(&self, mut inode: Inode) -> Result<Inode, FsError> {
        if !inode.checksum_is_right(self.old) {
            return Err(inode.corrupt("inode", "wrong checksum"));
        }
        let seeds = (inode.checksum_seed(self.old), inode.checksum_seed(self.new));
        let tree = inode.has_flag(inode::EXTENTS);
        let is_directory = inode.kind() == Some(Kind::Directory);
        let is_orphans = inode.number() == self.old.orphan_file_inode();
        if tree || is_directory || is_orphans {
            let mut seen = None;
            let mut failed = None;
            let end = inode.size(self.old).div_ceil(u64::from(self.old.block_size()));
            map::walk(&self.source, &inode, map::WHOLE, &mut |mapped| {
                // A block of the tree is read after it was shown: it may change once the next one
                // is.
                let done = match (seen.take(), mapped) {
                    (Some(block), _) => self.extent_block(block, seeds.1),
                    (None, _) => Ok(()),
                };
                let done = done.and_then(|()| match mapped {
                    Mapped::Metadata(block) if tree => {
                        seen = Some(block);
                        Ok(())
                    }
                    Mapped::Run(run) if is_directory && run.written => (0..run.blocks)
                        .take_while(|step| run.logical + step < end)
                        .try_for_each(|step| {
                            self.directory_block(
                                &inode,
                                run.logical + step,
                                run.physical + step,
                                seeds,
                            )
                        }),
                    Mapped::Run(run) if is_orphans => (run.physical..run.physical + run.blocks)
                        .try_for_each(|block| self.orphan_block(block, seeds)),
                    _ => Ok(()),
                });
                match done {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if let Some(block) = seen {
                self.extent_block(block, seeds.1)?;
            }
        }
        if inode.xattr_block() != 0 {
            self.attribute_block(&inode)?;
        }
        inode.update_checksum(self.new);
        Ok(inode)
    }

    /// A block of an extent tree, whose old checksum was right.
    fn extent_block(&self, block: u64, seed: u32) -> Result<(), FsError> {
        let mut bytes = self.read(block)?;
        let sum = extent::checksum(&bytes, seed);
        let at = extent::checksum_at(&bytes);
        put32(&mut bytes, at, sum);
        self.write(block, &bytes)
    }

    fn directory_block(
        &self,
        inode: &Inode,
        logical: u64,
        block: u64,
        (old, new): (u32, u32),
    ) -> Result<(), FsError> {
        let mut bytes = self.read(block)?;
        let right = if is_index(&bytes, logical, self.format) {
            htree::verify(&bytes, self.format, logical == 0, old)
                && htree::seal(&mut bytes, logical == 0, new)
        } else {
            let right = dir::verify(&bytes, self.format, old);
            dir::seal(&mut bytes, self.format, new);
            right
        };
        if !right {
            let what = format!("wrong checksum in its block {logical}");
            return Err(inode.corrupt("directory", what));
        }
        self.write(block, &bytes)
    }

    fn orphan_block(&self, block: u64, (old, new): (u32, u32)) -> Result<(), FsError> {
        let mut bytes = self.read(block)?;
        let at = bytes.len().saturating_sub(4);
        if u32_at(&bytes, at) != orphan::checksum(&bytes, block, old) {
            let at = format_args!("block {block}");
            return Err(FsError::corrupt("orphan file", at, "wrong checksum"));
        }
        let sum = orphan::checksum(&bytes, block, new);
        put32(&mut bytes, at, sum);
        self.write(block, &bytes)
    }

    /// The block of attributes, which several inodes may share: the first of them changes it.
    fn attribute_block(&self, inode: &Inode) -> Result<(), FsError> {
        let block = inode.xattr_block();
        if block <= u64::from(self.old.first_data_block()) || block >= self.old.blocks_count() {
            return Err(inode.corrupt("inode", format_args!("attributes in block {block}")));
        }
        let mut bytes = self.read(block)?;
        let (old, new) = (self.old.checksum_seed(), self.new.checksum_seed());
        let found = u32_at(&bytes, 16);
        if found == xattr::block_checksum(&bytes, block, new) {
            return Ok(());
        }
        if found != xattr::block_checksum(&bytes, block, old) {
            let at = format_args!("block {block}");
            return Err(FsError::corrupt("attribute block", at, "wrong checksum"));
        }
        xattr::seal_block(&mut bytes, block, new);
        self.write(block, &bytes)
    }

    fn mmp(&self) -> Result<(), FsError> {
        let block = self.old.mmp_block();
        if block == 0 {
            return Ok(());
        }
        let mut bytes = self.read(block)?;
        let sum =
            crc32c(self.new.checksum_seed(), bytes.get(..MMP_CHECKSUM_AT).unwrap_or_default());
        put32(&mut bytes, MMP_CHECKSUM_AT, sum);
        self.write(block, &bytes)
    }

    /// The descriptors and their copies: where e2fsck needs a copy, it has to belong to the
    /// superblock beside it.
    fn write_descriptors(&self, descriptors: &[GroupDescriptor]) -> Result<(), FsError> {
        if !self.new.has_group_checksum() {
            return Ok(());
        }
        let superblock = self.new;
        let block_len = superblock.block_len();
        let size = usize::from(superblock.desc_size());
        let per_block = (block_len / size.max(1)).max(1);
        for (index, held) in (0u32..).zip(descriptors.chunks(per_block)) {
            let first = index * per_block as u32;
            let primary = descriptor_at(superblock, first) / block_len as u64;
            let mut bytes = self.read(primary)?;
            for (place, descriptor) in bytes.chunks_exact_mut(size).zip(held) {
                place.copy_from_slice(descriptor.as_bytes());
            }
            self.write(primary, &bytes)?;
            let meta = superblock.has_incompat(incompat::META_BG)
                && index >= superblock.first_meta_group();
            if meta {
                let last = first + per_block as u32 - 1;
                for group in
                    [first + 1, last].into_iter().filter(|it| *it < superblock.group_count())
                {
                    let beside = u64::from(superblock.group_has_superblock(group));
                    self.write(superblock.group_first_block(group) + beside, &bytes)?;
                }
                continue;
            }
            for group in
                (1..superblock.group_count()).filter(|it| superblock.group_has_superblock(*it))
            {
                self.write(superblock.group_first_block(group) + 1 + u64::from(index), &bytes)?;
            }
        }
        Ok(())
    }

    /// The superblock and its copies, which never say that the filesystem is clean.
    fn write_superblocks(&self) -> Result<(), FsError> {
        let mut copy = self.new.clone();
        copy.set_state(copy.state() & !STATE_VALID);
        for group in (1..copy.group_count()).filter(|it| copy.group_has_superblock(*it)) {
            self.device
                .write_at(self.at(copy.group_first_block(group)), &copy.to_backup_bytes(group))?;
        }
        Ok(self.device.write_at(SUPERBLOCK_AT, &self.new.to_bytes())?)
    }
}
