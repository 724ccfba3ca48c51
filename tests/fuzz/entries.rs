//! What the targets run: the same entry functions as `tests/hostile.rs`.

#[path = "../hostile/entries.rs"]
mod hostile;

#[allow(dead_code)]
#[path = "../support"]
mod support {
    pub(crate) mod disk;
}

use std::sync::Arc;

use sysprep_rs::fs::DRIVERS;

fn driver(name: &str, data: &[u8]) {
    let driver = DRIVERS.iter().find(|driver| driver.name == name).expect("a driver");
    hostile::filesystem(driver, Arc::new(support::disk::Disk::from_bytes(data)));
}

/// ext2, ext3, ext4.
pub fn ext4(data: &[u8]) {
    driver("ext4", data);
}

/// FAT.
pub fn fat(data: &[u8]) {
    driver("vfat", data);
}

/// Partition tables and the guests behind them.
pub fn disk(data: &[u8]) {
    hostile::disk(Arc::new(support::disk::Disk::from_bytes(data)));
}

/// qcow2, which is opened as a file.
pub fn qcow2(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), data).expect("a temporary file");
    hostile::qcow2(file.path());
}

/// Redo logs.
pub fn redo(data: &[u8]) {
    hostile::redo(data);
}

/// Plan files.
pub fn plan(data: &[u8]) {
    hostile::plan(&String::from_utf8_lossy(data));
}

/// Operation files.
pub fn operation(data: &[u8]) {
    hostile::operation(&String::from_utf8_lossy(data));
}
