//! What channels of text have of their own: a website's widget, an internal chat.

use super::problem::Problem;
use super::reader::{Field, Table};
use super::types::{Colour, InternalChat, Look, Origin, Palette, Picture, Position, Preview, Size, Theme, Website};
use super::values::{self, MAX_LINE, MAX_NAME};
use super::world::World;

/// Keys of a website's deployment.
pub(super) const WEBSITE: [&str; 5] = ["origins", "suggestions", "look", "feedback", "link_previews"];
/// Keys of an internal chat.
pub(super) const INTERNAL: [&str; 2] = ["avatar", "show_tool_use"];

/// Reads the keys of a website's deployment.
pub(super) fn website(table: &mut Table<'_, '_>, world: &dyn World) -> Website {
    let origins = table.take("origins").map(|field| origins(&field)).unwrap_or_default();
    let suggestions = table
        .take("suggestions")
        .map(|field| field.list(MAX_SUGGESTIONS).iter().filter_map(|item| item.string(MAX_SUGGESTION)).collect());
    let mut look = table.table("look");
    let loading_animation = look.boolean("loading_animation", true);
    Website {
        origins,
        suggestions: suggestions.unwrap_or_default(),
        look: read_look(look, world),
        feedback: table.boolean("feedback", true),
        loading_animation,
        link_previews: table.take("link_previews").map(|field| domains(&field)).unwrap_or_default(),
    }
}

/// Reads the keys of an internal chat.
pub(super) fn internal(table: &mut Table<'_, '_>, world: &dyn World) -> InternalChat {
    InternalChat {
        avatar: table.take("avatar").and_then(|field| picture(&field, world)),
        show_tool_use: table.boolean("show_tool_use", true),
    }
}

/// Reads the first message, which may have several lines.
pub(super) fn welcome(table: &mut Table<'_, '_>) -> Option<String> {
    table.string("welcome", MAX_LINE)
}

fn read_look(mut table: Table<'_, '_>, world: &dyn World) -> Look {
    let sizes = [("s", Size::Small), ("m", Size::Medium), ("l", Size::Large)];
    let themes = [("light", Theme::Light), ("dark", Theme::Dark), ("auto", Theme::Auto)];
    let look = Look {
        title: table.string("title", MAX_TITLE),
        position: table.choice("position", Position::default(), &Position::ALL),
        size: table.choice("size", Size::default(), &sizes),
        theme: table.choice("theme", Theme::default(), &themes),
        colours: Palette {
            header_background: colour(&mut table, "header_background"),
            header_text: colour(&mut table, "header_text"),
            background: colour(&mut table, "background"),
            user_bubble: colour(&mut table, "user_bubble"),
            bot_bubble: colour(&mut table, "bot_bubble"),
        },
        logo: table.take("logo").and_then(|field| picture(&field, world)),
        preview: preview(table.table("preview")),
    };
    table.finish();
    look
}

fn preview(mut table: Table<'_, '_>) -> Option<Preview> {
    let place = table.place();
    let enabled = table.boolean("enabled", table.is_present());
    let message = table.string("message", MAX_PREVIEW);
    let (background, text) = (colour(&mut table, "background"), colour(&mut table, "text"));
    if enabled && message.is_none() {
        table.note(Problem::error(&place, "look.preview.message is missing: what the bubble says"));
    }
    table.finish();
    message.filter(|_| enabled).map(|message| Preview { message, background, text })
}

fn colour(table: &mut Table<'_, '_>, key: &'static str) -> Option<Colour> {
    let field = table.take(key)?;
    let text = field.string(MAX_NAME)?;
    let colour = text.parse().ok();
    if colour.is_none() {
        field.wrong_allowed("is no colour", "#rrggbb, such as \"#6366f1\"");
    }
    colour
}

fn origins(field: &Field<'_, '_>) -> Vec<Origin> {
    let mut origins: Vec<Origin> = Vec::new();
    for item in field.list(MAX_ORIGINS) {
        let Some(text) = item.string(MAX_NAME) else { continue };
        match origin(&text) {
            Some(origin) if origins.contains(&origin) => item.wrong("is named twice"),
            Some(origin) => origins.push(origin),
            None => item.wrong_allowed(
                format!("{text} is not a website address such as https://yourwebsite.com"),
                "https://site.com, https://*.site.com, *.site.com, http://localhost:3000",
            ),
        }
    }
    origins
}

/// Reads an origin; without a scheme it means https (C-13).
fn origin(text: &str) -> Option<Origin> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = scheme.to_ascii_lowercase();
    let (below, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
    if !["https", "http"].contains(&scheme.as_str()) || rest.contains('*') {
        return None;
    }
    // The parser knows what a host is, and writes it as browsers do.
    let url = reqwest::Url::parse(&format!("{scheme}://{rest}")).ok()?;
    let host = url.host_str()?.to_owned();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let named = host.contains('.') || host == "localhost" || host.starts_with('[');
    // All below an address or a whole top-level domain is nobody's.
    let wide = below && (url.domain().is_none() || !host.contains('.'));
    let origin = Origin { scheme, host, port: url.port(), below };
    (bare && named && !wide && url.password().is_none()).then_some(origin)
}

fn domains(field: &Field<'_, '_>) -> Vec<String> {
    let mut domains: Vec<String> = values::hosts(field).into_iter().map(|(domain, _)| domain).collect();
    domains.dedup();
    domains
}

/// Reads a picture's file.
fn picture(field: &Field<'_, '_>, world: &dyn World) -> Option<Picture> {
    let name = field.string(MAX_NAME)?;
    let bytes = match world.picture(&name, MAX_PICTURE_BYTES) {
        Ok(bytes) => bytes,
        Err(why) => {
            field.wrong_allowed(why, PICTURES);
            return None;
        }
    };
    let Some(kind) = kind(&bytes) else {
        field.wrong_allowed("is no picture that browsers show", PICTURES);
        return None;
    };
    Some(Picture { name, kind, bytes: bytes.into() })
}

/// By its content: names lie.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some("image/jpeg");
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some("image/webp");
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
    let svg = text.starts_with("<svg") || text.starts_with("<?xml") && text.contains("<svg");
    svg.then_some("image/svg+xml")
}

const PICTURES: &str = "a PNG, JPEG, WebP or SVG file of at most 512 kB";
const MAX_PICTURE_BYTES: u64 = 512 * 1_024;
const MAX_ORIGINS: usize = 100;
const MAX_SUGGESTIONS: usize = 6;
const MAX_SUGGESTION: usize = 80;
const MAX_TITLE: usize = 80;
const MAX_PREVIEW: usize = 200;
