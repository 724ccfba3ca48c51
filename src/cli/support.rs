//! What can be read and edited: printed from the driver tables.

use std::process::ExitCode;

use serde::Serialize;
use sysprep_rs::{fs, image};

use super::args::JsonArg;
use super::failure::Failure;
use super::out;

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    covers: &'static str,
    read: bool,
    edit: bool,
    create: bool,
    proved_by: Option<&'static str>,
}

fn rows() -> Vec<Row> {
    let images = image::DRIVERS.iter().map(|driver| Row {
        kind: "image",
        name: driver.format.to_string(),
        covers: driver.summary,
        read: driver.read,
        edit: driver.edit,
        create: driver.create,
        proved_by: None,
    });
    let filesystems = fs::DRIVERS.iter().map(|driver| Row {
        kind: "filesystem",
        name: driver.name.to_owned(),
        covers: driver.covers,
        read: true,
        edit: driver.edit.is_some(),
        create: false,
        proved_by: driver.judge.map(|_| driver.judge_name),
    });
    images.chain(filesystems).collect()
}

/// `support`.
pub(crate) fn support(args: &JsonArg) -> Result<ExitCode, Failure> {
    let rows = rows();
    if args.json {
        out::json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{:<11} {:<7} {:<5} {:<5} create\n", "", "", "read", "edit");
    for row in &rows {
        let yes = |it: bool| if it { "yes" } else { "-" };
        text.push_str(&format!(
            "{:<11} {:<7} {:<5} {:<5} {:<7} {}",
            row.kind,
            row.name,
            yes(row.read),
            yes(row.edit),
            yes(row.create),
            row.covers
        ));
        if let Some(judge) = row.proved_by {
            text.push_str(&format!("; each edit proved by {judge}"));
        }
        text.push('\n');
    }
    out::text(&text)?;
    Ok(ExitCode::SUCCESS)
}
