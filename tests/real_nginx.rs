//! nginx, a server that this project did not write: status codes, redirects, and TLS with
//! certificates made by the test.

use crate::support::server::free_port;
use crate::support::{Done, Folder, Program, eventually, needs, output, podgate, program};
use std::process::{Command, Stdio};

/// An nginx with a plain port and a TLS port.
struct Nginx {
    _process: Program,
    folder: Folder,
    http: u16,
    https: u16,
}

/// Makes a certificate for `localhost` that a CA of the test has signed, and one that is its own
/// CA, as `openssl req -x509` makes it.
fn certificates(folder: &Folder) {
    let openssl = |arguments: &str| {
        output(
            Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(folder.path())
                .stderr(Stdio::null()),
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    folder.file("names", "subjectAltName=DNS:localhost,DNS:other.example\n");
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=ca"
    ));
    openssl(&format!(
        "req {key} -keyout tls.key -out tls.csr -subj /CN=localhost"
    ));
    openssl(
        "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 2 \
         -extfile names",
    );
    openssl(&format!(
        "req -x509 {key} -keyout own.key -out own.crt -days 2 -subj /CN=localhost -addext \
         subjectAltName=DNS:localhost"
    ));
    openssl(&format!(
        "req -x509 {key} -keyout stranger.key -out stranger.crt -days 2 -subj /CN=stranger"
    ));
}

impl Nginx {
    /// `None` where nginx or openssl is missing.
    fn start(certificate: &str) -> Option<Self> {
        let nginx = program("nginx", &[]);
        if !needs("nginx", nginx.is_some()) || !needs("openssl", program("openssl", &[]).is_some())
        {
            return None;
        }
        let folder = Folder::new();
        certificates(&folder);
        let (http, https) = (free_port(), free_port());
        let at = folder.path().display();
        let config = folder.file(
            "nginx.conf",
            &format!(
                "daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1; \
                 events {{}}\n\
                 http {{ access_log {at}/access.log; client_body_temp_path {at}/b; \
                 proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
                 server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl; \
                 listen [::1]:{http};\n\
                 ssl_certificate {at}/{certificate}.crt; \
                 ssl_certificate_key {at}/{certificate}.key;\n\
                 location = /ok {{ return 200 'all is well'; }}\n\
                 location = /503 {{ return 503; }} location = /204 {{ return 204; }}\n\
                 location = /401 {{ return 401; }} location = /moved {{ return 301 /ok; }}\n\
                 location = /lost {{ return 302 /503; }}\n\
                 location = /secure {{ return 302 https://localhost:{https}/ok; }}\n\
                 location = /away {{ return 302 http://elsewhere.invalid/; }}\n\
                 location = /round {{ return 302 /round; }}\n\
                 location = /host {{ if ($http_host = app.example) {{ return 200; }}\n\
                 return 404; }} }} }}\n"
            ),
        );
        let process = Program::start(
            Command::new(nginx?)
                .args(["-c", &config, "-p", folder.path().to_str()?])
                .stderr(Stdio::null()),
        );
        let ready = || std::net::TcpStream::connect(("127.0.0.1", https)).ok();
        eventually("nginx", ready);
        Some(Self {
            _process: process,
            folder,
            http,
            https,
        })
    }

    fn check(&self, path: &str, options: &[&str]) -> Done {
        let url = format!("http://localhost:{}{path}", self.http);
        podgate(
            ["check"]
                .iter()
                .chain(options)
                .chain(&[url.as_str()])
                .copied(),
        )
        .run()
    }

    #[cfg(feature = "tls")]
    fn secure(&self, path: &str, options: &[&str]) -> Done {
        let url = format!("https://localhost:{}{path}", self.https);
        podgate(
            ["check"]
                .iter()
                .chain(options)
                .chain(&[url.as_str()])
                .copied(),
        )
        .run()
    }
}

#[test]
fn status_codes_and_redirects() {
    let Some(nginx) = Nginx::start("tls") else {
        return;
    };
    for (path, code, text) in [
        ("/ok", 0, ""),
        ("/204", 0, ""),
        ("/moved", 0, ""),
        ("/away", 0, ""),
        ("/503", 1, "HTTP status 503"),
        ("/401", 1, "HTTP status 401"),
        ("/lost", 1, "HTTP status 503"),
        ("/round", 1, "more than 10 redirects"),
        ("/none", 1, "HTTP status 404"),
    ] {
        nginx.check(path, &[]).code(code).says(text);
    }
    nginx
        .check("/401", &["--http-status", "200-299,401"])
        .code(0);
    nginx
        .check("/ok", &["--http-body-contains", "is well"])
        .code(0);
    nginx
        .check("/ok", &["--http-body-contains", "is ill"])
        .code(1);
    nginx.check("/ok", &["--http-method", "HEAD"]).code(0);
    nginx.check("/host", &["-H", "Host: app.example"]).code(0);
    nginx.check("/host", &[]).code(1);
    // Plain HTTP to a TLS port, and TLS to a plain port.
    podgate(["check", &format!("http://localhost:{}/ok", nginx.https)])
        .run()
        .code(1)
        .says("HTTP status 400");
}

#[test]
fn a_wait_goes_on_until_a_reload_adds_the_page() {
    let Some(nginx) = Nginx::start("tls") else {
        return;
    };
    let url = format!("http://localhost:{}/none", nginx.http);
    let waiting = podgate(["wait", &url, "--", "echo", "started"]).start();
    waiting.says("HTTP status 404");
    let config = std::fs::read_to_string(nginx.folder.join("nginx.conf")).unwrap();
    nginx.folder.file(
        "nginx.conf",
        &config.replace(
            "location = /ok",
            "location = /none { return 200; } location = /ok",
        ),
    );
    nix::sys::signal::kill(nginx._process.pid(), nix::sys::signal::Signal::SIGHUP).unwrap();
    waiting.finish().code(0).prints("started\n");
}

#[cfg(feature = "tls")]
#[test]
fn certificates_are_verified() {
    let Some(nginx) = Nginx::start("tls") else {
        return;
    };
    let (ca, stranger) = (
        nginx.folder.text("ca.crt"),
        nginx.folder.text("stranger.crt"),
    );
    nginx.secure("/ok", &["--tls-ca", &ca]).code(0);
    nginx
        .secure("/503", &["--tls-ca", &ca])
        .code(1)
        .says("HTTP status 503");
    nginx
        .secure("/ok", &["--tls-ca", &stranger])
        .code(1)
        .says("the certificate is not signed by a trusted CA")
        .says("--tls-ca FILE")
        .says("--tls-insecure");
    nginx.secure("/ok", &["--tls-insecure"]).code(0);
    let url = format!("https://localhost:{}/ok", nginx.https);
    podgate(["check", &url])
        .env("SSL_CERT_FILE", &ca)
        .run()
        .code(0);
    podgate(["check", &url])
        .env("SSL_CERT_FILE", &stranger)
        .run()
        .code(1);
    podgate(["check", &url])
        .env("PODGATE_TLS_CA", &ca)
        .env("SSL_CERT_FILE", &stranger)
        .run()
        .code(0);
    podgate(["check", &url])
        .env("PODGATE_TLS_INSECURE", "true")
        .run()
        .code(0);
    podgate(["check", "--tls-ca", &ca, &url])
        .env("PODGATE_TLS_INSECURE", "true")
        .run()
        .code(0);
    // A name that is not in the certificate, which is for localhost and other.example.
    let by_address = format!("https://127.0.0.1:{}/ok", nginx.https);
    podgate(["check", "--tls-ca", &ca, &by_address])
        .run()
        .code(1)
        .says("for another name")
        .says("--tls-server-name");
    podgate([
        "check",
        "--tls-ca",
        &ca,
        "--tls-server-name",
        "other.example",
        &by_address,
    ])
    .run()
    .code(0);
    podgate([
        "check",
        "--tls-ca",
        &ca,
        "--tls-server-name",
        "third.example",
        &url,
    ])
    .run()
    .code(1)
    .says("for another name");
    // TLS to a plain port.
    podgate([
        "check",
        "--tls-insecure",
        &format!("https://localhost:{}/ok", nginx.http),
    ])
    .run()
    .code(1)
    .says("TLS");
}

#[cfg(feature = "tls")]
#[test]
fn a_redirect_to_https_is_verified_too() {
    let Some(nginx) = Nginx::start("tls") else {
        return;
    };
    let ca = nginx.folder.text("ca.crt");
    nginx.check("/secure", &["--tls-ca", &ca]).code(0);
    nginx.check("/secure", &["--tls-insecure"]).code(0);
    nginx
        .check("/secure", &["--tls-ca", &nginx.folder.text("stranger.crt")])
        .code(1)
        .says("the certificate is not signed by a trusted CA");
    nginx
        .check("/secure", &[])
        .code(1)
        .says("the certificate is not signed by a trusted CA");
    let url = format!("http://localhost:{}/secure", nginx.http);
    podgate(["check", &url])
        .env("SSL_CERT_FILE", &ca)
        .run()
        .code(0);
    podgate(["check", &url])
        .env("SSL_CERT_FILE", "/no/such/bundle")
        .run()
        .code(1)
        .says("redirected to https")
        .says("SSL_CERT_FILE");
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_that_is_its_own_ca_is_trusted_if_it_is_named() {
    let Some(nginx) = Nginx::start("own") else {
        return;
    };
    nginx
        .secure("/ok", &["--tls-ca", &nginx.folder.text("own.crt")])
        .code(0);
    nginx
        .secure("/ok", &["--tls-ca", &nginx.folder.text("ca.crt")])
        .code(1)
        .says("certificate");
    let by_address = format!("https://127.0.0.1:{}/ok", nginx.https);
    podgate([
        "check",
        "--tls-ca",
        &nginx.folder.text("own.crt"),
        &by_address,
    ])
    .run()
    .code(1)
    .says("for another name");
}

#[cfg(feature = "tls")]
#[test]
fn in_an_image_without_ca_certificates_the_message_names_the_options() {
    if !crate::support::namespaces() {
        return;
    }
    let script = "for folder in /etc/ssl /etc/pki; do test ! -d $folder || \
                  mount -t tmpfs none $folder; done; exec \"$@\"";
    let starter = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let done = crate::support::inside(&starter, ["check", "https://localhost:1/"]).run();
    done.code(2)
        .says("no CA bundle")
        .says("--tls-ca")
        .says("--tls-insecure");
    crate::support::inside(
        &starter,
        ["check", "--tls-insecure", "https://localhost:1/"],
    )
    .run()
    .code(1)
    .says("refused");
}
