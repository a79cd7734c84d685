//! Programs in assembler text, with maps, kfuncs by name (`call kfunc name`) and maps by name (`lddw map_fd %r1, 0` with a reloc).
#![allow(dead_code, reason = "each test file uses a part")]

use sextant_abi::image::{Insn, Reloc};
use sextant_abi::tables::{KfuncId, Op, bpf};
use sextant_bpf::asm::assemble;
use sextant_verifier::{
    Accepted, Code, MapDesc, ProgKind, Program, Rejection, SpecialFields, verify, verify_with_log,
};

/// A program under test.
pub struct Test {
    pub kind: ProgKind<'static>,
    pub sleepable: bool,
    pub state_freq: bool,
    pub gpl: bool,
    pub has_helper: Option<fn(u32) -> bool>,
    pub strict_alignment: bool,
    pub maps: Vec<MapDesc<'static>>,
    pub insns: Vec<Insn>,
    pub relocs: Vec<(u32, Reloc)>,
    /// Frozen read-only bytes of map 1.
    pub rodata: Vec<u8>,
}

/// A program of ops.enqueue. `@name` after `call` is a kfunc or a helper; `lddw %r1, @map N` a map, `@value N+off` a place in value 0.
pub fn program(text: &str) -> Test {
    let mut relocs = Vec::new();
    let mut lines = Vec::new();
    let mut slot = 0u32;
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default().trim();
        let line = match code.split_once('@') {
            Some((head, name)) if head.starts_with("call") => call(name, slot, &mut relocs),
            Some((head, rest)) if head.starts_with("lddw") => place(head, rest, slot, &mut relocs),
            _ => code.to_string(),
        };
        let is_insn = !line.is_empty() && !line.ends_with(':');
        slot += if line.starts_with("lddw") { 2 } else { u32::from(is_insn) };
        lines.push(line);
    }
    let insns = assemble(&lines.join("\n")).unwrap_or_else(|e| panic!("{e}\n{}", lines.join("\n")));
    let kind = ProgKind::StructOps { op: Op::Enqueue, cid_form: false };
    Test {
        kind,
        sleepable: false,
        state_freq: false,
        gpl: true,
        has_helper: None,
        strict_alignment: false,
        maps: maps(),
        insns,
        relocs,
        rodata: vec![7, 0, 0, 0, 0, 0, 0, 0],
    }
}

fn call(name: &str, slot: u32, relocs: &mut Vec<(u32, Reloc)>) -> String {
    if let Some(kfunc) = KfuncId::from_name(name) {
        relocs.push((slot, Reloc::Kfunc(kfunc.index())));
        return "call kfunc 1".into();
    }
    let found = sextant_abi::tables::HELPERS.iter().find(|h| h.name.strip_prefix("bpf_") == Some(name));
    let helper = found.unwrap_or_else(|| panic!("no helper or kfunc {name}"));
    format!("call {}", helper.id as u32)
}

fn place(head: &str, rest: &str, slot: u32, relocs: &mut Vec<(u32, Reloc)>) -> String {
    let (what, args) = rest.split_once(' ').expect("@map N or @value N+off");
    let reloc = match what {
        "map" => Reloc::Map(args.trim().parse().expect("map id")),
        "value" => {
            let (id, off) = args.split_once('+').unwrap_or((args, "0"));
            Reloc::MapValue(id.trim().parse().expect("map id"), off.trim().parse().expect("offset"))
        }
        _ => panic!("lddw {what}"),
    };
    relocs.push((slot, reloc));
    format!("{}0", head)
}

/// 0: array of 4 values of 16 bytes; 1: frozen rodata of 8 bytes; 2: hash, 8-byte values; 3: task storage, 8 bytes; 4: ring buffer;
/// 5: arena; 6: array with a lock at 0 and a timer at 8; 7: global section of 64 bytes.
pub fn maps() -> Vec<MapDesc<'static>> {
    use sextant_verifier::program::{Field, FieldKind};
    let map = |id, name, map_type, key_size, value_size, max_entries| MapDesc {
        id,
        name,
        map_type,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        rdonly: false,
        fields: SpecialFields::default(),
        inner: None,
    };
    let mut maps = vec![
        map(0, "array", bpf::BPF_MAP_TYPE_ARRAY, 4, 16, 4),
        map(1, ".rodata", bpf::BPF_MAP_TYPE_ARRAY, 4, 8, 1),
        map(2, "hash", bpf::BPF_MAP_TYPE_HASH, 4, 8, 16),
        map(3, "task_ctx", bpf::BPF_MAP_TYPE_TASK_STORAGE, 4, 8, 0),
        map(4, "ring", bpf::BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
        map(5, "arena", bpf::BPF_MAP_TYPE_ARENA, 0, 0, 16),
        map(6, "locked", bpf::BPF_MAP_TYPE_ARRAY, 4, 32, 1),
        map(7, ".bss", bpf::BPF_MAP_TYPE_ARRAY, 4, 64, 1),
    ];
    maps[1].rdonly = true;
    maps[6].fields.0 =
        vec![Field { offset: 0, kind: FieldKind::SpinLock }, Field { offset: 8, kind: FieldKind::Timer }];
    maps
}

impl Test {
    pub fn op(mut self, op: Op) -> Test {
        self.kind = ProgKind::StructOps { op, cid_form: false };
        self
    }

    pub fn kind(mut self, kind: ProgKind<'static>) -> Test {
        self.kind = kind;
        self
    }

    pub fn sleepable(mut self) -> Test {
        self.sleepable = true;
        self
    }

    pub fn verify(&self) -> Result<Accepted, Rejection> {
        self.with(verify)
    }

    pub fn verify_with_log(&self) -> (Result<Accepted, Rejection>, String) {
        self.with(verify_with_log)
    }

    pub fn log(&self) -> String {
        self.verify_with_log().1
    }

    fn with<T>(&self, verify: impl Fn(&Program<'_>) -> T) -> T {
        let read_only = |map: u32, off: u32, size: u32| {
            let bytes = self.rodata.get(off as usize..(off + size) as usize).filter(|_| map == 1)?;
            let mut wide = [0; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            Some(u64::from_le_bytes(wide))
        };
        verify(&Program {
            name: "test",
            insns: &self.insns,
            relocs: &self.relocs,
            kind: self.kind,
            sleepable: self.sleepable,
            state_freq: self.state_freq,
            gpl: self.gpl,
            has_helper: self.has_helper,
            strict_alignment: self.strict_alignment,
            nr_cpus: 8,
            maps: &self.maps,
            read_only: &read_only,
            btf: None,
            kernel_btf: None,
            func_info: &[],
            line_info: &[],
        })
    }

    #[track_caller]
    pub fn accepted(&self) -> Accepted {
        match self.verify() {
            Ok(accepted) => accepted,
            Err(rejection) => panic!("refused:\n{rejection}"),
        }
    }

    #[track_caller]
    pub fn refused(&self, code: Code, message: &str) -> Rejection {
        match self.verify() {
            Ok(_) => panic!("accepted, expected {code}: {message}"),
            Err(r) => {
                assert!(r.code == code && r.message.contains(message), "expected {code}: {message}\ngot {r}");
                r
            }
        }
    }
}
