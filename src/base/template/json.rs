//! Templates of JSON: a value within a string is escaped, one that stands by itself is written as JSON.

use serde_json::Value;

use super::{Filling, Part, Template, Values};

/// The text of a JSON document with `values` put in. Where there is nothing to put in, `null` stands, or nothing within
/// a string.
///
/// `{"name": "{{crm.name}}", "seats": {{args.seats}}}` stays JSON whatever the values are.
pub fn render(template: &Template, values: &Values<'_>) -> String {
    let mut out = String::new();
    let mut within = Within::default();
    for part in template.parts() {
        match part {
            Part::Text(text) => {
                within.pass(text);
                out.push_str(text);
            }
            Part::Variable { name, .. } => {
                let value = values.get(name);
                if within.string {
                    let text = value.map(Filling::text).unwrap_or_default();
                    let quoted = Value::from(text.as_ref()).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                } else {
                    match value {
                        None => out.push_str("null"),
                        Some(Filling::Text(text)) => out.push_str(&Value::from(text).to_string()),
                        Some(Filling::Json(value)) => out.push_str(&value.to_string()),
                    }
                }
            }
        }
    }
    out
}

/// Whether `template` is JSON whatever is put in; else what is wrong.
///
/// # Errors
/// The words of the JSON reader.
pub fn check(template: &Template) -> Result<(), String> {
    let nothing = super::Variables::new();
    let text = render(template, &Values::new(&nothing));
    serde_json::from_str::<serde::de::IgnoredAny>(&text).map(drop).map_err(|error| error.to_string())
}

/// Whether the text so far ends within a string.
#[derive(Default)]
struct Within {
    string: bool,
    escaped: bool,
}

impl Within {
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.string => self.escaped = true,
                b'"' => self.string = !self.string,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::template::Variables;

    #[test]
    fn values_stay_values() {
        let template =
            Template::parse(r#"{"a": "x {{args.a}}\"{{crm.b}}", "n": {{args.n}}, "o": {{args.o}}, "b": {{crm.b}}}"#)
                .unwrap();
        let variables = Variables::from([("crm.b".to_owned(), "say \"hi\"\n".to_owned())]);
        let arguments = json!({ "a": "\", \"admin\": true, \"", "n": 4 });
        let values = Values::new(&variables).with("args", &arguments);
        let value: Value = serde_json::from_str(&render(&template, &values)).unwrap();
        assert_eq!(
            value,
            json!({ "a": "x \", \"admin\": true, \"\"say \"hi\"\n", "n": 4, "o": null, "b": "say \"hi\"\n" })
        );
        assert_eq!(check(&template), Ok(()));
        assert!(check(&Template::parse("{\"a\": {{crm.b}}{{crm.b}}}").unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_place(text in "\\PC{0,20}|[\"\\\\{},:\n]{0,8}") {
            let template = Template::parse(r#"{"a": "{{args.a}}", "b": [{{args.a}}]}"#).unwrap();
            let (nothing, arguments) = (Variables::new(), json!({ "a": text }));
            let values = Values::new(&nothing).with("args", &arguments);
            let value: Value = serde_json::from_str(&render(&template, &values)).unwrap();
            prop_assert_eq!(value, json!({ "a": text, "b": [text] }));
        }
    }
}
