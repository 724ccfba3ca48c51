//! The operations: their files, their schema, and what each changes.

mod accounts;
mod comes_back;
mod families;
mod first_boot;
mod firstboot;
mod golden;
mod homes;
mod host_keys;
mod left;
mod packages;
mod privileges;
pub(crate) mod sample;
mod schema;
mod seed;
mod settings;
mod stays;
mod steps;
mod traps;

use sysprep_rs::operation::{Catalogue, Operation, Selection};

fn catalogue() -> Catalogue {
    Catalogue::embedded().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_embedded_operations_pass_their_checks() {
    let catalogue = catalogue();
    let names: Vec<&str> = catalogue.operations().map(|it| it.name.as_str()).collect();
    assert!(names.len() >= 40, "{names:?}");
    for operation in catalogue.operations() {
        let file = std::path::Path::new(&operation.file);
        assert_eq!(file.file_stem().and_then(|it| it.to_str()), Some(operation.name.as_str()));
    }
}

/// virt-sysprep's operations that are YAML here, and whether each is on by default there.
const VIRT_SYSPREP: &[(&str, bool)] = &[
    ("abrt-data", true),
    ("backup-files", true),
    ("bash-history", true),
    ("blkid-tab", true),
    ("ca-certificates", false),
    ("crash-data", true),
    ("cron-spool", true),
    ("dhcp-client-state", true),
    ("dhcp-server-state", true),
    ("dovecot-data", true),
    ("firewall-rules", false),
    ("flag-reconfiguration", false),
    ("ipa-client", true),
    ("kerberos-data", false),
    ("kerberos-hostkeytab", true),
    ("logfiles", true),
    ("lvm-system-devices", true),
    ("machine-id", true),
    ("mail-spool", true),
    ("net-hostname", true),
    ("net-hwaddr", true),
    ("net-nmconn", true),
    ("pacct-log", true),
    ("package-manager-cache", true),
    ("pam-data", true),
    ("passwd-backups", true),
    ("puppet-data-log", true),
    ("rh-subscription-manager", true),
    ("rhn-systemid", true),
    ("rpm-db", true),
    ("samba-db-log", true),
    ("smolt-uuid", true),
    ("ssh-hostkeys", true),
    ("ssh-userdir", true),
    ("sssd-db-log", true),
    ("tmp-files", true),
    ("udev-persistent-net", true),
    ("utmp", true),
    ("yum-uuid", true),
    ("zsh-history", true),
];

#[test]
fn names_and_defaults_are_those_of_virt_sysprep() {
    let catalogue = catalogue();
    for (name, default) in VIRT_SYSPREP {
        let found = catalogue.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(found.default, *default, "{name}");
    }
}

fn chosen(enable: Option<&str>, operations: &[&str]) -> Result<Vec<String>, String> {
    let mut selection = Selection::defaults();
    if let Some(list) = enable {
        selection.enable(list)?;
    }
    for list in operations {
        selection.operations(list)?;
    }
    let found: Vec<Operation> = catalogue().select(&selection)?;
    Ok(found.into_iter().map(|it| it.name).collect())
}

#[test]
fn selections_mean_what_they_mean_in_virt_sysprep() {
    let all = chosen(None, &["all"]).unwrap();
    let defaults = chosen(None, &[]).unwrap();
    assert_eq!(chosen(None, &["defaults"]).unwrap(), defaults);
    assert!(defaults.len() < all.len());
    assert!(all.is_sorted());

    let some = chosen(None, &["tmp-files,bash-history", "-tmp-files,utmp"]).unwrap();
    assert_eq!(some, ["bash-history", "utmp"]);
    let but = chosen(None, &["defaults,-logfiles,firewall-rules"]).unwrap();
    assert!(!but.contains(&"logfiles".to_owned()) && but.contains(&"firewall-rules".to_owned()));
    assert!(chosen(None, &["all,-all"]).is_err());
    let rest = chosen(None, &["all,-defaults"]).unwrap();
    assert!(rest.contains(&"firewall-rules".to_owned()) && !rest.contains(&"utmp".to_owned()));
    // A list that begins with taking away begins with none, which nobody means.
    let error = chosen(None, &["-logfiles"]).unwrap_err();
    assert!(error.contains("defaults,-NAME"), "{error}");
    assert_eq!(chosen(Some("utmp,logfiles"), &[]).unwrap(), ["logfiles", "utmp"]);
    assert_eq!(chosen(Some("utmp"), &["logfiles"]).unwrap(), ["logfiles", "utmp"]);

    for (wrong, says) in [("logfile", "'logfiles'"), ("utmp,,x", "empty"), ("-", "empty")] {
        let error = chosen(None, &[wrong]).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert!(chosen(Some(""), &[]).is_err());
    assert!(chosen(Some("all"), &[]).is_err());
    let mut twice = Selection::defaults();
    twice.enable("utmp").unwrap();
    assert!(twice.enable("utmp").is_err());
}
