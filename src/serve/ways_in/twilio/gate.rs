//! Who calls a deployment that is not for everybody: asked of the store, and of the keypad, before a stream is opened and a model
//! dialled. What is keyed in is held against a hash here and goes no further.

use std::sync::Arc;

use axum::http::Uri;
use axum::response::Response;
use jiff::Timestamp;

use crate::config::{Config, Deployment, Secret};
use crate::house::callers::{self, Answer, Pin};
use crate::link::twilio::twiml;
use crate::serve::public::Public;
use crate::serve::{Shared, force};

use super::trust::Trusted;
use super::webhook;

/// Where what was keyed in is told.
pub(in crate::serve) const PATH: &str = "/twilio/access";
/// What the carrier says of a number that it vouches for.
const FULLY: &str = "TN-Validation-Passed-A";

/// Lets in who is known; `tried`: how often a PIN was asked for in this call. The answer otherwise is what the caller is told.
pub(super) async fn pass(
    shared: &Arc<Shared>,
    config: &Config,
    deployment: &Deployment,
    form: &Trusted,
    public: &Public,
    tried: Option<u32>,
) -> Result<(), Response> {
    let answer = match ask(shared, config, deployment, form, tried).await {
        Ok(answer) => answer,
        Err(()) => return Err(webhook::refuse(shared, "store", &config.server.twilio.refuse_full)),
    };
    match answer {
        Answer::LetIn => Ok(()),
        Answer::AskPin(words) => {
            shared.metrics.callers.add("asked", 1);
            let next = tried.unwrap_or_default() + 1;
            let action = public.url(&format!("{PATH}?try={next}"));
            Err(webhook::xml(twiml::ask_for_digits(words, callers::PIN_DIGITS[1], &action)))
        }
        Answer::Refuse(because) => {
            let line = force::line(because, deployment, &config.server.twilio);
            Err(webhook::refuse(shared, force::reason(because), line))
        }
    }
}

/// How often this call was asked, as the URL says that the carrier has signed.
pub(super) fn tried(uri: &Uri) -> Option<u32> {
    let tries = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("try="))?;
    tries.parse().ok().filter(|tries| (1..=callers::TRIES).contains(tries))
}

async fn ask(
    shared: &Shared,
    config: &Config,
    deployment: &Deployment,
    form: &Trusted,
    tried: Option<u32>,
) -> Result<Answer, ()> {
    let meets = |caller| force::meets(config, deployment, caller, Timestamp::now());
    let known = match form.get("From") {
        Some(number) => shared.store.callers().known(number).await.map_err(|error| trouble(shared, &error))?,
        None => None,
    };
    let Some(known) = known else {
        shared.metrics.callers.add("unknown", 1);
        return Ok(meets(None));
    };
    // Without signatures the carrier's word is anybody's.
    let attested = config.server.twilio.check_signatures && form.get("StirVerstat") == Some(FULLY);
    let with = |pin| meets(Some(callers::Caller { member: &known.member, attested, pin }));
    let answer = with(known.pin);
    let (Answer::AskPin(_), Some(tries)) = (answer, tried) else {
        let how = match answer {
            Answer::LetIn => "attested",
            Answer::AskPin(_) => return Ok(answer),
            Answer::Refuse(_) if known.pin == Pin::Paused => "paused",
            Answer::Refuse(_) => "refused",
        };
        shared.metrics.callers.add(how, 1);
        return Ok(answer);
    };
    let keyed = Secret::new(form.text("Digits").unwrap_or_default());
    let pin = shared.store.callers().try_pin(&known.id, keyed, tries).await;
    let pin = pin.map_err(|error| trouble(shared, &error))?;
    let how = match pin {
        Pin::Right => "right",
        Pin::Paused => "paused",
        Pin::Wrong(_) | Pin::Missing | Pin::Unasked => "wrong",
    };
    shared.metrics.callers.add(how, 1);
    Ok(with(pin))
}

fn trouble(shared: &Shared, error: &crate::store::StoreError) {
    if shared.strangers.due() {
        tracing::warn!(%error, "who calls cannot be found out: the call is refused");
    }
}
