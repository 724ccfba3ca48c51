//! The form that cloud-init's NoCloud reads, and the name of an instance that was given none.

use std::borrow::Cow;

use super::{Tree, VolumeError};
use crate::seed::{Seed, SeedFile};

/// The label by which NoCloud finds a volume.
pub const LABEL: &str = "cidata";

/// How often the digest that an instance is named by is hashed again. In a guest everyone may read
/// the name, and root alone the files: who knows all of them but a password must not be able to try
/// passwords faster than on a hash in `/etc/shadow`.
const ROUNDS: u32 = 200_000;

/// The files of a NoCloud volume.
///
/// # Errors
/// None that these names can lead to.
pub fn tree(seed: &Seed) -> Result<Tree<'_>, VolumeError> {
    let mut tree = Tree::default();
    for (file, content) in seed.nocloud() {
        match file {
            SeedFile::MetaData => tree.insert(file.name(), meta_data(seed))?,
            _ => tree.insert(file.name(), content)?,
        }
    }
    Ok(tree)
}

/// The seed's meta-data, or an `instance-id` alone, which is the same for equal files: a guest that
/// boots with others is another instance to cloud-init, and runs them.
///
/// A seed in an image names no instance, since every clone of it would be the same one. A volume is
/// one machine's own, and one that named none would be taken for the seed that was there before.
pub fn meta_data(seed: &Seed) -> Cow<'_, [u8]> {
    if let Some(given) = seed.get(SeedFile::MetaData) {
        return given.into();
    }
    let mut hash = blake3::Hasher::new();
    for content in SeedFile::ALL.map(|file| seed.get(file)) {
        // A file that is there but empty makes another seed than one that is not there.
        hash.update(&content.map_or(u64::MAX, |it| it.len() as u64).to_le_bytes());
        hash.update(content.unwrap_or_default());
    }
    let mut digest = hash.finalize();
    for _ in 0..ROUNDS {
        digest = blake3::hash(digest.as_bytes());
    }
    let digest = digest.to_hex();
    format!("instance-id: iid-{}\n", digest.get(..16).unwrap_or_default()).into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(files: &[(SeedFile, &str)]) -> Seed {
        let mut seed = Seed::default();
        for (file, content) in files {
            seed.add(*file, file.name(), content.as_bytes().to_vec()).unwrap();
        }
        seed
    }

    #[test]
    fn another_seed_is_another_instance() {
        const DOES: &str = "#cloud-config\n{}\n";
        let one = seed(&[(SeedFile::UserData, DOES)]);
        let id = meta_data(&one).into_owned();
        assert_eq!(id.len(), "instance-id: iid-0123456789abcdef\n".len());
        for other in [
            seed(&[(SeedFile::UserData, "#cloud-config\nhostname: x\n")]),
            seed(&[(SeedFile::VendorData, DOES)]),
            seed(&[(SeedFile::UserData, DOES), (SeedFile::VendorData, "")]),
            seed(&[]),
        ] {
            assert_ne!(*meta_data(&other), id, "{other:?}");
        }
        let named = seed(&[(SeedFile::UserData, DOES), (SeedFile::MetaData, "instance-id: a\n")]);
        assert_eq!(*meta_data(&named), *b"instance-id: a\n");
        let names = |seed: &Seed| tree(seed).unwrap().files().map(|it| it.0.to_owned()).collect();
        let names: Vec<Vec<String>> = vec![names(&one), names(&seed(&[]))];
        assert_eq!(names, [["meta-data", "user-data"]; 2]);
    }
}
