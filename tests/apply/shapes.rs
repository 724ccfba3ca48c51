//! Every kind of filesystem that mke2fs makes, sealed from the plan to the commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sysprep_rs::apply::verify::VerifyLevel;
use sysprep_rs::apply::{self, edit_all};
use sysprep_rs::fs::{EditOptions, NewMeta};
use sysprep_rs::image::Access;
use sysprep_rs::operation::Action;

use super::image::{NOW, open, plan, reader};
use super::verify::{changes, tree};
use crate::support::disk::Disk;
use crate::support::ext4_shapes::{SHAPES, Shape};
use crate::support::marker::content;
use crate::support::model::{Model, ModelEditor, UNIX};
use crate::support::oracle::{e2fsck_clean, free_blocks};
use crate::support::random::Random;
use crate::support::spec::{Spec, path};
use crate::support::{debugfs, recipe, snapshot};

fn seal(shape: &Shape, seed: u64) {
    println!("seed {seed}, {shape:?}");
    let dir = tempfile::tempdir().unwrap();
    let mut spec = tree(&mut Random::new(seed));
    // A directory that needs an index, and a file of many pieces.
    spec.directory("/many");
    for number in 0..300 {
        spec.file(&format!("/many/a-name-that-is-rather-long-{number:04}"), []);
    }
    let mut pieces = content(1, 800 << 10);
    pieces.chunks_mut(4096).skip(1).step_by(2).for_each(|piece| piece.fill(0));
    spec.file("/pieces", pieces);
    let file = recipe::ext4(dir.path(), &mut spec, shape.args, shape.mib << 20);
    let image = open(&file, Access::Seal);
    let changes = changes(&mut Random::new(seed), &*reader(&image));
    let planned = plan(&image, &changes);
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        let verified = apply::stage(&image, &planned)
            .and_then(|staged| staged.verify(level, None))
            .unwrap_or_else(|error| panic!("{}: {error}", shape.name));
        let proof = &verified.proofs()[0];
        assert!(proof.accounting && proof.unread == 0, "{}: {proof}", shape.name);
        match &proof.why_not_independent {
            None => assert_eq!(proof.by, "ext4-view"),
            Some(why) => {
                assert_eq!(proof.by, "this program's own reader");
                assert!(why.starts_with("ext4-view cannot read "), "{}: {why}", shape.name);
                let small_inodes = shape.args.contains(&"128");
                assert_eq!(why.contains("128-byte inodes with checksums"), small_inodes, "{why}");
                println!("{proof}");
            }
        }
        if level == VerifyLevel::Full {
            verified.commit().unwrap();
        }
    }
    drop(image);
    e2fsck_clean(&file);
    let place = Arc::new(Mutex::new(Model::new(UNIX, &spec)));
    let mut editor = ModelEditor::new(&place, &EditOptions { now: NOW, keep_free_space: false });
    edit_all(&mut editor, &changes).unwrap();
    let want = snapshot::of_fs(editor.model()).unwrap();
    snapshot::assert_same(shape.name, &want, &debugfs::snapshot(&file));
    let disk = Disk::from_file(&file);
    let (free, block) = free_blocks(&file);
    for (first, last) in free {
        let found = disk.first_nonzero(first * block, (last + 1 - first) * block);
        assert_eq!(found, None, "{}: free blocks {first}-{last}", shape.name);
    }
}

/// `ext4-view` takes a time before 1970 for damage, in the original as in the result.
#[test]
fn times_before_1970_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = tree(&mut Random::new(5));
    let path = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4"], 16 << 20);
    let old = |path| format!("set_inode_field {path} mtime 19600101").into_bytes();
    debugfs::script(&path, true, &spec.0.keys().map(old).collect::<Vec<_>>());
    e2fsck_clean(&path);
    let image = open(&path, Access::Seal);
    let changes = changes(&mut Random::new(5), &*reader(&image));
    let planned = plan(&image, &changes);
    let verified = apply::stage(&image, &planned).unwrap().verify(VerifyLevel::Full, None).unwrap();
    let proof = &verified.proofs()[0];
    assert!(proof.own_looks > 0 && proof.unread == 0, "{proof}");
    assert!(proof.to_string().contains("looks by this program's own reader"), "{proof}");
    verified.commit().unwrap();
    drop(image);
    e2fsck_clean(&path);
}

/// One test for each eighth of the shapes, so that they run beside each other.
macro_rules! eighths {
    ($($name:ident $share:literal),*) => {$(
        #[test]
        fn $name() {
            for (index, shape) in SHAPES.iter().enumerate().skip($share).step_by(8) {
                seal(shape, 31 + index as u64);
            }
        }
    )*};
}

eighths!(sealed_one 0, sealed_two 1, sealed_three 2, sealed_four 3, sealed_five 4, sealed_six 5, sealed_seven 6, sealed_eight 7);

/// ext4-view takes a target with a name in it that no directory could hold for corrupt.
#[test]
fn a_symlink_may_hold_any_text() {
    let dir = tempfile::tempdir().unwrap();
    let file = recipe::ext4(dir.path(), &mut Spec::default(), &["-t", "ext4"], 8 << 20);
    let image = open(&file, Access::Seal);
    let link = Action::CreateSymlink {
        target: vec![b't'; 500],
        meta: NewMeta { mode: 0o777, ..NewMeta::default() },
        replaces: None,
    };
    let planned = plan(&image, &BTreeMap::from([(path("/link"), link)]));
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        let verified = apply::stage(&image, &planned).unwrap().verify(level, None).unwrap();
        assert!(verified.proofs()[0].own_looks > 0);
    }
}
