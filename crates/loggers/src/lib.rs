//! Loggers for anyone who records numbers, with or without a Trainer.
