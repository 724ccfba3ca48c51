//! Applying a plan: stage, verify, commit, recover.
