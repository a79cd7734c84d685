//! What `cargo metadata` says of the workspace and its dependencies, as far as the checks need it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use crate::{run, workspace};

/// The packages and how they are resolved.
#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

/// One package; `source` is none for our own.
#[derive(Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub source: Option<String>,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
}

/// A line of `[dependencies]`; `kind` is none for a normal one, else `dev` or `build`.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    pub kind: Option<String>,
    pub req: String,
    pub source: Option<String>,
}

/// A crate of a package.
#[derive(Deserialize)]
pub struct Target {
    pub kind: Vec<String>,
    pub src_path: PathBuf,
}

impl Metadata {
    /// Reads it, for the platforms given (all when empty). Packages that no platform needs are left out.
    pub fn read(platforms: &[String]) -> Result<Metadata> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(workspace::root()).args(["metadata", "--format-version=1", "--locked"]);
        for platform in platforms {
            command.args(["--filter-platform", platform]);
        }
        let mut metadata: Metadata = serde_json::from_str(&run::text(&mut command)?)?;
        let needed: BTreeSet<&str> = metadata.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
        metadata.packages.retain(|package| needed.contains(package.id.as_str()));
        Ok(metadata)
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}
