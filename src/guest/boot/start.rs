//! Which units a boot starts: what the default target pulls in, and what that pulls in, and so on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::condition::{self, Condition};
use super::name::Name;
use super::preset::glob;
use super::units::{Loaded, Unit, Units, instantiated};
use crate::guest::{GuestError, NamePattern};
use crate::path::GuestPath;

/// What systemd boots into.
const DEFAULT: &str = "default.target";

/// How many units one boot reaches; real guests stay below a thousand.
const MAX_REACHED: usize = 10_000;

/// How many steps of a way are told, those next to the unit; real guests have some ten.
const MAX_WAY: usize = 32;

/// A unit that a boot comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its main name.
    pub unit: String,
    /// Its other names.
    pub aliases: BTreeSet<String>,
    /// What pulls it in, from `default.target` to the unit itself.
    pub way: Vec<String>,
    /// The socket, timer, path or automount unit that starts it when something happens, where
    /// nothing starts it at boot.
    pub on_demand: Option<String>,
    /// Its conditions, and those of what starts it on demand, that the files do not tell about.
    pub conditions: Vec<Condition>,
    /// Its conditions that do not hold: it is not started.
    pub failed: Vec<Condition>,
}

/// Why a unit is not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// No unit has such a name.
    Missing,
    /// A file masks it.
    Masked(GuestPath),
    /// systemd cannot take its file.
    Broken(GuestPath),
    /// Nothing that is started pulls it in.
    NotPulled,
    /// Conditions of it do not hold.
    Condition(Vec<Condition>),
    /// It requires a unit that cannot be started.
    Requires(String),
}

/// How one unit pulls in another.
struct Edge {
    unit: String,
    required: bool,
    /// Whether only something that happens later does.
    on_demand: bool,
}

/// What each unit pulls in.
type Edges = BTreeMap<String, Vec<Edge>>;

/// Everything that a boot comes to.
#[derive(Debug)]
pub struct Boot {
    reached: Vec<Reached>,
    /// Units that cannot start because of what they require, with that.
    broken: BTreeMap<String, String>,
}

impl Units<'_> {
    /// The unit that `default.target` stands for, or `rescue.target` where that cannot be loaded;
    /// `None` where neither can. What the kernel's command line says is not asked.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn default_target(&self) -> Result<Option<String>, GuestError> {
        for name in [DEFAULT, "rescue.target"] {
            if let Loaded::Unit(unit) = self.unit(name)? {
                return Ok(Some(unit.name.clone()));
            }
        }
        Ok(None)
    }

    /// Everything that the next boot comes to; presets that it applies are taken into account.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn boot(&self) -> Result<Boot, GuestError> {
        match self.default_target()? {
            Some(target) => self.started_with(&target),
            None => Ok(Boot { reached: Vec::new(), broken: BTreeMap::new() }),
        }
    }

    /// Everything that starting one unit comes to.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn started_with(&self, unit: &str) -> Result<Boot, GuestError> {
        let mut broken = BTreeMap::new();
        loop {
            let (reached, edges) = self.walk(unit, &broken)?;
            let more = self.unable(&edges, &broken)?;
            if more.is_empty() {
                return Ok(Boot { reached, broken });
            }
            // Without those, others may not be reached any more.
            broken.extend(more);
        }
    }

    /// The unit that the next boot starts whose name, or one of whose names, matches a pattern
    /// (`sshd-keygen@*.service`); where there are several, one that starts without being asked for,
    /// by the shortest way. `None` where none is started, for which [`Units::why_not`] has the
    /// reason.
    ///
    /// # Errors
    /// The guest cannot be read; the pattern is none.
    pub fn starts(&self, pattern: &str) -> Result<Option<Reached>, GuestError> {
        self.boot()?.starts(pattern)
    }

    /// Why the next boot does not start a unit.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn why_not(&self, boot: &Boot, unit: &str) -> Result<NotStarted, GuestError> {
        let id = match self.unit(unit)? {
            Loaded::Unit(unit) => unit.name.clone(),
            Loaded::Masked(path) => return Ok(NotStarted::Masked(path)),
            Loaded::Broken(path) => return Ok(NotStarted::Broken(path)),
            Loaded::Missing => return Ok(NotStarted::Missing),
        };
        if let Some(required) = boot.broken.get(&id) {
            return Ok(NotStarted::Requires(required.clone()));
        }
        Ok(match boot.reached.iter().find(|it| it.unit == id) {
            Some(found) if !found.failed.is_empty() => NotStarted::Condition(found.failed.clone()),
            _ => NotStarted::NotPulled,
        })
    }

    /// Every unit that is reached, nearest first, those on demand last, and all edges between them.
    fn walk(
        &self,
        from: &str,
        broken: &BTreeMap<String, String>,
    ) -> Result<(Vec<Reached>, Edges), GuestError> {
        let mut reached = Vec::new();
        let mut edges = BTreeMap::new();
        let mut came_from: BTreeMap<String, Option<(String, bool)>> = BTreeMap::new();
        let mut now: VecDeque<String> = VecDeque::new();
        let mut later: VecDeque<(String, String)> = VecDeque::new();
        if let Loaded::Unit(unit) = self.unit(from)? {
            came_from.insert(unit.name.clone(), None);
            now.push_back(unit.name.clone());
        }
        loop {
            let name = match now.pop_front() {
                Some(name) => name,
                None => {
                    let Some((name, by)) = later.pop_front() else { break };
                    if came_from.contains_key(&name) {
                        continue;
                    }
                    came_from.insert(name.clone(), Some((by, true)));
                    name
                }
            };
            let Loaded::Unit(unit) = self.unit(&name)? else { continue };
            if reached.len() == MAX_REACHED {
                self.store.note(&unit.fragment, "and others are not looked at: too many units");
                break;
            }
            let found = self.reached(&unit, &came_from)?;
            let own = self.edges(&unit)?;
            let is_open = found.failed.is_empty();
            for edge in &own {
                if broken.contains_key(&edge.unit) || (edge.on_demand && !is_open) {
                    continue;
                }
                if edge.on_demand {
                    later.push_back((edge.unit.clone(), name.clone()));
                } else if !came_from.contains_key(&edge.unit) {
                    came_from.insert(edge.unit.clone(), Some((name.clone(), false)));
                    now.push_back(edge.unit.clone());
                }
            }
            reached.push(found);
            edges.insert(name, own);
        }
        Ok((reached, edges))
    }

    fn reached(
        &self,
        unit: &Rc<Unit>,
        came_from: &BTreeMap<String, Option<(String, bool)>>,
    ) -> Result<Reached, GuestError> {
        let mut way = vec![unit.name.clone()];
        let mut on_demand = None;
        let mut here = unit.name.as_str();
        while let Some(Some((by, demand))) = came_from.get(here) {
            if *demand {
                on_demand.get_or_insert_with(|| by.clone());
            }
            // A chain of thousands would be kept once for each of its units.
            if way.len() < MAX_WAY {
                way.push(by.clone());
            }
            here = by;
        }
        if here.ends_with(".target")
            && here != DEFAULT
            && let Loaded::Unit(default) = self.unit(DEFAULT)?
            && default.name == here
        {
            way.push(DEFAULT.into());
        }
        way.reverse();
        let mut conditions = condition::of(self, unit)?;
        if let Some(by) = &on_demand
            && let Loaded::Unit(by) = self.unit(by)?
        {
            conditions.undecided.extend(condition::of(self, &by)?.undecided);
        }
        Ok(Reached {
            unit: unit.name.clone(),
            aliases: unit.aliases.clone(),
            way,
            on_demand,
            conditions: conditions.undecided,
            failed: conditions.failed,
        })
    }

    /// What a unit pulls in, by main names where they can be loaded.
    fn edges(&self, unit: &Unit) -> Result<Vec<Edge>, GuestError> {
        let Some(name) = Name::parse(&unit.name) else { return Ok(Vec::new()) };
        let settings = &unit.settings;
        let instance = Some(name.instance.unwrap_or(name.prefix));
        let mut edges = Vec::new();
        let mut add = |text: &str, required: bool, on_demand: bool| -> Result<(), GuestError> {
            let Some(text) = unit.expanded(text) else { return Ok(()) };
            let Some(other) = instantiated(&text, instance) else { return Ok(()) };
            let other = match self.unit(&other)? {
                Loaded::Unit(unit) => unit.name.clone(),
                _ => other,
            };
            edges.push(Edge { unit: other, required, on_demand });
            Ok(())
        };
        for key in ["Requires", "BindsTo", "BindTo"] {
            for other in settings.dependencies(key) {
                add(&other, true, false)?;
            }
        }
        for key in ["Wants", "Upholds"] {
            for other in settings.dependencies(key) {
                add(&other, false, false)?;
            }
        }
        for other in &unit.requires {
            add(other, true, false)?;
        }
        for other in &unit.wants {
            add(other, false, false)?;
        }
        let is_default = settings.flag("Unit", "DefaultDependencies") != Some(false);
        if is_default && matches!(name.kind, "service" | "socket" | "timer" | "path") {
            add("sysinit.target", true, false)?;
        }
        let own = |kind: &str| match name.instance {
            Some(instance) => format!("{}@{instance}.{kind}", name.prefix),
            None => format!("{}.{kind}", name.prefix),
        };
        match name.kind {
            "service" => {
                for socket in settings.words("Service", "Sockets") {
                    add(&socket, false, false)?;
                }
                // Without a type, a name on the bus makes it one of D-Bus.
                let named = settings.last("Service", "BusName").is_some_and(|it| !it.is_empty());
                let kind = settings.last("Service", "Type").filter(|it| !it.is_empty());
                if kind == Some("dbus") || (kind.is_none() && named) {
                    add("dbus.socket", true, false)?;
                }
            }
            "socket" => {
                let service = settings.last("Socket", "Service").filter(|it| !it.is_empty());
                if let Some(service) = service {
                    add(service, false, true)?;
                } else if settings.flag("Socket", "Accept") == Some(true) {
                    // One instance for each connection, named when it comes.
                    let template = format!("{}@.service", name.prefix);
                    edges.push(Edge { unit: template, required: false, on_demand: true });
                } else {
                    add(&own("service"), false, true)?;
                }
            }
            "timer" | "path" => {
                let section = if name.kind == "timer" { "Timer" } else { "Path" };
                let service = settings.last(section, "Unit").filter(|it| !it.is_empty());
                add(service.unwrap_or(&own("service")), false, true)?;
            }
            "automount" => add(&own("mount"), false, true)?,
            _ => {}
        }
        Ok(edges)
    }

    /// The units that cannot start, beside those known, because they require one that cannot.
    fn unable(
        &self,
        edges: &Edges,
        broken: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, GuestError> {
        let mut required_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (unit, own) in edges {
            for edge in own.iter().filter(|it| it.required) {
                required_by.entry(&edge.unit).or_default().push(unit);
            }
        }
        let mut ahead: Vec<String> = Vec::new();
        for name in required_by.keys() {
            if self.cannot_load(name)? {
                ahead.push((*name).to_owned());
            }
        }
        let mut unable = BTreeMap::new();
        while let Some(name) = ahead.pop() {
            for unit in required_by.get(name.as_str()).into_iter().flatten() {
                if !broken.contains_key(*unit) && !unable.contains_key(*unit) {
                    unable.insert((*unit).to_owned(), name.clone());
                    ahead.push((*unit).to_owned());
                }
            }
        }
        Ok(unable)
    }

    fn cannot_load(&self, name: &str) -> Result<bool, GuestError> {
        // Devices, slices and mount points of the kernel's own are there without files.
        let without_file = Name::parse(name)
            .is_none_or(|it| matches!(it.kind, "device" | "slice" | "scope" | "mount" | "swap"));
        Ok(match self.unit(name)? {
            Loaded::Unit(_) => false,
            Loaded::Missing => !without_file,
            Loaded::Masked(_) | Loaded::Broken(_) => true,
        })
    }
}

impl Boot {
    /// Every unit that is reached, nearest first, those on demand last; those whose conditions do
    /// not hold among them.
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// The first unit that is started whose name, or one of whose names, matches a pattern.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn starts(&self, pattern: &str) -> Result<Option<Reached>, GuestError> {
        let wanted = matching(pattern)?;
        Ok(self
            .reached
            .iter()
            .filter(|it| it.failed.is_empty())
            .find(|it| {
                std::iter::once(&it.unit)
                    .chain(&it.aliases)
                    .any(|name| wanted.matches(name.as_bytes()))
            })
            .cloned())
    }

    /// The units that are reached but cannot start because of one that they require, with that one.
    pub fn unable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.broken.iter().map(|(unit, required)| (unit.as_str(), required.as_str()))
    }
}

fn matching(pattern: &str) -> Result<NamePattern, GuestError> {
    glob(pattern).ok_or_else(|| GuestError::BadPattern {
        pattern: pattern.into(),
        problem: "it is no pattern for a unit's name".into(),
    })
}
