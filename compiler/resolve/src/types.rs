//! Types as written, and matching values against them: arguments bind fresh names, annotations and
//! results are compared.

use crate::cx::{Class, Cx, FrameKind};
use crate::lookup::dtype_word;
use crate::value::{R, Size, Value};
use mlc_ir::ty::DType;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use mlc_syntax::span::Span;

/// What an element of a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Exact(DType),
    Class(Class),
}

/// A type by its form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    Dim,
    Int,
    Str,
    Fn,
    /// `bool` without brackets.
    Bool,
    Tensor {
        element: Element,
        axes: &'a [ast::Axis],
    },
    Tuple {
        fields: &'a [(Option<ast::Name>, ast::Type)],
        variadic: bool,
    },
}

impl<'a> Cx<'a> {
    /// The form of a type.
    pub fn form(&mut self, ty: &'a ast::Type) -> R<Form<'a>> {
        match &ty.kind {
            ast::TypeKind::Tuple { fields, variadic } => Ok(Form::Tuple { fields, variadic: *variadic }),
            ast::TypeKind::Named { name, axes } => {
                let form = match (&*name.text, axes) {
                    ("dim", None) => Form::Dim,
                    ("int", None) => Form::Int,
                    ("str", None) => Form::Str,
                    ("fn", None) => Form::Fn,
                    ("bool", None) => Form::Bool,
                    (word, axes) => {
                        let element = self.element(word, name.span)?;
                        Form::Tensor { element, axes: axes.as_deref().unwrap_or(&[]) }
                    }
                };
                Ok(form)
            }
        }
    }

    /// Whether a word means a type, without its axes; an error if not. What is not supported yet is
    /// told where it is used.
    pub fn require_type(&mut self, word: &str, span: Span) -> R<()> {
        let is_static = matches!(word, "dim" | "int" | "str" | "fn" | "bool");
        if is_static { Ok(()) } else { self.require_element(word, span) }
    }

    /// Whether a word before axes means a dtype or a class of them.
    pub fn require_element(&mut self, word: &str, span: Span) -> R<()> {
        if matches!(word, "f16" | "bf16") { Ok(()) } else { self.element(word, span).map(|_| ()) }
    }

    fn element(&mut self, word: &str, span: Span) -> R<Element> {
        if let Some(class) = Class::named(word) {
            return Ok(Element::Class(class));
        }
        match dtype_word(word) {
            Some(DType::F32) => return Ok(Element::Exact(self.entry.real)),
            Some(dtype) => return Ok(Element::Exact(dtype)),
            None => {}
        }
        if matches!(word, "f16" | "bf16") {
            return self.unsupported(span, &format!("`{word}`"));
        }
        if matches!(word, "dim" | "int" | "str" | "fn") {
            let title = format!("`{word}` is known when compiling and has no axes");
            let error = Diagnostic::error(Code::E0122, span, title);
            return Err(self.tell(match word {
                "dim" | "int" => {
                    error.help("a tensor of whole numbers is written `i32[2]`, a tuple of them `(int, int)`")
                }
                _ => error.help(format!("several are a tuple: `({word}, …)`")),
            }));
        }
        let advice = match word {
            "Tensor" | "tensor" | "real" => Some("f32"),
            "string" | "String" => Some("str"),
            _ if meant_dtype(word).is_some() => meant_dtype(word),
            _ => crate::scope::nearest(
                word,
                ["f32", "f64", "i32", "i64", "u8", "i8", "bool", "dim", "int", "str", "float", "num", "any"],
            ),
        };
        let mut error = Diagnostic::error(Code::E0101, span, format!("unknown type `{word}`"));
        error = match advice {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if matches!(word, "Optional" | "Union") => {
                error.help("there are no optional values: give the argument a default, as in `mask: bool[B, S] = true`")
            }
            None => error.help("tensors are written `f32[B, 10]`; the dtypes are f32 f64 i32 i64 u8 i8 bool"),
        };
        Err(self.tell(error))
    }

    /// Whether arguments of this type are static; `f32` and its like are in constructors.
    pub fn is_static(&mut self, ty: &'a ast::Type) -> R<bool> {
        Ok(match self.form(ty)? {
            Form::Dim | Form::Int | Form::Str | Form::Fn | Form::Bool => true,
            Form::Tensor { .. } => false,
            Form::Tuple { fields, .. } => {
                let mut all = true;
                for (_, field) in fields {
                    all &= self.is_static(field)?;
                }
                all
            }
        })
    }

    /// The dtype that a class stands for in the current call or instance, once it is known.
    pub fn class_dtype(&self, class: Class) -> Option<DType> {
        let frame = self.top();
        if let Some(id) = frame.instance
            && let Some(dtype) = self.instance(id).classes.get(&class)
        {
            return dtype.map(|dtype| self.seen_dtype(dtype));
        }
        frame.classes.get(&class).copied()
    }

    /// Settles the dtype of a class, if it is not.
    pub fn bind_class(&mut self, class: Class, dtype: DType) {
        let stored = self.stored_dtype(dtype);
        if let Some(id) = self.top().instance
            && let Some(open) = self.instances[id.0 as usize].classes.get_mut(&class)
        {
            open.get_or_insert(stored);
            for twin in self.twins(id) {
                if let Some(open) = self.instances[twin.0 as usize].classes.get_mut(&class) {
                    open.get_or_insert(stored);
                }
            }
            return;
        }
        self.frame().classes.entry(class).or_insert(dtype);
    }

    /// A static value as a shape: a tuple, list or pack of sizes, or one size.
    pub fn as_shape(&mut self, value: &Value<'a>, span: Span) -> R<Vec<Size>> {
        match value {
            Value::Pack(sizes) => Ok(sizes.to_vec()),
            Value::Tuple(parts) | Value::List(parts) => {
                let mut sizes = Vec::new();
                for part in parts.iter() {
                    match part {
                        Value::Pack(pack) => sizes.extend(pack.iter().cloned()),
                        part => sizes.push(self.as_size(part.clone(), span)?),
                    }
                }
                Ok(sizes)
            }
            single => Ok(vec![self.as_size(single.clone(), span)?]),
        }
    }

    /// Whether numbers count as static here, as in constructors and optimizer arguments.
    pub fn in_update(&self) -> bool {
        matches!(self.top().kind, FrameKind::Update)
    }
}

/// What other languages call a dtype.
pub(crate) fn meant_dtype(word: &str) -> Option<&'static str> {
    Some(match word {
        "float32" | "Float" => "f32",
        "float64" | "double" => "f64",
        "int32" | "Int" | "integer" => "i32",
        "int64" | "long" => "i64",
        "uint8" | "byte" => "u8",
        "int8" => "i8",
        "boolean" => "bool",
        _ => return None,
    })
}
