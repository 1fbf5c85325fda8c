//! The sidecars that podgate knows by name (P8.1): one table for the code, its messages, README and
//! the reference.
//!
//! A preset gives a URL, which `check` reads like any other. It is asked by a plain GET, as by the
//! kubelet; the HTTP options do not apply, because the endpoint is the sidecar's own and not the
//! user's.

use super::url;
use std::fmt;

/// A known sidecar.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// Port and path of its readiness check. Without a path, an accepted connection is enough.
    ready: (u16, &'static str),
    /// Host, port and path of the POST that ends it.
    quit: (&'static str, u16, &'static str),
    /// What must be enabled for both.
    pub needs: &'static str,
    /// What a status means that refuses the quit.
    refusals: &'static [(u16, &'static str)],
}

/// Sources: pilot-agent's `cmd/pilot-agent/status/server.go`; Envoy's admin interface;
/// linkerd2-proxy#811 and linkerd2#12705; the Cloud SQL Auth Proxy's `--help`; Dapr's health and
/// metadata API; Vault's agent API; consul-dataplane's `lifecycle.go`.
const PRESETS: [Preset; 7] = [
    Preset {
        name: "istio",
        ready: (15021, "/healthz/ready"),
        // Loopback only, and by IPv4: pilot-agent compares the peer's address.
        quit: ("127.0.0.1", 15020, "/quitquitquit"),
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
        ready: (9901, "/ready"),
        quit: ("localhost", 9901, "/quitquitquit"),
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
        ready: (4191, "/ready"),
        quit: ("localhost", 4191, "/shutdown"),
        needs: "proxy.enableShutdownEndpoint=true, or the annotation \
                config.linkerd.io/proxy-admin-shutdown: enabled, to quit",
        refusals: &[
            (403, "it accepts a shutdown only from this pod"),
            (404, "its shutdown endpoint is not enabled"),
        ],
    },
    Preset {
        name: "cloud-sql-proxy",
        ready: (9090, "/startup"),
        quit: ("localhost", 9091, "/quitquitquit"),
        needs: "--health-check to be ready, --quitquitquit to quit",
        refusals: &[(404, "its quit endpoint is not enabled (--quitquitquit)")],
    },
    Preset {
        name: "dapr",
        ready: (3500, "/v1.0/healthz/outbound"),
        quit: ("localhost", 3500, "/v1.0/shutdown"),
        needs: "its HTTP API, without DAPR_API_TOKEN to quit",
        refusals: &[
            (401, "it wants a token, because DAPR_API_TOKEN is set"),
            (
                404,
                "its shutdown endpoint is not enabled here: this is not its HTTP API",
            ),
        ],
    },
    Preset {
        name: "vault-agent",
        // Its listeners have no common readiness path.
        ready: (8200, ""),
        quit: ("localhost", 8200, "/agent/v1/quit"),
        needs: "a tcp listener, with agent_api { enable_quit = true } to quit",
        refusals: &[(404, "its quit endpoint is not enabled (enable_quit)")],
    },
    Preset {
        name: "consul-dataplane",
        ready: (20300, "/graceful_startup"),
        quit: ("localhost", 20300, "/graceful_shutdown"),
        needs: "its graceful port; it answers 200 when its startup grace is over, even if Envoy \
                is not ready",
        refusals: &[(404, "its graceful shutdown is not enabled on this port")],
    },
];

/// A preset with its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sidecar {
    preset: &'static Preset,
    ready: u16,
    quit: u16,
}

impl Preset {
    /// Whether readiness and quit share a port.
    const fn has_one_port(&self) -> bool {
        self.ready.0 == self.quit.1
    }

    /// An example that sets its ports.
    fn example(&self) -> String {
        let (name, ready, quit) = (self.name, self.ready.0, self.quit.1);
        if self.has_one_port() {
            format!("use {name}:{ready}")
        } else {
            format!("use {name}:{ready}:{quit}")
        }
    }
}

impl Sidecar {
    /// Its readiness check.
    pub fn ready(self) -> String {
        match self.preset.ready.1 {
            "" => format!("tcp://localhost:{}", self.ready),
            path => format!("http://localhost:{}{path}", self.ready),
        }
    }

    /// The URL to POST to.
    pub fn quit(self) -> String {
        let (host, _, path) = self.preset.quit;
        format!("http://{host}:{}{path}", self.quit)
    }

    /// Its readiness port, if that is not the quit port. For such a sidecar a refused quit may only
    /// mean that quitting is not enabled.
    pub fn other_port(self) -> Option<u16> {
        Some(self.ready).filter(|ready| *ready != self.quit)
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
        ready: preset.ready.0,
        quit: preset.quit.1,
    };
    let Some(ports) = ports else {
        return Some(Ok(default));
    };
    let (ready, quit) = ports
        .split_once(':')
        .map_or((ports, None), |(ready, quit)| (ready, Some(quit)));
    let port = |text: &str| url::port(text, &preset.example());
    let read = || match quit {
        None if preset.has_one_port() => port(ready).map(|port| Sidecar {
            ready: port,
            quit: port,
            ..default
        }),
        None => port(ready).map(|ready| Sidecar { ready, ..default }),
        Some(_) if preset.has_one_port() => Err(format!("has only one port; {}", preset.example())),
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
    use super::{Names, PRESETS, nearest, parse};
    use proptest::prelude::*;

    fn both(text: &str) -> (String, String) {
        let sidecar = parse(text)
            .expect("a preset")
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        (sidecar.ready(), sidecar.quit())
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
        let sidecar = |text: &str| parse(text).expect("a preset").expect("its ports");
        assert_eq!(sidecar("istio").other_port(), Some(15021));
        assert_eq!(sidecar("istio:15020").other_port(), None);
        assert_eq!(sidecar("dapr").other_port(), None);
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
                (port, "") => format!("accepts at localhost:{port}"),
                (port, path) => format!("GET localhost:{port}{path}"),
            };
            let (host, port, path) = preset.quit;
            let ports = if preset.has_one_port() {
                format!("{}:PORT", preset.name)
            } else {
                format!("{}:READY:QUIT", preset.name)
            };
            let row = format!(
                "| `{}` | {ready} | POST {host}:{port}{path} | {} | `{ports}` |",
                preset.name, preset.needs
            );
            assert_eq!(rows.next(), Some(row.as_str()));
        }
        assert_eq!(rows.next(), Some(""));
        assert!(Names.to_string().starts_with("istio, envoy, linkerd"));
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
