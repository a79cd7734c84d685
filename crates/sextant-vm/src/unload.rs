//! Unloading: what one object brought into the vm goes, what others have stays.
//!
//! Must hold: nothing of a freed map or program can be reached or run afterwards; numbers and addresses are not given out again,
//! but for those of elements.

use crate::map::MapId;
use crate::region::Zone;
use crate::{ProgId, Vm};

/// Zones in which maps have blocks of their own.
const BLOCKS: [Zone; 2] = [Zone::MapRw, Zone::MapRo];

/// How many maps and programs a vm has had at one moment, and how far their memory goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    maps: u32,
    progs: u32,
    /// First address that is not used yet, by zone; the beginning of a page.
    blocks: [u64; BLOCKS.len()],
}

impl Vm {
    /// This moment. What comes next begins on pages of its own.
    pub fn mark(&self) -> Mark {
        Mark {
            maps: self.maps.borrow().len() as u32,
            progs: self.progs.borrow().len() as u32,
            blocks: BLOCKS.map(|zone| self.region.next_page(zone)),
        }
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
        if !self.is_running() {
            // Small arrays share pages among each other, not with other objects.
            let blocks = from.blocks.iter().zip(to.blocks);
            blocks.for_each(|(&from, to)| self.region.release_block(from, to.saturating_sub(from)));
        }
    }

    /// Maps and programs that are there.
    pub fn nr_live(&self) -> (usize, usize) {
        (self.maps.borrow().iter().flatten().count(), self.progs.borrow().iter().flatten().count())
    }
}
