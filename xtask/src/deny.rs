//! Enforces deny.toml on the dependencies in Cargo.lock: licences, banned crates, sources. The file is cargo-deny's
//! and means the same there; advisories, which need a database, are left to cargo-deny itself.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::{Metadata, Package};
use crate::{Done, workspace};

/// The parts of deny.toml that are enforced here.
#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

/// Checks every package that Cargo.lock brings in.
pub fn run() -> Result<Done> {
    let text = fs::read_to_string(workspace::root().join("deny.toml"))?;
    let rules: Rules = toml::from_str(&text).context("deny.toml")?;
    let metadata = Metadata::read(&rules.graph.targets)?;
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        let found =
            [license(package, &rules.licenses)?, ban(package, &rules.bans), source(package, &rules.sources)];
        broken.extend(found.into_iter().flatten().map(|what| format!("{name}: {what}")));
    }
    for member in metadata.members() {
        broken.extend(wildcards(member));
    }
    if !broken.is_empty() {
        bail!("deny.toml forbids:\n  {}", broken.join("\n  "));
    }
    let twice = more_than_once(&metadata.packages);
    if !twice.is_empty() {
        eprintln!("warning: in more than one version: {}", twice.join(", "));
    }
    Ok(Done::Ok(format!("{} packages: licences, bans and sources", metadata.packages.len())))
}

fn license(package: &Package, rules: &Licenses) -> Result<Option<String>> {
    let Some(text) = &package.license else { return Ok(Some("no licence".to_owned())) };
    let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
        .with_context(|| format!("licence of {}: `{text}`", package.name))?;
    let allowed =
        expression.evaluate(|license| rules.allow.iter().any(|allowed| *allowed == license.to_string()));
    Ok((!allowed).then(|| format!("licence {text}")))
}

fn ban(package: &Package, rules: &Bans) -> Option<String> {
    rules.deny.iter().find(|ban| ban.name == package.name).map(|ban| format!("banned: {}", ban.reason))
}

fn source(package: &Package, rules: &Sources) -> Option<String> {
    let source = package.source.as_deref()?;
    let allowed = match source.split_once('+') {
        Some(("registry", url)) => rules.allow_registry.iter().any(|allowed| allowed == url),
        Some(("git", url)) => rules.allow_git.iter().any(|allowed| url.starts_with(allowed.as_str())),
        _ => false,
    };
    (!allowed).then(|| format!("comes from {source}"))
}

/// Dependencies of a package of ours on any version of a crate from a registry.
fn wildcards(member: &Package) -> Vec<String> {
    let any = member.dependencies.iter().filter(|dep| dep.source.is_some() && dep.req == "*");
    any.map(|dep| format!("{}: any version of {}", member.name, dep.name)).collect()
}

fn more_than_once(packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages {
        *versions.entry(&package.name).or_default() += 1;
    }
    versions.into_iter().filter(|(_, n)| *n > 1).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(license: &str, source: Option<&str>) -> Package {
        Package {
            id: String::new(),
            name: "openssl-sys".to_owned(),
            version: "1.0.0".to_owned(),
            license: Some(license.to_owned()),
            source: source.map(str::to_owned),
            dependencies: Vec::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn licences_are_expressions() {
        let rules = Licenses {
            allow: ["MIT", "BSD-2-Clause", "Apache-2.0 WITH LLVM-exception"].map(String::from).into(),
        };
        let allowed = |text: &str| license(&package(text, None), &rules).expect("an expression").is_none();
        assert!(allowed("MIT"));
        assert!(allowed("LGPL-2.1-only OR BSD-2-Clause"));
        assert!(allowed("MIT/Apache-2.0"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!allowed("Apache-2.0"));
        assert!(!allowed("MIT AND GPL-2.0-only"));
        assert!(!allowed("GPL-3.0-or-later"));
    }

    #[test]
    fn bans_and_sources() {
        let bans = Bans { deny: vec![Ban { name: "openssl-sys".into(), reason: "why".into() }] };
        assert_eq!(ban(&package("MIT", None), &bans), Some("banned: why".to_owned()));
        let sources = Sources { allow_registry: vec!["https://good".into()], allow_git: Vec::new() };
        let from = |text: &str| source(&package("MIT", Some(text)), &sources);
        assert_eq!(from("registry+https://good"), None);
        assert!(from("registry+https://other").is_some());
        assert!(from("git+https://good").is_some());
        assert_eq!(source(&package("MIT", None), &sources), None);
    }
}
