//! The fuzz targets: their bodies are compiled and run here, on a seeded share.

use std::fs;
use std::path::Path;

use super::*;

/// What a target does.
type Body = fn(&[u8]);

/// Each target whose input is an image, by the name of its file in `tests/fuzz/fuzz_targets`.
/// (Operations, plans and redo logs go through theirs in the tests of those.)
const IMAGES: [(&str, Body); 4] = [
    ("ext4", targets::ext4),
    ("fat", targets::fat),
    ("disk", targets::disk),
    ("qcow2", targets::qcow2),
];

/// A small image for a target to start from.
fn base(target: &str, dir: &Path) -> Vec<u8> {
    let mut spec = small_tree(target != "fat");
    let filesystem = match target {
        "fat" => recipe::fat(dir, &spec, 12, &[], 1 << 20),
        _ => recipe::ext4(dir, &mut spec, &["-t", "ext2", "-b", "1024"], 2 << 20),
    };
    let image = match target {
        "disk" => {
            let part = Part { kind: "8300", name: "root", image: &filesystem };
            recipe::gpt(dir, &[part]).0
        }
        "qcow2" => {
            let image = dir.join("image.qcow2");
            oracle::qemu_img_convert(&filesystem, "raw", &image, &["-O", "qcow2"]);
            image
        }
        _ => filesystem,
    };
    fs::read(image).unwrap()
}

#[test]
fn the_targets_of_images() {
    for (name, target) in IMAGES {
        let dir = tempfile::tempdir().unwrap();
        let bytes = base(name, dir.path());
        let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
        cases(&format!("target {name}"), 60, move |random| {
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(6) {
                let at = *random.pick(&used);
                bytes[at] = *random.pick(&[0, 0xff, 0x7f, 1, bytes[at] ^ 1, bytes[at] ^ 0x80]);
            }
            if random.one_in(20) {
                bytes.truncate(random.below(bytes.len()));
            }
            target(&bytes);
        });
    }
}

#[test]
fn every_target_has_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let bodies = fs::read_to_string(folder.join("targets.rs")).unwrap();
    let mut found = 0;
    for file in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let call = format!("fuzz_target!(|data: &[u8]| sysprep_rs_fuzz::targets::{name}(data));");
        assert!(text.contains(&call), "{text}");
        assert!(bodies.contains(&format!("pub fn {name}(data: &[u8])")), "{name} has no body");
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name} is not built");
        found += 1;
    }
    assert_eq!(found, bodies.matches("pub fn ").count());
}
