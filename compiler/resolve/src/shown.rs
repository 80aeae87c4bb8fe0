//! Values as messages show them.

use crate::cx::Cx;
use crate::value::Value;

impl<'a> Cx<'a> {
    /// A static value as it would be written, if that is short.
    pub fn show_static(&self, value: &Value<'a>) -> Option<String> {
        match value {
            Value::Number(number) => match number.as_size() {
                Some(size) => Some(self.show_dim(&size.dim)),
                None => number.as_f64().map(|value| format!("{value:?}")),
            },
            Value::Bool(value) => Some(value.to_string()),
            Value::Str(text) => Some(format!("\"{text}\"")),
            Value::DType(dtype) => Some(dtype.name().to_string()),
            Value::Tuple(parts) => {
                let parts: Option<Vec<String>> = parts.iter().map(|part| self.show_static(part)).collect();
                Some(format!("({})", parts?.join(", ")))
            }
            Value::Instance(id) => Some(self.show_instance(&self.instances[id.0 as usize])),
            Value::Row(placed) => Some(self.show_instance(&self.instances[placed.id.0 as usize])),
            Value::Range(range) => {
                let high = range.low.add(&range.length).ok()?;
                Some(format!("{}..{}", self.show_dim(&range.low), self.show_dim(&high)))
            }
            Value::Function(function) => match &function.callee {
                crate::value::Callee::Fn { decl, .. } => Some(decl.name.text.to_string()),
                crate::value::Callee::Builtin(builtin) => Some(builtin.name.to_string()),
                crate::value::Callee::Layer { .. } | crate::value::Callee::Optimizer { .. } => None,
            },
            Value::Tensor(tensor) => Some(self.show(tensor)),
            Value::Lazy(lazy) => Some(self.show_axes(&lazy.axes)),
            Value::List(_)
            | Value::View(..)
            | Value::Params(_)
            | Value::Pack(_)
            | Value::Stack(_)
            | Value::Zip(_)
            | Value::Deferred(_)
            | Value::Optimizer(_)
            | Value::Pipeline(_)
            | Value::Nothing
            | Value::Poison => None,
        }
    }

    /// A value as a message names it: its type for tensors, its text for the rest.
    pub fn show_value(&self, value: &Value<'a>) -> String {
        match value {
            Value::Tensor(tensor) => self.show(tensor),
            Value::Lazy(lazy) if !lazy.axes.is_empty() => format!("a tensor of shape {}", self.show_axes(&lazy.axes)),
            Value::Number(_) | Value::Bool(_) | Value::Str(_) => {
                self.show_static(value).map_or_else(|| value.describe().to_string(), |text| format!("`{text}`"))
            }
            Value::Tuple(parts) if !parts.is_empty() => format!("a tuple of {}", self.show_parts(parts)),
            _ => value.describe().to_string(),
        }
    }

    /// The values of a tuple or list as messages show them, separated by commas.
    pub fn show_parts(&self, parts: &[Value<'a>]) -> String {
        const SHOWN: usize = 6;
        let mut shown: Vec<String> = parts.iter().take(SHOWN).map(|part| self.show_part(part)).collect();
        if parts.len() > SHOWN {
            shown.push("…".to_string());
        }
        shown.join(", ")
    }

    /// A tuple in a tuple is not taken apart.
    fn show_part(&self, part: &Value<'a>) -> String {
        match part {
            Value::Tuple(_) => part.describe().to_string(),
            other => self.show_value(other),
        }
    }
}
