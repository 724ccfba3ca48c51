//! What `systemctl is-enabled` says of a unit, worked out as systemctl does it without a running
//! systemd (systemd's `shared/install.c`, versions 252 to 257).

use std::collections::BTreeMap;
use std::fmt;

use super::name::{Form, Name, expand_as};
use super::search_path::{self, CONFIG, SearchPath, destination};
use super::store::Store;
use super::unit_file::Settings;
use crate::fs::Kind;
use crate::guest::GuestError;
use crate::path::GuestPath;

/// How many aliases are followed one after the other, as by systemctl.
const MAX_ALIASES: usize = 64;

/// The state of a unit's file, by systemctl's word for it. The states of what is made while a
/// system runs (`enabled-runtime`, `generated`, `transient` …) do not come from files of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitState {
    /// A `.wants` or `.requires` link, or a name of its own, is where `systemctl enable` puts it.
    Enabled,
    /// A symlink in the search path leads to its file outside.
    Linked,
    /// The name is a symlink to another unit.
    Alias,
    /// The file is empty, or leads to `/dev/null`: it cannot be started by anything.
    Masked,
    /// It has nothing to be enabled by, or a vendor's link to an instance.
    Static,
    /// Enabled under another name or instance, or only its `Also=` names something.
    Indirect,
    /// It could be enabled and is not.
    Disabled,
    /// It cannot be read, or is no valid unit file.
    Bad,
    /// There is no such unit.
    NotFound,
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Linked => "linked",
            Self::Alias => "alias",
            Self::Masked => "masked",
            Self::Static => "static",
            Self::Indirect => "indirect",
            Self::Disabled => "disabled",
            Self::Bad => "bad",
            Self::NotFound => "not-found",
        })
    }
}

/// Why a unit has no state of its own.
enum Lack {
    NotFound,
    Bad,
}

/// `Ok(Err(…))` is an answer about the unit, `Err(…)` a guest that cannot be read.
type Looked<T> = Result<Result<T, Lack>, GuestError>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Regular,
    Masked,
    Alias,
    Linked,
}

/// The `[Install]` section of a unit with its drop-ins.
#[derive(Default)]
pub(super) struct Install {
    pub(super) aliases: Vec<String>,
    pub(super) wanted_by: Vec<String>,
    pub(super) required_by: Vec<String>,
    pub(super) upheld_by: Vec<String>,
    pub(super) also: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    /// Takes the `[Install]` section of one file; `None` where systemctl refuses the file for it.
    fn add(&mut self, settings: &Settings, unit: &str) -> Option<()> {
        let name = Name::parse(unit)?;
        for setting in settings.iter().filter(|it| it.section == "Install") {
            let list = match setting.key {
                "Alias" if name.may_alias() => &mut self.aliases,
                "WantedBy" => &mut self.wanted_by,
                "RequiredBy" => &mut self.required_by,
                "UpheldBy" => &mut self.upheld_by,
                "Also" => {
                    for word in setting.value.split_ascii_whitespace() {
                        let Some(other) = self.expand(word, unit) else { continue };
                        Name::parse(&other)?;
                        self.also.push(other);
                    }
                    continue;
                }
                "DefaultInstance" => {
                    if name.form() != Form::Template {
                        continue;
                    }
                    self.default_instance =
                        self.expand(setting.value, unit).filter(|it| !it.is_empty());
                    if let Some(instance) = &self.default_instance {
                        name.with_instance(instance)?;
                    }
                    continue;
                }
                _ => continue,
            };
            if setting.value.is_empty() {
                list.clear();
            }
            list.extend(super::unit_file::words(setting.value));
        }
        Some(())
    }

    /// A name in an `[Install]` section; `None` where the unit's own does not tell it.
    pub(super) fn expand(&self, word: &str, unit: &str) -> Option<String> {
        let name = Name::parse(unit)?;
        let default = self.default_instance.as_deref().unwrap_or_default();
        expand_as(word, unit, Some(name.instance.filter(|it| !it.is_empty()).unwrap_or(default)))
    }

    fn has_rules(&self) -> bool {
        let lists = [&self.aliases, &self.wanted_by, &self.required_by, &self.upheld_by];
        lists.iter().any(|list| !list.is_empty())
    }
}

/// A unit file as systemctl finds it for a name.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) path: GuestPath,
    pub(super) install: Install,
    mode: Option<Mode>,
    target: GuestPath,
}

impl Found {
    fn new(name: String) -> Self {
        Self {
            name,
            path: GuestPath::root(),
            install: Install::default(),
            mode: None,
            target: GuestPath::root(),
        }
    }

    pub(super) fn masked(&self) -> bool {
        self.mode == Some(Mode::Masked)
    }
}

/// The state of a name.
pub(super) fn state(
    store: &Store<'_>,
    search: &SearchPath,
    name: &str,
) -> Result<UnitState, GuestError> {
    let found = match discover(store, search, name)? {
        Ok(found) => found,
        Err(Lack::NotFound) => return Ok(UnitState::NotFound),
        Err(Lack::Bad) => return Ok(UnitState::Bad),
    };
    let form = Name::parse(&found.name).map(|it| it.form());
    Ok(if found.mode == Some(Mode::Masked) {
        UnitState::Masked
    } else if found.path.name() != Some(name.as_bytes()) && form != Some(Form::Instance) {
        UnitState::Alias
    } else if let Some(state) = linked(search, &found, true) {
        state
    } else if linked(search, &found, false).is_some() {
        UnitState::Indirect
    } else if found.install.has_rules() {
        UnitState::Disabled
    } else if !found.install.also.is_empty() {
        UnitState::Indirect
    } else {
        UnitState::Static
    })
}

/// The unit that a name stands for, aliases and links followed; `None` where there is none that
/// systemctl would work on.
pub(super) fn find(
    store: &Store<'_>,
    search: &SearchPath,
    name: &str,
) -> Result<Option<Found>, GuestError> {
    Ok(discover(store, search, name)?.ok())
}

fn discover(store: &Store<'_>, search: &SearchPath, name: &str) -> Looked<Found> {
    if Name::parse(name).is_none() {
        return Ok(Err(Lack::Bad));
    }
    let mut found = Found::new(name.into());
    if let Err(lack) = look_up(store, search, &mut found)? {
        return Ok(Err(lack));
    }
    let mut seen = vec![found.name.clone()];
    for _ in 0..MAX_ALIASES {
        match found.mode {
            Some(Mode::Regular | Mode::Masked) => return Ok(Ok(found)),
            Some(Mode::Linked) => {
                if let Err(lack) = follow(store, search, &mut found)? {
                    return Ok(Err(lack));
                }
                continue;
            }
            _ => {}
        }
        let Some(target) = found.target.name().and_then(|it| std::str::from_utf8(it).ok()) else {
            return Ok(Err(Lack::Bad));
        };
        let mut next = target.to_owned();
        if let (Some(own), Some(other)) = (Name::parse(&found.name), Name::parse(target))
            && (own.form(), other.form()) == (Form::Instance, Form::Template)
        {
            let Some(instance) = other.with_instance(own.instance.unwrap_or_default()) else {
                return Ok(Err(Lack::Bad));
            };
            next = instance;
        }
        if next == found.name {
            if let Err(lack) = follow(store, search, &mut found)? {
                return Ok(Err(lack));
            }
            continue;
        }
        if seen.contains(&next) {
            return Ok(Err(Lack::Bad));
        }
        seen.push(next.clone());
        found = Found::new(next);
        if look_up(store, search, &mut found)?.is_err() {
            return Ok(Err(Lack::Bad));
        }
    }
    Ok(Err(Lack::Bad))
}

/// Goes on from a symlink to what it leads to, under the same name.
fn follow(store: &Store<'_>, search: &SearchPath, found: &mut Found) -> Looked<()> {
    let path = found.target.clone();
    load(store, search, found, &path)
}

/// Finds the file of a name, or of its template, in the search path, and its drop-ins.
fn look_up(store: &Store<'_>, search: &SearchPath, found: &mut Found) -> Looked<()> {
    let name = found.name.clone();
    let template =
        Name::parse(&name).filter(|it| it.form() == Form::Instance).and_then(|it| it.template());
    let names: Vec<&str> =
        [Some(name.as_str()), template.as_deref()].into_iter().flatten().collect();
    let mut there = false;
    'names: for name in &names {
        for dir in &search.dirs {
            let path = dir.path.join(name.as_bytes());
            match load(store, search, found, &path)? {
                Ok(()) => {
                    there = true;
                    break 'names;
                }
                Err(Lack::NotFound) => {}
                Err(Lack::Bad) => return Ok(Err(Lack::Bad)),
            }
        }
    }
    if !there {
        return Ok(Err(Lack::NotFound));
    }
    if found.mode == Some(Mode::Masked) {
        return Ok(Ok(()));
    }
    for path in drop_ins(store, search, names.iter().copied())? {
        if store.masks(&path)? {
            continue;
        }
        let settings = store.settings(&path)?;
        if settings.and_then(|it| found.install.add(&it, &name)).is_none() {
            return Ok(Err(Lack::Bad));
        }
    }
    Ok(Ok(()))
}

/// Reads what is at a path for a unit: a file, a mask, or a symlink with where it leads.
fn load(store: &Store<'_>, search: &SearchPath, found: &mut Found, path: &GuestPath) -> Looked<()> {
    let Some(name) = Name::parse(&found.name) else { return Ok(Err(Lack::Bad)) };
    if name.instance.is_some() && !name.may_template() {
        return Ok(Err(Lack::Bad));
    }
    let Some(state) = store.files.locate(path)? else { return Ok(Err(Lack::NotFound)) };
    match state.kind {
        Kind::File if state.size == 0 => found.mode = Some(Mode::Masked),
        Kind::CharDevice | Kind::BlockDevice => found.mode = Some(Mode::Masked),
        Kind::File => {
            let settings = store.settings(path)?;
            if settings.and_then(|it| found.install.add(&it, &found.name)).is_none() {
                return Ok(Err(Lack::Bad));
            }
            found.mode = Some(Mode::Regular);
        }
        Kind::Symlink => {
            let target = store.files.link_target(path)?.unwrap_or_default();
            let target = destination(store.files, path, &target)?;
            let inside = search.written.iter().any(|dir| target.starts_with(dir) && target != *dir);
            if inside && !alias_is_valid(path, &target) {
                return Ok(Err(Lack::Bad));
            }
            found.mode = Some(if search_path::is_dev_null(&target) || empty(store, &target)? {
                Mode::Masked
            } else if inside {
                Mode::Alias
            } else {
                Mode::Linked
            });
            found.target = target;
        }
        _ => return Ok(Err(Lack::Bad)),
    }
    found.path = path.clone();
    Ok(Ok(()))
}

fn empty(store: &Store<'_>, path: &GuestPath) -> Result<bool, GuestError> {
    Ok(store.files.follow(path)?.is_some_and(|it| match it.kind {
        Kind::File => it.size == 0,
        kind => matches!(kind, Kind::CharDevice | Kind::BlockDevice),
    }))
}

/// Whether a symlink in the search path may give a unit another name.
pub(super) fn alias_is_valid(link: &GuestPath, target: &GuestPath) -> bool {
    let text = |path: &GuestPath| {
        path.name().and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default().to_owned()
    };
    let (link, target) = (text(link), text(target));
    let (Some(own), Some(other)) = (Name::parse(&link), Name::parse(&target)) else { return false };
    let forms = (own.form(), other.form());
    own.may_alias()
        && (own.form() == Form::Plain || own.may_template())
        && link != target
        && (forms.0 == forms.1 || forms == (Form::Instance, Form::Template))
        && (forms.1 != Form::Instance || own.instance == other.instance)
        && own.kind == other.kind
}

/// The drop-ins of units of these names, in the order in which they hold: by the file's name, and of
/// one name that of the first directory.
pub(super) fn drop_ins<'n>(
    store: &Store<'_>,
    search: &SearchPath,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<GuestPath>, GuestError> {
    let mut files: BTreeMap<Vec<u8>, GuestPath> = BTreeMap::new();
    let mut beside = String::new();
    for name in names {
        beside.clear();
        beside.extend([name, ".d"]);
        for dir in search.beside(&beside) {
            for (name, kind) in store.names(&dir)? {
                if name.ends_with(b".conf") && kind != Kind::Directory && !name.starts_with(b".") {
                    let path = dir.join(&name);
                    files.entry(name).or_insert(path);
                }
            }
        }
    }
    Ok(files.into_values().collect())
}

/// The state that symlinks in the search path give a unit; by `known` names alone, or any.
fn linked(search: &SearchPath, found: &Found, known: bool) -> Option<UnitState> {
    let (mut at_all, mut same_in_config, mut below) = (false, false, false);
    for dir in &search.dirs {
        let is_config = dir.path.to_bytes() == CONFIG.as_bytes();
        let (linked, same) = linked_in(dir, found, known, below);
        if linked {
            if is_config {
                return Some(UnitState::Enabled);
            }
            at_all = true;
        } else if same && is_config {
            same_in_config = true;
        }
        below |= found.path.starts_with(&dir.path);
    }
    if at_all && Name::parse(&found.name).is_some_and(|it| it.form() == Form::Instance) {
        return Some(UnitState::Static);
    }
    same_in_config.then_some(UnitState::Linked)
}

/// Whether a directory has a symlink that enables a unit; whether it has one of the unit's own
/// name. `below`: the directory comes after the one that holds the unit's file.
fn linked_in(dir: &search_path::Dir, found: &Found, known: bool, below: bool) -> (bool, bool) {
    let own = found.name.as_str();
    let of_own = |name: &str| {
        name == own || Name::parse(name).and_then(|it| it.template()).is_some_and(|it| it == own)
    };
    let links_own = |name: &str| dir.links.get(name).is_some_and(|target| target == own);
    let same = !below && links_own(own);
    if known {
        let instance = found.install.default_instance.as_deref().and_then(|instance| {
            Name::parse(own).filter(|it| it.form() == Form::Template)?.with_instance(instance)
        });
        let others = found.install.aliases.iter().map(String::as_str).chain(instance.as_deref());
        for name in others.chain([own]) {
            if dir.enabled.contains(name) && of_own(name) {
                return (true, false);
            }
            let named_own = !below && name == own && dir.links.contains_key(own);
            if links_own(name) != named_own {
                return (true, false);
            }
        }
    } else {
        let elsewhere = dir.linked_as.get(own);
        if dir.enabled.contains(own)
            || dir.enabled_templates.contains(own)
            || elsewhere.is_some_and(|names| names.iter().any(|name| below || name != own))
            || (!below && dir.links.contains_key(own) && !links_own(own))
        {
            return (true, false);
        }
    }
    (false, same)
}
