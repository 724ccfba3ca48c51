//! Reports of what was found and done, as text and as JSON.
