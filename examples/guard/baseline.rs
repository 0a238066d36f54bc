//! The committed figures: read, and written anew with their comments and order kept.

use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use crate::verdict::Row;

/// Allowed for what is new until somebody has measured its spread, in percent.
const NEW_TOLERANCE: [(Section, i64); 2] = [(Section::Times, 30), (Section::Counts, 2)];
/// A new benchmark's reference until somebody has chosen one.
pub(crate) const NEW_REFERENCE: &str = "reference/floor_frame";

/// Which figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Times,
    Counts,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// What a time is divided by.
    pub(crate) reference: Option<String>,
    /// The ratio, or the number of instructions.
    pub(crate) value: f64,
    /// How much worse it may be, in percent.
    pub(crate) tolerance: f64,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Baseline {
    document: DocumentMut,
}

impl Section {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Section::Times => "times",
            Section::Counts => "counts",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Section::Times => "ratio",
            Section::Counts => "instructions",
        }
    }

    /// As it is written: four digits of a ratio, whole instructions.
    fn value(self, value: f64) -> Value {
        match self {
            Section::Times => {
                let unit = 10f64.powf(value.log10().floor() - 3.0);
                let digits = if unit.is_normal() { (-unit.log10()).round().max(1.0) as usize } else { 1 };
                format!("{value:.digits$}").parse().unwrap_or_else(|_| Value::from(value))
            }
            Section::Counts => Value::from(value.round() as i64),
        }
    }
}

impl Baseline {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}; run it at the project's root", path.display()))?;
        Baseline::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(Baseline { document: text.parse().map_err(|error: toml_edit::TomlError| error.to_string())? })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), String> {
        std::fs::write(path, self.document.to_string())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// The lines of a section, in order.
    pub(crate) fn entries(&self, section: Section) -> Result<Vec<Entry>, String> {
        let Some(lines) = self.document.get(section.name()).and_then(Item::as_table_like) else {
            return Ok(Vec::new());
        };
        lines.iter().filter(|(_, item)| item.is_table_like()).map(|(name, item)| entry(section, name, item)).collect()
    }

    /// What a section was measured on.
    pub(crate) fn made_on(&self, section: Section) -> Option<&str> {
        self.document.get(section.name())?.get("made_on")?.as_str()
    }

    /// Takes over what was measured. What is not in the file yet is appended to its section.
    pub(crate) fn update(&mut self, section: Section, rows: &[Row], made_on: &str) -> Result<(), String> {
        let lines = self.document.entry(section.name()).or_insert_with(toml_edit::table);
        let Some(lines) = lines.as_table_like_mut() else {
            return Err(format!("'{}' is to be a table", section.name()));
        };
        replace(lines, "made_on", Value::from(made_on));
        for row in rows {
            let Some(now) = row.now else { continue };
            if let Some(line) = lines.get_mut(&row.name).and_then(Item::as_table_like_mut) {
                replace(line, section.key(), section.value(now));
                continue;
            }
            let mut line = InlineTable::new();
            if section == Section::Times {
                line.insert("reference", Value::from(row.reference.as_deref().unwrap_or(NEW_REFERENCE)));
            }
            line.insert(section.key(), section.value(now));
            let tolerance = NEW_TOLERANCE.iter().find(|(of, _)| *of == section).map_or(0, |(_, percent)| *percent);
            line.insert("tolerance", Value::from(tolerance));
            lines.insert(&row.name, Item::Value(Value::InlineTable(line)));
        }
        Ok(())
    }

    #[cfg(test)]
    fn text(&self) -> String {
        self.document.to_string()
    }
}

fn entry(section: Section, name: &str, item: &Item) -> Result<Entry, String> {
    let number = |key: &str| {
        let value = item.get(key).and_then(|item| item.as_float().or_else(|| item.as_integer().map(|n| n as f64)));
        value.filter(|n| *n > 0.0).ok_or_else(|| format!("'{name}' needs a '{key}', a number greater than 0"))
    };
    let reference = item.get("reference").and_then(Item::as_str).map(str::to_owned);
    if section == Section::Times && reference.is_none() {
        return Err(format!("'{name}' needs a 'reference', the benchmark that its time is divided by"));
    }
    Ok(Entry { name: name.to_owned(), reference, value: number(section.key())?, tolerance: number("tolerance")? })
}

/// Sets a value and leaves the space and comments around it as they are.
fn replace(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"# Why these tolerances.
[times]
made_on = "here"
# Parsing.
"twilio/parse"   = { reference = "reference/floor_frame", ratio = 0.5, tolerance = 10 } # the first
"audio/resample" = { reference = "reference/memcpy_frame", ratio = 12.25, tolerance = 15.5 }

[counts]
frame = { instructions = 8208, tolerance = 2 }
"#;

    fn row(name: &str, now: Option<f64>) -> Row {
        Row { name: name.to_owned(), reference: None, ns: None, now, baseline: None, tolerance: 0.0 }
    }

    #[test]
    fn lines_are_read_in_order() {
        let baseline = Baseline::parse(FILE).unwrap();
        let times = baseline.entries(Section::Times).unwrap();
        assert_eq!(times.len(), 2);
        assert_eq!(times[0].name, "twilio/parse");
        assert_eq!(times[0].reference.as_deref(), Some("reference/floor_frame"));
        assert_eq!((times[1].value, times[1].tolerance), (12.25, 15.5));
        let counts = baseline.entries(Section::Counts).unwrap();
        assert_eq!((counts[0].reference.clone(), counts[0].value, counts[0].tolerance), (None, 8_208.0, 2.0));
        assert_eq!(baseline.made_on(Section::Times), Some("here"));
        assert_eq!(baseline.made_on(Section::Counts), None);
    }

    #[test]
    fn a_line_that_lacks_something_says_what() {
        for (line, named) in [
            ("x = { ratio = 1.0, tolerance = 10 }", "'reference'"),
            ("x = { reference = \"r\", tolerance = 10 }", "'ratio'"),
            ("x = { reference = \"r\", ratio = 0, tolerance = 10 }", "'ratio'"),
            ("x = { reference = \"r\", ratio = 1.0, tolerance = \"10\" }", "'tolerance'"),
        ] {
            let error = Baseline::parse(&format!("[times]\n{line}\n")).unwrap().entries(Section::Times).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
        assert!(Baseline::parse("[times").is_err());
    }

    #[test]
    fn an_update_changes_the_figures_and_nothing_else() {
        let mut baseline = Baseline::parse(FILE).unwrap();
        let rows =
            [row("audio/resample", Some(11.123_456)), row("twilio/parse", None), row("new/one", Some(0.012_345))];
        baseline.update(Section::Times, &rows, "there").unwrap();
        baseline.update(Section::Counts, &[row("frame", Some(7_999.6))], "there").unwrap();
        let expected = FILE
            .replace("\"here\"", "\"there\"")
            .replace("12.25", "11.12")
            .replace(
                "tolerance = 15.5 }\n",
                "tolerance = 15.5 }\n\"new/one\" = { reference = \"reference/floor_frame\", ratio = 0.01235, tolerance = 30 }\n",
            )
            .replace("8208, tolerance = 2 }\n", "8000, tolerance = 2 }\nmade_on = \"there\"\n");
        assert_eq!(baseline.text(), expected);
    }
}
