//! BPF_BTF_LOAD.

use std::rc::Rc;

use sextant_bpf::btf::Btf;

use super::objects::{BtfObject, Object};
use super::{Kernel, prog::Log};
use crate::attr::{Attr, btf_load as f};
use crate::errno::Errno;
use crate::user;

/// `BTF_MAX_SIZE` of 7.3.
const MAX_SIZE: u32 = 16 << 20;

impl Kernel {
    pub(super) fn btf_load(&self, a: &Attr, uattr: u64) -> Result<i32, Errno> {
        let size = a.u32(f::BTF_SIZE);
        if a.u32(f::BTF_FLAGS) & !(1 << 16) != 0 {
            return Err(Errno::EINVAL);
        }
        if size > MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        let log = Log {
            level: a.u32(f::BTF_LOG_LEVEL),
            buf: a.u64(f::BTF_LOG_BUF),
            size: a.u32(f::BTF_LOG_SIZE),
            true_size_at: uattr + f::BTF_LOG_TRUE_SIZE as u64,
        };
        let bytes = user::bytes(a.u64(f::BTF), size as usize)?;
        match self.checked_btf(&bytes) {
            Ok(btf) => {
                let object = BtfObject { id: self.new_id(), btf, bytes };
                self.install("bpf-btf", Object::Btf(Rc::new(object)))
            }
            Err((errno, why)) => {
                self.note(format!("the object's BTF is refused ({errno}): {why}"));
                log.write(&format!("{why}\n"))?;
                Err(errno)
            }
        }
    }

    /// Reads a BTF and checks it as the kernel does.
    fn checked_btf(&self, bytes: &[u8]) -> Result<Btf, (Errno, String)> {
        let invalid = |error: sextant_bpf::btf::BtfError| (Errno::EINVAL, error.to_string());
        let btf = Btf::parse(bytes).map_err(invalid)?;
        btf.validate().map_err(|error| {
            let text = format!("[{}] {} {}", error.id, btf.name(error.id), error.why);
            (Errno(error.errno), text)
        })?;
        sextant_verifier::check_objects(&btf, self.btf()).map_err(|(id, error)| {
            (Errno(error.errno), format!("struct {} (type {id}): {}", btf.name(id), error.why))
        })?;
        Ok(btf)
    }
}
