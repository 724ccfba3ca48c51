//! Flags of virt-sysprep that are none of ours: each is answered, so that a script which is ported
//! learns why a flag is not there and what to do instead.

use clap::{Arg, ArgAction, ArgMatches, Command};
use sysprep_rs::image::DECRYPT;

use super::failure::Failure;
use super::out;

/// What becomes of a flag.
enum Answer {
    /// Nothing that matters: the run goes on, and says why.
    Ignored(&'static str),
    /// A usage error: why, and what to do.
    Refused(&'static str),
}

/// Whether a flag has a value.
#[derive(Clone, Copy)]
enum Value {
    None,
    /// As the next word, or behind `=`.
    One,
    /// Behind `=`, or none.
    Maybe,
}

/// Flags with one answer.
struct Flags {
    names: &'static [&'static str],
    value: Value,
    answer: Answer,
}

/// The flags that have a short form, too.
const SHORT: &[(&str, char)] = &[("connect", 'c'), ("domain", 'd'), ("memsize", 'm')];

const CUSTOMIZE: &str = "not supported yet; do it with virt-customize before the image is sealed, or \
                         write an operation of your own (--operations-dir)";

const REGISTER: &str = "a registration needs the guest's own program and a network, and clones would share \
                        it; register at first boot (the operation rh-subscription-manager removes one)";

const FLAGS: &[Flags] = &[
    Flags {
        names: &["network", "no-network"],
        value: Value::None,
        answer: Answer::Ignored("nothing of the guest is run, so nothing needs a network"),
    },
    Flags {
        names: &["memsize", "smp"],
        value: Value::One,
        answer: Answer::Ignored("there is no virtual machine to size"),
    },
    Flags {
        names: &["color", "colors", "colour", "colours", "wrap"],
        value: Value::None,
        answer: Answer::Ignored("the report is plain text, the same everywhere"),
    },
    Flags {
        names: &["echo-keys"],
        value: Value::None,
        answer: Answer::Ignored("no passphrase is asked for"),
    },
    Flags {
        names: &["blocksize"],
        value: Value::One,
        answer: Answer::Ignored("the sector size is read off the partition table"),
    },
    Flags {
        names: &["connect", "domain"],
        value: Value::One,
        answer: Answer::Refused(
            "libvirt is not asked; name the domain's disk image, as 'virsh domblklist' shows it",
        ),
    },
    Flags {
        names: &["mount-options"],
        value: Value::One,
        answer: Answer::Refused(
            "nothing is mounted here, filesystems are read directly; leave it out",
        ),
    },
    Flags { names: &["key"], value: Value::One, answer: Answer::Refused(DECRYPT) },
    Flags { names: &["keys-from-stdin"], value: Value::None, answer: Answer::Refused(DECRYPT) },
    Flags {
        names: &["machine-readable"],
        value: Value::Maybe,
        answer: Answer::Refused("write --json, which every command has"),
    },
    Flags {
        names: &["dump-pod", "dump-pod-options"],
        value: Value::None,
        answer: Answer::Refused("there is no manual in that form; see --help"),
    },
    Flags {
        names: &["script", "scriptdir"],
        value: Value::One,
        answer: Answer::Refused(
            "nothing is mounted that a script could work on; write an operation of your own \
             (--operations-dir), or have the guest run it at its first boot (--firstboot)",
        ),
    },
    Flags {
        names: &["inject-blnsvr", "inject-qemu-ga", "inject-virtio-win"],
        value: Value::One,
        answer: Answer::Refused(CUSTOMIZE),
    },
    Flags {
        names: &["sm-attach", "sm-credentials"],
        value: Value::One,
        answer: Answer::Refused(REGISTER),
    },
    Flags {
        names: &["sm-register", "sm-remove", "sm-unregister"],
        value: Value::None,
        answer: Answer::Refused(REGISTER),
    },
];

/// Flags of ours on another command: where they are at home.
const ELSEWHERE: &[(&str, &[&str], Value, &str)] = &[
    (
        "secrets",
        &["seal"],
        Value::None,
        "'sysprep-rs audit --secrets IMAGE' looks for secrets; a seal writes, and 'scan' steps look \
         in what it leaves",
    ),
    ("allow-secrets", &["seal"], Value::One, "it goes with 'sysprep-rs audit --secrets IMAGE'"),
    ("user-data", &["audit", "seal"], Value::One, SEED),
    ("meta-data", &["audit", "seal"], Value::One, SEED),
    ("network-config", &["audit", "seal"], Value::One, SEED),
    ("vendor-data", &["audit", "seal"], Value::One, SEED),
    (
        "save-plan",
        &["seal"],
        Value::One,
        "'sysprep-rs audit --save-plan FILE IMAGE' saves a plan, and 'seal --plan FILE' applies it",
    ),
    (
        "plan",
        &["audit"],
        Value::One,
        "'sysprep-rs seal -n --plan FILE IMAGE' shows what it would do",
    ),
];

const SEED: &str = "here it is --cloud-init user-data=FILE, and so on; 'sysprep-rs seed' has it under \
                    this name";

/// The command with these flags, which its help does not show, and with `-V`.
pub(crate) fn taught(command: Command) -> Command {
    let args = FLAGS.iter().flat_map(|flags| {
        flags.names.iter().map(|name| {
            let arg = Arg::new(*name).long(*name).hide(true);
            let short = SHORT.iter().find(|(long, _)| long == name);
            let arg = short.map_or(arg.clone(), |(_, short)| arg.short(*short));
            match flags.value {
                Value::None => arg.action(ArgAction::Count),
                Value::One => arg.action(ArgAction::Append).allow_hyphen_values(true),
                Value::Maybe => arg.action(ArgAction::Append).num_args(0..=1).require_equals(true),
            }
        })
    });
    let name = command.get_name().to_owned();
    let misplaced = ELSEWHERE.iter().filter(|(_, on, ..)| on.contains(&name.as_str())).map(
        |(name, _, value, _)| {
            let arg = Arg::new(*name).long(*name).hide(true);
            match value {
                Value::None => arg.action(ArgAction::Count),
                _ => arg.action(ArgAction::Append).allow_hyphen_values(true),
            }
        },
    );
    command.args(args).args(misplaced).version(env!("CARGO_PKG_VERSION")).display_name("sysprep-rs")
}

/// Answers those of the flags that were given.
pub(crate) fn answer(command: &str, given: &ArgMatches) -> Result<(), Failure> {
    for (name, on, _, why) in ELSEWHERE {
        if on.contains(&command) && is_given(given, name) {
            return Err(Failure::usage(format!("--{name}: {why}")));
        }
    }
    let mut notes = Vec::new();
    for Flags { names, answer, .. } in FLAGS {
        for name in names.iter().filter(|name| is_given(given, name)) {
            match answer {
                Answer::Ignored(why) => notes.push(format!("--{name} is ignored: {why}")),
                Answer::Refused(why) => return Err(Failure::usage(format!("--{name}: {why}"))),
            }
        }
    }
    if !given.get_flag("quiet") {
        notes.iter().for_each(|note| out::note(format_args!("sysprep-rs: {note}")));
    }
    Ok(())
}

/// Why a flag is refused, where it is one of those.
pub(crate) fn refused(name: &str) -> Option<&'static str> {
    FLAGS.iter().find(|flags| flags.names.contains(&name)).and_then(|flags| match flags.answer {
        Answer::Refused(why) => Some(why),
        Answer::Ignored(_) => None,
    })
}

fn is_given(given: &ArgMatches, name: &str) -> bool {
    given.value_source(name).is_some_and(|it| it == clap::parser::ValueSource::CommandLine)
}
