//! `grpc://`, `grpcs://` and `grpc+unix://` against a real gRPC server (PyPI's grpcio and its
//! health service, `tests/support/grpc_server.py`), through Envoy, and against hostile servers.

use crate::support::server::{ClosedPort, Server, free_port};
use crate::support::{Done, Folder, Program, Running, eventually, needs, podgate, program};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A server of grpcio.
struct Grpc {
    folder: Folder,
    _program: Program,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Grpc {
    /// `None` where grpcio is not installed.
    fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_in(Folder::new(), arguments)
    }

    fn start_in(folder: Folder, arguments: &[&str]) -> Option<Self> {
        let python = root().join("target/tools/grpc/bin/python3");
        if !needs("grpcio", python.exists()) {
            return None;
        }
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(python);
        command
            .arg(root().join("tests/support/grpc_server.py"))
            .args(["--port-to", "port"])
            .args(arguments)
            .current_dir(folder.path());
        let program = Program::start(command.stdout(Stdio::null()).stderr(log));
        Some(Self {
            folder,
            _program: program,
        })
    }

    /// The port on which it answers.
    fn port(&self) -> String {
        eventually("the port of the gRPC server", || {
            fs::read_to_string(self.folder.join("port")).ok()
        })
    }

    /// The check of a service; of the whole server if it is empty.
    fn url(&self, service: &str) -> String {
        let path = if service.is_empty() { "" } else { "/" };
        format!("grpc://127.0.0.1:{}{path}{service}", self.port())
    }
}

fn check(check: &str) -> Done {
    podgate(["check", check]).run()
}

#[test]
fn a_server_that_is_serving_passes() {
    let Some(server) = Grpc::start(&["--status", "a.B=SERVING", "--status", "c d=SERVING"]) else {
        return;
    };
    check(&server.url("")).code(0);
    check(&server.url("a.B")).code(0);
    check(&server.url("c%20d")).code(0);
    // Negative control: the name of the service counts.
    check(&server.url("a.C"))
        .code(1)
        .says("gRPC status 5 (NOT_FOUND)")
        .says("check the name of the service");
}

#[test]
fn a_service_that_is_not_serving_is_waited_for() {
    let arguments = ["--status", "app=NOT_SERVING", "--serving-when", "ready"];
    let Some(server) = Grpc::start(&arguments) else {
        return;
    };
    let url = server.url("app");
    check(&url).code(1).says("the health status is NOT_SERVING");
    let wait = podgate(["wait", &url, "--", "echo", "started"]).start();
    wait.says("the health status is NOT_SERVING");
    server.folder.file("ready", "");
    wait.finish()
        .code(0)
        .prints("started\n")
        .says("passed after");
}

#[test]
fn a_server_that_comes_later_is_waited_for() {
    let folder = Folder::new();
    let port = free_port().to_string();
    let wait = podgate(["wait", &format!("grpc://127.0.0.1:{port}")]).start();
    wait.says("connection refused");
    let address = format!("127.0.0.1:{port}");
    let Some(_server) = Grpc::start_in(folder, &["--address", &address]) else {
        return;
    };
    wait.finish().code(0);
}

#[test]
fn a_server_without_a_health_service_can_never_pass() {
    let Some(server) = Grpc::start(&["--no-health"]) else {
        return;
    };
    podgate(["wait", "--timeout", "60s", &server.url("")])
        .run()
        .code(1)
        .within(Duration::from_secs(20))
        .says("gRPC status 12 (UNIMPLEMENTED): Method not found!")
        .says("register grpc.health.v1.Health");
}

#[test]
fn a_status_is_shown_with_the_servers_own_words() {
    let Some(server) = Grpc::start(&["--fails", "UNAVAILABLE:grüß 100%\n\u{1b}[31m"]) else {
        return;
    };
    check(&server.url(""))
        .code(1)
        .says("gRPC status 14 (UNAVAILABLE): grüß 100%  [31m; ")
        .says_not("\u{1b}");
}

#[test]
fn a_unix_socket_is_asked() {
    let folder = Folder::new();
    let path = folder.text("grpc.sock");
    let address = format!("unix:{path}");
    let arguments = ["--address", &address, "--status", "app=NOT_SERVING"];
    let Some(server) = Grpc::start_in(folder, &arguments) else {
        return;
    };
    server.port();
    let url = format!("grpc+unix://{}", path.replace('/', "%2F"));
    check(&url).code(0);
    check(&format!("{url}/app")).code(1).says("NOT_SERVING");
    check(&format!("{url}x"))
        .code(1)
        .says("the path does not exist");
}

#[test]
fn not_passes_only_if_the_server_says_that_it_does_not_serve() {
    let Some(server) = Grpc::start(&["--status", "app=NOT_SERVING"]) else {
        return;
    };
    let not = |service: &str| check(&format!("not:{}", server.url(service)));
    not("app").code(0);
    not("unknown").code(0);
    not("").code(1);
    let refused = ClosedPort::new();
    check(&format!("not:grpc://127.0.0.1:{}", refused.port())).code(0);
    // Nobody can tell what another protocol or a closed connection means.
    let other = Server::status(503);
    check(&format!("not:grpc://{}", other.address)).code(1);
    let closes = Server::raw(drop);
    check(&format!("not:grpc://{}", closes.address)).code(1);
}

#[cfg(feature = "tls")]
mod tls {
    use super::{Grpc, check};
    use crate::support::{Folder, needs, output, podgate, program};
    use std::process::{Command, Stdio};

    /// A server whose certificate is its own CA and is for `localhost`.
    fn server(arguments: &[&str]) -> Option<Grpc> {
        if !needs("openssl", program("openssl", &[]).is_some()) {
            return None;
        }
        let folder = Folder::new();
        output(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
                .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
                .args(["-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=x"])
                .args(["-addext", "subjectAltName=DNS:localhost"])
                .current_dir(folder.path())
                .stderr(Stdio::null()),
        );
        let mut all = vec!["--certificate", "tls.crt", "--key", "tls.key"];
        all.extend(arguments);
        Grpc::start_in(folder, &all)
    }

    #[test]
    fn a_certificate_is_verified() {
        let Some(server) = server(&["--status", "app=NOT_SERVING"]) else {
            return;
        };
        let url = format!("grpcs://localhost:{}", server.port());
        let ca = server.folder.text("tls.crt");
        podgate(["check", "--tls-ca", &ca, &url]).run().code(0);
        podgate(["check", "--tls-insecure", &url]).run().code(0);
        podgate(["check", "--tls-ca", &ca, &format!("{url}/app")])
            .run()
            .code(1)
            .says("NOT_SERVING");
        check(&url).code(1).says("not signed by a trusted CA");
        let other = url.replace("localhost", "127.0.0.1");
        podgate(["check", "--tls-ca", &ca, &other])
            .run()
            .code(1)
            .says("for another name: localhost");
    }

    #[test]
    fn a_client_certificate_is_presented() {
        let Some(server) = server(&["--client-ca", "tls.crt"]) else {
            return;
        };
        let url = format!("grpcs://localhost:{}", server.port());
        let (ca, key) = (server.folder.text("tls.crt"), server.folder.text("tls.key"));
        let with = ["--tls-ca", &ca, "--tls-cert", &ca, "--tls-key", &key];
        podgate(["check"].iter().copied().chain(with).chain([&*url]))
            .run()
            .code(0);
        podgate(["check", "--tls-ca", &ca, &url]).run().code(1);
    }

    #[test]
    fn the_wrong_scheme_is_named() {
        let (Some(plain), Some(secure)) = (Grpc::start(&[]), server(&[])) else {
            return;
        };
        let url = |server: &Grpc, scheme| format!("{scheme}://localhost:{}", server.port());
        check(&url(&secure, "grpc")).code(1).says("grpcs://");
        podgate(["check", "--tls-insecure", &url(&plain, "grpcs")])
            .run()
            .code(1)
            .says("not TLS");
    }
}

/// Envoy with a listener on this port, before a gRPC server on another one.
fn envoy(folder: &Folder, port: u16, upstream: u16) -> Option<Program> {
    let envoy: PathBuf = root().join("target/tools/envoy/bin/envoy");
    if !needs("Envoy", envoy.exists()) {
        return None;
    }
    let http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
                HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let config = format!(
        r#"static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {http}
          stat_prefix: x
          http_filters: [{{name: router, typed_config: {{"@type": {router}}}}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: app}}}}]
  clusters:
  - name: app
    type: STATIC
    typed_extension_protocol_options:
      {options}:
        "@type": type.googleapis.com/{options}
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}
"#
    );
    let config = folder.file("envoy.yaml", &config);
    let log = fs::File::create(folder.join("envoy.log")).unwrap();
    let mut command = Command::new(envoy);
    command.args(["-c", &config, "--disable-hot-restart", "--concurrency", "1"]);
    Some(Program::start(command.stdout(Stdio::null()).stderr(log)))
}

#[test]
fn a_server_behind_envoy_is_waited_for() {
    let folder = Folder::new();
    let (port, upstream) = (free_port(), free_port());
    let Some(_envoy) = envoy(&folder, port, upstream) else {
        return;
    };
    let url = format!("grpc://127.0.0.1:{port}");
    podgate(["wait", &format!("tcp://127.0.0.1:{port}")])
        .run()
        .code(0);
    // A mesh accepts every connection. Only the answer shows that no server listens.
    check(&url)
        .code(1)
        .says("gRPC status 14 (UNAVAILABLE): upstream connect error");
    check(&format!("not:{url}")).code(0);
    let wait = podgate(["wait", &url, "--", "echo", "started"]).start();
    wait.says("gRPC status 14");
    comes_up(upstream, &url, wait);
}

/// Starts a server at `upstream`, which a proxy at `url` asks. `wait` has to see it.
fn comes_up(upstream: u16, url: &str, wait: Running) {
    let address = format!("127.0.0.1:{upstream}");
    let arguments = ["--address", &address, "--status", "app=NOT_SERVING"];
    let Some(_server) = Grpc::start(&arguments) else {
        return;
    };
    wait.finish().code(0).prints("started\n");
    check(&format!("{url}/app")).code(1).says("NOT_SERVING");
    check(&format!("{url}/other")).code(1).says("NOT_FOUND");
}

/// A proxy that speaks HTTP/2 on this port, before a gRPC server on another one. `None` where it is
/// not installed.
fn proxy(name: &str, folder: &Folder, port: u16, upstream: u16) -> Option<Program> {
    let found = program(name, &[]);
    if !needs(name, found.is_some()) {
        return None;
    }
    let mut command = Command::new(found?);
    let config = match name {
        "haproxy" => format!(
            "defaults\n mode http\n retries 0\n timeout client 5s\n timeout server 5s\n \
             timeout connect 1s\n\
             listen all\n bind 127.0.0.1:{port} proto h2\n \
             server app 127.0.0.1:{upstream} proto h2\n"
        ),
        _ => format!(
            "daemon off; pid pid; error_log log; events {{}}\n\
             http {{ access_log off; client_body_temp_path a; proxy_temp_path b; \
             fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;\n\
             server {{ listen 127.0.0.1:{port} http2; \
             location / {{ grpc_pass grpc://127.0.0.1:{upstream}; }} }} }}\n"
        ),
    };
    let config = folder.file("config", &config);
    match name {
        "haproxy" => command.args(["-f", &config]),
        _ => command.args([
            "-p",
            folder.path().to_str().unwrap(),
            "-e",
            "log",
            "-c",
            &config,
        ]),
    };
    let log = fs::File::create(folder.join("output")).unwrap();
    Some(Program::start(command.stdout(Stdio::null()).stderr(log)))
}

#[test]
fn a_server_behind_haproxy_or_nginx_is_waited_for() {
    for (name, status) in [("haproxy", "HTTP status 503"), ("nginx", "HTTP status 502")] {
        let folder = Folder::new();
        let (port, upstream) = (free_port(), free_port());
        let Some(_proxy) = proxy(name, &folder, port, upstream) else {
            continue;
        };
        let url = format!("grpc://127.0.0.1:{port}");
        let wait = podgate(["wait", &url, "--", "echo", "started"]).start();
        wait.says(&format!("{status} without a gRPC status"));
        comes_up(upstream, &url, wait);
    }
}

#[test]
fn a_server_of_another_protocol_is_named() {
    let http = Server::status(404);
    check(&format!("grpc://{}", http.address))
        .code(1)
        .says("the server speaks HTTP/1.1, and answers with status 404");
    let redis = Server::raw(|mut stream| {
        let _ = stream.write_all(b"-ERR unknown command 'PRI'\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    check(&format!("grpc://{}", redis.address))
        .code(1)
        .says("not HTTP/2: the server speaks the Redis protocol");
    let silent = Server::raw(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let url = format!("grpc://{}", silent.address);
    podgate(["check", "--attempt-timeout", "300ms", &url])
        .run()
        .code(1)
        .says("timed out after 300ms while waiting for the answer");
    let closes = Server::raw(drop);
    check(&format!("grpc://{}", closes.address))
        .code(1)
        .says("connection closed");
}

/// A server that sends its settings, and then these bytes without end. It reads only if `reads`.
fn flood(bytes: &'static [u8], reads: bool) -> Server {
    Server::raw(move |mut stream| {
        if reads && let Ok(mut other) = stream.try_clone() {
            std::thread::spawn(move || std::io::copy(&mut other, &mut std::io::sink()));
        }
        let _ = stream.set_write_timeout(Some(Duration::from_secs(20)));
        if stream.write_all(b"\0\0\0\x04\0\0\0\0\0").is_ok() {
            while stream.write_all(&bytes.repeat(100)).is_ok() {}
        }
    })
}

#[test]
fn a_flood_ends_the_attempt() {
    for (bytes, reads) in [
        (&b"\0\0\x08\x06\0\0\0\0\0abcdefgh"[..], true),
        (b"\0\0\x08\x06\0\0\0\0\0abcdefgh", false),
        (b"\0\0\0\x04\0\0\0\0\0", true),
        (b"\0\0\0\x04\0\0\0\0\0", false),
        (b"\0\0\0\xff\0\0\0\0\0", true),
    ] {
        let server = flood(bytes, reads);
        let url = format!("grpc://{}", server.address);
        podgate(["check", "--attempt-timeout", "20s", &url])
            .run()
            .code(1)
            .within(Duration::from_secs(10))
            .says("an answer of more than 65535 bytes");
    }
}
