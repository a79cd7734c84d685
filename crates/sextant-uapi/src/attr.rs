//! `union bpf_attr` as bytes: where each command's fields are and how far they reach. Mirrors include/uapi/linux/bpf.h and
//! the `*_LAST_FIELD`s of kernel/bpf/syscall.c, 7.3.

/// `sizeof(union bpf_attr)`.
pub const SIZE: usize = 168;

/// Attributes of one call, zero-extended to the kernel's size.
pub struct Attr {
    bytes: [u8; SIZE],
}

impl Attr {
    /// From what user space passed (at most `SIZE` bytes).
    pub fn new(given: &[u8]) -> Attr {
        let mut bytes = [0; SIZE];
        bytes[..given.len()].copy_from_slice(given);
        Attr { bytes }
    }

    /// The field at `offset`.
    pub fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.array(offset))
    }

    /// The field at `offset`.
    pub fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.array(offset))
    }

    /// The 16-byte object name at `offset`: `None` when it is not terminated or has a character the kernel refuses.
    pub fn name(&self, offset: usize) -> Option<String> {
        let field: [u8; 16] = self.array(offset);
        let len = field.iter().position(|&b| b == 0)?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        let terminated = field[len..].iter().all(|&b| b == 0);
        (terminated && field[..len].iter().all(|&b| good(b)))
            .then(|| String::from_utf8_lossy(&field[..len]).into_owned())
    }

    /// Whether all bytes behind a command's last field are zero (`CHECK_ATTR`).
    pub fn ends_at(&self, end: usize) -> bool {
        self.bytes[end..].iter().all(|&b| b == 0)
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[offset..offset + N]);
        out
    }
}

/// Commands (`enum bpf_cmd`).
#[allow(missing_docs)] // the kernel's names
pub mod cmd {
    pub const MAP_CREATE: u32 = 0;
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const MAP_UPDATE_ELEM: u32 = 2;
    pub const MAP_DELETE_ELEM: u32 = 3;
    pub const MAP_GET_NEXT_KEY: u32 = 4;
    pub const PROG_LOAD: u32 = 5;
    pub const OBJ_PIN: u32 = 6;
    pub const OBJ_GET: u32 = 7;
    pub const PROG_ATTACH: u32 = 8;
    pub const PROG_DETACH: u32 = 9;
    pub const PROG_TEST_RUN: u32 = 10;
    pub const PROG_GET_NEXT_ID: u32 = 11;
    pub const MAP_GET_NEXT_ID: u32 = 12;
    pub const PROG_GET_FD_BY_ID: u32 = 13;
    pub const MAP_GET_FD_BY_ID: u32 = 14;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const PROG_QUERY: u32 = 16;
    pub const RAW_TRACEPOINT_OPEN: u32 = 17;
    pub const BTF_LOAD: u32 = 18;
    pub const BTF_GET_FD_BY_ID: u32 = 19;
    pub const TASK_FD_QUERY: u32 = 20;
    pub const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
    pub const MAP_FREEZE: u32 = 22;
    pub const BTF_GET_NEXT_ID: u32 = 23;
    pub const MAP_LOOKUP_BATCH: u32 = 24;
    pub const MAP_LOOKUP_AND_DELETE_BATCH: u32 = 25;
    pub const MAP_UPDATE_BATCH: u32 = 26;
    pub const MAP_DELETE_BATCH: u32 = 27;
    pub const LINK_CREATE: u32 = 28;
    pub const LINK_UPDATE: u32 = 29;
    pub const LINK_GET_FD_BY_ID: u32 = 30;
    pub const LINK_GET_NEXT_ID: u32 = 31;
    pub const ENABLE_STATS: u32 = 32;
    pub const ITER_CREATE: u32 = 33;
    pub const LINK_DETACH: u32 = 34;
    pub const PROG_BIND_MAP: u32 = 35;
    pub const TOKEN_CREATE: u32 = 36;
    pub const PROG_STREAM_READ_BY_FD: u32 = 37;
    pub const PROG_ASSOC_STRUCT_OPS: u32 = 38;
    /// One past the last command.
    pub const MAX: u32 = 39;
    /// Flag: the call carries `struct bpf_common_attr` too.
    pub const COMMON_ATTRS: u32 = 1 << 16;
}

/// Name and end of the last field of every command, by number (`None`: 7.3 knows the command, Sextant refuses it whole).
pub const COMMANDS: [(&str, Option<usize>); cmd::MAX as usize] = [
    ("MAP_CREATE", Some(92)),
    ("MAP_LOOKUP_ELEM", Some(32)),
    ("MAP_UPDATE_ELEM", Some(32)),
    ("MAP_DELETE_ELEM", Some(16)),
    ("MAP_GET_NEXT_KEY", Some(24)),
    ("PROG_LOAD", Some(SIZE)),
    ("OBJ_PIN", Some(20)),
    ("OBJ_GET", Some(20)),
    ("PROG_ATTACH", None),
    ("PROG_DETACH", None),
    ("PROG_TEST_RUN", Some(76)),
    ("PROG_GET_NEXT_ID", Some(8)),
    ("MAP_GET_NEXT_ID", Some(8)),
    ("PROG_GET_FD_BY_ID", Some(4)),
    ("MAP_GET_FD_BY_ID", Some(12)),
    ("OBJ_GET_INFO_BY_FD", Some(16)),
    ("PROG_QUERY", None),
    ("RAW_TRACEPOINT_OPEN", Some(24)),
    ("BTF_LOAD", Some(40)),
    ("BTF_GET_FD_BY_ID", Some(16)),
    ("TASK_FD_QUERY", None),
    ("MAP_LOOKUP_AND_DELETE_ELEM", Some(32)),
    ("MAP_FREEZE", Some(4)),
    ("BTF_GET_NEXT_ID", Some(8)),
    ("MAP_LOOKUP_BATCH", Some(56)),
    ("MAP_LOOKUP_AND_DELETE_BATCH", Some(56)),
    ("MAP_UPDATE_BATCH", Some(56)),
    ("MAP_DELETE_BATCH", Some(56)),
    ("LINK_CREATE", Some(64)),
    ("LINK_UPDATE", None),
    ("LINK_GET_FD_BY_ID", None),
    ("LINK_GET_NEXT_ID", Some(8)),
    ("ENABLE_STATS", None),
    ("ITER_CREATE", None),
    ("LINK_DETACH", Some(4)),
    ("PROG_BIND_MAP", Some(12)),
    ("TOKEN_CREATE", Some(8)),
    ("PROG_STREAM_READ_BY_FD", None),
    ("PROG_ASSOC_STRUCT_OPS", Some(12)),
];

/// Field offsets of MAP_CREATE.
#[allow(missing_docs)] // the kernel's names
pub mod map_create {
    pub const MAP_TYPE: usize = 0;
    pub const KEY_SIZE: usize = 4;
    pub const VALUE_SIZE: usize = 8;
    pub const MAX_ENTRIES: usize = 12;
    pub const MAP_FLAGS: usize = 16;
    pub const INNER_MAP_FD: usize = 20;
    pub const MAP_NAME: usize = 28;
    pub const MAP_IFINDEX: usize = 44;
    pub const BTF_FD: usize = 48;
    pub const BTF_KEY_TYPE_ID: usize = 52;
    pub const BTF_VALUE_TYPE_ID: usize = 56;
    pub const BTF_VMLINUX_VALUE_TYPE_ID: usize = 60;
    pub const MAP_EXTRA: usize = 64;
    pub const VALUE_TYPE_BTF_OBJ_FD: usize = 72;
}

/// Field offsets of the element commands.
#[allow(missing_docs)] // the kernel's names
pub mod elem {
    pub const MAP_FD: usize = 0;
    pub const KEY: usize = 8;
    pub const VALUE: usize = 16;
    pub const FLAGS: usize = 24;
}

/// Field offsets of the batch commands.
#[allow(missing_docs)] // the kernel's names
pub mod batch {
    pub const IN_BATCH: usize = 0;
    pub const OUT_BATCH: usize = 8;
    pub const KEYS: usize = 16;
    pub const VALUES: usize = 24;
    pub const COUNT: usize = 32;
    pub const MAP_FD: usize = 36;
    pub const ELEM_FLAGS: usize = 40;
    pub const FLAGS: usize = 48;
}

/// Field offsets of PROG_LOAD.
#[allow(missing_docs)] // the kernel's names
pub mod prog_load {
    pub const PROG_TYPE: usize = 0;
    pub const INSN_CNT: usize = 4;
    pub const INSNS: usize = 8;
    pub const LICENSE: usize = 16;
    pub const LOG_LEVEL: usize = 24;
    pub const LOG_SIZE: usize = 28;
    pub const LOG_BUF: usize = 32;
    pub const PROG_FLAGS: usize = 44;
    pub const PROG_NAME: usize = 48;
    pub const EXPECTED_ATTACH_TYPE: usize = 68;
    pub const PROG_BTF_FD: usize = 72;
    pub const FUNC_INFO_REC_SIZE: usize = 76;
    pub const FUNC_INFO: usize = 80;
    pub const FUNC_INFO_CNT: usize = 88;
    pub const LINE_INFO_REC_SIZE: usize = 92;
    pub const LINE_INFO: usize = 96;
    pub const LINE_INFO_CNT: usize = 104;
    pub const ATTACH_BTF_ID: usize = 108;
    pub const ATTACH_PROG_FD: usize = 112;
    pub const FD_ARRAY: usize = 120;
    pub const LOG_TRUE_SIZE: usize = 140;
}

/// Field offsets of PROG_TEST_RUN.
#[allow(missing_docs)] // the kernel's names
pub mod test_run {
    pub const PROG_FD: usize = 0;
    pub const RETVAL: usize = 4;
    pub const DATA_SIZE_IN: usize = 8;
    pub const DATA_SIZE_OUT: usize = 12;
    pub const REPEAT: usize = 32;
    pub const DURATION: usize = 36;
    pub const CTX_SIZE_IN: usize = 40;
    pub const CTX_SIZE_OUT: usize = 44;
    pub const CTX_IN: usize = 48;
    pub const CTX_OUT: usize = 56;
    pub const FLAGS: usize = 64;
}

/// Field offsets of OBJ_PIN and OBJ_GET.
#[allow(missing_docs)] // the kernel's names
pub mod obj {
    pub const PATHNAME: usize = 0;
    pub const BPF_FD: usize = 8;
    pub const FILE_FLAGS: usize = 12;
    pub const PATH_FD: usize = 16;
}

/// Field offsets of BTF_LOAD.
#[allow(missing_docs)] // the kernel's names
pub mod btf_load {
    pub const BTF: usize = 0;
    pub const BTF_LOG_BUF: usize = 8;
    pub const BTF_SIZE: usize = 16;
    pub const BTF_LOG_SIZE: usize = 20;
    pub const BTF_LOG_LEVEL: usize = 24;
    pub const BTF_LOG_TRUE_SIZE: usize = 28;
    pub const BTF_FLAGS: usize = 32;
}

/// Field offsets of LINK_CREATE.
#[allow(missing_docs)] // the kernel's names
pub mod link_create {
    /// A map for struct_ops.
    pub const PROG_FD: usize = 0;
    pub const ATTACH_TYPE: usize = 8;
    pub const FLAGS: usize = 12;
    pub const UPROBE_MULTI_PATH: usize = 16;
    pub const UPROBE_MULTI_PID: usize = 56;
}

/// Field offsets of OBJ_GET_INFO_BY_FD.
#[allow(missing_docs)] // the kernel's names
pub mod info {
    pub const BPF_FD: usize = 0;
    pub const INFO_LEN: usize = 4;
    pub const INFO: usize = 8;
}
