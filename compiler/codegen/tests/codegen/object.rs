//! Object files: symbols, determinism, and the same bits as the JIT when a C program links one.

use crate::entry::{twice, twice_bits, twice_input};
use mlc_codegen::{CodegenError, Emitter, Level, Options, PROGRAM_SYMBOL, Target, Version, compile_object};
use mlc_kernel::program::{PARALLEL_WORK, Program};
use mlc_rt_core::abi::ABI_VERSION;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use std::path::Path;
use std::process::Command;

const META: &[u8] = b"{\"name\": \"twice\"}";
const WEIGHTS: &[u8] = &[1, 2, 3, 4, 5];

fn linux() -> Target {
    Target::parse("x86_64-unknown-linux-gnu").unwrap()
}

fn compile(program: &Program, target: &Target, level: Level, threads: usize) -> Vec<u8> {
    let options = Options { level, emitter: Emitter::Cranelift, threads };
    compile_object(&[Version { program, options: &options }], target, META, Some(WEIGHTS)).unwrap()
}

#[test]
fn only_the_program_is_exported() {
    for (target, level) in [("x86_64-unknown-linux-gnu", Level::V3), ("aarch64-unknown-linux-gnu", Level::V2)] {
        let bytes = compile(&twice(PARALLEL_WORK), &Target::parse(target).unwrap(), level, 1);
        let file = object::File::parse(&*bytes).unwrap();
        let global = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
        let global: Vec<&str> = global.map(|symbol| symbol.name().unwrap()).collect();
        assert_eq!(global, [PROGRAM_SYMBOL]);
        let undefined = file.symbols().filter(|symbol| symbol.is_undefined() && !symbol.name().unwrap().is_empty());
        let undefined: Vec<&str> = undefined.map(|symbol| symbol.name().unwrap()).collect();
        assert_eq!(undefined, ["memmove"]);
    }
}

#[test]
fn data_is_not_writable_but_for_relocation() {
    let bytes = compile(&twice(1), &linux(), Level::V3, 1);
    let file = object::File::parse(&*bytes).unwrap();
    let symbol = file.symbol_by_name(PROGRAM_SYMBOL).unwrap();
    let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
    assert_eq!(section.name(), Ok(".data.rel.ro"));
    let weights = file.symbol_by_name("mlc.weights").unwrap();
    let section = file.section_by_index(weights.section_index().unwrap()).unwrap();
    assert_eq!(section.kind(), SectionKind::ReadOnlyData);
    assert_eq!((weights.address() % 64, section.align() % 64), (0, 0));
    let start = weights.address() as usize;
    assert_eq!(&section.data().unwrap()[start..start + WEIGHTS.len()], WEIGHTS);
}

#[test]
fn the_same_bytes_each_time() {
    let program = twice(PARALLEL_WORK);
    let first = compile(&program, &linux(), Level::V3, 1);
    assert!(first == compile(&program, &linux(), Level::V3, 1));
    assert!(first == compile(&program, &linux(), Level::V3, 4));
    assert!(first != compile(&program, &linux(), Level::V2, 1));
}

#[test]
fn levels_share_plan_functions_that_are_the_same() {
    let program = twice(PARALLEL_WORK);
    let mut other = program.clone();
    let bytes = other.entries[0].plan.buffers[0].bytes.clone();
    other.entries[0].plan.buffers[0].bytes = bytes.add(&bytes).unwrap();
    let options = |level| Options { level, emitter: Emitter::Cranelift, threads: 1 };
    let (low, middle, high) = (options(Level::V2), options(Level::V3), options(Level::V4));
    let version = |program, options| Version { program, options };
    let versions = [version(&program, &low), version(&program, &middle), version(&other, &high)];
    let bytes = compile_object(&versions, &linux(), META, None).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let names = file.symbols().filter_map(|symbol| symbol.name().ok());
    let plans: Vec<&str> = names.filter(|name| name.contains(".plan.")).collect();
    assert_eq!(plans, ["mlc.v2.plan.0.twice", "mlc.v4.plan.0.twice"]);
}

#[test]
fn too_many_weights() {
    // Not touched, so it costs address space alone.
    let weights = vec![0u8; mlc_codegen::WEIGHTS_LIMIT + 1];
    let options = Options { level: Level::V2, emitter: Emitter::Cranelift, threads: 1 };
    let error =
        compile_object(&[Version { program: &Program::default(), options: &options }], &linux(), META, Some(&weights))
            .unwrap_err();
    assert_eq!(error, CodegenError::Weights(weights.len()));
}

/// Loads `mlc_program`, calls its entry and prints the bits of the result.
const MAIN: &str = r#"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void kernel(const uint64_t *frame, uint8_t *scratch, int64_t low, int64_t high);

struct cx {
    const int64_t *sizes;
    const void *const *args;
    void *const *results;
    void *const *globals;
    uint8_t *arena;
    const int64_t *offsets;
    uint8_t *kept;
    int64_t fresh;
    uint8_t *scratch;
    void *pool;
    void (*parallel_for)(void *, kernel *, const uint64_t *, uint8_t *, int64_t, int64_t);
    int64_t seed, step, epoch, total_steps, done;
    int64_t fault_index, fault_element, fault_value;
};

struct code {
    uint64_t level;
    int32_t (*const *entries)(struct cx *);
    int64_t (*const *plans)(const int64_t *, int64_t *);
};

struct program {
    uint32_t abi, entry_count;
    const char *meta;
    size_t meta_len;
    const struct code *codes;
    size_t code_count;
    const uint8_t *weights;
    size_t weights_len;
};

extern const struct program mlc_program;

static void parallel_for(void *pool, kernel *k, const uint64_t *frame, uint8_t *scratch, int64_t stride, int64_t tiles) {
    (void)pool, (void)stride;
    for (int64_t tile = 0; tile < tiles; tile++) k(frame, scratch, tile, tile + 1);
}

int main(void) {
    float x[N], y[N], state[N];
    for (int i = 0; i < N; i++) {
        float n = (float)i, scaled = n * 0.77f;
        x[i] = scaled - 3.1f;
    }
    int64_t counters, sizes[] = {N}, offsets[2];
    int64_t bytes = mlc_program.codes[0].plans[0](sizes, offsets);
    const void *args[] = {x};
    void *results[] = {y, &counters}, *globals[] = {state};
    struct cx cx = {sizes, args, results, globals, aligned_alloc(64, bytes), offsets, NULL, 1, malloc(256 * 1024), x,
                    parallel_for, 7, 5, 3, 2, 0, 0, 0};
    int status = mlc_program.codes[0].entries[0](&cx);
    printf("%d %u %u %.*s ", status, mlc_program.abi, mlc_program.entry_count, (int)mlc_program.meta_len, mlc_program.meta);
    for (size_t i = 0; i < mlc_program.weights_len; i++) printf("%d", mlc_program.weights[i]);
    printf(" %ld", (long)counters);
    for (int i = 0; i < N; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], 4);
        printf(" %08x", bits);
    }
    return memcmp(y, state, sizeof y) != 0 || (uintptr_t)mlc_program.weights % 64 != 0;
}
"#;

/// Links the object with the C program and runs it.
fn run_linked(object: &[u8], flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("main.c"), MAIN).unwrap();
    std::fs::write(path("model.o"), object).unwrap();
    let count = format!("-DN={}", twice_input().len());
    let linked = Command::new("cc")
        .current_dir(folder.path())
        .args(["-std=c11", "-O1", "-ffp-contract=off", &count, "main.c", "model.o", "-o", "main"])
        .args(flags)
        .output()
        .expect("the system's C compiler links objects");
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    run(&path("main"))
}

fn run(program: &Path) -> String {
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_linked_object_gives_the_bits_of_the_jit() {
    for level in crate::check::levels() {
        let object = compile(&twice(PARALLEL_WORK), &Target::host(), level, 1);
        let jit = twice_bits(level);
        let bits: Vec<String> = jit.iter().map(|bits| format!("{bits:08x}")).collect();
        let expected = format!("0 {ABI_VERSION} 1 {{\"name\": \"twice\"}} 12345 2357 {}", bits.join(" "));
        for flags in [["-no-pie"], ["-pie"]] {
            assert_eq!(run_linked(&object, &flags), expected, "{level} {flags:?}");
        }
    }
}

/// Not exported, so near: an object may be a part of a shared library.
#[test]
fn an_object_links_into_a_shared_library() {
    let object = compile(&twice(PARALLEL_WORK), &Target::host(), Level::V2, 1);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.o"), &object).unwrap();
    let linked = Command::new("cc")
        .current_dir(folder.path())
        .args(["-shared", "-Wl,-z,defs", "-Wl,-z,text", "model.o", "-o", "model.so"])
        .output()
        .unwrap();
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
}
