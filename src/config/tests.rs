//! The settings that typed values result in, and the values that contradict each other.

use super::{
    Disabled, Gates, Life, Quitting, Settings, Skipped, WrongRun, budget, check, install, join,
    logging, quit, reset, run, status, wait, wrong_run,
};
use crate::cli::{Command, EndArgs, OnTimeout, UsageError, parse, salvage_end};
use crate::core::gate::Need;
use crate::core::http::Header;
use crate::core::linger::Linger;
use crate::core::logging::Level;
use crate::core::member::Policy;
use crate::core::quit::Asked;
use crate::core::schedule::{FAR, NEAR, Pace};
use crate::core::trust::Roots;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The settings of a call.
#[derive(Debug)]
enum Meant {
    Gate(Settings),
    Life(Box<Life>),
    Quit(Quitting),
    Other,
}

fn words(typed: &str) -> Vec<OsString> {
    let words = ["podgate"].into_iter().chain(typed.split(' '));
    words
        .map(|word| OsString::from(word.replace('_', " ")))
        .collect()
}

fn meant(typed: &str, variables: Pairs<'_>) -> Result<Meant, UsageError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(it, _)| *it == name)?;
        Some(OsString::from(found.1))
    };
    match parse(&words(typed), &variable).unwrap_or_else(|stop| panic!("{typed}: {stop:?}")) {
        Command::Wait(args) => wait(&args, &variable).map(Meant::Gate),
        Command::Check(args) => check(&args, &variable).map(Meant::Gate),
        Command::Run(args) => run(&args, &variable).map(Box::new).map(Meant::Life),
        Command::Join(args) => join(&args, &variable).map(Box::new).map(Meant::Life),
        Command::Quit(args) => quit(&args, &variable).map(|(it, _)| Meant::Quit(it)),
        Command::Status(args) => status(&args.dir).map(|_| Meant::Other),
        Command::Doctor(args) => budget(&args.budget).map(|_| Meant::Other),
        Command::Reset(args) => reset(&args, &variable).map(|_| Meant::Other),
        Command::Install(args) => install(&args, &variable).map(|_| Meant::Other),
    }
}

fn gate(typed: &str, variables: Pairs<'_>) -> Settings {
    match meant(typed, variables) {
        Ok(Meant::Gate(settings)) => settings,
        other => panic!("{typed}: {other:?}"),
    }
}

fn life(typed: &str, variables: Pairs<'_>) -> Life {
    match meant(typed, variables) {
        Ok(Meant::Life(life)) => *life,
        other => panic!("{typed}: {other:?}"),
    }
}

fn wrong(typed: &str, variables: Pairs<'_>) -> UsageError {
    match meant(typed, variables) {
        Err(error) => error,
        other => panic!("{typed}: {other:?}"),
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_wait_without_options_is_what_the_help_says() {
    let settings = gate("wait tcp://localhost:1 tcp://far.example:1", &[]);
    let spec = &settings.gate;
    assert_eq!(spec.floors, [NEAR, FAR]);
    assert_eq!((spec.need, spec.pace), (Need::All, Pace::Proportional));
    assert_eq!((spec.success_threshold, spec.failure_threshold), (1, None));
    assert_eq!(spec.initial_delay, Duration::ZERO);
    assert_eq!(spec.attempt_timeout, seconds(1));
    assert_eq!(spec.timeout, Some(seconds(60)));
    assert_eq!(settings.request.method, "GET");
    assert!(settings.request.pass.contain(399) && !settings.request.pass.contain(400));
    assert_eq!(settings.trust.roots, Roots::System);
    assert_eq!(settings.dir.path, Some(PathBuf::from("/run/podgate")));
    assert_eq!(
        (settings.on_timeout, settings.gates),
        (OnTimeout::Fail, Gates::On)
    );
}

#[test]
fn the_other_commands_without_options_are_what_the_help_says() {
    let probe = gate("check file:///", &[]).gate;
    assert_eq!(probe.attempt_timeout, Duration::from_millis(800));
    assert_eq!((probe.pace, probe.timeout), (Pace::Once, None));
    let it = life("run -- app", &[]);
    assert_eq!((it.spec.grace, it.spec.margin), (seconds(30), seconds(5)));
    assert_eq!(
        (it.spec.linger, it.spec.absent_timeout),
        (Linger::Auto, None)
    );
    assert_eq!(it.after_gate.timeout, Some(seconds(60)));
    assert_eq!(
        (it.spec.policy, it.stated, it.stop_signal),
        (Policy::Auto, None, 15)
    );
    assert!(!it.spec.has_ready && !it.uses_volume && it.quits.is_none());
    let it = life("join --name a --restart-policy never --wait", &[]);
    assert_eq!(
        it.wait.and_then(|limit| limit.value.duration()),
        Some(seconds(60))
    );
    match meant("quit istio", &[]) {
        Ok(Meant::Quit(it)) => {
            assert_eq!(
                (it.limits.attempt, it.limits.all),
                (seconds(1), Some(seconds(10)))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_argument_is_named() {
    for (typed, error) in [
        ("wait", UsageError::NeedsCheck { call: "wait" }),
        ("check", UsageError::NeedsCheck { call: "check" }),
        ("quit", UsageError::NeedsTarget),
        ("install", UsageError::NeedsDestination),
        ("run", UsageError::NeedsCmd),
        ("join --restart-policy never", UsageError::NeedsName),
        ("join --name a", UsageError::NeedsPolicy),
        (
            "join --name a --restart-policy auto",
            UsageError::NeedsPolicy,
        ),
    ] {
        assert_eq!(wrong(typed, &[]), error, "{typed}");
    }
    assert!(gate("wait -- app", &[]).checks.is_empty());
}

#[test]
fn attempts_in_a_row_need_an_interval() {
    let needs = |source: &str, value| UsageError::ThresholdNeedsInterval {
        source: source.to_owned(),
        value,
    };
    let typed = "wait file:/// --success-threshold 2";
    assert_eq!(wrong(typed, &[]), needs("--success-threshold", 2));
    let typed = "wait file:/// --failure-threshold 3";
    assert_eq!(wrong(typed, &[]), needs("--failure-threshold", 3));
    let variables = [("PODGATE_FAILURE_THRESHOLD", "3")];
    let expected = needs("PODGATE_FAILURE_THRESHOLD", 3);
    assert_eq!(wrong("wait file:///", &variables), expected);
    let spec = gate("wait file:/// --failure-threshold 3 -i 1s", &[]).gate;
    assert_eq!(
        (spec.failure_threshold, spec.pace),
        (Some(3), Pace::Every(seconds(1)))
    );
    assert_eq!(
        gate("wait file:/// --failure-threshold 1", &[])
            .gate
            .failure_threshold,
        Some(1)
    );
}

#[test]
fn a_delay_is_shorter_than_the_timeout_and_the_margin_than_the_grace() {
    let delay = |delay, timeout| UsageError::DelayTooLong {
        source: "--initial-delay".to_owned(),
        delay: seconds(delay),
        timeout: seconds(timeout),
    };
    assert_eq!(
        wrong("wait file:/// --initial-delay 60s", &[]),
        delay(60, 60)
    );
    assert_eq!(
        wrong("wait file:/// -t 1s --initial-delay 2s", &[]),
        delay(2, 1)
    );
    assert!(meant("wait file:/// -t none --initial-delay 2h", &[]).is_ok());
    let grace = |source: &str, grace, margin| UsageError::GraceTooShort {
        source: source.to_owned(),
        grace: seconds(grace),
        margin_source: "--stop-margin".to_owned(),
        margin: seconds(margin),
    };
    assert_eq!(wrong("run --grace 5s -- app", &[]), grace("--grace", 5, 5));
    assert_eq!(
        wrong("run --grace 9s --stop-margin 9s -- a", &[]),
        grace("--grace", 9, 9)
    );
    let variable = [("PODGATE_GRACE", "5s")];
    assert_eq!(wrong("doctor", &variable), grace("PODGATE_GRACE", 5, 5));
    // `join` cannot hold a stop back.
    assert!(meant("join --name a --restart-policy never --grace 1s", &[]).is_ok());
}

#[test]
fn an_http_option_needs_an_http_check_except_as_a_variable() {
    for option in [
        "-H A:_b",
        "--http-method POST",
        "--http-status 200",
        "--http-body-contains x",
    ] {
        for (check, has_preset) in [("tcp://h:1", false), ("istio", true)] {
            match wrong(&format!("check {option} {check}"), &[]) {
                UsageError::NoHttpCheck {
                    source,
                    has_preset: it,
                } => assert!(
                    source.starts_with("--http-") && it == has_preset,
                    "{source}"
                ),
                other => panic!("{other:?}"),
            }
        }
    }
    let variables = [
        ("PODGATE_HTTP_HEADER", "A: b"),
        ("PODGATE_TLS_INSECURE", "1"),
    ];
    assert!(meant("check tcp://h:1", &variables).is_ok());
    assert!(meant("check istio", &variables).is_ok());
    for option in ["--tls-insecure", "--tls-ca /ca", "--tls-server-name db"] {
        for call in ["check file:///", "check istio", "quit istio"] {
            match wrong(&format!("{call} {option}"), &[]) {
                UsageError::NoHttpsUrl { source } => assert!(option.starts_with(&source)),
                other => panic!("{other:?}"),
            }
        }
    }
    let typed = "run --tls-insecure --restart-policy never --quit https://h/q -- app";
    assert!(meant(typed, &[]).is_ok());
    assert!(meant("run --tls-insecure --after https://h/ -- app", &[]).is_ok());
}

#[test]
fn headers_go_to_one_host_and_name_at_most_one() {
    let several = |source: &str| UsageError::SeveralHosts {
        source: source.to_owned(),
    };
    let typed = "check -H A:_b http://h/ http://h:81/";
    assert_eq!(wrong(typed, &[]), several("--http-header"));
    let variables = [("PODGATE_HTTP_HEADER", "A: b")];
    let typed = "check http://h/ http://i/ http://h/";
    assert_eq!(wrong(typed, &variables), several("PODGATE_HTTP_HEADER"));
    assert!(meant("check -H A:_b http://h/a http://h:80/b", &[]).is_ok());
    let two = UsageError::TwoHostHeaders {
        source: "--http-header".to_owned(),
    };
    assert_eq!(wrong("check -H Host:_a -H host:_b http://h/", &[]), two);
    match wrong(
        "check --http-method HEAD --http-body-contains x http://h/",
        &[],
    ) {
        UsageError::BodyOfHead { source, value } => {
            assert_eq!(
                (source.as_str(), value.as_str()),
                ("--http-body-contains", "x")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whom_tls_trusts() {
    let https = "check https://h/";
    let trust = |options: &str, variables| gate(&format!("{https}{options}"), variables).trust;
    assert_eq!(trust("", &[]).roots, Roots::System);
    assert!(trust("", &[]).is_needed && !gate("check http://h/", &[]).trust.is_needed);
    let bundle = [("SSL_CERT_FILE", "/bundle")];
    let file = |path: &str, source: &str| Roots::File(PathBuf::from(path), source.to_owned());
    assert_eq!(trust("", &bundle).roots, file("/bundle", "SSL_CERT_FILE"));
    assert_eq!(
        trust(" --tls-ca /ca", &bundle).roots,
        file("/ca", "--tls-ca")
    );
    let ca = [("PODGATE_TLS_CA", "/ca")];
    assert_eq!(trust("", &ca).roots, file("/ca", "PODGATE_TLS_CA"));
    assert_eq!(trust(" --tls-insecure", &ca).roots, Roots::Anyone);
    // A gate that is disabled needs no CA: its image may be without the mesh that brings it.
    let disabled = [("PODGATE_DISABLE", "gates")];
    assert!(!gate("wait https://h/", &disabled).trust.is_needed);
    assert!(gate("check https://h/", &disabled).trust.is_needed);
}

#[test]
fn relations_need_a_name_that_is_not_the_members_own() {
    let needs = |source: &str| UsageError::RelationNeedsName {
        source: source.to_owned(),
    };
    assert_eq!(wrong("run --until main -- app", &[]), needs("--until"));
    let outlive = [("PODGATE_OUTLIVE", "main")];
    assert_eq!(wrong("run -- app", &outlive), needs("PODGATE_OUTLIVE"));
    let itself = |source: &str, value: &str| UsageError::NamesItself {
        source: source.to_owned(),
        value: value.to_owned(),
        name: "--name".to_owned(),
    };
    let typed = "run --name a --until b --until a -- app";
    assert_eq!(wrong(typed, &[]), itself("--until", "a"));
    assert_eq!(
        wrong("run --name a --needs a -- app", &[]),
        itself("--needs", "a")
    );
    let typed = "run --name a --quit istio --quit member:a --restart-policy never -- app";
    assert_eq!(wrong(typed, &[]), itself("--quit", "member:a"));
    let after = "run --name a --after ready:b --after ready:a -- app";
    assert_eq!(wrong(after, &[]), itself("--after", "ready:a"));
    for check in ["started:a", "ready:a", "gone:a", "succeeded:a"] {
        let variable = [("PODGATE_READY", check)];
        for call in [
            "run --name a -- app",
            "join --name a --restart-policy never",
        ] {
            assert_eq!(wrong(call, &variable), itself("PODGATE_READY", check));
        }
        let others = format!("run --name aa --after {check} --ready {check} -- app");
        assert_eq!(life(&others, &[]).after.len(), 1);
    }
    let it = life(
        "run --name a --until b --outlive c --needs b --needs d -- app",
        &[],
    );
    let names: Vec<_> = it.members.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d"]);
    let of_b = it.spec.relations[0];
    assert!(of_b.until && of_b.outlives && of_b.needs && it.spec.gate_proves_needs);
    let checks: Vec<_> = it.after.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(checks, ["ready:b", "ready:d"]);
    assert!(it.spec.serves && !life("run -- app", &[]).spec.serves);
}

#[test]
fn join_refuses_what_only_run_can_do() {
    const JOIN: &str = "join --name a --restart-policy never";
    let outlive = UsageError::CannotOutlive {
        source: "--outlive".to_owned(),
    };
    assert_eq!(wrong(&format!("{JOIN} --outlive b"), &[]), outlive);
    let timeout = UsageError::TimeoutWithoutWait {
        source: "--timeout".to_owned(),
    };
    assert_eq!(wrong(&format!("{JOIN} -t 5s"), &[]), timeout);
    assert!(life(JOIN, &[("PODGATE_TIMEOUT", "5s")]).wait.is_none());
    let waits = life(&format!("{JOIN} -t 5s"), &[("PODGATE_WAIT", "true")]).wait;
    assert_eq!(
        waits.and_then(|limit| limit.value.duration()),
        Some(seconds(5))
    );
    assert_eq!(
        wrong(&format!("{JOIN} --dir none"), &[]),
        UsageError::NoMembersToJoin
    );
}

#[test]
fn a_mapping_that_can_never_apply_is_refused() {
    let twice = UsageError::MappedTwice {
        source: "--map-signal".to_owned(),
        mapping: "TERM=INT".to_owned(),
        from: 15,
    };
    let typed = "run --map-signal TERM=QUIT --map-signal SIGTERM=2 -- app";
    assert_eq!(wrong(typed, &[]), twice);
    let stops = |mapping: &str, from, stop| UsageError::MapsStop {
        source: "--map-signal".to_owned(),
        mapping: mapping.to_owned(),
        from,
        stop_source: "--stop-signal".to_owned(),
        stop,
    };
    for (options, error) in [
        (
            "--stop-signal TERM --map-signal TERM=HUP",
            stops("TERM=HUP", 15, 15),
        ),
        (
            "--stop-signal QUIT --map-signal TERM=HUP",
            stops("TERM=HUP", 15, 3),
        ),
        (
            "--stop-signal QUIT --map-signal QUIT=INT",
            stops("QUIT=INT", 3, 3),
        ),
    ] {
        assert_eq!(wrong(&format!("run {options} -- app"), &[]), error);
    }
    for (options, stop, given) in [
        ("--map-signal TERM=HUP", 1, None),
        ("--map-signal TERM=none", 15, None),
        ("--stop-signal QUIT --map-signal TERM=none", 3, Some(3)),
        ("--stop-signal QUIT --map-signal TERM=QUIT", 3, Some(3)),
    ] {
        let it = life(&format!("run {options} -- app"), &[]);
        assert_eq!((it.stop_signal, it.given_stop), (stop, given));
    }
}

#[test]
fn an_absent_timeout_needs_until() {
    let error = UsageError::AbsentTimeoutWithoutUntil {
        source: "--absent-timeout".to_owned(),
    };
    assert_eq!(wrong("run --absent-timeout 5s -- app", &[]), error);
    let timeout = [("PODGATE_ABSENT_TIMEOUT", "5s")];
    assert!(meant("run -- app", &timeout).is_ok());
    let until = [("PODGATE_UNTIL", "main"), ("PODGATE_NAME", "a")];
    let it = life("run --absent-timeout 5s -- app", &until);
    assert_eq!(it.spec.absent_timeout, Some(seconds(5)));
}

#[test]
fn quits_need_a_policy_under_which_an_end_is_final() {
    for option in ["--quit istio", "--sidecar istio"] {
        let source = option.split(' ').next().unwrap().to_owned();
        let auto = UsageError::QuitNeedsPolicy {
            source: source.clone(),
        };
        assert_eq!(wrong(&format!("run {option} -- app"), &[]), auto);
        let always = UsageError::QuitUnderAlways { source };
        assert_eq!(
            wrong(&format!("run {option} --restart-policy Always -- app"), &[]),
            always
        );
        let it = life(
            &format!("run {option} --restart-policy OnFailure -- app"),
            &[],
        );
        assert_eq!(it.quits.unwrap().names(), ["istio"]);
        assert_eq!(it.stated, Some(Policy::OnFailure));
    }
    let it = life("run --sidecar istio --restart-policy never -- app", &[]);
    assert_eq!(it.after[0].name, "istio");
}

#[test]
fn a_token_goes_to_one_host_as_the_only_authorization() {
    const FILE: &str = "--http-bearer-token-file";
    let token = |checks: &str| format!("check {FILE} /run/t {checks}");
    let source = || FILE.to_owned();
    let it = gate(&token("http://h/a http://h/b istio tcp://i:1"), &[]);
    assert_eq!(it.request.bearer, Some(PathBuf::from("/run/t")));
    let several = UsageError::SeveralHosts { source: source() };
    assert_eq!(wrong(&token("http://h/ http://h:81/"), &[]), several);
    for (checks, has_preset) in [("tcp://h:1", false), ("istio", true)] {
        let none = UsageError::NoHttpCheck {
            source: source(),
            has_preset,
        };
        assert_eq!(wrong(&token(checks), &[]), none);
    }
    let user = UsageError::TokenAndUser { source: source() };
    assert_eq!(wrong(&token("http://u:p@h/"), &[]), user);
    let conflict = |one: &str, other: &str| UsageError::Conflict {
        one: one.to_owned(),
        other: format!("the Authorization of {other}"),
    };
    let both = token("-H authorization:_x http://h/");
    assert_eq!(wrong(&both, &[]), conflict(FILE, "--http-header"));
    let variables = [
        ("PODGATE_HTTP_BEARER_TOKEN_FILE", "/run/t"),
        ("PODGATE_HTTP_HEADER", "A: b\nAuthorization: x"),
    ];
    assert_eq!(
        wrong("check http://h/", &variables),
        conflict("PODGATE_HTTP_BEARER_TOKEN_FILE", "PODGATE_HTTP_HEADER")
    );
    // Negative controls: another header, and a variable that is meant for another call.
    assert_eq!(
        gate(&token("-H A:_b http://h/"), &[]).request.headers.len(),
        1
    );
    gate("check tcp://h:1", &variables[..1]);
}

#[test]
fn a_client_certificate_has_a_file_and_a_key() {
    let it = gate("check --tls-cert /c --tls-key /k https://h/", &[]);
    let client = it.trust.client.unwrap();
    assert_eq!(client.certificate, ("/c".into(), "--tls-cert".to_owned()));
    assert_eq!(client.key, ("/k".into(), "--tls-key".to_owned()));
    let half = |source: &str, other| UsageError::NeedsOther {
        source: source.to_owned(),
        other,
    };
    let key = [("PODGATE_TLS_KEY", "/k")];
    assert_eq!(
        wrong("wait --tls-cert /c https://h/", &[]),
        half("--tls-cert", "--tls-key")
    );
    assert_eq!(
        wrong("quit https://h/", &key),
        half("PODGATE_TLS_KEY", "--tls-cert")
    );
    assert_eq!(
        wrong("run --after https://h/ -- app", &key),
        half("PODGATE_TLS_KEY", "--tls-cert")
    );
    let it = gate("check --tls-cert /c https://h/", &key);
    assert_eq!(it.trust.client.unwrap().key.1, "PODGATE_TLS_KEY");
    let none = UsageError::NoHttpsUrl {
        source: "--tls-cert".to_owned(),
    };
    assert_eq!(
        wrong("check --tls-cert /c --tls-key /k tcp://h:1", &[]),
        none
    );
    // Variables may be meant for another call.
    let both = [key[0], ("PODGATE_TLS_CERT", "/c")];
    assert!(!gate("check tcp://h:1", &both).trust.is_needed);
}

fn quitting(typed: &str, variables: Pairs<'_>) -> Quitting {
    match meant(typed, variables) {
        Ok(Meant::Quit(quitting)) => quitting,
        other => panic!("{typed}: {other:?}"),
    }
}

/// The headers of each target.
fn headers_of(quitting: &Quitting) -> Vec<Vec<(String, String)>> {
    let headers = |target: &Asked| {
        let pair = |it: &Header| (it.name.clone(), it.value.clone());
        target.headers.iter().map(pair).collect()
    };
    quitting.targets.iter().map(headers).collect()
}

#[test]
fn a_quit_header_goes_to_one_host() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let typed = "quit --quit-header A:_b --quit-header C:_d http://h/q http://h/r member:m";
    let both = vec![pair("A", "b"), pair("C", "d")];
    assert_eq!(
        headers_of(&quitting(typed, &[])),
        [both.clone(), both.clone()]
    );
    let list = [("PODGATE_QUIT_HEADER", "A: b\nC: d")];
    assert_eq!(
        headers_of(&quitting("quit istio", &list)),
        vec![both.clone()]
    );
    let it = life("run --quit istio --restart-policy never -- app", &list);
    assert_eq!(headers_of(&it.quits.unwrap()), [both]);
    let several = |source: &str| UsageError::SeveralTargets {
        source: source.to_owned(),
    };
    let none = |source: &str| UsageError::NoHttpTarget {
        source: source.to_owned(),
    };
    let option = "--quit-header A:_b";
    for targets in ["http://h/ http://h:81/", "istio linkerd", "istio http://h/"] {
        let typed = format!("quit {option} {targets}");
        assert_eq!(wrong(&typed, &[]), several("--quit-header"));
    }
    assert_eq!(
        wrong("quit istio dapr", &list),
        several("PODGATE_QUIT_HEADER")
    );
    for typed in [
        format!("quit {option} member:m"),
        format!("run {option} -- app"),
        format!("run {option} --quit member:m --restart-policy never -- app"),
    ] {
        assert_eq!(wrong(&typed, &[]), none("--quit-header"));
    }
    let host = format!("quit {option} --quit-header Host:_a --quit-header host:_b istio");
    let two = UsageError::TwoHostHeaders {
        source: "--quit-header".to_owned(),
    };
    assert_eq!(wrong(&host, &[]), two);
    // A variable may be meant for another call.
    quitting("quit member:m", &list);
    life("run -- app", &list);
}

#[test]
fn dapr_gets_its_token_and_no_other_target_does() {
    let token = [("DAPR_API_TOKEN", "t0k3n\n")];
    let pair = |value: &str| vec![("dapr-api-token".to_owned(), value.to_owned())];
    assert_eq!(
        headers_of(&quitting("quit dapr dapr:1 istio http://h/", &token)),
        [pair("t0k3n"), pair("t0k3n"), vec![], vec![]]
    );
    let it = life("run --sidecar dapr --restart-policy never -- app", &token);
    assert_eq!(headers_of(&it.quits.unwrap()), [pair("t0k3n")]);
    // A given header replaces it, and another one does not.
    let given = "quit --quit-header Dapr-Api-Token:_x dapr";
    assert_eq!(
        headers_of(&quitting(given, &token)),
        [vec![("Dapr-Api-Token".to_owned(), "x".to_owned())]]
    );
    let other = &headers_of(&quitting("quit --quit-header A:_b dapr", &token))[0];
    assert_eq!(other.len(), 2);
    for no_token in ["", " ", "a\nb"] {
        let variables = [("DAPR_API_TOKEN", no_token)];
        assert_eq!(headers_of(&quitting("quit dapr", &variables)), [vec![]]);
    }
}

#[test]
fn a_quit_has_more_time_only_by_default() {
    let all = |typed: &str, variables: Pairs<'_>| quitting(typed, variables).limits.all;
    assert_eq!(all("quit istio", &[]), Some(seconds(10)));
    assert_eq!(
        all("quit istio consul-dataplane:1:2", &[]),
        Some(seconds(40))
    );
    assert_eq!(all("quit -t 5s consul-dataplane", &[]), Some(seconds(5)));
    assert_eq!(all("quit -t none consul-dataplane", &[]), None);
    let variable = [("PODGATE_QUIT_TIMEOUT", "60s")];
    assert_eq!(all("quit consul-dataplane", &variable), Some(seconds(60)));
    let typed = "run --sidecar consul-dataplane --restart-policy never -- app";
    assert_eq!(
        life(typed, &[]).quits.unwrap().limits.all,
        Some(seconds(40))
    );
}

#[test]
fn without_members_nothing_may_name_one() {
    assert_eq!(wrong("status --dir none", &[]), UsageError::NoMembersToShow);
    let check = UsageError::NoMembersToCheck {
        check: "ready:b".to_owned(),
    };
    assert_eq!(wrong("wait --dir none ready:b", &[]), check);
    let target = UsageError::NoMembersToQuit {
        source: "TARGET".to_owned(),
        target: "member:b".to_owned(),
    };
    assert_eq!(wrong("quit --dir none istio member:b", &[]), target);
    for options in [
        "--name a --until b",
        "--after ready:b",
        "--ready gone:b",
        "--needs b",
    ] {
        let typed = format!("run --dir none {options} -- app");
        assert_eq!(wrong(&typed, &[]), UsageError::NoMembers);
    }
    assert!(life("run --dir none --name a -- app", &[]).name.is_none());
}

#[test]
fn disabled_parts_are_taken_away_and_reported() {
    let read = |word: &str| Disabled::read(&|_| Some(word.into()));
    let (gates, quits, members) = (true, true, true);
    let all = Disabled {
        gates,
        quits,
        members,
    };
    for word in ["1", "all", " gates, quits\nmembers "] {
        assert_eq!(read(word), Ok(all));
    }
    for word in ["", "0", "false", " , "] {
        assert_eq!(read(word), Ok(Disabled::default()));
    }
    let error = UsageError::Disable {
        word: "gate".to_owned(),
    };
    assert_eq!(read("quits,gate"), Err(error));

    let typed = "run --name a --until b --needs b --after file:/// --quit istio --quit member:b \
                 --restart-policy never -- app"
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let it = life(&typed, &[("PODGATE_DISABLE", "all")]);
    let names = ["file:///", "ready:b"].map(str::to_owned).to_vec();
    let targets = vec!["istio".to_owned()];
    let expected = [
        Skipped::Gates(names),
        Skipped::Members,
        Skipped::Quits(targets),
    ];
    assert_eq!(it.skipped, expected);
    assert!(it.name.is_none() && it.after.is_empty() && it.quits.is_none() && !it.uses_volume);
    assert!(it.after_gate.floors.is_empty() && !it.spec.gate_proves_needs);
    let it = life(&typed, &[("PODGATE_DISABLE", "members")]);
    assert_eq!(it.skipped, [Skipped::Members]);
    assert_eq!(it.after_gate.floors, [NEAR]);
    assert_eq!(it.quits.unwrap().names(), ["istio"]);
    // The options are still validated.
    let disabled = [("PODGATE_DISABLE", "all")];
    assert_eq!(
        wrong("run --until b -- app", &disabled),
        wrong("run --until b -- app", &[])
    );
    let it = gate("wait ready:b file:///", &[("PODGATE_DISABLE", "members")]);
    assert_eq!(
        (it.skipped, it.gate.floors.len()),
        (vec!["ready:b".to_owned()], 1)
    );
}

#[test]
fn the_log_is_what_the_options_say() {
    let read = |typed: &str| match parse(&words(typed), &|_| None) {
        Ok(Command::Wait(args)) => logging(&args.output, Some(&args.failure)),
        other => panic!("{other:?}"),
    };
    assert_eq!(read("wait file:///").level, Level::Normal);
    assert_eq!(read("wait -q file:///").level, Level::Quiet);
    let log = read("wait -v --log-to /a/b --termination-log /c file:///");
    assert_eq!((log.level, log.path().as_str()), (Level::Verbose, "/a/b"));
    assert_eq!(log.termination, Some(PathBuf::from("/c")));
}

#[test]
fn a_wrong_run_still_names_its_member_and_its_quits() {
    let read = |typed: &str, disable: &'static str| {
        let variables = |name: &str| (name == "PODGATE_DISABLE").then(|| disable.into());
        salvage_end(&words(typed), &variables).map(|end| wrong_run(&end, &variables))
    };
    let name = |wrong: &Option<WrongRun>| {
        let (name, _) = wrong.as_ref()?.member.as_ref()?;
        Some(name.to_string())
    };
    let quits = |wrong: &Option<WrongRun>| {
        let (quits, _) = wrong.as_ref()?.quits.as_ref()?;
        Some(quits.names())
    };
    let typed = "run --grace x --name a --restart-policy never --quit istio -- app";
    let wrong = read(typed, "");
    assert_eq!(name(&wrong).as_deref(), Some("a"));
    assert_eq!(quits(&wrong), Some(vec!["istio".to_owned()]));
    assert_eq!(wrong.unwrap().stated, Some(Policy::Never));
    assert_eq!(
        (name(&read(typed, "all")), quits(&read(typed, "all"))),
        (None, None)
    );
    assert_eq!(quits(&read(typed, "quits")), None);
    let wrong = read(typed, "nonsense");
    assert_eq!((name(&wrong).as_deref(), quits(&wrong)), (Some("a"), None));
    for typed in [
        "run --name a --allow-plain-dir=true --restart-policy never --quit istio",
        "run --name a --tls-insecure --tls-ca /ca --restart-policy never --quit istio",
        "run --name a --tls-server-name - --restart-policy never --quit istio",
    ] {
        let wrong = read(typed, "");
        assert_eq!(name(&wrong).as_deref(), Some("a"), "{typed}");
        assert_eq!(quits(&wrong), Some(vec!["istio".to_owned()]), "{typed}");
    }
    // An option that is not clear is not used.
    for typed in [
        "run --name a --name b --restart-policy never",
        "run --name A --restart-policy never",
        "run --name a --dir none --bogus",
        "run --name a --dir x --bogus",
        "wait --name a",
    ] {
        assert_eq!(name(&read(typed, "")), None, "{typed}");
    }
    for typed in [
        "run --restart-policy on-failure --quit istio",
        "run --restart-policy never --quit istio --quit nonsense",
        "run --restart-policy never --quit istio --quit-timeout 0",
        "run --restart-policy never --quit istio --sidecar tcp://h:1",
        "run --restart-policy never --name a --quit member:a",
    ] {
        assert_eq!(quits(&read(typed, "")), None, "{typed}");
    }
    // Typed arguments mean the same as their words.
    let typed = "run --name a --restart-policy never --quit istio --stop-margin 1h -- app";
    let Ok(Command::Run(args)) = parse(&words(typed), &|_| None) else {
        panic!("a call of run")
    };
    assert!(run(&args, &|_| None).is_err());
    assert_eq!(
        Some(wrong_run(&EndArgs::from(*args), &|_| None)),
        read(typed, "")
    );
    // The member is known even if the policy is wrong.
    let wrong = read("run --name a --restart-policy x --quit istio", "");
    assert_eq!((name(&wrong).as_deref(), quits(&wrong)), (Some("a"), None));
}
