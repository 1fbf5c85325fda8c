//! Records and rounds. Bytes that are read as one mean the same when they are written again. A
//! record that is written can be read.

use crate::input::Input;
use crate::is_planted;
use podgate::core::member::{Name, Policy, Stage};
use podgate::core::record::{LONGEST, Record, Stamp, Times, decode_acted, encode_acted};
use podgate::core::round::Round;
use podgate::message::volume::unreadable;

/// The last millisecond of the year 9999, the last that RFC 3339 can express.
const LAST: u64 = 253_402_300_799_999;

pub(crate) fn run(bytes: &[u8]) {
    match Record::decode(bytes) {
        Ok(record) => comes_back(&record),
        Err(why) => assert!(!unreadable(why).contains(char::is_control)),
    }
    if let Ok(round) = Round::decode(bytes) {
        assert_eq!(Round::decode(round.encode().as_bytes()), Ok(round));
    }
    let acted = decode_acted(bytes);
    assert_eq!(decode_acted(encode_acted(&acted).as_bytes()), acted);
    if let Some(record) = made(&mut Input(bytes)) {
        comes_back(&record);
    }
}

fn comes_back(record: &Record) {
    let mut written = record.encode();
    assert!(written.len() < LONGEST / 2, "{written}");
    if let Some(code) = record.exit.filter(|code| is_planted() && code % 10 == 7) {
        written = written.replacen(&format!("exit: {code}"), "exit: 0", 1);
    }
    assert_eq!(
        Record::decode(written.as_bytes()).as_ref(),
        Ok(record),
        "{written}"
    );
    let _ = record.since().map(|since| since.to_string());
}

/// A record that podgate could have, made of the input's bytes in order.
fn made(input: &mut Input<'_>) -> Option<Record> {
    let length = usize::from(input.byte() % 64);
    let name = std::str::from_utf8(input.taken(length))
        .ok()
        .and_then(|name| Name::parse(name).ok())?;
    let choice = input.byte();
    let mut stamp = || (input.byte() % 2 == 1).then(|| input.number());
    let times = [stamp(), stamp(), stamp(), stamp(), stamp()].map(|it| it.map(Stamp));
    // Any time can be printed, even one that no clock has.
    times
        .iter()
        .flatten()
        .for_each(|time| drop(time.to_string()));
    let [waiting, running, ready, stopping, exited] =
        times.map(|it| it.map(|Stamp(it)| Stamp(it % (LAST + 1))));
    Some(Record {
        name,
        incarnation: input.number(),
        id: input.number(),
        host: input
            .taken(usize::from(choice) % 65)
            .iter()
            .map(|byte| char::from(b'!' + byte % 94))
            .collect(),
        container: input.number(),
        uid: u32::try_from(input.number() >> 32).unwrap(),
        policy: [
            None,
            Some(Policy::Never),
            Some(Policy::OnFailure),
            Some(Policy::Always),
        ][usize::from(choice % 4)],
        is_joined: choice & 4 != 0,
        stage: [Stage::Waiting, Stage::Running, Stage::Ready][usize::from(choice / 8 % 3)],
        exit: (choice & 128 != 0).then(|| input.byte()),
        is_stopped: choice & (128 + 64) == 128 + 64,
        times: Times {
            waiting,
            running,
            ready,
            stopping,
            exited,
        },
    })
}
