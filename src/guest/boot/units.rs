//! A guest's systemd units: their states, their settings, and what systemd would load for a name.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::generated::{self, Generated, Made};
use super::name::{Form, Name, expand};
use super::preset::{self, Enabling, Presets};
use super::search_path::{BINDING, SearchPath, destination};
use super::state::{self, UnitState, alias_is_valid, drop_ins};
use super::store::{Store, UnitFiles};
use super::unit_file::Settings;
use crate::fs::Kind;
use crate::guest::{Files, GuestError};
use crate::path::GuestPath;

/// How many aliases systemd follows one after the other when it loads a unit.
const MAX_ALIASES: usize = 8;

/// How many units are loaded, instances among them: real guests have some hundred.
const MAX_LOADED: usize = 10_000;

/// How much memory the settings of loaded units take, in bytes; each instance of a template has
/// them of its own.
const MAX_SETTINGS: u64 = 32 << 20;

/// How many other names of a unit are followed; runlevel targets have three.
const MAX_NAMES: usize = 100;

/// How many names the patterns of all `ConditionPathExistsGlob=` look at.
const MAX_GLOBBED: usize = 50_000;

/// The systemd units of a guest, read from its files alone.
///
/// Read lazily, each file once; what a booted system has beyond its files (units that udev rules,
/// D-Bus or the kernel's command line ask for) is not known here.
pub struct Units<'a> {
    pub(super) store: Store<'a>,
    pub(super) search: SearchPath,
    map: RefCell<Option<Rc<Map>>>,
    loaded: RefCell<BTreeMap<String, Rc<Unit>>>,
    settings_left: Cell<u64>,
    /// How many more names patterns in conditions look at, all of them together.
    pub(super) glob_left: Cell<usize>,
}

/// A unit as systemd would load it.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its main name, aliases followed.
    pub name: String,
    /// Its other names.
    pub aliases: BTreeSet<String>,
    /// Its file; for what a generator makes, the file that it makes it from.
    pub fragment: GuestPath,
    /// Whether a generator makes it at boot (from `/etc/fstab`, or from a SysV script).
    pub generated: bool,
    /// Its drop-ins, in the order in which they hold.
    pub drop_ins: Vec<GuestPath>,
    /// The settings of all of them.
    pub settings: Settings,
    /// The units that links in its `.wants` and `.upholds` directories pull in.
    pub wants: Vec<String>,
    /// The same of its `.requires` directories.
    pub requires: Vec<String>,
}

/// What systemd finds for a name.
#[derive(Debug)]
pub enum Loaded {
    /// A unit.
    Unit(Rc<Unit>),
    /// The file that masks it.
    Masked(GuestPath),
    /// Its file, which systemd cannot take.
    Broken(GuestPath),
    /// Nothing.
    Missing,
}

/// Every name in the search path with what it stands for.
#[derive(Default)]
pub(super) struct Map {
    names: BTreeMap<String, Target>,
    /// For each main name, or template, the other names that lead to it.
    aliases: BTreeMap<String, Vec<String>>,
    generated: BTreeMap<String, Generated>,
    /// Links that are not there yet: generators make them at boot, presets at the first one.
    links: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
enum Target {
    File(GuestPath),
    Alias(String),
    Generated,
}

impl<'a> Units<'a> {
    /// Looks at what unit files a guest has.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn new(files: &'a dyn Files) -> Result<Self, GuestError> {
        Self::with(files, UnitFiles::default())
    }

    /// The same, with what was read of the image's files before.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn with(files: &'a dyn Files, known: UnitFiles) -> Result<Self, GuestError> {
        let store = Store::new(files, known);
        let search = SearchPath::read(&store)?;
        let settings_left = Cell::new(MAX_SETTINGS);
        let glob_left = Cell::new(MAX_GLOBBED);
        let (map, loaded) = Default::default();
        Ok(Self { store, search, map, loaded, settings_left, glob_left })
    }

    /// What `systemctl --root is-enabled` says of a unit: presets, generators and SysV scripts left
    /// out. A script without a unit of its own is [`UnitState::NotFound`].
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn state(&self, unit: &str) -> Result<UnitState, GuestError> {
        state::state(&self.store, &self.search, unit)
    }

    /// The names of all unit files, as `systemctl --root list-unit-files` lists them, sorted.
    pub fn all(&self) -> Vec<String> {
        let names: BTreeSet<&String> =
            self.search.dirs.iter().flat_map(|dir| dir.units.keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// What was not read or not understood so far, one line each.
    pub fn notes(&self) -> Vec<String> {
        self.store.notes()
    }

    /// Whether systemd takes the next boot for the first, and so applies presets: the machine id is
    /// not there, or says `uninitialized`. The kernel's command line can say otherwise.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn is_first_boot(&self) -> Result<bool, GuestError> {
        let path = GuestPath::root().join(b"etc").join(b"machine-id");
        Ok(match self.store.text(&path, 4096)? {
            Some(text) => text.trim_ascii_end() == b"uninitialized",
            None => self.store.files.follow(&path)?.is_none(),
        })
    }

    /// The generators of the guest that are not its systemd's: programs that may make more units
    /// and links at boot than its files show.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn other_generators(&self) -> Result<Vec<String>, GuestError> {
        generated::others(&self.store)
    }

    /// What the guest's preset files say.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn presets(&self) -> Result<Presets, GuestError> {
        Presets::read(&self.store)
    }

    /// What the first boot's presets would enable that is not enabled yet, whether or not the next
    /// boot is the first. Only what they add: a systemd built to apply them in full, as newer
    /// Fedoras have it, disables too.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn after_presets(&self) -> Result<Enabling, GuestError> {
        preset::enabling(&self.store, &self.search, &self.presets()?, &self.all())
    }

    /// The settings of a unit, drop-ins applied, as systemd loads it: aliases followed, templates
    /// for instances, and what generators make of `/etc/fstab` and of SysV scripts.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn unit(&self, name: &str) -> Result<Loaded, GuestError> {
        let map = self.map()?;
        let Some((id, target)) = map.resolve(name) else { return Ok(Loaded::Missing) };
        if let Some(unit) = self.loaded.borrow().get(&id) {
            return Ok(Loaded::Unit(unit.clone()));
        }
        let spent = self.settings_left.get() == 0;
        let (fragment, mut settings, generated) = match target {
            Target::File(path) if self.store.masks(&path)? => {
                return Ok(Loaded::Masked(path));
            }
            Target::File(path) => match self.store.settings(&path)? {
                Some(settings) => (path, Settings::clone(&settings), false),
                None => return Ok(Loaded::Broken(path)),
            },
            _ => match map.generated.get(&id) {
                Some(made) => (made.source.clone(), made.settings.clone(), true),
                None => return Ok(Loaded::Missing),
            },
        };
        if spent {
            return Ok(Loaded::Broken(fragment));
        }
        let aliases = map.aliases_of(&id);
        let names = sharing(&id, &aliases);
        let mut files = Vec::new();
        for path in drop_ins(&self.store, &self.search, names.iter().map(String::as_str))? {
            if self.store.masks(&path)? {
                continue;
            }
            if let Some(more) = self.store.settings(&path)? {
                settings.extend(&more);
                files.push(path);
            }
        }
        let left = self.settings_left.get().checked_sub(settings.size());
        let Some(left) = left.filter(|_| self.loaded.borrow().len() < MAX_LOADED) else {
            self.settings_left.set(0);
            self.store.note(&fragment, "not looked at: too many units");
            return Ok(Loaded::Broken(fragment));
        };
        self.settings_left.set(left);
        let [wants, requires, upholds] = BINDING;
        let mut wanted = self.bound(&map, &id, &names, wants)?;
        wanted.extend(self.bound(&map, &id, &names, upholds)?);
        let unit = Rc::new(Unit {
            requires: self.bound(&map, &id, &names, requires)?,
            wants: wanted,
            name: id.clone(),
            aliases,
            fragment,
            generated,
            drop_ins: files,
            settings,
        });
        self.loaded.borrow_mut().insert(id, unit.clone());
        Ok(Loaded::Unit(unit))
    }

    /// The names of the links in the `.wants` directories, or those of another suffix, of a unit.
    fn bound(
        &self,
        map: &Map,
        id: &str,
        names: &[String],
        suffix: &str,
    ) -> Result<Vec<String>, GuestError> {
        let mut links: BTreeMap<String, bool> = BTreeMap::new();
        let mut generated: Vec<&BTreeSet<String>> = Vec::new();
        let mut beside = String::new();
        for name in names {
            beside.clear();
            beside.extend([name, suffix]);
            generated.extend(map.links.get(&beside));
            for path in self.search.beside(&beside) {
                for (bytes, kind) in self.store.names(&path)? {
                    let Ok(name) = std::str::from_utf8(&bytes) else { continue };
                    if Name::parse(name).is_none() || links.contains_key(name) {
                        continue;
                    }
                    let holds = kind == Kind::Symlink && !self.store.masks(&path.join(&bytes))?;
                    links.insert(name.into(), holds);
                }
            }
        }
        for unit in generated.into_iter().flatten() {
            links.entry(unit.clone()).or_insert(true);
        }
        let prefix = Name::parse(id).map(|it| it.instance.unwrap_or(it.prefix));
        Ok(links
            .into_iter()
            .filter(|(_, holds)| *holds)
            .filter_map(|(name, _)| instantiated(&name, prefix))
            .collect())
    }

    /// Every name with what it stands for, read once.
    pub(super) fn map(&self) -> Result<Rc<Map>, GuestError> {
        if let Some(map) = &*self.map.borrow() {
            return Ok(map.clone());
        }
        let map = Rc::new(self.read_map()?);
        *self.map.borrow_mut() = Some(map.clone());
        Ok(map)
    }

    fn read_map(&self) -> Result<Map, GuestError> {
        let mut map = Map::default();
        let mut made = Some(generated::from_fstab(&self.store)?);
        for dir in &self.search.dirs {
            // What a generator makes comes after /etc, and before what packages install.
            if !dir.path.starts_with(&GuestPath::root().join(b"etc"))
                && let Some(made) = made.take()
            {
                map.add_generated(made);
            }
            for (name, kind) in &dir.units {
                if map.names.contains_key(name) {
                    continue;
                }
                let path = dir.path.join(name.as_bytes());
                let target = match kind {
                    Kind::Symlink => {
                        let target = self.store.files.link_target(&path)?.unwrap_or_default();
                        let target = destination(self.store.files, &path, &target)?;
                        let inside = self.search.expanded.iter().any(|dir| target.starts_with(dir));
                        match target.name().and_then(|it| std::str::from_utf8(it).ok()) {
                            Some(last) if inside && alias_is_valid(&path, &target) => {
                                Target::Alias(last.into())
                            }
                            // systemd goes on to the next directory as if nothing were there.
                            _ if inside => continue,
                            _ => Target::File(path),
                        }
                    }
                    _ => Target::File(path),
                };
                map.names.insert(name.clone(), target);
            }
        }
        map.add_generated(made.unwrap_or_default());
        map.add_generated(generated::from_rc_local(&self.store)?);
        if self.is_first_boot()? {
            let presets = self.after_presets()?;
            map.add_links(presets.links);
            for (alias, unit) in presets.aliases {
                map.names.entry(alias).or_insert(Target::Alias(unit));
            }
        }
        let late = generated::from_sysv(&self.store, |name| map.resolve(name).is_some())?;
        map.add_generated(late);
        let names: Vec<String> = map.names.keys().cloned().collect();
        for name in names {
            if let Some((id, _)) = map.resolve(&name)
                && id != name
            {
                map.aliases.entry(id).or_default().push(name);
            }
        }
        Ok(map)
    }
}

impl Map {
    fn add_links(&mut self, links: BTreeSet<(String, String)>) {
        for (dir, unit) in links {
            self.links.entry(dir).or_default().insert(unit);
        }
    }

    fn add_generated(&mut self, made: Made) {
        self.add_links(made.links);
        for unit in made.units {
            self.names.entry(unit.name.clone()).or_insert(Target::Generated);
            self.generated.entry(unit.name.clone()).or_insert(unit);
        }
    }

    /// The main name of a unit and what it stands for.
    fn resolve(&self, name: &str) -> Option<(String, Target)> {
        let mut name = name.to_owned();
        for _ in 0..MAX_ALIASES {
            let parsed = Name::parse(&name)?;
            let target = match self.names.get(&name) {
                Some(target) => target,
                None => self.names.get(&parsed.template()?)?,
            };
            let Target::Alias(next) = target else { return Some((name, target.clone())) };
            let other = Name::parse(next)?;
            let next = match (parsed.instance, other.form()) {
                (Some(instance), Form::Template) if !instance.is_empty() => {
                    other.with_instance(instance)?
                }
                _ => next.clone(),
            };
            if next == name {
                // An instance that is a link to its own template.
                let template = self.names.get(&parsed.template()?)?;
                return Some((name, template.clone()));
            }
            name = next;
        }
        None
    }

    fn aliases_of(&self, id: &str) -> BTreeSet<String> {
        let mut aliases: BTreeSet<String> =
            self.aliases.get(id).into_iter().flatten().take(MAX_NAMES).cloned().collect();
        if let Some(name) = Name::parse(id).filter(|it| it.form() == Form::Instance) {
            let instance = name.instance.unwrap_or_default();
            let template = name.template().unwrap_or_default();
            for alias in self.aliases.get(&template).into_iter().flatten().take(MAX_NAMES) {
                aliases.extend(Name::parse(alias).and_then(|it| it.with_instance(instance)));
            }
        }
        aliases.remove(id);
        aliases
    }
}

/// A name in a dependency as the unit that has it means it: a template stands for its instance.
pub(super) fn instantiated(name: &str, instance: Option<&str>) -> Option<String> {
    let parsed = Name::parse(name)?;
    match parsed.form() {
        Form::Template => match instance.filter(|it| !it.is_empty()) {
            Some(instance) => parsed.with_instance(instance),
            None => Some(name.into()),
        },
        _ => Some(name.into()),
    }
}

/// The names whose directories (`NAME.d`, `NAME.wants` …) belong to a unit, in the order in which
/// they hold: its own and its aliases, each with its template and the shorter ones that it shares
/// with others, and its type.
fn sharing(id: &str, aliases: &BTreeSet<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in std::iter::once(id).chain(aliases.iter().map(String::as_str)) {
        // Each step is a shorter name of at most 255 bytes, and few have more than three dashes.
        let mut ahead = vec![name.to_owned()];
        while let Some(name) = ahead.pop() {
            if names.contains(&name) {
                continue;
            }
            if let Some(parsed) = Name::parse(&name) {
                ahead.extend(parsed.shortened());
                if parsed.form() == Form::Instance {
                    ahead.extend(parsed.template());
                }
            }
            names.push(name);
        }
    }
    names.extend(Name::parse(id).map(|it| it.kind.to_owned()));
    names
}

impl Unit {
    /// The value of a setting with specifiers filled in.
    pub(super) fn expanded(&self, value: &str) -> Option<String> {
        expand(value, &self.name)
    }
}
