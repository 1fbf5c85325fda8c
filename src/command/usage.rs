//! Puts a wrong call into words.

use crate::cli::UsageError;
use crate::message::{Message, usage};

/// The message about a wrong call. Each error has a function in `message::usage`.
pub fn message(error: &UsageError) -> Message {
    use UsageError as E;
    match error {
        E::UnknownCommand { word, near } => usage::unknown_command(word, near.as_deref()),
        E::CheckAsCommand { check } => usage::check_as_command(check),
        E::UnknownOption {
            call,
            takes_cmd,
            option,
            near,
        } => usage::unknown_option(call, *takes_cmd, option, near.as_deref()),
        E::OneDash { option } => usage::one_dash(option),
        E::NoWaitOption { call, option } => usage::no_wait_option(call, option),
        E::UnexpectedArgument {
            call,
            takes_cmd,
            word,
        } => usage::unexpected_argument(call, *takes_cmd, word.as_deref()),
        E::EmptyCmd { call } => usage::empty_cmd(call),
        E::NoCmd { call } => usage::no_cmd(call),
        E::Negative { source, value } => usage::negative(source.as_deref(), value),
        E::MissingValue { call, source } => usage::missing_value(call, source),
        E::NeedlessValue { source } => usage::needless_value(source),
        E::GivenTwice { source } => usage::given_twice(source),
        E::Conflict { one, other } => usage::conflict(one, other),
        E::NotUtf8 { source } => usage::not_utf8(source),
        E::BadValue {
            source,
            value,
            cause,
        } => usage::bad_value(source, value.as_deref(), cause),
        E::UnquotedHeader { source } => usage::unquoted_header(source),
        E::Unreadable { call } => usage::unreadable(call),
        E::NeedsCheck { call } => usage::needs_check(call),
        E::NeedsTarget => usage::needs_target(),
        E::NeedsDestination => usage::needs_destination(),
        E::NeedsCmd => usage::needs_cmd(),
        E::NeedsName => usage::needs_name(),
        E::NeedsPolicy => usage::needs_policy(),
        E::CannotOutlive { source } => usage::cannot_outlive(source),
        E::RelationNeedsName { source } => usage::relation_needs_name(source),
        E::NamesItself {
            source,
            value,
            name,
        } => usage::names_itself(source, value, name),
        E::QuitNeedsPolicy { source } => usage::quit_needs_policy(source),
        E::QuitUnderAlways { source } => usage::quit_under_always(source),
        E::NoHttpCheck { source, has_preset } => usage::no_http_check(source, *has_preset),
        E::NoHttpsUrl { source } => usage::no_https_url(source),
        E::SeveralHosts { source } => usage::several_hosts(source),
        E::NoHttpTarget { source } => usage::no_http_target(source),
        E::SeveralTargets { source } => usage::several_targets(source),
        E::TokenAndUser { source } => usage::token_and_user(source),
        E::NeedsOther { source, other } => usage::needs_other(source, other),
        E::TwoHostHeaders { source } => usage::two_host_headers(source),
        E::BodyOfHead { source, value } => usage::body_of_head(source, value),
        E::ThresholdNeedsInterval { source, value } => {
            usage::threshold_needs_interval(source, *value)
        }
        E::DelayTooLong {
            source,
            delay,
            timeout,
        } => usage::delay_too_long(source, *delay, *timeout),
        E::GraceTooShort {
            source,
            grace,
            margin_source,
            margin,
        } => usage::grace_too_short((source, *grace), (margin_source, *margin)),
        E::AbsentTimeoutWithoutUntil { source } => usage::absent_timeout_without_until(source),
        E::TimeoutWithoutWait { source } => usage::timeout_without_wait(source),
        E::MappedTwice {
            source,
            mapping,
            from,
        } => usage::mapped_twice(source, mapping, *from),
        E::MapsStop {
            source,
            mapping,
            from,
            stop_source,
            stop,
        } => usage::maps_stop((source, mapping), *from, (stop_source, *stop)),
        E::Disable { word } => usage::disable(word),
        E::DisableNotUtf8 => usage::disable_not_utf8(),
        E::PlainDirWithoutReset { source } => usage::plain_dir_without_reset(source),
        E::NoMembersToReset => usage::no_members_to_reset(),
        E::NoMembersToShow => usage::no_members_to_show(),
        E::NoMembersToJoin => usage::no_members_to_join(),
        E::NoMembers => usage::no_members(),
        E::NoMembersToCheck { check } => usage::no_members_to_check(check),
        E::NoMembersToQuit { source, target } => usage::no_members_to_quit(source, target),
    }
}
