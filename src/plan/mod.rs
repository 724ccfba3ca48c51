//! Planning: guest and operations in, every change worked out, nothing written.

mod build;
mod file;
mod first_boot;
mod labels;
mod notes;
mod outcome;
mod packages;
mod room;
mod way_in;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::fs::Timestamp;
use crate::guest::{Disk, Facts};
use crate::operation::{Action, Class, Objects, VolumeAction, Volumes};
use crate::path::GuestPath;
use crate::volume::VolumeId;

pub use crate::operation::{Seen, before, seen};
pub use build::{PlanError, plan};
pub use file::{PLAN_BYTES, PlanFileError, SCHEMA};
pub use first_boot::{Comeback, FirstBoot, Return};
pub use outcome::{OperationOutcome, Outcome, Refusal, Secret, Unsettled};
pub use room::{NoRoom, content_bytes};

/// The times that a plan can give to what is changed, in seconds since 1970: from then to May 2446,
/// where ext4's 34 bits end. A filesystem that holds fewer takes the nearest.
pub const TIMES: RangeInclusive<i64> = 0..=(1 << 34) - (1 << 31) - 1;

/// This tool's name and version, as plans and reports have it.
pub const TOOL: &str = concat!("sysprep-rs ", env!("CARGO_PKG_VERSION"));

/// What identifies the image that a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// The image format: `raw`, `qcow2`.
    pub format: String,
    /// The disk's size as the guest sees it, in bytes.
    pub virtual_size: u64,
    /// The partition table's id, as `blkid` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_uuid: Option<String>,
}

/// A guest that a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedGuest {
    /// The volume of its root filesystem.
    pub root: VolumeId,
    /// What it is.
    pub facts: Facts,
    /// What was odd about it, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An operation that a plan was worked out from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRef {
    /// Its name.
    pub name: String,
    /// What it protects against.
    pub class: Class,
    /// The digest of its file.
    pub digest: Digest,
    /// Every parameter's value, set or default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// A filesystem of a guest that can be edited: it is, and its free space is discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFilesystem {
    /// Its volume.
    pub volume: VolumeId,
    /// The driver's name.
    pub driver: String,
    /// Its UUID, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// One change of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its place in the plan, from 1.
    pub id: u32,
    /// Which guest, by its place in the plan.
    pub guest: u32,
    /// The operation that asks for it.
    pub operation: String,
    /// Other operations that ask for it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The volume of the path's filesystem.
    pub volume: VolumeId,
    /// The path within that filesystem.
    pub fs_path: GuestPath,
    /// The path in the guest.
    pub path: GuestPath,
    /// The digest of what is there (see [`before()`]).
    pub before: Digest,
    /// What is done.
    pub action: Action,
    /// How many objects that is.
    pub objects: Objects,
    /// Which pattern or argument of the operation asks for it.
    pub why: String,
}

/// One change of a volume as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeChange {
    /// Which guest it belongs to, by its place in the plan.
    pub guest: u32,
    /// The operation that asks for it.
    pub operation: String,
    /// The volume.
    pub volume: VolumeId,
    /// What is done.
    pub action: VolumeAction,
    /// Which argument of the operation asks for it.
    pub why: String,
}

/// Everything a run is going to do, complete in itself: applying needs this and the image.
///
/// Changes are sorted by guest and path, a directory before what is in it; in that order they can
/// be applied. Each `(volume, fs_path)` has one change at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format of this value: [`SCHEMA`].
    pub schema: u32,
    /// The tool's name and version.
    pub tool: String,
    /// Which image it is for.
    pub image: ImageFacts,
    /// The time given to everything that is changed.
    pub now: Timestamp,
    /// Space that was free before is left as it is.
    pub keep_free_space: bool,
    /// What is done where nothing in a guest makes anew what an operation takes away.
    pub remedies: FirstBoot,
    /// The guests in the image.
    pub guests: Vec<PlannedGuest>,
    /// The operations, in the order they were worked out.
    pub operations: Vec<OperationRef>,
    /// The filesystems that are edited.
    pub filesystems: Vec<PlannedFilesystem>,
    /// Every change of a path.
    pub changes: Vec<Change>,
    /// Every change of a volume as a whole, after those of paths; by volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeChange>,
    /// What became of each operation in each guest.
    pub outcomes: Vec<OperationOutcome>,
    /// Paths that are left alone although an operation names them, and why.
    pub refusals: Vec<Refusal>,
    /// What the guests need at first boot, and whether it comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_boot: Vec<Return>,
    /// What stays readable although a name of it goes, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<String>,
    /// Secrets that operations found in files that stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Files that the next run would change again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<Unsettled>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.volumes.is_empty()
    }

    /// The UUIDs that volumes get, each with the one that it has.
    pub fn new_uuids(&self) -> BTreeMap<VolumeId, (String, String)> {
        let pair = |change: &VolumeChange| match &change.action {
            VolumeAction::SetUuid { from, to } => {
                Some((change.volume.clone(), (from.clone(), to.clone())))
            }
            VolumeAction::WipeSwap { .. } => None,
        };
        self.volumes.iter().filter_map(pair).collect()
    }

    /// The changes that an operation asks for in a guest, those that others ask for too included.
    pub fn changes_by<'a>(
        &'a self,
        guest: u32,
        operation: &'a str,
    ) -> impl Iterator<Item = &'a Change> {
        self.changes.iter().filter(move |it| {
            it.guest == guest
                && (it.operation == operation || it.also.iter().any(|also| also == operation))
        })
    }
}

/// What planning needs to know beside guests and operations.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Which image it is.
    pub image: ImageFacts,
    /// The time to give to everything that is changed; no clock is read.
    pub now: Timestamp,
    /// Leave space that was free before as it is.
    pub keep_free_space: bool,
    /// What is done where nothing in a guest makes anew what an operation takes away.
    pub first_boot: FirstBoot,
    /// The image's filesystems.
    pub filesystems: Vec<FilesystemFacts>,
    /// The disk's volumes, for operations that change them as a whole.
    pub volumes: Volumes,
}

/// A filesystem of the image, and whether it can be edited.
#[derive(Clone, Debug)]
pub struct FilesystemFacts {
    /// Its volume, driver and UUID.
    pub filesystem: PlannedFilesystem,
    /// Why it cannot be edited, where it cannot.
    pub read_only: Option<String>,
}

impl FilesystemFacts {
    /// The filesystems of a disk that could be opened.
    pub fn of(disk: &Disk) -> Vec<Self> {
        let mut found = Vec::new();
        for filesystem in &disk.filesystems {
            let Ok(fs) = &filesystem.fs else { continue };
            let info = fs.info();
            let read_only = match (filesystem.driver.edit, info.read_only_because) {
                (None, _) => Some(format!("{} cannot be edited", info.kind)),
                (_, Some(reason)) => Some(format!("{} cannot be edited: {reason}", info.kind)),
                (Some(_), None) => None,
            };
            found.push(Self {
                filesystem: PlannedFilesystem {
                    volume: filesystem.volume.clone(),
                    driver: filesystem.driver.name.to_owned(),
                    uuid: info.uuid,
                },
                read_only,
            });
        }
        found
    }
}
