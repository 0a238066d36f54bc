use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::config::{Hours, Outside, Plan, Span, StoreSettings, Tier};
use crate::house::review::*;

/// A catalogue that owns what [`Facts`] borrow.
#[derive(Clone, Debug)]
struct Catalogue {
    agents: Vec<(AgentStanding, Models)>,
    deployments: Vec<(Standing, Models)>,
    models: Vec<ModelCard>,
    plan: Plan,
    tier: Tier,
    max_keep_days: u64,
}

/// What a document names.
#[derive(Clone, Copy, Debug, Default)]
struct Models {
    model: Option<&'static str>,
    text_model: Option<&'static str>,
    backup: Option<&'static str>,
    voice: Option<&'static str>,
    qc: Option<&'static str>,
}

impl Catalogue {
    /// One agent with a phone, a website and an internal chat; nothing is wrong with it.
    fn good() -> Self {
        let defaults = Models { model: Some("v"), text_model: Some("t"), qc: Some("t"), ..Models::default() };
        let mut catalogue = Catalogue {
            agents: vec![(agent(), defaults)],
            deployments: Vec::new(),
            models: vec![
                of(model("v", ModelKind::Voice, "CH", "CH"), "A"),
                of(model("t", ModelKind::Text, "CH", "CH"), "A"),
                of(model("t-us", ModelKind::Text, "US", "US"), "B"),
                of(model("v-us", ModelKind::Voice, "US", "US"), "B"),
            ],
            plan: Plan::default(),
            tier: Tier::Global,
            max_keep_days: 0,
        };
        for (name, channel) in [("chat", Channel::Internal), ("line", Channel::Phone), ("site", Channel::Website)] {
            catalogue.add(name, channel);
        }
        catalogue
    }

    fn add(&mut self, name: &str, channel: Channel) -> &mut (Standing, Models) {
        let standing = Standing {
            name: name.to_owned(),
            title: if channel == Channel::Internal { "Chat Internal".to_owned() } else { name.to_uppercase() },
            key: Some(format!("oh_pub_{name}")),
            ..deployment(channel, crate::house::access::default_mode(channel))
        };
        self.deployments.push((standing, Models::default()));
        self.deployments.last_mut().unwrap()
    }

    fn of(&mut self, name: &str) -> &mut (Standing, Models) {
        self.deployments.iter_mut().find(|(standing, _)| standing.name == name).unwrap()
    }

    fn facts(&self) -> Facts<'_> {
        let agents = self.agents.iter().map(|(standing, models)| {
            let Models { model, text_model, qc, .. } = *models;
            let others = qc.map(|name| ("qc.model", name)).into_iter().collect();
            (standing.name.as_str(), AgentFacts { standing, model, text_model, others })
        });
        let deployments = self.deployments.iter().map(|(standing, models)| {
            let Models { model, backup, voice, .. } = *models;
            (standing.name.as_str(), DeploymentFacts { standing, model, backup, voice, has_number: true })
        });
        Facts {
            agents: agents.collect(),
            deployments: deployments.collect(),
            models: self.models.iter().map(|card| (card.name.as_str(), card)).collect(),
            plan: self.plan,
            tier: self.tier,
            store: StoreSettings { max_keep_days: self.max_keep_days, ..StoreSettings::default() },
        }
    }
}

/// All findings in one line each; `!` before what is refused.
fn found(before: Option<&Catalogue>, after: &Catalogue) -> Vec<String> {
    let facts = before.map(Catalogue::facts);
    let before = facts.as_ref().map(|facts| Before { facts, seen_at: at(NOON) });
    let now = at(NOON) + 1.hour();
    let line = |finding: &Finding| {
        let document = match &finding.document {
            Document::Server => "server",
            Document::Agent(name) | Document::Deployment(name) => name,
        };
        let (mark, code) = match &finding.verdict {
            Verdict::Refused(refusal) => ("!", refusal.code),
            Verdict::Flagged(flag) => ("", flag.code),
        };
        format!("{mark}{document} {}: {code}", finding.field_path)
    };
    review(before, &after.facts(), now).iter().map(line).collect()
}

/// What is found after `change` in what never ran, and after it in what was good and in force.
fn after(change: impl Fn(&mut Catalogue)) -> [Vec<String>; 2] {
    let good = Catalogue::good();
    let mut changed = good.clone();
    change(&mut changed);
    [found(None, &changed), found(Some(&good), &changed)]
}

/// The same either way.
#[track_caller]
fn always(change: impl Fn(&mut Catalogue), expected: &[&str]) {
    let [new, changed] = after(change);
    assert_eq!(new, expected, "new");
    assert_eq!(changed, expected, "changed");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    always(|_| {}, &[]);
}

#[test]
fn mod_01_mod_04_fail_01_fail_02_new_choices_are_refused_at_their_key() {
    always(|it| it.agents[0].1.model = None, &["!line model: model_required"]);
    always(|it| it.of("line").1.model = Some("t"), &["!line model: model_not_voice"]);
    always(|it| it.of("site").1.model = Some("v"), &["!site model: model_not_text"]);
    always(|it| it.of("site").1.model = Some("gpt"), &["!site model: model_unknown"]);
    always(|it| it.of("line").1.backup = Some("t"), &["!line backup_model: backup_on_phone"]);
    always(|it| it.of("site").1.backup = Some("t"), &["!site backup_model: backup_same"]);
    always(|it| it.of("chat").1.backup = Some("v"), &["!chat backup_model: backup_not_text"]);
    always(|it| it.of("chat").1.backup = Some("t-us"), &[]);
}

#[test]
fn fail_03_a_backup_of_the_same_vendor_is_flagged() {
    let change = |it: &mut Catalogue| {
        it.of("site").1.model = Some("t-us");
        it.of("site").1.backup = Some("t");
        it.models[1].facts.vendor = Some("B".to_owned());
    };
    always(change, &["site backup_model: backup_same_vendor"]);
}

#[test]
fn res_03_new_choices_against_the_tier_are_refused_where_they_are_made() {
    let strict = |it: &mut Catalogue| it.tier = Tier::SwissSwiss;
    always(strict, &[]);
    let own = |it: &mut Catalogue| {
        strict(it);
        it.of("site").1.model = Some("t-us");
        it.of("chat").1.backup = Some("t-us");
    };
    always(own, &["!chat backup_model: residency", "!site model: residency"]);
    // Told once, in the document that says so.
    let agents = |it: &mut Catalogue| {
        strict(it);
        it.agents[0].1.text_model = Some("t-us");
        it.agents[0].1.qc = Some("t-us");
    };
    always(agents, &["!reception text_model: residency", "!reception qc.model: residency"]);
}

#[test]
fn res_04_res_10_mod_07_what_was_in_force_goes_on_flagged_when_the_tier_changes() {
    let mut before = Catalogue::good();
    before.agents[0].1.qc = Some("t-us");
    before.of("line").1.model = Some("v-us");
    before.of("site").1.backup = Some("t-us");
    let mut strict = before.clone();
    strict.tier = Tier::EuropeAny;
    let flags = ["reception qc.model: residency", "line model: residency", "site backup_model: residency"];
    assert_eq!(found(Some(&before), &strict), flags);
    // And still when something else is saved.
    let mut renamed = strict.clone();
    renamed.of("line").0.title = "Front desk".to_owned();
    assert_eq!(found(Some(&strict), &renamed), flags);
    // A new deployment on the same model is a new choice.
    let mut more = strict.clone();
    more.add("second", Channel::Phone).1.model = Some("v-us");
    assert_eq!(found(Some(&strict), &more)[2], "!second model: residency");
    // So is the same model on another channel.
    let mut before = Catalogue::good();
    before.of("site").1.model = Some("t");
    let mut moved = before.clone();
    moved.of("site").0.channel = Channel::Phone;
    assert_eq!(found(Some(&before), &moved), ["!site model: model_not_voice"]);
}

#[test]
fn res_05_a_new_tier_tells_what_it_flags_before_it_is_saved() {
    let mut catalogue = Catalogue::good();
    catalogue.of("line").1.model = Some("v-us");
    catalogue.of("site").1.backup = Some("t-us");
    catalogue.of("chat").0.access = Some(Access::Public);
    let flagged = |tier| {
        let findings = of_tier(&catalogue.facts(), tier, at(NOON));
        findings.iter().map(|finding| (finding.document.path(), finding.field_path)).collect::<Vec<_>>()
    };
    let both = ["deployments/line.toml", "deployments/site.toml"].map(str::to_owned);
    assert_eq!(flagged(Tier::EuropeAny), both.into_iter().zip(["model", "backup_model"]).collect::<Vec<_>>());
    assert_eq!(flagged(Tier::Global), []);
}

#[test]
fn res_03_a_new_deployment_on_an_old_model_of_its_agent_is_refused_itself() {
    let mut before = Catalogue::good();
    before.agents[0].1.text_model = Some("t-us");
    before.tier = Tier::SwissAny;
    let mut after = before.clone();
    after.add("second", Channel::Website);
    let found = found(Some(&before), &after);
    assert_eq!(
        found,
        [
            "reception text_model: residency",
            "chat model: residency",
            "!second model: residency",
            "site model: residency"
        ]
    );
}

#[test]
fn mod_07_dep_15_a_model_that_changed_its_facts_or_went_away_is_flagged() {
    let good = Catalogue::good();
    let mut gone = good.clone();
    gone.models.retain(|card| card.name != "v");
    assert_eq!(found(Some(&good), &gone), ["reception model: model_gone", "line model: model_gone"]);
    let mut other = good.clone();
    other.models[0].kind = ModelKind::Text;
    assert_eq!(found(Some(&good), &other), ["line model: model_not_voice"]);
}

#[test]
fn phn_02_a_voice_that_the_model_lacks() {
    let change = |it: &mut Catalogue| {
        it.models[0].facts.voices = vec!["marin".to_owned()];
        it.of("line").1.voice = Some("alloy");
    };
    always(change, &["!line voice: voice_unknown"]);
    let mut before = Catalogue::good();
    before.of("line").1.voice = Some("alloy");
    let mut after = before.clone();
    change(&mut after);
    assert_eq!(found(Some(&before), &after), ["line voice: voice_unknown"], "declared only now");
}

#[test]
fn dep_08_the_second_internal_chat_is_refused_whichever_comes_first_in_the_alphabet() {
    let second = |it: &mut Catalogue| {
        it.add("backstage", Channel::Internal);
    };
    let [new, changed] = after(second);
    assert_eq!(new, ["!chat : already_configured"]);
    assert_eq!(changed, ["!backstage : already_configured"], "who was there stays");
    // Also when who was there is given another key in the same breath.
    let both = |it: &mut Catalogue| {
        second(it);
        it.of("chat").0.key = None;
    };
    assert_eq!(after(both)[1], ["!backstage : already_configured"]);
    let elsewhere = |it: &mut Catalogue| {
        second(it);
        it.agents.push((AgentStanding { name: "other".to_owned(), ..agent() }, it.agents[0].1));
        it.of("backstage").0.agent = "other".to_owned();
    };
    always(elsewhere, &[]);
}

#[test]
fn dep_09_over_the_limit_the_new_ones_are_refused_and_the_old_ones_go_on() {
    let [new, changed] = after(|it| {
        it.plan.deployments = Some(3);
        it.add("another", Channel::Website).0.active = false;
    });
    assert_eq!(new, ["!site : deployment_limit"]);
    assert_eq!(changed, ["!another : deployment_limit"]);
    let [_, lowered] = after(|it| it.plan.deployments = Some(2));
    assert_eq!(lowered, ["server plan.deployments: deployment_limit"]);
    always(|it| it.plan.deployments = Some(3), &[]);
}

#[test]
fn dep_10_titles_are_unique_for_each_agent_and_of_fitting_length() {
    always(|it| it.of("site").0.title = "LINE".to_owned(), &["!site title: title_taken"]);
    let [new, changed] = after(|it| it.of("line").0.title = "SITE".to_owned());
    assert_eq!(
        (new, changed),
        (vec!["!site title: title_taken".to_owned()], vec!["!line title: title_taken".to_owned()])
    );
    always(|it| it.of("line").0.title = " ".to_owned(), &["!line title: title_length"]);
}

#[test]
fn dep_14_a_key_is_one_deployments_and_is_not_told() {
    let same = |it: &mut Catalogue| it.of("chat").0.key = Some("oh_pub_site".to_owned());
    let [new, changed] = after(same);
    assert_eq!((new, changed), (vec!["!site key: key_taken".to_owned()], vec!["!chat key: key_taken".to_owned()]));
    let mut catalogue = Catalogue::good();
    same(&mut catalogue);
    let Verdict::Refused(refusal) = review(None, &catalogue.facts(), at(NOON)).remove(0).verdict else { panic!() };
    assert_eq!(
        (refusal.status, refusal.message.as_str()),
        (409, "The deployment chat has the same key. Each needs its own.")
    );
}

#[test]
fn acc_02_acc_03_hrs_01_wrong_access_and_hours_are_refused() {
    always(|it| it.of("site").0.access = Some(Access::Organization), &["!site access: access_on_website"]);
    always(|it| it.of("chat").0.access = Some(Access::Public), &["!chat access: access_public"]);
    let overlap = |it: &mut Catalogue| {
        let day = jiff::civil::date(2026, 12, 24);
        let spans = vec![Span { from_min: 0, to_min: 9 }, Span { from_min: 8, to_min: 10 }];
        it.of("line").0.hours = Some(Hours {
            timezone: TimeZone::UTC,
            week: BTreeMap::new(),
            exceptions: BTreeMap::from([(day, spans)]),
            outside: Outside::default(),
        });
    };
    always(overlap, &["!line hours: hours_span"]);
}

#[test]
fn vis_07_a_file_is_held_to_when_it_was_not_yet_so() {
    let schedule = |minutes: i64| Schedule { activate_at: Some(at(NOON) + minutes.minutes()), deactivate_at: None };
    // Seen without it at noon, and it is one o'clock.
    for (minutes, expected) in [(-1, &["!line schedule.activate_at: schedule_past"][..]), (30, &[]), (90, &[])] {
        assert_eq!(after(|it| it.of("line").0.schedule = schedule(minutes))[1], expected, "{minutes}");
        // Of a directory that never ran it is not known since when it says so.
        assert_eq!(after(|it| it.of("line").0.schedule = schedule(minutes))[0], [""; 0], "{minutes}");
    }
    let agents = |it: &mut Catalogue| it.agents[0].0.schedule = schedule(-1);
    assert_eq!(after(agents)[1], ["!reception schedule.activate_at: schedule_past"]);
    // What was there already is not looked at again.
    let mut before = Catalogue::good();
    before.of("line").0.schedule = schedule(-90);
    let mut renamed = before.clone();
    renamed.of("line").0.title = "Front desk".to_owned();
    assert_eq!(found(Some(&before), &renamed), [""; 0]);
    let waits = |it: &mut Catalogue| {
        it.of("line").0.active = false;
        it.of("line").0.schedule = schedule(90);
    };
    always(waits, &["line schedule.activate_at: schedule_idle"]);
}

#[test]
fn dep_15_con_01_what_does_not_work_is_flagged() {
    let over = |it: &mut Catalogue| {
        it.of("site").0.schedule = Schedule { activate_at: None, deactivate_at: Some(at(NOON) + 1.minute()) };
    };
    always(over, &["site schedule: schedule_over"]);
    let many = |it: &mut Catalogue| {
        it.agents[0].0.max_calls = Some(3);
        it.plan.calls_per_agent = Some(2);
    };
    always(many, &["reception max_calls: calls_over_plan"]);
    let good = Catalogue::good();
    let mut facts = good.facts();
    facts.deployments.get_mut("line").unwrap().has_number = false;
    assert_eq!(review(None, &facts, at(NOON)).remove(0).field_path, "number");
}

prop_compose! {
    /// Any catalogue, most of them wrong in several ways.
    fn any_catalogue()(
        documents in proptest::collection::vec(any_deployment(), 1..8),
        own in (name(), name(), name()),
        active in any::<bool>(),
        max_calls in proptest::option::of(0_u32..3),
        world in any_world(),
    ) -> Catalogue {
        let mut catalogue = Catalogue::good();
        let models = Models { model: own.0, text_model: own.1, qc: own.2, ..Models::default() };
        catalogue.agents = vec![(AgentStanding { active, max_calls, ..agent() }, models)];
        catalogue.deployments = documents;
        for (i, (standing, _)) in catalogue.deployments.iter_mut().enumerate() {
            standing.name = format!("d{i}");
        }
        (catalogue.models, catalogue.plan, catalogue.tier) = world;
        catalogue
    }
}

fn name() -> impl Strategy<Value = Option<&'static str>> {
    proptest::sample::select(vec![None, Some("v"), Some("t"), Some("t-us"), Some("v-us"), Some("gone")])
}

fn any_deployment() -> impl Strategy<Value = (Standing, Models)> {
    let channel = proptest::sample::select(Channel::ALL.map(|(_, channel)| channel).to_vec());
    let access = proptest::sample::select(vec![
        None,
        Some(Access::Public),
        Some(Access::Organization),
        Some(Access::InviteOnly(Vec::new())),
    ]);
    let minute = || proptest::option::of(-90_i64..90);
    let said = (proptest::sample::select(vec!["", "A", "B"]), proptest::option::of("oh_pub_[ab]"), any::<bool>());
    (channel, access, said, (minute(), minute()), (name(), name())).prop_map(
        |(channel, access, (title, key, active), (on, off), (model, backup))| {
            let moment = |minutes: Option<i64>| minutes.map(|minutes| at(NOON) + minutes.minutes());
            let schedule = Schedule { activate_at: moment(on), deactivate_at: moment(off) };
            let title = title.to_owned();
            let backup = backup.filter(|_| channel != Channel::Phone);
            let standing = Standing { title, key, active, schedule, ..deployment(channel, access) };
            (standing, Models { model, backup, voice: Some("alloy"), ..Models::default() })
        },
    )
}

/// What is not in the documents of agents and deployments.
fn any_world() -> impl Strategy<Value = (Vec<ModelCard>, Plan, Tier)> {
    let country = || proptest::sample::select(vec!["CH", "DE", "US", "--"]);
    let kind = proptest::sample::select(vec![ModelKind::Voice, ModelKind::Text]);
    let names = proptest::sample::select(vec!["v", "t", "t-us", "v-us"]);
    let card = (names, kind, country(), country()).prop_map(|(name, kind, hosting, vendor)| {
        let mut card = model(name, kind, hosting, vendor);
        card.facts.voices = vec!["marin".to_owned()];
        card
    });
    let tier = proptest::sample::select(crate::house::residency::TIERS.map(|(tier, _)| tier).to_vec());
    let plan = (proptest::option::of(0_u32..9), proptest::option::of(0_u32..3));
    let plan = plan.prop_map(|(deployments, calls_per_agent)| Plan { deployments, calls_per_agent, ..Plan::default() });
    (proptest::collection::vec(card, 0..6), plan, tier)
}

proptest! {
    /// Whatever was in force goes on, whatever becomes of tier, plan and models: only documents that change are refused.
    #[test]
    fn mod_07_res_04_res_05_what_was_in_force_is_never_refused(before in any_catalogue(), world in any_world()) {
        let mut after = before.clone();
        (after.models, after.plan, after.tier) = world;
        let refused: Vec<_> = found(Some(&before), &after).into_iter().filter(|line| line.starts_with('!')).collect();
        prop_assert!(refused.is_empty(), "{refused:?}");
    }
}

#[test]
fn ten_thousand_deployments_are_reviewed_by_all_rules() {
    let mut catalogue = Catalogue::good();
    for i in 0..10_000 {
        catalogue.add(&format!("d{i}"), Channel::Website);
    }
    catalogue.of("d9999").0.title = "D9998".to_owned();
    let begun = std::time::Instant::now();
    let found = found(Some(&catalogue), &catalogue);
    assert_eq!(found, ["d9999 title: title_taken"]);
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
