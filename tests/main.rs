//! podgate from outside: real processes, servers and namespaces. One module a promise.

// A test says what is wrong by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    unreachable_pub
)]

mod support;

mod bad_input;
mod becomes_cmd;
mod checks_databases;
mod checks_grpc;
mod checks_that_are_not_http;
mod checks_that_do_not_hold;
#[cfg(feature = "tls")]
mod client_certificates;
mod confined;
mod docs_are_true;
mod ends_on_signals;
mod ends_with_the_others;
mod examples_are_played;
mod examples_are_valid;
#[cfg(target_arch = "x86_64")]
mod fails_at_every_system_call;
mod gate_over_many_checks;
mod hostile_servers;
mod hostile_volume;
mod http_as_go_reads_it;
mod http_as_the_kubelet_does_it;
mod installs_itself;
mod job_control;
mod joins_from_a_hook;
mod killed_at_every_step;
mod layers;
mod listens_without_a_connection;
mod locks_not_shared;
mod manuals;
mod outlives_the_others;
mod paused;
mod player_rules;
mod pod_harness;
mod quit_endpoint;
mod quits_after_the_end;
mod quits_sidecars;
mod ready_by_notify;
mod real_envoy;
mod real_nginx;
mod real_postgres;
mod real_sidecars;
mod resolves_names;
mod rounds;
mod sees_members;
mod sends_credentials;
mod source_style;
mod tells_what_happens;
#[cfg(feature = "tls")]
mod tls_in_words;
mod under_limits;
mod under_load;
mod words_from_yaml;
mod wraps_a_command;
