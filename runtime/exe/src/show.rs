//! Tensors as text, for people: `x: f32[2, 2] = …`, long ones shortened.

use crate::json;
use crate::tensor::Tensor;

/// From so many elements on, axes are shortened.
const LONG: usize = 200;
/// Elements that stay at both ends of a shortened axis.
const ENDS: usize = 3;

/// A line, or several for a matrix, with what the tensor is called in front.
pub fn tensor(name: &str, tensor: &Tensor) -> String {
    let text = array(&tensor.shape, &|i| match tensor.number(i) {
        Some(x) => number(x),
        None => "?".to_owned(),
    });
    let gap = if tensor.shape.len() > 1 { "\n" } else { " " };
    format!("{name}: {} ={gap}{text}\n", tensor.type_text())
}

/// The elements of an array of this shape, in brackets; each by its row-major number.
pub fn array(shape: &[usize], element: &dyn Fn(usize) -> String) -> String {
    let shortened = shape.iter().product::<usize>() > LONG;
    let mut out = String::new();
    put(shape, 0, 0, shortened, element, &mut out);
    out
}

fn put(
    shape: &[usize],
    first: usize,
    depth: usize,
    shortened: bool,
    element: &dyn Fn(usize) -> String,
    out: &mut String,
) {
    let Some((&size, rest)) = shape.split_first() else {
        out.push_str(&element(first));
        return;
    };
    let step = rest.iter().product::<usize>();
    let cut = shortened && size > 2 * ENDS;
    let separator = if rest.is_empty() { ", ".to_owned() } else { format!(",\n{}", " ".repeat(depth + 1)) };
    out.push('[');
    for i in (0..size).filter(|i| !cut || *i < ENDS || *i >= size - ENDS) {
        if i > 0 {
            out.push_str(&separator);
        }
        if cut && i == size - ENDS {
            out.push('…');
            out.push_str(&separator);
        }
        put(rest, first + i * step, depth + 1, shortened, element, out);
    }
    out.push(']');
}

/// The shortest text of a number.
pub fn number(x: f64) -> String {
    if x.is_finite() { json::number(x) } else { x.to_string() }
}
