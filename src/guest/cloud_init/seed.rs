//! A seed that is left in the image: what cloud-init would be told by it.

use super::settings::{self, Layer};
use super::text::{self, Odd};
use crate::guest::{Files, GuestError};
use crate::path::{GuestPath, escape};
use crate::yaml::{self, Value};

/// Where seeds are.
pub(super) const FOLDER: &str = "/var/lib/cloud/seed";

/// What a user-data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserData {
    /// Nothing.
    Empty,
    /// `#cloud-config`.
    CloudConfig,
    /// A script.
    Script,
    /// Several parts (MIME, or an archive of cloud-configs).
    Parts,
    /// A template, rendered at boot.
    Template,
    /// Compressed.
    Gzip,
    /// A list of addresses to read it from.
    Include,
    /// Nothing that cloud-init acts on.
    Other,
}

impl UserData {
    /// What a content is, by how it begins.
    fn of(content: &[u8]) -> Self {
        if content.starts_with(&[0x1f, 0x8b]) {
            return Self::Gzip;
        }
        let text = content.trim_ascii_start();
        let begins =
            |word: &[u8]| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
        if text.is_empty() {
            Self::Empty
        } else if begins(b"#cloud-config-archive") {
            Self::Parts
        } else if begins(b"#cloud-config") {
            Self::CloudConfig
        } else if begins(b"#!") || begins(b"#cloud-boothook") {
            Self::Script
        } else if begins(b"## template:") {
            Self::Template
        } else if begins(b"#include") {
            Self::Include
        } else if begins(b"content-type:") || begins(b"mime-version:") || begins(b"from ") {
            Self::Parts
        } else {
            Self::Other
        }
    }
}

/// A NoCloud seed in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Its folder.
    pub at: GuestPath,
    /// What its user-data is.
    pub user_data: UserData,
    /// Whether it has a network-config.
    pub network: bool,
    /// Whether it has a vendor-data, which is not looked into.
    pub vendor_data: bool,
    /// The instance that it is of: a guest that has run as this one is not configured anew.
    pub instance: String,
}

/// A seed and its cloud-config.
pub(super) struct Found {
    pub(super) seed: Seed,
    pub(super) layer: Option<Layer>,
}

/// The seed that NoCloud takes, if the image has one.
pub(super) fn read(files: &dyn Files, odd: &mut Odd) -> Result<Option<Found>, GuestError> {
    for name in ["nocloud", "nocloud-net"] {
        let folder = text::path(FOLDER).join(name.as_bytes());
        if !text::is_directory(files, &folder)? {
            continue;
        }
        let (meta, user) = (folder.join(b"meta-data"), folder.join(b"user-data"));
        if !text::is_file(files, &meta)? || !text::is_file(files, &user)? {
            if !files.names(&folder)?.is_empty() {
                let what =
                    "a seed without meta-data or without user-data: cloud-init passes it over";
                odd.push((folder, what.into()));
            }
            continue;
        }
        let content = text::content(files, &user, odd)?.unwrap_or_default();
        let user_data = UserData::of(&content);
        let layer = match user_data {
            UserData::CloudConfig => settings::parsed(&user, &content, odd),
            UserData::Parts | UserData::Template | UserData::Gzip | UserData::Include => {
                let what = "what it says of accounts and keys was not looked into";
                odd.push((user.clone(), what.into()));
                None
            }
            _ => None,
        };
        let filled = |file: &[u8]| -> Result<bool, GuestError> {
            Ok(files.follow(&folder.join(file))?.is_some_and(|it| it.size > 0))
        };
        let (network, vendor_data) = (filled(b"network-config")?, filled(b"vendor-data")?);
        let meta = text::content(files, &meta, odd)?.unwrap_or_default();
        let instance = instance(&meta);
        let seed = Seed { at: folder, user_data, network, vendor_data, instance };
        return Ok(Some(Found { seed, layer }));
    }
    Ok(None)
}

/// The instance that a meta-data names, or that NoCloud makes of it.
fn instance(meta_data: &[u8]) -> String {
    let document = yaml::parse(&String::from_utf8_lossy(meta_data)).ok();
    let entry = document.as_ref().and_then(|it| it.root.entry("instance-id"));
    match entry.map(|it| &it.value.value) {
        Some(Value::Text(text)) => escape(text.as_bytes()),
        Some(Value::Integer(number)) => number.to_string(),
        _ => "nocloud".into(),
    }
}
