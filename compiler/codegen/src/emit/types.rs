//! CLIF types of Lane types.

use cranelift_codegen::ir::{Endianness, MemFlagsData, Type, types};
use mlc_kernel::lane::{Elem, Mem, Ty};

/// Of a value: a scalar, or the 128-bit vector that holds it.
pub(super) fn value(ty: Ty) -> Type {
    if ty.lanes == 1 { scalar(ty) } else { vector(ty) }
}

/// Of a scalar of that element.
pub(super) fn scalar(ty: Ty) -> Type {
    match ty.elem {
        Elem::F32 => types::F32,
        Elem::F64 => types::F64,
        Elem::I32 => types::I32,
        Elem::I64 | Elem::Ptr => types::I64,
        Elem::Mask => types::I8,
    }
}

/// Of a vector of that element.
pub(super) fn vector(ty: Ty) -> Type {
    match ty.elem {
        Elem::F32 => types::F32X4,
        Elem::F64 => types::F64X2,
        Elem::I32 | Elem::I64 | Elem::Ptr | Elem::Mask => int_vector(ty),
    }
}

/// Of an integer vector with lanes as wide as those of `ty`.
pub(super) fn int_vector(ty: Ty) -> Type {
    if ty.bits == 32 { types::I32X4 } else { types::I64X2 }
}

/// Of an integer scalar as wide as a lane of `ty`.
pub(super) fn int_scalar(ty: Ty) -> Type {
    if ty.bits == 32 { types::I32 } else { types::I64 }
}

/// Of an element in memory that isn't a byte, and of the vector of such elements.
pub(super) fn memory(mem: Mem) -> (Type, Type) {
    match mem {
        Mem::F32 => (types::F32, types::F32X4),
        Mem::F64 => (types::F64, types::F64X2),
        Mem::I32 => (types::I32, types::I32X4),
        Mem::I64 => (types::I64, types::I64X2),
        Mem::U8 | Mem::I8 => (types::I8, types::I8X16),
    }
}

/// Of loads and stores of buffers: they don't fault, and nothing is known of their alignment.
pub(super) fn access() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Of bitcasts between vectors, where lane 0 is the lowest.
pub(super) fn lane_order() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}
