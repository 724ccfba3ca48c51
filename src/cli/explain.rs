//! `operations NAME`: an operation in full, so that a reader knows exactly what it does.

use std::collections::BTreeSet;

use serde_json::Value;
use sysprep_rs::operation::evidence::Evidence;
use sysprep_rs::operation::{ComesBack, Operation, Step, VERBS, When};
use sysprep_rs::report::text::word;

/// An operation as text.
pub(crate) fn operation(operation: &Operation) -> String {
    let Operation { name, summary, why, default, .. } = operation;
    let mut text = format!("{name}: {summary}\n\n{why}\n\n");
    text.push_str(&format!("class    {}\n", word(operation.class).unwrap_or_default()));
    text.push_str(&format!("default  {}\n", if *default { "yes" } else { "no" }));
    let conditions = conditions(&operation.when);
    if !conditions.is_empty() {
        text.push_str(&format!("when     {conditions}\n"));
    }
    if !operation.steps.is_empty() {
        text.push_str("\nsteps\n");
    }
    for it in &operation.steps {
        step(&mut text, it);
    }
    for it in &operation.comes_back {
        comes_back(&mut text, it);
    }
    if !operation.parameters.is_empty() {
        text.push_str("\nparameters (--set NAME=VALUE)\n");
        for it in &operation.parameters {
            let kind = word(it.kind).unwrap_or_default();
            text.push_str(&format!(
                "  {} ({kind}, default '{}'): {}\n",
                it.name, it.default, it.help
            ));
        }
    }
    let used: BTreeSet<&str> = operation.every_step().map(|step| step.verb).collect();
    if !used.is_empty() {
        text.push_str("\nverbs\n");
    }
    for verb in VERBS.iter().filter(|verb| used.contains(verb.name)) {
        text.push_str(&format!("  {}: {}\n", verb.name, verb.help));
    }
    text
}

/// What comes back: what makes it anew, and what is put in where nothing does.
fn comes_back(text: &mut String, thing: &ComesBack) {
    text.push_str(&format!("\ncomes back: {}\n", thing.what));
    for (head, pieces) in [("needed by", &thing.needed_by), ("made by", &thing.evidence)] {
        for piece in pieces {
            text.push_str(&format!("  {head} {}\n", evidence(piece)));
        }
    }
    match &thing.otherwise {
        Some(remedy) => {
            text.push_str(&format!("  otherwise adds {}\n", remedy.adds));
            for it in &remedy.steps {
                step(text, it);
            }
        }
        None => text.push_str(&format!("  otherwise: {}\n", thing.missing)),
    }
}

/// A piece of evidence on one line.
fn evidence(piece: &Evidence) -> String {
    let argument = |(name, value): (&str, Value)| format!("{name} {}", shown(&value));
    let arguments: Vec<String> = piece.arguments().into_iter().map(argument).collect();
    format!("{}: {}", piece.kind, arguments.join(", "))
}

/// A step: its verb, and each argument with its values, one a line.
fn step(text: &mut String, step: &Step) {
    text.push_str(&format!("  {}", step.verb));
    let conditions = conditions(&step.when);
    if !conditions.is_empty() {
        text.push_str(&format!(" (when {conditions})"));
    }
    text.push('\n');
    let arguments = step.arguments();
    let width = arguments.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &arguments {
        let one = std::slice::from_ref(value);
        let values = value.as_array().map_or(one, Vec::as_slice);
        for (at, value) in values.iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            text.push_str(&format!("    {name:<width$}  {}\n", shown(value)));
        }
    }
}

/// A value on one line. Text stands as it is where that says all, and in JSON's quotes else.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.trim() == text && !text.is_empty() && !text.contains('\n') => {
            text.clone()
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name} {value}");
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Conditions on one line: `family: linux, bsd; cloud-init: true`.
fn conditions(when: &When) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(when) else {
        return String::new();
    };
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::Array(words) => {
            words.iter().filter_map(|it| it.as_str()).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let parts: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
    parts.join("; ")
}
