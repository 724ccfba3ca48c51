//! The other form that cloud-init knows, and cloudbase-init, too: OpenStack's ConfigDrive, version 2.

use serde_json::{Map, Value, json};

use super::{Tree, VolumeError, network_data, nocloud};
use crate::problem::Problem;
use crate::seed::{Seed, SeedFile};
use crate::yaml;

/// Where the newest form lies, which every reader takes where no dated one is there.
const LATEST: &str = "openstack/latest";
/// Where files lie that `meta_data.json` refers to, and how it does.
const CONTENT: (&str, &str) = ("openstack", "/content/0000");
/// Keys of `meta_data.json` with a meaning of their own, which nothing in NoCloud's meta-data has.
const OWN: [&str; 6] = ["uuid", "name", "public_keys", "files", "network_config", "random_seed"];

/// The label by which ConfigDrive finds a volume.
pub const LABEL: &str = "config-2";

/// The files of a ConfigDrive.
///
/// # Errors
/// [`VolumeError::NotCarried`]: a file of the seed that has no place in one.
pub fn tree(seed: &Seed) -> Result<Tree<'_>, VolumeError> {
    let mut tree = Tree::default();
    let path = |name: &str| format!("{LATEST}/{name}");
    let (meta_data, interfaces) = meta_data(&nocloud::meta_data(seed))?;
    tree.insert(&path("meta_data.json"), as_json(&meta_data))?;
    if let Some(text) = interfaces {
        tree.insert(&format!("{}{}", CONTENT.0, CONTENT.1), text.into_bytes())?;
    }
    if let Some(user_data) = seed.get(SeedFile::UserData) {
        tree.insert(&path("user_data"), user_data)?;
    }
    if let Some(vendor_data) = seed.get(SeedFile::VendorData) {
        tree.insert(&path("vendor_data.json"), as_json(&wrapped(vendor_data)?))?;
    }
    // An empty file says nothing, as none does.
    let network_config = seed.get(SeedFile::NetworkConfig).filter(|it| !it.is_empty());
    if let Some(network_config) = network_config {
        let network = network(network_config)?;
        tree.insert(&path("network_data.json"), as_json(&network))?;
    }
    Ok(tree)
}

fn as_json(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn not_carried<T>(file: SeedFile, why: impl Into<String>) -> Result<T, VolumeError> {
    Err(VolumeError::NotCarried(file, why.into()))
}

/// Reads YAML as cloud-init does.
fn read(file: SeedFile, bytes: &[u8]) -> Result<Map<String, Value>, VolumeError> {
    let Ok(text) = std::str::from_utf8(bytes) else { return not_carried(file, "it is no text") };
    match yaml::parse(text).and_then(|it| json(&it.root)) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => not_carried(file, "it is no map of keys"),
        Err(Problem { at, message, .. }) => {
            not_carried(file, format!("line {}, column {}: {message}", at.line, at.column))
        }
    }
}

/// A value of YAML in JSON.
fn json(node: &yaml::Node) -> Result<Value, Problem> {
    Ok(match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(flag) => (*flag).into(),
        yaml::Value::Integer(number) => (*number).into(),
        yaml::Value::Text(text) => text.as_str().into(),
        yaml::Value::List(list) => list.iter().map(|it| json(it)).collect::<Result<_, _>>()?,
        yaml::Value::Map(entries) => {
            let entry = |it: &yaml::Entry| match it.odd {
                Some(_) => Err(Problem::new(it.at, "a key is text; put it in quotes")),
                None => Ok((it.key.clone(), json(&it.value)?)),
            };
            Value::Object(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
        yaml::Value::Fraction | yaml::Value::Date | yaml::Value::Binary(_) => {
            let message = "fractions, dates and binary values are not carried; put it in quotes";
            return Err(Problem::new(node.at, message));
        }
    })
}

/// `meta_data.json` of NoCloud's meta-data, and the text of an interfaces file where it has one.
fn meta_data(bytes: &[u8]) -> Result<(Value, Option<String>), VolumeError> {
    let mut given = read(SeedFile::MetaData, bytes)?;
    let mut made = Map::new();
    let mut interfaces = None;
    match given.remove("instance-id") {
        Some(Value::String(id)) => made.insert("uuid".into(), id.into()),
        Some(Value::Number(id)) => made.insert("uuid".into(), id.to_string().into()),
        _ => return not_carried(SeedFile::MetaData, "it needs an instance-id"),
    };
    // NoCloud reads `local-hostname` alone.
    let hostname = given.remove("hostname");
    if let Some(name) = given.remove("local-hostname").or(hostname) {
        made.insert("hostname".into(), name.clone());
        made.insert("name".into(), name);
    }
    if let Some(keys) = given.remove("public-keys") {
        made.insert("public_keys".into(), public_keys(keys)?);
    }
    if let Some(text) = given.remove("network-interfaces") {
        let Value::String(text) = text else {
            return not_carried(SeedFile::MetaData, "network-interfaces is no text");
        };
        made.insert("network_config".into(), json!({ "content_path": CONTENT.1 }));
        interfaces = Some(text);
    }
    if let Some(mode) = given.remove("dsmode") {
        let meta = given.entry("meta").or_insert_with(|| json!({}));
        let Value::Object(meta) = meta else {
            return not_carried(SeedFile::MetaData, "beside dsmode, meta is to be a map");
        };
        meta.insert("dsmode".into(), mode);
    }
    if given.contains_key("seedfrom") {
        let why = "a ConfigDrive cannot say that the seed is elsewhere (seedfrom): put the documents \
                   themselves into it, or make a NoCloud volume";
        return not_carried(SeedFile::MetaData, why);
    }
    if let Some(key) = OWN.into_iter().find(|key| given.contains_key(*key)) {
        let why = format!("'{key}' means something of its own in a ConfigDrive: leave it out");
        return not_carried(SeedFile::MetaData, why);
    }
    made.append(&mut given);
    Ok((made.into(), interfaces))
}

/// OpenStack's form of SSH keys, a name for each: NoCloud takes lines of text, a list, or one or
/// several under each name.
fn public_keys(keys: Value) -> Result<Value, VolumeError> {
    let mut flat = Vec::new();
    let mut todo = vec![keys];
    while let Some(next) = todo.pop() {
        match next {
            Value::String(text) => {
                flat.extend(text.lines().filter(|it| !it.is_empty()).map(str::to_owned));
            }
            Value::Array(list) => todo.extend(list.into_iter().rev()),
            Value::Object(named) => todo.extend(named.into_iter().rev().map(|(_, key)| key)),
            _ => {
                return not_carried(
                    SeedFile::MetaData,
                    "public-keys holds something that is no text",
                );
            }
        }
    }
    // Readers may sort them.
    let named = flat.into_iter().enumerate().map(|(at, key)| (format!("key-{at:03}"), key.into()));
    Ok(Value::Object(named.collect()))
}

/// Vendor-data as OpenStack's provider gives it, of which cloud-init reads what is under its own
/// name.
fn wrapped(vendor_data: &[u8]) -> Result<Value, VolumeError> {
    match std::str::from_utf8(vendor_data) {
        Ok(text) => Ok(json!({ "cloud-init": text })),
        Err(_) => not_carried(
            SeedFile::VendorData,
            "a ConfigDrive holds it as text, and this is none (compressed?): give it as it is, or \
             make a NoCloud volume",
        ),
    }
}

/// The network's settings in OpenStack's form.
fn network(bytes: &[u8]) -> Result<Value, VolumeError> {
    const FILE: SeedFile = SeedFile::NetworkConfig;
    network_data::of(read(FILE, bytes)?).or_else(|why| {
        let form = "a ConfigDrive holds a network's settings in OpenStack's form";
        not_carried(FILE, format!("{form}: {why}; change it, or make a NoCloud volume"))
    })
}
