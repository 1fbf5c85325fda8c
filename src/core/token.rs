//! The token of `--http-bearer-token-file`: which text can be one, and the path of its file.

use super::errno::Errno;
use std::path::PathBuf;

/// The most bytes of a token file. Tokens of service accounts have about 1 KiB, and no server reads
/// headers of 64 KiB.
pub const MOST_TOKEN: usize = 64 * 1024;

/// Why there is no token to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    System(Errno),
    /// The path is that of a directory, FIFO or device.
    NotAFile,
    Empty,
    /// The file has more than [`MOST_TOKEN`] bytes.
    TooLong,
    /// It has white space, a control character, or a character that is not ASCII.
    BadCharacter,
}

/// Reads the value of the option.
///
/// # Errors
/// The cause and a right example. The text is not shown, because it may be the token itself.
pub fn path(text: &str) -> Result<PathBuf, String> {
    // A word may be a token. A file in the working directory is `./token`.
    if !text.contains('/') {
        return Err(
            "needs the path of a file that holds the token, and not the token (the value is not \
             shown here); use /var/run/secrets/kubernetes.io/serviceaccount/token"
                .to_owned(),
        );
    }
    Ok(PathBuf::from(text))
}

/// The token in a file, without the white space around it.
///
/// # Errors
/// The file holds no token.
pub fn read(file: &[u8]) -> Result<&str, TokenError> {
    if file.len() > MOST_TOKEN {
        return Err(TokenError::TooLong);
    }
    let token = file.trim_ascii();
    if token.is_empty() {
        return Err(TokenError::Empty);
    }
    let token = str::from_utf8(token).ok();
    token
        .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(TokenError::BadCharacter)
}

#[cfg(test)]
mod tests {
    use super::{MOST_TOKEN, TokenError, path, read};
    use proptest::prelude::*;

    #[test]
    fn a_token_is_read_without_the_line_end_of_its_file() {
        for file in ["a.b-c_d=", "a.b-c_d=\n", "\na.b-c_d=\r\n", " a.b-c_d= "] {
            assert_eq!(read(file.as_bytes()), Ok("a.b-c_d="), "{file:?}");
        }
        let longest = vec![b'a'; MOST_TOKEN];
        assert!(read(&longest).is_ok());
    }

    #[test]
    fn a_file_without_a_token_that_can_be_sent_is_refused() {
        let long = vec![b'a'; MOST_TOKEN + 1];
        for (file, error) in [
            (b"".as_slice(), TokenError::Empty),
            (b" \n", TokenError::Empty),
            (b"Bearer abc", TokenError::BadCharacter),
            (b"a\r\nX-Admin: 1", TokenError::BadCharacter),
            (b"a\nb", TokenError::BadCharacter),
            (b"a\0b", TokenError::BadCharacter),
            (b"a\x7f", TokenError::BadCharacter),
            ("\u{e4}".as_bytes(), TokenError::BadCharacter),
            (b"\xff", TokenError::BadCharacter),
            (&long, TokenError::TooLong),
        ] {
            assert_eq!(read(file), Err(error), "{file:?}");
        }
    }

    #[test]
    fn a_token_in_the_place_of_its_path_is_refused_and_not_shown() {
        for secret in ["eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "ghp_secret123", ""] {
            let cause = path(secret).expect_err(secret);
            assert!(secret.is_empty() || !cause.contains(secret), "{cause}");
        }
        for right in ["/run/token", "./token", "./eyJ", "/run/eyJ"] {
            assert_eq!(path(right), Ok(right.into()));
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_cannot_end_a_header(file in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(token) = read(&file) {
                prop_assert!(!token.is_empty());
                prop_assert!(token.bytes().all(|it| (0x21..0x7f).contains(&it)));
            }
        }
    }
}
