//! A BTF as a C header: what `bpftool btf dump … format c` prints, for compiling schedulers against our kernel.
//!
//! Order: 1. forward declarations; 2. the basic typedefs that BPF headers expect; 3. enums; 4. each struct after what it holds by
//! value, each typedef before its first use; 5. kfuncs, which `BPF_NO_KFUNC_PROTOTYPES` leaves out.
//! Left out: alignment and packing (members are found by CO-RE), type tags.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

/// Typedefs of include/uapi/asm-generic/int-ll64.h and linux/types.h that BPF headers use; printed where the BTF lacks them.
const BASIC: &[(&str, &str)] = &[
    ("__s8", "signed char"),
    ("__u8", "unsigned char"),
    ("__s16", "short"),
    ("__u16", "unsigned short"),
    ("__s32", "int"),
    ("__u32", "unsigned int"),
    ("__s64", "long long"),
    ("__u64", "unsigned long long"),
    ("s8", "__s8"),
    ("u8", "__u8"),
    ("s16", "__s16"),
    ("u16", "__u16"),
    ("s32", "__s32"),
    ("u32", "__u32"),
    ("s64", "__s64"),
    ("u64", "__u64"),
    ("__be16", "__u16"),
    ("__be32", "__u32"),
    ("__be64", "__u64"),
    ("__le16", "__u16"),
    ("__le32", "__u32"),
    ("__le64", "__u64"),
    ("__sum16", "__u16"),
    ("__wsum", "__u32"),
    ("bool", "_Bool"),
    ("size_t", "unsigned long"),
    ("ssize_t", "long"),
    ("pid_t", "int"),
    ("uintptr_t", "unsigned long"),
];

/// For programs that carry struct_ops of another subsystem beside the scheduler: what a congestion control implements at least. The
/// emulated kernel has no network, so this is not in its BTF.
const FOREIGN: &str = "\
struct sock;

struct tcp_congestion_ops {
	unsigned int (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, unsigned int ack, unsigned int acked);
	void (*set_state)(struct sock *sk, unsigned char new_state);
	unsigned int (*undo_cwnd)(struct sock *sk);
	unsigned int flags;
	char name[16];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
};
";

/// How `base_name` writes what has no name.
const ANONYMOUS: [&str; 3] = ["struct {…}", "union {…}", "enum {…}"];
/// Deepest nesting of anonymous records.
const MAX_DEPTH: usize = 16;

impl Btf {
    /// The header's text.
    pub fn c_header(&self) -> String {
        let mut header = Header { btf: self, out: String::new(), done: BTreeSet::new() };
        header.print();
        header.out
    }
}

struct Header<'a> {
    btf: &'a Btf,
    out: String,
    /// Typedefs and records that are printed, or about to be.
    done: BTreeSet<TypeId>,
}

impl Header<'_> {
    fn print(&mut self) {
        self.line("/* SPDX-License-Identifier: GPL-2.0-only */");
        self.line("/* Printed by `sextant header`: the types of the kernel that Sextant emulates. */");
        self.line("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n");
        self.line("#ifndef BPF_NO_PRESERVE_ACCESS_INDEX");
        self.line("#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)");
        self.line("#endif\n");
        self.line("#ifndef __ksym\n#define __ksym __attribute__((section(\".ksyms\")))\n#endif");
        self.line("#ifndef __weak\n#define __weak __attribute__((weak))\n#endif\n");
        self.forwards();
        self.basics();
        let ids: Vec<TypeId> = self.btf.types().map(|(id, _)| id).collect();
        for &id in &ids {
            self.top_enum(id);
        }
        self.line("enum {\n\tfalse = 0,\n\ttrue = 1,\n};\n");
        for &id in &ids {
            self.need(id, true, MAX_RESOLVE_DEPTH);
        }
        self.line(FOREIGN);
        self.kfuncs();
        self.line("#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n");
        self.line("#endif /* __VMLINUX_H__ */");
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn forwards(&mut self) {
        let mut seen = BTreeSet::new();
        for (id, _) in self.btf.types() {
            let (word, name) = match self.btf.kind(id) {
                Kind::Struct { union, .. } | Kind::Fwd { union } => {
                    (if *union { "union" } else { "struct" }, self.btf.name(id))
                }
                _ => continue,
            };
            if !name.is_empty() && seen.insert((word, name.to_owned())) {
                self.line(&format!("{word} {name};"));
            }
        }
        self.line("");
    }

    fn basics(&mut self) {
        for (name, ty) in BASIC {
            self.line(&format!("typedef {ty} {name};"));
            for id in self.btf.find_all(name) {
                if matches!(self.btf.kind(id), Kind::Typedef(_)) {
                    self.done.insert(id);
                }
            }
        }
        self.line("");
    }

    /// An enum that is a type of its own: a named one, or one whose values are constants (no record or typedef has it).
    fn top_enum(&mut self, id: TypeId) {
        let Kind::Enum { values, .. } = self.btf.kind(id) else { return };
        let name = self.btf.name(id);
        let owned = name.is_empty()
            && self.btf.types().any(|(_, t)| match &t.kind {
                Kind::Struct { members, .. } => members.iter().any(|m| m.ty == id),
                Kind::Typedef(to) => *to == id,
                _ => false,
            });
        if values.is_empty() || owned {
            return;
        }
        let text = format!("{};\n", self.enum_text(id, 0));
        self.line(&text);
    }

    fn enum_text(&self, id: TypeId, tabs: usize) -> String {
        let Kind::Enum { values, signed, .. } = self.btf.kind(id) else { return String::new() };
        let name = self.btf.name(id);
        let mut text = if name.is_empty() { "enum {\n".to_owned() } else { format!("enum {name} {{\n") };
        for value in values {
            let name = self.btf.str(value.name);
            let number = match (*signed, value.value) {
                (true, v) => (v as i64).to_string(),
                (false, v) if v > u64::from(u32::MAX) => format!("{v}ULL"),
                (false, v) => v.to_string(),
            };
            let _ = writeln!(text, "{}{name} = {number},", "\t".repeat(tabs + 1));
        }
        text + &"\t".repeat(tabs) + "}"
    }

    /// Prints what has to be there before a declaration with this type; `whole`: the type is used by value.
    fn need(&mut self, id: TypeId, whole: bool, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match self.btf.kind(id).clone() {
            Kind::Ptr(to) => self.need(to, false, depth),
            Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) | Kind::TypeTag { ty: to, .. } => {
                self.need(to, whole, depth);
            }
            Kind::Array { elem, .. } => self.need(elem, true, depth),
            Kind::FuncProto { ret, params } => {
                self.need(ret, false, depth);
                params.iter().for_each(|p| self.need(p.ty, false, depth));
            }
            Kind::Typedef(to) => {
                if self.done.insert(id) {
                    self.need(to, whole, depth);
                    let text = format!("typedef {};\n", self.declare(to, self.btf.name(id), 0));
                    self.line(&text);
                } else if whole {
                    self.need(to, true, depth);
                }
            }
            Kind::Struct { members, .. } => {
                let name = self.btf.name(id);
                if name.is_empty() {
                    members.iter().for_each(|m| self.need(m.ty, true, depth));
                } else if whole && self.done.insert(id) {
                    members.iter().for_each(|m| self.need(m.ty, true, MAX_RESOLVE_DEPTH));
                    let text = format!("{};\n", self.record(id, 0));
                    self.line(&text);
                }
            }
            _ => {}
        }
    }

    fn record(&self, id: TypeId, tabs: usize) -> String {
        let word =
            if matches!(self.btf.kind(id), Kind::Struct { union: true, .. }) { "union" } else { "struct" };
        let name = self.btf.name(id);
        let mut text = if name.is_empty() { format!("{word} {{\n") } else { format!("{word} {name} {{\n") };
        for member in self.btf.members(id) {
            let decl = self.declare(member.ty, self.btf.str(member.name), tabs + 1);
            let bits = if member.bits > 0 { format!(": {}", member.bits) } else { String::new() };
            let _ = writeln!(text, "{}{decl}{bits};", "\t".repeat(tabs + 1));
        }
        text + &"\t".repeat(tabs) + "}"
    }

    /// As `Btf::declare`, with what has no name written out.
    fn declare(&self, id: TypeId, name: &str, tabs: usize) -> String {
        let text = self.btf.declare(id, name);
        let Some(mark) = ANONYMOUS.iter().find(|mark| text.contains(**mark)).filter(|_| tabs < MAX_DEPTH)
        else {
            return text;
        };
        match self.base(id) {
            Some(base) if matches!(self.btf.kind(base), Kind::Enum { .. }) => {
                text.replacen(mark, &self.enum_text(base, tabs), 1)
            }
            Some(base) => text.replacen(mark, &self.record(base, tabs), 1),
            None => text,
        }
    }

    /// The record or enum without a name at the bottom of a type.
    fn base(&self, mut id: TypeId) -> Option<TypeId> {
        for _ in 0..MAX_RESOLVE_DEPTH {
            id = match self.btf.kind(id) {
                Kind::Ptr(to) | Kind::Const(to) | Kind::Volatile(to) | Kind::Restrict(to) => *to,
                Kind::TypeTag { ty, .. } => *ty,
                Kind::Array { elem, .. } => *elem,
                Kind::FuncProto { ret, .. } => *ret,
                Kind::Struct { .. } | Kind::Enum { .. } => return Some(id),
                _ => return None,
            };
        }
        None
    }

    fn kfuncs(&mut self) {
        self.line("#ifndef BPF_NO_KFUNC_PROTOTYPES");
        for (id, _) in self.btf.types() {
            if let Kind::Func { .. } = self.btf.kind(id)
                && self.btf.decl_tags(id).any(|(tag, _)| tag == "bpf_kfunc")
            {
                let text = format!("extern {} __weak __ksym;", self.btf.declare(id, ""));
                self.line(&text);
            }
        }
        self.line("#endif\n");
    }
}
