//! Access control lists and capabilities follow what happens to their file, as with the kernel.

use sysprep_rs::operation::Action;

use super::sample::{Sample, spec, with_steps};
use crate::support::snapshot::Object;

const ACL: &str = "system.posix_acl_access";
const CAPABILITY: &str = "security.capability";
const UNNAMED: u32 = u32::MAX;

/// A list as getxattr(2) gives it.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// What a file with these attributes is after a step, and a second time without a change.
fn after(attributes: &[(&str, Vec<u8>)], step: &str) -> Object {
    let mut tree = spec("/etc/os-release = \"ID=debian\\n\"\n/srv/file 0664 1:1 = \"old\"");
    let item = tree.0.get_mut(&"/srv/file".parse().unwrap()).unwrap();
    item.xattrs = attributes.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
    let mut sample = Sample::of(&tree);
    let operations = [with_steps(step)];
    let plan = sample.plan(&operations);
    assert!(!plan.changes.is_empty(), "{step}");
    sample.seal(&plan);
    assert!(sample.plan(&operations).changes.is_empty(), "{step}: changes its own result");
    sample.tree("part1")[&"/srv/file".parse().unwrap()].clone()
}

#[test]
fn a_mode_is_the_access_control_lists_too() {
    let old = [
        (0x01, 6, UNNAMED),
        (0x02, 6, 1000),
        (0x04, 7, UNNAMED),
        (0x10, 6, UNNAMED),
        (0x20, 4, UNNAMED),
    ];
    let chmod = "  - chmod: { paths: /srv/file, mode: \"0740\" }\n";
    let new = after(&[(ACL, list(&old)), ("user.kept", b"1".to_vec())], chmod);
    assert_eq!(new.mode, Some(0o740));
    let want = [
        (0x01, 7, UNNAMED),
        (0x02, 6, 1000),
        (0x04, 7, UNNAMED),
        (0x10, 4, UNNAMED),
        (0x20, 0, UNNAMED),
    ];
    let attributes = new.xattrs.unwrap();
    assert_eq!(attributes[ACL], list(&want));
    assert_eq!(attributes["user.kept"], b"1");

    // Without a mask the group's entry is the group's.
    let old = [(0x01, 6, UNNAMED), (0x04, 6, UNNAMED), (0x20, 4, UNNAMED)];
    let new = after(&[(ACL, list(&old))], "  - chmod: { paths: /srv/file, mode: \"0600\" }\n");
    let want = [(0x01, 6, UNNAMED), (0x04, 0, UNNAMED), (0x20, 0, UNNAMED)];
    assert_eq!(new.xattrs.unwrap()[ACL], list(&want));
    // What is no list is left, and nothing fails.
    for odd in [vec![], vec![2], vec![2, 0, 0, 0, 1, 0]] {
        let new = after(&[(ACL, odd.clone())], "  - chmod: { paths: /srv/file, mode: \"0600\" }\n");
        assert_eq!(new.xattrs.unwrap()[ACL], odd);
    }
}

#[test]
fn capabilities_go_with_other_content_and_another_owner() {
    let capable = [(CAPABILITY, vec![1, 0, 0, 2]), ("security.selinux", b"label".to_vec())];
    for (step, stays) in [
        ("  - write: { path: /srv/file, content: new }\n", false),
        ("  - truncate: /srv/file\n", false),
        ("  - chown: { paths: /srv/file, owner: 5, group: 5 }\n", false),
        ("  - chmod: { paths: /srv/file, mode: \"0600\" }\n", true),
    ] {
        let attributes = after(&capable, step).xattrs.unwrap();
        assert_eq!(attributes.contains_key(CAPABILITY), stays, "{step}");
        assert!(attributes.contains_key("security.selinux"), "{step}");
    }
}

/// As with `cp -a`: the list comes along, and where there is none the old one goes.
#[test]
fn a_copy_has_the_lists_of_what_it_is_made_of() {
    let one = list(&[
        (0x01, 6, UNNAMED),
        (0x02, 6, 1000),
        (0x04, 4, UNNAMED),
        (0x10, 6, UNNAMED),
        (0x20, 4, UNNAMED),
    ]);
    let other = list(&[
        (0x01, 6, UNNAMED),
        (0x02, 4, 7),
        (0x04, 4, UNNAMED),
        (0x10, 6, UNNAMED),
        (0x20, 4, UNNAMED),
    ]);
    let with = |name: &str, value: &[u8]| -> Vec<(String, Vec<u8>)> {
        vec![(name.to_owned(), value.to_vec())]
    };
    for (from, to, want) in [
        (vec![], with(ACL, &one), None),
        (with(ACL, &other), with(ACL, &one), Some(&other)),
        (with(ACL, &other), vec![], Some(&other)),
    ] {
        let text = "/etc/os-release = \"ID=debian\\n\"\n/srv/from 0664 1:1 = \"new\"\n/srv/to 0664 1:1 = \"old\"";
        let mut tree = spec(text);
        for (at, xattrs) in [("/srv/from", &from), ("/srv/to", &to)] {
            tree.0.get_mut(&at.parse().unwrap()).unwrap().xattrs.extend(xattrs.iter().cloned());
        }
        let plan =
            Sample::of(&tree).plan(&[with_steps("  - copy: { from: /srv/from, to: /srv/to }\n")]);
        let [change] = &plan.changes[..] else { panic!("{plan:?}") };
        let Action::Update { meta, .. } = &change.action else { panic!("{change:?}") };
        assert_eq!(meta.xattrs, [(ACL.to_owned(), want.cloned())], "{from:?} {to:?}");
    }
}
