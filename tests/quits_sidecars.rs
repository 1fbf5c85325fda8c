//! Sidecars by name: their readiness as a check, and their end on request.

use crate::support::podgate;
use crate::support::server::{ClosedPort, Server, answer};

/// A server that says what `answer` makes of `METHOD PATH`.
fn sidecar(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> Server {
    Server::http(move |head| {
        let line = head.split(" HTTP/").next().unwrap_or_default();
        answer(status(line), &[], "")
    })
}

#[test]
fn a_preset_is_a_check_of_its_readiness() {
    let server = sidecar(|line| if line == "GET /healthz/ready" { 200 } else { 404 });
    podgate(["check", &format!("istio:{}", server.port())]).run().code(0).says(&format!("\"istio:{}\"", server.port()));
    podgate(["wait", &format!("istio:{}:1", server.port()), "--", "echo", "started"]).run().code(0).prints("started\n");
    let done = podgate(["check", &format!("cloud-sql-proxy:{}", server.port())]).run();
    done.code(1).says("answered 404").says("--health-check");
    podgate(["check", &format!("vault-agent:{}", server.port())]).run().code(0);
    let closed = ClosedPort::new();
    podgate(["check", &format!("dapr:{}", closed.port())]).run().code(1).says("refused").says("its HTTP API");
}

#[test]
fn options_about_http_checks_never_reach_a_preset() {
    let app = sidecar(|line| if line == "POST /app" { 503 } else { 404 });
    let proxy = sidecar(|line| if line == "GET /ready" { 204 } else { 404 });
    let (url, preset) = (app.url("/app"), format!("envoy:{}", proxy.port()));
    let options = ["-H", "X-Secret: s3cret", "--http-method", "POST", "--http-status", "503"];
    podgate(["check"].iter().chain(&options).copied().chain([url.as_str(), &preset])).run().code(0);
    assert!(app.requests()[0].to_lowercase().contains("x-secret: s3cret"), "{:?}", app.requests());
    let asked = proxy.requests();
    assert!(asked[0].starts_with("GET /ready ") && !asked[0].to_lowercase().contains("secret"), "{asked:?}");
    // From the environment they may be meant for another call.
    let done =
        podgate(["check", &preset]).env("PODGATE_HTTP_HEADER", "X-Secret: s3cret").env("PODGATE_HTTP_STATUS", "503");
    done.run().code(0);
    assert!(!proxy.requests()[1].contains("s3cret"));
}
