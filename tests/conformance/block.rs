//! What every byte device has to do, checked against a model in memory.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use sysprep_rs::block::{
    BlockError, Extent, HostFile, Memory, Overlay, Piece, ReadBlocks, ResizeBlocks, Watched,
    Window, WindowMut, WriteBlocks,
};

use crate::random::Random;

/// Reads at random, checks ranges and extents; `model` is the device's content.
pub(crate) fn reads(device: &dyn ReadBlocks, model: &[u8], random: &mut Random) {
    let size = model.len() as u64;
    assert_eq!(device.len(), size);
    assert_eq!(device.is_empty(), size == 0);
    whole(device, model);
    for _ in 0..50 {
        let at = random.below(size + 1);
        let len = random.below((size - at).min(20_000) + 1);
        let mut got = vec![0xAA; len as usize];
        device.read_at(at, &mut got).unwrap();
        assert!(got == model[at as usize..(at + len) as usize], "read {at}+{len}");
    }
    for (at, len) in
        [(size, 1), (size + 1, 0), (size.saturating_sub(1), 3), (u64::MAX, 1), (u64::MAX - 1, 7)]
    {
        let mut untouched = vec![0xAA; len];
        let error = device.read_at(at, &mut untouched).unwrap_err();
        assert!(matches!(error, BlockError::OutOfRange { .. }), "{at}+{len}: {error}");
        assert!(untouched.iter().all(|byte| *byte == 0xAA), "{at}+{len} was read");
    }
    device.read_at(size, &mut []).unwrap();
    for at in [size, size + 1, u64::MAX] {
        let error = device.extent_at(at).unwrap_err();
        assert!(matches!(error, BlockError::OutOfRange { .. }), "{at}: {error}");
    }
}

/// Compares the whole content, and that extents say the truth.
pub(crate) fn whole(device: &dyn ReadBlocks, model: &[u8]) {
    let size = model.len() as u64;
    let mut got = vec![0xAA; model.len()];
    device.read_at(0, &mut got).unwrap();
    if let Some(at) = (0..got.len()).find(|&at| got[at] != model[at]) {
        panic!("at {at}: {:#x} read, {:#x} expected", got[at], model[at]);
    }
    let mut at = 0;
    while at < size {
        let extent = device.extent_at(at).unwrap();
        assert!(!extent.is_empty(), "empty extent at {at}");
        let end = at.checked_add(extent.len()).unwrap();
        assert!(end <= size, "extent at {at} ends at {end}, past {size}");
        if let Extent::Zero(_) = extent {
            let range = &model[at as usize..end as usize];
            assert!(range.iter().all(|byte| *byte == 0), "{at}..{end} is not zero");
        }
        at = end;
    }
}

/// Writes and zeroes at random, as `unit`-aligned as asked, keeping `model` in step.
pub(crate) fn writes(
    device: &dyn WriteBlocks,
    model: &mut [u8],
    random: &mut Random,
    unit: u64,
    steps: u32,
) {
    let size = model.len() as u64;
    assert_eq!(device.len(), size);
    for step in 0..steps {
        step_at_random(device, model, random, unit);
        if step % 16 == 0 {
            whole(device, model);
        }
    }
    device.flush().unwrap();
    whole(device, model);
    for (at, len) in [(size, 1), (size + 1, 0), (size.saturating_sub(1), 3), (u64::MAX, 1)] {
        let error = device.write_at(at, &vec![7; len]).unwrap_err();
        assert!(matches!(error, BlockError::OutOfRange { .. }), "write {at}+{len}: {error}");
        let error = device.zero(at, len as u64).unwrap_err();
        assert!(matches!(error, BlockError::OutOfRange { .. }), "zero {at}+{len}: {error}");
    }
    device.write_at(size, &[]).unwrap();
    device.zero(size, 0).unwrap();
    whole(device, model);
}

fn step_at_random(device: &dyn WriteBlocks, model: &mut [u8], random: &mut Random, unit: u64) {
    let size = model.len() as u64;
    let at = random.below(size + 1) / unit * unit;
    let longest = if random.below(8) == 0 { size - at } else { (size - at).min(9000) };
    let len = (random.below(longest + 1) / unit * unit).min(size - at);
    let range = at as usize..(at + len) as usize;
    if random.below(3) == 0 {
        device.zero(at, len).unwrap();
        model[range].fill(0);
    } else {
        let mut bytes = random.bytes(len as usize);
        // Whole blocks of zeroes are written too, among others.
        if random.below(3) == 0 {
            let from = random.below(len + 1) as usize;
            bytes[from..].fill(0);
        }
        device.write_at(at, &bytes).unwrap();
        model[range].copy_from_slice(&bytes);
    }
}

/// Writes, zeroes, and changes of size at random.
pub(crate) fn resizes(
    device: &dyn ResizeBlocks,
    model: &mut Vec<u8>,
    random: &mut Random,
    steps: u32,
) {
    let most = (model.len() as u64).max(4096) * 2;
    for step in 0..steps {
        if random.below(5) == 0 {
            let len = random.below(most);
            device.set_len(len).unwrap();
            model.resize(len as usize, 0);
            assert_eq!(device.len(), len);
        } else {
            step_at_random(device, model, random, 1);
        }
        if step % 16 == 0 {
            whole(device, model);
        }
    }
    whole(device, model);
}

/// A file with data and holes, and its content.
fn sparse_file(random: &mut Random, len: u64) -> (File, Vec<u8>) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    let mut model = vec![0; len as usize];
    for _ in 0..6 {
        let at = random.below(len);
        let bytes = random.bytes(random.clone().below((len - at).min(10_000) + 1) as usize);
        file.write_all_at(&bytes, at).unwrap();
        model[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
    }
    (file, model)
}

/// Brings a copy of the base to the overlay's content as the overlay's text says.
pub(crate) fn commit(overlay: &Overlay, file: &File) {
    let changes = overlay.changes();
    if changes.len > changes.base_len {
        file.set_len(changes.len).unwrap();
    }
    let mut end = 0;
    for &(at, piece) in &changes.pieces {
        assert!(at >= end, "pieces overlap at {at}");
        end = at + piece.len();
        assert!(!piece.is_empty() && end <= changes.len);
        match piece {
            Piece::Bytes(len) => {
                let mut bytes = vec![0; len as usize];
                overlay.read_at(at, &mut bytes).unwrap();
                file.write_all_at(&bytes, at).unwrap();
            }
            Piece::Zero(len) => rustix::fs::fallocate(
                file,
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
                at,
                len,
            )
            .unwrap(),
        }
    }
    if changes.len < changes.base_len {
        file.set_len(changes.len).unwrap();
    }
}

#[test]
fn a_host_file_conforms() {
    for seed in 0..8 {
        let mut random = Random::new("a host file", seed);
        let (file, model) = sparse_file(&mut random, 300_000 + seed);
        reads(&HostFile::from_file(file).unwrap(), &model, &mut random);
    }
    let empty = HostFile::from_file(tempfile::tempfile().unwrap()).unwrap();
    reads(&empty, &[], &mut Random::new("an empty host file", 0));
}

#[test]
fn a_host_file_shows_its_holes_and_fails_when_cut_short() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 4096]).unwrap();
    file.set_len(1 << 30).unwrap();
    let device = HostFile::from_file(file.try_clone().unwrap()).unwrap();
    assert!(matches!(device.extent_at(0).unwrap(), Extent::Data(len) if len < 1 << 20));
    assert_eq!(device.extent_at(1 << 20).unwrap(), Extent::Zero((1 << 30) - (1 << 20)));
    file.set_len(100).unwrap();
    assert_eq!(device.len(), 1 << 30);
    assert!(matches!(device.extent_at(1 << 20).unwrap(), Extent::Data(_)));
    let error = device.read_at(1 << 20, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, BlockError::Io { at: 0x10_0000, .. }), "{error}");
}

#[test]
fn a_host_file_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    assert!(HostFile::open(folder.path()).is_err());
    assert!(HostFile::open(std::path::Path::new("/dev/null")).is_err());
    assert!(HostFile::open(&folder.path().join("missing")).is_err());
}

#[test]
fn memory_conforms() {
    for seed in 0..8 {
        let mut random = Random::new("memory", seed);
        let mut model = random.bytes(random.clone().below(200_000) as usize);
        let memory = Memory::from_bytes(model.clone());
        reads(&memory, &model, &mut random);
        writes(&memory, &mut model, &mut random, 1, 120);
        resizes(&memory, &mut model, &mut random, 120);
        reads(&memory, &model, &mut random);
    }
    let vast = Memory::new(1 << 60);
    vast.write_at((1 << 60) - 3, b"end").unwrap();
    vast.zero(0, (1 << 60) - 3).unwrap();
    assert_eq!(vast.extent_at(0).unwrap(), Extent::Zero((1 << 60) - 3));
    assert_eq!(vast.held_bytes(), 3);
}

#[test]
fn windows_conform() {
    for seed in 0..4 {
        let mut random = Random::new("windows", seed);
        let bytes = random.bytes(100_000);
        let device = Arc::new(Memory::from_bytes(bytes.clone()));
        let (start, len) = (777 + seed, 60_000 + seed);
        let range = start as usize..(start + len) as usize;
        let mut model = bytes[range.clone()].to_vec();
        reads(&Window::new(device.clone(), start, len).unwrap(), &model, &mut random);
        let window = WindowMut::new(device.clone(), start, len).unwrap();
        reads(&window, &model, &mut random);
        writes(&window, &mut model, &mut random, 1, 120);
        // Nothing outside the window changed.
        let mut expected = bytes;
        expected[range].copy_from_slice(&model);
        whole(&*device, &expected);
        for (start, len) in [(100_000, 1), (0, 100_001), (u64::MAX, 2)] {
            assert!(Window::new(device.clone(), start, len).is_err());
            assert!(WindowMut::new(device.clone(), start, len).is_err());
        }
    }
}

#[test]
fn a_watched_device_conforms_and_says_when_it_changes() {
    let mut random = Random::new("watched", 0);
    let mut bytes = random.bytes(200_000);
    bytes.resize(300_000, 0);
    let memory = Arc::new(Memory::from_bytes(bytes.clone()));
    let device = Watched::new(memory.clone());
    // What is there already, over more than one piece, and zeroes where zeroes are.
    device.write_at(7, &bytes[7..199_000]).unwrap();
    device.zero(200_000, 100_000).unwrap();
    device.write_at(250_000, &[0; 5000]).unwrap();
    assert!(device.write_at(299_999, &[0; 2]).is_err() && device.zero(299_999, 2).is_err());
    assert!(!device.is_changed());
    for change in [true, false] {
        let device = Watched::new(memory.clone());
        let at = if change { 199_999 } else { 66_000 };
        match change {
            true => device.write_at(at, &[bytes[at as usize] ^ 1, 0]).unwrap(),
            false => device.zero(at, 40).unwrap(),
        }
        assert!(device.is_changed());
    }
    reads(&device, &contents(&*memory), &mut random);
    let mut model = contents(&*memory);
    writes(&device, &mut model, &mut random, 1, 120);
    assert!(device.is_changed());
}

fn contents(device: &dyn ReadBlocks) -> Vec<u8> {
    let mut bytes = vec![0; device.len() as usize];
    device.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_overlay_conforms_and_commits_to_what_it_showed() {
    for seed in 0..12 {
        let mut random = Random::new("an overlay", seed);
        let (file, bytes) = sparse_file(&mut random, 250_000);
        let base = Arc::new(HostFile::from_file(file.try_clone().unwrap()).unwrap());
        let mut model = bytes.clone();
        let overlay = Overlay::new(base.clone());
        assert!(overlay.changes().is_empty());
        reads(&overlay, &model, &mut random);
        writes(&overlay, &mut model, &mut random, 1, 150);
        if seed % 2 == 0 {
            resizes(&overlay, &mut model, &mut random, 150);
        }
        reads(&overlay, &model, &mut random);
        whole(&*base, &bytes);
        let held: u64 = overlay
            .changes()
            .pieces
            .iter()
            .map(|(_, piece)| if let Piece::Bytes(len) = piece { *len } else { 0 })
            .sum();
        assert_eq!(held, overlay.staged_bytes());
        // Stopping halfway and starting again must not matter.
        commit(&overlay, &file);
        whole(&HostFile::from_file(file.try_clone().unwrap()).unwrap(), &model);
    }
}

#[test]
fn an_overlay_that_spills_conforms_and_commits_to_what_it_showed() {
    let folder = tempfile::tempdir().unwrap();
    for (seed, most_held) in
        [0, 1, 100, 3000, 20_000, 100_000].into_iter().cycle().take(18).enumerate()
    {
        let mut random = Random::new("an overlay that spills", seed as u64);
        let (file, bytes) = sparse_file(&mut random, 250_000);
        let base = Arc::new(HostFile::from_file(file.try_clone().unwrap()).unwrap());
        let mut model = bytes.clone();
        let overlay = Overlay::spilling(base.clone(), folder.path(), most_held);
        writes(&overlay, &mut model, &mut random, 1, 150);
        if seed % 2 == 0 {
            resizes(&overlay, &mut model, &mut random, 150);
        }
        reads(&overlay, &model, &mut random);
        // Several threads at once, while nothing writes.
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut random = random.clone();
                random.number();
                let (overlay, model) = (&overlay, &model);
                scope.spawn(move || reads(overlay, model, &mut random));
            }
        });
        whole(&*base, &bytes);
        // What is changed does not depend on where it is held: the same steps in memory.
        let mut random = Random::new("an overlay that spills", seed as u64);
        let (_, mut again) = sparse_file(&mut random, 250_000);
        let in_memory = Overlay::new(base);
        writes(&in_memory, &mut again, &mut random, 1, 150);
        if seed % 2 == 0 {
            resizes(&in_memory, &mut again, &mut random, 150);
        }
        assert_eq!(overlay.changes(), in_memory.changes());
        assert_eq!(overlay.staged_bytes(), in_memory.staged_bytes());
        commit(&overlay, &file);
        whole(&HostFile::from_file(file).unwrap(), &model);
        // It has no name.
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn an_overlay_spills_to_the_systems_folder_where_its_own_takes_none() {
    let overlay =
        Overlay::spilling(Arc::new(Memory::new(1 << 20)), std::path::Path::new("/nowhere"), 10);
    let mut model = vec![0; 1 << 20];
    writes(&overlay, &mut model, &mut Random::new("spilling elsewhere", 0), 1, 20);
}

#[test]
fn an_overlay_on_an_overlay_conforms() {
    for seed in 0..4 {
        let mut random = Random::new("an overlay on an overlay", seed);
        let mut model = random.bytes(80_000);
        let below = Overlay::new(Arc::new(Memory::from_bytes(model.clone())));
        resizes(&below, &mut model, &mut random, 60);
        let above = Overlay::new(Arc::new(below));
        reads(&above, &model, &mut random);
        resizes(&above, &mut model, &mut random, 100);
    }
}

#[test]
fn zeroes_cost_nothing_where_the_base_has_them_and_no_bytes_elsewhere() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 1 << 20]).unwrap();
    file.set_len(1 << 40).unwrap();
    let overlay = Overlay::new(Arc::new(HostFile::from_file(file).unwrap()));
    overlay.zero(1 << 30, 1 << 39).unwrap();
    overlay.write_at(1 << 35, &vec![0; 1 << 20]).unwrap();
    assert!(overlay.changes().is_empty(), "{:?}", overlay.changes());
    // Written and taken back over a hole: nothing is left to commit.
    overlay.write_at((1 << 35) + 5, &[9; 100_000]).unwrap();
    assert_eq!(overlay.staged_bytes(), 100_000);
    overlay.zero(1 << 35, 1 << 20).unwrap();
    assert!(overlay.changes().is_empty());
    overlay.zero(100, 1000).unwrap();
    overlay.write_at(8192, &[0; 4096]).unwrap();
    overlay.zero(1100, 10).unwrap();
    let changes = overlay.changes();
    assert_eq!(changes.pieces, [(100, Piece::Zero(1010)), (8192, Piece::Zero(4096))]);
    assert_eq!(overlay.staged_bytes(), 0);
}

#[test]
fn an_overlay_takes_tens_of_thousands_of_ranges_quickly() {
    let base = Arc::new(Memory::new(4 << 30));
    let overlay = Overlay::new(base);
    let started = std::time::Instant::now();
    for i in 0..40_000_u64 {
        let at = (i * 7919 % 40_000) * 65_536;
        overlay.write_at(at + 4096, &[i as u8 | 1; 4096]).unwrap();
        overlay.zero(at, 4096).unwrap();
    }
    assert_eq!(overlay.staged_bytes(), 40_000 * 4096);
    overlay.zero(0, 4 << 30).unwrap();
    assert!(overlay.changes().is_empty());
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
