//! Pictures: PNG and JPEG. The decoders belong to a part of the runtime (see [`Parts`](crate::Parts)) that
//! an executable has only if its program reads pictures.

pub mod grid;
pub mod jpeg;
pub mod png;
pub mod write;

/// Most pixels of a picture.
pub const MOST_PIXELS: usize = 1 << 28;

/// A decoded picture: rows of pixels of 8-bit channels (1 gray, 2 gray and alpha, 3 colours, 4 and alpha).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub data: Vec<u8>,
}

/// Decodes a PNG or JPEG, whichever it is; the error is a phrase.
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.starts_with(png::SIGNATURE) {
        png::decode(bytes)
    } else if bytes.starts_with(jpeg::SIGNATURE) {
        jpeg::decode(bytes)
    } else if bytes.is_empty() {
        Err("it is empty".to_owned())
    } else {
        Err("it is neither PNG nor JPEG".to_owned())
    }
}

/// Checks the sizes that a header claims.
fn check_size(height: usize, width: usize) -> Result<(), String> {
    match height.checked_mul(width) {
        Some(0) => Err("it has no pixels".to_owned()),
        Some(pixels) if pixels <= MOST_PIXELS => Ok(()),
        _ => Err(format!("it claims {height} x {width} pixels, more than {MOST_PIXELS}")),
    }
}
