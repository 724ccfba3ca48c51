//! What gzip(1) packed, unpacked to a limit (RFC 1952).

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// The two bytes that a member begins with.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

const CHECK: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// Unpacks every member, of `limit` bytes together at most.
///
/// # Errors
/// What is wrong with it, or that it comes to more.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut rest = packed;
    let mut whole = Vec::new();
    loop {
        let (content, after) = member(rest, limit - whole.len())?;
        whole.extend_from_slice(&content);
        // Zeros may fill it up, as on a tape.
        let end = after.iter().position(|&byte| byte != 0).unwrap_or(after.len());
        rest = after.get(end..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(whole);
        }
    }
}

/// One member's content, and what follows it.
fn member(packed: &[u8], limit: usize) -> Result<(Vec<u8>, &[u8]), String> {
    let mut rest = head(packed).ok_or("what follows here is not packed by gzip")?;
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut content = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let step = inflate(&mut state, rest, &mut buffer, MZFlush::None);
        rest = rest.get(step.bytes_consumed..).unwrap_or_default();
        content.extend_from_slice(buffer.get(..step.bytes_written).unwrap_or_default());
        if content.len() > limit {
            return Err(format!("comes to more than {limit} bytes when it is unpacked"));
        }
        match step.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(_) if step.bytes_consumed + step.bytes_written > 0 => {}
            _ => return Err("is damaged, or ends too early".into()),
        }
    }
    let (tail, after) = rest.split_at_checked(8).ok_or("ends too early")?;
    let number = |at: usize| {
        tail.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    if number(0) != CHECK.checksum(&content) || u64::from(number(4)) != content.len() as u64 {
        return Err("is damaged: its checksum or length is another".into());
    }
    Ok((content, after))
}

/// What follows a member's head.
fn head(packed: &[u8]) -> Option<&[u8]> {
    let (head, mut rest) = packed.split_at_checked(10)?;
    if head.get(..3)? != [MAGIC[0], MAGIC[1], 8] {
        return None;
    }
    let flags = *head.get(3)?;
    if flags & 4 != 0 {
        let (length, after) = rest.split_at_checked(2)?;
        rest = after.get(usize::from(u16::from_le_bytes(length.try_into().ok()?))..)?;
    }
    // A name and a comment, each to its NUL.
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest = rest.get(end + 1..)?;
    }
    match flags & 2 {
        0 => Some(rest),
        _ => rest.get(2..),
    }
}
