//! What calls are to do next, for a carrier that takes only the URL of a document: kept until it asks there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::serve::metrics::Metrics;

/// Where the carrier asks.
pub(in crate::serve) const PATH: &str = "/twilio/document";
/// As many as there can be calls; the oldest makes room.
const MOST: usize = 10_000;
/// The carrier asks at once; what it did not ask for by then it never will.
const KEPT: Duration = Duration::from_secs(60);

/// Documents by the carrier's id of their call.
#[derive(Debug)]
pub(in crate::serve) struct Documents {
    kept: Mutex<VecDeque<Kept>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Kept {
    carrier_call: String,
    twiml: String,
    until: Instant,
}

impl Documents {
    pub(in crate::serve) fn new(metrics: Arc<Metrics>) -> Arc<Documents> {
        Arc::new(Documents { kept: Mutex::default(), metrics })
    }

    /// The call is to run this, instead of what it was to run before.
    pub(super) fn put(&self, carrier_call: &str, twiml: String, now: Instant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|one| one.until > now && one.carrier_call != carrier_call);
        if kept.len() >= MOST {
            kept.pop_front();
            self.metrics.carrier_reports.add("document_dropped", 1);
        }
        kept.push_back(Kept { carrier_call: carrier_call.to_owned(), twiml, until: now + KEPT });
    }

    /// What the call is to run. It stays: an answer may be lost, and be asked for again.
    pub(in crate::serve) fn get(&self, carrier_call: &str, now: Instant) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|one| one.carrier_call == carrier_call && one.until > now).map(|one| one.twiml.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_latest_document_for_a_minute_and_the_oldest_make_room() {
        let documents = Documents::new(Arc::new(Metrics::default()));
        let now = Instant::now();
        documents.put("a", "<1/>".to_owned(), now);
        documents.put("a", "<2/>".to_owned(), now);
        assert_eq!(documents.get("a", now).as_deref(), Some("<2/>"));
        assert_eq!(documents.get("a", now).as_deref(), Some("<2/>"), "asked for again");
        assert_eq!((documents.get("b", now), documents.get("a", now + KEPT)), (None, None));
        for n in 0..MOST {
            documents.put(&n.to_string(), String::new(), now);
        }
        assert_eq!((documents.get("a", now), documents.metrics.carrier_reports.get("document_dropped")), (None, 1));
        documents.put("late", String::new(), now + KEPT);
        assert_eq!(documents.kept.lock().expect("documents").len(), 1, "what is over is not kept");
    }
}
