//! What comes back at first boot, as text.

use std::fmt::{self, Write};

use crate::plan::{Comeback, Return};
use crate::printable;

/// The part of a guest.
pub(super) fn part<'a>(
    out: &mut dyn Write,
    returns: impl Iterator<Item = &'a Return>,
) -> fmt::Result {
    let returns: Vec<&Return> = returns.collect();
    let Some(width) = returns.iter().map(|it| it.what.chars().count()).max() else { return Ok(()) };
    writeln!(out, "\nfirst boot")?;
    for Return { what, comes, .. } in returns {
        let head = match comes {
            Comeback::Made(_) | Comeback::Note(_) => "",
            Comeback::Added(_) => "ADDED: ",
            Comeback::Missing(_) => "MISSING: ",
            Comeback::Unknown(_) => "NOT KNOWN: ",
        };
        let line = format!("  {what:<width$}  {head}{}", comes.words());
        writeln!(out, "{}", printable::line(&line))?;
    }
    Ok(())
}
