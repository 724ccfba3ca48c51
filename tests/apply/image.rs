//! Plans on real images: staged, proved, committed, and judged by the reference tools.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sysprep_rs::apply::verify::VerifyLevel;
use sysprep_rs::apply::{self, ApplyError, FileHost, Host, Pending, Recovery, edit, edit_all};
use sysprep_rs::block::{
    Extent, Memory, Overlay, ReadBlocks, ResizeBlocks, WindowMut, WriteBlocks,
};
use sysprep_rs::digest::Digest;
use sysprep_rs::fs::{EditOptions, Kind, MetaChange, NewMeta, ReadFs, Timestamp};
use sysprep_rs::guest::Disk;
use sysprep_rs::image::{Access, ExportOptions, Format, Image, OpenOptions};
use sysprep_rs::operation::{Action, Moves, Replaced};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::{self, Change, FilesystemFacts, FirstBoot, ImageFacts, Plan};

use super::verify::{changes, tree};
use crate::crash::IN_PLACE;
use crate::crash::model::{Fault, Model as CrashModel, Skip};
use crate::crash::stopping::{Stop, Stopping};
use crate::random::Random as CrashRandom;
use crate::support::disk::find;
use crate::support::model::{Model, ModelEditor, UNIX};
use crate::support::oracle::{e2fsck_clean, fsck_vfat_clean, qemu_img_check, qemu_img_convert};
use crate::support::random::Random;
use crate::support::spec::{Spec, path};
use crate::support::{debugfs, recipe, snapshot};

pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };
const OPTIONS: EditOptions = EditOptions { now: NOW, keep_free_space: false };
const MIB: u64 = 1 << 20;

/// How the filesystem lies in the image file.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// It is the whole raw disk.
    Whole,
    /// In a GPT partition of a raw disk.
    Gpt,
    /// In a GPT partition of a qcow2 disk.
    Qcow2,
}

/// An image with one ext4 filesystem; its path and the filesystem's first byte on the disk.
fn make(dir: &Path, spec: &mut Spec, args: &[&str], shape: Shape) -> (PathBuf, u64) {
    let fs = recipe::ext4(dir, spec, args, 8 * MIB);
    if let Shape::Whole = shape {
        return (fs, 0);
    }
    let part = recipe::Part { kind: "8300", name: "root", image: &fs };
    let (disk, starts) = recipe::gpt(dir, &[part]);
    if let Shape::Gpt = shape {
        return (disk, starts[0]);
    }
    let image = dir.join("disk.qcow2");
    qemu_img_convert(&disk, "raw", &image, &["-O", "qcow2", "-o", "cluster_size=4096"]);
    (image, starts[0])
}

pub(crate) fn open(path: &Path, access: Access) -> Image {
    Image::open(path, &OpenOptions::default(), access).unwrap()
}

/// The reader of the image's one filesystem.
pub(crate) fn reader(image: &Image) -> Arc<dyn ReadFs> {
    let disk = Disk::open(image.disk()).unwrap();
    assert_eq!(disk.filesystems.len(), 1);
    match &disk.filesystems[0].fs {
        Ok(fs) => fs.clone(),
        Err(error) => panic!("{error}"),
    }
}

/// A plan of these changes for the image's one filesystem.
pub(crate) fn plan(image: &Image, changes: &BTreeMap<GuestPath, Action>) -> Plan {
    let disk = Disk::open(image.disk()).unwrap();
    let filesystem = FilesystemFacts::of(&disk).remove(0).filesystem;
    let fs = reader(image);
    let changes = changes.iter().enumerate().map(|(id, (path, action))| Change {
        id: id as u32,
        guest: 0,
        operation: "test".to_owned(),
        also: Vec::new(),
        volume: filesystem.volume.clone(),
        fs_path: path.clone(),
        path: path.clone(),
        before: plan::before(&*fs, &Moves::default(), path, action).unwrap(),
        action: action.clone(),
        objects: Default::default(),
        why: "a test".to_owned(),
    });
    Plan {
        schema: plan::SCHEMA,
        tool: "test".to_owned(),
        image: ImageFacts {
            format: image.format().to_string(),
            virtual_size: image.virtual_size(),
            disk_uuid: disk.layout.disk_uuid.clone(),
        },
        now: NOW,
        keep_free_space: false,
        remedies: FirstBoot::Auto,
        guests: Vec::new(),
        operations: Vec::new(),
        changes: changes.collect(),
        volumes: Vec::new(),
        filesystems: vec![filesystem],
        outcomes: Vec::new(),
        refusals: Vec::new(),
        first_boot: Vec::new(),
        residue: Vec::new(),
        secrets: Vec::new(),
        unsettled: Vec::new(),
    }
}

/// The filesystem of an image on its own, as a raw file.
fn extract(dir: &Path, image: &Path, start: u64, shape: Shape) -> PathBuf {
    let raw = match shape {
        Shape::Whole => return image.to_owned(),
        Shape::Gpt => image.to_owned(),
        Shape::Qcow2 => {
            let raw = dir.join("raw.img");
            qemu_img_convert(image, "qcow2", &raw, &["-O", "raw"]);
            raw
        }
    };
    let mut file = File::open(raw).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    let mut bytes = Vec::new();
    file.take(8 * MIB).read_to_end(&mut bytes).unwrap();
    let alone = dir.join("alone.img");
    fs::write(&alone, bytes).unwrap();
    alone
}

fn digest(path: &Path) -> Digest {
    Digest::of(&fs::read(path).unwrap())
}

/// A random tree in an image, and random changes to it.
fn sample(dir: &Path, seed: u64, args: &[&str], shape: Shape) -> (PathBuf, u64, Spec) {
    println!("seed {seed}, {shape:?}, mke2fs {args:?}");
    let mut spec = tree(&mut Random::new(seed));
    let (image, start) = make(dir, &mut spec, args, shape);
    (image, start, spec)
}

#[test]
fn a_plan_is_applied_and_nothing_else() {
    let cases: [(u64, &[&str], Shape); 6] = [
        (1, &["-t", "ext4"], Shape::Whole),
        (2, &["-t", "ext4", "-b", "4096"], Shape::Gpt),
        (3, &["-t", "ext4"], Shape::Qcow2),
        (4, &["-t", "ext2", "-I", "128"], Shape::Gpt),
        (5, &["-t", "ext3"], Shape::Qcow2),
        (6, &["-t", "ext4", "-O", "inline_data,^has_journal"], Shape::Gpt),
    ];
    for (seed, args, shape) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (path, start, spec) = sample(dir.path(), seed, args, shape);
        // Small inodes hold whole seconds and little room for xattrs; both are the editor's tests.
        let image = open(&path, Access::Seal);
        let fs = reader(&image);
        let changes = changes(&mut Random::new(seed), &*fs);
        let planned = plan(&image, &changes);
        let before = digest(&path);

        // Neither staging nor proving writes.
        let staged = apply::stage(&image, &planned).unwrap();
        let verified = staged.verify(VerifyLevel::Touched, None).unwrap();
        assert_eq!(verified.proofs().len(), 1);
        drop(verified);
        assert_eq!(digest(&path), before);

        let again = |_: &Disk| Ok(Plan { changes: Vec::new(), ..planned.clone() });
        let verified = apply::stage(&image, &planned)
            .unwrap()
            .verify(VerifyLevel::Full, Some(&again))
            .unwrap();
        let proof = verified.proofs()[0].clone();
        // ext4-view does not know inline data; the report has to say so.
        if args.iter().any(|arg| arg.contains("inline_data")) {
            assert_eq!(proof.by, "this program's own reader");
            assert!(proof.why_not_independent.unwrap().contains("DATA_IN_INODE"));
        } else {
            assert_eq!((&*proof.by, &proof.why_not_independent), ("ext4-view", &None));
        }
        assert!(proof.accounting && proof.unread == 0);
        let done = verified.commit().unwrap();
        drop((image, fs));
        assert!(done.replanned && done.log_bytes > 0 && done.bytes_written > 0, "{done:?}");
        assert!(done.after.allocated <= done.before.allocated + 65_536, "{done:?}");
        assert!(matches!(apply::pending(&path), Ok(Pending::Nothing)));

        let alone = extract(dir.path(), &path, start, shape);
        e2fsck_clean(&alone);
        if let Shape::Qcow2 = shape {
            qemu_img_check(&path);
        }
        // The same plan on the model gives the tree that debugfs sees.
        let place = Arc::new(Mutex::new(Model::new(UNIX, &spec)));
        let mut editor = ModelEditor::new(&place, &OPTIONS);
        edit_all(&mut editor, &changes).unwrap();
        let want = snapshot::of_fs(editor.model()).unwrap();
        snapshot::assert_same("the committed tree", &want, &debugfs::snapshot(&alone));
    }
}

#[test]
fn a_plan_for_fat_is_applied_and_proved_by_fatfs() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    for directory in ["/EFI", "/EFI/debian", "/EFI/old", "/EFI/old/deep"] {
        spec.directory(directory);
    }
    for file in ["/EFI/debian/grub.cfg", "/EFI/old/deep/a long name.log", "/EFI/stays", "/goes"] {
        spec.file(file, format!("the content of {file}\n").repeat(300));
    }
    let file = recipe::fat(dir.path(), &spec, 16, &[], 16 * MIB);
    let meta = NewMeta { mode: 0o755, ..NewMeta::default() };
    let there = Replaced { kind: Kind::File, nodes: 1, bytes: 0 };
    let wanted = BTreeMap::from([
        (path("/EFI/debian/grub.cfg"), {
            let content = Some(b"new\n".to_vec().into());
            Action::Update { content, bytes_before: 0, meta: MetaChange::default() }
        }),
        (path("/EFI/old"), Action::Remove { kind: Kind::Directory, nodes: 3, bytes: 0 }),
        (path("/EFI/new"), Action::CreateDirectory { meta: meta.clone(), replaces: None }),
        (path("/EFI/new/made here.txt"), {
            let content = vec![b'n'; 70_000].into();
            Action::CreateFile { content, meta: meta.clone(), replaces: None }
        }),
        (
            path("/goes"),
            Action::CreateFile { content: vec![1].into(), meta, replaces: Some(there) },
        ),
    ]);
    let image = open(&file, Access::Seal);
    let planned = plan(&image, &wanted);
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        let verified = apply::stage(&image, &planned).unwrap().verify(level, None).unwrap();
        let proof = &verified.proofs()[0];
        assert_eq!((&*proof.by, proof.unread), ("fatfs", 0), "{proof:?}");
        if level == VerifyLevel::Full {
            verified.commit().unwrap();
        }
    }
    drop(image);
    fsck_vfat_clean(&file);
    let bytes = fs::read(&file).unwrap();
    assert!(find(&bytes, b"the content of /EFI/stays").is_some());
    assert!(find(&bytes, b"the content of /EFI/old").is_none());
    assert!(find(&bytes, b"the content of /goes").is_none());
}

#[test]
fn an_export_is_the_sealed_disk_and_the_source_stays() {
    for (shape, format) in [(Shape::Gpt, Format::Qcow2), (Shape::Qcow2, Format::Raw)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, start, _) = sample(dir.path(), 7, &["-t", "ext4"], shape);
        let before = digest(&path);
        let image = open(&path, Access::Audit);
        let changes = changes(&mut Random::new(7), &*reader(&image));
        let planned = plan(&image, &changes);
        let verify =
            || apply::stage(&image, &planned).unwrap().verify(VerifyLevel::Touched, None).unwrap();
        assert!(matches!(verify().commit(), Err(ApplyError::NotWritable)));
        let to = dir.path().join("new");
        let done = verify().export(&to, format, &ExportOptions::default()).unwrap();
        assert_eq!(done.after.file, fs::metadata(&to).unwrap().len());
        assert_eq!(digest(&path), before);
        let other = match shape {
            Shape::Gpt => Shape::Qcow2,
            _ => Shape::Gpt,
        };
        if format == Format::Qcow2 {
            qemu_img_check(&to);
        }
        e2fsck_clean(&extract(dir.path(), &to, start, other));

        // Sealing the source in place gives the same disk.
        drop(image);
        let image = open(&path, Access::Seal);
        apply::stage(&image, &planned)
            .unwrap()
            .verify(VerifyLevel::Touched, None)
            .unwrap()
            .commit()
            .unwrap();
        drop(image);
        let (one, two) = (open(&path, Access::Audit), open(&to, Access::Audit));
        let bytes = |disk: Arc<dyn ReadBlocks>| {
            let mut bytes = vec![0; disk.len() as usize];
            disk.read_at(0, &mut bytes).unwrap();
            bytes
        };
        assert!(bytes(one.disk()) == bytes(two.disk()));
    }
}

/// Edits an image behind the plan's back.
fn meanwhile(image: &Image, change: &GuestPath, action: &Action) {
    let planned = plan(image, &BTreeMap::from([(change.clone(), action.clone())]));
    let staged = apply::stage(image, &planned).unwrap();
    staged.verify(VerifyLevel::Full, None).unwrap().commit().unwrap();
}

fn chmod(mode: u16) -> Action {
    let meta = MetaChange { mode: Some(mode), ..MetaChange::default() };
    Action::Update { content: None, bytes_before: 0, meta }
}

pub(crate) fn remove() -> Action {
    Action::Remove { kind: Kind::File, nodes: 1, bytes: 0 }
}

#[test]
fn what_changed_since_the_plan_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    spec.directory("/etc");
    spec.directory("/etc/ssh");
    for file in ["/etc/one", "/etc/two", "/etc/ssh/key"] {
        spec.file(file, "something");
    }
    let (file, _) = make(dir.path(), &mut spec, &["-t", "ext4"], Shape::Gpt);
    let plan_then = |text: &str| {
        let image = open(&file, Access::Seal);
        let changes = BTreeMap::from([
            (path("/etc/one"), remove()),
            (path("/etc/ssh"), remove()),
            (path("/etc/two"), chmod(0o600)),
        ]);
        let planned = plan(&image, &changes);
        meanwhile(&image, &path(text), &chmod(0o640));
        planned
    };
    for (touched, named) in
        [("/etc/one", "/etc/one"), ("/etc/ssh/key", "/etc/ssh"), ("/etc/two", "/etc/two")]
    {
        let planned = plan_then(touched);
        let before = digest(&file);
        let image = open(&file, Access::Seal);
        match apply::stage(&image, &planned) {
            Err(ApplyError::ChangedSince(changed)) => {
                let paths: Vec<_> = changed.iter().map(|it| it.path.to_string()).collect();
                assert_eq!(paths, [named]);
            }
            other => panic!("{touched}: {other:?}"),
        }
        assert_eq!(digest(&file), before);
    }
}

#[test]
fn a_plan_for_another_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _, _) = sample(dir.path(), 8, &["-t", "ext4"], Shape::Gpt);
    let image = open(&file, Access::Seal);
    let planned = plan(&image, &BTreeMap::new());
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut other = planned.clone();
        change(&mut other);
        match apply::stage(&image, &other) {
            Err(ApplyError::WrongImage(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    refused(&|plan| plan.image.virtual_size += 512);
    refused(&|plan| plan.image.disk_uuid = None);
    refused(&|plan| plan.filesystems[0].uuid = None);
    refused(&|plan| plan.filesystems[0].driver = "vfat".to_owned());
    refused(&|plan| plan.filesystems[0].volume.0 = "part7".to_owned());
    refused(&|plan| plan.filesystems.push(plan.filesystems[0].clone()));
    apply::stage(&image, &planned).unwrap();
}

#[test]
fn an_edit_that_is_not_in_the_plan_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::default();
    for directory in ["/etc", "/var", "/var/log"] {
        spec.directory(directory);
    }
    for file in ["/etc/one", "/etc/two", "/var/log/messages", "/elsewhere"] {
        spec.file(file, vec![b'x'; 5000]);
    }
    let (file, start) = make(dir.path(), &mut spec, &["-t", "ext4"], Shape::Gpt);
    let image = open(&file, Access::Seal);
    let wanted = BTreeMap::from([(path("/etc/one"), remove())]);
    let planned = plan(&image, &wanted);
    let before = digest(&file);
    let driver = sysprep_rs::fs::DRIVERS.iter().find(|it| it.name == "ext4").unwrap();

    // An edit more, made by the real editor on the staged disk.
    let more = |at: &str, action: Action, level| {
        let staged = apply::stage(&image, &planned).unwrap();
        let disk: Arc<dyn WriteBlocks> = staged.overlay().clone();
        let window = WindowMut::new(disk, start, 8 * MIB).unwrap();
        let mut editor = (driver.edit.unwrap())(Arc::new(window), &OPTIONS).unwrap();
        edit(&mut *editor, &path(at), &action).unwrap();
        editor.finish().unwrap();
        staged.verify(level, None).map(|_| ())
    };
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        for (at, action) in [
            ("/etc/two", remove()),
            ("/etc/two", chmod(0o600)),
            (
                "/etc/two",
                Action::Update {
                    content: Some(vec![b'y'; 5000].into()),
                    bytes_before: 5000,
                    meta: MetaChange::default(),
                },
            ),
            ("/etc/new", Action::CreateDirectory { meta: Default::default(), replaces: None }),
            ("/elsewhere", chmod(0o600)),
        ] {
            match more(at, action, level) {
                Err(ApplyError::NotAsPlanned { findings, .. }) => {
                    let at = path(at);
                    assert!(
                        findings.iter().any(|it| at.starts_with(&it.path)),
                        "{at}: {findings:?}"
                    );
                }
                other => panic!("{at}: {other:?}"),
            }
        }
    }
    assert!(more("/var/log/messages", remove(), VerifyLevel::Full).is_err());

    // A byte outside the filesystem, and one of a file's content that no metadata tells of.
    for level in [VerifyLevel::Touched, VerifyLevel::Full] {
        let staged = apply::stage(&image, &planned).unwrap();
        staged.overlay().write_at(start - 700, b"stray").unwrap();
        assert!(matches!(staged.verify(level, None), Err(ApplyError::NotAsPlanned { .. })));
    }
    let staged = apply::stage(&image, &planned).unwrap();
    let raw = fs::read(&file).unwrap();
    let at = raw.windows(5000).rposition(|bytes| bytes == [b'x'; 5000]).unwrap();
    staged.overlay().write_at(at as u64, b"y").unwrap();
    assert!(matches!(staged.verify(VerifyLevel::Full, None), Err(ApplyError::NotAsPlanned { .. })));

    // Planning again finds something left to do.
    let staged = apply::stage(&image, &planned).unwrap();
    let again = |_: &Disk| Ok(planned.clone());
    match staged.verify(VerifyLevel::Touched, Some(&again)) {
        Err(ApplyError::NotAsPlanned { findings, .. }) => {
            assert_eq!(findings[0].path, path("/etc/one"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(digest(&file), before);
}

/// Opens an image that a test had open just now. A child that another test is starting has our
/// descriptors, and with them the lock, until it runs its program.
fn open_again(file: &Path, access: Access) -> Result<(Image, Recovery), ApplyError> {
    for _ in 0..100 {
        match apply::open(file, &OpenOptions::default(), access) {
            Err(error) if error.to_string().contains("in use") => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other,
        }
    }
    apply::open(file, &OpenOptions::default(), access)
}

#[test]
fn a_stopped_commit_is_finished_when_the_image_is_opened_to_be_sealed() {
    for shape in [Shape::Gpt, Shape::Qcow2] {
        let dir = tempfile::tempdir().unwrap();
        let (file, start, _) = sample(dir.path(), 9, &["-t", "ext4"], shape);
        let image = open(&file, Access::Seal);
        let planned = plan(&image, &changes(&mut Random::new(9), &*reader(&image)));
        let old = fs::read(&file).unwrap();
        let staged = apply::stage(&image, &planned).unwrap();
        let mut new = vec![0; staged.overlay().len() as usize];
        staged.overlay().read_at(0, &mut new).unwrap();
        staged.verify(VerifyLevel::Full, None).unwrap().commit().unwrap();
        drop(image);
        assert!(fs::read(&file).unwrap() == new);

        // The same changes on a base that holds no lock on the file.
        let overlay = Overlay::new(Arc::new(Memory::from_bytes(old.clone())));
        overlay.set_len(new.len() as u64).unwrap();
        for at in (0..new.len()).step_by(4096) {
            let block = &new[at..new.len().min(at + 4096)];
            if old.get(at..at + block.len()) != Some(block) {
                overlay.write_at(at as u64, block).unwrap();
            }
        }

        // Both states are sound, so a state that is one of them is.
        let judge = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            e2fsck_clean(&extract(dir.path(), &file, start, shape));
            if let Shape::Qcow2 = shape {
                qemu_img_check(&file);
            }
        };
        judge(&old);
        judge(&new);

        // The machine stops: what was not made durable is lost, kept or torn.
        let mut random = CrashRandom::new("crash of a real image", 9);
        let (mut olds, mut news) = (0, 0);
        for operation in (0..8).chain((8..).step_by(11)) {
            let mut host = CrashModel::new(old.clone(), Skip::Nothing);
            host.fail_at(operation, Fault::Crash);
            if apply::commit(&mut host, &overlay).is_ok() {
                break;
            }
            let mut host = host.after_crash(&mut random);
            apply::recover_on(&mut host).unwrap();
            assert!(!host.has_log(), "operation {operation}");
            let found = host.durable_image();
            assert!(found == old || found == new, "operation {operation}");
            if found == old { olds += 1 } else { news += 1 }
        }
        assert!(olds > 2 && news > 2, "{olds} old, {news} new");

        let mut seen = [0; 3];
        // Every operation up to the first few in place, then every third.
        for operation in (0..12).chain((12..).step_by(3)) {
            fs::write(&file, &old).unwrap();
            let options = File::options().read(true).write(true).open(&file).unwrap();
            let host = FileHost::new(&file, options).unwrap();
            if apply::commit(&mut Stopping::new(host, operation, Stop::Fail), &overlay).is_ok() {
                break;
            }
            let complete = matches!(apply::pending(&file).unwrap(), Pending::Complete { .. });
            // The image is closed again at once.
            let audit = open_again(&file, Access::Audit);
            // Nothing is written, and what is read is the image as it was or as it will be.
            let left = fs::read(&file).unwrap();
            let (image, recovery) = audit.unwrap();
            let mut seen_bytes = vec![0; image.host().len() as usize];
            image.host().read_at(0, &mut seen_bytes).unwrap();
            match recovery {
                Recovery::Ahead => assert!(complete && seen_bytes == new, "operation {operation}"),
                Recovery::Nothing => {
                    let whole = left == old || left == new;
                    assert!(!complete && whole && seen_bytes == left, "operation {operation}");
                }
                other => panic!("operation {operation}: {other:?}"),
            }
            let (host, mut at) = (image.host(), 0);
            while at < host.len() {
                let extent = host.extent_at(at).unwrap();
                let bytes = &seen_bytes[at as usize..(at + extent.len()) as usize];
                let is_zero = bytes.iter().all(|&byte| byte == 0);
                assert!(is_zero || matches!(extent, Extent::Data(_)), "operation {operation}");
                at += extent.len();
            }
            if complete {
                // A plan can be made; it is applied once the seal is finished.
                let again = plan(&image, &BTreeMap::new());
                let staged = apply::stage(&image, &again).map(|_| ());
                assert!(matches!(staged, Err(ApplyError::RecoveryPending)), "{staged:?}");
            }
            drop((host, image));
            assert!(fs::read(&file).unwrap() == left, "operation {operation}");
            let (image, recovery) = open_again(&file, Access::Seal).unwrap();
            drop(image);
            let found = fs::read(&file).unwrap();
            match recovery {
                Recovery::Ahead => panic!("operation {operation}: it was opened to be sealed"),
                Recovery::Nothing => seen[0] += 1,
                Recovery::Forgotten => {
                    seen[1] += 1;
                    assert!(found == old, "operation {operation}");
                }
                Recovery::Finished(_) => {
                    seen[2] += 1;
                    assert!(found == new, "operation {operation}");
                }
            }
            assert!(found == old || found == new, "operation {operation}");
            assert!(matches!(apply::pending(&file), Ok(Pending::Nothing)));
        }
        // How many writes a commit has follows from the host's extents.
        assert!(seen.iter().all(|count| *count > 0) && seen[2] > 4, "{seen:?}");
    }
}

#[test]
fn an_image_that_was_mounted_after_an_interrupted_seal_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _, _) = sample(dir.path(), 9, &["-t", "ext4"], Shape::Whole);
    let image = open(&file, Access::Seal);
    let planned = plan(&image, &changes(&mut Random::new(9), &*reader(&image)));
    let old = fs::read(&file).unwrap();
    let staged = apply::stage(&image, &planned).unwrap();
    let overlay = Overlay::new(Arc::new(Memory::from_bytes(old.clone())));
    for (at, piece) in staged.overlay().changes().pieces {
        let mut bytes = vec![0; piece.len() as usize];
        staged.overlay().read_at(at, &mut bytes).unwrap();
        overlay.write_at(at, &bytes).unwrap();
    }
    drop(staged);
    drop(image);
    // Stopped before the first byte was written in place, and further on.
    for operation in [0, 1, 3, 8].map(|more| IN_PLACE as u32 + more) {
        // What a mount, a file in place of a freed one, and a check write.
        for request in
            ["set_super_value mnt_count 77", "write /etc/hostname new", "set_super_value state 0"]
        {
            fs::write(&file, &old).unwrap();
            let stop = File::options().read(true).write(true).open(&file).unwrap();
            let host = FileHost::new(&file, stop).unwrap();
            let name = host.log_path().to_owned();
            apply::commit(&mut Stopping::new(host, operation, Stop::Fail), &overlay).unwrap_err();
            let context = format!("operation {operation}, {request}");
            assert!(matches!(apply::pending(&file), Ok(Pending::Complete { .. })), "{context}");
            if operation == IN_PLACE as u32 {
                debugfs::script(&file, true, &[request.as_bytes().to_vec()]);
            } else {
                // It is half written, so debugfs would not: the mount's time, in the superblock.
                let image = File::options().write(true).open(&file).unwrap();
                image.write_all_at(&[9, 8, 7, 6], 1024 + 0x2c).unwrap();
            }
            let changed = fs::read(&file).unwrap();
            let error = apply::recover(&file).unwrap_err();
            assert!(matches!(error, ApplyError::NotThisImage { .. }), "{context}: {error}");
            assert!(error.to_string().contains(&*name.to_string_lossy()), "{context}: {error}");
            assert!(fs::read(&file).unwrap() == changed, "{context}");
            assert!(name.exists(), "{context}");
            fs::remove_file(&name).unwrap();
        }
    }
}
