//! What `lz4 -l` packed, the one form of LZ4 that the kernel unpacks ("Legacy frame" of LZ4's
//! `lz4_Frame_format.md`; `lz4_Block_format.md`).

use std::io::{self, Read};

use super::input::Input;

/// What a block comes to at most.
const BLOCK: usize = 8 << 20;
/// How long a block of that size is at most, packed.
const PACKED: usize = BLOCK + BLOCK / 255 + 16;
/// What is shorter is not copied.
const SHORTEST_MATCH: usize = 4;

/// Unpacks block after block.
pub(super) struct Lz4<'a, 'b> {
    input: &'a mut Input<'b>,
    content: Vec<u8>,
    given: usize,
}

impl<'a, 'b> Lz4<'a, 'b> {
    /// Takes the magic number.
    pub(super) fn new(input: &'a mut Input<'b>) -> io::Result<Self> {
        input.read_exact(&mut [0; 4])?;
        Ok(Self { input, content: Vec::new(), given: 0 })
    }

    /// Unpacks the next block; `false` where none follows.
    fn next(&mut self) -> io::Result<bool> {
        let head = self.input.peek(4)?;
        // Zeros fill the file up; what begins with a magic number is another part.
        let Ok(head) = <[u8; 4]>::try_from(head) else { return Ok(false) };
        let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
        if length == 0 || head == *super::LZ4 || head.starts_with(b"0707") {
            return Ok(false);
        }
        if length > PACKED {
            return Err(wrong());
        }
        self.input.read_exact(&mut [0; 4])?;
        let mut packed = Vec::new();
        self.input.take(length as u64).read_to_end(&mut packed)?;
        self.content.clear();
        self.given = 0;
        match packed.len() == length && block(&packed, &mut self.content).is_some() {
            true => Ok(true),
            false => Err(wrong()),
        }
    }
}

impl Read for Lz4<'_, '_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        while self.given == self.content.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let next = self.content.get(self.given..).unwrap_or_default();
        let len = next.len().min(dst.len());
        dst[..len].copy_from_slice(&next[..len]);
        self.given += len;
        Ok(len)
    }
}

/// Unpacks a block: literals, and copies of what came before, in turn.
fn block(mut packed: &[u8], content: &mut Vec<u8>) -> Option<()> {
    loop {
        let token = take(&mut packed, 1)?[0];
        let literals = length(usize::from(token >> 4), &mut packed)?;
        let literals = take(&mut packed, literals)?;
        content.extend_from_slice(literals);
        if packed.is_empty() {
            return (content.len() <= BLOCK).then_some(());
        }
        let back = take(&mut packed, 2)?;
        let back = usize::from(u16::from_le_bytes(back.try_into().ok()?));
        let count = length(usize::from(token & 15), &mut packed)? + SHORTEST_MATCH;
        let from = content.len().checked_sub(back).filter(|_| back > 0)?;
        if content.len() + count > BLOCK {
            return None;
        }
        if count <= back {
            content.extend_from_within(from..from + count);
        } else {
            // It repeats itself.
            for at in from..from + count {
                content.push(content[at]);
            }
        }
    }
}

/// A length of four bits, and of the bytes that follow where those are all set.
fn length(bits: usize, packed: &mut &[u8]) -> Option<usize> {
    let mut length = bits;
    let mut more = bits == 15;
    while more {
        let byte = take(packed, 1)?[0];
        length += usize::from(byte);
        more = byte == 255 && length <= BLOCK;
    }
    Some(length)
}

fn take<'a>(packed: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = packed.split_at_checked(len)?;
    *packed = rest;
    Some(taken)
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a block of LZ4 is damaged")
}
