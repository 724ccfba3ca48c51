//! The filesystem suite, run by every driver in every shape.

use std::sync::Arc;

use sysprep_rs::fs::{DRIVERS, FsDriver};

use crate::conformance::fs::{DriverImage, Made, Subject, reads};
use crate::support::disk::Disk;
use crate::support::ext4_shapes::{SHAPES, Shape};
use crate::support::{debugfs, ext4_view, model, oracle, recipe, spec::Spec};

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
