//! What programs of others have to know of an agent (INTEG-01 to INTEG-05).

use serde_json::json;

use super::documents::{Files, PHONE};
use crate::config::keys_of;
use crate::house::integration::{Reference, Unknown, Use, reference, sent};

const AGENT: &str = r#"
instructions = "Help {{crm.name}} of {{crm.city}} on {{system.weekday}}. Write {{{{ for two braces."
greeting = { say = "Hello {{call.name}}, {{crm.name}}." }
model = "ch"

[variables.call]
name = "Ann"
[variables.crm]
city = ""
name = "customer"

[[tool]]
name = "book"
description = "Books a table."
parameters = { type = "object", properties = { people = { type = "integer" } } }
[tool.http]
url = "https://example.com/book?who={{call.from}}&n={{args.people}}"

[analysis]
model = "t-ch"
prompt = "What came of it? {{result.transcript}}"
schema = { type = "object", properties = { content = { type = "boolean" } } }

[push]
url = "https://example.com/push"
body = '{"content": {{analysis.content}}, "end": "{{result.end}}"}'
"#;

fn asked(agent: &str, written: &str) -> Reference {
    let mut files = Files::new(&[("line", PHONE)]);
    files.put("agents/reception.toml", agent);
    let config = files.config();
    let document = |path: &str, text: &str| (path.to_owned(), keys_of(text).expect("TOML"));
    let line = format!("{PHONE}farewell = {{ say = \"Goodbye, {{{{crm.name}}}}.\" }}\n");
    reference(
        &config.personas["reception"],
        &[document("agents/reception.toml", written), document("deployments/line.toml", &line)],
    )
}

/// Where a variable stands, in short.
fn places(found: &Reference, name: &str) -> Vec<String> {
    let all = found.namespaces.iter().flat_map(|namespace| &namespace.variables);
    let one = all.clone().find(|variable| variable.name == name).unwrap_or_else(|| panic!("no {name}"));
    one.used.iter().map(|place| format!("{} {}", place.document, place.key)).collect()
}

#[test]
fn integ_01_integ_02_every_variable_is_there_with_where_it_stands_and_who_sets_it() {
    let found = asked(AGENT, AGENT);
    assert_eq!(found.unknown, [], "all are known");
    let names: Vec<_> = found.namespaces.iter().map(|namespace| namespace.name).collect();
    assert_eq!(names, ["call", "crm", "system", "result", "analysis", "qc"]);
    let agent = |key: &str| format!("agents/reception.toml {key}");
    assert_eq!(places(&found, "crm.city"), [agent("instructions")]);
    assert_eq!(
        places(&found, "crm.name"),
        [agent("greeting.say"), agent("instructions"), "deployments/line.toml farewell.say".to_owned()]
    );
    assert_eq!(places(&found, "call.from"), [agent("tool.book.http.url")]);
    assert_eq!(places(&found, "analysis.content"), [agent("push.body")]);
    assert_eq!(places(&found, "call.to"), [""; 0], "known, and nowhere used");
    let of = |name: &str| {
        let all = found.namespaces.iter().flat_map(|namespace| &namespace.variables);
        let one = all.clone().find(|variable| variable.name == name).expect("it is there");
        (one.example.clone(), one.set_by)
    };
    assert_eq!(of("call.name"), ("Ann".to_owned(), "whoever places the call, else its default"));
    assert_eq!(of("crm.name").1, "its default, for there is no [fetch]");
    assert_eq!(of("analysis.content"), ("boolean".to_owned(), "[analysis], once the call is over"));
    // What the server knows of every call has an example.
    for namespace in &found.namespaces {
        for variable in &namespace.variables {
            let declared = ["call.name", "crm.city", "crm.name"].contains(&variable.name.as_str());
            assert!(declared || !variable.example.is_empty(), "{}", variable.name);
        }
    }
}

#[test]
fn integ_05_what_no_namespace_knows_is_told_apart_and_what_is_newly_declared_is_known() {
    let written = AGENT
        .replace("{{crm.city}}", "{{crm.ctiy}} {{crm.since}}")
        .replace("[variables.crm]\n", "[variables.crm]\nsince = \"2020\"\n");
    let found = asked(AGENT, &written);
    let place = Use { document: "agents/reception.toml".to_owned(), key: "instructions".to_owned() };
    assert_eq!(found.unknown, [Unknown { name: "crm.ctiy".to_owned(), used: vec![place] }]);
    assert_eq!(places(&found, "crm.since").len(), 1);
    assert_eq!(places(&found, "crm.city"), [""; 0], "in force still, and not written any more");
}

#[test]
fn integ_03_a_request_says_what_the_document_lets_it() {
    let mut files = Files::new(&[("line", PHONE)]);
    files.put("agents/reception.toml", AGENT);
    assert_eq!(sent(&files.config().personas["reception"]), [("name", "Ann")]);
    assert_eq!(json!(keys_of(AGENT).unwrap()["variables"]["call"]), json!({ "name": "Ann" }));
}
