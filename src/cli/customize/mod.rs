//! virt-customize's flags: each is a few steps of one operation, which runs after all others.

mod at_first_boot;
mod file;
mod flags;
mod password;
mod perl;
mod seed;
mod ssh_key;

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Value as Json, json};
use sysprep_rs::operation::{CUSTOMIZE, LoadError, Operation};
use sysprep_rs::seed::SeedFile;
use sysprep_rs::text_file;

use super::failure::Failure;
use super::virt_sysprep;
use flags::{AT_FIRST_BOOT, FLAGS, Flag, Means};
use seed::SeedFiles;

/// The longest file of commands, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// The flags that were given, in the order of the command line.
#[derive(Default)]
pub(crate) struct CustomizeArgs {
    /// Each flag's place in the table, and its value.
    given: Vec<(usize, String)>,
    /// Accounts and the passwords that were drawn for them.
    drawn: RefCell<Vec<(String, String)>>,
    /// How passwords are hashed, where a flag says so.
    crypto: RefCell<Option<String>>,
    /// The files of a seed that the command `seed` is about.
    seeding: SeedFiles,
    /// The files of a seed, of whichever flags.
    seed: RefCell<SeedFiles>,
    /// What is to be known of them.
    notes: RefCell<Vec<String>>,
}

impl fmt::Debug for CustomizeArgs {
    /// The flags without their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.given.iter().filter_map(|it| FLAGS.get(it.0)).map(|flag| flag.name);
        f.debug_list().entries(names).finish()
    }
}

impl Args for CustomizeArgs {
    fn augment_args(command: Command) -> Command {
        let args = FLAGS.iter().map(|flag| {
            let arg = Arg::new(flag.name).long(flag.name).help(flag.help).help_heading(
                "Customize: virt-customize's options, in the order given, after every operation",
            );
            match flag.value {
                Some(value) => {
                    arg.value_name(value).action(ArgAction::Append).allow_hyphen_values(true)
                }
                None => arg.action(ArgAction::SetTrue).overrides_with(flag.name),
            }
        });
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CustomizeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let mut given: Vec<(usize, (usize, String))> = Vec::new();
        for (number, flag) in FLAGS.iter().enumerate() {
            if matches.value_source(flag.name) != Some(clap::parser::ValueSource::CommandLine) {
                continue;
            }
            let places = matches.indices_of(flag.name).into_iter().flatten();
            match flag.value {
                Some(_) => {
                    let values = matches.get_many::<String>(flag.name).into_iter().flatten();
                    given.extend(places.zip(values.map(|value| (number, value.clone()))));
                }
                None => given.extend(places.take(1).map(|place| (place, (number, String::new())))),
            }
        }
        given.sort_by_key(|(place, _)| *place);
        self.given = given.into_iter().map(|(_, given)| given).collect();
        Ok(())
    }
}

impl CustomizeArgs {
    /// What only seeds a guest.
    pub(crate) fn seeding(files: &[(SeedFile, &Path)], unchecked: bool) -> Result<Self, Failure> {
        let seeding = SeedFiles::of(files, unchecked).map_err(Failure::usage)?;
        Ok(Self { seeding, ..Self::default() })
    }

    /// The flag that was given first, if any was.
    pub(crate) fn first(&self) -> Option<&'static str> {
        self.given.first().and_then(|(number, _)| FLAGS.get(*number)).map(|flag| flag.name)
    }

    fn gives(&self, name: &str) -> bool {
        self.given.iter().any(|it| FLAGS.get(it.0).is_some_and(|it| it.name == name))
    }

    /// The operation that the flags are; `None` where they ask for nothing.
    pub(crate) fn operation(&self) -> Result<Option<Operation>, Failure> {
        if self.gives("selinux-relabel") && self.gives("no-selinux-relabel") {
            let problem = "--selinux-relabel and --no-selinux-relabel contradict each other";
            return Err(Failure::usage(problem));
        }
        let mut steps = Vec::new();
        self.drawn.borrow_mut().clear();
        self.seed.replace(self.seeding.clone());
        for (number, value) in &self.given {
            let Some(flag) = FLAGS.get(*number) else { continue };
            let name = format!("--{}", flag.name);
            match flag.means {
                Means::File => steps.extend(self.steps_of_file(Path::new(value))?),
                _ => steps.extend(
                    self.flag_steps(flag, value)
                        .map_err(|it| Failure::usage(format!("{name}: {it}")))?,
                ),
            }
        }
        self.hashed(&mut steps);
        number(&mut steps);
        let seed = self.seed.borrow();
        if let Some(step) =
            seed.step().map_err(|it| Failure::usage(format!("--cloud-init: {it}")))?
        {
            // Here each problem has a line of its own.
            let notes = seed.read().map_err(|it| Failure::lines(it.lines()))?;
            self.notes.replace(notes);
            steps.push(step);
        }
        if steps.is_empty() {
            return Ok(None);
        }
        operation(&Json::Array(steps)).map(Some).map_err(|it| Failure::usage(told(&it)))
    }

    /// What is to be known of the files that were given.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// The passwords that were drawn, each with its account: told once they are set.
    pub(crate) fn drawn(&self) -> Vec<(String, String)> {
        self.drawn.borrow().clone()
    }

    /// The steps of one flag, which are right.
    fn flag_steps(&self, flag: &Flag, value: &str) -> Result<Vec<Json>, String> {
        let steps = match flag.means {
            Means::Steps(steps) => steps(value)?,
            Means::AtFirstBoot(steps) if self.gives(AT_FIRST_BOOT) => steps(value)?,
            Means::AtFirstBoot(_) => return Err(NOT_RUN.into()),
            Means::Password(user) => {
                let (user, selector) = match user {
                    Some(user) => (user, value),
                    None => value.split_once(':').ok_or("write USER:SELECTOR")?,
                };
                let mut drawn =
                    |password| self.drawn.borrow_mut().push((user.to_owned(), password));
                vec![password::step(user, selector, &mut drawn)?]
            }
            Means::Crypto => {
                *self.crypto.borrow_mut() = Some(password::crypto(value)?.to_owned());
                Vec::new()
            }
            Means::Seed => {
                self.seed.borrow_mut().take(value)?;
                Vec::new()
            }
            Means::File | Means::Nothing => Vec::new(),
        };
        if !steps.is_empty() {
            operation(&Json::Array(steps.clone())).map_err(|it| told(&it))?;
        }
        Ok(steps)
    }

    /// Gives passwords what concerns all of them: how they are hashed, and where a run is to be
    /// repeated, a salt that is the same each time.
    fn hashed(&self, steps: &mut [Json]) {
        let crypto = self.crypto.borrow();
        let epoch = env::var("SOURCE_DATE_EPOCH").ok();
        for fields in steps.iter_mut().filter_map(|step| step.get_mut("password")) {
            let user = fields["user"].clone();
            if let Some(crypto) = crypto.as_deref() {
                fields["crypto"] = json!(crypto);
            }
            if let (Some(epoch), Some(user)) = (&epoch, user.as_str()) {
                fields["salt"] = json!(format!("{epoch}:{user}"));
            }
        }
    }

    /// The steps of a file of commands.
    fn steps_of_file(&self, path: &Path) -> Result<Vec<Json>, Failure> {
        let text = text_file::read(path, FILE_BYTES).map_err(|it| Failure::at(path, it))?;
        let mut steps = Vec::new();
        for (line, command, value) in file::commands(&text) {
            let wrong = |problem: &str| {
                Failure::usage(format!(
                    "--commands-from-file {} line {line}: {command}: {problem}",
                    path.display()
                ))
            };
            let flag = FLAGS.iter().find(|flag| flag.name == command);
            match flag {
                Some(Flag { means: Means::File, .. }) => {
                    return Err(wrong("a file of commands names no other"));
                }
                Some(flag) if flag.name == AT_FIRST_BOOT => {
                    return Err(wrong("it is for the command line, and holds for the file, too"));
                }
                Some(Flag { value: None, .. }) if !value.trim().is_empty() => {
                    return Err(wrong("it has no value"));
                }
                Some(flag) => steps.extend(self.flag_steps(flag, &value).map_err(|it| wrong(&it))?),
                None => {
                    return Err(wrong(
                        virt_sysprep::refused(&command).unwrap_or("no such command"),
                    ));
                }
            }
        }
        Ok(steps)
    }
}

/// Why a program of the guest is not run, and what to do.
const NOT_RUN: &str = "nothing of the guest is run here; with --at-first-boot the guest does it \
                       itself, once, when it boots";

/// First boot scripts run in the order of their names: numbers keep that of the command line.
fn number(steps: &mut [Json]) {
    let names = steps.iter_mut().filter_map(|step| step.pointer_mut("/firstboot/name"));
    for (number, name) in (1..).zip(names) {
        let rest = name.as_str().unwrap_or_default().trim_start_matches("run-").to_owned();
        *name = format!("run-{number:04}-{rest}").into();
    }
}

/// What is wrong with steps, without places that no user knows.
fn told(error: &LoadError) -> String {
    let messages: Vec<&str> = error.problems.iter().map(|it| it.message.as_str()).collect();
    messages.join("; ")
}

fn operation(steps: &Json) -> Result<Operation, LoadError> {
    let values = json!({
        "name": CUSTOMIZE,
        "summary": "Change the guest as the flags say",
        "why": "The flags of the command line ask for it",
        "class": "settings",
        "default": true,
        "steps": steps,
    });
    Operation::from_values(CUSTOMIZE, &values)
}
