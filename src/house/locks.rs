//! Locked documents (LOCK-02, LOCK-03): what a running campaign rests on is not changed under it.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::config::DocId;

/// Something that runs by an agent and calls from one of its deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What people call it.
    pub by: String,
    /// The agent.
    pub agent: String,
    /// The deployment that it calls from.
    pub deployment: Option<String>,
}

impl Lock {
    /// Whether it rests on the document: the agent's, and that of the deployment it calls from. Other deployments are free.
    pub fn holds(&self, doc: &DocId) -> bool {
        match doc {
            DocId::Agent(name) => *self.agent == **name,
            DocId::Deployment(name) => self.deployment.as_deref() == Some(name),
            DocId::Server | DocId::Models => false,
        }
    }
}

/// Who holds the document, by name; empty: it is free.
pub fn holders<'a>(doc: &DocId, locks: impl IntoIterator<Item = &'a Lock>) -> Vec<&'a str> {
    locks.into_iter().filter(|lock| lock.holds(doc)).map(|lock| lock.by.as_str()).collect()
}

/// Whether the document may be changed or deleted. An emergency off asks nobody.
///
/// # Errors
/// `locked`, with the names of what holds it.
pub fn may_change<'a>(doc: &DocId, locks: impl IntoIterator<Item = &'a Lock>) -> Result<(), Refusal> {
    let names = holders(doc, locks);
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(", ");
    Err(Refusal::state("locked", format!("This bot is used by running campaigns: {names}. Stop them first.")))
}

/// The documents that are locked, each with what is said of a change of it.
pub fn locked(locks: &[Lock]) -> BTreeMap<DocId, String> {
    let agents = locks.iter().map(|lock| DocId::Agent(lock.agent.as_str().into()));
    let deployments = locks.iter().filter_map(|lock| Some(DocId::Deployment(lock.deployment.as_deref()?.into())));
    let refused = |doc: DocId| Some((doc.clone(), may_change(&doc, locks).err()?.message));
    agents.chain(deployments).filter_map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_02_and_03_only_what_the_campaign_rests_on_is_locked() {
        let lock = |by: &str| Lock { by: by.to_owned(), agent: "mia".to_owned(), deployment: Some("desk".to_owned()) };
        let locks = [lock("Spring"), lock("Summer")];
        let [agent, desk] = [DocId::Agent("mia".into()), DocId::Deployment("desk".into())];
        for doc in [&agent, &desk] {
            let refusal = may_change(doc, &locks).unwrap_err();
            assert_eq!((refusal.code, refusal.status), ("locked", 409));
            assert_eq!(refusal.message, "This bot is used by running campaigns: Spring, Summer. Stop them first.");
        }
        for doc in [DocId::Agent("ben".into()), DocId::Deployment("shop".into()), DocId::Server, DocId::Models] {
            assert_eq!(may_change(&doc, &locks), Ok(()), "{doc}");
        }
        assert_eq!(may_change(&agent, &[]), Ok(()));
        let held = super::locked(&locks);
        assert_eq!(held.keys().collect::<Vec<_>>(), [&agent, &desk]);
        assert!(held.values().all(|why| *why == may_change(&agent, &locks).unwrap_err().message));
    }
}
