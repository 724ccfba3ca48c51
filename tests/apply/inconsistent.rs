//! Images whose filesystem is inconsistent are left as they are, and the message says what to do.

use std::collections::BTreeMap;
use std::fs;

use sysprep_rs::apply;
use sysprep_rs::apply::verify::VerifyLevel;
use sysprep_rs::image::Access;
use sysprep_rs::operation::Action;

use super::image::{open, plan, remove};
use crate::support::spec::{Spec, path};
use crate::support::{debugfs, recipe};

#[test]
fn a_live_block_that_is_called_free_is_not_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    for file in ["/goes", "/stays"] {
        spec.file(file, file.repeat(3000));
    }
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 8 << 20);
    let said = debugfs::script(&image, false, &[b"blocks /stays".to_vec()]);
    let said = String::from_utf8_lossy(&said[0]).into_owned();
    let block = said.split_whitespace().nth(2).unwrap();
    debugfs::script(&image, true, &[format!("freeb {block}").into_bytes()]);
    let before = fs::read(&image).unwrap();
    for change in [
        remove(),
        Action::Update {
            content: Some(vec![1; 100_000].into()),
            bytes_before: 0,
            meta: Default::default(),
        },
    ] {
        let opened = open(&image, Access::Seal);
        let mut planned = plan(&opened, &BTreeMap::from([(path("/goes"), change)]));
        for keep_free_space in [false, true] {
            planned.keep_free_space = keep_free_space;
            let error = apply::stage(&opened, &planned).unwrap_err().to_string();
            for word in ["the filesystem on disk is inconsistent", "block bitmap", block, "e2fsck"]
            {
                assert!(error.contains(word), "{word}: {error}");
            }
            assert!(!error.contains("bug"), "{error}");
        }
    }
    assert!(fs::read(&image).unwrap() == before, "the image is untouched");
}

#[test]
fn wrong_counts_are_the_images_fault() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.file("/goes", "goes".repeat(3000));
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 8 << 20);
    let commands = ["set_bg 0 free_blocks_count 100", "set_bg 0 checksum calc"];
    debugfs::script(&image, true, &commands.map(|line| line.as_bytes().to_vec()));
    let opened = open(&image, Access::Seal);
    let planned = plan(&opened, &BTreeMap::from([(path("/goes"), remove())]));
    let staged = apply::stage(&opened, &planned).unwrap();
    let error = staged.verify(VerifyLevel::Touched, None).unwrap_err().to_string();
    for word in ["the filesystem on disk is inconsistent", "free clusters", "e2fsck"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}
