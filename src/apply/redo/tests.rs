use std::io::Cursor;
use std::path::Path;

use super::*;
use crate::block::Memory;

fn header() -> Header {
    Header {
        len_before: 10_000,
        len_after: 3 << 20,
        zeroed: 5000 + (1 << 20),
        samples: vec![Sample::of(0, b"abc"), Sample::of(4096, &[7; 4096])],
    }
}

/// A log of a few records and where each part of it ends.
fn log() -> Vec<u8> {
    let mut log = Vec::new();
    let mut sink = |bytes: &[u8]| {
        log.extend_from_slice(bytes);
        Ok(())
    };
    let mut writer = Writer::new(&mut sink, &header()).unwrap();
    let before = Memory::from_bytes(vec![1; 10_000]);
    writer.bytes(&before, 5, b"hello").unwrap();
    writer.zero(&before, 100, 5000).unwrap();
    writer.bytes(&before, 8192, &vec![9; (1 << 20) + 17]).unwrap();
    writer.zero(&before, 2 << 20, 1 << 20).unwrap();
    let trailer = writer.finish().unwrap();
    log.extend_from_slice(&trailer);
    log
}

fn read(log: &[u8]) -> Result<Vec<(u64, u64, bool)>, LogError> {
    let mut log = Log::open(Cursor::new(log))?;
    assert_eq!(*log.header(), header());
    let mut records = Vec::new();
    while let Some(Entry { record, .. }) = log.next()? {
        let (at, len) = record.range();
        records.push((at, len, matches!(record, Record::Zero { .. })));
    }
    Ok(records)
}

#[test]
fn a_log_reads_back() {
    assert_eq!(
        read(&log()).unwrap(),
        [
            (5, 5, false),
            (100, 5000, true),
            (8192, 1 << 20, false),
            (8192 + (1 << 20), 17, false),
            (2 << 20, 1 << 20, true),
        ]
    );
}

#[test]
fn a_log_cut_anywhere_is_incomplete() {
    let log = log();
    let cuts = (0..300).chain(log.len() - 300..log.len()).chain([log.len() / 2]);
    for len in cuts {
        assert!(matches!(read(&log[..len]), Err(LogError::Incomplete)), "cut to {len}");
    }
    let mut longer = log.clone();
    longer.push(0);
    assert!(matches!(read(&longer), Err(LogError::Incomplete)));
    // The end of one log behind another's remains.
    let mut other = vec![0; 77];
    other.extend_from_slice(&log);
    assert!(matches!(read(&other), Err(LogError::Incomplete)));
}

/// What is thrown away as a log that was never finished was written as one, or lost in a crash.
#[test]
fn another_file_is_no_unfinished_log() {
    let log = log();
    for (bytes, is_log) in [
        (&b""[..], true),
        (b"SYS", true),
        (&log[..50], true),
        (&[0; 5000], true),
        (b"S?S", false),
        (b"sysprep", false),
        (&[7; 5000], false),
        (b"\0\0\0\0\0\0\0!", false),
    ] {
        match read(bytes) {
            Err(LogError::Incomplete) => assert!(is_log, "{bytes:?}"),
            Err(LogError::Foreign) => assert!(!is_log, "{bytes:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let log = log();
    let places = (0..300).chain(log.len() - 300..log.len()).chain((300..log.len()).step_by(9973));
    for at in places {
        let mut bad = log.clone();
        bad[at] ^= 0x40;
        let in_trailer = at >= log.len() - trailer::SIZE;
        match read(&bad) {
            Err(LogError::Incomplete) => assert!(in_trailer, "byte {at}"),
            Err(LogError::Damaged { .. } | LogError::Version(_)) => {
                assert!(!in_trailer, "byte {at}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_forged_log_is_refused_and_never_panics() {
    // Everything about these logs is consistent but the records themselves.
    let forge = |records: &[Vec<u8>], count: u64| {
        let mut log = header().to_bytes();
        records.iter().for_each(|record| log.extend_from_slice(record));
        let digest = *blake3::hash(&log).as_bytes();
        let length = (log.len() + trailer::SIZE) as u64;
        log.extend_from_slice(&trailer::Trailer { records: count, length, digest }.to_bytes());
        log
    };
    let zero = |at: u64, len: u64| {
        let in_range = at.checked_add(len).is_some();
        let digests = if in_range { touched::size_of_zero(at, len, 1).min(4096) } else { 0 };
        let digests = vec![0; digests as usize];
        let mut record = Record::Zero { at, len }.head(&digests).to_vec();
        record.extend_from_slice(&digests);
        record
    };
    assert!(read(&forge(&[zero(0, 10), zero(10, 5)], 2)).is_ok());
    for (records, count) in [
        (vec![zero(0, 10), zero(9, 5)], 2),      // overlapping
        (vec![zero(10, 10), zero(0, 5)], 2),     // not in order
        (vec![zero(3 << 20, 1)], 1),             // behind the image's end
        (vec![zero(u64::MAX, 2)], 1),            // overflowing
        (vec![zero(0, 0)], 1),                   // empty
        (vec![zero(0, 1 << 20)], 1),             // without all its digests
        (vec![zero(0, 1)], 2),                   // fewer than said
        (vec![zero(0, 1), zero(1, 1)], 1),       // more than said
        (vec![zero(0, 1), vec![1, 0, 0, 0]], 1), // cut off
        (vec![Record::Bytes { at: 0, bytes: b"12" }.head(&[]).to_vec()], 1), // without its bytes
    ] {
        let result = read(&forge(&records, count));
        assert!(matches!(result, Err(LogError::Damaged { .. })), "{records:?}: {result:?}");
    }
}

#[test]
fn samples_avoid_what_is_touched_and_know_the_image() {
    let bytes: Vec<u8> = (0..64 * 4096_u32).map(|n| (n / 4096 + n * 7) as u8).collect();
    let image = Memory::from_bytes(bytes.clone());
    let touched = [(4096 * 3 + 5, 10), (4096 * 8, 4096 * 2), (4096 * 60, 4096 * 4)];
    let taken = samples(&image, &touched, 4096 * 62).unwrap();
    assert!(taken.len() > 30, "{}", taken.len());
    let blocks: Vec<u64> = taken.iter().map(|sample| sample.at / 4096).collect();
    assert!([3, 8, 9, 60, 61, 62, 63].iter().all(|block| !blocks.contains(block)), "{blocks:?}");
    assert!([2, 4, 7, 10, 59].iter().all(|block| blocks.contains(block)), "{blocks:?}");

    let header = Header { len_before: 4096 * 64, len_after: 4096 * 62, zeroed: 0, samples: taken };
    assert_eq!(differs(&header, &image).unwrap(), None);
    let mut half = bytes.clone();
    half[4096 * 9] ^= 1;
    half.truncate(4096 * 62);
    assert_eq!(differs(&header, &Memory::from_bytes(half)).unwrap(), None);
    let mut other = bytes.clone();
    other[4096 * 4 + 1] ^= 1;
    assert_eq!(
        differs(&header, &Memory::from_bytes(other)).unwrap(),
        Some(Mismatch::Content { at: 4096 * 4 })
    );
    assert!(matches!(
        differs(&header, &Memory::from_bytes(bytes[..4096 * 63].to_vec())).unwrap(),
        Some(Mismatch::Length { .. })
    ));
}

#[test]
fn the_log_lies_beside_the_image() {
    assert_eq!(log_path(Path::new("/a/b.img")).unwrap(), Path::new("/a/.b.img.sysprep-redo"));
    let long = format!("/a/{}", "x".repeat(255));
    let log = log_path(Path::new(&long)).unwrap();
    assert_eq!(log.parent(), Some(Path::new("/a")));
    assert!(log.file_name().unwrap().len() <= 255);
    assert_eq!(image_of(log.file_name().unwrap()), None);
    assert!(log_path(Path::new("/")).is_err());
    for (name, image) in [
        (".b.img.sysprep-redo", Some("b.img")),
        (".sysprep-redo", None),
        ("b.img.sysprep-redo", None),
        (".b.img", None),
    ] {
        assert_eq!(image_of(name.as_ref()), image.map(AsRef::as_ref), "{name}");
    }
}
