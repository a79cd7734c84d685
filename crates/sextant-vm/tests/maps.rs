//! Every map type from bpf(2)'s side, with the kernel's error numbers.

mod host;

use host::vm;
use sextant_abi::{Mem, ObjKind};
use sextant_vm::map::*;
use sextant_vm::{Errno, MapId, MapSpec, SpecialField, Vm};

fn spec(map_type: u32, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec { map_type, key_size, value_size, max_entries, ..MapSpec::default() }
}

fn make(vm: &Vm, spec: MapSpec) -> MapId {
    vm.map_create(&spec).expect("a good map")
}

fn key(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

fn val(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

fn keys(vm: &Vm, id: MapId) -> Vec<u32> {
    let mut out = Vec::new();
    let mut at = vm.map_next_key(id, None);
    while let Ok(key) = at {
        out.push(u32::from_le_bytes(key.as_slice().try_into().expect("4 bytes")));
        at = vm.map_next_key(id, Some(&key));
    }
    out
}

#[test]
fn creation_is_validated_as_the_kernel_does() {
    let vm = vm(false);
    let with = |base: &MapSpec, flags: u32| MapSpec { flags, ..base.clone() };
    let array = spec(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
    let hash = spec(BPF_MAP_TYPE_HASH, 4, 8, 1);
    let lru = spec(BPF_MAP_TYPE_LRU_HASH, 4, 8, 1);
    let queue = spec(BPF_MAP_TYPE_QUEUE, 0, 8, 1);
    let storage =
        MapSpec { has_value_btf: true, flags: BPF_F_NO_PREALLOC, ..spec(BPF_MAP_TYPE_TASK_STORAGE, 4, 8, 0) };
    let percpu = spec(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
    for (spec, want) in [
        (array.clone(), None),
        (spec(BPF_MAP_TYPE_ARRAY, 8, 8, 1), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_ARRAY, 4, 0, 1), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_ARRAY, 4, 8, 0), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_ARRAY, 4, 1 << 31, 1), Some(Errno::E2BIG)),
        (spec(BPF_MAP_TYPE_ARRAY, 4, 1 << 30, 1 << 30), Some(Errno::ENOMEM)),
        (with(&array, BPF_F_NO_PREALLOC), Some(Errno::EINVAL)),
        (with(&array, BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG), Some(Errno::EINVAL)),
        (with(&percpu, BPF_F_MMAPABLE), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32 << 10, 1), None),
        (spec(BPF_MAP_TYPE_PERCPU_ARRAY, 4, (32 << 10) + 1, 1), Some(Errno::E2BIG)),
        (hash.clone(), None),
        (spec(BPF_MAP_TYPE_HASH, 0, 8, 1), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_HASH, 4, 0, 1), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_HASH, 4, 8, 0), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_HASH, 4, 1 << 22, 1), Some(Errno::E2BIG)),
        (with(&hash, BPF_F_MMAPABLE), Some(Errno::EINVAL)),
        (with(&hash, BPF_F_NO_COMMON_LRU), Some(Errno::EINVAL)),
        (with(&lru, BPF_F_NO_COMMON_LRU), None),
        (with(&lru, BPF_F_NO_PREALLOC), Some(Errno::ENOTSUPP)),
        (queue.clone(), None),
        (spec(BPF_MAP_TYPE_QUEUE, 4, 8, 1), Some(Errno::EINVAL)),
        (spec(BPF_MAP_TYPE_STACK, 0, 0, 1), Some(Errno::EINVAL)),
        (with(&queue, BPF_F_NO_PREALLOC), Some(Errno::EINVAL)),
        (storage.clone(), None),
        (with(&storage, 0), Some(Errno::EINVAL)),
        (MapSpec { max_entries: 1, ..storage.clone() }, Some(Errno::EINVAL)),
        (MapSpec { has_value_btf: false, ..storage.clone() }, Some(Errno::EINVAL)),
        (MapSpec { value_size: 1 << 16, ..storage }, Some(Errno::E2BIG)),
        (spec(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1), Some(Errno::EBADF)),
        (MapSpec { inner: Some(MapId(99)), ..spec(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1) }, Some(Errno::EBADF)),
        (spec(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 8, 1), Some(Errno::EINVAL)),
        (MapSpec { fields: vec![(4, SpecialField::Timer)], ..array }, Some(Errno::EINVAL)),
        (spec(27, 0, 0, 4096), None),
        (spec(27, 0, 0, 4095), Some(Errno::EINVAL)),
        (spec(27, 4, 0, 4096), Some(Errno::EINVAL)),
        (spec(31, 0, 0, 12288), Some(Errno::EINVAL)),
        (spec(11, 8, 4, 1), Some(Errno::EINVAL)),
        (spec(9999, 4, 4, 1), Some(Errno::EINVAL)),
    ] {
        assert_eq!(vm.map_create(&spec).err(), want, "{spec:?}");
    }
}

#[test]
fn arrays() {
    let vm = vm(true);
    let id = make(&vm, spec(BPF_MAP_TYPE_ARRAY, 4, 8, 3));
    assert_eq!(vm.map_lookup(id, &key(2), 0), Ok(val(0).to_vec()));
    assert_eq!(vm.map_lookup(id, &key(3), 0), Err(Errno::ENOENT));
    assert_eq!(vm.map_update(id, &key(2), &val(7), BPF_ANY), Ok(()));
    assert_eq!(vm.map_update(id, &key(2), &val(8), BPF_EXIST), Ok(()));
    assert_eq!(vm.map_update(id, &key(2), &val(9), BPF_NOEXIST), Err(Errno::EEXIST));
    assert_eq!(vm.map_update(id, &key(2), &val(9), 3), Err(Errno::EINVAL));
    assert_eq!(vm.map_update(id, &key(2), &val(9), BPF_F_LOCK), Err(Errno::EINVAL), "no lock in the value");
    assert_eq!(vm.map_update(id, &key(3), &val(9), BPF_ANY), Err(Errno::E2BIG));
    assert_eq!(vm.map_update(id, &key(2), &[0; 4], BPF_ANY), Err(Errno::EINVAL), "short value");
    assert_eq!(vm.map_lookup(id, &key(2), 0), Ok(val(8).to_vec()));
    assert_eq!(vm.map_delete(id, &key(2)), Err(Errno::EINVAL));
    assert_eq!(vm.map_lookup_and_delete(id, &key(2)), Err(Errno::ENOTSUPP));
    assert_eq!(keys(&vm, id), [0, 1, 2]);
    assert_eq!(vm.map_next_key(id, Some(&key(77))), Ok(key(0).to_vec()));
    assert_eq!(vm.map_value_addr(id, 8), vm.map_value_addr(id, 0).map(|a| a + 8));
    assert_eq!(vm.map_value_addr(id, 24), None);
    assert_eq!(vm.map_lookup(MapId(99), &key(0), 0), Err(Errno::EBADF));
}

#[test]
fn hashes_keep_the_order_of_insertion() {
    let vm = vm(true);
    let id = make(&vm, spec(BPF_MAP_TYPE_HASH, 4, 8, 4));
    assert_eq!(vm.map_next_key(id, None), Err(Errno::ENOENT));
    for n in [30, 10, 20] {
        assert_eq!(vm.map_update(id, &key(n), &val(n.into()), BPF_NOEXIST), Ok(()));
    }
    assert_eq!(vm.map_update(id, &key(10), &val(11), BPF_NOEXIST), Err(Errno::EEXIST));
    assert_eq!(vm.map_update(id, &key(40), &val(1), BPF_EXIST), Err(Errno::ENOENT));
    assert_eq!(vm.map_update(id, &key(10), &val(12), BPF_EXIST), Ok(()));
    assert_eq!(keys(&vm, id), [30, 10, 20], "a replaced element keeps its place");
    assert_eq!(vm.map_lookup(id, &key(10), 0), Ok(val(12).to_vec()));
    assert_eq!(vm.map_delete(id, &key(30)), Ok(()));
    assert_eq!(vm.map_delete(id, &key(30)), Err(Errno::ENOENT));
    for n in [50, 30] {
        assert_eq!(vm.map_update(id, &key(n), &val(n.into()), BPF_ANY), Ok(()));
    }
    assert_eq!(keys(&vm, id), [10, 20, 50, 30]);
    assert_eq!(vm.map_update(id, &key(60), &val(1), BPF_ANY), Err(Errno::E2BIG));
    assert_eq!(vm.map_lookup_and_delete(id, &key(20)), Ok(val(20).to_vec()));
    assert_eq!(keys(&vm, id), [10, 50, 30]);
    assert_eq!(vm.map_next_key(id, Some(&key(99))), Ok(key(10).to_vec()), "unknown key: the first");
    assert_eq!(vm.map_lookup(id, &key(99), 0), Err(Errno::ENOENT));
    assert_eq!(vm.map_lookup(id, &key(10), BPF_EXIST), Err(Errno::EINVAL));
    assert_eq!(vm.map_lookup(id, &[0; 3], 0), Err(Errno::EINVAL));
}

#[test]
fn hashes_agree_with_a_model() {
    let vm = vm(true);
    let id = make(&vm, spec(BPF_MAP_TYPE_HASH, 4, 8, 20));
    let mut model: Vec<(u32, u64)> = Vec::new();
    let mut seed = 1u64;
    for step in 0..5_000u64 {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let n = (seed >> 33) as u32 % 30;
        let at = model.iter().position(|(k, _)| *k == n);
        if seed >> 62 == 0 {
            let want = at
                .map(|at| {
                    model.remove(at);
                })
                .ok_or(Errno::ENOENT);
            assert_eq!(vm.map_delete(id, &key(n)), want);
        } else {
            let want = if at.is_none() && model.len() == 20 { Err(Errno::E2BIG) } else { Ok(()) };
            assert_eq!(vm.map_update(id, &key(n), &val(step), BPF_ANY), want);
            match at {
                Some(at) => model[at].1 = step,
                None if want.is_ok() => model.push((n, step)),
                None => {}
            }
        }
    }
    assert_eq!(keys(&vm, id), model.iter().map(|(k, _)| *k).collect::<Vec<_>>());
    for (k, v) in model {
        assert_eq!(vm.map_lookup(id, &key(k), 0), Ok(val(v).to_vec()));
    }
}

#[test]
fn lru_hashes_make_room() {
    let vm = vm(true);
    let id = make(&vm, spec(BPF_MAP_TYPE_LRU_HASH, 4, 8, 3));
    for n in 0..3 {
        assert_eq!(vm.map_update(id, &key(n), &val(n.into()), BPF_ANY), Ok(()));
    }
    // A program's look-up counts as use, bpf(2)'s does not.
    let asm = "stw [%r10-4], 0\nlddw %r1, 0\nmov %r2, %r10\nadd %r2, -4\ncall 1\nldxdw %r0, [%r0+0]\nexit";
    let run = host::run(&vm, &mut host::TestHost::default(), asm, &[(1, host::map(id))]);
    assert_eq!(run.map(|r| r.r0), Ok(0));
    vm.map_lookup(id, &key(1), 0).expect("there");
    assert_eq!(vm.map_update(id, &key(3), &val(3), BPF_ANY), Ok(()));
    assert_eq!(vm.map_lookup(id, &key(1), 0), Err(Errno::ENOENT), "the oldest that nobody looked up");
    assert_eq!(vm.map_lookup(id, &key(0), 0), Ok(val(0).to_vec()));
    assert_eq!(keys(&vm, id).len(), 3);
}

#[test]
fn percpu_values_are_padded_and_one_for_each_cpu() {
    let vm = vm(true);
    for map_type in [BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH] {
        let id = make(&vm, spec(map_type, 4, 5, 2));
        assert_eq!(vm.map_user_value_size(id, 0), Some(16));
        let bytes: Vec<u8> = (1..=16).collect();
        assert_eq!(vm.map_update(id, &key(1), &bytes, BPF_ANY), Ok(()));
        let want = [1, 2, 3, 4, 5, 0, 0, 0, 9, 10, 11, 12, 13, 0, 0, 0];
        assert_eq!(vm.map_lookup(id, &key(1), 0), Ok(want.to_vec()), "padding does not travel");
        assert_eq!(vm.map_update(id, &key(1), &[0; 5], BPF_ANY), Err(Errno::EINVAL));
    }
}

/// Found by cargo-fuzz: the last key there can be overflowed.
#[test]
fn a_key_behind_an_array_starts_it_again() {
    let vm = vm(false);
    let id = make(&vm, spec(BPF_MAP_TYPE_ARRAY, 4, 8, 2));
    for beyond in [2, 7, u32::MAX] {
        assert_eq!(vm.map_next_key(id, Some(&key(beyond))), Ok(key(0).to_vec()));
    }
    assert_eq!(vm.map_next_key(id, Some(&key(1))), Err(Errno::ENOENT));
}

/// BPF_F_CPU and BPF_F_ALL_CPUS.
#[test]
fn percpu_values_of_one_cpu_and_of_all() {
    let vm = vm(true);
    let on = |cpu: u64| BPF_F_CPU | cpu << 32;
    for map_type in [BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH] {
        let id = make(&vm, spec(map_type, 4, 5, 2));
        assert_eq!(vm.map_user_value_size(id, on(1)), Some(5));
        assert_eq!(vm.map_update(id, &key(1), &[7; 5], on(1)), Ok(()), "a new element's others are zero");
        assert_eq!(vm.map_lookup(id, &key(1), 0), Ok(vec![0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 0, 0, 0]));
        assert_eq!(vm.map_lookup(id, &key(1), on(1)), Ok(vec![7; 5]));
        assert_eq!(vm.map_lookup(id, &key(1), on(0)), Ok(vec![0; 5]));
        assert_eq!(vm.map_update(id, &key(1), &[9; 5], BPF_F_ALL_CPUS), Ok(()));
        assert_eq!(vm.map_lookup(id, &key(1), on(0)), Ok(vec![9; 5]));
        assert_eq!(vm.map_lookup(id, &key(1), on(1)), Ok(vec![9; 5]));
        assert_eq!(vm.map_lookup(id, &key(1), on(2)), Err(Errno::ERANGE), "two CPUs");
        assert_eq!(vm.map_lookup(id, &key(1), 1 << 32), Err(Errno::EINVAL), "a CPU without the flag");
        assert_eq!(vm.map_lookup(id, &key(1), BPF_F_ALL_CPUS), Err(Errno::EINVAL));
        assert_eq!(vm.map_update(id, &key(1), &[9; 5], on(0) | BPF_F_ALL_CPUS), Err(Errno::EINVAL));
        assert_eq!(vm.map_update(id, &key(1), &[9; 16], on(0)), Err(Errno::EINVAL), "one value");
    }
    let id = make(&vm, spec(BPF_MAP_TYPE_ARRAY, 4, 5, 2));
    assert_eq!(vm.map_update(id, &key(1), &[9; 5], on(0)), Err(Errno::EINVAL), "not per CPU");
}

#[test]
fn queues_and_stacks() {
    let vm = vm(true);
    for (map_type, order) in [(BPF_MAP_TYPE_QUEUE, [1, 2, 3]), (BPF_MAP_TYPE_STACK, [3, 2, 1])] {
        let id = make(&vm, spec(map_type, 0, 8, 3));
        assert_eq!(vm.map_lookup(id, &[], 0), Err(Errno::ENOENT));
        for n in 1..=3 {
            assert_eq!(vm.map_update(id, &[], &val(n), BPF_ANY), Ok(()));
        }
        assert_eq!(vm.map_update(id, &[], &val(4), BPF_ANY), Err(Errno::E2BIG));
        assert_eq!(vm.map_update(id, &[], &val(4), BPF_NOEXIST), Err(Errno::EINVAL));
        for n in order {
            assert_eq!(vm.map_lookup(id, &[], 0), Ok(val(n).to_vec()));
            assert_eq!(vm.map_lookup_and_delete(id, &[]), Ok(val(n).to_vec()));
        }
        assert_eq!(vm.map_lookup_and_delete(id, &[]), Err(Errno::ENOENT));
        assert_eq!(vm.map_next_key(id, None), Err(Errno::EINVAL));
        assert_eq!(vm.map_delete(id, &[]), Err(Errno::EINVAL));
    }
    let id = make(&vm, spec(BPF_MAP_TYPE_QUEUE, 0, 8, 2));
    for n in 1..=3 {
        assert_eq!(vm.map_update(id, &[], &val(n), BPF_EXIST), Ok(()), "EXIST pushes the oldest out");
    }
    assert_eq!(vm.map_lookup_and_delete(id, &[]), Ok(val(2).to_vec()));
    assert_eq!(vm.map_lookup_and_delete(id, &[]), Ok(val(3).to_vec()));
}

#[test]
fn storage_goes_with_its_owner() {
    let vm = vm(true);
    let flags = BPF_F_NO_PREALLOC;
    let make_one =
        || make(&vm, MapSpec { has_value_btf: true, flags, ..spec(BPF_MAP_TYPE_TASK_STORAGE, 4, 8, 0) });
    let (a, b) = (make_one(), make_one());
    let task = vm.region().alloc(ObjKind::Task, 64);
    assert_eq!(vm.storage_lookup(a, task), Err(Errno::ENOENT));
    assert_eq!(vm.storage_update(a, task, &val(5), BPF_EXIST), Err(Errno::ENOENT));
    assert_eq!(vm.storage_update(a, task, &val(5), BPF_NOEXIST), Ok(()));
    assert_eq!(vm.storage_update(a, task, &val(5), BPF_NOEXIST), Err(Errno::EEXIST));
    assert_eq!(vm.storage_lookup(a, task), Ok(val(5).to_vec()));
    assert_eq!(vm.storage_lookup(b, task), Err(Errno::ENOENT));
    vm.storage_update(b, task, &val(6), BPF_ANY).expect("made");
    assert_eq!(vm.storage_delete(b, task), Ok(()));
    assert_eq!(vm.storage_delete(b, task), Err(Errno::ENOENT));
    vm.task_gone(task);
    assert_eq!(vm.storage_lookup(a, task), Err(Errno::ENOENT));
    assert_eq!(vm.map_next_key(a, None), Err(Errno::ENOTSUPP));
}

#[test]
fn maps_of_maps_hold_ids() {
    let vm = vm(true);
    let inner = spec(BPF_MAP_TYPE_ARRAY, 4, 8, 2);
    let (a, b) = (make(&vm, inner.clone()), make(&vm, inner));
    let other = make(&vm, spec(BPF_MAP_TYPE_ARRAY, 4, 16, 2));
    for map_type in [BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS] {
        let outer = make(&vm, MapSpec { inner: Some(a), ..spec(map_type, 4, 4, 2) });
        assert_eq!(vm.map_update(outer, &key(1), &b.0.to_le_bytes(), BPF_ANY), Ok(()));
        assert_eq!(vm.map_update(outer, &key(0), &other.0.to_le_bytes(), BPF_ANY), Err(Errno::EINVAL));
        assert_eq!(vm.map_update(outer, &key(0), &99u32.to_le_bytes(), BPF_ANY), Err(Errno::EBADF));
        assert_eq!(vm.map_lookup(outer, &key(1), 0), Ok(b.0.to_le_bytes().to_vec()));
        assert_eq!(vm.map_lookup(outer, &key(0), 0), Err(Errno::ENOENT));
        assert_eq!(vm.map_delete(outer, &key(1)), Ok(()));
        assert_eq!(vm.map_delete(outer, &key(1)), Err(Errno::ENOENT));
        let nested = MapSpec { inner: Some(outer), ..spec(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2) };
        assert_eq!(vm.map_create(&nested), Err(Errno::EINVAL));
    }
}

#[test]
fn frozen_maps_are_constants() {
    let vm = vm(true);
    let flags = BPF_F_RDONLY_PROG | BPF_F_MMAPABLE;
    let id = make(&vm, MapSpec { flags, ..spec(BPF_MAP_TYPE_ARRAY, 4, 8, 1) });
    vm.map_update(id, &key(0), &val(0x0102_0304), BPF_ANY).expect("not frozen yet");
    assert_eq!(vm.frozen_read(id, 0, 4), None);
    assert_eq!(vm.map_freeze(id), Ok(()));
    assert_eq!(vm.map_freeze(id), Err(Errno::EBUSY));
    assert_eq!(vm.map_update(id, &key(0), &val(1), BPF_ANY), Err(Errno::EPERM));
    assert_eq!(vm.frozen_read(id, 1, 2), Some(0x0203));
    assert_eq!(vm.frozen_read(id, 4, 8), None, "over the end");
    assert_eq!(vm.frozen_read(id, u32::MAX, 8), None);
    let writable = make(&vm, spec(BPF_MAP_TYPE_ARRAY, 4, 8, 1));
    vm.map_freeze(writable).expect("frozen for bpf(2)");
    assert_eq!(vm.frozen_read(writable, 0, 8), None, "programs may write it");
    let blob = make(&vm, spec(BPF_MAP_TYPE_STRUCT_OPS, 4, 8, 1));
    assert_eq!(vm.map_freeze(blob), Err(Errno::ENOTSUPP));
    vm.map_update(blob, &key(0), &val(3), BPF_ANY).expect("bytes");
    assert_eq!(vm.map_lookup(blob, &key(0), 0), Ok(val(3).to_vec()));
    let sys_ro = make(&vm, MapSpec { flags: BPF_F_RDONLY, ..spec(BPF_MAP_TYPE_ARRAY, 4, 8, 1) });
    assert_eq!(vm.map_update(sys_ro, &key(0), &val(1), BPF_ANY), Err(Errno::EPERM));
    let sys_wo = make(&vm, MapSpec { flags: BPF_F_WRONLY, ..spec(BPF_MAP_TYPE_ARRAY, 4, 8, 1) });
    assert_eq!(vm.map_lookup(sys_wo, &key(0), 0), Err(Errno::EPERM));
}

#[test]
fn special_fields_stay_the_kernels() {
    let vm = vm(true);
    let fields = vec![(4, SpecialField::SpinLock), (8, SpecialField::Kptr { btf_id: 7 })];
    let array = MapSpec { fields, ..spec(BPF_MAP_TYPE_ARRAY, 4, 24, 1) };
    let hash = MapSpec { map_type: BPF_MAP_TYPE_HASH, ..array.clone() };
    let id = make(&vm, array);
    assert_eq!(vm.map_update(id, &key(0), &[0xff; 24], BPF_F_LOCK), Ok(()));
    let base = vm.map_value_addr(id, 0).expect("an array");
    assert_eq!(vm.region().load(base, 8), 0xffff_ffff);
    assert_eq!(vm.region().load(base + 8, 8), 0);
    assert_eq!(vm.region().load(base + 16, 8), u64::MAX);
    vm.region().store(base + 8, 8, 0x1234);
    let read = vm.map_lookup(id, &key(0), 0).expect("there");
    assert_eq!(&read[4..16], &[0; 12], "neither lock nor pointer is shown");
    assert_eq!(vm.map_freeze(id), Err(Errno::ENOTSUPP));
    vm.map_update(id, &key(0), &[0; 24], BPF_ANY).expect("an update drops what the value owned");
    let dropped = vm.take_dropped_kptrs();
    assert_eq!(dropped, [sextant_vm::DroppedKptr { btf_id: 7, addr: 0x1234 }]);
    vm.region().store(base + 8, 8, 0x1234);
    vm.map_free(id);
    assert_eq!(vm.take_dropped_kptrs(), dropped);
    assert_eq!(vm.take_dropped_kptrs(), []);
    let id = make(&vm, hash);
    vm.map_update(id, &key(0), &[0xff; 24], BPF_ANY).expect("an element");
    vm.map_delete(id, &key(0)).expect("gone");
    assert_eq!(vm.take_dropped_kptrs(), [], "it held none");
}
