//! Exit code 3: a run that did what it could and leaves something to attend to, and why.
//!
//! One rule: something that an operation names is still readable, because it was left alone or
//! because the image's own file or backing file keeps it; or a guest would not have at first boot
//! what it needs. What no operation looks into (a volume
//! that the guest does not mount, boot code, free space that is to stay) is told as 'Stays
//! readable', and counts for nothing here: nearly every image has some of it.

use std::collections::BTreeSet;
use std::process::ExitCode;

use sysprep_rs::image::{Image, ResidueKind};
use sysprep_rs::report::{Report, text};

/// The exit code of such a run.
pub(crate) const CODE: u8 = 3;

/// One thing to attend to, and the part of the report that says more of it.
struct Reason {
    what: String,
    more: Option<&'static str>,
}

impl Reason {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), more: None }
    }

    fn with(what: String, more: &'static str) -> Self {
        Self { what, more: Some(more) }
    }
}

/// What a run leaves to attend to.
pub(crate) struct Attention {
    reasons: Vec<Reason>,
    /// The first reason is that there is something to clean: what an audit is for.
    dirty: bool,
}

impl Attention {
    /// Of an audit: what there is to clean, and what would have to be left. A new file would have
    /// none of the image's snapshots.
    pub(crate) fn of_audit(report: &Report, image: &Image, new_file: bool) -> Self {
        let dirty = (report.totals.changes > 0).then(|| Reason::new("there is something to clean"));
        let failed = report.operations.iter().filter(|it| it.outcome.failed().is_some()).count();
        let failed = (failed > 0).then(|| {
            let operations = text::count(failed as u64, "operation", "operations");
            Reason::with(
                format!("{operations} could not be worked out"),
                "'FAILED' in the report says why",
            )
        });
        let left = left_alone(report, "would be left alone");
        let kept = kept(report, image, new_file, "would keep", "would keep");
        let found = secrets(report);
        let is_dirty = dirty.is_some();
        let missing = missing(report);
        let reasons = dirty.into_iter().chain(failed).chain(left).chain(missing);
        let reasons = reasons.chain(found).chain(kept);
        Self { reasons: reasons.collect(), dirty: is_dirty }
    }

    /// Of a seal: what had to be left.
    pub(crate) fn of_seal(report: &Report, image: &Image, new_file: bool) -> Self {
        let left = left_alone(report, "left alone");
        let kept = kept(report, image, new_file, "keep", "keeps");
        let reasons = left.into_iter().chain(missing(report)).chain(secrets(report)).chain(kept);
        let reasons = reasons.collect();
        Self { reasons, dirty: false }
    }

    pub(crate) fn code(&self) -> ExitCode {
        if self.reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CODE) }
    }

    /// Whether there is something to attend to beside what a seal would clean.
    pub(crate) fn more_than_dirt(&self) -> bool {
        self.reasons.len() > usize::from(self.dirty)
    }

    /// The exit code in words, for the end of what is said; nothing where it is 0. Where the report
    /// is not printed they say how it is.
    pub(crate) fn closing(&self, quiet: bool) -> Option<String> {
        let word = |Reason { what, more }: &Reason| match more {
            Some(more) if !quiet => format!("{what} ({more})"),
            _ => what.clone(),
        };
        let reasons: Vec<String> = self.reasons.iter().map(word).collect();
        let hint = match quiet && self.reasons.iter().any(|it| it.more.is_some()) {
            true => "; the report, which is printed without -q, says more",
            false => "",
        };
        (!reasons.is_empty()).then(|| format!("Exit code {CODE}: {}{hint}.", reasons.join("; ")))
    }
}

fn left_alone(report: &Report, words: &str) -> Option<Reason> {
    let paths: BTreeSet<_> = report.refusals.iter().map(|it| (it.guest, &it.path)).collect();
    let paths = text::count(paths.len() as u64, "path", "paths");
    let more = "'Left alone' in the report says why";
    (!report.refusals.is_empty()).then(|| Reason::with(format!("{paths} {words}"), more))
}

/// What the guests would not have at first boot.
fn missing(report: &Report) -> Option<Reason> {
    let open = report.first_boot.iter().filter(|it| it.is_lost()).count() as u64;
    (open > 0).then(|| {
        let verb = if open == 1 { "does" } else { "do" };
        let things = text::count(open, "thing", "things");
        let what = format!("{things} {verb} not come back at first boot");
        Reason::with(what, "'first boot' in the report")
    })
}

/// Secrets, those that go with the changes included: they are in the image that was looked at.
fn secrets(report: &Report) -> Option<Reason> {
    let unread = report.searched.as_ref().is_some_and(|it| !it.unread.is_empty());
    match (report.secrets.len() as u64, unread) {
        (0, false) => None,
        (0, true) => Some(Reason::new("not every file could be looked through for secrets")),
        (found, _) => {
            let what = text::count(found, "secret", "secrets");
            Some(Reason::with(what, "'Secret' in the report"))
        }
    }
}

/// What keeps the disk as it was: internal snapshots all that ever went, a backing file what goes
/// now. A new file has neither.
fn kept(report: &Report, image: &Image, new_file: bool, keep: &str, keeps: &str) -> Option<Reason> {
    let has = |kind| !new_file && image.residue().iter().any(|it| it.kind == kind);
    if has(ResidueKind::Snapshots) {
        let how = "qemu-img snapshot -d, or seal with --output";
        return Some(Reason::new(format!("internal snapshots {keep} all of it ({how})")));
    }
    (has(ResidueKind::BackingFile) && report.totals.changes > 0)
        .then(|| format!("the backing file {keeps} what it has of it (seal with --output)"))
        .map(Reason::new)
}
