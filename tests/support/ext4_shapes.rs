//! The shapes ext2/3/4 comes in: mkfs feature combinations that images have had in ten years.

/// One way to make a filesystem.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// mke2fs's arguments.
    pub(crate) args: &'static [&'static str],
    /// Size in MiB.
    pub(crate) mib: u64,
    /// Whether xattr values may be longer than a block.
    pub(crate) ea_inode: bool,
}

impl Shape {
    const fn new(name: &'static str, args: &'static [&'static str], mib: u64) -> Self {
        Self { name, args, mib, ea_inode: false }
    }

    /// Whether `ext4-view` reads it: not these features, not checksums in small inodes, and of a block-mapped file (one without
    /// extents) it takes a hole for block 0.
    pub(crate) fn ext4_view_reads(&self) -> bool {
        let has = |feature| self.args.iter().any(|arg| arg.contains(feature));
        let refused = ["inline_data", "ea_inode", "meta_bg", "large_dir", "casefold", "128"]
            .into_iter()
            .any(has);
        self.args[1] == "ext4" && !has("^extent") && !refused
    }
}

/// Every shape.
pub(crate) const SHAPES: &[Shape] = &[
    Shape::new("ext4, as Debian 12 makes it", &["-t", "ext4"], 32),
    Shape::new("ext4 1K", &["-t", "ext4", "-b", "1024"], 32),
    Shape::new("ext4 2K", &["-t", "ext4", "-b", "2048"], 32),
    Shape::new("ext2 1K, small inodes", &["-t", "ext2", "-b", "1024", "-I", "128"], 24),
    Shape::new(
        "ext2 4K, linear directories",
        &["-t", "ext2", "-b", "4096", "-O", "^dir_index"],
        24,
    ),
    Shape::new("ext2 without file types", &["-t", "ext2", "-b", "1024", "-O", "^filetype"], 16),
    Shape::new("ext3 1K, small inodes", &["-t", "ext3", "-b", "1024", "-I", "128"], 32),
    Shape::new("ext3 2K", &["-t", "ext3", "-b", "2048"], 32),
    Shape::new("ext3 4K", &["-t", "ext3", "-b", "4096"], 32),
    Shape::new(
        "ext4 uninit_bg",
        &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"],
        40,
    ),
    Shape::new("ext4 without checksums", &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"], 24),
    Shape::new("ext4 checksum seed", &["-t", "ext4", "-b", "1024", "-O", "metadata_csum_seed"], 24),
    Shape::new("ext4 inline data", &["-t", "ext4", "-b", "1024", "-O", "inline_data"], 24),
    Shape::new(
        "ext4 inline data in large inodes",
        &["-t", "ext4", "-O", "inline_data", "-I", "1024"],
        32,
    ),
    Shape {
        ea_inode: true,
        ..Shape::new("ext4 ea_inode", &["-t", "ext4", "-b", "1024", "-O", "ea_inode"], 32)
    },
    Shape {
        ea_inode: true,
        ..Shape::new(
            "ext4 ea_inode, inline data",
            &["-t", "ext4", "-O", "ea_inode,inline_data,metadata_csum_seed"],
            32,
        )
    },
    Shape::new("ext4 bigalloc", &["-t", "ext4", "-O", "bigalloc", "-C", "16384"], 64),
    Shape::new(
        "ext4 bigalloc 1K",
        &["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "4096"],
        48,
    ),
    Shape::new("ext4 32-bit", &["-t", "ext4", "-O", "^64bit"], 24),
    Shape::new("ext4 meta_bg", &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"], 40),
    Shape::new(
        "ext4 sparse_super2",
        &["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode"],
        40,
    ),
    Shape::new("ext4 orphan file", &["-t", "ext4", "-O", "orphan_file"], 24),
    Shape::new("ext4 large_dir", &["-t", "ext4", "-b", "1024", "-O", "large_dir"], 32),
    Shape::new("ext4 small inodes", &["-t", "ext4", "-I", "128"], 24),
    Shape::new("ext4 512-byte inodes", &["-t", "ext4", "-I", "512"], 24),
    Shape::new("ext4 encrypt, verity", &["-t", "ext4", "-O", "encrypt,verity"], 24),
    Shape::new("ext4 linear directories", &["-t", "ext4", "-b", "1024", "-O", "^dir_index"], 24),
    Shape::new("ext4 block maps", &["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit"], 24),
    Shape::new("ext4 without a journal", &["-t", "ext4", "-O", "^has_journal"], 16),
    Shape::new("ext4 without flex_bg", &["-t", "ext4", "-b", "1024", "-O", "^flex_bg"], 40),
    Shape::new(
        "ext4 without sparse_super",
        &["-t", "ext4", "-b", "1024", "-O", "^sparse_super,^resize_inode"],
        40,
    ),
    Shape::new("ext4 many groups", &["-t", "ext4", "-b", "4096", "-g", "1024", "-N", "4096"], 48),
    Shape::new("ext4 casefold", &["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"], 24),
    Shape::new("ext4 fast commit", &["-t", "ext4", "-O", "fast_commit"], 40),
];
