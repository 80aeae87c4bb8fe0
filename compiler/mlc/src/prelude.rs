//! The standard library, written in the language itself and carried inside `mlc`.

/// Files in the order they are read: the name that messages show, and the text.
pub const FILES: &[(&str, &str)] = &[];

/// All of it, for people to read.
pub fn text() -> String {
    FILES.iter().map(|(name, text)| format!("# ---- {name}\n\n{text}\n")).collect()
}
