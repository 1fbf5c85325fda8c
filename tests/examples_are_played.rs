//! The examples do what their comments promise: each is played by the kubelet's rules, as it is written, with programs of the test in its
//! images' place.

use crate::support::kubelet::Phase;
use crate::support::player::{Image, Manifest, app, fake};

const REPORT: &str = "registry.example/report:1";
const ENVOY: &str = "envoyproxy/envoy:v1.31.0";

fn envoy(arguments: &str) -> (&'static str, Image) {
    (ENVOY, Image::new("envoy", &fake(&format!("proxy --ready 9901/ready {arguments}"))))
}

fn report(script: &str) -> (&'static str, Image) {
    (REPORT, Image::new("/report", script))
}

#[test]
fn job_wrapped_sidecar_runs_when_the_proxy_is_ready_and_ends_when_the_job_is_done() {
    let manifest = Manifest::example("job-wrapped-sidecar.yaml");
    let Some(played) = manifest.play(&[envoy("--after 0.3"), report(&app("report", 0, 0.0))]) else { return };
    played.allow("end-report");
    played.ends_as(Phase::Succeeded, &[("podgate", &[0]), ("report", &[0]), ("proxy", &[0])]);
    played.happened(&["proxy up", "proxy ready", "report up", "report ended", "proxy told", "proxy ended"]);
}
