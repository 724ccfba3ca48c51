//! Planning: guest and operations in, every change worked out, nothing written.
