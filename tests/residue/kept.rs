//! What stays readable in an edited volume is named.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::*;

/// Runs the program, which has to end well; gives what it says of what stays.
fn stays(image: &Path, args: &[&str]) -> Vec<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sysprep-rs")).args(args).arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines()
        .filter_map(|line| line.strip_prefix("Stays readable: "))
        .map(str::to_owned)
        .collect()
}

fn write(image: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(image).unwrap().write_all_at(bytes, at).unwrap();
}

fn behind(len: &str, volume: &str) -> String {
    format!(
        "the last {len} of {volume}: its filesystem ends before, so nothing says what uses them; \
         zero them, or grow the filesystem over them, and seal again"
    )
}

#[test]
fn what_lies_behind_the_filesystem_of_a_partition() {
    let dir = tempfile::tempdir().unwrap();
    let root = recipe::ext4(dir.path(), &mut root_tree(), &["-t", "ext4", "-L", "root"], 24 << 20);
    oracle::succeed("resize2fs", "e2fsprogs", &[root.to_str().unwrap(), "16M"]);
    File::options().write(true).open(&root).unwrap().set_len(24 << 20).unwrap();
    write(&root, 20 << 20, &content(50, 9000));
    let esp = esp(dir.path());
    File::options().write(true).open(&esp).unwrap().set_len(13 << 20).unwrap();
    write(&esp, (13 << 20) - 512, &content(51, 512));
    let parts = [
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8304", name: "root", image: &root },
    ];
    let (image, starts) = recipe::gpt(dir.path(), &parts);
    let expected = [behind("1 MiB", "part1"), behind("8 MiB", "part2")];
    assert_eq!(stays(&image, &["audit", "--operations", "hostname"]), expected);
    assert_eq!(stays(&image, &["seal"]), expected);
    let left = marker::on_disk(&Disk::from_file(&image));
    assert!(left.contains(&50) && left.contains(&51), "nothing that may be needed goes");
    write(&image, starts[1] + (16 << 20), &vec![0; 8 << 20]);
    assert_eq!(stays(&image, &["seal"]), expected[..1]);
    write(&image, starts[0] + (12 << 20), &vec![0; 1 << 20]);
    assert_eq!(stays(&image, &["seal"]), Vec::<String>::new());
}

/// Holes cost nothing, however many.
#[test]
fn what_lies_behind_the_filesystem_of_a_whole_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = root_tree();
    spec.0.remove(&path("/etc/fstab"));
    let image = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-L", "root"], 24 << 20);
    let len = (24 << 20) + (3 << 40);
    File::options().write(true).open(&image).unwrap().set_len(len).unwrap();
    assert_eq!(stays(&image, &["seal"]), Vec::<String>::new());
    write(&image, len - 100, &content(52, 100));
    assert_eq!(stays(&image, &["seal"]), [behind("3 TiB", "disk")]);
    File::options().write(true).open(&image).unwrap().set_len(24 << 20).unwrap();
    oracle::e2fsck_clean(&image);
}
