use super::*;

const MIB: u64 = 1 << 20;
const IMAGE: Stat = Stat { identity: (8, 100), size: 10 * MIB + 100 };

/// A device as sysfs shows it: attached as `path`, with nothing known from the device itself.
fn device(path: &str) -> LoopDevice {
    LoopDevice {
        name: "loop3".to_owned(),
        path: path.into(),
        offset: 0,
        limit: 0,
        size: 10 * MIB,
        read_only: false,
        identity: None,
    }
}

/// A host on which these paths lead to these files.
fn host<const N: usize>(files: [(&'static str, Stat); N]) -> impl Fn(&Path) -> Option<Stat> {
    move |path| files.iter().find(|(it, _)| Path::new(it) == path).map(|(_, stat)| *stat)
}

#[test]
fn what_the_device_says_goes_above_its_path() {
    let named = [("/other", Stat { identity: (8, 7), size: IMAGE.size }), ("/image", IMAGE)];
    let said = |path, identity| LoopDevice { identity: Some(identity), ..device(path) };
    for path in ["/other", "/image (deleted)", "/nowhere", "/image"] {
        let is = |identity| said(path, identity).behind(IMAGE, host(named));
        assert_eq!(is((8, 100)), Behind::Yes, "{path}");
        assert_eq!(is((8, 7)), Behind::No, "{path}");
        // The same inode below an overlay.
        assert_eq!(is((9, 100)), Behind::CannotTell, "{path}");
    }
    let grown = Stat { size: 20 * MIB, ..IMAGE };
    assert_eq!(said("/nowhere", (8, 100)).behind(grown, host([])), Behind::Yes);
    assert_eq!(said("/nowhere", (9, 100)).behind(grown, host([])), Behind::No);
}

#[test]
fn a_path_that_does_not_lead_to_the_file_leaves_the_sizes() {
    let bare = host([]);
    assert_eq!(device("/image").behind(IMAGE, host([("/image", IMAGE)])), Behind::Yes);
    for path in ["/image (deleted)", "/in/another/namespace", ""] {
        assert_eq!(device(path).behind(IMAGE, &bare), Behind::CannotTell, "{path}");
        let other = Stat { size: 11 * MIB, ..IMAGE };
        assert_eq!(device(path).behind(other, &bare), Behind::No, "{path}");
    }
    // Another file has that name here: it explains the device only if it has its size.
    let other = |size| host([("/image", Stat { identity: (8, 7), size })]);
    assert_eq!(device("/image").behind(IMAGE, other(10 * MIB)), Behind::No);
    assert_eq!(device("/image").behind(IMAGE, other(9 * MIB)), Behind::CannotTell);
}

#[test]
fn offset_and_limit_count_for_the_size() {
    let part = |offset, limit, size| LoopDevice { offset, limit, size, ..device("/gone") };
    let fits = |it: LoopDevice| it.fits(IMAGE);
    assert!(fits(part(MIB, 0, 9 * MIB)) && fits(part(MIB, 2 * MIB, 2 * MIB)));
    assert!(fits(part(9 * MIB, 2 * MIB, MIB)) && fits(part(20 * MIB, 0, 0)));
    assert!(!fits(part(MIB, 0, 10 * MIB)) && !fits(part(MIB, 2 * MIB, 3 * MIB)));
    assert!(!fits(part(u64::MAX, u64::MAX, 10 * MIB)));
}

#[test]
fn a_file_that_is_read_may_have_a_read_only_device_and_the_refusal_names_it() {
    let host = host([("/image", IMAGE)]);
    let judged =
        |device: &LoopDevice, access| judge(std::slice::from_ref(device), IMAGE, access, &host);
    let there = device("/image");
    let gone = device("/image (deleted)");
    for access in [Access::Audit, Access::Seal] {
        let error = judged(&there, access).unwrap_err();
        assert!(error.contains("attached to the loop device /dev/loop3; unmount"), "{error}");
        let error = judged(&gone, access).unwrap_err();
        assert!(error.contains("may be attached to the loop device /dev/loop3"), "{error}");
        assert!(error.contains("(/image (deleted))"), "{error}");
    }
    for device in [there, gone] {
        let device = LoopDevice { read_only: true, ..device };
        assert!(judged(&device, Access::Audit).is_ok());
        assert!(judged(&device, Access::Seal).is_err());
    }
}

/// A folder as `/sys/block` is.
#[test]
fn devices_are_read_from_sysfs() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (path, text) in [
        ("loop3/dev", "7:3\n"),
        ("loop3/size", "18432\n"),
        ("loop3/ro", "1\n"),
        ("loop3/loop/backing_file", "/srv/an image\n (deleted)\n"),
        ("loop3/loop/offset", "1048576\n"),
        ("loop3/loop/sizelimit", "9437184\n"),
        // Not attached, and not a loop device.
        ("loop4/dev", "7:4\n"),
        ("loop4/size", "0\n"),
        ("sda/dev", "8:0\n"),
        ("sda/size", "18432\n"),
    ] {
        put(path, text);
    }
    let ask = |name: &str, number: &str| (name == "loop3" && number == "7:3\n").then_some((8, 100));
    let found = attached(folder.path(), ask);
    let [device] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&*device.name, device.identity), ("loop3", Some((8, 100))));
    assert_eq!(device.path, Path::new("/srv/an image\n (deleted)"));
    assert_eq!((device.offset, device.limit, device.size), (MIB, 9 * MIB, 9 * MIB));
    assert!(device.read_only && device.fits(IMAGE));
    assert_eq!(attached(folder.path(), |_, _| None).len(), 1);
    let detach = |_: &str, _: &str| {
        fs::remove_file(folder.path().join("loop3/loop/backing_file")).unwrap();
        None
    };
    assert!(attached(folder.path(), detach).is_empty());
    assert!(attached(&folder.path().join("missing"), |_, _| None).is_empty());
}
