//! What a change of a file does to the privileges that stand in its extended attributes, as the kernel
//! does it by itself.

use crate::fs::{Kind, MetaChange, Xattr};

/// Capabilities that a program starts with (capabilities(7)).
const CAPABILITY: &str = "security.capability";
/// An access control list, in the form of getxattr(2): a version, then entries of eight bytes, a tag,
/// permissions and an id (acl(5); `include/uapi/linux/posix_acl_xattr.h`).
pub(super) const ACL: &str = "system.posix_acl_access";
/// The list that what is made in a directory begins with.
pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";
const ACL_HEADER: usize = 4;
const ACL_ENTRY: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Adds to a change what has to come with it: other content or another owner takes a file's
/// capabilities, and a mode is a list's, too, which would go on opening what the mode closes.
pub(super) fn follow(change: &mut MetaChange, kind: Kind, new_content: bool, there: &[Xattr]) {
    let owner = change.uid.is_some() || change.gid.is_some();
    let value = |name: &str| there.iter().find(|it| it.name == name).map(|it| &it.value);
    if kind == Kind::File && (new_content || owner) && value(CAPABILITY).is_some() {
        change.xattrs.push((CAPABILITY.to_owned(), None));
    }
    if let (Some(mode), Some(list)) = (change.mode, value(ACL)) {
        change.xattrs.push((ACL.to_owned(), Some(with_mode(list, mode))));
    }
}

/// A list with the permissions of a mode: where it has a mask that one stands for the group
/// (acl(5), "Correspondence between ACL entries and file permission bits").
fn with_mode(list: &[u8], mode: u16) -> Vec<u8> {
    let mut list = list.to_vec();
    let entries = list.get_mut(ACL_HEADER..).unwrap_or_default();
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let group = match entries.chunks_exact(ACL_ENTRY).any(|it| tag(it) == MASK) {
        true => MASK,
        false => GROUP_OBJ,
    };
    for entry in entries.chunks_exact_mut(ACL_ENTRY) {
        let bits = match tag(entry) {
            USER_OBJ => mode >> 6,
            OTHER => mode,
            it if it == group => mode >> 3,
            _ => continue,
        };
        entry[2..4].copy_from_slice(&(bits & 7).to_le_bytes());
    }
    list
}
