//! The reference of operation files for people, made from the tables that check them.

use super::evidence::{COMMON_FIELDS, EVIDENCE};
use super::schema::OPERATION;
use super::shape::{Field, Shape};
use super::step::{STEP_FIELDS, VERBS};
use super::when;

/// Every field of an operation's file and every verb with its arguments, as Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Operation files\n\n\
         An operation is a YAML file; `sysprep-rs check FILE` points at every mistake in one. This is\n\
         made by `sysprep-rs schema --markdown`; `sysprep-rs schema` prints the same as JSON Schema.\n\n\
         ## The file\n\n",
    );
    table(&mut text, &[OPERATION]);
    text.push_str(
        "\n## Which guests: `when`\n\n\
         In the file for the whole operation, in a step for that step. All that are given have to \
         hold.\n\n",
    );
    table(&mut text, &[when::FIELDS]);
    text.push_str(
        "\n## Steps\n\n\
         A step is a map with one key, the verb. Later steps see what earlier ones do. Every step may \
         have\n`when` beside its verb's own arguments.\n",
    );
    for verb in VERBS {
        text.push_str(&format!("\n### {}\n\n{}.\n", verb.name, capitalized(verb.help)));
        if let Some(short) = verb.short {
            text.push_str(&format!(
                "`{}: VALUE` is short for `{}: {{ {short}: VALUE }}`.\n",
                verb.name, verb.name
            ));
        }
        text.push('\n');
        table(&mut text, verb.fields);
    }
    debug_assert!(STEP_FIELDS.iter().all(|field| field.name == "when"));
    text.push_str(
        "\n## Evidence\n\n\
         What makes anew what an operation takes away, looked for in the guest as the run will leave \
         it.\nA piece is a map with one key, its kind. Beside a kind's own arguments each may have:\n\n",
    );
    table(&mut text, &[COMMON_FIELDS]);
    for kind in EVIDENCE {
        text.push_str(&format!("\n### {}\n\nHolds where {}.\n", kind.name, kind.help));
        if let Some(short) = kind.short {
            text.push_str(&format!(
                "`{}: VALUE` is short for `{}: {{ {short}: VALUE }}`.\n",
                kind.name, kind.name
            ));
        }
        text.push('\n');
        table(&mut text, &[kind.fields]);
    }
    text
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A row a field; the fields of a map within stand below it.
fn table(text: &mut String, tables: &[&'static [Field]]) {
    text.push_str("| field | takes | |\n|---|---|---|\n");
    for field in tables.iter().copied().flatten() {
        row(text, field, "");
    }
}

fn row(text: &mut String, field: &Field, within: &str) {
    let name = format!("{within}{}", field.name);
    let required = if field.required { " (required)" } else { "" };
    let takes = takes(&field.shape).replace('|', "\\|");
    text.push_str(&format!(
        "| `{name}`{required} | {takes} | {} |\n",
        field.help.replace('|', "\\|")
    ));
    // The conditions have a table of their own.
    if field.name == "when" {
        return;
    }
    let mut shape = &field.shape;
    while let Shape::List(one) | Shape::Some(one) = shape {
        shape = one;
    }
    let Shape::Map(inner) = shape else { return };
    for field in *inner {
        row(text, field, &format!("{name}."));
    }
}

/// What a field takes, in words.
fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Line => "text on one line".into(),
        Shape::Text => "text".into(),
        Shape::Secret => "text; never shown".into(),
        Shape::Bool => "`true` or `false`".into(),
        Shape::Scalar => "text, a number or a boolean".into(),
        Shape::Name => "a name: `a-z`, `0-9`, `-`".into(),
        Shape::Mode => "octal, in quotes: `\"0644\"`".into(),
        Shape::ModeChange => "octal, or changes: `\"go-w,a+rX\"`".into(),
        Shape::Owner => "a name or a number".into(),
        Shape::Path => "an absolute path".into(),
        Shape::Pattern => "a path with wildcards, `~/` for every home".into(),
        Shape::FileName => "a file's name with wildcards".into(),
        Shape::Regex => "a regular expression; `^` and `$` are a line's ends".into(),
        Shape::OneOf(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Shape::Some(one) => format!("{}; or a list", takes(one)),
        Shape::List(one) => format!("a list: {}", takes(one)),
        Shape::Map(_) => "a map".into(),
        Shape::Steps => "a list of steps".into(),
        Shape::Evidence => "a list of evidence".into(),
    }
}
