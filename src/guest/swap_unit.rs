//! systemd's swap units (systemd.swap(5), systemd.syntax(7)).

use crate::path::GuestPath;

/// The files that a unit, or what is added to one, has as swap areas: paths outside `/dev`. Where
/// several are given the last one counts; the others may have been used before.
pub(crate) fn swap_unit_files(text: &[u8]) -> Vec<GuestPath> {
    let mut in_swap = false;
    let mut found = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if line.starts_with(b"[") {
            in_swap = line == b"[Swap]";
        }
        let Some(value) = line.strip_prefix(b"What").map(<[u8]>::trim_ascii_start) else {
            continue;
        };
        let Some(value) = value.strip_prefix(b"=").filter(|_| in_swap) else { continue };
        // `%%` is a percent sign; what else begins with one differs between machines.
        let value = value.trim_ascii();
        let percent = value.windows(2).filter(|it| it[0] == b'%').count();
        let plain = match (percent, String::from_utf8(value.to_vec())) {
            (0, _) => value.to_vec(),
            (_, Ok(text)) if !text.replace("%%", "").contains('%') => {
                text.replace("%%", "%").into_bytes()
            }
            _ => continue,
        };
        let path = GuestPath::from_bytes(&plain).ok().filter(|_| plain.starts_with(b"/"));
        found.extend(path.filter(|path| path.names().next() != Some(b"dev")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_devices_are_not() {
        let text = b"# What=/no\n[Unit]\nWhat=/not/this\n[Swap]\n What = /swap/file \nPriority=1\n\
            What=/50%%.swap\nWhat=/%i\nWhat=/dev/vda2\nWhat=\nWhat=relative\nWhatever=/x\n[Install]\n\
            What=/nor/this\n";
        let paths: Vec<String> = swap_unit_files(text).iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["/swap/file", "/50%.swap"]);
    }
}
