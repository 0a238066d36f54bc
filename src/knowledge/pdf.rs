//! PDF: the words of its pages, in the order in which they are painted, with headings where letters are larger.
//!
//! Words are put together by where letters stand: a gap of a fifth of a letter's height is a space, another height a new line.
//! How deep objects may nest and what one stream may grow to is bounded by the library; pages and letters are here. What an
//! evil file costs beside that is bounded by whoever reads it.

mod font;

use std::collections::{BTreeMap, HashMap};

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, LoadOptions, Object, ObjectId};

use self::font::Font;
use super::letters::{clean, one_line};
use super::{Block, Found, MAX_CHARACTERS, MAX_PAGES, Unreadable};

/// What one stream may grow to: of objects, and of a page.
const MAX_OBJECTS_BYTES: usize = 32 << 20;
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Drawings within drawings, which have text in some PDFs, and how many of a page are looked into.
const MAX_DEPTH: usize = 4;
const MAX_DRAWINGS: usize = 500;
/// A space, as a part of the letters' height, and another line.
const SPACE: f32 = 0.18;
const LINE: f32 = 0.35;
/// Lines that are so many heights apart are of two paragraphs.
const PARAGRAPH: f32 = 1.75;
/// A heading's letters are that much larger than most, and it is no longer than this.
const LARGER: f32 = 1.15;
const MUCH_LARGER: f32 = 1.5;
const HEADING_CHARS: usize = 120;

pub(super) fn blocks(bytes: &[u8]) -> Result<Found, Unreadable> {
    // What comes before is no part of it, and its places count from here.
    let begin = bytes.windows(5).position(|five| five == b"%PDF-").unwrap_or_default();
    let options = LoadOptions::with_max_decompressed_size(MAX_OBJECTS_BYTES);
    let document = Document::load_mem_with_options(&bytes[begin..], options).map_err(|error| no(&error))?;
    if document.is_encrypted() {
        return Err(locked());
    }
    let pages: Vec<ObjectId> = document.page_iter().take(MAX_PAGES + 1).collect();
    if pages.is_empty() {
        return Err(Unreadable("It is a PDF without pages, or damaged.".to_owned()));
    }
    if pages.len() > MAX_PAGES {
        return Err(Unreadable(format!("It has more than {MAX_PAGES} pages.")));
    }
    let mut lines = Vec::new();
    let (mut characters, mut failed) = (0, None);
    for (at, page) in pages.iter().enumerate() {
        let of_page = match page_lines(&document, *page) {
            Ok(lines) => lines,
            Err(error) => {
                failed.get_or_insert_with(|| no(&error));
                continue;
            }
        };
        characters += of_page.iter().map(|line| line.text.chars().count()).sum::<usize>();
        if characters > MAX_CHARACTERS {
            return Err(Unreadable(format!("It has more than {MAX_CHARACTERS} characters of text.")));
        }
        lines.push((u32::try_from(at + 1).unwrap_or(u32::MAX), of_page));
    }
    if characters == 0 {
        let scanned =
            "There is no text in it: its pages are pictures, as of a scan. Have their text recognised first (OCR).";
        return Err(failed.unwrap_or_else(|| Unreadable(scanned.to_owned())));
    }
    if let Some(failed) = failed {
        // A part of a document that looks like all of it answers wrongly.
        return Err(Unreadable(format!("One of its pages cannot be read. {failed}")));
    }
    Ok(Found { title: title(&document), pages: u32::try_from(pages.len()).ok(), blocks: together(&lines) })
}

fn locked() -> Unreadable {
    Unreadable("It is locked with a password.".to_owned())
}

fn no(error: &lopdf::Error) -> Unreadable {
    match error {
        lopdf::Error::Decompress(lopdf::DecompressError::MemoryLimitExceeded { limit }) => {
            Unreadable(format!("One of its parts grows to more than {} MB when it is unpacked.", limit >> 20))
        }
        lopdf::Error::Decryption(_) | lopdf::Error::InvalidPassword => locked(),
        _ => Unreadable("The PDF is damaged, or of a kind that is not read.".to_owned()),
    }
}

/// What it calls itself.
fn title(document: &Document) -> Option<String> {
    let info = document.trailer.get(b"Info").ok()?;
    let (_, info) = document.dereference(info).ok()?;
    let title = lopdf::decode_text_string(info.as_dict().ok()?.get(b"Title").ok()?).ok()?;
    Some(one_line(&clean(&title))).filter(|title| !title.is_empty())
}

/// A line of a page.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// The letters' height.
    size: f32,
    y: f32,
}

fn page_lines(document: &Document, page: ObjectId) -> Result<Vec<Line>, lopdf::Error> {
    let mut fonts = HashMap::new();
    for (name, font) in document.get_page_fonts(page)? {
        fonts.insert(name, Font::read(document, font)?);
    }
    let content = document.get_page_content_with_limit(page, MAX_PAGE_BYTES)?;
    let mut painter = Painter { document, lines: Vec::new(), drawings: MAX_DRAWINGS, end: None };
    let (own, others) = document.get_page_resources(page)?;
    let mut drawings = BTreeMap::new();
    let others = others.into_iter().filter_map(|id| document.get_dictionary(id).ok());
    for resources in own.into_iter().chain(others) {
        drawings.extend(named(document, resources, b"XObject"));
    }
    painter.paint(&Content::decode(&content)?.operations, &fonts, &drawings, 0)?;
    painter.lines.retain(|line| !line.text.trim().is_empty());
    Ok(painter.lines)
}

/// What `resources` call by names, of one kind.
fn named<'a>(document: &'a Document, resources: &'a Dictionary, kind: &[u8]) -> BTreeMap<Vec<u8>, &'a Object> {
    let of_kind = resources.get(kind).and_then(|object| document.dereference(object));
    let Some(of_kind) = of_kind.ok().and_then(|(_, object)| object.as_dict().ok()) else { return BTreeMap::new() };
    let known = of_kind.iter().filter_map(|(name, object)| Some((name.clone(), document.dereference(object).ok()?.1)));
    known.collect()
}

struct Painter<'a> {
    document: &'a Document,
    lines: Vec<Line>,
    /// How many more are looked into.
    drawings: usize,
    /// Where the last letter ended.
    end: Option<(f32, f32)>,
}

/// Where letters are set.
#[derive(Clone, Copy)]
struct At {
    /// Scale and place of the text's own axes on the page: as far as it stands upright.
    scale: f32,
    x: f32,
    y: f32,
    /// Where the line began.
    line: (f32, f32),
}

const ORIGIN: At = At { scale: 1.0, x: 0.0, y: 0.0, line: (0.0, 0.0) };

impl Painter<'_> {
    fn paint(
        &mut self,
        operations: &[Operation],
        fonts: &HashMap<Vec<u8>, Font<'_>>,
        drawings: &BTreeMap<Vec<u8>, &Object>,
        depth: usize,
    ) -> Result<(), lopdf::Error> {
        let (mut at, mut font, mut size, mut leading) = (ORIGIN, None, 1.0_f32, 0.0_f32);
        for Operation { operator, operands } in operations {
            let number = |n: usize| operands.get(n).and_then(|value| value.as_float().ok()).unwrap_or_default();
            match operator.as_str() {
                "BT" => at = ORIGIN,
                "Tf" => {
                    font = operands.first().and_then(|name| name.as_name().ok()).and_then(|name| fonts.get(name));
                    size = number(1).abs().clamp(0.01, 10_000.0);
                }
                "TL" => leading = number(0),
                "Tm" => {
                    let scale = number(0).hypot(number(1)).clamp(0.0001, 10_000.0);
                    at = At { scale, x: number(4), y: number(5), line: (number(4), number(5)) };
                }
                "Td" => at = at.moved(number(0), number(1)),
                "TD" => {
                    leading = -number(1);
                    at = at.moved(number(0), number(1));
                }
                "T*" => at = at.moved(0.0, -leading),
                "Tj" | "TJ" | "'" | "\"" => {
                    if matches!(operator.as_str(), "'" | "\"") {
                        at = at.moved(0.0, -leading);
                    }
                    let shown = if operator == "\"" { operands.get(2) } else { operands.first() };
                    if let (Some(font), Some(shown)) = (font, shown) {
                        self.show(font, size, &mut at, shown);
                    }
                }
                "Do" if depth < MAX_DEPTH && self.drawings > 0 => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    if let Some(drawing) = name.and_then(|name| drawings.get(name)) {
                        self.drawings -= 1;
                        self.draw(drawing, fonts, depth)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn draw(&mut self, drawing: &Object, fonts: &HashMap<Vec<u8>, Font<'_>>, depth: usize) -> Result<(), lopdf::Error> {
        let document = self.document;
        let Ok(stream) = drawing.as_stream() else { return Ok(()) };
        if stream.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|kind| kind != b"Form") {
            return Ok(());
        }
        let content = Content::decode(&stream.get_plain_content_with_limit(MAX_PAGE_BYTES)?)?;
        let resources = stream.dict.get(b"Resources").and_then(|object| document.dereference(object));
        let Some(resources) = resources.ok().and_then(|(_, object)| object.as_dict().ok()) else {
            // It has the page's.
            return self.paint(&content.operations, fonts, &BTreeMap::new(), depth + 1);
        };
        let mut own = HashMap::new();
        for (name, font) in named(document, resources, b"Font") {
            if let Ok(font) = font.as_dict() {
                own.insert(name, Font::read(document, font)?);
            }
        }
        self.paint(&content.operations, &own, &named(document, resources, b"XObject"), depth + 1)
    }

    fn show(&mut self, font: &Font<'_>, size: f32, at: &mut At, shown: &Object) {
        match shown {
            Object::String(bytes, _) => self.letters(font, size, at, bytes),
            Object::Array(parts) => {
                for part in parts {
                    match part {
                        Object::String(bytes, _) => self.letters(font, size, at, bytes),
                        part => at.x -= part.as_float().unwrap_or_default() / 1_000.0 * size * at.scale,
                    }
                }
            }
            _ => {}
        }
    }

    fn letters(&mut self, font: &Font<'_>, size: f32, at: &mut At, bytes: &[u8]) {
        let text = font.text(bytes);
        let height = size * at.scale;
        let gap = self.end.map(|(x, y)| (at.x - x, at.y - y));
        let is_new = gap.is_none_or(|(across, down)| down.abs() > LINE * height || across < -4.0 * height);
        match self.lines.last_mut().filter(|_| !is_new) {
            Some(line) => {
                let parted = gap.is_some_and(|(across, _)| across > SPACE * height);
                if parted && !line.text.ends_with(' ') && !text.starts_with(' ') {
                    line.text.push(' ');
                }
                line.text.push_str(&text);
                line.size = line.size.max(height);
            }
            None => self.lines.push(Line { text, size: height, y: at.y }),
        }
        at.x += font.width(bytes) * height;
        self.end = Some((at.x, at.y));
    }
}

impl At {
    fn moved(self, x: f32, y: f32) -> At {
        let line = (self.line.0 + x * self.scale, self.line.1 + y * self.scale);
        At { x: line.0, y: line.1, line, ..self }
    }
}

/// Lines as headings and paragraphs.
fn together(pages: &[(u32, Vec<Line>)]) -> Vec<Block> {
    let usual = usual(pages);
    let mut blocks = Vec::new();
    for (number, lines) in pages {
        blocks.push(Block::Page(*number));
        let mut paragraph = Paragraph::default();
        for line in lines {
            let text = one_line(&clean(&line.text));
            let is_heading = line.size > LARGER * usual && text.chars().count() <= HEADING_CHARS;
            let is_heading = is_heading && text.chars().any(char::is_alphabetic);
            let apart = (paragraph.y - line.y).abs() > PARAGRAPH * line.size;
            if is_heading != paragraph.is_heading || apart || (is_heading && (line.size - paragraph.size).abs() > 0.5) {
                paragraph.end(&mut blocks, usual);
            }
            paragraph.take(&text, line, is_heading);
        }
        paragraph.end(&mut blocks, usual);
    }
    blocks
}

#[derive(Default)]
struct Paragraph {
    text: String,
    is_heading: bool,
    size: f32,
    y: f32,
}

impl Paragraph {
    fn take(&mut self, text: &str, line: &Line, is_heading: bool) {
        let goes_on = text.chars().next().is_some_and(char::is_lowercase);
        let before = self.text.strip_suffix('-').filter(|before| before.ends_with(char::is_lowercase));
        match before {
            // A word that was divided.
            Some(before) if goes_on => self.text.truncate(before.len()),
            _ if !self.text.is_empty() => self.text.push(' '),
            _ => {}
        }
        self.text.push_str(text);
        (self.is_heading, self.size, self.y) = (is_heading, line.size, line.y);
    }

    fn end(&mut self, blocks: &mut Vec<Block>, usual: f32) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        let level = if self.size > MUCH_LARGER * usual { 1 } else { 2 };
        blocks.push(if self.is_heading { Block::Heading(level, text) } else { Block::Text(text) });
    }
}

/// The height that most letters have.
fn usual(pages: &[(u32, Vec<Line>)]) -> f32 {
    let mut letters: BTreeMap<u32, usize> = BTreeMap::new();
    for line in pages.iter().flat_map(|(_, lines)| lines) {
        // In tenths.
        *letters.entry((line.size * 10.0).clamp(0.0, 1e6) as u32).or_default() += line.text.len();
    }
    letters.into_iter().max_by_key(|(_, count)| *count).map_or(1.0, |(size, _)| size as f32 / 10.0)
}
