//! The command line as values: what is accepted, what takes precedence, and what is refused.

use super::output::LOG_FORMAT;
use super::{Command, Kind, OutputArgs, PolicyArgs, Stop, UsageError, WaitArgs};
use super::{definition, early_format, parse, salvage, variables};
use crate::core::duration::show;
use crate::core::logging::Format;
use crate::core::schedule::{CEILING, FAR, NEAR, PARTS};
use clap::{ArgAction, Args};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn words(words: &[&str]) -> Vec<OsString> {
    ["podgate"].iter().chain(words).map(Into::into).collect()
}

fn parsed(typed: &[&str], variables: Pairs<'_>) -> Result<Command, Stop> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(it, _)| *it == name)?;
        Some(OsString::from(found.1))
    };
    parse(&words(typed), &variable)
}

fn wait(typed: &[&str], variables: Pairs<'_>) -> WaitArgs {
    let typed = [&["wait"], typed].concat();
    match parsed(&typed, variables) {
        Ok(Command::Wait(args)) => *args,
        other => panic!("{typed:?}: {other:?}"),
    }
}

fn wrong(typed: &[&str], variables: Pairs<'_>) -> UsageError {
    match parsed(typed, variables) {
        Err(Stop::Wrong(error)) => error,
        other => panic!("{typed:?}: {other:?}"),
    }
}

fn bad_value(source: &str, value: &str, cause: &str) -> UsageError {
    UsageError::BadValue {
        source: source.to_owned(),
        value: Some(value.to_owned()),
        cause: cause.to_owned(),
    }
}

#[test]
fn clap_finds_no_mistake_in_the_definitions() {
    definition().debug_assert();
}

fn help(command: &str) -> String {
    match parsed(&[command, "--help"], &[]) {
        Err(Stop::Read(help)) => help,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_usage_line_shows_what_a_call_must_have() {
    for (command, usage) in [
        ("wait", "podgate wait [OPTIONS] [CHECK]... [-- <CMD>...]"),
        ("check", "podgate check [OPTIONS] [CHECK]..."),
        ("run", "podgate run [OPTIONS] -- <CMD>..."),
        ("join", "podgate join [OPTIONS] [-- <HOOK>...]"),
        ("quit", "podgate quit [OPTIONS] <TARGET>..."),
        ("install", "podgate install [OPTIONS] <DEST>"),
    ] {
        let help = help(command);
        let usage = format!("Usage: {usage}\n");
        assert!(help.contains(&usage), "{help}");
    }
    // What is required in the help is not required by clap.
    for command in ["run", "quit", "install"] {
        assert!(parsed(&[command], &[]).is_ok(), "{command}");
    }
}

#[test]
fn the_help_of_join_is_not_about_a_command_that_it_starts() {
    let join = help("join");
    let options = join.split_once("\nChecks:").map(|(options, _)| options);
    let options = options.expect("options before the checks");
    assert!(!options.contains("CMD\'s") && !options.contains("Stop CMD"));
    assert!(options.contains("Stop PID 1 when all"), "{options}");
    assert!(help("run").contains("Stop CMD when all"));
}

#[test]
fn a_timeout_of_another_command_has_a_hint() {
    for (typed, near) in [
        (
            &["run", "--timeout", "3s", "--", "app"][..],
            "--after-timeout",
        ),
        (&["run", "-t", "3s", "--", "app"], "--after-timeout"),
        (&["check", "--timeout=3s", "file:///"], "--attempt-timeout"),
    ] {
        let UsageError::UnknownOption { near: found, .. } = wrong(typed, &[]) else {
            panic!("{typed:?}")
        };
        assert_eq!(found.as_deref(), Some(near), "{typed:?}");
    }
}

#[test]
fn only_a_check_of_wait_may_be_a_command() {
    let ends = |typed: &[&str]| match wrong(typed, &[]) {
        UsageError::BadValue { cause, .. } => cause.ends_with("put a command after --"),
        other => panic!("{other:?}"),
    };
    assert!(ends(&["wait", "app"]));
    assert!(!ends(&["check", "app"]));
    assert!(!ends(&["run", "--after", "app", "--", "app"]));
    let refused = "not a preset; use --sidecar istio, or --after CHECK and --quit TARGET";
    for value in ["app", "not:istio", "istio-proxy", "tcp://a:1"] {
        let wrong = wrong(&["run", "--sidecar", value, "--", "app"], &[]);
        assert_eq!(wrong, bad_value("--sidecar", value, refused));
    }
}

#[test]
fn every_argument_has_a_help_and_a_heading() {
    for command in definition().get_subcommands() {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let name = (command.get_name(), arg.get_id());
            assert!(arg.get_help().is_some(), "{name:?}");
            let has_heading = arg.get_help_heading().is_some();
            assert_eq!(has_heading, arg.get_long().is_some(), "{name:?}");
        }
    }
}

#[test]
fn no_variable_is_one_that_kubernetes_injects_for_a_service() {
    for command in definition().get_subcommands() {
        let names = command.get_arguments().filter_map(super::variables::name);
        for name in names {
            let is_injected =
                name.starts_with("PODGATE_PORT") || name.starts_with("PODGATE_SERVICE");
            assert!(!is_injected, "{name}");
        }
    }
}

#[test]
fn a_variable_is_named_after_its_option_with_two_exceptions() {
    let mut others = BTreeSet::new();
    for command in definition().get_subcommands() {
        for arg in command
            .get_arguments()
            .filter(|arg| arg.get_long().is_some())
        {
            let long = arg.get_long().unwrap_or_default();
            let usual = format!("PODGATE_{}", long.to_uppercase().replace('-', "_"));
            let name = super::variables::name(arg);
            if name.as_deref() != Some(&usual) {
                others.insert((command.get_name().to_owned(), long.to_owned(), name));
            }
        }
    }
    let quit = Some("PODGATE_QUIT_TIMEOUT".to_owned());
    let expected = [
        ("check".to_owned(), "attempt-timeout".to_owned(), None),
        ("quit".to_owned(), "timeout".to_owned(), quit),
    ];
    assert_eq!(others, BTreeSet::from(expected));
}

/// The typed values of a call, without where they were given.
fn values(typed: &[&str]) -> String {
    let text = format!("{:?}", parsed(typed, &[]).expect("a right call"));
    text.replace("place: Default", "place: Flag")
}

#[test]
fn the_defaults_of_the_help_are_those_that_are_used() {
    let mut seen = 0;
    for command in definition().get_subcommands() {
        let name = command.get_name();
        let help = help(name);
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            for default in arg.get_default_values() {
                let default = default.to_str().unwrap();
                let (_, after) = help.split_once(&format!("--{long} <")).unwrap();
                let (shown, _) = after
                    .split_once("[default: ")
                    .unwrap()
                    .1
                    .split_once(']')
                    .unwrap();
                assert_eq!(shown, default, "{name} --{long}");
                let given = format!("--{long}={default}");
                assert_eq!(values(&[name, &given]), values(&[name]), "{name} {given}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_format_of_early_messages_is_read_from_the_variable_of_its_option() {
    let command = OutputArgs::augment_args(clap::Command::new(""));
    let arg = command
        .get_arguments()
        .find(|it| it.get_id() == "log_format");
    assert_eq!(arg.and_then(variables::name).as_deref(), Some(LOG_FORMAT));
    for (value, format) in [
        (Some("json"), Format::Json),
        (Some(" json\n"), Format::Json),
        (Some("text"), Format::Text),
        (Some("JSON"), Format::Text),
        (Some(""), Format::Text),
        (None, Format::Text),
    ] {
        let variables = |name: &str| value.filter(|_| name == LOG_FORMAT).map(OsString::from);
        assert_eq!(early_format(&variables), format, "{value:?}");
    }
}

#[test]
fn the_help_states_the_pace_that_is_used() {
    let pace = format!(
        "[default: {}% of the time waited so far, at least {} ({} for exec: and for other hosts), \
         at most {}]",
        100 / PARTS,
        show(NEAR),
        show(FAR),
        show(CEILING)
    );
    for command in ["wait", "run", "join"] {
        let help = text(&[command, "--help"]);
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(words.join(" ").contains(&pace), "{command}: {pace}");
    }
}

#[test]
fn options_may_stand_anywhere_before_cmd_and_cmd_is_left_alone() {
    let typed = [
        "-qt5s",
        "tcp://a:1",
        "--any",
        "tcp://b:2",
        "--",
        "app",
        "--any",
        "--",
    ];
    let args = wait(&typed, &[("PODGATE_INTERVAL", "1s")]);
    assert_eq!(args.timeout.value.duration(), Some(Duration::from_secs(5)));
    assert!(args.any.value && args.output.quiet.value && !args.output.verbose.value);
    assert_eq!(args.checks.len(), 2);
    assert_eq!(args.cmd, ["app", "--any", "--"]);
    let cmd = OsString::from_vec(b"\xff".to_vec());
    let typed = ["podgate", "run", "--", "\0x"].map(OsString::from);
    let typed = [&typed[..], std::slice::from_ref(&cmd)].concat();
    match parse(&typed, &|_| None) {
        Ok(Command::Run(args)) => assert_eq!(args.cmd[1], cmd),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flag_goes_before_a_variable_and_a_list_before_a_list() {
    let variables = [
        ("PODGATE_TIMEOUT", "7s"),
        ("PODGATE_HTTP_HEADER", "A: 1\n\n  B: 2 \n"),
        ("PODGATE_CHECKS", "tcp://a:1\n tcp://b:2"),
        ("PODGATE_ANY", " 1 "),
    ];
    let args = wait(&[], &variables);
    assert_eq!(args.timeout.value.duration(), Some(Duration::from_secs(7)));
    assert_eq!(args.timeout.source.name, "PODGATE_TIMEOUT");
    let headers: Vec<_> = args
        .http
        .http_header
        .iter()
        .map(|it| &it.value.name)
        .collect();
    assert_eq!(headers, ["A", "B"]);
    assert_eq!(args.checks.len(), 2);
    assert!(args.any.value && !args.any.source.is_flag());
    let args = wait(&["-t", "1s", "-H", "C: 3", "tcp://c:3"], &variables);
    assert_eq!(args.timeout.value.duration(), Some(Duration::from_secs(1)));
    assert_eq!(args.timeout.source.name, "--timeout");
    assert_eq!(args.http.http_header.len(), 1);
    assert_eq!(args.checks.len(), 1);
    assert_eq!(args.checks[0].source.name, "CHECK");
}

#[test]
fn an_empty_variable_counts_as_unset_and_a_switch_may_be_off() {
    let variables = [
        ("PODGATE_TIMEOUT", " "),
        ("PODGATE_QUIET", ""),
        ("PODGATE_ANY", "false"),
        ("PODGATE_VERBOSE", "0"),
        ("PODGATE_CHECKS", "\n \n"),
        ("PODGATE_PORT", "tcp://10.0.0.1:80"),
    ];
    let args = wait(&[], &variables);
    assert_eq!(format!("{args:?}"), format!("{:?}", wait(&[], &[])));
}

#[test]
fn a_flag_goes_before_the_variable_of_an_option_that_contradicts_it() {
    let verbose = [("PODGATE_VERBOSE", "1")];
    let args = wait(&["--quiet"], &verbose);
    assert!(args.output.quiet.value && !args.output.verbose.value);
    let insecure = [("PODGATE_TLS_INSECURE", "1")];
    let args = wait(&["--tls-ca", "/ca"], &insecure);
    assert!(args.tls.tls_ca.is_some() && !args.tls.tls_insecure.value);
    let ca = [("PODGATE_TLS_CA", "/ca")];
    let args = wait(&["--tls-insecure"], &ca);
    assert!(args.tls.tls_ca.is_none() && args.tls.tls_insecure.value);
    let conflict = |one: &str, other: &str| UsageError::Conflict {
        one: one.to_owned(),
        other: other.to_owned(),
    };
    assert_eq!(
        wrong(&["wait", "-q", "-v"], &[]),
        conflict("--quiet", "--verbose")
    );
    let both = [("PODGATE_QUIET", "1"), ("PODGATE_VERBOSE", "true")];
    let expected = conflict("PODGATE_QUIET", "PODGATE_VERBOSE");
    assert_eq!(wrong(&["wait"], &both), expected);
    // A bad value is refused all the same.
    for (typed, variable) in [
        (&["wait", "-q"][..], "PODGATE_VERBOSE"),
        (&["quit", "--tls-ca", "/ca"], "PODGATE_TLS_INSECURE"),
    ] {
        let expected = bad_value(variable, "x", "expected true or false");
        assert_eq!(wrong(typed, &[(variable, "x")]), expected);
    }
}

#[test]
fn space_around_the_value_of_a_variable_does_not_count() {
    // Copied from a web page or a document.
    let timeout = [("PODGATE_TIMEOUT", "\u{a0}5s\u{b}\r\n")];
    let args = wait(&["file:///"], &timeout);
    assert_eq!(args.timeout.value.duration(), Some(Duration::from_secs(5)));
    let checks = [("PODGATE_CHECKS", "\u{3000}\r\n\u{a0}file:///\u{a0}\n\n")];
    assert_eq!(wait(&[], &checks).checks.len(), 1);
}

#[test]
fn a_bad_value_in_a_variable_names_the_variable() {
    let cause = "has no unit; use 30s or 30ms, or none for no limit";
    let timeout = [("PODGATE_TIMEOUT", "30")];
    let expected = bad_value("PODGATE_TIMEOUT", "30", cause);
    assert_eq!(wrong(&["wait", "file:///"], &timeout), expected);
    let quit = [("PODGATE_QUIT_TIMEOUT", "30")];
    let expected = bad_value("PODGATE_QUIT_TIMEOUT", "30", cause);
    assert_eq!(wrong(&["quit", "istio"], &quit), expected);
    let any = [("PODGATE_ANY", "maybe")];
    let expected = bad_value("PODGATE_ANY", "maybe", "expected true or false");
    assert_eq!(wrong(&["wait", "file:///"], &any), expected);
    match wrong(&["wait"], &[("PODGATE_CHECKS", "--any")]) {
        UsageError::BadValue { source, value, .. } => {
            assert_eq!(source, "PODGATE_CHECKS");
            assert_eq!(value.as_deref(), Some("--any"));
        }
        other => panic!("{other:?}"),
    }
    // The attempt timeout of a gate has no effect on a probe.
    let attempt = [
        ("PODGATE_ATTEMPT_TIMEOUT", "x"),
        ("PODGATE_PROBE_ATTEMPT_TIMEOUT", "x"),
    ];
    assert!(parsed(&["check", "file:///"], &attempt).is_ok());
}

#[test]
fn a_text_that_is_not_utf_8_is_named_by_its_place() {
    let bad = OsString::from_vec(b"file:///\xff".to_vec());
    let typed = [words(&["wait"]), vec![bad]].concat();
    let refused = |result| match result {
        Err(Stop::Wrong(UsageError::NotUtf8 { source })) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(parse(&typed, &|_| None)), "CHECK");
    let variable =
        |name: &str| (name == "PODGATE_TIMEOUT").then(|| OsString::from_vec(b"\xff".to_vec()));
    assert_eq!(
        refused(parse(&words(&["wait"]), &variable)),
        "PODGATE_TIMEOUT"
    );
    let command = vec!["podgate".into(), OsString::from_vec(b"\xff".to_vec())];
    assert_eq!(refused(parse(&command, &|_| None)), "the command");
}

#[test]
fn a_typing_error_gets_the_nearest_name() {
    let near = |typed: &[&str]| match wrong(typed, &[]) {
        UsageError::UnknownOption { near, .. } | UsageError::UnknownCommand { near, .. } => near,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        near(&["wait", "--timeuot", "5s"]).as_deref(),
        Some("--timeout")
    );
    assert_eq!(
        near(&["run", "--untill", "main"]).as_deref(),
        Some("--until")
    );
    assert_eq!(near(&["waiting"]).as_deref(), Some("wait"));
    assert_eq!(near(&["chekc"]).as_deref(), Some("check"));
    assert_eq!(near(&["x"]), None);
    let interval = UsageError::UnknownOption {
        call: "check",
        takes_cmd: false,
        option: "--interval".to_owned(),
        near: None,
    };
    assert_eq!(wrong(&["check", "--interval", "1s"], &[]), interval);
    let unknown = UsageError::UnknownCommand {
        word: "-".to_owned(),
        near: None,
    };
    assert_eq!(wrong(&["-"], &[]), unknown);
    for option in ["--version", "--help"] {
        let source = option.to_owned();
        let typed = format!("{option}=x");
        assert_eq!(wrong(&[&typed], &[]), UsageError::NeedlessValue { source });
    }
}

#[test]
fn a_long_option_with_one_dash_is_named_with_two() {
    for (typed, option) in [
        (&["wait", "-timeout", "10s", "tcp://h:1"][..], "--timeout"),
        (&["wait", "tcp://h:1", "-timeout=10s"], "--timeout"),
        (&["wait", "-interval", "1s"], "--interval"),
        (&["wait", "-any"], "--any"),
        (&["join", "-wait"], "--wait"),
        (&["run", "-quiet", "--", "app"], "--quiet"),
        (&["check", "-http-header", "A: s3cr3t"], "--http-header"),
        (&["check", "-http-header=A: s3cr3t"], "--http-header"),
        (&["quit", "-v", "-tls-insecure"], "--tls-insecure"),
    ] {
        let option = option.to_owned();
        assert_eq!(wrong(typed, &[]), UsageError::OneDash { option });
    }
    // The words after `--` are for CMD.
    let error = wrong(&["wait", "-x", "--", "app", "-timeout"], &[]);
    assert!(
        matches!(error, UsageError::UnknownOption { .. }),
        "{error:?}"
    );
    assert_eq!(text(&["wait", "-timeout", "--help"]), text(&["wait", "-h"]));
    assert_eq!(text(&["wait", "-help"]), text(&["wait", "-h"]));
}

#[test]
fn the_wait_option_of_dockerize_is_refused_with_a_hint() {
    for (typed, call, option) in [
        (&["wait", "-wait", "tcp://h:1"][..], "wait", "-wait"),
        (&["wait", "--wait", "tcp://h:1"], "wait", "--wait"),
        (&["wait", "-v", "-wait=tcp://h:1"], "wait", "-wait"),
        (&["check", "--wait=tcp://h:1"], "check", "--wait"),
    ] {
        let option = option.to_owned();
        let expected = UsageError::NoWaitOption { call, option };
        assert_eq!(wrong(typed, &[]), expected, "{typed:?}");
    }
    for typed in [
        &["wait", "-waits", "tcp://h:1"][..],
        &["wait", "-w", "tcp://h:1"],
        &["run", "--wait", "--", "app"],
    ] {
        let error = wrong(typed, &[]);
        assert!(
            matches!(error, UsageError::UnknownOption { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_value_is_given_once_and_is_not_an_option() {
    let timeout = || "--timeout".to_owned();
    let missing = UsageError::MissingValue {
        call: "wait",
        source: timeout(),
    };
    assert_eq!(wrong(&["wait", "file:///", "--timeout"], &[]), missing);
    assert_eq!(wrong(&["wait", "--timeout", "--any"], &[]), missing);
    assert_eq!(wrong(&["wait", "-t", "-q"], &[]), missing);
    assert_eq!(wrong(&["wait", "-t", "--bogus"], &[]), missing);
    assert_eq!(wrong(&["wait", "-t", "--", "app"], &[]), missing);
    let twice = UsageError::GivenTwice { source: timeout() };
    assert_eq!(wrong(&["wait", "-t", "5s", "--timeout=6s"], &[]), twice);
    let any = || "--any".to_owned();
    let twice = UsageError::GivenTwice { source: any() };
    assert_eq!(wrong(&["wait", "--any", "--any"], &[]), twice);
    let needless = UsageError::NeedlessValue { source: any() };
    assert_eq!(wrong(&["wait", "--any=yes"], &[]), needless);
    for typed in [
        &["wait", "-t", "-5s"][..],
        &["wait", "--timeout", "-5s", "file:///"],
    ] {
        let negative = UsageError::Negative {
            source: Some(timeout()),
            value: "-5s".to_owned(),
        };
        assert_eq!(wrong(typed, &[]), negative);
    }
    let negative = UsageError::Negative {
        source: None,
        value: "-5s".to_owned(),
    };
    assert_eq!(wrong(&["wait", "-5s"], &[]), negative);
    // Found by fuzzing: a word with a secret was shortened to nothing.
    let negative = UsageError::Negative {
        source: None,
        value: "-7".to_owned(),
    };
    assert_eq!(wrong(&["wait", "-7u:s3cr3t@h:80"], &[]), negative);
}

#[test]
fn an_unexpected_argument_is_shown_only_if_it_cannot_be_a_secret() {
    let unexpected = |call, takes_cmd, word: Option<&str>| UsageError::UnexpectedArgument {
        call,
        takes_cmd,
        word: word.map(str::to_owned),
    };
    assert_eq!(
        wrong(&["run", "app"], &[]),
        unexpected("run", true, Some("app"))
    );
    let expected = unexpected("status", false, Some("main"));
    assert_eq!(wrong(&["status", "main"], &[]), expected);
    for header in ["-H", "--http-header", "-qH"] {
        let typed = ["run", header, "X-Token:", "s3cr3t", "--", "app"];
        assert_eq!(wrong(&typed, &[]), unexpected("run", true, None));
    }
    let source = "CHECK".to_owned();
    let typed = ["check", "--http-header=X-Token:", "s3cr3t", "file:///"];
    assert_eq!(wrong(&typed, &[]), UsageError::UnquotedHeader { source });
    let typed = ["check", "file:///", "--", "true"];
    assert_eq!(wrong(&typed, &[]), UsageError::NoCmd { call: "check" });
    assert!(parsed(&["check", "file:///", "--"], &[]).is_ok());
    let missing = UsageError::MissingValue {
        call: "check",
        source: "--dir".to_owned(),
    };
    assert_eq!(wrong(&["check", "--dir", "--", "x"], &[]), missing);
}

#[test]
fn a_word_after_a_header_is_shown_only_if_it_cannot_be_a_secret() {
    let unquoted = UsageError::UnquotedHeader {
        source: "CHECK".to_owned(),
    };
    for typed in [
        &["-H", "Authorization: Bearer", "s3cr3t", "http://h/"][..],
        &["http://h/", "-H", "Authorization: Bearer", "s3cr3t"],
        &["--http-header", "Authorization: Basic", "u:s3cr3t"],
        &["http://h/", "--http-header=Authorization: Bearer", "s3cr3t"],
        &["-HAuthorization: Bearer", "s3cr3t"],
        &["-vHAuthorization: Bearer", "db:5432"],
        &["-vH", "Authorization: Bearer", "tcp:s3cr3t"],
        &["-H", "A: b", "-H", "Authorization: Bearer", "s3cr3t"],
        &["-H", "Authorization:", "Bearer", "s3cr3t", "-t", "5s"],
    ] {
        assert_eq!(wrong(&[&["wait"], typed].concat(), &[]), unquoted);
    }
    // Another word that is not a check is shown with its hint.
    for typed in [
        &["db:5432", "-H", "A: b"][..],
        &["-H", "A: b", "http://h/", "db:5432"],
        &["-HA: b", "-t", "5s", "db:5432"],
        &["--http-header=A: b", "-v", "db:5432"],
    ] {
        let cause = "has no kind of check; use tcp://db:5432";
        let expected = bad_value("CHECK", "db:5432", cause);
        assert_eq!(wrong(&[&["wait"], typed].concat(), &[]), expected);
    }
    let option = |option: &str, near: Option<&str>| UsageError::UnknownOption {
        call: "wait",
        takes_cmd: true,
        option: option.to_owned(),
        near: near.map(str::to_owned),
    };
    let typed = ["wait", "-H", "Authorization: Bearer", "--s3cr3t"];
    assert_eq!(wrong(&typed, &[]), option("--…", None));
    let typed = ["wait", "-H", "A: b", "--timeuot", "5s"];
    assert_eq!(wrong(&typed, &[]), option("--timeuot", Some("--timeout")));
    let negative = UsageError::Negative {
        source: None,
        value: "-5".to_owned(),
    };
    let typed = ["wait", "-H", "Authorization: Bearer", "-5s3cr3t"];
    assert_eq!(wrong(&typed, &[]), negative);
}

#[test]
fn secrets_are_hidden_in_refusals() {
    const SECRET: &str = "s3cr3t";
    for typed in [
        &["wait", "--timeout", "http://u:s3cr3t@h/", "file:///"][..],
        &["wait", "http://u:s3cr3t@h:x/"],
        &["wait", "u:s3cr3t@h"],
        &["wait", "--http://u:s3cr3t@h/"],
        &["--http://u:s3cr3t@h/"],
        &["http://u:s3cr3t@h/"],
        &["u:s3cr3t@h"],
        // Found by fuzzing.
        &["--http-header=X-Token: s3cr3t"],
        &["-HX-Token: s3cr3t"],
        &["status", "--http-header=X-Token: s3cr3t"],
        &["status", "-HX-Token: s3cr3t"],
        &["run", "-H", "--after s3cr3t", "--", "app"],
        &["status", "http://u:s3cr3t@h/"],
        &["run", "u:s3cr3t@h"],
        &["run", "--until", "u:s3cr3t@h"],
        &["run", "--quit", "u:s3cr3t@h"],
        &["run", "--sidecar", "http://u:s3cr3t@h/"],
        &["check", "-H", "s3cr3t", "http://h/"],
        &["check", "-H", "A\u{7f}: s3cr3t", "http://h/"],
        &["check", "-HBearer: a\ns3cr3t", "http://h/"],
        &["run", "-H", "Authorization: Bearer", "s3cr3t", "--", "app"],
        &["check", "-H", "-5s3cr3t", "http://h/"],
        &["check", "--http-header", "-5s3cr3t", "http://h/"],
        &["check", "--http-header X-Token: s3cr3t", "http://h/"],
        &["--http-header X-Token: s3cr3t"],
        &["quit", "--quit-header", "s3cr3t", "istio"],
        &["quit", "--quit-header", "Authorization: Bearer", "s3cr3t"],
        &["quit", "--quit-header=A: Bearer", "s3cr3t"],
        &["quit", "--quit-header", "-5s3cr3t", "istio"],
        &["quit", "--quit-header", "A: Bearer", "--s3cr3t"],
        &["run", "--quit-header", "A: Bearer", "s3cr3t", "--", "app"],
        &["run", "--quit-header X-Token: s3cr3t", "--", "app"],
        &[
            "check",
            "--http-bearer-token-file",
            "eyJs3cr3t",
            "http://h/",
        ],
    ] {
        let error = wrong(typed, &[]);
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
}

/// The text that a call asks for.
fn text(typed: &[&str]) -> String {
    match parsed(typed, &[]) {
        Err(Stop::Read(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_help_and_the_version_are_not_errors() {
    assert!(text(&["--version"]).starts_with("podgate 0."));
    assert_eq!(text(&["-V"]), text(&["--version"]));
    assert_eq!(text(&["-h"]), text(&["--help"]));
    for kind in Kind::ALL {
        let help = text(&[kind.name(), "--help"]);
        assert_eq!(text(&[kind.name(), "-h"]), help);
        assert!(
            help.contains(&format!("Usage: podgate {}", kind.name())),
            "{help}"
        );
        assert!(text(&["--help"]).contains(&format!("\n  {} ", kind.name())));
    }
    for typed in [&[][..], &["--"], &["--", "--version"], &["--", "wait"]] {
        assert!(matches!(parsed(typed, &[]), Err(Stop::Begin)), "{typed:?}");
    }
    // What comes before or after the option does not hide the help.
    for typed in [
        &["check", "--help", "--", "x"][..],
        &["check", "--dir", "x", "--help"],
        &["check", "nonsense", "-h", "-q", "-v"],
    ] {
        assert_eq!(text(typed), text(&["check", "--help"]), "{typed:?}");
    }
    let expected = wrong(&["run", "--grace", "x", "--", "app"], &[]);
    assert_eq!(
        wrong(&["run", "--grace", "x", "--", "app", "--help"], &[]),
        expected
    );
}

#[test]
fn the_help_is_at_most_100_columns_wide() {
    let commands = Kind::ALL.map(|kind| text(&[kind.name(), "--help"]));
    for help in [text(&["--help"])].iter().chain(&commands) {
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn a_group_is_read_from_a_call_that_is_wrong_elsewhere() {
    let none = |_: &str| None;
    let policy = |typed: &[&str]| {
        let read = salvage::<PolicyArgs>(&words(typed), &none);
        read.map(|it| it.restart_policy.value.word())
    };
    let typed = [
        "run",
        "--bogus",
        "x",
        "--grace",
        "y",
        "--restart-policy",
        "never",
        "--",
        "a",
    ];
    assert_eq!(policy(&typed), Some("never"));
    assert_eq!(
        policy(&["run", "--restart-policy=always", "x"]),
        Some("always")
    );
    assert_eq!(
        policy(&["run", "x", "--", "--restart-policy=always"]),
        Some("auto")
    );
    for unclear in [
        &["run", "--restart-policy", "x"][..],
        &["run", "--restart-policy"],
        &[
            "run",
            "--restart-policy",
            "never",
            "--restart-policy",
            "never",
        ],
    ] {
        assert_eq!(policy(unclear), None, "{unclear:?}");
    }
    let typed = words(&["wait", "-xqv", "--log-format", "json", "--any=1", "-q"]);
    let output = salvage::<OutputArgs>(&typed, &none).expect("it is clear");
    assert!(output.quiet.value);
    // What the value of a switch should mean is not clear, but the switch is.
    let output = salvage::<OutputArgs>(&words(&["wait", "--quiet=1"]), &none);
    assert!(output.expect("it is clear").quiet.value);
    let quiet = |name: &str| (name == "PODGATE_QUIET").then(|| "1".into());
    let output = salvage::<OutputArgs>(&words(&["wait", "--bogus"]), &quiet);
    assert!(output.expect("it is clear").quiet.value);
}

#[test]
fn lists_and_only_lists_are_repeatable() {
    for command in definition().get_subcommands() {
        for arg in command.get_arguments() {
            let is_list = matches!(arg.get_action(), ArgAction::Append);
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let is_named = help.contains("(repeatable") || arg.get_long().is_none();
            assert!(arg.is_hide_set() || !is_list || is_named, "{arg}");
        }
    }
}
