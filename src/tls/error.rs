//! Why there is no certificate, or no key to it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why certificates and keys cannot be used: which file, and what is wrong with it.
#[derive(Debug)]
pub struct TlsError {
    /// `None`: it was in no file.
    pub(super) path: Option<PathBuf>,
    pub(super) problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// What the system says.
    Unreadable(io::Error),
    /// It is not PEM (RFC 7468), or ends too early.
    NoPem(String),
    NoCertificate,
    NoKey,
    /// The key is protected by a password, which nobody could give.
    EncryptedKey,
    /// What stands where the certificate should is none.
    BadCertificate(String),
    /// What stands where the key should is none, or of a kind that is not known.
    BadKey(String),
    /// The key is another certificate's: the one in this file.
    WrongKey(PathBuf),
    /// No certificate can be made.
    #[cfg(feature = "self-signed")]
    NotMade(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Problem::NoPem(error) => write!(f, "it is not PEM: {error}"),
            Problem::NoCertificate => f.write_str("there is no certificate in it"),
            Problem::NoKey => f.write_str("there is no private key in it"),
            Problem::EncryptedKey => f.write_str(
                "the private key in it is protected by a password; `openssl pkey` removes that",
            ),
            Problem::BadCertificate(error) => write!(f, "the certificate in it is none: {error}"),
            Problem::BadKey(error) => {
                write!(f, "the private key in it cannot be used: {error}")
            }
            Problem::WrongKey(certificate) => write!(
                f,
                "the private key in it is not that of the certificate in {}",
                certificate.display()
            ),
            #[cfg(feature = "self-signed")]
            Problem::NotMade(error) => write!(f, "no certificate can be made: {error}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}
