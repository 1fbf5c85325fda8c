//! The request of HTTP checks, and how the servers of https checks are verified.

use crate::cli::{Given, HttpArgs, Source, TlsArgs, UsageError, Variables};
use crate::core::check::Check;
use crate::core::http::{Header, Request};
use crate::core::trust::{ClientFiles, Roots, TrustSpec};
use crate::core::url::Url;
use std::path::PathBuf;

/// Reads the request of all HTTP checks of a call.
///
/// # Errors
/// An option that applies to no check, or headers that would go to several hosts.
pub(super) fn request(args: &HttpArgs, checks: &[Check]) -> Result<Request, UsageError> {
    let urls: Vec<&Url> = checks.iter().filter_map(Check::url).collect();
    if urls.is_empty() {
        applies_to_nothing(args, checks)?;
    }
    Ok(Request {
        method: args.http_method.value.clone(),
        headers: headers(&args.http_header, &urls)?,
        bearer: bearer(args, &urls)?,
        pass: args.http_status.value.clone(),
        body_contains: body(args)?,
    })
}

fn applies_to_nothing(args: &HttpArgs, checks: &[Check]) -> Result<(), UsageError> {
    let header = args.http_header.first().map(|it| &it.source);
    let token = args.http_bearer_token_file.as_ref().map(|it| &it.source);
    let body = args.http_body_contains.as_ref().map(|it| &it.source);
    let others = [&args.http_method.source, &args.http_status.source];
    let mut all = header.into_iter().chain(token).chain(others).chain(body);
    match all.find(|source| source.is_flag()) {
        Some(source) => Err(UsageError::NoHttpCheck {
            source: source.to_string(),
            has_preset: checks.iter().any(|check| check.preset.is_some()),
        }),
        None => Ok(()),
    }
}

/// Headers may be secrets, so they may go to only one host.
fn headers(given: &[Given<Header>], urls: &[&Url]) -> Result<Vec<Header>, UsageError> {
    let Some(first) = given.first() else {
        return Ok(Vec::new());
    };
    if !have_one_origin(urls.iter().copied()) {
        let source = first.source.to_string();
        return Err(UsageError::SeveralHosts { source });
    }
    with_one_host(given)
}

/// Whether all URLs have the same scheme, host and port.
pub(super) fn have_one_origin<'a>(urls: impl Iterator<Item = &'a Url>) -> bool {
    let mut origins = urls.map(Url::origin);
    let origin = origins.next();
    origins.all(|other| Some(other) == origin)
}

/// The headers, which name one host at the most.
pub(super) fn with_one_host(given: &[Given<Header>]) -> Result<Vec<Header>, UsageError> {
    let mut hosts = given.iter().filter(|header| header.value.is("Host"));
    if let (Some(_), Some(second)) = (hosts.next(), hosts.next()) {
        let source = second.source.to_string();
        return Err(UsageError::TwoHostHeaders { source });
    }
    Ok(given.iter().map(|it| it.value.clone()).collect())
}

/// The file of a token, which is a secret as headers may be, and the only `Authorization`.
fn bearer(args: &HttpArgs, urls: &[&Url]) -> Result<Option<PathBuf>, UsageError> {
    let Some(file) = &args.http_bearer_token_file else {
        return Ok(None);
    };
    let source = file.source.to_string();
    if !have_one_origin(urls.iter().copied()) {
        return Err(UsageError::SeveralHosts { source });
    }
    let mut headers = args.http_header.iter();
    if let Some(header) = headers.find(|it| it.value.is("Authorization")) {
        return Err(UsageError::Conflict {
            one: source,
            other: format!("the Authorization of {}", header.source),
        });
    }
    if urls.iter().any(|url| url.user_info.is_some()) {
        return Err(UsageError::TokenAndUser { source });
    }
    Ok(Some(file.value.clone()))
}

fn body(args: &HttpArgs) -> Result<Option<String>, UsageError> {
    let Some(body) = &args.http_body_contains else {
        return Ok(None);
    };
    if args.http_method.value == "HEAD" {
        return Err(UsageError::BodyOfHead {
            source: body.source.to_string(),
            value: crate::core::redact::value(&body.value),
        });
    }
    Ok(Some(body.value.clone()))
}

/// Reads how servers are verified. `is_needed` is false if no server will be asked over TLS: then
/// the image may run without the mesh that brings the CA.
pub(super) fn trust(args: &TlsArgs, is_needed: bool, variables: Variables<'_>) -> TrustSpec {
    let from_variable = variables("SSL_CERT_FILE").filter(|path| !path.is_empty());
    let roots = match (&args.tls_ca, from_variable) {
        _ if args.tls_insecure.value => Roots::Anyone,
        (Some(ca), _) => Roots::File(ca.value.clone(), ca.source.to_string()),
        (None, Some(path)) => Roots::File(PathBuf::from(path), "SSL_CERT_FILE".to_owned()),
        (None, None) => Roots::System,
    };
    TrustSpec {
        roots,
        server_name: args.tls_server_name.as_ref().map(|it| it.value.clone()),
        client: client(args),
        is_needed,
    }
}

/// The client certificate. `needs_tls` has refused a half.
fn client(args: &TlsArgs) -> Option<ClientFiles> {
    let file = |it: &Given<PathBuf>| (it.value.clone(), it.source.to_string());
    Some(ClientFiles {
        certificate: file(args.tls_cert.as_ref()?),
        key: file(args.tls_key.as_ref()?),
    })
}

/// Refuses half a client certificate, and a flag about TLS in a call in which nothing may use TLS.
pub(super) fn needs_tls(args: &TlsArgs, may_use_tls: bool) -> Result<(), UsageError> {
    let certificate = args.tls_cert.as_ref().map(|it| &it.source);
    let key = args.tls_key.as_ref().map(|it| &it.source);
    let half = match (certificate, key) {
        (Some(source), None) => Some((source, "--tls-key")),
        (None, Some(source)) => Some((source, "--tls-cert")),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((source, other)) = half {
        let source = source.to_string();
        return Err(UsageError::NeedsOther { source, other });
    }
    let ca = args.tls_ca.as_ref().map(|it| &it.source);
    let name = args.tls_server_name.as_ref().map(|it| &it.source);
    let insecure = Some(&args.tls_insecure)
        .filter(|it| it.value)
        .map(|it| &it.source);
    let given = [ca, insecure, name, certificate, key].into_iter().flatten();
    match given
        .filter(|_| !may_use_tls)
        .find(|it| Source::is_flag(it))
    {
        Some(source) => Err(UsageError::NoHttpsUrl {
            source: source.to_string(),
        }),
        None => Ok(()),
    }
}
