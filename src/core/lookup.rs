//! Looking up the addresses of a name, as glibc and Go do it for the app beside podgate: which
//! names of the search list are asked for, which name server is asked when, and what the answers
//! mean together. Configuration files are read as text, with the rules of resolv.conf(5) and
//! hosts(5).
//!
//! The names of the search list are asked for in their order. A and AAAA records are asked for at
//! the same time, each in its own question, and judged apart. A question goes to the next server
//! when a server fails (SERVFAIL, REFUSED), and when a server is silent for [`Spec::patience`].
//!
//! | a name | when | the next name |
//! | --- | --- | --- |
//! | has addresses | both questions are answered, or one had no answer for a patience longer | is not needed |
//! | has none | both questions are answered: no such name, no address, or every server failed | is asked for at once |
//! | is silent | a question is open | is asked for after a patience; its addresses count when each server had a patience for the earlier name |
//!
//! musl's resolver is not used: it asks no further name after SERVFAIL, takes an NXDOMAIN of the
//! AAAA question for both, and has time limits of its own.

use super::dns::{self, Family};
use super::outcome::NameError;
use super::time::Time;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The limits of glibc for `ndots`, `attempts` and `timeout`, and for the number of servers.
const MOST_DOTS: usize = 15;
const MOST_ATTEMPTS: u32 = 5;
const MOST_SECONDS: u64 = 30;
const MOST_SERVERS: usize = 3;
/// A search list has six names in most documents. A longer list would only delay an answer.
const MOST_NAMES: usize = 32;

/// The shortest [`patience`].
const LEAST_PATIENCE: Duration = Duration::from_millis(20);
/// When one question has brought addresses, the other one has this much time more.
const OTHER_FAMILY: Duration = Duration::from_millis(250);

/// The content of resolv.conf(5). Options that do not matter here are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// At least one.
    pub servers: Vec<Server>,
    /// The domains that are appended to a name.
    pub search: Vec<String>,
    /// A name with this many dots is tried before the search list.
    pub ndots: usize,
    /// The longest time that a server is waited for before the next one is asked.
    pub timeout: Duration,
    /// How many times each server is asked a question at most.
    pub attempts: u32,
    /// Begin with another server each time.
    pub rotates: bool,
    /// Ask over TCP only.
    pub uses_tcp: bool,
}

/// A name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub address: IpAddr,
    /// The interface of a link-local address: `eth0` of `fe80::1%eth0`.
    pub zone: Option<String>,
}

impl Config {
    /// Reads a resolv.conf. Without a search list the domain of `host_name` is searched, and
    /// without a server one on this machine is asked.
    pub fn parse(text: &str, host_name: &str) -> Self {
        let domain = host_name.split_once('.').map(|(_, domain)| domain);
        let mut config = Self {
            servers: Vec::new(),
            search: domain.map(str::to_owned).into_iter().collect(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotates: false,
            uses_tcp: false,
        };
        for line in text.lines() {
            let mut words = line
                .split_ascii_whitespace()
                .take_while(|word| !word.starts_with(['#', ';']));
            match words.next() {
                Some("nameserver") if config.servers.len() < MOST_SERVERS => {
                    config.servers.extend(words.next().and_then(Server::parse));
                }
                Some("search") => config.search = words.map(str::to_owned).collect(),
                Some("domain") => config.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| config.set(word)),
                Some(_) | None => {}
            }
        }
        if config.servers.is_empty() {
            config.servers.push(Server {
                address: Ipv4Addr::LOCALHOST.into(),
                zone: None,
            });
        }
        config
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>();
        match (name, number) {
            ("ndots", Ok(number)) => {
                self.ndots = usize::try_from(number).unwrap_or(MOST_DOTS).min(MOST_DOTS);
            }
            ("timeout", Ok(number)) => {
                self.timeout = Duration::from_secs(u64::from(number).clamp(1, MOST_SECONDS));
            }
            ("attempts", Ok(number)) => self.attempts = number.clamp(1, MOST_ATTEMPTS),
            ("rotate", _) => self.rotates = true,
            ("use-vc", _) => self.uses_tcp = true,
            _ => {}
        }
    }

    /// The names to ask for, in order. Empty if `name` is too long.
    pub fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if let Some(absolute) = name.strip_suffix('.') {
            names.push(absolute.to_owned());
        } else {
            let searched = self.search.iter().map(|domain| {
                let domain = domain.trim_matches('.');
                if domain.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name}.{domain}")
                }
            });
            let comes_first = name.matches('.').count() >= self.ndots;
            names.extend(comes_first.then(|| name.to_owned()));
            names.extend(searched.take(MOST_NAMES));
            names.push(name.to_owned());
        }
        let mut unique: Vec<String> = Vec::new();
        for name in names {
            if dns::is_name(&name) && !unique.iter().any(|it| it.eq_ignore_ascii_case(&name)) {
                unique.push(name);
            }
        }
        unique
    }
}

impl Server {
    fn parse(text: &str) -> Option<Self> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone.to_owned())),
            None => (text, None),
        };
        let address = address.parse().ok()?;
        Some(Self { address, zone })
    }
}

/// The addresses of a name in the text of a hosts(5) file.
pub fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_ascii_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>)
            && words.any(|word| word.eq_ignore_ascii_case(name))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// How long a silent server is waited for, so that an attempt of this length comes to the end of
/// the search list and to every server, and has time left for the connection.
pub fn patience(attempt: Duration, names: usize, servers: usize, timeout: Duration) -> Duration {
    let steps = u32::try_from(names.saturating_add(servers)).unwrap_or(u32::MAX);
    attempt
        .checked_div(steps)
        .unwrap_or(LEAST_PATIENCE)
        .min(timeout)
        .max(LEAST_PATIENCE)
}

/// The settings of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The names to ask for, in order.
    pub names: Vec<String>,
    /// The number of servers.
    pub servers: usize,
    /// The server to begin with.
    pub first: usize,
    /// How many times each server is asked a question at most.
    pub attempts: u32,
    /// How long a silent server is waited for.
    pub patience: Duration,
}

/// One question. The name is its index in [`Spec::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub name: usize,
    pub family: Family,
}

/// What a server answered to a question, or why it cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Addresses(Vec<IpAddr>),
    NoName,
    NoAddress,
    Failed(NameError),
}

/// An input of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick,
    Replied {
        question: Question,
        /// The index of the server.
        server: usize,
        reply: Reply,
    },
}

/// An output of the machine, to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Ask {
        question: Question,
        /// The index of the server.
        server: usize,
    },
    /// The addresses, IPv4 and IPv6 in turn, or why there are none. No event changes it.
    Finish(Result<Vec<IpAddr>, NameError>),
}

/// One look-up.
#[derive(Debug, Clone)]
pub struct Lookup {
    spec: Spec,
    /// The server that new questions go to: the last one that answered, or the next one after
    /// silence.
    first: usize,
    /// The names that were asked for.
    begun: Vec<Name>,
    now: Time,
    is_over: bool,
}

/// The questions about one name.
#[derive(Debug, Clone)]
struct Name {
    since: Time,
    /// When the first address was found.
    found: Option<Time>,
    /// In the order of [`Family::BOTH`].
    asked: [Asked; 2],
}

/// The state of one question.
#[derive(Debug, Clone)]
struct Asked {
    /// The server that was asked first.
    first: usize,
    sent: u32,
    failures: u32,
    /// When the next server is asked, if the question stays open.
    due: Option<Time>,
    reply: Option<Reply>,
}

impl Name {
    fn new(now: Time, first: usize) -> Self {
        let asked = || Asked {
            first,
            sent: 0,
            failures: 0,
            due: Some(now),
            reply: None,
        };
        Self {
            since: now,
            found: None,
            asked: [asked(), asked()],
        }
    }

    fn is_answered(&self) -> bool {
        self.asked.iter().all(|it| it.reply.is_some())
    }

    fn has_none(&self) -> bool {
        self.is_answered() && self.found.is_none()
    }

    /// IPv4 and IPv6 in turn, so that both are among the first few.
    fn addresses(&self) -> Vec<IpAddr> {
        let [four, six] = self.asked.each_ref().map(|it| match &it.reply {
            Some(Reply::Addresses(found)) => found.as_slice(),
            Some(Reply::NoName | Reply::NoAddress | Reply::Failed(_)) | None => &[],
        });
        let longest = four.len().max(six.len());
        let turns = (0..longest).flat_map(|index| [four.get(index), six.get(index)]);
        turns.flatten().copied().collect()
    }
}

impl Asked {
    /// The server that is asked next.
    fn server(&self, servers: usize) -> usize {
        let sent = usize::try_from(self.sent).unwrap_or(0);
        self.first
            .saturating_add(sent)
            .checked_rem(servers)
            .unwrap_or(0)
    }
}

impl Lookup {
    pub fn new(spec: Spec, now: Time) -> Self {
        Self {
            first: spec.first,
            spec,
            begun: Vec::new(),
            now,
            is_over: false,
        }
    }

    /// Takes an event, and returns what is to be done, in this order.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over {
            return actions;
        }
        self.now = now;
        match event {
            Event::Tick => {}
            Event::Replied {
                question,
                server,
                reply,
            } => self.replied(question, server, reply),
        }
        if let Some(answer) = self.answer() {
            self.is_over = true;
            actions.push(Action::Finish(answer));
            return actions;
        }
        self.begin();
        self.ask(&mut actions);
        actions
    }

    /// When [`Event::Tick`] is due next. `None`: not before an answer.
    pub fn deadline(&self) -> Option<Time> {
        if self.is_over {
            return None;
        }
        let patience = self.spec.patience;
        let of_name = |name: &Name| {
            let open = name.asked.iter().filter(|it| it.reply.is_none());
            let other = name.found.map(|at| at.plus(self.more()));
            let next = Some(name.since.plus(patience));
            let silent = Some(name.since.plus(self.silence()));
            let moments: Vec<Time> = open
                .filter_map(|it| it.due)
                .chain([other, next, silent].into_iter().flatten())
                .collect();
            moments
        };
        let open = self.begun.iter().filter(|name| !name.is_answered());
        open.flat_map(of_name).filter(|at| *at > self.now).min()
    }

    /// After this time without an answer, a name is silent: each server had a patience.
    fn silence(&self) -> Duration {
        let servers = u32::try_from(self.spec.servers).unwrap_or(u32::MAX);
        self.spec.patience.saturating_mul(servers)
    }

    /// How long the second question is waited for when the first one has brought addresses.
    fn more(&self) -> Duration {
        self.spec.patience.min(OTHER_FAMILY)
    }

    fn most_sent(&self) -> u32 {
        let servers = u32::try_from(self.spec.servers).unwrap_or(u32::MAX);
        servers.saturating_mul(self.spec.attempts)
    }

    fn replied(&mut self, question: Question, server: usize, reply: Reply) {
        let (now, most) = (self.now, self.most_sent());
        let Some(name) = self.begun.get_mut(question.name) else {
            return;
        };
        let [four, six] = &mut name.asked;
        let asked = match question.family {
            Family::V4 => four,
            Family::V6 => six,
        };
        if asked.reply.is_some() {
            return;
        }
        if let Reply::Failed(_) = reply {
            asked.failures = asked.failures.saturating_add(1);
            if asked.failures < asked.sent {
                return;
            }
            if asked.sent < most {
                asked.due = Some(now);
                return;
            }
        } else {
            self.first = server;
        }
        if let Reply::Addresses(_) = reply {
            name.found.get_or_insert(now);
        }
        asked.reply = Some(reply);
    }

    /// Begins the next name if it is time for it.
    fn begin(&mut self) {
        let is_silent =
            |name: &Name| name.found.is_none() && name.since.plus(self.spec.patience) <= self.now;
        let last = self.begun.last();
        let is_next = last.is_none_or(|name| name.has_none());
        let is_due = is_next || last.is_some_and(is_silent);
        if !is_due || self.begun.len() >= self.spec.names.len() {
            return;
        }
        if !is_next {
            // The silence may be that of the server. The next server is asked about both names.
            let next = self.first.saturating_add(1);
            self.first = next.checked_rem(self.spec.servers).unwrap_or(0);
        }
        self.begun.push(Name::new(self.now, self.first));
    }

    fn ask(&mut self, actions: &mut Vec<Action>) {
        let (now, most, servers) = (self.now, self.most_sent(), self.spec.servers);
        for (index, name) in self.begun.iter_mut().enumerate() {
            for (asked, family) in name.asked.iter_mut().zip(Family::BOTH) {
                let is_due = asked.reply.is_none() && asked.due.is_some_and(|due| due <= now);
                if !is_due {
                    continue;
                }
                actions.push(Action::Ask {
                    question: Question {
                        name: index,
                        family,
                    },
                    server: asked.server(servers),
                });
                asked.sent = asked.sent.saturating_add(1);
                asked.due = (asked.sent < most).then(|| now.plus(self.spec.patience));
            }
        }
    }

    /// The answer, if it is known.
    fn answer(&self) -> Option<Result<Vec<IpAddr>, NameError>> {
        let mut has_silent = false;
        for index in 0..self.spec.names.len() {
            let name = self.begun.get(index)?;
            if let Some(found) = name.found {
                let is_complete = name.is_answered() || found.plus(self.more()) <= self.now;
                return is_complete.then(|| Ok(name.addresses()));
            }
            if !name.is_answered() {
                if self.now < name.since.plus(self.silence()) {
                    return None;
                }
                has_silent = true;
            }
        }
        (!has_silent).then(|| Err(self.error()))
    }

    /// Why there is no address. A failure goes before "no address", and that before "no such name".
    fn error(&self) -> NameError {
        let replies = || {
            let asked = self.begun.iter().flat_map(|name| &name.asked);
            asked.filter_map(|it| it.reply.as_ref())
        };
        let failed = replies().find_map(|reply| match reply {
            Reply::Failed(error) => Some(error.clone()),
            Reply::Addresses(_) | Reply::NoName | Reply::NoAddress => None,
        });
        if let Some(error) = failed {
            error
        } else if replies().any(|reply| *reply == Reply::NoAddress) {
            NameError::NoAddress
        } else {
            NameError::NoName
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Action, Config, Event, Family, Lookup, OTHER_FAMILY, Question, Reply, Spec, in_hosts,
        patience,
    };
    use crate::core::outcome::NameError;
    use crate::core::time::Time;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_millis(100);
    /// The end of a look-up that has no answer.
    const END: u64 = 5000;

    #[test]
    fn a_hosts_file_is_read() {
        let hosts = "# localhost 9.9.9.9\n127.0.0.1\tlocalhost x # y\n\
                     ::1 LocalHost ip6-localhost\nbad localhost\n127.0.0.1 localhost\n";
        for name in ["localhost", "LOCALHOST", "localhost."] {
            let found: Vec<String> = in_hosts(hosts, name)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, ["127.0.0.1", "::1"], "{name}");
        }
        assert!(in_hosts(hosts, "y").is_empty());
    }

    #[test]
    fn a_resolv_conf_is_read() {
        let pod = "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                   nameserver 10.96.0.10\noptions ndots:5\n";
        let config = Config::parse(pod, "app-0");
        assert_eq!(config.servers.len(), 1);
        assert_eq!((config.ndots, config.attempts), (5, 2));
        assert_eq!(
            config.names("db"),
            [
                "db.ns.svc.cluster.local",
                "db.svc.cluster.local",
                "db.cluster.local",
                "db.corp.example",
                "db"
            ]
        );
        assert_eq!(
            config.names("a.b.c.d.e.f").first().map(String::as_str),
            Some("a.b.c.d.e.f")
        );
        assert_eq!(config.names("db.").len(), 1);

        let all = "; comment\n# nameserver 9.9.9.9\ndomain one.example two.example\n\
                   nameserver fe80::1%eth0\nnameserver bad\n\tnameserver 10.0.0.2 # second\n\
                   nameserver\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n\
                   options timeout:99 attempts:0 ndots:99 rotate use-vc trust-ad edns0 ndots:x\n\
                   sortlist 10.0.0.0\n";
        let config = Config::parse(all, "");
        let zones: Vec<Option<&str>> = config.servers.iter().map(|it| it.zone.as_deref()).collect();
        assert_eq!(zones, [Some("eth0"), None, None]);
        assert_eq!((config.ndots, config.attempts), (15, 1));
        assert_eq!(config.timeout, Duration::from_secs(30));
        assert!(config.rotates && config.uses_tcp);
        assert_eq!(config.search, ["one.example"]);

        // The last of `search` and `domain` counts.
        let both = Config::parse("domain a\nsearch b c.\n", "h.d.example");
        assert_eq!(both.names("x"), ["x.b", "x.c", "x"]);
        let empty = Config::parse("", "h.d.example");
        assert_eq!(empty.names("x"), ["x.d.example", "x"]);
        assert_eq!(empty.names("x.y"), ["x.y", "x.y.d.example"]);
        assert!(empty.servers.iter().all(|it| it.address.is_loopback()));
        let root = Config::parse("search . a\noptions ndots:0\n", "");
        assert_eq!(root.names("x"), ["x", "x.a"]);
    }

    #[test]
    fn a_name_that_is_too_long_is_not_asked_for() {
        let label = "a".repeat(60);
        let name = [label.as_str(); 4].join(".");
        let config = Config::parse("search corp.example.with.a.long.name a\n", "");
        assert_eq!(config.names(&name), [name.clone(), format!("{name}.a")]);
        assert!(config.names(&"a".repeat(64)).is_empty());
        let (found, asks) = play(spec(0, 1), |_, _| None);
        assert_eq!((found, asks), (Some((Err(NameError::NoName), 0)), 0));
    }

    #[test]
    fn the_patience_leaves_time_for_every_name_and_every_server() {
        let ms = Duration::from_millis;
        let five = Duration::from_secs(5);
        assert_eq!(patience(ms(800), 5, 3, five), ms(100));
        assert_eq!(patience(ms(50), 5, 3, five), ms(20));
        assert_eq!(patience(ms(60_000), 1, 1, five), five);
    }

    fn spec(names: usize, servers: usize) -> Spec {
        Spec {
            names: (0..names).map(|name| format!("name{name}")).collect(),
            servers,
            first: 0,
            attempts: 2,
            patience: PATIENCE,
        }
    }

    type End = Option<(Result<Vec<IpAddr>, NameError>, u64)>;

    /// Plays a look-up against servers that reply after some milliseconds, or never. Returns the
    /// answer, when it came, and the number of questions.
    fn play(spec: Spec, server: impl Fn(Question, usize) -> Option<(u64, Reply)>) -> (End, usize) {
        let mut lookup = Lookup::new(spec, Time::ZERO);
        let mut flying: Vec<(u64, Event)> = Vec::new();
        let (mut now, mut asks) = (0, 0);
        let mut event = Event::Tick;
        loop {
            for action in lookup.handle(Time::at(Duration::from_millis(now)), event) {
                match action {
                    Action::Ask {
                        question,
                        server: it,
                    } => {
                        asks += 1;
                        if let Some((delay, reply)) = server(question, it) {
                            let event = Event::Replied {
                                question,
                                server: it,
                                reply,
                            };
                            flying.push((now + delay, event));
                        }
                    }
                    Action::Finish(found) => return (Some((found, now)), asks),
                }
            }
            let next = flying.iter().enumerate().min_by_key(|(_, (at, _))| *at);
            let next = next.map(|(index, (at, _))| (index, *at));
            let deadline = lookup
                .deadline()
                .map(|at| at.since_start().as_millis() as u64);
            assert!(
                deadline.is_none_or(|at| at > now),
                "a deadline is in the future"
            );
            (now, event) = match (next, deadline) {
                (Some((index, at)), deadline) if deadline.is_none_or(|it| at <= it) => {
                    (at, flying.remove(index).1)
                }
                (_, Some(at)) => (at, Event::Tick),
                (_, None) => return (None, asks),
            };
            if now > END {
                return (None, asks);
            }
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn found(texts: &[&str]) -> Reply {
        Reply::Addresses(texts.iter().map(|it| address(it)).collect())
    }

    fn servfail() -> Reply {
        Reply::Failed(NameError::Answered(2, "name".to_owned()))
    }

    fn ok(texts: &[&str], at: u64) -> End {
        Some((Ok(texts.iter().map(|it| address(it)).collect()), at))
    }

    #[test]
    fn the_search_goes_on_after_each_kind_of_answer_without_an_address() {
        for (reply, asks) in [(Reply::NoName, 4), (Reply::NoAddress, 4), (servfail(), 6)] {
            let (end, count) = play(spec(2, 1), |question, _| {
                Some((
                    3,
                    match question.name {
                        0 => reply.clone(),
                        _ => found(&["10.0.0.1"]),
                    },
                ))
            });
            let at = if asks == 4 { 6 } else { 9 };
            assert_eq!(end, ok(&["10.0.0.1", "10.0.0.1"], at), "{reply:?}");
            assert_eq!(count, asks, "{reply:?}");
        }
    }

    #[test]
    fn a_silent_domain_delays_the_search_by_the_patience_of_each_server() {
        for servers in [1, 2, 3] {
            let (end, _) = play(spec(3, servers), |question, _| {
                (question.name == 1).then(|| (2, found(&["10.0.0.1"])))
            });
            let expected = (100 * servers as u64).max(102);
            assert_eq!(end, ok(&["10.0.0.1", "10.0.0.1"], expected), "{servers}");
        }
    }

    #[test]
    fn an_earlier_name_that_answers_late_goes_before_a_later_one() {
        let (end, _) = play(spec(2, 2), |question, _| {
            Some(match question.name {
                0 => (150, found(&["10.0.0.1"])),
                _ => (1, found(&["10.0.0.2"])),
            })
        });
        assert_eq!(end, ok(&["10.0.0.1", "10.0.0.1"], 150));
    }

    #[test]
    fn each_family_is_judged_apart() {
        let more = OTHER_FAMILY.min(PATIENCE).as_millis() as u64;
        for (other, at) in [
            (Some(Reply::NoName), 2),
            (Some(Reply::NoAddress), 2),
            (Some(servfail()), 4),
            (None, 2 + more),
        ] {
            for good in Family::BOTH {
                let (end, _) = play(spec(2, 1), |question, _| {
                    if question.family == good {
                        Some((2, found(&["10.0.0.1"])))
                    } else {
                        other.clone().map(|reply| (2, reply))
                    }
                });
                assert_eq!(end, ok(&["10.0.0.1"], at), "{other:?} {good:?}");
            }
        }
    }

    #[test]
    fn the_next_server_is_asked_when_one_fails_or_is_silent() {
        let (end, asks) = play(spec(1, 2), |_, server| {
            Some((
                1,
                if server == 0 {
                    servfail()
                } else {
                    found(&["10.0.0.1"])
                },
            ))
        });
        assert_eq!((end, asks), (ok(&["10.0.0.1", "10.0.0.1"], 2), 4));
        let (end, _) = play(spec(4, 2), |question, server| {
            (server == 1).then(|| match question.name {
                3 => (1, found(&["10.0.0.1"])),
                _ => (1, Reply::NoName),
            })
        });
        // The names after the first one are asked for at the server that answers.
        assert_eq!(end, ok(&["10.0.0.1", "10.0.0.1"], 103));
        // NXDOMAIN is definite: no other server is asked.
        let (end, asks) = play(spec(1, 3), |_, _| Some((1, Reply::NoName)));
        assert_eq!((end, asks), (Some((Err(NameError::NoName), 1)), 2));
    }

    #[test]
    fn without_an_address_the_most_useful_cause_is_reported() {
        let failed = NameError::Answered(2, "name".to_owned());
        for (replies, cause) in [
            ([Reply::NoName, Reply::NoName], NameError::NoName),
            ([Reply::NoName, Reply::NoAddress], NameError::NoAddress),
            ([servfail(), Reply::NoAddress], failed.clone()),
            ([Reply::NoName, servfail()], failed),
        ] {
            let (end, _) = play(spec(2, 1), |question, _| {
                Some((1, replies[question.name].clone()))
            });
            assert_eq!(end.map(|(found, _)| found), Some(Err(cause)), "{replies:?}");
        }
        // While a name is silent, nothing is known.
        let (end, asks) = play(spec(2, 1), |question, _| {
            (question.name == 0).then_some((1, Reply::NoName))
        });
        assert_eq!((end, asks), (None, 6));
    }

    #[test]
    fn addresses_of_both_families_take_turns() {
        let (end, _) = play(spec(1, 1), |question, _| {
            Some((
                1,
                match question.family {
                    Family::V4 => found(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
                    Family::V6 => found(&["::1"]),
                },
            ))
        });
        assert_eq!(end, ok(&["10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"], 1));
    }

    fn reply() -> impl Strategy<Value = Option<(u64, Reply)>> {
        let reply = prop_oneof![
            2 => Just(found(&["10.0.0.1"])),
            3 => Just(Reply::NoName),
            1 => Just(Reply::NoAddress),
            2 => Just(servfail()),
        ];
        prop_oneof![4 => (0_u64..20, reply).prop_map(Some), 1 => Just(None)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_first_name_with_an_address_is_found_in_time(
            (names, servers) in (1_usize..6, 1_usize..4),
            table in proptest::collection::vec(reply(), 6 * 2 * 3),
        ) {
            let at = |question: Question, server: usize| {
                let family = usize::from(question.family == Family::V6);
                table[(question.name * 2 + family) * 3 + server].clone()
            };
            let (end, asks) = play(spec(names, servers), at);
            prop_assert!(asks <= names * 2 * servers * 2, "{asks} questions");
            // Each question goes from server to server until one answers it.
            let answer = |name: usize, family: Family| {
                let replies = (0..servers).map(|server| at(Question { name, family }, server));
                let mut replies: Vec<Reply> = replies.flatten().map(|(_, reply)| reply).collect();
                replies.retain(|reply| !matches!(reply, Reply::Failed(_)));
                replies
            };
            let may_have = |name: usize| {
                Family::BOTH.iter().any(|family| {
                    answer(name, *family).iter().any(|it| matches!(it, Reply::Addresses(_)))
                })
            };
            let must_have = |name: usize| {
                Family::BOTH.iter().any(|family| {
                    let replies = answer(name, *family);
                    !replies.is_empty()
                        && replies.iter().all(|it| matches!(it, Reply::Addresses(_)))
                })
            };
            let last = 100 * (names + servers) as u64;
            match &end {
                Some((Ok(found), at)) => {
                    prop_assert!(!found.is_empty() && *at <= last, "{at} > {last}");
                    prop_assert!((0..names).any(may_have));
                }
                Some((Err(_), _)) | None => {
                    prop_assert!(!(0..names).any(must_have), "{end:?}");
                }
            }
        }
    }
}
