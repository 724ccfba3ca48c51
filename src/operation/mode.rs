//! Permission bits as chmod(1) takes them: in octal, or as changes such as `go-w` and `a+rX`.

/// What to do to permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// These, whatever they were.
    Exact(u16),
    /// Changes, in order.
    Clauses(Vec<Clause>),
}

/// One change: whose bits, how, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    /// The bits of those it is about.
    who: u16,
    how: How,
    /// The bits it names, for everyone.
    bits: u16,
    /// `X`: execution, for directories and what somebody can execute already.
    execute_if_sensible: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Add,
    Remove,
    Set,
}

/// Set-user-ID and set-group-ID.
const SET_ID: u16 = 0o6000;

/// Permission bits in octal: `0644`, `0o644`.
pub(crate) fn octal(text: &str) -> Result<u16, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u16::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 && digits.len() >= 3 => Ok(mode),
        _ => Err(format!("'{text}' is no mode; write it in octal and quotes: \"0644\"")),
    }
}

impl ModeChange {
    /// Reads octal digits or changes by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return octal(text).map(Self::Exact);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clause(part, &mut clauses).ok_or_else(|| {
                format!("'{text}' is no mode; write octal (\"0644\") or changes (\"go-w,a+rX\")")
            })?;
        }
        Ok(Self::Clauses(clauses))
    }

    /// What becomes of these bits.
    pub(crate) fn of(&self, mode: u16, is_directory: bool) -> u16 {
        let clauses = match self {
            Self::Exact(mode) => return *mode,
            Self::Clauses(clauses) => clauses,
        };
        clauses.iter().fold(mode, |mode, clause| {
            let Clause { who, how, mut bits, execute_if_sensible } = *clause;
            if execute_if_sensible && (is_directory || mode & 0o111 != 0) {
                bits |= 0o111;
            }
            let bits = bits & who;
            match how {
                How::Add => mode | bits,
                How::Remove => mode & !bits,
                // As chmod(1): a directory keeps these unless they are named.
                How::Set if is_directory => mode & !(who & !SET_ID) | bits,
                How::Set => mode & !who | bits,
            }
        })
    }
}

/// `[ugoa…]` and then one or more of `[+-=][rwxXst…]`.
fn clause(text: &str, into: &mut Vec<Clause>) -> Option<()> {
    let end = text.find(['+', '-', '='])?;
    let (whose, mut rest) = text.split_at_checked(end)?;
    let mut who = if whose.is_empty() { 0o7777 } else { 0 };
    for c in whose.chars() {
        who |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    while let Some(sign) = rest.chars().next() {
        let how = match sign {
            '+' => How::Add,
            '-' => How::Remove,
            '=' => How::Set,
            _ => return None,
        };
        let after = rest.get(1..)?;
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let (letters, next) = after.split_at_checked(end)?;
        let mut clause = Clause { who, how, bits: 0, execute_if_sensible: false };
        for c in letters.chars() {
            match c {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                's' => clause.bits |= SET_ID,
                't' => clause.bits |= 0o1000,
                'X' => clause.execute_if_sensible = true,
                _ => return None,
            }
        }
        into.push(clause);
        rest = next;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_chmod_makes_of_them() {
        for (text, from, is_directory, to) in [
            ("0640", 0o777, false, 0o640),
            ("0o4755", 0, false, 0o4755),
            ("go-rwx", 0o755, false, 0o700),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a+rX", 0o600, false, 0o644),
            ("a+rX", 0o700, false, 0o755),
            ("a+rX", 0o600, true, 0o755),
            ("u=rw,go=r", 0o777, false, 0o644),
            ("g=", 0o2775, true, 0o2705),
            ("g=", 0o2775, false, 0o705),
            ("u-s,g-s", 0o6755, false, 0o755),
            ("+t", 0o777, true, 0o1777),
            ("u=rwx-w+x", 0o000, false, 0o500),
        ] {
            let change = ModeChange::parse(text).unwrap();
            assert_eq!(change.of(from, is_directory), to, "{text} of {from:o}");
        }
        for wrong in
            ["", "rw", "z+x", "u+q", "u", "8", "0888", "64", "u+x,", "\u{fc}+x", "u+\u{fc}"]
        {
            assert!(ModeChange::parse(wrong).is_err(), "{wrong}");
        }
    }
}
