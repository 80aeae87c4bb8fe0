//! What the user sees when `mlc` itself is wrong: exit status 70, a few lines that ask for a report,
//! and a file with what a report needs. Never a bare backtrace.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::Once;

/// The exit status.
pub const STATUS: u8 = 70;

/// From now on a panic writes a dump and says where it is, once for each process.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| report(info));
    }));
}

fn report(info: &PanicHookInfo) {
    let text = dump(info);
    let message = message(info);
    let what = message.lines().next().unwrap_or("");
    eprintln!("mlc: internal error: {}", what.strip_prefix("internal error in ").unwrap_or(what));
    match write(&text) {
        Some(path) => {
            eprintln!("This is a fault of mlc, not of your program. Please report it with the file {}", path.display())
        }
        None => eprintln!("This is a fault of mlc, not of your program. Please report it with this text:\n{text}"),
    }
}

fn message(info: &PanicHookInfo) -> String {
    info.payload_as_str().unwrap_or("no message").to_string()
}

fn dump(info: &PanicHookInfo) -> String {
    let place = info.location().map_or_else(String::new, |location| format!("{}:{}", location.file(), location.line()));
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!(
        "mlc {}\ncommand: {}\nplace: {place}\n\n{}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        args.join(" "),
        message(info),
        Backtrace::force_capture()
    )
}

fn write(text: &str) -> Option<PathBuf> {
    let path = std::env::temp_dir().join(format!("mlc-error-{}.txt", std::process::id()));
    std::fs::write(&path, text).ok().map(|()| path)
}
