//! Wrong calls: each message names the wrong value and shows a right example. Nothing is started,
//! and the exit code is 2.

use crate::support::{Folder, podgate};

/// Arguments, variables (`NAME=value`), and what the message must contain.
type Case = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const CASES: &[Case] = &[
    // Checks.
    (
        &["wait", "db:5432"],
        &[],
        &["\"db:5432\"", "use tcp://db:5432"],
    ),
    (
        &["wait", "localhost:8080/ready"],
        &[],
        &["use http://localhost:8080/ready"],
    ),
    (&["wait", ":8080"], &[], &["use listen://:8080"]),
    (&["wait", "8080"], &[], &["tcp://localhost:8080"]),
    (
        &["wait", "/run/app.sock"],
        &[],
        &["file:///run/app.sock", "unix:///run/app.sock"],
    ),
    (&["wait", ""], &[], &["empty", "http://"]),
    (
        &["wait", "nonsense"],
        &[],
        &["\"nonsense\"", "http://", "exec:"],
    ),
    (&["wait", "app", "--serve"], &[], &["--serve", "after `--`"]),
    (
        &["wait", "-timeout", "10s", "tcp://h:1"],
        &[],
        &["\"-timeout\"", "use two dashes: --timeout"],
    ),
    (
        &["wait", "-wait", "tcp://h:1"],
        &[],
        &["\"-wait\"", "plain words: podgate wait tcp://"],
    ),
    (&["wait", "Istio"], &[], &["\"Istio\"", "use istio "]),
    (&["wait", "istio-proxy"], &[], &["use istio "]),
    (&["wait", "cloudsql"], &[], &["use cloud-sql-proxy "]),
    (
        &["wait", "vault:8200"],
        &[],
        &["use vault-agent ", "tcp://HOST:8200"],
    ),
    (&["wait", "envoy:"], &[], &["1 to 65535", "use envoy:9901"]),
    (
        &["wait", "linkerd:1:2"],
        &[],
        &["one port", "use linkerd:4191"],
    ),
    (
        &["wait", "istio:1:2:3"],
        &[],
        &["1 to 65535", "use istio:15021:15020"],
    ),
    (
        &["wait", "redis://localhost"],
        &[],
        &[
            "\"redis://localhost\"",
            "needs a port",
            "use redis://localhost:6379",
        ],
    ),
    (
        &["wait", "postgres://user:secret@db:5432"],
        &[],
        &[
            "does not take a user or password: no password is sent",
            "use postgres://localhost:5432",
        ],
    ),
    (
        &["wait", "postgresql://user:secret@db/app"],
        &[],
        &["\"postgresql://***@db/app\"", "user or password"],
    ),
    (
        &["wait", "mysql://secret@db:3306"],
        &[],
        &["user or password", "use mysql://localhost:3306"],
    ),
    (
        &["wait", "redis://:secret@db:6379/0"],
        &[],
        &["user or password", "use redis://localhost:6379"],
    ),
    (
        &["wait", "grpc://user:secret@db:50051"],
        &[],
        &["user or password", "use grpc://localhost:50051"],
    ),
    (
        &["wait", "postgres://db:5432/app?sslmode=disable"],
        &[],
        &["does not take a path or parameters: no database is opened"],
    ),
    (
        &["wait", "grpc://localhost"],
        &[],
        &["needs a port", "use grpc://localhost:50051"],
    ),
    (
        &["wait", "dns://127.0.0.1"],
        &[],
        &["is an address", "use dns://db"],
    ),
    (
        &["wait", "dns://db:53"],
        &[],
        &["does not take a port", "use dns://db"],
    ),
    (
        &["wait", "nonempty://run/ready"],
        &[],
        &["needs an absolute path", "use nonempty:///run/ready"],
    ),
    // Other tools' words.
    (
        &["wait", "!tcp://db:5432"],
        &[],
        &["\"!tcp://db:5432\"", "use not:tcp://db:5432"],
    ),
    (
        &["wait", "tcp:db:5432"],
        &[],
        &["\"tcp:db:5432\"", "use tcp://db:5432"],
    ),
    (
        &["wait", "socket:/run/app.sock"],
        &[],
        &["use unix:///run/app.sock"],
    ),
    (
        &["wait", "http-get://localhost:8080/ready"],
        &[],
        &["use http://localhost:8080/ready"],
    ),
    (
        &["wait", "https-get://localhost:8443/ready"],
        &[],
        &["use https://localhost:8443/ready"],
    ),
    (
        &["wait", "http-get://unix:/run/app.sock:/ready"],
        &[],
        &["use http+unix://%2Frun%2Fapp.sock/ready"],
    ),
    (
        &["wait", "tcp", "db:5432"],
        &[],
        &[
            "\"tcp\"",
            "only the kind of a check",
            "use tcp://localhost:5432",
        ],
    ),
    (
        &["wait", "postgresql", "postgres://user:secret@db/"],
        &[],
        &["\"postgresql\"", "use postgres://localhost:5432"],
    ),
    (
        &["wait", "user:secret@tcp(db:3306)/app"],
        &[],
        &["\"***@tcp(db:3306)/app\"", "use mysql://localhost:3306"],
    ),
    (
        &["wait", "host=db user=app password=secret"],
        &[],
        &["password=***", "use postgres://localhost:5432"],
    ),
    (
        &["wait", "mongodb://user:secret@db"],
        &[],
        &[
            "not a protocol that podgate speaks",
            "tcp://localhost:27017",
        ],
    ),
    (
        &["wait", "rediss://db"],
        &[],
        &["tcp://localhost:6379", "exec:"],
    ),
    (
        &["wait", "amqp://db"],
        &[],
        &["tcp://localhost:5672", "exec:"],
    ),
    (
        &["wait", "kafka://db"],
        &[],
        &["tcp://localhost:9092", "exec:"],
    ),
    (
        &["wait", "tls://db:8443"],
        &[],
        &["https://localhost:8443/ready", "tcp://localhost:8443"],
    ),
    // The opposite of a check.
    (
        &["wait", "not:db:5432"],
        &[],
        &[
            "\"not:db:5432\"",
            "the check after not:",
            "use tcp://db:5432",
        ],
    ),
    (
        &["wait", "not:tcp://db"],
        &[],
        &[
            "the check after not: needs a port",
            "use tcp://localhost:5432",
        ],
    ),
    (
        &["wait", "not:ready:main"],
        &[],
        &["about a member", "use gone:main"],
    ),
    (
        &["wait", "not:gone:main"],
        &[],
        &["about a member", "use started:main"],
    ),
    (
        &["wait", "not:not:tcp://db:5432"],
        &[],
        &["not: twice", "as in tcp://"],
    ),
    (&["wait", "not:"], &[], &["empty", "http://"]),
    (
        &["wait", "not:http://user:secret\u{e4}@db/"],
        &[],
        &["\"not:http://***@db/\"", "percent-encoded"],
    ),
    (
        &["run", "--ready", "not:tcp://localhost:8080", "--", "true"],
        &[],
        &[
            "--ready \"not:tcp://localhost:8080\"",
            "does not show that CMD is ready",
            "use a check that holds only while CMD is ready",
        ],
    ),
    (
        &[
            "join",
            "--restart-policy",
            "never",
            "--ready",
            "not:listen://:8080",
        ],
        &[],
        &["--ready \"not:listen://:8080\"", "does not show"],
    ),
    (
        &["run", "--sidecar", "not:istio", "--", "true"],
        &[],
        &["not a preset", "use --sidecar istio"],
    ),
    (
        &["quit", "not:http://localhost:9901/quitquitquit"],
        &[],
        &["cannot be asked to quit"],
    ),
    (
        &[
            "wait",
            "--http-header",
            "a: b",
            "not:http://a/",
            "http://b/",
        ],
        &[],
        &["--http-header", "several"],
    ),
    (
        &["wait", "--http-header", "a: b", "not:tcp://a:1"],
        &[],
        &["--http-header", "this call has none"],
    ),
    (
        &["wait", "--tls-insecure", "grpc://a:1"],
        &[],
        &["--tls-insecure is for https and grpcs"],
    ),
    (
        &["wait", "ready:Proxy"],
        &[],
        &["\"ready:Proxy\"", "not a member's name", "main"],
    ),
    (&["wait", "gone:a/../b"], &[], &["not a member's name"]),
    (
        &["wait", "--dir", "none", "ready:proxy"],
        &[],
        &["\"ready:proxy\"", "--dir none"],
    ),
    (
        &["wait", "--dir", "run/podgate", "ready:proxy"],
        &[],
        &["--dir \"run/podgate\"", "/run/podgate"],
    ),
    (
        &["wait", "tcp://db"],
        &[],
        &["needs a port", "tcp://localhost:5432"],
    ),
    (&["wait", "tcp://db:0"], &[], &["1 to 65535"]),
    (&["wait", "tcp://db:65536"], &[], &["1 to 65535"]),
    (&["wait", "tcp://db:http"], &[], &["1 to 65535"]),
    (&["wait", "tcp://:5432"], &[], &["no host"]),
    (&["wait", "tcp://::1:5432"], &[], &["brackets", "[::1]"]),
    (&["wait", "tcp://[::1:5432"], &[], &["without ]"]),
    (&["wait", "tcp://[::x]:5432"], &[], &["no IPv6 address"]),
    (
        &["wait", "tcp://db:5432/path"],
        &[],
        &["not take a path", "http://"],
    ),
    (&["wait", "tcp://d b:5432"], &[], &["not a name"]),
    (
        &["wait", "tcp://1.2.3:80"],
        &[],
        &["neither an address nor a name"],
    ),
    (&["wait", "http://dö.example/"], &[], &["punycode"]),
    (
        &["wait", "http:///ready"],
        &[],
        &["no host", "http://localhost:8080/ready"],
    ),
    (&["wait", "http://h/a b"], &[], &["%20"]),
    (&["wait", "http://h/#top"], &[], &["fragment"]),
    (&["wait", "http+unix:///run/app.sock/ready"], &[], &["%2F"]),
    (
        &["wait", "http+unix://run%2Fapp.sock/ready"],
        &[],
        &["absolute"],
    ),
    (
        &["wait", "unix://run/app.sock"],
        &[],
        &["absolute", "unix:///run/app.sock"],
    ),
    (
        &[
            "wait",
            "unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
        &[],
        &["107 bytes"],
    ),
    (
        &["wait", "file://ready"],
        &[],
        &["absolute", "file:///run/ready"],
    ),
    (
        &["wait", "listen://localhost:80"],
        &[],
        &["an address, not the name"],
    ),
    (&["wait", "listen://:http"], &[], &["1 to 65535"]),
    (&["wait", "exec:"], &[], &["no command", "pg_isready"]),
    (&["wait", "exec:test 'a"], &[], &["quote"]),
    (
        &["wait", "exec://true"],
        &[],
        &["exec: does not take //", "pg_isready"],
    ),
    (&["check"], &[], &["needs a check", "PODGATE_CHECKS"]),
    (&["wait"], &[], &["needs a check"]),
    (
        &["wait", "--", "true"],
        &["PODGATE_CHECKS=db:5432"],
        &["PODGATE_CHECKS", "\"db:5432\"", "tcp://db:5432"],
    ),
    // A URL where none belongs.
    (
        &["wait", "--timeout", "http://u:secret@h/", "file:///"],
        &[],
        &["--timeout \"http://***@h/\"", "30s"],
    ),
    (
        &["status", "--dir", "http://u:secret@h/"],
        &[],
        &["--dir \"http://***@h/\""],
    ),
    (
        &["wait", "--log-to", "http://u:secret@h/", "file:///"],
        &[],
        &["--log-to \"http://***@h/\""],
    ),
    (
        &["wait", "istio-proxy:secret@h"],
        &[],
        &["\"***@h\"", "use istio ", "tcp://HOST:80"],
    ),
    (
        &["wait", ")db:5432"],
        &[],
        &["\")db:5432\"", "is not a check"],
    ),
    (
        &["wait", "--http://u:secret@h/"],
        &[],
        &["unknown option \"--http://***@h/\""],
    ),
    (
        &["--http://u:secret@h/"],
        &[],
        &["unknown option \"--http://***@h/\""],
    ),
    // Durations.
    (
        &["wait", "-t", "5", "file:///"],
        &[],
        &["--timeout \"5\"", "5s"],
    ),
    (
        &["wait", "-t", "0", "file:///"],
        &[],
        &["--timeout \"0\"", "none"],
    ),
    (
        &["wait", "-t", "0s", "file:///"],
        &[],
        &["--timeout \"0s\"", "none"],
    ),
    (
        &["wait", "-t", "-5s", "file:///"],
        &[],
        &["--timeout \"-5s\"", "negative", "30s"],
    ),
    (
        &["wait", "-t", "1.5s", "file:///"],
        &[],
        &["--timeout \"1.5s\"", "1s500ms"],
    ),
    (
        &["wait", "-t", "soon", "file:///"],
        &[],
        &["--timeout \"soon\"", "30s"],
    ),
    (
        &["wait", "-t", "", "file:///"],
        &[],
        &["--timeout \"\"", "30s"],
    ),
    (&["wait", "-t", "9999d", "file:///"], &[], &["1000 days"]),
    (
        &["wait", "--timeout=-5s", "file:///"],
        &[],
        &["--timeout \"-5s\"", "negative", "30s"],
    ),
    (
        &["wait", "file:///"],
        &["PODGATE_TIMEOUT=30"],
        &["PODGATE_TIMEOUT \"30\"", "30s"],
    ),
    (
        &["wait", "--attempt-timeout", "none", "file:///"],
        &[],
        &["--attempt-timeout \"none\"", "1s"],
    ),
    (
        &["wait", "--attempt-timeout", "0", "file:///"],
        &[],
        &["--attempt-timeout \"0\"", "1s"],
    ),
    (
        &["check", "--attempt-timeout", "0ms", "file:///"],
        &[],
        &["--attempt-timeout", "1s"],
    ),
    (
        &["wait", "--interval", "0", "file:///"],
        &[],
        &["--interval \"0\"", "1s"],
    ),
    (
        &["wait", "--interval", "none", "file:///"],
        &[],
        &["--interval \"none\"", "1s"],
    ),
    (
        &["wait", "--initial-delay", "none", "file:///"],
        &[],
        &["--initial-delay \"none\"", "0s"],
    ),
    (
        &["wait", "--initial-delay", "60s", "file:///"],
        &[],
        &["--initial-delay", "--timeout"],
    ),
    // Numbers, words, combinations.
    (
        &["wait", "--success-threshold", "0", "-i", "1s", "file:///"],
        &[],
        &["--success-threshold \"0\"", "3"],
    ),
    (
        &["wait", "--success-threshold", "many", "file:///"],
        &[],
        &["--success-threshold \"many\""],
    ),
    (
        &["wait", "--success-threshold", "2", "file:///"],
        &[],
        &["--success-threshold \"2\"", "--interval"],
    ),
    (
        &["wait", "--failure-threshold", "2", "file:///"],
        &[],
        &["--failure-threshold \"2\"", "--interval"],
    ),
    (
        &["wait", "--failure-threshold", "-1", "file:///"],
        &[],
        &["\"-1\"", "negative"],
    ),
    (
        &["wait", "file:///"],
        &["PODGATE_FAILURE_THRESHOLD=3"],
        &["PODGATE_FAILURE_THRESHOLD", "--interval"],
    ),
    (
        &["wait", "--on-timeout", "ignore", "file:///"],
        &[],
        &["--on-timeout \"ignore\"", "fail or run"],
    ),
    (
        &["wait", "--log-format", "xml", "file:///"],
        &[],
        &["--log-format \"xml\"", "text or json"],
    ),
    (
        &["wait", "--log-to", "stdout", "file:///"],
        &[],
        &["--log-to \"stdout\"", "container"],
    ),
    (
        &["wait", "--log-to", "/no/such/folder/log", "file:///"],
        &[],
        &["--log-to", "cannot be written"],
    ),
    (
        &["wait", "--termination-log", "message", "file:///"],
        &[],
        &["--termination-log \"message\"", "/dev/termination-log"],
    ),
    (
        &["wait", "-q", "-v", "file:///"],
        &[],
        &["--quiet and --verbose"],
    ),
    (
        &["wait", "file:///"],
        &["PODGATE_ANY=maybe"],
        &["PODGATE_ANY \"maybe\"", "true or false"],
    ),
    (
        &["wait", "file:///"],
        &["PODGATE_DISABLE=truly"],
        &["PODGATE_DISABLE: unknown value \"truly\"", "gates"],
    ),
    // HTTP and TLS.
    (
        &["check", "-H", "nocolon", "http://h/"],
        &[],
        &["--http-header", "no colon", "X-Probe"],
    ),
    (
        &["check", "-H", "Bad Name: x", "http://h/"],
        &[],
        &["--http-header", "name"],
    ),
    (
        &["check", "-H", "Content-Length: 5", "http://h/"],
        &[],
        &["\"Content-Length\"", "leave it out"],
    ),
    (&["check", "-H", "Host: a b", "http://h/"], &[], &["Host"]),
    (
        &["check", "-H", "A: b", "http://h/", "http://h:81/"],
        &[],
        &["--http-header", "several"],
    ),
    (
        &["check", "-H", "A: b", "tcp://h:1"],
        &[],
        &["--http-header", "HTTP checks"],
    ),
    (
        &["check", "-H", "A: b", "istio"],
        &[],
        &[
            "--http-header",
            "presets",
            "http://localhost:15021/healthz/ready",
        ],
    ),
    (
        &["check", "--http-method", "POST", "istio", "dapr"],
        &[],
        &["--http-method", "presets"],
    ),
    (
        &["check", "--http-status", "200", "vault-agent"],
        &[],
        &["--http-status", "presets"],
    ),
    (
        &["check", "--http-body-contains", "LIVE", "envoy"],
        &[],
        &["--http-body-contains", "presets"],
    ),
    (
        &["check", "http://h/", "http://i/"],
        &["PODGATE_HTTP_HEADER=A: b"],
        &["PODGATE_HTTP_HEADER", "several"],
    ),
    (
        &["check", "--http-bearer-token-file", "/t", "tcp://h:1"],
        &[],
        &["--http-bearer-token-file", "HTTP checks"],
    ),
    (
        &[
            "check",
            "--http-bearer-token-file",
            "/t",
            "http://h/",
            "http://h:81/",
        ],
        &[],
        &["--http-bearer-token-file", "several"],
    ),
    (
        &[
            "check",
            "--http-bearer-token-file",
            "/t",
            "-H",
            "Authorization: x",
            "http://h/",
        ],
        &[],
        &[
            "--http-bearer-token-file",
            "the Authorization of --http-header",
            "contradict",
        ],
    ),
    (
        &["check", "http://u:p@h/"],
        &["PODGATE_HTTP_BEARER_TOKEN_FILE=/t"],
        &["PODGATE_HTTP_BEARER_TOKEN_FILE", "the user in a URL"],
    ),
    (
        &["check", "--http-method", "get", "http://h/"],
        &[],
        &["--http-method \"get\"", "GET"],
    ),
    (
        &["check", "--http-method", "FETCH", "http://h/"],
        &[],
        &["--http-method \"FETCH\"", "GET"],
    ),
    (
        &["check", "--http-status", "2xx", "http://h/"],
        &[],
        &["--http-status \"2xx\"", "200-299,401"],
    ),
    (
        &["check", "--http-status", "299-200", "http://h/"],
        &[],
        &["--http-status", "lower"],
    ),
    (
        &["check", "--http-status", "200", "file:///"],
        &[],
        &["--http-status", "HTTP checks"],
    ),
    (
        &[
            "check",
            "--http-method",
            "HEAD",
            "--http-body-contains",
            "x",
            "http://h/",
        ],
        &[],
        &["--http-body-contains", "HEAD"],
    ),
    (
        &["check", "--tls-insecure", "istio"],
        &[],
        &["--tls-insecure", "https"],
    ),
    (
        &["check", "--tls-insecure", "file:///"],
        &[],
        &["--tls-insecure", "https"],
    ),
    // Targets of quit.
    (
        &["quit"],
        &[],
        &["quit needs a target", "podgate quit istio"],
    ),
    (
        &["quit", "nonsense"],
        &[],
        &[
            "\"nonsense\"",
            "http://localhost:9901/quitquitquit",
            "istio",
        ],
    ),
    (
        &["quit", "tcp://localhost:80"],
        &[],
        &["is a check", "quitquitquit"],
    ),
    (&["quit", "Envoy"], &[], &["use envoy "]),
    (&["quit", "dapr:1:2"], &[], &["one port", "use dapr:3500"]),
    (
        &["quit", "member:Proxy"],
        &[],
        &["\"member:Proxy\"", "not a member's name"],
    ),
    (
        &["status", "--dir", "none"],
        &[],
        &["--dir none", "no members"],
    ),
    (&["install", ""], &[], &["install needs a destination"]),
    (
        &["install", "/b", "--allow-plain-dir"],
        &[],
        &["--allow-plain-dir", "--reset /run/podgate"],
    ),
    (
        &["install", "/b", "--reset", "none"],
        &[],
        &["--reset \"none\"", "/run/podgate"],
    ),
    (
        &["install", "/b", "--reset", "/v"],
        &["PODGATE_DISABLE=member"],
        &["PODGATE_DISABLE", "\"member\""],
    ),
    (
        &["reset", "--dir", "none"],
        &[],
        &["--dir none", "no members to reset"],
    ),
    (
        &["reset", "--dir", "run"],
        &[],
        &["--dir \"run\"", "/run/podgate"],
    ),
    (
        &["reset"],
        &["PODGATE_DISABLE=member"],
        &["PODGATE_DISABLE", "\"member\""],
    ),
    (
        &["quit", "--dir", "none", "member:proxy"],
        &[],
        &["\"member:proxy\"", "--dir none"],
    ),
    (
        &["quit", "http://u:p@h:x/"],
        &[],
        &["***@h:x", "1 to 65535"],
    ),
    (
        &["quit", "--timeout", "0", "istio"],
        &[],
        &["--timeout \"0\"", "none"],
    ),
    (
        &["quit", "istio"],
        &["PODGATE_QUIT_TIMEOUT=5"],
        &["PODGATE_QUIT_TIMEOUT \"5\"", "5s"],
    ),
    (
        &["quit", "--attempt-timeout", "none", "istio"],
        &[],
        &["--attempt-timeout \"none\"", "1s"],
    ),
    (
        &["quit", "--tls-insecure", "istio"],
        &[],
        &["--tls-insecure", "https"],
    ),
    (
        &["quit", "--http-header", "A: b", "http://h/"],
        &[],
        &["--http-header"],
    ),
    (
        &["quit", "kuma"],
        &[],
        &[
            "TARGET \"kuma\": has no quit endpoint",
            "podgate run --name proxy --until main -- CMD",
        ],
    ),
    (
        &["quit", "--quit-header", "A: b", "istio", "envoy"],
        &[],
        &["--quit-header", "several hosts or ports", "DAPR_API_TOKEN"],
    ),
    (
        &["quit", "--quit-header", "A: b", "member:m"],
        &[],
        &["--quit-header", "this call has none"],
    ),
    (
        &["quit", "--quit-header", "nocolon", "istio"],
        &[],
        &["--quit-header", "no colon", "X-Probe"],
    ),
    (
        &["quit", "--quit-header", "A: Bearer", "secret"],
        &[],
        &[
            "TARGET (not shown): not a target, such as istio",
            "--quit-header 'NAME: VALUE'",
        ],
    ),
    (
        &["quit", "istio", "envoy"],
        &["PODGATE_QUIT_HEADER=A: b"],
        &["PODGATE_QUIT_HEADER", "several hosts or ports"],
    ),
    (
        &["quit", "istio"],
        &["PODGATE_DISABLE=quit"],
        &["PODGATE_DISABLE: unknown value \"quit\"", "quits"],
    ),
    // Lives.
    (&["run"], &[], &["needs a command", "podgate run"]),
    (
        &["run", "--name", "Main", "--", "true"],
        &[],
        &["--name \"Main\"", "use main"],
    ),
    (
        &["run", "--", "true"],
        &["PODGATE_NAME=a_b"],
        &["PODGATE_NAME \"a_b\""],
    ),
    (
        &["run", "--until", "main", "--", "true"],
        &[],
        &["--until", "--name"],
    ),
    (
        &["run", "--", "true"],
        &["PODGATE_OUTLIVE=main"],
        &["PODGATE_OUTLIVE", "--name"],
    ),
    (
        &[
            "run", "--name", "a", "--until", "b", "--until", "a", "--", "true",
        ],
        &[],
        &["--until \"a\"", "itself"],
    ),
    (
        &["run", "--name", "a", "--needs", "a", "--", "true"],
        &[],
        &["--needs \"a\"", "itself"],
    ),
    (
        &["run", "--name", "a", "--after", "ready:a", "--", "true"],
        &[],
        &["--after \"ready:a\"", "itself (--name)"],
    ),
    (
        &["run", "--ready", "ready:a", "--", "true"],
        &["PODGATE_NAME=a"],
        &["--ready \"ready:a\"", "itself (PODGATE_NAME)"],
    ),
    (
        &["join", "--name", "a", "--restart-policy", "never", "--wait"],
        &["PODGATE_READY=ready:a"],
        &["PODGATE_READY \"ready:a\"", "itself (--name)"],
    ),
    (
        &["run", "--name", "a", "--until", "B", "--", "true"],
        &[],
        &["--until \"B\"", "not a member's name"],
    ),
    (
        &[
            "run", "--dir", "none", "--name", "a", "--until", "b", "--", "true",
        ],
        &[],
        &["--dir none", "members"],
    ),
    (
        &["run", "--dir", "none", "--after", "ready:b", "--", "true"],
        &[],
        &["--dir none", "members"],
    ),
    (
        &["run", "--after", "db:5432", "--", "true"],
        &[],
        &["--after \"db:5432\"", "tcp://db:5432"],
    ),
    (
        &["run", "--ready", "http://", "--", "true"],
        &[],
        &["--ready \"http://\"", "no host"],
    ),
    (
        &["run", "--after-timeout", "0", "--", "true"],
        &[],
        &["--after-timeout \"0\"", "none"],
    ),
    (
        &["run", "--restart-policy", "sometimes", "--", "true"],
        &[],
        &["\"sometimes\"", "on-failure"],
    ),
    (
        &["run", "--grace", "5s", "--", "true"],
        &[],
        &["--grace \"5s\"", "--stop-margin"],
    ),
    (
        &["run", "--grace", "9s", "--stop-margin", "9s", "--", "true"],
        &[],
        &["--stop-margin \"9s\"", "--grace"],
    ),
    (
        &["run", "--grace", "none", "--", "true"],
        &[],
        &["--grace \"none\"", "1s"],
    ),
    (
        &["run", "--stop-signal", "TREM", "--", "true"],
        &[],
        &["--stop-signal \"TREM\"", "TERM"],
    ),
    (
        &["run", "--stop-signal", "KILL", "--", "true"],
        &[],
        &["--stop-signal \"KILL\"", "caught"],
    ),
    (
        &["run", "--map-signal", "TERM", "--", "true"],
        &[],
        &["--map-signal \"TERM\"", "TERM=QUIT"],
    ),
    (
        &["run", "--map-signal", "TERM=FOO", "--", "true"],
        &[],
        &["\"FOO\"", "is not a signal"],
    ),
    (
        &["run", "--map-signal", "KILL=TERM", "--", "true"],
        &[],
        &["\"KILL\"", "cannot be caught"],
    ),
    (
        &["run", "--map-signal", "STOP=none", "--", "true"],
        &[],
        &["\"STOP\"", "cannot be caught"],
    ),
    (
        &[
            "run",
            "--map-signal",
            "TERM=INT",
            "--map-signal",
            "15=QUIT",
            "--",
            "true",
        ],
        &[],
        &["--map-signal \"TERM=QUIT\"", "SIGTERM is mapped twice"],
    ),
    (
        &[
            "run",
            "--stop-signal",
            "TERM",
            "--map-signal",
            "TERM=HUP",
            "--",
            "true",
        ],
        &[],
        &[
            "--map-signal \"TERM=HUP\"",
            "--stop-signal sends SIGTERM",
            "never applies",
        ],
    ),
    (
        &[
            "run",
            "--stop-signal",
            "QUIT",
            "--map-signal",
            "TERM=HUP",
            "--",
            "true",
        ],
        &[],
        &[
            "--map-signal \"TERM=HUP\"",
            "--stop-signal sends SIGQUIT",
            "never applies",
        ],
    ),
    (
        &["run", "--stop-signal", "QUIT", "--", "true"],
        &["PODGATE_MAP_SIGNAL=HUP=none\nQUIT=none"],
        &["PODGATE_MAP_SIGNAL \"QUIT=none\"", "never applies"],
    ),
    (
        &["run", "--map-signal", "TERM=INT", "--", "true"],
        &["PODGATE_STOP_SIGNAL=TERM"],
        &[
            "--map-signal \"TERM=INT\"",
            "PODGATE_STOP_SIGNAL sends SIGTERM",
        ],
    ),
    (
        &["run", "--ok-exit", "256", "--", "true"],
        &[],
        &["--ok-exit \"256\"", "143"],
    ),
    (
        &["run", "--absent-timeout", "5s", "--", "true"],
        &[],
        &["--absent-timeout", "--until"],
    ),
    (
        &["run", "--quit", "istio", "--", "true"],
        &[],
        &["--quit", "--restart-policy never", "on-failure"],
    ),
    (
        &[
            "run",
            "--sidecar",
            "istio",
            "--restart-policy",
            "auto",
            "--",
            "true",
        ],
        &[],
        &["--sidecar", "--restart-policy"],
    ),
    (
        &[
            "run",
            "--sidecar",
            "istio",
            "--restart-policy",
            "always",
            "--",
            "true",
        ],
        &[],
        &["--sidecar", "always"],
    ),
    (
        &[
            "run",
            "--sidecar",
            "tcp://a:1",
            "--restart-policy",
            "never",
            "--",
            "true",
        ],
        &[],
        &["not a preset", "istio"],
    ),
    (
        &[
            "run",
            "--quit",
            "file:///",
            "--restart-policy",
            "never",
            "--",
            "true",
        ],
        &[],
        &["--quit", "is a check"],
    ),
    (
        &[
            "run",
            "--name",
            "a",
            "--quit",
            "member:a",
            "--restart-policy",
            "never",
            "--",
            "true",
        ],
        &[],
        &["--quit \"member:a\"", "itself"],
    ),
    (
        &["run", "--quit-timeout", "0", "--", "true"],
        &[],
        &["--quit-timeout \"0\"", "none"],
    ),
    (
        &["run", "--listen", "localhost:80", "--", "true"],
        &[],
        &["--listen \"localhost:80\"", "127.0.0.1"],
    ),
    (
        &["run", "--linger", "none", "--", "true"],
        &[],
        &["--linger \"none\"", "0s"],
    ),
    (
        &["run", "--any", "--", "true"],
        &[],
        &["\"--any\"", "podgate run --help"],
    ),
    (&["run", "true"], &[], &["after `--`", "podgate run"]),
    (
        &["join", "--restart-policy", "never"],
        &[],
        &["needs a name", "--name main"],
    ),
    (
        &["join", "--name", "a"],
        &[],
        &["--restart-policy never", "PID 1"],
    ),
    (
        &["join", "--name", "a", "--restart-policy", "auto"],
        &[],
        &["--restart-policy"],
    ),
    (
        &[
            "join",
            "--name",
            "a",
            "--restart-policy",
            "never",
            "--outlive",
            "b",
        ],
        &[],
        &["--outlive", "gone:NAME"],
    ),
    (
        &[
            "join",
            "--name",
            "a",
            "--restart-policy",
            "never",
            "--after",
            "file:///",
        ],
        &[],
        &["\"--after\""],
    ),
    (
        &[
            "join",
            "--name",
            "a",
            "--restart-policy",
            "never",
            "-t",
            "5s",
        ],
        &[],
        &["--timeout", "--wait"],
    ),
    (
        &[
            "join",
            "--name",
            "a",
            "--restart-policy",
            "never",
            "--dir",
            "none",
        ],
        &[],
        &["--dir none"],
    ),
    (
        &["status", "main"],
        &[],
        &["unexpected argument \"main\"", "podgate status --help"],
    ),
    (&["status", "--", "true"], &[], &["CMD"]),
    (&["doctor", "--grace", "x"], &[], &["--grace \"x\"", "30s"]),
    // The command line itself.
    (&["wait", "--timeout"], &[], &["--timeout", "value"]),
    (
        &["wait", "--timeuot", "5s", "file:///"],
        &[],
        &["--timeuot", "--timeout"],
    ),
    (
        &["wait", "-t", "5s", "-t", "6s", "file:///"],
        &[],
        &["--timeout", "twice"],
    ),
    (
        &["wait", "--any=yes", "file:///"],
        &[],
        &["--any", "no value"],
    ),
    (&["check", "file:///", "--", "true"], &[], &["CMD"]),
    (
        &["waiting", "file:///"],
        &[],
        &["\"waiting\"", "podgate wait"],
    ),
    (
        &["http://localhost/"],
        &[],
        &["podgate wait http://localhost/"],
    ),
];

#[cfg(feature = "tls")]
const TLS_CASES: &[Case] = &[
    (
        &["check", "--tls-ca", "/no/such/ca", "https://h/"],
        &[],
        &["--tls-ca", "/no/such/ca", "PEM"],
    ),
    (
        &["check", "--tls-cert", "/c", "--tls-key", "/k", "https://h/"],
        &[],
        &["--tls-cert \"/c\"", "PEM"],
    ),
    (
        &["check", "--tls-key", "/k", "https://h/"],
        &[],
        &[
            "--tls-key needs --tls-cert, too",
            "--tls-cert /certs/tls.crt",
        ],
    ),
    (
        &["quit", "https://h/"],
        &["PODGATE_TLS_CERT=/c"],
        &["PODGATE_TLS_CERT needs --tls-key, too"],
    ),
    (
        &["check", "--tls-ca", "/etc/hostname", "https://h/"],
        &[],
        &["--tls-ca", "not a PEM file"],
    ),
    (
        &["check", "https://h/"],
        &["SSL_CERT_FILE=/no/such/bundle"],
        &[
            "SSL_CERT_FILE",
            "/no/such/bundle",
            "--tls-ca",
            "--tls-insecure",
        ],
    ),
    (
        &[
            "check",
            "--tls-insecure",
            "--tls-ca",
            "/etc/hosts",
            "https://h/",
        ],
        &[],
        &["--tls-insecure", "--tls-ca", "contradict"],
    ),
    (
        &[
            "check",
            "--tls-insecure",
            "--tls-server-name",
            "a b",
            "https://h/",
        ],
        &[],
        &["--tls-server-name \"a b\"", "db.example.com"],
    ),
    (
        &["check", "https://h/"],
        &["PODGATE_TLS_SERVER_NAME=a b"],
        &["PODGATE_TLS_SERVER_NAME \"a b\"", "db.example.com"],
    ),
];

#[cfg(not(feature = "tls"))]
const TLS_CASES: &[Case] = &[
    (
        &["check", "https://h/"],
        &[],
        &["this build of podgate has no TLS"],
    ),
    (
        &["check", "not:https://h/"],
        &[],
        &["this build of podgate has no TLS"],
    ),
    (
        &["check", "grpcs://h:1"],
        &[],
        &["this build of podgate has no TLS"],
    ),
    (
        &["quit", "https://h/"],
        &[],
        &["this build of podgate has no TLS"],
    ),
];

#[test]
fn every_bad_input_has_its_message() {
    let cases: Vec<&Case> = CASES.iter().chain(TLS_CASES).collect();
    assert!(cases.len() >= 40);
    let folder = Folder::new();
    for (arguments, variables, parts) in cases {
        let touched = folder.text("touched");
        let call = match arguments[..] {
            ["wait", .., last] if last != "true" && !arguments.contains(&"--") => {
                [arguments, &["--", "touch", &touched][..]].concat()
            }
            _ => arguments.to_vec(),
        };
        let mut call = podgate(call);
        for variable in *variables {
            let (name, value) = variable.split_once('=').expect("a variable");
            call = call.env(name, value);
        }
        let done = call.run();
        done.code(2);
        for part in *parts {
            done.says(part);
        }
        assert_eq!(done.stderr.lines().count(), 1, "one line\n{done}");
        assert!(done.stderr.starts_with("podgate: "), "{done}");
        assert!(!folder.join("touched").exists(), "{done}");
        assert!(!done.stderr.contains("secret"), "{done}");
    }
}

#[test]
fn a_password_in_a_url_is_hidden_where_no_url_belongs() {
    // Fuzzing found this.
    for option in [
        "--restart-policy",
        "--name",
        "--dir",
        "--grace",
        "--log-to",
        "--log-format",
        "--stop-signal",
        "--until",
        "--listen",
    ] {
        let done = podgate(["run", option, "http://user:hunter2@host/", "--", "true"]).run();
        done.code(2);
        assert!(!done.stderr.contains("hunter2"), "{done}");
        // The same without a scheme.
        let done = podgate(["run", option, "user:hunter2@host:80", "--", "true"]).run();
        done.code(2);
        assert!(!done.stderr.contains("hunter2"), "{done}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bad = OsStr::from_bytes(b"file:///\xff");
    podgate([OsStr::new("wait"), bad])
        .run()
        .code(2)
        .says("not UTF-8");
    podgate(["wait", "file:///"])
        .env("PODGATE_TIMEOUT", OsStr::from_bytes(b"\xff"))
        .run()
        .code(2)
        .says("PODGATE_TIMEOUT");
    podgate(["wait", "--", "true"])
        .env("PODGATE_CHECKS", bad)
        .run()
        .code(2)
        .says("PODGATE_CHECKS");
}
