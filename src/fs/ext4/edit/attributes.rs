//! Extended attributes of inodes: set, removed and given back.

use super::store::Store;
use crate::fs::FsError;
use crate::fs::ext4::attributes;
use crate::fs::ext4::inode::{EA_INODE, Inode};
use crate::fs::ext4::source::Source;
use crate::fs::ext4::xattr::{self, Attribute, Block, Placed, Value};

impl Store {
    fn put_attribute_block(&self, number: u64, block: &Block) -> Result<(), FsError> {
        let mut bytes = block.to_bytes(self.block_len()).ok_or(FsError::NoSpace)?;
        if self.superblock.metadata_csum() {
            xattr::seal_block(&mut bytes, number, self.superblock.checksum_seed());
        }
        self.put_block(number, bytes);
        Ok(())
    }

    /// Changes only how many inodes share a block; everything else in it stays as it is.
    fn set_references(&self, number: u64, references: u32) -> Result<(), FsError> {
        let mut bytes = self.block(number)?.to_vec();
        if let Some(field) = bytes.get_mut(4..8) {
            field.copy_from_slice(&references.to_le_bytes());
        }
        if self.superblock.metadata_csum() {
            xattr::seal_block(&mut bytes, number, self.superblock.checksum_seed());
        }
        self.put_block(number, bytes);
        Ok(())
    }

    /// Gives back all that an inode's attributes hold outside the inode.
    pub(super) fn release_attributes(&self, inode: &mut Inode) -> Result<(), FsError> {
        for attribute in attributes::in_inode(inode)? {
            self.release_value(&attribute)?;
        }
        self.leave_attribute_block(inode, true)
    }

    /// Takes an inode's reference away from its attribute block; the last one frees it, and
    /// with `values` the inodes its values are in.
    fn leave_attribute_block(&self, inode: &mut Inode, values: bool) -> Result<(), FsError> {
        let number = inode.xattr_block();
        if number == 0 {
            return Ok(());
        }
        let block = attributes::in_block(self, inode)?;
        if block.references > 1 {
            self.set_references(number, block.references - 1)?;
        } else {
            if values {
                for attribute in &block.attributes {
                    self.release_value(attribute)?;
                }
            }
            self.release(number, 1, None)?;
        }
        let allocated = inode.allocated(&self.superblock).saturating_sub(self.cluster_bytes());
        inode.set_allocated(&self.superblock, allocated)?;
        inode.set_xattr_block(0);
        Ok(())
    }

    /// Takes a reference away from the inode that holds a value; the last one frees it.
    fn release_value(&self, attribute: &Attribute) -> Result<(), FsError> {
        let Value::Inode { inode: number, .. } = attribute.value else { return Ok(()) };
        let mut inode = self.inode(number)?;
        if !inode.has_flag(EA_INODE) {
            return Err(inode.corrupt("xattr value", "the inode is not for values"));
        }
        let references = inode.ea_references();
        if references > 1 {
            inode.set_ea_references(references - 1);
            self.put_inode(inode);
        } else {
            self.release_content(&mut inode)?;
            self.release_inode(number, false)?;
        }
        Ok(())
    }

    /// Adds a reference to the inode that holds a value: its block is about to be copied.
    fn share_value(&self, attribute: &Attribute) -> Result<(), FsError> {
        let Value::Inode { inode: number, .. } = attribute.value else { return Ok(()) };
        let mut inode = self.inode(number)?;
        let references = inode.ea_references().checked_add(1).ok_or(FsError::NoSpace)?;
        inode.set_ea_references(references);
        self.put_inode(inode);
        Ok(())
    }

    /// Sets (`Some`) and removes (`None`) attributes by their full names. A value goes into the
    /// inode where there is room, else into the block.
    pub(super) fn change_attributes(
        &self,
        inode: &mut Inode,
        changes: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), FsError> {
        if changes.is_empty() {
            return Ok(());
        }
        let inside = attributes::in_inode(inode)?;
        let number = inode.xattr_block();
        let shared = if number == 0 { None } else { Some(attributes::in_block(self, inode)?) };
        let outside = shared.as_ref().map(|block| block.attributes.clone()).unwrap_or_default();
        let before = (inside.clone(), outside.clone());
        let room = inode.xattr_area().len();
        let mut placed = Placed { inside, outside, dropped: Vec::new() };
        placed.change(room, self.block_len(), changes)?;
        let Placed { inside, outside, dropped } = placed;
        if inside != before.0 {
            let area = xattr::to_inode(&inside, room).ok_or(FsError::NoSpace)?;
            inode.set_xattr_area(&area)?;
            // As the kernel says it, wherever the attribute is: tools look for none without.
            if inside.iter().any(|it| !is_inline_rest(it)) {
                self.state().ext_attr = true;
            }
        }
        if outside != before.1 {
            self.store_outside(inode, shared, outside)?;
        }
        for attribute in &dropped {
            self.release_value(attribute)?;
            // A value in an inode counts as storage of every inode that refers to it.
            if let Value::Inode { size, .. } = attribute.value {
                let bytes = u64::from(size).next_multiple_of(self.cluster_bytes());
                let allocated = inode.allocated(&self.superblock).saturating_sub(bytes);
                inode.set_allocated(&self.superblock, allocated)?;
            }
        }
        Ok(())
    }

    /// Gives an inode these attributes in a block, its own one or a new one.
    fn store_outside(
        &self,
        inode: &mut Inode,
        shared: Option<Block>,
        outside: Vec<Attribute>,
    ) -> Result<(), FsError> {
        let copies = shared.as_ref().is_some_and(|block| block.references > 1);
        if copies {
            // The other inodes keep the old block and with it what its values refer to.
            for attribute in shared.iter().flat_map(|block| &block.attributes) {
                self.share_value(attribute)?;
            }
        }
        if outside.is_empty() || copies {
            self.leave_attribute_block(inode, false)?;
        }
        if outside.is_empty() {
            return Ok(());
        }
        let mut number = inode.xattr_block();
        if number == 0 {
            let (block, got) = self.allocate(self.group_of(inode), 1)?;
            let block_size = u64::from(self.superblock.block_size());
            if got > 1 {
                self.device.zero((block + 1) * block_size, (got - 1) * block_size)?;
            }
            inode.set_xattr_block(block);
            let allocated = inode.allocated(&self.superblock) + got * block_size;
            inode.set_allocated(&self.superblock, allocated)?;
            self.state().ext_attr = true;
            number = block;
        }
        self.put_attribute_block(number, &Block { references: 1, attributes: outside })
    }

    /// Takes the inline content's rest out of the inode's attributes.
    pub(super) fn remove_inline_rest(&self, inode: &mut Inode) -> Result<(), FsError> {
        let mut attributes = attributes::in_inode(inode)?;
        attributes.retain(|attribute| !is_inline_rest(attribute));
        let area =
            xattr::to_inode(&attributes, inode.xattr_area().len()).ok_or(FsError::NoSpace)?;
        inode.set_xattr_area(&area)
    }
}

/// Whether it is the rest of a file's inline content, which is kept like an attribute.
fn is_inline_rest(attribute: &Attribute) -> bool {
    (attribute.index, attribute.name.as_slice()) == (xattr::SYSTEM, xattr::INLINE_DATA)
}
