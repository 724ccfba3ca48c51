//! The test suite: one binary, a module a subject.

mod conformance;
mod layers;
mod random;
