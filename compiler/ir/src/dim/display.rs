//! How a size is written. A symbol called `H/16` is a part of `H` (a fact says that it is a multiple):
//! `16 * (H/16)` reads `H`, and `8 * (H/16)` reads `H / 2`.

use super::{Atom, Dim, Sym, Term};
use std::fmt;
use std::sync::Arc;

impl Dim {
    /// As a user reads it, with `names[i]` for `Sym(i)`: `2*B + 1`, `floor(T / 2)`.
    pub fn display<'a>(&'a self, names: &'a [Arc<str>]) -> DimDisplay<'a> {
        DimDisplay { dim: self, names }
    }
}

/// A [`Dim`] with the names of its symbols, to be printed.
pub struct DimDisplay<'a> {
    dim: &'a Dim,
    names: &'a [Arc<str>],
}

impl fmt::Display for DimDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dim.terms().is_empty() {
            return write!(f, "0");
        }
        // The constant term sorts first and reads best last.
        let constant_first = self.dim.terms()[0].factors.is_empty() as usize;
        let ordered = self.dim.terms()[constant_first..].iter().chain(&self.dim.terms()[..constant_first]);
        for (position, term) in ordered.enumerate() {
            match (position, term.coef < 0) {
                (0, false) => {}
                (0, true) => write!(f, "-")?,
                (_, false) => write!(f, " + ")?,
                (_, true) => write!(f, " - ")?,
            }
            self.term(term, f)?;
        }
        Ok(())
    }
}

impl DimDisplay<'_> {
    /// A term without its sign.
    fn term(&self, term: &Term, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut magnitude, mut divisor) = (term.coef.unsigned_abs(), 1);
        for (atom, power) in &term.factors {
            let (_, part) = self.symbol(atom);
            for _ in 0..*power {
                let common = common_divisor(magnitude, part);
                magnitude /= common;
                divisor = u64::saturating_mul(divisor, part / common);
            }
        }
        if magnitude != 1 || term.factors.is_empty() {
            write!(f, "{magnitude}")?;
        }
        for (index, (atom, power)) in term.factors.iter().enumerate() {
            if index > 0 || magnitude != 1 {
                write!(f, "*")?;
            }
            self.atom(atom, f)?;
            if *power > 1 {
                write!(f, "**{power}")?;
            }
        }
        if divisor != 1 {
            write!(f, " / {divisor}")?;
        }
        Ok(())
    }

    /// The name of a symbol, and what part of that it is.
    fn symbol(&self, atom: &Atom) -> (Option<&str>, u64) {
        let Atom::Sym(Sym(index)) = atom else { return (None, 1) };
        let Some(name) = self.names.get(*index as usize) else { return (None, 1) };
        match name.split_once('/').and_then(|(whole, part)| Some((whole, part.parse().ok()?))) {
            Some((whole, part)) if part > 0 => (Some(whole), part),
            _ => (Some(name), 1),
        }
    }

    fn atom(&self, atom: &Atom, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match atom {
            Atom::Sym(Sym(index)) => match self.symbol(atom).0 {
                Some(name) => write!(f, "{name}"),
                None => write!(f, "s{index}"),
            },
            Atom::FloorDiv(a, divisor) if a.terms().len() == 1 => {
                write!(f, "floor({} / {divisor})", a.display(self.names))
            }
            Atom::FloorDiv(a, divisor) => write!(f, "floor(({}) / {divisor})", a.display(self.names)),
            Atom::Max(a, b) => write!(f, "max({}, {})", a.display(self.names), b.display(self.names)),
        }
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_size() {
        let names: Vec<Arc<str>> = vec!["H/16".into(), "B".into()];
        let times = |factor: i64| Dim::from(Sym(0)).mul(&Dim::from(factor)).unwrap();
        assert_eq!(times(16).display(&names).to_string(), "H");
        assert_eq!(times(8).display(&names).to_string(), "H / 2");
        assert_eq!(times(24).display(&names).to_string(), "3*H / 2");
        assert_eq!(times(16).mul(&times(8)).unwrap().display(&names).to_string(), "H**2 / 2");
        let sum = times(1).add(&Dim::from(Sym(1)).mul(&Dim::from(2)).unwrap()).unwrap();
        assert_eq!(sum.display(&names).to_string(), "H / 16 + 2*B");
    }
}
