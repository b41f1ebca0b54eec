//! The endpoints of a hub: each with the number of its log of broadcasts.

use super::Hub;
use crate::config::WebSocketConfig;
use crate::output::{LogId, LogLimits};
use std::rc::Rc;

impl Hub {
    /// Adds an endpoint; its index, which its log has too. `None`: there is no room for another log.
    ///
    /// Logs of clients whose messages are compressed are counted with those of endpoints: what has the
    /// index of one is no endpoint.
    pub(crate) fn add_endpoint(&self, config: Rc<WebSocketConfig>) -> Option<u16> {
        let index = self.add_log(&config)?.index();
        let mut endpoints = self.endpoints.borrow_mut();
        endpoints.resize(usize::from(index), Rc::clone(&config));
        endpoints.push(config);
        Some(index)
    }

    pub(super) fn add_log(&self, config: &WebSocketConfig) -> Option<LogId> {
        self.output.borrow_mut().add_log(limits(config))
    }

    /// Gives an endpoint other options. Whether its messages are compressed, and how, is with its
    /// clients, and stays.
    pub(crate) fn set_config(&self, endpoint: u16, config: &WebSocketConfig) {
        let compression = self.config(endpoint).compression;
        let config = Rc::new(WebSocketConfig {
            compression,
            ..config.clone()
        });
        let mut output = self.output.borrow_mut();
        output.set_limits(LogId::from_index(endpoint), limits(&config));
        for log in self.compressors.borrow().logs(endpoint) {
            output.set_limits(log, limits(&config));
        }
        self.endpoints.borrow_mut()[usize::from(endpoint)] = config;
    }

    pub(crate) fn config(&self, endpoint: u16) -> Rc<WebSocketConfig> {
        Rc::clone(&self.endpoints.borrow()[usize::from(endpoint)])
    }

    #[inline]
    pub(crate) fn max_frame_bytes(&self, endpoint: u16) -> Option<usize> {
        self.endpoints.borrow()[usize::from(endpoint)].max_outgoing_frame_bytes
    }
}

const fn limits(config: &WebSocketConfig) -> LogLimits {
    LogLimits {
        soft_backlog_bytes: config.soft_backlog_bytes,
        hard_backlog_bytes: config.hard_backlog_bytes,
        policy: config.backlog_policy,
    }
}
