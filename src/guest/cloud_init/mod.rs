//! What cloud-init would do at the next boot, read off the guest: whether it runs, whom it lets in,
//! whether it makes host keys and network settings, and what stands in its way.
//!
//! cloud-init's own code is the reference: `ds-identify`, the systemd generator, `stages.py`,
//! `util.py`, `cc_ssh.py`, `distros/ug_util.py`.

mod identify;
mod kernel_line;
mod leftovers;
mod network;
mod seed;
mod settings;
mod start;
mod text;
mod users;

use super::{Facts, Files, GuestError};
use crate::path::GuestPath;
use settings::{Settings, View};
use users::Modules;

pub use leftovers::{Leftover, Recorded};
pub use network::Network;
pub use seed::{Seed, UserData};
pub use users::User;

/// What shows that it is installed.
const PROGRAMS: &[&str] = &["/usr/bin/cloud-init", "/usr/local/bin/cloud-init"];

/// The host keys that every version makes where the settings name none.
const KEY_TYPES: &[&str] = &["rsa", "ecdsa", "ed25519"];

/// Whether cloud-init runs at the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// It does, whatever machine the guest starts on.
    Yes,
    /// It does where this holds.
    WithSource(String),
    /// It does not.
    No {
        /// What says so.
        at: GuestPath,
        /// Why, in words.
        reason: String,
    },
    /// That cannot be told from the guest's files.
    NotKnown {
        /// What makes it so.
        at: GuestPath,
        /// Why, in words.
        reason: String,
    },
}

/// What becomes of the SSH server's host keys when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeys {
    /// Those of these types that are not there are made.
    Made {
        /// The types.
        types: Vec<String>,
        /// Whether those that are there are removed before, in a new instance.
        deletes: bool,
    },
    /// None are made.
    Off {
        /// What says so.
        at: GuestPath,
        /// Why, in words.
        reason: String,
    },
    /// The settings hold them: every clone has the same.
    Fixed(GuestPath),
}

/// Datasources, and what names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datasources {
    /// Their names, in order.
    pub names: Vec<String>,
    /// The file.
    pub at: GuestPath,
}

/// What cloud-init would do at the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudInit {
    /// Whether it runs.
    pub runs: Runs,
    /// Host keys.
    pub host_keys: HostKeys,
    /// The network.
    pub network: Network,
    /// The accounts it makes or changes, the default one among them; a seed's, too.
    pub users: Vec<User>,
    /// Whether keys that it writes for root let nobody in.
    pub disable_root: bool,
    /// What it sets `PasswordAuthentication` of the SSH server to.
    pub ssh_pwauth: Option<bool>,
    /// SSH keys that it writes for the default account and root.
    pub keys: usize,
    /// Whether the keys of a cloud's metadata reach the default account.
    pub metadata_keys: bool,
    /// The datasources it is pinned to.
    pub datasources: Option<Datasources>,
    /// A seed in the image that it takes.
    pub seed: Option<Seed>,
    /// The instance that it has run as.
    pub recorded: Option<Recorded>,
    /// What is in its way, or repeats in every clone.
    pub leftovers: Vec<Leftover>,
    /// What could not be looked into, one line each.
    pub odd: Vec<(GuestPath, String)>,
}

impl CloudInit {
    /// Reads it off a guest; `None` where it is not installed.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn read(files: &dyn Files, facts: &Facts) -> Result<Option<Self>, GuestError> {
        let mut installed = false;
        for program in PROGRAMS {
            installed = installed || files.follow(&text::path(program))?.is_some();
        }
        if !installed {
            return Ok(None);
        }
        let mut odd = Vec::new();
        let own = Settings::read(files, &mut odd)?;
        let start = start::read(files, &own, facts, &mut odd)?;
        let datasources = start.takes.clone().or_else(|| {
            let list = own.get("datasource_list")?;
            Some(Datasources { names: list.texts(), at: list.path() })
        });
        // A seed of another datasource than it is pinned to is not read.
        let takes_seed = datasources.as_ref().is_none_or(|it| {
            it.names
                .iter()
                .flat_map(|it| it.split(','))
                .any(|it| it.trim().eq_ignore_ascii_case("NoCloud"))
        });
        let found = match takes_seed {
            true => seed::read(files, &mut odd)?,
            false => None,
        };
        let (seed, layer) = found.map_or((None, None), |it| (Some(it.seed), it.layer));
        let settings = own.under(layer);
        let modules = Modules {
            users_groups: module(&settings, "users_groups").is_some(),
            set_passwords: module(&settings, "set_passwords").is_some(),
            ssh: module(&settings, "ssh").is_some(),
        };
        let users = users::read(&settings, modules);
        let recorded = leftovers::recorded(files, seed.as_ref(), &mut odd)?;
        let leftovers = leftovers::read(files, &own, recorded.as_ref(), &mut odd)?;
        odd.sort();
        odd.dedup();
        Ok(Some(Self {
            host_keys: host_keys(&settings),
            network: network::read(files, &own)?,
            disable_root: users.disable_root,
            ssh_pwauth: users.ssh_pwauth,
            keys: users.keys,
            metadata_keys: modules.ssh
                && settings.get("allow_public_ssh_keys").is_none_or(|it| it.yes()),
            users: users.users,
            runs: start.runs,
            datasources,
            seed,
            recorded,
            leftovers,
            odd,
        }))
    }

    /// The account that the keys of a cloud's metadata are for.
    pub fn default_user(&self) -> Option<&User> {
        self.users.iter().find(|it| it.is_default)
    }
}

/// The stage that runs a module, if one does.
fn module(settings: &Settings, name: &str) -> Option<&'static str> {
    const STAGES: [&str; 3] = ["cloud_init_modules", "cloud_config_modules", "cloud_final_modules"];
    STAGES.into_iter().find(|stage| {
        let items = settings.get(stage).map(|it| it.items()).unwrap_or_default();
        items.iter().any(|item| named(item).is_some_and(|it| it == name))
    })
}

/// The name of a module in a stage's list, as cloud-init writes it.
fn named(item: &View<'_>) -> Option<String> {
    let name = match item.text() {
        Some(text) => text.to_owned(),
        None => match item.items().first() {
            Some(first) => first.text()?.to_owned(),
            None => item.get("name")?.text()?.to_owned(),
        },
    };
    let name = name.trim().replace('-', "_");
    let name = name.strip_suffix(".py").unwrap_or(&name);
    Some(name.strip_prefix("cc_").unwrap_or(name).to_owned())
}

fn host_keys(settings: &Settings) -> HostKeys {
    if module(settings, "ssh").is_none() {
        let at = settings.get("cloud_init_modules").map(|it| it.path());
        let at = at.unwrap_or_else(|| text::path(settings::MAIN));
        let reason = "its module 'ssh' is in no stage's list".to_owned();
        return HostKeys::Off { at, reason };
    }
    if let Some(keys) = settings.get("ssh_keys") {
        return HostKeys::Fixed(keys.path());
    }
    let deletes = settings.get("ssh_deletekeys").is_none_or(|it| it.yes());
    match settings.get("ssh_genkeytypes") {
        None => {
            let types = KEY_TYPES.iter().map(|it| (*it).to_owned()).collect();
            HostKeys::Made { types, deletes }
        }
        Some(view) => {
            let types = view.texts();
            match types.is_empty() {
                true => {
                    let reason = "'ssh_genkeytypes' names none".to_owned();
                    HostKeys::Off { at: view.path(), reason }
                }
                false => HostKeys::Made { types, deletes },
            }
        }
    }
}
