//! What was measured, beside what the baseline expects of it.

use std::collections::BTreeMap;

use crate::baseline::{Entry, NEW_REFERENCE};

/// Benchmarks whose name begins so are what the others are compared with.
const REFERENCES: &str = "reference/";

/// One benchmark or step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) reference: Option<String>,
    /// Its time, where it was timed.
    pub(crate) ns: Option<f64>,
    /// The ratio or count of now, where it was measured.
    pub(crate) now: Option<f64>,
    /// The ratio or count that is expected, where one is.
    pub(crate) baseline: Option<f64>,
    /// By how many percent it may be worse.
    pub(crate) tolerance: f64,
}

/// What is to be said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the tolerance.
    Fine,
    /// Better by more than the tolerance: the baseline no longer guards much.
    Better,
    /// Worse by more than the tolerance.
    Worse,
    /// The baseline does not know it.
    New,
    /// The baseline knows it, and it was not measured: what is not measured is not guarded.
    Missing,
}

impl Verdict {
    /// Whether it makes the whole fail.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Verdict::Worse | Verdict::Missing)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Fine => "fine",
            Verdict::Better => "better",
            Verdict::Worse => "WORSE",
            Verdict::New => "new",
            Verdict::Missing => "NOT MEASURED",
        }
    }
}

impl Row {
    /// By how many percent it is more than expected.
    pub(crate) fn change(&self) -> Option<f64> {
        Some((self.now? / self.baseline? - 1.0) * 100.0)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.change() {
            Some(change) if change > self.tolerance => Verdict::Worse,
            // As far on a scale of factors: a tolerance of 100 % is twice, or half.
            Some(change) if 1.0 + change / 100.0 < 1.0 / (1.0 + self.tolerance / 100.0) => Verdict::Better,
            Some(_) => Verdict::Fine,
            None if self.now.is_none() => Verdict::Missing,
            None => Verdict::New,
        }
    }
}

/// Times as ratios to their references. The baseline's come first, in its order; then what it does not know.
pub(crate) fn times(expected: &[Entry], ns: &BTreeMap<String, f64>) -> Result<Vec<Row>, String> {
    let row = |name: &str, reference: &str, entry: Option<&Entry>| {
        let over = ns.get(reference).filter(|ns| **ns > 0.0);
        let over = over.ok_or_else(|| format!("the reference '{reference}' of '{name}' was not measured"))?;
        let time = ns.get(name).copied();
        Ok(Row {
            name: name.to_owned(),
            reference: Some(reference.to_owned()),
            ns: time,
            now: time.map(|time| time / over),
            baseline: entry.map(|entry| entry.value),
            tolerance: entry.map_or(0.0, |entry| entry.tolerance),
        })
    };
    let known =
        expected.iter().map(|entry| row(&entry.name, entry.reference.as_deref().unwrap_or_default(), Some(entry)));
    let new = ns.keys().filter(|name| !name.starts_with(REFERENCES) && !expected.iter().any(|e| e.name == **name));
    known.chain(new.map(|name| row(name, NEW_REFERENCE, None))).collect()
}

/// Instructions per step, in the same order.
pub(crate) fn counts(expected: &[Entry], counts: &BTreeMap<String, f64>) -> Vec<Row> {
    let row = |name: &str, entry: Option<&Entry>| Row {
        name: name.to_owned(),
        reference: None,
        ns: None,
        now: counts.get(name).copied(),
        baseline: entry.map(|entry| entry.value),
        tolerance: entry.map_or(0.0, |entry| entry.tolerance),
    };
    let new = counts.keys().filter(|name| !expected.iter().any(|e| e.name == **name));
    expected.iter().map(|e| row(&e.name, Some(e))).chain(new.map(|name| row(name, None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: f64) -> Entry {
        Entry { name: name.to_owned(), reference: Some("reference/floor_frame".to_owned()), value, tolerance: 25.0 }
    }

    fn measured(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_ratio_is_judged_by_its_tolerance() {
        let expected = ["same", "edge", "worse", "better", "missing"].map(|name| entry(name, 2.0));
        let ns = [
            ("reference/floor_frame", 100.0),
            ("same", 200.0),
            ("edge", 250.0),
            ("worse", 251.0),
            ("better", 159.0),
            ("unknown", 10.0),
        ];
        let rows = times(&expected, &measured(&ns)).unwrap();
        let words: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.verdict())).collect();
        assert_eq!(
            words,
            [
                ("same", Verdict::Fine),
                ("edge", Verdict::Fine),
                ("worse", Verdict::Worse),
                ("better", Verdict::Better),
                ("missing", Verdict::Missing),
                ("unknown", Verdict::New),
            ]
        );
        assert_eq!(words.iter().filter(|(_, verdict)| verdict.fails()).count(), 2);
        assert_eq!((rows[1].now, rows[1].change()), (Some(2.5), Some(25.0)));
    }

    #[test]
    fn a_slower_machine_changes_no_ratio() {
        let expected = [entry("one", 2.0)];
        let rows = times(&expected, &measured(&[("reference/floor_frame", 900.0), ("one", 1_800.0)])).unwrap();
        assert_eq!(rows[0].change(), Some(0.0));
    }

    #[test]
    fn without_its_reference_nothing_is_judged() {
        let error = times(&[entry("one", 2.0)], &measured(&[("one", 1.0)])).unwrap_err();
        assert!(error.contains("'reference/floor_frame' of 'one'"), "{error}");
    }

    #[test]
    fn counts_are_judged_alike() {
        let rows = counts(&[entry("frame", 8_000.0)], &measured(&[("frame", 10_001.0), ("second", 1.0)]));
        let verdicts: Vec<_> = rows.iter().map(Row::verdict).collect();
        assert_eq!(verdicts, [Verdict::Worse, Verdict::New]);
    }
}
