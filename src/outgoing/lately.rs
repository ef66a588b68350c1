//! What this process began in the last ten minutes, packed.
//!
//! Invariants: never more than [`MOST`] bytes, whatever is sent: above that the oldest half-minutes are
//! forgotten first. Messages that follow each other in a mailing are one run of a few bytes, however many
//! they are; those that stand alone take three to six bytes each. Knows no database.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ids::OutgoingId;

/// How long it is remembered that something was begun.
pub(super) const KEEP: Duration = Duration::from_secs(600);
/// What is forgotten, and looked at, together.
const TOGETHER: Duration = Duration::from_secs(30);
const MOST: usize = 4 << 20;
/// One piece of time is never more than this part of all.
const PIECE: usize = MOST / 16;

/// Messages with ids that follow each other, begun under the same fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub first: i64,
    pub count: i64,
    pub fence: i32,
}

#[derive(Debug, Default)]
pub(super) struct Lately {
    /// The oldest first.
    pieces: VecDeque<Piece>,
    /// Since when nothing is missing, where something had to go early.
    complete_since: Option<Instant>,
}

/// What was begun within half a minute.
#[derive(Debug)]
struct Piece {
    since: Instant,
    packed: Vec<u8>,
    /// Where the last packed run ended.
    end: i64,
    open: Option<Run>,
}

impl Lately {
    /// Takes note of what is begun now.
    pub fn note(&mut self, now: Instant, begun: impl Iterator<Item = (OutgoingId, i32)>) {
        while let Some(oldest) = self.pieces.front()
            && now.duration_since(oldest.since) > KEEP + TOGETHER
        {
            self.pieces.pop_front();
        }
        for (id, fence) in begun {
            let is_full = |piece: &Piece| {
                now.duration_since(piece.since) >= TOGETHER || piece.packed.len() >= PIECE
            };
            if self.pieces.back().is_none_or(is_full) {
                self.begin_piece(now);
            }
            if let Some(piece) = self.pieces.back_mut() {
                piece.add(id.0, fence);
            }
        }
    }

    fn begin_piece(&mut self, now: Instant) {
        if let Some(last) = self.pieces.back_mut() {
            last.packed.shrink_to_fit();
        }
        self.pieces.push_back(Piece {
            since: now,
            packed: Vec::new(),
            end: 0,
            open: None,
        });
        while self.bytes() + 2 * PIECE > MOST && self.pieces.len() > 1 {
            self.pieces.pop_front();
            self.complete_since = self.pieces.front().map(|oldest| oldest.since);
        }
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.packed.len()).sum()
    }

    /// How long ago everything that was begun is still known of.
    pub fn reaches_back(&self, now: Instant) -> Duration {
        self.complete_since
            .map_or(KEEP, |since| now.duration_since(since).min(KEEP))
    }

    /// Piece by piece, the newest first: how long ago it began, and what it holds.
    pub fn newest_first(&self, now: Instant) -> impl Iterator<Item = (Duration, Vec<Run>)> {
        self.pieces
            .iter()
            .rev()
            .map(move |piece| (now.duration_since(piece.since), piece.runs()))
    }

    pub fn holds(&self, id: OutgoingId, fence: i32) -> bool {
        self.pieces.iter().any(|piece| {
            piece
                .runs()
                .iter()
                .any(|run| run.fence == fence && (run.first..run.first + run.count).contains(&id.0))
        })
    }
}

impl Piece {
    fn add(&mut self, id: i64, fence: i32) {
        match &mut self.open {
            Some(run) if run.fence == fence && run.first + run.count == id => run.count += 1,
            _ => {
                self.pack();
                self.open = Some(Run {
                    first: id,
                    count: 1,
                    fence,
                });
            }
        }
    }

    fn pack(&mut self) {
        let Some(run) = self.open.take() else { return };
        let step = run.first - self.end;
        // Small steps either way are small numbers.
        write(
            &mut self.packed,
            ((step << 1) ^ (step >> 63)).cast_unsigned(),
        );
        write(&mut self.packed, run.count.cast_unsigned());
        write(&mut self.packed, u64::from(run.fence.cast_unsigned()));
        self.end = run.first + run.count;
    }

    fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut bytes = self.packed.iter();
        let mut end = 0_i64;
        while let (Some(step), Some(count), Some(fence)) =
            (read(&mut bytes), read(&mut bytes), read(&mut bytes))
        {
            let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
            let run = Run {
                first: end + step,
                count: count.cast_signed(),
                fence: u32::try_from(fence).unwrap_or_default().cast_signed(),
            };
            end = run.first + run.count;
            runs.push(run);
        }
        runs.extend(self.open);
        runs
    }
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn write(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn read<'a>(bytes: &mut impl Iterator<Item = &'a u8>) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(lately: &mut Lately, now: Instant, begun: &[(i64, i32)]) {
        lately.note(
            now,
            begun.iter().map(|(id, fence)| (OutgoingId(*id), *fence)),
        );
    }

    #[test]
    fn what_was_noted_is_found_again_the_newest_first() {
        let mut lately = Lately::default();
        let start = Instant::now();
        let odd = [
            (900, 1),
            (901, 1),
            (902, 3),
            (7, 1),
            (i64::MAX >> 1, i32::MAX),
        ];
        note(&mut lately, start, &odd);
        note(&mut lately, start + TOGETHER, &[(8, 1)]);
        let now = start + TOGETHER;
        let found: Vec<(Duration, Vec<Run>)> = lately.newest_first(now).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0, Duration::ZERO);
        assert_eq!(
            found[0].1,
            [Run {
                first: 8,
                count: 1,
                fence: 1
            }]
        );
        assert_eq!(
            found[1].1[0],
            Run {
                first: 900,
                count: 2,
                fence: 1
            }
        );
        assert_eq!(found[1].1.len(), 4);
        for (id, fence) in odd {
            assert!(lately.holds(OutgoingId(id), fence), "{id}");
            assert!(!lately.holds(OutgoingId(id), fence - 1), "{id}");
        }
        assert!(!lately.holds(OutgoingId(903), 3));
        // Ten minutes later it is forgotten.
        note(&mut lately, start + KEEP + TOGETHER + TOGETHER, &[(9, 1)]);
        assert!(!lately.holds(OutgoingId(900), 1));
    }

    #[test]
    fn ten_minutes_at_full_speed_stay_small_and_the_oldest_goes_first() {
        let mut lately = Lately::default();
        let start = Instant::now();
        // Four instances share two mailings, 7,000 messages a second, in batches of 64.
        for batch in 0..65_625_i64 {
            let at = start + Duration::from_millis(u64::try_from(batch * 64 / 7).unwrap());
            let first = (batch % 2) * 1_000_000_000 + batch * 256;
            let ids: Vec<(i64, i32)> = (first..first + 64).map(|id| (id, 1)).collect();
            note(&mut lately, at, &ids);
        }
        let ended = start + KEEP;
        assert!(lately.bytes() < 1 << 20, "{} bytes", lately.bytes());
        assert_eq!(lately.reaches_back(ended), KEEP);
        assert!(lately.holds(OutgoingId(0), 1));
        // Nothing follows anything: the bound holds, and it is known how far back the rest reaches.
        for second in 0..600_u64 {
            let at = ended + Duration::from_secs(second);
            let scattered = (0..7_000_i64).map(|n| (OutgoingId(n * 7_919 % 7_001 * 1_000), 2));
            lately.note(at, scattered);
        }
        let now = ended + KEEP;
        let kept: usize = lately.pieces.iter().map(|one| one.packed.capacity()).sum();
        assert!(kept <= MOST, "{kept} bytes");
        let back = lately.reaches_back(now);
        assert!(back < KEEP && back > Duration::from_secs(60), "{back:?}");
    }
}
