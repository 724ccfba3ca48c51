//! Operations: what to clean, written down in YAML, and the verbs they are made of.

mod action;

pub use action::Action;
