//! Countries by their codes, ISO 3166-1 alpha-2.

use super::problem::nearest;
use super::reader::Table;
use super::values::MAX_NAME;

/// Takes `key` as the code of a country.
pub(super) fn read(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let field = table.take(key)?;
    let code = field.string(MAX_NAME)?;
    let known = || CODES.split_ascii_whitespace();
    if known().any(|known| known == code) {
        return Some(code);
    }
    let upper = code.to_ascii_uppercase();
    let message = match known().find(|known| *known == upper).or_else(|| said(&upper)) {
        Some(meant) => format!("is not a country's code; did you mean {meant:?}?"),
        None => "is not a country's code".to_owned(),
    };
    field.wrong_allowed(message, "ISO 3166-1 alpha-2 in capitals, such as \"CH\", \"DE\", \"US\"");
    None
}

/// What people write in place of the code.
fn said(upper: &str) -> Option<&'static str> {
    let names = || NAMES.iter().map(|(name, _)| *name);
    let name = nearest(upper, names())?;
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

const NAMES: [(&str, &str); 9] = [
    ("UK", "GB"),
    ("USA", "US"),
    ("SWITZERLAND", "CH"),
    ("GERMANY", "DE"),
    ("FRANCE", "FR"),
    ("ITALY", "IT"),
    ("IRELAND", "IE"),
    ("NETHERLANDS", "NL"),
    ("UNITED STATES", "US"),
];

/// All that are assigned.
const CODES: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG \
UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_codes_as_the_standard_has_and_none_twice() {
        let mut codes: Vec<&str> = CODES.split_ascii_whitespace().collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), 249);
    }
}
