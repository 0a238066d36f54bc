//! The document, the table of routes and the router say the same.

use std::collections::BTreeSet;

use super::{all, openapi};
use crate::house::routes::{ROUTES, Route};
use utoipa::openapi::path::HttpMethod;

/// Every operation of the document, as method and path.
fn operations() -> BTreeSet<(String, String)> {
    let (_, document) = all().split_for_parts();
    let mut operations = BTreeSet::new();
    for (path, item) in &document.paths.paths {
        let of = [
            (HttpMethod::Get, &item.get),
            (HttpMethod::Put, &item.put),
            (HttpMethod::Post, &item.post),
            (HttpMethod::Delete, &item.delete),
            (HttpMethod::Patch, &item.patch),
        ];
        for (method, _) in of.iter().filter(|(_, operation)| operation.is_some()) {
            operations.insert((openapi::name(method).to_owned(), path.clone()));
        }
    }
    operations
}

/// Rows of the API: the page behind a one-time link has its address without a version, and is the same as the API's.
fn operated() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|row| row.path != "/welcome/{token}")
}

#[test]
fn role_08_every_operation_has_its_row_in_the_table() {
    let rows: BTreeSet<_> = operated().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    let without: Vec<_> = operations().difference(&rows).cloned().collect();
    assert_eq!(without, Vec::<(String, String)>::new(), "operations without a row would not exist");
    let idle: Vec<_> = rows.difference(&operations()).cloned().collect();
    assert_eq!(idle, Vec::<(String, String)>::new(), "rows without an operation say what is not so");
}

#[test]
fn the_document_names_the_least_role_of_each_request_and_what_all_may_be_answered() {
    let document = openapi::completed(all().split_for_parts().1);
    let document = serde_json::to_value(document).unwrap();
    for row in operated() {
        let operation = &document["paths"][row.path][row.method.to_lowercase()];
        let role = row.least.map(openapi::role);
        assert_eq!(operation["security"][0]["token"][0].as_str(), role, "{} {}", row.method, row.path);
        for status in ["401", "422", "429", "500", "503"] {
            let schema = &operation["responses"][status]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{} {} {status}", row.method, row.path);
        }
        // Its body is read for its Idempotency-Key, whatever it is asked for.
        assert!(row.method != "POST" || operation["responses"]["413"].is_object(), "{}", row.path);
        // Refusals that a request describes itself are problems, too.
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let refused = status.starts_with('4') || status.starts_with('5');
            assert!(!refused || answer["content"]["application/problem+json"].is_object(), "{} {status}", row.path);
        }
    }
}

#[test]
fn rows_are_sorted_and_each_there_once() {
    let keys: Vec<_> = ROUTES.iter().map(|row| row.path).collect();
    assert!(keys.is_sorted(), "sorted by path");
    let unique: BTreeSet<_> = ROUTES.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(unique.len(), ROUTES.len());
}
