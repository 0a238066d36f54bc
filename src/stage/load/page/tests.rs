use super::*;
use crate::stage::load::report::{CapacityReport, Second, Trial};
use crate::stage::load::sample;

/// Every element is closed in its order, attributes are quoted, and nothing stands bare that must not.
fn check_well_formed(html: &str) {
    const VOID: [&str; 2] = ["meta", "br"];
    let (_, body) = html.split_once("<!doctype html>\n").unwrap();
    // Style is not markup.
    let (before, rest) = body.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let text = format!("{before}{after}");
    let mut open: Vec<String> = Vec::new();
    let mut rest = text.as_str();
    while let Some((words, after)) = rest.split_once('<') {
        assert!(!words.contains('>'), "bare > in {words:?}");
        let entities = words.split('&').skip(1);
        entities.for_each(|entity| assert!(entity.find(';').is_some_and(|end| end < 6), "bare & in {words:?}"));
        let (tag, after) = after.split_once('>').unwrap();
        assert!(!tag.contains('<'), "bare < in {tag:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else if !tag.ends_with('/') {
            let name = tag.split(' ').next().unwrap();
            if !VOID.contains(&name) {
                open.push(name.to_owned());
            }
        }
        rest = after;
    }
    assert_eq!(open, Vec::<String>::new());
    assert!(!html.contains(" style=\"") && !html.contains("<script"), "the policy would drop it");
    assert_eq!(
        html.matches("http://").count(),
        html.matches("http://www.w3.org/2000/svg").count(),
        "nothing is fetched"
    );
    for nonsense in ["NaN", "inf\"", "inf ", "Infinity"] {
        assert!(!after.contains(nonsense), "{nonsense}");
    }
}

fn sections(html: &str) -> Vec<&str> {
    html.split("<h2>").skip(1).map(|section| section.split_once('<').unwrap().0).collect()
}

#[test]
fn a_test_has_all_its_sections_and_every_latency_in_each() {
    let report = sample::report();
    let html = load(&report);
    check_well_formed(&html);
    let there = sections(&html);
    assert_eq!(
        there,
        [
            "Objectives",
            "Over time",
            "Percentiles",
            "Latencies",
            "Processor and memory",
            "Compared with the floor",
            "Failures",
            "Bad callers",
            "Calls",
            "Audio",
            "The load",
            "What the figures mean",
        ]
    );
    for latency in &report.latencies {
        let name = Esc(&arrow(latency.name)).to_string();
        assert!(html.contains(&format!(">{name}, ms</text>")), "{name} over time");
        assert!(html.contains(&format!("<figcaption>{name}</figcaption>")), "{name} by percentile");
        assert!(html.contains(&format!("<tr><td>{name}</td><td>61,234</td>")), "{name} in the table");
        assert!(html.contains(&format!("<dt>{name}</dt><dd>{}</dd>", Esc(latency.meaning))), "what {name} means");
    }
    assert_eq!(html.matches("<tr class=\"floor\">").count(), 4);
}

#[test]
fn the_verdict_and_what_did_not_hold_stand_out() {
    let mut report = sample::report();
    let html = load(&report);
    assert!(html.contains("<p class=\"verdict broken\">1 of 4 objectives did NOT hold"));
    assert_eq!((html.matches(">NOT held</td>").count(), html.matches(">held</td>").count()), (1, 3));
    report.objectives[2].held = true;
    assert!(load(&report).contains("<p class=\"verdict held\">All 4 objectives held"));
}

#[test]
fn the_run_is_drawn_over_time_with_its_phases_and_limits() {
    let html = load(&sample::report());
    let (_, picture) = html.split_once("<div class=\"picture\">").unwrap();
    let (picture, _) = picture.split_once("</svg>").unwrap();
    // Seven latencies, calls, cores and memory; p99 of the latencies and the tester's cores.
    assert_eq!(picture.matches("<path class=\"l-a\" d=\"M").count(), 10);
    assert_eq!(picture.matches("<path class=\"l-b\" d=\"M").count(), 8);
    assert_eq!(picture.matches("<rect class=\"l-apart\"").count(), 2);
    for phase in ["ramp", "steady", "down"] {
        assert!(picture.contains(&format!("y=\"16\">{phase}</text>")), "{phase}");
    }
    assert!(
        picture.contains(">caller_to_model.p99 &lt;= 20</text>")
            && picture.contains(">speech_to_clear.p50 &lt;= 80</text>")
    );
    assert_eq!(picture.matches("class=\"l-failed\"").count(), 2, "two moments at which failures grew");
    assert_eq!(picture.matches("class=\"l-hit\"").count(), 79, "each second tells its figures");
    assert!(picture.contains("12 s (steady)\nsetup: p50"));
}

#[test]
fn words_of_others_stay_words() {
    let mut report = sample::report();
    let evil = "</style><script>alert('x')</script> & \"";
    (report.target.name, report.target.kind, report.command) = (evil.into(), evil.into(), evil.into());
    report.failures.insert(evil.into(), 1);
    report.hostile.insert(evil.into(), 1);
    report.objectives[2].objective = evil.into();
    if let Some(floor) = &mut report.floor {
        floor.ratios.insert(evil.into(), 1.0);
    }
    let html = load(&report);
    check_well_formed(&html);
    assert!(!html.contains("alert('x')") && html.matches("alert(&#39;x&#39;)").count() >= 8);
    let trials = vec![Trial { calls: 200, held: false, report }];
    let html = super::capacity(&CapacityReport { trials, limited_by: Some(evil.into()), ..CapacityReport::default() });
    check_well_formed(&html);
    assert!(!html.contains("alert('x')"));
}

#[test]
fn tests_of_nothing_can_be_drawn() {
    let html = load(&LoadReport::default());
    check_well_formed(&html);
    for said in
        ["Nothing was tested", "before its first second", "Nothing was measured", "Nothing failed.", "None was set."]
    {
        assert!(html.contains(said), "{said}");
    }
    let mut report = LoadReport { series: vec![Second::default()], ..sample::report() };
    check_well_formed(&load(&report));
    report.series[0].latencies.insert("setup", [1.0, 2.0]);
    let html = load(&report);
    assert!(html.contains("<path class=\"l-a\" d=\"M58.0 ") && html.contains("h0\"/>"), "a moment is a dot");
    report.load.calls = 0;
    report.tester.cores = f64::NAN;
    let odd = Second { at_s: f64::NAN, tester_cores: f64::INFINITY, target_cores: Some(f64::NAN), ..Second::default() };
    report.series = vec![odd.clone(), Second { at_s: 3.0, latencies: [("setup", [f64::NAN, -1.0])].into(), ..odd }];
    for latency in &mut report.latencies {
        (latency.p50, latency.count) = (Some(f64::NAN), 0);
    }
    check_well_formed(&load(&report));
}

#[test]
fn a_search_is_drawn_by_its_trials_with_the_best_below() {
    let report = sample::capacity();
    let html = super::capacity(&report);
    check_well_formed(&html);
    let (_, picture) = html.split_once("<div class=\"picture\">").unwrap();
    let (picture, _) = picture.split_once("</svg>").unwrap();
    // Two legs and two processes: three trials that held, two that did not.
    assert_eq!((picture.matches("<circle ").count(), picture.matches("l10 10m0 -10l-10 10").count()), (12, 8));
    assert!(picture.contains(">20 ms</text>") && picture.contains(">2 in the machine</text>"));
    assert!(picture.contains(">500 calls held</text>"));
    assert!(html.contains("600 calls, NOT held: caller → model 41.0 ms"));
    assert_eq!(html.matches("<td class=\"bad\">NOT held</td>").count(), 2);
    assert!(
        html.contains("<h2 class=\"part\">The best trial: 500 calls</h2>") && sections(&html).contains(&"Percentiles")
    );
}

#[test]
fn searches_that_found_nothing_can_be_drawn() {
    let html = super::capacity(&CapacityReport::default());
    check_well_formed(&html);
    assert!(html.contains("Nothing was tried."));
    let trials = vec![Trial::default()];
    let html = super::capacity(&CapacityReport {
        trials,
        limited_by: Some("setup.p99 <= 5".into()),
        ..CapacityReport::default()
    });
    check_well_formed(&html);
    assert!(html.contains("No number of calls that was tried held") && html.contains("The smallest trial: 0 calls"));
}
