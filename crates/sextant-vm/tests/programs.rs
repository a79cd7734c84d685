//! Running: calls, callbacks, nesting, the budget, exact counts, locks, what a bad program does.

mod host;

use std::cell::Cell;
use std::rc::Rc;

use host::{TestHost, image, run, vm};
use sextant_abi::Reloc;
use sextant_vm::{ProgId, Trap, TrapKind, Vm};

fn r0(asm: &str) -> Result<u64, TrapKind> {
    let mut host = TestHost::default();
    run(&vm(false), &mut host, asm, &[]).map(|r| r.r0).map_err(Trap::into_kind)
}

#[test]
fn instructions_are_counted_exactly() {
    let count = |asm: &str| run(&vm(false), &mut TestHost::default(), asm, &[]).map(|r| r.insns);
    assert_eq!(count("mov %r0, 0\nexit"), Ok(2));
    assert_eq!(count("lddw %r0, 0x1234567812345678\nexit"), Ok(2), "ld_imm64 is one");
    assert_eq!(count("mov %r0, 3\nl:\nsub %r0, 1\njne %r0, 0, l\nexit"), Ok(8));
    assert_eq!(count("call local f\nexit\nf:\nmov %r0, 0\nexit"), Ok(4));
    // Time sees the count, the call included.
    assert_eq!(r0("mov %r1, 0\nmov %r1, 0\ncall 5\nexit"), Ok(3));
}

#[test]
fn the_budget_ends_a_loop_and_a_nest() {
    let vm = vm(false);
    vm.set_insn_budget(1000);
    let trap = run(&vm, &mut TestHost::default(), "l:\nja l", &[]).expect_err("endless");
    assert_eq!(trap.kind, TrapKind::Budget { limit: 1000 });
    // A program that calls itself through a kfunc uses the same budget.
    let prog = vm.prog_add(image("mov %r1, 1\nmov %r1, 1\ncall 1\nexit", &[(2, Reloc::Kfunc(1))]));
    let spin = vm.prog_add(image("mov %r0, 300\nl:\nsub %r0, 1\njne %r0, 0, l\nexit", &[]));
    let kfunc = move |vm: &Vm, _: u32, _: [u64; 5]| {
        vm.run(spin, &[], &mut TestHost::default())?;
        vm.run(spin, &[], &mut TestHost::default()).map(|run| run.insns)
    };
    let mut host = TestHost { kfunc: Some(Box::new(kfunc)), ..TestHost::default() };
    let trap = vm.run(prog, &[], &mut host).expect_err("3 + 2 * 602 instructions");
    assert_eq!(trap.kind, TrapKind::Budget { limit: 1000 });
    vm.set_insn_budget(3 + 2 * 602 + 1);
    let run = vm.run(prog, &[], &mut host).expect("enough");
    assert_eq!((run.r0, run.insns), (602, 4), "a program's own count has no nested instructions");
    assert_eq!(vm.insns(), 0);
}

#[test]
fn programs_nest_with_their_own_stacks() {
    let vm = Rc::new(vm(true));
    let asm = "mov %r6, %r1\nldxdw %r7, [%r6+0]\nstxdw [%r10-8], %r7\njeq %r7, 0, out\ncall 1\n\
               ldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit\nout:\nmov %r0, 0\nexit";
    let prog = vm.prog_add(image(asm, &[(4, Reloc::Kfunc(1))]));
    fn host_at(level: u64, prog: ProgId, seen: Rc<Cell<u64>>) -> TestHost {
        let kfunc = move |vm: &Vm, _: u32, _: [u64; 5]| -> Result<u64, Trap> {
            assert_eq!(vm.insns(), 5);
            seen.set(seen.get() + 1);
            let mut inner = host_at(level - 1, prog, seen.clone());
            vm.run(prog, &[level - 1], &mut inner).map(|run| run.r0)
        };
        TestHost { kfunc: Some(Box::new(kfunc)), ..TestHost::default() }
    }
    let seen = Rc::new(Cell::new(0));
    let result = vm.run(prog, &[10], &mut host_at(10, prog, seen.clone()));
    assert_eq!(result.map(|r| r.r0), Ok((1..=10).sum()));
    assert_eq!(seen.get(), 10);
    let deep = vm.run(prog, &[100], &mut host_at(100, prog, seen)).expect_err("too deep");
    assert_eq!(deep.kind, TrapKind::Nesting);
    assert_eq!(deep.prog, "test");
    assert!(!vm.is_running());
}

#[test]
fn sixty_four_frames_and_no_more() {
    let chain = |n: u32| {
        let mut asm = String::from("call local f1\nexit\n");
        for i in 1..n {
            let next = if i + 1 == n { String::new() } else { format!("call local f{}\n", i + 1) };
            asm += &format!("f{i}:\nmov %r0, {i}\n{next}exit\n");
        }
        asm
    };
    assert_eq!(r0(&chain(64)), Ok(63));
    assert_eq!(r0(&chain(65)), Err(TrapKind::CallDepth));
}

/// A callback's frames are counted on top of those of the function that called the helper.
#[test]
fn sixty_four_frames_with_a_callback_and_no_more() {
    let calls = |above: u32, below: u32| {
        let mut asm = String::from("call local a0\nexit\n");
        for i in 0..above {
            asm += &format!("a{i}:\ncall local a{}\nexit\n", i + 1);
        }
        let start = 2 + 2 * above;
        asm += &format!("a{above}:\nmov %r1, 2\nlddw %r2, 0\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit\n");
        let callback = start + 7;
        for i in 0..below {
            asm += &format!("b{i}:\ncall local b{}\nexit\n", i + 1);
        }
        asm += &format!("b{below}:\nmov %r0, 0\nexit\n");
        let vm = vm(false);
        let result = run(&vm, &mut TestHost::default(), &asm, &[(start + 1, Reloc::Func(callback))]);
        result.map(|run| (run.r0, run.insns)).map_err(|trap| (trap.insn, trap.into_kind()))
    };
    for above in [0, 1, 30, 60, 61] {
        let insns = |below: u32| u64::from(2 + 2 * above + 6 + 2 * (2 * below + 2));
        for below in [0, 1, 61 - above].into_iter().filter(|below| above + below <= 61) {
            assert_eq!(calls(above, below), Ok((2, insns(below))), "{above} above, {below} below");
        }
        let last = 2 + 2 * above + 7 + 2 * (61 - above);
        assert_eq!(calls(above, 62 - above), Err((last, TrapKind::CallDepth)), "{above} above");
    }
}

#[test]
fn bpf_loop_calls_back() {
    let asm = "mov %r1, 5\nlddw %r2, 0\nstdw [%r10-8], 0\nmov %r3, %r10\nadd %r3, -8\nmov %r4, 0\ncall 181\n\
               ldxdw %r1, [%r10-8]\nlsh %r1, 8\nor %r0, %r1\nexit\n\
               cb:\nldxdw %r3, [%r2+0]\nadd %r3, %r1\nstxdw [%r2+0], %r3\nmov %r0, 0\njlt %r1, 3, done\nmov %r0, 1\n\
               done:\nexit";
    for sanitize in [false, true] {
        let vm = vm(sanitize);
        let func = Reloc::Func(12);
        let result = run(&vm, &mut TestHost::default(), asm, &[(1, func)]).expect("runs");
        assert_eq!(result.r0, (1 + 2 + 3) << 8 | 4, "the callback's 1 ends the loop");
        assert_eq!(result.insns, 11 + 3 * 6 + 7, "callbacks count");
    }
    let vm = vm(false);
    let bad = run(
        &vm,
        &mut TestHost::default(),
        "mov %r1, 1\nmov %r2, 9\nmov %r3, 0\nmov %r4, 0\ncall 181\nexit",
        &[],
    );
    assert!(matches!(bad.map_err(Trap::into_kind), Err(TrapKind::BadInsn(_))));
    let flags = "mov %r1, 1\nmov %r2, 0\nmov %r3, 0\nmov %r4, 1\ncall 181\nexit";
    assert_eq!(r0(flags), Ok(-22i64 as u64));
}

#[test]
fn what_is_wrong_traps_when_it_is_reached() {
    assert_eq!(r0("mov %r0, 1\nexit\ncall 195896080\nexit"), Ok(1), "dead code may be anything");
    let unknown = r0("call 195896080\nexit");
    assert_eq!(unknown, Err(TrapKind::UnknownHelper(195_896_080, "unknown")));
    assert_eq!(r0("call 12\nexit"), Err(TrapKind::UnknownHelper(12, "bpf_tail_call")));
    assert!(matches!(r0("mov %r0, 0"), Err(TrapKind::BadInsn(_))), "falls off the end");
    assert!(matches!(r0("mov %r10, 0\nexit"), Err(TrapKind::BadInsn(_))), "r10");
    let vm = vm(false);
    let mut bad = image("mov %r0, 0\nexit", &[]);
    bad.insns[0].code = 0xff;
    let id = vm.prog_add(bad);
    let trap = vm.run(id, &[], &mut TestHost::default()).expect_err("no such instruction");
    assert!(trap.to_string().contains("unknown instruction"), "{trap}");
    let mut bad = image("ja l\nmov %r0, 0\nl:\nexit", &[]);
    bad.insns[0].off = -5;
    let id = vm.prog_add(bad);
    assert!(vm.run(id, &[], &mut TestHost::default()).is_err(), "jump out of the program");
    let id = vm.prog_add(image("lddw %r0, 0\nja s\nexit\ns:\nexit", &[]));
    assert!(vm.call_function(id, 1, [0; 5], &mut TestHost::default()).is_err(), "second slot");
    assert!(vm.call_function(id, 99, [0; 5], &mut TestHost::default()).is_err(), "no such slot");
    assert!(vm.run(ProgId(77), &[], &mut TestHost::default()).is_err());
    vm.prog_free(id);
    assert!(vm.run(id, &[], &mut TestHost::default()).is_err());
}

/// Found by cargo-fuzz: the compiler gave up where the ld_imm64 itself is never reached.
#[test]
fn a_jump_between_the_slots_of_an_ld_imm64_traps() {
    let vm = vm(false);
    let mut split = image("ja l\nlddw %r0, 1\njeq %r0, 0, l\nmov %r0, 2\nl:\nexit", &[]);
    split.insns[0].off = 1;
    let id = vm.prog_add(split);
    let trap = vm.run(id, &[], &mut TestHost::default()).expect_err("no instruction there");
    assert_eq!(trap.insn, 2);
}

#[test]
fn locks_balance() {
    let lock = "mov %r1, %r10\nadd %r1, -8\ncall 93\n";
    let unlock = "mov %r1, %r10\nadd %r1, -8\ncall 94\n";
    let other = "mov %r1, %r10\nadd %r1, -16\ncall 94\n";
    let end = "mov %r0, 0\nexit";
    assert_eq!(r0(&format!("{lock}{unlock}{lock}{unlock}{end}")), Ok(0));
    for bad in [
        format!("{lock}{end}"),
        format!("{lock}{lock}{end}"),
        format!("{unlock}{end}"),
        format!("{lock}{other}{end}"),
    ] {
        assert!(matches!(r0(&bad), Err(TrapKind::Lock(_))), "{bad}");
    }
}

#[test]
fn a_kfuncs_trap_is_the_programs() {
    let vm = vm(false);
    let mut host = TestHost {
        kfunc: Some(Box::new(|_, id, _| Err(Trap::kfunc(format!("kfunc {id} says no"))))),
        ..TestHost::default()
    };
    let trap = run(&vm, &mut host, "mov %r0, 0\ncall 1\nexit", &[(1, Reloc::Kfunc(9))]).expect_err("no");
    assert_eq!((trap.insn, trap.into_kind()), (1, TrapKind::Kfunc("kfunc 9 says no".to_owned())));
}

#[test]
fn may_goto_ends() {
    let asm = "mov %r0, 0\nl:\nmay_goto out\nadd %r0, 1\nja l\nout:\nexit";
    assert_eq!(r0(asm), Ok(8 << 20));
}

#[test]
fn a_context_can_be_written_and_comes_back() {
    for len in [16usize, 4096] {
        let vm = vm(true);
        let prog = vm.prog_add(image("stdw [%r1+8], 5\nmov %r0, 0\nexit", &[]));
        let mut ctx = vec![1u8; len];
        vm.run_with_ctx(prog, &mut ctx, &mut TestHost::default()).expect("runs");
        assert_eq!(
            &ctx[..17.min(len)],
            [&[1u8; 8][..], &[5, 0, 0, 0, 0, 0, 0, 0], &[1][..17.min(len) - 16]].concat()
        );
    }
}

host::compiled_too! {
    a_jump_between_the_slots_of_an_ld_imm64_traps
    instructions_are_counted_exactly
    the_budget_ends_a_loop_and_a_nest
    programs_nest_with_their_own_stacks
    sixty_four_frames_and_no_more
    sixty_four_frames_with_a_callback_and_no_more
    bpf_loop_calls_back
    what_is_wrong_traps_when_it_is_reached
    locks_balance
    a_kfuncs_trap_is_the_programs
    may_goto_ends
    a_context_can_be_written_and_comes_back
}
