//! Rock Ridge: names, modes, owners and times in the room that directory records leave (System Use
//! Sharing Protocol 1.10, Rock Ridge Interchange Protocol 1.10).

use super::field::{both32, short_date};
use crate::fs::Timestamp;

/// What a file is to POSIX, with its permissions: for the owner, root, alone. A seed may hold
/// passwords, and nobody else in a guest needs it.
pub(super) const FILE: u32 = 0o100_400;
/// The same of a directory, which everyone may look into.
pub(super) const DIRECTORY: u32 = 0o040_555;

/// The identification of the protocol, whose wording it prescribes (RRIP section 4.3).
const EXTENSION: (&str, &str, &str) = (
    "RRIP_1991A",
    "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY \
     VOLUME DESCRIPTOR FOR CONTACT INFORMATION.",
);

/// One entry: signature, length, version 1, and what it holds.
fn entry(signature: &[u8; 2], content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len() + 4).unwrap_or(u8::MAX);
    [&signature[..], &[len, 1], content].concat()
}

/// The protocol is used from here on (SP, SUSP section 5.3): the first entry of all.
fn indicator() -> Vec<u8> {
    entry(b"SP", &[0xbe, 0xef, 0])
}

/// It goes on elsewhere (CE, SUSP section 5.1): from the beginning of that block.
fn continued(block: u32, len: u32) -> Vec<u8> {
    entry(b"CE", &[both32(block), both32(0), both32(len)].concat())
}

/// Which protocol uses it (ER, SUSP section 5.5): too long for the root's own record.
pub(super) fn extension() -> Vec<u8> {
    let (id, text, source) = EXTENSION;
    let len = |it: &str| u8::try_from(it.len()).unwrap_or(u8::MAX);
    let content = [&[len(id), len(text), len(source), 1], id.as_bytes(), text.as_bytes()].concat();
    entry(b"ER", &[&content, source.as_bytes()].concat())
}

/// Mode, links and owner (PX, RRIP section 4.1.1), and the times of the last change and use (TF,
/// section 4.1.6).
fn attributes(mode: u32, links: u32, now: Timestamp) -> Vec<u8> {
    let posix = [both32(mode), both32(links), both32(0), both32(0)].concat();
    /// Modification, access, and change of attributes, in the form of seven bytes.
    const TIMES: u8 = 0b0000_1110;
    let times = [&[TIMES], short_date(now).repeat(3).as_slice()].concat();
    [entry(b"PX", &posix), entry(b"TF", &times)].concat()
}

/// A file's entries.
pub(super) fn file(name: &str, now: Timestamp) -> Vec<u8> {
    [attributes(FILE, 1, now), full_name(name)].concat()
}

/// A directory's, in the one that it is in.
pub(super) fn directory(name: &str, links: u32, now: Timestamp) -> Vec<u8> {
    [attributes(DIRECTORY, links, now), full_name(name)].concat()
}

/// Those of a directory's own record, and of the record of the one above.
pub(super) fn unnamed(links: u32, now: Timestamp) -> Vec<u8> {
    attributes(DIRECTORY, links, now)
}

/// Those of the root's own record, which goes on in `block`.
pub(super) fn root(links: u32, now: Timestamp, block: u32) -> Vec<u8> {
    let len = u32::try_from(extension().len()).unwrap_or_default();
    [indicator(), attributes(DIRECTORY, links, now), continued(block, len)].concat()
}

/// The name as it is (NM, RRIP section 4.1.4).
fn full_name(name: &str) -> Vec<u8> {
    entry(b"NM", &[&[0], name.as_bytes()].concat())
}
