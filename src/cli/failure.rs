//! Why a command failed, and the exit code that says so to scripts.

use std::{fmt, io};

use crate::rpc::client::ClientError;
use crate::wallet::KeyFileError;

/// What kind of failure it was: the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// It could not be done.
    Failed = 1,
    /// The command line, or a value on it, makes no sense.
    Usage = 2,
    /// The node can't be reached.
    Unreachable = 3,
    /// The node was reached and refuses.
    Rejected = 4,
    /// A simulated world broke a rule that must hold.
    Violated = 5,
    /// A configuration, genesis, key or scenario file, or the environment, is wrong; starting again
    /// would not help.
    Config = 78,
}

/// A failed command: one message for people, one code for scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// The kind.
    pub code: ExitCode,
    /// What happened, to what, and what to do.
    pub message: String,
}

impl CommandError {
    /// A failure of a kind.
    #[must_use]
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// It could not be done.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// An argument makes no sense.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A file is wrong.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Config, message)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Unreachable { .. } | ClientError::Broken(_) => ExitCode::Unreachable,
            ClientError::Foreign(_) => ExitCode::Failed,
            ClientError::Refused { .. } | ClientError::Rpc(_) => ExitCode::Rejected,
        };
        Self::new(code, error.to_string())
    }
}

impl From<KeyFileError> for CommandError {
    fn from(error: KeyFileError) -> Self {
        let code = match &error {
            // A file that is to be read and is not there: another start finds it no more.
            KeyFileError::Io { call, error, .. }
                if *call == "open" && error.kind() == io::ErrorKind::NotFound =>
            {
                ExitCode::Config
            }
            KeyFileError::Exists(_) | KeyFileError::Io { .. } => ExitCode::Failed,
            KeyFileError::Open { .. } | KeyFileError::Malformed { .. } => ExitCode::Config,
        };
        Self::new(code, error.to_string())
    }
}
