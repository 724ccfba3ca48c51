//! A cpio archive of the kind that the kernel unpacks ("newc", with and without checksums).

use std::io::{self, BufRead as _, Read as _};
use std::ops::ControlFlow;

use super::input::{Input, spend};
use super::{Seen, Visit};

/// A header: six bytes that say what it is, and thirteen numbers of eight hexadecimal digits.
const HEADER: usize = 110;
/// Which of the numbers are the lengths of the content and of the name.
pub(super) const CONTENT: usize = 6;
pub(super) const NAME: usize = 11;

/// The longest name, its NUL included: the kernel's `PATH_MAX`.
const LONGEST_NAME: u32 = 4096;

const LAST: &[u8] = b"TRAILER!!!";

/// Shows what is in an archive, up to its last entry or to where the visitor has enough. `left` is how much may still be unpacked.
pub(super) fn archive(
    input: &mut Input<'_>,
    left: &mut u64,
    visit: Visit<'_>,
) -> io::Result<ControlFlow<()>> {
    if visit(Seen::Archive).is_break() {
        return Ok(ControlFlow::Break(()));
    }
    loop {
        let mut header = [0; HEADER];
        if !matches!(input.peek(6)?, b"070701" | b"070702") {
            return Err(wrong("what follows there is no entry of a cpio archive"));
        }
        input.read_exact(&mut header)?;
        let number = |at: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * at..14 + 8 * at]).ok()?;
            u32::from_str_radix(digits, 16).ok()
        };
        let lengths = number(CONTENT).zip(number(NAME));
        let Some((content, name)) = lengths.filter(|it| (1..=LONGEST_NAME).contains(&it.1)) else {
            return Err(wrong("an entry of a cpio archive has no sound header"));
        };
        let mut path = vec![0; name as usize];
        input.read_exact(&mut path)?;
        path.pop();
        padding(input)?;
        spend(left, HEADER + path.len())?;
        if path == LAST {
            return Ok(ControlFlow::Continue(()));
        }
        if visit(Seen::Name(&path)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let mut rest = content as usize;
        while rest > 0 {
            let next = input.fill_buf()?;
            if next.is_empty() {
                return Err(wrong("a cpio archive ends too early"));
            }
            let len = next.len().min(rest);
            if visit(Seen::Piece(&next[..len])).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            input.consume(len);
            spend(left, len)?;
            rest -= len;
        }
        padding(input)?;
    }
}

/// Takes what fills up to a multiple of four.
fn padding(input: &mut Input<'_>) -> io::Result<()> {
    let mut fill = [0; 3];
    let len = (4 - input.taken() % 4) % 4;
    // An archive may end without it.
    match input.read_exact(fill.get_mut(..usize::try_from(len).unwrap_or(0)).unwrap_or_default()) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => read,
    }
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
