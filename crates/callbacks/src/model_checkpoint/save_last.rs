//! The option `save_last`.

/// Whether a [`ModelCheckpoint`] also keeps `last.ckpt`; a plain `true` or `false` is `On` or `Off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveLast {
    /// No.
    #[default]
    Off,
    /// As a file that stays when the checkpoint is removed under its other name.
    On,
    /// As a relative symbolic link to the newest checkpoint; a file when that is not kept under a name of its own.
    Link,
}

impl From<bool> for SaveLast {
    fn from(on: bool) -> Self {
        if on { SaveLast::On } else { SaveLast::Off }
    }
}
