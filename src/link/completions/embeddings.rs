//! Texts as vectors: `POST /embeddings`.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::lenient::{Text, read};
use super::refusal;
use crate::config::TextModel;
use crate::talk::model::ModelError;

/// A vector for each text, in their order and of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The vectors.
    pub vectors: Vec<Vec<f32>>,
    /// What was used; `None`: it was not told.
    pub input_tokens: Option<u64>,
}

impl Embeddings {
    /// Where `model` is asked; its headers are those of chat completions.
    pub fn url(model: &TextModel) -> String {
        format!("{}/embeddings", model.base_url)
    }

    /// The request's body.
    pub fn body(model: &TextModel, texts: &[String]) -> String {
        // Some know no other encoding, and some have another default.
        json!({ "model": model.model, "input": texts, "encoding_format": "float" }).to_string()
    }

    /// Reads the answer to a request of so many texts.
    ///
    /// # Errors
    /// It is none, or not one of so many.
    pub fn read(body: &str, texts: usize) -> Result<Embeddings, ModelError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            data: Option<Vec<One<'a>>>,
            #[serde(borrow)]
            usage: Option<Told<'a>>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct One<'a> {
            #[serde(borrow)]
            index: Option<Text<'a>>,
            embedding: Vec<f32>,
        }
        #[derive(Deserialize)]
        struct Told<'a> {
            #[serde(borrow)]
            prompt_tokens: Option<Text<'a>>,
        }
        let malformed = |why: &str| ModelError::Malformed { why: why.to_owned() };
        let answer: Answer<'_> = read(body).ok_or_else(|| malformed("these are no vectors"))?;
        if let Some(error) = answer.error {
            return Err(refusal::in_stream(error.get()));
        }
        let mut vectors = vec![Vec::new(); texts];
        for (place, one) in answer.data.into_iter().flatten().enumerate() {
            let place = one.index.and_then(|index| index.0.parse().ok()).unwrap_or(place);
            match vectors.get_mut(place) {
                Some(vector) if vector.is_empty() => *vector = one.embedding,
                _ => return Err(malformed("a vector is for no text that was sent")),
            }
        }
        let length = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|vector| vector.is_empty() || vector.len() != length) {
            return Err(malformed("a vector is missing, or of another length"));
        }
        let input_tokens = answer.usage.and_then(|usage| usage.prompt_tokens).and_then(|tokens| tokens.0.parse().ok());
        Ok(Embeddings { vectors, input_tokens })
    }
}
