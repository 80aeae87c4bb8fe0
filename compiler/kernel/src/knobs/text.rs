//! Knobs as text.

use super::Knobs;
use crate::schedule::{CHUNK, Tile};
use std::fmt;
use std::str::FromStr;

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows {} vectors {} unroll {} tiles ", self.rows, self.vectors, self.unroll)?;
        for (position, tile) in self.tiles.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            match tile {
                Tile::Axis(axis) => write!(f, "i{axis}")?,
                Tile::Rows(rows) => write!(f, "{rows}rows")?,
                Tile::Blocks => f.write_str("blocks")?,
            }
        }
        if self.tiles.is_empty() {
            f.write_str("one")?;
        }
        if self.chunk != CHUNK {
            write!(f, " chunk {}", self.chunk)?;
        }
        if self.stream > 0 {
            write!(f, " stream {}", self.stream)?;
        }
        if self.side_by_side { f.write_str(" side_by_side") } else { Ok(()) }
    }
}

/// A text that is no [`Knobs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKnobs;

impl FromStr for Knobs {
    type Err = NotKnobs;

    fn from_str(text: &str) -> Result<Knobs, NotKnobs> {
        let mut words = text.split_whitespace();
        let mut field =
            |name: &str| words.next().filter(|word| *word == name).and_then(|_| words.next()).ok_or(NotKnobs);
        let (rows, vectors, unroll) = (number(field("rows")?)?, number(field("vectors")?)?, number(field("unroll")?)?);
        let tiles = tiles(field("tiles")?)?;
        let mut knobs = Knobs { rows, vectors, unroll, tiles, chunk: CHUNK, stream: 0, side_by_side: false };
        while let Some(word) = words.next() {
            match word {
                "chunk" => knobs.chunk = number(words.next().ok_or(NotKnobs)?)?,
                "stream" => knobs.stream = number(words.next().ok_or(NotKnobs)?)?,
                "side_by_side" => knobs.side_by_side = true,
                _ => return Err(NotKnobs),
            }
        }
        Ok(knobs)
    }
}

fn tiles(text: &str) -> Result<Vec<Tile>, NotKnobs> {
    let tile = |word: &str| match (word.strip_prefix('i'), word.strip_suffix("rows")) {
        (Some(axis), _) => Ok(Tile::Axis(axis.parse::<u8>().map_err(|_| NotKnobs)?.into())),
        (_, Some(rows)) => Ok(Tile::Rows(number(rows)?)),
        _ if word == "blocks" => Ok(Tile::Blocks),
        _ => Err(NotKnobs),
    };
    if text == "one" { Ok(Vec::new()) } else { text.split(',').map(tile).collect() }
}

fn number(text: &str) -> Result<i64, NotKnobs> {
    text.parse::<u32>().map(i64::from).map_err(|_| NotKnobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let tiles = [vec![], vec![Tile::Axis(3), Tile::Rows(56), Tile::Axis(0)], vec![Tile::Blocks]];
        for (tiles, side_by_side) in tiles.into_iter().flat_map(|tiles| [(tiles.clone(), false), (tiles, true)]) {
            for (chunk, stream) in [(CHUNK, 0), (64, 16)] {
                let knobs = Knobs { rows: 6, vectors: 4, unroll: 8, tiles: tiles.clone(), chunk, stream, side_by_side };
                assert_eq!(knobs.to_string().parse(), Ok(knobs));
            }
        }
        for text in [
            "",
            "rows 6",
            "rows 6 vectors 4 unroll",
            "rows 6 vectors 4 unroll 1",
            "rows 6 vectors 4 unroll -1 tiles one",
            "rows 6 vectors 4 unroll 1 tiles",
            "rows 6 vectors 4 unroll 1 tiles x1",
            "rows 6 vectors 4 unroll 1 tiles i1,",
            "rows 6 vectors 4 unroll 1 tiles i300",
            "rows 6 vectors 4 unroll 1 tiles rows",
            "rows 6 vectors 4 unroll 1 tiles one fast",
            "rows 6 vectors 4 unroll 1 tiles one stream",
        ] {
            assert_eq!(text.parse::<Knobs>(), Err(NotKnobs), "{text}");
        }
    }
}
