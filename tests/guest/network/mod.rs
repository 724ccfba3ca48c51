//! What brings a network link up at the guest's first boot.

mod fallback;
mod hostile;
mod installed;
mod permissions;
mod references;

use sysprep_rs::guest::network::{Boot, Cloud, Network, Verdict, read};
use sysprep_rs::guest::{Files, Tree};

use super::memory::MemoryFs;
use super::single;

/// A guest and what starts in it.
#[derive(Clone, Default)]
struct Spec<'a> {
    /// `/path = content`, or `/path -> target`; a key file of NetworkManager is root's alone.
    files: &'a [&'a str],
    /// What booting starts.
    starts: &'a [&'a str],
    /// The kernel's command line.
    kernel: Option<&'a str>,
    cloud: Option<Cloud<'a>>,
}

impl Spec<'_> {
    fn memory(&self) -> MemoryFs {
        let mut fs = MemoryFs::new().dir("/etc");
        for line in self.files {
            if let Some((path, target)) = line.split_once(" -> ") {
                fs = fs.link(path, target);
                continue;
            }
            let (path, content) = line.split_once(" = ").unwrap();
            fs = fs.file(path, content);
            if path.ends_with(".nmconnection") {
                fs = fs.owned(path, 0, 0, 0o600);
            }
        }
        fs
    }

    fn tree(&self) -> Tree {
        single(self.memory())
    }

    /// Does something with what a reader is told of the boot.
    fn boot<T>(&self, act: impl FnOnce(Boot<'_>) -> T) -> T {
        let starts = |name: &str| Ok(self.starts.contains(&name).then(|| name.to_owned()));
        let words: Option<Vec<String>> =
            self.kernel.map(|it| it.split(' ').map(str::to_owned).collect());
        let cloud = self.cloud.unwrap_or(Cloud::No);
        act(Boot { starts: &starts, cloud, kernel: words.as_deref() })
    }

    fn read(&self, files: &dyn Files) -> Network {
        self.boot(|boot| read(files, boot).unwrap())
    }
}

fn told(network: &Network) -> String {
    let verdict = network.verdict();
    let kind = match verdict {
        Verdict::Up(_) => "up",
        Verdict::Nothing(_) => "nothing",
        Verdict::NotKnown(_) => "not known",
    };
    format!("{kind}: {}", verdict.words())
}

fn shown(spec: &Spec<'_>) -> String {
    told(&spec.read(&spec.tree()))
}
