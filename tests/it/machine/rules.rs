//! What must hold: the invariants of `delivery.md` 1 to 5, and which step may move what where.

use wablast::mailings::Verb;

use super::world::{Row, Truth, World};
use super::{PEOPLE, Step};

const WAITING: [&str; 2] = ["queued", "claimed"];
const GOOD: [&str; 4] = ["accepted", "sent", "delivered", "read"];

fn rank_of(state: &str) -> i32 {
    match state {
        "accepted" => 1,
        "sent" => 2,
        "failed" => 3,
        "delivered" => 4,
        "read" => 5,
        _ => 0,
    }
}

/// What the evidence of its attempts makes of a message; 0: nothing is known.
fn evidence(row: &Row) -> i32 {
    let good = row
        .ranks
        .iter()
        .copied()
        .filter(|rank| [1, 2, 4, 5].contains(rank))
        .max();
    good.unwrap_or_else(|| {
        row.ranks
            .last()
            .copied()
            .filter(|rank| *rank == 3)
            .unwrap_or(0)
    })
}

fn ensure(holds: bool, what: &str, row: &Row) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(format!("{what}: {row:?}"))
    }
}

/// What holds at every moment.
pub fn always(truth: &Truth, rows: &[Row]) -> Result<(), String> {
    if rows.len() != PEOPLE {
        return Err(format!("{} messages of {PEOPLE}", rows.len()));
    }
    for row in rows {
        let of = |counts: &std::collections::BTreeMap<i64, usize>| {
            counts.get(&row.id).copied().unwrap_or(0)
        };
        let (posts, effects, asked) = (of(&truth.posts), of(&truth.effects), of(&truth.asked));
        let is = |states: &[&str]| states.contains(&row.state.as_str());
        ensure(
            posts <= row.ranks.len(),
            "1: more requests than attempts",
            row,
        )?;
        ensure(
            effects <= 1 + asked,
            "1: more than once without being asked",
            row,
        )?;
        let vouched = effects > 0 || truth.marked.contains(&row.id);
        ensure(
            !is(&GOOD) || vouched,
            "2: counts as sent and never was",
            row,
        )?;
        ensure(
            !is(&["canceled", "skipped", "expired"]) || effects == 0,
            "2: it arrived, and is called left out",
            row,
        )?;
        ensure(
            !is(&WAITING) || effects == 0 || asked > 0,
            "2: it arrived, and waits to go again",
            row,
        )?;
        let held = is(&["claimed", "sending"]);
        ensure(
            row.owned == held && row.leased == held,
            "4: owner and lease",
            row,
        )?;
        ensure(
            evidence(row) == rank_of(&row.state) || ![1, 2, 4, 5].contains(&evidence(row)),
            "8: it does not show the furthest it got",
            row,
        )?;
    }
    Ok(())
}

/// What holds from one moment to the next.
pub fn hold(world: &World<'_>, step: Step, before: &[Row], after: &[Row]) -> Result<(), String> {
    always(&world.truth, after)?;
    for (old, new) in before.iter().zip(after) {
        ensure(new.fence >= old.fence, "4: the fence fell", new)?;
        ensure(
            old.ranks.iter().zip(&new.ranks).all(|(was, is)| is >= was),
            "5: a rank fell",
            new,
        )?;
        let moved = (old.state.as_str(), new.state.as_str());
        let by_evidence = evidence(new) != 0 && evidence(new) == rank_of(&new.state);
        if moved.0 != moved.1 {
            ensure(
                may(step, moved, by_evidence),
                &format!("5: from {} to {}", moved.0, moved.1),
                new,
            )?;
        }
        let taken_away = ["claimed", "sending"].contains(&moved.0) && WAITING[0] == moved.1;
        let by_record = matches!(step, Step::Record(_) | Step::RecordAgain(_));
        ensure(
            !taken_away || by_record || new.fence > old.fence,
            "4: taken away under the same fence",
            new,
        )?;
        if moved.1 == "sending" && moved.0 != "sending" {
            ensure(
                old.mailing == "sending",
                "7: begun while its mailing does not send",
                new,
            )?;
            ensure(
                !world.truth.stopped.contains(&new.id),
                "7: begun after it was cancelled",
                new,
            )?;
            ensure(
                !world.truth.opted_out.contains(&new.contact),
                "7: begun after the person said stop",
                new,
            )?;
        }
        // Bad news under an old fence is news of nobody.
        let news: Vec<_> = world
            .truth
            .wrote
            .iter()
            .filter(|(id, _, _)| *id == new.id)
            .collect();
        if !news.is_empty()
            && news
                .iter()
                .all(|(_, fence, good)| *fence != old.fence && !good)
        {
            ensure(
                moved.0 == moved.1 && old.fence == new.fence,
                "4: an old fence moved it",
                new,
            )?;
        }
    }
    Ok(())
}

/// The table of transitions.
fn may(step: Step, moved: (&str, &str), by_evidence: bool) -> bool {
    // What had ended before ends as it had.
    let falls_back = matches!(
        moved,
        ("queued" | "claimed", "failed" | "uncertain" | "expired")
    );
    match step {
        Step::Claim(..) => moved == ("queued", "claimed"),
        Step::Take(..) => matches!(moved, ("queued", "claimed" | "sending")),
        Step::Begin(_) => {
            matches!(moved, ("claimed", "sending" | "queued" | "skipped"))
                || (falls_back && moved.0 == "claimed")
        }
        Step::Record(_) | Step::RecordAgain(_) => {
            matches!(
                moved,
                ("sending", "accepted" | "queued" | "failed" | "uncertain")
            ) || by_evidence
        }
        Step::Reap => {
            matches!(
                moved,
                ("claimed", "queued")
                    | ("sending", "uncertain")
                    | ("queued", "expired" | "canceled")
            ) || falls_back
        }
        Step::GiveBack(_) | Step::GiveAllBack(_) => moved == ("claimed", "queued"),
        Step::Receipt(..) | Step::Sweep => by_evidence,
        Step::Change(Verb::Cancel) => {
            matches!(moved, ("queued" | "claimed", "canceled")) || falls_back
        }
        Step::OptOut(_) => matches!(moved, ("queued" | "claimed", "skipped")) || falls_back,
        Step::Retry => matches!(moved, ("failed" | "expired", "queued")),
        Step::Resend => moved == ("uncertain", "queued"),
        Step::MarkSent => moved.0 == "uncertain" && by_evidence,
        Step::Post(..)
        | Step::Die(_)
        | Step::Later(_)
        | Step::Change(_)
        | Step::OptIn(_)
        | Step::Settle => false,
    }
}
