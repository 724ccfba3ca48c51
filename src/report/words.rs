//! Numbers as people read them.

/// Bytes in binary units with three significant figures: `0 B`, `812 B`, `1.25 KiB`, `340 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut value = count as f64;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = match value {
        _ if unit == 0 => format!("{count}"),
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    };
    // 4.00 GiB says no more than 4 GiB.
    let text = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    };
    format!("{text} {}", UNITS[unit])
}

/// A number with its noun: `1 file`, `2 files`, `12,345 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// Files and directories apart: `2 files`, `1 directory`, `2 files, 1 directory`.
pub(crate) fn objects(files: u64, directories: u64) -> String {
    things(files, directories, 0)
}

/// Files, directories and volumes apart: `2 files, 1 volume`.
pub(crate) fn things(files: u64, directories: u64, volumes: u64) -> String {
    let none = directories == 0 && volumes == 0;
    let files = (files > 0 || none).then(|| count(files, "file", "files"));
    let directories = (directories > 0).then(|| count(directories, "directory", "directories"));
    let volumes = (volumes > 0).then(|| count(volumes, "volume", "volumes"));
    files.into_iter().chain(directories).chain(volumes).collect::<Vec<_>>().join(", ")
}

/// Digits in groups of three.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds below a second, seconds above.
pub(crate) fn seconds(duration: std::time::Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        m if m < 9.95 => format!("{m:.1} ms"),
        m if m < 999.5 => format!("{m:.0} ms"),
        m => format!("{:.2} s", m / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_figures() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1024, "1 KiB"),
            (1280, "1.25 KiB"),
            (10 * 1024 + 512, "10.5 KiB"),
            (4 << 30, "4 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(count(1_234_567, "file", "files"), "1,234,567 files");
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(objects(0, 0), "0 files");
        assert_eq!(objects(6, 0), "6 files");
        assert_eq!(objects(0, 1), "1 directory");
        assert_eq!(objects(2, 1200), "2 files, 1,200 directories");
    }
}
