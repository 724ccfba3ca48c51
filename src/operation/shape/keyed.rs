//! Lists whose entries are maps with one key, which says what the rest is: steps by their verb,
//! evidence by its kind.

use std::collections::BTreeMap;

use super::super::evidence;
use super::super::step::Verb;
use super::super::yaml::{Entry, Node, Yaml};
use super::{Field, Fields, Reader};
use crate::problem::did_you_mean;

/// What an entry's key may be.
pub(crate) trait Keyed: 'static {
    /// What an entry is called in messages, with its article.
    const ENTRY: &'static str;
    /// What its key is called.
    const KEY: &'static str;
    /// An example.
    const EXAMPLE: &'static str;

    /// The key.
    fn name(&self) -> &'static str;
    /// Every table of arguments.
    fn tables(&self) -> Vec<&'static [Field]>;
    /// The field that a plain list or text stands for.
    fn short_field(&self) -> Option<&'static Field>;
}

impl Keyed for Verb {
    const ENTRY: &'static str = "a step";
    const KEY: &'static str = "verb";
    const EXAMPLE: &'static str = "remove: [/path]";

    fn name(&self) -> &'static str {
        self.name
    }

    fn tables(&self) -> Vec<&'static [Field]> {
        Verb::tables(self)
    }

    fn short_field(&self) -> Option<&'static Field> {
        Verb::short_field(self)
    }
}

impl Keyed for evidence::Kind {
    const ENTRY: &'static str = "a piece of evidence";
    const KEY: &'static str = "kind of evidence";
    const EXAMPLE: &'static str = "unit: name.service";

    fn name(&self) -> &'static str {
        self.name
    }

    fn tables(&self) -> Vec<&'static [Field]> {
        evidence::Kind::tables(self)
    }

    fn short_field(&self) -> Option<&'static Field> {
        evidence::Kind::short_field(self)
    }
}

impl Reader<'_> {
    /// The entries of a list that are right; parameters are put in place within them.
    pub(super) fn keyed<K: Keyed>(
        &mut self,
        node: &Node,
        name: &str,
        known: &'static [K],
    ) -> Option<Vec<(&'static K, Fields)>> {
        let Yaml::List(nodes) = &node.value else {
            let message =
                format!("'{name}' is a list such as '- {}', not {}", K::EXAMPLE, node.value.kind());
            self.wrong(node.at, message);
            return None;
        };
        if nodes.is_empty() {
            self.wrong(node.at, format!("'{name}' is empty; write {} into it", K::ENTRY));
        }
        let outside = std::mem::replace(&mut self.within_steps, true);
        // Those that are right may be found wrong together with others.
        let entries = nodes.iter().filter_map(|node| self.entry(node, known)).collect();
        self.within_steps = outside;
        Some(entries)
    }

    fn entry<K: Keyed>(
        &mut self,
        node: &Node,
        known: &'static [K],
    ) -> Option<(&'static K, Fields)> {
        let names = || known.iter().map(Keyed::name);
        let (entry, what) = (K::ENTRY, K::KEY);
        let Yaml::Map(entries) = &node.value else {
            let kind = node.value.kind();
            self.wrong(node.at, format!("{entry} is a map such as '{}', not {kind}", K::EXAMPLE));
            return None;
        };
        let [Entry { at, key, value }] = entries.as_slice() else {
            self.wrong(
                node.at,
                format!(
                    "{entry} has one key, its {what}, not {}; write each as its own '- {what}: …'",
                    entries.len()
                ),
            );
            return None;
        };
        let Some(found) = known.iter().find(|it| it.name() == key) else {
            let near = did_you_mean(key, names());
            let all = names().collect::<Vec<_>>().join(", ");
            self.wrong(*at, format!("unknown {what} '{key}'{near} (there are {all})"));
            return None;
        };
        // `remove: [a, b]` is short for `remove: {paths: [a, b]}`.
        if let (Some(field), Yaml::List(_) | Yaml::Text(_)) = (found.short_field(), &value.value) {
            let read = self.value(value, field.name, &field.shape)?;
            let values = BTreeMap::from([(field.name, (value.at, read))]);
            return Some((found, Fields { at: *at, values }));
        }
        let what = format!("{} '{}'", K::ENTRY.replacen("a ", "the ", 1), found.name());
        let mut fields = self.map(value, &what, &found.tables())?;
        fields.at = *at;
        Some((found, fields))
    }
}
