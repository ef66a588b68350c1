//! A code to scan: a PNG that looks like one, another for every turn. Nothing is in it to read.

const SIDE: u32 = 37;
const SCALE: u32 = 6;
const QUIET: u32 = 4;

/// The picture of one turn.
pub(super) fn png(turn: u64) -> Vec<u8> {
    let side = (SIDE + 2 * QUIET) * SCALE;
    // One byte a pixel, each line after a zero: no filter.
    let mut lines = Vec::new();
    for y in 0..side {
        lines.push(0);
        for x in 0..side {
            let (x, y) = (x / SCALE, y / SCALE);
            let inside = |at: u32| at.checked_sub(QUIET).filter(|at| *at < SIDE);
            let dark = inside(x)
                .zip(inside(y))
                .is_some_and(|(x, y)| is_dark(x, y, turn));
            lines.push(if dark { 0 } else { 255 });
        }
    }
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = Vec::new();
    head.extend_from_slice(&side.to_be_bytes());
    head.extend_from_slice(&side.to_be_bytes());
    // Eight bits of grey, not interlaced.
    head.extend_from_slice(&[8, 0, 0, 0, 0]);
    chunk(&mut image, b"IHDR", &head);
    chunk(&mut image, b"IDAT", &stored(&lines));
    chunk(&mut image, b"IEND", &[]);
    image
}

/// Three corners as every code has them, noise between.
fn is_dark(x: u32, y: u32, turn: u64) -> bool {
    let far = SIDE - 7;
    for (left, top) in [(0, 0), (far, 0), (0, far)] {
        if let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top))
            && x < 7
            && y < 7
        {
            let ring = x.min(y).min(6 - x).min(6 - y);
            return ring != 1;
        }
    }
    let mut noise = (u64::from(x) * 0x9e37_79b9)
        ^ (u64::from(y) * 0x85eb_ca6b)
        ^ turn.wrapping_mul(0xc2b2_ae35);
    noise ^= noise >> 13;
    noise = noise.wrapping_mul(0x5bd1_e995);
    (noise >> 9) & 1 == 1
}

/// zlib without compression.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut pieces = data.chunks(0xffff).peekable();
    while let Some(piece) = pieces.next() {
        let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        out.push(u8::from(pieces.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(piece);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend_from_slice(&((b << 16) | a).to_be_bytes());
    out
}

fn chunk(image: &mut Vec<u8>, kind: &[u8], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    image.extend_from_slice(&length.to_be_bytes());
    image.extend_from_slice(kind);
    image.extend_from_slice(data);
    let crc = kind.iter().chain(data).fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    image.extend_from_slice(&(!crc).to_be_bytes());
}
