//! JSON objects (RFC 8259), one a line: the log, and `status --json`.

/// An object that is being written.
#[derive(Debug, Clone)]
pub struct Object(String);

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    pub fn new() -> Self {
        Self("{".to_owned())
    }

    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, &quoted(value))
    }

    #[must_use]
    pub fn number(self, name: &str, value: u128) -> Self {
        self.raw(name, &value.to_string())
    }

    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    #[must_use]
    pub fn null(self, name: &str) -> Self {
        self.raw(name, "null")
    }

    fn raw(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON string (RFC 8259, 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter < ' ' || letter == '\u{7f}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn an_object_is_one_line_of_json() {
        let object = Object::new()
            .text("text", "a \"b\"\n\\ü\u{1b}")
            .number("number", 3)
            .flag("flag", false)
            .null("null");
        let expected = r#"{"text":"a \"b\"\u000a\\ü\u001b","number":3,"flag":false,"null":null}"#;
        assert_eq!(object.finish(), expected);
        assert_eq!(Object::new().finish(), "{}");
    }
}
