//! The destination of messages: an archive or a server.

use super::carrier::Destination;
use super::message::{FileNote, Identity, Message};
use super::offline::{Experiment, Folder};
use crate::network::outbox::{Outbox, Sending};
use crate::parts::identity::now_ms;
use crate::{Delivery, Patience, Result, Secret, Status};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The settings of a journal.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) key: String,
    /// Whether the experiment may already exist.
    pub(super) own_key: bool,
    pub(super) project: String,
    pub(super) workspace: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) server: String,
    /// `None` offline.
    pub(super) api_key: Option<Secret>,
    pub(super) strict: bool,
    /// Time that the end of a run waits without progress of the delivery.
    pub(super) patience: Patience,
    /// Maximum number of waiting bytes.
    pub(super) limit: u64,
}

impl Facts {
    pub(super) fn destination(&self) -> Destination {
        let Self { server, key, project, workspace, .. } = self.clone();
        Destination { server, key, project, workspace }
    }
}

/// See the module.
pub(super) struct Journal {
    place: Place,
    next_id: u64,
    /// The messages that the server has and that will be logged again, with their number.
    known: HashMap<Identity, usize>,
}

enum Place {
    Folder(Box<Folder>),
    Outbox(Box<Outbox<Message>>),
}

impl Journal {
    pub(super) fn open(folder: &Path, facts: &Facts) -> Result<Self> {
        let place = if let Some(api_key) = &facts.api_key {
            Place::Outbox(Box::new({
                let (strict, patience, limit) = (facts.strict, facts.patience.clone(), facts.limit);
                let sending = Sending { patience, strict, limit, ..Sending::new(&facts.project) };
                facts.destination().outbox(folder, api_key.clone(), sending)?
            }))
        } else {
            Place::Folder(Box::new(Folder::open(folder, experiment(facts))?))
        };
        Ok(Self { place, next_id: 1, known: HashMap::new() })
    }

    pub(super) fn folder(&self) -> &Path {
        match &self.place {
            Place::Folder(folder) => folder.path(),
            Place::Outbox(outbox) => outbox.folder(),
        }
    }

    /// The path of the archive. `None` online.
    pub(super) fn archive(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Folder(folder) => Some(folder.archive()),
            Place::Outbox(_) => None,
        }
    }

    pub(super) const fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Adds a message. `message` gets its number.
    pub(super) fn push(&mut self, message: impl FnOnce(u64) -> Message) -> Result<()> {
        let message = message(self.next_id);
        self.add(&message)
    }

    /// Adds a file from bytes.
    pub(super) fn push_bytes(&mut self, note: FileNote, bytes: &[u8]) -> Result<()> {
        let draft = note.upload(PathBuf::new(), true, self.next_id);
        if self.is_known(&draft) {
            return Ok(());
        }
        let Message::FileUpload(mut upload) = draft else { return Ok(()) };
        upload.file_path = match &mut self.place {
            Place::Folder(folder) => folder.keep(bytes)?,
            Place::Outbox(outbox) => outbox.keep("file", bytes)?,
        };
        self.write(&Message::FileUpload(upload))
    }

    /// Adds an existing file. A file that is never modified, such as that of a model, is linked at once, so it may be
    /// removed or replaced. Any other file is copied into an archive, or sent to a server in its state at that time.
    pub(super) fn push_file(&mut self, note: FileNote, file: &Path, is_fixed: bool) -> Result<()> {
        let draft = note.upload(std::path::absolute(file)?, false, self.next_id);
        if self.is_known(&draft) {
            return Ok(());
        }
        let Message::FileUpload(mut upload) = draft else { return Ok(()) };
        // Reports a missing file now, not when it is sent.
        fs_err::metadata(file)?;
        match &mut self.place {
            Place::Folder(folder) => (upload.file_path, upload.clean) = (folder.keep_file(file, is_fixed)?, true),
            Place::Outbox(outbox) if is_fixed => (upload.file_path, upload.clean) = (outbox.keep_file(file)?, true),
            Place::Outbox(_) => {}
        }
        self.write(&Message::FileUpload(upload))
    }

    /// Sends the tags to a server. In an archive they are in `experiment.json`.
    pub(super) fn push_tags(&mut self, tags: &[String]) -> Result<()> {
        match &self.place {
            Place::Outbox(_) if !tags.is_empty() => self.add(&Message::Tags { tags: tags.to_vec() }),
            _ => Ok(()),
        }
    }

    fn add(&mut self, message: &Message) -> Result<()> {
        if self.is_known(message) { Ok(()) } else { self.write(message) }
    }

    fn write(&mut self, message: &Message) -> Result<()> {
        self.next_id += 1;
        match &mut self.place {
            Place::Folder(folder) => folder.push(message),
            Place::Outbox(outbox) => outbox.push(message),
        }
    }

    fn is_known(&mut self, message: &Message) -> bool {
        if self.known.is_empty() {
            return false;
        }
        let Some(identity) = message.identity() else { return false };
        match self.known.get_mut(&identity) {
            Some(1) => self.known.remove(&identity).is_some(),
            Some(times) => {
                *times -= 1;
                true
            }
            None => false,
        }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Folder(folder) => folder.flush(),
            Place::Outbox(outbox) => outbox.flush(),
        }
    }

    /// Creates the archive, or waits for the server.
    pub(super) fn end(&mut self, status: Status) -> Result<()> {
        let ended = Message::ended(status);
        match &mut self.place {
            Place::Folder(folder) => {
                let Message::Ended { error, .. } = ended else { return Ok(()) };
                let archive = folder.pack(error)?;
                tracing::info!("the run can be sent with `comet upload {}`", archive.display());
                Ok(())
            }
            Place::Outbox(outbox) => {
                outbox.push(&ended)?;
                outbox.settle().map(drop)
            }
        }
    }

    pub(super) fn delivery(&self) -> Option<Delivery> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Outbox(outbox) => Some(outbox.delivery()),
        }
    }

    pub(super) fn position(&mut self) -> Result<u64> {
        match &mut self.place {
            Place::Folder(folder) => folder.position(),
            Place::Outbox(outbox) => outbox.position(),
        }
    }

    /// Rolls back to a position. Returns false if its messages are missing here.
    pub(super) fn rewind(&mut self, to: u64, next_id: u64) -> Result<bool> {
        self.next_id = next_id;
        match &mut self.place {
            Place::Folder(folder) => folder.rewind(to),
            Place::Outbox(outbox) => {
                for identity in outbox.rewind(to)?.iter().filter_map(Message::identity) {
                    *self.known.entry(identity).or_default() += 1;
                }
                Ok(true)
            }
        }
    }

    /// Removes files that are no longer needed.
    pub(super) fn close(self) -> Result<()> {
        match self.place {
            Place::Folder(folder) => folder.close(),
            Place::Outbox(_) => Ok(()),
        }
    }
}

fn experiment(facts: &Facts) -> Experiment {
    let now = now_ms();
    Experiment {
        offline_id: facts.key.clone(),
        project_name: Some(facts.project.clone()),
        workspace: facts.workspace.clone(),
        start_time: now,
        stop_time: now,
        tags: facts.tags.clone(),
        resume_strategy: if facts.own_key { "get_or_create" } else { "create" }.to_owned(),
        customer_error_reported: false,
        customer_error_message: None,
        user_provided_experiment_key: facts.own_key,
        comet_start_sourced: false,
    }
}
