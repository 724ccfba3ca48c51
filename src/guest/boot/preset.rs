//! Presets (systemd.preset(5)): what systemd enables by itself at a first boot.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{Form, Name};
use super::search_path::{CONFIG, SearchPath};
use super::state;
use super::store::Store;
use crate::guest::{GuestError, NamePattern};
use crate::path::GuestPath;

/// Where preset files are, the first first.
const DIRS: [&str; 4] = [
    "/etc/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
    "/lib/systemd/system-preset",
];

/// The longest preset file.
const MAX_FILE: u64 = 1 << 20;

/// How many rules are read; distributions have some hundred.
const MAX_RULES: usize = 10_000;

/// How many times a unit is held against a rule.
const MAX_MATCHES: usize = 20_000_000;

/// What presets say of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preset {
    /// It is enabled; for a template, these instances of it, where the rule names some.
    Enable(Vec<String>),
    /// It is left disabled.
    Disable,
    /// It is left as it is.
    Ignore,
}

/// The rules of all preset files.
#[derive(Clone, Debug, Default)]
pub struct Presets {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    template: Option<String>,
    pattern: NamePattern,
    preset: Preset,
}

/// What presets enable, as the links that `systemctl preset-all` would make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enabling {
    /// The directory of each link below `/etc/systemd/system`, such as `multi-user.target.wants`,
    /// and the unit.
    pub links: BTreeSet<(String, String)>,
    /// Each new name, and the unit that it leads to.
    pub aliases: BTreeMap<String, String>,
}

impl Presets {
    pub(super) fn read(store: &Store<'_>) -> Result<Self, GuestError> {
        let mut files: BTreeMap<Vec<u8>, GuestPath> = BTreeMap::new();
        for dir in DIRS {
            let Ok(dir) = GuestPath::from_bytes(dir.as_bytes()) else { continue };
            for (name, _) in store.names(&dir)? {
                if name.ends_with(b".preset") && !name.starts_with(b".") {
                    let path = dir.join(&name);
                    files.entry(name).or_insert(path);
                }
            }
        }
        let mut presets = Self::default();
        for path in files.values() {
            let Some(text) = store.text(path, MAX_FILE)? else { continue };
            for line in text.split(|&byte| byte == b'\n') {
                let Some(rule) = std::str::from_utf8(line).ok().and_then(rule) else { continue };
                if presets.rules.len() == MAX_RULES {
                    store.note(path, "its last rules are not looked at: too many");
                    return Ok(presets);
                }
                presets.rules.push(rule);
            }
        }
        Ok(presets)
    }

    /// What they say of a unit: the first rule that matches; where none does, it is enabled.
    pub fn of(&self, unit: &str) -> Preset {
        let name = Name::parse(unit);
        for rule in &self.rules {
            if let (Some(template), Preset::Enable(instances), Some(name)) =
                (&rule.template, &rule.preset, name)
                && !instances.is_empty()
                && name.template().as_ref() == Some(template)
            {
                if name.form() == Form::Template {
                    let units = instances.iter().filter_map(|it| name.with_instance(it));
                    return Preset::Enable(units.collect());
                }
                if instances.iter().any(|it| Some(it.as_str()) == name.instance) {
                    return Preset::Enable(Vec::new());
                }
            }
            if rule.pattern.matches(unit.as_bytes()) {
                return match &rule.preset {
                    Preset::Enable(_) => Preset::Enable(Vec::new()),
                    other => other.clone(),
                };
            }
        }
        Preset::Enable(Vec::new())
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim_ascii();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (verb, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_ascii_start();
    let (pattern, template, preset) = match verb {
        "enable" => {
            let mut words = rest.split_ascii_whitespace();
            let pattern = words.next()?;
            let instances: Vec<String> = words.map(str::to_owned).collect();
            let is_template = Name::parse(pattern).is_some_and(|it| it.form() == Form::Template);
            if !instances.is_empty() && !is_template {
                return None;
            }
            (pattern, is_template.then(|| pattern.to_owned()), Preset::Enable(instances))
        }
        "disable" => (rest, None, Preset::Disable),
        "ignore" => (rest, None, Preset::Ignore),
        _ => return None,
    };
    Some(Rule { template, pattern: glob(pattern)?, preset })
}

/// A pattern as fnmatch(3) with `FNM_NOESCAPE` takes it: a backslash is one.
pub(super) fn glob(pattern: &str) -> Option<NamePattern> {
    NamePattern::parse(pattern.replace('\\', "\\\\").as_bytes()).ok()
}

/// The links that presets make for units that have them not yet.
pub(super) fn enabling(
    store: &Store<'_>,
    search: &SearchPath,
    presets: &Presets,
    units: &[String],
) -> Result<Enabling, GuestError> {
    let mut enabling = Enabling::default();
    let mut ahead: Vec<String> = Vec::new();
    let most = MAX_MATCHES / presets.rules.len().max(1);
    if units.len() > most {
        let dir = GuestPath::from_bytes(CONFIG.as_bytes()).unwrap_or_default();
        store.note(&dir, "presets of the last units are not looked at: too many");
    }
    for unit in units.iter().take(most) {
        // An alias goes by its unit's name, which has its own turn.
        match (presets.of(unit), state::find(store, search, unit)?) {
            (Preset::Enable(instances), Some(found)) if found.name == *unit => {
                if instances.is_empty() {
                    ahead.push(unit.clone());
                } else {
                    ahead.extend(instances);
                }
            }
            _ => {}
        }
    }
    let mut seen: BTreeSet<String> = ahead.iter().cloned().collect();
    let config = search.dirs.iter().find(|dir| dir.path.to_bytes() == CONFIG.as_bytes());
    while let Some(unit) = ahead.pop() {
        let Some(found) = state::find(store, search, &unit)?.filter(|it| !it.masked()) else {
            continue;
        };
        let Some(name) = Name::parse(&found.name) else { continue };
        // A template is enabled as its default instance.
        let mut linked = found.name.clone();
        if name.form() == Form::Template {
            match found.install.default_instance.as_ref().and_then(|it| name.with_instance(it)) {
                Some(instance) => linked = instance,
                None => linked.clear(),
            }
        }
        for alias in &found.install.aliases {
            let Some(alias) = found.install.expand(alias, &found.name) else { continue };
            let taken = config.is_some_and(|dir| dir.units.contains_key(&alias));
            if !taken && Name::parse(&alias).is_some_and(|it| it.kind == name.kind) {
                enabling.aliases.insert(alias, found.name.clone());
            }
        }
        let lists = [
            (&found.install.wanted_by, "wants"),
            (&found.install.required_by, "requires"),
            (&found.install.upheld_by, "upholds"),
        ];
        for (list, how) in lists {
            for target in list.iter().filter_map(|it| found.install.expand(it, &found.name)) {
                let dir = format!("{target}.{how}");
                if linked.is_empty() || Name::parse(&target).is_none() {
                    continue;
                }
                let path = GuestPath::from_bytes(CONFIG.as_bytes())
                    .unwrap_or_default()
                    .join(dir.as_bytes())
                    .join(linked.as_bytes());
                if store.files.locate(&path)?.is_none() {
                    enabling.links.insert((dir, linked.clone()));
                }
            }
        }
        for other in found.install.also {
            if seen.insert(other.clone()) {
                ahead.push(other);
            }
        }
    }
    Ok(enabling)
}
