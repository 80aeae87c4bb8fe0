//! Sums of products: every matrix product and einsum of two operands.

use super::support::*;
use super::{Arity, Attribute, Case, Class, InferError, Op, OpInfo, Primitive, Replace, Types};
use crate::autodiff::{Adj, Reason, VjpCx};
use crate::dim::{Dim, SizeError};
use crate::index::{Definition, Expr};
use crate::tensor::{Data, Tensor, each_index, extents};
use crate::ty::{DType, Type};

/// `(x, y)`: einsum with numbers for letters. Each letter of `out` occurs in `left` or `right`,
/// every other letter in both; no letter occurs twice in one list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// Letters of the first operand's axes.
    pub left: Vec<u32>,
    /// Letters of the second operand's axes.
    pub right: Vec<u32>,
    /// Letters of the result's axes.
    pub out: Vec<u32>,
}

impl Primitive for Contract {
    fn info(&self) -> OpInfo {
        OpInfo {
            name: "contract",
            class: Class::Contraction,
            doc: "`y[out] = Σ over the other letters of a[left] * b[right]`",
            arity: Arity::Exactly(2),
            tolerance_ulp: 8,
        }
    }

    fn infer(&self, args: &[&Type]) -> Result<Types, InferError> {
        let [a, b] = operands(args)?;
        require(a.dtype == b.dtype, &format!("the operands are {} and {}", a.dtype, b.dtype))?;
        require(a.dtype != DType::Bool, "a contraction does not take bool")?;
        require(self.left.len() == a.rank() && self.right.len() == b.rank(), "a contraction needs one letter for each axis")?;
        let distinct = [&self.left, &self.right, &self.out].into_iter().all(|letters| no_repeat(letters));
        require(distinct, "a letter occurs twice in one operand")?;
        for (at, letter) in self.left.iter().enumerate() {
            let Some(other) = self.right.iter().position(|right| right == letter) else { continue };
            if a.shape[at] != b.shape[other] {
                return refuse(format!("axis {at} of the first operand and axis {other} of the second differ in size"));
            }
        }
        for letter in self.left.iter().chain(&self.right) {
            let both = self.left.contains(letter) && self.right.contains(letter);
            require(both || self.out.contains(letter), "a letter that is summed must occur in both operands")?;
        }
        let mut shape = Vec::with_capacity(self.out.len());
        for letter in &self.out {
            match self.size(*letter, a, b) {
                Some(size) => shape.push(size),
                None => return refuse("a letter of the result occurs in no operand"),
            }
        }
        one(a.dtype, shape)
    }

    fn eval(&self, args: &[&Tensor], results: &[Type]) -> Vec<Tensor> {
        let (a, b, shape) = (args[0], args[1], extents(&results[0]));
        let summed = self.summed();
        let sizes: Vec<usize> = summed
            .iter()
            .map(|letter| self.left.iter().position(|left| left == letter).map_or(1, |at| a.shape[at]))
            .collect();
        let place = |letters: &[u32], index: &[usize]| {
            (offset(a, &self.left, letters, index), offset(b, &self.right, letters, index))
        };
        let rests: Vec<(usize, usize)> = each_index(&sizes).map(|rest| place(&summed, &rest)).collect();
        let terms = |index: Vec<usize>| {
            let (in_a, in_b) = place(&self.out, &index);
            rests.iter().map(move |(a, b)| (in_a + a, in_b + b))
        };
        vec![match (&a.data, &b.data) {
            (Data::Float(a_values), Data::Float(b_values)) => Tensor::floats_of(
                a.dtype,
                &shape,
                each_index(&shape).map(|index| terms(index).map(|(i, j)| a_values[i] * b_values[j]).sum()),
            ),
            (Data::Int(a_values), Data::Int(b_values)) => Tensor::ints_of(
                a.dtype,
                &shape,
                each_index(&shape).map(|index| {
                    let products = terms(index).map(|(i, j)| a_values[i].wrapping_mul(b_values[j]));
                    products.fold(0i64, i64::wrapping_add)
                }),
            ),
            (Data::Float(_), Data::Int(_)) | (Data::Int(_), Data::Float(_)) => {
                crate::internal_error("contract", "operands of two kinds")
            }
        }]
    }

    fn vjp(&self, cx: &mut VjpCx<'_>) -> Vec<Adj> {
        if !cx.ty(cx.arg(0)).dtype.is_float() {
            return vec![Adj::Zero(Reason::Integer); 2];
        }
        let [of_left, of_right] = self.adjoints();
        let left = cx.give(0, |cx| {
            let (d, b) = (cx.adjoint(0), cx.arg(1));
            cx.node(of_left, &[d, b])
        });
        let right = cx.give(1, |cx| {
            let (d, a) = (cx.adjoint(0), cx.arg(0));
            cx.node(of_right, &[a, d])
        });
        vec![left, right]
    }

    fn map(&self, _with: &Replace<'_>) -> Result<Op, SizeError> {
        Ok(self.clone().into())
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut letters: Vec<u32> = self.left.iter().chain(&self.right).copied().collect();
        letters.sort_unstable();
        letters.dedup();
        let part = |of: &[u32]| spelled(of, &letters);
        let text = format!("{}, {} -> {}", part(&self.left), part(&self.right), part(&self.out));
        vec![("", Attribute::Word(text))]
    }

    fn lower(&self, args: &[&Type], _results: &[&Type]) -> Definition {
        let summed = self.summed();
        let letters: Vec<u32> = self.out.iter().chain(&summed).copied().collect();
        let place = |letter: &u32| axis(letters.iter().position(|l| l == letter).unwrap_or_default());
        let side = |arg: u32, of: &[u32]| Expr::operand(arg, of.iter().map(place).collect(), args[arg as usize].dtype);
        let size = |letter: &u32| self.size(*letter, args[0], args[1]).unwrap_or_else(Dim::one);
        Definition::Dot {
            axes: summed.iter().map(size).collect(),
            left: side(0, &self.left),
            right: side(1, &self.right),
            blocks: None,
        }
    }

    fn cases() -> Vec<Case> {
        let sample = |left: &[u32], right: &[u32], out: &[u32], a: &[i64], b: &[i64]| {
            let op = Contract { left: left.to_vec(), right: right.to_vec(), out: out.to_vec() };
            case(op, 3, &[f32s(a), f32s(b)])
        };
        let integers = |dtype| {
            let op = Contract { left: vec![0, 1], right: vec![1], out: vec![0] };
            case(op, 5, &[typed(dtype, &[2, 3]), typed(dtype, &[3])])
        };
        vec![
            sample(&[0, 1], &[1, 2], &[0, 2], &[2, 3], &[3, 4]),
            sample(&[0, 1], &[2, 1], &[2, 0], &[2, 3], &[4, 3]),
            sample(&[3, 0, 1], &[3, 1, 2], &[3, 0, 2], &[2, 2, 3], &[2, 3, 2]),
            sample(&[0], &[1], &[0, 1], &[3], &[2]),
            sample(&[0, 1], &[1, 0], &[], &[2, 3], &[3, 2]),
            integers(DType::I32),
            integers(DType::U8),
            integers(DType::I8),
        ]
    }
}

impl Contract {
    /// `(adjoint of the result, second operand)` to that of the first operand, and `(first operand, adjoint of the
    /// result)` to that of the second.
    pub(super) fn adjoints(&self) -> [Contract; 2] {
        [
            Contract { left: self.out.clone(), right: self.right.clone(), out: self.left.clone() },
            Contract { left: self.left.clone(), right: self.out.clone(), out: self.right.clone() },
        ]
    }

    /// The letters that are summed, in the order of `left`.
    fn summed(&self) -> Vec<u32> {
        self.left.iter().filter(|letter| !self.out.contains(letter)).copied().collect()
    }

    fn size(&self, letter: u32, a: &Type, b: &Type) -> Option<Dim> {
        let left = self.left.iter().position(|l| *l == letter).map(|at| &a.shape[at]);
        let right = self.right.iter().position(|l| *l == letter).map(|at| &b.shape[at]);
        left.or(right).cloned()
    }
}

/// What the coordinates of some letters add to the number of an element.
fn offset(tensor: &Tensor, axes: &[u32], letters: &[u32], index: &[usize]) -> usize {
    let mut place = vec![0; axes.len()];
    for (slot, axis) in place.iter_mut().zip(axes) {
        *slot = letters.iter().position(|letter| letter == axis).map_or(0, |at| index[at]);
    }
    tensor.offset(&place)
}

fn no_repeat(letters: &[u32]) -> bool {
    letters.iter().enumerate().all(|(at, letter)| !letters[..at].contains(letter))
}

/// Letters by their rank among those in use: `ab`.
fn spelled(of: &[u32], letters: &[u32]) -> String {
    let name = |letter: &u32| {
        let rank = letters.binary_search(letter).unwrap_or(letters.len()) as u32;
        char::from_u32(u32::from(b'a') + rank).filter(char::is_ascii_lowercase).map_or(format!("({rank})"), String::from)
    };
    of.iter().map(name).collect()
}
