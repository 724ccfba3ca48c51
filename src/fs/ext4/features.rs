//! The feature bits, by the names `dumpe2fs` prints, and which of them we read and edit.

/// The three words of feature bits in the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Bits that anyone may ignore.
    pub compat: u32,
    /// Bits without which the filesystem must not be read.
    pub incompat: u32,
    /// Bits without which the filesystem must not be written.
    pub ro_compat: u32,
}

/// `s_feature_compat`.
#[allow(missing_docs, reason = "each is the feature of its name in ext4(5)")]
pub mod compat {
    pub const HAS_JOURNAL: u32 = 0x4;
    pub const EXT_ATTR: u32 = 0x8;
    pub const RESIZE_INODE: u32 = 0x10;
    pub const DIR_INDEX: u32 = 0x20;
    pub const SPARSE_SUPER2: u32 = 0x200;
    pub const FAST_COMMIT: u32 = 0x400;
    pub const STABLE_INODES: u32 = 0x800;
    pub const ORPHAN_FILE: u32 = 0x1000;
}

/// `s_feature_incompat`.
#[allow(missing_docs, reason = "each is the feature of its name in ext4(5)")]
pub mod incompat {
    pub const FILETYPE: u32 = 0x2;
    pub const NEEDS_RECOVERY: u32 = 0x4;
    pub const JOURNAL_DEV: u32 = 0x8;
    pub const META_BG: u32 = 0x10;
    pub const EXTENT: u32 = 0x40;
    pub const BITS64: u32 = 0x80;
    pub const MMP: u32 = 0x100;
    pub const FLEX_BG: u32 = 0x200;
    pub const EA_INODE: u32 = 0x400;
    pub const METADATA_CSUM_SEED: u32 = 0x2000;
    pub const LARGE_DIR: u32 = 0x4000;
    pub const INLINE_DATA: u32 = 0x8000;
    pub const ENCRYPT: u32 = 0x1_0000;
    pub const CASEFOLD: u32 = 0x2_0000;
}

/// `s_feature_ro_compat`.
#[allow(missing_docs, reason = "each is the feature of its name in ext4(5)")]
pub mod ro_compat {
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const LARGE_FILE: u32 = 0x2;
    pub const HUGE_FILE: u32 = 0x8;
    pub const UNINIT_BG: u32 = 0x10;
    pub const DIR_NLINK: u32 = 0x20;
    pub const EXTRA_ISIZE: u32 = 0x40;
    pub const QUOTA: u32 = 0x100;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    pub const READ_ONLY: u32 = 0x1000;
    pub const PROJECT: u32 = 0x2000;
    pub const SHARED_BLOCKS: u32 = 0x4000;
    pub const VERITY: u32 = 0x8000;
    pub const ORPHAN_PRESENT: u32 = 0x1_0000;
}

/// What the reader understands of `incompat`.
const READABLE: u32 = incompat::FILETYPE
    | incompat::NEEDS_RECOVERY
    | incompat::META_BG
    | incompat::EXTENT
    | incompat::BITS64
    | incompat::MMP
    | incompat::FLEX_BG
    | incompat::EA_INODE
    | incompat::METADATA_CSUM_SEED
    | incompat::LARGE_DIR
    | incompat::INLINE_DATA
    | incompat::ENCRYPT
    | incompat::CASEFOLD;

/// What the editor understands of `incompat`. With MMP it looks whether another host holds the
/// filesystem.
const EDITABLE_INCOMPAT: u32 = READABLE;

/// What the editor understands of `ro_compat`. Not quota: usage would have to be kept in files of
/// its own; not shared_blocks: a freed block may be another file's too.
const EDITABLE_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER
    | ro_compat::LARGE_FILE
    | ro_compat::HUGE_FILE
    | ro_compat::UNINIT_BG
    | ro_compat::DIR_NLINK
    | ro_compat::EXTRA_ISIZE
    | ro_compat::BIGALLOC
    | ro_compat::METADATA_CSUM
    | ro_compat::PROJECT
    | ro_compat::VERITY
    | ro_compat::ORPHAN_PRESENT;

const COMPAT_NAMES: [(u32, &str); 13] = [
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x40, "lazy_bg"),
    (0x80, "exclude_inode"),
    (0x100, "snapshot_bitmap"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x800, "stable_inodes"),
    (0x1000, "orphan_file"),
];

const INCOMPAT_NAMES: [(u32, &str); 16] = [
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

const RO_COMPAT_NAMES: [(u32, &str); 16] = [
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

impl Features {
    /// Whether a `compat` bit is set.
    pub fn has_compat(self, bit: u32) -> bool {
        self.compat & bit != 0
    }

    /// Whether an `incompat` bit is set.
    pub fn has_incompat(self, bit: u32) -> bool {
        self.incompat & bit != 0
    }

    /// Whether a `ro_compat` bit is set.
    pub fn has_ro_compat(self, bit: u32) -> bool {
        self.ro_compat & bit != 0
    }

    /// Every feature's name, in the order and spelling of `dumpe2fs`.
    pub fn names(self) -> Vec<String> {
        let mut names = names(self.compat, &COMPAT_NAMES, 'C');
        names.extend(names_of_incompat(self.incompat));
        names.extend(names_of_ro_compat(self.ro_compat));
        names
    }

    /// The features that keep us from reading, by name; empty when there is none.
    pub fn unreadable(self) -> Vec<String> {
        names_of_incompat(self.incompat & !READABLE)
    }

    /// The features that keep us from editing, by name; empty when there is none.
    pub fn uneditable(self) -> Vec<String> {
        let mut names = names_of_incompat(self.incompat & !EDITABLE_INCOMPAT);
        names.extend(names_of_ro_compat(self.ro_compat & !EDITABLE_RO_COMPAT));
        names
    }
}

fn names_of_incompat(bits: u32) -> Vec<String> {
    names(bits, &INCOMPAT_NAMES, 'I')
}

fn names_of_ro_compat(bits: u32) -> Vec<String> {
    names(bits, &RO_COMPAT_NAMES, 'R')
}

fn names(bits: u32, known: &[(u32, &str)], class: char) -> Vec<String> {
    (0..u32::BITS)
        .filter(|shift| bits >> shift & 1 != 0)
        .map(|shift| match known.iter().find(|(bit, _)| *bit == 1 << shift) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("FEATURE_{class}{shift}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_have_names_too() {
        let features = Features { compat: 0x8000_0004, incompat: 0x20, ro_compat: 0x4 };
        assert_eq!(features.names(), ["has_journal", "FEATURE_C31", "FEATURE_I5", "FEATURE_R2"]);
        assert_eq!(features.unreadable(), ["FEATURE_I5"]);
        assert_eq!(features.uneditable(), ["FEATURE_I5", "FEATURE_R2"]);
    }
}
