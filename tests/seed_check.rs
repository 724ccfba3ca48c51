//! What cloud-init is told, and whether it would understand it.

mod cases;
mod hostile;
mod reference;
mod user_data;

use std::io::Write as _;

use sysprep_rs::seed::{Seed, SeedFile};

/// What is wrong with a file's content: `LINE:COLUMN: …` each.
fn wrong(file: SeedFile, content: impl AsRef<[u8]>) -> Vec<String> {
    match Seed::default().add(file, "f", content.as_ref().to_vec()) {
        Ok(()) => Vec::new(),
        Err(error) => {
            assert!(!error.problems.is_empty());
            error.lines().map(|line| line.strip_prefix("f:").unwrap().to_owned()).collect()
        }
    }
}

/// What is to be known of a file that is right.
fn notes(file: SeedFile, content: impl AsRef<[u8]>) -> Vec<String> {
    let mut seed = Seed::default();
    seed.add(file, "f", content.as_ref().to_vec()).unwrap_or_else(|it| panic!("{it}"));
    seed.notes().iter().map(|line| line.strip_prefix("f:").unwrap().to_owned()).collect()
}

/// Says how a file's problems are others than these, each a place and a part of what is said.
fn mismatch(file: SeedFile, content: &[u8], wanted: &[(&str, &str)]) -> Option<String> {
    let found = wrong(file, content);
    let fits = |(found, (place, part)): (&String, &(&str, &str))| {
        found.starts_with(&format!("{place}: ")) && found.contains(part)
    };
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(fits);
    let shown = String::from_utf8_lossy(content);
    (!same).then(|| format!("{shown}\n  found {found:#?}\n  wanted {wanted:?}"))
}

/// Holds a file's problems to be these.
fn assert_wrong(file: SeedFile, content: impl AsRef<[u8]>, wanted: &[(&str, &str)]) {
    assert_all_wrong(file, [(content, wanted)]);
}

/// Holds the problems of each file to be these, and tells of all that are not.
fn assert_all_wrong<'a>(
    file: SeedFile,
    cases: impl IntoIterator<Item = (impl AsRef<[u8]>, &'a [(&'a str, &'a str)])>,
) {
    let others: Vec<String> = cases
        .into_iter()
        .filter_map(|(content, wanted)| mismatch(file, content.as_ref(), wanted))
        .collect();
    assert!(others.is_empty(), "{}", others.join("\n\n"));
}

/// Packs as gzip does.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("gzip (package gzip): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let content = content.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&content));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}
