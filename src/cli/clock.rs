//! What time it is.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use sysprep_rs::fs::Timestamp;
use sysprep_rs::plan::TIMES;

use super::failure::Failure;

/// The time given to what is made or changed: `SOURCE_DATE_EPOCH`, or the clock in whole seconds.
pub(crate) fn now() -> Result<Timestamp, Failure> {
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().ok().filter(|it| TIMES.contains(it)).ok_or_else(|| {
            let (first, last) = (TIMES.start(), TIMES.end());
            Failure::usage(format!(
                "SOURCE_DATE_EPOCH='{text}': write seconds since 1970, from {first} to {last}"
            ))
        })?,
        Err(env::VarError::NotPresent) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX)),
        Err(error) => return Err(Failure::usage(format!("SOURCE_DATE_EPOCH: {error}"))),
    };
    Ok(Timestamp { seconds, nanos: 0 })
}
