//! The request of HTTP checks, and which answers pass.

use super::given::{Given, secret, text, value};
use crate::core::http::{self, Header, Statuses};
use crate::core::token;
use clap::Args;
use std::path::PathBuf;

// All commands with checks share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "HTTP checks")]
pub struct HttpArgs {
    /// Send this header; Host sets the request's host (repeatable)
    #[arg(short = 'H', long, value_name = "'NAME: VALUE'", value_parser = secret(http::header))]
    pub http_header: Vec<Given<Header>>,

    /// Send the token in this file as Authorization: Bearer; read for each attempt
    #[arg(long, value_name = "FILE", value_parser = secret(token::path))]
    pub http_bearer_token_file: Option<Given<PathBuf>>,

    /// Send requests with this method
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = value(http::method))]
    pub http_method: Given<String>,

    /// The statuses that pass, such as 200-299,401
    #[arg(long, value_name = "LIST", default_value = "200-399")]
    #[arg(value_parser = value(http::statuses))]
    pub http_status: Given<Statuses>,

    /// The first 10 KiB of the body must contain this
    #[arg(long, value_name = "TEXT", value_parser = text())]
    pub http_body_contains: Option<Given<String>>,
}
