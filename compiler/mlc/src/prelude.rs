//! The standard library, written in the language itself and carried inside `mlc`.

/// Files in the order they are read: the name that messages show, and the text.
pub const FILES: &[(&str, &str)] = &[
    ("prelude/layers.dl", include_str!("../prelude/layers.dl")),
    ("prelude/normalization.dl", include_str!("../prelude/normalization.dl")),
    ("prelude/convolution.dl", include_str!("../prelude/convolution.dl")),
    ("prelude/recurrent.dl", include_str!("../prelude/recurrent.dl")),
    ("prelude/attention.dl", include_str!("../prelude/attention.dl")),
    ("prelude/activations.dl", include_str!("../prelude/activations.dl")),
    ("prelude/pooling.dl", include_str!("../prelude/pooling.dl")),
    ("prelude/padding.dl", include_str!("../prelude/padding.dl")),
    ("prelude/losses.dl", include_str!("../prelude/losses.dl")),
    ("prelude/metrics.dl", include_str!("../prelude/metrics.dl")),
    ("prelude/reductions.dl", include_str!("../prelude/reductions.dl")),
    ("prelude/initialisers.dl", include_str!("../prelude/initialisers.dl")),
    ("prelude/optimizers.dl", include_str!("../prelude/optimizers.dl")),
    ("prelude/schedules.dl", include_str!("../prelude/schedules.dl")),
];

/// All of it, for people to read.
pub fn text() -> String {
    FILES.iter().map(|(name, text)| format!("# ---- {name}\n\n{text}\n")).collect()
}
