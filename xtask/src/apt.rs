//! A private view of a Debian suite: own source list, own state. Packages are downloaded and unpacked; nothing is
//! installed and the machine's own lists are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite of the mirror, amd64.
pub struct Suite {
    dir: PathBuf,
}

impl Suite {
    /// Fetches the suite's package list; its state lives in `dir`.
    pub fn open(name: &str, dir: &Path) -> Result<Suite> {
        for sub in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let dir = dir.canonicalize()?;
        fs::write(dir.join("sources.list"), format!("deb [signed-by={KEYRING}] {MIRROR} {name} main\n"))?;
        fs::write(dir.join("apt.conf"), config(&dir.display().to_string()))?;
        let suite = Suite { dir };
        run::output(suite.command("apt-get").arg("update").args(["--error-on=any"]))
            .with_context(|| format!("cannot read suite {name} of {MIRROR}"))?;
        Ok(suite)
    }

    /// All package names that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = run::text(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads `package` and unpacks it into `into`; its version.
    pub fn unpack(&self, package: &str, into: &Path) -> Result<String> {
        let downloads = self.dir.join("download");
        if downloads.exists() {
            fs::remove_dir_all(&downloads)?;
        }
        fs::create_dir_all(&downloads)?;
        run::output(self.command("apt-get").current_dir(&downloads).args(["download", package]))?;
        let deb = match fs::read_dir(&downloads)?.next() {
            Some(entry) => entry?.path(),
            None => bail!("apt-get download {package} left no file"),
        };
        run::output(Command::new("dpkg").arg("-x").arg(&deb).arg(into))?;
        let version = run::text(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version"))?;
        fs::remove_dir_all(&downloads)?;
        Ok(version.trim().to_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).env("LC_ALL", "C");
        command
    }
}

fn config(dir: &str) -> String {
    format!(
        r#"APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::Retries "3";
Acquire::Languages "none";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{dir}";
Dir::Cache::archives "{dir}/archives";
"#
    )
}
