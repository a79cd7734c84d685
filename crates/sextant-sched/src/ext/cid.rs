//! Cids: CPUs numbered by topology. Online CPUs by node, cache, core and thread, in order of the first CPU of each; the others behind.
//! The numbering is made when a scheduler loads and stays until it is gone. Shards are ranges of cids inside a cache.
//!
//! Mirrors scx_cid_init() of kernel/sched/ext/cid.c (7.3). Left out: ops.init_cids' `scx_bpf_cid_override()`.

use sextant_abi::CpuId;

use crate::sched::Sched;

/// `SCX_CID_SHARD_SIZE_DFL`
const SHARD_SIZE_DFL: u32 = 24;
/// `SCX_CID_SHARD_MAX_CPUS`
const SHARD_MAX_CPUS: u32 = 512;
/// EINVAL, as a return value.
const EINVAL: i32 = -22;

/// `struct scx_cid_topo`: the first cid and the number of the core, the last-level cache, the node and the shard; -1 unknown.
pub(crate) type CidTopo = [i32; 8];

/// The numbering; empty without a scheduler.
#[derive(Default, Debug)]
pub(crate) struct CidTable {
    to_cpu: Vec<CpuId>,
    from_cpu: Vec<i32>,
    topo: Vec<CidTopo>,
}

/// Numbers CPUs one by one.
struct Walk {
    table: CidTable,
    /// Most cids of a shard.
    max_cids: u32,
    next_core: i32,
    next_shard: i32,
}

impl Walk {
    fn next_cid(&self) -> i32 {
        self.table.to_cpu.len() as i32
    }

    fn add(&mut self, cpu: CpuId, topo: CidTopo) {
        self.table.from_cpu[cpu.idx()] = self.next_cid();
        self.table.to_cpu.push(cpu);
        self.table.topo.push(topo);
    }

    /// The CPUs of a cache, by core; `llc` and `node` are its place.
    fn add_llc(&mut self, cores: &[Vec<CpuId>], llc: [i32; 2], node: [i32; 2]) {
        let nr_cpus = cores.iter().map(|core| core.len() as u32).sum::<u32>();
        let nr_shards = nr_cpus.div_ceil(self.max_cids).max(1);
        let (per_shard, nr_large) = (cores.len() as u32 / nr_shards, cores.len() as u32 % nr_shards);
        let (mut local, mut nr_cores, mut nr_cids) = (0, 0, 0);
        let mut shard = self.new_shard();
        for core in cores {
            let cids = core.len() as u32;
            let max_cores = per_shard + u32::from(local < nr_large);
            if nr_cores > 0 && (nr_cores >= max_cores || nr_cids + cids > self.max_cids) {
                (local, nr_cores, nr_cids) = (local + 1, 0, 0);
                shard = self.new_shard();
            }
            (nr_cores, nr_cids) = (nr_cores + 1, nr_cids + cids);
            let place = [self.next_cid(), self.next_core];
            self.next_core += 1;
            for &cpu in core {
                let [[a, b], [c, d], [e, f], [g, h]] = [place, llc, node, shard];
                self.add(cpu, [a, b, c, d, e, f, g, h]);
            }
        }
    }

    fn add_llc_if_any(&mut self, cores: &mut Vec<Vec<CpuId>>, llc: [i32; 2], node: [i32; 2]) {
        if !cores.is_empty() {
            self.add_llc(&std::mem::take(cores), llc, node);
        }
    }

    fn new_shard(&mut self) -> [i32; 2] {
        self.next_shard += 1;
        [self.next_cid(), self.next_shard - 1]
    }

    /// CPUs that are not online: in shards of their own.
    fn add_offline(&mut self, cpus: &[CpuId]) {
        for part in cpus.chunks(self.max_cids as usize) {
            let [cid, idx] = self.new_shard();
            for &cpu in part {
                self.add(cpu, [-1, -1, -1, -1, -1, -1, cid, idx]);
            }
        }
    }
}

impl Sched {
    /// `scx_cid_init`; a shard size of 0 is the default.
    pub(super) fn build_cids(&mut self, shard_size: u32) {
        let size = if shard_size == 0 { SHARD_SIZE_DFL } else { shard_size };
        let from_cpu = vec![-1; self.cfg.nr_cpus as usize];
        let table = CidTable { from_cpu, ..CidTable::default() };
        let mut walk = Walk { table, max_cids: size.min(SHARD_MAX_CPUS), next_core: 0, next_shard: 0 };
        let mut offline = Vec::new();
        // CPUs are numbered from the inside out, so each unit is a range of them.
        let (mut node, mut llc) = ([-1, -1], [-1, -1]);
        let (mut last_node, mut last_llc) = (None, None);
        let mut cores: Vec<Vec<CpuId>> = Vec::new();
        for cpu in (0..self.cfg.nr_cpus).map(CpuId) {
            if !self.cpu_online(cpu) {
                offline.push(cpu);
                continue;
            }
            if last_llc.is_none_or(|last| !self.topology.share_cache(last, cpu)) {
                walk.add_llc_if_any(&mut cores, llc, node);
                llc = [walk.next_cid(), llc[1] + 1];
                last_llc = Some(cpu);
            }
            if last_node != Some(self.topology.node_of(cpu)) {
                node = [walk.next_cid(), node[1] + 1];
                last_node = Some(self.topology.node_of(cpu));
            }
            match cores.last_mut() {
                Some(core) if self.topology.core_of(core[0]).any(|c| c == cpu) => core.push(cpu),
                _ => cores.push(vec![cpu]),
            }
        }
        walk.add_llc_if_any(&mut cores, llc, node);
        walk.add_offline(&offline);
        self.ext.cids = walk.table;
    }

    /// `scx_cid_to_cpu`: the CPU, or an error of the scheduler's.
    pub(crate) fn scx_cid_to_cpu(&mut self, cid: i32) -> Option<CpuId> {
        if self.ext.cids.to_cpu.is_empty() {
            return None;
        }
        let cpu = usize::try_from(cid).ok().and_then(|cid| self.ext.cids.to_cpu.get(cid)).copied();
        if cpu.is_none() {
            self.scx_error(format!("invalid cid {cid}"));
        }
        cpu
    }

    /// The cid of a CPU; -EINVAL while there is no numbering.
    pub(crate) fn cid_of(&self, cpu: CpuId) -> i32 {
        self.ext.cids.from_cpu.get(cpu.idx()).copied().unwrap_or(EINVAL)
    }

    /// Where a cid is, if there is one of that number; an error of the scheduler's if not.
    pub(crate) fn cid_topo(&mut self, cid: i32) -> Option<CidTopo> {
        self.scx_cid_to_cpu(cid)?;
        self.ext.cids.topo.get(cid as usize).copied()
    }

    /// A CPU argument of the scheduler's: a cid in the cid form.
    pub(crate) fn scx_cpu_arg(&mut self, cpu: i32, what: &str) -> Option<CpuId> {
        if self.ext.cid_form { self.scx_cid_to_cpu(cpu) } else { self.scx_cpu_valid(cpu, what) }
    }
}
