//! An initramfs, looked into (the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`):
//! a row of cpio archives, each perhaps packed, with zeros between them.
//!
//! It is read as a stream: what is held of it is a packer's window and two buffers.

use std::io::{self, Read};
use std::ops::ControlFlow;

use lzma_rust2::{LzmaReader, XzReader};
use ruzstd::decoding::StreamingDecoder;

use self::input::Input;
use self::lz4::Lz4;
use crate::gzip::{self, Member};
use crate::path::escape;

mod cpio;
mod input;
mod lz4;
mod machine_id;

pub(crate) use self::machine_id::has_machine_id;

/// How much may be unpacked of all that one guest has; a system that boots has less memory to
/// unpack one of them into.
pub(super) const UNPACKED: u64 = 4 << 30;

/// The largest window of a packer: that of `xz -9`, the largest that is usual.
const WINDOW: u64 = 64 << 20;

/// What is in an initramfs, in the order that its archives have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// Another archive begins.
    Archive,
    /// An object's path.
    Name(&'a [u8]),
    /// More of its content, or of a symlink's target.
    Piece(&'a [u8]),
}

/// What is shown to; it says whether there is more to look at.
type Visit<'a> = &'a mut dyn FnMut(Seen<'_>) -> ControlFlow<()>;

/// What a packed part begins with.
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const XZ: &[u8] = b"\xfd7zXZ\0";
const LZMA: &[u8] = b"\x5d\0\0";
const LZ4: &[u8] = b"\x02\x21\x4c\x18";
const CPIO: &[u8] = b"07070";
/// Packers that are not built in.
const OTHERS: &[(&[u8], &str)] = &[(b"BZh", "bzip2"), (b"\x89LZO", "lzop")];

/// Whether a file may be an initramfs, by its name and its first bytes.
pub(crate) fn is_one(name: &[u8], head: &[u8]) -> bool {
    let heads = [CPIO, &gzip::MAGIC, ZSTD, XZ, LZMA, LZ4];
    escape(name).to_ascii_lowercase().contains("init")
        && heads.into_iter().chain(OTHERS.iter().map(|it| it.0)).any(|it| head.starts_with(it))
}

/// A name without the `./` or `/` before it.
pub(super) fn bare(name: &[u8]) -> &[u8] {
    let rest = name.strip_prefix(b".").unwrap_or(name);
    rest.strip_prefix(b"/").unwrap_or(name)
}

/// Shows all that is in it, or what comes before the visitor has enough. `left` is how much more may
/// be unpacked.
///
/// # Errors
/// Why not all of it was shown, in words that go on from its name.
pub(super) fn look_into(
    source: &mut dyn Read,
    left: &mut u64,
    visit: Visit<'_>,
) -> Result<(), String> {
    let mut input = Input::new(source);
    loop {
        // What is not packed is as long as its file.
        let mut unpacked = u64::MAX;
        input.skip_zeros(&mut unpacked).map_err(unread)?;
        let at = input.taken();
        let head = input.peek(6).map_err(unread)?.to_vec();
        if head.is_empty() {
            return Ok(());
        }
        let shown = if head.starts_with(CPIO) {
            cpio::archive(&mut input, &mut unpacked, visit)
        } else if let Some((_, packer)) = OTHERS.iter().find(|it| head.starts_with(it.0)) {
            return Err(format!("it is packed by {packer}, which is not unpacked here"));
        } else {
            packed(&head, &mut input, left, visit)
        };
        let shown = shown.map_err(|error| match error.kind() {
            io::ErrorKind::QuotaExceeded => error.to_string(),
            _ => format!("what begins at byte {at} of it cannot be read: {error}"),
        })?;
        if shown.is_break() {
            return Ok(());
        }
    }
}

fn unread(error: io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// One packed part.
fn packed(
    head: &[u8],
    input: &mut Input<'_>,
    left: &mut u64,
    visit: Visit<'_>,
) -> io::Result<ControlFlow<()>> {
    if head.starts_with(&gzip::MAGIC) {
        return archives(&mut Member::new(input)?, left, visit);
    }
    let kb = u32::try_from((WINDOW + (4 << 20)) >> 10).unwrap_or(u32::MAX);
    if head.starts_with(ZSTD) {
        let decoder = StreamingDecoder::new_with_max_window_size(&mut *input, WINDOW);
        archives(&mut decoder.map_err(io::Error::other)?, left, visit)
    } else if head.starts_with(XZ) {
        archives(&mut XzReader::new_mem_limit(input, false, kb), left, visit)
    } else if head.starts_with(LZMA) {
        let mut decoder = LzmaReader::new_mem_limit(&mut *input, kb, None)?;
        let shown = archives(&mut decoder, left, visit)?;
        let (_, unused) = decoder.into_parts();
        input.give_back(&unused);
        Ok(shown)
    } else if head.starts_with(LZ4) {
        archives(&mut Lz4::new(input)?, left, visit)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "no archive, and no known packer"))
    }
}

/// Every archive of an unpacked part.
fn archives(
    source: &mut dyn Read,
    left: &mut u64,
    visit: Visit<'_>,
) -> io::Result<ControlFlow<()>> {
    let mut input = Input::new(source);
    loop {
        input.skip_zeros(left)?;
        if input.peek(1)?.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        if cpio::archive(&mut input, left, visit)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a cpio archive.
    pub(super) fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut entry = b"070701".to_vec();
        for number in 0..13 {
            let value = match number {
                super::cpio::CONTENT => content.len(),
                super::cpio::NAME => name.len() + 1,
                _ => 0,
            };
            entry.extend(format!("{value:08x}").bytes());
        }
        entry.extend(name.bytes());
        entry.push(0);
        entry.resize(entry.len().next_multiple_of(4), 0);
        entry.extend(content);
        entry.resize(entry.len().next_multiple_of(4), 0);
        entry
    }

    pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        packed.extend(miniz_oxide::deflate::compress_to_vec(content, 6));
        let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(content);
        packed.extend(sum.to_le_bytes());
        packed.extend((content.len() as u32).to_le_bytes());
        packed
    }

    fn shown(bytes: &[u8], mut left: u64) -> (Vec<String>, usize, Result<(), String>) {
        let (mut names, mut longest) = (Vec::new(), 0);
        let result = look_into(&mut &*bytes, &mut left, &mut |seen| {
            match seen {
                Seen::Archive => {}
                Seen::Name(name) => names.push(escape(name)),
                Seen::Piece(piece) => longest = longest.max(piece.len()),
            }
            ControlFlow::Continue(())
        });
        (names, longest, result)
    }

    #[test]
    fn archives_follow_each_other_packed_or_not() {
        let end = entry("TRAILER!!!", b"");
        let first = [entry("a", b"1"), end.clone(), vec![0; 512]].concat();
        let second = [entry("b", b"22222"), end.clone(), vec![0; 8], entry("c", b""), end].concat();
        let row = [first.clone(), gzip(&second), vec![0; 7], gzip(&first), vec![0; 3]].concat();
        let (names, _, result) = shown(&row, 1 << 20);
        assert_eq!((names.join(" ").as_str(), result), ("a b c a", Ok(())));
        let (_, _, result) = shown(&[first, b"else".to_vec()].concat(), 1 << 20);
        let error = result.unwrap_err();
        assert!(
            error.starts_with("what begins at byte 752 of it cannot be read: no archive"),
            "{error}"
        );
    }

    #[test]
    fn what_grows_without_end_is_left() {
        // Of one file, of many small ones, and of what fills up between archives.
        let large = entry("large", &vec![b'x'; 16 << 20]);
        let many = entry("small", b"x").repeat(200_000);
        for content in [large, many, vec![0; 16 << 20]] {
            let packed = gzip(&content);
            assert!(packed.len() < content.len() / 50);
            let (names, longest, result) = shown(&packed, 1 << 20);
            assert!(result.unwrap_err().starts_with("it comes to more than is unpacked here"));
            assert!(longest <= 128 << 10 && names.len() < (1 << 20) / 110 + 2);
            let (_, _, result) = shown(&packed, 64 << 20);
            assert!(!result.is_err_and(|it| it.contains("more than is unpacked")));
        }
    }

    #[test]
    fn a_cut_archive_is_told() {
        let whole = [entry("a", b"12345"), entry("TRAILER!!!", b"")].concat();
        for len in 1..whole.len() - 3 {
            for bytes in [whole[..len].to_vec(), gzip(&whole[..len])] {
                assert!(shown(&bytes, 1 << 20).2.is_err(), "{len}");
            }
        }
    }
}
