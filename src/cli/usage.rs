//! What clap finds wrong with a command line, in one line of ours.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use sysprep_rs::operation;

/// The flag with which exactly a saved plan is applied.
const PLAN: &str = "--plan";

/// The error as one line that says what to do; `None` where clap's own words do.
pub(super) fn one_line(error: &clap::Error) -> Option<String> {
    let texts = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    if error.kind() == ErrorKind::InvalidSubcommand {
        let word = texts(ContextKind::InvalidSubcommand).concat();
        let near = did_you_mean(&word, &texts(ContextKind::SuggestedSubcommand));
        return Some(format!("there is no command '{word}'{near}; --help lists them"));
    }
    let argument = texts(ContextKind::InvalidArg);
    let first = argument.first()?;
    match error.kind() {
        ErrorKind::UnknownArgument if first.starts_with('-') => {
            let near = did_you_mean(first, &texts(ContextKind::SuggestedArg));
            Some(format!("there is no option '{first}' here{near}; --help lists them"))
        }
        ErrorKind::UnknownArgument => {
            Some(format!("'{first}' is one word too many; --help says what is taken"))
        }
        ErrorKind::InvalidValue => {
            let value = texts(ContextKind::InvalidValue).concat();
            let allowed = texts(ContextKind::ValidValue);
            let name = flag(first);
            Some(match (value.is_empty(), allowed.is_empty()) {
                (true, true) => format!("{name} needs a value: write {}", plain(first)),
                (true, false) => format!("{name} needs a value: one of {}", allowed.join(", ")),
                (false, true) => return None,
                (false, false) => {
                    format!("{name}: '{value}' is not one of {}", allowed.join(", "))
                }
            })
        }
        ErrorKind::TooManyValues => Some(format!("{} takes no value", flag(first))),
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> = argument.iter().map(|it| plain(it)).collect();
            Some(format!("{} is missing; --help says what for", missing.join(" and ")))
        }
        ErrorKind::ArgumentConflict => {
            let others = texts(ContextKind::PriorArg);
            let mut all: Vec<&str> = argument.iter().chain(&others).map(|it| flag(it)).collect();
            all.dedup();
            Some(match all.iter().find(|it| **it != PLAN) {
                Some(other) if all.contains(&PLAN) => format!(
                    "{other}: --plan applies exactly the plan; give the flag to 'audit --save-plan'"
                ),
                _ if all.len() == 1 => format!("{} is given more than once", flag(first)),
                _ => format!("{} cannot be given together", all.join(" and ")),
            })
        }
        _ => None,
    }
}

/// What is meant by a word, where clap has an idea that is not too far away.
fn did_you_mean(word: &str, near: &[String]) -> String {
    match operation::nearest(word, near.iter().map(|it| flag(it))).first() {
        Some(near) => format!("; did you mean '{near}'?"),
        None => String::new(),
    }
}

/// `--flag` of `--flag <VALUE>`, `IMAGE` of `[IMAGE]`.
fn flag(argument: &str) -> &str {
    let argument = argument.trim_matches(['[', ']', '<', '>']);
    argument.split([' ', '=', '[']).next().unwrap_or(argument)
}

/// `--flag VALUE` of `--flag <VALUE>`.
fn plain(argument: &str) -> String {
    argument.replace(['<', '>', '[', ']'], "")
}
