//! What a register may point to in a stack, and which constant it holds.

/// Most offsets kept apart.
const MAX_OFFSETS: usize = 4;
/// 8-byte slots of a stack.
const SLOTS: usize = 64;

/// Where a register may point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Track {
    /// Into no stack.
    None,
    /// Into the stack of a frame, to one of up to four offsets from its end, ascending; to any where there is none.
    Stack(u8, Offsets),
    /// Into the stack of one of these frames (a bit each).
    Frames(u32),
}

/// A few offsets, ascending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offsets {
    at: [i16; MAX_OFFSETS],
    len: u8,
}

impl Offsets {
    /// Any.
    pub const ANY: Offsets = Offsets { at: [0; MAX_OFFSETS], len: 0 };

    fn one(at: i16) -> Offsets {
        Offsets { at: [at, 0, 0, 0], len: 1 }
    }

    /// Them, in order; none: any.
    pub fn all(&self) -> &[i16] {
        &self.at[..usize::from(self.len)]
    }

    /// The only one.
    pub fn single(&self) -> Option<i16> {
        if self.len == 1 { Some(self.at[0]) } else { None }
    }

    fn union(&self, other: &Offsets) -> Offsets {
        if self.len == 0 || other.len == 0 {
            return Offsets::ANY;
        }
        let mut out = *self;
        for at in other.all() {
            if out.all().contains(at) {
                continue;
            }
            if usize::from(out.len) == MAX_OFFSETS {
                return Offsets::ANY;
            }
            out.at[usize::from(out.len)] = *at;
            out.len += 1;
        }
        out.at[..usize::from(out.len)].sort_unstable();
        out
    }

    /// All moved by so many bytes.
    pub fn moved(&self, by: i64) -> Offsets {
        let mut out = *self;
        for at in &mut out.at[..usize::from(self.len)] {
            match i16::try_from(by).ok().and_then(|by| at.checked_add(by)) {
                Some(new) => *at = new,
                None => return Offsets::ANY,
            }
        }
        out
    }
}

impl Track {
    /// Exactly there.
    pub fn at(frame: u8, off: i16) -> Track {
        Track::Stack(frame, Offsets::one(off))
    }

    /// Whether it may point into a stack.
    pub fn is_stack(&self) -> bool {
        *self != Track::None
    }

    /// Whether it may point into the stack of that frame.
    pub fn may_be_in(&self, frame: u8) -> bool {
        match self {
            Track::None => false,
            Track::Stack(own, _) => *own == frame,
            Track::Frames(frames) => frames & (1 << frame) != 0,
        }
    }

    fn frames(&self) -> u32 {
        match self {
            Track::None => 0,
            Track::Stack(frame, _) => 1 << frame,
            Track::Frames(frames) => *frames,
        }
    }

    /// Either of them. Where a single address meets none, offset 0 joins it: nothing is certainly written through the result.
    pub fn either(&self, other: &Track) -> Track {
        match (self, other) {
            (Track::None, Track::None) => Track::None,
            (Track::Stack(a, x), Track::Stack(b, y)) if a == b => Track::Stack(*a, x.union(y)),
            (Track::Stack(a, x), Track::None) | (Track::None, Track::Stack(a, x)) => {
                Track::Stack(*a, if x.single().is_some() { x.union(&Offsets::one(0)) } else { *x })
            }
            _ => Track::Frames(self.frames() | other.frames()),
        }
    }

    /// After arithmetic with something unknown.
    pub fn mixed(&self, other: &Track) -> Track {
        match (self, other) {
            (Track::Stack(a, _), Track::None) | (Track::None, Track::Stack(a, _)) => {
                Track::Stack(*a, Offsets::ANY)
            }
            (Track::Stack(a, _), Track::Stack(b, _)) if a == b => Track::Stack(*a, Offsets::ANY),
            (Track::None, Track::None) => Track::None,
            _ => Track::Frames(self.frames() | other.frames()),
        }
    }

    /// Moved by a constant.
    pub fn moved(&self, by: i64) -> Track {
        match self {
            Track::Stack(frame, offsets) => Track::Stack(*frame, offsets.moved(by)),
            other => *other,
        }
    }
}

/// A constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Nothing is known.
    Any,
    /// A number.
    Number(u64),
    /// A map, by its id.
    Map(u32),
    /// A function, by its first slot.
    Func(usize),
}

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    /// Where it points.
    pub track: Track,
    /// What it is.
    pub known: Known,
}

/// r0-r10
pub type Regs = [Value; 11];

impl Value {
    /// Nothing of interest.
    pub const NONE: Value = Value { track: Track::None, known: Known::Any };

    /// Whether it grew by what comes another way.
    pub fn join(&mut self, other: &Value) -> bool {
        let known = if self.known == other.known { self.known } else { Known::Any };
        let new = Value { track: self.track.either(&other.track), known };
        // Offset 0 that was added once stays.
        let grew = new != *self;
        *self = new;
        grew
    }
}

/// Pointers into stacks that lie on a stack, by slot from its end down; slots that hold none are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spills(Vec<(u8, Track)>);

impl Spills {
    /// In a slot.
    pub fn get(&self, slot: usize) -> Track {
        self.0.iter().find(|(s, _)| usize::from(*s) == slot).map_or(Track::None, |(_, t)| *t)
    }

    /// Puts something into a slot.
    pub fn set(&mut self, slot: usize, track: Track) {
        self.0.retain(|(s, _)| usize::from(*s) != slot);
        if track.is_stack() {
            let at = self.0.partition_point(|(s, _)| usize::from(*s) < slot);
            self.0.insert(at, (slot as u8, track));
        }
    }

    /// Puts something into a slot, perhaps.
    pub fn add(&mut self, slot: usize, track: &Track) {
        let either = self.get(slot).either(track);
        self.set(slot, either);
    }

    /// Puts something into any slot, perhaps.
    pub fn add_everywhere(&mut self, track: &Track) {
        (0..SLOTS).for_each(|slot| self.add(slot, track));
    }

    /// Whether they grew by what comes another way.
    pub fn join(&mut self, other: &Spills) -> bool {
        if self.0.is_empty() && other.0.is_empty() {
            return false;
        }
        let before = self.clone();
        for slot in self.0.iter().chain(&other.0).map(|(s, _)| usize::from(*s)).collect::<Vec<_>>() {
            let either = before.get(slot).either(&other.get(slot));
            self.set(slot, either);
        }
        *self != before
    }
}

/// The slot of an aligned offset from a frame's end.
pub fn slot_of(off: i16) -> Option<usize> {
    let fits = (-8 * SLOTS as i16..0).contains(&off) && off % 8 == 0;
    fits.then(|| (-off) as usize / 8 - 1)
}
