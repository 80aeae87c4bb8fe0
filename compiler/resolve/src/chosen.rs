//! `params(net, only: ["*.bias"], skip: ["ln*"], rank: 2..)`: some parameters of an instance, for `over`.

use crate::builtins::Args;
use crate::calls::ArgValue;
use crate::cx::Cx;
use crate::scope;
use crate::stacks::Placed;
use crate::train::ParamKey;
use crate::value::{R, Value};
use mlc_syntax::ast::{self, ExprKind};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Parameters of some instances that fit all conditions.
#[derive(Clone, Debug)]
pub(crate) struct Chosen<'a> {
    parts: Value<'a>,
    /// One of these must fit; none given: all fit.
    only: Vec<(Arc<str>, Span)>,
    /// None of these may fit.
    skip: Vec<(Arc<str>, Span)>,
    rank: Option<Range<i64>>,
    span: Span,
}

impl<'a> Cx<'a> {
    /// The parameters that were chosen; those that the step does not read count only by their name.
    pub fn chosen_params(&mut self, chosen: &Chosen<'a>) -> R<Vec<ParamKey>> {
        let mut all = Vec::new();
        self.named_params(&chosen.parts, &mut all);
        self.require_matches(&chosen.only, &all)?;
        self.require_matches(&chosen.skip, &all)?;
        let mut found: Vec<ParamKey> = Vec::new();
        for (key, path) in all {
            let fits = (chosen.only.is_empty() || chosen.only.iter().any(|(pattern, _)| matches(pattern, &path)))
                && !chosen.skip.iter().any(|(pattern, _)| matches(pattern, &path))
                && self.rank_fits(&key, chosen)?;
            if fits && !found.contains(&key) {
                found.push(key);
            }
        }
        Ok(found)
    }

    /// The parameters of the instances in a value, each with its path below the instance.
    fn named_params(&self, value: &Value<'a>, into: &mut Vec<(ParamKey, String)>) {
        match value {
            Value::Instance(id) | Value::Stack(Placed { id, .. }) => {
                let mut keys = Vec::new();
                self.params_in(value, None, &mut keys);
                for key in keys {
                    let path = self.path_below(*id, &key);
                    into.push((key, path));
                }
            }
            Value::List(parts) | Value::Tuple(parts) => parts.iter().for_each(|part| self.named_params(part, into)),
            _ => {}
        }
    }

    /// The path of a tensor below an instance that it belongs to.
    pub fn path_below(&self, id: crate::value::InstanceId, key: &ParamKey) -> String {
        let above = self.tensor_path(id, "").1;
        let path = self.tensor_path(key.0, &key.1).1;
        path.strip_prefix(&*above).map_or(path.clone(), str::to_string)
    }

    fn rank_fits(&mut self, key: &ParamKey, chosen: &Chosen<'a>) -> R<bool> {
        let (Some(range), true) = (&chosen.rank, self.entry.tensors.contains_key(key)) else { return Ok(true) };
        let Some(decl) = self.instance(key.0).members.tensor(&key.1) else { return Ok(false) };
        let rank = self.param_type(key.0, decl, chosen.span)?.1.len();
        Ok(range.contains(&(rank as i64)))
    }

    /// A pattern that fits nothing is a slip of the pen.
    fn require_matches(&mut self, patterns: &[(Arc<str>, Span)], all: &[(ParamKey, String)]) -> R<()> {
        for (pattern, span) in patterns {
            if all.iter().any(|(_, path)| matches(pattern, path)) {
                continue;
            }
            let mut error = Diagnostic::error(Code::E0101, *span, format!("no parameter is called `{pattern}`"));
            let paths: Vec<&str> = all.iter().map(|(_, path)| path.as_str()).collect();
            if let Some(near) = scope::nearest(pattern, paths.iter().copied()) {
                error = error.help(format!("did you mean `{near}`?"));
            } else {
                let listed: Vec<String> = paths.iter().take(6).map(|path| format!("`{path}`")).collect();
                let more = if paths.len() > 6 { format!(" and {} more", paths.len() - 6) } else { String::new() };
                error = error.note(format!("the parameters: {}{more}", listed.join(", ")));
            }
            return Err(self.tell(error.help("`*` stands for any letters, dots too: `*.bias`, `block1.*`")));
        }
        Ok(())
    }

    /// The value of an argument.
    pub fn given_value(&mut self, arg: ArgValue<'a>) -> R<Value<'a>> {
        match arg {
            ArgValue::Expr(expr) => self.expr(expr),
            ArgValue::Value(value, _) => Ok(value),
        }
    }

    /// A list of patterns, or one.
    pub fn patterns(&mut self, arg: Option<ArgValue<'a>>, name: &str) -> R<Vec<(Arc<str>, Span)>> {
        let Some(arg) = arg else { return Ok(Vec::new()) };
        let span = arg.span();
        let value = self.given_value(arg)?;
        let parts = match &value {
            Value::List(parts) | Value::Tuple(parts) => parts.to_vec(),
            single => vec![single.clone()],
        };
        let mut patterns = Vec::new();
        for part in parts {
            match part {
                Value::Str(text) => patterns.push((text, span)),
                other => {
                    let title = format!("`{name}` is a list of names, and this is {}", self.show_value(&other));
                    let error = Diagnostic::error(Code::E0122, span, title).help("write `[\"*.bias\", \"ln*\"]`");
                    return Err(self.tell(error));
                }
            }
        }
        Ok(patterns)
    }
}

/// Whether `path` fits a pattern in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let middle: &str = middle;
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

/// `params(net, only: …, skip: …, rank: a..b)`
pub(crate) fn params<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let site = args.site;
    let mut placed = cx.place_args(args.builtin.params, args.raw, &site)?.into_iter();
    let mut next = || placed.next().flatten();
    let (parts, only, skip, rank) = (next(), next(), next(), next());
    let Some(parts) = parts else {
        let error = Diagnostic::error(Code::E0103, site.span, "`params` needs a layer");
        return Err(cx.tell(error.help("write `params(net, only: [\"*.bias\"])`")));
    };
    let span = parts.span();
    let parts = cx.given_value(parts)?;
    if !matches!(parts, Value::Instance(_) | Value::Stack(_) | Value::List(_) | Value::Tuple(_)) {
        let title = format!("`params` takes a layer, and this is {}", cx.show_value(&parts));
        return cx.fail(Code::E0122, span, title);
    }
    let (only, skip) = (cx.patterns(only, "only")?, cx.patterns(skip, "skip")?);
    let rank = match rank {
        Some(rank) => Some(ranks(cx, rank)?),
        None => None,
    };
    Ok(Value::Params(Rc::new(Chosen { parts, only, skip, rank, span: site.span })))
}

/// `0..2`, `2..`, or one rank.
fn ranks<'a>(cx: &mut Cx<'a>, arg: ArgValue<'a>) -> R<Range<i64>> {
    if let ArgValue::Expr(ast::Expr { kind: ExprKind::Range { start, end }, .. }) = &arg {
        let low = cx.static_int(start)?;
        let open = matches!(&end.kind, ExprKind::Name(name) if **name == *"inf");
        return Ok(low..if open { i64::MAX } else { cx.static_int(end)? });
    }
    let span = arg.span();
    let value = cx.given_value(arg)?;
    let rank = cx.as_int(&value, span)?;
    Ok(rank..rank.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, path, expected) in [
            ("*.bias", "fc.bias", true),
            ("*.bias", "a.b.bias", true),
            ("*.bias", "bias", false),
            ("ln*", "ln1.weight", true),
            ("ln*", "fc.ln.weight", false),
            ("fc.weight", "fc.weight", true),
            ("fc.weight", "fc.weight2", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "a.c", false),
            ("*aa*aa", "aaa", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
