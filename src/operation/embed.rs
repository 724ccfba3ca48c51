//! The build script: lists every file under `operations/` for the catalogue to embed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=operations");
    println!("cargo::rerun-if-changed=src/operation/embed.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    collect(&root.join("operations"), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no operation under operations/");
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).expect("collected below the root").display();
        writeln!(
            list,
            "    ({:?}, include_str!({:?})),",
            name.to_string(),
            file.display().to_string()
        )
        .expect("a string takes any text");
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("operations.rs"), list).expect("the build folder can be written");
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("operations/ can be read") {
        let path = entry.expect("operations/ can be read").path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            assert!(
                path.extension().is_some_and(|ext| ext == "yaml"),
                "{} is no operation (*.yaml)",
                path.display()
            );
            into.push(path);
        }
    }
}
