//! Names resolve for podgate as they do for the app beside it: the search list, the name servers,
//! and the two families, judged apart. A name server in its own network answers, and glibc is asked
//! the same questions.

use crate::support::{Folder, PODGATE, namespaces, python3};
use std::collections::BTreeSet;
use std::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

/// What a server answers: from `NAME TYPE`, `NAME` or `*` to an answer in the words of
/// name_server.py. A server without a table is silent.
type Table = &'static [(&'static str, &'static str)];

/// What glibc does with the same configuration.
#[derive(Clone, Copy, PartialEq)]
enum Glibc {
    Same,
    /// It finds nothing, for this reason.
    FindsNothing(&'static str),
}
use Glibc::{FindsNothing, Same};

struct Case {
    title: &'static str,
    resolv: &'static str,
    servers: &'static [Option<Table>],
    name: &'static str,
    /// All addresses, with spaces between. Empty if the name has none.
    addresses: &'static str,
    glibc: Glibc,
}

const fn case(
    title: &'static str,
    resolv: &'static str,
    servers: &'static [Option<Table>],
    name: &'static str,
    addresses: &'static str,
) -> Case {
    Case {
        title,
        resolv,
        servers,
        name,
        addresses,
        glibc: Same,
    }
}

const fn unlike_glibc(case: Case, why: &'static str) -> Case {
    Case {
        glibc: FindsNothing(why),
        ..case
    }
}

/// A pod's resolv.conf, with a company's domain behind the cluster's.
const POD: &str = "nameserver 127.0.0.1\n\
                   search ns.svc.cluster.local svc.cluster.local corp.example\n\
                   options ndots:5 timeout:1 attempts:1\n";
/// No search list.
const PLAIN: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\nsearch .\n";
const TWO: &str = "nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch a.example\n\
                   options timeout:1 attempts:1\n";
const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// An address of the loopback interface, as all others here.
const A1: &str = "127.1.0.1";

const GIVES_UP: &str = "glibc ends the search after REFUSED and after silence; Go goes on";

const CASES: &[Case] = &[
    // The search list.
    case(
        "a service",
        POD,
        &[Some(&[("db.ns.svc.cluster.local", A1)])],
        "db",
        A1,
    ),
    case(
        "a service of another namespace",
        POD,
        &[Some(&[("db.b.svc.cluster.local", A1)])],
        "db.b",
        A1,
    ),
    case(
        "a name outside",
        POD,
        &[Some(&[("ext.example", A1)])],
        "ext.example",
        A1,
    ),
    case(
        "a domain that answers SERVFAIL",
        POD,
        &[Some(&[
            ("ext.example", A1),
            ("ext.example.corp.example", "servfail"),
        ])],
        "ext.example",
        A1,
    ),
    case(
        "a domain that answers REFUSED",
        POD,
        &[Some(&[
            ("ext.example", A1),
            ("ext.example.svc.cluster.local", "refused"),
        ])],
        "ext.example",
        A1,
    ),
    unlike_glibc(
        case(
            "REFUSED before the right one",
            POD,
            &[Some(&[
                ("db.svc.cluster.local", A1),
                ("db.ns.svc.cluster.local", "refused"),
            ])],
            "db",
            A1,
        ),
        GIVES_UP,
    ),
    case(
        "a domain that answers NODATA",
        POD,
        &[Some(&[
            ("ext.example", A1),
            ("ext.example.svc.cluster.local", "empty"),
        ])],
        "ext.example",
        A1,
    ),
    case(
        "every domain fails in another way",
        POD,
        &[Some(&[
            ("ext.example", A1),
            ("ext.example.ns.svc.cluster.local", "servfail"),
            ("ext.example.svc.cluster.local", "empty"),
            ("ext.example.corp.example", "nxdomain"),
        ])],
        "ext.example",
        A1,
    ),
    case(
        "the last domain is silent",
        POD,
        &[Some(&[
            ("ext.example", A1),
            ("ext.example.corp.example", "silent"),
        ])],
        "ext.example",
        A1,
    ),
    unlike_glibc(
        case(
            "a silent domain before the right one",
            POD,
            &[Some(&[
                ("db.svc.cluster.local", A1),
                ("db.ns.svc.cluster.local", "silent"),
            ])],
            "db",
            A1,
        ),
        GIVES_UP,
    ),
    case(
        "SERVFAIL before the right one",
        POD,
        &[Some(&[
            ("db.svc.cluster.local", A1),
            ("db.ns.svc.cluster.local", "servfail"),
        ])],
        "db",
        A1,
    ),
    case(
        "the first of two right ones",
        POD,
        &[Some(&[
            ("db.ns.svc.cluster.local", A1),
            ("db.svc.cluster.local", "127.1.0.2"),
        ])],
        "db",
        A1,
    ),
    case("nothing anywhere", POD, &[Some(&[])], "db", ""),
    case(
        "nothing but failures",
        POD,
        &[Some(&[("*", "servfail")])],
        "db",
        "",
    ),
    case(
        "a label that is nowhere else",
        POD,
        &[Some(&[("db", A1)])],
        "db",
        A1,
    ),
    case(
        "a trailing dot",
        POD,
        &[Some(&[
            ("db.ns.svc.cluster.local", "127.1.0.2"),
            ("db", A1),
        ])],
        "db.",
        A1,
    ),
    case(
        "a trailing dot and no such name",
        POD,
        &[Some(&[("db.ns.svc.cluster.local", A1)])],
        "db.",
        "",
    ),
    case(
        "upper case",
        POD,
        &[Some(&[("db.ns.svc.cluster.local", A1)])],
        "DB",
        A1,
    ),
    case(
        "an underscore",
        POD,
        &[Some(&[("my_db.ns.svc.cluster.local", A1)])],
        "my_db",
        A1,
    ),
    // ndots.
    case(
        "enough dots: first as it is",
        TWO,
        &[
            Some(&[("x.y", A1), ("x.y.a.example", "127.1.0.2")]),
            Some(&[]),
        ],
        "x.y",
        A1,
    ),
    case(
        "too few dots: first the list",
        TWO,
        &[Some(&[("x", "127.1.0.2"), ("x.a.example", A1)]), Some(&[])],
        "x",
        A1,
    ),
    case(
        "enough dots, and SERVFAIL as it is",
        TWO,
        &[
            Some(&[("x.y", "servfail"), ("x.y.a.example", A1)]),
            Some(&[("x.y", "servfail")]),
        ],
        "x.y",
        A1,
    ),
    case(
        "enough dots, and NXDOMAIN as it is",
        TWO,
        &[Some(&[("x.y.a.example", A1)]), Some(&[])],
        "x.y",
        A1,
    ),
    case(
        "ndots:0",
        "nameserver 127.0.0.1\nsearch a.example\noptions ndots:0\n",
        &[Some(&[("x", A1), ("x.a.example", "127.1.0.2")])],
        "x",
        A1,
    ),
    case(
        "the last search line counts",
        "nameserver 127.0.0.1\nsearch b.example\nsearch a.example\n",
        &[Some(&[("x.a.example", A1), ("x.b.example", "127.1.0.2")])],
        "x",
        A1,
    ),
    case(
        "domain",
        "nameserver 127.0.0.1\ndomain a.example\noptions use-what trust-ad rotate\n",
        &[Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "use-vc",
        "nameserver 127.0.0.1\nsearch a.example\noptions use-vc\n",
        &[Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    // The families.
    case(
        "both families",
        PLAIN,
        &[Some(&[(
            "x.example",
            "127.1.0.1 127.1.0.2 fd00::1 fd00::2",
        )])],
        "x.example",
        "127.1.0.1 127.1.0.2 fd00::1 fd00::2",
    ),
    case(
        "only IPv6",
        PLAIN,
        &[Some(&[("x.example", "fd00::1")])],
        "x.example",
        "fd00::1",
    ),
    case(
        "AAAA is NXDOMAIN",
        PLAIN,
        &[Some(&[("x.example A", A1), ("x.example AAAA", "nxdomain")])],
        "x.example",
        A1,
    ),
    case(
        "A is NXDOMAIN",
        PLAIN,
        &[Some(&[
            ("x.example AAAA", "fd00::1"),
            ("x.example A", "nxdomain"),
        ])],
        "x.example",
        "fd00::1",
    ),
    case(
        "AAAA is SERVFAIL",
        PLAIN,
        &[Some(&[("x.example A", A1), ("x.example AAAA", "servfail")])],
        "x.example",
        A1,
    ),
    case(
        "A is SERVFAIL",
        PLAIN,
        &[Some(&[
            ("x.example AAAA", "fd00::1"),
            ("x.example A", "servfail"),
        ])],
        "x.example",
        "fd00::1",
    ),
    case(
        "AAAA is NOTIMP",
        PLAIN,
        &[Some(&[("x.example A", A1), ("x.example AAAA", "notimp")])],
        "x.example",
        A1,
    ),
    case(
        "AAAA is REFUSED",
        PLAIN,
        &[Some(&[("x.example A", A1), ("x.example AAAA", "refused")])],
        "x.example",
        A1,
    ),
    case(
        "AAAA is silent",
        PLAIN,
        &[Some(&[("x.example A", A1), ("x.example AAAA", "silent")])],
        "x.example",
        A1,
    ),
    case(
        "AAAA is slow",
        PLAIN,
        &[Some(&[
            ("x.example A", A1),
            ("x.example AAAA", "fd00::1 hold:30"),
        ])],
        "x.example",
        "127.1.0.1 fd00::1",
    ),
    case(
        "a service whose AAAA is NXDOMAIN",
        POD,
        &[Some(&[("db.ns.svc.cluster.local A", A1)])],
        "db",
        A1,
    ),
    case(
        "no address at all",
        PLAIN,
        &[Some(&[("x.example", "empty")])],
        "x.example",
        "",
    ),
    // The servers.
    case(
        "the first server is silent",
        TWO,
        &[None, Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "the second server is silent",
        TWO,
        &[Some(&[("x.a.example", A1)]), None],
        "x",
        A1,
    ),
    case(
        "the first server is closed",
        "nameserver 127.0.0.9\nnameserver 127.0.0.1\nsearch a.example\n",
        &[Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "the first server cannot be reached",
        "nameserver 192.0.2.1\nnameserver 127.0.0.1\nsearch a.example\n",
        &[Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "the first server answers SERVFAIL",
        TWO,
        &[Some(&[("*", "servfail")]), Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "the first server answers REFUSED",
        TWO,
        &[Some(&[("*", "refused")]), Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "the first server only refers",
        TWO,
        &[Some(&[("*", "referral")]), Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "NXDOMAIN is definite",
        TWO,
        &[Some(&[]), Some(&[("x.a.example", A1)])],
        "x",
        "",
    ),
    case(
        "all servers are closed",
        "nameserver 127.0.0.9\nsearch a.example\n",
        &[],
        "x",
        "",
    ),
    case(
        "no server is named",
        "search a.example\n",
        &[Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    // The form of answers.
    case(
        "a long answer",
        PLAIN,
        &[Some(&[(
            "x.example",
            "truncated 127.1.0.1 127.1.0.2 127.1.0.3 127.1.0.4 127.1.0.5",
        )])],
        "x.example",
        "127.1.0.1 127.1.0.2 127.1.0.3 127.1.0.4 127.1.0.5",
    ),
    case(
        "a long answer of the second server",
        TWO,
        &[Some(&[("*", "tcp-closed")]), Some(&[("x.a.example", A1)])],
        "x",
        A1,
    ),
    case(
        "an alias",
        PLAIN,
        &[Some(&[("x.example", "cname:y.example 127.1.0.1")])],
        "x.example",
        A1,
    ),
    case(
        "aliases of aliases",
        PLAIN,
        &[Some(&[(
            "x.example",
            "cname:y.example cname:z.example 127.1.0.1 fd00::1",
        )])],
        "x.example",
        "127.1.0.1 fd00::1",
    ),
    case(
        "an alias to nothing",
        PLAIN,
        &[Some(&[("x.example", "cname:y.example")])],
        "x.example",
        "",
    ),
    case(
        "a label of 60 letters",
        PLAIN,
        &[Some(&[(LONG, A1)])],
        LONG,
        A1,
    ),
    case(
        "a wrong id before the answer",
        PLAIN,
        &[Some(&[("x.example", "wrong-id 127.1.0.1")])],
        "x.example",
        A1,
    ),
    case(
        "another question before the answer",
        PLAIN,
        &[Some(&[("x.example", "wrong-name wrong-type 127.1.0.1")])],
        "x.example",
        A1,
    ),
    unlike_glibc(
        case(
            "a loop of pointers before the answer",
            PLAIN,
            &[Some(&[("x.example", "loop 127.1.0.1")])],
            "x.example",
            A1,
        ),
        "glibc takes the first answer with the right id, though it is malformed",
    ),
    unlike_glibc(
        case(
            "cut off answers before the answer",
            PLAIN,
            &[Some(&[("x.example", "short 127.1.0.1")])],
            "x.example",
            A1,
        ),
        "as above",
    ),
    case(
        "garbage before the answer",
        PLAIN,
        &[Some(&[("x.example", "garbage 127.1.0.1")])],
        "x.example",
        A1,
    ),
    unlike_glibc(
        case(
            "60 KB before the answer",
            PLAIN,
            &[Some(&[("x.example", "oversize 127.1.0.1")])],
            "x.example",
            A1,
        ),
        "as above",
    ),
];

/// Runs a command on the namespaces of name_server.py.
const STARTER: &[&str] = &[
    "unshare",
    "--net",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /mnt && : >/mnt/resolv.conf && \
     mount --bind /mnt/resolv.conf /etc/resolv.conf && exec python3 \"$@\"",
    "sh",
];

const GLIBC: &str = "import socket,sys\n\
    try: found=socket.getaddrinfo(sys.argv[1],None,type=socket.SOCK_STREAM)\n\
    except OSError: found=[]\n\
    print(*sorted({it[4][0] for it in found}))";

/// A program that name_server.py runs.
struct Run {
    words: Vec<String>,
    listen: Vec<String>,
}

/// A resolv.conf, the servers, and the programs beside them.
type Play<'a> = (&'a str, &'a [Option<Table>], Vec<Run>);

/// What name_server.py reports of a program.
struct Ran {
    code: i64,
    stdout: String,
    stderr: String,
    took: f64,
    /// Server, name, type and transport of each question.
    asked: Vec<String>,
}

fn list(words: &[String]) -> String {
    format!("{words:?}")
}

fn played(cases: &[Play<'_>]) -> Vec<Vec<Ran>> {
    let folder = Folder::new();
    let json: Vec<String> = cases
        .iter()
        .map(|(resolv, servers, runs)| {
            let servers: Vec<String> = servers
                .iter()
                .map(|table| match table {
                    None => "null".to_owned(),
                    Some(table) => {
                        let rows: Vec<String> = table
                            .iter()
                            .map(|(name, answer)| format!("{name:?}:{answer:?}"))
                            .collect();
                        format!("{{{}}}", rows.join(","))
                    }
                })
                .collect();
            let runs: Vec<String> = runs
                .iter()
                .map(|run| {
                    let (words, listen) = (list(&run.words), list(&run.listen));
                    format!("{{\"words\":{words},\"listen\":{listen}}}")
                })
                .collect();
            format!(
                "{{\"resolv\":{resolv:?},\"servers\":[{}],\"run\":[{}]}}",
                servers.join(","),
                runs.join(",")
            )
        })
        .collect();
    let file = folder.file("cases.json", &format!("[{}]", json.join(",")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/name_server.py");
    let mut command = Command::new(STARTER[0]);
    command.args(&STARTER[1..]).args([script, &file]);
    crate::support::without_own_variables(&mut command);
    let output = crate::support::output(&mut command);
    let mut lines = output.lines();
    cases
        .iter()
        .map(|(_, _, runs)| {
            let mut ran = || {
                let line = lines.next().expect("a line for each program");
                let it = &YamlLoader::load_from_str(line).expect(line)[0];
                let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
                Ran {
                    code: it["code"].as_i64().expect("a code"),
                    stdout: text("stdout"),
                    stderr: text("stderr"),
                    took: it["took"].as_f64().expect("a duration"),
                    asked: it["asked"]
                        .as_vec()
                        .expect("questions")
                        .iter()
                        .map(question)
                        .collect(),
                }
            };
            runs.iter().map(|_| ran()).collect()
        })
        .collect()
}

fn question(row: &Yaml) -> String {
    let words = row.as_vec().expect("a row").iter();
    let words: Vec<String> = words
        .map(|it| match it.as_i64() {
            Some(number) => number.to_string(),
            None => it.as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    words.join(" ")
}

fn podgate(words: &[&str], listen: &[&str]) -> Run {
    let own = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    Run {
        words: [own(&[PODGATE]), own(words)].concat(),
        listen: own(listen),
    }
}

/// The patience and the search list are as in a pod; podgate has the time of a probe.
fn checked(resolv: &str, servers: &[Option<Table>], words: &[&str]) -> Ran {
    let runs = vec![podgate(words, &[A1])];
    let mut ran = played(&[(resolv, servers, runs)]);
    ran.pop().and_then(|mut it| it.pop()).expect("one program")
}

fn may_run() -> bool {
    namespaces() && python3()
}

#[test]
fn names_resolve_as_for_glibc() {
    if !may_run() {
        return;
    }
    let plays: Vec<_> = CASES
        .iter()
        .map(|case| {
            let target = format!("tcp://{}:8080", case.name);
            let check = ["check", "--attempt-timeout", "3s", &target];
            // Each address has to be known: in turn it is the only one that accepts.
            let mut runs: Vec<Run> = case
                .addresses
                .split_ascii_whitespace()
                .map(|address| podgate(&check, &[address]))
                .collect();
            if runs.is_empty() {
                runs.push(podgate(&check, &[]));
            }
            runs.push(Run {
                words: ["python3", "-c", GLIBC, case.name]
                    .map(str::to_owned)
                    .to_vec(),
                listen: Vec::new(),
            });
            (case.resolv, case.servers, runs)
        })
        .collect();
    let mut wrong = Vec::new();
    for (case, mut ran) in CASES.iter().zip(played(&plays)) {
        let glibc = ran.pop().expect("glibc's answer");
        let found: BTreeSet<&str> = glibc.stdout.split_ascii_whitespace().collect();
        let expected: BTreeSet<&str> = match case.glibc {
            Same => case.addresses.split_ascii_whitespace().collect(),
            FindsNothing(_) => BTreeSet::new(),
        };
        if found != expected {
            wrong.push(format!(
                "{}: glibc finds {found:?}, {:?}",
                case.title, glibc.asked
            ));
        }
        for it in ran {
            let code = i64::from(case.addresses.is_empty());
            if it.code != code {
                wrong.push(format!("{}: {} {:?}", case.title, it.stderr, it.asked));
            } else if code == 1 && !it.stderr.contains("the name cannot be resolved") {
                wrong.push(format!("{}: {}", case.title, it.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Silence costs no attempt: the time limit of `check` is enough for a silent server and three
/// silent domains. musl would wait for 5 s each.
#[test]
fn silence_is_skipped_within_the_time_of_one_attempt() {
    if !may_run() {
        return;
    }
    let silent_server = "nameserver 127.0.0.1\nnameserver 127.0.0.2\n\
                         search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                         options ndots:5\n";
    let here: Table = &[("ext.example", A1)];
    let domains: Table = &[
        ("ext.example", A1),
        ("ext.example.svc.cluster.local", "silent"),
        ("ext.example.cluster.local", "silent"),
        ("ext.example.corp.example", "silent"),
    ];
    let plays: [(&str, &[Option<Table>]); 2] = [
        (silent_server, &[None, Some(here)]),
        (POD_OF_FOUR, &[Some(domains)]),
    ];
    for (resolv, servers) in plays {
        let ran = checked(resolv, servers, &["check", "tcp://ext.example:8080"]);
        assert_eq!(ran.code, 0, "{} {:?}", ran.stderr, ran.asked);
        assert!(ran.took < 3.0, "{}", ran.took);
    }
}

const POD_OF_FOUR: &str = "nameserver 127.0.0.1\n\
    search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
    options ndots:5\n";

#[test]
fn every_place_that_looks_a_name_up_goes_on_after_a_failing_domain() {
    if !may_run() {
        return;
    }
    let server = "from http.server import *\n\
        import subprocess,sys,threading\n\
        class H(BaseHTTPRequestHandler):\n\
        \x20 def do_GET(self):\n\
        \x20   far=self.path==\"/far\"\n\
        \x20   self.send_response(302 if far else 200)\n\
        \x20   if far: self.send_header(\"Location\",\"http://ext.example:8081/near\")\n\
        \x20   self.send_header(\"Content-Length\",\"0\")\n\
        \x20   self.end_headers()\n\
        \x20 def do_POST(self):\n\
        \x20   self.do_GET()\n\
        \x20   for it in servers: threading.Thread(target=end,args=(it,)).start()\n\
        \x20 def log_message(self,*rest): pass\n\
        def end(it): it.shutdown(); it.server_close()\n\
        servers=[ThreadingHTTPServer((\"127.1.0.1\",port),H) for port in (8081,8082)]\n\
        for it in servers: threading.Thread(target=it.serve_forever).start()\n\
        code=subprocess.run(sys.argv[1:]).returncode\n\
        for it in servers: it.shutdown()\n\
        sys.exit(code)";
    let table: Table = &[
        ("ext.example A", A1),
        ("ext.example.corp.example", "servfail"),
        ("ext.example AAAA", "nxdomain"),
    ];
    let words: [&[&str]; 6] = [
        &["check", "tcp://ext.example:8082"],
        &["check", "http://ext.example:8081/near"],
        // A redirect to another port of the host.
        &["check", "http://ext.example:8082/far"],
        &[
            "wait",
            "-t",
            "10s",
            "http://ext.example:8081/near",
            "--",
            "true",
        ],
        &["run", "--after", "tcp://ext.example:8081", "--", "true"],
        &["quit", "http://ext.example:8081/quitquitquit"],
    ];
    let runs = words
        .iter()
        .map(|words| {
            let mut run = podgate(words, &[]);
            run.words = [
                ["python3", "-c", server].map(str::to_owned).to_vec(),
                run.words,
            ]
            .concat();
            run
        })
        .collect();
    let cases: [Play<'_>; 1] = [(POD, &[Some(table)], runs)];
    for (ran, words) in played(&cases).remove(0).iter().zip(words) {
        assert_eq!(ran.code, 0, "{words:?} {} {:?}", ran.stderr, ran.asked);
    }
}

#[test]
fn a_flood_of_wrong_answers_costs_one_attempt_its_time_at_most() {
    if !may_run() {
        return;
    }
    let good: Table = &[("x.example", "flood 127.1.0.1")];
    let check = ["check", "--attempt-timeout", "3s", "tcp://x.example:8080"];
    let ran = checked(PLAIN, &[Some(good)], &check);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let bad: Table = &[
        ("*", "flood silent"),
        ("x.example", "wrong-id loop garbage short silent"),
    ];
    let ran = checked(PLAIN, &[Some(bad)], &["check", "tcp://x.example:8080"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.took < 3.0, "{}", ran.took);
}

#[test]
fn the_hint_names_dns_when_no_name_server_answers() {
    if !may_run() {
        return;
    }
    let closed = "nameserver 127.0.0.9\n";
    let unreachable = "nameserver 192.0.2.1\n";
    let failing: Table = &[("*", "servfail")];
    let nothing: Table = &[];
    let plays: [(&str, &[Option<Table>], &str); 5] = [
        (
            PLAIN,
            &[None],
            "timed out after 800ms while resolving the name",
        ),
        (
            closed,
            &[],
            "cannot ask the name server 127.0.0.9: connection refused",
        ),
        (unreachable, &[], "cannot ask the name server 192.0.2.1: "),
        (
            PLAIN,
            &[Some(failing)],
            "the name server answers SERVFAIL for \"db.example\"",
        ),
        (
            PLAIN,
            &[Some(nothing)],
            "the name cannot be resolved: no such name",
        ),
    ];
    for (resolv, servers, cause) in plays {
        for target in ["tcp://db.example:5432", "http://db.example/"] {
            let ran = checked(resolv, servers, &["check", target]);
            assert_eq!(ran.code, 1, "{}", ran.stderr);
            assert!(ran.stderr.contains(cause), "{}", ran.stderr);
            assert!(ran.stderr.contains("the cluster's DNS"), "{}", ran.stderr);
        }
        let wait = ["wait", "-t", "1500ms", "tcp://db.example:5432"];
        let ran = checked(resolv, servers, &wait);
        assert_eq!(ran.code, 124, "{}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("the cluster's DNS"), "{last}");
        let quit = ["quit", "-t", "1500ms", "http://db.example/quitquitquit"];
        let ran = checked(resolv, servers, &quit);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("the cluster's DNS"), "{last}");
    }
}

#[test]
fn a_name_that_appears_later_is_found() {
    if !may_run() {
        return;
    }
    // The configuration of a pod can change while podgate waits.
    let words = [
        "sh",
        "-c",
        "(sleep 0.5; echo 'nameserver 127.0.0.1' >/etc/resolv.conf) & \
         exec \"$0\" wait -t 20s tcp://x.example:8080",
        PODGATE,
    ];
    let run = Run {
        words: words.map(str::to_owned).to_vec(),
        listen: vec![A1.to_owned()],
    };
    let table: Table = &[("x.example", A1)];
    let servers: &[Option<Table>] = &[Some(table)];
    let ran = played(&[("nameserver 127.0.0.9\n", servers, vec![run])])
        .remove(0)
        .remove(0);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.took < 10.0, "{}", ran.took);
}

#[test]
fn dns_passes_when_the_name_has_an_address_and_its_opposite_when_it_has_none() {
    if !may_run() {
        return;
    }
    let closed = "nameserver 127.0.0.9\n";
    let here: &[Option<Table>] = &[Some(&[("x.example", A1)])];
    let failing: &[Option<Table>] = &[Some(&[("*", "servfail")])];
    /// A resolv.conf, servers, and a name; whether it passes, or why its opposite does not.
    type Case<'a> = (&'a str, &'a [Option<Table>], &'a str, Result<bool, &'a str>);
    let cases: [Case<'_>; 6] = [
        (PLAIN, here, "x.example", Ok(true)),
        (PLAIN, here, "localhost", Ok(true)),
        (PLAIN, here, "z.example", Ok(false)),
        (PLAIN, failing, "x.example", Err("SERVFAIL")),
        (PLAIN, &[None], "x.example", Err("timed out")),
        (closed, &[], "x.example", Err("cannot ask the name server")),
    ];
    for (resolv, servers, name, expected) in cases {
        let plain = checked(resolv, servers, &["check", &format!("dns://{name}")]);
        let opposite = checked(resolv, servers, &["check", &format!("not:dns://{name}")]);
        let said = format!("{name}: {} {}", plain.stderr, opposite.stderr);
        match expected {
            Ok(true) => {
                assert_eq!((plain.code, opposite.code), (0, 1), "{said}");
                let still = format!("dns://{name} still holds");
                assert!(opposite.stderr.contains(&still), "{said}");
            }
            Ok(false) => assert_eq!((plain.code, opposite.code), (1, 0), "{said}"),
            Err(reason) => {
                assert_eq!((plain.code, opposite.code), (1, 1), "{said}");
                assert!(plain.stderr.contains(reason), "{said}");
                let cannot_tell = opposite.stderr.contains("cannot tell: ");
                assert!(cannot_tell && opposite.stderr.contains(reason), "{said}");
            }
        }
    }
}

/// A server may run although its name is unknown here.
#[test]
fn a_server_whose_name_does_not_resolve_may_still_run() {
    if !may_run() {
        return;
    }
    let nothing: &[Option<Table>] = &[Some(&[])];
    for check in ["not:tcp://x.example:8080", "not:http://x.example/"] {
        let ran = checked(PLAIN, nothing, &["check", check]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let text = "cannot tell: the name cannot be resolved: no such name";
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
}
