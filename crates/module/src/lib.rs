//! What a user of Stormfire implements and sees: the module, its log, its optimizers, its callbacks.
