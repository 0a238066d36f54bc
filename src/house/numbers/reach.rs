//! With which countries a number talks (BEYOND-31): closed by default but for its own and those in use; what is dear by design
//! is always closed.

use std::collections::BTreeSet;

use super::super::refusal::Refusal;

/// Countries that a number talks with, as ISO 3166-1 alpha-2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// From which calls are taken; `None`: as by default.
    pub from: Option<BTreeSet<String>>,
    /// To which calls may go; `None`: as by default.
    pub to: Option<BTreeSet<String>>,
}

/// Where a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In this country.
    Country(&'static str),
    /// In a range whose calls cost who makes them much, by design.
    Premium,
    /// On no land: satellites, networks of the whole world.
    Nowhere,
    /// In no range that is known, or it is no number.
    Unknown,
}

/// Where a number (E.164) is.
pub fn place(number: &str) -> Where {
    let Some(digits) = number.strip_prefix('+').filter(|rest| rest.bytes().all(|b| b.is_ascii_digit())) else {
        return Where::Unknown;
    };
    if PREMIUM.iter().any(|prefix| digits.starts_with(prefix)) {
        return Where::Premium;
    }
    if NOWHERE.iter().any(|prefix| digits.starts_with(prefix)) {
        return Where::Nowhere;
    }
    // The longest that fits: parts of +1, +7, +44, +39 are other countries.
    let longest = CODES.iter().filter(|(_, codes)| codes.split(' ').any(|code| digits.starts_with(code)));
    let length = |codes: &str| codes.split(' ').filter(|code| digits.starts_with(code)).map(str::len).max();
    longest.max_by_key(|(_, codes)| length(codes)).map_or(Where::Unknown, |(country, _)| Where::Country(country))
}

/// All countries whose numbers are known.
pub fn countries() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(country, _)| *country)
}

/// Whether a call may go from the number `own` to `to`. `in_use`: countries of the organization's other numbers.
///
/// # Errors
/// `premium_number`, `country_closed`.
pub fn may_call(reach: &Reach, own: &str, in_use: &BTreeSet<String>, to: &str) -> Result<(), Refusal> {
    let closed = |message: String| Err(Refusal::wrong("country_closed", "to", message));
    match place(to) {
        Where::Premium => Err(Refusal::wrong("premium_number", "to", "Premium numbers are never called.")),
        Where::Nowhere | Where::Unknown => closed("This number is in no country that calls may go to.".to_owned()),
        Where::Country(country) if is_open(reach.to.as_ref(), own, in_use, country) => Ok(()),
        Where::Country(country) => closed(format!("Calls from this number may not go to {country}.")),
    }
}

/// Whether a call from `from` is taken at the number `own`. Whoever withholds a number is taken: nobody knows where they are.
pub fn takes(reach: &Reach, own: &str, in_use: &BTreeSet<String>, from: &str) -> bool {
    match place(from) {
        Where::Unknown => true,
        Where::Premium | Where::Nowhere => false,
        Where::Country(country) => is_open(reach.from.as_ref(), own, in_use, country),
    }
}

fn is_open(chosen: Option<&BTreeSet<String>>, own: &str, in_use: &BTreeSet<String>, country: &str) -> bool {
    match chosen {
        Some(chosen) => chosen.contains(country),
        None => matches!(place(own), Where::Country(own) if own == country) || in_use.contains(country),
    }
}

/// Ranges whose calls cost by design, without the `+`: where numbers are sold here, and in their neighbours; the world's own.
const PREMIUM: &[&str] = &[
    "1900", "1976", "449", "44871", "44872", "44873", "4470", "49900", "49137", "49138", "49118", "49180", "3989",
    "39144", "39166", "41900", "41901", "41906", "4118", "3389", "43900", "43901", "43930", "43931", "43939", "34803",
    "34806", "34807", "3290", "31900", "31906", "31909", "35315", "979",
];

/// Satellites and networks of no country.
const NOWHERE: &[&str] = &["870", "878", "881", "882", "883", "888", "991"];

/// Countries and what their numbers begin with.
const CODES: &[(&str, &str)] = &[
    ("US", "1"),
    (
        "CA",
        "1204 1226 1236 1249 1250 1257 1263 1289 1306 1343 1354 1365 1367 1368 1382 1387 1403 1416 1418 1428 1431 1437 1438 \
         1450 1460 1468 1474 1506 1514 1519 1548 1579 1581 1584 1587 1604 1613 1639 1647 1672 1683 1705 1709 1742 1753 1778 \
         1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942",
    ),
    ("BS", "1242"),
    ("BB", "1246"),
    ("AI", "1264"),
    ("AG", "1268"),
    ("VG", "1284"),
    ("VI", "1340"),
    ("KY", "1345"),
    ("BM", "1441"),
    ("GD", "1473"),
    ("TC", "1649"),
    ("JM", "1658 1876"),
    ("MS", "1664"),
    ("MP", "1670"),
    ("GU", "1671"),
    ("AS", "1684"),
    ("SX", "1721"),
    ("LC", "1758"),
    ("DM", "1767"),
    ("VC", "1784"),
    ("PR", "1787 1939"),
    ("DO", "1809 1829 1849"),
    ("TT", "1868"),
    ("KN", "1869"),
    ("EG", "20"),
    ("SS", "211"),
    ("MA", "212"),
    ("DZ", "213"),
    ("TN", "216"),
    ("LY", "218"),
    ("GM", "220"),
    ("SN", "221"),
    ("MR", "222"),
    ("ML", "223"),
    ("GN", "224"),
    ("CI", "225"),
    ("BF", "226"),
    ("NE", "227"),
    ("TG", "228"),
    ("BJ", "229"),
    ("MU", "230"),
    ("LR", "231"),
    ("SL", "232"),
    ("GH", "233"),
    ("NG", "234"),
    ("TD", "235"),
    ("CF", "236"),
    ("CM", "237"),
    ("CV", "238"),
    ("ST", "239"),
    ("GQ", "240"),
    ("GA", "241"),
    ("CG", "242"),
    ("CD", "243"),
    ("AO", "244"),
    ("GW", "245"),
    ("IO", "246"),
    ("SC", "248"),
    ("SD", "249"),
    ("RW", "250"),
    ("ET", "251"),
    ("SO", "252"),
    ("DJ", "253"),
    ("KE", "254"),
    ("TZ", "255"),
    ("UG", "256"),
    ("BI", "257"),
    ("MZ", "258"),
    ("ZM", "260"),
    ("MG", "261"),
    ("RE", "262"),
    ("ZW", "263"),
    ("NA", "264"),
    ("MW", "265"),
    ("LS", "266"),
    ("BW", "267"),
    ("SZ", "268"),
    ("KM", "269"),
    ("ZA", "27"),
    ("SH", "290"),
    ("ER", "291"),
    ("AW", "297"),
    ("FO", "298"),
    ("GL", "299"),
    ("GR", "30"),
    ("NL", "31"),
    ("BE", "32"),
    ("FR", "33"),
    ("ES", "34"),
    ("GI", "350"),
    ("PT", "351"),
    ("LU", "352"),
    ("IE", "353"),
    ("IS", "354"),
    ("AL", "355"),
    ("MT", "356"),
    ("CY", "357"),
    ("FI", "358"),
    ("BG", "359"),
    ("HU", "36"),
    ("LT", "370"),
    ("LV", "371"),
    ("EE", "372"),
    ("MD", "373"),
    ("AM", "374"),
    ("BY", "375"),
    ("AD", "376"),
    ("MC", "377"),
    ("SM", "378"),
    ("UA", "380"),
    ("RS", "381"),
    ("ME", "382"),
    ("HR", "385"),
    ("SI", "386"),
    ("BA", "387"),
    ("MK", "389"),
    ("IT", "39"),
    ("VA", "3906698"),
    ("RO", "40"),
    ("CH", "41"),
    ("CZ", "420"),
    ("SK", "421"),
    ("LI", "423"),
    ("AT", "43"),
    ("GB", "44"),
    ("GG", "441481"),
    ("JE", "441534"),
    ("IM", "441624"),
    ("DK", "45"),
    ("SE", "46"),
    ("NO", "47"),
    ("PL", "48"),
    ("DE", "49"),
    ("FK", "500"),
    ("BZ", "501"),
    ("GT", "502"),
    ("SV", "503"),
    ("HN", "504"),
    ("NI", "505"),
    ("CR", "506"),
    ("PA", "507"),
    ("PM", "508"),
    ("HT", "509"),
    ("PE", "51"),
    ("MX", "52"),
    ("CU", "53"),
    ("AR", "54"),
    ("BR", "55"),
    ("CL", "56"),
    ("CO", "57"),
    ("VE", "58"),
    ("GP", "590"),
    ("BO", "591"),
    ("GY", "592"),
    ("EC", "593"),
    ("GF", "594"),
    ("PY", "595"),
    ("MQ", "596"),
    ("SR", "597"),
    ("UY", "598"),
    ("CW", "5999"),
    ("BQ", "5993 5994 5997"),
    ("MY", "60"),
    ("AU", "61"),
    ("ID", "62"),
    ("PH", "63"),
    ("NZ", "64"),
    ("SG", "65"),
    ("TH", "66"),
    ("TL", "670"),
    ("NF", "672"),
    ("BN", "673"),
    ("NR", "674"),
    ("PG", "675"),
    ("TO", "676"),
    ("SB", "677"),
    ("VU", "678"),
    ("FJ", "679"),
    ("PW", "680"),
    ("WF", "681"),
    ("CK", "682"),
    ("NU", "683"),
    ("WS", "685"),
    ("KI", "686"),
    ("NC", "687"),
    ("TV", "688"),
    ("PF", "689"),
    ("TK", "690"),
    ("FM", "691"),
    ("MH", "692"),
    ("RU", "7"),
    ("KZ", "76 77"),
    ("JP", "81"),
    ("KR", "82"),
    ("VN", "84"),
    ("KP", "850"),
    ("HK", "852"),
    ("MO", "853"),
    ("KH", "855"),
    ("LA", "856"),
    ("CN", "86"),
    ("BD", "880"),
    ("TW", "886"),
    ("TR", "90"),
    ("IN", "91"),
    ("PK", "92"),
    ("AF", "93"),
    ("LK", "94"),
    ("MM", "95"),
    ("MV", "960"),
    ("LB", "961"),
    ("JO", "962"),
    ("SY", "963"),
    ("IQ", "964"),
    ("KW", "965"),
    ("SA", "966"),
    ("YE", "967"),
    ("OM", "968"),
    ("PS", "970"),
    ("AE", "971"),
    ("IL", "972"),
    ("BH", "973"),
    ("QA", "974"),
    ("BT", "975"),
    ("MN", "976"),
    ("NP", "977"),
    ("IR", "98"),
    ("TJ", "992"),
    ("TM", "993"),
    ("AZ", "994"),
    ("GE", "995"),
    ("KG", "996"),
    ("UZ", "998"),
];
