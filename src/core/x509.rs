//! The few parts of a certificate (RFC 5280, 4.1) that explain why a server cannot be verified. The
//! verification itself is webpki's.

use std::ops::Range;

/// rsaEncryption and id-ecPublicKey, as DER without the tag.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// id-ce-basicConstraints.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const SECP256R1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const SECP384R1: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const SECP521R1: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const OBJECT: u8 = 6;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const BOOLEAN: u8 = 1;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// The sizes of RSA keys that ring verifies, in bits.
const RSA_BITS: Range<usize> = 2048..8193;

/// A certificate, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// What is signed.
    pub signed: Range<usize>,
    /// 1, 2 or 3.
    pub version: u8,
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    /// Why signatures by its key cannot be verified.
    pub key: Option<UnknownKey>,
    /// Where it has the byte that makes it a CA's.
    pub ca: Option<usize>,
}

/// A key whose signatures podgate cannot verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKey {
    /// RSA with so many bits.
    Rsa(usize),
    /// ECDSA on P-521.
    Nist521,
    /// Another curve.
    Curve,
    /// Ed448, DSA and others.
    Other,
}

/// An element of DER: where its content is.
struct Element {
    tag: u8,
    /// The first byte of the tag.
    start: usize,
    content: Range<usize>,
}

/// Reads the elements in a part of `der` one after the other.
struct Reader<'a> {
    der: &'a [u8],
    part: Range<usize>,
}

impl<'a> Reader<'a> {
    fn new(der: &'a [u8], part: Range<usize>) -> Self {
        Self { der, part }
    }

    fn next(&mut self) -> Option<Element> {
        let part = self.der.get(self.part.clone())?;
        let (tag, length) = (*part.first()?, *part.get(1)?);
        let (length, header) = if length < 0x80 {
            (usize::from(length), 2_usize)
        } else {
            let count = usize::from(length & 0x7f);
            let digits = part.get(2..count.checked_add(2)?)?;
            if !(1..=4).contains(&count) {
                return None;
            }
            let length = digits
                .iter()
                .fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit));
            (length, count.checked_add(2)?)
        };
        let start = self.part.start;
        let content = start.checked_add(header)?;
        let end = content.checked_add(length)?;
        if end > self.part.end {
            return None;
        }
        self.part.start = end;
        Some(Element {
            tag,
            start,
            content: content..end,
        })
    }

    fn expect(&mut self, tag: u8) -> Option<Element> {
        self.next().filter(|it| it.tag == tag)
    }

    /// The next element, if it has this tag.
    fn optional(&mut self, tag: u8) -> Option<Element> {
        if self.der.get(self.part.start) == Some(&tag) && !self.part.is_empty() {
            self.next()
        } else {
            None
        }
    }

    /// The elements in the next element, which has this tag.
    fn inside(&mut self, tag: u8) -> Option<Self> {
        let element = self.expect(tag)?;
        Some(self.enter(&element))
    }

    fn enter(&self, element: &Element) -> Self {
        Self::new(self.der, element.content.clone())
    }

    fn bytes(&self, element: &Element) -> &'a [u8] {
        self.der.get(element.content.clone()).unwrap_or_default()
    }
}

/// Whether it is one sequence with nothing behind it, as a certificate is.
pub fn is_whole(der: &[u8]) -> bool {
    let mut reader = Reader::new(der, 0..der.len());
    reader.expect(SEQUENCE).is_some() && reader.part.is_empty()
}

/// Takes a certificate apart. `None` if it is malformed.
pub fn certificate(der: &[u8]) -> Option<Certificate<'_>> {
    let mut top = Reader::new(der, 0..der.len());
    let mut whole = top.inside(SEQUENCE)?;
    let signed = whole.expect(SEQUENCE)?;
    let mut fields = whole.enter(&signed);
    let version = match fields.optional(VERSION) {
        Some(version) => {
            let mut number = fields.enter(&version);
            let number = number.expect(INTEGER)?;
            fields.bytes(&number).last()?.checked_add(1)?
        }
        None => 1,
    };
    fields.expect(INTEGER)?;
    fields.expect(SEQUENCE)?;
    let issuer = fields.expect(SEQUENCE)?;
    fields.expect(SEQUENCE)?;
    let subject = fields.expect(SEQUENCE)?;
    let key = fields.expect(SEQUENCE)?;
    Some(Certificate {
        signed: signed.start..signed.content.end,
        version,
        issuer: fields.bytes(&issuer),
        subject: fields.bytes(&subject),
        key: unknown_key(fields.enter(&key)),
        ca: ca(&mut fields),
    })
}

/// The place of the byte of `cA TRUE` in the rest of a certificate.
fn ca(fields: &mut Reader<'_>) -> Option<usize> {
    let extensions = loop {
        let field = fields.next()?;
        if field.tag == EXTENSIONS {
            break field;
        }
    };
    let mut inner = fields.enter(&extensions);
    let mut list = inner.inside(SEQUENCE)?;
    loop {
        let extension = list.expect(SEQUENCE)?;
        let mut parts = list.enter(&extension);
        let name = parts.expect(OBJECT)?;
        if parts.bytes(&name) != BASIC_CONSTRAINTS {
            continue;
        }
        parts.optional(BOOLEAN);
        let mut value = parts.inside(OCTET_STRING)?;
        let mut constraints = value.inside(SEQUENCE)?;
        let is_ca = constraints.optional(BOOLEAN)?;
        return (constraints.bytes(&is_ca) == [0xff]).then_some(is_ca.content.start);
    }
}

/// Why signatures by this SubjectPublicKeyInfo cannot be verified.
fn unknown_key(mut key: Reader<'_>) -> Option<UnknownKey> {
    let mut algorithm = key.inside(SEQUENCE)?;
    let name = algorithm.expect(OBJECT)?;
    match algorithm.bytes(&name) {
        RSA => {
            // The first byte of a bit string is the number of unused bits.
            let bits = key.expect(BIT_STRING)?;
            let content = bits.content.start.checked_add(1)?..bits.content.end;
            let mut inner = Reader::new(key.der, content);
            let mut numbers = inner.inside(SEQUENCE)?;
            let modulus = numbers.expect(INTEGER)?;
            let modulus = numbers.bytes(&modulus);
            let first = modulus.iter().position(|byte| *byte != 0)?;
            let digits = modulus.get(first..)?;
            let zeros = usize::try_from(digits.first()?.leading_zeros()).ok()?;
            let bits = digits.len().saturating_mul(8).saturating_sub(zeros);
            (!RSA_BITS.contains(&bits)).then_some(UnknownKey::Rsa(bits))
        }
        EC => {
            let curve = algorithm.expect(OBJECT)?;
            match algorithm.bytes(&curve) {
                SECP256R1 | SECP384R1 => None,
                SECP521R1 => Some(UnknownKey::Nist521),
                _ => Some(UnknownKey::Curve),
            }
        }
        ED25519 => None,
        _ => Some(UnknownKey::Other),
    }
}

/// The certificate with CA:FALSE instead of CA:TRUE. `None` if it is not a CA's.
pub fn without_ca(der: &[u8]) -> Option<Vec<u8>> {
    let at = certificate(der)?.ca?;
    let mut changed = der.to_vec();
    *changed.get_mut(at)? = 0;
    Some(changed)
}

/// The name of a signature algorithm, by the content of its AlgorithmIdentifier.
pub fn signature_name(identifier: &[u8]) -> &'static str {
    let mut reader = Reader::new(identifier, 0..identifier.len());
    let name = reader.expect(OBJECT);
    match name.map(|name| reader.bytes(&name)).unwrap_or_default() {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2..=4] => "MD5",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => {
            "SHA-1"
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => "ECDSA with SHA-512 (P-521)",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 4, ..] => "DSA",
        [0x2b, 0x65, 0x71] => "Ed448",
        _ => "an unknown algorithm",
    }
}

#[cfg(test)]
mod tests {
    use super::{UnknownKey, certificate, is_whole, signature_name, without_ca};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// A CA with a P-256 key that has signed itself, of `openssl req -x509`.
    const CA: &str = "\
        MIIBbzCCARWgAwIBAgIUKfbHpMhMyHpbwJaCpvjquspg6G0wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw\
        0yNjExMjgxNDM2MTBaGA8yMDgxMDgzMTE0MzYxMFowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49\
        AwEHA0IABHJawCV2i/xaKK7p/3VKf+8CGkudQtl+P0l+W+jDwihvBi/GhQj4m6toTBo9U3TaoRxHpcZeh19xds\
        iVMm817aKjUzBRMB0GA1UdDgQWBBS+bfaCg38omvjUh8hDpR3b5R7iOTAfBgNVHSMEGDAWgBS+bfaCg38omvjU\
        h8hDpR3b5R7iOTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDAqbRgyOB8OnM0sqBkjjQiXt\
        +9ZKvEfFKI/mdSwEfBNgIgeFEp8iu1/1vZ9KL9Y7Zui8EXvNCFTQJZ5B4H0EzMsCQ=";
    /// An X.509 v1 certificate with a P-521 key that the CA has signed.
    const OLD: &str = "\
        MIIBVjCB/gIUWTu2G87pkIMR6OMgtc0FE6W6QwMwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNjExMj\
        gxNDM2MTBaGA8yMDgxMDgzMTE0MzYxMFowDDEKMAgGA1UEAwwBYjCBmzAQBgcqhkjOPQIBBgUrgQQAIwOBhgAE\
        ATRz+CRUJv4RPxpLIi1S0am4cVS1tJSnMEHuNItjhAA/9bPIXEYIEWsZO6NMBXjGklPbDNfdw5gi4ANRhoI1c4\
        FVAbFaGh6jeNrDjqlKp2i5L8rcmt7219O1b/wIPW///xr5p6tphbfr/K7C3FFFpkNcELi/+O8hMI6OBx8flkWd\
        RhBRMAoGCCqGSM49BAMCA0cAMEQCID3aIWyGgRZ1WfozA5MdG4qGhpkjpGNhMB1A+DPqQwYfAiAEq0Y+zzKE7h\
        wXKHTuYwskBqVDZTFKvc6IYoTNbbnJ2Q==";

    fn der(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect(text)
    }

    #[test]
    fn a_certificate_is_taken_apart() {
        let (ca, old) = (der(CA), der(OLD));
        let (ca, old) = (certificate(&ca).unwrap(), certificate(&old).unwrap());
        assert_eq!((ca.version, ca.key, ca.ca.is_some()), (3, None, true));
        assert_eq!(
            (old.version, old.key, old.ca),
            (1, Some(UnknownKey::Nist521), None)
        );
        assert!(ca.subject == ca.issuer && old.issuer == ca.subject && old.subject != ca.subject);
    }

    #[test]
    fn only_the_byte_that_makes_it_a_ca_is_changed() {
        let before = der(CA);
        let after = without_ca(&before).unwrap();
        let changed: Vec<_> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .collect();
        assert_eq!(changed, [(&0xff, &0)]);
        assert_eq!(certificate(&after).unwrap().ca, None);
        assert_eq!(without_ca(&der(OLD)), None);
    }

    #[test]
    fn a_certificate_is_one_sequence() {
        let ca = der(CA);
        assert!(is_whole(&ca) && !is_whole(&ca[1..]) && !is_whole(&ca[..ca.len() - 1]));
        assert!(!is_whole(&[ca.as_slice(), &[0]].concat()) && !is_whole(&[]));
    }

    #[test]
    fn old_signature_algorithms_have_names() {
        let sha1 = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];
        assert_eq!(signature_name(&sha1), "SHA-1");
        assert_eq!(signature_name(&[]), "an unknown algorithm");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
            let mut ca = der(CA);
            if let Some(it) = ca.get_mut(at) {
                *it = byte;
            }
            ca.truncate(cut);
            let _ = (certificate(&ca), without_ca(&ca), is_whole(&ca), signature_name(&ca));
        }
    }
}
