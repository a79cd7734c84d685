//! Accept and reject pairs: fields of maps themselves, and rules that hold only where a path comes by.

mod common;

use common::program;
use sextant_abi::tables::bpf;
use sextant_verifier::{Code, CtxArg, ProgKind};

#[test]
fn fields_of_a_map_can_be_read() {
    // ops, max_entries, the arena's user_vm_start
    program("lddw %r1, @map 0\nldxdw %r2, [%r1+32]\nldxw %r0, [%r1+68]\nexit").accepted();
    program("lddw %r1, @map 5\nldxdw %r0, [%r1+280]\nexit").accepted();
    for (text, words) in [
        ("ldxdw %r0, [%r1-8]", "R1 is bpf_array invalid negative access: off=-8"),
        ("ldxw %r0, [%r1+30]", "access beyond the end of member sha (mend:32)"),
        (
            "ldxw %r0, [%r1+41]",
            "cannot access ptr member inner_map_meta with moff 40 in struct bpf_map with off 41 size 4",
        ),
        ("ldxdw %r0, [%r1+280]", "access beyond struct bpf_array"),
    ] {
        program(&format!("lddw %r1, @map 0\n{text}\nexit")).refused(Code::ObjAccess, words);
    }
}

#[test]
fn fields_of_a_map_cannot_be_written() {
    program("lddw %r1, @map 0\nstdw [%r1+0], 0\nmov %r0, 0\nexit")
        .refused(Code::ObjWrite, "only read from bpf_array is supported");
    program("lddw %r1, @map 5\nstxdw [%r1+0], %r10\nmov %r0, 0\nexit")
        .refused(Code::ObjWrite, "only read from bpf_arena is supported");
}

#[test]
fn the_frame_pointer_is_read_only_where_a_path_comes_by() {
    program("mov %r10, 0\nmov %r0, 0\nexit").refused(Code::Structure, "frame pointer is read only");
    program("mov %r2, 1\nlock fetch add [%r10-8], %r10\nmov %r0, 0\nexit")
        .refused(Code::Structure, "frame pointer is read only");
    program("mov %r0, 0\njeq %r0, 0, +1\nmov %r10, 0\nexit").accepted();
}

#[test]
fn a_map_that_programs_only_write_is_not_read_by_helpers() {
    let text = "mov %r1, 0
        stxdw [%r10-8], %r1
        mov %r2, %r10
        add %r2, -8
        lddw %r1, @map 0
        call @map_lookup_elem
        jeq %r0, 0, +4
        mov %r1, %r0
        mov %r2, 8
        mov %r3, %r0
        call @strncmp
        mov %r0, 0
        exit";
    let mut test = program(text);
    test.maps[0].flags |= bpf::BPF_F_WRONLY_PROG;
    test.refused(Code::MapUse, "read from map forbidden");
}

#[test]
fn a_pointer_argument_is_loaded_whole() {
    let fentry = ProgKind::Tracing {
        args: &[CtxArg::Address],
        returns_zero: true,
        attach_type: bpf::BPF_TRACE_FENTRY,
    };
    program("ldxdw %r2, [%r1+0]\nmov %r0, 0\nexit").kind(fentry).accepted();
    program("ldxw %r2, [%r1+0]\nmov %r0, 0\nexit").kind(fentry).refused(Code::CtxAccess, "size 4 must be 8");
}
