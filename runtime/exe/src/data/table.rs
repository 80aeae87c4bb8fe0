//! What a source has read: columns of all rows, as they are in the file.

use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result};
use crate::mem::Aligned;
use crate::tensor::{Tensor, bytes_of, type_text};
use std::rc::Rc;

/// Rows of one shape and where their elements stand: row `r` begins at byte `offset + r * stride`.
#[derive(Clone, Debug)]
pub struct Block {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Shape of one row.
    pub row: Vec<usize>,
    /// How many rows.
    pub rows: usize,
    data: Rc<Aligned>,
    offset: usize,
    stride: usize,
    bytes: usize,
}

impl Block {
    /// The rows of a tensor along its first axis.
    pub fn of(tensor: Tensor) -> Result<Self> {
        let Some((&rows, row)) = tensor.shape.split_first() else {
            return Err(Failure::data(DATA, "a single number has no rows"));
        };
        let bytes = bytes_of(tensor.dtype, row).ok_or_else(beyond)?;
        let row = row.to_vec();
        Ok(Self { dtype: tensor.dtype, row, rows, data: Rc::new(tensor.data), offset: 0, stride: bytes, bytes })
    }

    /// Rows of `length` i32 that begin at every `length`-th one of a list, `shift` further on.
    pub fn windows(data: &Rc<Aligned>, length: usize, shift: usize) -> Self {
        let size = Dtype::I32.bytes();
        let rows = (data.len() / size).saturating_sub(1) / length;
        let stride = length * size;
        Self {
            dtype: Dtype::I32,
            row: vec![length],
            rows,
            data: data.clone(),
            offset: shift * size,
            stride,
            bytes: stride,
        }
    }

    /// The bytes of a row.
    pub fn bytes(&self, row: usize) -> &[u8] {
        &self.data[self.offset + row * self.stride..][..self.bytes]
    }

    /// The bytes of all rows (and, for windows, of the elements around them).
    pub fn all(&self) -> &[u8] {
        &self.data
    }

    /// `u8[28, 28]`: the type of a row.
    pub fn type_text(&self) -> String {
        type_text(self.dtype, &self.row)
    }

    /// The rows as a tensor, copied only if somebody else has them too.
    pub fn into_tensor(self) -> Result<Tensor> {
        let shape = [&[self.rows][..], &self.row].concat();
        let mut tensor = Tensor::zeros(self.dtype, &shape)?;
        if self.bytes > 0 {
            for (row, target) in tensor.data.chunks_exact_mut(self.bytes).enumerate() {
                target.copy_from_slice(self.bytes(row));
            }
        }
        Ok(tensor)
    }
}

fn beyond() -> Failure {
    Failure::plain("a row is beyond any memory")
}

/// Columns with the same number of rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Each column by its name in the source, in one block for each shape that rows have.
    pub columns: Vec<(String, Vec<Block>)>,
    /// Block and number in it of each row; absent if there is one block.
    pub places: Option<Rc<Vec<(u32, u32)>>>,
}

impl Table {
    /// Of tensors whose first axis is the rows.
    pub fn of(tensors: Vec<(String, Tensor)>) -> Result<Self> {
        let column = |(name, tensor)| Ok((name, vec![Block::of(tensor)?]));
        Ok(Self { columns: tensors.into_iter().map(column).collect::<Result<_>>()?, places: None })
    }

    /// The blocks of a column.
    pub fn column(&self, name: &str) -> Option<&[Block]> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, blocks)| &blocks[..])
    }
}
