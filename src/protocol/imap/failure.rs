//! Messages that a FETCH could not tell, and how it ends then.

use crate::config::FetchFailure;
use crate::mailbox::Error;

/// What went wrong so far, and what is to follow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failure {
    follows: FetchFailure,
    /// The one that says most.
    error: Option<Error>,
}

/// How a FETCH ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The tagged response from `OK` or `NO` on.
    Answer(&'static str),
    /// The last line of the session.
    Goodbye(&'static str),
}

/// True for what is no fault of this server or its files.
fn is_usual(error: Error) -> bool {
    matches!(error, Error::Expunged | Error::UnknownEncoding)
}

impl Failure {
    pub(super) fn new(follows: FetchFailure) -> Failure {
        Failure {
            follows,
            error: None,
        }
    }

    pub(super) fn note(&mut self, error: Error) {
        if self.error.is_none_or(is_usual) {
            self.error = Some(error);
        }
    }

    /// True if nothing more is to be told.
    pub(super) fn ends(&self) -> bool {
        self.follows == FetchFailure::DisconnectImmediately
            && self.error.is_some_and(|error| !is_usual(error))
    }

    /// `incomplete`: messages were left out because they were expunged.
    pub(super) fn outcome(&self, incomplete: bool) -> Outcome {
        let Some(error) = self.error else {
            return Outcome::Answer(match incomplete {
                true => "OK [EXPUNGEISSUED] Some messages were expunged meanwhile.",
                false => "OK Fetch completed.",
            });
        };
        let (answer, goodbye) = match error {
            Error::UnknownEncoding => {
                return Outcome::Answer(
                    "NO [UNKNOWN-CTE] Some parts are encoded in a way that is not known.",
                );
            }
            Error::Expunged => {
                return Outcome::Answer(
                    "NO [EXPUNGEISSUED] Some messages were expunged meanwhile.",
                );
            }
            Error::Corrupt => (
                "NO [CORRUPTION] Some messages are damaged; the server's log says which.",
                "* BYE [CORRUPTION] A message is damaged; the server's log says which.\r\n",
            ),
            Error::Fault => (
                "NO [SERVERBUG] Some messages cannot be told; the server has a defect.",
                "* BYE [SERVERBUG] A message cannot be told; the server has a defect.\r\n",
            ),
            _ => (
                "NO [UNAVAILABLE] Some messages cannot be read now; the server's log says why.",
                "* BYE [UNAVAILABLE] A message cannot be read now; the server's log says why.\r\n",
            ),
        };
        match self.follows {
            FetchFailure::NoAfter => Outcome::Answer(answer),
            _ => Outcome::Goodbye(goodbye),
        }
    }
}
