//! Real guests, made by `tests/first-boot/guests`, beside what their own systemctl and systemd say.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sysprep_rs::guest::boot::Units;

use super::{listed, our_states, tree};

/// Compares every guest with what `tests/first-boot/units` wrote down of it.
#[test]
#[ignore = "tests/first-boot/units runs it, as root, on guests made by debootstrap"]
fn units_are_what_the_guests_own_systemd_says() {
    let cache = std::env::var_os("SYSPREP_FIRST_BOOT").expect("set by tests/first-boot/units");
    let cache = PathBuf::from(cache);
    let mut names: Vec<String> = std::fs::read_dir(cache.join("oracle"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".units").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no guest in {}", cache.display());
    let (mut states, mut links, mut jobs) = (0, 0, 0);
    for name in &names {
        let told = |what: &str| {
            std::fs::read_to_string(cache.join(format!("oracle/{name}.{what}"))).unwrap()
        };
        let tree = tree(&cache.join("trees").join(name));
        let wanted = listed(&told("units"));
        assert_eq!(our_states(&tree), wanted, "{name}: states");
        states += wanted.len();

        let units = Units::new(&tree).unwrap();
        let enabling = units.after_presets().unwrap();
        let mut ours: BTreeSet<String> =
            enabling.links.iter().map(|(dir, unit)| format!("{dir}/{unit}")).collect();
        ours.extend(enabling.aliases.into_keys());
        let wanted: BTreeSet<String> = told("presets").lines().map(str::to_owned).collect();
        assert_eq!(ours, wanted, "{name}: links by presets");
        links += wanted.len();

        // Slices and devices follow from what runs, not from files.
        let follows =
            |unit: &str| [".slice", ".device", ".scope"].iter().any(|it| unit.ends_with(it));
        let boot = units.boot().unwrap();
        let reached = boot.reached().iter().filter(|it| it.on_demand.is_none());
        let ours: BTreeSet<String> =
            reached.map(|it| it.unit.clone()).filter(|it| !follows(it)).collect();
        let wanted: BTreeSet<String> =
            told("jobs").lines().filter(|it| !follows(it)).map(str::to_owned).collect();
        assert!(wanted.len() > 40, "{name}: systemd told of few jobs: {wanted:?}");
        assert_eq!(ours, wanted, "{name}: units that a boot starts");
        jobs += wanted.len();
        assert!(units.notes().is_empty(), "{name}: {:?}", units.notes());
    }
    println!(
        "{} guests: {states} states, {links} links by presets, {jobs} started units",
        names.len()
    );
}
