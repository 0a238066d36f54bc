//! Secrets of the organization, which agents' documents name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Secret, is_host_of};
use crate::config::problem::Problem;
use crate::config::reader::Kept;

/// `[secrets]` of `offhook.toml`, and where the server keeps its own.
#[derive(Clone, Debug, Default)]
pub struct SecretBook {
    /// By name.
    pub named: BTreeMap<String, NamedSecret>,
    /// Where the secrets are kept that `offhook.toml` names: no agent may ask for them itself.
    pub(in crate::config) own: BTreeSet<Kept>,
}

/// A secret that agents' documents may name.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// The secret, or what is wrong with it, which matters when an agent that is met names it.
    pub(in crate::config) value: Result<Secret, Box<Problem>>,
    /// The hosts that may be sent it: names, or `*.` and a domain; never empty.
    pub hosts: Vec<String>,
}

impl NamedSecret {
    /// Whether it may be sent to `host`, a name, or `*.` and a domain, every name below which must be allowed then.
    pub fn may_go_to(&self, host: &str) -> bool {
        self.hosts.iter().any(|listed| match (host.strip_prefix("*."), listed.strip_prefix("*.")) {
            (Some(below), Some(domain)) => below == domain || is_host_of(below, listed),
            (Some(_), None) => false,
            (None, _) => is_host_of(host, listed),
        })
    }
}
