//! The real cloud-init, of Debian's package as `tests/run` unpacks it, and never installed: it would
//! run when the machine boots next.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::oracle;

/// The unpacked package.
pub(crate) fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cloud-init")
}

/// Where its modules are.
pub(crate) fn python_path() -> PathBuf {
    let modules = unpacked().join("usr/lib/python3/dist-packages");
    assert!(modules.is_dir(), "{} is missing: tests/run fetches it", modules.display());
    modules
}

/// Runs a script that imports it, which has to succeed; gives the JSON that it prints. Its own
/// words are `sys.argv[1:]`.
pub(crate) fn run(script: &str, words: &[&str]) -> Value {
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian's own interpreter, which has the modules that it needs.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .args(words)
        .env("PYTHONPATH", python_path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("/usr/bin/python3 cannot be run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "cloud-init, {words:?}:\n{said}\n{complaint}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}\n{complaint}"))
}

/// What its code says of each file or tree: `tests/seed_check/reference.py` tells what there is to ask.
pub(crate) fn asked(what: &str, files: &[PathBuf]) -> Vec<Value> {
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/src/seed/schemas");
    let mut words = vec![schemas, what];
    words.extend(files.iter().map(|it| it.to_str().unwrap()));
    let Value::Array(answers) = run(include_str!("../seed_check/reference.py"), &words) else {
        panic!("no list of answers");
    };
    assert_eq!(answers.len(), files.len());
    answers
}

/// The texts of a list in an answer.
pub(crate) fn texts(answer: &Value, name: &str) -> Vec<String> {
    let list = answer[name].as_array().unwrap_or_else(|| panic!("{answer}"));
    list.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// What ds-identify, which runs before cloud-init at boot, writes down for it in a guest's tree.
pub(crate) fn identified(tree: &Path) -> Option<String> {
    let program = unpacked().join("usr/lib/cloud-init/ds-identify");
    std::fs::create_dir_all(tree.join("run/cloud-init")).unwrap();
    std::fs::create_dir_all(tree.join("proc")).unwrap();
    std::fs::write(tree.join("proc/cmdline"), "root=LABEL=root\n").unwrap();
    let place = format!("PATH_ROOT={}", tree.display());
    let words = [place.as_str(), "DI_LOG=stderr", "sh", program.to_str().unwrap(), "--force"];
    oracle::run("env", "coreutils", &words);
    std::fs::read_to_string(tree.join("run/cloud-init/cloud.cfg")).ok()
}
