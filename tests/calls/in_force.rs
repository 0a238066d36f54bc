//! Who is answered at all: agent, deployment, schedule, hours, visibility and access, before any model is asked.

use offhook::stage::phone::Outcome;

use crate::house::{House, NUMBER, Plan, Site, TOKEN, place, write};

/// A number of each kind that does not answer, with what is said there and the refusal's label.
const CLOSED: [(&str, &str, &str, &str); 6] = [
    ("off", "active = false\n", "Not in service.", "inactive"),
    ("early", "[schedule]\nactivate_at = \"2099-01-01T00:00:00Z\"\n", "Not in service.", "schedule"),
    ("over", "[schedule]\ndeactivate_at = \"2020-01-01T00:00:00Z\"\n", "Not in service.", "schedule"),
    ("shut", "[hours]\noutside = \"refuse\"\nline = \"We open on Monday.\"\n", "We open on Monday.", "hours"),
    ("shut-2", "[hours]\noutside = \"refuse\"\n", "Not in service.", "hours"),
    ("team", "access = \"organization\"\n", "I am sorry, this line is for members only. Goodbye.", "access"),
];

#[tokio::test]
async fn vis_08_dep_04_acc_07_who_is_not_in_force_refuses_before_the_model_is_asked() {
    let plan = Plan { twilio: "refuse_inactive = \"Not in service.\"\n".to_owned(), ..Plan::default() };
    let site = Site::build(&plan).await;
    let number = |at: usize| format!("+155501003{at:02}");
    for (at, (name, more, ..)) in CLOSED.iter().enumerate() {
        let text = format!("agent = \"mia\"\nnumber = \"{}\"\n{more}", number(at));
        write(&site.config().join(format!("deployments/{name}.toml")), &text);
    }
    let agent = |more: &str| format!("model = \"scripted\"\ninstructions = \"Be kind.\"\n{more}");
    write(&site.config().join("agents/away.toml"), &agent("active = false\n"));
    write(&site.config().join("agents/secret.toml"), &agent("visibility = \"internal\"\n"));
    for (agent, number) in [("away", "+15550100391"), ("secret", "+15550100392")] {
        let text = format!("agent = \"{agent}\"\nnumber = \"{number}\"\n");
        write(&site.config().join(format!("deployments/of-{agent}.toml")), &text);
    }
    let house = House::open(site, None).await;
    let refused = async |number: &str, said: &str, label: &str| {
        let counted = format!("offhook_calls_refused_total{{reason=\"{label}\"}}");
        let before = house.metric(&counted);
        let mut caller = house.caller(vec![]);
        caller.to = number.to_owned();
        assert_eq!(place(caller).await.outcome, Outcome::Refused { said: said.to_owned() }, "{label} {number}");
        assert_eq!(house.metric(&counted), before + 1, "{label} {number}");
    };
    for (at, (_, _, said, label)) in CLOSED.iter().enumerate() {
        refused(&number(at), said, label).await;
    }
    refused("+15550100391", "Not in service.", "inactive").await;
    refused("+15550100392", "I am sorry, this line is for members only. Goodbye.", "access").await;
    assert_eq!(house.site.model.sessions_ever(), 0, "no model was asked");
    assert!(house.ring("CA1", NUMBER, TOKEN).await.1.contains("<Stream"), "the others are answered");
}

#[tokio::test]
async fn con_01_con_04_one_call_more_than_an_agent_may_have_hears_the_refusal() {
    let plan = Plan {
        server: "[plan]\ncalls_per_agent = 2\n".to_owned(),
        twilio: "refuse_full = \"We are full.\"\n".to_owned(),
        ..Plan::default()
    };
    let site = Site::build(&plan).await;
    for (name, number, more) in [("one", "+15550100401", "max_calls = 1\n"), ("two", "+15550100402", "")] {
        let agent = format!("model = \"scripted\"\ninstructions = \"Be kind.\"\n{more}");
        write(&site.config().join(format!("agents/{name}.toml")), &agent);
        let deployment = format!("agent = \"{name}\"\nnumber = \"{number}\"\n");
        write(&site.config().join(format!("deployments/of-{name}.toml")), &deployment);
    }
    let house = House::open(site, None).await;
    let counted = || house.metric("offhook_calls_refused_total{reason=\"agent_full\"}");
    for (number, most) in [("+15550100401", 1), ("+15550100402", 2)] {
        let before = counted();
        for at in 0..=most {
            let answer = house.ring(&format!("CA{number}-{at}"), number, TOKEN).await.1;
            let said = if at < most { "<Stream" } else { "We are full." };
            assert!(answer.contains(said), "{number} {at}: {answer}");
        }
        assert_eq!(counted(), before + 1, "{number}");
    }
}
