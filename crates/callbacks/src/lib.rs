//! The built-in callbacks.
