//! Files that are given in pieces: longer than memory should hold, and where there is little room.

use sysprep_rs::fs::FsError;

use super::*;
use crate::support::oracle;

/// Content in pieces: what the editor asks for, never more.
fn pieces(content: &[u8]) -> impl FnMut(&mut [u8]) -> Result<(), FsError> {
    let mut given = 0;
    move |dst| {
        assert!(!dst.is_empty() && dst.len() <= 1 << 20, "{} bytes at once", dst.len());
        dst.copy_from_slice(&content[given..given + dst.len()]);
        given += dst.len();
        Ok(())
    }
}

/// Every second block is in use, so that each block of the file is a piece of its own: its extent
/// tree is three levels deep.
#[test]
fn a_file_in_many_pieces_has_a_deep_map() {
    for args in [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "1024"]] {
        let args = [args, &["-N", "9000"]].concat();
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), &mut tree(), &args, 24 << 20);
        let large = content(70, 3_000_000);
        let free = (DRIVER.open)(Arc::new(Disk::from_file(&image))).unwrap().info().free;
        edit(&image, &|edit| {
            create(edit, "/small", NewKind::Directory);
            for number in 0..8000 {
                create(edit, &format!("/small/{number}"), NewKind::File(&content(71, 1000)));
            }
            // What the directory and the maps take is among these 700.
            let filler = usize::try_from(free / 1024).unwrap() - 8000 - 700;
            create(edit, "/filler", NewKind::File(&content(72, filler * 1024)));
            for number in (0..8000).step_by(2) {
                remove(edit, &format!("/small/{number}"));
            }
            let node = create(edit, "/large", NewKind::File(b""));
            edit.replace_from(node, large.len() as u64, &mut pieces(&large)).unwrap();
        });
        let text = image.to_str().unwrap();
        let stat = oracle::succeed("debugfs", "e2fsprogs", &["-R", "stat /large", text]);
        let stat = String::from_utf8_lossy(&stat).into_owned();
        if args.contains(&"ext4") {
            assert!(stat.matches("(ETB").count() > 4, "{stat}");
        }
        let dumped = dir.path().join("dumped");
        let dump = format!("dump /large {}", dumped.display());
        oracle::succeed("debugfs", "e2fsprogs", &["-R", &dump, text]);
        assert!(fs::read(&dumped).unwrap() == large, "{args:?}");
    }
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let image = recipe::ext4(dir.path(), &mut tree(), &["-t", "ext4"], 24 << 20);
    let mut editor = open(&Arc::new(Disk::from_file(&image)), &OPTIONS).unwrap();
    let node = at(editor.view(), "/etc/hostname");
    let never = &mut |_: &mut [u8]| panic!("read although it does not fit");
    let error = editor.replace_from(node, 1 << 40, never).unwrap_err();
    assert!(matches!(error, FsError::NoSpace), "{error}");
    // What fails on the way is told as it was said.
    let mut editor = open(&Arc::new(Disk::from_file(&image)), &OPTIONS).unwrap();
    let gone = &mut |_: &mut [u8]| Err(FsError::Source("it is gone".into()));
    let error = editor.replace_from(node, 100_000, gone).unwrap_err();
    assert_eq!(error.to_string(), "it is gone");
}
