//! What speaks against a public agent (VIS-02).

use crate::config::keys_of;
use crate::house::visibility::{against_public, becomes_public};

#[test]
fn vis_02_secrets_and_what_is_fetched_speak_against_a_public_agent() {
    let told = |text: &str| {
        let flags = against_public(&keys_of(text).expect("TOML"));
        flags.into_iter().map(|flag| (flag.code, flag.field.unwrap_or_default())).collect::<Vec<_>>()
    };
    let tool = |http: &str| format!("[[tool]]\nname = \"book\"\n[tool.http]\nurl = \"https://x.example\"\n{http}");
    assert_eq!(told("instructions = \"x\"\n"), []);
    assert_eq!(told(&tool("headers = { Accept = \"text/plain\" }\n")), []);
    for header in ["{ secret = \"CRM\", prefix = \"Bearer \" }", "{ env = \"CRM\" }", "{ file = \"crm\" }"] {
        assert_eq!(told(&tool(&format!("headers = {{ Authorization = {header} }}\n"))), [("public_secret", "tool")]);
    }
    assert_eq!(
        told("[[mcp]]\nlabel = \"crm\"\nurl = \"https://x.example\"\nauthorization = { secret = \"CRM\" }\n"),
        [("public_secret", "mcp")]
    );
    assert_eq!(told("[fetch]\nurl = \"https://x.example\"\n"), [("public_fetch", "fetch")]);
}

#[test]
fn vis_02_it_is_told_when_an_internal_agent_becomes_public() {
    let keys = |text: &str| keys_of(text).expect("TOML");
    let [internal, public, nothing] = ["visibility = \"internal\"\n", "visibility = \"public\"\n", ""].map(keys);
    assert!(becomes_public(&internal, &public) && becomes_public(&internal, &nothing));
    assert!(
        !becomes_public(&public, &internal)
            && !becomes_public(&nothing, &public)
            && !becomes_public(&internal, &internal)
    );
}
