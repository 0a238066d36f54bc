//! Tools, variables, and what is asked before and after a call.

use super::*;
use crate::base::template::Variables;

/// Every variable that is known during a call, as messages list them.
const KNOWN: &str = "call.agent, call.deployment, call.direction, call.from, call.id, call.started, call.to, crm.name, \
                     system.date, system.now, system.open, system.opens_at, system.time, system.timezone, system.weekday";

fn with_crm(text: &str) -> String {
    format!("model = \"rehearsal\"\n{text}\n[variables.crm]\nname = \"you\"\n")
}

#[test]
fn bad_variables_are_told_where_they_stand_and_which_there_are() {
    let cases: Vec<(String, Vec<String>)> = vec![
        (
            with_crm("instructions = \"Hi {{crm.nmae}}\""),
            vec![format!(
                "2:20: {{{{crm.nmae}}}}: there is no such variable; did you mean {{{{crm.name}}}}?; allowed: {KNOWN}"
            )],
        ),
        (
            with_crm("instructions = \"\"\"\n{{crm.name}}\n  é {{crm.x}} {{crm.name}} {{crm.x}}\"\"\""),
            vec![
                format!("4:5: {{{{crm.x}}}}: there is no such variable; allowed: {KNOWN}"),
                format!("4:28: {{{{crm.x}}}}: there is no such variable; allowed: {KNOWN}"),
            ],
        ),
        (
            with_crm("instructions = \"x\"\ngreeting = { say = \"{{result.end}}\" }"),
            vec![format!("3:21: {{{{result.end}}}}: is known only when the call is over; allowed: {KNOWN}")],
        ),
        (
            with_crm("instructions = \"{{args.x}}\""),
            vec![format!(
                "2:17: {{{{args.x}}}}: is an argument of a tool, and known in a tool's request only; allowed: {KNOWN}"
            )],
        ),
        (
            with_crm("instructions = \"{{crm.name\""),
            vec!["2:17: {{crm.name: {{ has no }}; write {{{{ for two braces as they are".into()],
        ),
        (
            with_crm("instructions = \"{{ name }}\""),
            vec![
                "2:17: {{ name }}: is not a variable such as {{call.from}}; write {{{{ for two braces as they are"
                    .into(),
            ],
        ),
        (
            with_crm("instructions = \"x\"\n[fetch]\nurl = \"https://a.example/{{crm.name}}\""),
            vec![
                "4:26: {{crm.name}}: is what the fetch is there to find out; allowed: call.agent, call.deployment, \
             call.direction, call.from, call.id, call.started, call.to, system.date, system.now, system.open, system.opens_at, system.time, \
             system.timezone, system.weekday"
                    .into(),
            ],
        ),
        (
            "model = \"rehearsal\"\ninstructions = \"x\"\n[variables]\ncall = { from = \"x\", \"a b\" = \"y\", n = 1 }"
                .into(),
            vec![
                "4:10: from: is known of every call and cannot be declared".into(),
                "4:22: \"a b\": is not a name; allowed: 1 to 64 letters, digits, - and _".into(),
                "4:39: n = 1: must be a string, not an integer".into(),
            ],
        ),
    ];
    told(cases);
}

#[test]
fn bad_tools_are_told() {
    let tool = |rest: &str| {
        format!("model = \"rehearsal\"\ninstructions = \"x\"\n[[tool]]\nname = \"a\"\ndescription = \"b\"\n{rest}")
    };
    let http = |rest: &str| tool(&format!("http = {{ url = \"https://a.example/\", {rest} }}"));
    let cases: Vec<(String, &[&str])> = vec![
        ("model = \"rehearsal\"\ninstructions = \"x\"\ntools = [\"transfer\"]".into(), &[
            "3:10: \"transfer\": has nobody to put callers through to; allowed: with at least one [[destination]]",
        ]),
        ("model = \"rehearsal\"\ninstructions = \"x\"\n[[destination]]\nname = \"a b\"\nnumber = \"5\"\nring_s = 4".into(), &[
            "4:8: name = \"a b\": is not valid; allowed: 1 to 64 letters, digits, - and _",
            "5:10: number = \"5\": is not valid; allowed: E.164: + and 7 to 15 digits, such as \"+15550100100\"",
            "6:10: ring_s = 4: out of range; allowed: 5-120",
        ]),
        ("model = \"rehearsal\"\ninstructions = \"x\"\n[[tool]]\nname = \"note\"".into(), &[
            "3:1: tool.description is missing: for the model: what it does and when to use it",
            "3:1: tool.http is missing: where it is asked: { method = \"POST\", url = \"https://…\" }",
            "4:8: name = \"note\": is the name of a built-in tool; allowed: another name",
        ]),
        (tool("http = { url = \"https://a.example/{{args.idd}}\" }\nparameters = { type = \"object\", properties = { id = {} } }"), &[
            "6:35: {{args.idd}}: there is no such variable; did you mean {{args.id}}?; allowed: args.id, call.agent, call.deployment, call.direction, call.from, call.id, call.started, call.to, system.date, system.now, system.open, system.opens_at, system.time, system.timezone, system.weekday",
        ]),
        (tool("http = { url = \"https://a.example/\" }\nparameters = { type = \"strnig\" }"), &[
            "7:14: parameters = { type = \"strnig\" }: is not the schema of an object; allowed: { type = \"object\", properties = { … }, required = [ … ] }, or the same as JSON in a string",
        ]),
        (tool("http = { url = \"https://a.example/\" }\nparameters = '{ \"type\": \"object\", \"properties\": 3 }'"), &[
            "7:14: parameters = '{ \"type\": \"object\", \"properties\": 3 }': is not a JSON Schema (3 is not of type \"object\"); allowed: { type = \"object\", properties = { … }, required = [ … ] }, or the same as JSON in a string",
        ]),
        (tool("http = { url = \"https://a.example/\" }\nparameters = '{'"), &[
            "7:14: parameters = '{': is not JSON (EOF while parsing an object at line 1 column 1); allowed: { type = \"object\", properties = { … }, required = [ … ] }, or the same as JSON in a string",
        ]),
        (http("retries = 2"), &[
            "6:48: retries = 2: POST may do its work twice when it is tried again; allowed: 0, or idempotent = true when the server sees to that",
        ]),
        (http("retries = 6, idempotent = true"), &["6:48: retries = 6: out of range; allowed: 0-5"]),
        (http("method = \"GET\", body = \"{}\""), &["6:61: body = \"{}\": GET has no body; allowed: POST, PUT, PATCH"]),
        (http("body = '{ \"a\": {{call.from}}, }'"), &[
            "6:45: body = '{ \"a\": {{call.from}}, }': is not JSON (key must be a string at line 1 column 14); allowed: JSON with {{…}} as or within values, or a Content-Type header that says what it is",
        ]),
        (http("max_response_bytes = 2000000"), &["6:59: max_response_bytes = 2000000: out of range; allowed: 1-1048576"]),
        (http("hosts = [\"b.example\"]"), &["6:47: \"b.example\": hosts does not have a.example, which url names"]),
        (tool("http = { url = \"https://{{crm.host}}/\" }\n[variables.crm]\nhost = \"a\""), &[
            "6:16: url = \"https://{{crm.host}}/\": leaves the host open; allowed: hosts = [\"…\"] beside it, which says what hosts may be asked",
        ]),
        (tool("http = { url = \"http://localhost:1/\" }"), &[
            "6:16: url = \"http://localhost:1/\": is on this machine; allowed: allow_private = true beside it lets it be asked",
        ]),
        (tool("http = { url = \"ftp://a.example/\" }"), &[
            "6:16: url = \"ftp://a.example/\": does not begin with https:// or http://; allowed: a URL such as https://api.example.com/customers/{{call.from}}",
        ]),
        (tool("http = { url = \"https://me:hush@a.example/\" }"), &[
            "6:16: url = (hidden): has a user name or password; allowed: headers.Authorization = { secret = \"NAME\" }",
        ]),
        ("model = \"rehearsal\"\ninstructions = \"x\"\n[[mcp]]\nlabel = \"a\"\nurl = \"http://a.example/\"\nrequire_approval = \"always\"".into(), &[
            "3:1: [[mcp]]: model \"rehearsal\" does not ask servers of tools by itself; allowed: a model with mcp = true in models.toml, or [[tool]] in place of this",
            "5:7: url = \"http://a.example/\": cannot be of http:; allowed: https://",
            "6:20: require_approval = \"always\": unknown value; allowed: never",
        ]),
    ];
    told(
        cases.into_iter().map(|(text, lines)| (text, lines.iter().map(|line| (*line).to_owned()).collect())).collect(),
    );
}

#[test]
fn bad_questions_and_fetches_are_told() {
    let head = "model = \"rehearsal\"\ninstructions = \"x\"\n";
    let cases: Vec<(String, &[&str])> = vec![
        (
            format!("{head}[analysis]\nmodel = \"rehearsal\"\nprompt = \"{{{{analysis.json}}}}\"\nschema = \"{{}}\""),
            &[
                "5:11: {{analysis.json}}: there is no such variable; allowed: call.agent, call.deployment, call.direction, call.from, call.id, call.started, call.to, result.duration_s, result.end, result.interruptions, result.notes, result.report, result.tools, result.transcript, result.turns, system.date, system.now, system.open, system.opens_at, system.time, system.timezone, system.weekday",
                "6:10: schema = \"{}\": is not the schema of an object; allowed: { type = \"object\", properties = { … }, required = [ … ] }, or the same as JSON in a string",
            ],
        ),
        (
            format!("{head}[analysis]\nmodel = \"rehearsal\"\nprompt = \"x\"\nschema = {{ type = \"object\" }}"),
            &[
                "4:9: model = \"rehearsal\": is a model for calls, and this needs one with kind = \"text\"; allowed: rehearsal-text",
            ],
        ),
        (
            format!(
                "{head}[analysis]\nmodel = \"rehearsal-text\"\nprompt = \"x\"\nsuccess = \"mood\"\nschema = {{ type = \"object\", properties = {{ mood = {{ type = \"string\" }} }} }}\n[qc]\nsuccess = \"mood\""
            ),
            &[
                "6:11: success = \"mood\": is no boolean of the schema; allowed: the name of a property of type = \"boolean\"",
                "8:1: qc.model is missing: the name of a table of kind = \"text\" in models.toml",
                "8:1: qc.prompt is missing: what is asked about the call, with {{result.transcript}} in it",
                "8:1: qc.schema is missing: the JSON Schema of the answer",
                "9:1: success: unknown key; allowed: model, prompt, schema, timeout_ms, max_tokens",
            ],
        ),
        (
            format!("{}[qc]", head.replace("rehearsal", "rehearsal-text")),
            &[
                "1:9: model = \"rehearsal-text\": is a text model, and a call needs one that speaks; allowed: openai, rehearsal",
                "3:1: qc.model is missing: the name of a table of kind = \"text\" in models.toml",
                "3:1: qc.prompt is missing: what is asked about the call, with {{result.transcript}} in it",
                "3:1: qc.schema is missing: the JSON Schema of the answer",
            ],
        ),
        (
            format!("{head}[push]\nretries = 9"),
            &[
                "3:1: push.url is missing: where it is asked: https://…",
                "4:11: retries = 9: out of range; allowed: 0-5",
            ],
        ),
        (
            format!(
                "{head}[fetch]\nurl = \"https://a.example/\"\ndeadline_ms = 10\nmap = {{ \"crm.naem\" = \"/name\", \"crm.name\" = \"name\" }}\n[variables.crm]\nname = \"\""
            ),
            &[
                "5:15: deadline_ms = 10: out of range; allowed: 50-5000",
                "6:9: \"crm.naem\": is not declared in [variables.crm]; did you mean \"crm.name\"?; allowed: \"crm.name\"",
                "6:44: \"crm.name\" = \"name\": is not valid; allowed: a JSON Pointer such as \"/customer/name\"",
            ],
        ),
        (
            format!("{head}[fetch]\nurl = \"https://a.example/\""),
            &["3:1: fetches what nobody needs; allowed: with [variables.crm] that say what is fetched"],
        ),
    ];
    told(
        cases.into_iter().map(|(text, lines)| (text, lines.iter().map(|line| (*line).to_owned()).collect())).collect(),
    );
    let dir = Dir::shipped();
    dir.write("deployments/main-number.toml", DEPLOYMENT.replace("#timezone = \"UTC\"", "timezone = \"Europe/Berln\""));
    let errors = dir.errors();
    let allowed = "names such as \"Europe/Berlin\", \"America/New_York\", \"UTC\"";
    let told = format!(
        ": timezone = \"Europe/Berln\": there is no such time zone; did you mean Europe/Berlin?; allowed: {allowed}"
    );
    assert!(errors.len() == 1 && errors[0].ends_with(&told), "{errors:#?}");
}

#[test]
fn secrets_of_requests_are_demanded_of_agents_that_answer_and_never_shown() {
    let dir = Dir::shipped();
    let tool = "[[tool]]\nname = \"a\"\ndescription = \"b\"\n[tool.http]\nurl = \"https://a.example/\"\n";
    let agent = |header: &str| format!("model = \"rehearsal\"\ninstructions = \"x\"\n{tool}headers = {{ {header} }}\n");
    dir.write("agents/other.toml", agent("X-Api-Key = { env = \"NOPE\" }"));
    assert!(dir.load().is_ok(), "nobody is answered by it: {:?}", dir.errors());
    dir.write("agents/reception.toml", agent("X-Api-Key = { env = \"NOPE\" }"));
    let missing = "agents/reception.toml:8:25: X-Api-Key = { env = \"NOPE\" }: environment variable NOPE is not set; set it where the server is started";
    assert_eq!(dir.errors(), [missing]);
    dir.write("agents/reception.toml", agent("Authorization = { env = \"KEY\", prefix = \"Bearer \" }"));
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    let tool = &config.agents["reception"].http_tools["a"];
    assert!(matches!(&tool.request.headers[0].1, HeaderText::Secret(s) if s.expose() == "Bearer sk-very-secret"));
    assert!(!format!("{config:?}").contains("very-secret"));
    let settings = CallSettings::new(&config.deployments["main-number"], "", crate::base::audio::AudioFormat::PHONE, 1);
    let kept = serde_json::to_string(&settings).unwrap();
    assert!(!kept.contains("very-secret") && !kept.contains("a.example"), "{kept}");
    for header in ["Authorization = \"Bearer sk-hush\"", "x-api-key = \"sk-hush\"", "Cookie = { env = \"sk-hush\" }"] {
        dir.write("agents/reception.toml", agent(header));
        let problems = dir.load().map(drop).expect_err(header);
        assert!(!format!("{problems}\n{problems:?}").contains("hush"), "{problems}");
    }
}

#[test]
fn tools_and_variables_mean_what_they_say() {
    let dir = Dir::shipped();
    let text = "model = \"openai\"\ninstructions = \"x\"\ntools = [\"transfer\"]\n\
        [variables.call]\ncampaign = \"\"\n[variables.crm]\nname = \"you\"\n\
        [[destination]]\nname = \"kitchen\"\nnumber = \"+15550100142\"\nline = { say = \"Hold on, {{crm.name}}.\" }\n\
        [[tool]]\nname = \"book\"\ndescription = \"Books.\"\nparameters = '{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}'\n\
        timeout_ms = 100\nhttp = { method = \"PUT\", url = \"https://{{crm.name}}.a.example/{{args.n}}\", hosts = [\"*.a.example\"], retries = 5 }\n\
        [[mcp]]\nlabel = \"stock\"\nurl = \"https://mcp.example/\"\nauthorization = { env = \"KEY\" }\n\
        [analysis]\nmodel = \"rehearsal-text\"\nprompt = \"{{result.transcript}}\"\nschema = { type = \"object\", properties = { mood = {}, good = { type = \"boolean\" } } }\nsuccess = \"good\"\n\
        [qc]\nmodel = \"rehearsal-text\"\nprompt = \"{{analysis.mood}} {{analysis.json}}\"\nschema = { type = \"object\" }\n\
        [push]\nurl = \"https://a.example/\"\nbody = '{\"m\": \"{{analysis.mood}}\", \"q\": {{qc.json}} }'\n";
    dir.write("agents/reception.toml", text);
    dir.write("models.toml", MODELS.replace("OPENAI_API_KEY", "OTHER_KEY"));
    let agent = dir.load().unwrap_or_else(|e| panic!("{e}")).agents["reception"].clone();
    let names: Vec<_> = agent.tools.iter().map(|tool| (tool.name.as_str(), tool.does, tool.timeout_ms)).collect();
    assert_eq!(names, [("transfer", ToolKind::Transfer, 15_000), ("book", ToolKind::Http, 100)]);
    assert_eq!(
        agent.tools[0].parameters.document()["properties"]["destination"]["enum"],
        serde_json::json!(["kitchen"])
    );
    assert_eq!(agent.destinations[0].line, Spoken::Say("Hold on, {{crm.name}}.".into()));
    let defaults = [("call.campaign", ""), ("crm.name", "you")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(agent.variables, Variables::from(defaults));
    let request = &agent.http_tools["book"].request;
    assert!(request.may_ask("eu.a.example") && !request.may_ask("a.example") && !request.may_ask("b.example"));
    assert_eq!(agent.mcp[0].authorization.as_ref().unwrap().expose(), "sk-very-secret");
    assert_eq!(agent.after.analysis.as_ref().unwrap().model.base_url, "http://127.0.0.1:8765/v1");
    assert_eq!(agent.after.analysis.as_ref().unwrap().success.as_deref(), Some("good"));
    assert!(agent.after.qc.is_some() && agent.after.push.is_some() && agent.fetch.is_none());
}

/// Each agent's document is told this, without the file's name.
fn told(cases: Vec<(String, Vec<String>)>) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let dir = Dir::shipped();
        dir.write("agents/reception.toml", &text);
        let said: Vec<String> = dir.errors().iter().map(|e| e.replace("agents/reception.toml:", "")).collect();
        if said != expected {
            wrong.push_str(&format!("{text}\n  said {said:#?}\n  not {expected:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
