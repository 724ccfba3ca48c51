//! An ext4 tree as the `ext4-view` crate shows it, straight and not through our judge.

use std::sync::Arc;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};
use sysprep_rs::block::ReadBlocks;
use sysprep_rs::digest::Digest;
use sysprep_rs::fs::Kind;
use sysprep_rs::path::GuestPath;

use crate::support::disk::Disk;
use crate::support::snapshot::{Object, Snapshot};

struct Reader(Arc<Disk>);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        start: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read_at(start, dst)?)
    }
}

/// The whole tree, without the content of the files that `unreadable` names: `ext4-view` takes a
/// hole in a block-mapped file (one without extents) for block 0.
pub(crate) fn snapshot(
    disk: Arc<Disk>,
    unreadable: &dyn Fn(&GuestPath) -> bool,
) -> Result<Snapshot, Ext4Error> {
    let fs = Ext4::load(Box::new(Reader(disk)))?;
    let mut tree = Snapshot::new();
    let mut found = vec![GuestPath::root()];
    while let Some(path) = found.pop() {
        let bytes = path.to_bytes();
        let at = ext4_view::Path::try_from(bytes.as_slice()).expect("an absolute path");
        let metadata = fs.symlink_metadata(at)?;
        let kind = match metadata.file_type() {
            FileType::Regular => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        if kind == Kind::Directory {
            for entry in fs.read_dir(at)? {
                let entry = entry?;
                let name = entry.file_name();
                let name: &[u8] = name.as_ref();
                if name != b"." && name != b".." {
                    found.push(path.join(name));
                }
            }
        }
        let file = kind == Kind::File;
        let content =
            if file && !unreadable(&path) { Some(Digest::of(&fs.read(at)?)) } else { None };
        let target = match kind {
            Kind::Symlink => {
                let target = fs.read_link(at)?;
                let target: &[u8] = target.as_ref();
                Some(target.to_vec())
            }
            _ => None,
        };
        tree.insert(
            path,
            Object {
                kind: Some(kind),
                mode: Some(metadata.mode() & 0o7777),
                owner: Some((metadata.uid(), metadata.gid())),
                size: if file { metadata.len() } else { 0 },
                content,
                target,
                device: None,
                xattrs: None,
                mtime: None,
                links: None,
                same_as: None,
            },
        );
    }
    Ok(tree)
}
