//! `grpc://`, `grpcs://` and databases: an attempt connects, and a [`Dialogue`] decides what is
//! sent and what the answer means.

use super::attempt::{Probe, Step};
use super::dial::Destination;
use super::link::{Heard, Link, Secure};
use super::resolve::Resolver;
use super::tls::{Alpn, Trust};
use crate::core::backend::{Database, Grpc};
use crate::core::dialogue::Dialogue;
use crate::core::grpc::Health;
use crate::core::http::USER_AGENT;
use crate::core::mysql::Mysql;
use crate::core::outcome::{Outcome, Phase};
use crate::core::postgres::Postgres;
use crate::core::redis::Redis;
use crate::core::url::{Scheme, Server};
use crate::event_loop::Interest;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Conversation {
    protocol: Protocol,
    destination: Destination,
    secure: Option<Secure>,
    until: Instant,
    attempt: Option<Attempt>,
}

enum Protocol {
    Grpc { authority: String, service: String },
    Database(Database),
}

struct Attempt {
    link: Link,
    dialogue: Box<dyn Dialogue>,
}

impl Conversation {
    pub(super) fn grpc(check: &Grpc, trust: &Arc<Trust>) -> Self {
        let secure = match (check.scheme, &check.server) {
            (Scheme::Tls, Server::Host(host, _)) => Some(Secure {
                host: host.clone(),
                trust: Arc::clone(trust),
                alpn: Alpn::Http2,
            }),
            (Scheme::Plain | Scheme::Tls, _) => None,
        };
        let protocol = Protocol::Grpc {
            authority: check.server.authority(),
            service: check.service.clone(),
        };
        Self::new(protocol, &check.server, secure)
    }

    pub(super) fn database(database: Database, server: &Server) -> Self {
        Self::new(Protocol::Database(database), server, None)
    }

    fn new(protocol: Protocol, server: &Server, secure: Option<Secure>) -> Self {
        Self {
            protocol,
            destination: match server {
                Server::Host(host, port) => {
                    Destination::Host(Resolver::new(host, port.unwrap_or_default()))
                }
                Server::Socket(path) => Destination::Socket(path.clone()),
            },
            secure,
            until: Instant::now(),
            attempt: None,
        }
    }

    fn dialogue(&self) -> Box<dyn Dialogue> {
        match &self.protocol {
            Protocol::Grpc { authority, service } => Box::new(Health::new(
                authority,
                service,
                self.secure.is_some(),
                USER_AGENT,
            )),
            Protocol::Database(Database::Postgres) => Box::new(Postgres::default()),
            Protocol::Database(Database::Mysql) => Box::new(Mysql::default()),
            Protocol::Database(Database::Redis) => Box::new(Redis::default()),
        }
    }

    fn begin(&mut self) -> Result<Option<Attempt>, Outcome> {
        let Some(addresses) = self.destination.resolve(self.until)? else {
            return Ok(None);
        };
        let mut dialogue = self.dialogue();
        let mut hello = Vec::new();
        dialogue.begin(&mut hello);
        let link = Link::new(addresses, self.secure.clone(), hello, self.until, true);
        Ok(Some(Attempt { link, dialogue }))
    }
}

impl Probe for Conversation {
    fn start(&mut self, until: Instant) -> Step {
        self.until = until;
        self.attempt = None;
        self.proceed()
    }

    fn proceed(&mut self) -> Step {
        let mut attempt = match self.attempt.take() {
            Some(attempt) => attempt,
            None => match self.begin() {
                Ok(Some(attempt)) => attempt,
                Ok(None) => return Step::Wait,
                Err(outcome) => return Step::Done(outcome),
            },
        };
        let Attempt { link, dialogue } = &mut attempt;
        let mut outcome = None;
        let went = link.proceed(&mut |heard, output| {
            outcome = match heard {
                Heard::Bytes(bytes) => dialogue.feed(bytes, output),
                Heard::Closed | Heard::Broken => Some(dialogue.end()),
            };
            outcome.is_some()
        });
        match (went, outcome) {
            (Err(reason), _) => Step::Done(Outcome::NotYet(reason)),
            (Ok(_), Some(outcome)) => Step::Done(outcome),
            (Ok(_), None) => {
                self.attempt = Some(attempt);
                Step::Wait
            }
        }
    }

    fn release(&mut self) {
        self.attempt = None;
        self.destination.release();
    }

    fn cancel(&mut self) -> Phase {
        self.attempt
            .take()
            .map_or(Phase::Resolving, |it| it.link.phase())
    }

    fn interest(&self) -> Option<Interest<'_>> {
        match &self.attempt {
            None => self.destination.interest(),
            Some(it) => it.link.interest(),
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        match &self.attempt {
            None => self.destination.wake_at(),
            Some(it) => it.link.wake_at(),
        }
    }
}
