//! What a switch in the environment means. YAML, Helm and Python write booleans in different ways.

/// Reads a boolean, as in YAML 1.1 and systemd: `true`, `yes`, `on`, `1`, and their opposites, in
/// any case. `None`: it is another word.
pub fn parse(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "yes", "on", "1"]) {
        Some(true)
    } else {
        is(["false", "no", "off", "0"]).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_boolean_is_read_as_it_is_written_in_yaml() {
        for text in ["true", "True", "TRUE", "yes", "Yes", "on", "ON", "1"] {
            assert_eq!(parse(text), Some(true), "{text}");
        }
        for text in ["false", "False", "FALSE", "no", "No", "off", "OFF", "0"] {
            assert_eq!(parse(text), Some(false), "{text}");
        }
        for text in ["", "y", "2", "truee", "01", "none"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
