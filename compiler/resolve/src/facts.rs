//! What is known about the sizes of an entry's arguments: `requires H % 16 == 0`, `requires A == B` and
//! the divisions in signatures, wherever on the way from the entry they stand (rules 3 and 6).
//!
//! A fact is built into the sizes: a multiple of 16 is `16 * (H/16)`, two equal sizes are one symbol.
//! So an entry whose calls told something new is built once more, and whatever follows from the fact
//! is seen without a solver. A call that breaks a fact is refused, since every axis of an argument is
//! compared with its type.

use crate::calls::CallSite;
use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Value};
use mlc_ir::dim::{Atom, Dim, Sym};
use mlc_ir::graph::Relation;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry is built so many times at most.
const MOST_ROUNDS: usize = 32;
/// Multiples of more than that are not worth a symbol.
const MOST_DIVISOR: i64 = 1 << 20;

/// Something about sizes of an entry's arguments, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Multiple(Arc<str>, i64),
    Equal(Arc<str>, Arc<str>),
}

/// The facts about the sizes of the arguments of an entry.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    divisors: BTreeMap<Arc<str>, i64>,
    /// A name and the one that stands for it.
    same: BTreeMap<Arc<str>, Arc<str>>,
    /// What the symbols made so far are parts of: `H` and 16 for `H/16`.
    symbols: BTreeMap<Sym, (Arc<str>, i64)>,
    /// Met, and not built into the sizes yet.
    pub new: Vec<Fact>,
}

impl Facts {
    fn representative(&self, name: &Arc<str>) -> Arc<str> {
        self.same.get(name).unwrap_or(name).clone()
    }

    fn divisor(&self, name: &Arc<str>) -> i64 {
        self.divisors.get(name).copied().unwrap_or(1)
    }

    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Multiple(name, divisor) => {
                let name = self.representative(&name);
                if let Some(both) = common_multiple(self.divisor(&name), divisor) {
                    self.divisors.insert(name, both);
                }
            }
            Fact::Equal(a, b) => {
                let (a, b) = (self.representative(&a), self.representative(&b));
                if a == b {
                    return;
                }
                if let Some(divisor) = self.divisors.remove(&b) {
                    self.take(Fact::Multiple(a.clone(), divisor));
                }
                self.same.values_mut().filter(|name| **name == b).for_each(|name| *name = a.clone());
                self.same.insert(b, a);
            }
        }
    }

    /// What `left == right` says about symbols of this entry.
    fn told_by(&self, left: &Dim, right: &Dim) -> Option<Fact> {
        let difference = left.sub(right).ok()?;
        self.multiple(&difference).or_else(|| self.equal(&difference))
    }

    /// `k*s - n*floor(k*s / n) == 0`
    fn multiple(&self, difference: &Dim) -> Option<Fact> {
        let (inner, divisor) = difference.terms().iter().find_map(|term| match term.factors.as_slice() {
            [(Atom::FloorDiv(inner, divisor), 1)] if term.coef.abs() == *divisor => Some((inner, *divisor)),
            _ => None,
        })?;
        let remainder = inner.sub(&inner.floor_div(divisor).ok()?.mul(&Dim::from(divisor)).ok()?).ok()?;
        let negative = Dim::zero().sub(&remainder).ok()?;
        let (factor, sym, 0) = inner.linear()? else { return None };
        if *difference != remainder && *difference != negative {
            return None;
        }
        let (name, known) = self.symbols.get(&sym)?;
        Some(Fact::Multiple(name.clone(), known.checked_mul(divisor / common_divisor(factor, divisor))?))
    }

    /// `k*s - l*t == 0`, which are the sizes of two names
    fn equal(&self, difference: &Dim) -> Option<Fact> {
        let [a, b] = difference.terms() else { return None };
        let name = |term: &mlc_ir::dim::Term| match term.factors.as_slice() {
            [(Atom::Sym(sym), 1)] => {
                self.symbols.get(sym).filter(|(_, part)| *part == term.coef.abs()).map(|(name, _)| name.clone())
            }
            _ => None,
        };
        (a.coef.signum() != b.coef.signum()).then_some(())?;
        Some(Fact::Equal(name(a)?, name(b)?))
    }
}

impl<'a> Cx<'a> {
    /// Builds what follows; once more, where that failed and something was learnt about the sizes.
    pub fn with_facts<T>(&mut self, mut build: impl FnMut(&mut Cx<'a>) -> R<T>) -> R<T> {
        for _ in 1..MOST_ROUNDS {
            let before = self.snapshot();
            let built = build(self);
            let learnt = std::mem::take(&mut self.entry.facts.new);
            if built.is_ok() || learnt.is_empty() {
                return built;
            }
            self.restore(before);
            learnt.into_iter().for_each(|fact| self.entry.facts.take(fact));
        }
        build(self)
    }

    /// Begins again with [`Cx::with_facts`] if something was learnt, before much is built.
    pub fn build_in_facts(&mut self) -> R<()> {
        if self.entry.facts.new.is_empty() { Ok(()) } else { Err(self.report.silent()) }
    }

    /// The size of an axis of an argument that is called `name`.
    pub fn argument_size(&mut self, name: &Arc<str>) -> Size {
        let facts = &mut self.entry.facts;
        let root = facts.representative(name);
        let divisor = facts.divisor(&root);
        let text = if divisor == 1 { root.to_string() } else { format!("{root}/{divisor}") };
        let sym = self.graph.symbol(&text);
        facts.symbols.insert(sym, (root, divisor));
        Size::plain(Dim::from(sym).mul(&Dim::from(divisor)).unwrap_or_else(|_| Dim::from(sym)))
    }

    /// Notes what a condition that is tested at each call of the entry says.
    pub fn learn(&mut self, left: &Dim, right: &Dim) {
        if let Some(fact) = self.entry.facts.told_by(left, right)
            && !self.entry.facts.new.contains(&fact)
        {
            self.entry.facts.new.push(fact);
        }
    }

    /// What to require so that sizes become numbers: `H % 4 == 0`; nothing where no multiples do that.
    pub fn requirements(&self, sizes: &[Dim]) -> Option<Vec<String>> {
        let mut parts = BTreeMap::new();
        sizes.iter().for_each(|size| rounded(size, 1, &mut parts));
        let becomes_known = |parts: &BTreeMap<Sym, i64>| {
            let with = |sym: Sym| Dim::from(sym).mul(&Dim::from(*parts.get(&sym)?)).ok();
            sizes.iter().all(|size| size.substitute(&with).is_ok_and(|size| size.as_const().is_some()))
        };
        if !becomes_known(&parts) {
            return None;
        }
        for sym in parts.keys().copied().collect::<Vec<_>>() {
            let most = parts[&sym];
            let least = (1..most).filter(|part| most % part == 0).find(|part| {
                let mut fewer = parts.clone();
                fewer.insert(sym, *part);
                becomes_known(&fewer)
            });
            parts.insert(sym, least.unwrap_or(most));
        }
        let condition = |(sym, part): (&Sym, &i64)| {
            let (name, known) = self.entry.facts.symbols.get(sym)?;
            Some(format!("{name} % {} == 0", known.checked_mul(*part)?))
        };
        parts.iter().map(condition).collect()
    }

    /// `f32[B, H / 2]` in a signature: `H` is even. Where it is known not to be, the call at `site` is refused.
    pub fn divisions_of(&mut self, ty: &'a ast::Type, site: Option<&CallSite>) -> R<()> {
        match &ty.kind {
            ast::TypeKind::Named { axes, .. } => {
                for axis in axes.iter().flatten() {
                    if let ast::AxisKind::Size(size) = &axis.kind
                        && self.unbound_in(size)?.is_none()
                    {
                        self.divisions_in(size, site)?;
                    }
                }
                Ok(())
            }
            ast::TypeKind::Tuple { fields, .. } => fields.iter().try_for_each(|(_, ty)| self.divisions_of(ty, site)),
        }
    }

    /// The divisions that have to be exact: not those in `floor` and `ceil`.
    fn divisions_in(&mut self, size: &'a ast::Expr, site: Option<&CallSite>) -> R<()> {
        let ast::ExprKind::Binary { op, left, right, .. } = &size.kind else { return Ok(()) };
        self.divisions_in(left, site)?;
        self.divisions_in(right, site)?;
        if *op != ast::BinaryOp::Div {
            return Ok(());
        }
        let (Value::Number(whole), Value::Number(part)) = (self.expr(left)?, self.expr(right)?) else { return Ok(()) };
        let (Some(whole), Some(part)) = (whole.as_size(), part.as_size()) else { return Ok(()) };
        let (whole, Some(part)) = (whole.dim.clone(), part.dim.as_const().filter(|part| *part > 0)) else {
            return Ok(());
        };
        if whole.exact_div(&Dim::from(part)).is_ok() {
            return Ok(());
        }
        if let Some(whole) = whole.as_const() {
            return site.map_or(Ok(()), |site| Err(self.inexact_for_caller(size, (whole, part), left, site)));
        }
        let Ok(down) = whole.floor_div(part).and_then(|quotient| quotient.mul(&Dim::from(part))) else { return Ok(()) };
        let text = format!("{} % {part} == 0", self.sources.text(left.span));
        self.check_sizes(&whole, Relation::Equal, &down, size.span, &text);
        Ok(())
    }

    /// A call with a size that a division in the signature leaves a rest of.
    fn inexact_for_caller(
        &mut self,
        size: &'a ast::Expr,
        (whole, part): (i64, i64),
        left: &'a ast::Expr,
        site: &CallSite,
    ) -> Reported {
        let (text, left) = (self.sources.text(size.span), self.sources.text(left.span));
        let title = format!("`{text}` is not exact in this call: {whole} / {part}");
        let error = Diagnostic::error(Code::E0113, site.span, title)
            .also(size.span, format!("a condition for who calls `{}`", site.name))
            .note("`/` between integers and sizes must leave no remainder")
            .help(format!("call it where {part} divides `{left}`, or write `floor({text})` in its type"));
        self.tell(error)
    }
}

/// What each symbol is to be a multiple of, so that no division in `size` is rounded.
fn rounded(size: &Dim, outer: i64, parts: &mut BTreeMap<Sym, i64>) {
    for (atom, _) in size.terms().iter().flat_map(|term| &term.factors) {
        match atom {
            Atom::FloorDiv(inner, divisor) => rounded(inner, outer.saturating_mul(*divisor), parts),
            Atom::Max(a, b) => {
                rounded(a, outer, parts);
                rounded(b, outer, parts);
            }
            Atom::Sym(sym) => {
                let part = parts.entry(*sym).or_insert(1);
                *part = common_multiple(*part, outer).unwrap_or(outer);
            }
        }
    }
}

fn common_divisor(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

fn common_multiple(a: i64, b: i64) -> Option<i64> {
    (a / common_divisor(a, b)).checked_mul(b).filter(|both| *both <= MOST_DIVISOR)
}
