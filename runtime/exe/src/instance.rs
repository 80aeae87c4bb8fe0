//! A program with memory: weights, arena, scratch and threads. The one place that calls compiled code.

use crate::data::vocabulary::Vocabulary;
use crate::error::{FOREIGN, Failure, INDEX, INPUT, Result};
use crate::levels::code;
use crate::mem::{Aligned, size_text};
use crate::meta::{Checked, Entry, Kind, Meta, SessionUse};
use crate::order;
use crate::threads::{self, Threads};
use mlc_rt_core::abi::{Code, EntryCx, Program, Status};
use mlc_rt_core::pool::{self, Pool};
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

/// What random draws and schedules of a call depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Seed of draws.
    pub seed: i64,
    /// Batch number of a training or an evaluation, or number of the call.
    pub step: i64,
    /// Epoch.
    pub epoch: i64,
    /// Training steps in all.
    pub total_steps: i64,
    /// Training steps done.
    pub done: i64,
}

/// What a call of an entry point says it can't do.
#[derive(Clone, Debug)]
pub struct CallError {
    /// For the user.
    pub failure: Failure,
    /// Row-major number and value of the bad element, if an index was out of range.
    pub bad_index: Option<(i64, i64)>,
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self { failure, bad_index: None }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        error.failure
    }
}

/// A program ready to be called. Dropping it joins its threads.
#[derive(Debug)]
pub struct Instance<'p> {
    code: &'p Code,
    /// What the program says about itself.
    pub meta: &'p Meta,
    /// The vocabulary that texts are read with; it is saved with the weights.
    pub vocabulary: Option<Rc<Vocabulary>>,
    /// For each global, whether weight files of this instance hold it.
    filed: Vec<bool>,
    globals: Vec<Option<Aligned>>,
    pointers: Vec<*mut u8>,
    /// Values of the symbols of each session state, once it is made.
    sessions: Vec<Option<Vec<i64>>>,
    plans: Vec<Plan>,
    kept: Vec<Kept>,
    arena: Aligned,
    scratch: Aligned,
    pool: Box<Pool>,
    /// Whether a bound of memory can't make them fewer.
    fixed_threads: bool,
}

/// Offsets of an entry's buffers for the sizes it was last called with.
#[derive(Debug, Default)]
struct Plan {
    /// None before the first call: a program may have no sizes.
    sizes: Option<Vec<i64>>,
    offsets: Vec<i64>,
    bytes: usize,
}

/// What an entry keeps from call to call.
#[derive(Debug, Default)]
struct Kept {
    memory: Option<Aligned>,
    /// Whether it is there, and the weights that it was made of are the same since.
    made: bool,
}

impl<'p> Instance<'p> {
    /// Makes an instance for calls of `entries`: only globals that one of them touches get memory.
    /// Fails if the processor lacks what the code needs, or memory runs out.
    ///
    /// # Safety
    ///
    /// `program` must be a program that `meta` describes.
    pub unsafe fn new(program: &'p Program, meta: &'p Meta, entries: &[usize], threads: Threads) -> Result<Self> {
        // SAFETY: by this function's contract.
        let code = unsafe { code(program) }?;
        let touched = |g: usize| {
            let kind = meta.globals[g].kind;
            kind.is_saved()
                || kind == Kind::Optimizer
                    && entries
                        .iter()
                        .map(|&e| &meta.entries[e])
                        .any(|e| e.globals_read.contains(&g) || e.globals_written.contains(&g))
        };
        let globals: Result<Vec<Option<Aligned>>> = (0..meta.globals.len())
            .map(|g| if touched(g) { Aligned::new(global_bytes(meta, g)?).map(Some) } else { Ok(None) })
            .collect();
        let globals = globals?;
        let pointers = globals.iter().map(|g| g.as_ref().map_or(ptr::null_mut(), Aligned::pointer)).collect();
        let pool = Box::new(Pool::new());
        // SAFETY: the box keeps the pool in its place, and `drop` closes it.
        let workers = unsafe { pool.start(threads.wanted) };
        Ok(Self {
            code,
            meta,
            filed: filed(meta, entries),
            vocabulary: None,
            globals,
            pointers,
            sessions: vec![None; meta.sessions.len()],
            plans: meta.entries.iter().map(|_| Plan::default()).collect(),
            kept: meta.entries.iter().map(|_| Kept::default()).collect(),
            arena: Aligned::new(0)?,
            scratch: threads::memory(workers, meta)?,
            pool,
            fixed_threads: threads.fixed,
        })
    }

    /// Workers that kernels run on.
    pub fn threads(&self) -> usize {
        self.pool.workers()
    }

    /// Whether weight files of this instance hold global `g`, if they hold its kind.
    pub fn is_filed(&self, g: usize) -> bool {
        self.filed[g]
    }

    /// The bytes of global `g`, if it has memory.
    pub fn global(&self, g: usize) -> Option<&[u8]> {
        self.globals.get(g)?.as_deref()
    }

    /// The same, to be written.
    pub fn global_mut(&mut self, g: usize) -> Option<&mut [u8]> {
        self.forget_kept(&[g]);
        self.globals.get_mut(g)?.as_deref_mut()
    }

    /// Bytes of the arena that entry `e` needs for these sizes.
    pub fn arena_bytes(&mut self, e: usize, sizes: &[i64]) -> Result<usize> {
        self.plan(e, sizes)?;
        Ok(self.plans[e].bytes)
    }

    /// Gets the memory for calls of entry `e` with these sizes, so that the calls get none.
    pub fn reserve(&mut self, e: usize, sizes: &[i64]) -> Result<()> {
        let bytes = self.arena_bytes(e, sizes)?;
        let entry = &self.meta.entries[e];
        let threads = (self.threads(), self.fixed_threads);
        let fewer = threads::within(self.meta, entry, bytes, threads, &sizes_text(self.meta, entry, sizes))?;
        if fewer < threads.0 {
            self.pool.close();
            // SAFETY: the pool is closed, and stays in its box.
            let workers = unsafe { self.pool.start(fewer) };
            self.scratch = threads::memory(workers, self.meta)?;
        }
        if bytes > self.arena.len() {
            // The old one goes first, or both would be held for a moment.
            self.arena = Aligned::new(0)?;
            self.arena = Aligned::new(bytes).map_err(|failure| {
                let entry = &self.meta.entries[e];
                let sizes = sizes_text(self.meta, entry, sizes);
                failure.note(format!("`{}` needs {} {sizes}: {}", entry.name, size_text(bytes as u64), entry.arena))
            })?;
        }
        self.kept_memory(e).map(drop)
    }

    /// Has what is made of globals made anew in the next call.
    fn forget_kept(&mut self, globals: &[usize]) {
        for (kept, entry) in self.kept.iter_mut().zip(&self.meta.entries) {
            kept.made &= !entry.kept.of.iter().any(|g| globals.contains(g));
        }
    }

    /// The memory of what entry `e` keeps.
    fn kept_memory(&mut self, e: usize) -> Result<*mut u8> {
        let entry = &self.meta.entries[e];
        if let Some(memory) = &self.kept[e].memory {
            return Ok(memory.pointer());
        }
        let memory = Aligned::new(entry.kept.bytes).map_err(|failure| {
            let bytes = size_text(entry.kept.bytes as u64);
            failure.note(format!("`{}` keeps {bytes} of weights in the order in which it reads them", entry.name))
        })?;
        Ok(self.kept[e].memory.insert(memory).pointer())
    }

    fn plan(&mut self, e: usize, sizes: &[i64]) -> Result<()> {
        let entry = &self.meta.entries[e];
        let plan = &mut self.plans[e];
        if plan.sizes.as_deref() == Some(sizes) {
            return Ok(());
        }
        let too_big = || {
            Failure::plain(format!("`{}` needs more memory than can be counted", entry.name))
                .note(sizes_text(self.meta, entry, sizes))
        };
        if sizes.len() != self.meta.symbols.len() || sizes.iter().any(|&s| s < 1) {
            return Err(Failure::internal(format!("sizes of `{}`", entry.name)));
        }
        plan.sizes = None;
        plan.offsets.resize(entry.buffers.max(1), 0);
        // SAFETY: `Meta::of` made sure that there are as many plans as entries.
        let plan_fn = unsafe { *self.code.plans.add(e) };
        // SAFETY: one size for each symbol, room for one offset for each buffer.
        let bytes = unsafe { plan_fn(sizes.as_ptr(), plan.offsets.as_mut_ptr()) };
        plan.bytes = usize::try_from(bytes).ok().filter(|&b| b <= isize::MAX as usize).ok_or_else(too_big)?;
        plan.sizes = Some(sizes.to_vec());
        Ok(())
    }

    /// Makes the session states that entry `e` touches and that are not there yet, each with the sizes of
    /// this call; the others must have them already.
    fn open_sessions(&mut self, e: usize, sizes: &[i64], at: At) -> Result<()> {
        for one in &self.meta.entries[e].sessions {
            let state = &self.meta.sessions[one.session];
            let too_large = || Failure::plain(format!("`{}` is too large", self.meta.globals[state.global].path));
            let mut own = vec![1; self.meta.symbols.len()];
            for (symbol, size) in &one.sizes {
                own[*symbol] = size.eval(sizes).filter(|&n| n >= 1).ok_or_else(too_large)?;
            }
            match &self.sessions[one.session] {
                Some(made) if *made == own => {}
                Some(made) => return Err(self.other_session(e, one, made, &own)),
                None => {
                    self.make_session(one.session, own.clone())?;
                    // SAFETY: it has neither arguments nor results.
                    unsafe { self.call(state.init, &own, &[], &[], At { seed: at.seed, ..At::default() }) }?;
                }
            }
        }
        Ok(())
    }

    /// The values of the symbols in the shape of session state `number`, once it is made.
    pub fn session(&self, number: usize) -> Option<&[i64]> {
        self.sessions[number].as_deref()
    }

    /// The shape of session state `number` for these values of the symbols.
    pub fn session_shape(&self, number: usize, sizes: &[i64]) -> Option<Vec<usize>> {
        let axes = self.meta.sessions[number].shape.iter();
        axes.map(|size| size.eval(sizes).and_then(|n| usize::try_from(n).ok())).collect()
    }

    /// Gets the memory of session state `number` for these values of the symbols; what is in it is still to be written.
    pub fn make_session(&mut self, number: usize, sizes: Vec<i64>) -> Result<&mut [u8]> {
        let global = self.meta.sessions[number].global;
        let too_large = || Failure::plain(format!("`{}` is too large", self.meta.globals[global].path));
        let shape = self.session_shape(number, &sizes).ok_or_else(too_large)?;
        let bytes = crate::tensor::bytes_of(self.meta.globals[global].dtype, &shape).ok_or_else(too_large)?;
        let memory = Aligned::new(bytes)?;
        self.forget_kept(&[global]);
        self.pointers[global] = memory.pointer();
        self.sessions[number] = Some(sizes);
        Ok(self.globals[global].insert(memory))
    }

    fn other_session(&self, e: usize, one: &SessionUse, made: &[i64], own: &[i64]) -> Failure {
        let path = &self.meta.globals[self.meta.sessions[one.session].global].path;
        let name = &self.meta.entries[e].name;
        let differing = one.sizes.iter().map(|(s, _)| *s).find(|&s| made[s] != own[s]);
        let text = differing.map_or(String::new(), |s| {
            let symbol = &self.meta.symbols[s];
            format!(" with {symbol} = {}, the session's state `{path}` has {symbol} = {}", own[s], made[s])
        });
        Failure::data(INPUT, format!("`{name}` was called{text}"))
            .help("a session keeps its sizes; start another one for others")
    }

    /// Calls entry `e`.
    ///
    /// # Safety
    ///
    /// `args` and `results` must point to as many elements, of the right types, as the entry's ports
    /// have for these sizes, and no result may overlap anything else.
    pub unsafe fn call(
        &mut self,
        e: usize,
        sizes: &[i64],
        args: &[*const u8],
        results: &[*mut u8],
        at: At,
    ) -> std::result::Result<(), CallError> {
        self.open_sessions(e, sizes, at)?;
        self.reserve(e, sizes)?;
        let kept = self.kept_memory(e)?;
        let meta = self.meta;
        let entry = &meta.entries[e];
        let touched = entry.globals_read.iter().chain(&entry.globals_written);
        if args.len() != entry.args.len()
            || results.len() != entry.results.len()
            || touched.into_iter().any(|&g| self.pointers[g].is_null())
        {
            return Err(Failure::internal(format!("the call of `{}`", entry.name)).into());
        }
        let mut cx = EntryCx {
            sizes: sizes.as_ptr(),
            args: args.as_ptr(),
            results: results.as_ptr(),
            globals: self.pointers.as_ptr(),
            arena: self.arena.pointer(),
            offsets: self.plans[e].offsets.as_ptr(),
            kept,
            fresh: i64::from(!self.kept[e].made),
            scratch: self.scratch.pointer(),
            pool: ptr::from_ref(&*self.pool).cast_mut().cast::<c_void>(),
            parallel_for: pool::parallel_for,
            seed: at.seed,
            step: at.step,
            epoch: at.epoch,
            total_steps: at.total_steps,
            done: at.done,
            fault_index: -1,
            fault_element: 0,
            fault_value: 0,
        };
        // SAFETY: there are as many entries as the metadata has.
        let entry_fn = unsafe { *self.code.entries.add(e) };
        // SAFETY: args and results by the caller; globals that it touches have memory of their size,
        // the arena that of the plan, scratch that of all workers.
        let status = unsafe { entry_fn(&mut cx) };
        self.kept[e].made |= status == Status::Ok as i32;
        self.forget_kept(&entry.globals_written);
        if status == Status::Ok as i32 { Ok(()) } else { Err(call_error(self.meta, entry, sizes, status, &cx)) }
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Which globals weight files hold. Several trainings may have instances of one name: then a file holds what the
/// entries in use touch, and one tensor of each name.
fn filed(meta: &Meta, entries: &[usize]) -> Vec<bool> {
    let all = 0..meta.globals.len();
    if !meta.shares_names() {
        return vec![true; meta.globals.len()];
    }
    let in_use = |g: &usize| {
        entries
            .iter()
            .filter(|e| Some(**e) != meta.init)
            .map(|&e| &meta.entries[e])
            .any(|entry| entry.globals_read.contains(g) || entry.globals_written.contains(g))
    };
    let any = all.clone().any(|g| in_use(&g));
    let mut seen = BTreeSet::new();
    all.map(|g| (!any || in_use(&g)) && seen.insert(meta.globals[g].file_path.as_str())).collect()
}

/// Bytes of global `g`.
fn global_bytes(meta: &Meta, g: usize) -> Result<usize> {
    let global = &meta.globals[g];
    crate::tensor::bytes_of(global.dtype, &global.shape)
        .ok_or_else(|| Failure::internal(format!("the size of `{}`", global.path)))
}

/// `for B = 32`
fn sizes_text(meta: &Meta, entry: &Entry, sizes: &[i64]) -> String {
    let mut symbols: Vec<usize> = entry.symbols.iter().map(|s| s.symbol).collect();
    order::sort(&mut symbols);
    symbols.dedup();
    let parts: Vec<String> =
        symbols.iter().filter_map(|&s| Some(format!("{} = {}", meta.symbols.get(s)?, sizes.get(s)?))).collect();
    if parts.is_empty() { String::new() } else { format!("for {}", parts.join(", ")) }
}

fn call_error(meta: &Meta, entry: &Entry, sizes: &[i64], status: i32, cx: &EntryCx) -> CallError {
    let index = usize::try_from(cx.fault_index).ok();
    let sized = sizes_text(meta, entry, sizes);
    if status == Status::Fault as i32 {
        let fault = index.and_then(|i| entry.faults.get(i));
        if let Some(fault) = fault.filter(|fault| fault.checked == Checked::Status) {
            return status_failure(fault, cx.fault_element).into();
        }
        return CallError {
            failure: fault_failure(fault, sizes, cx),
            bad_index: Some((cx.fault_element, cx.fault_value)),
        };
    }
    let failure = if status == Status::Size as i32 {
        let text = index.and_then(|i| entry.checks.get(i)).map_or("a condition on the sizes", |text| text);
        let failure = Failure::data(INPUT, format!("sizes don't fit `{}`: {text}", entry.name));
        if sized.is_empty() { failure } else { failure.note(format!("it was called {sized}")) }
    } else if status == Status::Level as i32 {
        Failure::plain("the processor lacks what this program was compiled for")
    } else if status == Status::Range as i32 {
        Failure::data(INPUT, format!("a size is out of range for `{}`", entry.name)).note(sized)
    } else {
        Failure::internal(format!("`{}` returned status {status}", entry.name))
    };
    failure.into()
}

/// A C function says that something went wrong; what its numbers mean is its own affair.
fn status_failure(fault: &crate::meta::Fault, status: i64) -> Failure {
    Failure::data(FOREIGN, format!("the C function `{}` returned {status}", fault.text))
        .or_at(&fault.place)
        .note("anything but 0 is an error; no weight and no state was changed")
}

fn fault_failure(fault: Option<&crate::meta::Fault>, sizes: &[i64], cx: &EntryCx) -> Failure {
    // The index itself is not kept where it is one of a pass of a loop.
    let index = match cx.fault_value {
        i64::MIN => "an index".to_string(),
        value => format!("index {value}"),
    };
    let Some(fault) = fault else {
        return Failure::data(INDEX, format!("{index} is out of range"));
    };
    let range = fault.bound.eval(sizes).map_or_else(
        || format!("must be at least 0 and less than {}", fault.bound.text),
        |bound| format!("must be from 0 to {}", bound.saturating_sub(1)),
    );
    let what = match fault.checked {
        Checked::Index | Checked::Status => index,
        Checked::Length => format!("length {}", cx.fault_value),
    };
    let failure = Failure::data(INDEX, format!("{what} is out of range: {range}")).or_at(&fault.place);
    if fault.text.is_empty() { failure } else { failure.note(fault.text.clone()) }
}
