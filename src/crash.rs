//! Named places where a test lets this process die at once, as kill -9 would let it die there.
//!
//! Invariant: only a debug build has them; in a release `here` is nothing. Knows no more than a name and
//! how often it is passed before.

/// Dies here when the process was started to: at the `pass`th time that it comes by `place`.
#[cfg(debug_assertions)]
pub fn here(place: &str) {
    use std::sync::atomic::Ordering;
    if let Some((at, left)) = armed()
        && at == place
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}

/// `WABLAST_CRASH_AT`: a place, a colon, and the pass.
#[cfg(debug_assertions)]
fn armed() -> Option<&'static (String, std::sync::atomic::AtomicI64)> {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicI64;
    static ARMED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let told = crate::config::crash_at()?;
            let (place, pass) = told.split_once(':')?;
            Some((place.to_owned(), AtomicI64::new(pass.parse().ok()?)))
        })
        .as_ref()
}

#[cfg(not(debug_assertions))]
pub fn here(_place: &str) {}
