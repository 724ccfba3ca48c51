//! The source's layers: each imports only those before it.

use std::fs;
use std::path::Path;

/// Lowest first. A layer may import itself, the ones before it, and the base modules.
const LAYERS: [&str; 11] = [
    "block",
    "image",
    "volume",
    "fs",
    "guest",
    "secret",
    "seed",
    "operation",
    "plan",
    "apply",
    "report",
];

fn imports(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let groups = if let Some(list) = rest.strip_prefix('{') {
            list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect()
        } else {
            vec![rest]
        };
        for group in groups {
            let name: String =
                group.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

#[test]
fn a_layer_imports_only_those_before_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (level, layer) in LAYERS.iter().enumerate() {
        let mut folders = vec![source.join(layer)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ext| ext == "rs") {
                    seen += 1;
                    for name in imports(&path) {
                        if LAYERS
                            .iter()
                            .position(|other| *other == name)
                            .is_some_and(|it| it > level)
                        {
                            wrong.push(format!("{} imports {name}", path.display()));
                        }
                    }
                }
            }
        }
    }
    assert!(seen >= LAYERS.len(), "only {seen} source files found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
