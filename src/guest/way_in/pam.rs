//! PAM: modules that shut out whom all else lets in.

use super::{WaysIn, text};
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// PAM's files that a login goes through.
const FILES: [&str; 7] = [
    "sshd",
    "login",
    "common-account",
    "common-auth",
    "system-auth",
    "password-auth",
    "base-account",
];

/// Where they are, the folder that counts most first.
const FOLDERS: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];

/// Modules of PAM that shut accounts out by rules, and the file with the rules: what has none shuts
/// nobody out.
const RULES: [(&str, Option<&str>); 6] = [
    ("pam_access", Some("/etc/security/access.conf")),
    ("pam_time", Some("/etc/security/time.conf")),
    ("pam_listfile", None),
    ("pam_succeed_if", None),
    ("pam_google_authenticator", None),
    ("pam_oath", None),
];

/// Modules of PAM that know accounts that are not in the guest's files.
const ELSEWHERE: [&str; 2] = ["pam_sss", "pam_ldap"];

/// How deep files may take in others, and how many lines of a service are read.
const DEPTH: usize = 8;
const LINES: usize = 2000;

/// Tells what is not decided here.
pub(super) fn rules(files: &dyn Files, found: &mut WaysIn) -> Result<(), GuestError> {
    for service in FILES {
        let at = text::path("/etc/pam.d").join(service.as_bytes());
        for line in text::lines(files, &at, &mut Vec::new())? {
            if line.starts_with('#') {
                continue;
            }
            for (module, rules) in RULES {
                // Red Hat's files let system accounts pass with it, and shut nobody out.
                let harmless = module == "pam_succeed_if" && line.contains("quiet");
                if !line.contains(module) || harmless {
                    continue;
                }
                let has_rules = match rules.filter(|_| !line.contains("file=")) {
                    Some(rules) => text::lines(files, &text::path(rules), &mut Vec::new())?
                        .iter()
                        .any(|it| !it.is_empty() && !it.starts_with('#')),
                    None => true,
                };
                let words = format!("{at}: what {module} decides is not known here");
                if has_rules && !found.rules.contains(&words) {
                    found.rules.push(words);
                }
            }
            for module in ELSEWHERE {
                if line.contains(module) {
                    found.notes.push(format!("{at}: whom {module} knows is not known here"));
                }
            }
        }
    }
    Ok(())
}

/// Services of PAM that let nobody pass, each with the words for it.
#[derive(Debug, Default)]
pub(super) struct Shut {
    /// SSH, whatever one logs in with.
    pub(super) ssh: Option<String>,
    /// A password by SSH.
    pub(super) ssh_password: Option<String>,
    /// A console, whether or not it asks for a password.
    pub(super) console: Option<String>,
    /// A password at a console.
    pub(super) console_password: Option<String>,
}

impl Shut {
    pub(super) fn read(files: &dyn Files) -> Result<Self, GuestError> {
        Ok(Self {
            ssh: denied(files, "sshd", "account")?,
            ssh_password: denied(files, "sshd", "auth")?,
            console: denied(files, "login", "account")?,
            console_password: denied(files, "login", "auth")?,
        })
    }

    pub(super) fn notes(&self) -> impl Iterator<Item = &String> {
        [&self.ssh, &self.ssh_password, &self.console, &self.console_password].into_iter().flatten()
    }
}

/// One line of a stack, what it takes in written out.
enum Step {
    /// A module that can end the stack with success, or lead past this many of what follows.
    Passes(usize),
    /// `pam_deny`, and where it stands.
    Denies(String),
    Other,
}

/// Where `pam_deny` keeps everybody out of a service, whatever the modules before it say.
fn denied(files: &dyn Files, service: &str, kind: &str) -> Result<Option<String>, GuestError> {
    let mut lines = 0;
    let steps = stack(files, service, kind, 0, &mut lines)?;
    Ok(first_denial(steps))
}

fn first_denial(steps: Vec<Step>) -> Option<String> {
    // Past which place some module before may lead.
    let mut passed = 0;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Passes(by) => passed = passed.max(number.saturating_add(by)),
            Step::Denies(at) if number > passed || passed == 0 => {
                return Some(format!("{at}: pam_deny lets nobody pass"));
            }
            Step::Denies(_) | Step::Other => {}
        }
    }
    None
}

fn stack(
    files: &dyn Files,
    service: &str,
    kind: &str,
    depth: usize,
    lines: &mut usize,
) -> Result<Vec<Step>, GuestError> {
    let mut steps = Vec::new();
    let Some(at) = place(files, service)? else { return Ok(steps) };
    for (number, line) in text::lines(files, &at, &mut Vec::new())?.iter().enumerate() {
        *lines += 1;
        if depth > DEPTH || *lines > LINES {
            // What is not read might let somebody pass.
            steps.push(Step::Passes(usize::MAX));
            return Ok(steps);
        }
        let line = line.split('#').next().unwrap_or_default();
        if let Some(name) = line.strip_prefix("@include") {
            steps.extend(stack(files, name.trim(), kind, depth + 1, lines)?);
            continue;
        }
        let (own, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !own.trim_start_matches('-').eq_ignore_ascii_case(kind) {
            continue;
        }
        let rest = rest.trim_start();
        let (control, rest) = match rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
            Some((actions, rest)) => (actions.to_ascii_lowercase(), rest),
            None => {
                let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                (word.to_ascii_lowercase(), rest)
            }
        };
        let module = rest.split_whitespace().next().unwrap_or_default();
        match control.as_str() {
            "include" => steps.extend(stack(files, module, kind, depth + 1, lines)?),
            "substack" => {
                // What ends it early goes on after it.
                let inner = stack(files, module, kind, depth + 1, lines)?;
                steps.push(first_denial(inner).map_or(Step::Other, |words| {
                    let at = words.split(": pam_deny").next().unwrap_or_default();
                    Step::Denies(at.to_owned())
                }));
            }
            _ if module.rsplit('/').next().is_some_and(|it| it.starts_with("pam_deny")) => {
                let bad = matches!(control.as_str(), "required" | "requisite")
                    || control.contains("default=bad")
                    || control.contains("default=die");
                steps.push(match bad {
                    true => Step::Denies(format!("{at} line {}", number + 1)),
                    false => Step::Other,
                });
            }
            "sufficient" => steps.push(Step::Passes(usize::MAX)),
            "required" | "requisite" | "optional" => steps.push(Step::Other),
            actions => steps.push(leads(actions)),
        }
    }
    Ok(steps)
}

/// How far what is written in brackets may lead.
fn leads(actions: &str) -> Step {
    let mut past = 0;
    for action in actions.split_whitespace() {
        match action.split_once('=').map(|it| it.1) {
            Some("done") => return Step::Passes(usize::MAX),
            Some(value) => past = past.max(value.parse().unwrap_or(0)),
            None => {}
        }
    }
    if past == 0 { Step::Other } else { Step::Passes(past) }
}

fn place(files: &dyn Files, service: &str) -> Result<Option<GuestPath>, GuestError> {
    if service.starts_with('/') {
        return Ok(Some(text::path(service)));
    }
    for folder in FOLDERS {
        let at = text::path(folder).join(service.as_bytes());
        if files.follow(&at)?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
