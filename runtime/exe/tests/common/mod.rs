//! A program as the compiler would make it, written by hand: `y = image · w + b` on 2x2 images, trained
//! by momentum to predict the label.

use mlc_rt_core::abi::{ABI_VERSION, Code, EntryCx, EntryFn, PlanFn, Program, Status};
use std::sync::OnceLock;

/// Pixels of an image.
pub const PIXELS: usize = 4;
/// Labels must be below it.
pub const CLASSES: i32 = 10;

/// What each call reads; pointers are as the metadata says.
struct Call<'a> {
    cx: &'a mut EntryCx,
}

/// Sum of squares, rows, largest error.
type Report = (f32, i32, f64);

impl Call<'_> {
    unsafe fn arg<T>(&self, i: usize, len: usize) -> &[T] {
        unsafe { std::slice::from_raw_parts((*self.cx.args.add(i)).cast(), len) }
    }

    #[expect(clippy::mut_from_ref, reason = "the runtime hands out memory that nothing else refers to")]
    unsafe fn result<T>(&self, i: usize, len: usize) -> &mut [T] {
        unsafe { std::slice::from_raw_parts_mut((*self.cx.results.add(i)).cast(), len) }
    }

    #[expect(clippy::mut_from_ref, reason = "the runtime hands out memory that nothing else refers to")]
    unsafe fn global(&self, i: usize, len: usize) -> &mut [f32] {
        unsafe {
            let pointer = *self.cx.globals.add(i);
            assert!(!pointer.is_null() && pointer.addr().is_multiple_of(64));
            std::slice::from_raw_parts_mut(pointer.cast(), len)
        }
    }

    fn rows(&self) -> usize {
        unsafe { *self.cx.sizes as usize }
    }

    unsafe fn predict(&self) -> Vec<f32> {
        unsafe {
            let (w, b) = (self.global(0, PIXELS), self.global(1, 1)[0]);
            let images: &[f32] = self.arg(0, self.rows() * PIXELS);
            images.chunks(PIXELS).map(|x| x.iter().zip(&*w).map(|(x, w)| x * w).sum::<f32>() + b).collect()
        }
    }

    /// Sum of squares, rows, largest error, gradient; or the number of a bad label.
    unsafe fn loss(&self) -> Result<(f32, i32, f64, [f32; PIXELS + 1]), usize> {
        unsafe {
            let rows = self.rows();
            let labels: &[i32] = self.arg(1, rows);
            if let Some(bad) = labels.iter().position(|l| !(0..CLASSES).contains(l)) {
                return Err(bad);
            }
            let images: &[f32] = self.arg(0, rows * PIXELS);
            let (mut sum, mut worst, mut grad) = (0.0, 0.0f64, [0.0; PIXELS + 1]);
            for (i, y) in self.predict().into_iter().enumerate() {
                let e = y - labels[i] as f32;
                sum += e * e;
                worst = worst.max(f64::from(e.abs()));
                for (g, x) in grad.iter_mut().zip(images[i * PIXELS..].iter().take(PIXELS).chain(&[1.0])) {
                    *g += 2.0 * e * x / rows as f32;
                }
            }
            Ok((sum, rows as i32, worst, grad))
        }
    }

    /// The gradient of the loss, and what is reported of it; or the status of a label that is out of range.
    unsafe fn gradient(&mut self) -> Result<([f32; PIXELS + 1], Report), i32> {
        unsafe {
            match self.loss() {
                Ok((sum, rows, worst, grad)) => {
                    // The arena is there for us to use.
                    let arena = std::slice::from_raw_parts_mut(self.cx.arena, 64 * self.rows());
                    arena.fill(0xff);
                    Ok((grad, (sum, rows, worst)))
                }
                Err(bad) => {
                    self.cx.fault_index = 0;
                    self.cx.fault_element = bad as i64;
                    self.cx.fault_value = i64::from(self.arg::<i32>(1, self.rows())[bad]);
                    Err(Status::Fault as i32)
                }
            }
        }
    }

    unsafe fn report(&mut self) -> Result<[f32; PIXELS + 1], i32> {
        unsafe {
            let (grad, (sum, rows, worst)) = self.gradient()?;
            self.result::<f32>(0, 1)[0] = sum;
            self.result::<i32>(1, 1)[0] = rows;
            self.result::<f64>(2, 1)[0] = worst;
            Ok(grad)
        }
    }
}

unsafe extern "C" fn forward(cx: *mut EntryCx) -> i32 {
    unsafe {
        let call = Call { cx: &mut *cx };
        let y = call.predict();
        call.result::<f32>(0, y.len()).copy_from_slice(&y);
    }
    0
}

unsafe extern "C" fn classify(cx: *mut EntryCx) -> i32 {
    unsafe {
        let call = Call { cx: &mut *cx };
        if call.rows() > 100 {
            call.cx.fault_index = 0;
            return Status::Size as i32;
        }
        let shift: f32 = call.arg::<f32>(1, 1)[0];
        let y = call.predict();
        call.result::<i32>(0, y.len()).iter_mut().zip(&y).for_each(|(l, y)| *l = (y + shift).round() as i32);
        call.result::<f32>(1, y.len()).copy_from_slice(&y);
    }
    0
}

unsafe extern "C" fn init(cx: *mut EntryCx) -> i32 {
    unsafe {
        let call = Call { cx: &mut *cx };
        let seed = call.cx.seed as f32;
        call.global(0, PIXELS).iter_mut().enumerate().for_each(|(i, w)| *w = (seed + i as f32) * 1e-3);
        call.global(1, 1)[0] = 0.0;
        call.global(2, PIXELS + 1).fill(0.0);
    }
    0
}

unsafe extern "C" fn step(cx: *mut EntryCx) -> i32 {
    unsafe {
        let mut call = Call { cx: &mut *cx };
        let grad = match call.report() {
            Ok(grad) => grad,
            Err(status) => return status,
        };
        let at = (call.cx.step as f32 * 0.1).sin() * 1e-4 + call.cx.epoch as f32 * 1e-5;
        let rate = 0.05 * (1.0 - 0.5 * call.cx.step as f32 / call.cx.total_steps as f32);
        let (w, b, m) = (call.global(0, PIXELS), call.global(1, 1), call.global(2, PIXELS + 1));
        for ((w, m), g) in w.iter_mut().chain(b).zip(m).zip(grad) {
            *m = 0.5 * *m + g;
            *w -= rate * *m + at;
        }
    }
    0
}

unsafe extern "C" fn eval(cx: *mut EntryCx) -> i32 {
    unsafe { Call { cx: &mut *cx }.report().err().unwrap_or(0) }
}

unsafe extern "C" fn grads(cx: *mut EntryCx) -> i32 {
    unsafe {
        let mut call = Call { cx: &mut *cx };
        match call.gradient() {
            Ok((grad, _)) => {
                call.result::<f32>(0, PIXELS).copy_from_slice(&grad[..PIXELS]);
                call.result::<f32>(1, 1)[0] = grad[PIXELS];
                0
            }
            Err(status) => status,
        }
    }
}

unsafe extern "C" fn finish(cx: *mut EntryCx) -> i32 {
    unsafe {
        let call = Call { cx: &mut *cx };
        let (sum, rows, worst) = (call.arg::<f64>(0, 1)[0], call.arg::<f64>(1, 1)[0], call.arg::<f64>(2, 1)[0]);
        call.result::<f32>(0, 1)[0] = (sum / rows) as f32;
        call.result::<f64>(1, 1)[0] = worst;
    }
    0
}

unsafe extern "C" fn every(cx: *mut EntryCx) -> i32 {
    unsafe {
        let call = Call { cx: &mut *cx };
        call.result::<f64>(0, 1)[0] = -call.arg::<f64>(0, 1)[0];
    }
    0
}

unsafe extern "C" fn plan(sizes: *const i64, offsets: *mut i64) -> i64 {
    unsafe {
        if !offsets.is_null() {
            *offsets = 0;
        }
        (*sizes).checked_mul(64).unwrap_or(-1)
    }
}

/// Metadata; `pipelines` and `every` stand in for those of the train block.
pub fn meta(pipelines: &str, every: &str, limits: &str) -> String {
    let b = r#"{"text": "B", "rpn": "B"}"#;
    let image = format!(r#"{{"name": "image", "dtype": "f32", "shape": [{b}, 2, 2, 1]}}"#);
    let label = format!(r#"{{"name": "label", "dtype": "i32", "shape": [{b}]}}"#);
    let scalar = |name: &str, dtype: &str| format!(r#"{{"name": "{name}", "dtype": "{dtype}", "shape": []}}"#);
    let solve = r#"[{"symbol": 0, "arg": 0, "axis": 0, "coef": 1, "offset": 0}]"#;
    let entry = |name: &str, args: &str, results: &str, solve: &str| {
        let (read, written) = match name {
            "init" => ("[]", "[0, 1, 2]"),
            "step" => ("[0, 1, 2]", "[0, 1, 2]"),
            "finish" | "every" => ("[]", "[]"),
            _ => ("[0, 1]", "[]"),
        };
        format!(
            r#"{{"name": "{name}", "args": [{args}], "results": [{results}], "symbols": {solve},
                "checks": ["B <= 100, required at fake.dl:3:4"],
                "faults": [{{"place": "fake.dl:9:18", "text": "label picks one of 10 classes", "bound": {CLASSES}}}],
                "globals_read": {read}, "globals_written": {written}, "buffers": 1,
                "arena": "bytes(B) = 64*B", "kept": {{"bytes": 0, "of": []}},
                "flops": {{"text": "8*B", "rpn": "8 B *"}}}}"#
        )
    };
    let sums = format!("{}, {}, {}", scalar("s", "f32"), scalar("n", "i32"), scalar("w", "f64"));
    let wide = format!("{}, {}, {}", scalar("s", "f64"), scalar("n", "f64"), scalar("w", "f64"));
    let both = format!("{image}, {label}");
    let entries = [
        entry("forward", &image, &format!(r#"{{"name": "out", "dtype": "f32", "shape": [{b}]}}"#), solve),
        entry(
            "classify",
            &format!("{image}, {}", scalar("shift", "f32")),
            &format!(
                r#"{{"name": "label", "dtype": "i32", "shape": [{b}]}}, {{"name": "score", "dtype": "f32", "shape": [{b}]}}"#
            ),
            solve,
        ),
        entry("init", "", "", "[]"),
        entry("step", &both, &sums, solve),
        entry("eval", &both, &sums, solve),
        entry(
            "grads",
            &both,
            &format!(r#"{{"name": "fc.w", "dtype": "f32", "shape": [4]}}, {}"#, scalar("fc.b", "f32")),
            solve,
        ),
        entry("finish", &wide, &format!("{}, {}", scalar("loss", "f32"), scalar("worst", "f64")), "[]"),
        entry(
            "every",
            &format!("{}, {}", scalar("loss", "f64"), scalar("worst", "f64")),
            &scalar("0", "f64"),
            "[]",
        ),
    ]
    .join(",\n");
    let tally = r#"{"finish": 6, "accumulands": [{"combine": "sum"}, {"combine": "sum"}, {"combine": "max"}]}"#;
    format!(
        r#"{{"abi": 5, "mlc": "0.1.0", "name": "fake", "source": "fake.dl", "source_hash": "00ff",
        "symbols": ["B"], "near": 0,
        "globals": [
          {{"path": "fc.w", "file_path": "fc.w", "kind": "param", "dtype": "f32", "shape": [4]}},
          {{"path": "fc.b", "file_path": "fc.b", "kind": "state", "dtype": "f32", "shape": []}},
          {{"path": "opt.m", "file_path": "opt.m", "kind": "optimizer", "dtype": "f32", "shape": [5]}}],
        "entries": [{entries}],
        "functions": [{{"name": "forward", "model": "Line", "entry": 0}}, {{"name": "classify", "model": "Line", "entry": 1}}],
        "init": {{"entry": 2}},
        "trains": [{{"name": "fit", "seed": 42, {limits}, "batch": 8, "step": 3, "eval": {{"entry": 4, "tally": {tally}}}, "grads": 5,
          "tally": {tally}, "metrics": ["loss", "worst"], "columns": [{image}, {label}], "trained": [0, 1],
          "pipelines": {pipelines}, "every": {every}}}]}}"#
    )
}

/// The usual pipelines.
pub const PIPELINES: &str = r#"{
  "data": {"stages": [{"stage": "idx", "prefix": "data/train", "labels": true}, {"stage": "resize", "height": 2, "width": 2},
                      {"stage": "shuffle", "buffer": 16}, {"stage": "batch", "n": 8}], "place": "fake.dl:5:14"},
  "valid": {"stages": [{"stage": "idx", "prefix": "data/test", "labels": true}, {"stage": "resize", "height": 2, "width": 2},
                       {"stage": "batch", "n": 8}], "place": "fake.dl:6:14"}}"#;

/// The usual `every`.
pub const EVERY: &str = r#"[{"count": 1, "period": "epochs", "entry": 7, "actions": [
  {"do": "evaluate", "pipeline": "valid"}, {"do": "save", "dir": "runs/fit", "keep": 2, "best": 0},
  {"do": "early_stop", "value": 0, "patience": 3}]}]"#;

#[repr(transparent)]
struct Codes([Code; 1]);

// SAFETY: read-only tables of functions.
unsafe impl Sync for Codes {}

/// The program with this metadata, which lives as long as the process.
pub fn program(meta: String) -> Program {
    static ENTRIES: [EntryFn; 8] = [forward, classify, init, step, eval, grads, finish, every];
    static PLANS: [PlanFn; 8] = [plan; 8];
    static CODE: Codes = Codes([Code { level: 0, entries: ENTRIES.as_ptr(), plans: PLANS.as_ptr() }]);
    static META: OnceLock<String> = OnceLock::new();
    let meta = META.get_or_init(|| meta);
    Program {
        abi: ABI_VERSION,
        entry_count: 8,
        meta: meta.as_ptr(),
        meta_len: meta.len(),
        codes: (&raw const CODE).cast(),
        code_count: 1,
        weights: std::ptr::null(),
        weights_len: 0,
    }
}
