//! Which axis of which argument tells each size symbol.

use mlc_ir::dim::Sym;
use mlc_ir::ty::Type;
use serde_json::{Value, json};

/// For each symbol of the arguments the first axis of the form `coef·S + offset` with one symbol.
/// The other axes are compared with their sizes when the symbols are known.
pub fn symbols(args: &[(&str, &Type)]) -> Vec<Value> {
    let mut solved: Vec<Sym> = Vec::new();
    let mut all = Vec::new();
    for (arg, (_, ty)) in args.iter().enumerate() {
        for (axis, size) in ty.shape.iter().enumerate() {
            let Some((coef, symbol, offset)) = size.linear() else { continue };
            if coef > 0 && !solved.contains(&symbol) {
                solved.push(symbol);
                all.push(json!({"symbol": symbol.0, "arg": arg, "axis": axis, "coef": coef, "offset": offset}));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlc_ir::dim::Dim;
    use mlc_ir::ty::DType;

    #[test]
    fn the_first_axis_counts() {
        let b = Dim::from(Sym(0));
        let twice = b.mul(&Dim::from(2)).unwrap().add(&Dim::one()).unwrap();
        let (first, second) = (Type::new(DType::F32, vec![Dim::from(3), twice]), Type::new(DType::F32, vec![b]));
        let solved = symbols(&[("x", &first), ("y", &second)]);
        assert_eq!(solved, [json!({"symbol": 0, "arg": 0, "axis": 1, "coef": 2, "offset": 1})]);
    }
}
