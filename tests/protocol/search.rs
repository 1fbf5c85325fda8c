//! A breadth-first search of all reachable worlds. A mistake is reported with a shortest sequence
//! of steps that leads to it.
//!
//! Worlds are compared as a whole, not by a hash. Each distinct state of a member is stored once,
//! and a world is the numbers of its members' states.

use super::Pod;
use super::member::Member;
use super::world::{Fate, World};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

/// What a search found.
pub(super) struct Outcome {
    pub(super) worlds: usize,
    pub(super) steps: usize,
    /// Worlds in which nothing is left to do.
    pub(super) ends: usize,
    pub(super) wrong: Option<String>,
}

/// Fast, even in a build without optimisation.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        // The hash table uses both the upper and the lower bits.
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}

type Table<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// A world: the numbers of its members' states, and its fate.
type Key = ([u32; 3], Fate);

/// All states of members that the search has found.
#[derive(Default)]
struct Known {
    numbers: Table<Rc<Member>, u32>,
    members: Vec<Rc<Member>>,
}

impl Known {
    fn number(&mut self, member: &Rc<Member>) -> u32 {
        if let Some(number) = self.numbers.get(member) {
            return *number;
        }
        let number = u32::try_from(self.members.len()).expect("fewer");
        self.members.push(Rc::clone(member));
        self.numbers.insert(Rc::clone(member), number);
        number
    }

    /// The key of a world that follows from `before`. Members that have not changed are shared.
    fn key(&mut self, world: &World, before: Option<(&World, &Key)>) -> Key {
        let mut numbers = [u32::MAX; 3];
        for (who, member) in world.members.iter().enumerate() {
            let same = before.filter(|(before, _)| Rc::ptr_eq(&before.members[who], member));
            numbers[who] = same.map_or_else(|| self.number(member), |(_, key)| key.0[who]);
        }
        (numbers, world.fate)
    }

    fn world(&self, key: &Key, count: usize) -> World {
        let member = |number: &u32| Rc::clone(&self.members[*number as usize]);
        World {
            members: key.0[..count].iter().map(member).collect(),
            fate: key.1,
            wrong: None,
        }
    }
}

/// How each world was reached: from which world, and by which member's step.
struct Trail(Vec<(u32, u8, &'static str)>);

impl Trail {
    fn tell(&self, pod: &Pod, mut at: u32, wrong: &str) -> String {
        let mut lines = vec![format!("wrong: {wrong}")];
        while at != 0 {
            let (before, who, what) = self.0[at as usize];
            lines.push(format!("{} {what}", pod.roles[usize::from(who)].name));
            at = before;
        }
        lines.reverse();
        lines.join("\n")
    }
}

/// Tries every order of steps.
pub(super) fn search(pod: &Pod) -> Outcome {
    let mut known = Known::default();
    let start = World::new(pod);
    let key = known.key(&start, None);
    let mut seen: Table<Key, u32> = Table::from_iter([(key, 0)]);
    let mut trail = Trail(vec![(0, 0, "begins")]);
    let mut queue: VecDeque<Key> = VecDeque::from([key]);
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut ends = 0;
    let mut at = 0_u32;
    let count = start.members.len();
    while let Some(key) = queue.pop_front() {
        let world = known.world(&key, count);
        let next = world.steps(pod);
        let outcome = |wrong, worlds, steps, ends| Outcome {
            worlds,
            steps,
            ends,
            wrong,
        };
        if !next.iter().any(|step| step.is_certain) {
            ends += 1;
            if let Err(wrong) = world.may_stay_so(pod) {
                return outcome(
                    Some(trail.tell(pod, at, &wrong)),
                    seen.len(),
                    edges.len(),
                    ends,
                );
            }
        }
        for step in next {
            let key = known.key(&step.world, Some((&world, &key)));
            let new = u32::try_from(trail.0.len()).expect("fewer");
            let number = *seen.entry(key).or_insert(new);
            edges.push((at, number));
            if number == new {
                trail
                    .0
                    .push((at, u8::try_from(step.who).expect("few"), step.what));
                queue.push_back(key);
            }
            if let Some(wrong) = &step.world.wrong {
                let mut told = trail.tell(pod, at, wrong);
                let last = told.rfind("wrong: ").unwrap_or(0);
                told.insert_str(
                    last,
                    &format!("{} {}\n", pod.roles[step.who].name, step.what),
                );
                return outcome(Some(told), seen.len(), edges.len(), ends);
            }
        }
        at += 1;
    }
    let wrong = circle(seen.len(), &edges)
        .map(|at| trail.tell(pod, at, "from here it may never come to an end"));
    Outcome {
        worlds: seen.len(),
        steps: edges.len(),
        ends,
        wrong,
    }
}

/// A world that can be reached again from itself, if there is one: then the steps may never come to
/// an end.
fn circle(worlds: usize, edges: &[(u32, u32)]) -> Option<u32> {
    let mut incoming = vec![0_u32; worlds];
    edges.iter().for_each(|(_, to)| incoming[*to as usize] += 1);
    // Edges are in the order of their origins.
    let mut first = vec![0_usize; worlds + 1];
    edges
        .iter()
        .for_each(|(from, _)| first[*from as usize + 1] += 1);
    (0..worlds).for_each(|at| first[at + 1] += first[at]);
    let mut free: Vec<u32> = (0_u32..)
        .zip(&incoming)
        .filter(|(_, count)| **count == 0)
        .map(|(at, _)| at)
        .collect();
    while let Some(at) = free.pop() {
        for (_, to) in &edges[first[at as usize]..first[at as usize + 1]] {
            incoming[*to as usize] -= 1;
            if incoming[*to as usize] == 0 {
                free.push(*to);
            }
        }
    }
    // Every edge that is left is reached from a circle. Following the edges backwards leads into
    // it.
    let is_left = |at: u32| incoming[at as usize] > 0;
    let before: Table<u32, u32> = edges
        .iter()
        .filter(|(from, _)| is_left(*from))
        .map(|(from, to)| (*to, *from))
        .collect();
    let mut met: Vec<u32> = Vec::new();
    let mut at = (0_u32..).zip(&incoming).find(|(_, count)| **count > 0)?.0;
    while !met.contains(&at) {
        met.push(at);
        at = *before.get(&at)?;
    }
    met.into_iter().skip_while(|it| *it != at).min()
}
