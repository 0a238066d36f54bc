//! `POST /v1/embeddings` of the built-in model: texts that share words lie near each other, and nothing is understood.

use serde_json::{Value, json};

use super::super::outbox::ApiError;
use super::request::known;
use super::script::Chat;

/// The answer to a request.
pub(super) fn answer(body: &Value, chat: &Chat) -> Result<Value, ApiError> {
    let fields = body.as_object().ok_or_else(|| ApiError::invalid("body", "an object is expected"))?;
    let allowed = ["model", "input", "dimensions", "encoding_format", "user"];
    if let Some(key) = fields.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(ApiError::unknown(key));
    }
    let model = body["model"].as_str().ok_or_else(|| ApiError::missing("model"))?;
    known(model, chat)?;
    let texts: Vec<&str> = match &body["input"] {
        Value::Null => return Err(ApiError::missing("input")),
        Value::String(text) => vec![text],
        input => input.as_array().into_iter().flatten().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
    };
    if !(1..=2_048).contains(&texts.len()) || texts.iter().any(|text| text.is_empty()) {
        return Err(ApiError::invalid("input", "a text or a list of 1 to 2048 texts is expected"));
    }
    let dimensions = match fields.get("dimensions").map(Value::as_u64) {
        None => DIMENSIONS,
        Some(Some(dimensions @ 1..=3_072)) => dimensions as usize,
        Some(_) => return Err(ApiError::invalid("dimensions", "1 to 3072 is expected")),
    };
    let base64 = match fields.get("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => return Err(ApiError::invalid("encoding_format", "float and base64 are supported")),
    };
    let data = texts.iter().enumerate().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let vector = match base64 {
            false => json!(vector),
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
                json!(base64_simd::STANDARD.encode_to_string(bytes))
            }
        };
        json!({ "object": "embedding", "index": index, "embedding": vector })
    });
    let data: Vec<Value> = data.collect();
    let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
    Ok(
        json!({ "object": "list", "data": data, "model": model, "usage": { "prompt_tokens": tokens, "total_tokens": tokens } }),
    )
}

/// A vector of length 1: each word of the text falls upon a place of its own.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0f32; dimensions];
    let lower = text.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash =
            word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[(hash % dimensions as u64) as usize] += sign;
    }
    let length = vector.iter().map(|n| n * n).sum::<f32>().sqrt();
    if length == 0.0 {
        vector[0] = 1.0;
        return vector;
    }
    vector.iter().map(|n| n / length).collect()
}

/// Unless others are asked for.
const DIMENSIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_lie_near_each_other() {
        let near = |a: &str, b: &str| -> f32 { vector(a, 256).iter().zip(vector(b, 256)).map(|(a, b)| a * b).sum() };
        assert!((near("Opening hours", "opening HOURS!") - 1.0).abs() < 1e-6);
        assert!(
            near("What are your opening hours?", "Our opening hours are 9 to 5.")
                > near("What are your opening hours?", "A table for two.")
        );
        assert!((near("?", "!") - 1.0).abs() < 1e-6);
    }
}
