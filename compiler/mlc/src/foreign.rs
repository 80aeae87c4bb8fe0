//! The C functions that a program calls: found in shared libraries where it is compiled in memory.

use crate::failure::Failure;
use mlc_codegen::Address;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// C functions and how C declares them.
pub type Prototypes = BTreeMap<String, String>;

/// Where each of `symbols` is: in the first of `libraries` that has it. Nowhere else: not everything
/// in this process that happens to have the name is meant. The libraries stay loaded.
///
/// # Errors
/// A library cannot be loaded, or a function is in none.
pub fn addresses(
    symbols: &BTreeSet<Arc<str>>,
    libraries: &[PathBuf],
    prototypes: &Prototypes,
) -> Result<BTreeMap<Arc<str>, Address>, Failure> {
    let mut found = BTreeMap::new();
    if symbols.is_empty() {
        return Ok(found);
    }
    let open = |path: &PathBuf| loader::Library::open(path).map_err(|reason| cannot_load(path, &reason));
    let libraries: Vec<loader::Library> = libraries.iter().map(open).collect::<Result<_, _>>()?;
    for symbol in symbols {
        match libraries.iter().find_map(|library| library.address(symbol)) {
            Some(address) => _ = found.insert(symbol.clone(), Address(address)),
            None => return Err(missing(symbol, !libraries.is_empty(), prototypes).into()),
        }
    }
    Ok(found)
}

/// A function that is in none of the files given with `--link`.
pub fn missing(symbol: &str, searched: bool, prototypes: &Prototypes) -> Diagnostic {
    let title = format!("the C function `{symbol}` of an `extern fn` is not there");
    let mut error = Diagnostic::error_without_place(Code::E0307, title);
    if let Some(prototype) = prototypes.get(symbol) {
        error = error.note(format!("it is declared in C as `{prototype}`"));
    }
    match searched {
        true => {
            error.note("none of the files given with `--link` has it").help("look for a slip in the string behind `=`")
        }
        false => {
            error.help("name the file that has it: `--link libNAME.so`; `mlc build` also takes objects and archives")
        }
    }
}

fn cannot_load(path: &Path, reason: &str) -> Failure {
    let title = format!("`{}` cannot be loaded", path.display());
    Diagnostic::error_without_place(Code::E0307, title)
        .note(reason)
        .help("`mlc run` takes shared libraries; make one with `cc -shared -fPIC -o libNAME.so NAME.c`")
        .into()
}

#[cfg(unix)]
mod loader {
    use std::ffi::{CStr, CString, c_char, c_int, c_void};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    const RTLD_NOW: c_int = 2;

    unsafe extern "C" {
        fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
        fn dlerror() -> *const c_char;
    }

    /// A shared library; it is never closed.
    pub struct Library(*mut c_void);

    impl Library {
        pub fn open(path: &Path) -> Result<Library, String> {
            // A name without a slash would be looked for where the system keeps its own.
            let path = std::path::absolute(path).map_err(|error| error.to_string())?;
            let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
            // SAFETY: the path ends with a zero byte. What the library does when it is loaded is the
            // user's to answer for, who named it.
            let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
            if handle.is_null() { Err(reason()) } else { Ok(Library(handle)) }
        }

        pub fn address(&self, symbol: &str) -> Option<*const u8> {
            let symbol = CString::new(symbol).ok()?;
            // SAFETY: the library is loaded, and the name ends with a zero byte.
            let address = unsafe { dlsym(self.0, symbol.as_ptr()) };
            (!address.is_null()).then_some(address.cast_const().cast())
        }
    }

    fn reason() -> String {
        // SAFETY: after an error the text is there until the next call of this thread.
        let text = unsafe { dlerror() };
        if text.is_null() {
            return "the system gives no reason".to_string();
        }
        // SAFETY: it ends with a zero byte.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

#[cfg(not(unix))]
mod loader {
    use std::path::Path;

    /// There are none on this system.
    pub struct Library;

    impl Library {
        pub fn open(_path: &Path) -> Result<Library, String> {
            Err("libraries are loaded on Unix systems only".to_string())
        }

        pub fn address(&self, _symbol: &str) -> Option<*const u8> {
            None
        }
    }
}
