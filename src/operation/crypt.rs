//! Password hashes as the guest's crypt(3) understands them (crypt(5)).

use std::fmt;

use sha_crypt::ShaCrypt;
use sha_crypt::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use yescrypt::Yescrypt;

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text for one.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}

impl Secret {
    /// What is shown in its place.
    pub const SHOWN: &'static str = "(secret)";
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SHA-256 in 5000 rounds: `$5$`.
    Sha256,
    /// SHA-512 in 5000 rounds: `$6$`.
    Sha512,
    /// yescrypt with its recommended costs: `$y$j9T$`.
    Yescrypt,
}

impl Method {
    /// The words that name one.
    pub const WORDS: &'static [&'static str] = &["sha256", "sha512", "yescrypt"];

    /// The method of this name.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            "yescrypt" => Some(Self::Yescrypt),
            _ => None,
        }
    }
}

/// How many bytes of salt a hash takes: what SHA-crypt's 16 characters hold.
pub const SALT_BYTES: usize = 12;

/// The most rounds of SHA-crypt that a hash in a guest is tried with: more is a hostile guest's way
/// to hold us up.
const ROUNDS: u32 = 100_000;

/// yescrypt's recommended costs, as every distribution uses them. With others a hash in a guest is
/// not tried: it could ask for any memory.
const YESCRYPT_COSTS: &str = "$y$j9T$";

/// Hashes a password.
///
/// # Errors
/// What the library says: not for any password and a salt of [`SALT_BYTES`].
pub fn hash(method: Method, password: &Secret, salt: &[u8; SALT_BYTES]) -> Result<String, String> {
    let password = password.reveal().as_bytes();
    let hashed = match method {
        Method::Sha256 => ShaCrypt::SHA256.hash_password_with_salt(password, salt),
        Method::Sha512 => ShaCrypt::SHA512.hash_password_with_salt(password, salt),
        Method::Yescrypt => Yescrypt::default().hash_password_with_salt(password, salt),
    };
    hashed.map(|it| it.to_string()).map_err(|error| format!("hashing a password: {error}"))
}

/// Whether a hash is of this password; `false`, too, where it is of a form that is not tried.
pub fn is_of(hash: &str, password: &Secret) -> bool {
    let password = password.reveal().as_bytes();
    if hash.starts_with(YESCRYPT_COSTS) {
        return Yescrypt::default().verify_password(password, hash).is_ok();
    }
    let Some(rest) = hash.strip_prefix("$5$").or_else(|| hash.strip_prefix("$6$")) else {
        return false;
    };
    let rounds = rest.strip_prefix("rounds=").and_then(|it| it.split('$').next());
    if rounds.is_some_and(|it| it.parse().map_or(true, |rounds: u32| rounds > ROUNDS)) {
        return false;
    }
    ShaCrypt::SHA512.verify_password(password, hash).is_ok()
}

/// Whether a text is what crypt(3) makes, and can stand in shadow(5).
pub fn is_hash(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./$=,_-+".contains(c);
    text.len() > 12 && text.chars().all(plain) && (text.starts_with('$') || text.len() == 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let password = Secret::new("correct horse".into());
        for (method, prefix) in
            [(Method::Sha256, "$5$"), (Method::Sha512, "$6$"), (Method::Yescrypt, "$y$j9T$")]
        {
            let hash = hash(method, &password, b"salt salt sa").unwrap();
            assert!(hash.starts_with(prefix) && is_hash(&hash), "{hash}");
            assert!(is_of(&hash, &password), "{hash}");
            assert!(!is_of(&hash, &Secret::new("correct hors".into())), "{hash}");
        }
        assert_eq!(format!("{password:?}"), "(secret)");
    }

    /// Made by libxcrypt.
    #[test]
    fn hashes_of_others_are_understood() {
        for (hash, password) in [
            (
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
                "Hello world!",
            ),
            ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
            (
                "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57",
                "Hello world!",
            ),
        ] {
            assert!(is_of(hash, &Secret::new(password.into())), "{hash}");
        }
    }

    #[test]
    fn a_hash_that_costs_without_bound_is_not_tried() {
        let password = Secret::new("x".into());
        for hash in [
            "$6$rounds=999999999$saltsalt$abc",
            "$6$rounds=99999999999$saltsalt$abc",
            "$y$jzzzT$saltsaltsalt$abc",
            "",
            "*",
            "$1$salt$abc",
        ] {
            assert!(!is_of(hash, &password), "{hash}");
        }
    }
}
