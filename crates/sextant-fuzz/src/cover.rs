//! What was executed, and how often at least it has to be.

use std::collections::BTreeMap;

use sextant_abi::image::Reloc;
use sextant_abi::tables::{HELPERS, KfuncId};
use sextant_bpf::opcode::{Callee, Kind, TABLE, lookup};
use sextant_vm::helper_is_implemented;

use crate::asm::{Form, Note, Theme};
use crate::piece::Draft;
use crate::run::Judged;
use crate::world::map_types;

/// Executions that each opcode, helper, map type, callback form and theme needs in a run of full length.
pub const FLOOR: u64 = 1000;
/// Accepted programs, in percent.
pub const ACCEPTED: std::ops::RangeInclusive<u64> = 20..=80;
/// Memory accesses of a program on average.
pub const ACCESSES: u64 = 5;

/// The counts of many programs.
#[derive(Clone, Default)]
pub struct Cover {
    /// Programs.
    pub programs: u64,
    /// Of these accepted.
    pub accepted: u64,
    /// Instructions executed with object checks.
    pub insns: u64,
    /// Loads, stores and atomics in the programs.
    pub accesses: u64,
    /// Loads, stores and atomics executed.
    pub executed_accesses: u64,
    /// Refusals by code.
    pub refusals: BTreeMap<&'static str, u64>,
    opcodes: BTreeMap<usize, u64>,
    helpers: BTreeMap<u32, u64>,
    kfuncs: BTreeMap<u32, u64>,
    maps: BTreeMap<u32, u64>,
    forms: BTreeMap<Form, u64>,
    themes: BTreeMap<Theme, u64>,
}

fn is_access(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Load { .. }
            | Kind::LoadAcquire { .. }
            | Kind::Store { .. }
            | Kind::StoreRelease { .. }
            | Kind::Atomic { .. }
    )
}

/// Helpers that the vm has and the generator does not call yet: they read the current task or memory of user space, and their own tests
/// are in `sextant-vm`. What leaves this list has the floor of all others.
const NOT_GENERATED: [&str; 10] = [
    "bpf_get_current_uid_gid",
    "bpf_get_current_cgroup_id",
    "bpf_get_current_ancestor_cgroup_id",
    "bpf_get_ns_current_pid_tgid",
    "bpf_get_task_stack",
    "bpf_find_vma",
    "bpf_copy_from_user",
    "bpf_copy_from_user_task",
    "bpf_strtol",
    "bpf_strtoul",
];

impl Cover {
    /// Counts a program.
    pub fn add(&mut self, draft: &Draft, judged: &Judged) {
        self.programs += 1;
        match &judged.verdict {
            Ok(_) => self.accepted += 1,
            Err(rejection) => *self.refusals.entry(rejection.code.code()).or_default() += 1,
        }
        let times = |slot: usize| judged.executed.get(slot).copied().unwrap_or(0);
        for (slot, insn) in draft.code.insns.iter().enumerate() {
            let Some(row) = lookup(insn) else { continue };
            let access = is_access(row.kind);
            self.accesses += u64::from(access);
            let times = times(slot);
            if times == 0 {
                continue;
            }
            self.insns += times;
            self.executed_accesses += if access { times } else { 0 };
            let index = TABLE.iter().position(|r| std::ptr::eq(r, row)).unwrap_or(0);
            *self.opcodes.entry(index).or_default() += times;
            if row.kind == Kind::Call(Callee::Helper) {
                *self.helpers.entry(insn.imm as u32).or_default() += times;
            }
        }
        for (slot, reloc) in &draft.code.relocs {
            if let Reloc::Kfunc(id) = reloc {
                *self.kfuncs.entry(*id).or_default() += times(*slot as usize);
            }
        }
        for (slot, note) in &draft.code.notes {
            match note {
                Note::Map(map_type) => *self.maps.entry(*map_type).or_default() += times(*slot),
                Note::Form(form) => *self.forms.entry(*form).or_default() += times(*slot),
                Note::Theme(theme) => *self.themes.entry(*theme).or_default() += times(*slot),
                Note::Field(_) => {}
            }
        }
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, other: &Cover) {
        self.programs += other.programs;
        self.accepted += other.accepted;
        self.insns += other.insns;
        self.accesses += other.accesses;
        self.executed_accesses += other.executed_accesses;
        sum(&mut self.refusals, &other.refusals);
        sum(&mut self.opcodes, &other.opcodes);
        sum(&mut self.helpers, &other.helpers);
        sum(&mut self.kfuncs, &other.kfuncs);
        sum(&mut self.maps, &other.maps);
        sum(&mut self.forms, &other.forms);
        sum(&mut self.themes, &other.themes);
    }

    /// Everything that has to be executed, by name, with how often it was.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        let of = |n: Option<&u64>| n.copied().unwrap_or(0);
        for (index, row) in TABLE.iter().enumerate() {
            let name = format!("opcode {} ({:?})", row.mnemonic(), row.kind);
            out.push((name, of(self.opcodes.get(&index))));
        }
        let wanted = |name: &str| !NOT_GENERATED.contains(&name);
        for helper in HELPERS.iter().filter(|h| helper_is_implemented(h.id as u32) && wanted(h.name)) {
            out.push((format!("helper {}", helper.name), of(self.helpers.get(&(helper.id as u32)))));
        }
        for map_type in map_types() {
            out.push((format!("map type {map_type}"), of(self.maps.get(&map_type))));
        }
        for form in Form::ALL {
            out.push((format!("callback {form:?}"), of(self.forms.get(&form))));
        }
        for theme in Theme::ALL {
            out.push((format!("theme {theme:?}"), of(self.themes.get(&theme))));
        }
        out
    }

    /// Kfuncs executed, by name.
    pub fn kfuncs(&self) -> Vec<(&'static str, u64)> {
        let name = |id: u32| KfuncId::from_index(id).map_or("?", |k| k.info().name);
        self.kfuncs.iter().map(|(&id, &n)| (name(id), n)).collect()
    }

    /// Accepted programs, in percent.
    pub fn accepted_percent(&self) -> u64 {
        self.accepted * 100 / self.programs.max(1)
    }

    /// What falls short of the floors, which runs of [`FULL`](crate::FULL) programs and more reach.
    pub fn short(&self) -> Vec<String> {
        let low = self.counts().into_iter().filter(|(_, n)| *n < FLOOR);
        let mut short: Vec<String> = low.map(|(name, n)| format!("{name}: {n} < {FLOOR}")).collect();
        let percent = self.accepted_percent();
        if !ACCEPTED.contains(&percent) {
            short.push(format!("accepted: {percent}%, not in {ACCEPTED:?}"));
        }
        if self.accesses < ACCESSES * self.programs {
            short.push(format!("memory accesses: {} in {} programs", self.accesses, self.programs));
        }
        short
    }

    /// The table that a run prints.
    pub fn report(&self) -> String {
        let per = |n: u64| n as f64 / self.programs.max(1) as f64;
        let mut out = format!(
            "{} programs, {}% accepted, {} instructions executed ({:.0} a program), {:.1} memory accesses a program ({:.0} executed)\n",
            self.programs,
            self.accepted_percent(),
            self.insns,
            per(self.insns),
            per(self.accesses),
            per(self.executed_accesses),
        );
        let refused: Vec<String> = self.refusals.iter().map(|(code, n)| format!("{code} {n}")).collect();
        out.push_str(&format!("refused: {}\n", refused.join(", ")));
        for class in ["opcode", "helper", "map type", "callback", "theme"] {
            let mut counts = self.counts();
            counts.retain(|(name, _)| name.starts_with(class));
            counts.sort_by_key(|(_, n)| *n);
            let least: Vec<String> =
                counts.iter().take(3).map(|(name, n)| format!("{} {n}", &name[class.len() + 1..])).collect();
            out.push_str(&format!(
                "{class}: {} of {} executed, least {}\n",
                counts.iter().filter(|(_, n)| *n > 0).count(),
                counts.len(),
                least.join(", ")
            ));
        }
        let mut kfuncs = self.kfuncs();
        kfuncs.sort_by_key(|(_, n)| *n);
        let least: Vec<String> = kfuncs.iter().take(3).map(|(name, n)| format!("{name} {n}")).collect();
        out.push_str(&format!("kfunc: {} executed, least {}\n", kfuncs.len(), least.join(", ")));
        out
    }
}

fn sum<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, n) in from {
        *into.entry(key.clone()).or_default() += n;
    }
}
