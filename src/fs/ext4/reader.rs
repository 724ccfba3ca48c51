//! Reading an ext4 filesystem through [`ReadFs`].

use std::ops::ControlFlow;

use super::features::{compat, incompat, ro_compat};
use super::inode::{self, BAD, Inode, ROOT, Time, kind_of_file_type};
use super::map::{self, Mapped};
use super::source::{Source, read_inode};
use super::superblock::Superblock;
use super::{attributes, content, directory, storing};
use crate::fs::{Entry, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing, Xattr};

/// A filesystem as its source shows it.
pub struct Ext4<S> {
    source: S,
    dirty: bool,
}

impl<S: Source> Ext4<S> {
    /// Reads from `source`; `dirty` says whether the device holds a journal not yet replayed, of
    /// which the source shows the state after the replay.
    pub fn new(source: S, dirty: bool) -> Self {
        Self { source, dirty }
    }

    /// Where it reads from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Where it reads from, to change it.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// An inode in use.
    ///
    /// # Errors
    /// As [`read_inode`].
    pub fn inode(&self, node: Node) -> Result<Inode, FsError> {
        let number = u32::try_from(node.0).map_err(|_| FsError::NotFound)?;
        read_inode(&self.source, number)
    }
}

impl<S: Source> ReadFs for Ext4<S> {
    /// Our lookups tell names apart in casefolded directories, too.
    fn folds_case(&self) -> bool {
        false
    }

    fn spelling(&self, _: Node, _: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        Ok(None)
    }

    /// A journal that was not replayed, and what was removed while it was open, may hold more.
    fn most_free(&self) -> Result<Option<u64>, FsError> {
        let superblock = self.source.superblock();
        let settled = !self.dirty
            && superblock.last_orphan() == 0
            && !superblock.has_ro_compat(ro_compat::ORPHAN_PRESENT);
        Ok(settled.then(|| self.info().free))
    }

    fn can_store(&self, what: &Storing<'_>) -> Result<(), FsError> {
        storing::can_store(&self.source, what)
    }

    fn info(&self) -> FsInfo {
        info(self.source.superblock(), self.dirty)
    }

    /// Whole clusters: what lies beside a bad block is left, too.
    fn bad_bytes(&self) -> Result<u64, FsError> {
        let superblock = self.source.superblock();
        let ratio = u64::from(superblock.cluster_blocks());
        let mut clusters = 0;
        let mut next = 0;
        map::walk(&self.source, &self.source.inode_bytes(BAD)?, map::WHOLE, &mut |mapped| {
            if let Mapped::Run(run) = mapped {
                let first = (run.physical / ratio).max(next);
                let past = (run.physical + run.blocks).div_ceil(ratio);
                clusters += past.saturating_sub(first);
                next = past;
            }
            ControlFlow::Continue(())
        })?;
        Ok(clusters * ratio * u64::from(superblock.block_size()))
    }

    fn root(&self) -> Node {
        Node(u64::from(ROOT))
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        let found = directory::lookup(&self.source, &self.inode(dir)?, name)?;
        Ok(found.map(|number| Node(u64::from(number))))
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        directory::names(&self.source, &self.inode(dir)?, &mut |name, record| {
            visit(Entry {
                name,
                node: Node(u64::from(record.inode)),
                kind: kind_of_file_type(record.file_type),
            })
        })
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        let inode = self.inode(node)?;
        let superblock = self.source.superblock();
        let kind = inode
            .kind()
            .ok_or_else(|| inode.corrupt("inode", format_args!("i_mode {:#o}", inode.mode())))?;
        let device = matches!(kind, Kind::BlockDevice | Kind::CharDevice).then(|| inode.device());
        Ok(Stat {
            kind,
            mode: inode.mode() & 0o7777,
            uid: inode.uid(),
            gid: inode.gid(),
            size: inode.size(superblock),
            allocated: inode.allocated(superblock),
            links: u32::from(inode.links()),
            device,
            mtime: inode.time(Time::Modify),
            ctime: inode.time(Time::Change),
            atime: inode.time(Time::Access),
            immutable: inode.has_flag(inode::IMMUTABLE | inode::APPEND),
            encrypted: inode.has_flag(inode::ENCRYPT),
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        attributes::shown(&self.source, &self.inode(node)?)
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        content::read_at(&self.source, &self.inode(file)?, at, dst)
    }

    fn is_zero(&self, file: Node, at: u64) -> Result<bool, FsError> {
        content::is_zero(&self.source, &self.inode(file)?, at)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        content::link_target(&self.source, &self.inode(link)?)
    }
}

/// What a superblock says of its filesystem.
pub fn info(superblock: &Superblock, dirty: bool) -> FsInfo {
    let block_size = u64::from(superblock.block_size());
    let label = superblock.label();
    FsInfo {
        kind: kind(superblock).to_owned(),
        uuid: uuid_text(superblock.uuid()),
        label: (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned()),
        block_size: superblock.block_size(),
        size: superblock.size(),
        free: superblock.free_blocks().saturating_mul(block_size),
        features: superblock.features().names(),
        dirty,
        read_only_because: superblock.uneditable(),
    }
}

/// Which of the three it is, as `blkid` decides: by the features ext3 and ext2 do not know.
fn kind(superblock: &Superblock) -> &'static str {
    let known_incompat = incompat::FILETYPE | incompat::NEEDS_RECOVERY | incompat::META_BG;
    /// The never used `btree_dir`.
    const BTREE_DIR: u32 = 0x4;
    let known_ro_compat = ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | BTREE_DIR;
    let features = superblock.features();
    if features.incompat & !known_incompat != 0 || features.ro_compat & !known_ro_compat != 0 {
        "ext4"
    } else if features.has_compat(compat::HAS_JOURNAL) {
        "ext3"
    } else {
        "ext2"
    }
}

/// A UUID as `blkid` prints it; `None` when it is all zero.
pub fn uuid_text(uuid: [u8; 16]) -> Option<String> {
    if uuid == [0; 16] {
        return None;
    }
    Some(crate::fs::uuid::text(uuid))
}
