//! Every f32 read as f64, so that differences can be taken finely.

use crate::graph::{Graph, Region};
use crate::ops::cast::Cast;
use crate::ops::{Op, Replace};
use crate::rewrite::Cursor;
use crate::ty::{DType, Type};

/// The same graph in double precision: parameters, constants, results. Random draws are still made
/// in f32 and widened, so they have the same values. Region ids stay.
pub fn to_f64(graph: &Graph) -> Graph {
    let regions = graph.regions.iter().map(widened).collect();
    let mut globals = graph.globals.clone();
    for global in &mut globals {
        global.ty = wide(&global.ty);
    }
    Graph { regions, globals, ..graph.clone() }
}

fn wide_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F32 => DType::F64,
        DType::F64 | DType::I32 | DType::I64 | DType::U8 | DType::I8 | DType::Bool => dtype,
    }
}

fn wide(ty: &Type) -> Type {
    Type::new(wide_dtype(ty.dtype), ty.shape.clone())
}

fn widened(region: &Region) -> Region {
    let mut cursor = Cursor::empty(region);
    for param in &region.params {
        let value = cursor.b.param(wide(region.ty(*param)));
        cursor.set(*param, value);
    }
    let with = Replace { dim: &|dim| Ok(dim.clone()), dtype: &wide_dtype };
    for node in &region.nodes {
        let mut copy = node.clone();
        copy.op = match node.op.map(&with) {
            Ok(op) => op,
            Err(error) => crate::internal_error("to_f64", &format!("{:?}: {error:?}", node.op)),
        };
        let args = cursor.args(node);
        if let Op::Random(_) = copy.op {
            let drawn = cursor.b.copy(&copy, &args, cursor.types(node))[0];
            let value = cursor.b.add1(Cast { dtype: DType::F64 }, &[drawn]);
            cursor.put(node, &[value]);
        } else {
            let types = cursor.types(node).iter().map(wide).collect();
            let results = cursor.b.copy(&copy, &args, types);
            cursor.put(node, &results);
        }
    }
    cursor.finish(&region.results)
}
