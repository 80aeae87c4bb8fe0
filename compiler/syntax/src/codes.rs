//! Every diagnostic code, declared once. `docs/errors/Exxxx.md` is the page behind a code.
//!
//! E00xx syntax and files, E01xx names, types and sizes, E02xx training and gradients, E03xx data
//! and weights at run time, W… warnings.

macro_rules! codes {
    ($($code:ident $summary:literal,)*) => {
        /// The kind of a diagnostic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $summary] $code,)*
        }

        impl Code {
            /// All codes, in order.
            pub const ALL: &'static [Code] = &[$(Code::$code,)*];

            /// `E0107`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Code::$code => stringify!($code),)*
                }
            }

            /// What it is about, in a line.
            pub fn summary(self) -> &'static str {
                match self {
                    $(Code::$code => $summary,)*
                }
            }
        }
    };
}

codes! {
    E0001 "something was expected here that is not there",
    E0002 "a bracket, brace or string is not closed",
    E0003 "nesting is too deep",
    E0004 "a file could not be read",
    E0005 "a file is not UTF-8 text",
    E0006 "a number is not written as this language writes numbers",
    E0007 "a word or sign of another language",
    E0008 "arguments are named with `:`",
    E0009 "a part of the language that is not supported yet",
    E0010 "a source file is too large",
    E0011 "files import each other in a circle",
    E0101 "unknown name",
    E0102 "a name is declared twice",
    E0103 "wrong arguments in a call",
    E0104 "dtypes do not agree",
    E0105 "shapes do not agree",
    E0106 "a size cannot be solved",
    E0107 "matrix sizes do not agree",
    E0108 "a requirement does not hold",
    E0109 "a result does not have its declared type",
    E0110 "not a static value",
    E0111 "recursion",
    E0112 "assignment to a name that cannot be assigned",
    E0113 "a division of integers is not exact",
    E0114 "a size is zero, negative or too large",
    E0115 "the kernel is larger than its input",
    E0116 "a tensor where a truth value is needed",
    E0117 "an axis does not exist",
    E0118 "an axis name is ambiguous",
    E0119 "wrong number of values",
    E0120 "tensors have no methods or fields",
    E0121 "a statement is missing or in the wrong place",
    E0122 "a value has the wrong kind",
    E0123 "an `extern fn` is not a function of C",
    E0131 "a training step needs more memory than it may",
    E0201 "`minimize` needs a float scalar",
    E0202 "a parameter is updated twice in one step",
    E0203 "a training block is incomplete or wrong",
    E0204 "the data pipeline does not have this column",
    E0205 "wrong use of a data source or stage",
    E0212 "a parameter gets no gradient",
    E0213 "gradients do not agree with finite differences",
    E0214 "an assertion does not hold",
    E0301 "a data file is missing or wrong",
    E0302 "a weight file is missing or wrong",
    E0303 "an input does not have the function's type",
    E0304 "an output cannot be written",
    E0305 "an index is out of range",
    E0306 "a C function reports an error",
    E0307 "a C function is not there",
    W0001 "a parameter, a part of a layer or a binding is never used",
    W0002 "a loss takes logits, not probabilities",
    W0003 "a statement is never reached",
    W0004 "a layer is used and never trained",
    W0005 "the highest loss is taken for the best",
    W0006 "a file of measured schedules is not used",
}
