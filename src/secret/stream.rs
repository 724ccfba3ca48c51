//! Looking for secrets in a stream of bytes.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::Spot;
use super::kinds::{KINDS, PATTERNS, Place, is_placeholder};

/// How many bytes are looked at in one go, beside what is kept of those before.
pub(super) const CHUNK: usize = 256 << 10;

/// A secret begins at most this far before its anchor, and ends at most this far behind it, in
/// bytes; what is longer is known by its beginning.
const AROUND: usize = 1024;

/// How much of a file's beginning says whether it is text: as much as git and grep look at.
const TEXT_PROBE: usize = 8 << 10;

/// How many findings one file has at most; the rest of it says nothing new.
const FINDINGS: usize = 100;

/// Reads a file from an offset on: how many bytes were there, 0 at its end.
pub type ReadAt<'a, E> = dyn FnMut(u64, &mut [u8]) -> Result<usize, E> + 'a;

/// Finds the known kinds in files' contents. Made once; used by many threads.
pub struct Scanner {
    anchors: AhoCorasick,
    /// Of each anchor its kind.
    kinds: Vec<usize>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("anchors", &self.kinds.len()).finish()
    }
}

impl Scanner {
    /// A scanner for every kind.
    ///
    /// # Errors
    /// The tables are larger than the library takes: not with those of this program.
    pub fn new() -> Result<Self, String> {
        let mut anchors: Vec<&str> = Vec::new();
        let mut kinds = Vec::new();
        for (at, kind) in KINDS.iter().enumerate() {
            anchors.extend(kind.anchors);
            kinds.extend(kind.anchors.iter().map(|_| at));
        }
        let anchors = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(anchors)
            .map_err(|error| error.to_string())?;
        Ok(Self { anchors, kinds })
    }

    /// Looks through a file's content and tells where each secret is and which of [`KINDS`] it is.
    /// Files in which configuration is kept are looked at more closely.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn file<E>(
        &self,
        configuration: bool,
        read: &mut ReadAt<'_, E>,
        found: &mut dyn FnMut(Spot, usize),
    ) -> Result<(), E> {
        let mut state = State::default();
        let mut buffer = vec![0; CHUNK + 2 * AROUND];
        // The buffer holds the file from `start` on; hits before `fresh` are told.
        let (mut start, mut filled, mut fresh) = (0_u64, 0_usize, 0_usize);
        let mut text = None;
        loop {
            let mut ended = false;
            while filled < buffer.len() {
                match read(start + filled as u64, &mut buffer[filled..])? {
                    0 => {
                        ended = true;
                        break;
                    }
                    more => filled += more,
                }
            }
            let bytes = &buffer[..filled];
            let text = *text.get_or_insert_with(|| !bytes[..filled.min(TEXT_PROBE)].contains(&0));
            let until = if ended { filled } else { filled - AROUND };
            self.hits(bytes, fresh..until, |hit, kind| {
                let wanted = match KINDS[kind].place {
                    Place::Anywhere => true,
                    Place::Text => text,
                    Place::Configuration => text && configuration,
                };
                if wanted && state.told < FINDINGS {
                    state.check(bytes, start, hit, kind, text, found);
                }
            });
            if ended || state.told >= FINDINGS {
                return Ok(());
            }
            let keep = until.saturating_sub(AROUND);
            if text {
                state.lines_to(bytes, start, keep);
            }
            buffer.copy_within(keep..filled, 0);
            start += keep as u64;
            filled -= keep;
            fresh = until - keep;
        }
    }

    /// Looks through what configuration holds, as [`file`](Self::file).
    pub fn bytes(&self, content: &[u8], found: &mut dyn FnMut(Spot, usize)) {
        let mut read = |at: u64, dst: &mut [u8]| {
            let rest = content.get(at as usize..).unwrap_or_default();
            let len = rest.len().min(dst.len());
            dst[..len].copy_from_slice(&rest[..len]);
            Ok::<usize, std::convert::Infallible>(len)
        };
        let Ok(()) = self.file(true, &mut read, found);
    }

    /// The anchors that begin in the range, and their kinds.
    fn hits(&self, bytes: &[u8], range: std::ops::Range<usize>, mut hit: impl FnMut(usize, usize)) {
        // An anchor that begins in the range may end behind it.
        let end = bytes.len().min(range.end + AROUND);
        for found in self.anchors.find_overlapping_iter(&bytes[range.start..end]) {
            let at = range.start + found.start();
            if at < range.end {
                hit(at, self.kinds[found.pattern().as_usize()]);
            }
        }
    }
}

/// What is known of the file so far.
#[derive(Default)]
struct State {
    told: usize,
    /// How many lines end before this offset of the file.
    lines: u64,
    counted: u64,
    /// The last secret of each kind, by where it ends: other anchors in it are of the same.
    last: Vec<(usize, u64)>,
}

impl State {
    /// Counts the lines up to `to` in the buffer, which begins at `start` of the file.
    fn lines_to(&mut self, bytes: &[u8], start: u64, to: usize) {
        let from = (self.counted.saturating_sub(start)) as usize;
        if from < to {
            self.lines += memchr::memchr_iter(b'\n', &bytes[from..to]).count() as u64;
            self.counted = start + to as u64;
        }
    }

    fn check(
        &mut self,
        bytes: &[u8],
        start: u64,
        hit: usize,
        kind: usize,
        text: bool,
        found: &mut dyn FnMut(Spot, usize),
    ) {
        let here = start + hit as u64;
        if self.last.iter().any(|&(of, end)| of == kind && here < end) {
            return;
        }
        let Some(pattern) = &PATTERNS[kind] else { return };
        // From the line's beginning on: an expression may ask for it.
        let floor = hit.saturating_sub(AROUND);
        let from = memchr::memrchr(b'\n', &bytes[floor..hit]).map_or(floor, |at| floor + at + 1);
        let window = &bytes[from..bytes.len().min(hit + AROUND)];
        let mut at = 0;
        while let Some(groups) = pattern.captures_at(window, at) {
            let Some(whole) = groups.get(0) else { return };
            if from + whole.start() > hit {
                return;
            }
            if from + whole.end() > hit {
                let value = groups.get(1).or_else(|| groups.get(2));
                if value.is_some_and(|value| is_placeholder(value.as_bytes()))
                    || (KINDS[kind].place == Place::Configuration
                        && is_comment(&window[..whole.start()]))
                {
                    return;
                }
                self.last.retain(|&(of, _)| of != kind);
                self.last.push((kind, start + (from + whole.end()) as u64));
                let first = from
                    + whole.start()
                    + whole.as_bytes().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let spot = if text {
                    self.lines_to(bytes, start, first);
                    let before = (start + first as u64) < self.counted;
                    // Told out of order: counted back.
                    let back = if before {
                        let to = (self.counted - start) as usize;
                        memchr::memchr_iter(b'\n', &bytes[first..to]).count() as u64
                    } else {
                        0
                    };
                    Spot::Line(self.lines - back + 1)
                } else {
                    Spot::Byte(start + first as u64)
                };
                self.told += 1;
                found(spot, kind);
                return;
            }
            at = whole.end().max(at + 1);
            if at > window.len() {
                return;
            }
        }
    }
}

/// Whether a line is a comment, by what stands before the place.
fn is_comment(before: &[u8]) -> bool {
    let line = match memchr::memrchr(b'\n', before) {
        Some(at) => &before[at + 1..],
        None => before,
    }
    .trim_ascii_start();
    line.starts_with(b"#")
        || line.starts_with(b";")
        || line.starts_with(b"//")
        || line.starts_with(b"*")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::secret::kinds::named;

    fn scan(bytes: &[u8], configuration: bool) -> Vec<(Spot, &'static str)> {
        let mut found = Vec::new();
        let mut read = |at: u64, dst: &mut [u8]| {
            let rest = &bytes[(at as usize).min(bytes.len())..];
            // In pieces, as a fragmented file gives them.
            let len = rest.len().min(dst.len()).min(7919);
            dst[..len].copy_from_slice(&rest[..len]);
            Ok::<usize, Infallible>(len)
        };
        let scanner = Scanner::new().unwrap();
        let result = scanner.file(configuration, &mut read, &mut |spot, kind| {
            found.push((spot, KINDS[kind].name));
        });
        assert!(result.is_ok());
        found
    }

    /// `count` characters that look random, of those given.
    fn some(of: &str, count: usize) -> String {
        let of: Vec<char> = of.chars().collect();
        (0..count).map(|n| of[(n * n * 7 + n * 13 + 5) % of.len()]).collect()
    }

    const WORD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const HEX: &str = "0123456789abcdef";
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    /// One of every form that each kind has. Put together here, so that the source holds none.
    fn samples() -> Vec<(&'static str, String)> {
        let word = |count| some(WORD, count);
        let hex = |count| some(HEX, count);
        let upper = |count| some(UPPER, count);
        let pem = |what: &str, ends: &str| {
            format!("-----BEGIN {what}-----{ends}{}{ends}-----END {what}-----", word(64))
        };
        vec![
            ("private-key", pem("PRIVATE KEY", "\n")),
            ("private-key", pem("OPENSSH PRIVATE KEY", "\n")),
            ("private-key", pem("EC PRIVATE KEY", "\r\n")),
            ("private-key", pem("ENCRYPTED PRIVATE KEY", "\\n")),
            ("private-key", pem("OpenVPN Static key V1", "\n")),
            (
                "private-key",
                format!(
                    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,B\n\n{}",
                    word(64)
                ),
            ),
            (
                "private-key",
                format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{}", word(64)),
            ),
            ("private-key", format!("PuTTY-User-Key-File-3: ssh-ed25519\n{}", word(20))),
            ("age-key", format!("AGE-SECRET-KEY-1{}", upper(58))),
            ("aws-key", format!("x=AKIA{}", upper(16))),
            ("aws-key", format!("aws_secret_access_key = {}", word(40))),
            ("aws-key", format!("\"SecretAccessKey\": \"{}\"", word(40))),
            ("azure-key", format!("AccountName=a;AccountKey={}==;", word(86))),
            ("azure-key", format!("secret: {}8Q~{}", word(3), word(34))),
            ("google-key", format!("AIza{}", word(35))),
            ("google-key", format!("GOCSPX-{}", word(28))),
            ("digitalocean-token", format!("dop_v1_{}", hex(64))),
            ("github-token", format!("ghp_{}", word(36))),
            ("github-token", format!("github_pat_{}", word(82))),
            ("gitlab-token", format!("glpat-{}", word(20))),
            ("slack-token", format!("xoxb-123456789012-{}", word(24))),
            (
                "slack-token",
                format!(
                    "https://hooks.slack.com/services/T{}/B{}/{}",
                    upper(9),
                    upper(9),
                    word(24)
                ),
            ),
            ("stripe-key", format!("sk_live_{}", word(24))),
            ("package-registry-token", format!("//r/:_authToken=npm_{}", word(36))),
            ("package-registry-token", format!("pypi-AgEIcHlwaS5vcmc{}", word(60))),
            ("package-registry-token", format!("dckr_pat_{}", word(27))),
            ("ai-service-key", format!("sk-proj-{}T3BlbkFJ{}", word(20), word(20))),
            ("ai-service-key", format!("sk-ant-api03-{}", word(93))),
            ("vault-token", format!("hvs.{}", word(24))),
            ("vault-token", format!("{}.atlasv1.{}", word(14), word(67))),
            ("service-token", format!("SG.{}.{}", word(22), word(43))),
            ("service-token", format!("123456789:AA{}", word(33))),
            ("service-token", format!("tskey-auth-{}-{}", word(12), word(24))),
            ("json-web-token", format!("eyJ{}.eyJ{}.{}", word(20), word(30), word(43))),
            ("password-hash", format!("rootpw --iscrypted $6${}${}", word(8), word(86))),
            ("password-hash", format!("hash: $y$j9T${}${}", word(22), word(43))),
            ("password-hash", format!("admin:$2y$05${}", word(53))),
        ]
    }

    /// Those that are looked for in configuration only, each on a second line.
    fn in_configuration() -> Vec<(&'static str, String)> {
        let word = |count| some(WORD, count);
        vec![
            ("kubernetes-key", format!("    client-key-data: {}", word(200))),
            ("registry-login", format!("\"auths\": {{\"r\": {{\"auth\": \"{}\"}}}}", word(24))),
            ("password-in-url", format!("proxy=http://user:{}@proxy.example:3128/", word(9))),
            ("password-in-url", format!("redis://:{}@127.0.0.1/0", word(9))),
            ("password", format!("password={}", word(8))),
            ("password", format!("DB_PASSWORD: \"{}\"", word(8))),
            ("password", format!("    'client_secret' => '{}',", word(8))),
            ("password", format!("\twpa-psk={}", word(8))),
            ("password", format!("PrivateKey = {}=", word(43))),
            ("password", format!("machine example.org login me password {}", word(8))),
            ("password", format!("spring.datasource.password={}", word(8))),
            ("password", format!("rpc_secret: {}", word(16))),
            ("password", format!("{{\"bot_token\":\"{}\"}}", word(16))),
        ]
    }

    #[test]
    fn every_form_of_every_kind_is_found_on_its_line() {
        let mut kinds = vec![false; KINDS.len()];
        let anywhere = samples().into_iter().map(|sample| (false, sample));
        for (configuration, (kind, text)) in
            anywhere.chain(in_configuration().into_iter().map(|sample| (true, sample)))
        {
            let content = format!("first line\n{text}\nlast line\n");
            let found = scan(content.as_bytes(), configuration);
            assert!(found.contains(&(Spot::Line(2), kind)), "{kind} in {text:?}: {found:?}");
            kinds[named(kind).unwrap()] = true;
            if configuration {
                let elsewhere = scan(content.as_bytes(), false);
                assert!(!elsewhere.iter().any(|(_, it)| *it == kind), "{text:?}");
            }
        }
        let missing: Vec<_> =
            KINDS.iter().zip(kinds).filter(|(_, seen)| !seen).map(|(kind, _)| kind.name).collect();
        assert!(missing.is_empty(), "no sample of {missing:?}");
    }

    #[test]
    fn what_is_no_secret_is_not_told() {
        let word = |count| some(WORD, count);
        for text in [
            "password=".to_owned(),
            "password = $DB_PASSWORD".into(),
            "password: {{ vault_password }}".into(),
            "password: <your password>".into(),
            "password=xxxxxxxx".into(),
            "# password = hunter2hunter2".into(),
            "; password = hunter2hunter2".into(),
            "passwd: files systemd".into(),
            "password\trequisite\tpam_deny.so".into(),
            "token_length = 4096".into(),
            "password_min_length = 12345".into(),
            "http://example.org/a:b@c".into(),
            "https://user:${PASSWORD}@example.org/".into(),
            "https://user:$PASSWORD@example.org/".into(),
            "https://example.org:8080/@scope/name".into(),
            "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkq".into(),
            "-----BEGIN PUBLIC KEY-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkq".into(),
            "-----BEGIN PRIVATE KEY-----".into(),
            format!("AKIA{}", word(8)),
            format!("ghp_{}", word(10)),
            "$6$rounds".into(),
            "\"auth\": {}".into(),
        ] {
            assert_eq!(scan(text.as_bytes(), true), [], "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_found_wherever_it_lies_in_a_long_file() {
        let token = format!("ghp_{}", some(WORD, 36));
        let line = "a line of text that says nothing at all\n";
        for at in [0, CHUNK - 1, CHUNK, CHUNK + AROUND, CHUNK + 2 * AROUND - 20, 3 * CHUNK + 17] {
            let lines = at / line.len();
            let mut text = line.repeat(lines);
            text.push_str(&" ".repeat(at % line.len()));
            text.push_str(&token);
            text.push('\n');
            text.push_str(&line.repeat(CHUNK / line.len()));
            // And one more, so that lines are counted across.
            text.push_str(&token);
            let last = lines + 1 + CHUNK / line.len() + 1;
            let expected =
                [lines as u64 + 1, last as u64].map(|line| (Spot::Line(line), "github-token"));
            assert_eq!(scan(text.as_bytes(), false), expected, "at {at}");
        }
    }

    #[test]
    fn in_a_binary_file_the_byte_is_told_and_only_sure_forms_are() {
        let token = format!("ghp_{}", some(WORD, 36));
        let mut bytes = vec![0; 5000];
        bytes.extend_from_slice(token.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(b"password=hunter2hunter2\n");
        assert_eq!(scan(&bytes, true), [(Spot::Byte(5000), "github-token")]);
    }

    #[test]
    fn a_file_full_of_secrets_is_told_up_to_a_limit() {
        let line = format!("ghp_{}\n", some(WORD, 36));
        assert_eq!(scan(line.repeat(5000).as_bytes(), false).len(), FINDINGS);
    }

    #[test]
    fn every_expression_is_one() {
        for (kind, pattern) in KINDS.iter().zip(PATTERNS.iter()) {
            assert!(pattern.is_some(), "{}", kind.name);
        }
    }
}
