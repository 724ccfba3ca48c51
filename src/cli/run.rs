//! `audit` and `seal`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use sysprep_rs::apply::verify::VerifyLevel;
use sysprep_rs::apply::{self, ApplyError, Committed, Pending, REPAIR, Replan};
use sysprep_rs::block::reads_as_zero;
use sysprep_rs::fs::Timestamp;
use sysprep_rs::guest::Disk;
use sysprep_rs::image::{self, Access, DECRYPT, ExportOptions, Format, Image, OpenOptions};
use sysprep_rs::operation::{Operation, Selection, StepError, VolumeAction, Volumes};
use sysprep_rs::path::GuestPath;
use sysprep_rs::plan::{
    self, FilesystemFacts, OperationOutcome, Outcome, Plan, PlanError, PlanOptions, VolumeChange,
};
use sysprep_rs::report::{self, Command, FreedReport, Report, SealReport, text};
use sysprep_rs::volume::VolumeId;

use super::args::{AuditArgs, SayArgs, SealArgs, SelectArgs, VerifyArg};
use super::attention::Attention;
use super::clock::now;
use super::customize::CustomizeArgs;
use super::failure::Failure;
use super::first_boot;
use super::opened::{Asked, Opened};
use super::output::Output;
use super::plan_file::Approved;
use super::stopwatch::Stopwatch;
use super::{catalogue, out, own_files, plan_file, secrets};

/// `audit`: the dry run. Nothing here can write to the image: it is opened for reading.
pub(crate) fn audit(args: &AuditArgs) -> Result<ExitCode, Failure> {
    if args.image.list_operations {
        return catalogue::list(&args.select.operations_dir, args.say.json);
    }
    let mut watch = Stopwatch::new(&args.say);
    let operations = selected(&args.select, &args.customize, &args.say)?;
    let allowed = args.secrets.allowed()?;
    // Before the image is opened, as in `seal`.
    let now = now()?;
    let path = args.image.path()?;
    let opened = watch.stage("open", || Opened::open(path, &args.image.open, Access::Audit))?;
    let plan = watch.stage("plan", || make_plan(&opened, &operations, asked(&args.select, now)))?;
    let mut report = report_of(Command::Audit, &opened, &plan, false)?;
    if args.say.digest {
        report.found.image.sha256 =
            Some(watch.stage("digest", || sha256(&opened.path, &opened.image))?);
    }
    if args.secrets.secrets {
        let guests = &opened.guests;
        watch.stage("secrets", || secrets::look(&mut report, guests, &plan, &allowed, path))?;
    }
    report.timings = watch.stages();
    found_a_guest(&report, &opened, &args.say)?;
    if let Err(error) = args.select.first_boot.check(&plan, &opened) {
        if is_text(&args.say) {
            say(&report, Some(&opened), &args.say)?;
        }
        said_with(&report, &args.say, error)?;
    }
    // Before the report, so that a failure is the only thing that is said.
    if let Some(file) = &args.save_plan {
        plan_file::save(&plan, file, &opened.image)?;
        // Who applies the plan has only their hashes.
        tell_drawn(&args.customize, &file.display());
    }
    audited(&report, &opened, &args.say, false)
}

/// The end of an audit, or of a seal's dry run, which is one: the report, and the exit code in words.
fn audited(
    report: &Report,
    opened: &Opened,
    say_args: &SayArgs,
    new_file: bool,
) -> Result<ExitCode, Failure> {
    first_boot::tell(&report.first_boot, &opened.guests, &opened.path.display());
    let attention = Attention::of_audit(report, &opened.image, new_file);
    say(report, Some(opened), say_args)?;
    if let Some(closing) = attention.closing(say_args.quiet && !say_args.json) {
        if is_text(say_args) {
            out::text(&format!("{closing}\n"))?;
        } else if attention.more_than_dirt() {
            out::note(format_args!("sysprep-rs: {}: {closing}", opened.path.display()));
        }
    }
    Ok(attention.code())
}

/// Tells the passwords that were drawn, once they are in what is kept.
fn tell_drawn(customize: &CustomizeArgs, place: &dyn std::fmt::Display) {
    for (user, password) in customize.drawn() {
        out::note(format_args!("sysprep-rs: {place}: the password of {user} is {password}"));
    }
}

/// The operation that removes users.
const ACCOUNTS: &str = "user-account";

fn selected(
    args: &SelectArgs,
    customize: &CustomizeArgs,
    say: &SayArgs,
) -> Result<Vec<Operation>, Failure> {
    let mut catalogue = catalogue::load(&args.operations_dir)?;
    if let Some(operation) = customize.operation()? {
        catalogue.customized(operation).map_err(Failure::usage)?;
        for note in customize.notes().iter().filter(|_| !say.quiet) {
            out::note(format_args!("sysprep-rs: {note}"));
        }
    }
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
    let accounts = [
        ("keep", &args.keep_user_accounts, "--keep-user-accounts"),
        ("remove", &args.remove_user_accounts, "--remove-user-accounts"),
    ];
    for (parameter, users, _) in accounts.iter().filter(|(_, users, _)| !users.is_empty()) {
        let setting = format!("{ACCOUNTS}.{parameter}={}", users.join(","));
        catalogue.set(&setting).map_err(Failure::usage)?;
    }
    let selected = catalogue.select(&selection).map_err(Failure::usage)?;
    // virt-sysprep would do nothing at all with them, and say nothing.
    match accounts.iter().find(|(_, users, _)| !users.is_empty()) {
        Some((_, _, flag)) if !selected.iter().any(|it| it.name == ACCOUNTS) => {
            Err(Failure::usage(format!(
                "{flag} is for the operation {ACCOUNTS}, which is not selected: add --operations \
                 defaults,{ACCOUNTS}"
            )))
        }
        _ => Ok(selected),
    }
}

/// What the plan is to be.
fn asked(args: &SelectArgs, now: Timestamp) -> Asked {
    Asked { now, keep_free_space: args.keep_free_space, first_boot: args.first_boot.mode.into() }
}

fn make_plan(opened: &Opened, operations: &[Operation], asked: Asked) -> Result<Plan, Failure> {
    let settled = BTreeMap::new();
    opened.plan(operations, asked, settled).map_err(|it| Failure::damaged(&opened.path, it))
}

fn report_of(
    command: Command,
    opened: &Opened,
    plan: &Plan,
    new_file: bool,
) -> Result<Report, Failure> {
    let digest = plan.digest().map_err(Failure::new)?;
    // A new file has neither the image's snapshots nor its backing file.
    let of_file = if new_file { Vec::new() } else { opened.image.residue() };
    let mut residue: Vec<String> = of_file.into_iter().map(|it| it.text).collect();
    residue.extend(out_of_reach(opened, plan));
    let kept = report::kept_by_volumes(&opened.disk, &*opened.image.disk(), plan);
    residue.extend(kept.map_err(|it| Failure::at(&opened.path, it))?);
    residue.extend(report::hidden_below_mounts(&opened.guests));
    if plan.keep_free_space {
        residue
            .push("what was deleted before this run, in free space, which is left as it is".into());
    }
    Ok(Report::new(command, opened.inspection(), plan, digest, residue))
}

/// Volumes that are not edited: what was deleted there before, or is there, is not looked for.
fn out_of_reach(opened: &Opened, plan: &Plan) -> Vec<String> {
    let edited = |id: &VolumeId| plan.filesystems.iter().any(|it| it.volume == *id);
    let mut lines = Vec::new();
    for volume in opened.disk.layout.volumes.iter().filter(|it| !edited(&it.id)) {
        let swap = opened.disk.swaps.iter().find(|it| it.volume == volume.id);
        let wiped = |it: &VolumeChange| {
            it.volume == volume.id && matches!(it.action, VolumeAction::WipeSwap { .. })
        };
        if let Some(swap) = swap
            && (plan.volumes.iter().any(wiped) || swap.is_empty().unwrap_or(false))
        {
            let behind = volume.len.saturating_sub(swap.area.end);
            if !reads_as_zero(&*swap.device, swap.area.end, behind).unwrap_or(false) {
                lines.push(format!("the last bytes of {}: its swap area ends before", volume.id));
            }
            continue;
        }
        let what = match &volume.not_opened {
            Some(what) if volume.encrypted => {
                format!("it is {what}, which is not opened; {DECRYPT}")
            }
            Some(what) => format!("it is {what}, which is not opened"),
            None if opened.disk.filesystems.iter().any(|it| it.volume == volume.id) => {
                "its filesystem is not edited".to_owned()
            }
            None => "nothing known is on it".to_owned(),
        };
        lines.push(format!("all of {}: {what}", volume.id));
    }
    lines
}

/// Whether a report is text.
fn is_text(args: &SayArgs) -> bool {
    !args.json && !args.quiet
}

/// Says a report; what goes with a directory is named where the image is still there as it was.
fn say(report: &Report, before: Option<&Opened>, args: &SayArgs) -> Result<(), Failure> {
    if args.json {
        return out::json(report);
    }
    if args.quiet {
        return Ok(());
    }
    say_findings(report, before, args)?;
    out::written(|out| text::summary(out, report))
}

fn say_findings(report: &Report, before: Option<&Opened>, args: &SayArgs) -> Result<(), Failure> {
    let mut below = |guest, path: &_, visit: &mut text::Visit<'_>| {
        before.map_or_else(Vec::new, |opened| opened.below(guest, path, visit))
    };
    let below: Option<&mut text::Below<'_>> = if args.verbose { Some(&mut below) } else { None };
    out::written(|out| text::findings(out, report, below))
}

fn sha256(path: &Path, image: &Image) -> Result<String, Failure> {
    image::sha256(&*image.disk()).map_err(|it| Failure::at(path, it))
}

/// `seal`: plan, stage, verify, commit.
pub(crate) fn seal(args: &SealArgs) -> Result<ExitCode, Failure> {
    if args.image.list_operations {
        return catalogue::list(&args.select.operations_dir, args.say.json);
    }
    if let (Some(_), Some(flag)) = (&args.plan, args.customize.first()) {
        return Err(Failure::usage(format!(
            "--{flag}: --plan applies exactly the plan; give the flag to 'audit --save-plan'"
        )));
    }
    let output = Output::of(args)?;
    // Before the image is opened, which finishes an interrupted seal.
    let now = now()?;
    let mut watch = Stopwatch::new(&args.say);
    // The new file is another: the source only has to be read.
    let access = if output.is_some() || args.dry_run { Access::Audit } else { Access::Seal };
    let selected = match args.plan {
        Some(_) => Vec::new(),
        None => selected(&args.select, &args.customize, &args.say)?,
    };
    let planned =
        args.plan.as_deref().map(|file| plan_file::load(file).map(|it| (it, file))).transpose()?;
    let path = args.image.path()?;
    if access == Access::Audit && !args.dry_run {
        nothing_is_pending(path)?;
    }
    let opened = watch.stage("open", || Opened::open(path, &args.image.open, access))?;
    if let Some(output) = &output {
        own_files::refuse("--output", &output.path, &opened.image)?;
    }
    let Approved { plan, told, operations } = match planned {
        None => {
            let asked = asked(&args.select, now);
            let plan = watch.stage("plan", || make_plan(&opened, &selected, asked))?;
            Approved { plan, told: None, operations: Ok(selected) }
        }
        Some((plan, file)) => {
            let folders = &args.select.operations_dir;
            watch.stage("plan", || Approved::new(plan, file, &opened, folders))?
        }
    };
    let command = if args.is_seed { Command::Seed } else { Command::Seal };
    let told = told.as_ref().unwrap_or(&plan);
    let mut report = report_of(command, &opened, told, output.is_some())?;
    report.plan = plan.digest().map_err(Failure::new)?;
    if args.say.digest {
        report.found.image.sha256 =
            Some(watch.stage("digest", || sha256(&opened.path, &opened.image))?);
    }
    if args.dry_run {
        report.timings = watch.stages();
        found_a_guest(&report, &opened, &args.say)?;
        if let Err(error) = can_be_sealed(&opened, told, args) {
            if is_text(&args.say) {
                say(&report, Some(&opened), &args.say)?;
            }
            said_with(&report, &args.say, error)?;
        }
        return audited(&report, &opened, &args.say, output.is_some());
    }
    can_be_sealed(&opened, told, args)?;
    // What goes can be named only while it is there.
    let begun = args.say.verbose && is_text(&args.say);
    if begun {
        say_findings(&report, Some(&opened), &args.say)?;
    }

    let failed = |error: ApplyError| Failure::of(&opened.path, &error);
    // Beside what will be written: there has to be space for it anyway.
    let folder = match &output {
        Some(it) => image::folder_of(&it.path).to_owned(),
        None => opened.image.folder(),
    };
    let staged =
        watch.during("stage", || apply::stage_in(&opened.image, &plan, &folder)).map_err(failed)?;
    let (operations, not_proved) = match operations {
        Ok(operations) => (operations, None),
        Err(why) => (Vec::new(), Some(format!("planning again yields nothing: {why}"))),
    };
    let replan = |disk: &Disk| {
        let options = PlanOptions {
            image: plan.image.clone(),
            now: plan.now,
            keep_free_space: plan.keep_free_space,
            first_boot: plan.remedies,
            filesystems: FilesystemFacts::of(disk),
            volumes: Volumes::of(disk, opened.seed, plan.new_uuids()),
        };
        let guests = disk
            .guests()
            .map_err(|error| PlanError::Guest(VolumeId("disk".into()), StepError::Guest(error)))?;
        plan::plan(&guests, &operations, &options)
    };
    let replan: Option<Replan<'_>> = if not_proved.is_none() { Some(&replan) } else { None };
    let verified =
        watch.during("verify", || staged.verify(args.verify.into(), replan)).map_err(failed)?;
    let committed = watch.during("write", || match &output {
        Some(it) => {
            // Who could not read the source is not to read the copy.
            let mode = opened.image.file().metadata().map_or(0o600, |it| it.permissions().mode());
            let options = ExportOptions { overwrite: args.force, mode: mode & 0o666 };
            let format = it.format.unwrap_or(opened.image.format());
            verified
                .export(&it.path, format, &options)
                .map_err(|error| Failure::of(&it.path, &error))
        }
        None => verified.commit().map_err(failed),
    })?;
    for (stage, took) in [
        ("stage", committed.timings.stage),
        ("verify", committed.timings.verify),
        ("log", committed.timings.log),
        ("write", committed.timings.write),
    ] {
        watch.add(stage, took);
    }
    let attention = Attention::of_seal(&report, &opened.image, output.is_some());
    report.sealed = Some(sealed(&plan, &committed, output.as_ref(), not_proved));
    let place = report.place().to_owned();
    first_boot::tell(&report.first_boot, &opened.guests, &place);
    tell_drawn(&args.customize, &place);
    let lost = |it| Failure::new(format!("{place} is sealed, but the report is lost: {it}"));
    if let (true, Some(sealed)) = (args.say.digest, &mut report.sealed) {
        let path = output.as_ref().map_or(&opened.path, |it| &it.path).clone();
        let format = output.as_ref().and_then(|it| it.format).unwrap_or(opened.image.format());
        // Its lock would keep us from opening it again.
        drop(opened);
        let digest = || sha256_after(&path, format, args.image.open.allow_backing);
        sealed.sha256 = Some(watch.stage("digest after", digest).map_err(lost)?);
    }
    report.timings = watch.stages();
    let said = match begun {
        true => out::written(|out| text::summary(out, &report)),
        false => say(&report, None, &args.say),
    };
    said.map_err(lost)?;
    if let Some(closing) = attention.closing(args.say.quiet && !args.say.json) {
        out::note(format_args!("sysprep-rs: {place}: sealed. {closing}"));
    }
    Ok(attention.code())
}

/// A new file is not made of an image that is half written: said before anything else is.
fn nothing_is_pending(path: &Path) -> Result<(), Failure> {
    match apply::pending(path).map_err(|it| Failure::of(path, &it))? {
        Pending::Complete { .. } => Err(Failure::of(path, &ApplyError::RecoveryPending)),
        Pending::Nothing | Pending::Unfinished => Ok(()),
    }
}

/// The digest of the disk as it was sealed.
fn sha256_after(path: &Path, format: Format, allow_backing: bool) -> Result<String, Failure> {
    let options = OpenOptions { format: Some(format), allow_backing };
    let image = Image::open(path, &options, Access::Audit).map_err(|it| Failure::at(path, it))?;
    sha256(path, &image)
}

impl From<VerifyArg> for VerifyLevel {
    fn from(arg: VerifyArg) -> Self {
        match arg {
            VerifyArg::Touched => Self::Touched,
            VerifyArg::Full => Self::Full,
        }
    }
}

/// An image without a guest is most often the wrong image: that is an error, after the report,
/// which says why where it is text that was printed.
fn found_a_guest(report: &Report, opened: &Opened, args: &SayArgs) -> Result<(), Failure> {
    match opened.guests.is_empty() {
        false => Ok(()),
        true if is_text(args) => {
            say(report, Some(opened), args)?;
            Err(Failure::damaged(&opened.path, "no operating system found, see above"))
        }
        true => said_with(report, args, no_guest(opened)),
    }
}

/// A failure that the report has more of: it is in the report's JSON.
fn said_with(report: &Report, args: &SayArgs, error: Failure) -> Result<(), Failure> {
    /// The report and the error in one object.
    #[derive(Serialize)]
    struct WithError<'a> {
        #[serde(flatten)]
        report: &'a Report,
        error: &'a Failure,
    }
    if !args.json {
        return Err(error);
    }
    out::json(&WithError { report, error: &error })?;
    Err(error.in_json())
}

fn no_guest(opened: &Opened) -> Failure {
    let found = opened.inspection();
    let mut message = format!("no operating system found{}", text::why_no_guest(&found));
    if let Some(doubt) = opened.doubt {
        message = format!("{message}; {doubt}");
    }
    Failure::damaged(&opened.path, message)
}

/// Whether a plan can be applied to the image: there is a guest, and no operation failed.
fn can_be_sealed(opened: &Opened, plan: &Plan, args: &SealArgs) -> Result<(), Failure> {
    if opened.guests.is_empty() {
        return Err(no_guest(opened));
    }
    let path = &opened.path;
    for OperationOutcome { operation, outcome, .. } in &plan.outcomes {
        match outcome {
            Outcome::Damaged(why) => {
                let message = format!("{operation}: {why}; nothing was written: {REPAIR}");
                return Err(Failure::damaged(path, message));
            }
            Outcome::Failed(why) => {
                let without = without(args, operation);
                let message = format!("{operation}: {why}; nothing was written{without}");
                return Err(Failure::at(path, message));
            }
            _ => {}
        }
    }
    args.select.first_boot.check(plan, opened)
}

/// How to go on without an operation that fails, given what is selected.
fn without(args: &SealArgs, operation: &str) -> String {
    let SelectArgs { enable, operations, .. } = &args.select;
    let selected: Vec<&str> = enable.iter().chain(operations).map(String::as_str).collect();
    let selected = if selected.is_empty() { "defaults".into() } else { selected.join(",") };
    if selected == operation {
        return String::new();
    }
    let how = if args.plan.is_some() { "plan again with" } else { "say" };
    format!("; to go on without it {how} --operations {selected},-{operation}")
}

fn sealed(
    plan: &Plan,
    committed: &Committed,
    output: Option<&Output>,
    not_proved: Option<String>,
) -> SealReport {
    let mut proofs: Vec<String> = committed.proofs.iter().map(ToString::to_string).collect();
    if committed.replanned {
        proofs.push("planning again yields nothing".into());
    }
    let not_proved = not_proved.or_else(|| {
        let (named, more) = some(&committed.unsettled)?;
        let edits = |path: &GuestPath| plan.unsettled.iter().any(|it| it.path == *path);
        let (who, why) = match committed.unsettled.iter().all(edits) {
            true => ("an edit", "it matches its own result"),
            false => ("the flags", "one works on what another made"),
        };
        Some(format!(
            "planning again yields nothing: {who} would change {named}{more} again, as {why}"
        ))
    });
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
        not_proved: not_proved.into_iter().collect(),
        written: committed.bytes_written,
        released: committed.bytes_punched,
        file_size: committed.after.file,
        allocated: committed.after.allocated,
        sha256: None,
    }
}

/// How many paths are named of those that are too many for one line.
const NAMED: usize = 5;

/// The first of some paths, and how many there are besides.
fn some(paths: &[GuestPath]) -> Option<(String, String)> {
    let named: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match paths.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| (named.join(", "), more))
}
