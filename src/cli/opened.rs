//! An image, opened to be looked at: its disk, filesystems and guests.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sysprep_rs::apply::{self, Recovery};
use sysprep_rs::digest::Digest;
use sysprep_rs::fs::{Kind, Timestamp};
use sysprep_rs::guest::{Disk, Guest, Walk};
use sysprep_rs::image::{Access, Format, Image, OpenOptions};
use sysprep_rs::operation::{Operation, Volumes};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::{
    self, FilesystemFacts, FirstBoot, ImageFacts, Plan, PlanError, PlanOptions,
};
use sysprep_rs::report::text::Visit;
use sysprep_rs::report::{ImageReport, Inspection};
use sysprep_rs::volume::VolumeId;

use super::args::OpenArgs;
use super::failure::Failure;
use super::out;

/// An opened image with what is on it.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) image: Image,
    pub(crate) disk: Disk,
    pub(crate) guests: Vec<Guest>,
    /// What new UUIDs are made of.
    pub(crate) seed: [u8; 32],
    /// What makes one doubt that the image is in the format it was said to be in.
    pub(crate) doubt: Option<&'static str>,
}

/// What a plan is to be, beside its operations.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// The time given to what is changed.
    pub(crate) now: Timestamp,
    /// Space that was free before is left as it is.
    pub(crate) keep_free_space: bool,
    /// What is done where nothing makes anew what goes.
    pub(crate) first_boot: FirstBoot,
}

impl Asked {
    /// What an earlier plan was.
    pub(crate) fn again(plan: &Plan) -> Self {
        let &Plan { now, keep_free_space, remedies: first_boot, .. } = plan;
        Self { now, keep_free_space, first_boot }
    }
}

impl Opened {
    /// Opens an image.
    pub(crate) fn open(path: &Path, args: &OpenArgs, access: Access) -> Result<Self, Failure> {
        let path = path.to_owned();
        let format = format(&args.format)?;
        let options = OpenOptions { format, allow_backing: args.allow_backing };
        let (image, recovery) =
            apply::open(&path, &options, access).map_err(|it| Failure::of(&path, &it))?;
        let said = match recovery {
            Recovery::Finished(_) => "an interrupted seal was finished first",
            Recovery::Ahead => {
                "a seal was interrupted; what is shown is the image once 'sysprep-rs recover' has \
                 finished it"
            }
            Recovery::Nothing | Recovery::Forgotten => "",
        };
        if !said.is_empty() {
            out::note(format_args!("sysprep-rs: {}: {said}", path.display()));
        }
        let doubt = doubt(&image);
        let (disk, guests) = look(&path, &image)?;
        let seed = seed().map_err(|it| Failure::new(format!("/dev/urandom: {it}")))?;
        Ok(Self { path, image, disk, guests, seed, doubt })
    }

    /// Works out what the operations change in the guests. `settled` are the new UUIDs of a plan that
    /// is made again.
    pub(crate) fn plan(
        &self,
        operations: &[Operation],
        asked: Asked,
        settled: BTreeMap<VolumeId, (String, String)>,
    ) -> Result<Plan, PlanError> {
        let image = ImageFacts {
            format: self.image.format().to_string(),
            virtual_size: self.image.virtual_size(),
            disk_uuid: self.disk.layout.disk_uuid.clone(),
        };
        let filesystems = FilesystemFacts::of(&self.disk);
        let volumes = Volumes::of(&self.disk, self.seed, settled);
        let Asked { now, keep_free_space, first_boot } = asked;
        let options = PlanOptions { image, now, keep_free_space, first_boot, filesystems, volumes };
        plan::plan(&self.guests, operations, &options)
    }

    /// Shows every file below a path of a guest with its size; the answer is what could not be
    /// looked into.
    pub(crate) fn below(
        &self,
        guest: usize,
        path: &GuestPath,
        visit: &mut Visit<'_>,
    ) -> Vec<String> {
        let Some(guest) = self.guests.get(guest) else { return Vec::new() };
        let walked = guest.tree.walk(path, &mut |entry| {
            if entry.kind != Kind::Directory {
                let size = entry.fs.stat(entry.node).map_or(0, |stat| stat.size);
                visit(&entry.path(), size);
            }
            Walk::Into
        });
        match walked {
            Ok(walked) => walked.unread.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// What is in the image, for a report.
    pub(crate) fn inspection(&self) -> Inspection {
        let image = ImageReport {
            path: self.path.display().to_string(),
            format: self.image.format().to_string(),
            virtual_size: self.image.virtual_size(),
            file_size: self.image.file_size(),
            allocated: self.image.allocated_size(),
            sha256: None,
        };
        let mut found = Inspection::new(image, &self.disk, &self.guests);
        found.warnings.extend(self.doubt.map(str::to_owned));
        found
    }
}

/// Where new UUIDs come from: the same with the same `SOURCE_DATE_EPOCH`, and else random.
fn seed() -> io::Result<[u8; 32]> {
    if let Some(epoch) = env::var_os("SOURCE_DATE_EPOCH") {
        let text = [b"SOURCE_DATE_EPOCH=", epoch.as_encoded_bytes()].concat();
        return Ok(*Digest::of(&text).as_bytes());
    }
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// A qcow2 file begins with these four bytes, whatever `--format` says.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

fn doubt(image: &Image) -> Option<&'static str> {
    let mut magic = [0; 4];
    image.host().read_at(0, &mut magic).ok()?;
    (image.format() == Format::Raw && magic == QCOW2_MAGIC)
        .then_some("the content looks like qcow2: --format raw treats it as a raw disk")
}

fn look(path: &Path, image: &Image) -> Result<(Disk, Vec<Guest>), Failure> {
    let disk = Disk::open(image.disk()).map_err(|it| Failure::damaged(path, it))?;
    let guests = disk.guests().map_err(|it| Failure::damaged(path, it))?;
    Ok((disk, guests))
}

/// `--format`: virt-sysprep's `auto` is to find out.
pub(crate) fn format(word: &str) -> Result<Option<Format>, Failure> {
    match word {
        "auto" => Ok(None),
        word => word
            .parse()
            .map(Some)
            .map_err(|_| Failure::usage(format!("--format '{word}': write raw, qcow2 or auto"))),
    }
}
