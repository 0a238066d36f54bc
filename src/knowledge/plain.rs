//! Text without marks: paragraphs are what empty lines part.

use super::{Block, Found};

pub(super) fn blocks(text: &str) -> Found {
    let mut blocks = Vec::new();
    let mut paragraph: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        let line = line.trim_end();
        if line.trim().is_empty() {
            if !paragraph.is_empty() {
                blocks.push(Block::Text(paragraph.join("\n")));
                paragraph.clear();
            }
        } else {
            paragraph.push(line);
        }
    }
    Found { blocks, ..Found::default() }
}
