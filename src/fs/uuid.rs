//! UUIDs as their text (RFC 9562), and as `blkid` prints them.

/// The text of a UUID whose bytes are in the order of its text.
pub fn text(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The 16 bytes of a UUID's text.
pub fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
    let dashes = [8, 13, 18, 23].iter().all(|&at| text.as_bytes().get(at) == Some(&b'-'));
    if text.len() != 36 || digits.len() != 32 || !dashes {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+'))?;
    }
    Some(uuid)
}

/// A UUID of version 4 made of random bytes.
pub fn made_of(random: &[u8; 32]) -> String {
    let mut uuid: [u8; 16] = std::array::from_fn(|at| random[at]);
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    text(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let uuid = made_of(&[0xff; 32]);
        assert_eq!(uuid, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(parse(&uuid).map(text), Some(uuid));
        for wrong in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            "ffffffff+ffff-4fff-bfff-ffffffffffff",
            "ffffffff-ffff-4fff-bfff-+fffffffffff",
            "-fffffff-ffff-4fff-bfff-ffffffffffff",
            "gfffffff-ffff-4fff-bfff-ffffffffffff",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
