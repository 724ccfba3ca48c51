//! Patterns over the guest's paths, as glob(3) matches them, with `{a,b}` and `**` added.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;

use super::GuestError;
use super::tree::{Found, Place, Tree, note_unread};
use super::walk::{Seen, Walk};
use crate::fs::Kind;
use crate::path::GuestPath;

/// How many patterns the alternatives of one may stand for, so that a pattern such as
/// `/{a,b}{a,b}{a,b}…` cannot ask for endless work.
const MAX_ALTERNATIVES: usize = 1024;

/// The longest pattern, in bytes: Linux's `PATH_MAX`.
const MAX_PATTERN: usize = 4096;

/// A pattern for one name: bytes, case-sensitive, with `*`, `?` (one byte), `[a-z]`, `[!a-z]`,
/// `[[:digit:]]`, and `\` to take the next byte as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    AnyByte,
    AnyBytes,
    /// A bit for each byte that matches.
    OneOf(Box<[u64; 4]>),
}

impl Part {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::AnyByte => true,
            Self::AnyBytes => false,
            Self::OneOf(set) => set[usize::from(byte / 64)] >> (byte % 64) & 1 == 1,
        }
    }
}

impl NamePattern {
    /// Reads a pattern for one name.
    ///
    /// # Errors
    /// What is wrong with it, as text: a slash, an open bracket, an unknown class, a range that
    /// runs backwards, a backslash at the end, or nothing at all.
    pub fn parse(pattern: &[u8]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = pattern;
        if rest.is_empty() {
            return Err("an empty name".into());
        }
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match byte {
                b'*' => {
                    if parts.last() == Some(&Part::AnyBytes) {
                        continue;
                    }
                    Part::AnyBytes
                }
                b'?' => Part::AnyByte,
                b'[' => {
                    let (set, tail) = bracket(tail)?;
                    rest = tail;
                    Part::OneOf(Box::new(set))
                }
                b'\\' => {
                    let (&byte, tail) = tail.split_first().ok_or("a backslash at its end")?;
                    rest = tail;
                    Part::Byte(byte)
                }
                b'/' => return Err("a slash in a name".into()),
                0 => return Err("a NUL byte".into()),
                byte => Part::Byte(byte),
            });
        }
        Ok(Self { parts })
    }

    /// Whether the pattern matches a name. As in glob(3), only a pattern that starts with a dot
    /// itself matches a name that does.
    pub fn matches(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b'.') && self.parts.first() != Some(&Part::Byte(b'.')) {
            return false;
        }
        let (mut part, mut at) = (0, 0);
        // Where to take up again when what follows the last `*` does not match: `*` takes one more.
        let mut retry = None;
        while at < name.len() {
            match self.parts.get(part) {
                Some(Part::AnyBytes) => {
                    retry = Some((part, at));
                    part += 1;
                }
                Some(one) if one.matches(name[at]) => {
                    part += 1;
                    at += 1;
                }
                _ => {
                    let Some((star, taken)) = retry else { return false };
                    retry = Some((star, taken + 1));
                    part = star + 1;
                    at = taken + 1;
                }
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::AnyBytes)
    }

    /// The one name it matches, when it has nothing to vary.
    fn literal(&self) -> Option<Vec<u8>> {
        self.parts
            .iter()
            .map(|part| if let Part::Byte(byte) = part { Some(*byte) } else { None })
            .collect()
    }
}

/// Reads a bracket expression after its `[`; gives the set and what follows the `]`.
fn bracket(mut rest: &[u8]) -> Result<([u64; 4], &[u8]), String> {
    const OPEN: &str = "a '[' without its ']'";
    let mut set = [0u64; 4];
    let mut add = |byte: u8| set[usize::from(byte / 64)] |= 1 << (byte % 64);
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        rest = &rest[1..];
    }
    let mut first = true;
    loop {
        let (&byte, tail) = rest.split_first().ok_or(OPEN)?;
        rest = tail;
        if byte == b']' && !first {
            break;
        }
        first = false;
        if let (b'[', Some(class)) = (byte, tail.strip_prefix(b":")) {
            let end = class.windows(2).position(|two| two == b":]").ok_or(OPEN)?;
            let is_member = class_of(&class[..end])?;
            (0..=127).filter(is_member).for_each(&mut add);
            rest = &class[end + 2..];
            continue;
        }
        let low = if byte == b'\\' {
            let (&byte, tail) = rest.split_first().ok_or(OPEN)?;
            rest = tail;
            byte
        } else {
            byte
        };
        match rest {
            [b'-', high, tail @ ..] if *high != b']' => {
                let (high, tail) = match (*high, tail) {
                    (b'\\', [byte, tail @ ..]) => (*byte, tail),
                    (high, tail) => (high, tail),
                };
                if low > high {
                    return Err("a range in '[…]' that runs backwards".into());
                }
                (low..=high).for_each(&mut add);
                rest = tail;
            }
            _ => add(low),
        }
    }
    if negated {
        set = set.map(|bits| !bits);
    }
    Ok((set, rest))
}

fn class_of(name: &[u8]) -> Result<fn(&u8) -> bool, String> {
    Ok(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        other => return Err(format!("an unknown class '[:{}:]'", crate::path::escape(other))),
    })
}

/// A pattern for whole paths.
///
/// Absolute; each name a [`NamePattern`]; `{a,b}` stands for either, across slashes too; a name
/// `**` stands for any number of directories, hidden ones included, and at the end for everything
/// below at any depth. A slash at the end asks for a directory.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    alternatives: Vec<Alternative>,
}

#[derive(Clone, PartialEq)]
struct Alternative {
    levels: Vec<Level>,
    directory: bool,
}

#[derive(Clone, PartialEq)]
enum Level {
    Literal(Vec<u8>),
    Name(NamePattern),
    /// Alternatives behind `**`, so that one walk serves them all.
    OneOf(Vec<Level>),
    AnyDepth,
}

impl Level {
    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(own) => own == name,
            Self::Name(pattern) => pattern.matches(name),
            Self::OneOf(levels) => levels.iter().any(|level| level.matches(name)),
            Self::AnyDepth => true,
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`GuestError::BadPattern`]: it is not absolute, longer than `PATH_MAX`, holds `.` or `..`,
    /// stands for more than 1024 alternatives, or one of its names is no pattern.
    pub fn parse(pattern: &str) -> Result<Self, GuestError> {
        let bad = |problem| GuestError::BadPattern { pattern: pattern.to_owned(), problem };
        if pattern.len() > MAX_PATTERN {
            return Err(bad(format!("longer than {MAX_PATTERN} bytes")));
        }
        let mut alternatives: Vec<Alternative> = Vec::new();
        for text in expand(pattern.as_bytes()).map_err(bad)? {
            let alternative = Alternative::parse(&text).map_err(bad)?;
            if !alternatives.last_mut().is_some_and(|last| last.take_in(&alternative)) {
                alternatives.push(alternative);
            }
        }
        Ok(Self { text: pattern.to_owned(), alternatives })
    }

    /// Whether the pattern matches a path by its names alone. A pattern that ends in a slash
    /// matches as if it did not.
    pub fn matches(&self, path: &GuestPath) -> bool {
        let names: Vec<&[u8]> = path.names().collect();
        self.alternatives.iter().any(|alternative| alternative.matches(&names))
    }
}

impl std::str::FromStr for Pattern {
    type Err = GuestError;

    fn from_str(pattern: &str) -> Result<Self, GuestError> {
        Self::parse(pattern)
    }
}

impl Alternative {
    fn parse(pattern: &[u8]) -> Result<Self, String> {
        let rest = pattern.strip_prefix(b"/").ok_or("not an absolute path")?;
        let mut levels = Vec::new();
        for name in rest.split(|&byte| byte == b'/') {
            match name {
                b"" => {}
                b"." | b".." => return Err("'.' or '..' as a name".into()),
                b"**" => {
                    if !matches!(levels.last(), Some(Level::AnyDepth)) {
                        levels.push(Level::AnyDepth);
                    }
                }
                name if !name.iter().any(|byte| b"\\*?[\0".contains(byte)) => {
                    levels.push(Level::Literal(name.to_vec()));
                }
                name => {
                    let name = NamePattern::parse(name)?;
                    levels.push(match name.literal() {
                        Some(name) => Level::Literal(name),
                        None => Level::Name(name),
                    });
                }
            }
        }
        Ok(Self { levels, directory: rest.ends_with(b"/") })
    }

    /// Takes in another one that differs in its last name only, behind `**`; tells whether it did.
    fn take_in(&mut self, other: &Self) -> bool {
        let [other_front @ .., Level::AnyDepth, other_last] = other.levels.as_slice() else {
            return false;
        };
        let [front @ .., Level::AnyDepth, last] = self.levels.as_mut_slice() else { return false };
        if front != other_front || self.directory != other.directory {
            return false;
        }
        if !matches!(last, Level::OneOf(_)) {
            *last = Level::OneOf(vec![last.clone()]);
        }
        if let Level::OneOf(levels) = last {
            levels.push(other_last.clone());
        }
        true
    }

    fn matches(&self, names: &[&[u8]]) -> bool {
        // Which levels may come next, after each name: at most one bit a level, so the work is
        // names times levels.
        let count = self.levels.len();
        let mut at = vec![false; count + 1];
        at[0] = true;
        for name in names {
            let mut next = vec![false; count + 1];
            for level in 0..=count {
                if !at[level] {
                    continue;
                }
                match self.levels.get(level) {
                    Some(Level::AnyDepth) => {
                        if level + 1 == count {
                            // Everything below, but not the directory itself.
                            return true;
                        }
                        next[level] = true;
                        at[level + 1] = true;
                    }
                    Some(one) => next[level + 1] |= one.matches(name),
                    None => {}
                }
            }
            at = next;
        }
        at[count]
    }
}

/// Writes out the `{a,b}` of a pattern, nested ones too.
fn expand(pattern: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_vec()];
    while let Some(text) = open.pop() {
        let Some((start, commas, end)) = first_braces(&text)? else {
            done.push(text);
            continue;
        };
        let mut from = start + 1;
        let mut choices = Vec::new();
        for &to in commas.iter().chain([&end]) {
            choices.push([&text[..start], &text[from..to], &text[end + 1..]].concat());
            from = to + 1;
        }
        open.extend(choices.into_iter().rev());
        if open.len() + done.len() > MAX_ALTERNATIVES {
            return Err(format!("it stands for more than {MAX_ALTERNATIVES} alternatives"));
        }
    }
    Ok(done)
}

/// The first outermost braces: where they open, their own commas, where they close.
fn first_braces(text: &[u8]) -> Result<Option<(usize, Vec<usize>, usize)>, String> {
    let mut start = None;
    let mut depth = 0u32;
    let mut commas = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'{' => {
                depth += 1;
                start = start.or(Some(at));
            }
            b',' if depth == 1 => commas.push(at),
            b'}' => match (depth, start) {
                (1, Some(start)) => return Ok(Some((start, commas, at))),
                (0, _) | (_, None) => return Err("a '}' without its '{'".into()),
                _ => depth -= 1,
            },
            _ => {}
        }
        at += 1;
    }
    if start.is_some() { Err("a '{' without its '}'".into()) } else { Ok(None) }
}

/// How many names the paths of what a search finds may have in all: a directory thousands of
/// levels deep with a million entries must not fill the memory. No guest has as many files that a
/// pattern of the catalogue could match.
const MAX_FOUND: usize = 2_000_000;

/// What a search has still to do: match the levels from `level` on in a directory.
struct Task {
    level: usize,
    dir: Place,
}

struct Search<'a> {
    tree: &'a Tree,
    alternative: &'a Alternative,
    tasks: Vec<Task>,
    /// For each level that is `**`, what was walked for it.
    walked: HashMap<usize, Seen>,
    /// How many more names may be found.
    room: &'a mut usize,
    found: &'a mut Found,
}

impl Tree {
    /// Everything that a pattern matches, sorted by path. As in glob(3), symlinks that a name of
    /// the pattern matches are followed on the way and not at the end, and what cannot be read is
    /// passed over; here it is listed beside. `**` follows no symlink.
    ///
    /// What shows at several paths is found once.
    pub fn search(&self, pattern: &Pattern) -> Found {
        self.search_below(&self.place(GuestPath::root(), self.root_spot()), pattern)
    }

    /// The same with a directory for the root that the pattern begins with.
    pub fn search_below(&self, top: &Place, pattern: &Pattern) -> Found {
        let mut found = Found::default();
        let mut room = MAX_FOUND;
        for alternative in &pattern.alternatives {
            let (tasks, walked) = (Vec::new(), HashMap::new());
            let (room, found) = (&mut room, &mut found);
            Search { tree: self, alternative, tasks, walked, room, found }.run(top);
        }
        found.places.sort_by(|a, b| a.path.cmp(&b.path));
        let mut seen = HashSet::new();
        found.places.retain(|place| seen.insert((place.volume.clone(), place.fs_path.clone())));
        found.unread.sort_by(|a, b| a.path.cmp(&b.path));
        found.unread.dedup();
        found
    }

    /// Everything that a pattern matches, as [`search`](Self::search) finds it.
    ///
    /// # Errors
    /// The pattern is none, or a directory that had to be searched cannot be read.
    pub fn glob(&self, pattern: &str) -> Result<Vec<Place>, GuestError> {
        let found = self.search(&Pattern::parse(pattern)?);
        match found.unread.into_iter().next() {
            Some(unread) => Err(GuestError::Unread(unread)),
            None => Ok(found.places),
        }
    }
}

impl Search<'_> {
    fn run(mut self, top: &Place) {
        if self.alternative.levels.is_empty() {
            self.found.places.push(top.clone());
            return;
        }
        match self.literals(top) {
            Ok(Some(task)) => self.tasks.push(task),
            Ok(None) => return,
            // Once more, name by name, which tells the directory.
            Err(_) => self.tasks.push(Task { level: 0, dir: top.clone() }),
        }
        // Each directory is searched once for each level, whatever symlinks lead to it: that
        // bounds the work and ends every loop.
        let mut seen = HashSet::new();
        while let Some(task) = self.tasks.pop() {
            if !seen.insert((task.level, task.dir.mount, task.dir.node)) {
                continue;
            }
            match &self.alternative.levels[task.level] {
                Level::Literal(name) => self.literal(&task, name),
                Level::AnyDepth => self.any_depth(&task),
                level => self.scan(&task, &mut |name| level.matches(name)),
            }
        }
    }

    /// What is left to do in the directory that the literal names in front lead to; the last level is
    /// never among them. `None` where they lead to none.
    fn literals(&self, top: &Place) -> Result<Option<Task>, GuestError> {
        let mut path = top.path.clone();
        let mut level = 0;
        while let Some(Level::Literal(name)) = self.alternative.levels.get(level)
            && !self.is_last(level)
        {
            path.push(name);
            level += 1;
        }
        if level == 0 {
            return Ok(Some(Task { level, dir: top.clone() }));
        }
        let reached = self.tree.reached(&path, true)?.filter(|it| it.kind() == Kind::Directory);
        Ok(reached.map(|it| Task { level, dir: self.tree.place_of(it) }))
    }

    fn is_last(&self, level: usize) -> bool {
        level + 1 == self.alternative.levels.len()
    }

    fn unread(&mut self, path: &GuestPath, error: GuestError) {
        match error {
            GuestError::Fs { path, source } => note_unread(&mut self.found.unread, path, source),
            other => note_unread(&mut self.found.unread, path.clone(), other),
        }
    }

    fn literal(&mut self, task: &Task, name: &[u8]) {
        match self.tree.child(&task.dir, name) {
            Ok(Some((place, kind))) => self.matched(task.level, place, kind),
            Ok(None) => {}
            Err(error) => self.unread(&task.dir.path, error),
        }
    }

    fn scan(&mut self, task: &Task, matches: &mut dyn FnMut(&[u8]) -> bool) {
        let mut matched = Vec::new();
        let mut full = false;
        let room = &mut *self.room;
        let read = self.tree.entries(&task.dir, &mut |entry| {
            if matches(entry.name) {
                match room.checked_sub(entry.dir.depth() + 1) {
                    Some(rest) => *room = rest,
                    None => {
                        full = true;
                        return ControlFlow::Break(());
                    }
                }
                matched.push((entry.place(), entry.kind));
            }
            ControlFlow::Continue(())
        });
        if full {
            self.full(&task.dir.path);
        }
        if let Err(error) = read {
            self.unread(&task.dir.path, error);
        }
        for (place, kind) in matched {
            self.matched(task.level, place, kind);
        }
    }

    /// Walks what is below a directory, and matches the level after the `**` on the way.
    fn any_depth(&mut self, task: &Task) {
        let tree = self.tree;
        let wanted = self.alternative.levels.get(task.level + 1);
        let (last, directory) = (wanted.is_none(), self.alternative.directory);
        let mut seen = self.walked.remove(&task.level).unwrap_or_default();
        // What is seen again was searched when it was seen first.
        let mut again = Vec::new();
        let mut matched = Vec::new();
        let room = &mut *self.room;
        let walk = tree.walk_unseen(&task.dir, &mut seen, &mut again, &mut |entry| {
            let matches = match wanted {
                None => !directory || entry.kind == Kind::Directory,
                Some(level) => level.matches(entry.name),
            };
            if matches {
                match room.checked_sub(entry.dir.depth() + 1) {
                    Some(rest) => *room = rest,
                    None => return Walk::Stop,
                }
                matched.push((entry.place(), entry.kind));
            }
            Walk::Into
        });
        self.walked.insert(task.level, seen);
        match walk {
            Ok(walked) => {
                for unread in walked.unread {
                    note_unread(&mut self.found.unread, unread.path, unread.why);
                }
                if walked.stopped {
                    self.full(&task.dir.path);
                }
            }
            Err(error) => self.unread(&task.dir.path, error),
        }
        if last {
            self.found.places.extend(matched.into_iter().map(|(place, _)| place));
            return;
        }
        for (place, kind) in matched {
            self.matched(task.level + 1, place, kind);
        }
    }

    fn full(&mut self, path: &GuestPath) {
        note_unread(&mut self.found.unread, path.clone(), "too many matches; the rest is left out");
    }

    /// A name of the pattern matched: the last one is found, any other is gone into.
    fn matched(&mut self, level: usize, place: Place, kind: Kind) {
        if self.is_last(level) {
            if kind == Kind::Directory || !self.alternative.directory {
                self.found.places.push(place);
            }
            return;
        }
        let next = |dir| Task { level: level + 1, dir };
        match kind {
            Kind::Directory => self.tasks.push(next(place)),
            Kind::Symlink => match self.tree.follow(&place.path) {
                Ok(Some(target)) => match target.stat() {
                    Ok(stat) if stat.kind == Kind::Directory => self.tasks.push(next(target)),
                    Ok(_) => {}
                    Err(error) => note_unread(&mut self.found.unread, target.path, error),
                },
                Ok(None) => {}
                Err(error) => self.unread(&place.path, error),
            },
            _ => {}
        }
    }
}
