//! Servers that a check asks in their own protocol: gRPC and databases.
//!
//! Pure text, as in [`super::check`]. No credentials are tried and no database is opened, so user
//! info, paths and queries are refused.

use super::url::{
    RESERVED, Scheme, Server, absolute, host_and_port, percent_decoded, socket_path, split,
};
use percent_encoding::utf8_percent_encode;
use std::fmt;

/// The longest name of a gRPC service.
const LONGEST_SERVICE: usize = 256;

/// A service of a gRPC server that has the health service `grpc.health.v1.Health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grpc {
    pub scheme: Scheme,
    /// With a port.
    pub server: Server,
    /// The empty name stands for the server as a whole.
    pub service: String,
}

impl fmt::Display for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "grpc",
            Scheme::Tls => "grpcs",
        };
        server(f, scheme, &self.server)?;
        match self.service.as_str() {
            "" => Ok(()),
            name => write!(f, "/{}", utf8_percent_encode(name, RESERVED)),
        }
    }
}

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Postgres,
    Mysql,
    Redis,
}

impl Database {
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Postgres => "use postgres://localhost:5432",
            Self::Mysql => "use mysql://localhost:3306",
            Self::Redis => "use redis://localhost:6379",
        }
    }
}

/// Writes `scheme://host:port`, or `scheme+unix://%2Fpath`.
pub(super) fn server(f: &mut fmt::Formatter<'_>, scheme: &str, server: &Server) -> fmt::Result {
    match server {
        Server::Host(host, None) => write!(f, "{scheme}://{host}"),
        Server::Host(host, Some(port)) => write!(f, "{scheme}://{host}:{port}"),
        Server::Socket(path) => {
            write!(f, "{scheme}+unix://{}", utf8_percent_encode(path, RESERVED))
        }
    }
}

/// Reads what follows `grpc://`, `grpcs://` or `grpc+unix://`.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub(super) fn grpc(scheme: Scheme, rest: &str, is_socket: bool) -> Result<Grpc, String> {
    let example = match (is_socket, scheme) {
        (true, _) => "use grpc+unix://%2Frun%2Fapp.sock",
        (false, Scheme::Plain) => "use grpc://localhost:50051",
        (false, Scheme::Tls) => "use grpcs://localhost:50051",
    };
    let (authority, path) = split(rest);
    let no_user = "does not take a user or password: no credentials are sent";
    let server = server_of(authority, rest, is_socket, no_user, example)?;
    let service = path.strip_prefix('/').unwrap_or(path);
    let is_fine = !service.contains(['?', '#']);
    let service = percent_decoded(service)
        .filter(|name| is_fine && name.len() <= LONGEST_SERVICE && !name.contains('\0'))
        .ok_or_else(|| {
            format!("has a path that is not the name of a service; {example}/my.package.Service")
        })?;
    Ok(Grpc {
        scheme,
        server,
        service,
    })
}

/// Reads what follows `postgres://` or `postgres+unix://`, and the same of other databases.
///
/// # Errors
/// The cause and a right example, without the text itself.
pub(super) fn database(kind: Database, rest: &str, is_socket: bool) -> Result<Server, String> {
    let example = if is_socket {
        "use postgres+unix://%2Frun%2Fpostgresql%2F.s.PGSQL.5432"
    } else {
        kind.example()
    };
    let (authority, path) = split(rest);
    let no_user = "does not take a user or password: no password is sent";
    let server = server_of(authority, rest, is_socket, no_user, example)?;
    if path.is_empty() || path == "/" {
        Ok(server)
    } else {
        Err(format!(
            "does not take a path or parameters: no database is opened; {example}"
        ))
    }
}

fn server_of(
    authority: &str,
    rest: &str,
    is_socket: bool,
    no_user: &str,
    example: &str,
) -> Result<Server, String> {
    // A password that is not percent-encoded may hold a slash.
    if rest.contains('@') {
        return Err(format!("{no_user}; {example}"));
    }
    if !is_socket {
        return match host_and_port(authority, example)? {
            (_, None) => Err(format!("needs a port; {example}")),
            (host, port) => Ok(Server::Host(host, port)),
        };
    }
    if authority.is_empty() {
        return Err(format!(
            "has no socket: the slashes of its path must be written %2F; {example}"
        ));
    }
    let path = percent_decoded(authority)
        .ok_or_else(|| format!("has a socket path that is not percent-encoded; {example}"))?;
    absolute(&path, example.strip_prefix("use ").unwrap_or(example))
        .and_then(|path| socket_path(&path))
        .map(Server::Socket)
}
