//! Text with variables in it: `Good {{system.weekday}}, {{crm.name}}!`
//!
//! A variable is a namespace, a dot and a name between double braces, with spaces or without. `{{{{` is two braces
//! that mean nothing; a single brace and `}}` by itself are text. Which variables there are is for the user of a
//! [`Template`] to say. [`url`] and [`json`] put values where they cannot change what is around them.

pub mod json;
pub mod url;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde_json::Value;

/// Values by full name, such as `crm.name`.
pub type Variables = BTreeMap<String, String>;

/// What a template is filled in with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    variables: &'a Variables,
    trees: [Option<(&'a str, &'a Value)>; MAX_TREES],
}

/// Namespaces of JSON that a template can have beside its variables.
const MAX_TREES: usize = 3;

impl<'a> Values<'a> {
    /// Variables by their full names.
    pub fn new(variables: &'a Variables) -> Self {
        Values { variables, trees: [None; MAX_TREES] }
    }

    /// With the members of `tree`, an object, as the variables of `namespace`, and with all of it as `json` unless a
    /// member has that name. A fourth is left out.
    pub fn with(mut self, namespace: &'a str, tree: &'a Value) -> Self {
        if let Some(free) = self.trees.iter_mut().find(|tree| tree.is_none()) {
            *free = Some((namespace, tree));
        }
        self
    }

    /// The value of a variable by its full name.
    pub fn get(&self, name: &str) -> Option<Filling<'a>> {
        let (namespace, member) = name.split_once('.')?;
        match self.trees.iter().flatten().find(|(known, _)| *known == namespace) {
            Some((_, tree)) => tree.get(member).or((member == "json").then_some(tree)).map(Filling::Json),
            None => self.variables.get(name).map(|text| Filling::Text(text)),
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub enum Filling<'a> {
    /// Text.
    Text(&'a str),
    /// Whatever JSON has; text among it.
    Json(&'a Value),
}

impl<'a> Filling<'a> {
    /// As text: what is not text is written as JSON, and `null` as nothing.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Filling::Text(text) => Cow::Borrowed(text),
            Filling::Json(Value::String(text)) => Cow::Borrowed(text),
            Filling::Json(Value::Null) => Cow::Borrowed(""),
            Filling::Json(value) => Cow::Owned(value.to_string()),
        }
    }
}

/// Text that was read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A stretch of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Said as it is.
    Text(String),
    /// Replaced by a value.
    Variable {
        /// Namespace, dot and name.
        name: String,
        /// Where it stands in the source with its braces, in bytes.
        at: Range<usize>,
    },
}

/// Why text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong in the source, in bytes; on boundaries of characters.
    pub at: Range<usize>,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads `text`.
    ///
    /// # Errors
    /// `{{` without its `}}`, or with something else than a variable between them.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut template = Template::default();
        let mut from = 0;
        while let Some(found) = text[from..].find(OPEN) {
            let open = from + found;
            template.push(&text[from..open]);
            if text[open..].starts_with(ESCAPE) {
                template.push(OPEN);
                from = open + ESCAPE.len();
                continue;
            }
            let inside = open + OPEN.len();
            let Some(length) = text[inside..].find(CLOSE) else {
                let line = text[open..].find('\n').map_or(text.len(), |i| open + i);
                return Err(TemplateError {
                    at: open..line,
                    why: "{{ has no }}; write {{{{ for two braces as they are",
                });
            };
            let end = inside + length + CLOSE.len();
            let name = text[inside..inside + length].trim();
            if !is_variable(name) {
                let why = "is not a variable such as {{call.from}}; write {{{{ for two braces as they are";
                return Err(TemplateError { at: open..end, why });
            }
            template.parts.push(Part::Variable { name: name.to_owned(), at: open..end });
            from = end;
        }
        template.push(&text[from..]);
        Ok(template)
    }

    /// Text in which nothing is replaced.
    pub fn literal(text: &str) -> Template {
        let mut template = Template::default();
        template.push(text);
        template
    }

    /// Its stretches in order; no two texts follow each other.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The variables in it, as often as they occur, with their places.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { name, at } => Some((name.as_str(), at.clone())),
            Part::Text(_) => None,
        })
    }

    /// Whether there is no variable in it.
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The text with `values` put in as they are; what is not known is left out.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable { name, .. } => {
                    if let Some(value) = values.get(name) {
                        out.push_str(&value.text());
                    }
                }
            }
        }
        out
    }

    fn push(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// The source of the template: reading it gives the same stretches.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace(OPEN, ESCAPE))?,
                Part::Variable { name, .. } => write!(f, "{{{{{name}}}}}")?,
            }
        }
        Ok(())
    }
}

/// `text` with `variables` put in; one that is not known is left out. What is no template stays as it is: documents
/// were checked before.
pub fn render<'t>(text: &'t str, variables: &Variables) -> Cow<'t, str> {
    if !text.contains(OPEN) {
        return Cow::Borrowed(text);
    }
    match Template::parse(text) {
        Ok(template) => Cow::Owned(template.fill(&Values::new(variables))),
        Err(_) => Cow::Borrowed(text),
    }
}

/// Whether `text` can name something within a namespace.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_variable(text: &str) -> bool {
    text.split_once('.').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const ESCAPE: &str = "{{{{";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> Variables {
        [("crm.name", "Anna"), ("call.from", "+15550100100")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn variables_are_put_in() {
        for (text, filled) in [
            ("", ""),
            ("plain { } }} text", "plain { } }} text"),
            ("{{crm.name}}", "Anna"),
            ("Hello {{ crm.name }}, {{call.from}}!", "Hello Anna, +15550100100!"),
            ("{\"a\":{{crm.name}}}", "{\"a\":Anna}"),
            ("{{crm.other}}.", "."),
            ("{{{{crm.name}}", "{{crm.name}}"),
            ("{{{{{{crm.name}}", "{{Anna"),
            ("é{{crm.name}}é", "éAnnaé"),
        ] {
            assert_eq!(render(text, &variables()), filled, "{text}");
        }
        assert!(matches!(render("nothing", &variables()), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, at) in [
            ("a {{crm.name", 2..12),
            ("a {{crm.name\nb", 2..12),
            ("é {{}} x", 3..7),
            ("{{name}}", 0..8),
            ("{{a.b.c}}", 0..9),
            ("{{a b.c}}", 0..9),
            ("{{{crm.name}}}", 0..13),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert_eq!(error.at, at, "{text}");
            assert_eq!(render(text, &variables()), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([{}. a-z\\\\é\n]|\\{\\{|\\}\\}|crm\\.name){0,40}") {
            match Template::parse(&text) {
                Ok(template) => {
                    let again = Template::parse(&template.to_string()).expect("its own source");
                    let source = again.to_string();
                    prop_assert_eq!(&source, &template.to_string());
                    let values = variables();
                    let values = Values::new(&values);
                    prop_assert_eq!(again.fill(&values), template.fill(&values));
                    for (_, at) in template.variables() {
                        prop_assert!(text[at.clone()].starts_with(OPEN) && text[at].ends_with(CLOSE));
                    }
                }
                Err(error) => prop_assert!(text.is_char_boundary(error.at.start) && text.is_char_boundary(error.at.end)),
            }
        }

        #[test]
        fn text_that_was_escaped_comes_back(text in "[{}a-z. ]{0,40}") {
            let template = Template::literal(&text);
            let again = Template::parse(&template.to_string()).expect("its own source");
            prop_assert_eq!(again.fill(&Values::new(&Variables::new())), text);
        }
    }
}
