//! A font of a PDF: which letters its bytes stand for, and how wide they are.

use lopdf::{Dictionary, Document, Encoding, Object};

/// What a list of letters may grow to.
const MAX_MAP_BYTES: usize = 4 << 20;
/// Widths that are looked at.
const MAX_WIDTHS: usize = 70_000;
/// The width of what none is said of, as a part of the height.
const USUAL: f32 = 0.5;

pub(super) struct Font<'a> {
    encoding: Option<Encoding<'a>>,
    /// By code, in thousandths of the height; 0: none is said.
    widths: Vec<u16>,
    otherwise: f32,
    /// Each code has two bytes.
    is_wide: bool,
}

impl<'a> Font<'a> {
    pub(super) fn read(document: &'a Document, font: &'a Dictionary) -> Result<Font<'a>, lopdf::Error> {
        let encoding = match font.get_font_encoding_with_limit(document, MAX_MAP_BYTES) {
            Ok(encoding) => Some(encoding),
            Err(error @ lopdf::Error::Decompress(_)) => return Err(error),
            Err(_) => None,
        };
        let is_wide = font.get(b"Subtype").and_then(Object::as_name).is_ok_and(|kind| kind == b"Type0");
        let mut read = Font { encoding, widths: Vec::new(), otherwise: USUAL, is_wide };
        if is_wide {
            read.wide(document, font);
        } else {
            let first = font.get(b"FirstChar").and_then(Object::as_i64).unwrap_or_default().clamp(0, 255) as usize;
            let widths = list(document, font, b"Widths").iter().take(256);
            read.widths.resize(first, 0);
            read.widths.extend(widths.map(|width| thousandths(document, width)));
        }
        Ok(read)
    }

    /// `[ first [ width … ] first last width … ]`.
    fn wide(&mut self, document: &Document, font: &Dictionary) {
        let Some(inner) = list(document, font, b"DescendantFonts").first() else { return };
        let Ok((_, inner)) = document.dereference(inner) else { return };
        let Ok(inner) = inner.as_dict() else { return };
        let otherwise = inner.get(b"DW").and_then(Object::as_float);
        self.otherwise = otherwise.map_or(1.0, |width| width / 1_000.0);
        let mut all = list(document, inner, b"W").iter();
        while let (Some(first), Some(next)) = (all.next(), all.next()) {
            let first = first.as_i64().unwrap_or_default().clamp(0, 65_535) as usize;
            if let Ok((_, Object::Array(widths))) = document.dereference(next) {
                for (at, width) in widths.iter().take(MAX_WIDTHS).enumerate() {
                    self.set(first + at, thousandths(document, width));
                }
            } else {
                let last = next.as_i64().unwrap_or_default().clamp(0, 65_535) as usize;
                let Some(width) = all.next().map(|width| thousandths(document, width)) else { return };
                (first..=last).for_each(|at| self.set(at, width));
            }
        }
    }

    fn set(&mut self, code: usize, width: u16) {
        if code < 65_536 {
            if self.widths.len() <= code {
                self.widths.resize(code + 1, 0);
            }
            self.widths[code] = width;
        }
    }

    pub(super) fn text(&self, bytes: &[u8]) -> String {
        let text = self.encoding.as_ref().and_then(|encoding| Document::decode_text(encoding, bytes).ok());
        text.unwrap_or_default()
    }

    /// Of these bytes, as a part of the height.
    pub(super) fn width(&self, bytes: &[u8]) -> f32 {
        let of = |code: usize| match self.widths.get(code) {
            Some(width) if *width > 0 => f32::from(*width) / 1_000.0,
            _ => self.otherwise,
        };
        if self.is_wide {
            bytes.chunks(2).map(|two| of(two.iter().fold(0, |code, byte| code << 8 | usize::from(*byte)))).sum()
        } else {
            bytes.iter().map(|byte| of(usize::from(*byte))).sum()
        }
    }
}

fn list<'a>(document: &'a Document, of: &'a Dictionary, key: &[u8]) -> &'a [Object] {
    let found = of.get(key).and_then(|object| document.dereference(object));
    found.ok().and_then(|(_, object)| object.as_array().ok()).map_or(&[], Vec::as_slice)
}

fn thousandths(document: &Document, width: &Object) -> u16 {
    let width = document.dereference(width).ok().and_then(|(_, width)| width.as_float().ok());
    width.unwrap_or_default().clamp(0.0, 10_000.0) as u16
}
