//! Lists in pages, with a cursor (API-04).

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Json;
use super::problem::{Problem, Wrong};

/// Items on a page where nobody says how many, and at most.
pub(crate) const DEFAULT: u32 = 25;
pub(crate) const MOST: u32 = 100;

/// How much of a list is wanted. Parameters of one's own stand beside these two, not in place of them: nothing is flattened,
/// or unknown ones would not be refused.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Items on a page: 1 to 100; 25 if it is left out.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub(crate) cursor: Option<String>,
}

/// A page of a list, the newest first where there is a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; `null`: this is the last.
    pub(crate) next: Option<String>,
}

/// How many items a page has.
///
/// # Errors
/// Not 1 to 100.
pub(crate) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted.unwrap_or(DEFAULT) {
        limit @ 1..=MOST => Ok(limit),
        _ => {
            let message = format!("A page has 1 to {MOST} items.");
            Err(Problem::wrong(vec![Wrong::parameter("limit", "limit", message)]))
        }
    }
}

/// Where something stands in a list, as clients hand it back: nothing that they can make sense of.
pub(crate) fn cursor(place: &str) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(place)
}

/// What [`cursor`] made one of.
///
/// # Errors
/// It is none of ours.
pub(crate) fn place(cursor: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let place = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // One of nothing is what a variable that is not set sends: it would end the list before its first item.
    let place = place.filter(|place| !place.is_empty() && !place.contains('\0'));
    place.map(Some).ok_or_else(no_cursor)
}

/// It is none of ours.
pub(crate) fn no_cursor() -> Problem {
    let message = "That is no cursor of this list: take next of the page before.";
    Problem::wrong(vec![Wrong::parameter("cursor", "cursor", message)])
}

impl<T> Page<T> {
    /// A page of a list that is whole, in its order; `key` is what an item is found by, and unique.
    ///
    /// # Errors
    /// The limit or the cursor is wrong.
    pub(crate) fn of<U>(
        all: impl IntoIterator<Item = U>,
        wanted: &Wanted,
        key: impl Fn(&U) -> String,
        show: impl Fn(U) -> T,
    ) -> Result<Page<T>, Problem> {
        let limit = limit(wanted.limit)? as usize;
        let after = place(wanted.cursor.as_deref())?;
        let mut all = all.into_iter();
        // An item that is gone meanwhile ends the list; who reads on begins anew.
        if let Some(after) = after {
            all.by_ref().take_while(|item| key(item) != after).for_each(drop);
        }
        let items: Vec<U> = all.by_ref().take(limit).collect();
        let next = match all.next() {
            Some(_) => items.last().map(|last| cursor(&key(last))),
            None => None,
        };
        Ok(Page { items: items.into_iter().map(show).collect(), next })
    }

    /// The page as an answer, with a `Link` to the next.
    pub(crate) fn answer(self, uri: &Uri) -> Response
    where
        T: Serialize,
    {
        let link = self.next.as_deref().map(|next| link(uri, next));
        with_link(Json(self).into_response(), link)
    }
}

/// An answer that is a page, with where the next one is.
pub(crate) fn with_link(mut response: Response, link: Option<String>) -> Response {
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The same list from another cursor on.
pub(crate) fn link(uri: &Uri, next: &str) -> String {
    let others = uri.query().unwrap_or_default().split('&');
    let others = others.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let query: Vec<String> = others.map(str::to_owned).chain([format!("cursor={next}")]).collect();
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}
