use jiff::civil::date;

use super::*;
use crate::config::Tier;
use crate::house::phone;

#[test]
fn dep_12_a_phone_is_made_public_with_alloy_and_ten_minutes() {
    let mut cards = [text("t"), voice("v")];
    cards[1].facts.voices = vec!["marin".to_owned(), "alloy".to_owned()];
    let new = |cards| phone::new(Tier::Global, None, cards, date(2026, 6, 16), |title| title == "Phone 2026-06-16");
    let made = new(&cards[..]).unwrap();
    assert_eq!((made.title.as_str(), made.model.name.as_str()), ("Phone 2026-06-16 (2)", "v"));
    assert_eq!((made.voice, made.access, made.max_minutes), (Some("alloy"), Some(Access::Public), 10));
    assert!(!made.recording);
    assert_eq!(new(&cards[..1]).unwrap_err().message, "No voice model is available.");
}
