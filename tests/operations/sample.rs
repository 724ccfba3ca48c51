//! Guests written down as text, planned for and sealed in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use sysprep_rs::apply;
use sysprep_rs::fs::{
    EditFs, EditOptions, Entry, FsDriver, FsError, FsInfo, Kind, Node, ReadFs, Stat, Storing,
    Timestamp, UuidChange, Xattr, ext4,
};
use sysprep_rs::guest::{Disk, Filesystem, Guest};
use sysprep_rs::operation::{Catalogue, Moves, Operation, VolumeAction, Volumes};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::{self, FilesystemFacts, FirstBoot, ImageFacts, Plan, PlanOptions};
use sysprep_rs::volume::{Layout, Table, Volume, VolumeId};

use crate::support::model::{Model, ModelEditor, UNIX};
use crate::support::snapshot::{self, Snapshot};
use crate::support::spec::{Body, Spec};

/// The time of the run: 2026-01-02 03:04:05 UTC.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_767_323_045, nanos: 0 };

/// The guest of every tree that brings no release file of its own.
const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\n";

/// Reads a tree: a path a line, then in this order, each optional, its mode, its owner, and what
/// it is: `= "content"`, `= swap "content"` (a swap area), `-> target`, `== /other/name` (a hard link). A path that ends with a
/// slash is a directory; those on the way to a path need no line. `#` begins a comment.
pub(crate) fn spec(text: &str) -> Spec {
    let mut spec = Spec::default();
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    for line in lines {
        let (path, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        let is_directory = path.ends_with('/');
        let path: GuestPath = path.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        parents(&mut spec, &path);
        let (mut mode, mut owner) = (None, None);
        let mut body = if is_directory { Body::Directory } else { Body::File(Vec::new()) };
        while !rest.trim().is_empty() {
            rest = rest.trim();
            if let Some(content) = rest.strip_prefix("= swap ") {
                let text: String =
                    serde_json::from_str(content).unwrap_or_else(|it| panic!("{line}: {it}"));
                (body, rest) = (Body::File(swap_area(text.as_bytes())), "");
            } else if let Some(content) = rest.strip_prefix("= ") {
                let text: String =
                    serde_json::from_str(content).unwrap_or_else(|it| panic!("{line}: {it}"));
                (body, rest) = (Body::File(text.into_bytes()), "");
            } else if let Some(target) = rest.strip_prefix("-> ") {
                (body, rest) = (Body::Symlink(target.into()), "");
            } else if let Some(other) = rest.strip_prefix("== ") {
                (body, rest) = (Body::HardLink(other.parse().unwrap()), "");
            } else {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                match word.split_once(':') {
                    Some((uid, gid)) => owner = Some((uid.parse().unwrap(), gid.parse().unwrap())),
                    None => mode = Some(u16::from_str_radix(word, 8).unwrap()),
                }
                rest = after;
            }
        }
        let item = spec.add(path, body);
        item.mode = mode.unwrap_or(item.mode);
        (item.uid, item.gid) = owner.unwrap_or((0, 0));
    }
    spec
}

/// A swap area of four pages of 4 KiB, with this in its third.
pub(crate) fn swap_area(content: &[u8]) -> Vec<u8> {
    let mut area = vec![0; 4 * 4096];
    area[4086..4096].copy_from_slice(b"SWAPSPACE2");
    area[1024] = 1;
    area[1028] = 3;
    area[1036..1052].fill(0x5a);
    area[8192..8192 + content.len()].copy_from_slice(content);
    area
}

fn parents(spec: &mut Spec, path: &GuestPath) {
    let Some(dir) = path.parent().filter(|dir| !dir.is_root()) else { return };
    if !spec.0.contains_key(&dir) {
        parents(spec, &dir);
        spec.add(dir, Body::Directory);
    }
}

/// A filesystem of a sample, some of its nodes under an attribute that forbids to touch them.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) model: Model,
    pub(crate) immutable: BTreeSet<Node>,
    pub(crate) encrypted: BTreeSet<Node>,
    uuid: String,
}

impl ReadFs for Guarded {
    fn folds_case(&self) -> bool {
        self.model.folds_case()
    }

    fn spelling(&self, dir: Node, name: &[u8]) -> Result<Option<Vec<u8>>, FsError> {
        self.model.spelling(dir, name)
    }

    fn most_free(&self) -> Result<Option<u64>, FsError> {
        self.model.most_free()
    }

    fn can_store(&self, what: &Storing<'_>) -> Result<(), FsError> {
        self.model.can_store(what)
    }

    fn bad_bytes(&self) -> Result<u64, FsError> {
        self.model.bad_bytes()
    }

    fn info(&self) -> FsInfo {
        FsInfo { uuid: Some(self.uuid.clone()), ..self.model.info() }
    }

    fn root(&self) -> Node {
        self.model.root()
    }

    fn lookup(&self, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
        self.model.lookup(dir, name)
    }

    fn entries(
        &self,
        dir: Node,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), FsError> {
        self.model.entries(dir, visit)
    }

    fn stat(&self, node: Node) -> Result<Stat, FsError> {
        Ok(Stat {
            immutable: self.immutable.contains(&node),
            encrypted: self.encrypted.contains(&node),
            ..self.model.stat(node)?
        })
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, FsError> {
        self.model.xattrs(node)
    }

    fn read_at(&self, file: Node, at: u64, dst: &mut [u8]) -> Result<usize, FsError> {
        self.model.read_at(file, at, dst)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FsError> {
        self.model.link_target(link)
    }
}

const fn driver(edit: bool) -> FsDriver {
    FsDriver {
        name: "model",
        covers: "model",
        probe: |_| Ok(false),
        open: |_| Err(FsError::unsupported("a model is not opened from a device")),
        edit: if edit {
            Some(|_, _| Err(FsError::unsupported("a model is not edited on a device")))
        } else {
            None
        },
        judge: None,
        check: None,
        judge_name: "none",
        uuid: Some(UuidChange {
            fixed: |_| None,
            // As ext4 has them.
            made_of: match ext4::DRIVER.uuid {
                Some(uuid) => uuid.made_of,
                None => panic!("ext4 has UUIDs"),
            },
            set: |_, _| Err(FsError::unsupported("a model is not edited on a device")),
        }),
    }
}

static EDITABLE: FsDriver = driver(true);
static READ_ONLY: FsDriver = driver(false);

/// An image in memory.
#[derive(Clone)]
pub(crate) struct Sample {
    volumes: Vec<(VolumeId, Guarded)>,
    /// A volume whose filesystem cannot be edited.
    pub(crate) read_only: Option<VolumeId>,
    /// The UUIDs that it got when it was sealed, old and new.
    settled: BTreeMap<VolumeId, (String, String)>,
}

impl Sample {
    /// A guest on one volume.
    pub(crate) fn new(text: &str) -> Self {
        let mut spec = spec(text);
        let releases = ["/etc/os-release", "/etc/redhat-release"];
        if !releases.iter().any(|it| spec.0.contains_key(&it.parse::<GuestPath>().unwrap())) {
            parents(&mut spec, &"/etc/os-release".parse().unwrap());
            spec.file("/etc/os-release", DEBIAN);
        }
        Self::of(&spec)
    }

    /// A guest on one volume, its tree complete.
    pub(crate) fn of(spec: &Spec) -> Self {
        Self { volumes: Vec::new(), read_only: None, settled: BTreeMap::new() }
            .volume("part1", spec)
    }

    /// One more volume; its UUID is `uuid-` and its name.
    pub(crate) fn volume(mut self, id: &str, spec: &Spec) -> Self {
        let fs = Guarded {
            model: Model::new(UNIX, spec),
            immutable: BTreeSet::new(),
            encrypted: BTreeSet::new(),
            uuid: format!("uuid-{id}"),
        };
        self.volumes.push((VolumeId(id.to_owned()), fs));
        self
    }

    /// The filesystem of a volume.
    pub(crate) fn fs(&mut self, id: &str) -> &mut Guarded {
        let found = self.volumes.iter_mut().find(|(volume, _)| volume.0 == id);
        &mut found.expect("a volume of the sample").1
    }

    fn disk(&self) -> Disk {
        let volume = |(number, (id, _)): (u32, &(VolumeId, Guarded))| Volume {
            id: id.clone(),
            number,
            start: u64::from(number) << 30,
            len: 1 << 30,
            partition_type: None,
            partition_uuid: None,
            partition_label: None,
            not_opened: None,
            encrypted: false,
            label: None,
            uuid: Some(format!("uuid-{id}")),
        };
        let filesystem = |(id, fs): &(VolumeId, Guarded)| Filesystem {
            volume: id.clone(),
            driver: if self.read_only.as_ref() == Some(id) { &READ_ONLY } else { &EDITABLE },
            fs: Ok(Arc::new(fs.clone())),
        };
        Disk {
            device: None,
            layout: Layout {
                table: Table::Gpt,
                disk_uuid: Some("disk".into()),
                volumes: (1..).zip(&self.volumes).map(volume).collect(),
                warnings: Vec::new(),
            },
            filesystems: self.volumes.iter().map(filesystem).collect(),
            swaps: Vec::new(),
        }
    }

    /// The guests.
    pub(crate) fn guests(&self) -> Vec<Guest> {
        self.disk().guests().expect("guests")
    }

    /// What operations would change.
    pub(crate) fn plan(&self, operations: &[Operation]) -> Plan {
        let options = PlanOptions {
            image: ImageFacts {
                format: "raw".into(),
                virtual_size: 1 << 32,
                disk_uuid: Some("disk".into()),
            },
            now: NOW,
            keep_free_space: false,
            first_boot: FirstBoot::Auto,
            filesystems: FilesystemFacts::of(&self.disk()),
            volumes: Volumes::of(&self.disk(), [7; 32], self.settled.clone()),
        };
        plan::plan(&self.guests(), operations, &options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Does what a plan says, each change onto exactly what the plan saw.
    pub(crate) fn seal(&mut self, plan: &Plan) {
        for (id, fs) in &mut self.volumes {
            let mine = || plan.changes.iter().filter(|change| change.volume == *id);
            let moves = Moves::among(mine().map(|change| (&change.fs_path, &change.action)));
            for change in mine() {
                let now = plan::before(fs, &moves, &change.fs_path, &change.action).unwrap();
                assert_eq!(now, change.before, "{} was seen otherwise", change.path);
            }
            let place = Arc::new(Mutex::new(fs.model.clone()));
            let options = EditOptions { now: plan.now, keep_free_space: false };
            let mut editor = ModelEditor::new(&place, &options);
            apply::edit_all(&mut editor, mine().map(|change| (&change.fs_path, &change.action)))
                .unwrap_or_else(|(path, error)| panic!("{path}: {error}"));
            Box::new(editor).finish().unwrap();
            fs.model = place.lock().unwrap().clone();
        }
        for change in &plan.volumes {
            let VolumeAction::SetUuid { from, to } = &change.action else {
                panic!("a sample has no swap partition")
            };
            let fs = self.fs(&change.volume.0);
            assert_eq!(fs.uuid, *from, "{} was seen otherwise", change.volume);
            fs.uuid.clone_from(to);
        }
        self.settled.extend(plan.new_uuids());
    }

    /// The tree of a volume.
    pub(crate) fn tree(&self, id: &str) -> Snapshot {
        let (_, fs) = self.volumes.iter().find(|(volume, _)| volume.0 == id).unwrap();
        snapshot::of_fs(fs).unwrap()
    }

    /// Every path of a volume that is not a directory, as text.
    pub(crate) fn files(&self, id: &str) -> Vec<String> {
        let files = self.tree(id).into_iter().filter(|(_, it)| it.kind != Some(Kind::Directory));
        files.map(|(path, _)| path.to_string()).collect()
    }
}

/// The paths that differ between two trees. A directory's own times, sizes and link counts follow
/// from what is in it.
pub(crate) fn differing(before: &Snapshot, after: &Snapshot) -> BTreeSet<GuestPath> {
    let paths: BTreeSet<&GuestPath> = before.keys().chain(after.keys()).collect();
    let plain = |tree: &Snapshot, path: &GuestPath| {
        let mut object = tree.get(path)?.clone();
        if object.kind == Some(Kind::Directory) {
            (object.size, object.mtime, object.links) = (0, None, None);
        }
        Some(format!("{object:?}"))
    };
    paths.into_iter().filter(|path| plain(before, path) != plain(after, path)).cloned().collect()
}

/// One embedded operation.
pub(crate) fn embedded(name: &str) -> Operation {
    Catalogue::embedded().unwrap().get(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// An operation with these steps, for every guest.
pub(crate) fn with_steps(steps: &str) -> Operation {
    let text = format!(
        "name: sample\nsummary: A sample\nwhy: To see.\nclass: log\ndefault: true\nsteps:\n{steps}"
    );
    Operation::from_yaml("sample.yaml", &text).unwrap_or_else(|error| panic!("{error}"))
}
