//! Channels, schedules, hours, access, looks; what the organization says of itself and of its models.

use jiff::civil::{Weekday, date};

use super::*;

fn phone(text: &str) -> String {
    format!("channel = \"phone\"\nagent = \"reception\"\n{text}")
}

fn website(text: &str) -> String {
    format!("channel = \"website\"\nagent = \"reception\"\nmodel = \"rehearsal-text\"\n{text}")
}

fn internal(text: &str) -> String {
    website(text).replace("website", "internal")
}

/// Each deployment's document is told this, without the file's name.
fn told(cases: Vec<(String, &[&str])>) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let dir = Dir::shipped();
        dir.write("deployments/main-number.toml", &text);
        let prefix = format!("{}/", dir.path().display());
        let said: Vec<String> =
            dir.errors().iter().map(|e| e.replace("deployments/main-number.toml:", "").replace(&prefix, "")).collect();
        if said != expected {
            wrong.push_str(&format!("{text}\n  said {said:#?}\n  not {expected:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn bad_channels_are_told() {
    told(vec![
        (
            "channel = \"telegram\"\nagent = \"reception\"".into(),
            &["1:11: channel = \"telegram\": unknown value; allowed: phone, website, internal"],
        ),
        (
            phone("backup_model = \"rehearsal-text\""),
            &["3:1: backup_model: Phone deployments cannot have a backup model."],
        ),
        (
            phone("welcome = \"Hi\"\nlook = {}\navatar = \"a.png\""),
            &[
                "3:1: welcome: has no place here: it belongs to channels of text; what callers hear first is the greeting",
                "4:1: look: has no place here: it belongs to channel = \"website\"",
                "5:1: avatar: has no place here: it belongs to channel = \"internal\"",
            ],
        ),
        (
            website("number = \"+15550100101\"\nshow_tool_use = true\n[limits]\nmax_minutes = 1"),
            &[
                "4:1: number: has no place here: it belongs to channel = \"phone\"",
                "5:1: show_tool_use: has no place here: it belongs to channel = \"internal\"",
                "6:2: limits: has no place here: it belongs to channel = \"phone\"",
            ],
        ),
        (
            phone("model = \"rehearsal-text\""),
            &["3:9: model = \"rehearsal-text\": Phone deployments require a voice model; allowed: openai, rehearsal"],
        ),
        (
            website("").replace("rehearsal-text", "rehearsal"),
            &[
                "3:9: model = \"rehearsal\": Voice models can only be used for phone deployments; allowed: rehearsal-text",
            ],
        ),
        (
            website("backup_model = \"rehearsal\""),
            &["4:16: backup_model = \"rehearsal\": The backup must be a text model.; allowed: rehearsal-text"],
        ),
        (
            website("").replace("-text", "-test"),
            &[
                "3:9: model = \"rehearsal-test\": there is no model \"rehearsal-test\"; did you mean \"rehearsal-text\"?; allowed: rehearsal-text",
            ],
        ),
        (
            website("").replace("model = \"rehearsal-text\"", ""),
            &[
                "2:9: agent = \"reception\": Choose a model.; allowed: model = \"…\" here, or text_model = \"…\" in the agent's document",
            ],
        ),
        (
            phone("title = \" \"\nkey = \"oh_key_0123456789abcdef0123456789abcdef\""),
            &[
                "3:9: title = \" \": is empty",
                "4:7: key = (hidden): is not valid; allowed: oh_pub_ and 16 to 64 letters and digits",
            ],
        ),
    ]);
}

#[test]
fn bad_schedules_hours_and_access_are_told() {
    told(vec![
        (
            phone("[schedule]\nactivate_at = 2026-12-24T08:00:00\ndeactivate_at = \"soon\""),
            &[
                "4:15: activate_at = 2026-12-24T08:00:00: is not a moment with its offset from UTC; allowed: RFC 3339, such as 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z",
                "5:17: deactivate_at = \"soon\": is not a moment with its offset from UTC; allowed: RFC 3339, such as 2026-12-24T18:00:00+01:00 or 2026-12-24T17:00:00Z",
            ],
        ),
        (
            phone("[schedule]\nactivate_at = 2026-12-24T08:00:00+01:00\ndeactivate_at = \"2026-12-24T07:00:00Z\""),
            &[
                "5:17: deactivate_at = \"2026-12-24T07:00:00Z\": is not later than activate_at; allowed: after 2026-12-24T07:00:00Z",
            ],
        ),
        (
            phone(
                "[hours]\nmon = [\"09:00-12:30\", \"12:00-18:00\"]\ntue = [\"9:00-10:00\", \"10:00-10:00\", \"22:00-02:00\"]\nfunday = []\n[hours.exceptions]\n\"24.12.2026\" = []\n\"2026-12-24\" = [\"09:00\"]",
            ),
            &[
                "4:23: \"12:00-18:00\": overlaps 09:00-12:30 on mon; allowed: spans of one day that do not overlap",
                "5:8: \"9:00-10:00\": is no span of tue; allowed: such as \"09:00-12:30\", within 00:00-24:00",
                "5:22: \"10:00-10:00\": is empty: it ends on tue before it has begun; allowed: such as \"09:00-12:30\", within 00:00-24:00",
                "5:37: \"22:00-02:00\": is empty: it ends on tue before it has begun; allowed: such as \"09:00-12:30\", within 00:00-24:00",
                "6:1: funday: unknown key; allowed: timezone, mon, tue, wed, thu, fri, sat, sun, exceptions, outside, line",
                "8:1: \"24.12.2026\": is no date; allowed: such as \"2026-12-24\"",
                "9:17: \"09:00\": is no span of 2026-12-24; allowed: such as \"09:00-12:30\", within 00:00-24:00",
            ],
        ),
        (
            phone("[hours]\ntimezone = \"Europe/Berln\"\noutside = \"voicemail\""),
            &[
                "4:12: timezone = \"Europe/Berln\": there is no such time zone; did you mean Europe/Berlin?; allowed: names such as \"Europe/Berlin\", \"America/New_York\", \"UTC\"",
                "5:11: outside = \"voicemail\": unknown value; allowed: answer, refuse",
            ],
        ),
        (phone("hours = \"never\""), &["3:9: hours = \"never\": unknown value; allowed: always"]),
        (
            phone("access = \"private\""),
            &[
                "3:10: access = \"private\": is no access mode; allowed: \"public\", \"organization\", { role = \"builder\" }, { members = [\"ann@example.com\"] }",
            ],
        ),
        (phone("access = { role = \"member\" }"), &["3:19: role = \"member\": unknown value; allowed: builder, admin"]),
        (
            phone("access = { members = [] }"),
            &["3:22: members = []: Select at least one member.; allowed: e-mail addresses of members"],
        ),
        (
            phone("access = { members = [\"ann\"] }"),
            &["3:23: \"ann\": is not valid; allowed: an e-mail address such as \"ann@example.com\""],
        ),
        (
            phone("access = { members = [\"a@b.ch\"], role = \"admin\" }"),
            &[
                "3:10: access = { members = [\"a@b.ch\"], role = \"admin\" }: needs either role or members; allowed: \"public\", \"organization\", { role = \"builder\" }, { members = [\"ann@example.com\"] }",
            ],
        ),
        (
            internal("access = \"public\""),
            &[
                "4:10: access = \"public\": Public is not available for internal chat.; allowed: \"organization\", { role = \"builder\" }, { members = [\"ann@example.com\"] }",
            ],
        ),
        (website("access = \"organization\""), &["4:1: access: Website deployments have no access mode."]),
    ]);
}

#[test]
fn bad_looks_are_told() {
    told(vec![
        (
            website(
                "[look]\nposition = \"middle\"\nsize = \"xl\"\ntheme = \"drak\"\nheader_text = \"#fff\"\nbackground = \"white\"\n[look.preview]\ntext = \"#00000g\"",
            ),
            &[
                "5:12: position = \"middle\": unknown value; allowed: bottom-right, bottom-left, top-right, top-left, right, left",
                "6:8: size = \"xl\": unknown value; did you mean l?; allowed: s, m, l",
                "7:9: theme = \"drak\": unknown value; did you mean dark?; allowed: light, dark, auto",
                "8:15: header_text = \"#fff\": is no colour; allowed: #rrggbb, such as \"#6366f1\"",
                "9:14: background = \"white\": is no colour; allowed: #rrggbb, such as \"#6366f1\"",
                "10:1: look.preview.message is missing: what the bubble says",
                "11:8: text = \"#00000g\": is no colour; allowed: #rrggbb, such as \"#6366f1\"",
            ],
        ),
        (
            website(&format!("suggestions = [\"{}\", \"\"]", "x".repeat(81))),
            &[
                "4:16: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: is too long; allowed: at most 80 characters",
                "4:101: \"\": is empty",
            ],
        ),
        (
            website("suggestions = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\"]"),
            &[
                "4:15: suggestions = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\"]: is too long; allowed: at most 6 values",
            ],
        ),
        (
            website(
                "origins = [\"https://site.com/shop\", \"*\", \"*.com\", \"ftp://site.com\", \"SITE.com\", \"https://site.com:443\"]",
            ),
            &[
                "4:12: \"https://site.com/shop\": https://site.com/shop is not a website address such as https://yourwebsite.com; allowed: https://site.com, https://*.site.com, *.site.com, http://localhost:3000",
                "4:37: \"*\": * is not a website address such as https://yourwebsite.com; allowed: https://site.com, https://*.site.com, *.site.com, http://localhost:3000",
                "4:42: \"*.com\": *.com is not a website address such as https://yourwebsite.com; allowed: https://site.com, https://*.site.com, *.site.com, http://localhost:3000",
                "4:51: \"ftp://site.com\": ftp://site.com is not a website address such as https://yourwebsite.com; allowed: https://site.com, https://*.site.com, *.site.com, http://localhost:3000",
                "4:81: \"https://site.com:443\": is named twice",
            ],
        ),
        (
            website("look.logo = \"offhook.toml\"\nlink_previews = [\"Example.com\"]"),
            &[
                "4:13: logo = \"offhook.toml\": is no picture that browsers show; allowed: a PNG, JPEG, WebP or SVG file of at most 512 kB",
                "5:18: \"Example.com\": is not valid; allowed: names in lower case such as \"api.example.com\", or \"*.example.com\" for all below it",
            ],
        ),
        (
            internal("avatar = \"nope.png\""),
            &[
                "4:10: avatar = \"nope.png\": nope.png: there is no such file; allowed: a PNG, JPEG, WebP or SVG file of at most 512 kB",
            ],
        ),
    ]);
}

#[test]
fn hrs_01_hours_are_spans_of_a_clock_on_a_wall() {
    let dir = Dir::shipped();
    let hours = |agent: &str, text: &str| {
        dir.write("agents/reception.toml", format!("{agent}\n{AGENT}"));
        dir.write("deployments/main-number.toml", phone(text));
        let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
        config.deployments["main-number"].standing.hours.clone()
    };
    let own = "timezone = \"Europe/Zurich\"\n[hours]\nmon = [\"13:30-18:00\", \"09:00-12:30\"]\nsun = [\"20:00-24:00\"]\n\
               outside = \"refuse\"\nline = \"Closed.\"\n[hours.exceptions]\n\"2026-12-24\" = [\"09:00-12:00\"]\n\"2026-12-25\" = []";
    let found = hours("", own).unwrap();
    let span = |from_min, to_min| Span { from_min, to_min };
    assert_eq!(found.week[&Weekday::Monday.into()], [span(540, 750), span(810, 1_080)]);
    assert_eq!(found.week[&Weekday::Sunday.into()], [span(1_200, 1_440)]);
    assert_eq!(found.exceptions[&date(2026, 12, 24)], [span(540, 720)]);
    assert_eq!(found.exceptions[&date(2026, 12, 25)], []);
    assert_eq!(found.outside, Outside::Refuse(Some("Closed.".to_owned())));
    assert_eq!(found.timezone.iana_name(), Some("Europe/Zurich"));
    // The agent's are those of a deployment that has none, by the deployment's clock.
    let of_agent = "hours = { tue = [\"10:00-11:00\"] }";
    let found = hours(of_agent, "timezone = \"Asia/Tokyo\"").unwrap();
    assert_eq!((found.week.len(), found.timezone.iana_name()), (1, Some("Asia/Tokyo")));
    assert_eq!(found.outside, Outside::Answer);
    assert_eq!(hours(of_agent, "hours = \"always\""), None);
    assert_eq!(hours("", ""), None);
}

#[test]
fn acc_02_access_is_by_channel() {
    for (text, meant) in [
        (phone(""), Some(Access::Public)),
        (phone("access = \"organization\""), Some(Access::Organization)),
        (phone("access = { role = \"builder\" }"), Some(Access::RoleBased(Role::Builder))),
        (internal(""), Some(Access::Organization)),
        (internal("access = { role = \"admin\" }"), Some(Access::RoleBased(Role::Admin))),
        (
            internal("access = { members = [\"Zoe@Example.com\", \"ann@example.com\", \"zoe@example.com\"] }"),
            Some(Access::InviteOnly(vec!["ann@example.com".to_owned(), "zoe@example.com".to_owned()])),
        ),
        (website(""), None),
    ] {
        let dir = Dir::shipped();
        dir.write("deployments/main-number.toml", &text);
        let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
        let phone = config.deployments.get("main-number").map(|d| &d.standing);
        let chat = config.chats.get("main-number").map(|chat| &chat.standing);
        assert_eq!(phone.or(chat).unwrap().access, meant, "{text}");
    }
}

#[test]
fn web_02_a_widget_has_every_option_and_its_default() {
    let dir = Dir::shipped();
    let widget = |text: &str| {
        dir.write("deployments/main-number.toml", website(text));
        let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
        let chat = config.chats["main-number"].clone();
        let ChatSettings::Website(website) = chat.settings.clone() else { panic!("a website") };
        (chat, *website)
    };
    let (chat, bare) = widget("");
    assert_eq!((chat.model.name.as_str(), chat.backup.is_none(), &chat.welcome), ("rehearsal-text", true, &None));
    assert_eq!(chat.persona.standing.name, "reception");
    let Look { position, size, theme, .. } = bare.look;
    assert_eq!((position, size, theme), (Position::BottomRight, Size::Medium, Theme::Light));
    let colours = bare.look.palette(false);
    let shown =
        [colours.header_background, colours.header_text, colours.background, colours.user_bubble, colours.bot_bubble];
    assert_eq!(shown.map(|c| c.to_string()), ["#6366f1", "#ffffff", "#ffffff", "#6366f1", "#f3f4f6"]);
    assert!(bare.feedback && bare.loading_animation && bare.link_previews.is_empty() && bare.origins.is_empty());

    dir.write("logo.svg", "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    let (chat, full) = widget(
        "welcome = \"Hello\\nthere\"\nsuggestions = [\"Open?\"]\norigins = [\"*.site.com\", \"http://localhost:3000\"]\n\
         feedback = false\nlink_previews = [\"site.com\"]\nbackup_model = \"rehearsal-text\"\n[look]\ntitle = \"T\"\n\
         position = \"left\"\nsize = \"l\"\ntheme = \"dark\"\nbackground = \"#ABCDEF\"\nlogo = \"logo.svg\"\nloading_animation = false\n\
         [look.preview]\nmessage = \"Hi\"\nbackground = \"#000000\"\n",
    );
    assert_eq!((chat.welcome.as_deref(), chat.backup.is_some()), (Some("Hello\nthere"), true));
    assert_eq!(full.look.position, Position::BottomLeft);
    assert_eq!(full.look.palette(true).background, Colour([0xab, 0xcd, 0xef]), "a colour that is set wins");
    assert_eq!(full.look.palette(true).bot_bubble, Palette::DARK.bot_bubble);
    assert_eq!(full.look.logo.map(|logo| logo.kind), Some("image/svg+xml"));
    assert_eq!(full.look.preview.map(|preview| (preview.message, preview.text)), Some(("Hi".to_owned(), None)));
    assert!(!full.feedback && !full.loading_animation);
}

#[test]
fn c_13_an_origin_below_a_domain_is_not_the_domain() {
    let dir = Dir::shipped();
    dir.write(
        "deployments/main-number.toml",
        website("origins = [\"*.Site.com\", \"https://bücher.example\", \"http://localhost:3000\"]"),
    );
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    let ChatSettings::Website(widget) = &config.chats["main-number"].settings else { panic!("a website") };
    let may = |header: &str| widget.origins.iter().any(|origin| origin.is(header));
    for header in [
        "https://www.site.com",
        "https://a.b.site.com",
        "https://WWW.site.com:443",
        "https://xn--bcher-kva.example",
        "http://localhost:3000",
    ] {
        assert!(may(header), "{header}");
    }
    for header in [
        "https://site.com",
        "https://evilsite.com",
        "http://www.site.com",
        "https://www.site.com:8443",
        "https://www.site.com.evil.example",
        "http://localhost",
        "null",
        "",
    ] {
        assert!(!may(header), "{header}");
    }
}

#[test]
fn a_text_model_speaks_the_dialect_of_its_host_or_the_one_it_is_said_to() {
    use TextDialect::{Compatible, Mistral, OpenAi};
    for (host, dialect) in [
        ("api.openai.com", OpenAi),
        ("eu.api.openai.com", OpenAi),
        ("house.openai.azure.com", OpenAi),
        ("API.MISTRAL.AI", Mistral),
        ("api.groq.com", Compatible),
        ("api.openai.com.example", Compatible),
        ("notapi.openai.com", Compatible),
        ("127.0.0.1", Compatible),
    ] {
        assert_eq!(TextDialect::of_host(host), dialect, "{host}");
    }
    let dir = Dir::shipped();
    dir.write("deployments/site.toml", website(""));
    let of = |line: &str| {
        let text = "base_url = \"http://127.0.0.1:8765/v1\"";
        assert!(MODELS.contains(text));
        dir.write("models.toml", MODELS.replace(text, &format!("{text}\n{line}")));
        dir.load().map(|config| config.chats["site"].model.dialect)
    };
    assert_eq!(of("").ok(), Some(Compatible));
    assert_eq!(of("dialect = \"openai\"").ok(), Some(OpenAi));
    assert_eq!(of("dialect = \"mistral\"").ok(), Some(Mistral));
    let error = of("dialect = \"open_ai\"").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("did you mean openai?; allowed: openai, compatible, mistral"), "{error}");
}

#[test]
fn mod_02_the_catalogue_says_what_is_declared_and_guesses_nothing() {
    let dir = Dir::shipped();
    let config = dir.load().unwrap();
    let bare = &config.models["rehearsal"];
    assert_eq!((bare.kind, &bare.facts), (ModelKind::Voice, &ModelFacts::default()));
    dir.write(
        "models.toml",
        format!(
            "{MODELS}\n[swiss]\nkind = \"text\"\nbase_url = \"https://a.example\"\nmodel = \"m\"\nvendor = \"Alp\"\nvendor_country = \"CH\"\n\
             hosting_country = \"CH\"\ntrains_on_data = false\noptions = [\"temperature\"]\nprice = {{ text_in = 0.5, text_out = 1 }}\n"
        ),
    );
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    let ModelCard { name, kind, facts, price } = &*config.models["swiss"];
    assert_eq!((name.as_str(), *kind), ("swiss", ModelKind::Text));
    assert_eq!(price.map(|price| (price.text_in_micros, price.text_out_micros)), Some((500_000, 1_000_000)));
    assert_eq!((facts.vendor.as_deref(), facts.trains_on_data), (Some("Alp"), Some(false)));
    assert_eq!((facts.vendor_country.as_deref(), facts.hosting_country.as_deref()), (Some("CH"), Some("CH")));
    assert_eq!(facts.options.as_deref(), Some(&["temperature".to_owned()][..]));
    for (line, expected) in [
        (
            "vendor_country = \"Switzerland\"",
            "is not a country's code; did you mean \"CH\"?; allowed: ISO 3166-1 alpha-2 in capitals, such as \"CH\", \"DE\", \"US\"",
        ),
        (
            "hosting_country = \"us\"",
            "is not a country's code; did you mean \"US\"?; allowed: ISO 3166-1 alpha-2 in capitals, such as \"CH\", \"DE\", \"US\"",
        ),
        ("trains_on_data = \"no\"", "must be a boolean, not a string; allowed: true, false"),
        ("voices = [\"a\", \"a\"]", "is named twice"),
        (
            "options = [\"temprature\"]",
            "unknown value; did you mean temperature?; allowed: temperature, max_output_tokens, service_tier, prompt_caching",
        ),
    ] {
        dir.write("models.toml", MODELS.replace("[rehearsal]\n", &format!("[rehearsal]\n{line}\n")));
        let errors = dir.errors();
        assert!(errors.len() == 1 && errors[0].ends_with(&format!(": {expected}")), "{line}\n{errors:#?}");
    }
}

#[test]
fn c_26_a_new_phone_is_given_alloy_where_the_model_has_it() {
    let facts = |voices: &[&str]| ModelFacts {
        voices: voices.iter().map(|voice| (*voice).to_owned()).collect(),
        ..ModelFacts::default()
    };
    assert_eq!(facts(&["verse", "alloy"]).first_voice(), Some("alloy"));
    assert_eq!(facts(&["verse"]).first_voice(), None);
    assert_eq!(facts(&[]).first_voice(), None);
}

#[test]
fn c_05_a_transcription_model_that_ends_is_warned_of() {
    let dir = Dir::shipped();
    dir.write("agents/reception.toml", AGENT.replace("#model = \"gpt-transcribe\"", "model = \"whisper-1\""));
    let said = dir.said();
    let warned = |line: &String| {
        line.ends_with("warning: model = \"whisper-1\": its vendor ends it on 2027-02-26; use \"gpt-transcribe\"")
    };
    assert!(said.iter().any(warned), "{said:#?}");
    assert!(dir.load().is_ok());
}

#[test]
fn q_33_plan_residency_and_billing_are_what_is_said() {
    let dir = Dir::shipped();
    let server = |text: &str| dir.write("offhook.toml", text).load().unwrap_or_else(|e| panic!("{e}")).server;
    let bare = server("");
    assert_eq!(
        (bare.plan, &bare.residency, &bare.billing),
        (Plan::default(), &Residency::default(), &Billing::default())
    );
    assert_eq!(bare.source, DocumentSource::Files);
    let plan = |text: &str| server(text).plan;
    assert_eq!(plan("[plan]\npreset = \"free\"").calls_per_agent, Some(2));
    assert_eq!(plan("[plan]\npreset = \"pro\"").calls_per_agent, Some(10));
    let own = Plan { deployments: Some(3), numbers: Some(0), calls_per_agent: Some(4) };
    assert_eq!(plan("[plan]\npreset = \"pro\"\ndeployments = 3\nnumbers = 0\ncalls_per_agent = 4"), own);
    let all = server(
        "[residency]\ntier = \"europe_any\"\ninfrastructure = \"CH\"\n[billing]\ncredit = 0.01\ncurrency = \"CHF\"\n[config]\nsource = \"store\"",
    );
    assert_eq!((all.residency.tier, all.residency.infrastructure.as_deref()), (Tier::EuropeAny, Some("CH")));
    assert_eq!((all.billing.credit_micros, all.billing.currency.as_deref()), (Some(10_000), Some("CHF")));
    assert_eq!(all.source, DocumentSource::Store);
    dir.write(
        "offhook.toml",
        "[plan]\npreset = \"gold\"\nnumbers = -1\n[residency]\ntier = \"swiss\"\nchats = \"EU\"\n[billing]\ncurrency = \"Franken\"\n[config]\nsource = \"etcd\"",
    );
    assert_eq!(
        dir.errors(),
        [
            "offhook.toml:2:10: preset = \"gold\": unknown value; allowed: free, pro",
            "offhook.toml:3:11: numbers = -1: out of range; allowed: 0-1000000",
            "offhook.toml:5:8: tier = \"swiss\": unknown value; allowed: swiss_swiss, swiss_any, europe_europe, europe_any, global",
            "offhook.toml:6:9: chats = \"EU\": is not a country's code; allowed: ISO 3166-1 alpha-2 in capitals, such as \"CH\", \"DE\", \"US\"",
            "offhook.toml:8:12: currency = \"Franken\": is not valid; allowed: ISO 4217, such as \"USD\"",
            "offhook.toml:10:10: source = \"etcd\": unknown value; allowed: files, store",
        ]
    );
}

#[test]
fn agents_say_whether_and_by_whom_they_are_met() {
    let dir = Dir::shipped();
    let head =
        "active = false\nvisibility = \"internal\"\nmax_calls = 3\nschedule = { activate_at = 2026-12-24T08:00:00Z }\n";
    dir.write("agents/reception.toml", format!("{head}{AGENT}"));
    let config = dir.load().unwrap_or_else(|e| panic!("{e}"));
    let standing = &config.personas["reception"].standing;
    assert_eq!((standing.active, standing.visibility, standing.max_calls), (false, Visibility::Internal, Some(3)));
    assert_eq!(standing.schedule.activate_at, "2026-12-24T08:00:00Z".parse().ok());
    dir.write("agents/reception.toml", format!("visibility = \"hidden\"\nmax_calls = 0\n{AGENT}"));
    assert_eq!(
        dir.errors(),
        [
            "agents/reception.toml:1:14: visibility = \"hidden\": unknown value; allowed: public, internal",
            "agents/reception.toml:2:13: max_calls = 0: out of range; allowed: 1-10000",
        ]
    );
}

#[test]
fn dep_14_a_key_is_one_deployments() {
    let dir = Dir::shipped();
    let key = "key = \"oh_pub_4f9aB27cD8104f9aB27c\"";
    dir.write("deployments/main-number.toml", phone(key)).write("deployments/web.toml", website(key));
    assert_eq!(
        dir.errors(),
        [
            "deployments/web.toml:4:7: key = (hidden): another deployment has this key too: deployments/main-number.toml:3:7; allowed: one key per deployment",
        ]
    );
}

#[test]
fn an_old_document_is_read_as_it_is_with_a_hint() {
    let dir = Dir::shipped();
    dir.write("deployments/main-number.toml", "agent = \"reception\"\nnumber = \"+15550100100\"\n");
    let hint = "deployments/main-number.toml: warning: names no channel, and is taken for a phone's; \
                allowed: channel = \"phone\"; `offhook migrate` writes it";
    assert!(dir.said().iter().any(|line| line == hint), "{:#?}", dir.said());
    assert_eq!(dir.load().unwrap().deployments["main-number"].standing.channel, Channel::Phone);
}

#[test]
fn check_tells_of_chats_too() {
    let dir = Dir::shipped();
    dir.write("deployments/web.toml", website("backup_model = \"rehearsal-text\""))
        .write("deployments/chat.toml", internal("active = false"));
    let shown = check_with(dir.path(), &env).to_string();
    assert!(shown.contains("\nchat  internal  reception  rehearsal-text  none            inactive\n"), "{shown}");
    assert!(shown.contains("\nweb   website   reception  rehearsal-text  rehearsal-text\n"), "{shown}");
}

#[test]
fn half_of_a_document_is_read_to_its_end() {
    for text in [WEBSITE, INTERNAL, DEPLOYMENT] {
        let text = uncommented(text);
        for (cut, _) in text.char_indices().step_by(17) {
            reader::read("d.toml", &text[..cut], |_, table| deployment::read(table, &Silent));
        }
    }
}

#[test]
fn hrs_03_an_agents_document_may_speak_of_its_hours() {
    let dir = Dir::shipped();
    let text =
        AGENT.replace("You answer the phone", "Open: {{system.open}}, next {{system.opens_at}}. You answer the phone");
    dir.write("agents/reception.toml", text);
    assert_eq!(dir.errors(), [""; 0]);
}
