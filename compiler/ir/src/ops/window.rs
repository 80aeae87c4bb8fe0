//! What the three ops on pooling windows share: geometry, sizes and places.

use super::support::*;
use super::{Attribute, InferError};
use crate::dim::{Dim, SizeError};
use crate::index::{AxisId, Ix};
use crate::ty::Type;

/// The windows of a pooling: one entry of each list for each spatial axis.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub size: &'a [i64],
    pub strides: &'a [i64],
    pub pads: &'a [(i64, i64)],
}

impl Windows<'_> {
    pub fn rank(&self) -> usize {
        self.size.len()
    }

    /// The number of places in a window, at most 256.
    pub fn places(&self) -> i64 {
        self.size.iter().product()
    }

    /// The lists fit each other and an operand `[N, *S, C]`.
    pub fn check(&self, operand: &Type) -> Result<(), InferError> {
        let rank = self.rank();
        require(
            self.strides.len() == rank && self.pads.len() == rank,
            "a window needs one size, stride and padding for each axis",
        )?;
        require(operand.rank() == rank + 2, &format!("an operand has {} axes and needs {}", operand.rank(), rank + 2))?;
        require(
            self.size.iter().chain(self.strides).all(|number| *number >= 1),
            "sizes and strides of a window are at least 1",
        )?;
        let places = self.size.iter().try_fold(1i64, |product, size| product.checked_mul(*size));
        require(places.is_some_and(|places| places <= 256), "a window has at most 256 places")?;
        let padded = self
            .pads
            .iter()
            .zip(self.size)
            .all(|((low, high), size)| (0..*size).contains(low) && (0..*size).contains(high));
        require(padded, "the padding of a window is less than its size and not negative")
    }

    /// `floor((size + low + high - window) / stride) + 1`
    pub fn output_size(&self, axis: usize, size: &Dim) -> Result<Dim, SizeError> {
        let (low, high) = self.pads[axis];
        let free = size.add(&Dim::from(low + high - self.size[axis]))?;
        free.floor_div(self.strides[axis])?.add(&Dim::one())
    }

    /// The shape of the windows' results.
    pub fn output_shape(&self, operand: &Type) -> Result<Vec<Dim>, InferError> {
        let mut shape = operand.shape.clone();
        for axis in 0..self.rank() {
            shape[1 + axis] = self.output_size(axis, &operand.shape[1 + axis])?;
            let empty = always_negative(&shape[1 + axis].sub(&Dim::one())?);
            require(!empty, &format!("the window is larger than the padded input along spatial axis {axis}"))?;
        }
        Ok(shape)
    }

    /// Coordinates within the window of the place with row-major number `offset`.
    pub fn place(&self, mut offset: i64) -> Vec<i64> {
        let mut place = vec![0; self.rank()];
        for (slot, size) in place.iter_mut().zip(self.size).rev() {
            *slot = offset % size;
            offset /= size;
        }
        place
    }

    /// Coordinate in the input of place `k` of window `o`, along one axis.
    pub fn coordinate(&self, axis: usize, o: i64, k: i64) -> i64 {
        o * self.strides[axis] + k - self.pads[axis].0
    }

    /// The row-major number of place `k`.
    pub fn number(&self, k: &[Ix]) -> Ix {
        k.iter().zip(self.size).fold(Ix::constant(0), |sum, (k, size)| sum.times(*size).add(k.clone()))
    }

    /// As dumps show them.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut list =
            vec![("size", Attribute::Ints(self.size.to_vec())), ("strides", Attribute::Ints(self.strides.to_vec()))];
        if self.pads.iter().any(|pad| *pad != (0, 0)) {
            list.push(("pads", Attribute::Pairs(self.pads.to_vec())));
        }
        list
    }

    /// Extents of the window as sizes.
    pub fn extents(&self) -> Vec<Dim> {
        self.size.iter().map(|size| Dim::from(*size)).collect()
    }
}

/// Axes `first, first + 1, …`.
pub(super) fn axes_from(first: usize, count: usize) -> Vec<Ix> {
    (first..first + count).map(|n| Ix::axis(AxisId(n as u32))).collect()
}
