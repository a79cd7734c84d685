//! Hooks of security modules. Mirrors the sets of kernel/bpf/bpf_lsm.c and `bpf_lsm_get_retval_range()`, 7.3.

use sextant_abi::tables::bpf::{BPF_LSM_CGROUP, BPF_PROG_TYPE_LSM};

use super::Hook;

/// Hooks that no program attaches to: their results are not an errno, or what they are given is not ready.
const DISABLED: [&str; 13] = [
    "vm_enough_memory",
    "inode_need_killpriv",
    "inode_getsecurity",
    "inode_listsecurity",
    "inode_copy_up_xattr",
    "getselfattr",
    "getprocattr",
    "setprocattr",
    "key_getsecurity",
    "audit_rule_match",
    "xfrm_decode_session",
    "ismaclabel",
    "file_alloc_security",
];

/// Hooks that answer yes or no.
const BOOL: [&str; 3] = ["xfrm_state_pol_flow_match", "audit_rule_known", "inode_xattr_skipcap"];

impl Hook<'_> {
    fn lsm_name(&self) -> Option<&str> {
        let lsm = self.prog_type == BPF_PROG_TYPE_LSM;
        self.target.strip_prefix("bpf_lsm_").filter(|_| lsm)
    }

    /// Whether programs may not attach there.
    pub(crate) fn is_disabled(&self) -> bool {
        self.lsm_name().is_some_and(|name| DISABLED.contains(&name))
    }

    /// The hook itself takes the program's result, of 32 bits.
    pub(crate) fn is_lsm(&self) -> bool {
        self.prog_type == BPF_PROG_TYPE_LSM && !self.is_lsm_cgroup()
    }

    /// For all programs of a cgroup.
    pub(crate) fn is_lsm_cgroup(&self) -> bool {
        self.prog_type == BPF_PROG_TYPE_LSM && self.attach_type == BPF_LSM_CGROUP
    }

    /// The results of an LSM program whose hook returns something or (`void`) nothing.
    pub(crate) fn lsm_result(&self, void: bool) -> Option<(i64, i64)> {
        match (self.is_lsm_cgroup(), void) {
            (true, true) => Some((1, 1)),
            (true, false) => Some((0, 1)),
            (false, true) => None,
            (false, false) => self.errno(),
        }
    }

    /// What the hook itself may answer.
    pub(crate) fn errno(&self) -> Option<(i64, i64)> {
        let name = self.lsm_name()?;
        Some(if BOOL.contains(&name) { (0, 1) } else { (-4095, 0) })
    }
}
