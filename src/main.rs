//! The command line.

use clap::Parser;

/// Seals offline disk images before they become templates.
#[derive(Parser)]
#[command(version, about)]
struct Cli {}

fn main() {
    Cli::parse();
}
