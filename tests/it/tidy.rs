//! House rules, kept by looking at the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// The top module a source file belongs to.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn modules_in_order() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

/// Source without comments and without its test module.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_file_names_only_modules_above_its_own() {
    let order = modules_in_order();
    let rank: BTreeMap<&str, usize> = order.iter().map(String::as_str).zip(0..).collect();
    let mut broken = Vec::new();
    for path in files("src", ".rs") {
        let own = module(&path);
        let Some(own_rank) = rank.get(own.as_str()) else {
            continue;
        };
        let code = code(&path);
        for (other, other_rank) in &rank {
            let named = code.contains(&format!("crate::{other}::"))
                || code.contains(&format!("crate::{other};"));
            if named && other_rank > own_rank {
                broken.push(format!(
                    "{} names {other}, which stands below {own}",
                    name(&path)
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn doors_and_layers_stay_apart() {
    let rules: &[(&str, &[&str])] = &[
        (
            "actix_web",
            &["web", "api", "simulator", "server", "runner", "main"],
        ),
        ("askama", &["web", "simulator"]),
        ("reqwest", &["gateways", "app"]),
        ("Utc::now()", &["clock"]),
        ("std::env::var(", &["config"]),
        ("rand::", &["random"]),
    ];
    let mut broken = Vec::new();
    for path in files("src", ".rs") {
        let code = code(&path);
        for (word, allowed) in rules {
            let own = module(&path);
            if code.contains(word) && !allowed.contains(&own.as_str()) {
                broken.push(format!("{} names {word}", name(&path)));
            }
        }
        for (own, other) in [
            ("web", "api"),
            ("web", "scheduler"),
            ("api", "web"),
            ("api", "scheduler"),
            ("scheduler", "web"),
            ("scheduler", "api"),
        ] {
            if module(&path) == own && code.contains(&format!("crate::{other}::")) {
                broken.push(format!(
                    "{}: the door {own} names the door {other}",
                    name(&path)
                ));
            }
        }
        let without_sql = ["gateways", "text"].contains(&module(&path).as_str());
        if without_sql && (code.contains("diesel") || code.contains("crate::schema")) {
            broken.push(format!("{} names the database", name(&path)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_have_one_reason_to_change_and_say_what_they_are() {
    let mut broken = Vec::new();
    for path in files("src", ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            broken.push(format!("{} has no prologue", name(&path)));
        }
        let lines = text.lines().count();
        if lines > 600 && !path.ends_with("schema.rs") {
            broken.push(format!("{} has {lines} lines", name(&path)));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pages_have_no_inline_script_or_style_and_escape_everything() {
    let mut broken = Vec::new();
    for path in files("templates", ".html") {
        let text = fs::read_to_string(&path).unwrap();
        for word in [
            " style=\"",
            "<style",
            "<script>",
            "|safe",
            "| safe",
            " onclick=",
            " onchange=",
            " onsubmit=",
            "javascript:",
        ] {
            if text.contains(word) {
                broken.push(format!("{} contains {word}", name(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_template_is_used() {
    let sources: String = files("src", ".rs")
        .iter()
        .chain(&files("templates", ".html"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let unused: Vec<String> = files("templates", ".html")
        .iter()
        .map(|path| {
            path.strip_prefix(root().join("templates"))
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|template| !sources.contains(&format!("\"{template}\"")))
        .collect();
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}

#[test]
fn the_named_packages_and_folders_are_there() {
    let cargo = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for package in [
        "actix-web",
        "askama",
        "diesel",
        "tokio-postgres",
        "serde",
        "reqwest",
        "chrono",
        "actix-session",
        "argon2",
        "tokio-cron-scheduler",
    ] {
        assert!(
            cargo
                .lines()
                .any(|line| line.starts_with(&format!("{package} ="))),
            "{package}"
        );
    }
    for folder in ["src", "templates", "static", "migrations", "tests"] {
        assert!(root().join(folder).is_dir(), "{folder}");
    }
    for line in cargo
        .lines()
        .filter(|line| line.contains("version = ") || line.contains(" = \""))
    {
        let is_dependency = line.split('=').next().is_some_and(|name| {
            ![
                "name",
                "version",
                "edition",
                "rust-version",
                "description",
                "default-run",
                "path",
            ]
            .contains(&name.trim())
        });
        let in_lints = line.trim_end().ends_with("\"warn\"")
            || line.contains("forbid")
            || line.contains("priority");
        let in_profile = ["debug", "strip", "panic"]
            .iter()
            .any(|key| line.starts_with(key));
        assert!(
            !is_dependency || in_lints || in_profile || line.contains('#'),
            "no reason given: {line}"
        );
    }
}
