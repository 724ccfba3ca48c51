//! The flags, and what steps each is.

use serde_json::{Value as Json, json};

use super::at_first_boot::{command, install, script, uninstall, update};
use super::perl;
use super::ssh_key;

/// A flag of virt-customize.
pub(super) struct Flag {
    pub(super) name: &'static str,
    /// What its value is called; `None` where it has none.
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
    pub(super) means: Means,
}

/// What a flag comes to.
pub(super) enum Means {
    /// These steps, made of its value.
    Steps(fn(&str) -> Result<Vec<Json>, String>),
    /// The password of the account that its value names, or of this one.
    Password(Option<&'static str>),
    /// How passwords are hashed.
    Crypto,
    /// More flags, one a line of a file.
    File,
    /// The same, of what runs programs of the guest: with `--at-first-boot` alone.
    AtFirstBoot(fn(&str) -> Result<Vec<Json>, String>),
    /// Files of cloud-init's seed.
    Seed,
    /// Nothing, which is what it asks for.
    Nothing,
}

const fn flag(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    steps: fn(&str) -> Result<Vec<Json>, String>,
) -> Flag {
    Flag { name, value: Some(value), help, means: Means::Steps(steps) }
}

const fn run(
    name: &'static str,
    value: &'static str,
    help: &'static str,
    steps: fn(&str) -> Result<Vec<Json>, String>,
) -> Flag {
    Flag { name, value: Some(value), help, means: Means::AtFirstBoot(steps) }
}

/// The flag that has the guest itself run what has to be run in it.
pub(super) const AT_FIRST_BOOT: &str = "at-first-boot";

pub(super) const FLAGS: &[Flag] = &[
    flag("append-line", "FILE:LINE", "Add a line to a file's end, if it does not have it", append),
    Flag {
        name: AT_FIRST_BOOT,
        value: None,
        help: "Have the guest do at its first boot what --run and its like ask for",
        means: Means::Nothing,
    },
    flag("chmod", "PERMISSIONS:FILE", "Set permission bits, in octal with a leading 0", chmod),
    flag("chown", "UID:GID:PATH", "Set owner and group", chown),
    Flag {
        name: "cloud-init",
        value: Some("PART=FILE,..."),
        help: "Seed cloud-init from files of the host: user-data=F, meta-data=F, network-config=F, \
               vendor-data=F; 'unchecked' takes them as they are",
        means: Means::Seed,
    },
    Flag {
        name: "commands-from-file",
        value: Some("FILE"),
        help: "Take more of these from a file, one a line, without the dashes",
        means: Means::File,
    },
    flag("copy", "SOURCE:DEST", "Copy a file or directory of the guest, as cp -a", copy),
    flag("copy-in", "LOCALPATH:REMOTEDIR", "Bring a file or folder of the host along", copy_in),
    flag("delete", "PATH", "Remove files and directories, wildcards allowed", delete),
    flag("edit", "FILE:EXPR", "Edit a file line by line by s/…/…/ and $_ = \"…\" of Perl", edit),
    flag("firstboot", "SCRIPT", "Have the guest run a script of the host once", script),
    flag("firstboot-command", "COMMAND", "Have the guest run a command once", command),
    flag("firstboot-install", "PKG,PKG..", "Have the guest install packages once", install),
    flag("hostname", "NAME", "Set the host name", |text| Ok(vec![json!({ "hostname": text })])),
    run("install", "PKG,PKG..", "Install packages, with --at-first-boot", install),
    flag("keymap", "KEYMAP", "Set the console's keyboard", |text| {
        Ok(vec![json!({ "keymap": text })])
    }),
    flag("link", "TARGET:LINK[:LINK..]", "Make symlinks, in place of what file is there", link),
    flag("mkdir", "DIR", "Make a directory, and those above it", mkdir),
    flag("move", "SOURCE:DEST", "Move a file or directory of the guest, as mv", move_path),
    Flag {
        name: "no-logfile",
        value: None,
        help: "Leave no log of this in the guest, which is so anyway",
        means: Means::Nothing,
    },
    Flag {
        name: "no-selinux-relabel",
        value: None,
        help: "Do not have SELinux relabel the guest, which is so anyway",
        means: Means::Nothing,
    },
    Flag {
        name: "password",
        value: Some("USER:SELECTOR"),
        help: "Set an account's password: file:FILE, password:PASSWORD, random, disabled, \
               locked, locked:…",
        means: Means::Password(None),
    },
    Flag {
        name: "password-crypto",
        value: Some("METHOD"),
        help: "Hash passwords by sha256, sha512 or yescrypt (by default as the guest does)",
        means: Means::Crypto,
    },
    Flag {
        name: "root-password",
        value: Some("SELECTOR"),
        help: "Set root's password",
        means: Means::Password(Some("root")),
    },
    run("run", "SCRIPT", "Run a script of the host, with --at-first-boot", script),
    run("run-command", "COMMAND", "Run a command, with --at-first-boot", command),
    flag(
        "scrub",
        "FILE",
        "Remove a file; what it held is overwritten, as with every removal",
        scrub,
    ),
    Flag {
        name: "selinux-relabel",
        value: None,
        help: "Have the guest relabel its files for SELinux at its first boot",
        means: Means::Steps(relabel),
    },
    flag(
        "ssh-inject",
        "USER[:SELECTOR]",
        "Let a key log in: file:FILE, string:KEY, or yours",
        inject,
    ),
    flag("tar-in", "TARFILE:REMOTEDIR", "Unpack a tar file of the host, not compressed", tar_in),
    flag("timezone", "ZONE", "Set the time zone", |text| Ok(vec![json!({ "timezone": text })])),
    flag("touch", "FILE", "Make an empty file where none is", touch),
    flag("truncate", "FILE", "Empty a file", truncate),
    flag("truncate-recursive", "PATH", "Empty every file below a directory", truncate_recursive),
    run("uninstall", "PKG,PKG..", "Remove packages, with --at-first-boot", uninstall),
    Flag {
        name: "update",
        value: None,
        help: "Update every package, with --at-first-boot",
        means: Means::AtFirstBoot(update),
    },
    Flag {
        name: "user-password",
        value: Some("USER:SELECTOR"),
        help: "The same as --password",
        means: Means::Password(None),
    },
    flag("upload", "FILE:DEST", "Bring a file of the host along", upload),
    flag("write", "FILE:CONTENT", "Give a file a content", write),
];

/// `FIRST:REST`.
fn pair<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(':').ok_or_else(|| format!("write {form}"))
}

/// A path without what a shell's completion leaves at its end.
fn path(text: &str) -> Result<&str, String> {
    let path = text.trim_end_matches('/');
    match path {
        "" if text.starts_with('/') => Err("'/' is the whole guest; name what is in it".into()),
        _ if !path.starts_with('/') => Err(format!("'{text}' is no absolute path")),
        path => Ok(path),
    }
}

/// A path that may be the root: something goes into it.
fn into(text: &str) -> Result<&str, String> {
    match text.trim_end_matches('/').is_empty() && !text.is_empty() {
        true => Ok("/"),
        false => path(text),
    }
}

/// A path as a pattern that means it alone.
fn literally(text: &str) -> Result<String, String> {
    let mut pattern = String::new();
    for c in path(text)?.chars() {
        if "\\*?[]{},".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Ok(pattern)
}

fn append(text: &str) -> Result<Vec<Json>, String> {
    let (file, line) = pair(text, "FILE:LINE")?;
    Ok(vec![json!({ "append": { "path": path(file)?, "lines": line } })])
}

fn chmod(text: &str) -> Result<Vec<Json>, String> {
    let (mode, file) = pair(text, "PERMISSIONS:FILE")?;
    if !mode.starts_with('0') {
        return Err(format!(
            "'{mode}' is decimal for virt-customize; write the octal number with a leading 0, as \
             in 0644"
        ));
    }
    let mode = mode.trim_start_matches('0');
    let mode = format!("{mode:0>4}");
    Ok(vec![json!({ "chmod": { "paths": literally(file)?, "mode": mode, "required": true } })])
}

fn chown(text: &str) -> Result<Vec<Json>, String> {
    let form = "UID:GID:PATH";
    let (owner, rest) = pair(text, form)?;
    let (group, file) = pair(rest, form)?;
    let fields = json!({
        "paths": literally(file)?,
        "owner": owner,
        "group": group,
        "follow": true,
        "required": true,
    });
    Ok(vec![json!({ "chown": fields })])
}

fn copy(text: &str) -> Result<Vec<Json>, String> {
    let (from, to) = pair(text, "SOURCE:DEST")?;
    Ok(vec![json!({ "copy": { "from": path(from)?, "to": into(to)? } })])
}

fn copy_in(text: &str) -> Result<Vec<Json>, String> {
    let (from, to) = pair(text, "LOCALPATH:REMOTEDIR")?;
    Ok(vec![json!({ "upload": { "from": from, "to": path(to)?, "recursive": true } })])
}

fn upload(text: &str) -> Result<Vec<Json>, String> {
    let (from, to) = pair(text, "FILE:DEST")?;
    Ok(vec![json!({ "upload": { "from": from, "to": path(to)? } })])
}

fn delete(text: &str) -> Result<Vec<Json>, String> {
    let mut pattern = path(text)?.to_owned();
    // For glob(3) two stars are one.
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    Ok(vec![json!({ "remove": { "paths": pattern } })])
}

fn edit(text: &str) -> Result<Vec<Json>, String> {
    let (file, expression) = pair(text, "FILE:EXPR")?;
    let fields = json!({
        "paths": literally(file)?,
        "do": perl::statements(expression)?,
        "required": true,
    });
    Ok(vec![json!({ "edit-lines": fields })])
}

fn inject(text: &str) -> Result<Vec<Json>, String> {
    let (user, selector) = text.split_once(':').unwrap_or((text, ""));
    Ok(vec![json!({ "authorize-key": { "user": user, "keys": ssh_key::selected(selector)? } })])
}

fn link(text: &str) -> Result<Vec<Json>, String> {
    let (target, links) = pair(text, "TARGET:LINK[:LINK..]")?;
    let one = |link: &str| {
        Ok(json!({ "symlink": { "path": path(link)?, "target": target, "replace": true } }))
    };
    links.split(':').map(one).collect()
}

fn mkdir(text: &str) -> Result<Vec<Json>, String> {
    Ok(vec![json!({ "mkdir": { "path": path(text)?, "parents": true } })])
}

fn move_path(text: &str) -> Result<Vec<Json>, String> {
    let (from, to) = pair(text, "SOURCE:DEST")?;
    Ok(vec![json!({ "move": { "from": path(from)?, "to": into(to)? } })])
}

fn relabel(_: &str) -> Result<Vec<Json>, String> {
    Ok(vec![json!({ "touch": { "path": "/.autorelabel", "when": { "selinux": true } } })])
}

fn scrub(text: &str) -> Result<Vec<Json>, String> {
    let fields = json!({ "paths": literally(text)?, "only": "non-directory", "required": true });
    Ok(vec![json!({ "remove": fields })])
}

fn tar_in(text: &str) -> Result<Vec<Json>, String> {
    let (from, to) = pair(text, "TARFILE:REMOTEDIR")?;
    Ok(vec![json!({ "tar-in": { "from": from, "to": into(to)? } })])
}

fn touch(text: &str) -> Result<Vec<Json>, String> {
    Ok(vec![json!({ "touch": path(text)? })])
}

fn truncate(text: &str) -> Result<Vec<Json>, String> {
    Ok(vec![json!({ "truncate": { "paths": literally(text)?, "required": true } })])
}

fn truncate_recursive(text: &str) -> Result<Vec<Json>, String> {
    let fields = json!({ "paths": literally(text)?, "recursive": true, "required": true });
    Ok(vec![json!({ "truncate": fields })])
}

fn write(text: &str) -> Result<Vec<Json>, String> {
    let (file, content) = pair(text, "FILE:CONTENT")?;
    Ok(vec![json!({ "write": { "path": path(file)?, "content": content } })])
}
