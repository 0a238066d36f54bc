//! Whole calls over real loopback sockets: the server, a caller and a model, each at its own end.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // helpers of tests fail like tests

mod access;
mod admin_address;
mod api_calls;
mod api_deployments;
mod api_documents;
mod api_edges;
mod api_judged;
mod api_strangers;
mod budget;
#[path = "../postgres/cluster.rs"]
mod cluster;
mod crowd;
mod demo;
mod dial;
mod doors;
mod edits;
mod erase;
mod failures_caller;
mod failures_files;
mod failures_model;
mod from_store;
mod hands;
mod hearing;
mod house;
mod in_force;
mod integration;
mod knowledge;
mod load;
mod model;
mod numbers;
mod operations;
mod organization;
mod other_servers;
mod outgoing;
mod people;
mod persons_api;
mod pictures;
mod revisions;
mod signalwire;
mod standing;
mod street;
mod survival;
mod taken_back;
mod talk;
mod tls;
mod tools;
mod trust;
mod two_servers;
mod web;
mod webhooks;
mod webhooks_api;
