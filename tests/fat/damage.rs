//! Leftovers of a crash are mended, damage is refused, and nothing panics.

use super::*;

#[test]
fn leftovers_of_a_crash_are_mended() {
    for shape in [SHAPES[2], SHAPES[5]] {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), shape);
        let disk = Arc::new(Disk::from_file(&path));
        let mut bytes = [0; 512];
        disk.read_at(0, &mut bytes).unwrap();
        let wide = shape.0 == 32;
        let word = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let reserved = word(14) * 512;
        let state = if wide { 65 } else { 37 };
        disk.write_at(state, &[1]).unwrap();
        // A chain that nobody owns, in one copy of the table.
        let entry = if wide { 4 } else { 2 };
        let lost = 3000_u64;
        let mut pair = [0; 8];
        disk.read_at(reserved + lost * entry, &mut pair[..2 * entry as usize]).unwrap();
        assert_eq!(pair, [0; 8], "free so far");
        let next =
            if wide { 3001_u32.to_le_bytes().to_vec() } else { 3001_u16.to_le_bytes().to_vec() };
        disk.write_at(reserved + lost * entry, &next).unwrap();
        let end = vec![0xff; entry as usize];
        disk.write_at(reserved + (lost + 1) * entry, &end).unwrap();
        let findings = check(&disk);
        let wants: &[&str] = if wide {
            &["belong to no file", "cleanly", "differ", "FSInfo"]
        } else {
            &["belong to no file", "cleanly", "differ"]
        };
        for want in wants {
            assert!(findings.iter().any(|line| line.contains(want)), "{want}: {findings:?}");
        }
        assert!(open(&disk).info().dirty);
        let freed = edit(&disk, &options()).finish().unwrap();
        assert_eq!(freed.bytes, 2 * u64::from(open(&disk).info().block_size));
        right(&disk, dir.path());
    }
}

/// Runs of them and single ones, over the pages that the table is written in; what lies beside them
/// is not changed.
#[test]
fn lost_clusters_of_every_width_are_freed() {
    for shape in [SHAPES[0], SHAPES[2], SHAPES[5]] {
        let dir = tempfile::tempdir().unwrap();
        let path = image(dir.path(), shape);
        let disk = Arc::new(Disk::from_file(&path));
        let mut boot = [0; 512];
        disk.read_at(0, &mut boot).unwrap();
        let table = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
        let info = open(&disk).info();
        let end = (info.size / u64::from(info.block_size)).min(30_000) as u32 - 700;
        let mut lost = 0;
        for cluster in (2..end).filter(|cluster| cluster % 7 != 0) {
            let at = table + u64::from(cluster) * u64::from(shape.0) / 8;
            let len = if shape.0 == 32 { 4 } else { 2 };
            let mut raw = [0; 4];
            disk.read_at(at, &mut raw[..len]).unwrap();
            let old = u32::from_le_bytes(raw);
            let mask = match (shape.0, cluster % 2) {
                (12, 0) => 0xfff,
                (12, _) => 0xfff0,
                (16, _) => 0xffff,
                _ => 0x0fff_ffff,
            };
            if old & mask != 0 {
                continue;
            }
            // The upper bits of FAT32 are somebody else's.
            let foreign = if shape.0 == 32 && cluster % 11 == 0 { 0x5000_0000 } else { 0 };
            let new = old | mask | foreign;
            disk.write_at(at, &new.to_le_bytes()[..len]).unwrap();
            lost += 1;
        }
        assert!(lost > 500, "{shape:?}: {lost} clusters");
        let before = snapshot::of_fs(&*open(&disk)).unwrap();
        let freed = edit(&disk, &options()).finish().unwrap();
        assert_eq!(freed.bytes, lost * u64::from(info.block_size), "{shape:?}");
        right(&disk, dir.path());
        snapshot::assert_same("after", &before, &snapshot::of_fs(&*open(&disk)).unwrap());
        assert_eq!(open(&disk).info().free, info.free, "{shape:?}");
        if shape.0 == 32 {
            let mut raw = [0; 4];
            let cluster = (2000..end).find(|it| it % 11 == 0 && it % 7 != 0).unwrap();
            disk.read_at(table + u64::from(cluster) * 4, &mut raw).unwrap();
            assert_eq!(u32::from_le_bytes(raw), 0x5000_0000);
        }
    }
}

/// Walks a tree that may be anything: never further than it has nodes.
fn walk(fs: &dyn ReadFs) -> Result<usize, FsError> {
    let mut todo = vec![(fs.root(), GuestPath::root())];
    let mut seen = 0;
    let mut piece = vec![0; 100_000];
    while let Some((node, path)) = todo.pop() {
        seen += 1;
        assert!(seen < 100_000, "the walk does not end: {path}");
        match fs.stat(node) {
            Ok(stat) if stat.kind == Kind::Directory => {
                let listed = fs.entries(node, &mut |entry| {
                    assert!(!entry.name.is_empty() && !entry.name.contains(&b'/'));
                    todo.push((entry.node, path.join(entry.name)));
                    ControlFlow::Continue(())
                });
                if listed.is_err() {
                    continue;
                }
            }
            Ok(_) => {
                let _ = fs.read_at(node, 0, &mut piece);
                let _ = fs.read_at(node, 66_000, &mut piece[..10]);
            }
            Err(_) => {}
        }
    }
    Ok(seen)
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let mut random = Random::new("damaged FAT", 11);
    let (mut edited, mut refused) = (0, 0);
    for (shape, rounds) in [(SHAPES[0], 120), (SHAPES[2], 80), (SHAPES[5], 15)] {
        let dir = tempfile::tempdir().unwrap();
        let base = Disk::from_file(&image(dir.path(), shape));
        // Bytes of metadata, which are what is stored before the first file's content.
        let mut places = Vec::new();
        base.stored(|at, bytes| {
            let used = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
            places.extend(used.map(|(n, _)| at + n as u64));
        });
        places.truncate(4000);
        for round in 0..rounds {
            let disk = Arc::new(base.clone());
            for _ in 0..1 + random.below(3) {
                let place = if round % 3 == 0 {
                    random.below(64) + 11
                } else {
                    places[random.below(places.len() as u64) as usize]
                };
                let byte = match random.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => random.number() as u8,
                };
                disk.write_at(place, &[byte]).unwrap();
            }
            let _ = (DRIVER.probe)(&*disk);
            if let Ok(fs) = (DRIVER.open)(Arc::clone(&disk) as Arc<dyn ReadBlocks>) {
                fs.info();
                walk(&*fs).unwrap();
            }
            let _ = (DRIVER.check.unwrap())(&*disk);
            if let Ok(judge) = (DRIVER.judge.unwrap())(Arc::clone(&disk) as Arc<dyn ReadBlocks>) {
                let _ = snapshot::of_judge(&*judge);
            }
            let options = options();
            let opened =
                (DRIVER.edit.unwrap())(Arc::clone(&disk) as Arc<dyn WriteBlocks>, &options);
            let Ok(mut editor) = opened else {
                refused += 1;
                continue;
            };
            let root = editor.view().root();
            let removed = editor.remove_tree(root, b"many");
            let _ =
                editor.create(root, b"a new file", NewKind::File(&[1; 3000]), &NewMeta::default());
            if removed.is_ok() && editor.finish().is_ok() {
                assert_eq!(check(&disk), Vec::<String>::new(), "round {round}, {shape:?}");
                edited += 1;
            }
        }
    }
    assert!(edited > 20 && refused > 20, "{edited} edited, {refused} refused");
}

#[test]
fn loops_and_cross_links_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), SHAPES[5]);
    let base = Disk::from_file(&path);
    let fs = open(&Arc::new(base.clone()));
    // A node is the place of its entry.
    let entry = |path: &str| at(&*fs, path).0 * 32;
    let cluster = |place: u64| {
        let mut entry = [0; 32];
        base.read_at(place, &mut entry).unwrap();
        [entry[26], entry[27]]
    };
    let efi = cluster(entry("/EFI"));
    for (place, what) in [(entry("/EFI/BOOT"), "a loop"), (entry("/many"), "two names")] {
        let disk = Arc::new(base.clone());
        disk.write_at(place + 26, &efi).unwrap();
        assert!(walk(&*open(&disk)).unwrap() < 200, "{what}");
        assert!(!check(&disk).is_empty(), "{what}");
        let opened = (DRIVER.edit.unwrap())(disk.clone(), &options());
        assert!(matches!(opened.map(|_| ()), Err(FsError::Corrupt(_))), "{what}");
        let judge = (DRIVER.judge.unwrap())(disk);
        assert!(matches!(judge.map(|_| ()), Err(FsError::Corrupt(_))), "{what}");
    }
    let complaint = run("fsck.vfat", "dosfstools", &["-n", text(&path)]);
    assert!(complaint.status.success(), "the base is clean");
}

/// What one copy of the table calls free and another a part of something may be either.
#[test]
fn tables_that_contradict_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = image(dir.path(), SHAPES[2]);
    let base = Disk::from_file(&path);
    let mut boot = [0; 512];
    base.read_at(0, &mut boot).unwrap();
    let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let (first, len) = (word(14) * 512, word(22) * 512);
    // A free cluster that only the copy calls in use, and a chain that the copies see otherwise.
    for (cluster, value, refused) in [(3000, 0xffff_u16, true), (2, 0x0bb8, true), (2, 0, false)] {
        let disk = Arc::new(base.clone());
        disk.write_at(first + len + cluster * 2, &value.to_le_bytes()).unwrap();
        let opened = (DRIVER.edit.unwrap())(disk.clone(), &options());
        match opened.map(|editor| editor.finish()) {
            Err(FsError::Corrupt(corrupt)) if refused => {
                assert!(corrupt.problem.contains(&format!("cluster {cluster} ")), "{corrupt:?}");
            }
            Ok(Ok(_)) if !refused => {
                right(&disk, dir.path());
            }
            other => panic!("cluster {cluster}, {value}: {other:?}"),
        }
    }
}
