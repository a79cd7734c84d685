//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's root")
}

/// `target/kernel-examples`, where tests look; CARGO_TARGET_DIR does not move it.
pub fn kernel_examples() -> PathBuf {
    root().join("target/kernel-examples")
}
