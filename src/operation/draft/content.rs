//! What files hold, as the steps so far will leave them.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::pending::After;
use super::{Draft, Target};
use crate::digest::Digest;
use crate::fs::Kind;
use crate::operation::before;
use crate::operation::content::{Content, ContentSource, HostContent};
use crate::operation::step::StepError;
use crate::path::GuestPath;
use crate::volume::VolumeId;

/// The largest file whose content a step edits or tests. Configuration and login records are
/// far smaller; a plan holds the new content.
pub const EDITABLE_BYTES: u64 = 4 << 20;

/// The longest file of the host whose bytes stand in a plan; of a longer one it says where it is.
const INLINE_BYTES: u64 = 64 << 10;

/// How much of a file is shown at a time.
const PIECE: usize = 256 << 10;

impl Draft<'_> {
    /// A regular file's content as the steps so far will leave it. `None` when it is no regular
    /// file, and with a refusal when it is too large or encrypted.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn content(&mut self, target: &Target) -> Result<Option<Vec<u8>>, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(None);
        }
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if let Some(content) = self.new_content(target) {
            let size = content.len();
            if size <= EDITABLE_BYTES {
                return content.bytes(&|volume| self.filesystem(volume)).map(Some).map_err(failed);
            }
            self.refuse(&target.path, too_long(size));
            return Ok(None);
        }
        let Some(place) = &target.place else { return Ok(None) };
        let stat = place.stat().map_err(failed)?;
        if stat.encrypted {
            self.refuse(&target.path, "encrypted by its filesystem");
            return Ok(None);
        }
        if stat.size > EDITABLE_BYTES {
            self.refuse(&target.path, too_long(stat.size));
            return Ok(None);
        }
        let mut content = place.read(EDITABLE_BYTES).map_err(failed)?;
        self.wipe_piece(target, 0, &mut content);
        Ok(Some(content))
    }

    /// Zeroes of what was read of a file, from the byte `at` on, what is to be wiped.
    pub(super) fn wipe_piece(&self, target: &Target, at: u64, piece: &mut [u8]) {
        let Some(from) = self.wiped_from(target) else { return };
        let kept = usize::try_from(from.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(wiped) = piece.get_mut(kept..) {
            wiped.fill(0);
        }
    }

    /// The byte from which on a file is to be zeroed, where it is.
    pub(super) fn wiped_from(&self, target: &Target) -> Option<u64> {
        self.pending.get(&target.path).and_then(|pending| pending.after.wiped_from())
    }

    /// The content of the regular file that a path leads to, as [`content`](Self::content); `None`
    /// where there is none.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn content_at(&mut self, path: &GuestPath) -> Result<Option<Vec<u8>>, StepError> {
        match self.at(path, true)? {
            Some(target) => self.content(&target),
            None => Ok(None),
        }
    }

    /// The content that the steps so far give a file, where they do.
    pub(super) fn new_content(&self, target: &Target) -> Option<&Content> {
        match self.pending.get(&target.path).map(|pending| &pending.after) {
            Some(After::File { content, .. }) => content.as_ref(),
            _ => None,
        }
    }

    /// Whether a regular file will hold this, as the steps so far leave it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn holds(&self, target: &Target, length: u64, digest: Digest) -> Result<bool, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(false);
        }
        if let Some(content) = self.new_content(target) {
            return Ok(content.len() == length && content.digest() == digest);
        }
        let Some(place) = &target.place else { return Ok(length == 0) };
        let failed = |error| StepError::Fs(target.path.clone(), error);
        let stat = place.stat().map_err(failed)?;
        if stat.size != length || stat.encrypted || self.wiped_from(target).is_some() {
            return Ok(false);
        }
        Ok(before::of_content(&**place.fs(), place.node, length).map_err(failed)? == digest)
    }

    /// What a host's file holds, as a plan has it: the bytes of a few small ones, of others where
    /// they are.
    ///
    /// # Errors
    /// The file changed since, or is gone.
    pub fn bring(&mut self, host: &HostContent) -> Result<Content, StepError> {
        let content = Content::Host(host.clone());
        if host.length > INLINE_BYTES.min(self.inline_left) {
            return Ok(content);
        }
        self.inline_left -= host.length;
        let bytes = content.bytes(&|_| None).map_err(|error| StepError::Host(error.to_string()))?;
        Ok(bytes.into())
    }

    /// Shows a regular file's content in pieces, as the steps so far will leave it, until `Break`.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn pieces(
        &self,
        target: &Target,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StepError> {
        let failed = |error| StepError::Fs(target.path.clone(), error);
        // Most files are far smaller than a piece.
        let size = usize::try_from(self.size(target)?).unwrap_or(PIECE);
        let mut piece = vec![0; size.clamp(1, PIECE)];
        if let Some(content) = self.new_content(target) {
            let originals = |volume: &VolumeId| self.filesystem(volume);
            let mut source = content.source(&originals).map_err(failed)?;
            let mut left = content.len();
            while left > 0 {
                let len = usize::try_from(left).unwrap_or(PIECE).min(piece.len());
                source(&mut piece[..len]).map_err(failed)?;
                if visit(&piece[..len]).is_break() {
                    break;
                }
                left -= len as u64;
            }
            return Ok(());
        }
        let Some(place) = target.place.as_ref().filter(|_| target.kind == Some(Kind::File)) else {
            return Ok(());
        };
        let mut at = 0;
        loop {
            let read = place.fs().read_at(place.node, at, &mut piece);
            let read = read.map_err(failed)?.min(piece.len());
            self.wipe_piece(target, at, &mut piece[..read]);
            if read == 0 || visit(&piece[..read]).is_break() {
                return Ok(());
            }
            at += read as u64;
        }
    }

    /// Reads a regular file from its beginning, as the steps so far will leave it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn reading<T>(
        &self,
        target: &Target,
        with: impl FnOnce(&mut dyn Read) -> T,
    ) -> Result<T, StepError> {
        let failed = |error| StepError::Fs(target.path.clone(), error);
        if let Some(content) = self.new_content(target) {
            let originals = |volume: &VolumeId| self.filesystem(volume);
            let source = content.source(&originals).map_err(failed)?;
            return Ok(with(&mut SourceReader { source, left: content.len() }));
        }
        match target.place.as_ref().filter(|_| target.kind == Some(Kind::File)) {
            Some(place) => {
                let kept = self.wiped_from(target).unwrap_or(u64::MAX);
                let wiped = self.size(target)?.saturating_sub(kept);
                let kept = place.reader().take(kept);
                Ok(with(&mut kept.chain(io::repeat(0).take(wiped))))
            }
            None => Ok(with(&mut std::io::empty())),
        }
    }

    /// A file's length as the steps so far will leave it; 0 for what is no regular file.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn size(&self, target: &Target) -> Result<u64, StepError> {
        if target.kind != Some(Kind::File) {
            return Ok(0);
        }
        if let Some(content) = self.new_content(target) {
            return Ok(content.len());
        }
        match &target.place {
            Some(place) => {
                let stat = self.guest.tree.stat(place);
                Ok(stat.map_err(|error| StepError::Fs(target.path.clone(), error))?.size)
            }
            None => Ok(0),
        }
    }
}

/// New content, read.
struct SourceReader<'a> {
    source: ContentSource<'a>,
    left: u64,
}

impl Read for SourceReader<'_> {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(dst.len());
        (self.source)(&mut dst[..len]).map_err(io::Error::other)?;
        self.left -= len as u64;
        Ok(len)
    }
}

/// Why a file is not edited.
fn too_long(size: u64) -> String {
    format!("{size} bytes long, more than {EDITABLE_BYTES}")
}
