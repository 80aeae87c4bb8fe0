//! Measuring how kernels are best run.

use super::Session;
use crate::failure::Failure;
use crate::output;
use crate::tune::{self, On, Tuned, processor};
use mlc_resolve::program::Program;
use std::time::Instant;

impl Session {
    /// Measures how the kernels of a program are best run here on so many threads, and writes that beside the source.
    ///
    /// # Errors
    /// This processor can't run the level; the file can't be written.
    pub fn tune(&mut self, program: &Program, threads: usize) -> Result<Tuned, Failure> {
        let start = Instant::now();
        let level = self.level();
        if !level.runs_here() {
            let text = format!("--tune measures on this processor, which can't run {}", level.name());
            return Err(Failure::Usage(text));
        }
        let graph = self.optimize(program);
        let here = processor::name();
        let machine = self.machine_of(level);
        let on = On { level, machine, symbols: &graph.symbols, processor: Some(&here) };
        let mut table = self.tuning.table.clone().without(&here, level);
        // First values are made once.
        let inits: Vec<usize> =
            [program.init].into_iter().chain(program.sessions.iter().map(|session| session.init)).collect();
        let entries: Vec<usize> = (0..graph.entries.len()).filter(|entry| !inits.contains(entry)).collect();
        let tuned = tune::search((&graph, &entries), &on, &self.codegen_options(), threads, &mut table)?;
        let name = self.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        output::write(&tune::file::path_of(&self.path), tune::file::text(&table, &name).as_bytes())?;
        self.tuning.table = table;
        self.timings.add("tune", start.elapsed());
        Ok(tuned)
    }

    /// What to know where there are measurements, but none of this processor.
    pub fn tuning_remark(&self) -> Option<String> {
        self.options.levels.iter().rev().find_map(|level| self.tuning.remark(*level))
    }
}
