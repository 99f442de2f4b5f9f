//! Fits of several ranks that resume.
