//! Patterns of letters: `einsum` and `rearrange` (rule 11). Letters are words between blanks and
//! local to the string; `...` stands for the axes that no letter names.

use crate::cx::Cx;
use crate::report::Reported;
use crate::value::{R, Size, Tensor, shape_of};
use mlc_ir::dim::{Decision, Dim};
use mlc_ir::ops::contract::Contract;
use mlc_ir::ops::reduce::{Reduce, ReduceKind};
use mlc_ir::ty::DType;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A letter and where it stands in the pattern.
#[derive(Clone, Debug)]
struct Letter {
    name: String,
    at: usize,
}

/// One entry of a side: a letter, or letters in parentheses.
type Group = Vec<Letter>;

/// A pattern string and its place in the source.
struct Pattern<'s> {
    text: &'s str,
    span: Span,
}

impl Pattern<'_> {
    /// The place of a word of the pattern, if the literal stands in the source as it is.
    fn place(&self, cx: &Cx<'_>, at: usize, length: usize) -> Span {
        let source = cx.sources.text(self.span);
        if source.len() == self.text.len() + 2 && source.get(1..source.len() - 1) == Some(self.text) {
            let start = self.span.lo as usize + 1 + at;
            return Span::new(self.span.file, start, start + length);
        }
        self.span
    }
}

impl<'a> Cx<'a> {
    fn pattern_error<T>(&mut self, pattern: &Pattern<'_>, at: usize, length: usize, title: impl Into<String>) -> R<T> {
        let place = pattern.place(self, at, length.max(1));
        self.fail(Code::E0105, place, title)
    }

    /// Two sides of `left -> right`, with the offset of the right one.
    fn sides<'s>(&mut self, pattern: &Pattern<'s>) -> R<(&'s str, &'s str, usize)> {
        match pattern.text.split_once("->") {
            Some((left, right)) => Ok((left, right, left.len() + 2)),
            None => {
                let error = Diagnostic::error(Code::E0105, pattern.span, "this pattern has no `->`")
                    .note("a pattern has two sides: what is given, and what is made of it")
                    .help(format!("write what is to come out: `\"{} -> …\"`", pattern.text.trim()));
                Err(self.tell(error))
            }
        }
    }

    /// The entries of one side.
    fn groups(&mut self, pattern: &Pattern<'_>, side: &str, offset: usize) -> R<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut open: Option<Group> = None;
        let mut rest = side;
        while let Some(first) = rest.chars().next() {
            let at = offset + side.len() - rest.len();
            let length = match first {
                ' ' => 1,
                '(' if open.is_none() => {
                    open = Some(Vec::new());
                    1
                }
                ')' => match open.take() {
                    Some(group) => {
                        groups.push(group);
                        1
                    }
                    None => return self.pattern_error(pattern, at, 1, "this `)` closes nothing"),
                },
                '.' if rest.starts_with("...") => {
                    put(&mut groups, &mut open, Letter { name: "...".to_string(), at });
                    3
                }
                c if c.is_alphanumeric() || c == '_' => {
                    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let length = word.len();
                    put(&mut groups, &mut open, Letter { name: word, at });
                    length
                }
                other => {
                    return self.pattern_error(
                        pattern,
                        at,
                        other.len_utf8(),
                        format!("`{other}` has no meaning in a pattern"),
                    );
                }
            };
            rest = &rest[length..];
        }
        match open {
            Some(_) => self.pattern_error(pattern, offset, side.len(), "a `(` is not closed"),
            None => Ok(groups),
        }
    }

    /// Letters of a side without parentheses, `...` replaced by so many letters.
    fn letters(&mut self, pattern: &Pattern<'_>, side: &str, offset: usize, dots: usize) -> R<Vec<Letter>> {
        let mut letters = Vec::new();
        for group in self.groups(pattern, side, offset)? {
            let [letter] = group.as_slice() else {
                return self.pattern_error(pattern, offset, side.len(), "parentheses have no meaning in `einsum`");
            };
            letters.extend(expanded(letter, dots));
        }
        for (position, letter) in letters.iter().enumerate() {
            if letters[..position].iter().any(|other: &Letter| other.name == letter.name) {
                let title = format!("`{}` stands twice on one side", letter.name);
                return self.pattern_error(pattern, letter.at, letter.name.len(), title);
            }
        }
        Ok(letters)
    }

    /// `einsum("b i d, b j d -> b i j", q, k)`
    pub fn einsum(&mut self, text: &str, span: Span, operands: Vec<Tensor>, site: Span) -> R<Tensor> {
        let pattern = Pattern { text, span };
        let (left, right, right_at) = self.sides(&pattern)?;
        let parts: Vec<&str> = left.split(',').collect();
        if parts.len() != operands.len() {
            let given =
                if operands.len() == 1 { "one is given".to_string() } else { format!("{} are given", operands.len()) };
            let title = format!("the pattern is of {}, and {given}", tensors(parts.len()));
            let error = Diagnostic::error(Code::E0119, span, title)
                .note("`,` separates the letters of one tensor from those of the next");
            return Err(self.tell(error));
        }
        let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
        let mut named = Vec::new();
        let (mut offset, mut most_dots) = (0, 0);
        for (part, operand) in parts.iter().zip(operands) {
            let dots = self.dots(&pattern, part, offset, operand.rank())?;
            most_dots = most_dots.max(dots);
            let letters = self.letters(&pattern, part, offset, dots)?;
            if letters.len() != operand.rank() {
                let shown = self.show(&operand);
                let title = format!("`{}` names {}, and the operand is {shown}", part.trim(), counted(letters.len()));
                let mut error = Diagnostic::error(Code::E0105, pattern.place(self, offset, part.len()), title);
                if letters.len() == 1 && part.trim().len() == operand.rank() {
                    error = error.help("letters are words between blanks: `\"b i, i k -> b k\"`");
                }
                return Err(self.tell(error));
            }
            self.note_sizes(&pattern, &letters, &operand, &mut sizes)?;
            named.push((letters.into_iter().map(|letter| letter.name).collect::<Vec<_>>(), operand));
            offset += part.len() + 1;
        }
        let out = self.letters(&pattern, right, right_at, most_dots)?;
        if let Some(letter) = out.iter().find(|letter| !sizes.contains_key(&letter.name)) {
            let mut known: Vec<String> = Vec::new();
            for name in named.iter().flat_map(|(letters, _)| letters) {
                let name = if name.starts_with("...") { "`...`".to_string() } else { format!("`{name}`") };
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            let title = format!("no tensor has an axis `{}`", letter.name);
            let place = pattern.place(self, letter.at, letter.name.len());
            let error = Diagnostic::error(Code::E0105, place, title)
                .label("this letter stands only here")
                .note(format!("the letters on the left are {}", known.join(", ")))
                .help("a letter on the right stands for an axis on the left; those that are left out are summed over");
            return Err(self.tell(error));
        }
        let out: Vec<String> = out.into_iter().map(|letter| letter.name).collect();
        if let Some((_, first)) = named.first()
            && let Some((_, other)) =
                named.iter().find(|(_, other)| other.dtype != first.dtype || other.dtype == DType::Bool)
        {
            return self.fail(Code::E0104, site, format!("dtypes do not agree: {} and {}", first.dtype, other.dtype));
        }
        self.contract_all(named, &out, site)
    }

    /// How many axes `...` stands for in an operand.
    fn dots(&mut self, pattern: &Pattern<'_>, side: &str, offset: usize, rank: usize) -> R<usize> {
        let groups = self.groups(pattern, side, offset)?;
        let dots = groups.iter().flatten().filter(|letter| letter.name == "...").count();
        match dots {
            0 => Ok(0),
            1 => Ok((rank + 1).saturating_sub(groups.len())),
            _ => self.pattern_error(pattern, offset, side.len(), "`...` stands once at most"),
        }
    }

    fn note_sizes(
        &mut self,
        pattern: &Pattern<'_>,
        letters: &[Letter],
        operand: &Tensor,
        sizes: &mut BTreeMap<String, Size>,
    ) -> R<()> {
        for (letter, axis) in letters.iter().zip(&operand.axes) {
            match sizes.get(&letter.name) {
                None => {
                    sizes.insert(letter.name.clone(), axis.clone());
                }
                Some(other) if other.dim.decide(&axis.dim) == Decision::Equal => {
                    let met = other.meet(axis);
                    sizes.insert(letter.name.clone(), met);
                }
                Some(other) => {
                    let (a, b) = (self.show_dim(&other.dim), self.show_dim(&axis.dim));
                    let title = format!("`{}` is {a} in one tensor and {b} in another", letter.name);
                    let place = pattern.place(self, letter.at, letter.name.len());
                    let error = Diagnostic::error(Code::E0105, place, title)
                        .label(format!("{b}, an axis of {}", self.show(operand)));
                    let error = match first_place(pattern.text, &letter.name, letter.at) {
                        Some(first) => {
                            let first = pattern.place(self, first, letter.name.len());
                            error.also(first, format!("{a} here"))
                        }
                        None => error,
                    };
                    return Err(self.tell(error.help(
                        "axes of one letter have one size: give them two letters, or check the order of the axes",
                    )));
                }
            }
        }
        Ok(())
    }

    /// Contracts operands from left to right, keeping the letters that are needed later.
    fn contract_all(&mut self, mut named: Vec<(Vec<String>, Tensor)>, out: &[String], site: Span) -> R<Tensor> {
        let (mut letters, mut total) = named.remove(0);
        while !named.is_empty() {
            let (others, next) = named.remove(0);
            let needed = |name: &String| out.contains(name) || named.iter().any(|(letters, _)| letters.contains(name));
            (letters, total) = self.sum_lonely(letters, total, |name| needed(name) || others.contains(name), site)?;
            let (others, next) = self.sum_lonely(others, next, |name| needed(name) || letters.contains(name), site)?;
            let both = letters.iter().chain(others.iter().filter(|name| !letters.contains(name)));
            let mut kept: Vec<String> = both.filter(|name| needed(name)).cloned().collect();
            if named.is_empty() {
                kept.sort_by_key(|name| out.iter().position(|other| other == name));
            }
            total = self.contract_two((&letters, &total), (&others, &next), &kept, site)?;
            letters = kept;
        }
        let (letters, total) = self.sum_lonely(letters, total, |name| out.contains(name), site)?;
        let perm = out.iter().filter_map(|name| letters.iter().position(|other| other == name)).collect();
        self.permute(&total, perm, site)
    }

    /// Sums over letters that nothing else needs.
    fn sum_lonely(
        &mut self,
        letters: Vec<String>,
        x: Tensor,
        needed: impl Fn(&String) -> bool,
        site: Span,
    ) -> R<(Vec<String>, Tensor)> {
        let axes: Vec<usize> = (0..letters.len()).filter(|at| !needed(&letters[*at])).collect();
        if axes.is_empty() {
            return Ok((letters, x));
        }
        let kept: Vec<usize> = (0..letters.len()).filter(|at| !axes.contains(at)).collect();
        let sizes = kept.iter().map(|at| x.axes[*at].clone()).collect();
        let names = kept.iter().map(|at| letters[*at].clone()).collect();
        let sum = self.emit(site, Reduce { kind: ReduceKind::Sum, axes }, &[&x], sizes)?;
        Ok((names, sum))
    }

    fn contract_two(
        &mut self,
        a: (&[String], &Tensor),
        b: (&[String], &Tensor),
        out: &[String],
        site: Span,
    ) -> R<Tensor> {
        let mut numbers: Vec<&String> = Vec::new();
        for name in a.0.iter().chain(b.0) {
            if !numbers.contains(&name) {
                numbers.push(name);
            }
        }
        let number = |name: &String| numbers.iter().position(|other| *other == name).unwrap_or(0) as u32;
        let size = |name: &String| {
            let of = |(letters, tensor): (&[String], &Tensor)| {
                letters.iter().position(|other| other == name).map(|at| tensor.axes[at].clone())
            };
            match (of(a), of(b)) {
                (Some(left), Some(right)) => Some(left.meet(&right)),
                (left, right) => left.or(right),
            }
        };
        let axes = out.iter().filter_map(size).collect();
        let op = Contract {
            left: a.0.iter().map(number).collect(),
            right: b.0.iter().map(number).collect(),
            out: out.iter().map(number).collect(),
        };
        self.emit(site, op, &[a.1, b.1], axes)
    }

    /// `rearrange(x, "b t (h d) -> b h t d", h: Heads)`
    pub fn rearrange(
        &mut self,
        x: &Tensor,
        text: &str,
        span: Span,
        given: &[(Arc<str>, Size)],
        site: Span,
    ) -> R<Tensor> {
        let pattern = Pattern { text, span };
        let (left, right, right_at) = self.sides(&pattern)?;
        let dots = self.dots(&pattern, left, 0, x.rank())?;
        let from = expand_groups(self.groups(&pattern, left, 0)?, dots);
        let to = expand_groups(self.groups(&pattern, right, right_at)?, dots);
        if from.len() != x.rank() {
            let shown = self.show(x);
            let title = format!("`{}` names {}, and the tensor is {shown}", left.trim(), counted(from.len()));
            return self.pattern_error(&pattern, 0, left.len(), title);
        }
        let mut sizes: BTreeMap<String, Size> =
            given.iter().map(|(name, size)| (name.to_string(), size.clone())).collect();
        for (group, axis) in from.iter().zip(&x.axes) {
            self.solve_group(&pattern, group, axis, &mut sizes)?;
        }
        let (before, after) = (flat_names(&from), flat_names(&to));
        self.same_letters(&pattern, &from, &to, &before, &after)?;
        let unused = given.iter().find(|(name, _)| !before.contains(&name.to_string()));
        if let Some((name, _)) = unused {
            return self.fail(Code::E0103, span, format!("`{name}` is not a letter of the pattern"));
        }
        let split = before.iter().filter_map(|name| sizes.get(name).cloned()).collect();
        let split = self.reshape(x, split, site)?;
        let perm = after.iter().filter_map(|name| before.iter().position(|other| other == name)).collect();
        let moved = self.permute(&split, perm, site)?;
        let mut axes = Vec::new();
        for group in &to {
            axes.push(self.joined(group, &sizes, site)?);
        }
        self.reshape(&moved, axes, site)
    }

    /// Finds the one letter of a group whose size is not known.
    fn solve_group(
        &mut self,
        pattern: &Pattern<'_>,
        group: &Group,
        axis: &Size,
        sizes: &mut BTreeMap<String, Size>,
    ) -> R<()> {
        let (mut known, mut open) = (Dim::one(), None);
        for letter in group {
            match sizes.get(&letter.name) {
                Some(size) => known = known.mul(&size.dim).unwrap_or(known),
                None if open.is_none() => open = Some(letter),
                None => {
                    let title = format!(
                        "the sizes of `{}` and `{}` are both unknown",
                        open.map_or("", |letter| &letter.name),
                        letter.name
                    );
                    return self.pattern_error(
                        pattern,
                        letter.at,
                        letter.name.len(),
                        format!("{title}; give one: `{}: 8`", letter.name),
                    );
                }
            }
        }
        let quotient = axis.dim.exact_div(&known);
        match (open, quotient) {
            (Some(letter), Ok(dim)) => {
                let size = if group.len() == 1 { axis.clone() } else { Size::plain(dim) };
                sizes.insert(letter.name.clone(), size);
                Ok(())
            }
            (None, Ok(dim)) if dim.is(1) => Ok(()),
            (open, _) => {
                let (whole, part) = (self.show_dim(&axis.dim), self.show_dim(&known));
                let letter = open.or(group.first());
                let (at, length) = letter.map_or((0, pattern.text.len()), |letter| (letter.at, letter.name.len()));
                let place = pattern.place(self, at, length);
                let title = format!("an axis of {whole} does not split into parts of {part}");
                let mut error = Diagnostic::error(Code::E0105, place, title);
                if let (Some(n), Some(by @ 1..)) = (axis.dim.as_const(), known.as_const()) {
                    error = error.note(format!("{n} = {by} * {} + {}", n / by, n % by));
                }
                Err(self.tell(error))
            }
        }
    }

    fn same_letters(
        &mut self,
        pattern: &Pattern<'_>,
        from: &[Group],
        to: &[Group],
        before: &[String],
        after: &[String],
    ) -> R<()> {
        let lonely = from.iter().flatten().find(|letter| !after.contains(&letter.name));
        let lonely = lonely.or(to.iter().flatten().find(|letter| !before.contains(&letter.name)));
        if let Some(letter) = lonely {
            let place = pattern.place(self, letter.at, letter.name.len().max(1));
            let error = Diagnostic::error(Code::E0105, place, format!("`{}` stands on one side only", letter.name));
            return Err(self.tell(match letter.name.starts_with(|c: char| c.is_ascii_digit()) {
                true => error.help("an axis of 1 comes by `x[:, new]` and goes by `x[:, 0]`"),
                false => error.help(
                    "`rearrange` keeps all elements: an axis goes by `sum(x, axis: -1)` or `x[:, 0]`, and comes by `x[:, new]`",
                ),
            }));
        }
        for side in [from, to] {
            let letters: Vec<&Letter> = side.iter().flatten().collect();
            for (position, letter) in letters.iter().enumerate() {
                if letters[..position].iter().any(|other| other.name == letter.name) {
                    let title = format!("`{}` stands twice on one side", letter.name);
                    return self.pattern_error(pattern, letter.at, letter.name.len(), title);
                }
            }
        }
        Ok(())
    }

    fn joined(&mut self, group: &Group, sizes: &BTreeMap<String, Size>, site: Span) -> R<Size> {
        let parts: Vec<Size> = group.iter().filter_map(|letter| sizes.get(&letter.name).cloned()).collect();
        if let [single] = parts.as_slice() {
            return Ok(single.clone());
        }
        match Dim::product(&shape_of(&parts)) {
            Ok(dim) => {
                let factors: Vec<String> = parts.iter().map(|part| self.show_dim(&part.dim)).collect();
                Ok(Size { why: Some(factors.join(" * ").into()), ..Size::plain(dim) })
            }
            Err(_) => Err(self.too_large_join(site)),
        }
    }

    fn too_large_join(&mut self, site: Span) -> Reported {
        self.tell(Diagnostic::error(Code::E0114, site, "the joined axis is too large"))
    }
}

/// Where a letter stands for the first time, before `end`.
fn first_place(text: &str, name: &str, end: usize) -> Option<usize> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: usize| !text[..at].ends_with(is_letter) && !text[at + name.len()..].starts_with(is_letter);
    text.get(..end)?.match_indices(name).map(|(at, _)| at).find(|at| whole(*at))
}

fn tensors(count: usize) -> String {
    if count == 1 { "one tensor".to_string() } else { format!("{count} tensors") }
}

fn counted(axes: usize) -> String {
    if axes == 1 { "one axis".to_string() } else { format!("{axes} axes") }
}

fn put(groups: &mut Vec<Group>, open: &mut Option<Group>, letter: Letter) {
    match open {
        Some(group) => group.push(letter),
        None => groups.push(vec![letter]),
    }
}

fn expanded(letter: &Letter, dots: usize) -> Vec<Letter> {
    if letter.name != "..." {
        return vec![letter.clone()];
    }
    (0..dots).map(|number| Letter { name: format!("...{number}"), at: letter.at }).collect()
}

fn expand_groups(groups: Vec<Group>, dots: usize) -> Vec<Group> {
    let lone_dots = |group: &Group| group.len() == 1 && group[0].name == "...";
    let mut result = Vec::new();
    for group in groups {
        if lone_dots(&group) {
            result.extend(expanded(&group[0], dots).into_iter().map(|letter| vec![letter]));
        } else {
            result.push(group.iter().flat_map(|letter| expanded(letter, dots)).collect());
        }
    }
    result
}

fn flat_names(groups: &[Group]) -> Vec<String> {
    groups.iter().flatten().map(|letter| letter.name.clone()).collect()
}
