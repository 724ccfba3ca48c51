//! The machine a guest runs on, from the header of one of its programs (ELF, `e_machine`).

/// How many bytes of a program are needed.
pub(super) const HEADER: usize = 20;

/// Programs of which every guest has one.
pub(super) const PROGRAMS: &[&str] = &[
    "/bin/sh",
    "/usr/bin/bash",
    "/bin/bash",
    "/bin/busybox",
    "/usr/bin/env",
    "/usr/lib/systemd/systemd",
    "/sbin/init",
];

/// The machine as `uname -m` names it; `None` where it is no ELF program of a machine we know.
pub(super) fn parse(header: &[u8]) -> Option<&'static str> {
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = *header.get(4)? == 2;
    let little = *header.get(5)? == 1;
    let machine = crate::bytes::array(header, 18)?;
    let machine = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    Some(match (machine, wide, little) {
        (2, ..) => "sparc",
        (3, ..) => "i686",
        (8, true, true) => "mips64el",
        (8, true, false) => "mips64",
        (8, false, true) => "mipsel",
        (8, false, false) => "mips",
        (20, ..) => "ppc",
        (21, _, true) => "ppc64le",
        (21, _, false) => "ppc64",
        (22, true, _) => "s390x",
        (22, false, _) => "s390",
        (40, ..) => "armv7l",
        (43, ..) => "sparc64",
        (50, ..) => "ia64",
        (62, ..) => "x86_64",
        (183, ..) => "aarch64",
        (243, true, _) => "riscv64",
        (243, false, _) => "riscv32",
        (258, ..) => "loongarch64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_known_in_either_byte_order() {
        let header = |class: u8, order: u8, machine: u16| {
            let mut bytes = vec![0; HEADER];
            bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
            let machine = if order == 1 { machine.to_le_bytes() } else { machine.to_be_bytes() };
            bytes[18..20].copy_from_slice(&machine);
            bytes
        };
        for (class, order, machine, name) in [
            (2, 1, 62, Some("x86_64")),
            (1, 1, 3, Some("i686")),
            (2, 1, 183, Some("aarch64")),
            (2, 2, 22, Some("s390x")),
            (2, 1, 21, Some("ppc64le")),
            (2, 2, 21, Some("ppc64")),
            (2, 1, 243, Some("riscv64")),
            (2, 1, 9999, None),
        ] {
            assert_eq!(parse(&header(class, order, machine)), name, "{machine}");
        }
        assert_eq!(parse(&header(2, 1, 62)[..19]), None);
        assert_eq!(parse(b"#!/bin/sh"), None);
        assert_eq!(parse(b""), None);
    }
}
