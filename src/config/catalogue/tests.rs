//! Which version of each document is in force.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::tests::Silent;

/// A catalogue that is written to by paths.
#[derive(Default)]
struct Desk {
    catalogue: Catalogue,
}

const SERVER: &str = "max_calls = 7\n";
const MODELS: &str = "[m]\nurl = \"ws://127.0.0.1:1/\"\n[n]\nurl = \"ws://127.0.0.1:2/\"\n";

fn read(path: &str, text: &str) -> (DocId, Option<Arc<Read>>) {
    let id = DocId::from_path(path).expect("a document");
    (id.clone(), Some(Arc::new(Read::new(id, path, Ok(text.into()), &Silent, Vec::new))))
}

fn agent(model: &str) -> String {
    format!("model = \"{model}\"\ninstructions = \"x\"\n")
}

fn deployment(agent: &str, number: u32) -> String {
    format!("agent = \"{agent}\"\nnumber = \"+1555010{number:04}\"\n")
}

impl Desk {
    /// Two agents with a deployment each.
    fn furnished() -> Desk {
        let mut desk = Desk::default();
        desk.write(&[
            ("offhook.toml", SERVER),
            ("models.toml", MODELS),
            ("agents/a.toml", &agent("m")),
            ("agents/b.toml", &agent("n")),
            ("deployments/d.toml", &deployment("a", 1)),
            ("deployments/e.toml", &deployment("b", 2)),
        ]);
        assert!(desk.catalogue.exceptions().is_empty());
        desk
    }

    fn write(&mut self, texts: &[(&str, &str)]) -> &mut Self {
        self.catalogue.apply(texts.iter().map(|(path, text)| read(path, text)).collect(), &Silent);
        self
    }

    fn delete(&mut self, path: &str) -> &mut Self {
        self.catalogue.apply(vec![(DocId::from_path(path).expect("a document"), None)], &Silent);
        self
    }

    fn config(&self) -> &Config {
        self.catalogue.config().expect("a configuration")
    }

    /// Who answers which number.
    fn answers(&self) -> BTreeMap<String, String> {
        let numbers = (1..=9).map(|n| format!("+1555010{n:04}"));
        let found = numbers.filter_map(|number| {
            let deployment = self.config().deployment_for(&number)?;
            let agent = &deployment.agent;
            Some((number[8..].to_owned(), format!("{} {} {}", deployment.name, agent.name, agent.model.name)))
        });
        found.collect()
    }

    /// What is not in force as it is written, and why.
    fn exceptions(&self) -> Vec<String> {
        let line = |state: DocState| {
            format!("{} {:?}: {}", state.doc, state.in_force, state.why.unwrap_or_else(|| "?".to_owned()))
        };
        self.catalogue.exceptions().into_iter().map(line).collect()
    }
}

fn answers(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(number, who)| ((*number).to_owned(), (*who).to_owned())).collect()
}

#[test]
fn a_broken_document_keeps_its_own_last_good_version_and_holds_up_no_other() {
    let both = answers(&[("0001", "d a m"), ("0002", "e b n")]);
    type Texts<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Texts<'_>, &[&str])] = &[
        (&[("agents/a.toml", "model = ")], &["agents/a.toml LastGood: it has 1 error"]),
        (
            &[("agents/a.toml", "model = \"other\"\ninstructions = \"x\"\n")],
            &["agents/a.toml LastGood: there is no model \"other\""],
        ),
        (&[("deployments/d.toml", "")], &["deployments/d.toml LastGood: it has 1 error"]),
        (&[("offhook.toml", "max_calls = 0")], &["offhook.toml LastGood: it has 1 error"]),
        (&[("models.toml", "[m")], &["models.toml LastGood: it has 1 error"]),
        (&[("agents/new.toml", "")], &["agents/new.toml Nothing: it has 1 error"]),
        // What would take from others what they need is itself what is wrong.
        (
            &[("models.toml", "[n]\nurl = \"ws://127.0.0.1:2/\"\n")],
            &[
                "models.toml LastGood: agents/a.toml relies on what it was: there is no model \"m\"; did you mean \"n\"?",
            ],
        ),
        (
            &[("deployments/c.toml", "agent = \"b\"\nnumber = \"+15550100001\"\n")],
            &["deployments/c.toml Nothing: deployments/d.toml answers this number"],
        ),
        // One that was never good is left out with those that need it.
        (
            &[("agents/new.toml", "x = 1"), ("deployments/n.toml", "agent = \"new\"\nnumber = \"+15550100003\"\n")],
            &["agents/new.toml Nothing: it has 2 errors", "deployments/n.toml Nothing: this agent is not in force"],
        ),
    ];
    for (texts, exceptions) in cases {
        let mut desk = Desk::furnished();
        let before = desk.config().clone();
        desk.write(texts);
        assert_eq!(desk.exceptions(), *exceptions, "{texts:?}");
        assert_eq!(desk.answers(), both, "{texts:?}");
        assert_eq!(desk.config().revision, before.revision, "{texts:?}");
        // The rest can be changed meanwhile.
        desk.write(&[("deployments/e.toml", &deployment("b", 4))]);
        assert_eq!(desk.answers(), answers(&[("0001", "d a m"), ("0004", "e b n")]), "{texts:?}");
        assert!(Arc::ptr_eq(&before.deployments["d"], &desk.config().deployments["d"]), "{texts:?}");
        assert!(desk.catalogue.problems().has_errors(), "{texts:?}");
    }
}

#[test]
fn what_waited_for_another_is_taken_once_that_is_there() {
    let mut desk = Desk::furnished();
    desk.write(&[("deployments/n.toml", &deployment("new", 3))]);
    assert_eq!(desk.exceptions(), ["deployments/n.toml Nothing: there is no agent \"new\""]);
    desk.write(&[("agents/new.toml", &agent("later"))]);
    assert_eq!(desk.exceptions().len(), 2);
    desk.write(&[("models.toml", &format!("{MODELS}[later]\nurl = \"ws://127.0.0.1:3/\"\n"))]);
    assert_eq!(desk.exceptions(), [""; 0]);
    assert_eq!(desk.answers()["0003"], "n new later");
    assert!(!desk.catalogue.problems().has_errors());
}

#[test]
fn a_model_that_is_renamed_takes_effect_when_the_last_that_uses_it_says_so() {
    let mut desk = Desk::furnished();
    desk.write(&[("deployments/f.toml", &deployment("a", 3)), ("agents/b.toml", &agent("m"))]);
    let renamed = MODELS.replace("[m]", "[mm]");
    desk.write(&[("models.toml", &renamed)]).write(&[("agents/a.toml", &agent("mm"))]);
    assert_eq!(desk.exceptions().len(), 2, "b names the old one still");
    assert_eq!(desk.answers()["0001"], "d a m");
    desk.write(&[("agents/b.toml", &agent("mm"))]);
    assert_eq!(desk.exceptions(), [""; 0]);
    assert_eq!(desk.answers(), answers(&[("0001", "d a mm"), ("0002", "e b mm"), ("0003", "f a mm")]));
}

#[test]
fn numbers_can_be_swapped() {
    let mut desk = Desk::furnished();
    desk.write(&[("deployments/d.toml", &deployment("a", 2))]);
    assert_eq!(desk.exceptions(), ["deployments/d.toml LastGood: deployments/e.toml answers this number"]);
    desk.write(&[("deployments/e.toml", &deployment("b", 1))]);
    assert_eq!(desk.answers(), answers(&[("0001", "e b n"), ("0002", "d a m")]));
    desk.write(&[("deployments/d.toml", &deployment("a", 1)), ("deployments/e.toml", &deployment("b", 2))]);
    assert_eq!(desk.answers(), answers(&[("0001", "d a m"), ("0002", "e b n")]));
}

#[test]
fn what_is_deleted_is_gone_and_its_deployments_answer_no_more_until_it_is_back() {
    let mut desk = Desk::furnished();
    desk.delete("agents/a.toml");
    assert_eq!(desk.exceptions(), ["deployments/d.toml Nothing: there is no agent \"a\"; did you mean \"b\"?"]);
    assert_eq!(desk.answers(), answers(&[("0002", "e b n")]));
    desk.write(&[("deployments/e.toml", "agent = ")]);
    assert_eq!(desk.answers(), answers(&[("0002", "e b n")]));
    desk.write(&[("agents/a.toml", &agent("m"))]);
    assert_eq!(desk.answers(), answers(&[("0001", "d a m"), ("0002", "e b n")]));
    desk.delete("deployments/d.toml");
    assert_eq!(desk.answers(), answers(&[("0002", "e b n")]));
    // Nobody means to take these away from under the rest.
    desk.delete("models.toml");
    assert_eq!(desk.exceptions()[0], "models.toml LastGood: the file is gone");
    assert_eq!(desk.answers(), answers(&[("0002", "e b n")]));
    assert!(desk.catalogue.problems().has_errors());
}

#[test]
fn what_is_linked_stays_the_same_value_when_nothing_that_it_depends_on_changed() {
    let mut desk = Desk::furnished();
    let before = desk.config().clone();
    let same = |desk: &Desk, name: &str| Arc::ptr_eq(&before.deployments[name], &desk.config().deployments[name]);
    desk.write(&[("agents/a.toml", &agent("m").replace("\"x\"", "\"y\""))]);
    assert_eq!((same(&desk, "d"), same(&desk, "e")), (false, true));
    // Another model's line moves this one's, and changes nothing of it.
    desk.write(&[("models.toml", &format!("# more\n{}", MODELS.replace(":1/", ":9/")))]);
    assert_eq!((same(&desk, "d"), same(&desk, "e")), (false, true));
    desk.write(&[("offhook.toml", "max_calls = 8\n")]);
    assert_eq!((desk.config().server.max_calls, same(&desk, "e")), (8, true));
    assert_ne!(desk.config().revision, before.revision);
    desk.write(&[("agents/a.toml", &agent("m")), ("models.toml", MODELS), ("offhook.toml", SERVER)]);
    assert_eq!(desk.config().revision, before.revision, "the same documents are the same revision");
}

#[test]
fn the_innocent_one_of_two_changes_is_taken() {
    let mut desk = Desk::furnished();
    let variable = "[variables.call]\nname = \"\"\n";
    desk.write(&[
        ("agents/a.toml", &(agent("m") + variable)),
        ("deployments/d.toml", &(deployment("a", 1) + "[outbound]\non_machine = { say = \"Hello {{call.name}}\" }\n")),
    ]);
    assert_eq!(desk.exceptions(), [""; 0]);
    // The agent loses what the deployment says, while a model that both need changes for the better.
    desk.write(&[("agents/a.toml", &agent("m")), ("models.toml", &MODELS.replace(":1/", ":9/"))]);
    assert_eq!(desk.exceptions().len(), 1, "{:?}", desk.exceptions());
    assert!(desk.exceptions()[0].starts_with("agents/a.toml LastGood: deployments/d.toml relies on what it was: "));
    assert_eq!(desk.config().agents["a"].model.url, "ws://127.0.0.1:9/");
}

/// One of a few texts that are good, broken, or good only beside others.
fn text(path: &str, variant: usize) -> Option<String> {
    let text = match path.split('/').next().unwrap_or_default() {
        "offhook.toml" => ["max_calls = 1\n", "max_calls = 2\n", "max_calls = 0\n", "["][variant % 4].to_owned(),
        "models.toml" => {
            let only = "[n]\nurl = \"ws://127.0.0.1:2/\"\n";
            [MODELS, only, "[m]\nkind = \"text\"\nbase_url = \"http://127.0.0.1/\"\nmodel = \"x\"\n", "[m"][variant % 4]
                .to_owned()
        }
        "agents" => match variant % 5 {
            0 => agent("m"),
            1 => agent("n"),
            2 => agent("m") + "[variables.call]\nname = \"\"\n",
            3 => "model = 3\n".to_owned(),
            _ => return None,
        },
        _ => match variant % 6 {
            0 => deployment("a", 1),
            1 => deployment("b", 1),
            2 => deployment("b", 2),
            3 => deployment("a", 2) + "[outbound]\non_machine = { say = \"{{call.name}}\" }\n",
            4 => "agent = ".to_owned(),
            _ => return None,
        },
    };
    Some(text)
}

const PATHS: [&str; 6] =
    ["offhook.toml", "models.toml", "agents/a.toml", "agents/b.toml", "deployments/d.toml", "deployments/e.toml"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written and deleted in whatever order: what is in force is what reading its texts anew gives, it only
    /// ever consists of texts that were written and were not deleted since, and is never less than it must be.
    #[test]
    fn what_is_in_force_is_each_documents_last_good_version(
        steps in prop::collection::vec(prop::collection::vec((0usize..6, 0usize..60), 1..4), 1..14),
    ) {
        let mut desk = Desk::default();
        desk.write(&[("offhook.toml", "max_calls = 1\n"), ("models.toml", MODELS)]);
        let mut ever: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        ever.insert("offhook.toml", vec!["max_calls = 1\n".to_owned()]);
        ever.insert("models.toml", vec![MODELS.to_owned()]);
        for step in steps {
            let step: BTreeMap<_, _> = step.into_iter().map(|(which, variant)| (PATHS[which], variant)).collect();
            let mut changes = Vec::new();
            for (path, variant) in step {
                let text = text(path, variant);
                let versions = ever.entry(path).or_default();
                match &text {
                    Some(text) => versions.push(text.clone()),
                    None => versions.clear(),
                }
                let gone = (DocId::from_path(path).unwrap(), None);
                changes.push(text.map_or(gone, |text| read(path, &text)));
            }
            desk.catalogue.apply(changes, &Silent);
            let in_force: Vec<(String, String)> = desk.catalogue.all_in_force()
                .map(|(id, read)| (id.to_string(), read.text.clone().unwrap().to_string())).collect();
            for (path, text) in &in_force {
                prop_assert!(ever[path.as_str()].contains(text), "{path}");
            }
            let mut anew = Desk::default();
            let texts: Vec<(&str, &str)> = in_force.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            anew.write(&texts);
            prop_assert_eq!(anew.exceptions(), Vec::<String>::new(), "{:?}", &texts);
            prop_assert!(!anew.catalogue.problems().has_errors(), "{}", anew.catalogue.problems());
            prop_assert_eq!(&anew.config().revision, &desk.config().revision);
            prop_assert_eq!(format!("{:?}", anew.config().deployments), format!("{:?}", desk.config().deployments));
            prop_assert_eq!(anew.answers(), desk.answers());
            // What is written is in force when all of it is right.
            if !desk.catalogue.problems().has_errors() {
                prop_assert_eq!(desk.exceptions(), Vec::<String>::new());
            }
            for state in desk.catalogue.exceptions() {
                prop_assert!(state.why.is_some(), "{:?}", state);
            }
        }
    }
}
