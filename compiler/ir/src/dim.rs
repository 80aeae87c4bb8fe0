//! Sizes: integer polynomials over size symbols, with floor-division and maximum as atoms.
//!
//! A [`Dim`] is canonical by construction: two sizes are equal for all values of their symbols if
//! (and, but for the atoms, only if) they are `==`. Arithmetic is checked: a coefficient beyond
//! `i64` is [`SizeError::Overflow`], never a wrap. Alignment is not a polynomial and stays out.

use std::fmt;
use std::sync::Arc;

mod display;

pub use display::DimDisplay;

/// A size symbol: an index into [`crate::graph::Graph::symbols`]. Constant during a call, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sym(pub u32);

/// What is not a number of its own in a polynomial.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A symbol.
    Sym(Sym),
    /// `floor(a / c)` with `c > 0`, not simplifiable.
    FloorDiv(Dim, i64),
    /// The larger of two; operands ordered.
    Max(Dim, Dim),
}

/// `coef · Π atom^power`; `factors` is sorted by atom, powers are at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// Atoms with their powers; empty for the constant term.
    pub factors: Vec<(Atom, u32)>,
    /// Never 0.
    pub coef: i64,
}

/// A size: a sum of [`Term`]s, sorted by their factors, no two alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim(Arc<[Term]>);

/// Why a size could not be formed or evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// A number beyond `i64`.
    Overflow,
    /// A division that leaves a remainder, or whose exactness is not known.
    NotExact,
    /// A division by zero or by a negative number.
    BadDivisor,
}

/// What is known about the relation of two sizes for all values of their symbols (each at least 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Equal for all values.
    Equal,
    /// Different for all values.
    Never,
    /// Depends on the values.
    Ask,
}

impl From<i64> for Dim {
    fn from(value: i64) -> Dim {
        if value == 0 {
            return Dim(Arc::from([]));
        }
        Dim(Arc::from([Term { factors: Vec::new(), coef: value }]))
    }
}

impl From<Sym> for Dim {
    fn from(sym: Sym) -> Dim {
        Dim::atom(Atom::Sym(sym))
    }
}

impl Dim {
    /// The number 1.
    pub fn one() -> Dim {
        Dim::from(1)
    }

    /// The number 0.
    pub fn zero() -> Dim {
        Dim::from(0)
    }

    fn atom(atom: Atom) -> Dim {
        Dim(Arc::from([Term { factors: vec![(atom, 1)], coef: 1 }]))
    }

    fn from_terms(mut terms: Vec<Term>) -> Result<Dim, SizeError> {
        terms.sort_by(|a, b| a.factors.cmp(&b.factors));
        let mut sum: Vec<Term> = Vec::with_capacity(terms.len());
        for term in terms {
            match sum.last_mut() {
                Some(last) if last.factors == term.factors => {
                    last.coef = last.coef.checked_add(term.coef).ok_or(SizeError::Overflow)?;
                }
                _ => sum.push(term),
            }
        }
        sum.retain(|term| term.coef != 0);
        Ok(Dim(Arc::from(sum)))
    }

    /// The terms, in canonical order.
    pub fn terms(&self) -> &[Term] {
        &self.0
    }

    /// The number, if there is no symbol in it.
    pub fn as_const(&self) -> Option<i64> {
        match &*self.0 {
            [] => Some(0),
            [term] if term.factors.is_empty() => Some(term.coef),
            _ => None,
        }
    }

    /// Whether this is the number `value`.
    pub fn is(&self, value: i64) -> bool {
        self.as_const() == Some(value)
    }

    /// `self + other`.
    pub fn add(&self, other: &Dim) -> Result<Dim, SizeError> {
        Dim::from_terms(self.0.iter().chain(other.0.iter()).cloned().collect())
    }

    /// `self - other`.
    pub fn sub(&self, other: &Dim) -> Result<Dim, SizeError> {
        self.add(&other.mul(&Dim::from(-1))?)
    }

    /// `self * other`.
    pub fn mul(&self, other: &Dim) -> Result<Dim, SizeError> {
        let mut terms = Vec::with_capacity(self.0.len() * other.0.len());
        for a in self.0.iter() {
            for b in other.0.iter() {
                let coef = a.coef.checked_mul(b.coef).ok_or(SizeError::Overflow)?;
                terms.push(Term { factors: product(&a.factors, &b.factors), coef });
            }
        }
        Dim::from_terms(terms)
    }

    /// The product of many; 1 for none.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Result<Dim, SizeError> {
        dims.into_iter().try_fold(Dim::one(), |product, dim| product.mul(dim))
    }

    /// `floor(self / divisor)` for a positive constant; terms that divide exactly are taken out.
    pub fn floor_div(&self, divisor: i64) -> Result<Dim, SizeError> {
        if divisor <= 0 {
            return Err(SizeError::BadDivisor);
        }
        if divisor == 1 {
            return Ok(self.clone());
        }
        if let Some(value) = self.as_const() {
            return Ok(Dim::from(value.div_euclid(divisor)));
        }
        let (mut whole, mut rest) = (Vec::new(), Vec::new());
        for term in self.0.iter() {
            let (quotient, remainder) = (term.coef.div_euclid(divisor), term.coef.rem_euclid(divisor));
            let exact_only = !term.factors.is_empty();
            if remainder == 0 || !exact_only {
                whole.push(Term { factors: term.factors.clone(), coef: quotient });
                if remainder != 0 {
                    rest.push(Term { factors: term.factors.clone(), coef: remainder });
                }
            } else {
                rest.push(term.clone());
            }
        }
        whole.retain(|term| term.coef != 0);
        let (whole, rest) = (Dim::from_terms(whole)?, Dim::from_terms(rest)?);
        match rest.as_const() {
            Some(value) => whole.add(&Dim::from(value.div_euclid(divisor))),
            None => whole.add(&Dim::atom(Atom::FloorDiv(rest, divisor))),
        }
    }

    /// `ceil(self / divisor)` for a positive constant.
    pub fn ceil_div(&self, divisor: i64) -> Result<Dim, SizeError> {
        if divisor <= 0 {
            return Err(SizeError::BadDivisor);
        }
        self.add(&Dim::from(divisor - 1))?.floor_div(divisor)
    }

    /// `self / divisor` where it is exact for all values: every term divides, or the divisor is a
    /// single term that every term of `self` contains.
    pub fn exact_div(&self, divisor: &Dim) -> Result<Dim, SizeError> {
        let [by] = divisor.terms() else {
            return Err(if self == divisor { return Ok(Dim::one()) } else { SizeError::NotExact });
        };
        let mut terms = Vec::with_capacity(self.0.len());
        for term in self.0.iter() {
            if term.coef % by.coef != 0 {
                return Err(SizeError::NotExact);
            }
            let factors = quotient(&term.factors, &by.factors).ok_or(SizeError::NotExact)?;
            terms.push(Term { factors, coef: term.coef / by.coef });
        }
        Dim::from_terms(terms)
    }

    /// The larger of two; folded where the facts decide. On an owned receiver write `Dim::max(&a, &b)`:
    /// there `a.max(b)` is [`Ord::max`].
    pub fn max(&self, other: &Dim) -> Result<Dim, SizeError> {
        let difference = self.sub(other)?;
        let (low, high) = difference.range();
        if low >= 0 {
            return Ok(self.clone());
        }
        if high <= 0 {
            return Ok(other.clone());
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        Ok(Dim::atom(Atom::Max(a.clone(), b.clone())))
    }

    /// Bounds over all values of the symbols, each in `1..2^40`; saturating.
    pub fn range(&self) -> (i128, i128) {
        self.0.iter().fold((0, 0), |(low, high), term| {
            let (mut term_low, mut term_high) = (1i128, 1i128);
            for (atom, power) in &term.factors {
                let (atom_low, atom_high) = atom.range();
                for _ in 0..*power {
                    (term_low, term_high) = interval_product((term_low, term_high), (atom_low, atom_high));
                }
            }
            let (scaled_low, scaled_high) =
                interval_product((term_low, term_high), (i128::from(term.coef), i128::from(term.coef)));
            (low.saturating_add(scaled_low), high.saturating_add(scaled_high))
        })
    }

    /// What is known about `self == other`.
    pub fn decide(&self, other: &Dim) -> Decision {
        let Ok(difference) = self.sub(other) else { return Decision::Ask };
        if difference.terms().is_empty() {
            return Decision::Equal;
        }
        let (low, high) = difference.range();
        if low > 0 || high < 0 { Decision::Never } else { Decision::Ask }
    }

    /// The value at `symbols[i]` for `Sym(i)`.
    pub fn eval(&self, symbols: &[i64]) -> Result<i64, SizeError> {
        let mut sum: i64 = 0;
        for term in self.0.iter() {
            let mut value = term.coef;
            for (atom, power) in &term.factors {
                let factor = atom.eval(symbols)?;
                for _ in 0..*power {
                    value = value.checked_mul(factor).ok_or(SizeError::Overflow)?;
                }
            }
            sum = sum.checked_add(value).ok_or(SizeError::Overflow)?;
        }
        Ok(sum)
    }

    /// A size that is at least `self` and grows with every symbol: negative terms are taken at the
    /// lower end of their range.
    pub fn majorant(&self) -> Result<Dim, SizeError> {
        let mut sum = Dim::zero();
        for term in self.0.iter() {
            let part = if term.coef > 0 {
                Dim(Arc::from([term.clone()]))
            } else {
                let (_, high) = Dim(Arc::from([term.clone()])).range();
                Dim::from(i64::try_from(high).map_err(|_| SizeError::Overflow)?)
            };
            sum = sum.add(&part)?;
        }
        Ok(sum)
    }

    /// The terms with positive coefficients.
    pub fn positive_part(&self) -> Result<Dim, SizeError> {
        Dim::from_terms(self.0.iter().filter(|term| term.coef > 0).cloned().collect())
    }

    /// Replaces symbols: `with(s)` is the size to put for `s`, or `None` to keep it.
    pub fn substitute(&self, with: &dyn Fn(Sym) -> Option<Dim>) -> Result<Dim, SizeError> {
        let mut sum = Dim::zero();
        for term in self.0.iter() {
            let mut product = Dim::from(term.coef);
            for (atom, power) in &term.factors {
                let factor = match atom {
                    Atom::Sym(sym) => with(*sym).unwrap_or_else(|| Dim::from(*sym)),
                    Atom::FloorDiv(a, divisor) => a.substitute(with)?.floor_div(*divisor)?,
                    Atom::Max(a, b) => Dim::max(&a.substitute(with)?, &b.substitute(with)?)?,
                };
                for _ in 0..*power {
                    product = product.mul(&factor)?;
                }
            }
            sum = sum.add(&product)?;
        }
        Ok(sum)
    }

    /// Calls `f` for each symbol in it (more than once where it occurs more than once).
    pub fn each_symbol(&self, f: &mut dyn FnMut(Sym)) {
        for term in self.0.iter() {
            for (atom, _) in &term.factors {
                match atom {
                    Atom::Sym(sym) => f(*sym),
                    Atom::FloorDiv(a, _) => a.each_symbol(f),
                    Atom::Max(a, b) => {
                        a.each_symbol(f);
                        b.each_symbol(f);
                    }
                }
            }
        }
    }

    /// `(c, s, k)` if this is `c·s + k` for one symbol: the forms a symbol can be solved from.
    pub fn linear(&self) -> Option<(i64, Sym, i64)> {
        let (mut found, mut constant) = (None, 0);
        for term in self.0.iter() {
            match term.factors.as_slice() {
                [] => constant = term.coef,
                [(Atom::Sym(sym), 1)] if found.is_none() => found = Some((term.coef, *sym)),
                _ => return None,
            }
        }
        found.map(|(coef, sym)| (coef, sym, constant))
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.display(&[]))
    }
}

impl Atom {
    fn range(&self) -> (i128, i128) {
        match self {
            Atom::Sym(_) => (1, 1 << 40),
            Atom::FloorDiv(a, divisor) => {
                let (low, high) = a.range();
                (low.div_euclid(i128::from(*divisor)), high.div_euclid(i128::from(*divisor)))
            }
            Atom::Max(a, b) => {
                let ((a_low, a_high), (b_low, b_high)) = (a.range(), b.range());
                (a_low.max(b_low), a_high.max(b_high))
            }
        }
    }

    fn eval(&self, symbols: &[i64]) -> Result<i64, SizeError> {
        Ok(match self {
            Atom::Sym(Sym(index)) => symbols[*index as usize],
            Atom::FloorDiv(a, divisor) => a.eval(symbols)?.div_euclid(*divisor),
            Atom::Max(a, b) => a.eval(symbols)?.max(b.eval(symbols)?),
        })
    }
}

fn product(a: &[(Atom, u32)], b: &[(Atom, u32)]) -> Vec<(Atom, u32)> {
    let mut factors = a.to_vec();
    for (atom, power) in b {
        match factors.binary_search_by(|(other, _)| other.cmp(atom)) {
            Ok(index) => factors[index].1 += power,
            Err(index) => factors.insert(index, (atom.clone(), *power)),
        }
    }
    factors
}

fn quotient(a: &[(Atom, u32)], b: &[(Atom, u32)]) -> Option<Vec<(Atom, u32)>> {
    let mut factors = a.to_vec();
    for (atom, power) in b {
        let index = factors.iter().position(|(other, _)| other == atom)?;
        factors[index].1 = factors[index].1.checked_sub(*power)?;
    }
    factors.retain(|(_, power)| *power > 0);
    Some(factors)
}

fn interval_product(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    let products = [a.0.saturating_mul(b.0), a.0.saturating_mul(b.1), a.1.saturating_mul(b.0), a.1.saturating_mul(b.1)];
    let low = products.iter().copied().fold(i128::MAX, i128::min);
    let high = products.iter().copied().fold(i128::MIN, i128::max);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b() -> Dim {
        Dim::from(Sym(0))
    }

    #[test]
    fn canonical_forms_meet() {
        let a = b().add(&Dim::from(1)).unwrap();
        let square = a.mul(&a).unwrap();
        let expanded = b().mul(&b()).unwrap().add(&b().mul(&Dim::from(2)).unwrap()).unwrap().add(&Dim::one()).unwrap();
        assert_eq!(square, expanded);
        assert_eq!(square.sub(&expanded).unwrap(), Dim::zero());
        assert_eq!(format!("{}", square.display(&["B".into()])), "2*B + B**2 + 1");
    }

    #[test]
    fn division() {
        let dim = b().mul(&Dim::from(4)).unwrap().add(&Dim::from(3)).unwrap();
        assert_eq!(dim.floor_div(4).unwrap(), b());
        assert_eq!(dim.floor_div(3).unwrap().eval(&[5]).unwrap(), 7);
        assert_eq!(b().mul(&Dim::from(6)).unwrap().exact_div(&b()).unwrap(), Dim::from(6));
        assert_eq!(dim.exact_div(&Dim::from(2)), Err(SizeError::NotExact));
        assert_eq!(dim.floor_div(0), Err(SizeError::BadDivisor));
        for value in 1..40 {
            assert_eq!(dim.floor_div(3).unwrap().eval(&[value]).unwrap(), (4 * value + 3).div_euclid(3));
            assert_eq!(dim.ceil_div(5).unwrap().eval(&[value]).unwrap(), (4 * value + 7).div_euclid(5));
        }
    }

    #[test]
    fn decisions() {
        let twice = b().mul(&Dim::from(2)).unwrap();
        assert_eq!(b().decide(&b()), Decision::Equal);
        assert_eq!(b().decide(&twice), Decision::Never);
        assert_eq!(b().decide(&Dim::from(Sym(1))), Decision::Ask);
        assert_eq!(Dim::from(3).decide(&Dim::from(4)), Decision::Never);
        assert_eq!(Dim::max(&twice, &b()).unwrap(), twice);
    }

    #[test]
    fn overflow_is_an_error() {
        let huge = Dim::from(1 << 62);
        assert_eq!(huge.mul(&huge), Err(SizeError::Overflow));
        assert_eq!(huge.add(&huge), Err(SizeError::Overflow));
        assert_eq!(b().mul(&huge).unwrap().eval(&[4]), Err(SizeError::Overflow));
    }
}
