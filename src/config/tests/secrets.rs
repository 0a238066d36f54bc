//! Secrets by name, and what is not an agent's to read.

use super::*;

const SECRETS: &str = "[secrets.CRM]\nvalue = { env = \"KEY\" }\nhosts = [\"crm.example.com\", \"*.eu.example.com\"]\n";

fn tool(request: &str) -> String {
    format!(
        "model = \"rehearsal\"\ninstructions = \"x\"\nvariables = {{ crm = {{ host = \"\" }} }}\n[[tool]]\nname = \"a\"\ndescription = \"b\"\n\
         [tool.http]\n{request}\n"
    )
}

const NAMED: &str = "headers = { Authorization = { secret = \"CRM\", prefix = \"Bearer \" } }";

fn with(server: &str, agent: &str) -> Dir {
    let dir = Dir::shipped();
    dir.write("offhook.toml", server).write("agents/reception.toml", agent);
    dir
}

#[test]
fn a_named_secret_goes_to_its_hosts_alone() {
    for (request, wrong) in [
        ("url = \"https://crm.example.com/a\"", None),
        ("url = \"https://CRM.example.com/a\"", None),
        ("url = \"https://a.eu.example.com/\"", None),
        ("url = \"https://{{crm.host}}.eu.example.com/\"\nhosts = [\"*.eu.example.com\"]", None),
        ("url = \"https://{{crm.host}}/\"\nhosts = [\"crm.example.com\", \"*.b.eu.example.com\"]", None),
        ("url = \"https://evil.example/crm.example.com\"", Some("evil.example")),
        ("url = \"https://example.com/\"", Some("example.com")),
        ("url = \"https://eu.example.com/\"", Some("eu.example.com")),
        ("url = \"https://crm.example.com.evil.example/\"", Some("crm.example.com.evil.example")),
        ("url = \"https://{{crm.host}}/\"\nhosts = [\"crm.example.com\", \"evil.example\"]", Some("evil.example")),
        ("url = \"https://{{crm.host}}/\"\nhosts = [\"*.example.com\"]", Some("*.example.com")),
    ] {
        let dir = with(SECRETS, &tool(&format!("{request}\n{NAMED}")));
        match wrong {
            None => {
                let config = dir.load().unwrap_or_else(|e| panic!("{request}\n{e}"));
                let HeaderText::Secret(secret) = &config.agents["reception"].http_tools["a"].request.headers[0].1
                else {
                    panic!("a secret")
                };
                assert_eq!(secret.expose(), "Bearer sk-very-secret");
                assert!(!format!("{config:?}").contains("very-secret"));
            }
            Some(host) => {
                let errors = dir.errors();
                let expected = format!(
                    ": Authorization = {{ secret = \"CRM\" }}: the secret \"CRM\" may not be sent to {host}; \
                     allowed: crm.example.com, *.eu.example.com, as [secrets.CRM] of offhook.toml says"
                );
                assert!(errors.len() == 1 && errors[0].ends_with(&expected), "{request}\n{errors:#?}");
            }
        }
    }
}

#[test]
fn fetch_push_and_servers_of_tools_have_named_secrets_too() {
    let agent = "model = \"openai\"\ninstructions = \"x\"\nvariables = { crm = { name = \"\" } }\n\
        fetch = { url = \"https://crm.example.com/\", headers = { X-Key = { secret = \"CRM\" } } }\n\
        push = { url = \"https://crm.example.com/\", headers = { X-Key = { secret = \"CRM\" } } }\n\
        mcp = [{ label = \"a\", url = \"https://crm.example.com/sse\", authorization = { secret = \"CRM\" } }]\n";
    let dir = with(SECRETS, agent);
    dir.write("models.toml", MODELS.replace("OPENAI_API_KEY", "OTHER_KEY"));
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    let agent_of = &config.agents["reception"];
    let header = |request: &HttpRequest| match &request.headers[0].1 {
        HeaderText::Secret(secret) => secret.expose().to_owned(),
        HeaderText::Text(text) => text.to_string(),
    };
    assert_eq!(header(&agent_of.fetch.as_ref().unwrap().request), "sk-very-secret");
    assert_eq!(header(&agent_of.after.push.as_ref().unwrap().request), "sk-very-secret");
    assert_eq!(agent_of.mcp[0].authorization.as_ref().unwrap().expose(), "sk-very-secret");
    dir.write("agents/reception.toml", agent.replace("crm.example.com", "evil.example"));
    assert_eq!(dir.errors().len(), 3, "{:#?}", dir.errors());
}

#[test]
fn bad_names_of_secrets_are_told() {
    let named = tool(&format!("url = \"https://crm.example.com/\"\n{NAMED}"));
    for (server, agent, expected) in [
        (
            SECRETS,
            named.replace("\"CRM\"", "\"CMR\""),
            &[
                "agents/reception.toml:9:29: Authorization = { secret = \"CMR\" }: there is no secret \"CMR\"; did you mean \"CRM\"?; allowed: CRM",
            ][..],
        ),
        (
            "",
            named.clone(),
            &[
                "agents/reception.toml:9:29: Authorization = { secret = \"CRM\" }: there is no secret \"CRM\"; allowed: none: offhook.toml has no [secrets]",
            ],
        ),
        (
            SECRETS,
            named.replace("\"CRM\"", "\"sk-hush hush\""),
            &[
                "agents/reception.toml:9:29: Authorization = { secret = (hidden) }: is not the name of a secret; allowed: 1 to 64 letters, digits, - and _",
            ],
        ),
        (
            SECRETS,
            named.replace("secret = \"CRM\"", "secret = \"CRM\", env = \"KEY\""),
            &[
                "agents/reception.toml:9:29: Authorization = (hidden): must name one place; allowed: { secret = \"NAME\" }, { env = \"NAME\" }, { file = \"path\" }",
            ],
        ),
        (
            "[secrets.\"a b\"]\nvalue = \"sk-hush\"\nhosts = []\n[secrets.X]\n[secrets.Y]\nvalue = { secret = \"CRM\" }\nhosts = [\"https://a.example\"]",
            AGENT.to_owned(),
            &[
                "offhook.toml:1:10: \"a b\": is not a name; allowed: 1 to 64 letters, digits, - and _",
                "offhook.toml:2:9: value = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
                "offhook.toml:3:9: hosts = []: names no host that may be sent it; allowed: names in lower case such as \"api.example.com\", or \"*.example.com\" for all below it",
                "offhook.toml:4:1: secrets.X.value is missing: where it is kept, { env = \"NAME\" } or { file = \"path\" }",
                "offhook.toml:4:1: secrets.X.hosts is missing: the hosts that may be sent it, such as [\"api.example.com\"]",
                "offhook.toml:6:9: value = (hidden): must name one place; allowed: { env = \"NAME\" }, { file = \"path\" }",
                "offhook.toml:6:11: secret: unknown key; allowed: env, file",
                "offhook.toml:7:10: \"https://a.example\": is not valid; allowed: names in lower case such as \"api.example.com\", or \"*.example.com\" for all below it",
            ],
        ),
        // Kept where there is nothing: it matters when the agent is met.
        (
            "[secrets.CRM]\nvalue = { env = \"NOPE\" }\nhosts = [\"crm.example.com\"]",
            named.clone(),
            &[
                "offhook.toml:2:9: value = { env = \"NOPE\" }: environment variable NOPE is not set; set it where the server is started",
            ],
        ),
        ("[secrets.CRM]\nvalue = { env = \"NOPE\" }\nhosts = [\"crm.example.com\"]", AGENT.to_owned(), &[]),
    ] {
        let dir = with(server, &agent);
        assert_eq!(dir.errors(), expected, "{server}");
    }
}

#[test]
fn an_agent_reads_none_of_the_servers_own() {
    let asks = |secret: &str| tool(&format!("url = \"https://evil.example/\"\nheaders = {{ X-Key = {{ {secret} }} }}"));
    let own = "twilio.auth_token = { env = \"KEY\" }\napi = { token = { file = \"keys/token\" } }\n";
    for (server, secret, expected) in [
        (own, "env = \"KEY\"", Some("is a secret of the server itself")),
        (own, "file = \"keys/token\"", Some("is a secret of the server itself")),
        (own, "file = \"./sounds/../keys//token\"", Some("is a secret of the server itself")),
        (own, "file = \"DIR/keys/token\"", Some("is a secret of the server itself")),
        (own, "env = \"OTHER_KEY\"", Some("is a secret of the server itself")),
        (own, "env = \"https_proxy\"", Some("is a secret of the server itself")),
        (SECRETS, "env = \"KEY\"", Some("is a secret of the server itself")),
        (SECRETS, "env = \"EMPTY\"", Some("is not among the secrets that offhook.toml declares for agents")),
        ("", "env = \"KEY\"", None),
    ] {
        let dir = Dir::shipped();
        fs::create_dir(dir.path().join("keys")).unwrap();
        dir.write("keys/token", "0123456789abcdefgh").write("offhook.toml", server);
        dir.write("models.toml", MODELS.replace("OPENAI_API_KEY", "OTHER_KEY"));
        let secret = secret.replace("DIR", &dir.path().display().to_string());
        dir.write("agents/reception.toml", asks(&secret));
        let errors = dir.errors();
        match expected {
            Some(expected) => assert!(errors.iter().any(|e| e.contains(expected)), "{secret}\n{errors:#?}"),
            None => {
                assert_eq!(errors, [""; 0]);
                let hint = "allowed: { secret = \"KEY\" }, with [secrets.KEY] in offhook.toml: value = { env = \"KEY\" }, hosts = [\"…\"]";
                assert!(
                    dir.said().iter().any(|line| line.contains("warning") && line.contains(hint)),
                    "{:#?}",
                    dir.said()
                );
            }
        }
    }
}

#[test]
fn sec_01_a_secret_typed_into_a_document_is_warned_of_and_not_shown() {
    let dir = Dir::shipped();
    let secret = "sk-proj-A8f3kLm29xQz71Vb";
    dir.write(
        "agents/reception.toml",
        AGENT.replace("You answer the phone", &format!("Use {secret}. You answer the phone")),
    );
    dir.write(
        "deployments/main-number.toml",
        DEPLOYMENT.replace("#title = \"main-number\"", "title = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZ\""),
    );
    let said = dir.said();
    let typed: Vec<&String> = said.iter().filter(|line| line.contains("looks like a secret")).collect();
    assert_eq!(typed.len(), 2, "{said:#?}");
    assert!(
        typed[0]
            .contains("warning: instructions = (hidden): holds what looks like a secret (a key of a model's vendor)")
    );
    assert!(
        typed[1].contains("warning: title = (hidden): holds what looks like a secret (a webhook's secret)"),
        "{typed:#?}"
    );
    let report = check_with(dir.path(), &env);
    let all = format!("{report}\n{}", serde_json::to_string(&report.problems).unwrap());
    assert!(!all.contains("A8f3kLm29") && !all.contains("MfKQ9r8"), "{all}");
    assert!(dir.load().is_ok());
}
