//! What kind of value a name holds that is handed from pass to pass: a tensor, or a tuple of tensors,
//! each of one type.

use crate::cx::Cx;
use crate::value::{R, Size, Tensor, Value, shape_of};
use mlc_ir::ty::DType;
use mlc_syntax::span::Span;
use std::rc::Rc;

/// The kind of a value that can be handed on.
#[derive(Clone, Debug)]
pub(crate) enum Mold {
    Leaf(DType, Vec<Size>),
    /// A number or a tensor without a dtype, and the one it gets if nothing decides.
    Open(DType, Vec<Size>),
    Tuple(Vec<Mold>),
}

impl Mold {
    /// Whether some dtype is open.
    pub fn is_open(&self) -> bool {
        match self {
            Mold::Leaf(..) => false,
            Mold::Open(..) => true,
            Mold::Tuple(parts) => parts.iter().any(Mold::is_open),
        }
    }

    /// The mold with the dtypes of another one where it is open itself.
    pub fn settled(self, by: Option<&Mold>) -> Mold {
        match (self, by) {
            (Mold::Open(_, axes), Some(Mold::Leaf(dtype, _))) => Mold::Leaf(*dtype, axes),
            (Mold::Open(dtype, axes), _) => Mold::Leaf(dtype, axes),
            (Mold::Tuple(parts), by) => {
                let others = match by {
                    Some(Mold::Tuple(others)) => others.as_slice(),
                    _ => &[],
                };
                Mold::Tuple(parts.into_iter().enumerate().map(|(at, part)| part.settled(others.get(at))).collect())
            }
            (leaf, _) => leaf,
        }
    }

    /// The types of the tensors in it.
    pub fn leaves(&self) -> Vec<(DType, Vec<Size>)> {
        match self {
            Mold::Leaf(dtype, axes) | Mold::Open(dtype, axes) => vec![(*dtype, axes.clone())],
            Mold::Tuple(parts) => parts.iter().flat_map(Mold::leaves).collect(),
        }
    }

    /// The value made of tensors, one for each leaf.
    pub fn value<'a>(&self, tensors: &mut impl Iterator<Item = Tensor>) -> Option<Value<'a>> {
        match self {
            Mold::Leaf(..) | Mold::Open(..) => tensors.next().map(Value::Tensor),
            Mold::Tuple(parts) => {
                let parts: Option<Vec<Value<'a>>> = parts.iter().map(|part| part.value(tensors)).collect();
                Some(Value::Tuple(Rc::new(parts?)))
            }
        }
    }
}

impl<'a> Cx<'a> {
    /// The kind of a value, if it can be handed on.
    pub fn mold(&self, value: &Value<'a>) -> Option<Mold> {
        match value {
            Value::Tensor(tensor) => Some(Mold::Leaf(tensor.dtype, tensor.axes.clone())),
            Value::Bool(_) => Some(Mold::Leaf(DType::Bool, Vec::new())),
            Value::Number(number) => Some(match number.dtype {
                Some(dtype) => Mold::Leaf(dtype, Vec::new()),
                None => Mold::Open(self.default_dtype(number.is_integer()), Vec::new()),
            }),
            Value::Lazy(lazy) => Some(Mold::Open(self.default_dtype(lazy.kind.is_integer()), lazy.axes.clone())),
            Value::Tuple(parts) => {
                parts.iter().map(|part| self.mold(part)).collect::<Option<Vec<Mold>>>().map(Mold::Tuple)
            }
            _ => None,
        }
    }

    /// The tensors of a value, or nothing if it is not of this kind.
    pub fn fill(&mut self, mold: &Mold, value: &Value<'a>, span: Span) -> R<Option<Vec<Tensor>>> {
        match (mold, value) {
            (Mold::Leaf(dtype, axes) | Mold::Open(dtype, axes), value) => {
                let fits = match value {
                    Value::Number(number) => number.dtype.is_none_or(|own| own == *dtype) && *dtype != DType::Bool,
                    Value::Bool(_) => *dtype == DType::Bool,
                    Value::Lazy(_) | Value::Tensor(_) => true,
                    Value::Poison => return Err(self.report.silent()),
                    _ => false,
                };
                if !fits {
                    return Ok(None);
                }
                let tensor = self.materialise(value.clone(), *dtype, span)?;
                let same = tensor.dtype == *dtype && tensor.shape() == shape_of(axes);
                Ok(same.then(|| vec![tensor]))
            }
            (Mold::Tuple(molds), Value::Tuple(parts)) if molds.len() == parts.len() => {
                let mut tensors = Vec::new();
                for (mold, part) in molds.iter().zip(parts.iter()) {
                    match self.fill(mold, part, span)? {
                        Some(found) => tensors.extend(found),
                        None => return Ok(None),
                    }
                }
                Ok(Some(tensors))
            }
            (Mold::Tuple(_), _) => Ok(None),
        }
    }

    /// A kind as a message names it: its type.
    pub fn show_mold(&self, mold: &Mold) -> String {
        match mold {
            Mold::Leaf(dtype, axes) | Mold::Open(dtype, axes) => {
                self.show_type(&mlc_ir::ty::Type::new(*dtype, shape_of(axes)))
            }
            Mold::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.show_mold(part)).collect();
                format!("({})", parts.join(", "))
            }
        }
    }

    /// A value as a message about its type names it.
    pub fn show_kind(&self, value: &Value<'a>) -> String {
        self.mold(value).map_or_else(|| value.describe().to_string(), |mold| self.show_mold(&mold))
    }
}
