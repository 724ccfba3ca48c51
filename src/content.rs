//! File content in a plan: text where it is text, base64 where it is not.

/// Serialises bytes as a plain string where they are UTF-8, else as `{"base64": "…"}`.
pub mod as_text_or_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form<T> {
        Text(T),
        Base64 { base64: String },
    }

    /// Writes the bytes.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text).serialize(serializer),
            Err(_) => Form::<&str>::Base64 { base64: STANDARD.encode(bytes) }.serialize(serializer),
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// Neither form, or base64 that is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Form::<String>::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into_bytes()),
            Form::Base64 { base64 } => STANDARD.decode(base64).map_err(serde::de::Error::custom),
        }
    }
}
