//! What a plan says is what is done, and anything else is found before it is committed.

mod image;
mod inconsistent;
mod memory;
mod shapes;
mod table_inside;
mod verify;
