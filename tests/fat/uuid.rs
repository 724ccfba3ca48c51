//! Another serial number: the bytes that `fatlabel -i` makes.

use super::*;

#[test]
fn shapes_get_what_fatlabel_gives_them() {
    for (bits, args, mib) in SHAPES {
        let dir = tempfile::tempdir().unwrap();
        let image = recipe::fat(dir.path(), &tree(), bits, args, mib * MIB);
        let disk = Arc::new(Disk::from_file(&image));
        let change = DRIVER.uuid.unwrap();
        let device = Arc::clone(&disk) as Arc<dyn WriteBlocks>;
        for wrong in ["", "0F1E2D3C", "0F1E-2D3", "0F1E-2D3G", "0f1e-2d3c", "-0F1E2D3C"] {
            assert!((change.set)(&device, wrong).is_err(), "{wrong}");
        }
        (change.set)(&device, "0F1E-2D3C").unwrap();
        succeed("fatlabel", "dosfstools", &["-i", image.to_str().unwrap(), "0f1e2d3c"]);
        let theirs = Disk::from_file(&image);
        let (mut a, mut b) = (vec![0; MIB as usize], vec![0; MIB as usize]);
        for at in (0..mib * MIB).step_by(MIB as usize) {
            disk.read_at(at, &mut a).unwrap();
            theirs.read_at(at, &mut b).unwrap();
            let differs = a.iter().zip(&b).position(|(a, b)| a != b);
            assert_eq!(differs, None, "FAT{bits} {args:?}, from byte {at}");
        }
        disk.save(&image);
        fsck_vfat_clean(&image);
        let info = (DRIVER.open)(disk).unwrap().info();
        assert_eq!(info.uuid.as_deref(), Some("0F1E-2D3C"));
    }
}

#[test]
fn new_ones_are_never_none() {
    let made = |random: [u8; 32]| (DRIVER.uuid.unwrap().made_of)(&random);
    assert_eq!(made([0; 32]), "0000-0001");
    let mut random = [0; 32];
    random[4..8].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(made(random), "0403-0201");
}
