//! Compiles the runtime that `mlc` carries inside itself: `runtime/core` and `runtime/exe` to one
//! static library, with `$RUSTC` directly. They have no dependencies, so no second cargo is needed,
//! with its locks, wrappers and leaking environment.
//!
//! Leaves in `OUT_DIR`: `runtime.a`, and `link-args` (what it needs from the system, one argument a
//! line).

mod traces;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What both crates are compiled with: small, no unwinding, no path of this machine.
const FLAGS: &[&str] = &[
    "--edition=2024",
    "-Cpanic=abort",
    "-Cforce-unwind-tables=no",
    "-Ccodegen-units=1",
    "-Cdebuginfo=0",
    "--cap-lints=allow",
];

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo::rerun-if-changed=build");
    let runtime = workspace.join("runtime");
    for source in sources(&runtime) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let core = out.join("libmlc_rt_core.rlib");
    let core_source = runtime.join("core/src/lib.rs");
    run(compiler(&workspace)
        .args(["--crate-name=mlc_rt_core", "--crate-type=rlib", "-Copt-level=2"])
        .arg(&core_source)
        .arg("-o")
        .arg(&core));

    let archive = out.join("runtime.a");
    let exe_source = runtime.join("exe/src/lib.rs");
    let said = run(compiler(&workspace)
        // Its size counts in every executable, its speed in none: kernels and the pool are elsewhere.
        .args(["--crate-name=mlc_rt_exe", "--crate-type=staticlib", "--cfg=mlc_product", "-Copt-level=z", "-Clto=fat"])
        .args(["--print=native-static-libs", "--extern"])
        .arg(joined("mlc_rt_core=", &core))
        .arg(&exe_source)
        .arg("-o")
        .arg(&archive));
    let mut objects = fs::read(&archive).expect("the compiler has written the library");
    traces::leave_out(&mut objects);
    fs::write(&archive, objects).expect("OUT_DIR can be written");
    fs::write(out.join("link-args"), link_args(&said)).expect("OUT_DIR can be written");
}

/// `$RUSTC` with [`FLAGS`] for the target that `mlc` itself is compiled for.
fn compiler(workspace: &Path) -> Command {
    let mut command = Command::new(variable("RUSTC"));
    command.args(FLAGS).arg(format!("--target={}", variable("TARGET").to_string_lossy()));
    let mut remap = joined("--remap-path-prefix=", workspace);
    remap.push("=mlc");
    command.arg(remap);
    command
}

/// Runs a compiler and returns what it printed to stderr.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the Rust compiler can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "the runtime does not compile:\n{said}");
    said
}

/// The arguments after `native-static-libs:`, one a line.
fn link_args(said: &str) -> String {
    let list = said.lines().find_map(|line| line.split_once("native-static-libs:")).map_or("", |(_, list)| list);
    list.split_whitespace().map(|arg| format!("{arg}\n")).collect()
}

/// Every file and folder below `folder`: a folder's own time tells of files that came or went.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the runtime's sources are beside the compiler's")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"))
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}
