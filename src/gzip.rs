//! What gzip(1) packed, unpacked as it is read (RFC 1952).

use std::io::{self, BufRead, Read};

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// The two bytes that a member begins with.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The longest name, comment or extra field of a head; real ones have some dozen bytes.
const HEAD: usize = 1 << 16;

static CHECK: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// One member. Nothing behind it is taken from what it is read from.
pub(crate) struct Member<R> {
    from: R,
    state: Box<InflateState>,
    check: crc::Digest<'static, u32>,
    length: u64,
    ended: bool,
}

impl<R: BufRead> Member<R> {
    /// Reads the head.
    pub(crate) fn new(mut from: R) -> io::Result<Self> {
        head(&mut from)?;
        Ok(Self {
            from,
            state: InflateState::new_boxed(DataFormat::Raw),
            check: CHECK.digest(),
            length: 0,
            ended: false,
        })
    }

    fn tail(&mut self) -> io::Result<()> {
        let mut tail = [0; 8];
        self.from.read_exact(&mut tail).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong("ends too early"),
            _ => error,
        })?;
        let (sum, length) = (tail[..4].try_into(), tail[4..].try_into());
        let number = |bytes: Result<[u8; 4], _>| bytes.map_or(0, u32::from_le_bytes);
        // The length is that of the last 32 bits.
        if number(sum) != self.check.clone().finalize()
            || number(length) != u32::try_from(self.length & 0xffff_ffff).unwrap_or(0)
        {
            return Err(wrong("is damaged: its checksum or length is another"));
        }
        self.ended = true;
        Ok(())
    }
}

impl<R: BufRead> Read for Member<R> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !dst.is_empty() {
            let step = inflate(&mut self.state, self.from.fill_buf()?, dst, MZFlush::None);
            self.from.consume(step.bytes_consumed);
            let written = step.bytes_written.min(dst.len());
            self.check.update(&dst[..written]);
            self.length += written as u64;
            match step.status {
                Ok(MZStatus::StreamEnd) => self.tail()?,
                Ok(_) if step.bytes_consumed + written > 0 => {}
                _ => return Err(wrong("is damaged, or ends too early")),
            }
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads a member's head.
fn head(from: &mut impl BufRead) -> io::Result<()> {
    let no = || wrong("what follows here is not packed by gzip");
    let mut head = [0; 10];
    from.read_exact(&mut head).map_err(|_| no())?;
    if head[..3] != [MAGIC[0], MAGIC[1], 8] {
        return Err(no());
    }
    let flags = head[3];
    if flags & 4 != 0 {
        let mut length = [0; 2];
        from.read_exact(&mut length).map_err(|_| no())?;
        skip(from, usize::from(u16::from_le_bytes(length))).map_err(|_| no())?;
    }
    // A name and a comment, each to its NUL.
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        let mut byte = [0; 1];
        let ended = (0..HEAD).find_map(|_| match from.read_exact(&mut byte) {
            Ok(()) if byte[0] != 0 => None,
            read => Some(read),
        });
        ended.unwrap_or_else(|| Err(no())).map_err(|_| no())?;
    }
    if flags & 2 != 0 {
        skip(from, 2).map_err(|_| no())?;
    }
    Ok(())
}

fn skip(from: &mut impl Read, len: usize) -> io::Result<()> {
    from.read_exact(&mut vec![0; len])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf hello | gzip -n`.
    const HELLO: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86, 0xa6, 0x10,
        0x36, 5, 0, 0, 0,
    ];

    #[test]
    fn what_follows_a_member_stays() {
        let mut from: &[u8] = &[HELLO, b"rest"].concat();
        let mut text = String::new();
        Member::new(&mut from).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), from), ("hello", b"rest".as_slice()));
    }

    #[test]
    fn a_cut_or_changed_member_is_told() {
        for len in 0..HELLO.len() {
            let read =
                Member::new(&HELLO[..len]).and_then(|mut it| it.read_to_end(&mut Vec::new()));
            assert!(read.is_err(), "{len} bytes");
        }
        for at in [0, 2, 18, 22] {
            let mut changed = HELLO.to_vec();
            changed[at] ^= 1;
            let read = Member::new(&changed[..]).and_then(|mut it| it.read_to_end(&mut Vec::new()));
            assert!(read.is_err(), "byte {at}");
        }
    }
}
