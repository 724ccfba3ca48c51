//! The kinds of secrets that are known by their form.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// What a secret may be, and how it is known.
#[derive(Debug)]
pub struct SecretKind {
    /// Its name in reports and allow lists.
    pub name: &'static str,
    /// What it is, in a few words.
    pub help: &'static str,
    /// Where it is looked for.
    pub(super) place: Place,
    /// Texts, in lower case, one of which stands in every such secret: only where one is found, in
    /// either case, is the expression tried.
    pub(super) anchors: &'static [&'static str],
    pattern: &'static str,
}

/// In which files a kind is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All: the form leaves no doubt.
    Anywhere,
    /// Text.
    Text,
    /// Text where configuration and users' files are: elsewhere most of it is documentation.
    Configuration,
}

const fn kind(
    place: Place,
    name: &'static str,
    help: &'static str,
    anchors: &'static [&'static str],
    pattern: &'static str,
) -> SecretKind {
    SecretKind { name, help, place, anchors, pattern }
}

/// The kind of what [`super::shadow`] finds, and of hashes elsewhere.
pub(super) const PASSWORD_HASH: &str = "password-hash";

/// Every kind that is known. The expressions begin where a word does, and find a placeholder such
/// as `$VARIABLE` or `<token>` nowhere.
pub const KINDS: &[SecretKind] = &[
    kind(
        Place::Anywhere,
        "private-key",
        "a private key in PEM, OpenSSH, PGP or PuTTY form",
        &["private key", "putty-user-key-file-", "openvpn static key"],
        // The key itself has to follow: programs hold the line alone. A key in JSON has its lines
        // ended by the two characters '\n'.
        r"-----BEGIN (?:[A-Za-z0-9]+ ){0,3}(?:PRIVATE KEY(?: BLOCK)?|Static key V1)-----(?:\s|\\r|\\n)+(?:[A-Z][A-Za-z-]{2,20}:[^\n]{0,200}\n)*\s*[A-Za-z0-9+/=]{16}|PuTTY-User-Key-File-[23]: [a-z]",
    ),
    kind(
        Place::Anywhere,
        "age-key",
        "a private key of age",
        &["age-secret-key-1"],
        r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    ),
    kind(
        Place::Anywhere,
        "aws-key",
        "an access key of Amazon Web Services",
        &["akia", "asia", "secret_access_key", "secretaccesskey"],
        r#"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b|(?i:secret_?access_?key)["']?\s{0,3}[=:]\s{0,3}["']?[A-Za-z0-9/+]{40}\b"#,
    ),
    kind(
        Place::Anywhere,
        "azure-key",
        "a storage key or client secret of Azure",
        &["accountkey=", "sharedaccesskey=", "8q~"],
        r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{43,86}=|\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}\b",
    ),
    kind(
        Place::Anywhere,
        "google-key",
        "an API key, client secret or token of Google",
        &["aiza", "gocspx-", "ya29."],
        r"\bAIza[0-9A-Za-z_-]{35}\b|\bGOCSPX-[0-9A-Za-z_-]{28}\b|\bya29\.[0-9A-Za-z_-]{60,}",
    ),
    kind(
        Place::Anywhere,
        "digitalocean-token",
        "a token of DigitalOcean",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"\bdo[opr]_v1_[a-f0-9]{64}\b",
    ),
    kind(
        Place::Anywhere,
        "github-token",
        "a token of GitHub",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b|\bgithub_pat_[0-9A-Za-z_]{82}\b",
    ),
    kind(
        Place::Anywhere,
        "gitlab-token",
        "a token of GitLab",
        &["glpat-", "glrt-", "gldt-", "glptt-", "glcbt-"],
        r"\bgl(?:pat|rt|dt|ptt|cbt)-[0-9A-Za-z_-]{20,}",
    ),
    kind(
        Place::Anywhere,
        "slack-token",
        "a token or web hook of Slack",
        &[
            "xoxb-",
            "xoxp-",
            "xoxa-",
            "xoxe-",
            "xoxr-",
            "xoxs-",
            "xapp-",
            "hooks.slack.com/services/",
        ],
        r"\bxox[abeprs]-[0-9]{6,}-[0-9A-Za-z-]{10,}|\bxapp-[0-9]-[0-9A-Z]{8,}-[0-9A-Za-z-]{20,}|hooks\.slack\.com/services/T[0-9A-Z]{8,}/B[0-9A-Z]{8,}/[0-9A-Za-z]{20,}",
    ),
    kind(
        Place::Anywhere,
        "stripe-key",
        "a live key of Stripe",
        &["sk_live_", "rk_live_"],
        r"\b[rs]k_live_[0-9A-Za-z]{20,}\b",
    ),
    kind(
        Place::Anywhere,
        "package-registry-token",
        "a token of npm, PyPI, RubyGems or Docker Hub",
        &["npm_", "pypi-ageichlwas5vcmc", "rubygems_", "dckr_pat_"],
        r"\bnpm_[0-9A-Za-z]{36}\b|\bpypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{50,}|\brubygems_[a-f0-9]{48}\b|\bdckr_pat_[0-9A-Za-z_-]{27}\b",
    ),
    kind(
        Place::Anywhere,
        "ai-service-key",
        "a key of OpenAI, Anthropic or Hugging Face",
        &["t3blbkfj", "sk-ant-", "hf_"],
        r"\bsk-(?:[a-z]+-)?[0-9A-Za-z_-]{20,}T3BlbkFJ[0-9A-Za-z_-]{20,}|\bsk-ant-[a-z0-9]+-[0-9A-Za-z_-]{80,}|\bhf_[A-Za-z]{34}\b",
    ),
    kind(
        Place::Anywhere,
        "vault-token",
        "a token of Vault or Terraform Cloud",
        &["hvs.", "hvb.", "hvr.", ".atlasv1."],
        r"\bhv[bsr]\.[0-9A-Za-z_-]{24,}|\b[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_-]{60,}",
    ),
    kind(
        Place::Anywhere,
        "service-token",
        "a token of SendGrid, Telegram, Tailscale, Grafana, New Relic, Shopify, Databricks or Atlassian",
        &[
            "sg.", ":aa", "tskey-", "glsa_", "glc_", "nrak-", "shpat_", "shpss_", "shpca_", "dapi",
            "atatt3",
        ],
        r"\bSG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}\b|\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}\b|\btskey-(?:auth|api|client)-[0-9A-Za-z]{8,}-[0-9A-Za-z]{20,}|\bglsa_[0-9A-Za-z]{32}_[a-f0-9]{8}\b|\bglc_eyJ[0-9A-Za-z+/=]{40,}|\bNRAK-[0-9A-Z]{27}\b|\bshp(?:at|ss|ca)_[a-f0-9]{32}\b|\bdapi[a-f0-9]{32}\b|\bATATT3[0-9A-Za-z_=-]{100,}",
    ),
    kind(
        Place::Text,
        "json-web-token",
        "a signed JSON web token",
        &["eyj"],
        r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,}",
    ),
    kind(
        Place::Text,
        PASSWORD_HASH,
        "a password's hash that can be attacked offline",
        &["$1$", "$5$", "$6$", "$y$", "$7$", "$gy$", "$2a$", "$2b$", "$2x$", "$2y$", "$argon2"],
        r"\$(?:1\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}|5\$(?:rounds=[0-9]+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=[0-9]+\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}|g?y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}|7\$[./0-9A-Za-z]{11,97}\$[./0-9A-Za-z]{43}|2[abxy]\$[0-9]{2}\$[./0-9A-Za-z]{53}|argon2(?:id?|d)\$v=[0-9]+\$[^$\s]{1,64}\$[+/0-9A-Za-z]{11,}\$[+/0-9A-Za-z]{22,})",
    ),
    kind(
        Place::Configuration,
        "kubernetes-key",
        "a client key in a kubeconfig",
        &["client-key-data"],
        r#"client-key-data["']?:\s{0,3}["']?[A-Za-z0-9+/=]{100,}"#,
    ),
    kind(
        Place::Configuration,
        "registry-login",
        "a container registry's login",
        &["\"auth\"", "\"identitytoken\""],
        r#""(?:auth|identitytoken)"\s{0,8}:\s{0,8}"[A-Za-z0-9+/=._-]{8,}""#,
    ),
    kind(
        Place::Configuration,
        "password-in-url",
        "a URL with a user's password",
        &["://"],
        r#"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@"'<>${}\[\]]{0,64}:[^\s/:@"'<>${}%*\[\]]{4,128}@[A-Za-z0-9\[]"#,
    ),
    kind(
        Place::Configuration,
        "password",
        "a password, passphrase, pre-shared or secret key in configuration",
        &[
            "password",
            "passwd",
            "passphrase",
            "secret",
            "api_key",
            "apikey",
            "api-key",
            "token",
            "psk",
            "privatekey",
            "machine ",
        ],
        // Group 1 is the value, which `is_placeholder` is asked about.
        r#"(?i)(?:^|[\s,{;&?"'(_.-])(?:[a-z0-9]+[_.-])*(?:[a-z]{0,12}password|[a-z]{0,8}passwd|passphrase|(?:client|app|shared|webhook|auth)?_?secret(?:[_-]?key)?|api[_-]?key|(?:auth|access|bot|refresh|api|bearer)[_-]?token|token|psk|privatekey)["']?[ \t]{0,20}(?:=>|=|:)[ \t]{0,20}((?:"[^"\n]{4,200}"|'[^'\n]{4,200}'|[^\s"',;{}()\[\]<>#]{4,200}))|^[ \t]*machine[ \t]+\S+(?:[ \t]+|[ \t]*\n[ \t]*)(?:login[ \t]+\S+\s+)?password[ \t]+(\S{4,200})"#,
    ),
];

/// Which kind has the name.
pub(super) fn named(name: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.name == name)
}

/// The expressions, in the order of [`KINDS`].
pub(super) static PATTERNS: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    KINDS
        .iter()
        .map(|kind| RegexBuilder::new(kind.pattern).multi_line(true).unicode(false).build().ok())
        .collect()
});

/// Whether what stands as a password's value says that there is none: a word of a program's own, a
/// variable, an example's filling.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let value = match value {
        [quote @ (b'"' | b'\''), inner @ .., last] if quote == last => inner.trim_ascii(),
        other => other,
    };
    let lower = value.to_ascii_lowercase();
    let variable =
        matches!(value.first(), Some(b'$' | b'%' | b'{' | b'<' | b'@' | b'[' | b'*' | b'!' | b'/'))
            || value.windows(2).any(|two| matches!(two, b"${" | b"{{" | b"$(" | b"%("));
    let same = value.windows(2).all(|two| two[0] == two[1]);
    let word = [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "yes",
        "no",
        "required",
        "optional",
        "sufficient",
        "requisite",
        "files",
        "file",
        "prompt",
        "ask",
        "empty",
        "disabled",
        "enabled",
        "default",
        "string",
        "undef",
        "unset",
        "systemd",
        "compat",
        "sss",
        "ldap",
        "include",
        "never",
        "always",
    ];
    value.len() < 4
        || variable
        || same
        || value.ends_with(b"(")
        || word.iter().any(|word| word.as_bytes() == lower)
}
