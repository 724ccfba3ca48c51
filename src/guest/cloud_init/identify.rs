//! ds-identify: cloud-init's shell script that looks for a datasource before anything else, and has
//! cloud-init stay off where it finds none. What it reads, it reads line by line and not as YAML.

use super::kernel_line::KernelLine;
use super::text::{self, Odd};
use crate::guest::{Files, GuestError};
use crate::path::{GuestPath, escape};

/// Where distributions have the script.
const SCRIPTS: &[&str] =
    &["/usr/lib/cloud-init/ds-identify", "/usr/libexec/cloud-init/ds-identify"];

/// The datasources that the script looks for where no settings name any.
const LIST: &str = "DI_DSLIST_DEFAULT=\"";

/// Where it is told what to do.
pub(super) const CONFIG: &str = "/etc/cloud/ds-identify.cfg";

/// What the script would decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no script: whatever starts cloud-init starts it.
    Absent,
    /// It stays off.
    Off { at: GuestPath, reason: String },
    /// It runs, and looks for a datasource as its settings say.
    On,
    /// It runs and takes these datasources; `at` says so.
    Takes { names: Vec<String>, at: GuestPath },
    /// It runs where one of these is found.
    Search(Vec<String>),
    /// It cannot be told.
    Unknown { at: GuestPath, reason: String },
}

/// What the script is told.
#[derive(Clone, Debug, Default)]
struct Told {
    datasource: Option<(String, GuestPath)>,
    policy: Option<(String, GuestPath)>,
}

/// What the script would decide of a guest.
pub(super) fn verdict(
    files: &dyn Files,
    texts: &[(GuestPath, Vec<u8>)],
    kernel: Option<&KernelLine>,
    architecture: Option<&str>,
    odd: &mut Odd,
) -> Result<Verdict, GuestError> {
    let mut script = None;
    for at in SCRIPTS {
        if let Some(found) = text::program(files, at)? {
            let content = text::content(files, &found.path, odd)?.unwrap_or_default();
            script = Some((found.path, String::from_utf8_lossy(&content).into_owned()));
            break;
        }
    }
    let Some((script, code)) = script else { return Ok(Verdict::Absent) };
    let mut told = Told::default();
    if let Some(content) = text::content(files, &text::path(CONFIG), odd)? {
        told.read(&content);
    }
    // An older script knows 'ci.ds' alone and takes 'ds=nocloud' when it looks for NoCloud.
    let knows_ds = code.lines().any(|it| it.trim_start().starts_with("ds)"));
    if let Some(line) = kernel {
        told.kernel(line, knows_ds);
        let joined = line.arguments.join(" ");
        if joined.contains("cc:") && joined.contains("datasource_list") {
            let reason = "the kernel's command line sets datasource_list ('cc:')".to_owned();
            return Ok(Verdict::Unknown { at: line.path.clone(), reason });
        }
    }
    let mut policy = Policy::default_of(&code, architecture);
    let mut policy_at = script.clone();
    if let Some((text, at)) = told.policy {
        policy.take(&text);
        policy_at = at;
    }
    match policy.mode.as_str() {
        "disabled" => {
            let reason = "its policy has ds-identify keep cloud-init off ('disabled')".to_owned();
            return Ok(Verdict::Off { at: policy_at, reason });
        }
        "enabled" => return Ok(Verdict::On),
        _ => {}
    }
    let reports = policy.mode == "report";
    let takes = |names: Vec<String>, at: GuestPath| match reports {
        true => Ok(Verdict::On),
        false => Ok(Verdict::Takes { names, at }),
    };
    if let Some((name, at)) = told.datasource {
        return takes(vec![name], at);
    }
    let manual = text::path("/var/lib/cloud/instance/manual-clean");
    if text::is_file(files, &manual)? {
        return Ok(Verdict::On);
    }
    let (list, at) = list(texts, &code, &script);
    if let [_] | [_, _] = list.as_slice()
        && list.get(1).is_none_or(|it| it == "None")
    {
        return takes(list, at);
    }
    let mut here: Option<(Vec<String>, GuestPath)> = None;
    for name in &list {
        if let Some(at) = found(files, texts, kernel.filter(|_| !knows_ds), name)? {
            here.get_or_insert((Vec::new(), at)).0.push(name.clone());
        }
    }
    if let Some((names, at)) = here {
        return takes(names, at);
    }
    Ok(match policy.not_found.as_str() {
        _ if reports => Verdict::On,
        "enabled" => Verdict::On,
        _ => Verdict::Search(list),
    })
}

impl Told {
    /// The lines of its file (`_read_config`).
    fn read(&mut self, content: &[u8]) {
        for line in shell_lines(content) {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = unquoted(&trimmed(value)).to_owned();
            let told = (!value.is_empty()).then(|| (value, text::path(CONFIG)));
            match trimmed(key).as_str() {
                "datasource" => self.datasource = told,
                "policy" => self.policy = told,
                _ => {}
            }
        }
    }

    fn kernel(&mut self, line: &KernelLine, knows_ds: bool) {
        for argument in &line.arguments {
            let Some((key, value)) = argument.split_once('=') else { continue };
            let value = if knows_ds { value.split(';').next().unwrap_or_default() } else { value };
            let told = (!value.is_empty()).then(|| (value.to_owned(), line.path.clone()));
            match key {
                "ds" if knows_ds => self.datasource = told,
                "ci.ds" | "ci.datasource" => self.datasource = told,
                "ci.di.policy" => self.policy = told,
                _ => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Policy {
    mode: String,
    not_found: String,
}

impl Policy {
    /// The script's own, which distributions change in the script itself.
    fn default_of(code: &str, architecture: Option<&str>) -> Self {
        let mut policy = Self { mode: "search".into(), not_found: "disabled".into() };
        let has_dmi = architecture.is_none_or(|it| {
            it == "x86_64" || (it.starts_with('i') && it.ends_with("86") && it.len() == 4)
        });
        let name = if has_dmi { "DI_DEFAULT_POLICY=" } else { "DI_DEFAULT_POLICY_NO_DMI=" };
        match code.lines().find_map(|it| it.strip_prefix(name)) {
            Some(text) => {
                let text = text.replace("${DI_DISABLED}", "disabled");
                policy.take(unquoted(text.replace("${DI_ENABLED}", "enabled").trim()));
            }
            None if !has_dmi => policy.not_found = "enabled".into(),
            None => {}
        }
        policy
    }

    fn take(&mut self, text: &str) {
        for word in text.split(',') {
            match word {
                "enabled" | "disabled" | "search" | "report" => self.mode = word.into(),
                "notfound=enabled" | "notfound=disabled" => {
                    self.not_found = word.trim_start_matches("notfound=").into();
                }
                _ => {}
            }
        }
    }
}

/// The datasources it looks for, and the file that names them.
fn list(
    texts: &[(GuestPath, Vec<u8>)],
    code: &str,
    script: &GuestPath,
) -> (Vec<String>, GuestPath) {
    if let Some((value, at)) = setting(texts, "datasource_list") {
        let value = value.strip_prefix('[').unwrap_or(&value);
        let value = value.strip_suffix(']').unwrap_or(value);
        let words = value.split(',').map(|it| unquoted(&trimmed(it)).to_owned());
        let list: Vec<String> = words
            .flat_map(|it| it.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        if !list.is_empty() {
            return (list, at.clone());
        }
    }
    let own = code.find(LIST).and_then(|at| code.get(at + LIST.len()..)?.split('"').next());
    let own = own.unwrap_or_default().replace('\\', " ");
    (own.split_whitespace().map(str::to_owned).collect(), script.clone())
}

/// What the settings' last line with a key has after it (`check_config`), at whatever depth it is.
fn setting<'a>(texts: &'a [(GuestPath, Vec<u8>)], key: &str) -> Option<(String, &'a GuestPath)> {
    let mut found = None;
    for (path, content) in texts {
        // A shell's glob passes over them.
        if path.name().is_some_and(|it| it.starts_with(b".")) {
            continue;
        }
        for line in shell_lines(content) {
            let line = line.split('#').next().unwrap_or_default();
            let Some(rest) = line.strip_prefix(key).and_then(|it| it.strip_prefix(':')) else {
                continue;
            };
            if rest.is_empty() || rest.starts_with(' ') {
                found = Some((rest.strip_prefix(' ').unwrap_or(rest).to_owned(), path));
            }
        }
    }
    found
}

/// Lines as a shell's `read` has them: a last one without an end is none.
fn shell_lines(content: &[u8]) -> impl Iterator<Item = String> {
    let mut lines: Vec<&[u8]> = content.split(|&byte| byte == b'\n').collect();
    lines.pop();
    lines.into_iter().map(|line| {
        let line = String::from_utf8_lossy(line).replace('\\', "");
        line.trim_matches([' ', '\t']).to_owned()
    })
}

/// Words with one space between them.
fn trimmed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unquoted(text: &str) -> &str {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

/// Seeds that are found in the guest's own files: the datasource, the folder, and what it has to hold.
const SEEDS: &[(&str, &str, &[&str])] = &[
    ("NoCloud", "/var/lib/cloud/seed/nocloud", &["meta-data", "user-data"]),
    ("NoCloud", "/var/lib/cloud/seed/nocloud-net", &["meta-data", "user-data"]),
    ("NoCloud", "/writable/system-data/var/lib/cloud/seed/nocloud", &["meta-data", "user-data"]),
    (
        "NoCloud",
        "/writable/system-data/var/lib/cloud/seed/nocloud-net",
        &["meta-data", "user-data"],
    ),
    ("ConfigDrive", "/var/lib/cloud/seed/config_drive/openstack/latest", &["meta_data.json"]),
    ("OpenNebula", "/var/lib/cloud/seed/opennebula", &["meta-data"]),
    ("OVF", "/var/lib/cloud/seed/ovf", &["ovf-env.xml"]),
    ("Azure", "/var/lib/cloud/seed/azure", &["ovf-env.xml"]),
    ("Bigstep", "/var/lib/cloud/data/seed/bigstep", &["url"]),
    ("Ec2", "/var/lib/cloud/seed/ec2", &["meta-data", "user-data"]),
    ("AliYun", "/var/lib/cloud/seed/AliYun", &["meta-data", "user-data"]),
    ("Vultr", "/etc", &["vultr"]),
];

/// Where a datasource is found whatever machine the guest starts on.
fn found(
    files: &dyn Files,
    texts: &[(GuestPath, Vec<u8>)],
    kernel: Option<&KernelLine>,
    name: &str,
) -> Result<Option<GuestPath>, GuestError> {
    for (_, folder, needed) in SEEDS.iter().filter(|it| it.0 == name) {
        let folder = text::path(folder);
        let mut all = true;
        for file in *needed {
            all = all && text::is_file(files, &folder.join(file.as_bytes()))?;
        }
        if all {
            return Ok(Some(folder));
        }
    }
    match name {
        "NoCloud" => {
            if let Some(line) = kernel
                && line.arguments.iter().any(|it| it.starts_with("ds=nocloud"))
            {
                return Ok(Some(line.path.clone()));
            }
            let keys = ["NoCloud", "user-data", "meta-data"].map(|it| setting(texts, it));
            let [Some(one), Some(_), Some(_)] = keys else { return Ok(None) };
            Ok(Some(one.1.clone()))
        }
        "MAAS" => Ok(setting(texts, "MAAS").map(|it| it.1.clone())),
        "ConfigDrive" => {
            for folder in ["/config-drive/openstack", "/var/lib/cloud/seed/config_drive/openstack"]
            {
                let folder = text::path(folder);
                for (name, _) in files.names(&folder)? {
                    let dated = name.len() == 10
                        && name.starts_with(b"2")
                        && (name.get(4), name.get(7)) == (Some(&b'-'), Some(&b'-'));
                    if dated && text::is_file(files, &folder.join(&name).join(b"meta_data.json"))? {
                        return Ok(Some(folder.join(&name)));
                    }
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// More names than this are not told one by one.
const NAMES: usize = 8;

/// Names for a message.
pub(super) fn listed(names: &[String]) -> String {
    if names.len() > NAMES {
        return format!("any of the {} that it knows", names.len());
    }
    let names: Vec<String> = names.iter().map(|it| escape(it.as_bytes())).collect();
    format!("one of {}", names.join(", "))
}
