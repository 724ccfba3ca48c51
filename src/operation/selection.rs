//! Which operations to run, in virt-sysprep's own words.

use super::catalogue::Catalogue;
use super::load::Operation;
use crate::problem::did_you_mean;

/// virt-sysprep's operations that are not in the catalogue, and why.
const VIRT_SYSPREP_ONLY: &[(&str, &str)] = &[
    ("lvm-uuids", "is not built here yet: LVM is not opened, so its UUIDs stay"),
    (
        "script",
        "is not here: nothing is mounted that a script could work on, so write an operation of your \
         own (--operations-dir), or have the guest run it at its first boot (--firstboot)",
    ),
];

/// virt-sysprep's operation that is made of flags: what a guest gets after everything else.
pub const CUSTOMIZE: &str = "customize";

/// The operation that comes after all others, `customize` too.
pub const MACHINE_ID: &str = "machine-id";

/// One word of a selection list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Add(String),
    Remove(String),
}

impl Term {
    fn names(&self, name: &str) -> bool {
        let (Self::Add(named) | Self::Remove(named)) = self;
        named == name
    }
}

/// A selection of operations, built from `--enable` and `--operations` in the order given.
///
/// With neither, those that are on by default. `--operations` begins with none and adds or, with
/// a leading `-`, takes away; `defaults` and `all` stand for many. Several `--operations` go on
/// from each other. `--enable` runs the named ones only and may be given once, before any
/// `--operations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    terms: Option<Vec<Term>>,
}

impl Selection {
    /// The operations that are on by default.
    pub fn defaults() -> Self {
        Self::default()
    }

    /// Takes `--enable LIST`.
    ///
    /// # Errors
    /// A text for the caller: an empty list or name, or a selection was made before.
    pub fn enable(&mut self, list: &str) -> Result<(), String> {
        if self.terms.is_some() {
            return Err("--enable can be given once, and before any --operations".into());
        }
        if list.is_empty() {
            return Err("--enable needs the name of an operation".into());
        }
        let mut terms = Vec::new();
        for name in list.split(',') {
            if name.is_empty() {
                return Err("--enable: empty operation name".into());
            }
            terms.push(Term::Add(name.to_owned()));
        }
        // `defaults` and `all` belong to --operations alone.
        if let Some(Term::Add(word)) =
            terms.iter().find(|term| matches!(term, Term::Add(word) if is_word(word)))
        {
            return Err(format!("--enable takes names; '{word}' goes with --operations"));
        }
        self.terms = Some(terms);
        Ok(())
    }

    /// Takes `--operations LIST`.
    ///
    /// # Errors
    /// A text for the caller: an empty name.
    pub fn operations(&mut self, list: &str) -> Result<(), String> {
        let mut terms = Vec::new();
        for word in list.split(',').map(str::trim) {
            let (name, term): (&str, fn(String) -> Term) = match word.strip_prefix('-') {
                Some(name) => (name, Term::Remove),
                None => (word, Term::Add),
            };
            if name.is_empty() {
                return Err("--operations: empty operation name".into());
            }
            terms.push(term(name.to_owned()));
        }
        self.terms.get_or_insert_default().extend(terms);
        Ok(())
    }
}

fn is_word(name: &str) -> bool {
    matches!(name, "all" | "defaults")
}

/// What is to be said of an operation that virt-sysprep has and that is not here.
pub fn not_here(name: &str) -> Option<String> {
    let (_, why) = VIRT_SYSPREP_ONLY.iter().find(|(only, _)| *only == name)?;
    Some(format!("'{name}' is an operation of virt-sysprep that {why}"))
}

/// Whether a term stands for many operations.
fn named_by_word(term: &Term) -> bool {
    matches!(term, Term::Add(word) | Term::Remove(word) if is_word(word))
}

impl Catalogue {
    /// The selected operations, by name.
    ///
    /// # Errors
    /// A text for the caller: a name that is not in the catalogue, with those near it.
    pub fn select(&self, selection: &Selection) -> Result<Vec<Operation>, String> {
        let all = || self.operations();
        let Some(terms) = &selection.terms else {
            return Ok(all().filter(|it| it.default).cloned().collect());
        };
        let mut chosen = std::collections::BTreeSet::new();
        // Taken out when it was not in: a slip, where a word for many adds it later.
        let mut taken_out = std::collections::BTreeSet::new();
        for term in terms {
            let (Term::Add(name) | Term::Remove(name)) = term;
            let named: Vec<&str> = match name.as_str() {
                "all" => all().map(|it| it.name.as_str()).collect(),
                "defaults" => all().filter(|it| it.default).map(|it| it.name.as_str()).collect(),
                name => match self.get(name) {
                    Some(operation) => vec![operation.name.as_str()],
                    // Without a flag of its own it does nothing.
                    None if name == CUSTOMIZE => Vec::new(),
                    // A script may switch off what is not there.
                    None if not_here(name).is_some() => match term {
                        Term::Remove(_) => Vec::new(),
                        Term::Add(_) => {
                            return Err(not_here(name).unwrap_or_default());
                        }
                    },
                    None => {
                        let near = did_you_mean(
                            name,
                            all().map(|it| it.name.as_str()).chain(["defaults", "all"]),
                        );
                        return Err(format!(
                            "'{name}' is not a known operation{near}; 'sysprep-rs operations' lists \
                             them"
                        ));
                    }
                },
            };
            for name in named {
                match term {
                    Term::Add(_) if taken_out.contains(name) && named_by_word(term) => {
                        return Err(format!(
                            "--operations: '-{name}' stands before what adds it again: write it last"
                        ));
                    }
                    Term::Add(_) => chosen.insert(name),
                    Term::Remove(_) if chosen.remove(name) => true,
                    Term::Remove(_) => taken_out.insert(name),
                };
            }
        }
        let last = terms.iter().rev().find(|it| it.names(CUSTOMIZE));
        if chosen.is_empty() {
            return Err(
                "no operation is selected: --operations begins with none, so to leave some \
                        out write --operations defaults,-NAME"
                    .into(),
            );
        }
        // Its flags ask for it: a list has to take it out by name.
        if !matches!(last, Some(Term::Remove(_))) {
            chosen.extend(self.get(CUSTOMIZE).map(|it| it.name.as_str()));
        }
        Ok(all().filter(|it| chosen.contains(it.name.as_str())).cloned().collect())
    }
}
