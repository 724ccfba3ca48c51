//! Disk image formats: a driver each.
