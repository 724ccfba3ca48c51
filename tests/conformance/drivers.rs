//! The filesystem suite, run by every driver in every shape.

use std::sync::Arc;

use sysprep_rs::fs::{DRIVERS, FsDriver};

use crate::conformance::fs::{DriverImage, Made, Subject, edits, finishes, reads, refusals};
use crate::support::disk::Disk;
use crate::support::ext4_shapes::{SHAPES, Shape};
use crate::support::{debugfs, ext4_view, model, mtools, oracle, recipe, spec::Spec};

/// A driver of the table.
pub(crate) fn driver(name: &str) -> &'static FsDriver {
    DRIVERS.iter().find(|driver| driver.name == name).expect("a driver of the table")
}

fn with_ext4(shape: &Shape, run: &dyn Fn(&Subject<'_>)) {
    println!("{shape:?}");
    let make = |spec: &mut Spec| -> Box<dyn Made> {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::ext4(dir.path(), spec, shape.args, shape.mib << 20);
        Box::new(DriverImage {
            disk: Arc::new(Disk::from_file(&image)),
            driver: driver("ext4"),
            profile: model::UNIX,
            check: oracle::e2fsck_clean,
            reference: debugfs::snapshot,
            library: shape
                .ext4_view_reads()
                .then_some(|disk| ext4_view::snapshot(disk, &|_| false).unwrap()),
        })
    };
    run(&Subject { profile: model::UNIX, make: &make });
}

fn with_fat(bits: u8, mib: u64, run: &dyn Fn(&Subject<'_>)) {
    println!("FAT{bits}");
    let make = |spec: &mut Spec| -> Box<dyn Made> {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::fat(dir.path(), spec, bits, &[], mib << 20);
        Box::new(DriverImage {
            disk: Arc::new(Disk::from_file(&image)),
            driver: driver("vfat"),
            profile: model::FAT,
            check: oracle::fsck_vfat_clean,
            reference: mtools::snapshot,
            library: None,
        })
    };
    run(&Subject { profile: model::FAT, make: &make });
}

/// One test for each eighth of the shapes, so that they run beside each other.
macro_rules! eighths {
    ($part:path, $($name:ident $share:literal),*) => {$(
        #[test]
        fn $name() {
            for shape in SHAPES.iter().skip($share).step_by(8) {
                with_ext4(shape, &$part);
            }
        }
    )*};
}

mod ext4_reads {
    use super::{SHAPES, reads, with_ext4};
    eighths!(reads, one 0, two 1, three 2, four 3, five 4, six 5, seven 6, eight 7);
}

mod ext4_edits {
    use super::{SHAPES, edits, with_ext4};
    eighths!(edits, one 0, two 1, three 2, four 3, five 4, six 5, seven 6, eight 7);
}

mod ext4_refusals {
    use super::{SHAPES, refusals, with_ext4};
    eighths!(refusals, one 0, two 1, three 2, four 3, five 4, six 5, seven 6, eight 7);
}

mod ext4_finishes {
    use super::{SHAPES, finishes, with_ext4};
    eighths!(finishes, one 0, two 1, three 2, four 3, five 4, six 5, seven 6, eight 7);
}

mod fat {
    use super::{edits, finishes, reads, refusals, with_fat};

    fn every_width(part: &dyn Fn(&crate::conformance::fs::Subject<'_>)) {
        with_fat(12, 4, part);
        with_fat(16, 20, part);
        with_fat(32, 40, part);
    }

    #[test]
    fn reads_keep_the_contract() {
        every_width(&reads);
    }

    #[test]
    fn edits_keep_the_contract() {
        every_width(&edits);
    }

    #[test]
    fn refusals_keep_the_contract() {
        every_width(&refusals);
    }

    #[test]
    fn finishes_keep_the_contract() {
        every_width(&finishes);
    }
}
