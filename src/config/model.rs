//! `models.toml`: endpoints of realtime models, and of text models for what follows a call, one table each.

use std::sync::Arc;

use super::countries;
use super::problem::Problem;
use super::reader::{Field, Kept, Table};
use super::types::{Model, ModelCard, ModelFacts, ModelKind, Price, Secret, TextDialect, TextModel};
use super::values::{self, SecretRef};
use super::world::World;
use crate::base::audio::{AudioFormat, Codec};

/// A model as written: its secrets are looked up only when a deployment uses it.
#[derive(Clone, Debug)]
pub(super) struct ModelDraft {
    /// Without its secrets.
    model: Meant,
    card: Arc<ModelCard>,
    api_key: Option<SecretRef>,
    headers: Vec<(String, SecretRef)>,
}

/// A model as meant, of either kind.
#[derive(Clone, Debug)]
pub(super) enum Meant {
    Realtime(Arc<Model>),
    Text(Arc<TextModel>),
}

/// Reads the document. `None` stands for a model that is there and wrong.
pub(super) fn read(mut table: Table<'_, '_>) -> Vec<(String, Option<ModelDraft>)> {
    let models = table.rest();
    if models.len() > MAX_MODELS {
        let place = table.place();
        table.note(Problem::error(&place, "has too many models").allowed(format!("at most {MAX_MODELS}")));
    }
    models.into_iter().take(MAX_MODELS).map(|(name, field)| (name.to_owned(), one(name, field))).collect()
}

impl ModelDraft {
    /// The model with its secrets.
    pub(super) fn with_secrets(&self, world: &dyn World) -> Result<Meant, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut look_up = |secret: &SecretRef| secret.resolve(world).map_err(|p| problems.push(*p)).ok();
        let api_key = self.api_key.as_ref().and_then(&mut look_up);
        let headers = self.headers.iter().filter_map(|(name, secret)| Some((name.clone(), look_up(secret)?))).collect();
        let meant = match self.model.clone() {
            Meant::Realtime(model) => {
                Meant::Realtime(Arc::new(Model { api_key, headers, ..Arc::unwrap_or_clone(model) }))
            }
            Meant::Text(model) => Meant::Text(Arc::new(TextModel { api_key, headers, ..Arc::unwrap_or_clone(model) })),
        };
        if problems.is_empty() { Ok(meant) } else { Err(problems) }
    }

    /// The model as far as it is known, for agents that answer no number.
    pub(super) fn without_secrets(&self) -> Meant {
        self.model.clone()
    }

    /// Where the model is, without its query, which may say more than a summary should.
    pub(super) fn endpoint(&self) -> &str {
        let url = match &self.model {
            Meant::Realtime(model) => &model.url,
            Meant::Text(model) => &model.base_url,
        };
        url.split('?').next().unwrap_or_default()
    }

    /// The model as people choose it.
    pub(super) fn card(&self) -> &Arc<ModelCard> {
        &self.card
    }

    /// Where its secrets are kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.api_key.iter().chain(self.headers.iter().map(|(_, secret)| secret)).map(SecretRef::kept)
    }

    /// Whether it is known what the model costs.
    pub(super) fn has_price(&self) -> bool {
        matches!(&self.model, Meant::Realtime(model) if model.price.is_some())
    }

    /// The model's name.
    pub(super) fn name(&self) -> &str {
        match &self.model {
            Meant::Realtime(model) => &model.name,
            Meant::Text(model) => &model.name,
        }
    }

    /// Whether it holds a conversation by voice.
    pub(super) fn is_realtime(&self) -> bool {
        matches!(self.model, Meant::Realtime(_))
    }

    /// Whether its vendor asks servers of tools by itself.
    pub(super) fn takes_mcp(&self) -> bool {
        matches!(&self.model, Meant::Realtime(model) if model.mcp)
    }
}

fn one(name: &str, field: Field<'_, '_>) -> Option<ModelDraft> {
    if !super::is_name(name) {
        let place = field.key_place();
        field.note(Problem::error(&place, "is not a name").allowed(super::NAME_SHAPE));
    }
    let mut table = field.table()?;
    let text = table.choice("kind", false, &[("realtime", false), ("text", true)]);
    let api_key = table.take("api_key").and_then(SecretRef::read);
    let headers = headers(table.table("headers"));
    let kind = if text { ModelKind::Text } else { ModelKind::Voice };
    let facts = facts(&mut table);
    let model =
        if text { text_model(name, table).map(Meant::Text) } else { realtime(name, table).map(Meant::Realtime) }?;
    let price = match &model {
        Meant::Realtime(model) => model.price,
        Meant::Text(model) => model.price,
    };
    let card = Arc::new(ModelCard { name: name.to_owned(), kind, facts, price });
    Some(ModelDraft { model, card, api_key, headers })
}

fn realtime(name: &str, mut table: Table<'_, '_>) -> Option<Arc<Model>> {
    let url = table.need("url", "the model's WebSocket URL").and_then(|field| {
        let url = values::url(&field, &["ws", "wss"])?;
        if url.scheme() == "ws" && !values::is_loopback(&url) {
            field.doubtful("calls and keys would travel in the clear; use wss://");
        }
        Some(url.to_string())
    });
    let format = table.choice(
        "format",
        AudioFormat::PHONE,
        &[
            ("pcmu", AudioFormat::PHONE),
            ("pcma", AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 }),
            ("pcm", AudioFormat::PCM_24K),
        ],
    );
    let dial_timeout_ms = table.integer("dial_timeout_ms", 8_000, 500..=60_000);
    let max_session_min = table.integer("max_session_min", 55, 1..=1_440);
    let mcp = table.boolean("mcp", false);
    let price = table.take("price").and_then(price);
    table.finish();
    Some(Arc::new(Model {
        name: name.to_owned(),
        url: url?,
        api_key: None,
        headers: Vec::<(String, Secret)>::new(),
        format,
        dial_timeout_ms,
        price,
        max_session_min,
        mcp,
    }))
}

fn text_model(name: &str, mut table: Table<'_, '_>) -> Option<Arc<TextModel>> {
    let base_url = table.need("base_url", "the base of the API, such as https://api.openai.com/v1").and_then(|field| {
        let url = values::base(&field)?;
        if url.scheme() == "http" && !values::is_loopback(&url) {
            field.doubtful("transcripts and keys would travel in the clear; use https://");
        }
        let dialect = TextDialect::of_host(url.host_str().unwrap_or_default());
        Some((url.to_string().trim_end_matches('/').to_owned(), dialect))
    });
    let (base_url, by_host) = base_url.unzip();
    let dialect = table.choice(
        "dialect",
        by_host.unwrap_or(TextDialect::Compatible),
        &[("openai", TextDialect::OpenAi), ("compatible", TextDialect::Compatible), ("mistral", TextDialect::Mistral)],
    );
    let model = table.need("model", "what the vendor calls the model").and_then(|field| field.string(128));
    let price = table.take("price").and_then(text_price);
    table.finish();
    Some(Arc::new(TextModel {
        name: name.to_owned(),
        base_url: base_url?,
        model: model?,
        api_key: None,
        headers: Vec::new(),
        price,
        dialect,
    }))
}

/// What is declared of the model; nothing is guessed (MOD-02).
fn facts(table: &mut Table<'_, '_>) -> ModelFacts {
    let vendor = table.string("vendor", 80);
    let vendor_country = countries::read(table, "vendor_country");
    let hosting_country = countries::read(table, "hosting_country");
    let trains_on_data = table.take("trains_on_data").and_then(|field| field.boolean());
    let voices = table.take("voices").map(|field| {
        let mut voices: Vec<String> = Vec::new();
        for item in field.list(MAX_VOICES) {
            match item.string(128) {
                Some(voice) if voices.contains(&voice) => item.wrong("is named twice"),
                voice => voices.extend(voice),
            }
        }
        voices
    });
    let options = table.take("options").map(|field| {
        let known = OPTIONS.map(|option| (option, option));
        let mut options: Vec<String> =
            field.list(OPTIONS.len()).iter().filter_map(|item| item.choice(&known)).map(str::to_owned).collect();
        options.dedup();
        options
    });
    let voices = voices.unwrap_or_default();
    ModelFacts { vendor, vendor_country, hosting_country, trains_on_data, voices, options }
}

fn price(field: Field<'_, '_>) -> Option<Price> {
    let mut table = field.table()?;
    let price = Price {
        text_in_micros: values::money(&mut table, "text_in").unwrap_or(0),
        audio_in_micros: values::money(&mut table, "audio_in").unwrap_or(0),
        cached_micros: values::money(&mut table, "cached_in").unwrap_or(0),
        text_out_micros: values::money(&mut table, "text_out").unwrap_or(0),
        audio_out_micros: values::money(&mut table, "audio_out").unwrap_or(0),
        minute_micros: values::money(&mut table, "minute").unwrap_or(0),
    };
    table.finish();
    Some(price)
}

/// The same of a text model, which has neither audio nor sessions.
fn text_price(field: Field<'_, '_>) -> Option<Price> {
    let mut table = field.table()?;
    let price = Price {
        text_in_micros: values::money(&mut table, "text_in").unwrap_or(0),
        cached_micros: values::money(&mut table, "cached_in").unwrap_or(0),
        text_out_micros: values::money(&mut table, "text_out").unwrap_or(0),
        ..Price::default()
    };
    table.finish();
    Some(price)
}

fn headers(table: Table<'_, '_>) -> Vec<(String, SecretRef)> {
    let reserved = |name: &str| {
        let known = RESERVED.iter().any(|r| name.eq_ignore_ascii_case(r));
        (known || name.to_ascii_lowercase().starts_with("sec-")).then_some("the WebSocket handshake")
    };
    values::headers(table, reserved, |_, field| SecretRef::read(field))
}

const MAX_MODELS: usize = 200;
const MAX_VOICES: usize = 200;
/// Options that models may have (AGT-07).
const OPTIONS: [&str; 4] = ["temperature", "max_output_tokens", "service_tier", "prompt_caching"];
const RESERVED: [&str; 5] = ["host", "connection", "upgrade", "content-length", "transfer-encoding"];
