//! What comes out of documents, and in which order it is found.

mod pdfs;

use super::words::{Question, indexed};
use super::*;

fn all(bytes: &[u8], declared: &str) -> Reading {
    read(bytes, declared).unwrap_or_else(|error| panic!("{error}"))
}

fn told(bytes: &[u8], declared: &str) -> String {
    read(bytes, declared).expect_err("not read").0
}

fn shown(reading: &Reading) -> Vec<(String, String)> {
    reading.passages.iter().map(|passage| (passage.heading.clone(), passage.text.clone())).collect()
}

fn pair(heading: &str, text: &str) -> (String, String) {
    (heading.to_owned(), text.to_owned())
}

#[test]
fn sec_07_what_a_document_is_its_bytes_say() {
    let kinds: &[(&[u8], &str, Kind)] = &[
        (b"Plain words.", "application/octet-stream", Kind::Text),
        (b"# Title\n\nWords.", "text/markdown; charset=utf-8", Kind::Markdown),
        (b"# Title", "text/plain", Kind::Text),
        (b"<!-- made --><!DOCTYPE html><p>Words.", "text/plain", Kind::Html),
        (b"\xef\xbb\xbf<HTML><body>Words.", "text/markdown", Kind::Html),
        (b"<p>Words.", "text/html", Kind::Html),
    ];
    for (bytes, declared, kind) in kinds {
        assert_eq!(all(bytes, declared).kind, *kind, "{declared}");
    }
    assert_eq!(all(&pdfs::pages(&["Words."]), "text/plain").kind, Kind::Pdf);
    for (bytes, declared, words) in [
        (&b""[..], "text/plain", "It is empty."),
        (b" \n\t", "text/html", "It is empty."),
        (
            b"PK\x03\x04rest",
            "text/plain",
            "It is a ZIP archive, or a document of an office suite: what is read is text, Markdown, HTML and PDF.",
        ),
        (b"\x89PNG\r\n\x1a\n", "application/pdf", "It is a picture: what is read is text, Markdown, HTML and PDF."),
        (b"Words.", "application/pdf", "It is sent as a PDF, and is none."),
        (
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16],
            "text/plain",
            "It is not text: what is read is text, Markdown, HTML and PDF.",
        ),
        (b"<html><script>let a = 1;</script></html>", "text/html", "There is no text in it."),
        (b"%PDF-1.7\nnothing more", "application/pdf", "The PDF is damaged, or of a kind that is not read."),
    ] {
        assert_eq!(told(bytes, declared), words);
    }
}

#[test]
fn letters_are_read_whatever_they_are_written_in() {
    let utf_16 = |big: bool| {
        let text = "\u{feff}Öffnungszeiten für Gäste";
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect::<Vec<_>>()
    };
    for bytes in [utf_16(true), utf_16(false), "\u{feff}Öffnungszeiten für Gäste".as_bytes().to_vec()] {
        let reading = all(&bytes, "text/plain");
        assert_eq!((shown(&reading), reading.remarks), (vec![pair("", "Öffnungszeiten für Gäste")], vec![]));
    }
    let latin = all(b"\xd6ffnungszeiten f\xfcr G\xe4ste", "text/plain");
    assert_eq!(shown(&latin)[0].1, "Öffnungszeiten für Gäste");
    assert_eq!(latin.remarks, ["It is not UTF-8, and was read as Latin-1 (windows-1252)."]);
    assert_eq!(all(b"\xd6ffnung", "text/plain; charset=iso-8859-1").remarks, Vec::<String>::new());
    let meta = all(b"<html><meta charset='koi8-r'><p>\xf0\xd2\xc9\xd7\xc5\xd4", "text/html");
    assert_eq!(shown(&meta)[0].1, "Привет");
    let slip = all("Öffnungszeiten für Gäste \u{0}".replace('\u{0}', "").as_bytes(), "text/plain");
    assert_eq!(slip.remarks, Vec::<String>::new());
    let mut slip = "Öffnungszeiten für Gäste".as_bytes().to_vec();
    slip.push(0xff);
    let slip = all(&slip, "text/plain");
    assert_eq!((shown(&slip)[0].1.as_str(), slip.remarks.len()), ("Öffnungszeiten für Gäste", 1));
    assert_eq!(
        all("Kün\u{ad}digung\u{200b} und\r\nmehr".as_bytes(), "text/plain").passages[0].text,
        "Kündigung und\nmehr"
    );
}

#[test]
fn markdown_and_html_keep_their_headings_and_nothing_that_nobody_reads() {
    let markdown = "---\nauthor: x\n---\n# House rules\n\nWelcome *all* [guests](https://x.example).\n\n## Pets\n\n- Dogs: **yes**\n\
                    - Cats: no\n\n| Room | Price |\n|---|---|\n| Single | 90 |\n\n<div>Ask <b>us</b>.</div>\n\n## Empty\n\n## Times\n\n\
                    ```\nfrom  7\n```\n";
    let reading = all(markdown.as_bytes(), "text/markdown");
    assert_eq!(reading.title.as_deref(), Some("House rules"));
    assert_eq!(
        shown(&reading),
        [
            pair("House rules", "Welcome all guests."),
            pair("House rules > Pets", "- Dogs: yes\n\n- Cats: no\n\nRoom | Price\n\nSingle | 90\n\nAsk us."),
            pair("House rules > Empty", "Empty"),
            pair("House rules > Times", "from  7"),
        ]
    );
    let html = "<!doctype html><html><head><title>House &amp; rules</title><style>p { x }</style></head><body>\
                <nav><ul><li><a>Home</a></ul></nav><h1>House <em>rules</em></h1><p>Welcome\n   all<br>guests &lt;3.\
                <script>document.write('<p>no')</script><h2>Pets</h2><ul><li>Dogs<li>Cats</ul><table><tr><td>Single<td>90</tr>\
                </table><pre>  a\n  b</pre><img alt='The house'><svg><text>no</text></svg><nav><p>never closed<main><p>The end.";
    let reading = all(html.as_bytes(), "text/html");
    assert_eq!(reading.title.as_deref(), Some("House & rules"));
    assert_eq!(
        shown(&reading),
        [
            pair("House rules", "Welcome all\nguests <3."),
            pair("House rules > Pets", "- Dogs\n\n- Cats\n\nSingle90\n\n  a\n  b\n\nThe house\n\nThe end."),
        ]
    );
}

#[test]
fn deep_pages_of_the_web_cost_no_more_than_their_length() {
    let mut page = "<html>".to_owned();
    for tag in ["<div>", "<nav>", "<b><table>", "<svg>"] {
        page.push_str(&tag.repeat(50_000));
    }
    page.push_str("<main><p>In the depth.");
    assert_eq!(shown(&all(page.as_bytes(), "text/html")), [pair("", "In the depth.")]);
    let open = "<".repeat(300_000);
    assert!(read(open.as_bytes(), "text/html").is_ok_and(|reading| reading.passages.len() > 200));
}

#[test]
fn passages_are_bounded_overlap_and_lose_nothing() {
    let sentence = |n: usize| format!("Sentence number {n} says something of its own about rooms and prices. ");
    let long: String = (0..200).map(sentence).collect();
    let paragraphs: String = (0..60).map(|n| format!("{}\n\n", sentence(n).repeat(1 + n % 4))).collect();
    let endless = "x".repeat(5_000);
    let wide = "Zimmer ".repeat(2_000);
    for (text, numbers) in [(&long, 200), (&paragraphs, 60), (&endless, 0), (&wide, 0)] {
        let reading = all(text.as_bytes(), "text/plain");
        for passage in &reading.passages {
            assert!(passage.text.chars().count() <= 1_200, "{}", passage.text.len());
        }
        for n in 0..numbers {
            assert!(reading.passages.iter().any(|passage| passage.text.contains(sentence(n).trim())), "{n}");
        }
        let letters = |text: &str| text.chars().filter(|c| *c == 'x' || *c == 'Z').count();
        let kept: usize = reading.passages.iter().map(|passage| letters(&passage.text)).sum();
        assert!(kept >= letters(text));
    }
    let reading = all(long.as_bytes(), "text/plain");
    for two in reading.passages.windows(2) {
        let first: String = two[1].text.split_inclusive('.').next().unwrap().to_owned();
        assert!(two[0].text.contains(first.trim()), "overlap: {first}");
    }
    let short = all(b"One.\n\nTwo.", "text/plain");
    assert_eq!(shown(&short), [pair("", "One.\n\nTwo.")]);
}

#[test]
fn words_are_folded_as_people_write_them() {
    for (written, folded) in [
        ("Straße", "strasse"),
        ("MÜLLER Mueller Muller", "muller muller muller"),
        ("Æther Aether", "ather ather"),
        ("café naïve Ångström", "cafe naive angstrom"),
        ("Quelle Queue", "quelle queu"),
        ("e-mail: a.b@c.example, 12.50 €", "e mail a b c example 12 50"),
        ("Привет Ёлка", "привет елка"),
    ] {
        assert_eq!(indexed(written), folded, "{written}");
    }
}

#[test]
fn questions_are_words_and_nothing_else() {
    let question = Question::new("What are the Öffnungszeiten of \"rooms\" OR (title:* NEAR) -- '; DROP").unwrap();
    assert_eq!(question.for_sqlite(), "\"offnungszeit\"* OR \"room\"* OR \"titl\"* OR \"near\"* OR \"drop\"*");
    assert_eq!(question.for_postgres(), "'offnungszeit':* | 'room':* | 'titl':* | 'near':* | 'drop':*");
    assert_eq!(Question::new("the and").unwrap().for_sqlite(), "\"the\"* OR \"and\"*", "rather than nothing");
    assert_eq!(Question::new(" … !? \0"), None);
    let many: String = (0..500).map(|n| format!("word{n} ")).collect();
    assert!(Question::new(&many).unwrap().for_sqlite().len() < 400);
}

#[test]
fn what_says_more_of_the_question_comes_first() {
    let found = [
        ("", "Breakfast is from seven to ten."),
        ("Pets", "Dogs are welcome, for ten francs a night."),
        ("", "A night costs ninety francs. Prices for a night in August are higher; a night more is free."),
        ("Rechnung", "Ihre Rechnungsadresse ändern Sie bei uns."),
        ("", "Nothing of it."),
    ];
    let order = |question: &str| Question::new(question).unwrap().order(&found);
    assert_eq!(order("Can I bring my dog for a night?")[0], 1);
    assert_eq!(order("night")[0], 2);
    assert_eq!(order("Rechnungen"), [3]);
    assert_eq!(order("swimming pool"), Vec::<usize>::new());
}
