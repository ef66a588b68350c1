//! What is printed and written: the machine, then a row a figure.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::instance;

pub struct Report {
    name: String,
    machine: Value,
    rows: Vec<(String, f64, &'static str)>,
}

/// `target/bench`.
pub fn folder() -> PathBuf {
    let folder = instance::target().join("bench");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn machine() -> Value {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).map(str::to_owned);
    let mib = kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let found = wablast::embedded::binaries::Binaries::find(&folder(), None).unwrap();
    let (program, build) = instance::program();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_mib": mib,
        "load_before": load,
        "kernel": first_line("uname", &["-sr"]),
        "postgresql": first_line(found.postgres().to_str().unwrap(), &["--version"]),
        "program": program,
        "build": build,
        "commit": first_line("git", &["describe", "--always", "--dirty"]),
    })
}

impl Report {
    pub fn new(name: &str) -> Self {
        let machine = machine();
        println!("machine");
        for (key, value) in machine.as_object().unwrap() {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            println!("  {key:<14} {shown}");
        }
        if machine["build"] == "debug" {
            println!("  This is a DEBUG build: its figures say only that they can be taken.");
        }
        println!("{name}");
        Self {
            name: name.to_owned(),
            machine,
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        let what = what.into();
        println!("  {what:<58} {value:>12.2} {unit}");
        self.rows.push((what, value, unit));
    }

    /// Several figures of one thing, on one line.
    pub fn line(&mut self, what: &str, values: &[(&str, f64)], unit: &'static str) {
        let shown: Vec<String> = values
            .iter()
            .map(|(name, value)| format!("{name} {value:>8.2}"))
            .collect();
        println!("  {what:<28} {} {unit}", shown.join("  "));
        for (name, value) in values {
            self.rows.push((format!("{what} {name}"), *value, unit));
        }
    }

    pub fn finish(self) {
        let figures: Vec<Value> = self
            .rows
            .iter()
            .map(|(what, value, unit)| json!({ "figure": what, "value": value, "unit": unit }))
            .collect();
        let path = folder().join(format!("{}.json", self.name));
        let all = json!({ "name": self.name, "machine": self.machine, "figures": figures });
        fs::write(&path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
        println!("written to {}", path.display());
    }
}

/// The value below which `percent` of them lie; the values are put in order.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[(last * percent).div_ceil(100).min(last)]
}
