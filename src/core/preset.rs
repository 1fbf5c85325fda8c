//! The sidecars that podgate knows by name (P8.1): one table for the code, its messages, README and
//! the reference.
//!
//! A preset gives a URL, which `check` reads like any other. It is asked by a plain GET, as by the
//! kubelet; the HTTP options do not apply, because the endpoint is the sidecar's own and not the
//! user's.

use super::url::{self, Host, Server};
use std::fmt;
use std::time::Duration;

/// Host, port and path.
type Endpoint = (&'static str, u16, &'static str);

/// A known sidecar.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its readiness check. Without a path, an accepted connection is enough.
    ready: Endpoint,
    /// The POST that ends it. `None` if no request does.
    quit: Option<Endpoint>,
    /// What must be enabled for both.
    pub needs: &'static str,
    /// What a status means that refuses the quit.
    refusals: &'static [(u16, &'static str)],
}

/// The header that Dapr's HTTP API wants where DAPR_API_TOKEN is set, and its preset.
pub const DAPR: (&str, &str) = ("dapr", "dapr-api-token");

/// What the Cloud SQL Auth Proxy and the AlloyDB Auth Proxy, which have the same options, need.
const AUTH_PROXY: (&str, &[(u16, &str)]) = (
    "--health-check to be ready, --quitquitquit to quit",
    &[(404, "its quit endpoint is not enabled (--quitquitquit)")],
);

/// Sources: pilot-agent's `cmd/pilot-agent/status/server.go`; Envoy's admin interface;
/// linkerd2-proxy#811 and linkerd2#12705; `--help` of the Cloud SQL Auth Proxy and of the AlloyDB
/// Auth Proxy; Dapr's health and metadata API and `pkg/api/http/middlewares.go`; Vault's agent API;
/// consul-dataplane's `lifecycle.go` with the ports of consul-k8s' `constants.go`; kuma-dp's
/// readiness reporter; the Collector's extension `healthcheckextension`; tailscale's
/// `cmd/containerboot`.
const PRESETS: [Preset; 11] = [
    Preset {
        name: "istio",
        ready: ("localhost", 15021, "/healthz/ready"),
        // Loopback only, and by IPv4: pilot-agent compares the peer's address.
        quit: Some(("127.0.0.1", 15020, "/quitquitquit")),
        needs: "pilot-agent's status port (the annotation status.sidecar.istio.io/port sets \
                another)",
        refusals: &[
            (403, "it accepts a quit only from 127.0.0.1"),
            (
                404,
                "its quit endpoint is not enabled here: this is not pilot-agent's status port",
            ),
        ],
    },
    Preset {
        name: "envoy",
        ready: ("localhost", 9901, "/ready"),
        quit: Some(("localhost", 9901, "/quitquitquit")),
        needs: "an admin address in its bootstrap",
        refusals: &[
            (
                403,
                "its admin address does not allow this path (allow_paths)",
            ),
            (
                404,
                "its quit endpoint is not enabled here: this is not its admin address",
            ),
        ],
    },
    Preset {
        name: "linkerd",
        ready: ("localhost", 4191, "/ready"),
        quit: Some(("localhost", 4191, "/shutdown")),
        needs: "proxy.enableShutdownEndpoint=true, or the annotation \
                config.linkerd.io/proxy-admin-shutdown: enabled, to quit",
        refusals: &[
            (403, "it accepts a shutdown only from this pod"),
            (404, "its shutdown endpoint is not enabled"),
        ],
    },
    Preset {
        name: "cloud-sql-proxy",
        ready: ("localhost", 9090, "/startup"),
        quit: Some(("localhost", 9091, "/quitquitquit")),
        needs: AUTH_PROXY.0,
        refusals: AUTH_PROXY.1,
    },
    Preset {
        name: "alloydb-auth-proxy",
        ready: ("localhost", 9090, "/startup"),
        quit: Some(("localhost", 9091, "/quitquitquit")),
        needs: AUTH_PROXY.0,
        refusals: AUTH_PROXY.1,
    },
    Preset {
        name: "dapr",
        ready: ("localhost", 3500, "/v1.0/healthz/outbound"),
        quit: Some(("localhost", 3500, "/v1.0/shutdown")),
        needs: "its HTTP API, and its DAPR_API_TOKEN, if it has one, to quit",
        refusals: &[
            (
                401,
                "it wants its token: set DAPR_API_TOKEN in this container, too",
            ),
            (
                404,
                "its shutdown endpoint is not enabled here: this is not its HTTP API",
            ),
        ],
    },
    Preset {
        name: "vault-agent",
        // Its listeners have no common readiness path.
        ready: ("localhost", 8200, ""),
        quit: Some(("localhost", 8200, "/agent/v1/quit")),
        needs: "a tcp listener, with agent_api { enable_quit = true } to quit (the annotation \
                vault.hashicorp.com/agent-enable-quit)",
        refusals: &[(404, "its quit endpoint is not enabled (enable_quit)")],
    },
    Preset {
        name: "consul-dataplane",
        ready: ("127.0.0.1", 19000, "/ready"),
        quit: Some(("127.0.0.1", 20600, "/graceful_shutdown")),
        needs: "Envoy's admin port, and lifecycle management, as consul-k8s enables it, to quit",
        refusals: &[(404, "its graceful shutdown is not enabled on this port")],
    },
    Preset {
        name: "kuma",
        ready: ("127.0.0.1", 9902, "/ready"),
        quit: None,
        needs: "kuma-dp's readiness port, which is on by default",
        refusals: &[],
    },
    Preset {
        name: "otel-collector",
        ready: ("localhost", 13133, "/"),
        quit: None,
        needs: "the extension health_check",
        refusals: &[],
    },
    Preset {
        name: "tailscale",
        ready: ("localhost", 9002, "/healthz"),
        quit: None,
        needs: "TS_ENABLE_HEALTH_CHECK=true",
        refusals: &[],
    },
];

/// A preset with its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar {
    preset: &'static Preset,
    ready: u16,
    /// The same as `ready` if the preset has one port.
    quit: u16,
}

impl Preset {
    /// The port of the quit request, if it is not the readiness port.
    fn quit_port(&self) -> Option<u16> {
        self.quit
            .map(|it| it.1)
            .filter(|quit| *quit != self.ready.1)
    }

    /// An example that sets its ports.
    fn example(&self) -> String {
        let (name, ready) = (self.name, self.ready.1);
        match self.quit_port() {
            None => format!("use {name}:{ready}"),
            Some(quit) => format!("use {name}:{ready}:{quit}"),
        }
    }
}

impl Sidecar {
    pub const fn name(self) -> &'static str {
        self.preset.name
    }

    /// Its readiness check.
    pub fn ready(self) -> String {
        match self.preset.ready {
            (host, _, "") => format!("tcp://{host}:{}", self.ready),
            (host, _, path) => format!("http://{host}:{}{path}", self.ready),
        }
    }

    /// The URL to POST to. `None` if no request ends it.
    pub fn quit(self) -> Option<String> {
        let (host, _, path) = self.preset.quit?;
        Some(format!("http://{host}:{}{path}", self.quit))
    }

    /// Server and port of its readiness, if that is not the quit port. For such a sidecar a refused
    /// quit may only mean that quitting is not enabled.
    pub fn other_port(self) -> Option<(Server, u16)> {
        let host = self.preset.ready.0;
        let host = host
            .parse()
            .map_or_else(|_| Host::Name(host.to_owned()), Host::Address);
        Some((Server::Host(host, None), self.ready)).filter(|_| self.ready != self.quit)
    }

    /// How long its quit takes, where that is longer than other quits do.
    pub fn quit_time(self) -> Option<Duration> {
        // consul-k8s sets a shutdown grace of 30 s: Envoy runs on for so long after the answer.
        (self.preset.name == "consul-dataplane").then_some(Duration::from_secs(40))
    }

    pub const fn needs(self) -> &'static str {
        self.preset.needs
    }

    /// What this status means as the answer to its quit, if that is known for this sidecar.
    pub fn refusal(self, status: u16) -> Option<&'static str> {
        let found = self.preset.refusals.iter().find(|(it, _)| *it == status);
        found.map(|(_, meaning)| *meaning)
    }
}

/// The names, for messages.
pub struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, preset) in PRESETS.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(preset.name)?;
        }
        Ok(())
    }
}

/// Reads `NAME[:READY[:QUIT]]`. `None` if the text does not name a preset.
///
/// # Errors
/// The ports are wrong; with a right example.
pub fn parse(text: &str) -> Option<Result<Sidecar, String>> {
    let (name, ports) = text
        .split_once(':')
        .map_or((text, None), |(name, ports)| (name, Some(ports)));
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    let default = Sidecar {
        preset,
        ready: preset.ready.1,
        quit: preset.quit_port().unwrap_or(preset.ready.1),
    };
    let Some(ports) = ports else {
        return Some(Ok(default));
    };
    let (ready, quit) = ports
        .split_once(':')
        .map_or((ports, None), |(ready, quit)| (ready, Some(quit)));
    let port = |text: &str| url::port(text, &preset.example());
    let has_one_port = preset.quit_port().is_none();
    let read = || match quit {
        None if has_one_port => port(ready).map(|port| Sidecar {
            ready: port,
            quit: port,
            ..default
        }),
        None => port(ready).map(|ready| Sidecar { ready, ..default }),
        Some(_) if has_one_port => Err(format!("has only one port; {}", preset.example())),
        Some(quit) => Ok(Sidecar {
            ready: port(ready)?,
            quit: port(quit)?,
            ..default
        }),
    };
    Some(read())
}

/// The preset that a text may have been meant as: `Istio`, `istio-proxy`, `cloudsql`, `daprd`.
pub fn nearest(text: &str) -> Option<&'static str> {
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return None;
    }
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let typed = plain(name);
    let is_near = |preset: &&Preset| {
        let known = plain(preset.name);
        typed.starts_with(&known) || (typed.len() >= 4 && known.starts_with(&typed))
    };
    PRESETS.iter().find(is_near).map(|preset| preset.name)
}

#[cfg(test)]
mod tests {
    use super::{DAPR, Names, PRESETS, Sidecar, nearest, parse};
    use crate::core::url::{Host, Server};
    use proptest::prelude::*;

    fn both(text: &str) -> (String, String) {
        let sidecar = parse(text)
            .expect("a preset")
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        (sidecar.ready(), sidecar.quit().unwrap_or_default())
    }

    fn pair(ready: &str, quit: &str) -> (String, String) {
        (ready.to_owned(), quit.to_owned())
    }

    #[test]
    fn each_preset_has_its_own_ports_to_override() {
        let istio = |ready: u16, quit: u16| {
            pair(
                &format!("http://localhost:{ready}/healthz/ready"),
                &format!("http://127.0.0.1:{quit}/quitquitquit"),
            )
        };
        assert_eq!(both("istio"), istio(15021, 15020));
        assert_eq!(both("istio:1"), istio(1, 15020));
        assert_eq!(both("istio:1:2"), istio(1, 2));
        assert_eq!(
            both("envoy:1"),
            pair(
                "http://localhost:1/ready",
                "http://localhost:1/quitquitquit"
            )
        );
        assert_eq!(
            both("vault-agent:1"),
            pair("tcp://localhost:1", "http://localhost:1/agent/v1/quit")
        );
        assert_eq!(
            both("consul-dataplane"),
            pair(
                "http://127.0.0.1:19000/ready",
                "http://127.0.0.1:20600/graceful_shutdown"
            )
        );
        let other = |text: &str| sidecar(text).other_port();
        let host = |host, port| Some((Server::Host(host, None), port));
        let localhost = || Host::Name("localhost".to_owned());
        assert_eq!(other("istio"), host(localhost(), 15021));
        assert_eq!(
            other("consul-dataplane:1:2"),
            host(Host::Address([127, 0, 0, 1].into()), 1)
        );
        for one_port in ["istio:15020", "dapr", "kuma"] {
            assert_eq!(other(one_port), None);
        }
    }

    fn sidecar(text: &str) -> Sidecar {
        parse(text).expect("a preset").expect("its ports")
    }

    #[test]
    fn a_sidecar_that_no_request_ends_has_only_a_readiness_check() {
        for (text, ready) in [
            ("kuma", "http://127.0.0.1:9902/ready"),
            ("otel-collector", "http://localhost:13133/"),
            ("tailscale", "http://localhost:9002/healthz"),
            ("tailscale:1", "http://localhost:1/healthz"),
        ] {
            assert_eq!(both(text), pair(ready, ""), "{text}");
        }
    }

    #[test]
    fn only_a_sidecar_with_a_long_grace_has_its_own_quit_time() {
        let long = PRESETS
            .iter()
            .filter(|it| sidecar(it.name).quit_time().is_some());
        let long: Vec<_> = long.map(|it| it.name).collect();
        assert_eq!(long, ["consul-dataplane"]);
    }

    #[test]
    fn other_ports_are_refused_with_an_example() {
        for (text, part) in [
            ("envoy:", "65535; use envoy:9901"),
            ("envoy:0", "1 to 65535"),
            ("envoy:+1", "1 to 65535"),
            ("envoy:65536", "1 to 65535"),
            ("envoy:1:2", "one port; use envoy:9901"),
            ("envoy:1/ready", "1 to 65535"),
            ("istio:1:", "use istio:15021:15020"),
            ("istio:1:2:3", "use istio:15021:15020"),
            ("kuma:1:2", "one port; use kuma:9902"),
            ("cloud-sql-proxy::1", "use cloud-sql-proxy:9090:9091"),
        ] {
            let error = parse(text).expect("a preset").expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in [
            "",
            "Istio",
            "istio-proxy",
            "db:5432",
            "http://istio",
            "istio/ready",
            "exec:istio",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_nearly_a_preset_is_recognised() {
        for (text, name) in [
            ("Istio", "istio"),
            ("ISTIO:15021", "istio"),
            ("istio-proxy", "istio"),
            ("envoyproxy", "envoy"),
            ("linkerd2", "linkerd"),
            ("cloudsql", "cloud-sql-proxy"),
            ("cloud_sql_proxy", "cloud-sql-proxy"),
            ("daprd", "dapr"),
            ("vault", "vault-agent"),
            ("consul", "consul-dataplane"),
            ("alloydb", "alloydb-auth-proxy"),
            ("kuma-dp", "kuma"),
            ("otelcol", "otel-collector"),
            ("tailscaled", "tailscale"),
        ] {
            assert_eq!(nearest(text), Some(name), "{text}");
        }
        for text in [
            "db:5432",
            "",
            "app",
            "env",
            "/istio",
            "istio.example:80",
            "localhost:80/ready",
        ] {
            assert_eq!(nearest(text), None, "{text}");
        }
    }

    #[test]
    fn readme_has_the_same_table() {
        is_the_table(include_str!("../../README.md"));
    }

    #[test]
    fn the_reference_has_the_same_table() {
        is_the_table(include_str!("../../docs/reference.md"));
    }

    fn is_the_table(page: &str) {
        let mut rows = page
            .lines()
            .skip_while(|line| !line.starts_with("| preset | ready | quit"))
            .skip(2);
        for preset in &PRESETS {
            let ready = match preset.ready {
                (host, port, "") => format!("accepts at {host}:{port}"),
                (host, port, path) => format!("GET {host}:{port}{path}"),
            };
            let quit = match preset.quit {
                Some((host, port, path)) => format!("POST {host}:{port}{path}"),
                None => "none: `run --until`".to_owned(),
            };
            let ports = match preset.quit_port() {
                None => format!("{}:PORT", preset.name),
                Some(_) => format!("{}:READY:QUIT", preset.name),
            };
            let row = format!(
                "| `{}` | {ready} | {quit} | {} | `{ports}` |",
                preset.name, preset.needs
            );
            assert_eq!(rows.next(), Some(row.as_str()));
        }
        assert_eq!(rows.next(), Some(""));
        assert!(Names.to_string().starts_with("istio, envoy, linkerd"));
        assert!(PRESETS.iter().any(|preset| preset.name == DAPR.0));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", rest in "[0-9:+]{0,8}") {
            let _ = (
                parse(&text),
                nearest(&text),
                parse(&format!("istio{rest}")),
                parse(&format!("envoy{rest}")),
            );
        }
    }
}
