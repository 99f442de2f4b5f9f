//! Logged values of several ranks.
