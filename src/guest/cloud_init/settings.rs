//! cloud-init's settings, as `util.read_conf_with_confd` merges them: files of `cloud.cfg.d` before
//! `cloud.cfg`, of those the last by name first, and what is set once is not set anew.

use std::rc::Rc;

use super::text::{self, Odd};
use crate::guest::{Files, GuestError};
use crate::path::{GuestPath, escape};
use crate::yaml::{self, Node, Value};

/// The main file.
pub(super) const MAIN: &str = "/etc/cloud/cloud.cfg";

/// How much is read of all files together.
const ALL_BYTES: usize = 16 << 20;

/// One file's settings.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) path: GuestPath,
    pub(super) root: Rc<Node>,
}

/// All settings, those that count most first.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) layers: Vec<Layer>,
    /// Each file with its text, in the order in which a shell's glob names them.
    pub(super) texts: Vec<(GuestPath, Vec<u8>)>,
}

impl Settings {
    /// Reads a guest's.
    pub(super) fn read(files: &dyn Files, odd: &mut Odd) -> Result<Self, GuestError> {
        let main = text::path(MAIN);
        let mut settings = Self::default();
        let first = settings.take(files, &main, odd)?;
        let mut folder = Some(text::path("/etc/cloud/cloud.cfg.d"));
        if let Some(first) = &first
            && let Some(entry) = first.root.entry("conf_d")
        {
            folder = match &entry.value.value {
                Value::Text(text) => GuestPath::from_bytes(text.trim().as_bytes()).ok(),
                _ => None,
            };
        }
        if let Some(folder) = folder {
            for path in text::ending(files, &folder, b".cfg", odd)? {
                let layer = settings.take(files, &path, odd)?;
                settings.layers.extend(layer);
            }
        }
        settings.layers.reverse();
        settings.layers.extend(first);
        Ok(settings)
    }

    fn take(
        &mut self,
        files: &dyn Files,
        path: &GuestPath,
        odd: &mut Odd,
    ) -> Result<Option<Layer>, GuestError> {
        let before: usize = self.texts.iter().map(|it| it.1.len()).sum();
        if before > ALL_BYTES {
            odd.push((
                path.clone(),
                format!("behind {ALL_BYTES} bytes of settings, and was not read"),
            ));
            return Ok(None);
        }
        let Some(content) = text::content(files, path, odd)? else { return Ok(None) };
        let layer = parsed(path, &content, odd);
        self.texts.push((path.clone(), content));
        Ok(layer)
    }

    /// With the settings of a user-data, which go before the guest's own.
    pub(super) fn under(&self, layer: Option<Layer>) -> Self {
        let layers = layer.into_iter().chain(self.layers.iter().cloned()).collect();
        Self { layers, texts: Vec::new() }
    }

    /// The whole.
    pub(super) fn root(&self) -> View<'_> {
        View { parts: self.layers.iter().map(|it| (&*it.root, &it.path)).collect() }
    }

    /// What a key at the top is set to.
    pub(super) fn get(&self, key: &str) -> Option<View<'_>> {
        self.root().get(key)
    }
}

/// A file's settings, if it has any. cloud-init passes over what it cannot read, too.
pub(super) fn parsed(path: &GuestPath, content: &[u8], odd: &mut Odd) -> Option<Layer> {
    let text = String::from_utf8_lossy(content);
    let template = text.lines().next().is_some_and(|line| {
        line.strip_prefix("##").is_some_and(|it| it.trim_start().starts_with("template:"))
    });
    if template {
        let what = "a template: what it says is known when cloud-init has run, and not before";
        odd.push((path.clone(), what.into()));
    }
    let document = match yaml::parse(&text) {
        Ok(document) => document,
        Err(problem) => {
            if !template {
                let (line, message) = (problem.at.line, problem.message);
                let what = format!("line {line}: {message}; cloud-init passes over the whole file");
                odd.push((path.clone(), what));
            }
            return None;
        }
    };
    for key in ["merge_how", "merge_type"] {
        if document.root.entry(key).is_some() {
            let what = format!("it says how it is merged ('{key}'), which is not looked into");
            odd.push((path.clone(), what));
        }
    }
    matches!(document.root.value, Value::Map(_))
        .then(|| Layer { path: path.clone(), root: document.root })
}

/// A merged value: a map in several files, or anything else in one.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    parts: Vec<(&'a Node, &'a GuestPath)>,
}

impl<'a> View<'a> {
    /// A value of one file.
    pub(super) fn one(node: &'a Node, path: &'a GuestPath) -> Self {
        Self { parts: vec![(node, path)] }
    }

    /// Maps merged, the first of which count most.
    pub(super) fn merged(views: impl IntoIterator<Item = Self>) -> Self {
        Self { parts: views.into_iter().flat_map(|it| it.parts).collect() }
    }

    /// What a key of the map is set to.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let mut found: Vec<(&'a Node, &'a GuestPath)> = Vec::new();
        for (node, path) in &self.parts {
            let Some(entry) = node.entry(key) else { continue };
            let new = &*entry.value;
            let is_map = matches!(new.value, Value::Map(_));
            match found.first().map(|it| &it.0.value) {
                None => found.push((new, path)),
                Some(Value::Map(_)) if is_map => found.push((new, path)),
                // A map goes over text and lists: cloud-init's mergers for those give way.
                Some(Value::Text(_) | Value::List(_)) if is_map => found = vec![(new, path)],
                Some(_) => {}
            }
        }
        (!found.is_empty()).then_some(Self { parts: found })
    }

    /// The value; of a map what its first file has of it.
    pub(super) fn value(&self) -> &'a Value {
        const NOTHING: &Value = &Value::Null;
        self.parts.first().map_or(NOTHING, |it| &it.0.value)
    }

    /// The file that sets it.
    pub(super) fn path(&self) -> GuestPath {
        self.parts.first().map(|it| it.1.clone()).unwrap_or_default()
    }

    /// The keys of a map, each once.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for (node, _) in &self.parts {
            let new = node.entries().iter().map(|it| it.key.as_str());
            keys.extend(new.filter(|it| known.insert(*it)));
        }
        keys
    }

    /// The items of a list, each as a value of the same file.
    pub(super) fn items(&self) -> Vec<Self> {
        match (self.value(), self.parts.first()) {
            (Value::List(items), Some((_, path))) => {
                items.iter().map(|it| Self::one(it, path)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value() {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, or the one text that is there in its stead (`get_cfg_option_list`).
    pub(super) fn texts(&self) -> Vec<String> {
        match self.value() {
            Value::Null => Vec::new(),
            Value::List(items) => items.iter().filter_map(|it| shown(&it.value)).collect(),
            other => shown(other).into_iter().collect(),
        }
    }

    /// As Python has it: whether there is anything.
    pub(super) fn truth(&self) -> bool {
        match self.value() {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Integer(number) => *number != 0,
            Value::Fraction | Value::Date => true,
            Value::Text(text) => !text.is_empty(),
            Value::Binary(bytes) => !bytes.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(_) => self.parts.iter().any(|it| !it.0.entries().is_empty()),
        }
    }

    /// As cloud-init has it: whether it says yes (`util.translate_bool`).
    pub(super) fn yes(&self) -> bool {
        match self.value() {
            Value::Bool(flag) => *flag,
            Value::Integer(number) => *number == 1,
            Value::Text(text) => says(text, &["true", "1", "on", "yes"]),
            _ => false,
        }
    }

    /// Whether it says no (`util.is_false`).
    pub(super) fn no(&self) -> bool {
        match self.value() {
            Value::Bool(flag) => !flag,
            Value::Integer(number) => *number == 0,
            Value::Text(text) => says(text, &["off", "0", "no", "false"]),
            _ => false,
        }
    }
}

fn says(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// A value that is one word, as text.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(escape(text.as_bytes())),
        Value::Integer(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
