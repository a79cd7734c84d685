//! `struct scx_cmask` in the scheduler's arena: how programs of the cid form get sets of CPUs.
//!
//! Mirrors scx_alloc_kern_arena_objs() and scx_fill_cmask_scratch() of kernel/sched/ext/ext.c (7.3): one scratch mask per CPU, valid
//! during one call, and the mask of active CPUs.

use sextant_abi::CpuId;
use sextant_abi::types::{CType, Cpumask, ScxCmask};
use sextant_vm::ArenaPages;

use super::BpfOps;
use crate::ext::EnableError;
use crate::sched::Sched;

/// Bytes of a page.
const PAGE_SIZE: u64 = 4096;
/// ENOMEM, as a return value.
const ENOMEM: i32 = -12;

/// The masks of one loaded scheduler.
#[derive(Clone, Copy)]
pub(super) struct Cmasks {
    pages: ArenaPages,
    /// Of one mask, bytes.
    size: u64,
}

impl Cmasks {
    /// Where mask `i` is: as the program sees it, and to be written.
    fn at(&self, i: u64) -> (u64, u64) {
        (self.pages.user + i * self.size, self.pages.kern + i * self.size)
    }
}

/// SCX_CMASK_NR_WORDS
fn words(nr_cids: u32) -> u64 {
    u64::from(nr_cids.div_ceil(64)) + 1
}

impl BpfOps {
    /// The arena that its programs share.
    pub(super) fn cid_arena(&self) -> Result<u64, EnableError> {
        let mut arenas: Vec<u64> =
            self.progs.iter().flatten().filter_map(|&p| self.vm.prog_arena(p)).collect();
        arenas.sort_unstable();
        arenas.dedup();
        match arenas[..] {
            [arena] => Ok(arena),
            [] => Err(EnableError::NoArena),
            _ => Err(EnableError::Arenas),
        }
    }

    /// Makes room for the masks, at each load.
    pub(super) fn alloc_cmasks(&self, s: &mut Sched) -> Result<(), i32> {
        if !self.params.cid_form {
            return Ok(());
        }
        let arena = self.cid_arena().map_err(|e| -e.errno())?;
        let nr = s.cfg.nr_cpus;
        let size = u64::from(<ScxCmask as CType>::SIZE).next_multiple_of(8) + words(nr) * 8;
        let pages = ((u64::from(nr) + 1) * size).div_ceil(PAGE_SIZE) as u32;
        let pages = self.vm.arena_alloc_pages(arena, pages).ok_or(ENOMEM)?;
        self.cmasks.set(Some(Cmasks { pages, size }));
        self.fill_online(s);
        Ok(())
    }

    /// The online mask after a change.
    pub(super) fn fill_online(&self, s: &Sched) {
        if let Some(masks) = self.cmasks.get() {
            let active = s.rqs.iter().filter(|rq| rq.active).map(|rq| rq.cpu);
            fill(s, masks.at(u64::from(s.cfg.nr_cpus)).1, active);
        }
    }

    /// `scx_bpf_online_cmask`: NULL in the cpu form.
    pub(super) fn online_cmask(&self, s: &Sched) -> u64 {
        let masks = self.cmasks.get().filter(|_| s.has_sched());
        masks.map_or(0, |masks| masks.at(u64::from(s.cfg.nr_cpus)).0)
    }

    /// A mask of cids with the CPUs of `mask`, valid during the call to come.
    pub(super) fn scratch_cmask(&self, s: &Sched, mask: Cpumask) -> u64 {
        let Some(masks) = self.cmasks.get() else { return 0 };
        let (user, kern) = masks.at(s.this_cpu.0.into());
        let cpus = (0..s.cfg.nr_cpus).filter(|&cpu| mask.test_cpu(&*s.mem, cpu)).map(CpuId);
        fill(s, kern, cpus);
        user
    }
}

/// Writes a mask of all cids with those of `cpus` set. Where the program has given the page back, nothing is written.
fn fill(s: &Sched, addr: u64, cpus: impl Iterator<Item = CpuId>) {
    let (nr, m) = (s.cfg.nr_cpus, ScxCmask::at(0));
    let (head, words) = (m.bits().addr() as usize, words(nr) as usize);
    let mut bytes = vec![0u8; head + words * 8];
    for (at, value) in
        [(m.base().addr(), 0), (m.nr_cids().addr(), nr), (m.alloc_words().addr(), words as u32)]
    {
        bytes[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
    }
    for cpu in cpus {
        let cid = s.cid_of(cpu) as usize;
        bytes[head + cid / 8] |= 1 << (cid % 8);
    }
    let _ = s.mem.bpf_write(addr, &bytes);
}
