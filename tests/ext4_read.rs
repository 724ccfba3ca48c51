//! The ext4 reader against mke2fs, debugfs, e2fsck and ext4-view.

mod directories;
mod features;
mod files;
mod hostile;
mod journal;

use std::path::Path;
use std::sync::Arc;

use sysprep_rs::block::{HostFile, ReadBlocks};
use sysprep_rs::fs::ext4;
use sysprep_rs::fs::ext4::Ext4;
use sysprep_rs::fs::ext4::source::DeviceSource;
use sysprep_rs::fs::{Node, ReadFs};
use sysprep_rs::path::GuestPath;

fn device(image: &Path) -> Arc<dyn ReadBlocks> {
    Arc::new(HostFile::open(image).unwrap())
}

fn open(image: &Path) -> Ext4<DeviceSource> {
    ext4::open(device(image)).unwrap()
}

fn node(fs: &dyn ReadFs, at: &str) -> Node {
    let path: GuestPath = at.parse().unwrap();
    path.names().fold(fs.root(), |dir, name| {
        fs.lookup(dir, name).unwrap().unwrap_or_else(|| panic!("{at} is not there"))
    })
}
