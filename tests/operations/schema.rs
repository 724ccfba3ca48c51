//! What may stand in an operation's file, and what is said of a file that is wrong.

use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use sysprep_rs::operation::{Catalogue, CatalogueError, Operation, json_schema, load_file};

/// Checks a value against the keywords that our schema uses; gives where it does not fit.
fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "type" => {
                let named = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64(),
                    other => panic!("type {other}"),
                };
                wanted.as_array().map_or_else(|| named(wanted), |all| all.iter().any(named))
            }
            "enum" => wanted.as_array().unwrap().contains(value),
            "pattern" => {
                let regex = Regex::new(wanted.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|it| regex.is_match(it))
            }
            "minItems" => {
                value.as_array().is_none_or(|it| it.len() as u64 >= wanted.as_u64().unwrap())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(root, wanted, item, &format!("{at}/{index}"))?;
                }
                true
            }
            "required" => value.as_object().is_none_or(|object| {
                wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|it| object.contains_key(it.as_str().unwrap()))
            }),
            "additionalProperties" => {
                assert_eq!(wanted, false, "the schema is closed");
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|it| it.keys().all(|key| known.contains_key(key)))
            }
            "properties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = wanted.get(key) {
                        fits(root, schema, inner, &format!("{at}/{key}"))?;
                    }
                }
                true
            }
            "anyOf" | "oneOf" => {
                let all = wanted.as_array().unwrap();
                let fit = all.iter().filter(|it| fits(root, it, value, at).is_ok()).count();
                if keyword == "oneOf" { fit == 1 } else { fit > 0 }
            }
            "$ref" => {
                let target = root.pointer(wanted.as_str().unwrap().trim_start_matches('#'));
                return fits(root, target.expect("a definition"), value, at);
            }
            other => panic!("the schema uses {other}, which this test does not know"),
        };
        if !good {
            return Err(format!("{at}: {value} against {keyword} {wanted}"));
        }
    }
    Ok(())
}

fn json(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn every_embedded_operation_fits_the_json_schema() {
    let schema = json_schema();
    for operation in Catalogue::embedded().unwrap().operations() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&operation.file);
        let text = fs::read_to_string(file).unwrap();
        fits(&schema, &schema, &json(&text), &operation.name).unwrap();
    }
}

const GOOD: &str = r#"name: my-app
summary: Remove what my application left
why: Its id is shared by every clone.
class: identity
default: true
when: { family: linux, init: systemd }
parameters:
  - { name: dir, type: text, default: /srv/app, help: Where it lives }
  - { name: strict, type: boolean, default: false, help: Whether to make its folder }
steps:
  - remove: "{dir}/*.id"
  - remove: { paths: ["{dir}/**"], keep: "{dir}/keep", only: [file, symlink], when: { distro: debian } }
  - edit: { paths: /etc/app.conf, replace: { match: "^dir={dir}$", with: "dir=" }, delete-lines: "^id=" }
  - mkdir: { path: /srv/x, mode: "0750", owner: root, group: 0, parents: "{strict}" }
  - chmod: { paths: /srv/x, mode: "u=rwX,go-w", recursive: "{strict}" }
  - edit: { paths: /etc/app.conf, insert: { line: "id=", after: "^dir=" } }
"#;

#[test]
fn a_full_operation_is_read() {
    let schema = json_schema();
    fits(&schema, &schema, &json(GOOD), "").unwrap();
    let mut operation = Operation::from_yaml("my-app.yaml", GOOD).unwrap();
    assert_eq!(operation.steps.len(), 6);
    assert_eq!(operation.steps[0].verb, "remove");
    assert_eq!(operation.steps[0].at.line, 11);
    assert_eq!(operation.steps[0].does.paths(), ["/srv/app/*.id"]);
    assert_eq!(operation.values()["dir"], "/srv/app");

    operation.set("dir", "/opt/a").unwrap();
    assert_eq!(operation.steps[0].does.paths(), ["/opt/a/*.id"]);
    assert_eq!(operation.values()["dir"], "/opt/a");
    assert_eq!(operation.settings().len(), 1);

    let error = operation.set("dir", "opt").unwrap_err();
    assert!(error.contains("11:") && error.contains("begins neither"), "{error}");
    assert!(operation.set("strict", "perhaps").unwrap_err().contains("true or false"));
    assert!(operation.set("dri", "x").unwrap_err().contains("did you mean 'dir'"));
    assert_eq!(operation.values()["dir"], "/opt/a", "a setting that fails changes nothing");
}

#[test]
fn every_problem_of_a_file_is_told_with_its_place() {
    let text = r#"name: My_App
sumary: Removes things.
why: ""
class: identiti
default: yes
steps:
  - remove: [etc/x, "/etc/[a", "/{nodir}/x", /etc/../x, /]
  - remvoe: [/x]
  - remove: { path: /x }
  - remove: { names: "*~" }
  - chmod: { paths: /x, mode: 644 }
  - edit: { paths: /x, delete-lines: "(" }
  - set-key: { paths: /x, format: ini, key: a, value: b, remove: true }
  - remove: [/x]
    truncate: [/x]
  - remove: []
  - edit: { paths: /x, delete-lines: a, delete-lines: b }
extra: 1
parameters:
  - { name: p, type: integer, default: x, help: A number }
  - { name: p, type: text, default: x, help: A text }
why: twice
"#;
    let error = Operation::from_yaml("bad.yaml", text).unwrap_err();
    let shown = error.to_string();
    for wanted in [
        "bad.yaml:1:7: 'name': 'My_App' is no name",
        "bad.yaml:2:1: unknown field 'sumary' in an operation; did you mean 'summary'?",
        "bad.yaml:1:1: an operation has no 'summary'",
        "bad.yaml:3:6: 'why': is empty",
        "bad.yaml:4:8: 'class': 'identiti' is not one of",
        "did you mean 'identity'?",
        "bad.yaml:5:10: 'default' is true or false, not text",
        "bad.yaml:7:14: 'paths': 'etc/x' begins neither",
        "bad.yaml:7:21: 'paths': '/etc/[a':",
        "bad.yaml:7:32: 'paths': '/{nodir}/x' names the parameter 'nodir'",
        "bad.yaml:7:46: 'paths': ",
        "bad.yaml:7:57: 'paths': ",
        "bad.yaml:8:5: unknown verb 'remvoe'; did you mean 'remove'?",
        "bad.yaml:9:15: unknown field 'path' in the step 'remove'; did you mean 'paths'?",
        "bad.yaml:11:31: 'mode' is text, not a number; put it in quotes",
        "bad.yaml:12:38: 'delete-lines': not a regular expression",
        "bad.yaml:14:5: a step has one key, its verb, not 2",
        "bad.yaml:18:1: unknown field 'extra'",
        // What fits each field and is wrong together, in the same go.
        "bad.yaml:10:5: 'names' and 'under' go together",
        "bad.yaml:13:5: give either 'value' or 'remove: true'",
        "bad.yaml:16:5: the step names no path",
        "bad.yaml:17:41: 'delete-lines' is given twice, first on line 17; keep one",
        "bad.yaml:20:40: 'default': 'x' is not a whole number",
        "bad.yaml:21:13: the parameter 'p' is declared twice",
        "bad.yaml:22:1: 'why' is given twice, first on line 3; keep one",
    ] {
        assert!(shown.contains(wanted), "no «{wanted}» in\n{shown}");
    }
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), error.problems.len());
    assert!(error.problems.is_sorted());
    // A step that is not understood may use a parameter.
    assert!(!shown.contains("no step uses"), "{shown}");
}

#[test]
fn what_fits_each_field_can_still_be_wrong_together() {
    let with = |steps: &str, extra: &str| {
        let text = format!(
            "name: x\nsummary: A thing\nwhy: So.\nclass: log\ndefault: true\n{extra}steps:\n{steps}"
        );
        Operation::from_yaml("x.yaml", &text).map(drop).map_err(|error| error.to_string())
    };
    let parameter = "parameters: [{ name: p, type: integer, default: 1, help: A number }]\n";
    assert_eq!(with("  - remove: [/x]\n", ""), Ok(()));
    assert_eq!(with("  - chown: { paths: /x, owner: 4294967294, group: '0' }\n", ""), Ok(()));
    for (steps, extra, wanted) in [
        ("  - remove: { names: '*~' }\n", "", "x.yaml:7:5: 'names' and 'under' go together"),
        ("  - remove: { keep: /x }\n", "", "names no path"),
        ("  - remove: []\n", "", "names no path"),
        ("  - edit: { paths: /x }\n", "", "give 'replace', 'delete-lines' or 'insert'"),
        (
            "  - set-key: { paths: /x, format: ini, key: a, value: b, remove: true }\n",
            "",
            "either 'value' or 'remove: true'",
        ),
        (
            "  - set-key: { paths: /x, format: yaml, section: s, key: a, value: b }\n",
            "",
            "sections",
        ),
        ("  - chown: { paths: /x }\n", "", "give 'owner', 'group' or both"),
        ("  - chown: { paths: /x, owner: 4294967295 }\n", "", "the largest number is 4294967294"),
        ("  - chown: { paths: /x, group: '4294967296' }\n", "", "'4294967296' is no user or group"),
        ("  - chown: { paths: /x, owner: -1 }\n", "", "'-1' is neither a user or group name"),
        ("  - symlink: { path: /x, target: y, mode: '0777' }\n", "", "no mode of its own"),
        ("  - write: { path: '/x*', content: '' }\n", "", "takes no wildcard"),
        ("  - remove: [/x]\n", parameter, "x.yaml:6:22: no step uses the parameter 'p'"),
    ] {
        let error = with(steps, extra).unwrap_err();
        assert!(error.contains(wanted), "no «{wanted}» in\n{error}");
    }
    let error = with("  - remove: [/x]\n", "default: true\n").unwrap_err();
    assert_eq!(error, "x.yaml:6:1: 'default' is given twice, first on line 5; keep one");
    let text = format!(
        "name: x\nsummary: A thing.\nwhy: So.\nclass: logs\ndefault: true\n{parameter}\
         steps: [{{touch: /x}}, {{remove: []}}]\n"
    );
    let error = Operation::from_yaml("x.yaml", &text).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert_eq!(lines[0], "x.yaml:2:10: 'summary' ends with a period; leave it out");
    assert!(lines[1].starts_with("x.yaml:4:8: 'class': 'logs' is not one of"), "{error}");
    assert_eq!(
        lines[2],
        "x.yaml:6:22: no step uses the parameter 'p'; write '{p}' where it belongs"
    );
    assert!(lines[3].starts_with("x.yaml:7:23: the step names no path"), "{error}");
}

#[test]
fn a_file_that_is_no_yaml_says_where() {
    for (text, place) in
        [("name: [1\nsteps: 2\n", "y:"), ("a: b: c\n", "y:1:"), ("", "y:"), ("- a\n", "y:1:1: ")]
    {
        let error = Operation::from_yaml("y", text).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn a_folder_adds_operations_and_overrides_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let own = GOOD.replace("my-app", "utmp");
    fs::write(folder.path().join("utmp.yaml"), own).unwrap();
    fs::create_dir(folder.path().join("below")).unwrap();
    fs::write(folder.path().join("below/my-app.yml"), GOOD).unwrap();
    fs::write(folder.path().join("README"), "no operation").unwrap();
    let mut catalogue = Catalogue::embedded().unwrap().with_dir(folder.path()).unwrap();
    assert_eq!(catalogue.get("utmp").unwrap().steps.len(), 6);
    assert!(catalogue.get("my-app").is_some() && catalogue.get("logfiles").is_some());

    assert!(catalogue.set("dir=/x").unwrap_err().contains("OPERATION.dir=VALUE"));
    catalogue.set("my-app.dir=/x").unwrap();
    assert_eq!(catalogue.get("my-app").unwrap().values()["dir"], "/x");
    assert!(catalogue.set("my-ap.dir=/x").unwrap_err().contains("'my-app'"));
    assert!(catalogue.set("nothing=1").is_err() && catalogue.set("dir").is_err());

    fs::write(folder.path().join("again.yaml"), GOOD).unwrap();
    fs::write(folder.path().join("bad.yaml"), "name: x\n").unwrap();
    let error = Catalogue::embedded().unwrap().with_dir(folder.path()).unwrap_err();
    let CatalogueError::Load(errors) = &error else { panic!("{error}") };
    assert_eq!(errors.len(), 2, "{error}");
    assert!(error.to_string().contains("'my-app' is in"), "{error}");

    let missing = folder.path().join("missing");
    assert!(matches!(
        Catalogue::default().with_dir(&missing),
        Err(CatalogueError::Read(path, _)) if path == missing
    ));
    assert!(load_file(&folder.path().join("below/my-app.yml")).is_ok());
    assert!(load_file(&folder.path().join("bad.yaml")).unwrap_err().to_string().contains(":1:1: "));
}
