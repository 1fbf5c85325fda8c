//! What HTTP checks ask.

use super::given::{Given, secret, text, value};
use crate::core::http::{self, Header, Statuses};
use clap::Args;

pub(super) const HEADING: &str = "HTTP checks";

// What all commands with checks share.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct HttpArgs {
    /// Send this header (repeatable); Host sets the request's host
    #[arg(short = 'H', long, value_name = "'NAME: VALUE'", value_parser = secret(http::header))]
    pub http_header: Vec<Given<Header>>,

    /// Ask with this method
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = value(http::method))]
    pub http_method: Given<String>,

    /// Which statuses pass, as 200-299,401
    #[arg(long, value_name = "LIST", default_value = "200-399")]
    #[arg(value_parser = value(http::statuses))]
    pub http_status: Given<Statuses>,

    /// The first 10 KiB of the body must contain this
    #[arg(long, value_name = "TEXT", value_parser = text())]
    pub http_body_contains: Option<Given<String>>,
}
