//! A task's ops come in order: runnable → (running → stopping)* → quiescent, and ops.enqueue only in between. Which of them the
//! scheduler has makes no difference to those it has.

use sextant_abi::Ns;
use sextant_abi::tables::Op;
use sextant_sched::{Class, Event, Sched, TaskId};

use super::{Checker, Found, Seen, entry};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Track {
    enabled: bool,
    runnable: bool,
    running: bool,
}

#[derive(Default)]
pub(super) struct Order {
    tracks: Vec<Track>,
    /// Tasks switched in or out in this entry.
    switched: Vec<TaskId>,
}

/// The state before the op, or what is wrong with it.
fn step(track: &mut Track, op: Op, has: &dyn Fn(Op) -> bool) -> Result<(), &'static str> {
    let knows_runnable = has(Op::Runnable) && has(Op::Quiescent);
    let knows_running = has(Op::Running) && has(Op::Stopping);
    let must = |ok: bool, what| if ok { Ok(()) } else { Err(what) };
    match op {
        Op::Runnable => {
            must(!knows_runnable || !track.runnable, "runnable already")?;
            track.runnable = true;
        }
        Op::Quiescent => {
            must(!knows_runnable || track.runnable, "not runnable")?;
            must(!knows_running || !track.running, "still running")?;
            track.runnable = false;
        }
        Op::Running => {
            must(!knows_running || !track.running, "running already")?;
            must(!knows_runnable || track.runnable, "not runnable")?;
            track.running = true;
        }
        Op::Stopping => {
            must(!knows_running || track.running, "not running")?;
            track.running = false;
        }
        Op::Enqueue => {
            must(!knows_runnable || track.runnable, "not runnable")?;
            must(!knows_running || !track.running, "still running")?;
        }
        Op::Enable => {
            must(!track.enabled || !has(Op::Disable), "enabled already")?;
            *track = Track { enabled: true, ..Track::default() };
        }
        Op::Disable => {
            must(!knows_running || !track.running, "still running")?;
            must(!knows_runnable || !track.runnable, "still runnable")?;
            track.enabled = false;
        }
        _ => {}
    }
    Ok(())
}

impl Checker for Order {
    fn event(&mut self, seen: &Seen) -> Found {
        match *seen.ev {
            Event::OpCall { op, p: Some(p), .. } => {
                let track = entry(&mut self.tracks, p.0 as usize);
                let before = *track;
                let has = |op| seen.s.ext.implements(op);
                step(track, op, &has)
                    .map_err(|what| format!("ops.{} of {p:?}, {what}: {before:?}", op.name()))?;
            }
            Event::Switch { prev, next, .. } => self.switched.extend([prev, next]),
            Event::Disabled => {
                self.tracks.clear();
                self.switched.clear();
            }
            _ => {}
        }
        Ok(())
    }

    /// Who has the CPU was told that it runs, and nobody else was.
    fn settled(&mut self, _now: Ns, s: &Sched) -> Found {
        let known = s.ext.implements(Op::Running) && s.ext.implements(Op::Stopping);
        for p in self.switched.drain(..) {
            let t = &s.tasks[p];
            if !known || t.dead || t.class != Class::Ext {
                continue;
            }
            let (runs, told) = (s.task_current(p), entry(&mut self.tracks, p.0 as usize).running);
            if runs != told {
                return Err(format!("{p:?}: runs is {runs}, and by ops.running and ops.stopping {told}"));
            }
        }
        Ok(())
    }
}
