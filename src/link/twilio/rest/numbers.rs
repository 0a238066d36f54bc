//! Phone numbers: what is for sale, buying, setting webhooks, giving back; and the papers that a purchase needs.

mod answers;

pub use answers::{
    AddressOnFile, BundleOnFile, Offer, Owned, Page, Price, Regulation, addresses, bundles, offers, owned,
    page_of_owned, price, regulations, released, types,
};

use super::{Host, RestRequest, segment};

/// A type of number, in the four spellings that the carrier has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of a place.
    Local,
    /// Of no place.
    Mobile,
    /// Free for who calls.
    TollFree,
}

/// Digits that numbers are looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits<'a> {
    /// Behind +1; of the United States and Canada only.
    AreaCode(u16),
    /// Digits, anywhere, or behind a leading `+` at the beginning.
    Contains(&'a str),
}

/// Where a number's calls go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Asked what to do with a call; empty: nobody is.
    pub voice_url: String,
    /// Asked when that fails; empty: nobody is.
    pub fallback_url: String,
    /// Told when a call is over; empty: nobody is.
    pub status_callback: String,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase<'a> {
    /// E.164.
    pub number: &'a str,
    /// What the number is called there; at most 64 characters.
    pub tag: &'a str,
    /// Where its calls go: without, the carrier plays a demonstration of its own.
    pub hooks: &'a Hooks,
    /// `AD…`.
    pub address: Option<&'a str>,
    /// `BU…`.
    pub bundle: Option<&'a str>,
}

/// Numbers in one answer to a search.
pub const OFFERS: usize = 30;
/// Numbers in one page of a list.
const PAGE: usize = 100;

impl Kind {
    /// All.
    pub const ALL: [Kind; 3] = [Kind::Local, Kind::Mobile, Kind::TollFree];

    /// As a segment of a path.
    pub fn segment(self) -> &'static str {
        match self {
            Kind::Local => "Local",
            Kind::Mobile => "Mobile",
            Kind::TollFree => "TollFree",
        }
    }

    /// As a key of a country's resources.
    pub fn key(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll_free",
        }
    }

    /// As prices name it.
    pub fn priced(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll free",
        }
    }

    /// As regulations, bundles and owned numbers name it.
    pub fn regulated(self) -> &'static str {
        match self {
            Kind::Local => "local",
            Kind::Mobile => "mobile",
            Kind::TollFree => "toll-free",
        }
    }

    /// The type of that name, as owned numbers have it.
    pub fn of_regulated(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.regulated() == name)
    }
}

/// Which types there are in a country (ISO 3166-1 alpha-2).
pub fn of_country(account: &str, country: &str) -> RestRequest {
    get(Host::Api, format!("{}/{}.json", under(account, "AvailablePhoneNumbers"), segment(country)), Vec::new())
}

/// Numbers for sale. `voice`: only those that can be called.
pub fn search(account: &str, country: &str, kind: Kind, digits: Option<Digits<'_>>, voice: bool) -> RestRequest {
    let base = under(account, "AvailablePhoneNumbers");
    let path = format!("{base}/{}/{}.json", segment(country), kind.segment());
    let mut form = vec![("PageSize", OFFERS.to_string())];
    if voice {
        form.push(("VoiceEnabled", "true".to_owned()));
    }
    match digits {
        Some(Digits::AreaCode(code)) => form.push(("AreaCode", code.to_string())),
        Some(Digits::Contains(digits)) => form.push(("Contains", digits.to_owned())),
        None => {}
    }
    get(Host::Api, path, form)
}

/// Buys one number. Asked for one that the account has, the carrier changes that instead, and charges nothing.
pub fn buy(account: &str, purchase: &Purchase<'_>) -> RestRequest {
    let mut form = vec![("PhoneNumber", purchase.number.to_owned()), ("FriendlyName", purchase.tag.to_owned())];
    form.extend(given(purchase.hooks));
    form.extend(purchase.address.map(|sid| ("AddressSid", sid.to_owned())));
    form.extend(purchase.bundle.map(|sid| ("BundleSid", sid.to_owned())));
    post(format!("{}.json", under(account, "IncomingPhoneNumbers")), form)
}

/// Sets where a number's calls go; what is empty is cleared. An application or a trunk, which would go before them, is taken off.
pub fn set_hooks(account: &str, sid: &str, hooks: &Hooks) -> RestRequest {
    let mut form = vec![("VoiceApplicationSid", String::new()), ("TrunkSid", String::new())];
    let methods = [("VoiceMethod", &hooks.voice_url), ("VoiceFallbackMethod", &hooks.fallback_url)];
    form.push(("VoiceUrl", hooks.voice_url.clone()));
    form.push(("VoiceFallbackUrl", hooks.fallback_url.clone()));
    form.push(("StatusCallback", hooks.status_callback.clone()));
    let methods = methods.into_iter().chain([("StatusCallbackMethod", &hooks.status_callback)]);
    form.extend(methods.filter(|(_, url)| !url.is_empty()).map(|(name, _)| (name, "POST".to_owned())));
    post(one(account, sid), form)
}

/// A number that the account has.
pub fn fetch(account: &str, sid: &str) -> RestRequest {
    get(Host::Api, one(account, sid), Vec::new())
}

/// Gives a number back.
pub fn release(account: &str, sid: &str) -> RestRequest {
    RestRequest { host: Host::Api, method: "DELETE", path: one(account, sid), form: Vec::new() }
}

/// Numbers that the account has; `number`: only those that are like it, which may be more than one.
pub fn list(account: &str, number: Option<&str>) -> RestRequest {
    let mut form = vec![("PageSize", PAGE.to_string())];
    form.extend(number.map(|number| ("PhoneNumber", number.to_owned())));
    get(Host::Api, format!("{}.json", under(account, "IncomingPhoneNumbers")), form)
}

/// The page that an answer says comes next; `None`: it leads somewhere else.
pub fn next(host: Host, account: &str, next: &str) -> Option<RestRequest> {
    // Absolute on some hosts: wherever it leads, it is ours to ask only there.
    let path = match next.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => next,
    };
    let start = match host {
        Host::Api => path.find(&format!("/2010-04-01/Accounts/{}/", segment(account)))?,
        Host::Numbers | Host::Pricing => path.find("/v")?,
    };
    Some(get(host, path.get(start..)?.to_owned(), Vec::new()))
}

/// What numbers of a country and type need of papers, for companies.
pub fn ask_regulations(country: &str, kind: Kind) -> RestRequest {
    let form = vec![
        ("IsoCountry", country.to_owned()),
        ("NumberType", kind.regulated().to_owned()),
        ("PageSize", "50".to_owned()),
    ];
    get(Host::Numbers, "/v2/RegulatoryCompliance/Regulations".to_owned(), form)
}

/// Bundles on file for a country and type.
pub fn ask_bundles(country: &str, kind: Kind) -> RestRequest {
    let form = vec![
        ("IsoCountry", country.to_owned()),
        ("NumberType", kind.regulated().to_owned()),
        ("PageSize", "50".to_owned()),
    ];
    get(Host::Numbers, "/v2/RegulatoryCompliance/Bundles".to_owned(), form)
}

/// Addresses on file.
pub fn ask_addresses(account: &str) -> RestRequest {
    get(Host::Api, format!("{}.json", under(account, "Addresses")), vec![("PageSize", PAGE.to_string())])
}

/// What numbers of a country cost a month.
pub fn ask_price(country: &str) -> RestRequest {
    get(Host::Pricing, format!("/v1/PhoneNumbers/Countries/{}", segment(country)), Vec::new())
}

fn given(hooks: &Hooks) -> Vec<(&'static str, String)> {
    let all = [
        ("VoiceUrl", "VoiceMethod", &hooks.voice_url),
        ("VoiceFallbackUrl", "VoiceFallbackMethod", &hooks.fallback_url),
        ("StatusCallback", "StatusCallbackMethod", &hooks.status_callback),
    ];
    let set = all.into_iter().filter(|(_, _, url)| !url.is_empty());
    set.flat_map(|(name, method, url)| [(name, url.clone()), (method, "POST".to_owned())]).collect()
}

fn under(account: &str, resource: &str) -> String {
    format!("/2010-04-01/Accounts/{}/{resource}", segment(account))
}

fn one(account: &str, sid: &str) -> String {
    format!("{}/{}.json", under(account, "IncomingPhoneNumbers"), segment(sid))
}

fn get(host: Host, path: String, form: Vec<(&'static str, String)>) -> RestRequest {
    RestRequest { host, method: "GET", path, form }
}

fn post(path: String, form: Vec<(&'static str, String)>) -> RestRequest {
    RestRequest { host: Host::Api, method: "POST", path, form }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get_of<'a>(request: &'a RestRequest, name: &str) -> Option<&'a str> {
        request.form.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_purchase_names_the_number_and_where_its_calls_go() {
        let hooks = Hooks {
            voice_url: "https://h.example/twilio/voice".to_owned(),
            status_callback: "https://h.example/twilio/call-status".to_owned(),
            ..Hooks::default()
        };
        let purchase =
            Purchase { number: "+4930555010", tag: "oh:1", hooks: &hooks, address: Some("AD1"), bundle: Some("BU1") };
        let request = buy("AC1", &purchase);
        assert_eq!(
            (request.method, request.path.as_str()),
            ("POST", "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json")
        );
        assert_eq!(
            (get_of(&request, "PhoneNumber"), get_of(&request, "FriendlyName")),
            (Some("+4930555010"), Some("oh:1"))
        );
        assert_eq!((get_of(&request, "AddressSid"), get_of(&request, "BundleSid")), (Some("AD1"), Some("BU1")));
        assert_eq!((get_of(&request, "VoiceMethod"), get_of(&request, "VoiceFallbackUrl")), (Some("POST"), None));
        assert_eq!(get_of(&request, "AreaCode"), None, "which would buy any");
    }

    #[test]
    fn what_is_cleared_is_sent_as_nothing() {
        let request = set_hooks("AC1", "PN1", &Hooks::default());
        for name in ["VoiceUrl", "VoiceFallbackUrl", "StatusCallback", "VoiceApplicationSid", "TrunkSid"] {
            assert_eq!(get_of(&request, name), Some(""), "{name}");
        }
        assert_eq!(get_of(&request, "VoiceMethod"), None);
    }

    #[test]
    fn the_next_page_is_asked_where_the_first_was_and_nowhere_else() {
        let api = |text: &str| next(Host::Api, "AC1", text).map(|request| request.path);
        let path = "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json?PageSize=100&Page=1&PageToken=PA1";
        assert_eq!(api(path).as_deref(), Some(path));
        assert_eq!(api(&format!("https://evil.test{path}")).as_deref(), Some(path));
        // Behind a prefix, as some carriers of this kind have it.
        assert_eq!(api(&format!("/api/laml{path}")).as_deref(), Some(path));
        assert_eq!(api("/2010-04-01/Accounts/AC2/IncomingPhoneNumbers.json"), None);
        assert_eq!((api(""), api("https://evil.test")), (None, None));
        let bundles = "https://numbers.twilio.com/v2/RegulatoryCompliance/Bundles?Page=1";
        let asked = next(Host::Numbers, "AC1", bundles).map(|request| request.path);
        assert_eq!(asked.as_deref(), Some("/v2/RegulatoryCompliance/Bundles?Page=1"));
    }

    #[test]
    fn one_type_has_four_spellings() {
        let kind = Kind::TollFree;
        let all = (kind.segment(), kind.key(), kind.priced(), kind.regulated());
        assert_eq!(all, ("TollFree", "toll_free", "toll free", "toll-free"));
        assert_eq!((Kind::of_regulated("toll-free"), Kind::of_regulated("national")), (Some(kind), None));
    }
}
