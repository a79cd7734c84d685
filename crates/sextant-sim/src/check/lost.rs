//! No task is lost: who is awake is on a runqueue, and an ext task that waits is on exactly one DSQ, in the scheduler's hands, or on
//! the way between two places, which takes no longer than an interrupt.

use sextant_abi::tables::Op;
use sextant_abi::{DsqId, Ns};
use sextant_sched::{Class, Event, OnRq, Sched, TaskId};

use super::{Checker, Found, Seen, entry};

/// So long may a transfer to another CPU take: a tick or two.
const ON_THE_WAY: Ns = Ns(10_000_000);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    /// ops.enqueue was called.
    Scheduler,
    On(DsqId),
}

#[derive(Default)]
struct Track {
    place: Place,
    awake: bool,
    nowhere_since: Option<Ns>,
}

#[derive(Default)]
pub(super) struct Lost {
    tracks: Vec<Track>,
    /// Touched in this entry, or nowhere at the end of the last.
    look_at: Vec<TaskId>,
}

impl Lost {
    fn touch(&mut self, p: TaskId) -> &mut Track {
        if !self.look_at.contains(&p) {
            self.look_at.push(p);
        }
        entry(&mut self.tracks, p.0 as usize)
    }

    /// Where `p` is by the state of the machine: an error if it should be somewhere and is not.
    fn look(&mut self, p: TaskId, now: Ns, s: &Sched) -> Found {
        let (track, t) = (&mut self.tracks[p.0 as usize], &s.tasks[p]);
        if t.dead || t.class == Class::Idle {
            track.nowhere_since = None;
            return Ok(());
        }
        if track.awake && t.on_rq == OnRq::No {
            return Err(format!("{p:?} is awake and on no runqueue"));
        }
        let waits = t.class == Class::Ext && t.on_rq != OnRq::No && s.rqs[t.cpu.idx()].curr != p;
        if !waits || track.place != Place::Nowhere {
            track.nowhere_since = None;
            return Ok(());
        }
        let since = *track.nowhere_since.get_or_insert(now);
        if now.0 > since.0 + ON_THE_WAY.0 {
            return Err(format!("{p:?} waits since {} ns and is nowhere", since.0));
        }
        Ok(())
    }
}

impl Checker for Lost {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::Wakeup { p, .. } | Event::Fork { p, .. } => self.touch(p).awake = true,
            Event::Switch { prev, prev_runnable, next } => {
                self.touch(prev).awake &= prev_runnable;
                let place = std::mem::take(&mut self.touch(next).place);
                if let Place::On(dsq) = place {
                    return Err(format!("{next:?} runs and is on {dsq:?}"));
                }
            }
            Event::Exit { p } => self.touch(p).awake = false,
            Event::DsqInsert { p, dsq, .. } => {
                let place = std::mem::replace(&mut self.touch(p).place, Place::On(dsq));
                if let Place::On(other) = place {
                    return Err(format!("{p:?} is put on {dsq:?} and still on {other:?}"));
                }
            }
            Event::DsqRemove { p, dsq } => {
                let place = std::mem::take(&mut self.touch(p).place);
                if place != Place::On(dsq) {
                    return Err(format!("{p:?} is taken off {dsq:?} and was {place:?}"));
                }
            }
            Event::OpCall { op: Op::Enqueue, p: Some(p), .. } => {
                let track = self.touch(p);
                if let Place::On(dsq) = track.place {
                    return Err(format!("ops.enqueue is given {p:?}, which is on {dsq:?}"));
                }
                track.place = Place::Scheduler;
            }
            Event::OpCall { op: Op::Dequeue, p: Some(p), .. } => {
                let track = self.touch(p);
                if track.place == Place::Scheduler {
                    track.place = Place::Nowhere;
                }
            }
            Event::ClassChange { p, .. } => {
                self.touch(p);
            }
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, now: Ns, s: &Sched) -> Found {
        for p in std::mem::take(&mut self.look_at) {
            self.look(p, now, s)?;
            if self.tracks[p.0 as usize].nowhere_since.is_some() {
                self.look_at.push(p);
            }
        }
        Ok(())
    }

    fn finished(&mut self, _now: Ns, s: &Sched) -> Found {
        let awake = |p: TaskId| self.tracks.get(p.0 as usize).is_some_and(|t| t.awake);
        let gone = s.tasks.iter().find(|t| awake(t.id) && !t.dead && t.on_rq == OnRq::No);
        gone.map_or(Ok(()), |t| Err(format!("{:?} is awake and on no runqueue at the end", t.id)))
    }
}
