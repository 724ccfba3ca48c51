//! `seed`: cloud-init's seed in an image, or on a volume that carries it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use sysprep_rs::block::ReadBlocks as _;
use sysprep_rs::image::{self, ExportOptions};
use sysprep_rs::operation::CUSTOMIZE;
use sysprep_rs::printable;
use sysprep_rs::report::bytes;
use sysprep_rs::seed::volume::{self, Format, config_drive, nocloud};
use sysprep_rs::seed::{Seed, SeedFile};

use super::args::{ImageArgs, OpenArgs, SayArgs, SealArgs, SelectArgs, VerifyArg};
use super::customize::CustomizeArgs;
use super::failure::Failure;
use super::{clock, out, own_files, run};

#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// The disk image whose guest is seeded
    #[arg(value_name = "IMAGE", group = "guest")]
    image: Option<PathBuf>,

    /// The disk image, as 'seal' takes it
    #[arg(short = 'a', long, value_name = "IMAGE", group = "guest")]
    add: Option<PathBuf>,

    /// The new volume; its format is what its name ends in: .iso, or .img, .raw, .vfat, .fat. With
    /// IMAGE: a new image, which leaves IMAGE as it is
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    files: SeedFileArgs,

    /// Take the files as they are, whatever cloud-init would say of them
    #[arg(long)]
    unchecked: bool,

    /// The volume's format: iso (a CD-ROM) or vfat (a disk). With IMAGE: its format, raw or qcow2
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// Make OpenStack's ConfigDrive (config-2) instead of a NoCloud volume (cidata)
    #[arg(long, conflicts_with = "guest")]
    config_drive: bool,

    /// Let --output replace a regular file that exists
    #[arg(long, requires = "output")]
    force: bool,

    #[command(flatten)]
    sealing: SealingArgs,

    #[command(flatten)]
    say: SayArgs,
}

/// What is there for an image alone.
#[derive(Debug, Args)]
struct SealingArgs {
    /// With IMAGE: only say what would be done
    #[arg(short = 'n', long, requires = "guest")]
    dry_run: bool,

    /// With IMAGE: the new image's format, raw or qcow2
    #[arg(long, value_name = "FORMAT", requires = "guest", requires = "output")]
    output_format: Option<String>,

    /// With IMAGE: how much is read back before the commit
    #[arg(long, value_enum, default_value_t = VerifyArg::Touched, requires = "guest")]
    verify: VerifyArg,

    /// With IMAGE: follow a backing file outside the image's own folder
    #[arg(long, requires = "guest")]
    allow_backing: bool,
}

/// The files of a seed.
#[derive(Debug, Args)]
struct SeedFileArgs {
    /// What the machine is to become: cloud-config, a script, …
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,

    /// Which machine it is: instance-id, local-hostname (by default an instance-id that is the same
    /// for the same files)
    #[arg(long, value_name = "FILE")]
    meta_data: Option<PathBuf>,

    /// How its network is set up, in cloud-init's version 1 or 2
    #[arg(long, value_name = "FILE")]
    network_config: Option<PathBuf>,

    /// The same as user-data, from whoever makes the image; user-data goes over it
    #[arg(long, value_name = "FILE")]
    vendor_data: Option<PathBuf>,
}

impl SeedFileArgs {
    /// Those that are named.
    fn named(&self) -> Vec<(SeedFile, &Path)> {
        let file = |file| match file {
            SeedFile::UserData => &self.user_data,
            SeedFile::MetaData => &self.meta_data,
            SeedFile::NetworkConfig => &self.network_config,
            SeedFile::VendorData => &self.vendor_data,
        };
        SeedFile::ALL.into_iter().filter_map(|it| Some((it, file(it).as_deref()?))).collect()
    }
}

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    path: String,
    format: Format,
    label: &'static str,
    /// Bytes.
    size: u64,
    sha256: String,
    files: Vec<MadeFile<'a>>,
}

#[derive(Serialize)]
struct MadeFile<'a> {
    path: &'a str,
    /// Bytes.
    size: usize,
}

/// `seed`.
pub(crate) fn seed(args: SeedArgs) -> Result<ExitCode, Failure> {
    match args.image.as_ref().or(args.add.as_ref()) {
        Some(image) => in_image(&image.clone(), args),
        None => on_volume(&args),
    }
}

/// `seed IMAGE`: a seal that does nothing else.
fn in_image(image: &Path, args: SeedArgs) -> Result<ExitCode, Failure> {
    let files = args.files.named();
    if files.is_empty() {
        return Err(Failure::usage(NOTHING));
    }
    if let Some(output) = &args.output
        && ending(output) == "iso"
        && args.sealing.output_format.is_none()
    {
        return Err(Failure::usage(format!(
            "{}: with an image named, --output is a new image, and that is no ISO 9660; leave the \
             image out for a volume that carries the seed, or write --output-format raw or qcow2",
            output.display()
        )));
    }
    let customize = CustomizeArgs::seeding(&files, args.unchecked)?;
    let open = OpenArgs {
        format: args.format.unwrap_or_else(|| "auto".into()),
        allow_backing: args.sealing.allow_backing,
    };
    let select = SelectArgs {
        enable: vec![CUSTOMIZE.to_owned()],
        // What was deleted before is for a seal to take away.
        keep_free_space: true,
        ..SelectArgs::default()
    };
    run::seal(&SealArgs {
        image: ImageArgs::of(image, open),
        select,
        customize,
        say: args.say,
        plan: None,
        dry_run: args.sealing.dry_run,
        output: args.output,
        output_format: args.sealing.output_format,
        force: args.force,
        verify: args.sealing.verify,
        is_seed: true,
    })
}

/// What is said where no file is named.
const NOTHING: &str = "nothing to tell a machine: add --user-data FILE";

/// `seed --output VOLUME`.
fn on_volume(args: &SeedArgs) -> Result<ExitCode, Failure> {
    let Some(output) = args.output.as_deref() else {
        return Err(Failure::usage(
            "name the new volume: --output FILE.iso, or --output FILE.img; or an image to seed",
        ));
    };
    let format = format(args.format.as_deref(), output)?;
    let files = args.files.named();
    if files.is_empty() {
        return Err(Failure::usage(NOTHING));
    }
    if let Some((file, _)) = files.iter().find(|(_, path)| image::is_same_file(path, output)) {
        let flag = file.name();
        return Err(Failure::usage(format!("--output names the file of --{flag}; name another")));
    }
    own_files::is_free(output, args.force)?;
    let now = clock::now()?;
    let read = match args.unchecked {
        true => Seed::read_unchecked(files.iter().copied()),
        false => Seed::read(files.iter().copied()),
    };
    let seed = read.map_err(|it| Failure::lines(it.lines()))?;
    for note in seed.notes().iter().filter(|_| !args.say.quiet) {
        out::note(format!("sysprep-rs: {note}"));
    }
    let (tree, label) = match args.config_drive {
        true => (config_drive::tree(&seed), config_drive::LABEL),
        false => (nocloud::tree(&seed), nocloud::LABEL),
    };
    let failed = |error: volume::VolumeError| match error {
        // The file's own name says more than what it is.
        volume::VolumeError::NotCarried(file, why) => {
            match files.iter().find(|(it, _)| *it == file) {
                Some((_, path)) => Failure::at(path, why),
                None => Failure::new(why),
            }
        }
        other => Failure::at(output, other),
    };
    let tree = tree.map_err(failed)?;
    let disk = volume::build(&tree, label, format, now).map_err(failed)?;
    let options = ExportOptions { overwrite: args.force, mode: mode(&files) };
    image::export(&disk, output, image::Format::Raw, &options)
        .map_err(|it| Failure::at(output, it))?;
    let made = Made {
        path: output.display().to_string(),
        format,
        label,
        size: disk.len(),
        sha256: image::sha256(&disk).map_err(|it| Failure::at(output, it))?,
        files: tree.files().map(|(path, it)| MadeFile { path, size: it.len() }).collect(),
    };
    if args.say.json {
        out::json(&made)?;
    } else if !args.say.quiet {
        out::text(&text(&made))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(made: &Made<'_>) -> String {
    let size = bytes(made.size);
    // A name may hold line ends.
    let path = printable::line(&made.path);
    let mut text = format!("{path}: {}, labelled {}, {size}\n", made.format, made.label);
    let longest = made.files.iter().map(|it| it.path.len()).max().unwrap_or_default();
    for file in &made.files {
        // It is text that is written to.
        let _ = writeln!(text, "  {:longest$}  {:>8}", file.path, bytes(file.size as u64));
    }
    text
}

/// What a file's name ends in, in small letters.
fn ending(file: &Path) -> String {
    file.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// The format that is asked for, or that a file's name promises.
fn format(asked: Option<&str>, output: &Path) -> Result<Format, Failure> {
    if let Some(name) = asked {
        return name
            .parse()
            .map_err(|_| Failure::usage(format!("--format '{name}': write iso or vfat")));
    }
    match ending(output).as_str() {
        "iso" => Ok(Format::Iso9660),
        "img" | "raw" | "vfat" | "fat" => Ok(Format::Vfat),
        _ => Err(Failure::usage(format!(
            "{}: the name does not say which format it is: add --format iso or --format vfat",
            output.display()
        ))),
    }
}

/// The permissions of a volume: who may not read one of the files that are in it may not read it.
fn mode(files: &[(SeedFile, &Path)]) -> u32 {
    files.iter().fold(0o666, |mode, (_, path)| match fs::metadata(path) {
        Ok(it) => mode & (it.permissions().mode() | 0o200),
        Err(_) => mode & 0o600,
    })
}
