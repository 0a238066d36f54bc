//! HTML: what people read of a page. Its tokens are enough, and are as deep as nothing: no tree is made that a page of a
//! million open tags could fill the memory with.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};

use super::letters::{clean, one_line};
use super::{Block, Found};

/// What begins and ends a paragraph.
const PARTS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
/// What nobody reads: ways to other pages, and what is drawn.
const SKIPPED: &[&str] = &["nav", "svg", "math", "template", "canvas", "object"];
/// What is never within something that is skipped: its end was forgotten.
const NEVER_WITHIN: &[&str] = &["main", "article", "h1"];

pub(super) fn blocks(text: &str) -> Found {
    let tokenizer = Tokenizer::new(Sink(RefCell::default()), TokenizerOpts::default());
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(text));
    // A script is nothing to wait for here: what follows it is fed.
    while !matches!(tokenizer.feed(&queue), html5ever::TokenizerResult::Done) {}
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    page.end_part();
    let title = Some(one_line(&page.title)).filter(|title| !title.is_empty());
    Found { title, blocks: page.blocks, ..Found::default() }
}

struct Sink(RefCell<Page>);

#[derive(Default)]
struct Page {
    title: String,
    blocks: Vec<Block>,
    text: String,
    heading: Option<u8>,
    in_title: bool,
    /// What is skipped, and how often it is open.
    skips: Option<(&'static str, usize)>,
    /// Until the end of this.
    raw: bool,
    pre: usize,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return page.tag(&tag),
            Token::CharacterTokens(text) => page.text(&text),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

impl Page {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        let begins = tag.kind == TagKind::StartTag;
        let raw = match name {
            "script" => Some(RawKind::ScriptData),
            "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp" => Some(RawKind::Rawtext),
            "title" | "textarea" => Some(RawKind::Rcdata),
            _ => None,
        };
        if let Some(raw) = raw {
            self.in_title = begins && name == "title" && self.title.is_empty() && self.skips.is_none();
            self.raw = begins && !self.in_title;
            return if begins { TokenSinkResult::RawData(raw) } else { TokenSinkResult::Continue };
        }
        if let Some((skipped, open)) = self.skips {
            let depth = match (skipped == name, begins && !tag.self_closing) {
                (true, true) => open + 1,
                (true, false) => open - 1,
                _ => open,
            };
            self.skips = (depth > 0 && !NEVER_WITHIN.contains(&name)).then_some((skipped, depth));
            if self.skips.is_some() || skipped == name {
                return TokenSinkResult::Continue;
            }
        } else if begins
            && !tag.self_closing
            && let Some(skipped) = SKIPPED.iter().find(|skipped| **skipped == name)
        {
            self.end_part();
            self.skips = Some((skipped, 1));
            return TokenSinkResult::Continue;
        }
        self.seen(tag, name, begins);
        TokenSinkResult::Continue
    }

    fn seen(&mut self, tag: &Tag, name: &str, begins: bool) {
        let level = name.strip_prefix('h').and_then(|n| n.parse::<u8>().ok()).filter(|n| (1..=6).contains(n));
        if let Some(level) = level {
            self.end_part();
            self.heading = begins.then_some(level);
        } else if PARTS.contains(&name) {
            self.end_part();
            match name {
                "pre" if begins => self.pre += 1,
                "pre" => self.pre = self.pre.saturating_sub(1),
                "li" if begins => self.text.push_str("- "),
                _ => {}
            }
        }
        match name {
            "br" => self.text.push('\n'),
            "td" | "th" if !begins => self.text.push_str(" | "),
            "img" if begins => {
                let alt = tag.attrs.iter().find(|attribute| &*attribute.name.local == "alt");
                if let Some(alt) = alt.filter(|alt| !alt.value.trim().is_empty()) {
                    self.text.push_str(&format!(" {} ", one_line(&alt.value)));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_title {
            self.title.push_str(text);
        } else if !self.raw && self.skips.is_none() {
            if self.pre > 0 {
                self.text.push_str(text);
            } else {
                self.text.extend(text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
            }
        }
    }

    fn end_part(&mut self) {
        let text = clean(&std::mem::take(&mut self.text));
        if let Some(level) = self.heading.take() {
            let text = one_line(&text);
            if !text.is_empty() {
                self.blocks.push(Block::Heading(level, text));
            }
            return;
        }
        let lines = text.lines().map(|line| if self.pre > 0 { line.trim_end().to_owned() } else { one_line(line) });
        let text = lines.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n");
        let text = text.trim_end_matches(" |");
        if !text.trim_matches(['-', '|', ' ']).is_empty() {
            self.blocks.push(Block::Text(text.to_owned()));
        }
    }
}
