//! What every deployment says of itself, whatever its channel: title, schedule, access, key.

use super::problem::{Place, Problem};
use super::reader::{Field, Table};
use super::types::{Access, Channel, Role, Schedule};
use super::values::MAX_NAME;

/// Longest title (DEP-10).
const MAX_TITLE: usize = 80;
/// Members of one list.
const MAX_MEMBERS: usize = 1_000;
const KEY_PREFIX: &str = "oh_pub_";
const KEY: &str = "oh_pub_ and 16 to 64 letters and digits";
const SHAPES: &str = "\"public\", \"organization\", { role = \"builder\" }, { members = [\"ann@example.com\"] }";

/// Reads `title`.
pub(super) fn title(table: &mut Table<'_, '_>) -> Option<String> {
    let title = table.take("title")?.string(MAX_TITLE)?;
    Some(title.trim().to_owned())
}

/// Reads `[schedule]`.
pub(super) fn schedule(mut table: Table<'_, '_>) -> Schedule {
    let activate_at = table.take("activate_at").and_then(|field| field.timestamp());
    let off = table.take("deactivate_at");
    let deactivate_at = off.as_ref().and_then(Field::timestamp);
    table.finish();
    if let (Some(on_at), Some(off_at), Some(field)) = (activate_at, deactivate_at, off)
        && off_at <= on_at
    {
        field.wrong_allowed("is not later than activate_at", format!("after {on_at}"));
    }
    Schedule { activate_at, deactivate_at }
}

/// Reads `key`, which is publishable: it stands in the page's HTML.
pub(super) fn key(table: &mut Table<'_, '_>) -> Option<(String, Place)> {
    let field = table.take("key")?;
    let key = field.string_that(MAX_NAME, KEY, |text| {
        text.strip_prefix(KEY_PREFIX)
            .is_some_and(|rest| (16..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    })?;
    Some((key, field.place()))
}

/// Reads `access` of a deployment on `channel` (ACC-02).
pub(super) fn access(table: &mut Table<'_, '_>, channel: Channel) -> Option<Access> {
    match channel {
        Channel::Website => {
            table.misplaced(&["access"], "Website deployments have no access mode.");
            None
        }
        Channel::Phone => Some(table.take("access").and_then(mode).unwrap_or(Access::Public)),
        Channel::Internal => {
            let field = table.take("access");
            let place = field.as_ref().map(Field::place);
            let access = field.and_then(mode);
            if let (Some(Access::Public), Some(place)) = (&access, place) {
                let allowed = "\"organization\", { role = \"builder\" }, { members = [\"ann@example.com\"] }";
                table.note(Problem::error(&place, "Public is not available for internal chat.").allowed(allowed));
            }
            Some(access.unwrap_or(Access::Organization))
        }
    }
}

fn mode(field: Field<'_, '_>) -> Option<Access> {
    if !field.is_table() {
        return match field.as_str() {
            Some("public") => Some(Access::Public),
            Some("organization") => Some(Access::Organization),
            _ => {
                field.wrong_allowed("is no access mode", SHAPES);
                None
            }
        };
    }
    let place = field.place();
    let mut table = field.table()?;
    let (role, members) = (table.take("role"), table.take("members"));
    let access = match (role, members) {
        (Some(role), None) => role.choice(&[("builder", Role::Builder), ("admin", Role::Admin)]).map(Access::RoleBased),
        (None, Some(members)) => self::members(&members).map(Access::InviteOnly),
        _ => {
            table.note(Problem::error(&place, "needs either role or members").allowed(SHAPES));
            None
        }
    };
    table.finish();
    access
}

fn members(field: &Field<'_, '_>) -> Option<Vec<String>> {
    let items = field.list(MAX_MEMBERS);
    if field.is_empty_list() {
        field.wrong_allowed("Select at least one member.", "e-mail addresses of members");
        return None;
    }
    let address = |text: &str| {
        let (name, host) = text.rsplit_once('@').unwrap_or_default();
        !name.is_empty() && host.len() >= 3 && host.contains('.') && !text.contains(char::is_whitespace)
    };
    let read = |item: &Field<'_, '_>| item.string_that(320, "an e-mail address such as \"ann@example.com\"", address);
    let mut members: Vec<String> = items.iter().filter_map(|item| Some(read(item)?.to_lowercase())).collect();
    members.sort();
    members.dedup();
    (!members.is_empty()).then_some(members)
}
