//! What the families of systems are told of their first boot, from the files that they have: each
//! tree in `families/`, its texts those of the packages, cut down to what decides.

use std::collections::BTreeMap;

use sysprep_rs::operation::{Catalogue, Selection};
use sysprep_rs::plan::{Comeback, Return};

use super::sample::Sample;

mod table;
use table::{Family, TABLE};

/// A tree as [`sample::spec`](super::sample::spec) reads it, from files of `families/`. A path that
/// ends with a colon has the lines below it that are indented, `PATH -> TARGET` is a symlink, any
/// other path an empty program.
fn tree(parts: &[&str]) -> String {
    let mut files: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut here = None;
    for part in parts {
        let at = format!("{}/tests/operations/families/{part}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = match part.strip_prefix('/') {
            // One path of the case's own.
            Some(_) => (*part).to_owned(),
            None => std::fs::read_to_string(&at).unwrap_or_else(|error| panic!("{at}: {error}")),
        };
        for line in text.lines() {
            if let Some(text) = line.strip_prefix("    ").or(line.is_empty().then_some("")) {
                if let Some(content) = here.as_ref().and_then(|path| files.get_mut(path)) {
                    let content = content.get_or_insert_with(String::new);
                    content.push_str(text);
                    content.push('\n');
                }
            } else if !line.starts_with('#') {
                let path = line.strip_suffix(':');
                let content = path.map(|_| String::new());
                here = path.map(str::to_owned);
                files.insert(path.unwrap_or(line).to_owned(), content);
            }
        }
    }
    let line = |(path, content): (String, Option<String>)| match content {
        Some(content) => format!("{path} 0755 = {}\n", serde_json::to_string(&content).unwrap()),
        None if path.contains(" -> ") => format!("{path}\n"),
        None => format!("{path} 0755 = \"\"\n"),
    };
    files.into_iter().map(line).collect()
}

/// A line of the report: what, whether it comes, and by what.
fn line(it: &Return) -> String {
    let head = match it.comes {
        Comeback::Made(_) => "made",
        Comeback::Added(_) => "added",
        Comeback::Missing(_) => "missing",
        Comeback::Unknown(_) => "not known",
        Comeback::Note(_) => "note",
    };
    format!("{} | {head} | {}", it.what, it.comes.words())
}

/// Whether a line is the one that is expected, of which `…` at the end stands for any rest.
fn is_as(found: &str, expected: &str) -> bool {
    match expected.strip_suffix('…') {
        Some(begin) => found.starts_with(begin),
        None => found == expected,
    }
}

#[test]
fn each_family_is_told_what_comes_back() {
    let operations = Catalogue::embedded().unwrap().select(&Selection::defaults()).unwrap();
    let mut wrong = String::new();
    for Family { name, parts, says } in TABLE {
        let mut sample = Sample::new(&tree(parts));
        let plan = sample.plan(&operations);
        let found: Vec<String> = plan.first_boot.iter().map(line).collect();
        let fits = found.len() == says.len()
            && found.iter().zip(*says).all(|(found, expected)| is_as(found, expected));
        if !fits {
            wrong.push_str(&format!("{name}:\n"));
            found.iter().for_each(|it| wrong.push_str(&format!("    {it}\n")));
        }
        // What is put in stays, and is what makes it from then on.
        sample.seal(&plan);
        let again = sample.plan(&operations);
        if !again.changes.is_empty() {
            wrong.push_str(&format!("{name}: the second time changes {:?}\n", again.changes));
        }
        for (first, then) in plan.first_boot.iter().zip(&again.first_boot) {
            if matches!(first.comes, Comeback::Added(_)) && then.comes.is_open() {
                wrong.push_str(&format!("{name}: then: {}\n", line(then)));
            }
        }
    }
    assert!(wrong.is_empty(), "not as in the table:\n{wrong}");
}
