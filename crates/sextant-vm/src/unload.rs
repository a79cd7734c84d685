//! Unloading: what one object brought into the vm goes, what others have stays.
//!
//! Must hold: nothing of a freed map or program can be reached or run afterwards; numbers and addresses are not given out again,
//! but for those of elements.

use crate::map::MapId;
use crate::{ProgId, Vm};

/// How many maps and programs a vm has had at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    maps: u32,
    progs: u32,
}

impl Vm {
    /// This moment.
    pub fn mark(&self) -> Mark {
        Mark { maps: self.maps.borrow().len() as u32, progs: self.progs.borrow().len() as u32 }
    }

    /// Frees the maps and programs that came between two moments: elements end with all they own, timers are dead
    /// ([`Vm::take_dead_timers`]), references to kernel objects are dropped ([`Vm::take_dropped_kptrs`]).
    pub fn free_between(&self, from: Mark, to: Mark) {
        for prog in from.progs..to.progs {
            self.prog_free(ProgId(prog));
        }
        for map in from.maps..to.maps {
            self.map_free(MapId(map));
        }
    }

    /// Maps and programs that are there.
    pub fn nr_live(&self) -> (usize, usize) {
        (self.maps.borrow().iter().flatten().count(), self.progs.borrow().iter().flatten().count())
    }
}
