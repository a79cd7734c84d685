//! What is known at a point of the program: registers, stack slots, and where an unknown pointer may reach.

/// A register's or slot's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Val {
    /// Anything.
    Unknown,
    /// Anything but 0.
    NonNull,
    /// This number.
    Const(u64),
    /// Address of a byte in value 0 of a map: map, offset.
    MapValue(u32, i64),
    /// Address in this function's frame: offset from r10.
    Frame(i64),
}

impl Val {
    /// Whether it is 0, where that is known.
    pub fn is_null(self) -> Option<bool> {
        match self {
            Val::Unknown => None,
            Val::Const(v) => Some(v == 0),
            Val::NonNull | Val::MapValue(..) | Val::Frame(_) => Some(false),
        }
    }

    /// The number, if known.
    pub fn as_const(self) -> Option<u64> {
        match self {
            Val::Const(v) => Some(v),
            _ => None,
        }
    }
}

/// Bytes of the frame whose value is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    /// Offset from r10.
    off: i64,
    /// 1, 2, 4 or 8.
    size: u32,
    val: Val,
}

impl Slot {
    fn overlaps(&self, off: i64, size: u32) -> bool {
        self.off < off + i64::from(size) && off < self.off + i64::from(self.size)
    }
}

/// Largest frame; slots outside are not remembered.
const FRAME: i64 = 512;

/// What a callee does with the frame pointers it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// Writes the objects they point to, hence upwards.
    Up,
    /// The same, and the result may point into those objects.
    UpAndReturns,
    /// BPF code: goes anywhere from them and may keep them.
    Anywhere,
}

/// What is known at a point. Less knowledge is higher in the order; joins go up only, so that loops end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    regs: [Val; 11],
    /// Sorted by offset, not overlapping.
    stack: Vec<Slot>,
    /// An `Unknown` may be a pointer into this frame.
    escaped: bool,
}

impl State {
    /// At a function's entry, with these r1-r5.
    pub fn entry(args: [Val; 5]) -> State {
        let mut regs = [Val::Unknown; 11];
        regs[1..6].copy_from_slice(&args);
        regs[10] = Val::Frame(0);
        State { regs, stack: Vec::new(), escaped: false }
    }

    /// A register; registers that do not exist are unknown.
    pub fn reg(&self, reg: u8) -> Val {
        self.regs.get(usize::from(reg)).copied().unwrap_or(Val::Unknown)
    }

    /// Writes a register.
    pub fn set(&mut self, reg: u8, val: Val) {
        if let Some(r) = self.regs.get_mut(usize::from(reg)) {
            *r = val;
        }
    }

    /// r1-r5 as a callee sees them: pointers into this frame are just pointers there.
    pub fn args(&self) -> [Val; 5] {
        [1, 2, 3, 4, 5].map(|r| leaving(self.reg(r)))
    }

    /// After a call: r1-r5 are gone, r0 is the result, and what the callee could write of this frame is unknown.
    pub fn after_call(&mut self, r0: Val, callee: Writes) {
        let pointed = (1..=5).filter_map(|r| match self.reg(r) {
            Val::Frame(off) => Some(off),
            _ => None,
        });
        if let Some(low) = pointed.min() {
            match callee {
                Writes::Up | Writes::UpAndReturns => self.stack.retain(|s| s.off + i64::from(s.size) <= low),
                Writes::Anywhere => self.stack.clear(),
            }
            self.escaped |= callee != Writes::Up;
        }
        if self.escaped {
            self.stack.clear();
        }
        self.set(0, r0);
        (1..=5).for_each(|r| self.set(r, Val::Unknown));
    }

    /// A frame pointer stops being followed: from here on an `Unknown` may be it.
    pub fn escape(&mut self, val: Val) {
        self.escaped |= matches!(val, Val::Frame(_));
    }

    /// Stores `size` bytes of `val` at `addr` + `off`.
    pub fn store(&mut self, addr: Val, off: i16, size: u32, val: Val) {
        self.escape(val);
        match addr {
            Val::Frame(base) => self.store_slot(base.wrapping_add(i64::from(off)), size, val),
            Val::Unknown | Val::NonNull | Val::Const(_) if self.escaped => self.stack.clear(),
            _ => {}
        }
    }

    /// Loads `size` bytes of the frame at `off`, zero-extended.
    pub fn load_slot(&self, off: i64, size: u32) -> Val {
        let slot = self.stack.iter().find(|s| s.overlaps(off, size));
        match slot {
            Some(s) if s.off == off && s.size == size => s.val,
            Some(s) if s.off <= off && off + i64::from(size) <= s.off + i64::from(s.size) => match s.val {
                Val::Const(v) => Val::Const(truncate(v >> ((off - s.off) * 8), size)),
                _ => Val::Unknown,
            },
            _ => Val::Unknown,
        }
    }

    fn store_slot(&mut self, off: i64, size: u32, val: Val) {
        if !(-FRAME..0).contains(&off) {
            return self.stack.clear();
        }
        self.stack.retain(|s| !s.overlaps(off, size));
        let val = match val {
            Val::Const(v) => Val::Const(truncate(v, size)),
            whole if size == 8 => whole,
            _ => Val::Unknown,
        };
        if val != Val::Unknown {
            let at = self.stack.partition_point(|s| s.off < off);
            self.stack.insert(at, Slot { off, size, val });
        }
    }

    /// Makes `self` hold on both ways; says whether that changed it.
    pub fn join(&mut self, other: &State) -> bool {
        let before = self.clone();
        self.escaped |= other.escaped;
        for i in 0..self.regs.len() {
            self.regs[i] = self.join_val(self.regs[i], other.regs[i]);
        }
        let mut kept = Vec::with_capacity(self.stack.len());
        for s in std::mem::take(&mut self.stack) {
            let theirs = other.stack.iter().find(|o| o.off == s.off && o.size == s.size);
            let val = self.join_val(s.val, theirs.map_or(Val::Unknown, |o| o.val));
            if val != Val::Unknown {
                kept.push(Slot { val, ..s });
            }
        }
        for o in &other.stack {
            if !kept.iter().any(|s| s.off == o.off && s.size == o.size) {
                self.escape(o.val);
            }
        }
        self.stack = kept;
        *self != before
    }

    fn join_val(&mut self, a: Val, b: Val) -> Val {
        let val = join_val(a, b);
        if val != a {
            self.escape(a);
        }
        if val != b {
            self.escape(b);
        }
        val
    }
}

/// What holds whichever of the two it is.
pub fn join_val(a: Val, b: Val) -> Val {
    match (a, b) {
        _ if a == b => a,
        // A frame pointer would no longer be followed, so it must become `Unknown`.
        (Val::Frame(_), _) | (_, Val::Frame(_)) => Val::Unknown,
        _ if a.is_null() == Some(false) && b.is_null() == Some(false) => Val::NonNull,
        _ => Val::Unknown,
    }
}

/// A value as another function sees it.
pub fn leaving(val: Val) -> Val {
    match val {
        Val::Frame(_) => Val::Unknown,
        other => other,
    }
}

/// The low `size` bytes.
pub fn truncate(v: u64, size: u32) -> u64 {
    if size >= 8 { v } else { v & ((1 << (size * 8)) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> State {
        State::entry([Val::Unknown; 5])
    }

    #[test]
    fn slots_are_read_back_whole_and_in_part() {
        let mut s = fresh();
        s.store(Val::Frame(0), -8, 8, Val::Const(0x1122_3344_5566_7788));
        assert_eq!(s.load_slot(-8, 8), Val::Const(0x1122_3344_5566_7788));
        assert_eq!(s.load_slot(-6, 2), Val::Const(0x5566));
        s.store(Val::Frame(-8), 4, 1, Val::Const(0xff));
        assert_eq!(s.load_slot(-8, 8), Val::Unknown);
        assert_eq!(s.load_slot(-4, 1), Val::Const(0xff));
    }

    #[test]
    fn a_helper_may_write_from_its_pointer_up_and_a_function_anywhere() {
        let mut s = fresh();
        s.store(Val::Frame(0), -8, 8, Val::Const(1));
        s.store(Val::Frame(0), -16, 8, Val::Const(2));
        s.set(2, Val::Frame(-8));
        s.after_call(Val::Unknown, Writes::Up);
        assert_eq!((s.load_slot(-8, 8), s.load_slot(-16, 8)), (Val::Unknown, Val::Const(2)));
        s.set(2, Val::Frame(-8));
        s.after_call(Val::Unknown, Writes::Anywhere);
        assert_eq!(s.load_slot(-16, 8), Val::Unknown);
    }

    #[test]
    fn a_stored_frame_pointer_escapes() {
        let mut s = fresh();
        s.store(Val::Frame(0), -16, 8, Val::Const(2));
        s.store(Val::Unknown, 0, 8, Val::Const(9));
        assert_eq!(s.load_slot(-16, 8), Val::Const(2));
        s.store(Val::Frame(0), -24, 8, Val::Frame(-16));
        s.store(Val::Unknown, 0, 8, Val::Const(9));
        assert_eq!(s.load_slot(-16, 8), Val::Unknown);
    }

    #[test]
    fn joins_only_lose() {
        assert_eq!(join_val(Val::Const(1), Val::Const(2)), Val::NonNull);
        assert_eq!(join_val(Val::Const(0), Val::Const(2)), Val::Unknown);
        assert_eq!(join_val(Val::MapValue(1, 0), Val::NonNull), Val::NonNull);
        let (mut a, mut b) = (fresh(), fresh());
        a.store(Val::Frame(0), -8, 8, Val::Const(1));
        b.store(Val::Frame(0), -8, 8, Val::Const(1));
        assert!(!a.join(&b));
        b.set(3, Val::Const(4));
        assert!(!a.join(&b) && b.join(&a));
        // Where two frame pointers meet, a later store through the result may hit either.
        let (mut a, mut b) = (a.clone(), a);
        a.set(1, Val::Frame(-8));
        b.set(1, Val::Frame(-16));
        assert!(a.join(&b));
        a.store(a.reg(1), 0, 8, Val::Const(7));
        assert_eq!(a.load_slot(-8, 8), Val::Unknown);
    }
}
