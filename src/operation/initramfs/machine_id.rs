//! Whether an initramfs carries a machine id: dracut puts that of the build into it.

use std::io::Read;
use std::ops::ControlFlow;

use super::{Seen, bare, look_into};

/// The directory that has the file.
const DIRECTORY: &[u8] = b"etc";
const FILE: &[u8] = b"etc/machine-id";

/// An id: hexadecimal digits (machine-id(5)).
const DIGITS: usize = 32;

/// Whether it has a file with a machine id. `left` is how much of it may still be unpacked.
///
/// What makes an initramfs sorts it by the names' bytes, so that it comes out alike each time; where
/// it is, no more is unpacked than what comes before the file.
///
/// # Errors
/// Why not all of it was looked at, in words that go on from its name.
pub(crate) fn has_machine_id(source: &mut dyn Read, left: &mut u64) -> Result<bool, String> {
    let mut search = Search::default();
    look_into(source, left, &mut |seen| search.see(seen))?;
    Ok(search.found || search.file_is_id())
}

#[derive(Default)]
struct Search {
    /// The last name of the archive.
    last: Vec<u8>,
    /// A name of the archive came after one that sorts behind it.
    is_unsorted: bool,
    /// The archive has the directory: it holds a root filesystem, and not a processor's microcode.
    has_directory: bool,
    /// The begin of the file, where it is what is read.
    file: Option<Vec<u8>>,
    found: bool,
}

impl Search {
    fn see(&mut self, seen: Seen<'_>) -> ControlFlow<()> {
        if !matches!(seen, Seen::Piece(_)) && self.file_is_id() {
            self.found = true;
            return ControlFlow::Break(());
        }
        match seen {
            Seen::Archive => *self = Self::default(),
            Seen::Name(name) => {
                let name = bare(name);
                self.is_unsorted |= name < self.last.as_slice();
                self.last = name.to_vec();
                self.has_directory |= name == DIRECTORY;
                if name > FILE && self.has_directory && !self.is_unsorted {
                    return ControlFlow::Break(());
                }
                self.file = (name == FILE).then(Vec::new);
            }
            Seen::Piece(piece) => {
                if let Some(file) = &mut self.file {
                    // An id, its end of line, and enough to tell a longer file.
                    let room = (DIGITS + 2).saturating_sub(file.len());
                    file.extend(piece.iter().take(room));
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn file_is_id(&self) -> bool {
        let id = self.file.as_deref().unwrap_or_default().trim_ascii_end();
        id.len() == DIGITS && id.iter().all(u8::is_ascii_hexdigit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entry, gzip};
    use super::*;

    const ID: &[u8] = b"0123456789abcdef0123456789abcdef\n";

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut all: Vec<u8> = entries.iter().flat_map(|it| entry(it.0, it.1)).collect();
        all.extend(entry("TRAILER!!!", b""));
        all
    }

    /// What is found, and how much was unpacked for it.
    fn look(bytes: &[u8]) -> (Result<bool, String>, u64) {
        let mut left = 1 << 20;
        let found = has_machine_id(&mut &*bytes, &mut left);
        (found, (1 << 20) - left)
    }

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let microcode = archive(&[(".", b""), ("kernel/x86/microcode/GenuineIntel.bin", b"code")]);
        let large = [b'x'; 50_000];
        let sorted = [("etc", b"".as_slice()), ("etc/machine-id", ID), ("usr/lib/large", &large)];
        let dotted = [(".", b"".as_slice()), ("./etc", b""), ("./etc/machine-id", ID)];
        let unsorted = [("usr/lib/large", large.as_slice()), ("etc", b""), ("etc/machine-id", ID)];
        for entries in [&sorted, &dotted, &unsorted] {
            let main = archive(entries);
            for row in [main.clone(), gzip(&main), [microcode.clone(), gzip(&main)].concat()] {
                assert_eq!(look(&row).0, Ok(true), "{:?}", entries.map(|it| it.0));
            }
        }
        let (found, unpacked) = look(&gzip(&archive(&sorted)));
        assert!(found == Ok(true) && unpacked < 1000, "{unpacked}");
    }

    #[test]
    fn what_is_no_id_is_none() {
        let large = [b'x'; 50_000];
        let long = [ID, b"0"].concat();
        for content in [b"".as_slice(), b"uninitialized\n", &ID[1..], &long, &large] {
            let main = archive(&[("etc", b""), ("etc/machine-id", content), ("init", &large)]);
            let (found, unpacked) = look(&gzip(&main));
            assert_eq!(found, Ok(false));
            assert!(unpacked < 1000 + content.len() as u64, "{unpacked}");
        }
        let other = archive(&[("etc", b""), ("etc/passwd", b""), ("sysroot/etc/machine-id", ID)]);
        assert_eq!(look(&gzip(&other)).0, Ok(false));
        // Another archive's file of the name is still looked for.
        let row = [archive(&[("kernel", b"")]), gzip(&archive(&[("etc/machine-id", ID)]))].concat();
        assert_eq!(look(&row).0, Ok(true));
    }

    #[test]
    fn what_is_not_looked_at_is_told() {
        let large = vec![b'x'; 2 << 20];
        let (found, _) = look(&gzip(&archive(&[("usr", &large), ("etc/machine-id", ID)])));
        assert!(found.unwrap_err().contains("more than is unpacked here"));
        let (found, _) = look(b"BZh91AY&SY");
        assert!(found.unwrap_err().contains("bzip2"));
    }
}
