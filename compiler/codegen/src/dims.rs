//! Sizes as CLIF: a [`Dim`] over the symbols that the caller passes.

use crate::error::bug;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types as clif};
use cranelift_frontend::FunctionBuilder;
use mlc_ir::dim::{Atom, Dim, Sym, Term};
use std::collections::BTreeMap;

/// What happens to a number beyond `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It wraps: for sizes whose checks and whose plan have passed.
    Wrap,
    /// It is noted, for [`DimCx::take_overflow`]. Exactly the sizes overflow that
    /// [`Dim::eval`] refuses: operations come in its order.
    Note,
}

/// Emits sizes, each once. Must be used in blocks of which each dominates the next.
pub(crate) struct DimCx {
    symbols: Value,
    /// Symbols whose values aren't there.
    bound: BTreeMap<Sym, Value>,
    overflow: Overflow,
    noted: Option<Value>,
    known: BTreeMap<Dim, Value>,
}

impl DimCx {
    /// With the symbols' values at the address `symbols`, which aren't written meanwhile.
    pub(crate) fn new(symbols: Value, overflow: Overflow) -> DimCx {
        DimCx { symbols, bound: BTreeMap::new(), overflow, noted: None, known: BTreeMap::new() }
    }

    /// The value of `dim`.
    pub(crate) fn emit(&mut self, b: &mut FunctionBuilder<'_>, dim: &Dim) -> Value {
        if let Some(&value) = self.known.get(dim) {
            return value;
        }
        let value = self.sum(b, dim);
        self.known.insert(dim.clone(), value);
        value
    }

    /// Gives a symbol a value; what was known of it is forgotten.
    pub(crate) fn bind(&mut self, sym: Sym, value: Value) {
        self.bound.insert(sym, value);
        self.known.retain(|dim, _| {
            let mut other = true;
            dim.each_symbol(&mut |found| other &= found != sym);
            other
        });
    }

    /// How much is known: for [`DimCx::forget_beyond`].
    pub(crate) fn known(&self) -> BTreeMap<Dim, Value> {
        self.known.clone()
    }

    /// Forgets what was emitted in blocks that don't dominate those to come.
    pub(crate) fn forget_beyond(&mut self, known: BTreeMap<Dim, Value>) {
        self.known = known;
    }

    /// Whether any number since the last call went beyond `i64`: an `i8`, or `None` if none could.
    pub(crate) fn take_overflow(&mut self) -> Option<Value> {
        self.noted.take()
    }

    fn sum(&mut self, b: &mut FunctionBuilder<'_>, dim: &Dim) -> Value {
        let mut sum = None;
        for term in dim.terms() {
            let value = self.term(b, term);
            sum = Some(match sum {
                None => value,
                Some(sum) => self.add(b, sum, value),
            });
        }
        sum.unwrap_or_else(|| b.ins().iconst(clif::I64, 0))
    }

    fn term(&mut self, b: &mut FunctionBuilder<'_>, term: &Term) -> Value {
        let mut product = None;
        if term.coef != 1 || term.factors.is_empty() {
            product = Some(b.ins().iconst(clif::I64, term.coef));
        }
        for (atom, power) in &term.factors {
            let factor = self.atom(b, atom);
            for _ in 0..*power {
                product = Some(match product {
                    None => factor,
                    Some(product) => self.mul(b, product, factor),
                });
            }
        }
        product.unwrap_or_else(|| bug("a term of a size is empty"))
    }

    fn atom(&mut self, b: &mut FunctionBuilder<'_>, atom: &Atom) -> Value {
        match atom {
            Atom::Sym(sym) => self.symbol(b, *sym),
            Atom::FloorDiv(dim, divisor) => {
                let value = self.emit(b, dim);
                floor_div(b, value, *divisor)
            }
            Atom::Max(x, y) => {
                let (x, y) = (self.emit(b, x), self.emit(b, y));
                b.ins().smax(x, y)
            }
        }
    }

    fn symbol(&mut self, b: &mut FunctionBuilder<'_>, sym: Sym) -> Value {
        if let Some(&value) = self.bound.get(&sym) {
            return value;
        }
        let Ok(offset) = i32::try_from(i64::from(sym.0) * 8) else { bug("too many size symbols") };
        let flags = MemFlagsData::new().with_notrap().with_readonly().with_can_move();
        b.ins().load(clif::I64, flags, self.symbols, offset)
    }

    fn add(&mut self, b: &mut FunctionBuilder<'_>, x: Value, y: Value) -> Value {
        match self.overflow {
            Overflow::Wrap => b.ins().iadd(x, y),
            Overflow::Note => {
                let (sum, overflow) = b.ins().sadd_overflow(x, y);
                self.note(b, overflow);
                sum
            }
        }
    }

    fn mul(&mut self, b: &mut FunctionBuilder<'_>, x: Value, y: Value) -> Value {
        match self.overflow {
            Overflow::Wrap => b.ins().imul(x, y),
            Overflow::Note => {
                let (product, overflow) = b.ins().smul_overflow(x, y);
                self.note(b, overflow);
                product
            }
        }
    }

    fn note(&mut self, b: &mut FunctionBuilder<'_>, overflow: Value) {
        self.noted = Some(match self.noted {
            None => overflow,
            Some(noted) => b.ins().bor(noted, overflow),
        });
    }
}

/// `floor(x / divisor)` for a positive constant.
fn floor_div(b: &mut FunctionBuilder<'_>, x: Value, divisor: i64) -> Value {
    if divisor <= 0 {
        bug("a size is divided by something that isn't positive");
    }
    if divisor.count_ones() == 1 {
        return b.ins().sshr_imm_u(x, i64::from(divisor.trailing_zeros()));
    }
    let divisor = b.ins().iconst(clif::I64, divisor);
    let toward_zero = b.ins().sdiv(x, divisor);
    let product = b.ins().imul(toward_zero, divisor);
    let above = b.ins().icmp(IntCC::SignedGreaterThan, product, x);
    let above = b.ins().uextend(clif::I64, above);
    b.ins().isub(toward_zero, above)
}
