//! `podgate status` and `GET /status`: the members of the pod, as a table for people and as JSON.

use super::json::Object;
use crate::core::member::{Name, Stage};
use crate::core::observation::Observation;
use crate::core::record::Stamp;

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: Name,
    /// A word of `message::member`.
    pub state: &'static str,
    pub incarnation: Option<u64>,
    pub since: Option<Stamp>,
    pub exit_code: Option<u8>,
    pub is_alive: bool,
    /// Whether only its socket shows that it is alive: its lock is free.
    pub has_socket_only: bool,
    /// Why the member's record does not count, or could not be read.
    pub error: Option<String>,
}

impl Row {
    /// The row of a member that cannot be looked at now.
    pub fn unknown(name: Name, error: String) -> Self {
        Self {
            name,
            state: "unknown",
            incarnation: None,
            since: None,
            exit_code: None,
            is_alive: false,
            has_socket_only: false,
            error: Some(error),
        }
    }
}

/// An array of objects, one a line.
pub fn json(rows: &[Row]) -> String {
    let objects: Vec<String> = rows.iter().map(object).collect();
    let first = if rows.is_empty() { "" } else { "\n" };
    format!("[{first}{}\n]\n", objects.join(",\n"))
}

/// The same for a `run` without members: this CMD alone.
pub fn json_without_members(stage: Stage) -> String {
    let state = super::member::word(Observation::Alive {
        id: None,
        stage: Some(stage),
    });
    format!("[\n{{\"name\":null,\"state\":\"{state}\",\"alive\":true}}\n]\n")
}

fn object(row: &Row) -> String {
    let object = Object::new()
        .text("name", row.name.as_str())
        .text("state", row.state);
    let object = match row.incarnation {
        Some(incarnation) => object.number("incarnation", incarnation.into()),
        None => object.null("incarnation"),
    };
    let object = match row.since {
        Some(since) => object.text("since", &since.to_string()),
        None => object.null("since"),
    };
    let object = match row.exit_code {
        Some(code) => object.number("exit_code", code.into()),
        None => object.null("exit_code"),
    };
    let object = object.flag("alive", row.is_alive);
    // Only where locks are not shared, so that it is no news elsewhere.
    let object = if row.has_socket_only {
        object.flag("lock_is_shared", false)
    } else {
        object
    };
    object.finish()
}

/// A table with a heading.
pub fn table(rows: &[Row]) -> String {
    let widest = rows
        .iter()
        .map(|row| row.name.as_str().len())
        .max()
        .unwrap_or(0)
        .max(4);
    let line = |cells: [&str; 6]| {
        let [name, state, incarnation, since, exit, alive] = cells;
        format!("{name:widest$}  {state:7}  {incarnation:>11}  {since:24}  {exit:>4}  {alive}\n")
    };
    let mut text = line(["NAME", "STATE", "INCARNATION", "SINCE", "EXIT", "ALIVE"]);
    if rows.is_empty() {
        text.push_str("no member has come yet\n");
    }
    for row in rows {
        text.push_str(&line([
            row.name.as_str(),
            row.state,
            &row.incarnation.map_or("-".to_owned(), |it| it.to_string()),
            &row.since.map_or("-".to_owned(), |it| it.to_string()),
            &row.exit_code.map_or("-".to_owned(), |it| it.to_string()),
            match (row.is_alive, row.has_socket_only) {
                (true, true) => "yes, but its lock is not shared",
                (true, false) => "yes",
                (false, _) => "no",
            },
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Row, json, table};
    use crate::core::member::Name;
    use crate::core::record::Stamp;

    fn rows() -> [Row; 2] {
        let name = |text| Name::parse(text).expect("a name");
        let main = Row {
            name: name("main"),
            state: "exited",
            incarnation: Some(2),
            since: Some(Stamp(1_700_000_000_123)),
            exit_code: Some(3),
            is_alive: false,
            has_socket_only: false,
            error: None,
        };
        [
            main,
            Row::unknown(name("proxy"), "it is garbage".to_owned()),
        ]
    }

    #[test]
    fn programs_get_one_object_a_line() {
        assert_eq!(json(&[]), "[\n]\n");
        assert_eq!(
            json(&rows()),
            "[\n{\"name\":\"main\",\"state\":\"exited\",\"incarnation\":2,\
             \"since\":\"2023-11-14T22:13:20.123Z\",\"exit_code\":3,\"alive\":false},\n\
             {\"name\":\"proxy\",\"state\":\"unknown\",\"incarnation\":null,\"since\":null,\
             \"exit_code\":null,\"alive\":false}\n]\n"
        );
    }

    #[test]
    fn a_member_whose_lock_is_not_shared_is_alive_and_marked() {
        let main = Row {
            name: Name::parse("main").expect("a name"),
            state: "running",
            incarnation: Some(1),
            since: Some(Stamp(1_700_000_000_123)),
            exit_code: None,
            is_alive: true,
            has_socket_only: true,
            error: None,
        };
        assert_eq!(
            json(std::slice::from_ref(&main)),
            "[\n{\"name\":\"main\",\"state\":\"running\",\"incarnation\":1,\
             \"since\":\"2023-11-14T22:13:20.123Z\",\"exit_code\":null,\"alive\":true,\
             \"lock_is_shared\":false}\n]\n"
        );
        assert!(table(&[main]).ends_with("-  yes, but its lock is not shared\n"));
    }

    #[test]
    fn people_get_a_table() {
        assert_eq!(
            table(&[]),
            "NAME  STATE    INCARNATION  SINCE                     EXIT  ALIVE\n\
             no member has come yet\n"
        );
        assert_eq!(
            table(&rows()),
            "NAME   STATE    INCARNATION  SINCE                     EXIT  ALIVE\n\
             main   exited             2  2023-11-14T22:13:20.123Z     3  no\n\
             proxy  unknown            -  -                            -  no\n"
        );
    }
}
