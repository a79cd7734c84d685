//! What a test expects: the declaration tags that the macros of progs/bpf_misc.h leave in BTF.

use sextant_bpf::btf::{Btf, Kind, TypeId};

/// The tests run as on this machine.
const ARCH: &str = "X86_64";

/// An annotated program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Test {
    /// Its function.
    pub name: String,
    /// The kernel accepts it for a privileged user.
    pub success: bool,
    /// What the log must say, in order.
    pub messages: Vec<String>,
    /// Load flags.
    pub flags: u32,
    /// For other architectures, or for kernels without a JIT, only.
    pub foreign: bool,
    /// Text of the translated or compiled program is expected too.
    pub code: bool,
    /// The file whose BTF stands for the kernel's in CO-RE relocations (`__btf_path`).
    pub btf_path: Option<String>,
}

/// The annotated programs of an object, in order of their ids; a program with only unprivileged expectations is none.
pub fn tests(btf: &Btf) -> Vec<Test> {
    let funcs = btf.types().filter(|(_, ty)| matches!(ty.kind, Kind::Func { .. }));
    funcs.filter_map(|(id, _)| test(btf, id)).collect()
}

fn test(btf: &Btf, func: TypeId) -> Option<Test> {
    // comment:NUMBER:TAG, with the numbers in the order of the source.
    let mut tags: Vec<(u32, &str)> = btf
        .decl_tags(func)
        .filter_map(|(text, _)| text.strip_prefix("comment:")?.split_once(':'))
        .filter_map(|(number, tag)| Some((number.parse().ok()?, tag)))
        .collect();
    tags.sort_unstable();
    let has = |wanted: &str| tags.iter().any(|(_, tag)| *tag == wanted);
    let all = |name: &'static str| {
        tags.iter().filter_map(move |(_, tag)| tag.strip_prefix(name)?.strip_prefix('='))
    };
    let success = has("test_expect_success");
    if !success && !has("test_expect_failure") {
        return None;
    }
    let mut archs = all("test_arch").peekable();
    Some(Test {
        name: btf.name(func).to_owned(),
        success,
        messages: all("test_expect_msg").map(str::to_owned).collect(),
        flags: all("test_prog_flags").map(flag).fold(0, |all, one| all | one),
        foreign: has("load_mode=no_jited") || archs.peek().is_some() && !archs.any(|arch| arch == ARCH),
        btf_path: all("test_btf_path").next_back().map(str::to_owned),
        code: all("test_expect_xlated").next().is_some() || all("test_jited").next().is_some(),
    })
}

fn flag(text: &str) -> u32 {
    match text {
        "BPF_F_STRICT_ALIGNMENT" => 1 << 0,
        "BPF_F_ANY_ALIGNMENT" => 1 << 1,
        "BPF_F_TEST_RND_HI32" => 1 << 2,
        "BPF_F_TEST_STATE_FREQ" => 1 << 3,
        "BPF_F_SLEEPABLE" => 1 << 4,
        "BPF_F_XDP_HAS_FRAGS" => 1 << 5,
        "BPF_F_TEST_REG_INVARIANTS" => 1 << 7,
        other => other.parse().unwrap_or(0),
    }
}
