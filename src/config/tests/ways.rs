//! How the server is reached, and how it reaches others.

use super::*;

fn server(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Server, Problems> {
    let dir = Dir::shipped();
    dir.write("offhook.toml", text);
    Ok(load_with(dir.path(), env)?.server)
}

#[test]
fn the_public_url_is_kept_as_the_carrier_writes_it() {
    for (written, meant) in [
        ("https://calls.example.com", "https://calls.example.com"),
        ("https://calls.example.com/", "https://calls.example.com"),
        ("HTTPS://Calls.Example.COM", "https://calls.example.com"),
        (" https://calls.example.com ", "https://calls.example.com"),
        ("https://calls.example.com:443", "https://calls.example.com"),
        ("https://calls.example.com:8443/", "https://calls.example.com:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://[2001:DB8::0:1]", "https://[2001:db8::1]"),
        ("https://calls.example.com.", "https://calls.example.com"),
        ("https://Calls.example.com.:443/", "https://calls.example.com"),
        ("https://calls.example.com.:8443", "https://calls.example.com:8443"),
    ] {
        let server = server(&format!("public_url = \"{written}\"\n"), &env).unwrap_or_else(|said| panic!("{said}"));
        assert_eq!(server.public_url.as_deref(), Some(meant), "{written}");
    }
    for refused in [
        "https://",
        "https://ann@x.example",
        "https://x.example/a",
        "https://x.example/?a",
        "https://x.example#a",
        "https://x.example..",
    ] {
        assert!(server(&format!("public_url = \"{refused}\"\n"), &env).is_err(), "{refused}");
    }
}

#[test]
fn bases_of_other_servers_are_normalised_likewise() {
    let server = server("[twilio]\nrest_url = \"HTTPS://API.ie1.Twilio.com:443/\"\n", &env).expect("a server");
    assert_eq!(server.twilio.rest_url, "https://api.ie1.twilio.com");
}

#[test]
fn a_carrier_that_speaks_as_twilio_does_has_a_place_and_keys_of_its_own() {
    let keys = |name: &str| matches!(name, "T" | "K").then(|| format!("{name}-1234567"));
    let of = |text: &str| {
        let server = server(
            &format!("[twilio]\nauth_token = {{ env = \"T\" }}\nsigning_key = {{ env = \"K\" }}\n{text}"),
            &keys,
        );
        server.unwrap_or_else(|said| panic!("{said}")).twilio
    };
    let signs = |twilio: &Twilio| twilio.signs_with().map(|key| key.expose().to_owned()).unwrap_or_default();
    let twilio = of("");
    assert_eq!((twilio.profile, twilio.rest_url.as_str()), (CarrierProfile::Twilio, "https://api.twilio.com"));
    assert_eq!(signs(&twilio), "T-1234567");
    let project = "account_sid = \"00000000-0000-4000-8000-00000000000A\"\n";
    let other = of(&format!("profile = \"signalwire\"\nspace = \"Example-1\"\n{project}"));
    assert_eq!(other.rest_url, "https://example-1.signalwire.com/api/laml");
    assert_eq!((other.profile.title(), signs(&other).as_str()), ("SignalWire", "K-1234567"));
    let rehearsed = of("profile = \"signalwire\"\nrest_url = \"http://127.0.0.1:9/api/laml/\"\n");
    assert_eq!(rehearsed.rest_url, "http://127.0.0.1:9/api/laml");
    // What is another's is said to be without use.
    let dir = Dir::shipped();
    dir.write("offhook.toml", "[twilio]\nspace = \"example\"\n");
    let said = check_with(dir.path(), &keys).problems.to_string();
    assert!(said.contains("twilio.space is SignalWire's and is not used while profile is \"twilio\""), "{said}");
    dir.write(
        "offhook.toml",
        "[twilio]\nprofile = \"signalwire\"\nspace = \"example\"\nauth_token = { env = \"T\" }\n",
    );
    let said = check_with(dir.path(), &keys).problems.to_string();
    assert!(said.contains("no calls will be accepted until twilio.signing_key is set"), "{said}");
}

#[test]
fn the_environments_proxies_are_used_unless_the_document_says_otherwise() {
    let of = |text: &str, set: &[(&str, &str)]| {
        let env = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let outgoing = server(text, &env).unwrap_or_else(|said| panic!("{said}")).outgoing;
        let url = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        (url(outgoing.proxies.http), url(outgoing.proxies.https), outgoing.no_proxy.join(" "))
    };
    let is = |http: &str, https: &str, no: &str| (http.to_owned(), https.to_owned(), no.to_owned());
    let all = [
        ("HTTPS_PROXY", "http://ann:pass@p.test:3128"),
        ("http_proxy", "q.test:8080"),
        ("NO_PROXY", "a.test, 10.0.0.0/8"),
    ];
    let (http, https) = ("http://q.test:8080/", "http://ann:pass@p.test:3128/");
    for (text, set, meant) in [
        ("", &[][..], is("", "", "")),
        ("", &all, is(http, https, "a.test 10.0.0.0/8")),
        (
            "[outgoing]\nproxy = \"environment\"\nno_proxy = [\"b.test\"]",
            &all,
            is(http, https, "b.test a.test 10.0.0.0/8"),
        ),
        ("[outgoing]\nproxy = \"none\"", &all, is("", "", "")),
        (
            "[outgoing]\nproxy = \"r.test\"\nno_proxy = [\"b.test\"]",
            &all,
            is("http://r.test/", "http://r.test/", "b.test"),
        ),
        ("[outgoing]\nproxy = { env = \"HTTPS_PROXY\" }", &all, is(https, https, "")),
        ("", &[("ALL_PROXY", "http://p.test")], is("http://p.test/", "http://p.test/", "")),
        ("", &[("HTTPS_PROXY", ""), ("https_proxy", "p.test")], is("", "http://p.test/", "")),
        // Of a kind that is not spoken: said, and left aside.
        ("", &[("HTTPS_PROXY", "socks5://p.test")], is("", "", "")),
        // Then it is a header of whoever asks.
        ("", &[("HTTP_PROXY", "p.test"), ("REQUEST_METHOD", "GET")], is("", "", "")),
    ] {
        assert_eq!(of(text, set), meant, "{text} {set:?}");
    }
}

#[test]
fn what_is_in_a_proxys_url_is_not_shown() {
    let dir = Dir::shipped();
    for (value, text) in [
        ("http://ann:hush@p.test/path", ""),
        ("socks5://ann:hush@p.test", ""),
        ("http://ann:hush@", "[outgoing]\nproxy = { env = \"HTTPS_PROXY\" }\n"),
        ("http://ann:hush@p.test/path", "[outgoing]\nproxy = { env = \"HTTPS_PROXY\" }\n"),
    ] {
        dir.write("offhook.toml", text);
        let env = |name: &str| (name == "HTTPS_PROXY").then(|| value.to_owned());
        let said = check_with(dir.path(), &env).problems.to_string();
        assert!(said.contains("HTTPS_PROXY") && !said.contains("hush"), "{said}");
    }
}

#[test]
fn a_pair_for_tls_is_opened_when_documents_are_read() {
    let dir = Dir::shipped();
    dir.write(
        "offhook.toml",
        "public_url = \"https://calls.example.com\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n",
    );
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (right, other) = (made("calls.example.com"), made("other.example.com"));
    dir.write("cert.pem", right.cert.pem()).write("key.pem", right.signing_key.serialize_pem());
    assert_eq!(dir.errors(), [""; 0]);
    dir.write("key.pem", other.signing_key.serialize_pem());
    assert_eq!(dir.errors(), ["offhook.toml:4:7: key = (hidden): does not belong to the certificate"]);
    // Fit for a server, though not for this one's callers.
    dir.write("cert.pem", other.cert.pem());
    assert_eq!(dir.errors(), [""; 0]);
    let doubt = "cert = \"cert.pem\": the certificate is not for calls.example.com, which public_url names";
    assert!(dir.said().iter().any(|line| line.ends_with(doubt)), "{:?}", dir.said());
}
