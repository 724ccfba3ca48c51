//! The guest as its users see it: its mounted tree and the facts read off it.
