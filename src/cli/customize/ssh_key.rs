//! The keys that `--ssh-inject` means.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use sysprep_rs::text_file;

/// The longest file of public keys, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// The keys of a selector: `file:FILE`, `string:KEY`, or nothing for the user's own.
pub(super) fn selected(selector: &str) -> Result<Vec<String>, String> {
    let (text, place) = match selector.split_once(':') {
        None if selector.is_empty() => {
            let file = own_key()?;
            (read(&file)?, file.display().to_string())
        }
        Some(("file", file)) => (read(Path::new(file))?, file.to_owned()),
        Some(("string", key)) => (key.to_owned(), "string:".to_owned()),
        _ => {
            return Err(format!("'{selector}' is no selector; write file:FILE or string:KEY"));
        }
    };
    let keys: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if keys.is_empty() {
        return Err(format!("{place}: no key is in it"));
    }
    // A private key is told where the line is put in.
    match keys.iter().position(|line| !is_key(line) && !line.contains("PRIVATE KEY")) {
        Some(at) => Err(format!(
            "{place}: its {}. key is no public key, which is a type (ssh-ed25519, …), a word in \
             base64, and a comment",
            at + 1
        )),
        None => Ok(keys),
    }
}

/// Whether a line has a key in it: options may stand before (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
fn is_key(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_type = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|it| word.starts_with(it));
    let is_base64 =
        |word: &str| word.bytes().all(|it| it.is_ascii_alphanumeric() || b"+/=".contains(&it));
    words.windows(2).any(|pair| is_type(pair[0]) && is_base64(pair[1]))
}

fn read(file: &Path) -> Result<String, String> {
    text_file::read(file, FILE_BYTES).map_err(|error| format!("{}: {error}", file.display()))
}

/// The newest public key of the one who runs this, as ssh-copy-id(1) chooses it.
fn own_key() -> Result<PathBuf, String> {
    let home = env::var_os("HOME").ok_or("HOME is not set; write USER:file:FILE")?;
    let folder = Path::new(&home).join(".ssh");
    let newest = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}; write USER:file:FILE", folder.display()))?
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("id") && name.ends_with(".pub") && !name.ends_with("-cert.pub")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .max();
    match newest {
        Some((_, file)) => Ok(file),
        None => Err(format!("{}: no public key is there; write USER:file:FILE", folder.display())),
    }
}
