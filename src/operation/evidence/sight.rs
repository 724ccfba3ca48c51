//! What evidence is looked for in: a guest as a run will leave it, each part read once.

use std::cell::OnceCell;

use crate::guest::boot::{
    Boot, UnitFiles, Units, busybox_script, openrc_runlevel, runit_directory, sysv_directory,
};
use crate::guest::cloud_init::{self, CloudInit, Runs};
use crate::guest::network::{self, Cloud, Network};
use crate::guest::tmpfiles::Tmpfiles;
use crate::guest::{Facts, Files, GuestError, Init};

/// A guest as a run will leave it.
pub struct Sight<'a> {
    /// Its files.
    pub files: &'a dyn Files,
    /// What it is.
    pub facts: &'a Facts,
    unit_files: UnitFiles,
    units: OnceCell<Units<'a>>,
    boot: OnceCell<Boot>,
    cloud: OnceCell<Option<CloudInit>>,
    network: OnceCell<Network>,
    tmpfiles: OnceCell<Tmpfiles>,
}

/// The value of a cell, made where it is empty.
fn once<T>(
    cell: &OnceCell<T>,
    make: impl FnOnce() -> Result<T, GuestError>,
) -> Result<&T, GuestError> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

/// What Buildroot calls a service.
fn buildroots(name: &str) -> &str {
    match name {
        "networking" => "network",
        name => name,
    }
}

impl<'a> Sight<'a> {
    /// A guest with these files, of which nothing is read yet.
    pub fn new(files: &'a dyn Files, facts: &'a Facts) -> Self {
        Self::again(files, facts, UnitFiles::default())
    }

    /// The same, where the guest was looked at before other files of it were to change.
    pub fn again(files: &'a dyn Files, facts: &'a Facts, unit_files: UnitFiles) -> Self {
        let (units, boot, cloud, network, tmpfiles) = Default::default();
        Self { files, facts, unit_files, units, boot, cloud, network, tmpfiles }
    }

    /// What was read of the image's units.
    pub fn unit_files(&self) -> UnitFiles {
        self.unit_files.clone()
    }

    /// Its systemd units; `None` where another init system starts it.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn units(&self) -> Result<Option<&Units<'a>>, GuestError> {
        if self.facts.init != Some(Init::Systemd) {
            return Ok(None);
        }
        once(&self.units, || Units::with(self.files, self.unit_files())).map(Some)
    }

    /// What systemd comes to at the next boot; `None` where another init system starts the guest.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn boot(&self) -> Result<Option<&Boot>, GuestError> {
        let Some(units) = self.units()? else { return Ok(None) };
        once(&self.boot, || units.boot()).map(Some)
    }

    /// What cloud-init would do; `None` where it is not installed.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn cloud(&self) -> Result<Option<&CloudInit>, GuestError> {
        once(&self.cloud, || CloudInit::read(self.files, self.facts)).map(Option::as_ref)
    }

    /// What starts a script at boot, in words; `None` where nothing does, or systemd does, for
    /// which it is a unit.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn script(&self, name: &str) -> Result<Option<String>, GuestError> {
        let runlevel = match self.facts.init {
            Some(Init::Openrc) => openrc_runlevel(self.files, name)?,
            Some(Init::Sysvinit | Init::Upstart) => sysv_directory(self.files, name)?,
            Some(Init::Runit) => runit_directory(self.files, name)?.map(|it| it.to_string()),
            Some(Init::Busybox) => busybox_script(self.files, buildroots(name))?,
            _ => None,
        };
        Ok(runlevel.map(|level| format!("{name} ({level})")))
    }

    /// What starts a unit (a name that ends in `.service` or `.socket`) or else a script at boot, in
    /// words.
    fn starts(&self, name: &str) -> Result<Option<String>, GuestError> {
        if !name.ends_with(".service") && !name.ends_with(".socket") {
            return self.script(name);
        }
        let Some(boot) = self.boot()? else { return Ok(None) };
        Ok(boot.starts(name)?.map(|it| it.unit))
    }

    /// What systemd-tmpfiles makes at boot; `None` where it does not run.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn tmpfiles(&self) -> Result<Option<&Tmpfiles>, GuestError> {
        // OpenRC's is of systemd's program, or one that does as it does.
        for name in
            ["systemd-tmpfiles-setup.service", "systemd-tmpfiles-setup", "opentmpfiles-setup"]
        {
            if self.starts(name)?.is_some() {
                return once(&self.tmpfiles, || Tmpfiles::read(self.files)).map(Some);
            }
        }
        Ok(None)
    }

    /// How its network comes up.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn network(&self) -> Result<&Network, GuestError> {
        once(&self.network, || self.with_boot(&mut |boot| network::read(self.files, boot)))
    }

    /// What would make it ask for an address by DHCP; in words, why nothing could.
    ///
    /// # Errors
    /// The guest cannot be read.
    pub fn network_fallback(&self) -> Result<Result<network::Fallback, String>, GuestError> {
        self.with_boot(&mut |boot| network::fallback(self.files, boot))
    }

    fn with_boot<T>(
        &self,
        read: &mut dyn FnMut(network::Boot<'_>) -> Result<T, GuestError>,
    ) -> Result<T, GuestError> {
        let starts = |name: &str| self.starts(name);
        let why;
        let cloud = match self.cloud()?.map(|it| (&it.runs, &it.network)) {
            None | Some((Runs::No { .. }, _) | (_, cloud_init::Network::Disabled(_))) => Cloud::No,
            Some((Runs::NotKnown { at, reason }, _)) => {
                why = format!("{at}: {reason}");
                Cloud::NotKnown(&why)
            }
            Some((runs, cloud_init::Network::Renders { renderers, fixed })) => {
                let only_where = match runs {
                    Runs::WithSource(condition) => Some(condition.as_str()),
                    _ => None,
                };
                Cloud::Writes { renderers, only_where, fixed: fixed.as_ref() }
            }
        };
        read(network::Boot { starts: &starts, cloud, kernel: None })
    }
}
