//! What gzip(1) packed, unpacked to a limit.

use std::io::Read as _;

pub(super) use crate::gzip::MAGIC;
use crate::gzip::Member;

/// Unpacks every member, of `limit` bytes together at most.
///
/// # Errors
/// What is wrong with it, or that it comes to more.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut rest = packed;
    let mut whole = Vec::new();
    loop {
        let member = Member::new(&mut rest).map_err(|it| it.to_string())?;
        let left = (limit - whole.len()) as u64;
        member.take(left + 1).read_to_end(&mut whole).map_err(|it| it.to_string())?;
        if whole.len() > limit {
            return Err(format!("comes to more than {limit} bytes when it is unpacked"));
        }
        // Zeros may fill it up, as on a tape.
        let end = rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
        rest = rest.get(end..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(whole);
        }
    }
}
