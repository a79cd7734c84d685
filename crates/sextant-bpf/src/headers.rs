//! The headers that are written from tables: vmlinux.h, the prototypes of kfuncs and of helpers. Those written by hand are in `include/`.

use std::collections::BTreeSet;
use std::fmt::Write;

use sextant_abi::tables::HELPER_PROTOS;

use crate::btf::{Btf, Kind};

/// A header, with the name it has below `include/`.
pub struct Header {
    /// Path below `include/`.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// All of them, of a kernel with these types.
pub fn all(btf: &Btf) -> [Header; 3] {
    [
        Header { path: "vmlinux.h", text: btf.c_header() },
        Header { path: "scx/kfuncs.bpf.h", text: kfuncs(btf) },
        Header { path: "libbpf/bpf/bpf_helper_defs.h", text: helper_defs() },
    ]
}

/// Kfuncs that `scx/kfuncs.bpf.h` leaves out: other headers declare them otherwise, mostly by macros or functions of the same name.
const BY_HAND: &[&str] = &[
    // scx/compat.bpf.h
    "scx_bpf_consume",
    "scx_bpf_dispatch",
    "scx_bpf_dispatch_from_dsq",
    "scx_bpf_dispatch_from_dsq_set_slice",
    "scx_bpf_dispatch_from_dsq_set_vtime",
    "scx_bpf_dispatch_vtime",
    "scx_bpf_dispatch_vtime_from_dsq",
    "scx_bpf_dsq_insert",
    "scx_bpf_dsq_insert___v2",
    "scx_bpf_dsq_insert_vtime",
    "scx_bpf_dsq_move",
    "scx_bpf_dsq_move_set_slice",
    "scx_bpf_dsq_move_set_vtime",
    "scx_bpf_dsq_move_to_local",
    "scx_bpf_dsq_move_to_local___v2",
    "scx_bpf_dsq_move_vtime",
    "scx_bpf_dsq_reenq",
    "scx_bpf_online_cmask",
    "scx_bpf_reenqueue_local",
    "scx_bpf_reenqueue_local___v2",
    "scx_bpf_select_cpu_and",
    "scx_bpf_switch_all",
    "scx_bpf_task_cgroup",
    "scx_bpf_task_set_dsq_vtime",
    "scx_bpf_task_set_slice",
    // scx/common.bpf.h
    "bpf_list_push_back",
    "bpf_list_push_front",
    "bpf_obj_drop",
    "bpf_obj_new",
    "bpf_percpu_obj_drop",
    "bpf_percpu_obj_new",
    "bpf_rbtree_add",
    "bpf_refcount_acquire",
    // scx/bpf_arena_common.bpf.h
    "bpf_arena_alloc_pages",
    "bpf_arena_free_pages",
    "bpf_arena_reserve_pages",
    // scx/libbpf_newer.bpf.h, scx/libbpf_newer_core.bpf.h
    "bpf_iter_num_destroy",
    "bpf_iter_num_new",
    "bpf_iter_num_next",
    "bpf_rdonly_cast",
];

/// Kfuncs that 7.3 no longer has and that `scx/compat.bpf.h` falls back to.
const GONE: &str = "struct rq *scx_bpf_cpu_rq(s32 cpu)";

/// `scx/kfuncs.bpf.h`
fn kfuncs(btf: &Btf) -> String {
    let mut protos: Vec<String> = vec![GONE.to_owned()];
    for (id, _) in btf.types() {
        let is_kfunc =
            matches!(btf.kind(id), Kind::Func { .. }) && btf.decl_tags(id).any(|(tag, _)| tag == "bpf_kfunc");
        if is_kfunc && !BY_HAND.contains(&btf.name(id)) {
            protos.push(btf.declare(id, ""));
        }
    }
    let mut out = head(
        "SCX_KFUNCS",
        "The kernel functions that programs may call, each weak: one that the kernel lacks has the address 0.\n\
         * Those that other headers of this directory stand before are there.",
    );
    out += &forwards(protos.iter().map(String::as_str));
    protos.iter().for_each(|proto| out += &format!("{proto} __ksym __weak;\n"));
    out + "\n#endif\n"
}

/// `bpf/bpf_helper_defs.h`: a helper is a function at the address that is its number.
fn helper_defs() -> String {
    let mut out = head(
        "SEXTANT_BPF_HELPER_DEFS",
        "The helpers that schedulers, tracing and syscall programs may call. Stands in for libbpf's header of that name.",
    );
    out += &forwards(HELPER_PROTOS.iter().map(|proto| proto.params));
    for proto in HELPER_PROTOS {
        let gap = if proto.ret.ends_with('*') { "" } else { " " };
        let _ = writeln!(
            out,
            "static {}{gap}(* const {})({}) = (void *)\u{20}{};",
            proto.ret,
            proto.id.name(),
            proto.params,
            proto.id as u32
        );
    }
    out + "\n#endif\n"
}

fn head(guard: &str, about: &str) -> String {
    format!(
        "/* SPDX-License-Identifier: GPL-2.0-only */\n/*\n * Printed by `sextant header --all`.\n * {about}\n */\n\
         #ifndef __{guard}_H\n#define __{guard}_H\n\n"
    )
}

/// Forward declarations of the structures that prototypes name.
fn forwards<'a>(protos: impl Iterator<Item = &'a str>) -> String {
    let mut names = BTreeSet::new();
    for proto in protos {
        let mut words =
            proto.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if word == "struct" {
                names.extend(words.next());
            }
        }
    }
    let mut out = String::new();
    names.iter().for_each(|name| out += &format!("struct {name};\n"));
    out + "\n"
}
