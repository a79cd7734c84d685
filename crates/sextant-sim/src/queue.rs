//! The event queue: one slot per thing that can happen, each armed at most once.
//!
//! A 4-ary heap ordered by (time, sequence number of the arming), with the position of each slot, so that arming anew
//! or cancelling moves the entry instead of leaving a stale one: the heap never holds more entries than there are slots.

use sextant_abi::Ns;

/// Names a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot(u32);

const OUT: u32 = u32::MAX;

/// Children of a node.
const ARITY: usize = 4;

#[derive(Clone, Copy)]
struct Entry {
    /// Time and sequence number: one comparison.
    key: u128,
    slot: u32,
}

impl Entry {
    fn at(&self) -> Ns {
        Ns((self.key >> 64) as u64)
    }

    #[inline]
    fn before(&self, other: &Entry) -> bool {
        self.key < other.key
    }
}

/// Slots of kind `T` in order of time.
pub(crate) struct EventQueue<T> {
    heap: Vec<Entry>,
    pos: Vec<u32>,
    what: Vec<T>,
    /// Slots given back.
    free: Vec<Slot>,
    seq: u64,
}

impl<T: Copy> EventQueue<T> {
    pub fn new() -> Self {
        Self { heap: Vec::new(), pos: Vec::new(), what: Vec::new(), free: Vec::new(), seq: 0 }
    }

    /// A new slot, not armed.
    pub fn add(&mut self, what: T) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.what[slot.0 as usize] = what;
            return slot;
        }
        self.pos.push(OUT);
        self.what.push(what);
        Slot(self.pos.len() as u32 - 1)
    }

    /// Gives a slot back that nobody names any more.
    pub fn give_back(&mut self, slot: Slot) {
        self.cancel(slot);
        self.free.push(slot);
    }

    pub fn what(&self, slot: Slot) -> T {
        self.what[slot.0 as usize]
    }

    /// When it is armed for.
    pub fn armed(&self, slot: Slot) -> Option<Ns> {
        let pos = self.pos[slot.0 as usize];
        (pos != OUT).then(|| self.heap[pos as usize].at())
    }

    /// Arms the slot for `at`, whatever it was before; behind everything else of the same time.
    pub fn arm(&mut self, slot: Slot, at: Ns) {
        self.seq += 1;
        let entry = Entry { key: u128::from(at.0) << 64 | u128::from(self.seq), slot: slot.0 };
        let pos = self.pos[slot.0 as usize];
        if pos == OUT {
            self.heap.push(entry);
            self.up(self.heap.len() - 1);
        } else {
            let pos = pos as usize;
            let sooner = entry.before(&self.heap[pos]);
            self.heap[pos] = entry;
            if sooner { self.up(pos) } else { self.down(pos) }
        }
    }

    pub fn cancel(&mut self, slot: Slot) {
        let pos = self.pos[slot.0 as usize];
        if pos != OUT {
            self.remove(pos as usize);
        }
    }

    /// The earliest, left in place.
    pub fn peek(&self) -> Option<(Ns, Slot)> {
        self.heap.first().map(|e| (e.at(), Slot(e.slot)))
    }

    /// Takes the earliest out.
    pub fn pop(&mut self) {
        if !self.heap.is_empty() {
            self.remove(0);
        }
    }

    fn remove(&mut self, pos: usize) {
        let gone = self.heap.swap_remove(pos);
        self.pos[gone.slot as usize] = OUT;
        if pos < self.heap.len() {
            self.up(pos);
            let pos = self.pos[self.heap[pos].slot as usize] as usize;
            self.down(pos);
        }
    }

    fn up(&mut self, mut i: usize) {
        let entry = self.heap[i];
        while i > 0 {
            let parent = (i - 1) / ARITY;
            if !entry.before(&self.heap[parent]) {
                break;
            }
            self.place(i, self.heap[parent]);
            i = parent;
        }
        self.place(i, entry);
    }

    fn down(&mut self, mut i: usize) {
        let entry = self.heap[i];
        loop {
            let first = ARITY * i + 1;
            let end = (first + ARITY).min(self.heap.len());
            if first >= end {
                break;
            }
            let mut child = first;
            for other in first + 1..end {
                if self.heap[other].before(&self.heap[child]) {
                    child = other;
                }
            }
            if !self.heap[child].before(&entry) {
                break;
            }
            self.place(i, self.heap[child]);
            i = child;
        }
        self.place(i, entry);
    }

    fn place(&mut self, i: usize, entry: Entry) {
        self.heap[i] = entry;
        self.pos[entry.slot as usize] = i as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_time_then_arming() {
        let mut q = EventQueue::new();
        let slots: Vec<Slot> = (0..50u32).map(|i| q.add(i)).collect();
        for (i, &s) in slots.iter().enumerate() {
            q.arm(s, Ns((i as u64 * 7919) % 13));
        }
        q.arm(slots[3], Ns(20)); // later
        q.arm(slots[49], Ns(0)); // sooner, but behind the others of time 0
        q.cancel(slots[10]);
        assert_eq!(q.armed(slots[10]), None);
        let mut got = Vec::new();
        while let Some((at, slot)) = q.peek() {
            q.pop();
            got.push((at, q.what(slot)));
        }
        let mut expect: Vec<(Ns, u32)> =
            (0..50).filter(|i| ![3, 10, 49].contains(i)).map(|i| (Ns((i as u64 * 7919) % 13), i)).collect();
        expect.sort_by_key(|e| e.0); // stable
        let zeros = expect.iter().filter(|e| e.0 == Ns(0)).count();
        expect.insert(zeros, (Ns(0), 49));
        expect.push((Ns(20), 3));
        assert_eq!(got, expect);
    }
}
