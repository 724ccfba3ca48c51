//! Compressed clusters (`docs/interop/qcow2.txt`, "Compressed Clusters Descriptor").

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use crate::block::ReadBlocks;
use crate::image::ImageError;

use super::table::Compressed;

/// Reads the compressed cluster at `place`, and gives how many bytes of the host file it takes.
pub(super) fn read(
    host: &dyn ReadBlocks,
    place: Compressed,
    cluster: u64,
) -> Result<(Vec<u8>, u64), ImageError> {
    let corrupt =
        |message: String| ImageError::corrupt("compressed cluster", place.offset, message);
    // The sectors of the last one may lie past the end of the file.
    let len = host.len().saturating_sub(place.offset).min(place.len);
    let mut stored = vec![0; len as usize];
    if len > 0 {
        host.read_at(place.offset, &mut stored)?;
    }
    // A byte more than a cluster lets the stream's end mark be read, which counts as its own.
    let mut bytes = vec![0; cluster as usize + 1];
    let mut inflate = DecompressorOxide::new();
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut inflate, &stored, &mut bytes, 0, flags);
    if written as u64 == cluster && status == TINFLStatus::Done {
        bytes.truncate(written);
        return Ok((bytes, read as u64));
    }
    let cut = if len < place.len { " (the file ends within it: is it whole?)" } else { "" };
    Err(corrupt(format!(
        "{written} bytes, not {cluster}, come from its {len} compressed bytes{cut}"
    )))
}
