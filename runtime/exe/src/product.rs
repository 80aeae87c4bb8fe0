//! `main` of an executable.

use crate::{Host, ImagePart, Parts, main_with};
use mlc_rt_core::abi::{PARTS, Program};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::io::Write;
use std::path::Path;

unsafe extern "C" {
    /// The compiled program, which the compiler's object file defines.
    static mlc_program: Program;
    /// The parts of the runtime that the program uses, in the order of `abi::PARTS`; the others are null.
    static mlc_parts: [*const c_void; PARTS.len()];
    fn signal(number: c_int, handler: usize) -> usize;
}

/// What reads pictures. Nothing here refers to them, so that the linker drops them if `mlc_parts` doesn't.
#[unsafe(no_mangle)]
pub static mlc_part_images: ImagePart = ImagePart::HERE;

/// Stands where the library would print the stack trace of a panic: the hook of `main` prints none. What links
/// programs puts it there (`compiler/mlc/build/traces.rs`).
#[unsafe(no_mangle)]
pub fn mlc_no_stack_trace(_: &(), _: &mut fmt::Formatter<'_>) -> fmt::Result {
    Ok(())
}

const SIGPIPE: c_int = 13;
const SIG_IGN: usize = 1;

/// Entered by the C library.
///
/// # Safety
///
/// As the C standard says: `argc` strings in `argv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: ignoring a signal is always possible; a closed pipe is then an error of the write, as in
    // every Rust program.
    unsafe { signal(SIGPIPE, SIG_IGN) };
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        let text = "   = help: this is a defect of mlc; please report it\n";
        fail(&format!("error: internal: the program has stopped{place}\n{text}"), 70)
    }));
    let mut all = Vec::new();
    for i in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: `argv` has `argc` strings that live as long as the process.
        let text = unsafe { CStr::from_ptr(*argv.add(i)) };
        match text.to_str() {
            Ok(text) => all.push(text.to_owned()),
            Err(_) => fail("error: an argument isn't UTF-8\n", 2),
        }
    }
    let (program, args) = all.split_first().map_or(("program", &[][..]), |(first, rest)| (first.as_str(), rest));
    // SAFETY: the table has null or the address of the static above.
    let parts = Parts { images: unsafe { mlc_parts[0].cast::<ImagePart>().as_ref() } };
    let host = Host { program, root: Path::new(""), parts };
    // SAFETY: the compiler defines it together with the code and metadata that it points to.
    let status = unsafe { main_with(&mlc_program, &host, args) };
    std::process::exit(status)
}

fn fail(text: &str, status: i32) -> ! {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    std::process::exit(status)
}
