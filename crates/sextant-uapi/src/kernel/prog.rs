//! PROG_LOAD, PROG_BIND_MAP, PROG_TEST_RUN.
//!
//! Steps of a load: 1. attributes; 2. what it attaches to; 3. structure of the code; 4. names become things (`resolve`);
//! 5. constants and frozen read-only data are folded, and what is still reachable must be callable; 6. into the vm, if
//! programs of its type run at all. Between 5 and 6 the verifier looks at it if it was asked to (`verify`). Mirrors bpf_prog_load of kernel/bpf/syscall.c, 7.3. Safety is the vm's business.

use std::rc::Rc;

use sextant_abi::ProgramImage;
use sextant_abi::tables::HelperId;
use sextant_bpf::btf::TypeId;
use sextant_bpf::insn;
use sextant_vm::{MapId, helper_is_implemented};

use super::host::NoScheduler;
use super::objects::Object;
use super::verify::TRACE_ITER;
use super::{Kernel, ProgObject, ProgRefusal, ProgType};
use crate::attr::{Attr, prog_load as f, test_run as t};
use crate::errno::Errno;
use crate::user;

/// `BPF_COMPLEXITY_LIMIT_INSNS`
const MAX_INSNS: u32 = 1_000_000;
/// `BPF_F_SLEEPABLE`
const SLEEPABLE: u32 = 1 << 4;
/// All load flags of 7.3.
const FLAGS: u32 = 0x100ff;
/// Helper numbers that libbpf writes over calls whose field or function is missing begin above this one.
const LIBBPF_MARKS: i32 = 100_000_000;
/// Largest context of a test run.
const MAX_CTX: u32 = u16::MAX as u32;

/// Where the caller wants words about a refusal.
pub(super) struct Log {
    pub(super) level: u32,
    pub(super) buf: u64,
    pub(super) size: u32,
    /// Address of the attribute that takes the log's full size.
    pub(super) true_size_at: u64,
}

impl Log {
    /// Writes the log, cut to the caller's buffer.
    pub(super) fn write(&self, text: &str) -> Result<(), Errno> {
        if self.level == 0 || self.buf == 0 || self.size == 0 {
            return Ok(());
        }
        let room = (self.size - 1) as usize;
        // The kernel keeps the end of a log that is too long.
        let kept = &text.as_bytes()[text.len().saturating_sub(room)..];
        user::write(self.buf, kept)?;
        user::write(self.buf.wrapping_add(kept.len() as u64), &[0])?;
        let true_size = text.len() as u32 + 1;
        // An older caller's attributes end before the field.
        let _ = user::write(self.true_size_at, &true_size.to_le_bytes());
        if text.len() > room { Err(Errno::ENOSPC) } else { Ok(()) }
    }
}

impl Kernel {
    pub(super) fn prog_load(&self, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let log = Log {
            level: a.u32(f::LOG_LEVEL),
            buf: a.u64(f::LOG_BUF),
            size: a.u32(f::LOG_SIZE),
            true_size_at: uattr + f::LOG_TRUE_SIZE as u64,
        };
        let count = a.u32(f::INSN_CNT);
        if a.u32(f::PROG_FLAGS) & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        if count == 0 || count > MAX_INSNS {
            return Err(Errno::E2BIG);
        }
        let name = a.name(f::PROG_NAME).ok_or(Errno::EINVAL)?;
        user::string(a.u64(f::LICENSE), 127)?;
        let bytes = user::bytes(a.u64(f::INSNS), count as usize * 8)?;
        let insns = insn::decode(&bytes).map_err(|_| Errno::EINVAL)?;
        match self.check_and_add(a, name.clone(), insns) {
            Ok(prog) => self.install("bpf-prog", Object::Prog(Rc::new(prog))),
            Err(Refusal { errno, log: text }) => {
                if ProgType(a.u32(f::PROG_TYPE)).runs() {
                    let log = text.trim_end().to_string();
                    self.refusals.borrow_mut().push(ProgRefusal { prog: name, errno, log });
                }
                log.write(&text)?;
                Err(errno)
            }
        }
    }

    fn check_and_add(&self, a: &Attr, name: String, insns: Vec<insn::Insn>) -> Result<ProgObject, Refusal> {
        if self.judges(&name) {
            return self.judge_prog(a, name, insns);
        }
        let prog_type = ProgType(a.u32(f::PROG_TYPE));
        let attach_btf_id = a.u32(f::ATTACH_BTF_ID);
        let expected_attach_type = a.u32(f::EXPECTED_ATTACH_TYPE);
        self.check_attach(
            prog_type,
            attach_btf_id,
            expected_attach_type,
            a.u32(f::PROG_FLAGS) & SLEEPABLE != 0,
        )?;
        if let Err(e) = sextant_verifier::check(&insns) {
            // The verifier says it with the source line.
            let mut bare = ProgramImage { name, insns, ..ProgramImage::default() };
            self.verify(a, &mut bare, false)?;
            return Err(Refusal::einval(format!("{e}\n")));
        }
        let mut resolved = self.resolve(a, name.clone(), insns)?;
        if prog_type == ProgType::STRUCT_OPS {
            self.check_arena_arg(attach_btf_id, expected_attach_type, &resolved.maps)?;
        }
        self.verify(a, &mut resolved.image, a.u32(f::PROG_FLAGS) & SLEEPABLE != 0)?;
        // Programs on iterators are loaded, and nobody reads from those.
        if prog_type.runs() && expected_attach_type != TRACE_ITER {
            self.note_missing_helpers(&resolved.image);
        }
        let in_vm = match prog_type.runs() {
            true => Some(self.vm()?.prog_add(resolved.image.clone())),
            false => None,
        };
        if let Some(id) = in_vm {
            self.keep_lines(a, id, &name);
        }
        Ok(ProgObject {
            id: self.new_id(),
            name,
            prog_type,
            expected_attach_type,
            attach_btf_id,
            btf_id: resolved.btf_id,
            image: resolved.image,
            in_vm,
            maps: resolved.maps.into(),
        })
    }

    /// Remembers calls of helpers that the vm does not have: the program can be judged, but not run.
    fn note_missing_helpers(&self, image: &ProgramImage) {
        let live =
            image.insns.iter().enumerate().filter(|(i, _)| !image.dead.get(*i).is_some_and(|dead| *dead));
        let helper_call = |insn: &insn::Insn| insn.code == insn::BPF_JMP | insn::BPF_CALL && insn.src == 0;
        for (_, insn) in live.filter(|(_, insn)| helper_call(insn)) {
            let number = insn.imm as u32;
            if let Some(helper) = HelperId::from_number(number).filter(|_| !helper_is_implemented(number)) {
                self.missing_helpers.borrow_mut().push((image.name.clone(), helper));
            }
        }
    }

    /// Programs that are loaded and cannot run, and the helper that each needs and Sextant does not have.
    pub fn missing_helpers(&self) -> Vec<(String, HelperId)> {
        self.missing_helpers.borrow().clone()
    }

    fn check_attach(&self, ty: ProgType, attach: u32, member: u32, sleepable: bool) -> Result<(), Refusal> {
        if attach != 0 && self.btf().get(TypeId(attach)).is_none() {
            return Err(Refusal::einval(format!("attach_btf_id {attach} is invalid\n")));
        }
        match ty {
            ProgType::STRUCT_OPS => self.check_struct_ops_prog(attach, member, sleepable),
            ProgType(0) => Err(Refusal::einval(String::new())),
            ProgType(33..) => Err(Refusal::einval(String::new())),
            _ => Ok(()),
        }
    }

    /// Marks what constants make unreachable; a reachable call that cannot be made is a refusal.
    pub(super) fn fold(&self, mut image: ProgramImage) -> Result<ProgramImage, Refusal> {
        let read_only = |map, off, size| self.vm.get()?.frozen_read(MapId(map), off, size);
        let reach = sextant_verifier::reach(&image.insns, &image.relocs, &read_only);
        // A plain number is left to the verifier, if it is asked: it says it with the source line.
        let told = |imm: i32| self.verifying() && (imm < LIBBPF_MARKS || self.keeping_on.get());
        if let Some(unknown) = reach.unknown_func.filter(|unknown| !told(unknown.imm)) {
            return Err(Refusal::einval(format!("{unknown}\n")));
        }
        image.dead = reach.dead;
        Ok(image)
    }

    pub(super) fn prog_bind_map(&self, a: &Attr) -> Result<i32, Errno> {
        let (prog_fd, map_fd, flags) = (a.u32(0) as i32, a.u32(4) as i32, a.u32(8));
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let prog = self.prog_at(prog_fd)?;
        let map = self.map_at(map_fd)?;
        let mut maps = prog.maps.borrow_mut();
        if !maps.contains(&map.id) {
            maps.push(map.id);
        }
        Ok(0)
    }

    /// Only syscall programs: nothing else runs without a scheduler around it.
    pub(super) fn prog_test_run(&self, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let prog = self.prog_at(a.u32(t::PROG_FD) as i32)?;
        if prog.prog_type != ProgType::SYSCALL {
            return Err(Errno::ENOTSUPP);
        }
        let unused = [t::DATA_SIZE_IN, t::DATA_SIZE_OUT, t::REPEAT, t::DURATION, t::FLAGS];
        let size = a.u32(t::CTX_SIZE_IN);
        if unused.iter().any(|&at| a.u32(at) != 0) || a.u32(t::CTX_SIZE_OUT) != 0 || size > MAX_CTX {
            return Err(Errno::EINVAL);
        }
        let mut ctx = user::bytes(a.u64(t::CTX_IN), size as usize)?;
        let id = prog.in_vm.ok_or(Errno::ENOTSUPP)?;
        let mut host = NoScheduler { nr_cpus: self.nr_cpus() };
        let run = self.vm()?.run_with_ctx(id, &mut ctx, &mut host).map_err(|trap| {
            self.note(format!("syscall program {trap}"));
            Errno::EFAULT
        })?;
        user::write(uattr + t::RETVAL as u64, &(run.r0 as u32).to_le_bytes())?;
        if size > 0 {
            user::write(a.u64(t::CTX_IN), &ctx)?;
        }
        Ok(0)
    }

    pub(super) fn prog_assoc_struct_ops(&self, a: &Attr) -> Result<i32, Errno> {
        let (map_fd, prog_fd, flags) = (a.u32(0) as i32, a.u32(4) as i32, a.u32(8));
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let prog = self.prog_at(prog_fd)?;
        let map = self.map_at(map_fd)?;
        if prog.prog_type == ProgType::STRUCT_OPS || !map.is_struct_ops() {
            return Err(Errno::EINVAL);
        }
        Ok(0)
    }
}

/// Why a program is not loaded: the number, and the log.
pub(super) struct Refusal {
    pub(super) errno: Errno,
    pub(super) log: String,
}

impl Refusal {
    pub(super) fn einval(log: String) -> Refusal {
        Refusal { errno: Errno::EINVAL, log }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Refusal { errno, log: String::new() }
    }
}
