//! What the help says beside the options: what each command is for, its exit codes, examples.

pub(super) const ABOUT: &str =
    "Starts a container when its sidecars are ready, and ends it with them";

pub(super) const VERSION: &str = if cfg!(feature = "tls") {
    concat!(env!("CARGO_PKG_VERSION"), " (with TLS)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (without TLS)")
};

pub(super) const BEGIN: &str = "\
podgate starts a container when its sidecars are ready, and ends it with them.
Begin with one of these:

  # one attempt: exit 0 or 1, for probes
  podgate check tcp://localhost:5432
  # until it is ready, for postStart
  podgate wait http://localhost:15021/healthz/ready
  # then become app, as an entrypoint
  podgate wait http://localhost:15021/healthz/ready -- app

  # supervise app: others see when it is ready, and how it ends
  podgate run --name main --after ready:proxy -- app
  # a sidecar that ends with main, however main ends
  podgate run --name proxy --until main -- envoy
  # ask a sidecar to stop, and see that it did
  podgate quit istio

More: podgate --help, and podgate wait --help, podgate run --help and so on
";

pub(super) const CHECKS: &str = "\
Checks:
  http://HOST[:PORT]/PATH, https://…   the answer's status is 200-399, as the kubelet has it
  http+unix://%2Frun%2Fapp.sock/PATH   the same over a unix socket
  tcp://HOST:PORT                      a connection is accepted
  unix:///run/app.sock                 a connection is accepted
  listen://:PORT, listen://ADDR:PORT   a process of this pod listens (the server sees no connection)
  file:///PATH                         the path exists
  exec:CMD ARG 'ARG 2'                 the command exits 0 (no shell is run)
  istio, envoy, linkerd, cloud-sql-proxy, dapr, vault-agent, consul-dataplane (NAME[:PORT])
                                       the sidecar's own readiness check passes
  started:NAME, ready:NAME             the member NAME is alive and runs, is alive and ready
  gone:NAME, succeeded:NAME            it is not alive (or never came); it ended with exit code 0
A check is printed as it was given, except for the user and password of a URL: put no secret into
arguments or into a query.

";

pub(super) const WAIT: &str = "\
Exit codes: 0 passed (or CMD's, once it runs) · 1 a check can never pass, or reached
            --failure-threshold · 2 usage · 124 timed out · 125 podgate failed
            126 CMD cannot be executed · 127 CMD not found · 128+n ended by signal n
Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT; checks are
PODGATE_CHECKS, one a line.
PODGATE_DISABLE=gates (or all, or 1) skips the wait: one image, with and without its mesh.

Examples:
  # postStart of a sidecar: the next container starts when the proxy is ready
  podgate wait --log-to container http://localhost:15021/healthz/ready

  # the app's own entrypoint: a hard gate, the app does not start without its database
  podgate wait tcp://localhost:5432 'exec:pg_isready -q -h localhost' -- /app --serve

  # startupProbe of a native sidecar, with timeoutSeconds: 60
  podgate wait --timeout 55s unix:///run/app.sock
";

pub(super) const CHECK: &str = "\
Exit codes: 0 passed · 1 did not pass · 2 usage · 125 podgate failed · 128+n ended by signal n
Every option is also a variable, as for wait (PODGATE_HTTP_HEADER, …), except --attempt-timeout.
The schedule and the thresholds of wait do not reach a probe.

Examples:
  # readinessProbe, exec: in an image without shell and curl
  podgate check http://localhost:8080/ready

  # livenessProbe of a server that must not see probes in its log
  podgate check listen://:5432

  # a unix socket or the port: one is enough
  podgate check --any http+unix://%2Frun%2Fapp.sock/health http://127.0.0.1:8080/health
";

pub(super) const RUN: &str = "\
Exit codes: CMD's own, 128+n for signal n
            0 all of --until are done with success, or CMD was asked to quit (it has --until,
            or --outlive or --listen) · c when one of --until failed with c, 137 when it was lost
            (both are 0 under --restart-policy never) · 143 told to stop before it was ready
            69 a member of --needs ended · 124 timed out · 1 a check can never pass · 2 usage
            125 podgate failed · 126 CMD cannot be executed · 127 CMD not found
Every option is also a variable: --until is PODGATE_UNTIL; lists have one item a line.
PODGATE_DISABLE=all (or 1, or some of gates,quits,members) takes that away: one image, with and
without its mesh.

Examples:
  # a Job's main container: starts when the proxy is ready
  podgate run --name main --after ready:proxy -- /job

  # its proxy: ends when main is done, also when main was OOM-killed; on pod deletion it lives as
  # long as main does
  podgate run --name proxy --until main --ready http://localhost:9901/ready -- envoy -c /e.yaml

  # a Job beside a sidecar that is not wrapped: waits for it, and asks it to quit in the end
  podgate run --sidecar istio --restart-policy never -- /job

  # nginx beside an app in a Deployment: serves until the app is gone
  podgate run --name nginx --outlive app --stop-signal QUIT -- nginx -g 'daemon off;'
";

pub(super) const JOIN: &str = "\
A small process stays behind in the container; it holds the member's lock, and dies with the
container. With --until it sends PID 1 the stop signal; PID 1 must end then, because nobody can kill
it from inside. Its exit code cannot be known: others see that it ended.
Exit codes: 0 joined (or HOOK's) · 2 usage · 124 not ready within --timeout · 125 podgate failed
            128+n ended by signal n

Examples:
  # postStart of an unmodified main container of a Job
  podgate join --name main --restart-policy never

  # postStart of its unmodified sidecar: ready when it answers, ended when main is done
  podgate join --name proxy --restart-policy never --ready tcp://localhost:5432 --wait --until main
";

pub(super) const QUIT: &str = "\
Targets:
  istio, envoy, linkerd, cloud-sql-proxy, dapr, vault-agent, consul-dataplane
                                       a sidecar that podgate knows; other ports: envoy:9902,
                                       istio:READY:QUIT
  http://HOST[:PORT]/PATH, https://…   another one, asked with a POST;
                                       also http+unix://%2Frun%2Fapp.sock/PATH
  member:NAME                          a member of this pod, asked on the volume
A target that refuses connections is gone already. A target that answers 2xx has to refuse
connections afterwards; after any other answer it is asked again until --timeout is over.

Exit codes: 0 all are gone · 1 one is not · 2 usage · 125 podgate failed · 128+n ended by signal n
Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT; --timeout is
PODGATE_QUIT_TIMEOUT.
PODGATE_DISABLE=quits (or all, or 1) asks nobody: one image, with and without its mesh.

Examples:
  # the end of a Job's own script, where Istio's proxy would never end
  podgate quit istio

  # two at once, and more time than 10s
  podgate quit --timeout 30s cloud-sql-proxy http://localhost:8080/quitquitquit
";

pub(super) const STATUS: &str = "\
States: waiting (for others) · running · ready · exited · lost (died without an end in its record) ·
        absent · unknown (its record cannot be read)
Exit codes: 0 shown · 2 usage · 125 the volume cannot be read
";

pub(super) const DOCTOR: &str = "\
Exit codes: 0 nothing is wrong · 1 something is wrong · 2 usage
";

pub(super) const INSTALL: &str = "\
The copy appears at once and whole (mode 0755), even where an older one runs.
Exit codes: 0 copied · 2 usage · 125 it could not be copied

Examples:
  # init container, with the volume mounted at /podgate-bin; the other containers mount it read-only
  podgate install /podgate-bin/podgate

  # into a directory, under its own name
  podgate install /podgate-bin
";
