//! The parts of the help that are not about one option: checks, exit codes, examples.

pub(super) const ABOUT: &str =
    "Starts a container when its sidecars are ready, and ends it with them";

pub(super) const VERSION: &str = if cfg!(feature = "tls") {
    concat!(env!("CARGO_PKG_VERSION"), " (with TLS)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (without TLS)")
};

pub(super) const BEGIN: &str = "\
podgate starts a container when its sidecars are ready, and ends it with them.
Start with one of these:

  # try once, for probes: exit code 0 or 1
  podgate check tcp://localhost:5432
  # wait until it is ready, for postStart
  podgate wait http://localhost:15021/healthz/ready
  # wait, then become app, for an entrypoint
  podgate wait http://localhost:15021/healthz/ready -- app

  # supervise app: other members see when it is ready, and how it ends
  podgate run --name main --after ready:proxy -- app
  # a sidecar that ends with main, however main ends
  podgate run --name proxy --until main -- envoy
  # ask a sidecar to stop, and wait until it is gone
  podgate quit istio

More: podgate --help, and podgate wait --help, podgate run --help and so on
";

pub(super) const CHECKS: &str = "\
Checks:
  http://HOST[:PORT]/PATH, https://…   the answer has a status of 200-399, as for the kubelet
  http+unix://%2Frun%2Fapp.sock/PATH   the same over a unix socket
  tcp://HOST:PORT                      a connection is accepted
  unix:///run/app.sock                 a connection is accepted
  listen://:PORT, listen://ADDR:PORT   a process of this pod listens (the server sees no connection)
  dns://NAME                           the name has an address
  file:///PATH, nonempty:///PATH       the path exists; it is a file that is not empty
  grpc://HOST:PORT[/SERVICE], grpcs://…, grpc+unix://%2Frun%2Fapp.sock[/SERVICE]
                                       the gRPC health service answers SERVING
  postgres://HOST:PORT, mysql://…, redis://…, postgres+unix://%2Frun%2F.s.PGSQL.5432
                                       the database accepts connections (no password is sent)
  exec:CMD ARG 'ARG 2'                 the command exits with 0 (it is not run by a shell)
  istio, envoy, linkerd, cloud-sql-proxy, alloydb-auth-proxy, dapr, vault-agent, consul-dataplane,
  kuma, otel-collector, tailscale      the sidecar's own readiness check passes (NAME[:PORT])
  started:NAME                         the member NAME is alive and running
  ready:NAME                           the member NAME is alive and ready
  gone:NAME                            the member NAME is not alive, or was never there
  succeeded:NAME                       the member NAME has ended with exit code 0
  not:CHECK                            CHECK definitely does not hold (not for members)
podgate prints a check as it was given, without the user and password of a URL. Do not put a secret
into another part of a check.

";

pub(super) const TIME: &str = "\
TIME is a number with a unit, such as 500ms, 30s or 1m30s.

";

pub(super) const WAIT: &str = "\
Exit codes: 0         the checks passed; with CMD: the exit code of CMD
            1         a check can never pass, or has reached --failure-threshold
            2         wrong usage, nothing was done
            124       the gate did not open within --timeout
            125       podgate itself failed
            126, 127  CMD cannot be executed, CMD was not found
A wait that is ended by a signal ends by that signal, which a shell shows as 128+n. As PID 1 it
exits with 128+n.

Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT. The checks are
PODGATE_CHECKS, one per line.
PODGATE_DISABLE=gates (or all, or 1) skips the wait, so that one image runs with and without a mesh.

Examples:
  # postStart of a sidecar: the next container starts when the proxy is ready
  podgate wait --log-to container http://localhost:15021/healthz/ready

  # the app's own entrypoint: a hard gate, the app does not start without its database
  podgate wait tcp://localhost:5432 'exec:pg_isready -q -h localhost' -- /app --serve

  # startupProbe of a native sidecar, with timeoutSeconds: 60
  podgate wait --timeout 55s unix:///run/app.sock
";

pub(super) const CHECK: &str = "\
Exit codes: 0         the checks passed
            1         they did not pass
            2         wrong usage, nothing was done
            125       podgate itself failed
A check that is ended by a signal ends by that signal, which a shell shows as 128+n. As PID 1 it
exits with 128+n.

Every option is also a variable, as for wait (PODGATE_HTTP_HEADER, …), except --attempt-timeout.
The variables of wait about timeouts, intervals and thresholds have no effect here.

Examples:
  # readinessProbe, exec: in an image without shell and curl
  podgate check http://localhost:8080/ready

  # livenessProbe of a server that must not see probes in its log
  podgate check listen://:5432

  # a unix socket or a port: one is enough
  podgate check --any http+unix://%2Frun%2Fapp.sock/health http://127.0.0.1:8080/health
";

pub(super) const RUN: &str = "\
Exit codes: CMD's own, and 128+n if it was killed by signal n, except:
            0         all members of --until ended with success; or CMD was asked to quit and has
                      --until, --outlive or --listen
            c         a member of --until failed with exit code c; 137 if it was lost (it died
                      without an exit code); always 0 under --restart-policy never
            143       stopped before it was ready
            69        a member of --needs ended
            124       the gate did not open within --after-timeout, or a member of --until did not
                      come within --absent-timeout
            1         a check can never pass
            2         wrong usage
            125       podgate itself failed
            126, 127  CMD cannot be executed, CMD was not found

Every option is also a variable: --until is PODGATE_UNTIL. Lists have one item per line.
PODGATE_DISABLE=all (or 1, or some of gates,quits,members) turns these off, so that one image runs
with and without a mesh.

Examples:
  # a Job's main container: starts when the proxy is ready
  podgate run --name main --after ready:proxy -- /job

  # its proxy: ends when main is done, even if main was OOM-killed; when the pod is deleted, it
  # lives as long as main does
  podgate run --name proxy --until main --ready http://localhost:9901/ready -- envoy -c /e.yaml

  # a Job beside a sidecar that is not wrapped: waits for it, and asks it to quit in the end
  podgate run --sidecar istio --restart-policy never -- /job

  # nginx beside an app in a Deployment: serves until the app is gone
  podgate run --name nginx --outlive app --stop-signal QUIT -- nginx -g 'daemon off;'
";

pub(super) const JOIN_UNTIL: &str = "Stop PID 1 when all of these members are done (repeatable)";

pub(super) const JOIN_ABSENT_TIMEOUT: &str = "\
Stop PID 1 if a member of --until has not come in this time
after the join";

pub(super) const JOIN: &str = "\
A small process stays in the container. It holds the member's lock, and dies with the container.
With --until it sends PID 1 the stop signal. PID 1 must end then, because no process can kill it
from inside its container. The exit code of PID 1 is not known: other members only see that it
ended.

Exit codes: 0         joined; with HOOK: the exit code of HOOK
            2         wrong usage, nothing was done
            124       not ready within --timeout
            125       podgate itself failed
            126, 127  HOOK cannot be executed, HOOK was not found
A join --wait that is ended by a signal ends by that signal, which a shell shows as 128+n.

Every option is also a variable: --until is PODGATE_UNTIL. Lists have one item per line.
PODGATE_DISABLE=members (or all, or 1) joins nothing, so that one image runs with and without a
mesh.

Examples:
  # postStart of an unmodified main container of a Job
  podgate join --name main --restart-policy never

  # postStart of its unmodified sidecar: ready when it answers, ended when main is done
  podgate join --name proxy --restart-policy never --ready tcp://localhost:5432 --wait --until main
";

pub(super) const QUIT_TARGETS: &str = "\
Targets:
  istio, envoy, linkerd, cloud-sql-proxy, alloydb-auth-proxy, dapr, vault-agent, consul-dataplane
                                       a sidecar that podgate knows; with other ports: envoy:9902,
                                       istio:READY:QUIT
  http://HOST[:PORT]/PATH, https://…   another sidecar, asked with a POST;
                                       also http+unix://%2Frun%2Fapp.sock/PATH
  member:NAME                          a member of this pod, asked on the volume
A target that refuses connections is already gone. A target that answers 2xx must refuse connections
afterwards. After any other answer it is asked again until --timeout is over.

";

pub(super) const QUIT: &str = "\
Exit codes: 0         all targets are gone
            1         a target is not gone within --timeout
            2         wrong usage, nothing was done
            125       podgate itself failed
A quit that is ended by a signal ends by that signal, which a shell shows as 128+n. As PID 1 it
exits with 128+n.

Every option is also a variable: --attempt-timeout is PODGATE_ATTEMPT_TIMEOUT, but --timeout is
PODGATE_QUIT_TIMEOUT.
PODGATE_DISABLE=quits (or all, or 1) asks no target, so that one image runs with and without a mesh.

Examples:
  # the end of a Job's own script, where Istio's proxy would not end by itself
  podgate quit istio

  # two targets at the same time, and more time than 10s
  podgate quit --timeout 30s cloud-sql-proxy http://localhost:8080/quitquitquit

  # a quit endpoint that wants a token
  podgate quit --quit-header 'Authorization: Bearer TOKEN' http://localhost:8080/quitquitquit
";

pub(super) const STATUS: &str = "\
States: waiting  for its own gate, or for others
        running  CMD runs and is not ready yet
        ready    CMD runs and is ready
        exited   it has published its end
        lost     it died without publishing its end
        absent   it has no record of this pod
        unknown  it is starting, or its record cannot be read

Exit codes: 0         the members are shown
            2         wrong usage
            125       the volume cannot be read
";

pub(super) const DOCTOR: &str = "\
Each line is one finding, and what to do about it.

Exit codes: 0         nothing is wrong
            1         something is wrong
            2         wrong usage
";

pub(super) const RESET: &str = "\
Run it in the first init container of a pod whose containers may all start again
(RestartAllContainers). It removes what the members of the last round left on the volume, so that an
old success does not count. In a new sandbox, after a crash or a reboot, it removes nothing, because
a container that had succeeded does not start again. It keeps the files of members that are alive,
and may be run again at any time before the other containers start.

Exit codes: 0         the volume is ready for this round
            2         wrong usage
            125       the volume cannot be reset

Every option is also a variable: --dir is PODGATE_DIR.
PODGATE_DISABLE=members (or all, or 1) resets nothing, so that one image runs with and without a
mesh.

Examples:
  # init container of an image that has podgate
  podgate reset

  # the same where the binary is installed first
  podgate install /podgate-bin --reset /run/podgate
";

pub(super) const INSTALL: &str = "\
The copy appears at once and whole (mode 0755), even where an older copy is running.
With --reset, the volume of the members is reset after that, as by podgate reset.

Exit codes: 0         the binary is copied, and the volume is ready for this round
            2         wrong usage
            125       the binary cannot be copied, or the volume cannot be reset

Examples:
  # init container, with the volume mounted at /podgate-bin; the other containers mount it read-only
  podgate install /podgate-bin/podgate

  # into a directory, with the name podgate; and forget the members of an earlier round
  podgate install /podgate-bin --reset /run/podgate
";
