//! Tokens and headers that are secrets: they reach the one server that they are for, and no output
//! (P4.4, P9.4).

use crate::checks_that_are_not_http::DEAD;
use crate::support::server::{ClosedPort, Server, answer, redirect};
use crate::support::{Done, Folder, eventually, inside, namespaces, needs, podgate};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const OPTION: &str = "--http-bearer-token-file";

/// A server that answers 200 where the request has this header, and 401 elsewhere.
fn guarded(header: &'static str) -> Server {
    Server::http(move |head| {
        let has_it = head.lines().any(|line| line.eq_ignore_ascii_case(header));
        answer(if has_it { 200 } else { 401 }, &[], "")
    })
}

fn check(server: &Server, file: &str) -> Done {
    podgate(["check", OPTION, file, &server.url("/healthz")]).run()
}

#[test]
fn a_token_from_a_file_is_sent_without_its_line_end() {
    let folder = Folder::new();
    let server = guarded("Authorization: Bearer t0k3n.a-b_c=");
    check(&server, &folder.file("token", "t0k3n.a-b_c=\n")).code(0);
    check(&server, &folder.file("token", "t0k3n.a-b_c=")).code(0);
    check(&server, &folder.file("other", "0ther\n"))
        .code(1)
        .says("HTTP status 401")
        .says_not("0ther");
    let variable = podgate(["check", &server.url("/")]);
    variable
        .env("PODGATE_HTTP_BEARER_TOKEN_FILE", folder.text("token"))
        .run()
        .code(0);
    podgate(["check", &server.url("/")]).run().code(1);
    // Longer than the buffer of a request.
    let long = "x".repeat(50_000);
    let server = Server::http(move |head| {
        let is_whole = head.contains(&format!("Bearer {long}\r\n"));
        answer(if is_whole { 200 } else { 401 }, &[], "")
    });
    check(&server, &folder.file("long", &"x".repeat(50_000))).code(0);
}

/// In a pod another port is another container.
#[test]
fn a_token_does_not_follow_a_redirect_to_another_port() {
    let folder = Folder::new();
    let token = folder.file("token", "t0k3n");
    let other = Server::http(|_| answer(200, &[], ""));
    let location = other.url("/z");
    let server = Server::http(move |head| {
        let target = if head.starts_with("GET /here") {
            "/end"
        } else {
            &location
        };
        if head.starts_with("GET /end") {
            answer(200, &[], "")
        } else {
            redirect(302, target)
        }
    });
    let sent = |head: &String| head.contains("Bearer t0k3n");
    podgate(["check", OPTION, &token, &server.url("/there")])
        .run()
        .code(0);
    assert!(server.requests().iter().all(sent));
    assert_eq!(other.requests().iter().filter(|it| sent(it)).count(), 0);
    assert_eq!(other.requests().len(), 1);
    // The negative control: it follows a redirect to the same server.
    podgate(["check", OPTION, &token, &server.url("/here")])
        .run()
        .code(0);
    assert!(server.requests().iter().all(sent));
    assert_eq!(server.requests().len(), 3);
}

/// A server that wants the token has no use for a second value.
#[test]
fn a_token_is_the_only_authorization() {
    let folder = Folder::new();
    let token = folder.file("token", "t0k3n");
    let place = Arc::new(Mutex::new(String::new()));
    let ours = Arc::clone(&place);
    let server = Server::http(move |head| {
        if head.starts_with("GET /end") {
            answer(200, &[], "")
        } else {
            redirect(302, &ours.lock().unwrap())
        }
    });
    *place.lock().unwrap() = server.url("/end").replace("http://", "http://user:word@");
    podgate(["check", OPTION, &token, &server.url("/")])
        .run()
        .code(0);
    for head in server.requests() {
        let values = head
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("authorization:"));
        assert_eq!(values.count(), 1, "{head}");
    }
}

#[test]
fn a_token_that_rotates_during_a_wait_is_read_again() {
    let folder = Folder::new();
    let server = guarded("Authorization: Bearer s3cond");
    // As the kubelet lays out a projected volume.
    for (version, token) in [("..1", "f1rst"), ("..2", "s3cond")] {
        fs::create_dir(folder.join(version)).unwrap();
        folder.file(&format!("{version}/token"), token);
    }
    symlink("..1", folder.join("..data")).unwrap();
    symlink("..data/token", folder.join("token")).unwrap();
    let running = podgate([
        "wait",
        "-v",
        "--log-format",
        "json",
        OPTION,
        &folder.text("token"),
        &server.url("/"),
    ])
    .start();
    eventually("two requests", || (server.connections() > 1).then_some(()));
    symlink("..2", folder.join("..tmp")).unwrap();
    fs::rename(folder.join("..tmp"), folder.join("..data")).unwrap();
    let done = running.finish();
    done.code(0)
        .says_not("Bearer")
        .says_not("f1rst")
        .says_not("s3cond");
}

#[test]
fn a_token_that_cannot_be_read_is_not_yet_with_its_path_and_the_cause() {
    let folder = Folder::new();
    let server = Server::status(200);
    let refused = |name: &str, cause: &str| {
        let done = check(&server, &folder.text(name));
        done.code(1)
            .says(&format!("no bearer token in {:?}: ", folder.text(name)))
            .says(cause)
            .says_not("s3cr3t")
            .within(5 * SECOND);
    };
    refused("missing", "no such file or directory");
    folder.file("empty", "\n");
    refused("empty", "the file is empty");
    folder.file("prefixed", "Bearer s3cr3t\n");
    refused("prefixed", "it holds white space");
    folder.file("split", "s3cr3t\r\nX-Admin: 1\n");
    refused("split", "it holds white space");
    folder.file("long", &"s3cr3t".repeat(11_000));
    refused("long", "longer than 64 KiB");
    fs::create_dir(folder.join("directory")).unwrap();
    refused("directory", "not a regular file");
    nix::unistd::mkfifo(&folder.join("fifo"), Mode::S_IRWXU).unwrap();
    refused("fifo", "not a regular file");
    check(&server, "/dev/zero")
        .code(1)
        .says("not a regular file");
    assert!(server.requests().is_empty(), "{:?}", server.requests());

    // It may come later.
    let running = podgate(["wait", OPTION, &folder.text("later"), &server.url("/")]).start();
    running.says("no such file or directory");
    folder.file("later.new", "s3cr3t");
    fs::rename(folder.join("later.new"), folder.join("later")).unwrap();
    running.finish().code(0).says_not("s3cr3t");
}

#[test]
fn a_token_on_a_file_system_that_never_answers_does_not_block_podgate() {
    if !namespaces() || !needs("/dev/fuse", Path::new("/dev/fuse").exists()) {
        return;
    }
    let folder = Folder::new();
    let server = Server::status(200);
    let dead = folder.text("dead");
    let starter: Vec<&str> = DEAD.iter().copied().chain([dead.as_str()]).collect();
    let (token, url) = (format!("{dead}/token"), server.url("/"));
    inside(&starter, ["wait", "-t", "500ms", OPTION, &token, &url])
        .run()
        .code(124)
        .says("gave up")
        .within(20 * SECOND);
    inside(&starter, ["check", OPTION, &token, &url])
        .run()
        .code(1)
        .within(20 * SECOND);
    assert!(server.requests().is_empty(), "{:?}", server.requests());
}

#[test]
fn a_token_reaches_no_preset_no_quit_and_no_second_host() {
    let folder = Folder::new();
    let token = folder.file("token", "s3cr3t");
    let (app, sidecar) = (Server::status(200), Server::status(200));
    let preset = format!("envoy:{}", sidecar.port());
    podgate(["check", OPTION, &token, &app.url("/"), &preset])
        .run()
        .code(0);
    let done = podgate(["quit", "-t", "200ms", &sidecar.url("/quit")]);
    done.env("PODGATE_HTTP_BEARER_TOKEN_FILE", &token)
        .run()
        .code(1);
    assert!(app.requests()[0].contains("s3cr3t"));
    assert_eq!(sidecar.requests().len(), 2);
    assert!(sidecar.requests().iter().all(|it| !it.contains("s3cr3t")));
    let call = ["check", OPTION, &token, &app.url("/"), &sidecar.url("/")];
    podgate(call).run().code(2).says("there are several");
    let jwt = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln";
    podgate(["check", OPTION, jwt, &app.url("/")])
        .run()
        .code(2)
        .says("and not the token")
        .says_not("eyJ");
}

/// The answer of a sidecar that wants a header for its quit, and then is gone.
fn quit(header: &'static str, words: &[&str], variables: &[(&str, &str)]) -> (Done, String) {
    let server = guarded(header);
    let url = server.url("/quit");
    let words = ["quit", "-t", "1s"].iter().chain(words);
    let words = words.map(|word| match *word {
        "URL" => url.clone(),
        word => word.replace("PORT", &server.port().to_string()),
    });
    let mut call = podgate(words);
    for (name, value) in variables {
        call = call.env(name, value);
    }
    let done = call.run();
    let first = server.requests().first().cloned().unwrap_or_default();
    (done, first)
}

#[test]
fn a_quit_header_is_sent_and_not_shown() {
    let words = ["-v", "--quit-header", "X-Token: s3cr3t", "URL"];
    let (done, request) = quit("X-Token: s3cr3t", &words, &[]);
    done.says("acknowledged").says_not("s3cr3t");
    assert!(request.starts_with("POST /quit "), "{request}");
    let variables = [("PODGATE_QUIT_HEADER", "A: b\nX-Token: s3cr3t\n")];
    let (done, request) = quit("X-Token: s3cr3t", &["URL"], &variables);
    done.says("acknowledged").says_not("s3cr3t");
    assert!(request.to_lowercase().contains("\r\na: b\r\n"), "{request}");
    // Negative control.
    let (done, _) = quit("X-Token: s3cr3t", &["URL"], &[]);
    done.code(1)
        .says("HTTP status 401")
        .says("--quit-header 'NAME: VALUE'");
    podgate(["quit", "--quit-header", "s3cr3t", "istio"])
        .run()
        .code(2)
        .says("--quit-header has no colon")
        .says_not("s3cr3t");
}

#[test]
fn the_dapr_preset_sends_its_token() {
    let token = [("DAPR_API_TOKEN", "s3cr3t\n")];
    let (done, _) = quit("dapr-api-token: s3cr3t", &["dapr:PORT"], &token);
    done.says("acknowledged").says_not("s3cr3t");
    let given = ["--quit-header", "Dapr-Api-Token: 0ther", "dapr:PORT"];
    let (done, request) = quit("dapr-api-token: 0ther", &given, &token);
    done.says("acknowledged");
    assert!(!request.contains("s3cr3t"), "{request}");
    let (done, _) = quit("dapr-api-token: s3cr3t", &["dapr:PORT"], &[]);
    done.code(1).says("set DAPR_API_TOKEN in this container");
    // No other target gets it.
    let (_, request) = quit("x", &["envoy:PORT"], &token);
    assert!(!request.contains("s3cr3t"), "{request}");
    // Readiness needs no token.
    let server = Server::status(204);
    let preset = format!("dapr:{}", server.port());
    podgate(["check", &preset])
        .env("DAPR_API_TOKEN", "s3cr3t")
        .run()
        .code(0);
    assert!(!server.requests()[0].contains("s3cr3t"));
}

#[test]
fn run_sends_the_quit_header_when_its_command_has_ended() {
    let server = guarded("X-Token: s3cr3t");
    let run = [
        "run",
        "--restart-policy",
        "never",
        "--quit-timeout",
        "1s",
        "--quit-header",
        "X-Token: s3cr3t",
        "--quit",
        &server.url("/quit"),
        "--",
        "true",
    ];
    let done = podgate(run).run();
    done.code(0).says("acknowledged").says_not("s3cr3t");
    // A usage error elsewhere is an end, too, and its quits are asked for with the same headers.
    let mut wrong = vec!["run", "--grace", "x"];
    wrong.extend(&run[1..]);
    podgate(wrong).run().code(2).says("acknowledged");
    assert_eq!(server.requests().len(), 2);
    let closed = ClosedPort::new();
    let two = format!("http://127.0.0.1:{}/", closed.port());
    podgate(["quit", "--quit-header", "A: s3cr3t", &two, "istio"])
        .run()
        .code(2)
        .says("use one target per call")
        .says_not("s3cr3t");
}
