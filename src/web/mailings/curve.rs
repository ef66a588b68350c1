//! How a mailing went over time, drawn: three lines that rise to what was sent, delivered and read.
//!
//! Invariant: the lines are told apart by their dashes too, and the same figures stand in a table.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, TimeDelta, Utc};

use crate::outgoing::tally::Curve;
use crate::web::page::Shell;

const WIDTH: f64 = 372.0;
/// Where the lines are drawn, from above.
const TOP: f64 = 8.0;
const BOTTOM: f64 = 128.0;
/// Rows of the table, at most.
const ROWS: usize = 12;

/// One of the three.
struct Line {
    /// Class of its colour and of its dashes.
    look: &'static str,
    word: &'static str,
    points: String,
    total: i64,
}

struct Row {
    time: String,
    figures: [i64; 3],
}

#[derive(Template)]
#[template(path = "mailings/curve.html")]
pub struct Chart {
    shell: Shell,
    lines: [Line; 3],
    rows: Vec<Row>,
    /// The highest figure of the scale and its half, where they can be told apart.
    scale: Vec<(String, f64)>,
    left: f64,
    from: String,
    to: String,
    sentence: String,
    /// Nothing stands beside it: the table is open.
    alone: bool,
}

impl HtmlSafe for Chart {}

/// After each step: how many so far.
fn so_far(line: &[(i64, i64)], steps: usize) -> Vec<i64> {
    let mut happened = vec![0; steps];
    for (step, count) in line {
        let place = usize::try_from(*step).unwrap_or_default();
        if let Some(place) = happened.get_mut(place) {
            *place += count;
        }
    }
    let mut sum = 0;
    happened
        .iter()
        .map(|count| {
            sum += count;
            sum
        })
        .collect()
}

/// The next of 1, 2, 5, 10, 20, 50 …
fn round_up(value: i64) -> i64 {
    let mut power = 1;
    loop {
        for factor in [1, 2, 5] {
            if factor * power >= value {
                return factor * power;
            }
        }
        power *= 10;
    }
}

impl Chart {
    /// `None` where nothing has left. `end`: how far the lines go.
    pub fn new(shell: &Shell, curve: &Curve, end: DateTime<Utc>) -> Option<Self> {
        if curve.sent.is_empty() {
            return None;
        }
        let step = curve.step.max(1);
        let steps = (end - curve.from).num_seconds().max(1) / step + 1;
        let steps = usize::try_from(steps).unwrap_or(1).clamp(1, 2_000);
        let figures = [&curve.sent, &curve.delivered, &curve.read].map(|line| so_far(line, steps));
        let last = |line: &Vec<i64>| line.last().copied().unwrap_or_default();
        let top = round_up(figures.iter().map(last).max().unwrap_or_default().max(1));
        let left = 10.0 + 7.0 * shell.number(top).chars().count() as f64;
        let at = |place: usize| curve.from + TimeDelta::seconds(step * place as i64);
        let clock = |at: DateTime<Utc>| clock(shell, at, end - curve.from);
        let looks = [
            ("l-teal", "state.message.sent"),
            ("l-green dash-2", "state.message.delivered"),
            ("l-blue dash-3", "state.message.read"),
        ];
        let mut lines = looks
            .into_iter()
            .zip(&figures)
            .map(|((look, word), line)| Line {
                look,
                word,
                points: points(line, left, top),
                total: last(line),
            });
        let lines = [lines.next()?, lines.next()?, lines.next()?];
        let every = steps.div_ceil(ROWS);
        let rows = (0..steps).rev().step_by(every).map(|place| Row {
            time: clock(at(place + 1).min(end.max(curve.from))),
            figures: [0, 1, 2].map(|line: usize| figures[line][place]),
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.reverse();
        let mut scale = vec![(shell.number(top), TOP)];
        if top % 2 == 0 {
            scale.push((shell.number(top / 2), f64::midpoint(TOP, BOTTOM)));
        }
        let (from, to) = (clock(curve.from), clock(end));
        let sentence = shell.tf(
            "mailings.curve.sentence",
            &[
                shell.number(lines[0].total),
                shell.number(lines[1].total),
                shell.number(lines[2].total),
                from.clone(),
                to.clone(),
            ],
        );
        Some(Self {
            shell: shell.clone(),
            lines,
            rows,
            scale,
            left,
            from,
            to,
            sentence,
            alone: false,
        })
    }

    /// The same where nothing stands beside it.
    pub fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }
}

/// A corner for every step in which something happened.
fn points(line: &[i64], left: f64, top: i64) -> String {
    let width = (WIDTH - 4.0 - left) / line.len() as f64;
    let height = |count: i64| BOTTOM - (BOTTOM - TOP) * count as f64 / top as f64;
    let mut text = format!("{left:.1},{BOTTOM:.1}");
    let mut before = 0;
    let mut flat = false;
    for (place, count) in (0_i32..).zip(line.iter().copied()) {
        if count == before {
            flat = true;
            continue;
        }
        if flat {
            let x = left + width * f64::from(place);
            text.push_str(&format!(" {x:.1},{:.1}", height(before)));
        }
        let x = left + width * f64::from(place + 1);
        text.push_str(&format!(" {x:.1},{:.1}", height(count)));
        (before, flat) = (count, false);
    }
    if flat {
        text.push_str(&format!(" {:.1},{:.1}", WIDTH - 4.0, height(before)));
    }
    text
}

/// As fine as the span needs.
fn clock(shell: &Shell, at: DateTime<Utc>, span: TimeDelta) -> String {
    let there = at.with_timezone(&shell.zone);
    if span > TimeDelta::hours(20) {
        shell.date(&at)
    } else if span > TimeDelta::minutes(20) {
        there.format("%H:%M").to_string()
    } else {
        there.format("%H:%M:%S").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Lang;

    #[test]
    fn curve_lines_rise_to_what_happened_within_the_span() {
        assert_eq!(so_far(&[(0, 2), (2, 3), (9, 7)], 4), [2, 2, 5, 5]);
        assert_eq!(
            points(&[5, 5, 10], 12.0, 10),
            "12.0,128.0 130.7,68.0 249.3,68.0 368.0,8.0"
        );
        assert_eq!(
            [0, 1, 3, 10, 11, 700_000].map(round_up),
            [1, 1, 5, 10, 20, 1_000_000]
        );
    }

    #[test]
    fn curve_nothing_that_left_is_no_picture() {
        let shell = Shell::signed_out(Lang::En, DateTime::<Utc>::default());
        let curve = Curve {
            from: shell.now,
            step: 1,
            sent: Vec::new(),
            delivered: Vec::new(),
            read: Vec::new(),
            recent: 0,
            within: 60,
        };
        assert!(Chart::new(&shell, &curve, shell.now).is_none());
        let sent = Curve {
            sent: vec![(0, 3)],
            ..curve
        };
        let chart = Chart::new(&shell, &sent, shell.now).unwrap();
        assert_eq!(chart.rows.last().unwrap().figures, [3, 0, 0]);
    }
}
