//! What each bad document is told.

use super::super::{outgoing, sound};
use super::Dir;

/// Each case replaces one document of the shipped configuration.
#[test]
fn bad_documents_are_told_what_is_wrong_where_and_what_is_allowed() {
    let agent = |rest: &str| format!("model = \"rehearsal\"\ninstructions = \"x\"\n{rest}");
    let deployment = |rest: &str| format!("agent = \"reception\"\nnumber = \"+15550100100\"\n{rest}");
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("offhook.toml", "max_cals = 3".into(), &[
            "offhook.toml:1:1: max_cals: unknown key; did you mean max_calls?; allowed: listen, public_url, listen_admin, admin_url, config, data_dir, max_calls, max_connections_per_address, max_lag_ms, drain_s, tls, twilio, api, outgoing, store, webhooks, deliveries, log, organization, plan, residency, billing, budget, secrets",
        ]),
        ("offhook.toml", "zzz = 3".into(), &[
            "offhook.toml:1:1: zzz: unknown key; allowed: listen, public_url, listen_admin, admin_url, config, data_dir, max_calls, max_connections_per_address, max_lag_ms, drain_s, tls, twilio, api, outgoing, store, webhooks, deliveries, log, organization, plan, residency, billing, budget, secrets",
        ]),
        ("offhook.toml", "# head\n\nmax_calls   = 0".into(), &[
            "offhook.toml:3:15: max_calls   = 0: out of range; allowed: 1-10000",
        ]),
        ("offhook.toml", "max_calls = -1".into(), &["offhook.toml:1:13: max_calls = -1: out of range; allowed: 1-10000"]),
        ("offhook.toml", "max_calls = 99999999999999999999".into(), &[
            "offhook.toml:1:13: max_calls = 99999999999999999999: out of range; allowed: 1-10000",
        ]),
        ("offhook.toml", "max_calls = \"many\"".into(), &[
            "offhook.toml:1:13: max_calls = \"many\": must be a whole number, not a string; allowed: 1-10000",
        ]),
        ("offhook.toml", "listen = \"localhost\"".into(), &[
            "offhook.toml:1:10: listen = \"localhost\": is not an address and port; allowed: such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ]),
        ("offhook.toml", "public_url = \"https://x.example/calls\"".into(), &[
            "offhook.toml:1:14: public_url = \"https://x.example/calls\": has a path; allowed: scheme, host and port only, such as \"https://calls.example.com\"",
        ]),
        ("offhook.toml", "public_url = \"calls.example.com\"".into(), &[
            "offhook.toml:1:14: public_url = \"calls.example.com\": is not a URL (relative URL without a base); allowed: a URL such as https://example.com",
        ]),
        ("offhook.toml", "listen_admin = \"127.0.0.1:9090\"".into(), &[
            "offhook.toml:1:16: listen_admin = \"127.0.0.1:9090\": needs public_url; allowed: public_url = \"https://calls.example.com\", where the carrier calls",
        ]),
        ("offhook.toml", "public_url = \"https://x.example\"\nlisten = \"[::1]:90\"\nlisten_admin = \"[::1]:90\"".into(), &[
            "offhook.toml:3:16: listen_admin = \"[::1]:90\": is where `listen` is; allowed: an address of its own, or none",
        ]),
        ("offhook.toml", "admin_url = \"https://x.example\"".into(), &[
            "offhook.toml:1:13: admin_url = \"https://x.example\": goes with listen_admin; allowed: public_url, which is for all when there is one address",
        ]),
        ("offhook.toml", "[budget]\nmax_cost_per_month = -1".into(), &[
            "offhook.toml:2:22: max_cost_per_month = -1: out of range; allowed: 0-1000000",
        ]),
        ("offhook.toml", "[twilio]\ncheck_signatures = 1".into(), &[
            "offhook.toml:2:20: check_signatures = 1: must be a boolean, not an integer; allowed: true, false",
        ]),
        ("offhook.toml", "[twilio]\naccount_sid = \"AC1\"".into(), &[
            "offhook.toml:2:15: account_sid = \"AC1\": is not valid; allowed: AC and 32 hexadecimal digits, as the console shows it",
        ]),
        ("offhook.toml", "[twilio]\nprofile = \"signalwires\"".into(), &[
            "offhook.toml:2:11: profile = \"signalwires\": unknown value; did you mean signalwire?; allowed: twilio, signalwire",
        ]),
        ("offhook.toml", "[twilio]\nprofile = \"signalwire\"\naccount_sid = \"AC1\"\nspace = \"a.b\"".into(), &[
            "offhook.toml:1:1: twilio.space is missing: each space has a REST API of its own; allowed: what stands before .signalwire.com, such as \"example\"",
            "offhook.toml:3:15: account_sid = \"AC1\": is not valid; allowed: the project's id, a UUID, as the dashboard shows it",
            "offhook.toml:4:9: space = \"a.b\": is not valid; allowed: what stands before .signalwire.com, such as \"example\"",
        ]),
        ("offhook.toml", "[twilio]\nauth_token = { env = \"NOPE\" }".into(), &[
            "offhook.toml:2:14: auth_token = { env = \"NOPE\" }: environment variable NOPE is not set; set it where the server is started",
        ]),
        ("offhook.toml", "[tls]\ncert = \"no.pem\"".into(), &[
            "offhook.toml:1:1: tls.key is missing: the PEM file of the certificate's private key",
            "offhook.toml:2:8: cert = \"no.pem\": {dir}no.pem: there is no such file",
        ]),
        ("offhook.toml", "[tls]\ncert = \"models.toml\"\nkey = \"models.toml\"".into(), &[
            "offhook.toml:2:8: cert = \"models.toml\": file has no certificate (-----BEGIN CERTIFICATE-----)",
        ]),
        ("offhook.toml", "max_connections_per_address = 3".into(), &[
            "offhook.toml:1:31: max_connections_per_address = 3: out of range; allowed: 16-100000",
        ]),
        ("offhook.toml", "[outgoing]\nproxy = \"http://ann:pass@proxy.test:3128\"".into(), &[
            "offhook.toml:2:9: proxy = (hidden): has a user name or password; allowed: {proxy}",
        ]),
        ("offhook.toml", "[outgoing]\nproxy = \"socks5://proxy.test\"\nno_proxy = [\"a b\"]".into(), &[
            "offhook.toml:2:9: proxy = \"socks5://proxy.test\": is a proxy of another kind (socks5); allowed: {proxy}",
            "offhook.toml:3:13: \"a b\": is not valid; allowed: a host such as \"model.internal\" (and all below it), an address, or a network such as \"10.0.0.0/8\"",
        ]),
        ("offhook.toml", "[outgoing]\nproxy = { env = \"TWO_LINES\" }".into(), &[
            "offhook.toml:2:9: proxy = { env = \"TWO_LINES\" }: the secret is not one line of printable ASCII",
        ]),
        ("offhook.toml", "[twilio]\nrest_url = \"https://x.example/?a=b\"".into(), &[
            "offhook.toml:2:12: rest_url = \"https://x.example/?a=b\": has a query, behind which no path fits; allowed: a URL such as https://example.com/v1",
        ]),
        ("offhook.toml", "public_url = \"https://calls example.com\"".into(), &[
            "offhook.toml:1:14: public_url = \"https://calls example.com\": is not a URL (invalid international domain name); allowed: a URL such as https://example.com",
        ]),
        ("offhook.toml", "[api]".into(), &[
            "offhook.toml:1:1: api.token is missing: what users of the API must present, { env = \"NAME\" } or { file = \"path\" }",
        ]),
        ("offhook.toml", "[api]\ntoken = \"hush\"".into(), &[
            "offhook.toml:2:9: token = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
        ]),
        ("offhook.toml", "[api]\ntoken = { env = \"KEY\" }".into(), &[
            "offhook.toml:1:1: api.token is too short; allowed: at least 16 characters, such as the output of: openssl rand -hex 32",
        ]),
        ("deployments/main-number.toml", deployment("[outbound]\nring_s = 3\ndetect = \"ours\"\non_machine = \"shout\"\n"), &[
            "deployments/main-number.toml:4:10: ring_s = 3: out of range; allowed: 5-600",
            "deployments/main-number.toml:5:10: detect = \"ours\": unknown value; allowed: off, own, carrier, both",
            "deployments/main-number.toml:6:14: on_machine = \"shout\": is of another shape; allowed: \"hang_up\", \"continue\", { say = \"…\" } or { play = \"….wav\", text = \"…\" } for a message",
        ]),
        ("offhook.toml", "[store]\nurl = \"postgres://x:secret@db/x\"".into(), &[
            "offhook.toml:2:7: url = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
        ]),
        ("offhook.toml", "[store]\nlease_s = 1".into(), &["offhook.toml:2:11: lease_s = 1: out of range; allowed: 2-300"]),
        ("offhook.toml", "[store]\nkeep_days = -1".into(), &["offhook.toml:2:13: keep_days = -1: out of range; allowed: 0-3650"]),
        ("offhook.toml", "[[webhooks]]\nname = \"a b\"\nurl = \"ftp://x.example\"\nsecret = \"hush\"\nevents = [\"call.endet\"]".into(), &[
            "offhook.toml:2:8: name = \"a b\": is not valid; allowed: 1 to 64 letters, digits, - and _",
            "offhook.toml:3:7: url = \"ftp://x.example\": cannot be of ftp:; allowed: http://, https://",
            "offhook.toml:4:10: secret = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
            "offhook.toml:5:11: \"call.endet\": unknown value; did you mean call.ended?; allowed: call.started, call.transferred, call.ended, call.failed, recording.ready, analysis.ready, deployment.changed, alert.fired, alert.resolved",
        ]),
        ("offhook.toml", "[[webhooks]]\nname = \"a\"\nurl = \"http://x.example\"\nsecret = { env = \"KEY\" }\nevents = \"most\"".into(), &[
            "offhook.toml:4:10: secret = { env = \"KEY\" }: the secret is too short: 16 bytes at least, such as whsec_ and `openssl rand -base64 32`",
            "offhook.toml:5:10: events = \"most\": unknown value; allowed: all",
        ]),
        ("offhook.toml", "[[webhooks]]\nevents = []".into(), &[
            "offhook.toml:1:1: webhooks.name is missing: what its events are kept under",
            "offhook.toml:1:1: webhooks.url is missing: where events are posted",
            "offhook.toml:1:1: webhooks.secret is missing: what events are signed with, { env = \"NAME\" } or { file = \"path\" }",
            "offhook.toml:2:10: events = []: names no event; allowed: \"all\", or a list of names",
        ]),
        ("offhook.toml", "[[webhooks]]\nname = \"a\"\nurl = \"https://x.example\"\nsecret = { env = \"KEY\" }\nprevious_secret = \"old\"\nagents = []\nper_second = 1001".into(), &[
            "offhook.toml:4:10: secret = { env = \"KEY\" }: the secret is too short: 16 bytes at least, such as whsec_ and `openssl rand -base64 32`",
            "offhook.toml:5:19: previous_secret = (hidden): a secret is never written in a document; allowed: { env = \"NAME\" }, { file = \"path\" }",
            "offhook.toml:6:10: agents = []: names no agent; allowed: a list of agents' names; left out, all agents'",
            "offhook.toml:7:14: per_second = 1001: out of range; allowed: 1-1000",
        ]),
        ("offhook.toml", "[deliveries]\naddresses = [\"203.0.113.7\", \"203.0.113.7/24\"]".into(), &[
            "offhook.toml:2:29: \"203.0.113.7/24\": is no address; allowed: such as \"203.0.113.7\", or \"203.0.113.0/24\" for all of a network",
        ]),
        ("offhook.toml", "[organization]\ntimezone = \"Europe/Zuerich\"".into(), &[
            "offhook.toml:2:12: timezone = \"Europe/Zuerich\": there is no such time zone; did you mean Europe/Zurich?; allowed: names such as \"Europe/Berlin\", \"America/New_York\", \"UTC\"",
        ]),
        ("offhook.toml", "[store]\nseal_key = { env = \"KEY\" }".into(), &[
            "offhook.toml:2:12: seal_key = { env = \"KEY\" }: the key is too short: 32 bytes at least, such as the output of `openssl rand -base64 32`",
        ]),
        ("offhook.toml", "[log]\nformat = \"jsno\"".into(), &[
            "offhook.toml:2:10: format = \"jsno\": unknown value; did you mean json?; allowed: text, json",
        ]),
        ("offhook.toml", "log = 3\nlog.format = 4".into(), &["offhook.toml:2:1: log: cannot extend value of type integer with a dotted key"]),
        ("offhook.toml", "a = 1\na = 2".into(), &["offhook.toml:2:1: a: duplicate key"]),
        ("models.toml", "[rehearsal]\nurl = \"https://example.com\"".into(), &[
            "models.toml:2:7: url = \"https://example.com\": cannot be of https:; allowed: ws://, wss://",
        ]),
        ("models.toml", "[rehearsal]".into(), &["models.toml:1:1: rehearsal.url is missing: the model's WebSocket URL"]),
        ("models.toml", "[rehearsal]\nurl = \"ws://127.0.0.1/\"\nheaders = { \"a b\" = { env = \"KEY\" }, Host = { env = \"KEY\" } }".into(), &[
            "models.toml:3:13: \"a b\": is not the name of a header; allowed: letters, digits and -",
            "models.toml:3:38: Host: is a header that the WebSocket handshake sets itself",
        ]),
        ("agents/reception.toml", agent("speed = 2"), &["agents/reception.toml:3:9: speed = 2: out of range; allowed: 0.25-1.5"]),
        ("agents/reception.toml", agent("speed = nan"), &["agents/reception.toml:3:9: speed = nan: out of range; allowed: 0.25-1.5"]),
        ("agents/reception.toml", agent("language = \"English\""), &[
            "agents/reception.toml:3:12: language = \"English\": is not valid; allowed: an ISO 639-1 code such as \"en\" or \"pl\"",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nsilence_duration_ms = 20"), &[
            "agents/reception.toml:4:23: silence_duration_ms = 20: out of range; allowed: 50-2000",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nthreshold = 1.5\nhysteresis = 0.6\nmin_speech_ms = 1001\nmax_turn_s = 601\nprefix_padding_ms = -1"), &[
            "agents/reception.toml:4:13: threshold = 1.5: out of range; allowed: 0-1",
            "agents/reception.toml:5:14: hysteresis = 0.6: out of range; allowed: 0-0.5",
            "agents/reception.toml:6:17: min_speech_ms = 1001: out of range; allowed: 0-1000",
            "agents/reception.toml:7:14: max_turn_s = 601: out of range; allowed: 0-600",
            "agents/reception.toml:8:21: prefix_padding_ms = -1: out of range; allowed: 0-1000",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nlevel_margin_db = 5"), &[
            "agents/reception.toml:4:19: level_margin_db = 5: is less than a voice varies by itself; allowed: 6-40, or 0 for none",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nlevel_margin_db = 41"), &[
            "agents/reception.toml:4:19: level_margin_db = 41: out of range; allowed: 0-40",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmax_turn_s = 4\nengine = \"silerro\""), &[
            "agents/reception.toml:4:14: max_turn_s = 4: is too short for a turn; allowed: 5-600, or 0 for no limit",
            "agents/reception.toml:5:10: engine = \"silerro\": unknown value; did you mean silero?; allowed: silero, earshot, energy",
        ]),
        // Out of range is out of range in any mode: the key may become live again.
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"semantic\"\nsilence_duration_ms = 49"), &[
            "agents/reception.toml:5:23: silence_duration_ms = 49: out of range; allowed: 50-2000",
        ]),
        ("agents/reception.toml", agent("min_interruption_ms = 5001\nresume_false_interruption = \"yes\"\necho_guard = 1"), &[
            "agents/reception.toml:3:23: min_interruption_ms = 5001: out of range; allowed: 0-5000",
            "agents/reception.toml:4:29: resume_false_interruption = \"yes\": must be a boolean, not a string; allowed: true, false",
            "agents/reception.toml:5:14: echo_guard = 1: must be a boolean, not an integer; allowed: true, false",
        ]),
        ("agents/reception.toml", agent("noise_reduction_engine = \"vendor\"\ndisclaimer = \"sounds/nope.wav\""), &[
            "agents/reception.toml:3:26: noise_reduction_engine = \"vendor\": unknown value; allowed: local, provider",
            "agents/reception.toml:4:14: disclaimer = \"sounds/nope.wav\": {dir}sounds/nope.wav: there is no such file; allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("[[shadow]]\nname = \"a\"\nthreshold = 2\n[[shadow]]\nname = \"a\"\nsilence = 3\n[[shadow]]\nname = \"a b\""), &[
            "agents/reception.toml:5:13: threshold = 2: out of range; allowed: 0-1",
            "agents/reception.toml:7:8: name = \"a\": another candidate has this name",
            "agents/reception.toml:8:1: silence: unknown key; allowed: name, threshold, hysteresis, silence_duration_ms, min_speech_ms, max_turn_s, level_margin_db, interruptions, resume_false_interruption, min_interruption_ms, untranscribed_interruption_ms",
            "agents/reception.toml:10:8: name = \"a b\": is not valid; allowed: 1 to 32 letters, digits, - and _",
        ]),
        ("agents/reception.toml", agent("shadow = [{ name = \"a\" }, { name = \"b\" }, { name = \"c\" }, { name = \"d\" }]"), &[
            "agents/reception.toml:3:10: shadow = [{ name = \"a\" }, { name = \"b\" }, { name = \"c\" }, { name = \"d\" }]: is too long; allowed: at most 3 values",
        ]),
        ("agents/reception.toml", agent("shadow = [{ threshold = 0.6 }]"), &[
            "agents/reception.toml:3:11: shadow.name is missing: what the report calls this candidate",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"disabled\"\ncommit_key = \"##\""), &[
            "agents/reception.toml:5:14: commit_key = \"##\": is not valid; allowed: one key: 0-9, *, #, A-D",
        ]),
        ("agents/reception.toml", agent("interruptions = { after_ms = 0 }"), &[
            "agents/reception.toml:3:30: after_ms = 0: out of range; allowed: 1-5000",
        ]),
        ("agents/reception.toml", agent("interruptions = true"), &[
            "agents/reception.toml:3:17: interruptions = true: is of the wrong type; allowed: \"on\", \"off\", { after_ms = 1-5000 }, { min_words = 1-20 }",
        ]),
        ("agents/reception.toml", agent("verdict_ms = 50"), &[
            "agents/reception.toml:3:14: verdict_ms = 50: out of range; allowed: 100-5000",
        ]),
        ("agents/reception.toml", agent("interruptions = { min_words = 21 }"), &[
            "agents/reception.toml:3:31: min_words = 21: out of range; allowed: 1-20",
        ]),
        ("agents/reception.toml", agent("interruptions = { min_words = 2, after_ms = 300 }"), &[
            "agents/reception.toml:3:17: interruptions = { min_words = 2, after_ms = 300 }: needs either after_ms or min_words; allowed: \"on\", \"off\", { after_ms = 1-5000 }, { min_words = 1-20 }",
        ]),
        ("agents/reception.toml", agent("greeting = { say = \"a\", play = \"sounds/greeting.wav\" }"), &[
            "agents/reception.toml:3:12: greeting = { say = \"a\", play = \"sounds/greeting.wav\" }: needs either say or play; allowed: \"none\", { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }",
        ]),
        ("agents/reception.toml", agent("tools = [\"note\", \"hangup\", \"note\"]"), &[
            "agents/reception.toml:3:18: \"hangup\": unknown value; did you mean hang_up?; allowed: note, hang_up, transfer, send_dtmf, press_to_continue, wait",
            "agents/reception.toml:3:28: \"note\": is named twice",
        ]),
        ("agents/reception.toml", agent("on_failure.then = { transfer = \"5550100\" }"), &[
            "agents/reception.toml:3:32: transfer = \"5550100\": is not valid; allowed: E.164: + and 7 to 15 digits, such as \"+15550100100\"",
        ]),
        ("agents/reception.toml", agent("transcription = \"on\""), &[
            "agents/reception.toml:3:17: transcription = \"on\": unknown value; allowed: off",
        ]),
        ("agents/reception.toml", agent("hold_sound = \"sounds/nope.wav\""), &[
            "agents/reception.toml:3:14: hold_sound = \"sounds/nope.wav\": {dir}sounds/nope.wav: there is no such file; allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("hold_sound = \"offhook.toml\""), &[
            "agents/reception.toml:3:14: hold_sound = \"offhook.toml\": not a WAV file: it does not begin with RIFF and WAVE; allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("filler = \"sounds\""), &[
            "agents/reception.toml:3:10: filler = \"sounds\": {dir}sounds: is not a file; allowed: {wav}",
        ]),
        ("agents/reception.toml", agent("keys = \"on\""), &[
            "agents/reception.toml:3:8: keys = \"on\": unknown value; allowed: off",
        ]),
        ("agents/reception.toml", agent("[keys]\nmax_digits = 33\nterminator = \"##\"\ntimeout_ms = 1\nactions = { x = \"repeat\", 1 = \"commit\", 2 = \"fly\", 3 = { transfer = \"1\" } }"), &[
            "agents/reception.toml:4:14: max_digits = 33: out of range; allowed: 1-32",
            "agents/reception.toml:5:14: terminator = \"##\": is not valid; allowed: \"none\", or one key: 0-9, *, #, A-D",
            "agents/reception.toml:6:14: timeout_ms = 1: out of range; allowed: 500-30000",
            "agents/reception.toml:7:13: x: is no key; allowed: one key: 0-9, *, #, A-D",
            "agents/reception.toml:7:31: 1 = \"commit\": belongs to turn_detection.mode = \"disabled\": in any other, speech ends turns",
            "agents/reception.toml:7:45: 2 = \"fly\": is not what a key can do; allowed: \"hang_up\", \"repeat\", \"commit\", \"ignore\", { transfer = \"+15550100100\" }",
            "agents/reception.toml:7:69: transfer = \"1\": is neither a number nor a destination; allowed: a number in E.164, or the name of a [[destination]]: there is none",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"disabled\"\ncommit_key = \"#\"\n[keys]\nterminator = \"*\"\n[keys.actions]\n\"#\" = \"repeat\"\n\"*\" = \"commit\""), &[
            "agents/reception.toml:7:14: terminator = \"*\": has an action too: see keys.actions",
            "agents/reception.toml:9:1: \"#\": is turn_detection.commit_key, which ends turns",
        ]),
        ("agents/reception.toml", agent("[turn_detection]\nmode = \"disabled\"\ncommit_key = \"#\"\n[keys]\nterminator = \"#\""), &[
            "agents/reception.toml:7:14: terminator = \"#\": is turn_detection.commit_key, which ends turns",
        ]),
        ("agents/reception.toml", agent("[idle]\nafter_s = 1\nlines = []\ntimes = 0"), &[
            "agents/reception.toml:4:11: after_s = 1: is too short for an answer; allowed: 2-600, or 0 for never",
            "agents/reception.toml:5:9: lines = []: is empty; allowed: 1 to 20 of { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }",
            "agents/reception.toml:6:9: times = 0: out of range; allowed: 1-20",
        ]),
        ("agents/reception.toml", agent("[idle]\nlines = [\"Hello?\", { text = \"Hello?\" }, { play = \"sounds/nope.wav\" }]"), &[
            "agents/reception.toml:4:10: \"Hello?\": is of another shape; allowed: { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }",
            "agents/reception.toml:4:20: { text = \"Hello?\" }: needs either say or play; allowed: { say = \"…\" }, { play = \"sounds/….wav\", text = \"…\" }",
            "agents/reception.toml:4:50: play = \"sounds/nope.wav\": {dir}sounds/nope.wav: there is no such file; allowed: {wav}",
        ]),
        ("agents/reception.toml", "model = \"rehersal\"".into(), &[
            "agents/reception.toml: instructions is missing: what the agent is told about itself and its work",
            "agents/reception.toml:1:9: model = \"rehersal\": there is no model \"rehersal\"; did you mean \"rehearsal\"?; allowed: openai, rehearsal",
        ]),
        ("agents/reception.toml", "model = \"rehearsal\"\ninstructions = \" \"".into(), &[
            "agents/reception.toml:2:16: instructions = \" \": is empty",
        ]),
        ("deployments/main-number.toml", "agent = \"receptoin\"\nnumber = \"+0155\"".into(), &[
            "deployments/main-number.toml:1:9: agent = \"receptoin\": there is no agent \"receptoin\"; did you mean \"reception\"?; allowed: reception",
            "deployments/main-number.toml:2:10: number = \"+0155\": is not valid; allowed: E.164: + and 7 to 15 digits, such as \"+15550100100\"",
        ]),
        ("deployments/main-number.toml", deployment("[limits]\nmax_minutes = 1\nwarn_before_s = 60"), &[
            "deployments/main-number.toml:5:17: warn_before_s = 60: is as long as the call; allowed: less than max_minutes, which is 60 s; 0 for no warning",
        ]),
        ("deployments/main-number.toml", deployment("[keep]\njournal = true"), &[
            "deployments/main-number.toml:4:11: journal = true: must be a string, not a boolean; allowed: off, decisions, audio",
        ]),
        ("deployments/main-number.toml", deployment("[tool_sound]\nsound = \"typng\"\ngrace_ms = 10001\nvolume_db = 3\nfade_in_ms = -1"), &[
            "deployments/main-number.toml:4:9: sound = \"typng\": {dir}typng: there is no such file; allowed: none, typing, tone, or {wav}",
            "deployments/main-number.toml:5:12: grace_ms = 10001: out of range; allowed: 0-10000",
            "deployments/main-number.toml:6:13: volume_db = 3: out of range; allowed: -40 to 0",
            "deployments/main-number.toml:7:14: fade_in_ms = -1: out of range; allowed: 0-2000",
        ]),
        ("deployments/main-number.toml", deployment("[tool_sound]\nsound = \"tone\""), &[
            "deployments/main-number.toml:4:9: sound = \"tone\": {dir}sounds/tone.wav: there is no such file; allowed: none, typing, tone, or {wav}",
        ]),
        ("deployments/main-number.toml", deployment("limits = 5"), &[
            "deployments/main-number.toml:3:10: limits = 5: must be a table, not an integer",
        ]),
        ("deployments/no good.toml", deployment("").replace("0100", "0101"), &[
            "deployments/no good.toml: the file's name is not a name; allowed: 1 to 64 letters, digits, - and _",
        ]),
    ];
    for (file, text, expected) in cases {
        let dir = Dir::shipped();
        dir.write(file, &text);
        let prefix = format!("{}/", dir.path().display());
        let expected: Vec<String> = expected
            .iter()
            .map(|e| e.replace("{dir}", "").replace("{wav}", sound::ALLOWED).replace("{proxy}", outgoing::SHAPES))
            .collect();
        let said: Vec<String> = dir.errors().iter().map(|line| line.replace(&prefix, "")).collect();
        assert_eq!(said, expected, "\n{file}:\n{text}");
        assert!(dir.load().is_err(), "{file}:\n{text}");
    }
}
