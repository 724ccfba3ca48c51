//! Two states of one filesystem, held against the changes a plan makes between them.

use std::collections::HashSet;
use std::fmt::{self, Debug, Display};

use super::VerifyLevel;
use super::expected::{Expected, Update};
use super::witness::{self, Own, Witness};
use crate::fs::{FsError, Judge, Kind, NewMeta, Node, ReadFs, Stat, Timestamp, Xattr};
use crate::operation::{Action, Content};
use crate::path::{GuestPath, escape};

/// How many findings are kept: one is enough to refuse, a hundred to see what kind they are.
const FINDINGS: usize = 100;

/// How deep a tree is walked: `PATH_MAX` (4096) bytes name no deeper directory.
const DEPTH: usize = 2048;

/// The longest file of which the independent reader, too, reads what became zero.
const READ_TWICE: u64 = 64 << 20;

/// How much of a wiped file is compared at most: a swap area's header has no more.
const HEAD: u64 = 1 << 20;

/// Something that is not as the plan says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, within the filesystem.
    pub path: GuestPath,
    /// What was expected and what is there.
    pub problem: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// What a comparison looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What is not as the plan says; at most a hundred.
    pub findings: Vec<Finding>,
    /// How many further findings were not kept.
    pub more: u64,
    /// How many paths were compared.
    pub paths: u64,
    /// How many directories' names were compared.
    pub directories: u64,
    /// How many looks our own reader had to take because the independent one cannot read the
    /// original there.
    pub own_looks: u64,
    /// How many objects no reader can read, before and after alike: encrypted, or damaged before.
    pub unread: u64,
}

/// Compares. Memory is bounded by the plan, the largest directory and the number of directories
/// (one number each).
///
/// # Errors
/// None: what cannot be read is a finding, or counted as unread when it could not be read before
/// either.
pub fn compare(
    before: Witness<'_>,
    after: Witness<'_>,
    mut expected: Expected<'_>,
    level: VerifyLevel,
) -> Comparison {
    let (before, after) = (Side::new(before), Side::new(after));
    expected.look_for_shared(&before.own);
    // A filesystem without owners shows every file with the same made-up mode.
    let unix = before.own.fs.info().kind != "vfat";
    let contents = level == VerifyLevel::Full;
    let mut comparer =
        Comparer { before, after, expected: &expected, unix, contents, out: Comparison::default() };
    match level {
        VerifyLevel::Touched => comparer.touched(),
        VerifyLevel::Names | VerifyLevel::Full => comparer.full(),
    }
    comparer.out
}

/// One of the two states.
struct Side<'a> {
    own: Own<'a>,
    judge: Option<&'a dyn Judge>,
}

impl<'a> Side<'a> {
    fn new(Witness { own, judge }: Witness<'a>) -> Self {
        Self { own: Own::new(own), judge }
    }
}

struct Comparer<'a> {
    before: Side<'a>,
    after: Side<'a>,
    expected: &'a Expected<'a>,
    unix: bool,
    /// The content of every file is compared.
    contents: bool,
    out: Comparison,
}

/// Why a look at both states gave nothing.
enum Blind {
    /// Nobody can read it, before or after.
    Both,
    /// It could be read before.
    After(FsError),
}

impl Comparer<'_> {
    fn find(&mut self, path: &GuestPath, problem: impl Display) {
        if self.out.findings.len() < FINDINGS {
            self.out.findings.push(Finding { path: path.clone(), problem: problem.to_string() });
        } else {
            self.out.more += 1;
        }
    }

    fn differs<T: Debug + PartialEq>(&mut self, path: &GuestPath, what: &str, want: &T, got: &T) {
        if want != got {
            self.find(path, format_args!("{what} should be {want:?} and is {got:?}"));
        }
    }

    /// Where what is at a path was before.
    fn origin(&self, path: &GuestPath) -> GuestPath {
        self.expected.origin(path).unwrap_or_else(|| path.clone())
    }

    /// Looks at both states with the same reader: the independent one, or ours where that one
    /// cannot read even the original.
    fn both<T>(
        &mut self,
        path: &GuestPath,
        look: &dyn Fn(&dyn Judge, &GuestPath) -> Result<T, FsError>,
    ) -> Result<(T, T), Blind> {
        let origin = self.origin(path);
        if let (Some(before), Some(after)) = (self.before.judge, self.after.judge) {
            if let Ok(before) = look(before, &origin) {
                return Ok((before, look(after, path).map_err(Blind::After)?));
            }
            self.out.own_looks += 1;
        }
        match (look(&self.before.own, &origin), look(&self.after.own, path)) {
            (Ok(before), Ok(after)) => Ok((before, after)),
            (Err(_), Err(_)) => Err(Blind::Both),
            (Ok(_), Err(error)) => Err(Blind::After(error)),
            // Damage that was there before and is gone was not the plan's to mend.
            (Err(error), Ok(_)) => Err(Blind::After(error)),
        }
    }

    /// Looks at the new state.
    fn after<T>(&mut self, look: &dyn Fn(&dyn Judge) -> Result<T, FsError>) -> Result<T, FsError> {
        let Some(judge) = self.after.judge else {
            return look(&self.after.own);
        };
        let error = match look(judge) {
            Ok(seen) => return Ok(seen),
            Err(error) => error,
        };
        let blind = match &error {
            // A feature the independent reader does not know is no fault of what was written.
            FsError::Unsupported(_) => true,
            // Nor is what it takes for damage in the original, a time before 1970 for one.
            FsError::Corrupt(_) => self
                .before
                .judge
                .is_some_and(|before| matches!(look(before), Err(FsError::Corrupt(_)))),
            _ => false,
        };
        if !blind {
            return Err(error);
        }
        self.out.own_looks += 1;
        look(&self.after.own)
    }

    fn blind(&mut self, path: &GuestPath, what: &str, blind: Blind) {
        match blind {
            Blind::Both => self.out.unread += 1,
            Blind::After(error) => self.find(path, format_args!("{what} cannot be read: {error}")),
        }
    }

    fn touched(&mut self) {
        for (path, action) in &self.expected.actions {
            self.changed(path, action);
        }
        for dir in self.expected.touched() {
            self.directory(&dir);
        }
        self.left();
    }

    /// What was moved is where it was no more.
    fn left(&mut self) {
        for path in &self.expected.left {
            if self.expected.action(path).is_none()
                && !matches!(exactly(self.after.own.fs, path), Ok(None))
            {
                self.find(path, "it was moved and our own reader still finds it");
            }
        }
    }

    /// A directory on the way: its own metadata, its names, and that nothing it names was touched.
    fn directory(&mut self, dir: &GuestPath) {
        let (before, after) =
            match (self.before.own.find(&self.origin(dir)), self.after.own.find(dir)) {
                (Ok(before), Ok(Some(after))) => (before, after),
                (_, Ok(None)) => return self.find(dir, "the directory is gone"),
                (_, Err(error)) | (Err(error), _) => {
                    return self.find(dir, format_args!("the directory cannot be read: {error}"));
                }
            };
        // A new directory has nothing in common with what it takes the place of.
        let before = before.filter(|_| !self.is_new(dir));
        let Some(names) = self.directory_names(dir, before.is_some()) else { return };
        let Some(before) = before else { return };
        if self.expected.action(dir).is_none() {
            self.metadata(dir, before, after);
        }
        for name in names {
            let path = dir.join(&name);
            let old = named(self.before.own.fs, before, &name);
            let new = named(self.after.own.fs, after, &name);
            match (old, new) {
                // Each has been judged as a changed path, or will be as a directory on the way.
                _ if self.expected.action(&path).is_some() => {}
                (Ok(Some(old)), Ok(Some(new))) => self.sibling(&path, old, new),
                (Err(_), Err(_)) => self.out.unread += 1,
                _ => self.find(&path, "our own reader does not find it in both states"),
            }
        }
    }

    fn is_new(&self, path: &GuestPath) -> bool {
        self.expected.action(path).is_some_and(|action| {
            Update::of(action).is_none() && !matches!(action, Action::Remove { .. })
        })
    }

    /// Names that have to be in a directory, which the new state is found to have. `None` when
    /// they cannot be read.
    fn directory_names(&mut self, dir: &GuestPath, had: bool) -> Option<Vec<Vec<u8>>> {
        let look = |judge: &dyn Judge, dir: &GuestPath| witness::names(judge, dir);
        let (before, after) = if had {
            match self.both(dir, &look) {
                Ok(names) => names,
                Err(blind) => {
                    self.blind(dir, "the directory", blind);
                    return None;
                }
            }
        } else {
            match self.after(&|judge| look(judge, dir)) {
                Ok(after) => (Vec::new(), after),
                Err(error) => {
                    self.find(dir, format_args!("the directory cannot be read: {error}"));
                    return None;
                }
            }
        };
        self.out.directories += 1;
        let want = self.expected.names(dir, &before);
        if want != after {
            for name in want.iter().filter(|name| after.binary_search(name).is_err()) {
                self.find(dir, format_args!("'{}' is missing", escape(name)));
            }
            for name in after.iter().filter(|name| want.binary_search(name).is_err()) {
                self.find(dir, format_args!("'{}' should not be there", escape(name)));
            }
            if after.windows(2).any(|pair| pair[0] == pair[1]) {
                self.find(dir, "a name is there twice");
            }
        }
        Some(want)
    }

    /// An object that the plan does not name, beside one that it does: any edit shows in its
    /// metadata, so its content need not be read.
    fn sibling(&mut self, path: &GuestPath, old: Node, new: Node) {
        self.out.paths += 1;
        if let Some(update) = self.expected.shared.get(&old) {
            return self.updated(path, update);
        }
        self.same_node(path, old, new);
        self.metadata(path, old, new);
    }

    /// Where a filesystem has no inodes, a node's number is its reader's own affair.
    fn same_node(&mut self, path: &GuestPath, old: Node, new: Node) {
        if self.unix {
            self.differs(path, "the node", &old.0, &new.0);
        }
    }

    /// What our own reader says of an object that stays as it is.
    fn metadata(&mut self, path: &GuestPath, old: Node, new: Node) {
        let (old_stat, new_stat) = match (self.before.own.fs.stat(old), self.after.own.fs.stat(new))
        {
            (Ok(old), Ok(new)) => (old, new),
            (Err(_), Err(_)) => {
                self.out.unread += 1;
                return;
            }
            (_, Err(error)) | (Err(error), _) => {
                return self.find(path, format_args!("our own reader cannot read it: {error}"));
            }
        };
        self.differs(path, "the kind", &old_stat.kind, &new_stat.kind);
        self.differs(path, "the mode", &old_stat.mode, &new_stat.mode);
        self.differs(
            path,
            "the owner",
            &(old_stat.uid, old_stat.gid),
            &(new_stat.uid, new_stat.gid),
        );
        self.differs(path, "the device", &old_stat.device, &new_stat.device);
        self.differs(path, "the immutable flag", &old_stat.immutable, &new_stat.immutable);
        // A directory's own size and times change with its names.
        let renamed =
            old_stat.kind == Kind::Directory && self.expected.renamed_in.contains_key(path);
        if !renamed {
            self.differs(path, "the modification time", &old_stat.mtime, &new_stat.mtime);
        }
        if old_stat.kind != Kind::Directory {
            self.differs(path, "the size", &old_stat.size, &new_stat.size);
        }
        // The change time follows every edit, and the number of names where another name went.
        if !renamed && old_stat.links == new_stat.links {
            self.differs(path, "the change time", &old_stat.ctime, &new_stat.ctime);
        }
        match (self.before.own.fs.xattrs(old), self.after.own.fs.xattrs(new)) {
            (Ok(old), Ok(new)) => self.xattrs(path, old, new),
            (Err(_), Err(_)) => self.out.unread += 1,
            (_, Err(error)) | (Err(error), _) => {
                self.find(path, format_args!("extended attributes cannot be read: {error}"));
            }
        }
    }

    fn xattrs(&mut self, path: &GuestPath, mut want: Vec<Xattr>, mut got: Vec<Xattr>) {
        want.sort();
        got.sort();
        if want != got {
            let list = |all: &[Xattr], but: &[Xattr]| -> Vec<String> {
                all.iter().filter(|it| !but.contains(it)).map(|it| it.name.clone()).collect()
            };
            self.find(
                path,
                format_args!(
                    "extended attributes differ: missing or other {:?}, unexpected {:?}",
                    list(&want, &got),
                    list(&got, &want)
                ),
            );
        }
    }

    /// A path that the plan changes.
    fn changed(&mut self, path: &GuestPath, action: &Action) {
        self.out.paths += 1;
        match action {
            Action::Remove { .. } => {
                match self.after(&|judge| judge.stat(path)) {
                    Ok(None) => {}
                    Ok(Some(_)) => self.find(path, "it should be gone and is there"),
                    // On the way to it is what is no directory any more.
                    Err(FsError::NotFound | FsError::NotADirectory) => {}
                    Err(error) => self.find(path, format_args!("it cannot be looked up: {error}")),
                }
                if !matches!(self.after.own.find(path), Ok(None)) {
                    self.find(path, "our own reader still finds it");
                }
            }
            Action::CreateFile { content, meta, .. } => {
                self.created(path, Kind::File, meta.mode, content.len(), meta);
                self.content(path, content);
            }
            Action::CreateDirectory { meta, .. } => {
                self.created(path, Kind::Directory, meta.mode, 0, meta);
            }
            Action::CreateSymlink { target, meta, .. } => {
                self.created(path, Kind::Symlink, 0o777, target.len() as u64, meta);
                match self.after(&|judge| judge.link_target(path)) {
                    Ok(got) if got == *target => {}
                    Ok(_) => self.find(path, "the link's target is another"),
                    Err(error) => self.find(path, format_args!("the link's target: {error}")),
                }
            }
            Action::CreateSpecial { kind, device, meta, .. } => {
                self.created(path, *kind, meta.mode, 0, meta);
                if let Some((_, stat)) = self.own_after(path) {
                    let device = Some(*device).filter(|_| stat.device.is_some());
                    self.differs(path, "the device", &device, &stat.device);
                }
            }
            Action::CreateLink { to, .. } => self.linked(path, to),
            Action::Update { .. } | Action::Wipe { .. } | Action::Move { .. } => {
                // Under another of its names the same file may be changed as well.
                let node = self.before.own.find(&self.origin(path)).ok().flatten();
                match node.and_then(|node| self.expected.shared.get(&node)) {
                    Some(update) => self.updated(path, update),
                    None => self.updated(path, &Update::of(action).unwrap_or_default()),
                }
            }
        }
    }

    /// One more name of a file that is judged under the other.
    fn linked(&mut self, path: &GuestPath, to: &GuestPath) {
        match (self.after.own.find(path), self.after.own.find(to)) {
            (Ok(Some(one)), Ok(Some(other))) => self.differs(path, "the file", &other.0, &one.0),
            _ => return self.find(path, format_args!("it is not there, or {to} is not")),
        }
        let look = |judge: &dyn Judge, path: &GuestPath| {
            Ok((judge.stat(path)?, witness::content(judge, path)?))
        };
        match (self.after(&|judge| look(judge, path)), self.after(&|judge| look(judge, to))) {
            (Ok(one), Ok(other)) => self.differs(path, "what it holds", &other, &one),
            (Err(error), _) | (_, Err(error)) => {
                self.find(path, format_args!("it cannot be read: {error}"));
            }
        }
    }

    fn created(&mut self, path: &GuestPath, kind: Kind, mode: u16, size: u64, meta: &NewMeta) {
        match self.after(&|judge| judge.stat(path)) {
            Ok(Some(seen)) => {
                if let Some(found) = seen.kind {
                    self.differs(path, "the kind", &kind, &found);
                }
                if kind != Kind::Directory {
                    self.differs(path, "the size", &size, &seen.size);
                }
                if self.unix {
                    self.differs(path, "the mode", &mode, &seen.mode.unwrap_or(mode));
                    let owner = (meta.uid, meta.gid);
                    self.differs(path, "the owner", &owner, &seen.owner.unwrap_or(owner));
                }
            }
            Ok(None) => return self.find(path, "it was to be made and is not there"),
            Err(error) => return self.find(path, format_args!("it cannot be read: {error}")),
        }
        let Some((node, stat)) = self.own_after(path) else { return };
        self.differs(path, "the kind", &kind, &stat.kind);
        if self.unix {
            self.differs(path, "the mode", &mode, &stat.mode);
            self.differs(path, "the owner", &(meta.uid, meta.gid), &(stat.uid, stat.gid));
            self.time(path, meta.mtime.unwrap_or(self.expected.now), stat.mtime);
            match self.after.own.fs.xattrs(node) {
                Ok(got) => self.xattrs(path, meta.xattrs.clone(), got),
                Err(error) => {
                    self.find(path, format_args!("extended attributes cannot be read: {error}"));
                }
            }
        }
    }

    /// Times that were set are compared in seconds: small inodes hold no more.
    fn time(&mut self, path: &GuestPath, want: Timestamp, got: Timestamp) {
        self.differs(path, "the modification time (seconds)", &want.seconds, &got.seconds);
    }

    fn own_after(&mut self, path: &GuestPath) -> Option<(Node, Stat)> {
        let found = self
            .after
            .own
            .find(path)
            .and_then(|node| node.ok_or(FsError::NotFound))
            .and_then(|node| Ok((node, self.after.own.fs.stat(node)?)));
        found.map_err(|error| self.find(path, format_args!("our own reader: {error}"))).ok()
    }

    fn content(&mut self, path: &GuestPath, want: &Content) {
        match self.after(&|judge| witness::content(judge, path)) {
            Ok(digest) if digest == want.digest() => {}
            Ok(_) => self.find(path, "the content is not the planned one"),
            Err(error) => self.find(path, format_args!("the content cannot be read: {error}")),
        }
    }

    fn updated(&mut self, path: &GuestPath, update: &Update) {
        let Update { content, wiped_from, meta } = update;
        let content = content.as_ref();
        match self.both(path, &|judge, path| judge.stat(path)?.ok_or(FsError::NotFound)) {
            Ok((old, new)) => {
                self.differs(path, "the kind", &old.kind, &new.kind);
                if self.unix {
                    let mode = meta.mode.or(old.mode);
                    self.differs(path, "the mode", &mode, &new.mode);
                    let owner = old
                        .owner
                        .map(|(uid, gid)| (meta.uid.unwrap_or(uid), meta.gid.unwrap_or(gid)));
                    self.differs(path, "the owner", &owner, &new.owner);
                }
                let directory = old.kind == Some(Kind::Directory);
                if !directory {
                    let size = content.map_or(old.size, Content::len);
                    self.differs(path, "the size", &size, &new.size);
                }
            }
            Err(blind) => self.blind(path, "it", blind),
        }
        let found = self
            .before
            .own
            .find(&self.origin(path))
            .and_then(|node| node.ok_or(FsError::NotFound))
            .and_then(|node| Ok((node, self.before.own.fs.stat(node)?)));
        let (old, old_stat) = match found {
            Ok(found) => found,
            Err(error) => return self.find(path, format_args!("our own reader: {error}")),
        };
        let Some((new, new_stat)) = self.own_after(path) else { return };
        match (content, wiped_from) {
            (Some(content), _) => self.content(path, content),
            (None, Some(from)) => {
                self.differs(path, "the storage", &old_stat.allocated, &new_stat.allocated);
                self.wiped(path, *from, old, new);
            }
            (None, None) if old_stat.kind == Kind::File => self.same_content(path),
            (None, None) => {}
        }
        self.differs(path, "the kind", &old_stat.kind, &new_stat.kind);
        self.same_node(path, old, new);
        if !self.unix {
            return;
        }
        self.differs(path, "the mode", &meta.mode.unwrap_or(old_stat.mode), &new_stat.mode);
        let owner = (meta.uid.unwrap_or(old_stat.uid), meta.gid.unwrap_or(old_stat.gid));
        self.differs(path, "the owner", &owner, &(new_stat.uid, new_stat.gid));
        if let Some(want) = meta.mtime.or(content.map(|_| self.expected.now)) {
            self.time(path, want, new_stat.mtime);
        } else if !self.expected.renamed_in.contains_key(path) {
            self.differs(path, "the modification time", &old_stat.mtime, &new_stat.mtime);
        }
        match (self.before.own.fs.xattrs(old), self.after.own.fs.xattrs(new)) {
            (Ok(mut want), Ok(got)) => {
                for (name, value) in &meta.xattrs {
                    want.retain(|xattr| xattr.name != *name);
                    if let Some(value) = value {
                        want.push(Xattr { name: name.clone(), value: value.clone() });
                    }
                }
                self.xattrs(path, want, got);
            }
            (Err(error), _) | (_, Err(error)) => {
                self.find(path, format_args!("extended attributes cannot be read: {error}"));
            }
        }
    }

    /// A file that is zero from a byte on. A swap file has gigabytes of that, which only our own
    /// reader can pass over; the independent one reads the others.
    fn wiped(&mut self, path: &GuestPath, from: u64, old: Node, new: Node) {
        let (before, after) = (self.before.own.fs, self.after.own.fs);
        let head = |fs: &dyn ReadFs, node| {
            let mut head = vec![0; usize::try_from(from.min(HEAD)).unwrap_or(0)];
            let read = fs.read_at(node, 0, &mut head)?;
            head.truncate(read);
            Ok::<_, FsError>(head)
        };
        match (head(before, old), head(after, new)) {
            (Ok(old), Ok(new)) if old == new => {}
            (Ok(_), Ok(_)) => self.find(path, "what was to stay of the content changed"),
            (Err(error), _) | (_, Err(error)) => {
                self.find(path, format_args!("the content cannot be read: {error}"));
            }
        }
        match after.is_zero(new, from) {
            Ok(true) => {}
            Ok(false) => self.find(path, "the content is not zero where it was to be"),
            Err(error) => self.find(path, format_args!("the content cannot be read: {error}")),
        }
        let size = after.stat(new).map_or(u64::MAX, |stat| stat.size);
        if size > READ_TWICE {
            self.out.own_looks += 1;
            return;
        }
        let zero = self.after(&|judge| {
            let (mut at, mut zero) = (0, true);
            judge.read(path, &mut |piece| {
                let skip = from.saturating_sub(at).min(piece.len() as u64) as usize;
                zero &= piece[skip..].iter().all(|&byte| byte == 0);
                at += piece.len() as u64;
            })?;
            Ok(zero && at == size)
        });
        match zero {
            Ok(true) => {}
            Ok(false) => self.find(path, "the content is not zero where it was to be"),
            Err(error) => self.find(path, format_args!("the content cannot be read: {error}")),
        }
    }

    fn same_content(&mut self, path: &GuestPath) {
        match self.both(path, &|judge, path| witness::content(judge, path)) {
            Ok((old, new)) if old == new => {}
            Ok((old, _)) => {
                // A reader that misreads the original is no witness (ext4-view 1.0 shows block 0
                // where a file without extents has a hole): ours has to see a difference too.
                let own = witness::content(&self.before.own, &self.origin(path)).ok();
                if own.is_some_and(|own| own != old)
                    && own == witness::content(&self.after.own, path).ok()
                {
                    self.out.own_looks += 1;
                } else {
                    self.find(path, "the content changed and should not have");
                }
            }
            Err(blind) => self.blind(path, "the content", blind),
        }
    }

    /// An object that the plan does not name, compared to the last byte.
    fn unchanged(&mut self, path: &GuestPath, old: Node, new: Node) {
        self.out.paths += 1;
        if let Some(update) = self.expected.shared.get(&old) {
            return self.updated(path, update);
        }
        self.same_node(path, old, new);
        self.metadata(path, old, new);
        match self.both(path, &|judge, path| judge.stat(path)?.ok_or(FsError::NotFound)) {
            Ok((old, new)) => {
                self.differs(path, "the kind", &old.kind, &new.kind);
                self.differs(path, "the mode", &old.mode, &new.mode);
                self.differs(path, "the owner", &old.owner, &new.owner);
                if old.kind != Some(Kind::Directory) {
                    self.differs(path, "the size", &old.size, &new.size);
                }
            }
            Err(blind) => self.blind(path, "it", blind),
        }
        let Ok(stat) = self.before.own.fs.stat(old) else { return };
        match stat.kind {
            _ if stat.encrypted => self.out.unread += 1,
            Kind::File if !self.contents => {}
            Kind::File => self.same_content(path),
            Kind::Symlink => match self.both(path, &|judge, path| judge.link_target(path)) {
                Ok((old, new)) if old == new => {}
                Ok(_) => self.find(path, "the link's target changed and should not have"),
                Err(blind) => self.blind(path, "the link's target", blind),
            },
            _ => {}
        }
    }

    /// Both whole trees, a directory at a time.
    fn full(&mut self) {
        let (old, new) = (self.before.own.fs.root(), self.after.own.fs.root());
        let mut seen = HashSet::from([new]);
        let root = GuestPath::root();
        match self.expected.action(&root) {
            Some(action) => self.changed(&root, action),
            None => self.unchanged(&root, old, new),
        }
        let mut stack = vec![self.frame(root, Some(old), new)];
        while let Some(frame) = stack.last_mut() {
            let Some(name) = frame.names.pop() else {
                stack.pop();
                continue;
            };
            let path = frame.dir.join(&name);
            let old = frame.old.map_or(Ok(None), |dir| named(self.before.own.fs, dir, &name));
            let new = named(self.after.own.fs, frame.new, &name);
            let (old, new) = match (old, new) {
                (Ok(old), Ok(new)) => (old, new),
                (Err(_), Err(_)) => {
                    self.out.unread += 1;
                    continue;
                }
                (_, Err(error)) | (Err(error), _) => {
                    self.find(&path, format_args!("our own reader: {error}"));
                    continue;
                }
            };
            match (self.expected.action(&path), old, new) {
                (Some(action), _, _) => self.changed(&path, action),
                (None, Some(old), Some(new)) => self.unchanged(&path, old, new),
                (None, _, _) => self.find(&path, "our own reader does not find it in both states"),
            }
            let Some(new) = new else { continue };
            let is_directory = self
                .after
                .own
                .fs
                .stat(new)
                .is_ok_and(|stat| stat.kind == Kind::Directory && !stat.encrypted);
            if is_directory {
                if stack.len() > DEPTH || !seen.insert(new) {
                    self.find(&path, "the directory is reached twice, or too deep");
                    continue;
                }
                let old = match self.expected.action(&path) {
                    Some(Action::Move { from, .. }) => self.before.own.find(from).ok().flatten(),
                    _ => old.filter(|_| !self.is_new(&path)),
                };
                let frame = self.frame(path, old, new);
                stack.push(frame);
            }
        }
        // What is gone is in no directory any more: it has to be looked for.
        for (path, action) in &self.expected.actions {
            if matches!(action, Action::Remove { .. }) {
                self.changed(path, action);
            }
        }
        self.left();
    }

    fn frame(&mut self, dir: GuestPath, old: Option<Node>, new: Node) -> Frame {
        let names = self.directory_names(&dir, old.is_some()).unwrap_or_default();
        Frame { dir, old, new, names }
    }
}

/// A directory whose names are still to be compared.
struct Frame {
    dir: GuestPath,
    old: Option<Node>,
    new: Node,
    names: Vec<Vec<u8>>,
}

/// What has exactly this name in a directory.
fn named(fs: &dyn ReadFs, dir: Node, name: &[u8]) -> Result<Option<Node>, FsError> {
    let found = fs.lookup(dir, name)?;
    let other = fs.folds_case() && fs.spelling(dir, name)?.is_some_and(|it| it != name);
    Ok(found.filter(|_| !other))
}

/// What is at exactly this path: `a` is none that was `A`.
fn exactly(fs: &dyn ReadFs, path: &GuestPath) -> Result<Option<Node>, FsError> {
    let mut node = fs.root();
    for name in path.names() {
        match named(fs, node, name) {
            Ok(Some(next)) => node = next,
            Ok(None) | Err(FsError::NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(node))
}
