//! Guests that would have us read for ever.

use std::time::{Duration, Instant};

use sysprep_rs::guest::boot::{UnitState, Units};

use super::{ETC, GuestDir, LIB, tree};
use crate::guest::memory::MemoryFs;
use crate::guest::single;

#[test]
fn circles_end() {
    let guest = GuestDir::systemd()
        .link(format!("{ETC}/a.service"), "b.service")
        .link(format!("{ETC}/b.service"), "a.service")
        .link(format!("{ETC}/self.service"), "self.service")
        .unit("x.service", "[Unit]\nRequires=y.service\nWants=x.service\n")
        .unit("y.service", "[Unit]\nRequires=x.service\n")
        .unit("loop@.service", "[Unit]\nWants=loop@%i-%i.service\n")
        .wanted("multi-user.target", "x.service")
        .wanted("multi-user.target", "loop@1.service")
        .wanted("multi-user.target", "a.service");
    guest.agrees();
    assert_eq!(guest.way("y.service"), "default.target multi-user.target x.service y.service");
    assert_eq!(guest.way("a.service"), "Missing");
}

#[test]
fn a_unit_that_is_too_long_is_bad_and_said() {
    let fs = MemoryFs::new()
        .huge(format!("{LIB}/a.service"), 1 << 40)
        .file(format!("{LIB}/default.target"), "[Unit]\nWants=a.service\n")
        .huge("/usr/lib/systemd/system-preset/1.preset", 1 << 40);
    let tree = single(fs);
    let units = Units::new(&tree).unwrap();
    assert_eq!(units.state("a.service").unwrap(), UnitState::Bad);
    assert!(units.starts("a.service").unwrap().is_none());
    let _ = units.after_presets().unwrap();
    let notes = units.notes();
    for path in ["a.service", "1.preset"] {
        assert!(notes.iter().any(|it| it.contains(path) && it.contains("not read")), "{notes:?}");
    }
}

#[test]
fn endless_instances_and_drop_ins_end_soon() {
    let guest = GuestDir::systemd()
        .unit(
            "grow@.service",
            &format!(
                "[Unit]\nWants=grow@%ia.service grow@%ib.service\n{}",
                "Wants=x.service\n".repeat(2000)
            ),
        )
        .wanted("multi-user.target", "grow@1.service");
    for at in 0..300 {
        let path = guest.host(format!("{ETC}/grow@.service.d"));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(format!("{at}.conf")), "[Unit]\nWants=y.service\n").unwrap();
    }
    let tree = tree(guest.0.path());
    let units = Units::new(&tree).unwrap();
    let begin = Instant::now();
    assert!(units.starts("grow@1ab.service").unwrap().is_some());
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(units.notes().iter().any(|it| it.contains("too many units")), "{:?}", units.notes());
}
