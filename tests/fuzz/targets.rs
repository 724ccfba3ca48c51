//! What each fuzz target does with its bytes. The test suite runs the same on a seeded share.

use std::sync::Arc;

use sysprep_rs::fs::DRIVERS;
use sysprep_rs::seed::SeedFile;

use super::entries;
use crate::support::disk::Disk;

fn driver(name: &str, data: &[u8]) {
    let driver = DRIVERS.iter().find(|driver| driver.name == name).expect("a driver");
    entries::filesystem(driver, Arc::new(Disk::from_bytes(data)));
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
    entries::disk(Arc::new(Disk::from_bytes(data)));
}

/// qcow2, which is opened as a file.
pub fn qcow2(data: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), data).expect("a temporary file");
    entries::qcow2(file.path());
}

/// Redo logs.
pub fn redo(data: &[u8]) {
    entries::redo(data);
}

/// Plan files.
pub fn plan(data: &[u8]) {
    entries::plan(&String::from_utf8_lossy(data));
}

/// Operation files.
pub fn operation(data: &[u8]) {
    entries::operation(&String::from_utf8_lossy(data));
}

/// user-data and vendor-data: cloud-config, MIME, templates, what is packed.
pub fn user_data(data: &[u8]) {
    entries::seed(SeedFile::UserData, data);
    entries::seed(SeedFile::VendorData, data);
}

/// meta-data.
pub fn meta_data(data: &[u8]) {
    entries::seed(SeedFile::MetaData, data);
}

/// network-config.
pub fn network_config(data: &[u8]) {
    entries::seed(SeedFile::NetworkConfig, data);
}
