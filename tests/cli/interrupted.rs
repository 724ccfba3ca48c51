//! An image whose seal was interrupted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use sysprep_rs::apply::{self, ApplyError, FileHost, commit};
use sysprep_rs::fs::Timestamp;
use sysprep_rs::guest::Disk;
use sysprep_rs::image::{Access, OpenOptions};
use sysprep_rs::operation::{Catalogue, Selection, Volumes};
use sysprep_rs::plan::{self, FilesystemFacts, FirstBoot, ImageFacts, PlanOptions};

use super::{Place, root_filesystem};
use crate::crash::stopping::{Stop, Stopping};
use crate::support::oracle;

/// Seals an image with the default operations until the `operation`th step of the commit fails.
fn interrupt(path: &Path, operation: u32) {
    interrupt_with(&Selection::defaults(), path, operation).unwrap_err();
}

/// The same with other operations; `Ok` where the commit has fewer steps.
pub(super) fn interrupt_with(
    selection: &Selection,
    path: &Path,
    operation: u32,
) -> Result<(), ApplyError> {
    let (image, _) = apply::open(path, &OpenOptions::default(), Access::Seal).unwrap();
    let disk = Disk::open(image.disk()).unwrap();
    let options = PlanOptions {
        image: ImageFacts {
            format: image.format().to_string(),
            virtual_size: image.virtual_size(),
            disk_uuid: disk.layout.disk_uuid.clone(),
        },
        now: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        keep_free_space: false,
        first_boot: FirstBoot::Auto,
        filesystems: FilesystemFacts::of(&disk),
        volumes: Volumes::of(&disk, [9; 32], BTreeMap::new()),
    };
    let operations = Catalogue::embedded().unwrap().select(selection).unwrap();
    let plan = plan::plan(&disk.guests().unwrap(), &operations, &options).unwrap();
    let staged = apply::stage(&image, &plan).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let host = FileHost::new(path, file).unwrap();
    commit(&mut Stopping::new(host, operation, Stop::Fail), staged.overlay()).map(|_| ())
}

/// The first step of a commit that writes the image.
const IN_PLACE: u32 = crate::crash::IN_PLACE as u32;

#[test]
fn no_new_file_is_made_of_it_and_that_is_all_that_is_said() {
    let place = Place::new();
    interrupt(&place.image(), IN_PLACE + 8);
    let (_, error) = place.expect("seal --output new.qcow2 image.qcow2", 1);
    assert_eq!(
        error,
        "sysprep-rs: image.qcow2: an earlier run was stopped while it wrote this image; finish it \
         with 'sysprep-rs recover image.qcow2'\n"
    );
    assert!(!place.path("new.qcow2").exists());
    // Looked at, it is shown as it will be.
    let shown = "what is shown is the image once 'sysprep-rs recover' has finished it";
    for words in ["audit image.qcow2", "seal -n --output new.qcow2 image.qcow2"] {
        let (text, error) = place.expect(words, 0);
        assert!(text.contains("Nothing to clean.") && error.contains(shown), "{text}{error}");
    }
    place.expect("recover image.qcow2", 0);
    place.expect("seal -q --output new.qcow2 image.qcow2", 0);
    oracle::qemu_img_check(&place.path("new.qcow2"));
}

#[test]
fn what_has_a_logs_name_and_is_none_stays_and_is_named() {
    let place = Place::new();
    let before = fs::read(place.image()).unwrap();
    let log = place.path(".image.qcow2.sysprep-redo");
    let named = |word: &str| {
        for command in ["audit", "seal", "recover"] {
            let (_, error) = place.expect(&format!("{command} image.qcow2"), 1);
            assert!(error.contains("/.image.qcow2.sysprep-redo has the name of"), "{error}");
            assert!(error.contains(word) && error.contains("delete it first"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert_eq!(fs::read(place.image()).unwrap(), before);
    };
    let other: Vec<u8> = (0..5000_u32).map(|it| (it * it + 1) as u8).collect();
    fs::write(&log, &other).unwrap();
    named("this image's redo log and is none");
    assert_eq!(fs::read(&log).unwrap(), other);
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("elsewhere", &log).unwrap();
    named("is a symlink");
    fs::remove_file(&log).unwrap();
    // One that was begun is thrown away.
    fs::write(&log, b"SYSPREDO\x02\0\0\0").unwrap();
    place.expect("seal -q image.qcow2", 0);
    assert!(!log.exists());
}

/// The log would be taken for one of the new image, which it would have refused from then on.
#[test]
fn no_new_image_is_put_where_the_log_of_another_lies() {
    let place = Place::new();
    let new = place.path("new.qcow2");
    let log = place.path(".new.qcow2.sysprep-redo");
    fs::copy(place.image(), &new).unwrap();
    interrupt(&new, IN_PLACE + 8);
    let torn = fs::read(&new).unwrap();
    let said = "sysprep-rs: new.qcow2: beside it lies .new.qcow2.sysprep-redo, the log of an \
                interrupted seal, which a new image of this name would be taken for: finish that \
                seal with 'sysprep-rs recover new.qcow2', or delete the log\n";
    for words in ["seal -q --force", "seal -q -n --force"] {
        let (_, error) = place.expect(&format!("{words} --output new.qcow2 image.qcow2"), 1);
        assert_eq!(error, said);
        assert_eq!(fs::read(&new).unwrap(), torn);
    }
    // Of the image that was there only the log is left.
    fs::remove_file(&new).unwrap();
    let (_, error) = place.expect("seal -q --output new.qcow2 image.qcow2", 1);
    assert_eq!(error, said);
    assert!(!new.exists() && log.exists());
    fs::write(&new, torn).unwrap();
    place.expect("recover new.qcow2", 0);
    place.expect("seal -q --force --output new.qcow2 image.qcow2", 0);
    place.expect("audit -q new.qcow2", 0);
    oracle::qemu_img_check(&new);
}

/// Half written and under another name than its log's, an image is a damaged one: nothing is said
/// of leaving an operation out, and the log is pointed out.
#[test]
fn under_another_name_it_is_told_to_go_back_to_its_log() {
    let place = Place::new();
    let root = root_filesystem(&place, &place.image(), "qcow2");
    let whole = fs::read(&root).unwrap();
    let torn = place.path("torn");
    let mut refused = Vec::new();
    for operation in (IN_PLACE..60).step_by(3) {
        fs::write(&root, &whole).unwrap();
        interrupt(&root, operation);
        fs::rename(&root, &torn).unwrap();
        let left = fs::read(&torn).unwrap();
        let output = place.run("seal torn");
        let error = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            Some(0) => oracle::e2fsck_clean(&torn),
            Some(1) => {
                assert_eq!(error.lines().count(), 1, "{error}");
                assert!(!error.contains("--operations"), "{operation}: {error}");
                let hint = "Beside it lies .root.ext4.sysprep-redo, the log of an interrupted seal \
                            of root.ext4: if this is that image, give it that name again and run \
                            'sysprep-rs recover ./root.ext4'";
                assert!(error.contains(hint), "{operation}: {error}");
                assert_eq!(fs::read(&torn).unwrap(), left, "{operation}");
                refused.push(error);
            }
            code => panic!("{operation}: {code:?} {error}"),
        }
        // What the hint says, on what was left.
        fs::write(&root, &left).unwrap();
        fs::remove_file(&torn).unwrap();
        place.expect("recover ./root.ext4", 0);
        place.expect("audit -q root.ext4", 0);
        oracle::e2fsck_clean(&root);
    }
    for part in ["no operating system found", "is inconsistent", "leads to nothing that is in use"]
    {
        assert!(refused.iter().any(|it| it.contains(part)), "{part}: {refused:#?}");
    }
    // Without a log there is no such hint, and the filesystem is to be repaired.
    fs::write(&root, &whole).unwrap();
    interrupt(&root, 22);
    fs::remove_file(place.path(".root.ext4.sysprep-redo")).unwrap();
    for words in ["seal", "seal -n", "seal --json", "seal -n --json"] {
        let (_, error) = place.expect(&format!("{words} root.ext4"), 1);
        let end = "nothing was written: repair the filesystem first, with e2fsck -f or fsck.vfat\n";
        assert!(error.starts_with("sysprep-rs: root.ext4: ssh-hostkeys: /etc/ssh/"), "{error}");
        assert!(error.ends_with(end), "{error}");
    }
    let (text, _) = place.expect("audit root.ext4", 3);
    let closing = text.lines().last().unwrap();
    assert!(closing.contains("could not be worked out ('FAILED' in the report"), "{text}");
    let report = place.json("seal -n --json root.ext4", 1);
    assert_eq!(report["error"]["exit"], 1);
    assert!(report["operations"].as_array().unwrap().iter().any(|it| it["is"] == "damaged"));
}

#[test]
fn an_operation_that_fails_by_itself_can_be_left_out_as_is_said() {
    let place = Place::new();
    let folder = place.path("mine");
    fs::create_dir(&folder).unwrap();
    let text = "name: own\nsummary: Own\nwhy: So.\nclass: log\ndefault: true\nsteps:\n\
                - upload: { from: /proc/self/mem, to: /etc/memory }\n";
    fs::write(folder.join("own.yaml"), text).unwrap();
    for (given, advice) in [
        ("", "; to go on without it say --operations defaults,-own\n"),
        (
            "--operations all,-logfiles",
            "; to go on without it say --operations all,-logfiles,-own\n",
        ),
        ("--enable own,utmp", "; to go on without it say --operations own,utmp,-own\n"),
        ("--enable own", "; nothing was written\n"),
    ] {
        let words = format!("seal -q --operations-dir mine image.qcow2 {given}");
        let (_, error) = place.expect(words.trim(), 1);
        assert!(error.contains("own: /proc/self/mem: "), "{error}");
        assert!(error.ends_with(advice), "{given}: {error}");
        if let Some((_, advised)) = advice.split_once("say ") {
            let words = format!("seal -q -n --operations-dir mine image.qcow2 {advised}");
            let code = if given.starts_with("--enable") { 0 } else { 3 };
            place.expect(words.trim(), code);
        }
    }
}
