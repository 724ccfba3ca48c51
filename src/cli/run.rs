//! `audit`, `seal` and `recover`.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sysprep_rs::apply::verify::VerifyLevel;
use sysprep_rs::apply::{self, ApplyError, Committed, Recovery, Replan};
use sysprep_rs::fs::Timestamp;
use sysprep_rs::guest::Disk;
use sysprep_rs::image::{self, Access, ExportOptions, Format, Image, OpenOptions};
use sysprep_rs::operation::{Operation, Selection, StepError};
use sysprep_rs::plan::{self, FilesystemFacts, Outcome, Plan, PlanError, PlanOptions};
use sysprep_rs::report::{Command, FreedReport, Report, SealReport, text};
use sysprep_rs::volume::VolumeId;

use super::args::{AuditArgs, RecoverArgs, SayArgs, SealArgs, SelectArgs, VerifyArg};
use super::failure::Failure;
use super::opened::{self, Opened};
use super::stopwatch::Stopwatch;
use super::{SOMETHING_TO_CLEAN, catalogue, out};

/// `audit`: the dry run. Nothing here can write to the image: it is opened for reading.
pub(crate) fn audit(args: &AuditArgs) -> Result<ExitCode, Failure> {
    check_flags(&args.say)?;
    if args.image.list_operations {
        return catalogue::list(&args.select.operations_dir);
    }
    let mut watch = Stopwatch::new(args.say.trace);
    let operations = selected(&args.select)?;
    let opened = watch.stage("open", || Opened::open(&args.image, Access::Audit))?;
    let plan = watch.stage("plan", || make_plan(&opened, &operations, &args.select))?;
    let mut report = report_of(Command::Audit, &opened, &plan)?;
    if args.say.digest {
        report.found.image.sha256 =
            Some(watch.stage("digest", || sha256(&opened.path, &opened.image))?);
    }
    report.timings = watch.stages();
    say(&report, &args.say)?;
    found_a_guest(&opened)?;
    if let Some(file) = &args.save_plan {
        save_plan(&plan, file, &opened.path)?;
    }
    Ok(match report.totals.changes {
        0 if report.refusals.is_empty() => ExitCode::SUCCESS,
        _ => ExitCode::from(SOMETHING_TO_CLEAN),
    })
}

/// Writes a plan to a file, which is never the image.
fn save_plan(plan: &Plan, file: &Path, image: &Path) -> Result<(), Failure> {
    let same = match (fs::metadata(file), fs::metadata(image)) {
        (Ok(file), Ok(image)) => (file.dev(), file.ino()) == (image.dev(), image.ino()),
        _ => false,
    };
    if same {
        return Err(Failure::usage("--save-plan names the image itself; name another file"));
    }
    let json = plan.to_json().map_err(Failure::new)?;
    fs::write(file, json).map_err(|it| Failure::at(file, it))
}

/// Flags that virt-sysprep has and that mean nothing here are answered, not swallowed.
fn check_flags(say: &SayArgs) -> Result<(), Failure> {
    if say.mount_options.is_some() {
        return Err(Failure::usage(
            "--mount-options: nothing is mounted here, filesystems are read directly; leave it out",
        ));
    }
    Ok(())
}

fn selected(args: &SelectArgs) -> Result<Vec<Operation>, Failure> {
    let mut catalogue = catalogue::load(&args.operations_dir)?;
    for setting in &args.set {
        catalogue.set(setting).map_err(Failure::usage)?;
    }
    let mut selection = Selection::defaults();
    for list in &args.enable {
        selection.enable(list).map_err(Failure::usage)?;
    }
    for list in &args.operations {
        selection.operations(list).map_err(Failure::usage)?;
    }
    catalogue.select(&selection).map_err(Failure::usage)
}

fn make_plan(
    opened: &Opened,
    operations: &[Operation],
    args: &SelectArgs,
) -> Result<Plan, Failure> {
    let options = PlanOptions {
        image: opened.facts(),
        now: now()?,
        keep_free_space: args.keep_free_space,
        filesystems: opened.filesystems(),
    };
    plan::plan(&opened.guests, operations, &options).map_err(|it| Failure::at(&opened.path, it))
}

/// The time given to what is changed: `SOURCE_DATE_EPOCH`, or the clock in whole seconds.
fn now() -> Result<Timestamp, Failure> {
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| {
            Failure::usage(format!("SOURCE_DATE_EPOCH='{text}': write seconds since 1970"))
        })?,
        Err(env::VarError::NotPresent) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX)),
        Err(error) => return Err(Failure::usage(format!("SOURCE_DATE_EPOCH: {error}"))),
    };
    Ok(Timestamp { seconds, nanos: 0 })
}

fn report_of(command: Command, opened: &Opened, plan: &Plan) -> Result<Report, Failure> {
    let digest = plan.digest().map_err(Failure::new)?;
    let mut residue: Vec<String> = opened.image.residue().into_iter().map(|it| it.text).collect();
    if plan.keep_free_space {
        residue.push("what was deleted before this run, in free space (--keep-free-space)".into());
    }
    Ok(Report::new(command, opened.inspection(), plan, digest, residue))
}

fn say(report: &Report, args: &SayArgs) -> Result<(), Failure> {
    if args.json {
        out::json(report)
    } else if args.quiet {
        Ok(())
    } else {
        out::text(&text::report(report, args.verbose))
    }
}

fn sha256(path: &Path, image: &Image) -> Result<String, Failure> {
    image::sha256(&*image.disk()).map_err(|it| Failure::at(path, it))
}

/// `seal`: plan, stage, verify, commit.
pub(crate) fn seal(args: &SealArgs) -> Result<ExitCode, Failure> {
    check_flags(&args.say)?;
    if args.image.list_operations {
        return catalogue::list(&args.select.operations_dir);
    }
    let output = Output::of(args)?;
    let mut watch = Stopwatch::new(args.say.trace);
    // The new file is another: the source only has to be read.
    let access = if output.is_some() || args.dry_run { Access::Audit } else { Access::Seal };
    let operations = match args.plan {
        Some(_) => Vec::new(),
        None => selected(&args.select)?,
    };
    let opened = watch.stage("open", || Opened::open(&args.image, access))?;
    let plan = match &args.plan {
        Some(file) => load_plan(file)?,
        None => watch.stage("plan", || make_plan(&opened, &operations, &args.select))?,
    };
    let mut report = report_of(Command::Seal, &opened, &plan)?;
    if args.say.digest {
        report.found.image.sha256 =
            Some(watch.stage("digest", || sha256(&opened.path, &opened.image))?);
    }
    if args.dry_run {
        report.timings = watch.stages();
        say(&report, &args.say)?;
        return found_a_guest(&opened);
    }
    can_be_sealed(&opened, &plan)?;

    let failed = |error: ApplyError| Failure::at(&opened.path, error);
    let staged = apply::stage(&opened.image, &plan).map_err(failed)?;
    let replan = |disk: &Disk| {
        let options = PlanOptions {
            image: plan.image.clone(),
            now: plan.now,
            keep_free_space: plan.keep_free_space,
            filesystems: FilesystemFacts::of(disk),
        };
        let guests = disk
            .guests()
            .map_err(|error| PlanError::Guest(VolumeId("disk".into()), StepError::Guest(error)))?;
        plan::plan(&guests, &operations, &options)
    };
    let replan: Option<Replan<'_>> = if args.plan.is_some() { None } else { Some(&replan) };
    let verified = staged.verify(args.verify.into(), replan).map_err(failed)?;
    let committed = match &output {
        Some(it) => {
            let options = ExportOptions { overwrite: args.force };
            let format = it.format.unwrap_or(opened.image.format());
            verified.export(&it.path, format, &options).map_err(failed)?
        }
        None => verified.commit().map_err(failed)?,
    };
    for (stage, took) in [
        ("stage", committed.timings.stage),
        ("verify", committed.timings.verify),
        ("log", committed.timings.log),
        ("write", committed.timings.write),
    ] {
        watch.add(stage, took);
    }
    let mut sealed = sealed(&committed, output.as_ref());
    if args.say.digest {
        let path = output.as_ref().map_or(&opened.path, |it| &it.path).clone();
        let format = output.as_ref().and_then(|it| it.format).unwrap_or(opened.image.format());
        let allow_backing = args.image.allow_backing;
        // Its lock would keep us from opening it again.
        drop(opened);
        let options = OpenOptions { format: Some(format), allow_backing };
        sealed.sha256 = Some(watch.stage("digest after", || {
            let image =
                Image::open(&path, &options, Access::Audit).map_err(|it| Failure::at(&path, it))?;
            sha256(&path, &image)
        })?);
    }
    report.sealed = Some(sealed);
    report.timings = watch.stages();
    let place = report.place();
    say(&report, &args.say)
        .map_err(|it| Failure::new(format!("{place} is sealed, but the report is lost: {it}")))?;
    if report.refusals.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "sysprep-rs: {place}: sealed, but {} that should go had to be left alone (see the report)",
        if report.refusals.len() == 1 {
            "a path".into()
        } else {
            format!("{} paths", report.refusals.len())
        },
    );
    Ok(ExitCode::from(SOMETHING_TO_CLEAN))
}

/// Where `--output` writes to.
struct Output {
    path: PathBuf,
    format: Option<Format>,
}

impl Output {
    fn of(args: &SealArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.output else { return Ok(None) };
        let same = |other: &PathBuf| match (path.canonicalize(), other.canonicalize()) {
            (Ok(path), Ok(other)) => path == other,
            _ => false,
        };
        if args.image.path().is_some_and(same) {
            return Err(Failure::usage(
                "--output names the image itself; leave it out to seal in place",
            ));
        }
        let format = args.output_format.as_deref().map(opened::format).transpose()?.flatten();
        Ok(Some(Self { path: path.clone(), format }))
    }
}

impl From<VerifyArg> for VerifyLevel {
    fn from(arg: VerifyArg) -> Self {
        match arg {
            VerifyArg::Touched => Self::Touched,
            VerifyArg::Full => Self::Full,
        }
    }
}

fn load_plan(file: &Path) -> Result<Plan, Failure> {
    let text = fs::read_to_string(file).map_err(|it| Failure::at(file, it))?;
    Plan::from_json(&text).map_err(|it| Failure::new(format!("{}:{it}", file.display())))
}

/// An image without a guest is most often the wrong image: that is an error, after the report.
fn found_a_guest(opened: &Opened) -> Result<ExitCode, Failure> {
    if opened.guests.is_empty() {
        return Err(no_guest(opened));
    }
    Ok(ExitCode::SUCCESS)
}

fn no_guest(opened: &Opened) -> Failure {
    let found = opened.inspection();
    Failure::at(&opened.path, format!("no operating system found{}", text::why_no_guest(&found)))
}

/// Whether a plan can be applied to the image: there is a guest, and no operation failed.
fn can_be_sealed(opened: &Opened, plan: &Plan) -> Result<(), Failure> {
    if opened.guests.is_empty() {
        return Err(no_guest(opened));
    }
    for it in &plan.outcomes {
        if let Outcome::Failed(why) = &it.outcome {
            return Err(Failure::at(
                &opened.path,
                format!(
                    "{}: {why}; nothing was written; to go on without it: --operations defaults,-{}",
                    it.operation, it.operation
                ),
            ));
        }
    }
    Ok(())
}

fn sealed(committed: &Committed, output: Option<&Output>) -> SealReport {
    let mut proofs: Vec<String> = committed.proofs.iter().map(ToString::to_string).collect();
    if committed.replanned {
        proofs.push("planning again yields nothing".into());
    }
    SealReport {
        output: output.map(|it| it.path.display().to_string()),
        filesystems: committed
            .freed
            .iter()
            .map(|(volume, freed)| FreedReport {
                volume: volume.clone(),
                bytes: freed.bytes,
                nodes: freed.nodes,
                discarded: freed.discarded,
            })
            .collect(),
        proofs,
        written: committed.bytes_written,
        discarded: committed.bytes_punched,
        file_size: committed.after.file,
        allocated: committed.after.allocated,
        sha256: None,
    }
}

/// `recover`.
pub(crate) fn recover(args: &RecoverArgs) -> Result<ExitCode, Failure> {
    // Without this a mistyped name would pass for an image that needs nothing.
    args.image.metadata().map_err(|it| Failure::at(&args.image, it))?;
    let recovery = apply::recover(&args.image).map_err(|it| Failure::at(&args.image, it))?;
    let (word, sentence) = match recovery {
        Recovery::Nothing => ("nothing", "no seal was interrupted, nothing to do"),
        Recovery::Forgotten => {
            ("forgotten", "a seal was interrupted before it wrote the image: untouched as it was")
        }
        Recovery::Finished(_) => ("finished", "an interrupted seal was finished"),
    };
    if args.json.json {
        out::json(
            &serde_json::json!({ "image": args.image.display().to_string(), "recovery": word }),
        )?;
    } else {
        out::text(&format!("{}: {sentence}\n", args.image.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
