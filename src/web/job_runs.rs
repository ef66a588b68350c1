//! How the runs of a job are shown: as a strip of marks, and each in words.
//!
//! Invariant: a run without an end is never shown as done.

use crate::i18n::Lang;
use crate::jobs::Job;
use crate::jobs::query::JobRun;
use crate::web::page::Shell;

/// One run of the strip, the oldest first.
pub struct Mark {
    pub x: String,
    pub y: u8,
    pub height: u8,
    pub hue: &'static str,
    pub title: String,
}

/// Most marks a strip holds.
const MOST: usize = 30;

/// The state of a run: waiting (asked for, not begun), running, done, failed.
pub fn state(run: &JobRun) -> &'static str {
    match (run.started_at, run.ended_at, &run.error) {
        (None, _, _) => "waiting",
        (_, None, _) => "running",
        (_, _, Some(_)) => "failed",
        _ => "done",
    }
}

/// What it did, what went wrong, or nothing yet.
pub fn words(shell: &Shell, run: &JobRun) -> String {
    let said = run.error.as_deref().or(run.summary.as_deref());
    shell.say(said.unwrap_or_default())
}

/// "12 ms", "0.2 s"; nothing while it runs.
pub fn took(shell: &Shell, run: &JobRun) -> String {
    let (Some(started), Some(ended)) = (run.started_at, run.ended_at) else {
        return String::new();
    };
    let milliseconds = (ended - started).num_milliseconds().max(0);
    if milliseconds < 100 {
        return format!("{milliseconds}\u{a0}ms");
    }
    let text = format!("{:.1}\u{a0}s", milliseconds as f64 / 1000.0);
    match shell.lang {
        Lang::En => text,
        Lang::Id => text.replace('.', ","),
    }
}

/// Runs that did something stand tall, those that found nothing low. `runs`: the newest first.
pub fn marks(shell: &Shell, runs: &[JobRun]) -> Vec<Mark> {
    let shown = runs.iter().take(MOST).rev().enumerate();
    shown
        .map(|(at, run)| {
            let (hue, height) = match state(run) {
                "done" if run.done == 0 => ("green", 8),
                "done" => ("green", 18),
                "failed" => ("red", 18),
                "running" => ("teal", 14),
                _ => ("slate", 8),
            };
            let when = shell.instant(&run.started_at.unwrap_or(run.slot));
            Mark {
                x: format!("{:.1}", at as f64 * 6.3),
                y: 20 - height,
                height,
                hue,
                title: format!("{when}: {}", words(shell, run)),
            }
        })
        .collect()
}

/// What the strip says to readers: "30 runs, 1 failed".
pub fn sentence(shell: &Shell, runs: &[JobRun]) -> String {
    let shown = &runs[..runs.len().min(MOST)];
    let failed = shown.iter().filter(|run| state(run) == "failed").count();
    let count = shell.tn("jobs.runs", shown.len());
    if failed == 0 {
        count
    } else {
        format!("{count}, {}", shell.tn("jobs.runs_failed", failed))
    }
}

/// "5 minutes".
pub fn every(shell: &Shell, job: &Job) -> String {
    shell.tn(
        &format!("jobs.every.{}", job.interval_unit),
        job.interval_number,
    )
}

/// What the job does, in a line under its name; empty for one the catalogue does not know.
pub fn about(shell: &Shell, job: &Job) -> String {
    let key = format!("jobs.about.{}", job.name);
    let text = shell.t(&key);
    if text == key { String::new() } else { text }
}
