//! What `tls.rs` has, in a program without TLS: there is no session.

use crate::cli::client::flags::TlsArgs;
use crate::cli::client::transport::Brought;
use std::convert::Infallible;
use std::io;

#[derive(Debug)]
pub(super) struct Tls(Infallible);

impl Tls {
    pub(super) fn new(_: &str, _: &TlsArgs) -> Result<Self, String> {
        Err("this program was built without TLS (the feature `tls`)".to_owned())
    }

    pub(super) fn session(&self) -> io::Result<Session> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Session {
    pub(super) fn is_in_handshake(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn read<T>(&mut self, _: &mut T, _: &mut [u8]) -> io::Result<Brought> {
        match self.0 {}
    }

    pub(super) fn write<T>(&mut self, _: &mut T, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(super) fn flush<T>(&mut self, _: &mut T) -> io::Result<bool> {
        match self.0 {}
    }

    pub(super) fn end<T>(&mut self, _: &mut T) -> io::Result<()> {
        match self.0 {}
    }
}
