//! cloud-init's own code as the judge: what it takes is taken here, what it refuses or leaves aside
//! is refused.

use std::fs;
use std::path::{Path, PathBuf};

use sysprep_rs::seed::SeedFile::{self, NetworkConfig, UserData};

use super::cases::{CLOUD_CONFIG, Case, NETWORK, STRICTER};
use super::user_data::{IGNORED, TAKEN};
use super::{gzip, notes, wrong};
use crate::support::cloud_init::{self, asked, texts};
use crate::support::oracle;

/// Writes each content to a file of its own.
fn written(contents: &[Vec<u8>]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, content): (usize, &Vec<u8>)| {
        let file = folder.path().join(number.to_string());
        fs::write(&file, content).unwrap();
        file
    };
    let files = contents.iter().enumerate().map(write).collect();
    (folder, files)
}

/// Holds our verdicts on documents against those of cloud-init's code with the same schema.
fn same_verdicts(file: SeedFile, what: &str, contents: &[Vec<u8>]) {
    let (_folder, files) = written(contents);
    for (content, answer) in contents.iter().zip(asked(what, &files)) {
        let shown = String::from_utf8_lossy(content);
        let ours = wrong(file, content);
        let theirs = texts(&answer, "problems");
        if ours.iter().all(|it| STRICTER.iter().any(|part| it.contains(part))) && !ours.is_empty() {
            assert_eq!(theirs, [""; 0], "{shown}: it is no stricter here by now");
            continue;
        }
        // What netplan takes and cloud-init's own schema does not is told.
        let told = ours.is_empty() && file == NetworkConfig && !notes(file, content).is_empty();
        assert_eq!(ours.is_empty() && !told, theirs.is_empty(), "{shown}\n{ours:#?}\n{theirs:#?}");
        if ours.is_empty() && file == UserData {
            // Each deprecation is told here, too.
            let ours = notes(file, content);
            for note in texts(&answer, "notes") {
                let path =
                    note.split("path='").nth(1).and_then(|it| it.split('\'').next()).unwrap();
                let path = format!(": {path}");
                assert!(ours.iter().any(|it| it.contains(&path)), "{shown}\n{note}\n{ours:#?}");
            }
        }
    }
}

fn contents(cases: &[Case]) -> Vec<Vec<u8>> {
    cases.iter().map(|(text, _)| text.as_bytes().to_vec()).collect()
}

fn gunzipped(file: &Path) -> Vec<u8> {
    oracle::succeed("gzip", "gzip", &["-dc", file.to_str().unwrap()])
}

/// The examples of the package whose names have a beginning.
fn examples(beginning: &str) -> Vec<(String, Vec<u8>)> {
    let folder = cloud_init::unpacked().join("usr/share/doc/cloud-init/examples");
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            match name.ends_with(".gz") {
                true => (name, gunzipped(&entry.path())),
                false => (name, fs::read(entry.path()).unwrap()),
            }
        })
        .filter(|(name, _)| name.starts_with(beginning))
        .collect();
    found.sort();
    found
}

#[test]
fn documents_are_judged_as_cloud_init_does() {
    same_verdicts(UserData, "cloud-config", &contents(CLOUD_CONFIG));
    same_verdicts(NetworkConfig, "network-config", &contents(NETWORK));
}

#[test]
fn the_examples_of_cloud_init_are_judged_as_it_does() {
    let of_config: Vec<Vec<u8>> = examples("cloud-config")
        .into_iter()
        .map(|it| it.1)
        .filter(|it| it.starts_with(b"#cloud-config\n"))
        .collect();
    assert!(of_config.len() > 20, "{}", of_config.len());
    same_verdicts(UserData, "cloud-config", &of_config);
    let good = of_config.iter().filter(|it| wrong(UserData, it).is_empty()).count();
    // The rest is of another release, or has a key twice.
    assert!(good * 2 > of_config.len(), "{good} of {} are taken", of_config.len());
}

#[test]
fn an_example_with_a_mistake_is_judged_as_cloud_init_does() {
    // A few bytes of each document are another: what is YAML still has most often a wrong key or type.
    let mut random = crate::support::random::Random::new(7);
    let mut damaged = Vec::new();
    for (_, content) in examples("cloud-config-") {
        if !content.starts_with(b"#cloud-config\n") || !content.is_ascii() {
            continue;
        }
        let text = String::from_utf8(content).unwrap();
        let values: Vec<&str> =
            text.lines().filter(|it| !it.trim_start().starts_with('#')).collect();
        for _ in 0..6 {
            let mut lines: Vec<String> = values.iter().map(|&it| it.to_owned()).collect();
            let at = random.below(lines.len());
            lines[at] = match random.below(4) {
                0 => lines[at].replacen(": ", "x: ", 1),
                1 => lines[at].split_once(": ").map_or(String::new(), |it| format!("{}: 5", it.0)),
                2 => {
                    lines[at].split_once(": ").map_or(String::new(), |it| format!("{}: [on]", it.0))
                }
                _ => lines[at].replacen("- ", "- - ", 1),
            };
            damaged.push(format!("#cloud-config\n{}\n", lines.join("\n")).into_bytes());
        }
    }
    assert!(damaged.len() > 100);
    same_verdicts(UserData, "cloud-config", &damaged);
}

#[test]
fn parts_are_taken_for_what_cloud_init_takes_them_for() {
    let good = TAKEN.iter().map(|it| it.as_bytes().to_vec());
    let ignored = IGNORED.iter().map(|(text, ..)| text.as_bytes().to_vec());
    let examples = examples("").into_iter().map(|it| it.1).filter(|it| it.starts_with(b"#"));
    // An include would be fetched.
    let mut all: Vec<Vec<u8>> = good
        .chain(ignored)
        .chain(examples)
        .filter(|it| !String::from_utf8_lossy(it).contains("#include"))
        .collect();
    let packed: Vec<Vec<u8>> = all.iter().map(|it| gzip(it)).collect();
    all.extend(packed);
    let (_folder, files) = written(&all);
    let mut lost_ones = 0;
    for (content, answer) in all.iter().zip(asked("parts", &files)) {
        let lost = texts(&answer, "lost");
        let ours = wrong(UserData, content);
        lost_ones += lost.len();
        if !lost.is_empty() {
            assert!(!ours.is_empty(), "{}\n{answer}", String::from_utf8_lossy(content));
        }
        let ignored = ours.iter().any(|it| it.contains("ignore") || it.contains("no part of this"));
        assert!(!ignored || !lost.is_empty(), "{}\n{ours:?}", String::from_utf8_lossy(content));
    }
    assert!(lost_ones >= IGNORED.len());
}
