//! What pulls in what: links, aliases, templates, drop-ins, generators.

use sysprep_rs::guest::boot::{Loaded, Units};

use super::{ETC, GuestDir, LIB};

const MULTI: &str = "default.target multi-user.target";

#[test]
fn the_default_target_is_etc_s_and_rescue_where_there_is_none() {
    let guest = GuestDir::systemd()
        .unit("a.service", "")
        .link(format!("{LIB}/graphical.target.wants/a.service"), "../a.service");
    assert_eq!(guest.way("a.service"), "NotPulled");
    let guest = guest.link(format!("{ETC}/default.target"), format!("{LIB}/graphical.target"));
    guest.agrees();
    assert_eq!(guest.way("a.service"), "default.target graphical.target a.service");
    let broken = GuestDir::systemd().link(format!("{ETC}/default.target"), "/dev/null");
    let tree = broken.tree();
    let target = Units::new(&tree).unwrap().default_target().unwrap();
    assert_eq!(target.as_deref(), Some("rescue.target"));
}

#[test]
fn links_hold_by_their_names_and_masks_of_links_take_them_back() {
    let wants = "multi-user.target.wants";
    let guest = GuestDir::systemd()
        .unit("a.service", "")
        .unit("b.service", "")
        .unit("t@.service", "[Unit]\nWants=need@%i.service %p-x.service\n")
        .unit("need@.service", "")
        .unit("t-x.service", "")
        .link(format!("{LIB}/{wants}/a.service"), "../a.service")
        .link(format!("{ETC}/{wants}/a.service"), "/dev/null")
        .link(format!("{ETC}/{wants}/b.service"), "/nowhere/else.service")
        .link(format!("{ETC}/{wants}/t@one.service"), format!("{LIB}/t@.service"))
        .file(format!("{ETC}/{wants}/t@file.service"), "[Unit]\n");
    assert_eq!(guest.way("a.service"), "NotPulled");
    assert_eq!(guest.way("b.service"), format!("{MULTI} b.service"));
    assert_eq!(guest.way("need@*.service"), format!("{MULTI} t@one.service need@one.service"));
    assert_eq!(guest.way("t-x.service"), format!("{MULTI} t@one.service t-x.service"));
    assert_eq!(guest.way("t@file.service"), "NotPulled");
}

#[test]
fn links_and_drop_ins_of_every_name_hold() {
    let guest = GuestDir::systemd()
        .unit("real.service", "[Unit]\nWants=one.service\n[Service]\nExecStart=/old\nUser=x\n")
        .unit("one.service", "")
        .unit("two.service", "")
        .unit("three.service", "")
        .unit("four.service", "")
        .link(format!("{LIB}/other.service"), "real.service")
        .link(format!("{LIB}/other.service.wants/two.service"), "../two.service")
        .file(format!("{ETC}/service.d/10.conf"), "[Unit]\nWants=three.service\n")
        .file(format!("{LIB}/other.service.d/20.conf"), "[Service]\nExecStart=\nExecStart=/lib\n")
        .file(format!("{ETC}/real.service.d/20.conf"), "[Service]\nExecStart=\nExecStart=/new\n")
        .link(format!("{LIB}/real.service.d/30.conf"), "/dev/null")
        .wanted("multi-user.target", "other.service");
    for name in ["one", "two", "three"] {
        let unit = format!("{name}.service");
        assert_eq!(guest.way(&unit), format!("{MULTI} real.service {unit}"));
    }
    assert_eq!(guest.way("four.service"), "NotPulled");
    let tree = guest.tree();
    let Loaded::Unit(unit) = Units::new(&tree).unwrap().unit("other.service").unwrap() else {
        panic!("no unit");
    };
    // One file of each name: that of the name, and of /etc, before others.
    let drop_ins: Vec<String> = unit.drop_ins.iter().map(ToString::to_string).collect();
    assert_eq!(
        drop_ins,
        [format!("{ETC}/service.d/10.conf"), format!("{ETC}/real.service.d/20.conf")]
    );
    assert_eq!(unit.settings.list("Service", "ExecStart"), ["/new"]);
    assert_eq!(unit.settings.last("Service", "User"), Some("x"));
    assert!(unit.aliases.contains("other.service"));
}

#[test]
fn a_first_boot_needs_no_condition_of_what_is_on_the_way() {
    // systemd queues what a unit wants before it looks at the unit's conditions.
    let guest = GuestDir::systemd()
        .unit("a.service", "[Unit]\nConditionPathExists=/nowhere\nWants=b.service\n")
        .unit("b.service", "")
        .wanted("multi-user.target", "a.service");
    assert!(guest.way("a.service").starts_with("Condition(["));
    assert_eq!(guest.way("b.service"), format!("{MULTI} a.service b.service"));
}

#[test]
fn conditions_are_held_against_the_files() {
    let holds = [
        "PathExists=/etc/file",
        "PathExists=!/etc/none",
        "PathExistsGlob=/etc/f*e",
        "PathIsDirectory=/etc/dir",
        "PathIsSymbolicLink=/etc/link",
        "DirectoryNotEmpty=/etc/dir",
        "DirectoryNotEmpty=!/etc/empty",
        "FileNotEmpty=/etc/file",
        "FileIsExecutable=/etc/script",
        "FirstBoot=no",
        "PathExists=|/etc/none\nConditionPathExists=|/etc/file",
        "PathExists=/nowhere\nConditionPathExists=",
        "PathExists=|/run/x\nConditionPathExists=|/etc/file",
    ];
    let open = [
        "PathExists=/run/x",
        "PathExists=/var/run/x",
        "PathExists=!/proc/x",
        "PathExistsGlob=/dev/*",
        "KernelCommandLine=x",
        "Virtualization=!container",
        "PathIsReadWrite=/etc",
        "PathExists=|/run/x\nConditionPathExists=|/etc/none",
        "FileNotEmpty=/lib/modules/%v/x",
    ];
    let fails = [
        "PathExists=/etc/none",
        "PathExists=!/etc/file",
        "PathExistsGlob=/etc/z*",
        "FileNotEmpty=/etc/dir",
        "FileIsExecutable=/etc/file",
        "DirectoryNotEmpty=/etc/empty",
        "DirectoryNotEmpty=/etc/hidden",
        "PathIsSymbolicLink=/etc/file",
        "FirstBoot=yes",
        "PathExists=|/etc/none\nConditionPathExists=|/etc/none2",
        "PathExists=/run/x\nConditionPathExists=/etc/none",
    ];
    let judged = |condition: &str| {
        let guest = GuestDir::systemd()
            .file("/etc/file", "x")
            .script("/etc/script")
            .file("/etc/dir/x", "")
            .file("/etc/hidden/.x", "")
            .dir("/etc/empty")
            .link("/etc/link", "nowhere")
            .link("/var/run", "/run")
            .unit("a.service", &format!("[Unit]\nCondition{condition}\n"))
            .wanted("multi-user.target", "a.service");
        guest.way("a.service")
    };
    for condition in holds {
        assert_eq!(judged(condition), format!("{MULTI} a.service"), "{condition}");
    }
    for condition in open {
        let way = judged(condition);
        assert!(way.starts_with(MULTI) && way.contains(" [Condition"), "{condition}: {way}");
    }
    for condition in fails {
        assert!(judged(condition).starts_with("Condition(["), "{condition}");
    }
}

#[test]
fn generators_make_units_of_fstab_and_of_scripts() {
    let generators = "/usr/lib/systemd/system-generators";
    let guest = || {
        GuestDir::systemd()
            .script(format!("{generators}/systemd-fstab-generator"))
            .script(format!("{generators}/systemd-sysv-generator"))
            .script(format!("{generators}/systemd-rc-local-generator"))
            .unit("need.service", "")
            .unit("rc-local.service", "")
            .unit("native.service", "")
            .file(
                "/etc/fstab",
                "/dev/a /srv/my-data ext4 x-systemd.requires=need.service 0 2\n\
                server:/x /net nfs defaults 0 0\n/dev/b /later ext4 noauto 0 0\n",
            )
            .wanted("multi-user.target", "remote-fs.target")
            .script("/etc/init.d/old.sh")
            .script("/etc/init.d/native")
            .file("/etc/init.d/plain", "")
            .link("/etc/rc2.d/S01old.sh", "../init.d/old.sh")
            .link("/etc/rc2.d/S02native", "../init.d/native")
            .link("/etc/rc2.d/S03plain", "../init.d/plain")
            .script("/etc/rc.local")
    };
    let local = "default.target multi-user.target basic.target sysinit.target local-fs.target";
    let on = guest();
    on.agrees();
    assert_eq!(on.way("need.service"), format!("{local} srv-my\\x2ddata.mount need.service"));
    assert_eq!(on.way("net.mount"), format!("{MULTI} remote-fs.target net.mount"));
    assert_eq!(on.way("later.mount"), "NotPulled");
    assert_eq!(on.way("old.service"), format!("{MULTI} old.service"));
    assert_eq!(on.way("native.service"), "NotPulled");
    assert_eq!(on.way("plain.service"), "Missing");
    assert_eq!(on.way("rc-local.service"), format!("{MULTI} rc-local.service"));
    let off = guest()
        .link("/etc/systemd/system-generators/systemd-sysv-generator", "/dev/null")
        .script(format!("{generators}/someone-else"));
    assert_eq!(off.way("old.service"), "Missing");
    let tree = off.tree();
    assert_eq!(Units::new(&tree).unwrap().other_generators().unwrap(), ["someone-else"]);
}

#[test]
fn timers_and_paths_start_their_units_later() {
    let guest = GuestDir::systemd()
        .unit("a.timer", "[Timer]\nOnBootSec=1\n")
        .unit("a.service", "")
        .unit("b.path", "[Path]\nPathExists=/x\nUnit=c.service\n")
        .unit("b.service", "")
        .unit("c.service", "")
        .wanted("timers.target", "a.timer")
        .wanted("paths.target", "b.path");
    let basic = "default.target multi-user.target basic.target";
    assert_eq!(guest.way("a.service"), format!("{basic} timers.target a.timer -a.service"));
    assert_eq!(guest.way("c.service"), format!("{basic} paths.target b.path -c.service"));
    assert_eq!(guest.way("b.service"), "NotPulled");
    // What starts by itself is told as that.
    let guest = guest.wanted("multi-user.target", "a.service");
    assert_eq!(guest.way("a.service"), format!("{MULTI} a.service"));
}
