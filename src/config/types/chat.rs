//! Channels of text: what a website's widget and an internal chat are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{AfterCall, AgentStanding, Destination, Fetch, HttpTool, Standing, TextModel, Tool};
use crate::base::template::Variables;

/// An agent as it is on every channel, without what only a call has.
#[derive(Clone, Debug)]
pub struct Persona {
    /// Its name, and whether it may be met.
    pub standing: AgentStanding,
    /// The model's system prompt; a template of the conversation's variables.
    pub instructions: String,
    /// Language of the conversation (ISO 639-1). `None`: whichever is spoken.
    pub language: Option<String>,
    /// The model of its chats that name none.
    pub text_model: Option<Arc<TextModel>>,
    /// Defaults of the variables that the document declares, by full name.
    pub variables: Variables,
    /// Tools the agent may use; which of them make sense in a chat is for the chat to say.
    pub tools: Arc<[Tool]>,
    /// Where it may put callers through to.
    pub destinations: Arc<[Destination]>,
    /// What stands behind the tools that are asked of other servers, by the tool's name. Holds secrets.
    pub http_tools: BTreeMap<String, Arc<HttpTool>>,
    /// What is fetched of whoever comes.
    pub fetch: Option<Arc<Fetch>>,
    /// What is done once a conversation is over.
    pub after: Arc<AfterCall>,
}

/// A deployment on a channel of text.
#[derive(Clone, Debug)]
pub struct ChatDeployment {
    /// What every deployment has.
    pub standing: Standing,
    /// Who answers.
    pub persona: Arc<Persona>,
    /// Which model runs it.
    pub model: Arc<TextModel>,
    /// Who is asked when that one fails.
    pub backup: Option<Arc<TextModel>>,
    /// The first message; `None`: none.
    pub welcome: Option<String>,
    /// What the channel has of its own.
    pub settings: ChatSettings,
}

/// What a channel of text has of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatSettings {
    /// A website's widget.
    Website(Box<Website>),
    /// A chat for members.
    Internal(InternalChat),
}

/// A website's widget (WEB-02).
#[derive(Clone, Debug, PartialEq)]
pub struct Website {
    /// Where it may be embedded (EMB-03); empty: nowhere.
    pub origins: Vec<Origin>,
    /// Messages that a click sends: at most 6 of at most 80 characters.
    pub suggestions: Vec<String>,
    /// How it looks.
    pub look: Look,
    /// Whether visitors can say of an answer that it was good or bad.
    pub feedback: bool,
    /// Whether something moves while an answer is awaited.
    pub loading_animation: bool,
    /// Domains whose links are shown as previews (WEB-03); empty: none are.
    pub link_previews: Vec<String>,
}

/// A chat for members (INT-02).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalChat {
    /// Shown round, beside each answer.
    pub avatar: Option<Picture>,
    /// Whether members see which tools run.
    pub show_tool_use: bool,
}

/// How a widget looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The header's text; `None`: the agent's name.
    pub title: Option<String>,
    /// Where the bubble is.
    pub position: Position,
    /// How large the open chat is.
    pub size: Size,
    /// Which palette it starts from.
    pub theme: Theme,
    /// Colours that are said; the others are the theme's, see [`Look::palette`].
    pub colours: Palette<Option<Colour>>,
    /// In the header.
    pub logo: Option<Picture>,
    /// A message beside the closed bubble.
    pub preview: Option<Preview>,
}

impl Look {
    /// All colours, those of the dark theme where none is said and it is `dark`. [`Theme::Auto`] is for the browser to tell.
    pub fn palette(&self, dark: bool) -> Palette<Colour> {
        let theme = if dark { Palette::DARK } else { Palette::LIGHT };
        Palette {
            header_background: self.colours.header_background.unwrap_or(theme.header_background),
            header_text: self.colours.header_text.unwrap_or(theme.header_text),
            background: self.colours.background.unwrap_or(theme.background),
            user_bubble: self.colours.user_bubble.unwrap_or(theme.user_bubble),
            bot_bubble: self.colours.bot_bubble.unwrap_or(theme.bot_bubble),
        }
    }
}

/// Colours of a widget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette<T> {
    /// Behind the title.
    pub header_background: T,
    /// The title.
    pub header_text: T,
    /// Behind the messages.
    pub background: T,
    /// Behind the visitor's messages.
    pub user_bubble: T,
    /// Behind the agent's.
    pub bot_bubble: T,
}

impl Palette<Colour> {
    /// The defaults.
    pub const LIGHT: Palette<Colour> = Palette {
        header_background: Colour([0x63, 0x66, 0xf1]),
        header_text: Colour([0xff, 0xff, 0xff]),
        background: Colour([0xff, 0xff, 0xff]),
        user_bubble: Colour([0x63, 0x66, 0xf1]),
        bot_bubble: Colour([0xf3, 0xf4, 0xf6]),
    };
    /// The same accent on a dark ground.
    pub const DARK: Palette<Colour> = Palette {
        header_background: Colour([0x43, 0x38, 0xca]),
        header_text: Colour([0xff, 0xff, 0xff]),
        background: Colour([0x11, 0x18, 0x27]),
        user_bubble: Colour([0x63, 0x66, 0xf1]),
        bot_bubble: Colour([0x1f, 0x29, 0x37]),
    };
}

/// Red, green and blue. Reads and displays as `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Colour([r, g, b]) = self;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl FromStr for Colour {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = u32::from_str_radix(hex.ok_or(())?, 16).map_err(drop)?;
        let [_, r, g, b] = value.to_be_bytes();
        Ok(Colour([r, g, b]))
    }
}

/// A corner of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are
pub enum Position {
    #[default]
    BottomRight,
    BottomLeft,
    TopRight,
    TopLeft,
}

impl Position {
    /// All of them by name; `right` and `left` are read as the bottom ones (C-14).
    pub const ALL: [(&'static str, Position); 6] = [
        ("bottom-right", Position::BottomRight),
        ("bottom-left", Position::BottomLeft),
        ("top-right", Position::TopRight),
        ("top-left", Position::TopLeft),
        ("right", Position::BottomRight),
        ("left", Position::BottomLeft),
    ];
}

/// How large the open chat is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are
pub enum Size {
    Small,
    #[default]
    Medium,
    Large,
}

/// Which palette a widget starts from (C-15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// [`Palette::LIGHT`].
    #[default]
    Light,
    /// [`Palette::DARK`].
    Dark,
    /// Whichever the visitor's browser prefers.
    Auto,
}

/// A message beside the closed bubble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// At most 200 characters.
    pub message: String,
    /// `None`: the theme's background.
    pub background: Option<Colour>,
    /// `None`: black or white, whichever can be read.
    pub text: Option<Colour>,
}

/// Who may embed a widget: an origin, or all below a domain (C-13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `https` or `http`.
    pub scheme: String,
    /// In lower case and ASCII; without `*.`.
    pub host: String,
    /// `None`: the scheme's.
    pub port: Option<u16>,
    /// Whether one or more labels stand before `host`, and none do not.
    pub below: bool,
}

impl Origin {
    /// Whether a browser's `Origin` header names it.
    pub fn is(&self, header: &str) -> bool {
        let Some((scheme, rest)) = header.split_once("://") else { return false };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                let Ok(port) = port.parse::<u16>() else { return false };
                (host, Some(port))
            }
            _ => (rest, None),
        };
        let usual = |port: Option<u16>| port.unwrap_or(if self.scheme == "http" { 80 } else { 443 });
        let host = host.to_ascii_lowercase();
        let fits = match self.below {
            true => host.strip_suffix(&self.host).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.')),
            false => host == self.host,
        };
        scheme.eq_ignore_ascii_case(&self.scheme) && usual(port) == usual(self.port) && fits
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { scheme, host, port, below } = self;
        write!(f, "{scheme}://{}{host}", if *below { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A picture of at most 512 kB.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file it came from, for people.
    pub name: String,
    /// `image/png`, `image/jpeg`, `image/webp` or `image/svg+xml`, by its content. An SVG is shown as a picture only, never
    /// as a document of its own: it may hold scripts.
    pub kind: &'static str,
    /// The file.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({}, {}, {} bytes)", self.name, self.kind, self.bytes.len())
    }
}
