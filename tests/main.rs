//! podgate from outside: real processes, servers and namespaces. One module a promise.

// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::arithmetic_side_effects, unreachable_pub)]

mod support;

mod bad_input;
mod becomes_cmd;
mod checks_that_are_not_http;
mod confined;
mod ends_on_signals;
mod gate_over_many_checks;
mod hostile_servers;
mod hostile_volume;
mod http_as_the_kubelet_does_it;
mod installs_itself;
mod killed_at_every_step;
mod layers;
mod pod_harness;
mod quits_sidecars;
mod readme_is_true;
mod real_envoy;
mod real_nginx;
mod real_postgres;
mod tells_what_happens;
