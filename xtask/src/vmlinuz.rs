//! The kernel, and its BTF, inside a distribution's vmlinuz (x86 boot protocol 2.08 or later, see the kernel's
//! Documentation/arch/x86/boot.rst): the payload is a zstd-compressed ELF whose section `.BTF` it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};

use crate::run;

/// Offsets in the boot sector, bytes.
const SETUP_SECTS: usize = 0x1f1;
const HDRS: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The kernel's BTF; `scratch` is a directory for the unpacked kernel, which is removed again.
pub fn btf(vmlinuz: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let vmlinux = scratch.join("vmlinux");
    unpack(vmlinuz, scratch, &vmlinux)?;
    let elf = fs::read(&vmlinux)?;
    fs::remove_file(&vmlinux)?;
    let file = object::File::parse(&*elf).context("the payload of vmlinuz is not an ELF")?;
    let section = file.section_by_name(".BTF").context("this kernel has no section .BTF")?;
    Ok(section.data()?.to_vec())
}

/// Writes the ELF that is compressed in a vmlinuz; `scratch` is a directory for what is in between.
pub fn unpack(vmlinuz: &Path, scratch: &Path, vmlinux: &Path) -> Result<()> {
    let image = fs::read(vmlinuz).with_context(|| format!("cannot read {}", vmlinuz.display()))?;
    let compressed = scratch.join("vmlinux.zst");
    fs::write(&compressed, payload(&image).with_context(|| vmlinuz.display().to_string())?)?;
    run::output(Command::new("zstd").args(["-dqf"]).arg(&compressed).arg("-o").arg(vmlinux))?;
    fs::remove_file(&compressed)?;
    Ok(())
}

/// The compressed kernel without the uncompressed size that follows it.
fn payload(image: &[u8]) -> Result<&[u8]> {
    ensure!(image.get(HDRS..HDRS + 4) == Some(b"HdrS"), "no x86 boot header");
    let setup_sects = match image[SETUP_SECTS] {
        0 => 4,
        n => usize::from(n),
    };
    let start = (setup_sects + 1) * SECTOR + word(image, PAYLOAD_OFFSET)?;
    let length = word(image, PAYLOAD_LENGTH)?.saturating_sub(4);
    let Some(payload) = image.get(start..start + length) else { bail!("the payload lies outside the file") };
    ensure!(payload.starts_with(&ZSTD_MAGIC), "the payload is not compressed with zstd");
    Ok(payload)
}

fn word(image: &[u8], at: usize) -> Result<usize> {
    let bytes = image.get(at..at + 4).context("the boot header is cut short")?;
    Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; 2 * SECTOR + 16];
        image[SETUP_SECTS] = 1;
        image[HDRS..HDRS + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        let length = payload.len() as u32 + 4;
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(&[9, 9, 9, 9]);
        image
    }

    #[test]
    fn payload_is_found_without_its_size() {
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3];
        assert_eq!(payload(&image(&zstd)).expect("well formed"), zstd);
    }

    #[test]
    fn other_compressions_and_cut_files_are_refused() {
        assert!(payload(&image(&[0x1f, 0x8b, 8, 0])).is_err());
        let mut cut = image(&[0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]);
        cut.truncate(cut.len() - 6);
        assert!(payload(&cut).is_err());
        assert!(payload(b"MZ").is_err());
    }
}
