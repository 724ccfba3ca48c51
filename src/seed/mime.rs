//! Multi-part user-data (RFC 2045, 2046), read as Python's email package reads it for cloud-init.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::FILE_BYTES;
use super::gzip;
use super::said::{NO_TEXT, Origin, START, Said, line, utf8};
use super::user_data::{self, Kind};

/// Messages within messages.
const DEPTH: usize = 10;

/// Parts of one message, nested ones included.
const PARTS: usize = 1000;

/// Content types that say that a part is packed by gzip.
const PACKED: [&str; 8] = [
    "application/gzip",
    "application/gzip-compressed",
    "application/gzipped",
    "application/x-compress",
    "application/x-compressed",
    "application/x-gunzip",
    "application/x-gzip",
    "application/x-gzip-compressed",
];

/// Checks a message and every part of it.
pub(super) fn check(text: &str, origin: &Origin, said: &mut Said) {
    let mut reader = Reader::default();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if let Err((number, message)) = reader.message(&lines, 0, 0) {
        return said.wrong(origin, line(number), message);
    }
    // One that is Python takes types that nobody else knows.
    let handled = reader.parts.iter().any(|part| {
        let text = part.body.bytes();
        part.kind == "text/part-handler"
            || std::str::from_utf8(text).is_ok_and(|it| Kind::of(it) == Some(Kind::PartHandler))
    });
    for (number, part) in reader.parts.iter().enumerate() {
        part.check(number + 1, handled, origin, said);
    }
}

/// Where it is, in lines from 0, and what is wrong.
type Wrong = (usize, String);

#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
}

/// A part that is no container.
struct Part {
    /// The content type, in small letters.
    kind: String,
    /// The line that its body begins on, from 0.
    line: usize,
    body: Body,
}

enum Body {
    /// As it stands there.
    Lines(String),
    /// Decoded.
    Bytes(Vec<u8>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Lines(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The fields of a head that count.
#[derive(Default)]
struct Head {
    kind: String,
    boundary: Option<String>,
    encoding: String,
    /// How many lines it has, the empty one at its end included.
    lines: usize,
}

impl Head {
    fn of(lines: &[&str]) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut count = 0;
        for text in lines {
            let text = text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                count += 1;
                break;
            }
            let continued = text.starts_with([' ', '\t']);
            match (text.split_once(':'), fields.last_mut()) {
                (_, Some((_, value))) if continued => {
                    value.push(' ');
                    value.push_str(text.trim());
                }
                (Some((name, value)), _) if !continued && !name.contains(char::is_whitespace) => {
                    fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                // mbox's first line.
                _ if count == 0 && text.starts_with("From ") => {}
                // The body begins without an empty line.
                _ => break,
            }
            count += 1;
        }
        let field =
            |name: &str| fields.iter().find(|it| it.0 == name).map_or("", |it| it.1.as_str());
        let whole = field("content-type");
        let mut words = parameters(whole).into_iter();
        let kind = words.next().unwrap_or_default().trim().to_ascii_lowercase();
        // As Python takes one that is none.
        let kind = if kind.matches('/').count() == 1 { kind } else { "text/plain".into() };
        let boundary = words.find_map(|word| {
            let (name, value) = word.split_once('=')?;
            let value = value.trim();
            let value =
                value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value);
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim_end().to_owned())
        });
        let encoding = field("content-transfer-encoding").trim().to_ascii_lowercase();
        Self { kind, boundary, encoding, lines: count }
    }
}

/// A field's parts between semicolons, those in quotes not counted.
fn parameters(value: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

impl Reader {
    /// Reads a message that begins on line `from`.
    fn message(&mut self, lines: &[&str], from: usize, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH || self.parts.len() >= PARTS {
            let message = format!("more than {PARTS} parts, or {DEPTH} within each other");
            return Err((from, message));
        }
        let head = Head::of(lines);
        let body = lines.get(head.lines..).unwrap_or_default();
        let at = from + head.lines;
        if head.kind.starts_with("multipart/") {
            let Some(boundary) = head.boundary.filter(|it| !it.is_empty()) else {
                return Err((
                    from,
                    "a multi-part without a boundary, whose parts nobody finds".into(),
                ));
            };
            return self.multipart(&boundary, body, at, depth);
        }
        let text = body.concat();
        let body = match head.encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" => Body::Lines(text),
            "base64" => {
                let packed: String = text.split_ascii_whitespace().collect();
                let bytes = STANDARD.decode(packed);
                Body::Bytes(bytes.map_err(|_| (at, "not base64, as the part's head says".into()))?)
            }
            "quoted-printable" => Body::Bytes(quoted_printable(&text)),
            other => {
                let message =
                    format!("the transfer encoding '{other}' is not looked into; use base64");
                return Err((from, message));
            }
        };
        self.parts.push(Part { kind: head.kind, line: at, body });
        Ok(())
    }

    fn multipart(
        &mut self,
        boundary: &str,
        lines: &[&str],
        from: usize,
        depth: usize,
    ) -> Result<(), Wrong> {
        let mut begun: Option<usize> = None;
        let mut any = false;
        for (number, text) in lines.iter().enumerate() {
            let rest = text
                .strip_prefix("--")
                .and_then(|it| it.strip_prefix(boundary))
                .map(|it| it.trim_end());
            let Some(rest @ ("" | "--")) = rest else { continue };
            if let Some(start) = begun {
                self.within(lines.get(start..number).unwrap_or_default(), from + start, depth)?;
            }
            any = true;
            begun = (rest.is_empty()).then_some(number + 1);
            if begun.is_none() {
                return Ok(());
            }
        }
        match (any, begun) {
            (false, _) => {
                Err((from, "no part begins with the boundary that the head names".into()))
            }
            // Python takes a part that the file's end ends.
            (_, Some(start)) => {
                self.within(lines.get(start..).unwrap_or_default(), from + start, depth)
            }
            _ => Ok(()),
        }
    }

    /// A part without the line end that belongs to the boundary below it.
    fn within(&mut self, lines: &[&str], from: usize, depth: usize) -> Result<(), Wrong> {
        let mut lines = lines.to_vec();
        if let Some(last) = lines.last_mut() {
            let text = last.strip_suffix('\n').unwrap_or(last);
            *last = text.strip_suffix('\r').unwrap_or(text);
        }
        self.message(&lines, from, depth + 1)
    }
}

impl Part {
    fn check(&self, number: usize, handled: bool, outer: &Origin, said: &mut Said) {
        let packed = |how: &str| outer.packed(line(self.line), &format!("part {number} ({how})"));
        let unpacked;
        let mut origin = match &self.body {
            Body::Lines(_) => outer.shifted(self.line as u64, 0),
            Body::Bytes(_) => packed("decoded"),
        };
        let mut content = self.body.bytes();
        let mut kind = self.kind.as_str();
        if PACKED.contains(&kind) {
            match gzip::unpack(content, FILE_BYTES as usize) {
                Ok(inner) => unpacked = inner,
                Err(problem) => {
                    return said.wrong(outer, line(self.line), format!("gzip: {problem}"));
                }
            }
            content = &unpacked;
            origin = packed("unpacked");
            kind = "text/plain";
        }
        if content.is_empty() {
            return;
        }
        let text = match utf8(content) {
            Ok(text) => text,
            Err(_) if handled => return,
            Err(at) => return said.wrong(&origin, at, NO_TEXT),
        };
        // These say little, and cloud-init looks at what the part begins with.
        let vague = ["text/plain", "text/x-not-multipart", "text/x-shellscript"].contains(&kind);
        let found = Kind::of(text).filter(|_| vague).or_else(|| Kind::of_type(kind));
        match found {
            Some(found) => user_data::part(found, text, &origin, said),
            None if handled => {}
            None if vague => user_data::unhandled(text, &origin, said),
            None => {
                let message = format!("cloud-init has no use for a part of the type {kind}");
                said.wrong(&origin, START, message);
            }
        }
    }
}

/// RFC 2045, 6.7: what is no escape stays as it is.
fn quoted_printable(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in text.split_inclusive('\n') {
        let end = text.trim_end_matches(['\n', '\r']);
        let (line, soft) = match end.trim_end().strip_suffix('=') {
            Some(line) => (line, true),
            None => (end.trim_end(), false),
        };
        let mut rest = line.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let code = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
            let code = code.and_then(|it| u8::from_str_radix(it, 16).ok());
            match (byte, code) {
                (b'=', Some(code)) => {
                    bytes.push(code);
                    rest = after.get(2..).unwrap_or_default();
                }
                _ => {
                    bytes.push(byte);
                    rest = after;
                }
            }
        }
        if !soft {
            bytes.extend_from_slice(text.get(end.len()..).unwrap_or_default().as_bytes());
        }
    }
    bytes
}
