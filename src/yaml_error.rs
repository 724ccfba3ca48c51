//! What a YAML parser says of a document, in words that say what to do.

/// What the parser says of mistakes that are made often, by a part of it, and what to do.
const HINTS: &[(&str, &str)] = &[
    (
        "mapping values are not allowed",
        "a key with a value does not belong here: text that holds ': ' has to be in quotes, and the \
         keys of one map begin in the same column",
    ),
    (
        "did not find expected ',' or '}'",
        "neither ',' nor '}' follows: text that holds ': ' or ', ' has to be in quotes",
    ),
    (
        "did not find expected ',' or ']'",
        "neither ',' nor ']' follows: text that holds ': ' or ', ' has to be in quotes",
    ),
    (
        "did not find expected '-' indicator",
        "an item of the list, or the end of the list, is expected here: the '-' of one list stand \
         in the same column",
    ),
    ("tabs disallowed", "a tab: indent with spaces"),
    ("unexpected character", "no text begins with this character: put it in quotes"),
    (
        "illegal placement of ':'",
        "no key can be here: close the bracket or brace that was opened before it",
    ),
    ("unclosed quote", "the quote is not closed"),
    ("recursion limit exceeded", "nested deeper than any reader follows"),
];

/// A parser's message without its position, which is told beside it.
pub(crate) fn in_words(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or_default();
    let hint = HINTS.iter().find(|(part, _)| message.contains(part));
    hint.map_or(message, |(_, words)| words).to_owned()
}
