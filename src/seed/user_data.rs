//! User-data and vendor-data: what cloud-init takes them for, and whether each part is right.
//!
//! What cloud-init would leave aside with a warning in a log of the guest is an error here.

use serde_json::Value as Json;

use super::FILE_BYTES;
use super::cloud_config;
use super::gzip;
use super::jinja;
use super::mime;
use super::said::{NO_TEXT, Origin, START, Said, line, place, utf8};
use crate::problem::{At, nearest};
use crate::yaml::{self, Value};

/// What cloud-init does with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Settings, which are merged.
    CloudConfig,
    /// A list of parts.
    Archive,
    /// Changes to the settings so far, as a JSON patch.
    Jsonp,
    /// A program that runs once.
    Script,
    /// A program that runs early at every boot.
    Boothook,
    /// URLs of more parts.
    Include,
    /// Python that takes parts of a type of its own.
    PartHandler,
    /// One of these, rendered first.
    Template,
}

/// What a part begins with, longest first.
const HEADERS: [(&str, Kind); 9] = [
    ("#cloud-config-archive", Kind::Archive),
    ("#cloud-config-jsonp", Kind::Jsonp),
    (TEMPLATE, Kind::Template),
    ("#cloud-boothook", Kind::Boothook),
    ("#cloud-config", Kind::CloudConfig),
    ("#include-once", Kind::Include),
    ("#part-handler", Kind::PartHandler),
    ("#include", Kind::Include),
    ("#!", Kind::Script),
];

const TEMPLATE: &str = "## template: jinja";

/// How many lines are looked through for a header that is out of place.
const LINES: usize = 50;

impl Kind {
    /// What a text begins with, as cloud-init looks for it: blanks before it and the letters' case
    /// are nothing to it.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let begins = |header: &str| {
            text.get(..header.len()).is_some_and(|it| it.eq_ignore_ascii_case(header))
        };
        HEADERS.iter().find(|(header, _)| begins(header)).map(|(_, kind)| *kind)
    }

    /// What a content type stands for.
    pub(super) fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "text/cloud-config" => Self::CloudConfig,
            "text/cloud-config-archive" => Self::Archive,
            "text/cloud-config-jsonp" => Self::Jsonp,
            "text/x-shellscript"
            | "text/x-shellscript-per-boot"
            | "text/x-shellscript-per-instance"
            | "text/x-shellscript-per-once" => Self::Script,
            "text/cloud-boothook" => Self::Boothook,
            "text/x-include-url" | "text/x-include-once-url" => Self::Include,
            "text/part-handler" => Self::PartHandler,
            "text/jinja2" => Self::Template,
            _ => return None,
        })
    }
}

/// Checks user-data or vendor-data.
pub(super) fn check(content: &[u8], said: &mut Said) {
    let mut origin = Origin::default();
    let unpacked;
    let mut content = content;
    if content.starts_with(&gzip::MAGIC) {
        match gzip::unpack(content, FILE_BYTES as usize) {
            Ok(inner) => unpacked = inner,
            Err(problem) => return said.wrong(&origin, START, format!("gzip: {problem}")),
        }
        origin = origin.packed(START, "what gzip packed");
        content = &unpacked;
    }
    if content.is_empty() {
        return;
    }
    let text = match utf8(content) {
        Ok(text) => text,
        Err(_) if content.starts_with(&gzip::MAGIC) => {
            return said.wrong(&origin, START, "packed by gzip twice; cloud-init unpacks it once");
        }
        Err(at) => return said.wrong(&origin, at, NO_TEXT),
    };
    // As cloud-init tells a message from everything else.
    let head = &content[..content.len().min(4096)];
    if head.to_ascii_lowercase().windows(13).any(|it| it == b"mime-version:") {
        return mime::check(text, &origin, said);
    }
    match Kind::of(text) {
        Some(kind) => part(kind, text, &origin, said),
        None => unhandled(text, &origin, said),
    }
}

/// Checks a part of a known kind.
pub(super) fn part(kind: Kind, text: &str, origin: &Origin, said: &mut Said) {
    match kind {
        Kind::CloudConfig => cloud_config::check(text, origin, said),
        Kind::Archive => archive(text, origin, said),
        Kind::Jsonp => patch(text, origin, said),
        Kind::Script => script(text, origin, said),
        Kind::Boothook => boothook(text, origin, said),
        Kind::Include => include(text, origin, said),
        Kind::PartHandler => {
            for name in ["list_types", "handle_part"] {
                if !text.contains(&format!("def {name}(")) {
                    let message = format!("a part handler is Python with a function '{name}'");
                    said.wrong(origin, START, message);
                }
            }
        }
        Kind::Template => template(text, origin, said),
    }
}

/// What cloud-init leaves aside, and what was probably meant.
pub(super) fn unhandled(text: &str, origin: &Origin, said: &mut Said) {
    if text.trim().is_empty() {
        return said.wrong(origin, START, "nothing but blanks; leave it empty, or out");
    }
    if text.starts_with('\u{feff}') {
        let message = "begins with a byte order mark, behind which cloud-init finds no header; \
                       save it without one";
        return said.wrong(origin, START, message);
    }
    let first = text.lines().next().unwrap_or_default();
    if first.to_ascii_lowercase().starts_with("#upstart-job") {
        let message = "an upstart job, which cloud-init no longer knows; make it a systemd unit by \
                       'write_files' of a cloud-config";
        return said.wrong(origin, START, message);
    }
    let headers = || HEADERS.map(|(header, _)| header);
    for (number, text) in text.lines().take(LINES).enumerate().skip(1) {
        let begins = |header: &&str| text.starts_with(*header) && *header != "#!";
        if let Some(header) = headers().into_iter().find(begins) {
            let message = format!("'{header}' counts in the first line only; move it up");
            return said.wrong(origin, line(number), message);
        }
    }
    let near = nearest(first.trim(), headers());
    let hint = match near.first() {
        Some(header) => format!("; did you mean '{header}'?"),
        None if yaml::parse(text).is_ok_and(|it| !it.root.entries().is_empty()) => {
            "; for settings it is '#cloud-config'".into()
        }
        None => String::new(),
    };
    let known = "'#cloud-config', '#!' and an interpreter, '#include', '#cloud-boothook', \
                 '#cloud-config-archive', '#cloud-config-jsonp', '#part-handler', \
                 '## template: jinja'";
    let message = format!(
        "cloud-init knows what this is by its first line, and would ignore this{hint} (it takes \
         {known}, MIME multi-part, and gzip)"
    );
    said.wrong(origin, START, message);
}

fn script(text: &str, origin: &Origin, said: &mut Said) {
    let Some(rest) = text.strip_prefix("#!") else {
        let message = "a script has to begin with '#!' and the path of its interpreter";
        return said.wrong(origin, START, message);
    };
    let interpreter = rest.lines().next().unwrap_or_default().trim_start();
    if !interpreter.starts_with('/') {
        let message = "'#!' takes the whole path of an interpreter, as in #!/bin/sh";
        said.wrong(origin, START, message);
    }
}

fn boothook(text: &str, origin: &Origin, said: &mut Said) {
    let body = text.strip_prefix("#cloud-boothook").unwrap_or(text).trim_start();
    if !body.starts_with("#!/") {
        let at = place(text, text.len() - body.len());
        let message = "a boothook is run as a program: below '#cloud-boothook' it begins with '#!' \
                       and the path of its interpreter";
        said.wrong(origin, at, message);
    }
}

fn include(text: &str, origin: &Origin, said: &mut Said) {
    let mut any = false;
    for (number, given) in text.lines().enumerate() {
        let lower = given.to_ascii_lowercase();
        let header = ["#include-once", "#include"].into_iter().find(|it| lower.starts_with(it));
        let url = given.get(header.map_or(0, str::len)..).unwrap_or_default().trim();
        if url.is_empty() || url.starts_with('#') {
            continue;
        }
        any = true;
        let known = ["http://", "https://", "ftp://", "ftps://", "file://", "/"];
        if !known.iter().any(|it| url.to_ascii_lowercase().starts_with(it)) {
            let message = "an include takes a URL a line, http, https, ftp or file";
            said.wrong(origin, line(number), message);
        }
    }
    match any {
        true => said.note(origin, START, "what the URLs lead to is not looked at"),
        false => said.wrong(origin, START, "an include without a URL; write one a line"),
    }
}

/// A list of changes (RFC 6902).
fn patch(text: &str, origin: &Origin, said: &mut Said) {
    let start = text.len() - text.trim_start().len();
    let body = text.trim_start();
    let body = body.strip_prefix("#cloud-config-jsonp").unwrap_or(body);
    let first = place(text, start + (text.trim_start().len() - body.len()));
    let wrong = |said: &mut Said, message: &str| said.wrong(origin, first, message);
    let operations = match serde_json::from_str::<Json>(body) {
        Ok(Json::Array(operations)) => operations,
        Ok(_) => return wrong(said, "a JSON patch is a list of operations"),
        Err(error) => {
            let lines = first.line - 1;
            let columns = if error.line() == 1 { first.column - 1 } else { 0 };
            let at = At {
                line: error.line() as u64 + lines,
                column: (error.column() as u64 + columns).max(1),
            };
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            return said.wrong(origin, at, format!("not JSON: {message}"));
        }
    };
    for (number, operation) in operations.iter().enumerate() {
        let text = |name: &str| operation.get(name).and_then(Json::as_str);
        let needs = match text("op") {
            Some("add" | "replace" | "test") => "value",
            Some("move" | "copy") => "from",
            Some("remove") => "path",
            _ => {
                let message = format!(
                    "operation {number} of the patch: 'op' is add, remove, replace, move, copy or \
                     test"
                );
                wrong(said, &message);
                continue;
            }
        };
        let is_path = |it: &str| it.is_empty() || it.starts_with('/');
        if !text("path").is_some_and(is_path) || operation.get(needs).is_none() {
            let message = format!(
                "operation {number} of the patch has no '{needs}', or no 'path' as in /a/b"
            );
            wrong(said, &message);
        }
    }
}

/// A list of parts in YAML, of the kinds that are handled without looking into them again.
fn archive(text: &str, origin: &Origin, said: &mut Said) {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(problem) => return said.wrong(origin, problem.at, problem.message),
    };
    for problem in &document.repeated {
        said.wrong(origin, problem.at, &problem.message);
    }
    let Value::List(items) = &document.root.value else {
        let kind = document.root.value.kind();
        let message = format!("an archive is a list of parts, not {kind}");
        return said.wrong(origin, document.root.at, message);
    };
    for (number, item) in items.iter().enumerate() {
        let (content, named) = match &item.value {
            Value::Text(_) => (Some(&**item), None),
            Value::Map(_) => {
                let named = item.entry("type").and_then(|it| it.value.text());
                (item.entry("content").map(|it| &*it.value), named)
            }
            _ => (None, None),
        };
        let Some((content, part_text)) = content.and_then(|it| Some((it, it.text()?))) else {
            let message = "a part of an archive is text, or a map with 'content' and 'type'";
            said.wrong(origin, item.at, message);
            continue;
        };
        let kind = match named {
            Some(name) => Kind::of_type(name),
            None => Some(Kind::of(part_text).unwrap_or(Kind::CloudConfig)),
        };
        match kind {
            Some(Kind::Include | Kind::Archive) | None => {
                let message = "cloud-init takes no part of this type out of an archive; it takes \
                               text/cloud-config, text/cloud-config-jsonp, text/x-shellscript, \
                               text/cloud-boothook, text/part-handler and text/jinja2";
                let at = item.entry("type").map_or(content.at, |it| it.value.at);
                said.wrong(origin, at, message);
            }
            Some(kind) => {
                let inner = match content.literal {
                    true => {
                        let empty = part_text.chars().take_while(|&c| c == '\n').count() as u64;
                        let above = content.at.line.saturating_sub(empty + 1);
                        origin.shifted(above, content.at.column - 1)
                    }
                    false => origin.packed(content.at, &format!("part {number}")),
                };
                part(kind, part_text, &inner, said);
            }
        }
    }
}

fn template(text: &str, origin: &Origin, said: &mut Said) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if !first.to_ascii_lowercase().trim_end().eq(TEMPLATE) {
        let message =
            "a template has '## template: jinja' as its first line, and nothing beside it";
        return said.wrong(origin, START, message);
    }
    let origin = &origin.shifted(1, 0);
    let marked = match jinja::is_marked(rest) {
        Ok(marked) => marked,
        Err(problem) => return said.wrong(origin, problem.at, problem.message),
    };
    let lead = jinja::lead(rest);
    let at = place(rest, lead);
    let body = rest.get(lead..).unwrap_or_default();
    let kind = Kind::of(body);
    match kind {
        Some(Kind::CloudConfig | Kind::Jsonp | Kind::Script | Kind::Boothook) => {}
        None if body.starts_with("{{") => {}
        _ => {
            let message = "a template is rendered to '#cloud-config', '#cloud-config-jsonp', '#!' or \
                           '#cloud-boothook', and this begins with none of them";
            return said.wrong(origin, at, message);
        }
    }
    match kind {
        Some(kind) if !marked => part(kind, rest, origin, said),
        _ => {
            let message = "a template: its marks are closed, and what it is rendered to in the \
                           guest is not looked at";
            said.note(origin, at, message);
        }
    }
}
