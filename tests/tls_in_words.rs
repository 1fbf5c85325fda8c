//! What TLS podgate speaks, and what it reports where a server or its certificate is refused
//! (P4.5). The servers are openssl's, with certificates that the test makes.

use crate::support::server::{Server, answer, free_port};
use crate::support::{Done, Folder, Program, eventually, needs, output, podgate, program};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

pub const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
pub const NAME: &str = "subjectAltName=DNS:localhost\n";

/// A folder with a CA.
pub struct Pki(pub Folder);

impl Pki {
    /// `None` where openssl is missing.
    pub fn new() -> Option<Self> {
        if !needs("openssl", program("openssl", &[]).is_some()) {
            return None;
        }
        let pki = Self(Folder::new());
        pki.ca("ca", EC, "");
        Some(pki)
    }

    pub fn openssl(&self, arguments: &str) {
        output(
            Command::new("openssl")
                .args(arguments.split_whitespace())
                .current_dir(self.0.path())
                .stderr(Stdio::null()),
        );
    }

    /// Makes `NAME.crt` and `NAME.key`, a CA that has signed itself.
    pub fn ca(&self, name: &str, key: &str, options: &str) {
        self.openssl(&format!(
            "req -x509 {key} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name} {options}"
        ));
    }

    /// Makes `NAME.crt` and `NAME.key`, signed by `ca`.
    pub fn signed(&self, name: &str, ca: &str, key: &str, extensions: &str, options: &str) {
        self.0.file(&format!("{name}.ext"), extensions);
        self.openssl(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -days 2 \
             -out {name}.crt -extfile {name}.ext {options}"
        ));
    }

    /// The same with the CA of the folder, a usual key and no further options.
    pub fn server(&self, name: &str, extensions: &str) {
        self.signed(name, "ca", EC, extensions, "");
    }

    /// Serves one page with `NAME.crt`.
    pub fn serve(&self, name: &str, options: &str) -> OpenSsl {
        let port = free_port();
        let program = Program::start(
            Command::new("openssl")
                .args(["s_server", "-www", "-quiet", "-accept"])
                .arg(format!("127.0.0.1:{port}"))
                .args(["-cert", &self.0.text(&format!("{name}.crt"))])
                .args(["-key", &self.0.text(&format!("{name}.key"))])
                .args(options.split_whitespace())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let ready = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        eventually("openssl s_server", ready);
        OpenSsl {
            _program: program,
            port,
        }
    }

    /// Checks a server that has `NAME.crt` against the CA of the folder.
    fn check(&self, name: &str) -> Done {
        self.serve(name, "")
            .check(&["--tls-ca", &self.0.text("ca.crt")])
    }
}

pub struct OpenSsl {
    _program: Program,
    pub port: u16,
}

impl OpenSsl {
    pub fn check(&self, options: &[&str]) -> Done {
        let url = format!("https://localhost:{}/", self.port);
        let words = ["check", "--attempt-timeout", "5s"];
        podgate(words.iter().chain(options).chain(&[url.as_str()]).copied()).run()
    }
}

/// The TLS library takes 64 KiB at a time, and sends them.
#[test]
fn a_long_request_is_sent_whole() {
    let Some(pki) = Pki::new() else { return };
    pki.server("a", NAME);
    let headers: Vec<String> = (0..40)
        .map(|number| format!("X-{number}: {}", "x".repeat(8_000)))
        .collect();
    let ca = pki.0.text("ca.crt");
    let mut options = vec!["--tls-ca", ca.as_str()];
    for header in &headers {
        options.extend(["--http-header", header]);
    }
    pki.serve("a", "").check(&options).code(0);
}

#[test]
fn a_ca_may_be_a_server_if_a_trusted_ca_has_signed_it() {
    let Some(pki) = Pki::new() else { return };
    let ca_true = format!("{NAME}basicConstraints=critical,CA:TRUE\n");
    pki.server("a", &ca_true);
    pki.check("a").code(0);
    pki.server("b", &format!("{NAME}basicConstraints=CA:TRUE,pathlen:0\n"));
    pki.check("b").code(0);
    pki.signed("c", "ca", "-newkey rsa:2048 -nodes", &ca_true, "");
    pki.check("c").code(0);
    // By way of an intermediate CA, which the server sends.
    pki.server("middle", "basicConstraints=CA:TRUE\n");
    pki.signed("d", "middle", EC, &ca_true, "");
    let chain = pki.0.text("middle.crt");
    pki.serve("d", &format!("-cert_chain {chain}"))
        .check(&["--tls-ca", &pki.0.text("ca.crt")])
        .code(0);
    // It is its own CA, and is listed.
    pki.ca("own", EC, "-addext subjectAltName=DNS:localhost");
    pki.serve("own", "")
        .check(&["--tls-ca", &pki.0.text("own.crt")])
        .code(0);
    // It is listed, and its CA is not.
    for name in ["a", "middle-less"] {
        pki.server("middle-less", NAME);
        pki.serve(name, "")
            .check(&["--tls-ca", &pki.0.text(&format!("{name}.crt"))])
            .code(0);
    }
}

#[test]
fn a_ca_that_is_a_server_is_verified_like_any_other_server() {
    let Some(pki) = Pki::new() else { return };
    let ca_true = format!("{NAME}basicConstraints=CA:TRUE\n");
    let refused = |name: &str, text: &str| {
        pki.check(name).code(1).says(text);
    };
    pki.ca("stranger", EC, "");
    pki.signed("a", "stranger", EC, &ca_true, "");
    refused("a", "not signed by a trusted CA");
    pki.ca("own", EC, "-addext subjectAltName=DNS:localhost");
    refused("own", "not signed by a trusted CA");
    pki.server("b", &ca_true.replace("localhost", "other.example"));
    refused("b", "for another name: other.example");
    pki.server("c", &format!("{ca_true}extendedKeyUsage=clientAuth\n"));
    refused("c", "lacks serverAuth");
    pki.signed("d", "ca", EC, &ca_true, "-days 0");
    thread::sleep(Duration::from_millis(1100));
    refused("d", "has expired");
    // A CA with the same name and another key has signed it.
    let twin = Pki::new().unwrap();
    twin.server("e", &ca_true);
    for file in ["e.crt", "e.key"] {
        fs::copy(twin.0.text(file), pki.0.text(file)).unwrap();
    }
    refused(
        "e",
        "signed by another key than the trusted CA of that name has",
    );
}

#[test]
fn a_certificate_that_is_refused_is_explained_and_passes_with_tls_insecure() {
    let Some(pki) = Pki::new() else { return };
    let rsa = |bits: u32| format!("-newkey rsa:{bits} -nodes");
    let refused = |name: &str, texts: &[&str]| {
        let server = pki.serve(name, "-cipher ALL:@SECLEVEL=0");
        let done = server.check(&["--tls-ca", &pki.0.text("ca.crt")]);
        done.code(1);
        for text in texts {
            done.says(text);
        }
        server.check(&["--tls-insecure"]).code(0);
    };
    pki.openssl(&format!(
        "req {EC} -keyout v1.key -out v1.csr -subj /CN=localhost"
    ));
    pki.openssl("x509 -req -in v1.csr -CA ca.crt -CAkey ca.key -days 2 -out v1.crt");
    refused("v1", &["X.509 version 1", "--tls-insecure"]);
    pki.signed("weak", "ca", &rsa(1024), NAME, "");
    refused("weak", &["an RSA key of 1024 bits", "2048 bits"]);
    pki.server("client", &format!("{NAME}extendedKeyUsage=clientAuth\n"));
    refused("client", &["lacks serverAuth", "issue it with serverAuth"]);
    pki.server(
        "critical",
        &format!("{NAME}1.2.3.4=critical,ASN1:UTF8String:x\n"),
    );
    refused(
        "critical",
        &["a critical extension that podgate does not know"],
    );
    pki.server("nameless", "basicConstraints=CA:FALSE\n");
    refused("nameless", &["no subjectAltName", "issue it with"]);
    pki.server("other", "subjectAltName=DNS:a.example,IP:10.0.0.1\n");
    refused(
        "other",
        &["for another name: a.example, 10.0.0.1", "--tls-server-name"],
    );
    pki.signed("old", "ca", EC, NAME, "-days 0");
    thread::sleep(Duration::from_millis(1100));
    refused("old", &["has expired"]);
    pki.signed("sha1", "ca", EC, NAME, "-sha1");
    refused("sha1", &["is signed with SHA-1"]);
    let p521 = EC.replace("prime256v1", "secp521r1");
    pki.signed("p521", "ca", &p521, NAME, "");
    refused(
        "p521",
        &["no version, cipher, group or kind of key in common"],
    );
}

#[test]
fn a_ca_that_may_not_sign_is_explained() {
    let Some(pki) = Pki::new() else { return };
    let chain_refused = |ca: &str, options: &str, text: &str| {
        pki.signed("leaf", ca, EC, NAME, "");
        pki.serve("leaf", options)
            .check(&["--tls-ca", &pki.0.text("root.crt")])
            .code(1)
            .says(text);
    };
    let root = |key: &str, options: &str| pki.ca("root", key, options);
    root(EC, "-addext nameConstraints=permitted;DNS:other.example");
    chain_refused("root", "", "the name constraints of a CA forbid");
    root("-newkey rsa:1024 -nodes", "");
    chain_refused("root", "", "an RSA key of 1024 bits");
    root(&EC.replace("prime256v1", "secp521r1"), "");
    chain_refused("root", "", "a P-521 key");
    root(&EC.replace("prime256v1", "secp256k1"), "");
    chain_refused("root", "", "a key on another curve");
    root(EC, "");
    pki.signed("middle", "root", EC, "basicConstraints=CA:FALSE\n", "");
    let chain = format!("-cert_chain {}", pki.0.text("middle.crt"));
    chain_refused("middle", &chain, "by a certificate that is not a CA's");
    pki.signed(
        "upper",
        "root",
        EC,
        "basicConstraints=CA:TRUE,pathlen:0\n",
        "",
    );
    pki.signed("middle", "upper", EC, "basicConstraints=CA:TRUE\n", "");
    let read = |name: &str| fs::read_to_string(pki.0.text(name)).unwrap();
    pki.0
        .file("both.crt", &(read("middle.crt") + &read("upper.crt")));
    let chain = format!("-cert_chain {}", pki.0.text("both.crt"));
    chain_refused("middle", &chain, "than its path length allows");
}

#[test]
fn a_handshake_that_fails_is_explained() {
    let Some(pki) = Pki::new() else { return };
    pki.server("ec", NAME);
    pki.signed("rsa", "ca", "-newkey rsa:2048 -nodes", NAME, "");
    let p521 = EC.replace("prime256v1", "secp521r1");
    pki.signed("p521", "ca", &p521, NAME, "");
    let in_common = "no version, cipher, group or kind of key in common";
    for (certificate, options, text, remedy) in [
        (
            "rsa",
            "-tls1_2 -cipher ECDHE-RSA-AES128-SHA256",
            in_common,
            "AES-GCM",
        ),
        (
            "ec",
            "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA",
            in_common,
            "AES-GCM",
        ),
        (
            "rsa",
            "-tls1_2 -cipher AES128-GCM-SHA256",
            in_common,
            "ECDHE",
        ),
        (
            "rsa",
            "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256",
            in_common,
            "ECDHE",
        ),
        (
            "rsa",
            "-tls1_3 -groups P-521",
            in_common,
            "X25519, P-256, P-384",
        ),
        (
            "p521",
            "",
            in_common,
            "keys of RSA, P-256, P-384 or Ed25519",
        ),
        (
            "rsa",
            "-tls1_1 -cipher ALL:@SECLEVEL=0",
            "only TLS 1.1 or older",
            "TLS 1.2 or 1.3",
        ),
        (
            "rsa",
            "-tls1 -cipher ALL:@SECLEVEL=0",
            "only TLS 1.1 or older",
            "TLS 1.2 or 1.3",
        ),
        (
            "ec",
            "-alpn h2",
            "does not speak HTTP/1.1, perhaps only HTTP/2",
            "tcp://",
        ),
        (
            "ec",
            "-Verify 1 -tls1_2",
            "wants a client certificate",
            "--tls-cert FILE and --tls-key FILE",
        ),
        (
            "ec",
            "-Verify 1 -tls1_3",
            "wants a client certificate",
            "--tls-cert FILE and --tls-key FILE",
        ),
        (
            "ec",
            "-servername x -servername_fatal -cert2 ec.crt -key2 ec.key",
            "no certificate for this name",
            "--tls-server-name",
        ),
    ] {
        let options = options.replace("ec.crt", &pki.0.text("ec.crt"));
        let options = options.replace("ec.key", &pki.0.text("ec.key"));
        let done = pki
            .serve(certificate, &options)
            .check(&["--tls-ca", &pki.0.text("ca.crt")]);
        done.code(1)
            .says("TLS handshake failed: ")
            .says(text)
            .says(remedy);
    }
    // What is spoken passes.
    for (certificate, options) in [
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256"),
        ("ec", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("ec", "-tls1_3 -alpn http/1.1"),
        ("ec", "-alpn h2,http/1.1"),
        ("rsa", "-tls1_3 -groups X25519"),
        ("ec", "-verify 1"),
    ] {
        pki.serve(certificate, options)
            .check(&["--tls-ca", &pki.0.text("ca.crt")])
            .code(0);
    }
}

#[test]
fn https_at_a_port_that_does_not_speak_tls_names_what_answered() {
    let refused = |server: &Server, texts: &[&str]| {
        let done = podgate([
            "check",
            "--tls-insecure",
            &format!("https://{}/", server.address),
        ])
        .run();
        done.code(1);
        for text in texts {
            done.says(text);
        }
    };
    let says = |bytes: &'static [u8]| {
        Server::raw(move |mut stream| {
            let _ = stream.write_all(bytes);
            thread::sleep(Duration::from_millis(300));
        })
    };
    let http = Server::raw(|mut stream| {
        let mut byte = [0; 512];
        let _ = std::io::Read::read(&mut stream, &mut byte);
        let _ = stream.write_all(&answer(400, &[], ""));
    });
    refused(&http, &["the server speaks HTTP", "use http://"]);
    refused(
        &says(b"SSH-2.0-x\r\n"),
        &["the server speaks SSH", "tcp://"],
    );
    refused(&says(b"220 x ESMTP\r\n"), &["the server speaks SMTP"]);
    refused(&says(b"hello, world\r\n"), &["the answer is not TLS"]);
    refused(&Server::raw(drop), &["the server closed the connection"]);
}

/// A PEM file is read whole or refused.
#[test]
fn a_file_of_cas_is_read_whole_or_refused() {
    let Some(pki) = Pki::new() else { return };
    pki.server("server", NAME);
    pki.ca("other", EC, "");
    let server = pki.serve("server", "");
    let read = |name: &str| fs::read_to_string(pki.0.text(name)).unwrap();
    let (ca, other, key) = (read("ca.crt"), read("other.crt"), read("ca.key"));
    let both = format!("{other}{ca}");
    for (name, text) in [
        ("glued", format!("{}{ca}", other.trim_end())),
        ("with a BOM", format!("\u{feff}{ca}")),
        ("a BOM between", format!("{other}\u{feff}{ca}")),
        ("CRLF", both.replace('\n', "\r\n")),
        (
            "text before and between",
            format!("# CAs\n{other}\nSubject: ca\n{ca}end\n"),
        ),
        ("a private key", format!("{key}{ca}")),
        ("spaces for newlines", both.replace('\n', " ")),
    ] {
        let file = pki.0.file("file.pem", &text);
        let done = server.check(&["--tls-ca", &file]);
        assert!(done.status.success(), "{name}: {done}");
    }
    for (text, cause) in [
        (
            format!("{ca}{}", &other[..other.len() - 40]),
            "certificate 2 in it has no END line",
        ),
        (
            ca.replace("-----BEGIN CERTIFICATE-----\n", "") + &other,
            "no BEGIN line",
        ),
        (
            ca.replacen("\nMII", "\nM*I", 1) + &other,
            "certificate 1 in it is damaged",
        ),
        (ca.replace(" CERT", " TRUSTED CERT"), "TRUSTED CERTIFICATE"),
        (
            key,
            "no certificate in it; its first block is \"PRIVATE KEY\"",
        ),
        (String::new(), "the file is empty"),
        ("hello".to_owned(), "not a PEM file"),
    ] {
        let file = pki.0.file("file.pem", &text);
        server.check(&["--tls-ca", &file]).code(2).says(cause);
    }
    pki.openssl("x509 -in ca.crt -outform der -out ca.der");
    let der = pki.0.text("ca.der");
    server
        .check(&["--tls-ca", &der])
        .code(2)
        .says("a certificate in DER")
        .says("openssl x509 -inform der");
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(ca.bytes().flat_map(|byte| [byte, 0]))
        .collect();
    let file = pki.0.text("utf16.pem");
    fs::write(&file, utf16).unwrap();
    server.check(&["--tls-ca", &file]).code(2).says("UTF-16");
}

#[test]
fn a_server_that_closes_after_the_handshake_is_reported_as_such() {
    let Some(pki) = Pki::new() else { return };
    pki.server("server", NAME);
    // Without -www it sends its standard input, which is at its end.
    let port = free_port();
    let _server = Program::start(
        Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args([
                "-cert",
                &pki.0.text("server.crt"),
                "-key",
                &pki.0.text("server.key"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let url = format!("https://localhost:{port}/");
    let ca = pki.0.text("ca.crt");
    eventually("openssl s_server", || {
        let done = podgate(["check", "--tls-ca", &ca, &url]).run();
        (!done.stderr.contains("refused")).then(|| {
            done.code(1)
                .says("connection closed after the TLS handshake, before an answer");
        })
    });
}

/// The head of a request and its answer travel in one packet each, and nothing waits for an
/// acknowledgement, which the other side may delay by 40 ms.
#[test]
fn an_https_check_does_not_wait_for_acknowledgements() {
    let Some(pki) = Pki::new() else { return };
    pki.server("server", NAME);
    let server = pki.serve("server", "");
    pki.server("other", NAME);
    let (ca, other) = (pki.0.text("ca.crt"), pki.0.text("other.crt"));
    let took = |ca: &str, code| {
        let done = server.check(&["--tls-ca", ca]);
        done.code(code);
        done.took
    };
    // A check that does not trust the server ends with the handshake, and waits for nothing.
    let both: Vec<_> = (0..9).map(|_| (took(&ca, 0), took(&other, 1))).collect();
    let whole = both.iter().map(|(whole, _)| *whole).min().unwrap();
    let handshake = both.iter().map(|(_, handshake)| *handshake).min().unwrap();
    assert!(whole < handshake + Duration::from_millis(30), "{both:?}");
}
