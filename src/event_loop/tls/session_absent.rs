//! Without the feature `tls` there is no session, and nothing that one could be made of.

use super::Progress;

/// Nobody has one.
#[derive(Clone, Debug)]
pub(crate) enum Acceptor {}

/// Nobody has one.
#[derive(Debug)]
pub(crate) enum Session {}

impl Session {
    pub(crate) fn new(acceptor: &Acceptor) -> Option<Self> {
        match *acceptor {}
    }

    pub(super) fn is_plain(&self, _: &[u8]) -> bool {
        match *self {}
    }

    pub(super) fn receive(&mut self, _: &mut [u8], _: &mut Vec<u8>) -> Progress {
        match *self {}
    }

    pub(super) fn is_secured(&self) -> bool {
        match *self {}
    }

    pub(super) fn has_ended(&self) -> bool {
        match *self {}
    }

    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match *self {}
    }

    pub(super) fn incomplete_bytes(&self) -> usize {
        match *self {}
    }

    pub(super) fn can_seal(&self) -> bool {
        match *self {}
    }

    pub(super) fn seal(&mut self, _: &[u8], _: &mut Vec<u8>) -> bool {
        match *self {}
    }

    pub(super) fn close(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn has_sealed(&self) -> bool {
        match *self {}
    }

    pub(super) fn sealed(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn take_sealed(&mut self, _: &mut Vec<u8>) {
        match *self {}
    }

    pub(super) fn keep_sealed(&mut self, _: &[u8]) {
        match *self {}
    }
}
