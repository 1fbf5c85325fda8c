//! Why a call is wrong: a command line or a variable that cannot be used.
//!
//! Each sentence names the option or variable and shows a right example. The caller hides secrets.

use super::tls::trust_error;
use super::{LogEvent, Message, Severity};
use crate::core::duration::show;
use crate::core::signal;
use crate::core::trust::TrustError;
use std::time::Duration;

fn usage(text: String) -> Message {
    Message::new(Severity::Error, LogEvent::Usage, text)
}

pub fn unknown_command(word: &str, near: Option<&str>) -> Message {
    usage(match near {
        Some(near) => format!("unknown command {word:?}; did you mean podgate {near}?"),
        None => format!(
            "unknown command {word:?}; use podgate wait or podgate run, or see podgate --help"
        ),
    })
}

pub fn check_as_command(check: &str) -> Message {
    let again = example(check, "CHECK");
    usage(format!(
        "{check:?} is a check, not a command; use podgate wait {again} or podgate check {again}"
    ))
}

/// A word for an example. A word with spaces needs quotes, and one with control characters must
/// not reach a terminal: `instead` stands for it.
fn example<'a>(word: &'a str, instead: &'a str) -> &'a str {
    let is_special = |letter: char| letter.is_whitespace() || letter.is_control();
    if word.is_empty() || word.contains(is_special) {
        instead
    } else {
        word
    }
}

/// `call` is empty where the option stands before a command.
pub fn unknown_option(call: &str, takes_cmd: bool, option: &str, near: Option<&str>) -> Message {
    let help = match (near, call) {
        (Some("--attempt-timeout"), "check") if option == "--timeout" => {
            "check tries once; use --attempt-timeout".to_owned()
        }
        (Some(near), _) => format!("did you mean {near}?"),
        (None, "") => "see podgate --help".to_owned(),
        (None, call) => format!("see podgate {call} --help"),
    };
    let cmd = if takes_cmd {
        " (options of CMD go after `--`)"
    } else {
        ""
    };
    usage(format!("unknown option {option:?}; {help}{cmd}"))
}

/// `option` has both dashes.
pub fn one_dash(option: &str) -> Message {
    let typed = option.strip_prefix('-').unwrap_or(option);
    usage(format!(
        "unknown option {typed:?}; use two dashes: {option}"
    ))
}

/// `option` is `-wait` or `--wait`, as in dockerize.
pub fn no_wait_option(call: &str, option: &str) -> Message {
    usage(format!(
        "unknown option {option:?}; checks are plain words: podgate {call} tcp://localhost:5432"
    ))
}

/// `word` is `None` where it may be a secret.
pub fn unexpected_argument(call: &str, takes_cmd: bool, word: Option<&str>) -> Message {
    let shown = word.map_or("(not shown)".to_owned(), |word| format!("{word:?}"));
    usage(if takes_cmd {
        let again = word.map_or("CMD", |word| example(word, "CMD"));
        format!(
            "unexpected argument {shown}; put the command after `--`: podgate {call} -- {again}"
        )
    } else {
        format!("unexpected argument {shown}; see podgate {call} --help")
    })
}

pub fn empty_cmd(call: &str) -> Message {
    usage(format!(
        "{call}: there is no command after `--`; put the command there, or leave `--` out"
    ))
}

pub fn no_cmd(call: &str) -> Message {
    usage(format!(
        "{call} does not take a command; use podgate wait CHECK -- CMD, or podgate run -- CMD"
    ))
}

pub fn negative(source: Option<&str>, value: &str) -> Message {
    let source = source.unwrap_or_default();
    let is_number = source.ends_with("-threshold") || source == "--ok-exit";
    let example = if is_number { "3" } else { "30s" };
    let space = if source.is_empty() { "" } else { " " };
    usage(format!(
        "{source}{space}{value:?}: a value cannot be negative; use {example}"
    ))
}

pub fn missing_value(call: &str, source: &str) -> Message {
    usage(format!("{source} needs a value; see podgate {call} --help"))
}

pub fn needless_value(source: &str) -> Message {
    usage(format!("{source} takes no value; use {source}"))
}

pub fn given_twice(source: &str) -> Message {
    usage(format!("{source} is given twice; give it once"))
}

pub fn conflict(one: &str, other: &str) -> Message {
    usage(format!(
        "{one} and {other} contradict each other; use one of them"
    ))
}

pub fn not_utf8(source: &str) -> Message {
    usage(format!(
        "{source}: the value is not UTF-8; write it in ASCII, percent-encoded in a URL"
    ))
}

/// `value` is `None` where it may be a secret.
pub fn bad_value(source: &str, value: Option<&str>, cause: &str) -> Message {
    usage(match value {
        Some(value) => format!("{source} {value:?}: {cause}"),
        None => format!("{source} {cause}"),
    })
}

pub fn unquoted_header(source: &str) -> Message {
    let (right, option) = match source {
        "TARGET" => ("a target, such as istio", "--quit-header"),
        _ => ("a check, such as tcp://localhost:5432", "-H"),
    };
    usage(format!(
        "{source} (not shown): not {right}; if it belongs to the header before it, quote both: \
         {option} 'NAME: VALUE'"
    ))
}

pub fn unreadable(call: &str) -> Message {
    usage(format!(
        "this command line cannot be read; see podgate {call} --help"
    ))
}

pub fn needs_check(call: &str) -> Message {
    usage(format!(
        "{call} needs a check; use podgate {call} tcp://localhost:5432, or set PODGATE_CHECKS"
    ))
}

pub fn needs_target() -> Message {
    usage("quit needs a target; use podgate quit istio, or a URL".to_owned())
}

pub fn needs_destination() -> Message {
    usage("install needs a destination; use podgate install /podgate-bin/podgate".to_owned())
}

pub fn needs_cmd() -> Message {
    usage("run needs a command; use podgate run --name main -- /app --serve".to_owned())
}

pub fn needs_name() -> Message {
    usage("join needs a name; use podgate join --name main --restart-policy never".to_owned())
}

pub fn needs_policy() -> Message {
    usage(
        "join needs --restart-policy never, on-failure or always, the pod's own: it cannot see the \
         exit code of PID 1"
            .to_owned(),
    )
}

pub fn cannot_outlive(source: &str) -> Message {
    usage(format!(
        "{source} does not work with join: the stop signal goes to PID 1, and not to podgate; use \
         it with run, or hold the container with a preStop: podgate wait gone:NAME"
    ))
}

pub fn relation_needs_name(source: &str) -> Message {
    usage(format!(
        "{source} needs the --name of this member; use --name proxy"
    ))
}

pub fn names_itself(source: &str, value: &str, name: &str) -> Message {
    usage(format!(
        "{source} {value:?}: this is the member itself ({name}); name another one"
    ))
}

pub fn quit_needs_policy(source: &str) -> Message {
    usage(format!(
        "{source} needs the pod's --restart-policy: under never the sidecar is asked to quit after \
         any end, under on-failure only after success; use --restart-policy never or \
         --restart-policy on-failure"
    ))
}

pub fn quit_under_always(source: &str) -> Message {
    usage(format!(
        "{source} cannot be used with --restart-policy always: the command is started again and \
         needs its sidecar; leave {source} out"
    ))
}

pub fn no_http_check(source: &str, has_preset: bool) -> Message {
    usage(if has_preset {
        format!(
            "{source} is about HTTP checks and does not apply to presets, which send a plain GET; \
             use the full URL, as http://localhost:15021/healthz/ready"
        )
    } else {
        format!(
            "{source} is about HTTP checks, and this call has none; use it with \
             http://localhost:8080/ready"
        )
    })
}

pub fn no_https_url(source: &str) -> Message {
    usage(format!(
        "{source} is for https and grpcs, and no URL of this call uses them; use it with \
         https://localhost:8443/ready"
    ))
}

pub fn several_hosts(source: &str) -> Message {
    usage(format!(
        "{source} would go to every HTTP host of this call, and there are several; use one host \
         per call"
    ))
}

pub fn no_http_target(source: &str) -> Message {
    usage(format!(
        "{source} is about targets that are asked over HTTP, and this call has none; use it with \
         dapr, or http://localhost:8080/quit"
    ))
}

pub fn several_targets(source: &str) -> Message {
    usage(format!(
        "{source} would go to every HTTP target of this call, and they are at several hosts or \
         ports; use one target per call (dapr reads DAPR_API_TOKEN by itself)"
    ))
}

pub fn token_and_user(source: &str) -> Message {
    usage(format!(
        "{source} and the user in a URL contradict each other: a request has one Authorization; \
         use one of them"
    ))
}

pub fn needs_other(source: &str, other: &str) -> Message {
    usage(format!(
        "{source} needs {other}, too; use --tls-cert /certs/tls.crt --tls-key /certs/tls.key"
    ))
}

pub fn two_host_headers(source: &str) -> Message {
    usage(format!("{source} names two hosts; a request has one Host"))
}

pub fn body_of_head(source: &str, value: &str) -> Message {
    usage(format!(
        "{source} {value:?}: the answer to HEAD has no body; use --http-method GET"
    ))
}

pub fn threshold_needs_interval(source: &str, value: u32) -> Message {
    usage(format!(
        "{source} \"{value}\": attempts in a row need a fixed interval; also use --interval 1s"
    ))
}

pub fn delay_too_long(source: &str, delay: Duration, timeout: Duration) -> Message {
    usage(format!(
        "{source} \"{}\": not shorter than --timeout {}; raise --timeout, or use \
         --initial-delay 1s",
        show(delay),
        show(timeout)
    ))
}

pub fn grace_too_short(
    (source, grace): (&str, Duration),
    (margin_source, margin): (&str, Duration),
) -> Message {
    usage(format!(
        "{source} \"{}\": not longer than {margin_source} \"{}\"; use --stop-margin 1s, or raise \
         --grace",
        show(grace),
        show(margin)
    ))
}

pub fn absent_timeout_without_until(source: &str) -> Message {
    usage(format!(
        "{source} is about the members of --until, and there are none; use it with --until main"
    ))
}

pub fn timeout_without_wait(source: &str) -> Message {
    usage(format!(
        "{source} is about --wait, which is not given; also use --wait"
    ))
}

pub fn mapped_twice(source: &str, mapping: &str, from: u8) -> Message {
    let from = signal::name(from);
    usage(format!(
        "{source} {mapping:?}: {from} is mapped twice; use one mapping for each signal"
    ))
}

/// `--map-signal` is about a signal that begins a stop, for which CMD gets `stop`.
pub fn maps_stop(
    (source, mapping): (&str, &str),
    from: u8,
    (stop_source, stop): (&str, u8),
) -> Message {
    let (from, stop) = (signal::name(from), signal::name(stop));
    usage(format!(
        "{source} {mapping:?}: {from} begins a stop, for which {stop_source} sends {stop}, so the \
         mapping never applies; leave {source} or {stop_source} out"
    ))
}

pub fn disable(word: &str) -> Message {
    usage(format!(
        "PODGATE_DISABLE: unknown value {word:?} (expected all, or a list of gates, quits, members)"
    ))
}

pub fn disable_not_utf8() -> Message {
    usage(
        "PODGATE_DISABLE: the value is not UTF-8 (expected all, or a list of gates, quits, \
         members)"
            .to_owned(),
    )
}

pub fn plain_dir_without_reset(source: &str) -> Message {
    usage(format!(
        "{source} is about --reset, which is not given; also use --reset /run/podgate"
    ))
}

pub fn no_members_to_reset() -> Message {
    usage("--dir none: there are no members to reset; use --dir /run/podgate".to_owned())
}

pub fn no_members_to_show() -> Message {
    usage("--dir none: there are no members to show; use --dir /run/podgate".to_owned())
}

pub fn no_members_to_join() -> Message {
    usage(
        "--dir none: join is about members and needs their volume; use --dir /run/podgate"
            .to_owned(),
    )
}

pub fn no_members() -> Message {
    usage(
        "--dir none: there are no members, but another option names some; leave it out, or use \
         --dir /run/podgate"
            .to_owned(),
    )
}

pub fn no_members_to_check(check: &str) -> Message {
    usage(format!(
        "{check:?} is about a member, and with --dir none there are none; use --dir /run/podgate"
    ))
}

pub fn no_members_to_quit(source: &str, target: &str) -> Message {
    usage(format!(
        "{source} {target:?}: a member, and with --dir none there are none; use --dir /run/podgate"
    ))
}

/// The file that `--log-to` names cannot be opened.
pub fn log_cannot_be_written(path: &str, cause: &str) -> Message {
    usage(format!(
        "--log-to {path:?}: cannot be written: {cause}; use --log-to stderr, or a file that can be \
         written"
    ))
}

/// The CAs that the options name cannot be used.
pub fn no_trust(error: &TrustError) -> Message {
    usage(trust_error(error))
}

#[cfg(test)]
mod tests {
    use super::{
        bad_value, check_as_command, disable, missing_value, negative, no_wait_option, one_dash,
        unexpected_argument, unknown_command, unknown_option,
    };
    use crate::message::{LogEvent, Severity};

    #[test]
    fn a_message_names_what_was_given_and_what_to_do() {
        for (message, text) in [
            (
                unknown_command("waiting", Some("wait")),
                r#"unknown command "waiting"; did you mean podgate wait?"#,
            ),
            (
                unknown_command("x", None),
                r#"unknown command "x"; use podgate wait or podgate run, or see podgate --help"#,
            ),
            (
                check_as_command("exec:a b"),
                "\"exec:a b\" is a check, not a command; use podgate wait CHECK or podgate check \
                 CHECK",
            ),
            (
                unknown_option("check", false, "--timeout", Some("--attempt-timeout")),
                "unknown option \"--timeout\"; check tries once; use --attempt-timeout",
            ),
            (
                unknown_option(
                    "check",
                    false,
                    "--attempt-timeuot",
                    Some("--attempt-timeout"),
                ),
                "unknown option \"--attempt-timeuot\"; did you mean --attempt-timeout?",
            ),
            (
                negative(Some("--timeout"), "-1s"),
                "--timeout \"-1s\": a value cannot be negative; use 30s",
            ),
            (
                negative(Some("--success-threshold"), "-1"),
                "--success-threshold \"-1\": a value cannot be negative; use 3",
            ),
            (
                negative(None, "-1s"),
                "\"-1s\": a value cannot be negative; use 30s",
            ),
            (
                unknown_option("wait", true, "--timeuot", Some("--timeout")),
                "unknown option \"--timeuot\"; did you mean --timeout? (options of CMD go after \
                 `--`)",
            ),
            (
                unknown_option("", false, "-q", None),
                r#"unknown option "-q"; see podgate --help"#,
            ),
            (
                unknown_option("check", false, "--interval", None),
                r#"unknown option "--interval"; see podgate check --help"#,
            ),
            (
                no_wait_option("wait", "-wait"),
                "unknown option \"-wait\"; checks are plain words: podgate wait \
                 tcp://localhost:5432",
            ),
            (
                one_dash("--timeout"),
                r#"unknown option "-timeout"; use two dashes: --timeout"#,
            ),
            (
                unexpected_argument("run", true, Some("app")),
                "unexpected argument \"app\"; put the command after `--`: podgate run -- app",
            ),
            (
                unexpected_argument("run", true, None),
                "unexpected argument (not shown); put the command after `--`: podgate run -- CMD",
            ),
            (
                missing_value("quit", "--timeout"),
                "--timeout needs a value; see podgate quit --help",
            ),
            (
                bad_value("--http-header", None, "has no colon"),
                "--http-header has no colon",
            ),
            (
                disable("x"),
                "PODGATE_DISABLE: unknown value \"x\" (expected all, or a list of gates, quits, \
                 members)",
            ),
        ] {
            assert_eq!(message.text, text);
            assert_eq!(
                (message.severity, message.event),
                (Severity::Error, LogEvent::Usage)
            );
        }
    }

    #[test]
    fn a_message_is_one_line_and_cannot_control_the_terminal() {
        for word in ["a\nb", "\u{1b}[31m", "\u{7}"] {
            for message in [
                unknown_command(word, None),
                check_as_command(word),
                unknown_option("wait", true, word, None),
                unexpected_argument("run", true, Some(word)),
                bad_value("CHECK", Some(word), "is not a check"),
                disable(word),
            ] {
                assert!(
                    !message.text.contains(char::is_control),
                    "{:?}",
                    message.text
                );
            }
        }
    }
}
