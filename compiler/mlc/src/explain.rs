//! The pages behind the diagnostic codes: `docs/errors/Exxxx.md`, carried inside `mlc`.

use mlc_syntax::codes::Code;

macro_rules! pages {
    ($($code:ident)*) => {
        /// The page of a code, in Markdown.
        pub fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!("../../../docs/errors/", stringify!($code), ".md")),)*
            }
        }
    };
}

pages! {
    E0001 E0002 E0003 E0004 E0005 E0006 E0007 E0008 E0009 E0010 E0011
    E0101 E0102 E0103 E0104 E0105 E0106 E0107 E0108 E0109 E0110 E0111 E0112 E0113 E0114 E0115 E0116
    E0117 E0118 E0119 E0120 E0121 E0122 E0123 E0131
    E0201 E0202 E0203 E0204 E0205 E0212 E0213 E0214
    E0301 E0302 E0303 E0304 E0305 E0306 E0307
    W0001 W0002 W0003 W0004 W0005 W0006
}

/// The code of that name, in any case.
pub fn code(name: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_about_its_code() {
        for &code in Code::ALL {
            let first = page(code).lines().next().unwrap_or("");
            assert_eq!(first, format!("# {}: {}", code.name(), code.summary()));
            assert!(page(code).len() > 200, "{} has no text", code.name());
        }
    }
}
