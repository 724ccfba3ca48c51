//! `audit --secrets` and the `scan` verb: told by place and kind, never by content.

use std::fs;

use super::Place;
use crate::support::oracle;

/// A guest's filesystem, with secrets in it; none of them stands in this source as it is there.
fn with_secrets(place: &Place) -> Vec<String> {
    let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let password = "correct-horse-battery".to_owned();
    let hash = format!("$6$saltsalt${}", "Ab1./".repeat(18).split_at(86).0);
    let pem = format!("-----BEGIN {} KEY-----\n{}\n", "PRIVATE", "MIIEvQIBADANBgkqhkiG".repeat(3));
    let tree = place.path("tree");
    for (path, content) in [
        ("etc/os-release", "ID=debian\nVERSION_ID=12\n".to_owned()),
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/data/ann:/bin/sh\n".into()),
        ("etc/shadow", format!("root:*:1::::::\nann:{hash}:1::::::\n")),
        ("etc/app/db.conf", format!("[db]\nhost = db\npassword = {password}\n")),
        ("etc/ssl/private/app.key", pem),
        ("data/ann/notes", format!("one\ntwo\n{token}\n")),
        ("data/ann/.bash_history", format!("export TOKEN={token}\n")),
        ("usr/share/doc/example.conf", "password = in-an-example\n".into()),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let (image, tree) = (place.path("root.img"), tree.to_str().unwrap().to_owned());
    let arguments = ["-q", "-t", "ext4", "-d", &tree, image.to_str().unwrap(), "16M"];
    oracle::succeed("mke2fs", "e2fsprogs", &arguments);
    vec![token, password, hash, "MIIEvQIBADANBgkqhkiG".to_owned()]
}

#[test]
fn secrets_are_told_by_path_line_and_kind_and_what_goes_with_what() {
    let place = Place::new();
    let secrets = with_secrets(&place);
    let report = place.json("audit --json --secrets --enable bash-history root.img", 3);
    let found: Vec<String> = report["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let goes = it["goes_with"].as_str().map(|it| format!(" {it}")).unwrap_or_default();
            format!("{}:{} {}{goes}", it["path"], it["at"]["line"], it["kind"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        found,
        [
            "/data/ann/.bash_history:1 github-token bash-history",
            "/data/ann/notes:3 github-token",
            "/etc/app/db.conf:3 password",
            "/etc/shadow:2 password-hash",
            "/etc/ssl/private/app.key:1 private-key",
        ]
    );
    assert_eq!(report["searched"]["files"], 8);
    let (text, error) = place.expect("audit -v --secrets --enable bash-history root.img", 3);
    assert!(text.contains("Secret: /etc/shadow line 2: password-hash\n"), "{text}");
    assert!(text.contains("5 secrets found, of which 4 stay\n"), "{text}");
    for secret in &secrets {
        let said = [text.as_str(), error.as_str(), &report.to_string()];
        assert!(!said.iter().any(|it| it.contains(secret.as_str())), "{secret} is printed");
    }
    // Nothing to clean and no secret asked for: nothing to attend to.
    place.expect("audit --enable ssh-hostkeys root.img", 0);
    place.expect("audit --secrets --enable ssh-hostkeys root.img", 3);
}

#[test]
fn an_allow_list_says_what_is_meant_to_be_there() {
    let place = Place::new();
    with_secrets(&place);
    let audit = "audit --secrets --enable ssh-hostkeys root.img --allow-secrets allow";
    let list = "# meant\n/etc/shadow password-hash\n/etc/ssl/private/*\n/data/**\n";
    fs::write(place.path("allow"), list).unwrap();
    let (text, _) = place.expect(audit, 3);
    assert!(text.contains("1 secret found, 4 allowed\n"), "{text}");
    fs::write(place.path("allow"), format!("{list}/etc/app/db.conf\n")).unwrap();
    let (text, _) = place.expect(audit, 0);
    assert!(text.contains("no secret found, 5 allowed\n"), "{text}");
    fs::write(place.path("allow"), "/etc/shadow\n/etc/x pasword\n").unwrap();
    let (_, error) = place.expect(audit, 1);
    assert!(error.contains("allow:2: 'pasword' is not a kind of secret"), "{error}");
    let (_, error) = place.expect("audit root.img --allow-secrets allow", 2);
    assert!(error.contains("--secrets"), "{error}");
}

#[test]
fn a_scan_step_tells_what_a_regex_finds() {
    let place = Place::new();
    let secrets = with_secrets(&place);
    fs::create_dir(place.path("mine")).unwrap();
    let operation = "name: own-scan\nsummary: Look\nwhy: So.\nclass: secret\ndefault: false\n\
        steps:\n- scan: { paths: '/etc/app/*', regex: '^password *= *(.*)$', kind: app-password }\n\
        - scan: { paths: ['~/notes', '~/.bash_history'], kind: github-token }\n";
    fs::write(place.path("mine/own.yaml"), operation).unwrap();
    let select = "--operations-dir mine --enable own-scan,bash-history";
    let (text, _) = place.expect(&format!("audit {select} root.img"), 3);
    for line in [
        "Secret: /etc/app/db.conf line 3: app-password (own-scan)\n",
        "Secret: /data/ann/notes line 3: github-token (own-scan)\n",
        "Found secrets: own-scan\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    // What is removed before or after the step is no secret that stays.
    assert!(!text.contains("Secret: /data/ann/.bash_history"), "{text}");
    assert!(secrets.iter().all(|it| !text.contains(it.as_str())), "{text}");
    // They stay: said again by the seal, which is done.
    let (text, note) = place.expect(&format!("seal {select} root.img"), 3);
    assert!(text.contains("Secret: /etc/app/db.conf line 3"), "{text}");
    assert!(note.contains("2 secrets"), "{note}");
    oracle::e2fsck_clean(&place.path("root.img"));
    // A kind must be known where no expression says what it looks like.
    let wrong = operation.replace("kind: github-token", "kind: github-tokn");
    fs::write(place.path("mine/own.yaml"), wrong).unwrap();
    let (_, error) = place.expect("check mine/own.yaml", 1);
    assert!(error.contains("'github-tokn' is not a known kind of secret; did you mean"), "{error}");
}
