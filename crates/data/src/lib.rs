//! Deterministic, parallel, stateful loading of batches.
