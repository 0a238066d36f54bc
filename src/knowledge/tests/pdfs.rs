//! PDFs, good and evil.

use lopdf::content::{Content, Operation};
use lopdf::{Document, Object, Stream, StringFormat, dictionary};

use super::*;

fn text(bytes: &[u8]) -> Object {
    Object::String(bytes.to_vec(), StringFormat::Literal)
}

fn op(name: &str, operands: Vec<Object>) -> Operation {
    Operation::new(name, operands)
}

/// Letters of a size at a height of the page.
fn line(size: i64, y: i64, words: &str) -> Vec<Operation> {
    let latin = words.chars().map(|c| c as u8).collect::<Vec<_>>();
    vec![
        op("BT", vec![]),
        op("Tf", vec!["F1".into(), size.into()]),
        op("Td", vec![72.into(), y.into()]),
        op("Tj", vec![text(&latin)]),
        op("ET", vec![]),
    ]
}

/// A PDF of these contents; what is changed of it before it is written.
fn of(contents: Vec<Vec<u8>>, change: impl FnOnce(&mut Document)) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let pages = document.new_object_id();
    let font = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding",
    });
    let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let kids: Vec<Object> = contents
        .into_iter()
        .map(|content| {
            let mut content = Stream::new(dictionary! {}, content);
            content.compress().unwrap();
            let content = document.add_object(content);
            let page =
                dictionary! { "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources };
            document.add_object(page).into()
        })
        .collect();
    let count = kids.len() as i64;
    document.objects.insert(pages, dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count }.into());
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    change(&mut document);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

fn content(operations: Vec<Operation>) -> Vec<u8> {
    Content { operations }.encode().unwrap()
}

pub(super) fn pages(words: &[&str]) -> Vec<u8> {
    of(words.iter().map(|words| content(line(12, 700, words))).collect(), |_| {})
}

#[test]
fn a_pdf_has_pages_headings_and_whole_words() {
    let mut first = line(24, 700, "House rules");
    first.extend(line(12, 660, "Guests of our house may bring their dogs; the Kündi-"));
    first.extend(line(12, 646, "gung is free until the day before."));
    first.extend(line(12, 600, "Another paragraph."));
    let spaced = vec![
        op("BT", vec![]),
        op("Tf", vec!["F1".into(), 12.into()]),
        op("Tm", [1, 0, 0, 1, 72, 700].map(Object::from).to_vec()),
        // Drawn closer together, further apart, and in pieces of one word.
        op(
            "TJ",
            vec![
                vec![text(b"Br"), 20.into(), text(b"eak"), (-30).into(), text(b"fast"), (-400).into(), text(b"from")]
                    .into(),
            ],
        ),
        op("T*", vec![]),
        op("TL", vec![14.into()]),
        op("'", vec![text(b"seven to ten.")]),
        op("ET", vec![]),
    ];
    let bytes = of(vec![content(first), content(spaced)], |document| {
        let info = document.add_object(dictionary! { "Title" => text(b"\xfe\xff\0H\0\xe4\0u\0s\0e\0r") });
        document.trailer.set("Info", info);
    });
    let reading = all(&bytes, "application/pdf");
    assert_eq!((reading.title.as_deref(), reading.pages), (Some("Häuser"), Some(2)));
    let found: Vec<_> = reading.passages.iter().map(|p| (p.page, p.heading.as_str(), p.text.as_str())).collect();
    let rules =
        "Guests of our house may bring their dogs; the Kündigung is free until the day before.\n\nAnother paragraph.";
    assert_eq!(found, [(Some(1), "House rules", rules), (Some(2), "House rules", "Breakfast from seven to ten.")]);
    // Other bytes before it are no part of it.
    assert_eq!(all(&[b"\r\n\r\n".as_slice(), &bytes].concat(), "").passages.len(), 2);
}

#[test]
fn text_in_drawings_is_read_and_drawings_in_themselves_end() {
    let bytes = of(vec![b"/X Do /X Do".to_vec()], |document| {
        let drawing = document.new_object_id();
        let font = dictionary! { "Type" => "Font", "Subtype" => "Type1", "Encoding" => "WinAnsiEncoding" };
        let inner = dictionary! {
            "Subtype" => "Form",
            "Resources" => dictionary! { "Font" => dictionary! { "F1" => font }, "XObject" => dictionary! { "X" => drawing } },
        };
        let words = [content(line(12, 700, "Drawn words.")), b" /X Do /X Do".to_vec()].concat();
        document.objects.insert(drawing, Stream::new(inner, words).into());
        let page = document.page_iter().next().unwrap();
        let page = document.get_object_mut(page).unwrap().as_dict_mut().unwrap();
        page.set("Resources", dictionary! { "XObject" => dictionary! { "X" => drawing } });
    });
    assert!(all(&bytes, "application/pdf").passages[0].text.starts_with("Drawn words."));
}

#[test]
fn pdfs_that_are_not_read_say_why() {
    let scanned = told(&of(vec![b"q 10 0 0 10 0 0 cm Q".to_vec(); 3], |_| {}), "application/pdf");
    assert_eq!(
        scanned,
        "There is no text in it: its pages are pictures, as of a scan. Have their text recognised first (OCR)."
    );
    let none = told(&of(vec![], |_| {}), "application/pdf");
    assert_eq!(none, "It is a PDF without pages, or damaged.");
    let many = of(vec![content(line(12, 700, "x")); MAX_PAGES + 1], |_| {});
    assert_eq!(told(&many, "application/pdf"), "It has more than 2000 pages.");
    let half = pages(&["Words."]);
    let cut = told(&half[..half.len() / 2], "application/pdf");
    assert!(cut.contains("damaged") || cut.contains("no text"), "{cut}");
}

#[test]
fn bombs_are_refused_in_words() {
    let huge = of(vec![vec![b' '; 64 << 20]], |_| {});
    assert!(huge.len() < 100_000, "{}", huge.len());
    let words = told(&huge, "application/pdf");
    assert_eq!(words, "One of its parts grows to more than 8 MB when it is unpacked.");
    // Pages that are each other's parents, and a tree of them without an end.
    let circle = of(vec![content(line(12, 700, "Round."))], |document| {
        let (pages, page) = (
            document.catalog().unwrap().get(b"Pages").unwrap().as_reference().unwrap(),
            document.page_iter().next().unwrap(),
        );
        let tree = document.get_object_mut(pages).unwrap().as_dict_mut().unwrap();
        tree.set("Kids", vec![Object::from(pages), page.into(), pages.into()]);
        document.get_object_mut(page).unwrap().as_dict_mut().unwrap().set("Parent", page);
    });
    let _ = read(&circle, "application/pdf");
    let nested = [b"%PDF-1.4\n1 0 obj\n".as_slice(), "[".repeat(2_000_000).as_bytes()].concat();
    assert!(read(&nested, "application/pdf").is_err());
    let looped =
        b"%PDF-1.4\nxref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1 /Prev 9 /Root 1 0 R>>\nstartxref\n9\n%%EOF";
    assert!(read(looped, "application/pdf").is_err());
}
