//! Nothing that is marked dead is ever executed: random programs, run by a machine of a hundred lines that checks nothing and
//! lets pointers go wherever they are taken.

use std::collections::BTreeMap;

use super::*;
use crate::StructureError;
use sextant_bpf::insn::*;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

const STACK_TOP: u64 = 0x1000_0000;
const RODATA: u64 = 0x7000_0000;
const LEN: usize = 48;

fn rodata(_map: u32, off: u32, size: u32) -> Option<u64> {
    (off + size <= 16).then(|| (off..off + size).rev().fold(0, |v, b| v << 8 | u64::from(b % 3)))
}

/// Few registers, few constants and few slots, so that things meet.
fn random_program(rng: &mut Rng) -> (Vec<Insn>, Vec<(u32, Reloc)>) {
    let mut insns = Vec::new();
    let mut relocs = Vec::new();
    while insns.len() < LEN {
        let (dst, src) = (rng.pick(&[0u8, 1, 2, 3, 6, 7]), rng.pick(&[0u8, 1, 2, 3, 6, 7, 10]));
        let imm = rng.pick(&[0, 0, 1, 2, -8, 8, -16, 16, 0x101]);
        let slot = rng.pick(&[0i16, -8, -8, -16, -12, -24, 8]);
        let pc = insns.len();
        let ahead = (rng.below(7) as i16) - if rng.below(4) == 0 { 6 } else { 0 };
        let base = rng.pick(&[10u8, 10, src.min(7)]);
        let insn = |code, dst, src, off, imm| Insn { code, dst, src, off, imm };
        if rng.below(6) == 0 {
            insns.extend(frame_game(rng, slot, imm, ahead));
            continue;
        }
        match rng.below(if insns.len() < 24 { 13 } else { 14 }) {
            0 | 1 => insns.push(insn(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)),
            2 => insns.push(insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)),
            3 | 4 => {
                let op = rng.pick(&[BPF_ADD, BPF_ADD, BPF_SUB, BPF_AND, BPF_XOR, BPF_MUL, BPF_LSH, BPF_DIV]);
                let class = rng.pick(&[BPF_ALU64, BPF_ALU64, BPF_ALU]);
                insns.push(if rng.below(3) == 0 {
                    insn(class | op | BPF_X, dst, src, 0, 0)
                } else {
                    insn(class | op, dst, 0, 0, imm)
                });
            }
            5 => insns.push(insn(
                BPF_STX | BPF_MEM | rng.pick(&[BPF_DW, BPF_DW, BPF_W, BPF_B]),
                base,
                src,
                slot,
                0,
            )),
            6 => insns.push(insn(BPF_ST | BPF_MEM | rng.pick(&[BPF_DW, BPF_W]), base, 0, slot, imm)),
            7 => {
                let code = rng.pick(&[
                    BPF_MEM | BPF_DW,
                    BPF_MEM | BPF_DW,
                    BPF_MEM | BPF_W,
                    BPF_MEM | BPF_B,
                    BPF_MEMSX | BPF_H,
                ]);
                insns.push(insn(BPF_LDX | code, dst, base, slot, 0));
            }
            8..=10 => {
                let op = rng.pick(&[BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JSLT, BPF_JSET]);
                let class = rng.pick(&[BPF_JMP, BPF_JMP32]);
                insns.push(insn(class | op, dst, 0, ahead, imm));
            }
            11 => {
                insns.extend([insn(LD_IMM64, dst, 0, 0, imm), Insn::default()]);
                if rng.below(2) == 0 {
                    relocs.push((pc as u32, Reloc::MapValue(1, rng.below(12) as u32)));
                }
            }
            12 => insns.push(insn(BPF_JMP | BPF_CALL, 0, 0, 0, 5)),
            _ if rng.below(2) == 0 => {
                insns.push(insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, rng.below(40) as i32 - 10))
            }
            _ => insns.push(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)),
        }
    }
    insns.push(Insn { code: BPF_JMP | BPF_EXIT, ..Insn::default() });
    repair(&mut insns);
    (insns, relocs)
}

/// A known slot, a way to write it through another pointer, and a jump on what it is then.
fn frame_game(rng: &mut Rng, slot: i16, imm: i32, ahead: i16) -> Vec<Insn> {
    let insn = |code, dst, src, off, imm| Insn { code, dst, src, off, imm };
    let set = |value| insn(BPF_ST | BPF_MEM | BPF_DW, 10, 0, slot, value);
    let point =
        [insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0, 0), insn(BPF_ALU64 | BPF_ADD, 1, 0, 0, i32::from(slot))];
    let write = insn(BPF_ST | BPF_MEM | BPF_DW, 1, 0, 0, 1);
    let mut out = vec![set(imm)];
    out.extend(point);
    match rng.below(4) {
        // Hidden by arithmetic.
        0 => out.extend([insn(BPF_ALU64 | BPF_AND, 1, 0, 0, -1), write]),
        // Kept in memory at a place that is then half overwritten with the same bytes.
        1 => out.extend([
            insn(BPF_STX | BPF_MEM | BPF_DW, 10, 1, -40, 0),
            insn(BPF_STX | BPF_MEM | BPF_W, 10, 1, -40, 0),
            insn(BPF_LDX | BPF_MEM | BPF_DW, 1, 10, -40, 0),
            write,
        ]),
        // Handed to a function, which may find the write of another game.
        2 => out.push(insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, rng.below(40) as i32 - 20)),
        _ => out.push(write),
    }
    out.push(insn(BPF_LDX | BPF_MEM | BPF_DW, 2, 10, slot, 0));
    out.push(insn(BPF_JMP | BPF_JEQ, 2, 0, ahead, imm));
    out
}

/// Jumps and calls to where nothing can start go to the next instruction instead.
fn repair(insns: &mut [Insn]) {
    while let Err(why) = crate::structure::check(insns) {
        match why {
            StructureError::JumpRange { pc, .. } => insns[pc].off = 0,
            StructureError::CallRange { pc, .. } => insns[pc].imm = 0,
            other => panic!("{other}"),
        }
    }
}

struct Machine<'a> {
    insns: &'a [Insn],
    relocs: &'a [(u32, Reloc)],
    regs: [u64; 11],
    mem: BTreeMap<u64, u8>,
    frames: Vec<(usize, [u64; 5])>,
}

impl Machine<'_> {
    fn load(&self, addr: u64, size: u32) -> u64 {
        if let Some(off) = addr.checked_sub(RODATA).filter(|off| *off < 16) {
            return rodata(1, off as u32, size).unwrap_or(0);
        }
        (0..u64::from(size))
            .rev()
            .fold(0, |v, i| v << 8 | u64::from(self.mem.get(&addr.wrapping_add(i)).copied().unwrap_or(0)))
    }

    fn store(&mut self, addr: u64, size: u32, val: u64) {
        for i in 0..u64::from(size) {
            self.mem.insert(addr.wrapping_add(i), (val >> (8 * i)) as u8);
        }
    }

    /// Runs up to 300 instructions; `visit` sees each.
    fn run(&mut self, rng: &mut Rng, mut visit: impl FnMut(usize)) {
        let mut pc = 0usize;
        for _ in 0..300 {
            let Some(insn) = self.insns.get(pc).copied() else { return };
            let Some(row) = lookup(&insn) else { return };
            visit(pc);
            let mut next = pc as i64 + 1;
            let (d, s) = (usize::from(insn.dst), self.regs[usize::from(insn.src)]);
            let operand = |o| if o == Operand::Reg { s } else { i64::from(insn.imm) as u64 };
            match row.kind {
                Kind::Alu { op, wide, operand: o } => {
                    let mut none = State::entry([Val::Unknown; 5]);
                    let (a, b) = (Val::Const(self.regs[d]), Val::Const(operand(o)));
                    self.regs[d] = fold::alu(&mut none, op, wide, a, b, false).as_const().unwrap();
                }
                Kind::Load { size, signed } => {
                    let v = self.load(s.wrapping_add(insn.off as u64), size.bytes());
                    self.regs[d] = if signed { fold::sign_extend(v, size.bytes() * 8) } else { v };
                }
                Kind::Store { size, operand: o } => {
                    self.store(self.regs[d].wrapping_add(insn.off as u64), size.bytes(), operand(o));
                }
                Kind::LdImm64(_) => {
                    let reloc = self.relocs.iter().find(|(at, _)| *at as usize == pc);
                    self.regs[d] = match reloc {
                        Some((_, Reloc::MapValue(_, off))) => RODATA + u64::from(*off),
                        _ => imm64(&insn, &self.insns[pc + 1]),
                    };
                    next += 1;
                }
                Kind::Jump { cond, wide, operand: o } => {
                    let taken = fold::taken(cond, wide, Val::Const(self.regs[d]), Val::Const(operand(o)));
                    if taken == Some(true) {
                        next += i64::from(insn.off);
                    }
                }
                Kind::Call(Callee::Helper) => {
                    self.regs[0] = rng.pick(&[0, 1, 2, 8, 0x101]);
                    self.regs[1..6].fill(0xdead);
                }
                Kind::Call(_) => {
                    let saved = [6, 7, 8, 9, 10].map(|r: usize| self.regs[r]);
                    self.frames.push((pc + 1, saved));
                    self.regs[10] -= 512;
                    self.regs[6..10].fill(rng.below(3));
                    next += i64::from(insn.imm);
                }
                _ => {
                    let Some((back, saved)) = self.frames.pop() else { return };
                    self.regs[6..11].copy_from_slice(&saved);
                    self.regs[1..6].fill(0xdead);
                    next = back as i64;
                }
            }
            match usize::try_from(next) {
                Ok(to) => pc = to,
                Err(_) => return,
            }
        }
    }
}

#[test]
fn what_is_dead_is_never_executed() {
    let mut rng = Rng(0x5e_47a4);
    let (mut dead, mut runs, mut steps) = (0, 0, 0);
    for _ in 0..20_000 {
        let (insns, relocs) = random_program(&mut rng);
        let result = reach(&insns, &relocs, &rodata);
        dead += result.dead.iter().filter(|d| **d).count();
        for _ in 0..4 {
            let mut regs = [0; 11].map(|_: i32| rng.pick(&[0u64, 1, 2, 8]));
            regs[10] = STACK_TOP;
            let mut m =
                Machine { insns: &insns, relocs: &relocs, regs, mem: BTreeMap::new(), frames: Vec::new() };
            m.run(&mut rng, |pc| {
                steps += 1;
                assert!(!result.dead[pc], "slot {pc} runs:\n{}", listing(&insns, &result));
            });
            runs += 1;
        }
    }
    assert!(
        runs > 50_000 && dead > 50_000 && steps > 8 * runs,
        "{runs} runs, {steps} steps, {dead} dead: the generator makes nothing worth checking"
    );
}
