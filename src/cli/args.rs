//! What can be typed.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, Parser, Subcommand, ValueEnum};

use super::customize::CustomizeArgs;
use super::failure::Failure;
use super::first_boot::FirstBootArgs;
use super::secrets::SecretsArgs;
use super::seed::SeedArgs;

/// Seals offline disk images before they become templates.
///
/// Opens the image itself: no root, no virtual machine, no kernel mount.
#[derive(Debug, Parser)]
#[command(name = "sysprep-rs", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what sealing would change and why, and write nothing
    ///
    /// Exit code 0: nothing to clean; 1: error, or what --first-boot=refuse or --require-way-in do not
    /// allow; 2: usage; 3: something to clean, a secret found, something that would be left alone,
    /// kept by internal snapshots or a backing file, or not come back at first boot, or an operation
    /// that cannot be worked out, and the last line says which. What else 'Stays readable' changes no
    /// exit code.
    Audit(AuditArgs),
    /// Clean the image, prove the result and commit it, all or nothing
    ///
    /// Exit code 0: sealed, or nothing to do; 1: error, or what --first-boot=refuse or
    /// --require-way-in do not allow; 2: usage; 3: sealed, but something that an operation names was
    /// left alone, is kept by internal snapshots or a backing file, or is a secret, or something that
    /// it takes away does not come back at first boot, and the last line says which. What else 'Stays
    /// readable' changes no exit code. After an error the image is as it was, or, where writing it had
    /// begun, 'recover' completes it. -n has the exit codes of 'audit'.
    Seal(SealArgs),
    /// Show an image's format, partitions, filesystems and guests
    Inspect(InspectArgs),
    /// List the operations, or explain one
    Operations(OperationsArgs),
    /// Check an operation file and point at every mistake
    Check(CheckArgs),
    /// Print the JSON Schema of an operation file
    Schema(SchemaArgs),
    /// Show which image formats and filesystems can be read and edited
    Support(JsonArg),
    /// Finish the commit that an interrupted seal began
    ///
    /// A seal that is stopped while it writes an image in place leaves a redo log beside it,
    /// .IMAGE.sysprep-redo. This reads the log, makes sure that it is of this image and that nobody
    /// else has changed the image since, writes what is still to be written and removes the log: then
    /// the image is sealed. A log that was never completed is removed: that seal had not begun to
    /// write, and the image is as it was. Without a log nothing is done. No seal is undone: to go
    /// back, restore a copy of the image.
    ///
    /// Exit code 0: finished, or nothing to do; 1: error, and the log is still there; 2: usage.
    Recover(RecoverArgs),
    /// Tell cloud-init what a machine is to become, in an image or by a volume beside it
    ///
    /// With IMAGE the seed is put into its guest, and nothing else changes there: as 'seal' does it,
    /// proved and all or nothing, with the exit codes of 'seal'. Without IMAGE --output is a volume.
    ///
    /// The volume is attached to the machine as a CD-ROM or a disk, and needs no network: NoCloud's,
    /// labelled cidata, or OpenStack's ConfigDrive, labelled config-2. Exit code 0: written; 1:
    /// error; 2: usage.
    Seed(SeedArgs),
}

/// `--json`, for every command.
#[derive(Debug, Args)]
pub(crate) struct JsonArg {
    /// Print JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which image.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// The disk image
    #[arg(value_name = "IMAGE")]
    image: Option<PathBuf>,

    /// Further words, so that what is said of them is ours
    #[arg(value_name = "IMAGE", hide = true)]
    more: Vec<PathBuf>,

    /// The disk image, as virt-sysprep takes it
    #[arg(short = 'a', long, value_name = "IMAGE")]
    add: Vec<PathBuf>,
}

impl NamedArgs {
    /// This image.
    pub(crate) fn of(path: &Path) -> Self {
        Self { image: Some(path.to_owned()), more: Vec::new(), add: Vec::new() }
    }

    /// The image's path.
    pub(crate) fn path(&self) -> Result<&Path, Failure> {
        let named: Vec<&PathBuf> = self.image.iter().chain(&self.more).chain(&self.add).collect();
        match named.as_slice() {
            [one] if one.to_str().is_some_and(|it| it.contains("://")) && !one.exists() => {
                Err(Failure::usage(format!("{}: URIs are not taken: name a file", one.display())))
            }
            [one] => Ok(one),
            [] => Err(Failure::usage("no image is named; write it at the end, or as -a IMAGE")),
            [one, two, ..] => Err(Failure::usage(format!(
                "one image a run: {} and {} are named; a guest on several disks is not supported \
                 yet",
                one.display(),
                two.display()
            ))),
        }
    }
}

/// How an image may be opened.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// The image's format, instead of finding out: raw, qcow2, or auto
    #[arg(long, value_name = "FORMAT", default_value = "auto", hide_default_value = true)]
    pub(crate) format: String,

    /// Follow a backing file outside the image's own folder
    #[arg(long)]
    pub(crate) allow_backing: bool,
}

/// Which image, or only a list.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    named: NamedArgs,

    #[command(flatten)]
    pub(crate) open: OpenArgs,

    /// List the operations and stop, as virt-sysprep does
    #[arg(long)]
    pub(crate) list_operations: bool,
}

impl ImageArgs {
    /// This image.
    pub(crate) fn of(path: &Path, open: OpenArgs) -> Self {
        Self { named: NamedArgs::of(path), open, list_operations: false }
    }

    /// The image's path.
    pub(crate) fn path(&self) -> Result<&Path, Failure> {
        self.named.path()
    }
}

/// Which operations, with which parameters.
#[derive(Debug, Default, Args)]
pub(crate) struct SelectArgs {
    /// Run these instead of the default set, by commas: names, 'defaults', 'all'; -NAME takes one
    /// out again, as in 'defaults,-NAME'
    #[arg(long, visible_alias = "operation", value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) operations: Vec<String>,

    /// Run exactly these operations, by commas, instead of the default set; given once, and before
    /// any --operations, which add to it or take from it
    #[arg(long, value_name = "LIST")]
    pub(crate) enable: Vec<String>,

    /// Set an operation's parameter
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// With the operation user-account: accounts that stay, by commas
    #[arg(long, value_name = "USERS")]
    pub(crate) keep_user_accounts: Vec<String>,

    /// With the operation user-account: remove these alone, by commas
    #[arg(long, value_name = "USERS")]
    pub(crate) remove_user_accounts: Vec<String>,

    /// Add operations from a folder of YAML files; one of the same name replaces ours
    #[arg(long, value_name = "FOLDER")]
    pub(crate) operations_dir: Vec<PathBuf>,

    /// Leave what was free before the run as it is: earlier deleted files stay readable
    #[arg(long)]
    pub(crate) keep_free_space: bool,

    #[command(flatten)]
    pub(crate) first_boot: FirstBootArgs,
}

/// Makes sure that --enable stands before every --operations, as virt-sysprep wants it.
pub(crate) fn check_order(given: &ArgMatches) -> Result<(), Failure> {
    let enable = given.indices_of("enable").and_then(Iterator::max);
    let operations = given.indices_of("operations").and_then(Iterator::min);
    match (operations, enable) {
        (Some(operations), Some(enable)) if operations < enable => Err(Failure::usage(
            "--enable can be given once, and before any --operations, which go on from it",
        )),
        _ => Ok(()),
    }
}

/// How much is said.
#[derive(Debug, Args)]
pub(crate) struct SayArgs {
    /// Print the report, or the error, as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors, and one line where something is left alone or kept
    #[arg(short, long, overrides_with_all = ["quiet", "verbose"])]
    pub(crate) quiet: bool,

    /// Name every path, and each file below a directory that goes; of -q and -v the last one counts
    #[arg(short, long, overrides_with_all = ["quiet", "verbose"])]
    pub(crate) verbose: bool,

    /// Say on standard error what is being done
    #[arg(short = 'x', overrides_with = "trace")]
    pub(crate) trace: bool,

    /// Add the SHA-256 of the disk's content (reads the whole disk)
    #[arg(long)]
    pub(crate) digest: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) customize: CustomizeArgs,
    #[command(flatten)]
    pub(crate) say: SayArgs,

    #[command(flatten)]
    pub(crate) secrets: SecretsArgs,

    /// Write the plan to a file that 'seal --plan' applies exactly
    #[arg(long, value_name = "FILE")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Taken for virt-sysprep's sake: an audit is a dry run
    #[arg(short = 'n', long, alias = "dryrun", hide = true, overrides_with = "dry_run")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) customize: CustomizeArgs,
    #[command(flatten)]
    pub(crate) say: SayArgs,

    /// Apply exactly this plan, saved by 'audit --save-plan'
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "operations",
            "enable",
            "set",
            "keep_free_space",
            "mode",
            "keep_user_accounts",
            "remove_user_accounts",
        ]
    )]
    pub(crate) plan: Option<PathBuf>,

    /// Only say what would be done, as 'audit' does and with its exit codes
    #[arg(short = 'n', long, visible_alias = "dryrun", overrides_with = "dry_run")]
    pub(crate) dry_run: bool,

    /// Write the sealed image to a new file and leave the source untouched
    #[arg(short, long, value_name = "NEW")]
    pub(crate) output: Option<PathBuf>,

    /// The new file's format: raw or qcow2 (by default what its name ends in, or the source's)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) output_format: Option<String>,

    /// Let --output replace a regular file that exists
    #[arg(long)]
    pub(crate) force: bool,

    /// How much is read back before the commit
    #[arg(long, value_enum, default_value_t = VerifyArg::Touched)]
    pub(crate) verify: VerifyArg,

    /// Whether it is the command 'seed' that seals
    #[arg(skip)]
    pub(crate) is_seed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyArg {
    /// Every changed path, each directory on the way, and the free-space accounting
    Touched,
    /// The whole tree of every filesystem
    Full,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) image: NamedArgs,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

#[derive(Debug, Args)]
pub(crate) struct OperationsArgs {
    /// Explain this operation
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Add operations from a folder of YAML files
    #[arg(long, value_name = "FOLDER")]
    pub(crate) operations_dir: Vec<PathBuf>,

    /// Print the table of the README
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,

    #[command(flatten)]
    pub(crate) json: JsonArg,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The operation files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Print the reference for people, as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Taken for the other commands' sake: a schema is JSON
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) image: NamedArgs,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}
