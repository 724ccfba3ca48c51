//! Telling the image a log belongs to from every other file.

use std::fmt;

use super::header::MAX_SAMPLES;
use super::{Header, Sample};
use crate::block::{BlockError, Extent, ReadBlocks};

/// How long a sample is: the page and block size of most hosts.
const SAMPLE: u64 = 4096;

/// How many places are looked at while choosing samples; bounds the time on an image of many
/// small extents.
const MAX_PROBES: usize = 1024;

/// Why a file is not the one a log was written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Neither of the two lengths the image had.
    Length {
        /// In bytes.
        found: u64,
        /// Before the commit.
        before: u64,
        /// After the commit.
        after: u64,
    },
    /// Bytes the commit changes are neither what they were nor what it makes of them.
    Touched {
        /// Byte offset in the file of the first sector that is not.
        at: u64,
    },
    /// Bytes the commit does not touch are others.
    Content {
        /// Byte offset in the file.
        at: u64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found, before, after } if before == after => {
                write!(f, "it is {found} bytes long, the log's image {before}")
            }
            Self::Length { found, before, after } => {
                write!(f, "it is {found} bytes long, the log's image {before} or {after}")
            }
            Self::Content { at } => {
                write!(f, "its content at byte {at} is not that of the log's image")
            }
            Self::Touched { at } => write!(
                f,
                "its content at byte {at} is neither what it was nor what the seal makes of it"
            ),
        }
    }
}

/// Digests of bytes that no range of `touched` (in order, apart) covers, and that both lengths of
/// the image hold. Taken right beside the touched ranges first, where another system that used
/// the image meanwhile would most likely have written, then evenly over the file.
///
/// # Errors
/// Reading the image failed.
pub fn samples(
    image: &dyn ReadBlocks,
    touched: &[(u64, u64)],
    len_after: u64,
) -> Result<Vec<Sample>, BlockError> {
    let len = image.len().min(len_after);
    let free = |at: u64| -> bool {
        let next = touched.partition_point(|&(start, len)| start.saturating_add(len) <= at);
        at + SAMPLE <= len && touched.get(next).is_none_or(|&(start, _)| start >= at + SAMPLE)
    };
    let mut places = Vec::new();
    // A quarter of the probes each before and behind touched ranges, spread over them.
    let step = touched.len().div_ceil(MAX_PROBES / 4).max(1);
    for &(start, touched_len) in touched.iter().step_by(step) {
        let end = start.saturating_add(touched_len).min(len);
        places.extend((start / SAMPLE).checked_sub(1).map(|block| block * SAMPLE));
        places.push(end.div_ceil(SAMPLE) * SAMPLE);
    }
    let blocks = len / SAMPLE;
    let beside = pick(image, &places, MAX_SAMPLES / 2, &free)?;
    let spread: Vec<u64> = (0..blocks.min(MAX_PROBES as u64 / 2))
        .map(|n| (u128::from(n) * u128::from(blocks) / u128::from(blocks.min(512))) as u64 * SAMPLE)
        .collect();
    let mut chosen = beside;
    for at in pick(image, &spread, MAX_SAMPLES, &free)? {
        if chosen.len() < MAX_SAMPLES && !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    chosen.sort_unstable();
    let mut buffer = vec![0; SAMPLE as usize];
    chosen
        .into_iter()
        .map(|at| {
            image.read_at(at, &mut buffer)?;
            Ok(Sample::of(at, &buffer))
        })
        .collect()
}

/// At most `count` of `places`, evenly spread, that are free and hold data.
fn pick(
    image: &dyn ReadBlocks,
    places: &[u64],
    count: usize,
    free: &dyn Fn(u64) -> bool,
) -> Result<Vec<u64>, BlockError> {
    let mut usable = Vec::new();
    for &at in places {
        if free(at) && !usable.contains(&at) && matches!(image.extent_at(at)?, Extent::Data(_)) {
            usable.push(at);
        }
    }
    let step = usable.len().div_ceil(count.max(1)).max(1);
    Ok(usable.into_iter().step_by(step).collect())
}

/// How `image` differs from the image the log was written for; `None` when it is that image,
/// at whatever instant the commit was stopped.
///
/// # Errors
/// Reading the image failed.
pub fn differs(header: &Header, image: &dyn ReadBlocks) -> Result<Option<Mismatch>, BlockError> {
    let found = image.len();
    let (before, after) = (header.len_before, header.len_after);
    if found != before && found != after {
        return Ok(Some(Mismatch::Length { found, before, after }));
    }
    let mut buffer = Vec::new();
    for sample in &header.samples {
        let wrong = Mismatch::Content { at: sample.at };
        // A sample is one block; a longer one was not written by us.
        if u64::from(sample.len) > SAMPLE
            || sample.at.checked_add(u64::from(sample.len)).is_none_or(|end| end > found)
        {
            return Ok(Some(wrong));
        }
        buffer.resize(sample.len as usize, 0);
        image.read_at(sample.at, &mut buffer)?;
        if Sample::of(sample.at, &buffer) != *sample {
            return Ok(Some(wrong));
        }
    }
    Ok(None)
}
