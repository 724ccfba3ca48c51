//! Passwords as virt-customize's selectors give them.

use std::fs::File;
use std::io::{self, Read as _};

use serde_json::{Value as Json, json};

/// What drawn passwords are made of: nothing that is mistaken for another on a screen.
const LETTERS: &[u8; 56] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// How many letters a drawn password has: more than 92 bits.
const DRAWN: usize = 16;

/// The step of a selector; a drawn password is given to `drawn`.
///
/// # Errors
/// What is wrong with the selector, which is never in the text.
pub(super) fn step(
    user: &str,
    selector: &str,
    drawn: &mut dyn FnMut(String),
) -> Result<Json, String> {
    let (locked, selector) = match selector.split_once(':') {
        Some(("locked", rest)) => (true, rest),
        _ if selector == "locked" => {
            return Ok(json!({ "password": { "user": user, "locked": true } }));
        }
        _ => (false, selector),
    };
    let mut fields = json!({ "user": user, "locked": locked });
    let (field, value) = match selector.split_once(':') {
        Some(("file", file)) => ("file", json!(file)),
        Some(("password", password)) => ("password", json!(password)),
        None if selector == "random" => {
            let password = draw().map_err(|error| format!("drawing a password: {error}"))?;
            drawn(password.clone());
            ("password", json!(password))
        }
        None if selector == "disabled" && !locked => ("disabled", json!(true)),
        _ => {
            return Err("write file:FILE, password:PASSWORD, random, disabled or locked[:…]".into());
        }
    };
    fields[field] = value;
    Ok(json!({ "password": fields }))
}

fn draw() -> io::Result<String> {
    let mut random = File::open("/dev/urandom")?;
    let mut password = String::new();
    while password.len() < DRAWN {
        let mut byte = [0];
        random.read_exact(&mut byte)?;
        // Beyond the last whole round some letters would come oftener.
        if usize::from(byte[0]) < LETTERS.len() * (256 / LETTERS.len()) {
            password.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    Ok(password)
}

/// `--password-crypto`.
pub(super) fn crypto(word: &str) -> Result<&str, String> {
    match word {
        "sha256" | "sha512" | "yescrypt" => Ok(word),
        "md5" => Err("md5 is no protection; write sha512 or yescrypt".into()),
        _ => Err(format!("'{word}': write sha256, sha512 or yescrypt")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_steps() {
        let mut drawn = Vec::new();
        let mut of = |selector| step("ann", selector, &mut |it| drawn.push(it));
        let fields = |json: Result<Json, String>| json.unwrap()["password"].clone();
        assert_eq!(
            fields(of("password:a:b")),
            json!({ "user": "ann", "locked": false, "password": "a:b" })
        );
        assert_eq!(
            fields(of("locked:file:/x:y")),
            json!({ "user": "ann", "locked": true, "file": "/x:y" })
        );
        assert_eq!(fields(of("locked")), json!({ "user": "ann", "locked": true }));
        assert_eq!(
            fields(of("disabled")),
            json!({ "user": "ann", "locked": false, "disabled": true })
        );
        for wrong in ["", "secret", "locked:disabled", "locked:", "pass:x"] {
            let error = of(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let one = fields(of("random"))["password"].as_str().unwrap().to_owned();
        let two = fields(of("random"))["password"].as_str().unwrap().to_owned();
        assert_eq!(drawn, [one.clone(), two.clone()]);
        assert!(one != two && one.len() == DRAWN);
    }
}
