//! The real cloud-init, of Debian's package as `tests/run` unpacks it, and never installed: it would
//! run when the machine boots next.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Where its modules are.
pub(crate) fn python_path() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cloud-init");
    let modules = unpacked.join("usr/lib/python3/dist-packages");
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
