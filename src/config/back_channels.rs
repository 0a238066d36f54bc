//! Back-channels: what people say to show that they listen, and not to be answered. "mm-hm", "yeah", "okay".
//!
//! Words are compared without case, punctuation, accents and repeated letters, so that "Mm-hmm.", "OK" and "yeaah" are
//! what the lists say, and any number of them in a row is one still ("yeah, yeah, right").

use serde::{Deserialize, Serialize};

/// Lists at once, and phrases in one.
pub(super) const LISTS_MAX: usize = 40;
pub(super) const PHRASES_MAX: usize = 200;
/// Characters of a phrase.
pub(super) const PHRASE_MAX: usize = 40;
/// Words of a phrase that is looked for, and of a remark that may be nothing else.
const PHRASE_WORDS_MAX: usize = 4;
const REMARK_WORDS_MAX: usize = 16;
/// From here on scripts are written without spaces (kana, Han, hangul).
const UNSPACED_FROM: char = '\u{3040}';

/// The lists that are shipped.
const SHIPPED: &str = include_str!("back_channels.txt");

/// The shipped phrases, each with its language.
fn shipped<'a>() -> impl Iterator<Item = (&'a str, &'a str)> {
    SHIPPED.split("\n[").skip(1).filter_map(|list| list.split_once("]\n")).flat_map(|(language, list)| {
        let phrases = list.split([',', '\n']).map(str::trim).filter(|phrase| !phrase.is_empty());
        phrases.map(move |phrase| (language, phrase))
    })
}

/// What a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Nothing was said: a cough, a breath.
    Nothing,
    /// Only back-channels.
    BackChannel,
    /// So many words, and not only back-channels.
    Words(u32),
}

/// The back-channels of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct BackChannels {
    /// Normal forms, in order.
    phrases: Vec<String>,
}

impl From<Vec<String>> for BackChannels {
    fn from(phrases: Vec<String>) -> Self {
        BackChannels::new(phrases.iter().map(String::as_str))
    }
}

impl From<BackChannels> for Vec<String> {
    fn from(back_channels: BackChannels) -> Self {
        back_channels.phrases
    }
}

/// Those of all languages for which lists are shipped.
impl Default for BackChannels {
    fn default() -> Self {
        BackChannels::of(None, &[])
    }
}

impl BackChannels {
    fn new<'a>(phrases: impl Iterator<Item = &'a str>) -> Self {
        let mut phrases: Vec<_> = phrases.map(normal).filter(|phrase| !phrase.is_empty()).collect();
        phrases.sort_unstable();
        phrases.dedup();
        BackChannels { phrases }
    }

    /// Those of a language, or of all where it is not known or has no list; `own` lists take the place of the shipped ones.
    pub fn of(language: Option<&str>, own: &[(String, Vec<String>)]) -> Self {
        let theirs = shipped().filter(|(of, _)| !own.iter().any(|(other, _)| other == of));
        let own_phrases =
            own.iter().flat_map(|(of, list)| list.iter().map(move |phrase| (of.as_str(), phrase.as_str())));
        let all = theirs.chain(own_phrases);
        let known =
            |language: &str| shipped().any(|(of, _)| of == language) || own.iter().any(|(of, _)| of == language);
        match language.filter(|language| known(language)) {
            Some(language) => BackChannels::new(all.filter(|(of, _)| *of == language).map(|(_, phrase)| phrase)),
            None => BackChannels::new(all.map(|(_, phrase)| phrase)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.phrases.len()
    }

    /// Whether there are none but hums.
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    /// What a remark is.
    pub fn judge(&self, text: &str) -> Remark {
        self.weigh(&normal(text), false)
    }

    /// What is known of a remark whose words are still coming: the last one may not be complete, nor the phrase.
    pub fn judge_so_far(&self, text: &str) -> Remark {
        let complete = match text.ends_with(['.', ',', '!', '?']) {
            true => text,
            false => text.rfind(char::is_whitespace).map_or("", |at| &text[..at]),
        };
        self.weigh(&normal(complete), true)
    }

    fn weigh(&self, text: &str, goes_on: bool) -> Remark {
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.is_empty() {
            return Remark::Nothing;
        }
        let all = Remark::Words(words.len() as u32);
        if words.len() > REMARK_WORDS_MAX {
            return all;
        }
        let mut covered = vec![false; words.len() + 1];
        covered[0] = true;
        for from in 0..words.len() {
            for to in (from + 1)..=words.len().min(from + PHRASE_WORDS_MAX) {
                covered[to] |= covered[from] && self.has(&words[from..to]);
            }
            let begins = || covered[from] && self.begins(&words[from..].join(" "));
            if goes_on && begins() {
                return Remark::BackChannel;
            }
        }
        if covered[words.len()] { Remark::BackChannel } else { all }
    }

    /// Whether a phrase begins with these words.
    fn begins(&self, words: &str) -> bool {
        let next = self.phrases.partition_point(|phrase| phrase.as_str() < words);
        let after = self.phrases[next..].iter().take_while(|phrase| phrase.starts_with(words));
        after.into_iter().any(|phrase| phrase[words.len()..].starts_with(' '))
    }

    fn has(&self, words: &[&str]) -> bool {
        if let [word] = words {
            return is_hum(word) || self.is_phrase(word) || self.is_spelled(word);
        }
        self.is_phrase(&words.join(" "))
    }

    fn is_phrase(&self, text: &str) -> bool {
        self.phrases.binary_search_by(|phrase| phrase.as_str().cmp(text)).is_ok()
    }

    /// Phrases without spaces between them.
    fn is_spelled(&self, word: &str) -> bool {
        if !word.chars().all(|c| c >= UNSPACED_FROM) {
            return false;
        }
        let edges: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).take(64).collect();
        let mut covered = vec![false; edges.len()];
        covered[0] = true;
        for from in 0..edges.len() {
            for to in from + 1..edges.len() {
                covered[to] |= covered[from] && self.is_phrase(&word[edges[from]..edges[to]]);
            }
        }
        edges.last() == Some(&word.len()) && covered[edges.len() - 1]
    }
}

/// "mm", "hm", "mhm", however it is written.
fn is_hum(word: &str) -> bool {
    word.contains('m') && word.chars().all(|c| matches!(c, 'h' | 'm'))
}

/// Lower case, without accents, punctuation, what stands in brackets (`[cough]`) and letters that are repeated; words apart by
/// one space.
fn normal(text: &str) -> String {
    const OPEN: [char; 4] = ['(', '[', '（', '【'];
    const CLOSE: [char; 4] = [')', ']', '）', '】'];
    let mut out = String::with_capacity(text.len());
    let mut depth = 0u32;
    // One that is not closed must not hide what was said.
    let brackets = text.matches(OPEN).count() == text.matches(CLOSE).count();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            _ if brackets && OPEN.contains(&c) => depth += 1,
            _ if brackets && CLOSE.contains(&c) => depth = depth.saturating_sub(1),
            _ if depth > 0 => continue,
            // "that's", and an accent that is a character of its own.
            '\'' | '’' | '\u{300}'..='\u{36f}' => continue,
            _ => {}
        }
        let c = unaccented(c);
        if !c.is_alphanumeric() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if c.is_numeric() || !out.ends_with(c) {
            out.push(c);
        }
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

const fn unaccented(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è' | 'é' | 'ê' | 'ë' | 'ę' => 'e',
        'ğ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ı' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => 'o',
        'ś' | 'ş' | 'š' => 's',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ё' => 'е',
        'أ' | 'إ' | 'آ' => 'ا',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english() -> BackChannels {
        BackChannels::of(Some("en"), &[])
    }

    #[test]
    fn back_channels_are_known_however_they_are_written() {
        let list = english();
        for text in [
            "Mm-hmm.",
            "mhm",
            "MM HM",
            "Mmm…",
            "Uh-huh.",
            "uh huh",
            "OK",
            "okay, okay.",
            "Yeah, yeah, yeah!",
            "yeaaah",
            "Right.",
            "I see.",
            "Oh, I see, okay.",
            "That’s right.",
            "All right",
            "[cough] okay",
            "hm",
            "Yeah. Mm-hm. Right.",
        ] {
            assert_eq!(list.judge(text), Remark::BackChannel, "{text}");
        }
    }

    #[test]
    fn anything_else_is_words() {
        let list = english();
        for (text, words) in [
            ("Stop.", 1),
            ("no", 1),
            ("Wait!", 1),
            ("okay stop", 2),
            ("hold on", 2),
            ("yeah but", 2),
            ("seven", 1),
            ("7", 1),
            ("0 7", 2),
            ("hello?", 1),
            ("operator", 1),
            ("him", 1),
            ("jam", 1),
            ("ham", 1),
            ("no no no", 3),
            ("what", 1),
        ] {
            assert_eq!(list.judge(text), Remark::Words(words), "{text}");
        }
        let long = "yeah ".repeat(REMARK_WORDS_MAX + 1);
        assert!(matches!(list.judge(&long), Remark::Words(_)), "nobody listens for so long");
    }

    #[test]
    fn noises_are_nothing() {
        for text in ["", " ", "…", "[cough]", "(coughs)", "♪", "- -"] {
            assert_eq!(english().judge(text), Remark::Nothing, "{text}");
        }
        assert_eq!(english().judge("(stop"), Remark::Words(1), "what is not closed hides nothing");
    }

    #[test]
    fn a_language_has_its_own_and_an_unknown_one_all() {
        let judge = |language, text| BackChannels::of(language, &[]).judge(text);
        for (language, text) in [
            ("de", "Ja, genau."),
            ("de", "Ach so, verstehe"),
            ("fr", "D’accord, d'accord."),
            ("fr", "Très bien"),
            ("es", "Sí, sí"),
            ("es", "Aja."),
            ("it", "Sì, va bene"),
            ("pt", "Tá bom"),
            ("nl", "Oké, prima"),
            ("pl", "No tak"),
            ("ru", "Да, понятно."),
            ("tr", "Evet, tamam"),
            ("ja", "はい、はい。"),
            ("ja", "はいはい"),
            ("zh", "对对对"),
            ("zh", "好的，明白了"),
            ("ko", "네 네"),
            ("ar", "نعم، تمام"),
            ("hi", "जी हाँ, अच्छा"),
            ("sv", "Just det"),
            ("uk", "Так, зрозуміло"),
            ("fi", "Joo joo"),
        ] {
            assert_eq!(judge(Some(language), text), Remark::BackChannel, "{language}: {text}");
            assert_eq!(judge(None, text), Remark::BackChannel, "any: {text}");
            assert_eq!(judge(Some("xx"), text), Remark::BackChannel, "one without a list: {text}");
        }
        assert_eq!(judge(Some("en"), "genau"), Remark::Words(1));
        for text in
            ["no", "stop", "stopp", "halt", "nein", "non", "nie", "нет", "いいえ", "不", "不是", "espera", "attends"]
        {
            assert!(matches!(judge(None, text), Remark::Words(_)), "{text}");
        }
    }

    #[test]
    fn own_lists_take_the_place_of_the_shipped_ones() {
        let own = [("en".to_owned(), vec!["Roger that".to_owned()]), ("xx".to_owned(), vec!["Blub".to_owned()])];
        let list = BackChannels::of(Some("en"), &own);
        assert_eq!(list.judge("roger that, roger that!"), Remark::BackChannel);
        assert_eq!(list.judge("okay"), Remark::Words(1));
        assert_eq!(list.judge("mm-hm"), Remark::BackChannel, "a hum is one in any language");
        assert_eq!(BackChannels::of(Some("xx"), &own).judge("blub"), Remark::BackChannel);
        assert_eq!(BackChannels::of(Some("xx"), &own).judge("okay"), Remark::Words(1));
    }

    #[test]
    fn of_words_that_are_still_coming_the_last_does_not_count() {
        let list = english();
        assert_eq!(list.judge_so_far("Sto"), Remark::Nothing);
        assert_eq!(list.judge_so_far("Yeah, st"), Remark::BackChannel);
        assert_eq!(list.judge_so_far("Stop it"), Remark::Words(1));
        assert_eq!(list.judge_so_far("Stop."), Remark::Words(1));
        assert_eq!(list.judge_so_far("Okay, I se"), Remark::BackChannel, "it may become one");
        assert_eq!(list.judge_so_far("That's ri"), Remark::BackChannel);
        assert_eq!(list.judge_so_far(""), Remark::Nothing);
    }

    #[test]
    fn the_shipped_lists_are_within_their_own_bounds_and_say_nothing_twice() {
        let all: Vec<_> = shipped().collect();
        let mut languages: Vec<_> = all.iter().map(|(language, _)| *language).collect();
        languages.dedup();
        assert_eq!(
            languages,
            [
                "ar", "da", "de", "en", "es", "fi", "fr", "hi", "it", "ja", "ko", "nl", "no", "pl", "pt", "ru", "sv",
                "tr", "uk", "zh"
            ]
        );
        assert!(languages.len() <= LISTS_MAX);
        for language in languages {
            let phrases: Vec<_> = all.iter().filter(|(of, _)| *of == language).map(|(_, phrase)| *phrase).collect();
            assert!(phrases.len() > 10 && phrases.len() <= PHRASES_MAX, "{language}: {}", phrases.len());
            let mut once = phrases.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), phrases.len(), "{language}: one stands twice");
            let list = BackChannels::of(Some(language), &[]);
            for phrase in phrases {
                assert!(phrase.chars().count() <= PHRASE_MAX, "{language}: {phrase}");
                assert_eq!(list.judge(phrase), Remark::BackChannel, "{language}: {phrase}");
            }
        }
    }

    #[test]
    fn any_text_is_taken() {
        let list = BackChannels::default();
        for text in ["(((", "]", "\u{301}\u{301}", "🤷🏽", &"は".repeat(10_000), &"m".repeat(10_000), "a\u{0}b", "ﷺ", "İ"]
        {
            list.judge(text);
            list.judge_so_far(text);
        }
        let written: Vec<String> = list.clone().into();
        assert_eq!(BackChannels::from(written), list, "what is written in a journal is read as it was");
    }
}
