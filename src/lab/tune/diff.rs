//! Chosen settings as a change to an agent's document.

use toml_edit::{DocumentMut, Item, Value};

use super::words::number;
use crate::config::TurnSettings;

/// The table of an agent's document that holds the settings.
const TABLE: &str = "turn_detection";

/// Lines around a change that a diff shows.
const CONTEXT: usize = 3;

/// What must be written so that `from` becomes `to`: keys and values, in the order of the document that is shipped.
pub fn changes(from: &TurnSettings, to: &TurnSettings) -> Vec<(&'static str, Value)> {
    let float = |value: f32| {
        let text = number(value);
        text.parse::<f64>().map(Value::from).unwrap_or_else(|_| Value::from(f64::from(value)))
    };
    let all = [
        ("engine", from.engine != to.engine, Value::from(to.engine.name())),
        ("threshold", from.threshold != to.threshold, float(to.threshold)),
        ("hysteresis", from.hysteresis != to.hysteresis, float(to.hysteresis)),
        (
            "prefix_padding_ms",
            from.prefix_padding_ms != to.prefix_padding_ms,
            Value::from(i64::from(to.prefix_padding_ms)),
        ),
        (
            "silence_duration_ms",
            from.silence_duration_ms != to.silence_duration_ms,
            Value::from(i64::from(to.silence_duration_ms)),
        ),
        ("min_speech_ms", from.min_speech_ms != to.min_speech_ms, Value::from(i64::from(to.min_speech_ms))),
        ("max_turn_s", from.max_turn_s != to.max_turn_s, Value::from(i64::from(to.max_turn_s))),
        ("level_margin_db", from.level_margin_db != to.level_margin_db, Value::from(i64::from(to.level_margin_db))),
    ];
    all.into_iter().filter(|(_, changed, _)| *changed).map(|(key, _, value)| (key, value)).collect()
}

/// The changes as lines of a document, for who has none.
pub fn as_toml(changes: &[(&'static str, Value)]) -> String {
    let lines: String = changes.iter().map(|(key, value)| format!("{key} = {}\n", value.to_string().trim())).collect();
    format!("[{TABLE}]\n{lines}")
}

/// The agent's document `text` with these changes; all else, comments too, stays as it is. A key that stands there
/// commented out is put into force in its place.
///
/// # Errors
/// Why the document cannot be changed.
pub fn edit(text: &str, changes: &[(&'static str, Value)]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (key, value) in changes {
        text = edit_one(&text, key, value)?;
    }
    Ok(text)
}

fn edit_one(text: &str, key: &str, value: &Value) -> Result<String, String> {
    let mut document = parse(text)?;
    let written = document.get(TABLE).and_then(|table| table.get(key)).is_some();
    if !written && let Some(edited) = uncomment(text, key, value) {
        return Ok(edited);
    }
    let table = document.entry(TABLE).or_insert_with(toml_edit::table);
    let Some(table) = table.as_table_like_mut() else { return Err(format!("{TABLE} is not a table")) };
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value.clone();
            *old.decor_mut() = decor;
        }
        _ => drop(table.insert(key, Item::Value(value.clone()))),
    }
    Ok(document.to_string())
}

/// Puts `#key = …` of the table into force; `None` where no such line is, or where it means something else.
fn uncomment(text: &str, key: &str, value: &Value) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut within, mut done) = (false, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            within = bare.split('#').next().is_some_and(|head| head.trim() == format!("[{TABLE}]"));
        }
        let commented = bare.strip_prefix('#').map(str::trim_start).and_then(|rest| rest.strip_prefix(key));
        let is_key = commented.is_some_and(|rest| rest.trim_start().starts_with('='));
        if within && is_key && !done {
            done = true;
            let ending = &line[line.trim_end_matches(['\r', '\n']).len()..];
            out.push_str(&format!("{key} = {}{ending}", value.to_string().trim()));
        } else {
            out.push_str(line);
        }
    }
    // A line within a string may look like a comment.
    let read = parse(&out).ok()?;
    let same = read.get(TABLE)?.get(key)?.as_value()?.to_string().trim() == value.to_string().trim();
    let mut without = read;
    without.get_mut(TABLE)?.as_table_like_mut()?.remove(key);
    let others = |d: &DocumentMut| d.iter().map(|(k, v)| (k.to_owned(), plain(v))).collect::<Vec<_>>();
    (done && same && others(&without) == others(&parse(text).ok()?)).then_some(out)
}

/// An item's content without spaces and comments around it.
fn plain(item: &Item) -> String {
    match item {
        Item::Table(table) => table.iter().map(|(k, v)| format!("{k}={};", plain(v))).collect(),
        Item::ArrayOfTables(tables) => {
            let table = |t: &toml_edit::Table| t.iter().map(|(k, v)| format!("{k}={};", plain(v))).collect::<String>();
            tables.iter().map(table).collect::<Vec<_>>().join("|")
        }
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            value.to_string()
        }
        Item::None => String::new(),
    }
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|e: toml_edit::TomlError| format!("is not TOML: {}", e.message()))
}

/// The change from `old` to `new` as a unified diff; empty when they are the same.
pub fn unified(file: &str, old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let edits = edits(&a, &b);
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = (at..edits.len()).find(|&i| edits[i].sign != ' ') {
        let from = first.saturating_sub(CONTEXT).max(at);
        // Changes whose contexts touch are one piece.
        let mut last = first;
        while let Some(next) = (last + 1..edits.len().min(last + 2 * CONTEXT + 2)).find(|&i| edits[i].sign != ' ') {
            last = next;
        }
        let to = (last + CONTEXT + 1).min(edits.len());
        if out.is_empty() {
            out = format!("--- {file}\n+++ {file}\n");
        }
        let piece = &edits[from..to];
        let count = |other: char| piece.iter().filter(|e| e.sign != other).count();
        let (old_lines, new_lines) = (count('+'), count('-'));
        let start = |line: usize, lines: usize| if lines == 0 { line } else { line + 1 };
        out += &format!(
            "@@ -{},{old_lines} +{},{new_lines} @@\n",
            start(edits[from].a, old_lines),
            start(edits[from].b, new_lines)
        );
        for edit in piece {
            out.extend([edit.sign.to_string().as_str(), edit.text, "\n"]);
        }
        at = to;
    }
    out
}

/// A line of a diff, with how many lines of each text are before it.
struct Edit<'a> {
    sign: char,
    text: &'a str,
    a: usize,
    b: usize,
}

/// By the longest common subsequence of what is between a common beginning and a common end.
fn edits<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<Edit<'a>> {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (inner_a, inner_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut common = vec![vec![0u32; inner_b.len() + 1]; inner_a.len() + 1];
    for (i, x) in inner_a.iter().enumerate().rev() {
        for (j, y) in inner_b.iter().enumerate().rev() {
            common[i][j] = if x == y { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut signs = vec![' '; head];
    let (mut i, mut j) = (0, 0);
    while i < inner_a.len() || j < inner_b.len() {
        let sign = match (inner_a.get(i), inner_b.get(j)) {
            (Some(x), Some(y)) if x == y => ' ',
            (Some(_), Some(_)) if common[i + 1][j] < common[i][j + 1] => '+',
            (Some(_), _) => '-',
            (None, _) => '+',
        };
        signs.push(sign);
        i += usize::from(sign != '+');
        j += usize::from(sign != '-');
    }
    signs.resize(signs.len() + tail, ' ');
    let (mut i, mut j) = (0, 0);
    let edit = |sign| {
        let edit = Edit { sign, text: if sign == '+' { b[j] } else { a[i] }, a: i, b: j };
        i += usize::from(sign != '+');
        j += usize::from(sign != '-');
        edit
    };
    signs.into_iter().map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Who talks.
model = \"m\"

# Turns.
[turn_detection]
# Who decides.
#mode = \"local\"
threshold = 0.5   # tried on Monday
# Silence that ends a turn.
#silence_duration_ms = 200

# When it fails.
[on_failure]
play = \"x.wav\"
";

    fn wanted() -> Vec<(&'static str, Value)> {
        let from = TurnSettings::default();
        let to = TurnSettings { threshold: 0.6, silence_duration_ms: 350, min_speech_ms: 90, ..from.clone() };
        changes(&from, &to)
    }

    #[test]
    fn a_change_keeps_comments_and_puts_commented_keys_into_force_in_their_place() {
        let edited = edit(DOCUMENT, &wanted()).unwrap();
        let expected = "\
--- agents/a.toml
+++ agents/a.toml
@@ -5,9 +5,10 @@
 [turn_detection]
 # Who decides.
 #mode = \"local\"
-threshold = 0.5   # tried on Monday
+threshold = 0.6   # tried on Monday
 # Silence that ends a turn.
-#silence_duration_ms = 200
+silence_duration_ms = 350
+min_speech_ms = 90
 
 # When it fails.
 [on_failure]
";
        assert_eq!(unified("agents/a.toml", DOCUMENT, &edited), expected);
        assert_eq!(unified("a", DOCUMENT, DOCUMENT), "");
    }

    #[test]
    fn documents_of_any_shape_take_the_change() {
        for (document, expected) in [
            ("model = \"m\"\n", "model = \"m\"\n\n[turn_detection]\nthreshold = 0.6\n"),
            ("turn_detection = { threshold = 0.5, mode = \"local\" }\n", "{ threshold = 0.6, mode = \"local\" }"),
            ("turn_detection.threshold = 0.4 # low\n", "turn_detection.threshold = 0.6 # low\n"),
            (
                "[turn_detection]\n\n[on_failure]\n#threshold = 1\n",
                "[turn_detection]\nthreshold = 0.6\n\n[on_failure]\n#threshold",
            ),
            ("[turn_detection]\nx = \"\"\"\n#threshold = 1\n\"\"\"\n", "#threshold = 1\n\"\"\"\nthreshold = 0.6\n"),
        ] {
            let edited = edit(document, &wanted()[..1]).unwrap();
            assert!(edited.contains(expected), "{document}\n{edited}");
        }
        assert!(edit("turn_detection = 1\n", &wanted()).unwrap_err().contains("not a table"));
        assert!(edit("a = \n", &wanted()).unwrap_err().contains("not TOML"));
    }

    #[test]
    fn changes_far_apart_are_two_pieces() {
        let old: String = (0..30).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n2\n", "\ntwo\n").replace("\n25\n", "\n25\nmore\n");
        let diff = unified("f", &old, &new);
        assert_eq!(diff.matches("@@ -").count(), 2, "{diff}");
        assert!(diff.contains("@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+two\n 3\n"), "{diff}");
        assert!(diff.contains("@@ -24,6 +24,7 @@\n 23\n 24\n 25\n+more\n 26\n"), "{diff}");
    }
}
