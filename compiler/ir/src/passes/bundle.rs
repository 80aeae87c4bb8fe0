//! Concatenations of many parts become concatenations of bundles of them. A kernel goes through the parts
//! of one concatenation piece by piece, and its code must not grow with their number.

use crate::builder::Builder;
use crate::graph::{Graph, Region, Value};
use crate::ops::Op;
use crate::ops::concat::Concat;
use crate::rewrite::Cursor;

const PASS: &str = "bundle";

/// The most parts that a concatenation is left with.
pub const PARTS: usize = 16;

/// The pass.
pub fn bundle(graph: &Graph) -> Graph {
    Graph { regions: graph.regions.iter().map(region).collect(), ..graph.clone() }
}

fn region(region: &Region) -> Region {
    let mut cursor = Cursor::new(region);
    for node in &region.nodes {
        match &node.op {
            Op::Concat(op) if node.args.len() > PARTS => {
                let args = cursor.args(node);
                cursor.at(node, PASS);
                let value = bundled(&mut cursor.b, op, args.to_vec());
                cursor.put(node, &[value]);
            }
            _ => cursor.copy(node),
        }
    }
    cursor.finish(&region.results)
}

fn bundled(b: &mut Builder, op: &Concat, mut parts: Vec<Value>) -> Value {
    while parts.len() > PARTS {
        let bundles = parts.len().div_ceil(PARTS);
        let size = parts.len().div_ceil(bundles);
        let bundle = |parts: &[Value]| match parts {
            [part] => *part,
            _ => b.add1(op.clone(), parts),
        };
        parts = parts.chunks(size).map(bundle).collect();
    }
    b.add1(op.clone(), &parts)
}
