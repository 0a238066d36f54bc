//! The document, the table of routes and the router say the same.

use std::collections::BTreeSet;

use super::{all, openapi};
use crate::house::routes::ROUTES;
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

#[test]
fn role_08_every_operation_has_its_row_in_the_table() {
    let rows: BTreeSet<_> = ROUTES.iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    let without: Vec<_> = operations().difference(&rows).cloned().collect();
    assert_eq!(without, Vec::<(String, String)>::new(), "operations without a row would not exist");
}

#[test]
fn rows_are_sorted_and_each_there_once() {
    let keys: Vec<_> = ROUTES.iter().map(|row| row.path).collect();
    assert!(keys.is_sorted(), "sorted by path");
    let unique: BTreeSet<_> = ROUTES.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(unique.len(), ROUTES.len());
}
