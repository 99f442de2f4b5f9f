//! Shared parts of the loggers that talk to a server.

pub(crate) mod address;
pub(crate) mod http;
pub(crate) mod outbox;
pub(crate) mod patience;
#[cfg(test)]
pub(crate) mod test_server;
