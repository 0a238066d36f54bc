//! Shapes that several documents share: secrets, sounds, numbers, URLs.

use reqwest::Url;

use super::problem::{Place, Problem};
use super::reader::{Field, Kept, Table};
use super::sound;
use super::types::{Secret, Sound};
use super::world::World;

/// Longest spoken line in a document.
pub(super) const MAX_LINE: usize = 2_000;
/// Longest name, path or URL.
pub(super) const MAX_NAME: usize = 1_024;

/// Where a secret is kept; read only when it is needed.
#[derive(Clone, Debug)]
pub(super) struct SecretRef {
    kept: Kept,
    place: Place,
}

impl SecretRef {
    /// `{ env = "NAME" }` or `{ file = "path" }`.
    pub(super) fn read(field: Field<'_, '_>) -> Option<Self> {
        SecretRef::read_keys(field, false, SECRET_SHAPES).map(|(_, secret)| secret)
    }

    /// The same in an agent's document, where it may be `{ secret = "NAME" }` too.
    pub(super) fn read_named(field: Field<'_, '_>) -> Option<Self> {
        SecretRef::read_keys(field, false, NAMED_SHAPES).map(|(_, secret)| secret)
    }

    /// The same with `prefix = "…"` beside it, which comes before the secret.
    pub(super) fn read_with_prefix(field: Field<'_, '_>) -> Option<(Option<String>, Self)> {
        SecretRef::read_keys(field, true, NAMED_SHAPES)
    }

    /// Where it is kept.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Where it is named.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn read_keys(field: Field<'_, '_>, with_prefix: bool, shapes: &str) -> Option<(Option<String>, Self)> {
        let key = field.key().to_owned();
        if !field.is_table() {
            let hidden = field.place().hidden(&format!("{key} = (hidden)"));
            let message = "a secret is never written in a document";
            field.note(Problem::error(&hidden, message).allowed(shapes));
            return None;
        }
        let place = field.place();
        let mut table = field.table()?;
        let prefix = if with_prefix { table.string("prefix", 32) } else { None };
        let env = table.take("env");
        let file = table.take("file");
        let named = if shapes == NAMED_SHAPES { table.take("secret") } else { None };
        let kept = match (&env, &file, &named) {
            (None, None, Some(named)) => match named.string(MAX_NAME) {
                // As below: what is no name may be the secret itself.
                Some(name) if super::is_name(&name) => Some(Kept::Named(name)),
                Some(_) => {
                    let hidden = place.clone().hidden(&format!("{key} = {{ secret = (hidden) }}"));
                    named.note(Problem::error(&hidden, "is not the name of a secret").allowed(super::NAME_SHAPE));
                    None
                }
                None => None,
            },
            (Some(env), None, None) => match env.string(MAX_NAME) {
                // The name is shown in messages: a secret that was put there by mistake must not be.
                Some(name) if is_env_name(&name) => Some(Kept::Env(name)),
                Some(_) => {
                    let hidden = place.clone().hidden(&format!("{key} = {{ env = (hidden) }}"));
                    env.note(
                        Problem::error(&hidden, "is not the name of an environment variable")
                            .allowed("letters, digits and _, such as OPENAI_API_KEY"),
                    );
                    None
                }
                None => None,
            },
            (None, Some(file), None) => file.string(MAX_NAME).map(Kept::File),
            _ => {
                let hidden = place.clone().hidden(&format!("{key} = (hidden)"));
                table.note(Problem::error(&hidden, "must name one place").allowed(shapes));
                None
            }
        };
        if let Some(kept) = &kept {
            table.note_kept(kept.clone());
        }
        table.finish();
        let kept = kept?;
        let text = match &kept {
            Kept::Env(name) => format!("{key} = {{ env = \"{name}\" }}"),
            Kept::File(path) => format!("{key} = {{ file = \"{path}\" }}"),
            Kept::Named(name) => format!("{key} = {{ secret = \"{name}\" }}"),
        };
        Some((prefix, SecretRef { kept, place: place.hidden(&text) }))
    }

    /// The secret itself.
    pub(super) fn resolve(&self, world: &dyn World) -> Result<Secret, Box<Problem>> {
        let text = self.text(world)?;
        // Files and shells leave a line end behind.
        let text = text.trim();
        if text.is_empty() {
            return Err(self.problem("the secret is empty"));
        }
        if text.len() as u64 > MAX_SECRET_BYTES || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(self.problem("the secret is not one line of printable ASCII"));
        }
        Ok(Secret::new(text))
    }

    /// The secret itself, if `sound` has nothing against it.
    pub(super) fn resolve_that(
        &self,
        world: &dyn World,
        sound: impl FnOnce(&Secret) -> Result<(), String>,
    ) -> Result<Secret, Box<Problem>> {
        let secret = self.resolve(world)?;
        sound(&secret).map_err(|why| self.problem(why))?;
        Ok(secret)
    }

    fn text(&self, world: &dyn World) -> Result<String, Box<Problem>> {
        match &self.kept {
            Kept::Env(name) => world.env(name).ok_or_else(|| {
                let unset = format!("environment variable {name} is not set; set it where the server is started");
                self.problem(unset)
            }),
            Kept::File(path) => {
                let bytes = world.file(path, MAX_SECRET_BYTES).map_err(|why| self.problem(why))?;
                String::from_utf8(bytes).map_err(|_| self.problem("the file is not text"))
            }
            Kept::Named(name) => Err(self.problem(format!("the secret {name:?} is known to offhook.toml only"))),
        }
    }

    fn problem(&self, message: impl Into<String>) -> Box<Problem> {
        Box::new(Problem::error(&self.place, message))
    }
}

/// Reads a recording: a path, or `{ play = path, text = … }`.
pub(super) fn sound(field: Field<'_, '_>, world: &dyn World) -> Option<Sound> {
    if !field.is_table() {
        return play(&field, String::new(), world);
    }
    let mut table = field.table()?;
    let file = table.need("play", "the path of a WAV file");
    let text = table.string("text", MAX_LINE).unwrap_or_default();
    table.finish();
    play(&file?, text, world)
}

/// Reads the recording that `file` names.
pub(super) fn play(file: &Field<'_, '_>, text: String, world: &dyn World) -> Option<Sound> {
    let name = file.string(MAX_NAME)?;
    match world.recording(&name, 0.0) {
        Ok(audio) => Some(Sound { name, text, audio }),
        Err(why) => {
            file.wrong_allowed(why, sound::ALLOWED);
            None
        }
    }
}

/// Reads a phone number.
pub(super) fn e164(field: &Field<'_, '_>) -> Option<String> {
    field.string_that(MAX_NAME, "E.164: + and 7 to 15 digits, such as \"+15550100100\"", is_e164)
}

/// Reads a URL of one of `schemes`. User names, passwords and fragments have no place in any of ours.
pub(super) fn url(field: &Field<'_, '_>, schemes: &[&str]) -> Option<Url> {
    let text = field.string(MAX_NAME)?;
    let example = format!("a URL such as {}://example.com", schemes.last().copied().unwrap_or("https"));
    match Url::parse(&text) {
        Err(e) => field.wrong_allowed(format!("is not a URL ({e})"), example),
        Ok(url) if !schemes.contains(&url.scheme()) => {
            let allowed: Vec<_> = schemes.iter().map(|s| format!("{s}://")).collect();
            field.wrong_allowed(format!("cannot be of {}:", url.scheme()), allowed.join(", "));
        }
        Ok(url) if url.host_str().is_none_or(str::is_empty) => field.wrong_allowed("has no host", example),
        Ok(url) if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() => {
            field.wrong_allowed("has a user name, password or fragment", example);
        }
        Ok(url) => return Some(url),
    }
    None
}

/// Reads a URL to which paths are added.
pub(super) fn base(field: &Field<'_, '_>) -> Option<Url> {
    let url = url(field, &["http", "https"])?;
    if url.query().is_some() {
        field.wrong_allowed("has a query, behind which no path fits", "a URL such as https://example.com/v1");
        return None;
    }
    Some(url)
}

/// Whether `url` stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url_host) => {
            let host = url_host.to_string();
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// Headers in one request.
const MAX_HEADERS: usize = 32;

/// Whether `text` can name a header.
fn is_header_name(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(token)
}

const SECRET_SHAPES: &str = "{ env = \"NAME\" }, { file = \"path\" }";
const NAMED_SHAPES: &str = "{ secret = \"NAME\" }, { env = \"NAME\" }, { file = \"path\" }";
const MAX_SECRET_BYTES: u64 = 16 * 1_024;

fn is_env_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 128
}

pub(crate) fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
}

/// Takes an amount of money, in millionths.
pub(super) fn money(table: &mut Table<'_, '_>, key: &'static str) -> Option<u64> {
    let amount = table.take(key)?.number(0.0..=100_000.0)?;
    Some((f64::from(amount) * 1e6).round() as u64)
}

/// Reads a table of HTTP headers. `reserved`: says of a name who else sets it.
pub(super) fn headers<T>(
    mut table: Table<'_, '_>,
    reserved: impl Fn(&str) -> Option<&'static str>,
    mut read: impl FnMut(&str, Field<'_, '_>) -> Option<T>,
) -> Vec<(String, T)> {
    let mut headers = Vec::new();
    for (i, (name, field)) in table.rest().into_iter().enumerate() {
        let place = field.key_place();
        if i >= MAX_HEADERS {
            let allowed = format!("at most {MAX_HEADERS}");
            field.note(Problem::error(&place, "is one header too many").allowed(allowed));
            break;
        }
        if !is_header_name(name) {
            field.note(Problem::error(&place, "is not the name of a header").allowed("letters, digits and -"));
        } else if let Some(who) = reserved(name) {
            field.note(Problem::error(&place, format!("is a header that {who} sets itself")));
        } else if let Some(value) = read(name, field) {
            headers.push((name.to_owned(), value));
        }
    }
    headers
}

/// Reads a list of hosts: names, or `*.` and a domain.
pub(super) fn hosts<'d, 'i>(field: &Field<'d, 'i>) -> Vec<(String, Field<'d, 'i>)> {
    let shape = |text: &str| {
        let name = text.strip_prefix("*.").unwrap_or(text);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    };
    let items = field.list(MAX_HOSTS).into_iter();
    items.filter_map(|item| Some((item.string_that(MAX_NAME, HOSTS, shape)?, item))).collect()
}

/// What [`hosts`] takes.
pub(super) const HOSTS: &str = "names in lower case such as \"api.example.com\", or \"*.example.com\" for all below it";
const MAX_HOSTS: usize = 64;
