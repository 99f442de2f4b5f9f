//! Checkpoint files: weights, optimizer state and everything else of a run as plain data.
