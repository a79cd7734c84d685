//! What one object brought into a vm goes in one piece, and takes nothing of another's with it.

mod host;

use host::vm;
use sextant_abi::{Mem, ProgramImage};
use sextant_vm::map::*;
use sextant_vm::{Errno, MapId, MapSpec, SpecialField, Vm};

/// An array and a mmapable one of one value, a hash, an array with an owning pointer, and a program.
fn load(vm: &Vm) -> [MapId; 4] {
    let make = |map_type, flags, fields: Vec<(u32, SpecialField)>| {
        let spec = MapSpec {
            map_type,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags,
            fields,
            ..MapSpec::default()
        };
        vm.map_create(&spec).expect("a good map")
    };
    let kptr = vec![(0, SpecialField::Kptr { btf_id: 7 })];
    let maps = [
        make(BPF_MAP_TYPE_ARRAY, 0, Vec::new()),
        make(BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, Vec::new()),
        make(BPF_MAP_TYPE_HASH, 0, Vec::new()),
        make(BPF_MAP_TYPE_ARRAY, 0, kptr),
    ];
    for map in &maps[..3] {
        vm.map_update(*map, &[0; 4], &[0x5a; 8], 0).expect("room");
    }
    vm.prog_add(ProgramImage { name: "exits".into(), ..ProgramImage::default() });
    maps
}

fn at(vm: &Vm, map: MapId) -> u64 {
    vm.map_value_addr(map, 0).expect("an array")
}

#[test]
fn what_came_between_two_marks_goes_and_nothing_else() {
    let vm = vm(false);
    let first = load(&vm);
    let before = vm.mark();
    let second = load(&vm);
    let after = vm.mark();
    let third = load(&vm);
    let kptr = at(&vm, second[3]);
    vm.region().store(kptr, 8, 0x1234);
    let values = [at(&vm, second[0]), at(&vm, second[1])];
    assert_eq!(vm.nr_live(), (12, 3));

    vm.free_between(before, after);
    assert_eq!(vm.nr_live(), (8, 2));
    for map in second {
        assert_eq!(vm.map_lookup(map, &[0; 4], 0), Err(Errno::EBADF));
    }
    // Its memory reads as zeroes, and what it owned is somebody's to put.
    for value in values {
        assert_eq!(vm.region().load(value, 8), 0);
    }
    let dropped = vm.take_dropped_kptrs();
    assert_eq!(dropped.iter().map(|kptr| (kptr.btf_id, kptr.addr)).collect::<Vec<_>>(), [(7, 0x1234)]);
    for map in [first, third].iter().flat_map(|maps| &maps[..3]) {
        assert_eq!(vm.map_lookup(*map, &[0; 4], 0), Ok(vec![0x5a; 8]));
    }
}
