//! Printing, strings, probing reads; time, CPU, task.

use sextant_abi::image::Reloc;
use sextant_abi::tables::{HelperId as H, KfuncId as K};
use sextant_abi::types::Rq;
use sextant_bpf::insn::BPF_PSEUDO_BTF_ID;
use sextant_bpf::opcode::Size;

use super::{BUF, BUF_LEN, Gen};
use crate::asm::Note;
use crate::world::{Of, RODATA};

const ASKS: [H; 11] = [
    H::ktime_get_ns,
    H::ktime_get_boot_ns,
    H::ktime_get_coarse_ns,
    H::ktime_get_tai_ns,
    H::jiffies64,
    H::get_prandom_u32,
    H::get_smp_processor_id,
    H::get_numa_node_id,
    H::get_current_pid_tgid,
    H::get_current_task,
    H::get_current_task_btf,
];

const READS: [H; 6] = [
    H::probe_read,
    H::probe_read_kernel,
    H::probe_read_str,
    H::probe_read_kernel_str,
    H::probe_read_user,
    H::probe_read_user_str,
];

impl Gen<'_> {
    pub(super) fn text(&mut self) {
        match self.rng.below(20) {
            0..=7 => self.ask(),
            8 | 9 => self.printk(),
            10 => self.snprintf(),
            11..=13 => self.probe_read(),
            14 => self.strncmp(),
            15..=17 => self.strings(),
            18 => self.comm(),
            _ => self.percpu_var(),
        }
    }

    fn ask(&mut self) {
        if self.rng.coin() {
            self.one_ask();
        }
        self.one_ask();
    }

    fn one_ask(&mut self) {
        match self.rng.below(16) {
            // Neither knows anything here: no socket's cgroup, no record of branches.
            0 if self.here.main && !self.syscall => {
                self.asm.ldx(1, 10, super::CTX);
                self.helper(H::get_cgroup_classid);
                return self.result();
            }
            1 => {
                self.asm.fp(1, BUF.into());
                self.asm.imm(2, 24);
                self.asm.imm(3, 0);
                self.helper(H::get_branch_snapshot);
                return self.result();
            }
            _ => {}
        }
        let ask = self.rng.of(&ASKS);
        self.helper(ask);
        if ask != H::get_current_task_btf {
            self.result();
        }
    }

    /// A string of the read-only map.
    fn string(&mut self, reg: u8) {
        let (at, text) = self.rng.of(&RODATA);
        let into = self.rng.below(text.len() as u64) as u32;
        self.value_addr(reg, Of::Rodata, at + into);
    }

    fn arguments(&mut self) {
        (0..3).for_each(|n| self.put(BUF + 8 * n, Size::Dw));
    }

    fn printk(&mut self) {
        let (format, _) = RODATA[0];
        self.arguments();
        match self.rng.below(3) {
            0 => {
                let (x, y) = (self.num(), self.num());
                self.value_addr(1, Of::Rodata, format);
                self.asm.imm(2, 19);
                self.asm.mov(3, x);
                self.asm.mov(4, y);
                self.asm.mov(5, x);
                self.helper(H::trace_printk);
            }
            1 => {
                self.value_addr(1, Of::Rodata, format);
                self.asm.imm(2, 19);
                self.asm.fp(3, BUF.into());
                self.asm.imm(4, 24);
                self.helper(H::trace_vprintk);
            }
            _ => {
                let stream = self.rng.of(&[1, 2, 3]);
                self.asm.imm(1, stream);
                self.value_addr(2, Of::Rodata, format);
                self.asm.fp(3, BUF.into());
                self.asm.imm(4, 24);
                self.kfunc(K::bpf_stream_vprintk);
            }
        }
        self.result();
    }

    fn snprintf(&mut self) {
        self.arguments();
        let len = 1 + self.rng.below(24) as i32;
        self.asm.fp(1, i32::from(BUF) + 24);
        self.asm.imm(2, len);
        self.value_addr(3, Of::Rodata, RODATA[0].0);
        self.asm.fp(4, BUF.into());
        self.asm.imm(5, 24);
        self.helper(H::snprintf);
        self.result();
    }

    /// From memory that is there, or a number.
    fn probe_read(&mut self) {
        let read = self.rng.of(&READS);
        let over = if self.slip() { 240 } else { 0 };
        let len = 1 + self.rng.below(BUF_LEN as u64) as i32 + over;
        self.asm.fp(1, BUF.into());
        self.asm.imm(2, len);
        match self.rng.below(3) {
            0 => {
                let num = self.num();
                self.asm.mov(3, num);
            }
            1 => self.value_addr(3, Of::Bss, 200),
            _ => self.string(3),
        }
        self.helper(read);
        self.result();
        let (num, signed) = (self.num(), self.rng.coin());
        self.asm.load(Size::W, signed, num, 10, BUF);
    }

    fn strings(&mut self) {
        let (first, second) = (self.rng.below(255) as i32, self.rng.below(20) as i32);
        let letter = i32::from(self.rng.of(b"abcABC xn"));
        match 1 + self.rng.below(15) {
            n @ 1..=5 => {
                let kfunc = [K::bpf_strchr, K::bpf_strchrnul, K::bpf_strrchr, K::bpf_strnchr, K::bpf_strnlen]
                    [n as usize - 1];
                self.string(1);
                let counted = matches!(kfunc, K::bpf_strnchr | K::bpf_strnlen);
                self.asm.imm(2, if counted { second } else { letter });
                self.asm.imm(3, letter);
                self.kfunc(kfunc);
            }
            6 => {
                self.string(1);
                self.kfunc(K::bpf_strlen);
            }
            n => {
                let kfunc = [
                    K::bpf_strcmp,
                    K::bpf_strcasecmp,
                    K::bpf_strncasecmp,
                    K::bpf_strspn,
                    K::bpf_strcspn,
                    K::bpf_strstr,
                    K::bpf_strcasestr,
                    K::bpf_strnstr,
                    K::bpf_strncasestr,
                ][n as usize - 7];
                self.string(1);
                match first < 240 {
                    true => self.string(2),
                    // Nobody says that these are strings at all.
                    false => self.asm.imm(2, first),
                }
                self.asm.imm(3, second);
                self.kfunc(kfunc);
            }
        }
        self.result();
    }

    fn strncmp(&mut self) {
        self.put(BUF, Size::Dw);
        self.asm.fp(1, BUF.into());
        self.asm.imm(2, 8);
        self.string(3);
        self.helper(H::strncmp);
        self.result();
    }

    fn comm(&mut self) {
        let len = 1 + self.rng.below(20) as i32;
        self.asm.fp(1, BUF.into());
        self.asm.imm(2, len);
        self.helper(H::get_current_comm);
        self.result();
    }

    fn percpu_var(&mut self) {
        let (this, var) = (self.rng.coin(), self.world.percpu_var);
        let cpu = self.rng.below(4) as i32;
        self.asm.outside(1, BPF_PSEUDO_BTF_ID, Reloc::Addr(self.percpu));
        self.asm.set_last_imm(var as i32);
        self.asm.imm(2, cpu);
        self.helper(if this { H::this_cpu_ptr } else { H::per_cpu_ptr });
        let skip = self.unless_null(0);
        let x = self.num();
        self.asm.note(Note::Field("rq.nr_running"));
        self.asm.load(Size::W, false, x, 0, Rq::offset_of("nr_running") as i16);
        self.asm.bind(skip);
    }
}
