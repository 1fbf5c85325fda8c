//! `--tls-cert` and `--tls-key`: the certificate that podgate presents to a server that asks for
//! one. The servers are openssl's.

use crate::support::{Done, Program, eventually, podgate, python3};
use crate::tls_in_words::{EC, NAME, OpenSsl, Pki};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const CLIENT: &str = "extendedKeyUsage=clientAuth\n";
const VERIFIES: &str = "-verify_return_error -Verify 2 -CAfile";

/// A server that accepts only clients whose certificate the CA of the folder has signed.
fn strict(pki: &Pki, options: &str) -> OpenSsl {
    if !pki.0.join("server.crt").exists() {
        pki.server("server", NAME);
    }
    let ca = pki.0.text("ca.crt");
    pki.serve("server", &format!("{VERIFIES} {ca} {options}"))
}

/// Makes `NAME.crt` and `NAME.key` for a client.
fn client(pki: &Pki, name: &str, ca: &str, key: &str) {
    pki.signed(name, ca, key, CLIENT, "");
}

fn check(pki: &Pki, server: &OpenSsl, certificate: &str, key: &str) -> Done {
    let (ca, certificate, key) = (
        pki.0.text("ca.crt"),
        pki.0.text(certificate),
        pki.0.text(key),
    );
    server.check(&[
        "--tls-ca",
        &ca,
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ])
}

#[test]
fn keys_of_every_kind_and_format_are_presented() {
    let Some(pki) = Pki::new() else { return };
    client(&pki, "rsa", "ca", "-newkey rsa:2048 -nodes");
    client(&pki, "p256", "ca", EC);
    client(&pki, "p384", "ca", &EC.replace("prime256v1", "secp384r1"));
    client(&pki, "ed25519", "ca", "-newkey ed25519 -nodes");
    pki.openssl("rsa -in rsa.key -traditional -out rsa.pkcs1");
    pki.openssl("ec -in p256.key -out p256.sec1");
    pki.openssl("ec -in p384.key -out p384.sec1");
    let text = |name: &str| fs::read_to_string(pki.0.text(name)).unwrap();
    assert!(text("rsa.pkcs1").contains("BEGIN RSA PRIVATE KEY"));
    assert!(text("p256.sec1").contains("BEGIN EC PRIVATE KEY"));
    pki.openssl("ecparam -name prime256v1 -out parameters");
    pki.0
        .file("p256.both", &(text("parameters") + &text("p256.sec1")));
    pki.0
        .file("p256.one", &(text("p256.key") + &text("p256.crt")));
    for version in ["-tls1_2", "-tls1_3"] {
        let server = strict(&pki, version);
        for (certificate, key) in [
            ("rsa.crt", "rsa.key"),
            ("rsa.crt", "rsa.pkcs1"),
            ("p256.crt", "p256.key"),
            ("p256.crt", "p256.sec1"),
            ("p256.crt", "p256.both"),
            ("p256.one", "p256.one"),
            ("p384.crt", "p384.key"),
            ("p384.crt", "p384.sec1"),
            ("ed25519.crt", "ed25519.key"),
        ] {
            check(&pki, &server, certificate, key).code(0);
        }
    }
}

#[test]
fn a_certificate_is_presented_with_its_chain_and_in_any_version() {
    let Some(pki) = Pki::new() else { return };
    pki.server("middle", "basicConstraints=CA:TRUE\n");
    client(&pki, "leaf", "middle", EC);
    let text = |name: &str| fs::read_to_string(pki.0.text(name)).unwrap();
    pki.0
        .file("chain.crt", &(text("leaf.crt") + &text("middle.crt")));
    let server = strict(&pki, "");
    check(&pki, &server, "chain.crt", "leaf.key").code(0);
    check(&pki, &server, "leaf.crt", "leaf.key")
        .code(1)
        .says("the server refuses the client certificate");
    pki.openssl(&format!("req {EC} -keyout v1.key -out v1.csr -subj /CN=v1"));
    pki.openssl("x509 -req -in v1.csr -CA ca.crt -CAkey ca.key -days 2 -out v1.crt");
    check(&pki, &server, "v1.crt", "v1.key").code(0);
}

#[test]
fn a_server_that_wants_or_refuses_a_certificate_is_explained() {
    let Some(pki) = Pki::new() else { return };
    pki.ca("stranger", EC, "");
    client(&pki, "other", "stranger", EC);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = strict(&pki, version);
        server
            .check(&["--tls-ca", &pki.0.text("ca.crt")])
            .code(1)
            .says("the server wants a client certificate")
            .says("--tls-cert FILE and --tls-key FILE");
        check(&pki, &server, "other.crt", "other.key")
            .code(1)
            .says("the server refuses the client certificate with the alert")
            .says("a CA that the server trusts");
    }
    // A server that asks for none gets none.
    pki.serve("server", "")
        .check(&[
            "--tls-ca",
            &pki.0.text("ca.crt"),
            "--tls-cert",
            &pki.0.text("other.crt"),
            "--tls-key",
            &pki.0.text("other.key"),
        ])
        .code(0);
}

#[test]
fn files_that_cannot_be_used_are_a_usage_error() {
    let Some(pki) = Pki::new() else { return };
    client(&pki, "a", "ca", EC);
    client(&pki, "b", "ca", "-newkey rsa:2048 -nodes");
    client(&pki, "p521", "ca", &EC.replace("prime256v1", "secp521r1"));
    pki.openssl("pkcs8 -topk8 -in a.key -out a.pkcs8 -passout pass:x");
    pki.openssl("rsa -in b.key -traditional -aes128 -out b.pkcs1 -passout pass:x");
    pki.openssl("pkey -in a.key -outform der -out a.der");
    let text = |name: &str| fs::read_to_string(pki.0.text(name)).unwrap();
    let broken = text("a.key").replace("-----END", "-----");
    pki.0.file("broken.key", &broken);
    pki.0.file("empty", "");
    nix::unistd::mkfifo(&pki.0.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let server = strict(&pki, "");
    for (certificate, key, cause) in [
        ("none.crt", "a.key", "--tls-cert \"/"),
        ("none.crt", "a.key", "No such file or directory"),
        ("a.crt", "none.key", "--tls-key \"/"),
        ("a.key", "a.key", "no certificate in it"),
        ("a.crt", "a.crt", "no private key in it"),
        ("a.crt", "a.pkcs8", "the private key is encrypted"),
        ("b.crt", "b.pkcs1", "the private key is encrypted"),
        ("a.crt", "a.der", "not a PEM file, but DER"),
        ("a.crt", "broken.key", "has no END line"),
        ("a.crt", "empty", "the file is empty"),
        ("a.crt", "fifo", "not a regular file"),
        ("fifo", "a.key", "not a regular file"),
        ("a.crt", "b.key", "not the key of the certificate"),
        ("ca.crt", "a.key", "not the key of the certificate"),
        ("p521.crt", "p521.key", "a private key that cannot be used"),
    ] {
        check(&pki, &server, certificate, key)
            .code(2)
            .says(cause)
            .says_not("PRIVATE KEY-----");
    }
    let url = format!("https://localhost:{}/", server.port);
    podgate(["check", "--tls-cert", &pki.0.text("a.crt"), &url])
        .run()
        .code(2)
        .says("--tls-cert needs --tls-key, too");
    // No https server is asked, so nothing is read.
    podgate(["check", "file:///"])
        .env("PODGATE_TLS_CERT", "/none")
        .env("PODGATE_TLS_KEY", "/none")
        .run()
        .code(0);
}

#[test]
fn a_certificate_that_is_renewed_during_a_wait_is_presented() {
    let Some(pki) = Pki::new() else { return };
    pki.ca("stranger", EC, "");
    client(&pki, "old", "stranger", EC);
    client(&pki, "new", "ca", "-newkey rsa:2048 -nodes");
    let copy = |from: &str, to: &str| {
        fs::copy(pki.0.join(from), pki.0.join("copied")).unwrap();
        fs::rename(pki.0.join("copied"), pki.0.join(to)).unwrap();
    };
    copy("old.crt", "tls.crt");
    copy("old.key", "tls.key");
    let server = strict(&pki, "");
    let running = podgate([
        "wait",
        "--interval",
        "50ms",
        "--attempt-timeout",
        "5s",
        "--tls-ca",
        &pki.0.text("ca.crt"),
        "--tls-cert",
        &pki.0.text("tls.crt"),
        "--tls-key",
        &pki.0.text("tls.key"),
        &format!("https://localhost:{}/", server.port),
    ])
    .start();
    running.says("the server refuses the client certificate");
    // Between the two steps the files do not belong together.
    copy("new.crt", "tls.crt");
    std::thread::sleep(Duration::from_millis(200));
    copy("new.key", "tls.key");
    running.finish().code(0);
}

#[test]
fn a_quit_by_https_presents_the_certificate() {
    let Some(pki) = Pki::new() else { return };
    if !python3() {
        return;
    }
    pki.server("server", NAME);
    client(&pki, "client", "ca", EC);
    let script = "import http.server, os, ssl, sys\n\
        class H(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_POST(self):\n\
        \x20       self.send_response(200); self.end_headers(); self.wfile.flush()\n\
        \x20       self.connection.unwrap() if False else None; os._exit(0)\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        c.load_cert_chain('server.crt', 'server.key')\n\
        c.load_verify_locations('ca.crt')\n\
        c.verify_mode = ssl.CERT_REQUIRED\n\
        s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n\
        s.socket = c.wrap_socket(s.socket, server_side=True)\n\
        open('port.new', 'w').write(str(s.server_port)); os.rename('port.new', 'port')\n\
        s.serve_forever()\n";
    let _python = Program::start(
        Command::new("python3")
            .args(["-c", script])
            .current_dir(pki.0.path())
            .stderr(Stdio::null()),
    );
    let port = eventually("python's port", || {
        fs::read_to_string(pki.0.join("port")).ok()
    });
    let url = format!("https://localhost:{port}/quit");
    let ca = pki.0.text("ca.crt");
    podgate(["quit", "-t", "2s", "--tls-ca", &ca, &url])
        .run()
        .code(1)
        .says("client certificate");
    podgate([
        "quit",
        "--tls-ca",
        &ca,
        "--tls-cert",
        &pki.0.text("client.crt"),
        "--tls-key",
        &pki.0.text("client.key"),
        &url,
    ])
    .run()
    .code(0)
    .says("has quit after");
}
