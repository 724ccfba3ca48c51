//! What stays readable in an edited volume is named.

use std::fs::File;

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

#[test]
fn what_lies_in_bad_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("bad");
    fs::write(&list, "5000\n5001\n5010\n").unwrap();
    let args = ["-t", "ext4", "-b", "4096", "-L", "root", "-l", list.to_str().unwrap()];
    let root = recipe::ext4(dir.path(), &mut root_tree(), &args, 24 << 20);
    for block in [5000, 5001, 5010] {
        write(&root, block * 4096, &content(53, 4096));
    }
    let esp = esp(dir.path());
    let boot = fs::read(&esp).unwrap();
    let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    // In both copies of the table, of 16 bits an entry.
    let (cluster, sectors) = (3000, u64::from(boot[13]));
    let data = word(14) + 2 * word(22) + word(17) / 16;
    for copy in 0..2 {
        write(&esp, (word(14) + copy * word(22)) * 512 + cluster * 2, &[0xf7, 0xff]);
    }
    write(&esp, (data + (cluster - 2) * sectors) * 512, &content(54, 512));
    let parts = [
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8304", name: "root", image: &root },
    ];
    let (image, starts) = recipe::gpt(dir.path(), &parts);
    let cluster = if sectors == 4 { "2 KiB" } else { panic!("{sectors} sectors in a cluster") };
    let expected = [
        format!("{cluster} of part1 in blocks that are marked as bad: nothing writes them"),
        "12 KiB of part2 in blocks that are marked as bad: nothing writes them".to_owned(),
    ];
    assert_eq!(stays(&image, &["seal"]), expected);
    let left = marker::on_disk(&Disk::from_file(&image));
    assert!(left.contains(&53) && left.contains(&54));
    let sealed = fs::read(&image).unwrap();
    fs::write(&root, &sealed[starts[1] as usize..][..24 << 20]).unwrap();
    oracle::e2fsck_clean(&root);
    fs::write(&esp, &sealed[starts[0] as usize..][..12 << 20]).unwrap();
    oracle::succeed("fsck.vfat", "dosfstools", &["-n", esp.to_str().unwrap()]);
}

#[test]
fn what_a_mount_hides() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = root_tree();
    spec.directory("/boot/efi/EFI");
    spec.file("/boot/efi/EFI/hidden", content(55, 600));
    let root = recipe::ext4(dir.path(), &mut spec, &["-t", "ext4", "-L", "root"], 24 << 20);
    let esp = esp(dir.path());
    let parts = [
        Part { kind: "ef00", name: "esp", image: &esp },
        Part { kind: "8304", name: "root", image: &root },
    ];
    let (image, _) = recipe::gpt(dir.path(), &parts);
    let hidden = "what the directory /boot/efi holds below the filesystem that is mounted on it: it \
                  is not looked at; mount the filesystem below alone, empty the directory, and seal \
                  again";
    assert_eq!(stays(&image, &["audit", "--operations", "hostname"]), [hidden]);
    assert_eq!(stays(&image, &["seal"]), [hidden]);
    assert!(marker::on_disk(&Disk::from_file(&image)).contains(&55));
}
