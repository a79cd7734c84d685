//! What may be loaded at all.

use sextant_abi::Reloc;
use sextant_abi::tables::KfuncId;
use sextant_bpf::vmlinux::Vmlinux;
use sextant_sched::bpf::has_kfunc;
use sextant_uapi::code::{Function, functions};
use sextant_verifier::{Accepted, ProgKind, Program, Rejection, verify};

use crate::drive::*;

/// In the source register of a call: `imm` is the BTF id of a kfunc.
const BPF_PSEUDO_KFUNC_CALL: u8 = 2;

/// The previous task of ops.dispatch may be NULL.
#[test]
fn maybe_null() {
    let Some(object) = object("maybe_null") else { return };
    assert_eq!(object.loads(), Ok(()));
}

fn refused(name: &str, words: &str) {
    let Some(object) = object(name) else { return };
    let why = object.loads().expect_err("it loads");
    assert!(why.contains(words), "{why}");
}

#[test]
fn maybe_null_fail_dsp() {
    refused("maybe_null_fail_dsp", "trusted_ptr_or_null_");
}

#[test]
fn maybe_null_fail_yld() {
    refused("maybe_null_fail_yld", "trusted_ptr_or_null_");
}

/// A struct_ops program of another subsystem's must not call sched_ext's kfuncs. The emulated kernel has no such subsystem (libbpf stops
/// at its ops table), so the verifier gets the programs of the object one by one.
#[test]
fn non_scx_kfunc_deny() {
    let Some(object) = object("non_scx_kfunc_deny") else { return };
    assert!(object.loads().is_err());
    let all = functions(object.bytes()).expect("an object");
    for function in all.iter().filter(|f| f.name.starts_with("tcp_ca_")) {
        let result = verify_foreign(function);
        match (&*function.name, result) {
            ("tcp_ca_ssthresh", Err(refused)) => {
                assert_eq!(refused.message, "calling kernel function scx_bpf_kick_cpu is not allowed");
            }
            ("tcp_ca_ssthresh", Ok(_)) => panic!("it loads"),
            (name, result) => assert!(result.is_ok(), "{name}: {}", result.expect_err("not ok")),
        }
    }
}

/// A program as the object has it, its call of a kfunc resolved.
fn verify_foreign(function: &Function) -> Result<Accepted, Rejection> {
    let mut insns = function.insns.clone();
    let mut relocs = Vec::new();
    for (&slot, name) in &function.names {
        let kfunc = KfuncId::from_name(name).unwrap_or_else(|| panic!("{}: {name}", function.name));
        insns[slot].src = BPF_PSEUDO_KFUNC_CALL;
        relocs.push((slot as u32, Reloc::Kfunc(kfunc.index())));
    }
    let vmlinux = Vmlinux::build(&has_kfunc);
    verify(&Program {
        name: &function.name,
        insns: &insns,
        relocs: &relocs,
        kind: ProgKind::ForeignStructOps,
        sleepable: false,
        nr_cpus: 8,
        maps: &[],
        read_only: &|_, _, _| None,
        btf: None,
        kernel_btf: Some(&vmlinux.btf),
        func_info: &[],
        line_info: &[],
        gpl: true,
        has_helper: None,
        state_freq: false,
        strict_alignment: false,
    })
}
