//! Markdown: what is read aloud of it, without its marks.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::letters::one_line;
use super::{Block, Found, html};

pub(super) fn blocks(text: &str) -> Found {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut page = Page::default();
    for event in Parser::new_ext(text, options) {
        page.take(event);
    }
    page.paragraph();
    let title = page.blocks.iter().find_map(|block| match block {
        Block::Heading(1, title) => Some(title.clone()),
        _ => None,
    });
    Found { title, blocks: page.blocks, ..Found::default() }
}

#[derive(Default)]
struct Page {
    blocks: Vec<Block>,
    text: String,
    /// Lines keep their ends.
    code: bool,
    /// Between metadata's fences.
    hidden: bool,
    raw: String,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::MetadataBlock(_)) => self.hidden = true,
            Event::End(TagEnd::MetadataBlock(_)) => self.hidden = false,
            _ if self.hidden => {}
            Event::Start(Tag::Heading { .. } | Tag::Paragraph | Tag::Table(_)) if self.text != "- " => self.paragraph(),
            Event::Start(Tag::CodeBlock(_)) => {
                self.paragraph();
                self.code = true;
            }
            Event::Start(Tag::Item) => {
                self.paragraph();
                self.text.push_str("- ");
            }
            Event::End(TagEnd::Heading(level)) => {
                let text = one_line(&std::mem::take(&mut self.text));
                if !text.is_empty() {
                    self.blocks.push(Block::Heading(number(level), text));
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                self.paragraph();
                self.code = false;
            }
            Event::End(TagEnd::TableCell) => self.text.push_str(" | "),
            Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead) => self.paragraph(),
            Event::Text(text) | Event::Code(text) => self.text.push_str(&text),
            Event::SoftBreak => self.text.push(' '),
            Event::HardBreak => self.text.push('\n'),
            Event::Html(part) => self.raw.push_str(&part),
            Event::End(TagEnd::HtmlBlock) => {
                let found = html::blocks(&std::mem::take(&mut self.raw));
                self.paragraph();
                self.blocks.extend(found.blocks);
            }
            _ => {}
        }
    }

    fn paragraph(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim().trim_end_matches(" |").trim_end();
        if !matches!(text, "" | "-") {
            self.blocks.push(Block::Text(text.to_owned()));
        }
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
