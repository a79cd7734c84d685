//! Judging: the verifier is asked about every program, of whatever type and with whatever maps, and nothing is run. This is how
//! the kernel's own verifier tests reach our verifier through the same libbpf (`sextant-judge`).
//!
//! What differs while a kernel judges: a map of a type that the vm lacks becomes a stand-in, which only the verifier sees; a
//! program's type and attach point are not looked at; a program is loaded whatever the answer is. libbpf's probes get the answers they
//! always get, because libbpf keeps them for the whole process.

use sextant_abi::ProgramImage;
use sextant_bpf::insn::Insn;
use sextant_verifier::{Accepted, Rejection};
use sextant_vm::MapId;

use super::prog::Refusal;
use super::{Kernel, MapObject, ProgObject, ProgType};
use crate::attr::{Attr, prog_load as f};

/// `BPF_F_SLEEPABLE`
const SLEEPABLE: u32 = 1 << 4;
/// Ids of stand-ins start here; the vm never gives out so many.
const STAND_IN: u32 = 1 << 31;
/// The names of libbpf's probes that have one.
const PROBES: [&str; 2] = ["det_arg_ctx", "libbpf_nametest"];

/// What became of a program.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The verifier accepted it.
    Accepted(Accepted),
    /// The verifier refused it.
    Refused(Rejection),
    /// What its instructions name could not be found, or may not be named so: the words for the log.
    Unresolved(String),
}

/// A program that was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its name: whole where its BTF was loaded, else the first 15 bytes.
    pub prog: String,
    /// Its type.
    pub prog_type: ProgType,
    /// Its name, instructions and what they name; without names when it is [`Outcome::Unresolved`].
    pub image: ProgramImage,
    /// The answer.
    pub outcome: Outcome,
}

impl Kernel {
    /// From now on programs are judged and not run, see the module docs.
    pub fn judge_programs(&self) {
        self.judging.set(true);
        self.verify_programs();
    }

    /// What was judged, oldest first.
    pub fn judged(&self) -> Vec<Judged> {
        self.judged.borrow().clone()
    }

    /// Whether this load is to be judged: a program of an object, no probe.
    pub(super) fn judges(&self, name: &str) -> bool {
        self.judging.get() && !name.is_empty() && !PROBES.contains(&name)
    }

    /// A map that only the verifier sees, in place of one that the vm lacks.
    pub(super) fn stand_in(&self, map: &MapObject) -> Option<MapId> {
        self.judging.get().then(|| *map.in_vm.get_or_init(|| MapId(STAND_IN | map.id)))
    }

    pub(super) fn judge_prog(&self, a: &Attr, name: String, insns: Vec<Insn>) -> Result<ProgObject, Refusal> {
        let prog_type = ProgType(a.u32(f::PROG_TYPE));
        let mut image = ProgramImage { name: name.clone(), insns: insns.clone(), ..ProgramImage::default() };
        let (mut btf_id, mut maps) = (0, Vec::new());
        let (prog, outcome) = match self.resolve(a, name.clone(), insns) {
            Ok(resolved) => {
                (btf_id, maps, image) = (resolved.btf_id, resolved.maps, resolved.image);
                self.verify(a, &mut image, a.u32(f::PROG_FLAGS) & SLEEPABLE != 0)?;
                let verdict = self.verdicts.borrow().last().cloned();
                let verdict = verdict.ok_or_else(|| Refusal::einval("the verifier said nothing\n".into()))?;
                let outcome = match verdict.result {
                    Ok(accepted) => Outcome::Accepted(accepted),
                    Err(rejection) => Outcome::Refused(rejection),
                };
                (verdict.prog, outcome)
            }
            Err(refusal) => (
                self.whole_name(a).unwrap_or_else(|| name.clone()),
                Outcome::Unresolved(refusal.log.trim().into()),
            ),
        };
        self.judged.borrow_mut().push(Judged { prog, prog_type, image: image.clone(), outcome });
        Ok(ProgObject {
            id: self.new_id(),
            name,
            prog_type,
            expected_attach_type: a.u32(f::EXPECTED_ATTACH_TYPE),
            attach_btf_id: a.u32(f::ATTACH_BTF_ID),
            btf_id,
            image,
            in_vm: None,
            maps: maps.into(),
        })
    }
}

/// Whether the vm does not have this map.
pub(super) fn is_stand_in(map: &MapObject) -> bool {
    map.in_vm.get().is_some_and(|id| id.0 & STAND_IN != 0)
}
