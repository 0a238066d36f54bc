//! A request that places a call, as programs that run as they are.

use serde_json::{Map, Value, json};

/// The environment variable that programs have their key from: none has it in its text (SEC-02, INTEG-04).
pub const KEY_VARIABLE: &str = "OFFHOOK_KEY";

/// The call that a program is to place; whom it calls is its argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallWish<'a> {
    /// Where calls are placed: scheme, host, port and path.
    pub url: &'a str,
    /// The agent's name.
    pub agent: &'a str,
    /// What whoever places a call may say, with its defaults.
    pub variables: Vec<(&'a str, &'a str)>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// `curl`, `python`, `node`.
    pub language: &'static str,
    /// What its tab is called (INTEG-03).
    pub title: &'static str,
    /// What to save it as.
    pub file: &'static str,
    /// All of it.
    pub text: String,
}

/// The programs, in the order of their tabs. They need nothing but what their language comes with.
pub fn snippets(wish: &CallWish<'_>) -> [Snippet; 3] {
    let body = body(wish);
    let url = Value::from(wish.url).to_string();
    let literal = [("url", url.as_str()), ("body", body.as_str())];
    let (shell_body, shell_url) = (shell_body(&body), quoted(wish.url));
    let shell = [("url", shell_url.as_str()), ("body", shell_body.as_str())];
    let program = |language, title, file, template: &str, values: &[(&str, &str)]| Snippet {
        language,
        title,
        file,
        text: filled(template, values),
    };
    [
        program("curl", "curl", "call.sh", include_str!("call.sh"), &shell),
        program("python", "Python", "call.py", include_str!("call.py"), &literal),
        program("node", "Node.js", "call.mjs", include_str!("call.mjs"), &literal),
    ]
}

/// What is asked for, but for whom to call. JSON of nothing but texts is an expression of Python's and of JavaScript's, too.
fn body(wish: &CallWish<'_>) -> String {
    let mut body = json!({ "agent": wish.agent });
    if !wish.variables.is_empty() {
        let variables: Map<_, _> =
            wish.variables.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
        body["variables"] = Value::Object(variables);
    }
    serde_json::to_string_pretty(&body).unwrap_or_default()
}

/// The same with whom to call, out of the shell's variable, which the program has looked at.
fn shell_body(body: &str) -> String {
    let begin = body.strip_suffix("\n}").unwrap_or(body);
    let before = quoted(&format!("{begin},\n  \"to\": \""));
    format!("{before}\"$to\"{}", quoted("\"\n}"))
}

/// A text as one word of the shell's.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A template with what stands between two `§` replaced, once: what is put in is not looked into.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let parts = template.split('§').enumerate();
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
    parts.map(|(n, part)| if n % 2 == 0 { part } else { value(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(variables: &[(&'a str, &'a str)]) -> CallWish<'a> {
        CallWish { url: "https://calls.example.com/api/v1/calls", agent: "mia", variables: variables.to_vec() }
    }

    #[test]
    fn integ_03_integ_04_programs_name_the_agent_and_its_variables_and_hold_no_key() {
        for snippet in snippets(&wish(&[("city", "Bern"), ("name", "Ann")])) {
            let text = &snippet.text;
            for part in
                [r#""agent": "mia""#, r#""city": "Bern""#, r#""name": "Ann""#, "https://calls.example.com/api/v1/calls"]
            {
                assert!(text.contains(part), "{}: {part}", snippet.title);
            }
            assert!(text.contains(KEY_VARIABLE) && text.contains("Idempotency-Key"), "{}", snippet.title);
            assert!(!text.contains('§'), "{}", snippet.title);
        }
        assert!(snippets(&wish(&[])).iter().all(|snippet| !snippet.text.contains("variables")));
        let titles = snippets(&wish(&[])).map(|snippet| snippet.title);
        assert_eq!(titles, ["curl", "Python", "Node.js"]);
    }

    #[test]
    fn nothing_in_a_default_gets_out_of_its_text() {
        let odd = "it's \"$HOME\" `id` \\ § §url§ \n }";
        let json = Value::from(odd).to_string();
        let [shell, python, node] = snippets(&wish(&[("name", odd)]));
        assert!(python.text.contains(&format!("\"name\": {json}")) && node.text.contains(&format!("\"name\": {json}")));
        assert!(shell.text.contains(&format!("\"name\": {}", json.replace('\'', r"'\''"))), "{}", shell.text);
        // What follows is its own word, in which only the number is the shell's.
        assert!(shell.text.contains("\"to\": \"'\"$to\"'\"\n}' \\\n"), "{}", shell.text);
    }
}
