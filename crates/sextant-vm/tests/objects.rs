//! Objects of programs' own: references, lists, trees, what happens to them when their owner goes; locks, bit iterators, strings.

mod host;

use host::{TestHost, image, vm};
use sextant_abi::tables::KfuncId;
use sextant_abi::{LocalType, Mem, Reloc};
use sextant_vm::map::*;
use sextant_vm::{MapId, MapSpec, SpecialField, Trap, TrapKind, Vm};

const EINVAL: u64 = -22i64 as u64;
const EDEADLK: u64 = -35i64 as u64;

/// Type 7: u64 key, tree node at 8, list node at 40, refcount at 64; type 8: plain; type 9: a list head at 0.
fn types() -> Vec<(u32, LocalType)> {
    let node = vec![(8, SpecialField::RbNode), (40, SpecialField::ListNode), (64, SpecialField::Refcount)];
    let head = vec![(0, SpecialField::ListHead), (16, SpecialField::ListNode)];
    vec![
        (7, LocalType { size: 72, fields: node }),
        (8, LocalType { size: 16, fields: vec![] }),
        (9, LocalType { size: 40, fields: head }),
    ]
}

/// A map with two roots (tree at 0, list at 16) and an owning pointer at 32.
fn roots(vm: &Vm, map_type: u32) -> MapId {
    let fields =
        vec![(0, SpecialField::RbRoot), (16, SpecialField::ListHead), (32, SpecialField::Kptr { btf_id: 0 })];
    let spec =
        MapSpec { map_type, key_size: 4, value_size: 40, max_entries: 2, fields, ..MapSpec::default() };
    vm.map_create(&spec).expect("a good map")
}

/// Runs assembler text in which `@name` is a call of that kfunc, `$map+OFF` an address in the map's value (`lddw %rN, $map+OFF`), and
/// `$less` the function at the label that the text ends with.
fn go(vm: &Vm, host: &mut TestHost, map: MapId, text: &str) -> Result<u64, TrapKind> {
    let (mut asm, mut relocs, mut slot) = (String::new(), Vec::new(), 0u32);
    let less = text.lines().take_while(|l| *l != "less:").map(slots).sum::<u32>();
    for line in text.lines().filter(|l| !l.is_empty()) {
        let mut out = line.to_owned();
        if let Some(name) = line.strip_prefix('@') {
            let id = KfuncId::from_name(name).expect("a kfunc");
            relocs.push((slot, Reloc::Kfunc(id.index())));
            out = "call kfunc 1".into();
        } else if let Some((head, off)) = line.split_once("$map+") {
            relocs.push((slot, Reloc::MapValue(map.0, off.parse().expect("an offset"))));
            out = format!("{head}0");
        } else if let Some(head) = line.strip_suffix("$less") {
            relocs.push((slot, Reloc::Func(less)));
            out = format!("{head}0");
        }
        slot += slots(line);
        asm += &out;
        asm.push('\n');
    }
    let image = sextant_abi::ProgramImage { local_types: types(), ..image(&asm, &relocs) };
    let prog = vm.prog_add(image);
    vm.run(prog, &[0], host).map(|run| run.r0).map_err(Trap::into_kind)
}

fn slots(line: &str) -> u32 {
    match line {
        l if l.is_empty() || l.ends_with(':') => 0,
        l if l.starts_with("lddw") => 2,
        _ => 1,
    }
}

/// New object of type 7 with this key, in r6.
fn new(key: u32) -> String {
    format!("mov %r1, 7\n@bpf_obj_new\nmov %r6, %r0\nstdw [%r6+0], {key}\n")
}

fn add(key: u32) -> String {
    let call = "lddw %r1, $map+0\nmov %r2, %r6\nadd %r2, 8\nlddw %r3, $less\n@bpf_rbtree_add\n";
    format!("{}{call}", new(key))
}

const LESS: &str = "exit\nless:\nldxdw %r1, [%r1-8]\nldxdw %r2, [%r2-8]\nmov %r0, 0\njge %r1, %r2, out\nmov %r0, 1\nout:\nexit";

#[test]
fn a_tree_gives_its_nodes_in_order() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
        let keys = [5, 3, 9, 1, 7, 8, 2];
        for key in keys {
            assert_eq!(go(&vm, &mut host, map, &(add(key) + LESS)), Ok(0));
        }
        assert_eq!(vm.nr_objects(), keys.len());
        let pop = "lddw %r1, $map+0\n@bpf_rbtree_first\njeq %r0, 0, none\nmov %r2, %r0\nlddw %r1, $map+0\n@bpf_rbtree_remove\n\
                   ldxdw %r7, [%r0-8]\nmov %r1, %r0\nadd %r1, -8\n@bpf_obj_drop\nmov %r0, %r7\nexit\nnone:\nmov %r0, 0\nexit";
        let popped: Vec<u64> = (0..8).map(|_| go(&vm, &mut host, map, pop).expect("runs")).collect();
        assert_eq!(popped, [1, 2, 3, 5, 7, 8, 9, 0]);
        assert_eq!(vm.nr_objects(), 0);
    }
}

#[test]
fn a_linked_node_cannot_be_linked_again_and_costs_a_reference() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let again = "lddw %r1, $map+0\nmov %r2, %r6\nadd %r2, 8\nlddw %r3, $less\n@bpf_rbtree_add\n";
    let acquire = "mov %r1, %r6\n@bpf_refcount_acquire\n";
    let text = format!("{}{acquire}{}{again}{LESS}", new(1), &add(1)[new(1).len()..]);
    assert_eq!(go(&vm, &mut host, map, &text), Ok(EINVAL));
    assert_eq!(vm.nr_objects(), 1, "the tree has it still");
    let remove_twice = "lddw %r1, $map+0\n@bpf_rbtree_first\nmov %r6, %r0\nlddw %r1, $map+0\nmov %r2, %r6\n@bpf_rbtree_remove\n\
                        lddw %r1, $map+0\nmov %r2, %r6\n@bpf_rbtree_remove\nexit";
    assert_eq!(go(&vm, &mut host, map, remove_twice), Ok(0));
}

#[test]
fn lists_push_pop_and_delete() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let push =
        |key, kfunc| format!("{}lddw %r1, $map+16\nmov %r2, %r6\nadd %r2, 40\n@{kfunc}\nexit", new(key));
    assert_eq!(go(&vm, &mut host, map, "lddw %r1, $map+16\n@bpf_list_empty\nexit"), Ok(1));
    for (key, kfunc) in
        [(2, "bpf_list_push_back"), (3, "bpf_list_push_back_impl"), (1, "bpf_list_push_front")]
    {
        assert_eq!(go(&vm, &mut host, map, &push(key, kfunc)), Ok(0));
    }
    let key_of = "jeq %r0, 0, out\nldxdw %r0, [%r0-40]\nout:\nexit";
    let ask = |kfunc| format!("lddw %r1, $map+16\n@{kfunc}\n{key_of}");
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_front")), Ok(1));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_back")), Ok(3));
    let after = "lddw %r1, $map+16\n@bpf_list_front\nmov %r7, %r0\n".to_owned()
        + &new(9)
        + "lddw %r1, $map+16\nmov %r2, %r6\nadd %r2, 40\nmov %r3, %r7\n@bpf_list_add\nexit";
    assert_eq!(go(&vm, &mut host, map, &after), Ok(0));
    let first =
        "lddw %r1, $map+16\n@bpf_list_front\nlddw %r1, $map+16\nmov %r2, %r0\n@bpf_list_is_first\nexit";
    assert_eq!(go(&vm, &mut host, map, first), Ok(1));
    assert_eq!(go(&vm, &mut host, map, &first.replace("is_first", "is_last")), Ok(0));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_pop_front")), Ok(1));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_pop_back")), Ok(3));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_pop_front")), Ok(9));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_pop_front")), Ok(2));
    assert_eq!(go(&vm, &mut host, map, &ask("bpf_list_pop_front")), Ok(0));
}

#[test]
fn what_a_map_owns_goes_with_it() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    assert_eq!(go(&vm, &mut host, map, &(add(1) + LESS)), Ok(0));
    let push = format!("{}lddw %r1, $map+16\nmov %r2, %r6\nadd %r2, 40\n@bpf_list_push_back\nexit", new(2));
    assert_eq!(go(&vm, &mut host, map, &push), Ok(0));
    let stash = format!("{}lddw %r1, $map+32\nmov %r2, %r6\ncall 194\nexit", new(3));
    assert_eq!(go(&vm, &mut host, map, &stash), Ok(0));
    assert_eq!(vm.nr_objects(), 3);
    vm.map_free(map);
    assert_eq!(vm.nr_objects(), 0);
    assert!(vm.take_dropped_kptrs().is_empty(), "they were no kernel objects");
}

#[test]
fn lists_in_objects_are_freed_however_deep() {
    let (vm, mut host) = (vm(false), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    // Each object holds the one before in its list; the last one is in the map.
    let chain = "mov %r9, 20000\nmov %r8, 0\nnext:\nmov %r1, 9\n@bpf_obj_new\nmov %r6, %r0\njeq %r8, 0, first\n\
                 mov %r1, %r6\nmov %r2, %r8\nadd %r2, 16\n@bpf_list_push_back\nfirst:\nmov %r8, %r6\nadd %r9, -1\n\
                 jne %r9, 0, next\nlddw %r1, $map+32\nmov %r2, %r8\ncall 194\nexit";
    assert_eq!(go(&vm, &mut host, map, chain), Ok(0));
    assert_eq!(vm.nr_objects(), 20000);
    vm.map_free(map);
    assert_eq!(vm.nr_objects(), 0);
}

#[test]
fn misuse_ends_the_program_not_the_vm() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let mut bad = |text: &str| go(&vm, &mut host, map, text);
    assert!(matches!(bad("mov %r1, 6\n@bpf_obj_new\nexit"), Err(TrapKind::BadArg("bpf_obj_new", _))));
    assert!(matches!(bad("mov %r1, 5\n@bpf_obj_drop\nexit"), Err(TrapKind::BadArg("bpf_obj_drop", _))));
    let twice = new(1) + "mov %r1, %r6\n@bpf_obj_drop\nmov %r1, %r6\n@bpf_obj_drop\nexit";
    assert!(matches!(bad(&twice), Err(TrapKind::BadArg("bpf_obj_drop", _))));
    let no_node = new(1) + "lddw %r1, $map+0\nmov %r2, %r6\nlddw %r3, $less\n@bpf_rbtree_add\n" + LESS;
    assert!(matches!(bad(&no_node), Err(TrapKind::BadArg("bpf_rbtree_add", _))));
    let no_root = new(1) + "mov %r1, 0\nmov %r2, %r6\nadd %r2, 8\nlddw %r3, $less\n@bpf_rbtree_add\n" + LESS;
    assert!(matches!(bad(&no_root), Err(TrapKind::BadAccess(_))));
    // Dropped while it is in the tree: it leaves the tree.
    let linked = add(1) + "mov %r1, %r6\n@bpf_obj_drop\nlddw %r1, $map+0\n@bpf_rbtree_first\n" + LESS;
    assert_eq!(bad(&linked), Ok(0));
    // A callback that takes nodes out of the tree it is asked about.
    let mean = "exit\nless:\nmov %r6, %r1\nlddw %r1, $map+0\n@bpf_rbtree_remove\nmov %r0, 0\nexit";
    assert_eq!(bad(&(add(1) + mean)), Ok(0));
    assert!(matches!(bad(&(add(2) + mean)), Err(TrapKind::BadArg("bpf_rbtree_add", _))));
}

#[test]
fn resilient_locks() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let mut run = |text: &str| go(&vm, &mut host, map, text);
    let lock = "lddw %r1, $map+0\n@bpf_res_spin_lock\n";
    let unlock = "mov %r6, %r0\nlddw %r1, $map+0\n@bpf_res_spin_unlock\nmov %r0, %r6\nexit";
    assert_eq!(run(&format!("{lock}{lock}{unlock}")), Ok(EDEADLK));
    assert!(matches!(run(&format!("{lock}exit")), Err(TrapKind::Lock(_))));
    assert_eq!(run(&format!("{lock}{unlock}")), Ok(0), "the trap gave it back");
    assert!(matches!(run(&format!("mov %r0, 0\n{unlock}")), Err(TrapKind::Lock(_))));
    let irq = "lddw %r1, $map+0\nmov %r2, %r10\nadd %r2, -8\n@bpf_res_spin_lock_irqsave\nlddw %r1, $map+0\nmov %r2, %r10\n\
               add %r2, -8\n@bpf_res_spin_unlock_irqrestore\nldxdw %r0, [%r10-8]\nexit";
    assert_eq!(run(irq), Ok(0x200));
}

#[test]
fn bits_one_by_one() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let count = |words: u32| {
        format!(
            "stdw [%r10-16], 0x21\nstdw [%r10-8], 2\nmov %r1, %r10\nadd %r1, -32\nmov %r2, %r10\nadd %r2, -16\nmov %r3, {words}\n\
             @bpf_iter_bits_new\njne %r0, 0, out\nmov %r7, 0\nnext:\nmov %r1, %r10\nadd %r1, -32\n@bpf_iter_bits_next\n\
             jeq %r0, 0, done\nldxw %r1, [%r0+0]\nlsh %r7, 8\nor %r7, %r1\nja next\ndone:\nmov %r1, %r10\nadd %r1, -32\n\
             @bpf_iter_bits_destroy\nmov %r0, %r7\nout:\nexit"
        )
    };
    assert_eq!(go(&vm, &mut host, map, &count(1)), Ok(0x0005));
    assert_eq!(go(&vm, &mut host, map, &count(2)), Ok(0x0541));
    assert_eq!(go(&vm, &mut host, map, &count(0)), Ok(EINVAL));
    assert_eq!(go(&vm, &mut host, map, &count(512)), Ok(-7i64 as u64));
    assert_eq!(go(&vm, &mut host, map, &count(511)), Ok(-14i64 as u64), "runs out of the stack");
}

#[test]
fn strings() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let spec = MapSpec {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
        ..MapSpec::default()
    };
    let map = vm.map_create(&spec).expect("a good map");
    let at = vm.map_value_addr(map, 0).expect("an array");
    vm.region().write_bytes(at, b"Hello world\0hello\0wor\0lo\0");
    let mut ask = |kfunc: &str, a: u32, b: u32, c: u32| {
        let text = format!("lddw %r1, $map+{a}\nlddw %r2, $map+{b}\nmov %r3, {c}\n@{kfunc}\nexit");
        go(&vm, &mut host, map, &text).expect("runs") as i64
    };
    assert_eq!(ask("bpf_strcmp", 0, 12, 0), -1);
    assert_eq!(ask("bpf_strcasecmp", 0, 12, 0), 1, "the first is longer");
    assert_eq!(ask("bpf_strncasecmp", 0, 12, 5), 0);
    assert_eq!(ask("bpf_strstr", 0, 18, 0), 6);
    assert_eq!(ask("bpf_strnstr", 0, 18, 8), -2);
    assert_eq!(ask("bpf_strnstr", 0, 18, 9), 6);
    assert_eq!(ask("bpf_strspn", 12, 0, 0), 0, "h is not in it, H is");
    assert_eq!(ask("bpf_strcspn", 0, 18, 0), 4, "the first o");
    assert_eq!(ask("bpf_strlen", 0, 0, 0), 11);
    let mut with_char = |kfunc: &str, c: u32| {
        let text = format!("lddw %r1, $map+0\nmov %r2, {c}\nmov %r3, {c}\n@{kfunc}\nexit");
        go(&vm, &mut host, map, &text).expect("runs") as i64
    };
    assert_eq!(with_char("bpf_strchr", 'l'.into()), 2);
    assert_eq!(with_char("bpf_strrchr", 'l'.into()), 9);
    assert_eq!(with_char("bpf_strchr", 'z'.into()), -2);
    assert_eq!(with_char("bpf_strchrnul", 'z'.into()), 11);
    let mut bad = |addr: &str| {
        let text = format!("lddw %r1, {addr}\n@bpf_strlen\nexit");
        go(&vm, &mut host, map, &text).expect("runs") as i64
    };
    assert_eq!(bad("4096"), -34);
    assert_eq!(bad("-4096"), -14);
}

#[test]
fn an_object_for_each_cpu() {
    for sanitize in [false, true] {
        let (vm, mut host) = (vm(sanitize), TestHost::default());
        let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
        let on = |cpu: u32| format!("mov %r1, %r6\nmov %r2, {cpu}\ncall 153\n");
        let new = "mov %r1, 8\n@bpf_percpu_obj_new\nmov %r6, %r0\n";
        let drop = "mov %r1, %r6\n@bpf_percpu_obj_drop\n";
        let (zero, one) = (on(0), on(1));
        let text = format!(
            "{new}{zero}stdw [%r0+8], 5\n{one}stdw [%r0+8], 6\nmov %r1, %r6\ncall 154\nldxdw %r7, [%r0+8]\n\
             {one}ldxdw %r8, [%r0+8]\n{drop}lsh %r7, 8\nadd %r7, %r8\nmov %r0, %r7\nexit"
        );
        assert_eq!(go(&vm, &mut host, map, &text), Ok(0x506));
        assert_eq!(vm.nr_objects(), 0);
        assert_eq!(
            go(&vm, &mut host, map, &format!("{new}{}mov %r7, %r0\n{drop}mov %r0, %r7\nexit", on(2))),
            Ok(0)
        );
        let gone = go(&vm, &mut host, map, &format!("{new}{drop}{zero}exit"));
        assert!(matches!(gone, Err(TrapKind::BadArg("bpf_per_cpu_ptr", _))), "{gone:?}");
    }
}

#[test]
fn a_throw_ends_the_program_with_its_cookie() {
    let (vm, mut host) = (vm(true), TestHost::default());
    let map = roots(&vm, BPF_MAP_TYPE_ARRAY);
    let deep = "call local f\nmov %r0, 1\nexit\nf:\ncall local g\nmov %r0, 2\nexit\ng:\nmov %r1, 77\n@bpf_throw\nmov %r0, 3\nexit";
    assert_eq!(go(&vm, &mut host, map, deep), Ok(77));
    assert_eq!(go(&vm, &mut host, map, "mov %r0, 4\nexit"), Ok(4), "the next run is not thrown");
}

host::compiled_too! {
    an_object_for_each_cpu
    a_throw_ends_the_program_with_its_cookie
    a_tree_gives_its_nodes_in_order
    a_linked_node_cannot_be_linked_again_and_costs_a_reference
    lists_push_pop_and_delete
    what_a_map_owns_goes_with_it
    lists_in_objects_are_freed_however_deep
    misuse_ends_the_program_not_the_vm
    resilient_locks
    bits_one_by_one
    strings
}
