//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::failure::Failure;

/// Seals offline disk images before they become templates.
///
/// Opens the image itself: no root, no virtual machine, no kernel mount.
#[derive(Debug, Parser)]
#[command(name = "sysprep-rs", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what sealing would change and why, and write nothing
    ///
    /// Exit code 0: nothing to clean; 3: something to clean, or something that would have to be left
    /// alone; 1: error; 2: usage.
    Audit(AuditArgs),
    /// Clean the image, prove the result and commit it, all or nothing
    ///
    /// Exit code 0: sealed, or nothing to do; 1: error; 2: usage; 3: sealed, but something that
    /// should go had to be left alone. After an error the image is as it
    /// was, or, where writing it had begun, 'recover' completes it.
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
    /// Finish or undo a commit that was interrupted
    Recover(RecoverArgs),
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
    #[arg(value_name = "IMAGE", required_unless_present_any = ["add"], conflicts_with = "add")]
    image: Option<PathBuf>,

    /// The disk image, as virt-sysprep takes it
    #[arg(short = 'a', long, value_name = "IMAGE")]
    add: Option<PathBuf>,
}

impl NamedArgs {
    /// The image's path; clap has made sure that there is one.
    pub(crate) fn path(&self) -> Result<&PathBuf, Failure> {
        named(self.image.as_ref(), self.add.as_ref())
    }
}

fn named<'a>(image: Option<&'a PathBuf>, add: Option<&'a PathBuf>) -> Result<&'a PathBuf, Failure> {
    image.or(add).ok_or_else(|| Failure::usage("no image is named"))
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
    /// The disk image
    #[arg(
        value_name = "IMAGE",
        required_unless_present_any = ["add", "list_operations"],
        conflicts_with = "add"
    )]
    image: Option<PathBuf>,

    /// The disk image, as virt-sysprep takes it
    #[arg(short = 'a', long, value_name = "IMAGE")]
    add: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) open: OpenArgs,

    /// List the operations and stop, as virt-sysprep does
    #[arg(long)]
    pub(crate) list_operations: bool,
}

impl ImageArgs {
    /// The image's path; clap has made sure that there is one, or that only a list is asked for.
    pub(crate) fn path(&self) -> Result<&PathBuf, Failure> {
        named(self.image.as_ref(), self.add.as_ref())
    }
}

/// Which operations, with which parameters.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Run these instead of the default set, by commas: names, 'defaults', 'all'; -NAME takes one
    /// out again, as in 'defaults,-NAME'
    #[arg(long, visible_alias = "operation", value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) operations: Vec<String>,

    /// Run exactly these operations, by commas
    #[arg(long, value_name = "LIST")]
    pub(crate) enable: Vec<String>,

    /// Set an operation's parameter
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// Add operations from a folder of YAML files; one of the same name replaces ours
    #[arg(long, value_name = "FOLDER")]
    pub(crate) operations_dir: Vec<PathBuf>,

    /// Leave what was free before the run as it is: earlier deleted files stay readable
    #[arg(long)]
    pub(crate) keep_free_space: bool,
}

/// How much is said.
#[derive(Debug, Args)]
pub(crate) struct SayArgs {
    /// Print the report as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors, and one line where something had to be left alone
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Name every path
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Say on standard error what is being done
    #[arg(short = 'x')]
    pub(crate) trace: bool,

    /// Add the SHA-256 of the disk's content (reads the whole disk)
    #[arg(long)]
    pub(crate) digest: bool,

    /// Mount options have no meaning here
    #[arg(long, value_name = "OPTIONS", hide = true)]
    pub(crate) mount_options: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) say: SayArgs,

    /// Write the plan to a file that 'seal --plan' applies exactly
    #[arg(long, value_name = "FILE")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Taken for virt-sysprep's sake: an audit is a dry run
    #[arg(short = 'n', long, visible_alias = "dryrun", hide = true)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) say: SayArgs,

    /// Apply exactly this plan, saved by 'audit --save-plan'
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["operations", "enable", "set", "keep_free_space"]
    )]
    pub(crate) plan: Option<PathBuf>,

    /// Only say what would be done, as 'audit' does
    #[arg(short = 'n', long, visible_alias = "dryrun")]
    pub(crate) dry_run: bool,

    /// Write the sealed image to a new file and leave the source untouched
    #[arg(short, long, value_name = "NEW")]
    pub(crate) output: Option<PathBuf>,

    /// The new file's format: raw or qcow2 (by default what its name ends in, or the source's)
    #[arg(long, value_name = "FORMAT", requires = "output")]
    pub(crate) output_format: Option<String>,

    /// Let --output replace a regular file that exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,

    /// How much is read back before the commit
    #[arg(long, value_enum, default_value_t = VerifyArg::Touched)]
    pub(crate) verify: VerifyArg,
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
