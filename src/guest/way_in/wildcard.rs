//! Patterns with `*` and `?`, as sshd matches names and as a glob names files.

/// Whether a text is what a pattern says. Linear but for the product of both lengths, whatever they
/// are.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || text.get(t) == Some(&c) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&it| it == b'*'))
}

/// Whether a list of patterns, some of which begin with `!`, takes a text (`match_pattern_list`):
/// one of them has to, and none with `!` may.
pub(super) fn list_matches(list: &str, text: &str) -> bool {
    let mut any = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if matches(not.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => any |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("*", "", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbc", false),
            ("a?c", "abc", true),
            ("?", "", false),
            ("*.conf", "50-x.conf", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
        assert!(list_matches("!bob,b*", "bill") && !list_matches("!bob,b*", "bob"));
        assert!(!list_matches("!bob", "bill"));
        let (many, long) = ("*a".repeat(2000), "a".repeat(1999));
        assert!(!matches(many.as_bytes(), long.as_bytes()));
    }
}
