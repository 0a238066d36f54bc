//! `offhook migrate`: documents from before, in today's form.

use std::collections::BTreeMap;

use super::*;

const OLD_AGENT: &str = "# Who talks.\nmodel = \"rehearsal\"  # the stand-in\ninstructions = \"x\"\n\n\
    [variables.crm]\nname = \"\"\n[variables.call]\nhost = \"\"\n\n# Tables.\n[[tool]]\nname = \"a\"\ndescription = \"b\"\n[tool.http]\nurl = \"https://Tables.example.com:8443/{{crm.name}}\"\n\
    headers = { Authorization = { env = \"KEY\", prefix = \"Bearer \" }, X = \"y\" } # keep\n\n\
    [fetch]\nurl = \"https://{{call.host}}.crm.example.com/\"\nhosts = [\"*.crm.example.com\", \"crm.example.com\"]\n[fetch.headers.X-Key]\nfile = \"keys/crm.token\"\n\n\
    [push]\nurl = \"https://crm.example.com/calls\"\nheaders = { X-Key = { env = \"KEY\" } }\n";
const OLD_DEPLOYMENT: &str =
    "# A number.\nagent = \"reception\"\n\n# E.164.\nnumber = \"+15550100100\" # mine\n\n[limits]\nmax_minutes = 5\n";

fn documents(server: &str, agent: &str) -> BTreeMap<String, String> {
    let all = [("offhook.toml", server), ("agents/reception.toml", agent), ("deployments/main.toml", OLD_DEPLOYMENT)];
    all.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
}

#[test]
fn old_documents_get_channels_and_named_secrets_and_keep_their_comments() {
    let old = documents("# The server.\nmax_calls = 7", OLD_AGENT);
    let migration = migrate(&old);
    assert_eq!(migration.notes, [""; 0]);
    let texts: BTreeMap<&str, &str> =
        migration.documents.iter().map(|document| (document.path.as_str(), document.text.as_str())).collect();
    assert_eq!(
        texts["deployments/main.toml"],
        OLD_DEPLOYMENT.replace("# mine\n", "# mine\nchannel = \"phone\"\ntitle = \"main\"\n")
    );
    let agent = old["agents/reception.toml"]
        .replace("{ env = \"KEY\", prefix", "{ secret = \"KEY\", prefix")
        .replace("file = \"keys/crm.token\"", "secret = \"CRM\"")
        .replace("{ env = \"KEY\" }", "{ secret = \"KEY\" }");
    assert_eq!(texts["agents/reception.toml"], agent);
    assert_eq!(
        texts["offhook.toml"],
        "# The server.\nmax_calls = 7\n\n# First named by agents/reception.toml.\n[secrets.KEY]\nvalue = { env = \"KEY\" }\n\
         hosts = [\"tables.example.com\", \"crm.example.com\"]\n\n# First named by agents/reception.toml.\n[secrets.CRM]\n\
         value = { file = \"keys/crm.token\" }\nhosts = [\"*.crm.example.com\", \"crm.example.com\"]\n"
    );
    let changed: Vec<&str> = migration.documents[1].changes.iter().map(String::as_str).collect();
    assert_eq!(changed, ["    6 + channel = \"phone\"", "    7 + title = \"main\""]);
    // Once more there is nothing to do.
    let new: BTreeMap<String, String> =
        migration.documents.into_iter().map(|document| (document.path, document.text)).collect();
    assert_eq!(migrate(&new), Migration::default());
}

#[test]
fn what_is_migrated_means_what_it_meant() {
    let dir = Dir::shipped();
    fs::create_dir(dir.path().join("keys")).unwrap();
    dir.remove("deployments/main-number.toml").write("keys/crm.token", "abc\n");
    for (path, text) in documents("", OLD_AGENT) {
        dir.write(&path, text);
    }
    let meant = |dir: &Dir| {
        let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
        let agent = config.agents["reception"].clone();
        let secret = |request: &HttpRequest| match &request.headers[0].1 {
            HeaderText::Secret(secret) => secret.expose().to_owned(),
            HeaderText::Text(_) => panic!("a secret"),
        };
        let secrets = [
            &agent.http_tools["a"].request,
            &agent.fetch.as_ref().unwrap().request,
            &agent.after.push.as_ref().unwrap().request,
        ]
        .map(secret);
        (secrets, config.deployments["main"].limits.clone())
    };
    let before = meant(&dir);
    assert_eq!(before.0, ["Bearer sk-very-secret", "abc", "sk-very-secret"]);
    for document in migrate(&documents("", OLD_AGENT)).documents {
        dir.write(&document.path, document.text);
    }
    assert_eq!(meant(&dir), before);
    let said = dir.said();
    assert!(said.iter().all(|line| line.contains("twilio.auth_token")), "{said:#?}");
}

#[test]
fn secrets_that_are_declared_get_the_hosts_that_they_lack() {
    let server = "[secrets.CRM]\nvalue = { env = \"KEY\" }\nhosts = [\n  \"crm.example.com\", # ours\n]\n[log]\nformat = \"json\"\n";
    let agent = "[push]\nurl = \"https://new.example.com/\"\nheaders = { X-Key = { env = \"KEY\" } }\n";
    let migration = migrate(&documents(server, agent));
    let new = &migration.documents.iter().find(|document| document.path == "offhook.toml").unwrap().text;
    assert_eq!(*new, server.replace("\"crm.example.com\", #", "\"crm.example.com\", \"new.example.com\", #"));
    let taken = "[secrets.KEY]\nvalue = { env = \"OTHER\" }\nhosts = [\"a.example\"]\n";
    let migration = migrate(&documents(taken, agent));
    assert!(migration.documents.iter().any(|document| document.text.contains("secret = \"KEY_2\"")));
}

#[test]
fn what_cannot_be_moved_is_left_and_said() {
    let open = "[push]\nurl = \"https://{{crm.host}}/\"\nheaders = { X-Key = { env = \"KEY\" } }\n";
    let mut old = documents("", open);
    old.insert("agents/broken.toml".to_owned(), "model = ".to_owned());
    let migration = migrate(&old);
    assert_eq!(migration.documents.len(), 1, "{migration:#?}");
    assert_eq!(
        migration.notes,
        [
            "agents/broken.toml is no TOML and is left as it is",
            "agents/reception.toml: { env = \"KEY\" } stays as it is: it is not known which hosts get it",
        ]
    );
    let windows = migrate(&documents("", "").into_iter().map(|(k, v)| (k, v.replace('\n', "\r\n"))).collect());
    assert!(windows.documents[0].text.contains("# mine\r\nchannel = \"phone\"\r\ntitle = \"main\"\r\n\r\n"));
}

#[test]
fn half_of_a_document_is_migrated_or_left() {
    let (agent, deployment) =
        (uncommented(AGENT).replace("secret = ", "env = "), DEPLOYMENT.replace("channel = \"phone\"", ""));
    for (cut, _) in agent.char_indices().step_by(101) {
        let part = |text: &str| text.get(..cut.min(text.len())).unwrap_or_default().to_owned();
        let old: BTreeMap<String, String> = [
            ("offhook.toml", part(&uncommented(SERVER))),
            ("agents/a.toml", part(&agent)),
            ("deployments/d.toml", part(&deployment)),
        ]
        .map(|(path, text)| (path.to_owned(), text))
        .into();
        for document in migrate(&old).documents {
            let (read, _) = reader::read("d.toml", &document.text, |_, _| ());
            assert!(read.is_some() || document.path == "offhook.toml", "{}", document.text);
        }
    }
}
