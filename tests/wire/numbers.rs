//! The `twilio` package as judge of phone numbers: it drives the stand-in of the carrier, and what it sends is what we send.

use std::io::Write as _;
use std::process::{Command, Stdio};

use offhook::config::Secret;
use offhook::link::twilio::rest::RestRequest;
use offhook::link::twilio::rest::numbers::{self as ours, Digits, Hooks, Kind, Purchase};
use offhook::stage::carrier::{self, ForSale};
use offhook::stage::phone::Carrier;
use serde_json::{Value, json};

use super::twilio::judge;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "12345";
const NUMBER: &str = "+14155550100";
const BERLIN: &str = "+49305550100";

/// Does what a user of the package does, against the stand-in: what came back, and what was sent, in order.
const DRIVER: &str = r#"
import json, sys
from urllib.parse import urlsplit, urlunsplit, parse_qsl
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

case = json.load(sys.stdin)
sent = []

class Here(TwilioHttpClient):
    def request(self, method, url, params=None, data=None, headers=None, auth=None, timeout=None, allow_redirects=False):
        there, here = urlsplit(url), urlsplit(case["url"])
        form = dict(params or {}); form.update(data or {}); form.update(dict(parse_qsl(there.query)))
        sent.append({"method": method, "path": there.path, "form": {k: str(v) if not isinstance(v, bool) else str(v).lower() for k, v in form.items()}})
        url = urlunsplit((here.scheme, here.netloc, there.path, there.query, ""))
        return super().request(method, url, params, data, headers, auth, timeout or 10, allow_redirects)

def client(token):
    return Client(case["account"], token, http_client=Here())

def refused(do):
    try:
        do()
    except TwilioRestException as error:
        return [error.status, error.code]
    except TwilioException as error: # of a page
        answer = json.loads(error.args[1].text)
        return [answer["status"], answer["code"]]
    return None

twilio = client(case["token"])
number, berlin = case["number"], case["berlin"]
saw = {}
def mark(name, value):
    saw[name] = value

country = twilio.available_phone_numbers("US")
mark("types", sorted(country.fetch().subresource_uris))
mark("area", sorted(n.phone_number for n in country.local.list(area_code=415, voice_enabled=True, page_size=30, limit=30)))
mark("search_at", len(sent) - 1)
found = country.local.list(contains=number, page_size=30, limit=30)
mark("exact", [[n.phone_number, n.friendly_name, n.address_requirements, n.capabilities["voice"]] for n in found])
mark("no_mobile", refused(lambda: country.mobile.list(limit=1)))
mark("no_such_country", refused(lambda: twilio.available_phone_numbers("FR").fetch()))
mark("swiss_mobile", [len(twilio.available_phone_numbers("CH").mobile.list(limit=9)), len(twilio.available_phone_numbers("CH").mobile.list(voice_enabled=True, limit=9))])
mark("bad_pattern", refused(lambda: country.local.list(contains="1*2", limit=1)))
mark("wrong_token", refused(lambda: client("wrong").available_phone_numbers("US").fetch()))
prices = {p["number_type"]: p["current_price"] for p in twilio.pricing.v1.phone_numbers.countries("US").fetch().phone_number_prices}
mark("prices", prices)

mark("bad_number", refused(lambda: twilio.incoming_phone_numbers.create(phone_number="415")))
mark("not_for_sale", refused(lambda: twilio.incoming_phone_numbers.create(phone_number="+14155559999")))
mark("bad_url", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=number, voice_url="https://a_b.example/")))
bought = twilio.incoming_phone_numbers.create(phone_number=number, friendly_name="oh:1", voice_url="https://h.example/v", voice_method="POST",
    voice_fallback_url="https://h.example/f", voice_fallback_method="POST", status_callback="https://h.example/s", status_callback_method="POST")
mark("buy_at", len(sent) - 1)
mark("bought", [bought.phone_number, bought.friendly_name, bought.voice_url, bought.trunk_sid, len(bought.sid), bought.date_created is not None])
again = twilio.incoming_phone_numbers.create(phone_number=number, friendly_name="oh:2")
mark("again", [again.sid == bought.sid, again.friendly_name])
mark("searched_again", len(country.local.list(contains=number, limit=9)))
listed = twilio.incoming_phone_numbers.list(phone_number=number, page_size=100, limit=100)
mark("list_at", len(sent) - 1)
mark("listed", [n.sid == bought.sid for n in listed])
changed = twilio.incoming_phone_numbers(bought.sid).update(voice_application_sid="", trunk_sid="", voice_url="", voice_fallback_url="", status_callback="")
mark("clear_at", len(sent) - 1)
mark("cleared", [changed.voice_url, changed.voice_fallback_url, changed.status_callback])
mark("fallback_alone", refused(lambda: twilio.incoming_phone_numbers(bought.sid).update(voice_fallback_url="https://h.example/f")))
mark("fetched", twilio.incoming_phone_numbers(bought.sid).fetch().phone_number)
mark("paged", len(list(twilio.incoming_phone_numbers.stream(page_size=20))))
mark("huge_page", refused(lambda: twilio.incoming_phone_numbers.list(page_size=1001, limit=1001)))

numbers = twilio.numbers.v2.regulatory_compliance
mark("regulations", [[r.iso_country, r.number_type] for r in numbers.regulations.list(iso_country="DE", number_type="local", page_size=50, limit=50)])
mark("no_address", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=berlin)))
address = twilio.addresses.create(customer_name="Ann", street="1 Main", city="Gerlingen", region="BW", postal_code="70839", iso_country="DE")
mark("wrong_town", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=berlin, address_sid=address.sid)))
address = twilio.addresses.create(customer_name="Ann", street="1 Main", city="Berlin", region="BE", postal_code="10115", iso_country="DE")
mark("no_bundle", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=berlin, address_sid=address.sid)))
bundles = numbers.bundles.list(iso_country="DE", number_type="local", page_size=50, limit=50)
mark("bundles", [[b.sid, b.status] for b in bundles])
mark("in_review", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=berlin, address_sid=address.sid, bundle_sid=bundles[0].sid)))
approved = [b.sid for b in bundles if b.status == "twilio-approved"]
german = twilio.incoming_phone_numbers.create(phone_number=berlin, address_sid=address.sid, bundle_sid=approved[0])
mark("german", [german.phone_number, german.address_sid == address.sid, german.bundle_sid == approved[0]])
mark("addresses", len(twilio.addresses.list(page_size=100, limit=100)))

mark("released", twilio.incoming_phone_numbers(bought.sid).delete())
mark("release_at", len(sent) - 1)
mark("released_again", refused(lambda: twilio.incoming_phone_numbers(bought.sid).delete()))
mark("gone", refused(lambda: twilio.incoming_phone_numbers(bought.sid).fetch()))
mark("not_to_be_had", refused(lambda: twilio.incoming_phone_numbers.create(phone_number=number)))
json.dump({"saw": saw, "sent": sent, "sid": bought.sid}, sys.stdout)
"#;

#[tokio::test]
async fn num_06_the_package_drives_the_stand_in_and_sends_what_we_send() {
    let Some(python) = judge() else { return };
    let carrier = Carrier::new(ACCOUNT, Secret::new(TOKEN));
    let exchange = carrier.numbers().clone();
    exchange.stock();
    exchange.regulate("DE", carrier::Kind::Local);
    exchange.add_bundle(ACCOUNT, "DE", carrier::Kind::Local, "in-review");
    let approved = exchange.add_bundle(ACCOUNT, "DE", carrier::Kind::Local, "twilio-approved");
    exchange.add_bundle("AC00000000000000000000000000000002", "DE", carrier::Kind::Local, "twilio-approved");
    for n in 0..44 {
        let number = ForSale {
            number: format!("+1415556{n:04}"),
            country: "US".to_owned(),
            kind: carrier::Kind::Local,
            locality: String::new(),
            voice: true,
            address: "none",
        };
        exchange.buy_in_console(ACCOUNT, number);
    }
    let address = carrier.listen().await.unwrap();
    let case = json!({
        "url": format!("http://{address}"), "account": ACCOUNT, "token": TOKEN, "number": NUMBER, "berlin": BERLIN,
    });
    let answer = tokio::task::spawn_blocking(move || drive(&python, &case)).await.unwrap();
    let saw = &answer["saw"];
    let area: Vec<String> = (0..6).map(|n| format!("+1415555{:04}", 100 + n)).collect();
    for (what, wanted) in [
        ("types", json!(["local", "toll_free"])),
        ("area", json!(area)),
        ("exact", json!([[NUMBER, "(415) 555-0100", "none", true]])),
        ("no_mobile", json!([404, 20_404])),
        ("no_such_country", json!([404, 20_404])),
        ("swiss_mobile", json!([3, 0])),
        ("bad_pattern", json!([400, 20_001])),
        ("wrong_token", json!([401, 20_003])),
        ("prices", json!({ "local": "1.15", "toll free": "1.15" })),
        ("bad_number", json!([400, 21_421])),
        ("not_for_sale", json!([400, 21_422])),
        ("bad_url", json!([400, 21_402])),
        ("bought", json!([NUMBER, "oh:1", "https://h.example/v", null, 34, true])),
        ("again", json!([true, "oh:2"])),
        ("searched_again", json!(0)),
        ("listed", json!([true])),
        ("cleared", json!([null, null, ""])),
        ("fallback_alone", json!([400, 21_405])),
        ("fetched", json!(NUMBER)),
        ("paged", json!(45)),
        ("huge_page", json!([400, 20_007])),
        ("regulations", json!([["DE", "local"]])),
        ("no_address", json!([400, 21_631])),
        ("wrong_town", json!([400, 21_615])),
        ("no_bundle", json!([400, 21_649])),
        ("in_review", json!([400, 21_649])),
        ("german", json!([BERLIN, true, true])),
        ("addresses", json!(2)),
        ("released", json!(true)),
        ("released_again", json!([404, 20_404])),
        ("gone", json!([404, 20_404])),
        ("not_to_be_had", json!([400, 21_422])),
    ] {
        assert_eq!(saw[what], wanted, "{what}");
    }
    assert_eq!(saw["bundles"].as_array().map(Vec::len), Some(2), "not another account's");
    assert_eq!(saw["bundles"][1][0], approved.as_str());
    assert_eq!((exchange.charges(NUMBER), exchange.charges(BERLIN)), (1, 1), "an update is no purchase");

    let hooks = Hooks {
        voice_url: "https://h.example/v".to_owned(),
        fallback_url: "https://h.example/f".to_owned(),
        status_callback: "https://h.example/s".to_owned(),
    };
    let purchase = Purchase { number: NUMBER, tag: "oh:1", hooks: &hooks, address: None, bundle: None };
    let sid = answer["sid"].as_str().unwrap();
    for (at, request) in [
        ("search_at", ours::search(ACCOUNT, "US", Kind::Local, Some(Digits::AreaCode(415)), true)),
        ("buy_at", ours::buy(ACCOUNT, &purchase)),
        ("list_at", ours::list(ACCOUNT, Some(NUMBER))),
        ("clear_at", ours::set_hooks(ACCOUNT, sid, &Hooks::default())),
        ("release_at", ours::release(ACCOUNT, sid)),
    ] {
        let theirs = &answer["sent"][saw[at].as_u64().unwrap() as usize];
        assert_eq!(said(&request), *theirs, "{at}");
    }
}

/// A request of ours as the driver notes its own.
fn said(request: &RestRequest) -> Value {
    let form: serde_json::Map<String, Value> =
        request.form.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    json!({ "method": request.method, "path": request.path, "form": form })
}

fn drive(python: &std::path::Path, case: &Value) -> Value {
    let mut child =
        Command::new(python).args(["-c", DRIVER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(case.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge failed: {:?}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
