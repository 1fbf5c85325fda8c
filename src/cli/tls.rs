//! How the servers of https checks are verified.

use super::given::{Given, switch, value};
use crate::core::trust;
use clap::{ArgAction, Args};
use std::path::PathBuf;

// All commands that may use TLS share these.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Trust the CAs in this PEM file [default: $SSL_CERT_FILE, else the image's bundle]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_insecure")]
    #[arg(value_parser = value(|text| Ok(PathBuf::from(text))))]
    pub tls_ca: Option<Given<PathBuf>>,

    /// Present the certificate in this PEM file, with its chain; needs --tls-key
    #[arg(long, value_name = "FILE", value_parser = value(|text| Ok(PathBuf::from(text))))]
    pub tls_cert: Option<Given<PathBuf>>,

    /// The private key of --tls-cert, in a PEM file
    #[arg(long, value_name = "FILE", value_parser = value(|text| Ok(PathBuf::from(text))))]
    pub tls_key: Option<Given<PathBuf>>,

    /// Accept any certificate, as the kubelet's probes do
    #[arg(long, action = ArgAction::SetTrue, conflicts_with = "tls_ca", value_parser = switch())]
    pub tls_insecure: Given<bool>,

    /// The name that the certificate must be for [default: the URL's host]
    #[arg(long, value_name = "NAME", value_parser = value(trust::server_name))]
    pub tls_server_name: Option<Given<String>>,
}
