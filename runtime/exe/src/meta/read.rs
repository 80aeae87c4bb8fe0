//! Reading the metadata. Every number in it is checked, so that the rest of the runtime may index by it.

use super::{
    Action, Checked, Combine, Entry, Evaluation, Every, Fault, Function, Global, Kept, Kind, Length, Load, Meta,
    Period, Pipeline, Port, SessionState, SessionUse, Solve, Stage, Tally, Tokens, Train,
};
use crate::dim::Dim;
use crate::dtype::Dtype;
use crate::error::{Failure, Result};
use crate::json::Value;
use mlc_rt_core::abi::{ABI_VERSION, Program};
use std::ops::RangeInclusive;

impl Meta {
    /// Reads the metadata of a program and checks all numbers in it.
    ///
    /// # Safety
    ///
    /// `program`'s pointers and lengths must be right.
    pub unsafe fn of(program: &Program) -> Result<Self> {
        if program.abi != ABI_VERSION {
            return Err(damaged(&format!("version {} of the interface, this is {ABI_VERSION}", program.abi)));
        }
        // SAFETY: by this function's contract.
        let text = unsafe { std::slice::from_raw_parts(program.meta, program.meta_len) };
        let value = Value::parse(text).map_err(|e| damaged(&format!("{} at byte {}", e.what, e.at)))?;
        let meta = Self::read(&Reader { value: &value, path: "" })?;
        if meta.entries.len() != program.entry_count as usize {
            return Err(damaged("the number of entries"));
        }
        Ok(meta)
    }

    fn read(r: &Reader<'_>) -> Result<Self> {
        let symbols = r.list("symbols", |s| s.text())?;
        let globals = r.list("globals", global)?;
        let entries = r.list("entries", |e| entry(e, &symbols, globals.len()))?;
        let known = entries.len();
        let sessions = r.list_or_none("sessions", |s| session(s, &symbols, &globals, known))?;
        let uses = entries.iter().flat_map(|e| &e.sessions);
        if uses.into_iter().any(|u| u.session >= sessions.len()) {
            return Err(damaged("`sessions`"));
        }
        let meta = Self {
            mlc: r.field("mlc")?.text()?,
            name: r.field("name")?.text()?,
            source: r.field("source")?.text()?,
            source_hash: r.field("source_hash")?.text()?,
            near: r.field("near")?.size()?,
            functions: r.list("functions", |f| function(f, &entries))?,
            not_exported: r
                .list_or_none("not_exported", |f| Ok((f.field("name")?.text()?, f.field("reason")?.text()?)))?,
            init: r.optional("init").map(|i| i.field("entry")?.index(known)).transpose()?,
            trains: r.list("trains", |t| train(t, &symbols, &entries, &globals))?,
            symbols,
            globals,
            sessions,
            entries,
        };
        Ok(meta)
    }
}

fn damaged(what: &str) -> Failure {
    Failure::internal(format!("the program's description is damaged: {what}"))
}

/// A value and the key it stands under.
#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Value,
    path: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> Failure {
        damaged(&format!("`{}`", self.path))
    }

    fn field(&self, key: &'a str) -> Result<Self> {
        self.optional(key).ok_or_else(|| damaged(&format!("`{key}` is missing in `{}`", self.path)))
    }

    fn optional(&self, key: &'a str) -> Option<Self> {
        self.value.get(key).filter(|v| **v != Value::Null).map(|value| Self { value, path: key })
    }

    fn text(&self) -> Result<String> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong())
    }

    fn int(&self) -> Result<i64> {
        self.value.as_int().ok_or_else(|| self.wrong())
    }

    fn size(&self) -> Result<usize> {
        usize::try_from(self.int()?).map_err(|_| self.wrong())
    }

    fn float(&self, range: RangeInclusive<f64>) -> Result<f64> {
        let value = match self.value {
            Value::Float(value) => Some(*value),
            other => other.as_int().map(|value| value as f64),
        };
        value.filter(|value| range.contains(value)).ok_or_else(|| self.wrong())
    }

    fn index(&self, below: usize) -> Result<usize> {
        self.size().ok().filter(|&i| i < below).ok_or_else(|| self.wrong())
    }

    fn list<T>(&self, key: &'a str, item: impl Fn(&Self) -> Result<T>) -> Result<Vec<T>> {
        let field = self.field(key)?;
        let items = field.value.as_array().ok_or_else(|| field.wrong())?;
        items.iter().map(|value| item(&Self { value, path: key })).collect()
    }

    /// An empty list where the key is missing.
    fn list_or_none<T>(&self, key: &'a str, item: impl Fn(&Self) -> Result<T>) -> Result<Vec<T>> {
        match self.optional(key) {
            Some(_) => self.list(key, item),
            None => Ok(Vec::new()),
        }
    }

    fn optional_int(&self, key: &'a str) -> Result<Option<i64>> {
        self.optional(key).map(|v| v.int()).transpose()
    }

    fn optional_index(&self, key: &'a str, below: usize) -> Result<Option<usize>> {
        self.optional(key).map(|v| v.index(below)).transpose()
    }

    fn dtype(&self) -> Result<Dtype> {
        let field = self.field("dtype")?;
        Dtype::from_name(&field.text()?).ok_or_else(|| field.wrong())
    }

    fn dim(&self, symbols: &[String]) -> Result<Dim> {
        Dim::from_json(self.value, symbols).ok_or_else(|| self.wrong())
    }
}

fn global(r: &Reader<'_>) -> Result<Global> {
    let kind = r.field("kind")?;
    let shape: Vec<usize> = match kind.text()?.as_str() {
        "session" => Vec::new(),
        _ => r.list("shape", Reader::size)?,
    };
    let dtype = r.dtype()?;
    crate::tensor::bytes_of(dtype, &shape).ok_or_else(|| r.wrong())?;
    Ok(Global {
        path: r.field("path")?.text()?,
        file_path: r.field("file_path")?.text()?,
        kind: match kind.text()?.as_str() {
            "param" => Kind::Param,
            "state" => Kind::State,
            "optimizer" => Kind::Optimizer,
            "session" => Kind::Session,
            _ => return Err(kind.wrong()),
        },
        dtype,
        shape,
    })
}

fn session(r: &Reader<'_>, symbols: &[String], globals: &[Global], entries: usize) -> Result<SessionState> {
    let global = r.field("global")?;
    let index = global.index(globals.len())?;
    if globals[index].kind != Kind::Session {
        return Err(global.wrong());
    }
    Ok(SessionState {
        global: index,
        shape: r.list("shape", |d| d.dim(symbols))?,
        init: r.field("init")?.index(entries)?,
    })
}

fn session_use(r: &Reader<'_>, symbols: &[String]) -> Result<SessionUse> {
    let size = |s: &Reader<'_>| Ok((s.field("symbol")?.index(symbols.len())?, s.field("size")?.dim(symbols)?));
    Ok(SessionUse { session: r.field("session")?.size()?, sizes: r.list("sizes", size)? })
}

fn port(r: &Reader<'_>, symbols: &[String]) -> Result<Port> {
    Ok(Port { name: r.field("name")?.text()?, dtype: r.dtype()?, shape: r.list("shape", |d| d.dim(symbols))? })
}

fn entry(r: &Reader<'_>, symbols: &[String], globals: usize) -> Result<Entry> {
    let args = r.list("args", |a| port(a, symbols))?;
    let solve = |s: &Reader<'_>| -> Result<Solve> {
        let arg = s.field("arg")?.index(args.len())?;
        let coef = s.field("coef")?;
        Ok(Solve {
            symbol: s.field("symbol")?.index(symbols.len())?,
            arg,
            axis: s.field("axis")?.index(args[arg].shape.len())?,
            coef: coef.int().ok().filter(|&c| c >= 1).ok_or_else(|| coef.wrong())?,
            offset: s.field("offset")?.int()?,
        })
    };
    let fault = |f: &Reader<'_>| -> Result<Fault> {
        Ok(Fault {
            checked: match f.optional("checked").map(|c| c.text()).transpose()?.as_deref() {
                None | Some("index") => Checked::Index,
                Some("length") => Checked::Length,
                Some("status") => Checked::Status,
                Some(_) => return Err(f.wrong()),
            },
            place: f.field("place")?.text()?,
            text: f.field("text")?.text()?,
            bound: f.field("bound")?.dim(symbols)?,
        })
    };
    Ok(Entry {
        name: r.field("name")?.text()?,
        results: r.list("results", |a| port(a, symbols))?,
        symbols: r.list("symbols", solve)?,
        checks: r.list("checks", Reader::text)?,
        faults: r.list("faults", fault)?,
        globals_read: r.list("globals_read", |g| g.index(globals))?,
        globals_written: r.list("globals_written", |g| g.index(globals))?,
        sessions: r.list_or_none("sessions", |s| session_use(s, symbols))?,
        buffers: r.field("buffers")?.size()?,
        arena: r.field("arena")?.text()?,
        kept: kept(&r.field("kept")?, globals)?,
        max_memory: r.optional("max_memory").map(|m| m.size()).transpose()?,
        flops: r.optional("flops").map(|d| d.dim(symbols)).transpose()?,
        args,
    })
}

fn kept(r: &Reader<'_>, globals: usize) -> Result<Kept> {
    Ok(Kept { bytes: r.field("bytes")?.size()?, of: r.list("of", |g| g.index(globals))? })
}

fn function(r: &Reader<'_>, entries: &[Entry]) -> Result<Function> {
    let entry = r.field("entry")?.index(entries.len())?;
    let results = &entries[entry].results;
    let length = |l: &Reader<'_>| -> Result<Length> {
        let (result, value) = (l.field("result")?.index(results.len())?, l.field("value")?.index(results.len())?);
        let is_scalar = results[value].shape.is_empty() && results[value].dtype == Dtype::I32;
        if !is_scalar || result >= value {
            return Err(l.wrong());
        }
        let axis = l.field("axis")?.index(results[result].shape.len())?;
        Ok(Length { name: l.field("name")?.text()?, result, axis, value })
    };
    Ok(Function {
        name: r.field("name")?.text()?,
        model: r.optional("model").map(|m| m.text()).transpose()?.unwrap_or_default(),
        lengths: r.list_or_none("lengths", length)?,
        entry,
    })
}

fn tally(r: &Reader<'_>, entries: usize) -> Result<Tally> {
    let combine = |a: &Reader<'_>| -> Result<Combine> {
        let field = a.field("combine")?;
        match field.text()?.as_str() {
            "sum" => Ok(Combine::Sum),
            "prod" => Ok(Combine::Prod),
            "max" => Ok(Combine::Max),
            "min" => Ok(Combine::Min),
            _ => Err(field.wrong()),
        }
    };
    Ok(Tally { accumulands: r.list("accumulands", combine)?, finish: r.field("finish")?.index(entries)? })
}

fn evaluation(r: &Reader<'_>, entries: usize) -> Result<Evaluation> {
    Ok(Evaluation { entry: r.field("entry")?.index(entries)?, tally: tally(&r.field("tally")?, entries)? })
}

fn train(r: &Reader<'_>, symbols: &[String], entries: &[Entry], globals: &[Global]) -> Result<Train> {
    let known = entries.len();
    let train = Train {
        name: r.field("name")?.text()?,
        seed: r.optional_int("seed")?.unwrap_or(0),
        epochs: r.optional_int("epochs")?,
        steps: r.optional_int("steps")?,
        batch: r.optional_int("batch")?,
        step: r.field("step")?.index(known)?,
        batches: r.optional_int("batches")?.unwrap_or(1).max(1),
        accumulate: r.optional_index("accumulate", known)?,
        tally: tally(&r.field("tally")?, known)?,
        eval: evaluation(&r.field("eval")?, known)?,
        grads: r.optional_index("grads", known)?,
        metrics: r.list("metrics", Reader::text)?,
        columns: r.list("columns", |c| port(c, symbols))?,
        trained: r.list("trained", |g| g.index(globals.len()))?,
        loads: r.list_or_none("loads", |l| load(l, globals.len()))?,
        pipelines: pipelines(r)?,
        every: r.list("every", |e| every(e, entries))?,
    };
    check_train(&train, entries, globals, r)?;
    Ok(train)
}

fn load(r: &Reader<'_>, globals: usize) -> Result<Load> {
    let tensor = |t: &Reader<'_>| Ok((t.field("global")?.index(globals)?, t.field("name")?.text()?));
    Ok(Load {
        path: r.field("path")?.text()?,
        binding: r.field("binding")?.text()?,
        tensors: r.list("tensors", tensor)?,
    })
}

/// The entries of a train block must take and return what the driver hands them.
fn check_train(train: &Train, entries: &[Entry], globals: &[Global], r: &Reader<'_>) -> Result<()> {
    let scalars = |ports: &[Port]| ports.iter().all(|p| p.shape.is_empty() && p.dtype.bytes() >= 4);
    let wide = |ports: &[Port]| scalars(ports) && ports.iter().all(|p| p.dtype == Dtype::F64);
    let takes_columns = |entry: &Entry| entry.args.len() == train.columns.len();
    let reports_fit = |entry: usize, tally: &Tally| {
        let (entry, finish, sums) = (&entries[entry], &entries[tally.finish], tally.accumulands.len());
        takes_columns(entry)
            && entry.results.len() == sums
            && scalars(&entry.results)
            && finish.args.len() == sums
            && wide(&finish.args)
            && finish.results.len() == train.metrics.len()
            && scalars(&finish.results)
    };
    let steps_fit = std::iter::once(train.step).chain(train.accumulate).all(|e| reports_fit(e, &train.tally));
    let others = train.every.iter().flat_map(|e| &e.actions).filter_map(|action| match action {
        Action::Evaluate { other, .. } => other.as_ref(),
        _ => None,
    });
    let evaluations_fit = std::iter::once(&train.eval).chain(others).all(|eval| reports_fit(eval.entry, &eval.tally));
    let is_gradient = |(port, global): (&Port, &usize)| {
        let global = &globals[*global];
        let shape = port.shape.iter().map(|size| size.eval(&[]).and_then(|size| usize::try_from(size).ok()));
        port.name == global.path && port.dtype == global.dtype && shape.eq(global.shape.iter().map(|size| Some(*size)))
    };
    let grads_fit = train.grads.map(|e| &entries[e]).is_none_or(|entry| {
        takes_columns(entry)
            && entry.results.len() == train.trained.len()
            && entry.results.iter().zip(&train.trained).all(is_gradient)
    });
    let every_fits = train
        .every
        .iter()
        .filter_map(|e| e.entry)
        .map(|e| &entries[e])
        .all(|e| wide(&e.args) && e.args.len() <= train.metrics.len());
    if steps_fit && evaluations_fit && grads_fit && every_fits { Ok(()) } else { Err(r.wrong()) }
}

/// Those under `pipelines`, and `data` and `valid` if they stand only beside it.
fn pipelines(r: &Reader<'_>) -> Result<Vec<(String, Pipeline)>> {
    let mut all = Vec::new();
    if let Some(Reader { value: Value::Object(fields), .. }) = r.optional("pipelines") {
        for (name, value) in fields.iter().filter(|(_, v)| *v != Value::Null) {
            all.push((name.clone(), pipeline(&Reader { value, path: name })?));
        }
    }
    for name in ["data", "valid"] {
        if let Some(value) = r.optional(name).filter(|_| all.iter().all(|(n, _)| n != name)) {
            all.push((name.to_owned(), pipeline(&value)?));
        }
    }
    Ok(all)
}

fn pipeline(r: &Reader<'_>) -> Result<Pipeline> {
    Ok(Pipeline { stages: r.list("stages", stage)?, place: r.field("place")?.text()? })
}

fn stage(r: &Reader<'_>) -> Result<Stage> {
    let positive = |key| -> Result<usize> {
        let field = r.field(key)?;
        field.size().ok().filter(|&n| n >= 1).ok_or_else(|| field.wrong())
    };
    let text = |key| r.field(key)?.text();
    let flag = |key| r.optional(key).is_none_or(|l| *l.value != Value::Bool(false));
    Ok(match r.field("stage")?.text()?.as_str() {
        "idx" => Stage::Idx { prefix: text("prefix")?, labels: flag("labels") },
        "csv" => Stage::Csv { path: text("path")?, header: flag("header") },
        "arrays" => Stage::Arrays { path: text("path")? },
        "images" => Stage::Images { dir: text("dir")?, height: positive("height")?, width: positive("width")? },
        "text" => Stage::Text { path: text("path")?, tokens: tokens(r)?, window: positive("window")? },
        "pairs" => Stage::Pairs { path: text("path")?, vocab: text("vocab")?, buckets: buckets(r)? },
        "split" => Stage::Split(r.field("part")?.float(0.0..=1.0)?),
        "rest" => Stage::Rest(r.field("part")?.float(0.0..=1.0)?),
        "rename" => Stage::Rename(r.list("names", pair)?),
        "augment" => Stage::Augment {
            flip: flag("flip"),
            crop: r.field("crop")?.float(0.0..=0.9)?,
            rotate: r.field("rotate")?.float(0.0..=180.0)?,
        },
        "resize" => Stage::Resize { height: positive("height")?, width: positive("width")? },
        "shuffle" => Stage::Shuffle { buffer: positive("buffer")? },
        "take" => Stage::Take(r.field("n")?.size()?),
        "skip" => Stage::Skip(r.field("n")?.size()?),
        "batch" => Stage::Batch(positive("n")?),
        other => Stage::Unknown(other.to_owned()),
    })
}

fn tokens(r: &Reader<'_>) -> Result<Tokens> {
    let kind = r.field("tokens")?;
    match kind.text()?.as_str() {
        "chars" => Ok(Tokens::Chars),
        "bytes" => Ok(Tokens::Bytes),
        "list" => Ok(Tokens::List(r.field("vocab")?.text()?)),
        _ => Err(kind.wrong()),
    }
}

fn buckets(r: &Reader<'_>) -> Result<Vec<usize>> {
    let sizes: Vec<usize> = r.list("buckets", Reader::size)?;
    let rising = sizes.windows(2).all(|pair| pair[0] < pair[1]);
    if rising && sizes.first().is_some_and(|&size| size >= 1) { Ok(sizes) } else { Err(r.wrong()) }
}

fn pair(r: &Reader<'_>) -> Result<(String, String)> {
    match r.value.as_array() {
        Some([new, old]) => match (new.as_str(), old.as_str()) {
            (Some(new), Some(old)) => Ok((new.to_owned(), old.to_owned())),
            _ => Err(r.wrong()),
        },
        _ => Err(r.wrong()),
    }
}

const FINITE: RangeInclusive<f64> = f64::MIN..=f64::MAX;

fn every(r: &Reader<'_>, entries: &[Entry]) -> Result<Every> {
    let period = r.field("period")?;
    let count = r.field("count")?;
    let entry = r.optional_index("entry", entries.len())?;
    let results = entry.map_or(&[][..], |e| &entries[e].results);
    Ok(Every {
        count: count.int().ok().filter(|&n| n >= 1).ok_or_else(|| count.wrong())?,
        period: match period.text()?.as_str() {
            "epochs" | "epoch" => Period::Epochs,
            "steps" | "step" => Period::Steps,
            _ => return Err(period.wrong()),
        },
        entry,
        actions: r.list("actions", |a| action(a, results, entries.len()))?,
    })
}

fn action(r: &Reader<'_>, results: &[Port], entries: usize) -> Result<Action> {
    let what = r.field("do")?;
    let values = results.len();
    let scalar = |r: &Reader<'_>| -> Result<usize> {
        let field = r.field("value")?;
        field.index(values).and_then(|i| if results[i].shape.is_empty() { Ok(i) } else { Err(field.wrong()) })
    };
    Ok(match what.text()?.as_str() {
        "evaluate" => {
            let other = r.optional("other").map(|other| evaluation(&other, entries)).transpose()?;
            Action::Evaluate { pipeline: r.field("pipeline")?.text()?, other }
        }
        "when" => Action::When {
            value: scalar(r)?,
            holds: *r.field("holds")?.value == Value::Bool(true),
            count: r.field("count")?.size()?,
        },
        "save_images" => {
            let field = r.field("value")?;
            let value = field.index(values)?;
            if results[value].dtype != Dtype::F32 || results[value].shape.len() != 4 {
                return Err(field.wrong());
            }
            let range = (r.field("low")?.float(FINITE)?, r.field("high")?.float(FINITE)?);
            Action::SaveImages { dir: r.field("dir")?.text()?, value, range }
        }
        "report" => Action::Report { values: r.list("values", |v| Ok((v.field("name")?.text()?, scalar(v)?)))? },
        "print" => Action::Print { text: r.field("text")?.text()?, value: r.optional_index("value", values)? },
        "stop" => Action::Stop,
        "save" => Action::Save {
            dir: r.field("dir")?.text()?,
            keep: r.optional_int("keep")?,
            best: r.optional_index("best", values)?,
        },
        "early_stop" => Action::EarlyStop { value: scalar(r)?, patience: r.field("patience")?.int()? },
        _ => return Err(what.wrong()),
    })
}
