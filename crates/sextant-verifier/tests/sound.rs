//! Soundness: what is accepted never touches memory outside of what it was given. Random programs with pieces that schedulers have
//! (bounded indices, spills, loops, calls); those accepted are executed on numbers of the dangerous kind. Deterministic.

mod common;

use common::{Test, program};
use sextant_abi::image::{Insn, Reloc};
use sextant_bpf::opcode::{Callee, Imm64, Kind, Operand, Size, lookup};
use sextant_verifier::range::{alu, branch};
use sextant_verifier::structure::{func_target, jump_target};

const CTX: u64 = 0x1000_0000;
const MAP: u64 = 0x2000_0000;
const STACK: u64 = 0x3000_0000;
const STACK_BYTES: u64 = 512;
const MAP_BYTES: u64 = 64;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn number(&mut self) -> u64 {
        let edge =
            self.of(&[0, 1, 63, 64, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX]);
        match self.below(3) {
            0 => edge.wrapping_add(self.below(5)).wrapping_sub(2),
            1 => 50 + self.below(20),
            _ => self.next() >> self.below(64),
        }
    }
}

/// Numbers live in r6-r8, the context in r9.
fn piece(rng: &mut Rng, out: &mut Vec<String>, label: &mut u32) {
    let x = rng.of(&[6, 7, 8]);
    let y = rng.of(&[6, 7, 8]);
    let imm = rng.of(&[0i64, 1, 3, 7, 8, 15, 31, 32, 56, 63, 64, 100, -1, -8, 0x7fff_ffff]);
    let w = rng.of(&["", "32"]);
    match rng.below(17) {
        0 => out.push(format!("ldxdw %r{x}, [%r9+8]")),
        1 => {
            out.push(format!("{}{w} %r{x}, {}", rng.of(&["and", "mod"]), rng.of(&[1, 7, 8, 31, 57, 63, 64])))
        }
        2 => {
            let op = rng.of(&["add", "sub", "mul", "or", "and", "xor", "div", "mod", "mov"]);
            out.push(format!("{op}{w} %r{x}, %r{y}"));
        }
        3 => {
            let op = rng.of(&["add", "sub", "mul", "or", "and", "xor"]);
            out.push(format!("{op}{w} %r{x}, {imm}"));
        }
        4 => out.push(format!("{}{w} %r{x}, {}", rng.of(&["lsh", "rsh", "arsh"]), rng.below(32))),
        5 => out.push(format!("mov{w} %r{x}, {imm}")),
        6 | 7 => {
            // The access that is at stake.
            if rng.below(4) != 0 {
                out.push(format!("and %r{x}, {}", rng.of(&[7, 31, 56, 63])));
            }
            out.push("lddw %r2, @value 7".into());
            out.push(format!("add %r2, %r{x}"));
            let (size, off) = (rng.of(&["b", "h", "w", "dw"]), rng.of(&[0, 0, 0, 4, 7, -8]));
            match rng.below(3) {
                0 => out.push(format!("stx{size} [%r2{off:+}], %r{y}")),
                _ => out.push(format!("ldx{size} %r{y}, [%r2{off:+}]")),
            }
        }
        8 => {
            // The same on the stack, at an index.
            if rng.below(4) != 0 {
                out.push(format!("and %r{x}, {}", rng.of(&[7, 31, 56, 63])));
            }
            out.push("mov %r2, %r10".into());
            out.push("add %r2, -64".into());
            out.push(format!("add %r2, %r{x}"));
            let size = rng.of(&["b", "w", "dw"]);
            match rng.below(2) {
                0 => out.push(format!("stx{size} [%r2+0], %r{y}")),
                _ => out.push(format!("ldx{size} %r{y}, [%r2+0]")),
            }
        }
        9 => {
            let (size, off) = (rng.of(&["b", "h", "w", "dw"]), -8 * (1 + rng.below(9) as i64));
            let inside = rng.of(&[0, 0, 0, 4]);
            let fits = inside == 0 || size != "dw";
            let off = if fits { off + inside } else { off };
            match rng.below(2) {
                0 => out.push(format!("stx{size} [%r10{off:+}], %r{x}")),
                _ => out.push(format!("ldx{size} %r{y}, [%r10{off:+}]")),
            }
        }
        10 | 11 => {
            // A condition around something.
            let cond =
                rng.of(&["jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset"]);
            *label += 1;
            let here = *label;
            match rng.below(3) {
                0 => out.push(format!("{cond}{w} %r{x}, %r{y}, l{here}")),
                _ => out.push(format!("{cond}{w} %r{x}, {imm}, l{here}")),
            }
            for _ in 0..1 + rng.below(3) {
                piece(rng, out, label);
            }
            out.push(format!("l{here}:"));
        }
        15 => {
            // What two ways leave on the stack, far from where it is used.
            *label += 1;
            let (here, at) = (*label, -8 * (1 + rng.below(3) as i64));
            let (a, b) = (rng.of(&[0, 8, 56, 60, 100]), rng.of(&[0, 8, 56, 57]));
            out.push(format!("stdw [%r10{at:+}], {a}"));
            out.push(format!("jgt %r{x}, {imm}, l{here}"));
            out.push(format!("stdw [%r10{at:+}], {b}"));
            out.push(format!("l{here}:"));
            piece(rng, out, label);
            out.push(format!("ldxdw %r{y}, [%r10{at:+}]"));
        }
        16 => {
            // The same in a register; and one number bounding another.
            *label += 1;
            let here = *label;
            let (a, b) = (rng.of(&[0, 8, 56, 63]), rng.of(&[0, 8, 56, 57, 64]));
            out.push(format!("mov %r{y}, {a}"));
            out.push(format!("{} %r{x}, {imm}, l{here}", rng.of(&["jgt", "jeq", "jslt"])));
            out.push(format!("mov %r{y}, {b}"));
            out.push(format!("l{here}:"));
            piece(rng, out, label);
            if rng.below(2) == 0 {
                out.push(format!("{} %r{x}, %r{y}, out", rng.of(&["jgt", "jge"])));
            }
        }
        12 => {
            // A check that leaves when it fails.
            let (cond, bound) = (rng.of(&["jgt", "jge"]), rng.of(&[7, 31, 56, 63, 64]));
            out.push(format!("{cond}{w} %r{x}, {bound}, out"));
        }
        13 => {
            // A short loop over r8.
            *label += 1;
            let here = *label;
            out.push("mov %r8, 0".into());
            out.push(format!("l{here}:"));
            let mut body = Vec::new();
            piece(rng, &mut body, label);
            out.extend(body);
            out.push("add %r8, 1".into());
            out.push(format!("jlt %r8, {}, l{here}", 2 + rng.below(6)));
        }
        _ => {
            out.push(format!("mov %r1, %r{x}"));
            out.push(format!("mov %r2, %r{y}"));
            out.push("mov %r3, %r10".into());
            out.push("add %r3, -72".into());
            out.push("call local f".into());
            out.push(format!("mov %r{x}, %r0"));
        }
    }
}

fn generate(rng: &mut Rng) -> Test {
    let mut lines: Vec<String> = Vec::new();
    lines.push("mov %r9, %r1".into());
    for n in 6..9 {
        lines.push(format!("ldxdw %r{n}, [%r9+8]"));
        if rng.below(2) == 0 {
            lines.push(format!("and %r{n}, {}", rng.of(&[7, 31, 56, 63])));
        }
    }
    let mut label = 0;
    for _ in 0..2 + rng.below(7) {
        piece(rng, &mut lines, &mut label);
    }
    lines.push("ja out".into());
    lines.push("out:".into());
    lines.push("mov %r0, 0".into());
    lines.push("exit".into());
    lines.push("f:".into());
    let body = rng.of(&[
        "mov %r0, %r1\nadd %r0, %r2",
        "mov %r0, %r1\nand %r0, 31",
        "stxdw [%r3+0], %r1\nmov %r0, %r2",
        "mov %r0, %r1\njgt %r1, 40, +1\nmov %r0, 40",
        "ldxdw %r0, [%r3+0]\nstxw [%r10-8], %r0\nldxdw %r0, [%r10-8]",
    ]);
    lines.push(body.into());
    lines.push("exit".into());
    program(&lines.join("\n"))
}

/// Executes on numbers. The error is what went wrong.
struct Machine<'a> {
    test: &'a Test,
    regs: [u64; 11],
    frames: Vec<([u64; 11], usize)>,
    stacks: Vec<[u8; STACK_BYTES as usize]>,
    map: [u8; MAP_BYTES as usize],
    ctx: [u64; 2],
}

impl Machine<'_> {
    fn bytes(&mut self, addr: u64, size: u32) -> Result<&mut [u8], String> {
        let size = size as u64;
        let range = |base: u64, len: u64| {
            (addr >= base && addr + size <= base + len)
                .then(|| (addr - base) as usize..(addr - base + size) as usize)
        };
        if let Some(r) = range(MAP, MAP_BYTES) {
            return Ok(&mut self.map[r]);
        }
        for (i, stack) in self.stacks.iter_mut().enumerate() {
            if let Some(r) = range(STACK + i as u64 * 0x1000, STACK_BYTES) {
                return Ok(&mut stack[r]);
            }
        }
        Err(format!("{size} bytes at {addr:#x}"))
    }

    fn load(&mut self, addr: u64, size: Size) -> Result<u64, String> {
        if (CTX..CTX + 16).contains(&addr) {
            return Ok(self.ctx[((addr - CTX) / 8) as usize]);
        }
        let mut wide = [0; 8];
        let bytes = self.bytes(addr, size.bytes())?;
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(wide))
    }

    fn store(&mut self, addr: u64, size: Size, val: u64) -> Result<(), String> {
        let bytes = self.bytes(addr, size.bytes())?;
        let len = bytes.len();
        bytes.copy_from_slice(&val.to_le_bytes()[..len]);
        Ok(())
    }

    fn enter(&mut self, fill: u8) {
        let base = STACK + self.stacks.len() as u64 * 0x1000;
        self.stacks.push([fill; STACK_BYTES as usize]);
        self.regs[10] = base + STACK_BYTES;
    }

    fn run(&mut self) -> Result<u64, String> {
        let mut pc = 0;
        for steps in 0..2_000_000u64 {
            let insn = self.test.insns[pc];
            let kind = lookup(&insn).ok_or("no instruction")?.kind;
            match self.step(pc, insn, kind).map_err(|e| format!("insn {pc}: {e}"))? {
                Some(next) => pc = next,
                None => return Ok(steps),
            }
        }
        Err("does not end".into())
    }

    fn step(&mut self, pc: usize, insn: Insn, kind: Kind) -> Result<Option<usize>, String> {
        let (dst, src) = (insn.dst as usize, insn.src as usize);
        let operand = |this: &Self, o: Operand| match o {
            Operand::Imm => insn.imm as i64 as u64,
            Operand::Reg => this.regs[src],
        };
        match kind {
            Kind::Alu { op, wide, operand: o } => {
                self.regs[dst] = alu::concrete(op, wide, self.regs[dst], operand(self, o));
            }
            Kind::LdImm64(Imm64::Const) => {
                let reloc = self.test.relocs.iter().find(|(at, _)| *at as usize == pc);
                let Some((_, Reloc::MapValue(7, off))) = reloc else { return Err("unknown map".into()) };
                self.regs[dst] = MAP + u64::from(*off);
                return Ok(Some(pc + 2));
            }
            Kind::Load { size, signed: false } => {
                let addr = self.regs[src].wrapping_add(insn.off as i64 as u64);
                self.regs[dst] = self.load(addr, size)?;
            }
            Kind::Store { size, operand: o } => {
                let addr = self.regs[dst].wrapping_add(insn.off as i64 as u64);
                let val = operand(self, o);
                self.store(addr, size, val)?;
            }
            Kind::Ja { .. } => return Ok(jump_target(pc, &insn).map(|t| t as usize)),
            Kind::Jump { cond, wide, operand: o } => {
                if branch::holds(cond, wide, self.regs[dst], operand(self, o)) {
                    return Ok(jump_target(pc, &insn).map(|t| t as usize));
                }
            }
            Kind::Call(Callee::Local) => {
                self.frames.push((self.regs, pc + 1));
                self.enter(0xa5);
                return Ok(func_target(pc, &insn).map(|t| t as usize));
            }
            Kind::Exit => {
                let Some((regs, back)) = self.frames.pop() else { return Ok(None) };
                self.stacks.pop();
                let r0 = self.regs[0];
                self.regs = regs;
                self.regs[0] = r0;
                return Ok(Some(back));
            }
            other => return Err(format!("{other:?} is not executed here")),
        }
        Ok(Some(pc + 1))
    }
}

#[test]
fn accepted_programs_stay_inside() {
    let mut rng = Rng(0x50_0d);
    let (mut accepted, mut all, mut runs) = (0u32, 0u32, 0u64);
    while all < 30_000 {
        all += 1;
        let mut test = generate(&mut rng);
        test.state_freq = all.is_multiple_of(2);
        if test.verify().is_err() {
            continue;
        }
        accepted += 1;
        for _ in 0..12 {
            let fill = rng.below(256) as u8;
            let mut machine = Machine {
                test: &test,
                regs: [0; 11],
                frames: Vec::new(),
                stacks: Vec::new(),
                map: [0; MAP_BYTES as usize],
                ctx: [rng.number(), rng.number()],
            };
            machine.map.iter_mut().for_each(|b| *b = rng.below(256) as u8);
            machine.enter(fill);
            machine.regs[1] = CTX;
            if let Err(why) = machine.run() {
                let text = sextant_bpf::disasm::program(&test.insns, &sextant_bpf::disasm::nameless);
                panic!("accepted, but {why}\nctx {:x?}\n{text}", machine.ctx);
            }
            runs += 1;
        }
    }
    let percent = accepted * 100 / all;
    println!("{accepted} of {all} programs accepted ({percent}%), {runs} runs");
    assert!((20..=80).contains(&percent), "{percent}% accepted");
}

/// Kernel test verifier_linked_scalars: what a branch says of `r1 = r0 +- constant` holds for r0, on 64 and on 32 bits.
#[test]
fn sums_with_constants_stay_tied() {
    for (mask, sum, jump) in [
        ("and %r0, 255\nmov %r1, %r0", "sub %r1, 4", "jslt %r1, 0, out"),
        ("and32 %r0, 255\nmov32 %r1, %r0", "add32 %r1, -4", "jslt32 %r1, 0, out"),
        ("and32 %r0, 255\nmov32 %r1, %r0", "sub32 %r1, 4", "jslt32 %r1, 0, out"),
        ("and %r0, 255\nmov %r1, %r0", "sub %r1, -4", "jlt %r1, 6, out"),
        ("and32 %r0, 255\nmov32 %r1, %r0", "add32 %r1, 2147483647", "jsge32 %r1, 0, out"),
    ] {
        let tail = "jne %r0, 0, out\nldxdw %r0, [%r0+0]\nout:\nmov %r0, 0\nexit";
        program(&format!("call @get_prandom_u32\n{mask}\n{sum}\n{jump}\n{tail}")).accepted();
    }
}

/// An upper half that a 32-bit sum cuts off: 0x1_0000_0004 + 1 is 5, too.
#[test]
fn sums_that_lose_bits_are_not_tied() {
    let sum = "lddw %r1, @value 7\nldxdw %r0, [%r1+0]\nmov %r1, %r0\nadd32 %r1, 1\njne %r1, 5, out";
    let tail = "jeq %r0, 4, out\nldxdw %r0, [%r0+0]\nout:\nmov %r0, 0\nexit";
    program(&format!("{sum}\n{tail}"))
        .refused(sextant_verifier::Code::NotAPointer, "invalid mem access 'scalar'");
}

/// Kernel tests bounds_refinement_tnum_umin and deduce64_from_32_before_block_start.
#[test]
fn ends_of_ranges_are_members() {
    let bad = "ldxdw %r0, [%r0+0]\nout:\nmov %r0, 0\nexit";
    program(&format!(
        "call @get_prandom_u32\nor %r0, 225\nand %r0, 241\njeq %r0, 241, out\njeq %r0, 225, out\n{bad}"
    ))
    .accepted();
    let text = "lddw %r1, @value 7\nldxdw %r0, [%r1+0]\nlddw %r1, 0x100000008\njlt %r0, %r1, out\nlddw %r1, 0x300000001\n\
                jgt %r0, %r1, out\njlt32 %r0, 2, out\njgt32 %r0, 5, out\nlddw %r2, 0x200000002\njge %r0, %r2, out";
    program(&format!("{text}\n{bad}")).accepted();
}
