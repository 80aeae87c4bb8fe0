//! Loops whose iterations go through rows that don't meet, as a recurrent cell goes through the examples
//! of a batch: they can be run band by band ([`crate::program::Bands`]).

use super::cells::{Cells, Key, View};
use super::copies::{End, Move};
use super::homes::Homes;
use super::scope::Pending;
use super::timeline::{Moment, Timeline};
use crate::program::{Place, RunIndex};
use crate::rows;
use crate::to_lane::FrameWord;
use mlc_ir::dim::{Dim, Sym};
use mlc_ir::region_ops::Trip;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The loops that can be run in bands.
#[derive(Default)]
pub(super) struct Bands {
    /// In the order of their moments.
    pub list: Vec<Band>,
}

/// A loop that can be run in bands.
pub(super) struct Band {
    /// The scope of its body.
    pub body: usize,
    /// What counts the rows.
    pub rows: Sym,
    /// Estimated work of the kernel with the most.
    pub work: Dim,
    /// What is done in bands.
    moments: RangeInclusive<usize>,
    /// Bytes from a row to the next in each word of a kernel's frame, by its moment.
    strides: BTreeMap<usize, Vec<Option<i64>>>,
}

impl Bands {
    /// Looks at loops from the outermost in; `copies` are those of each moment.
    pub fn new(cells: &mut Cells<'_>, time: &Timeline, homes: &Homes, copies: &[Vec<Move>]) -> Bands {
        let mut bands = Bands::default();
        let scopes = cells.scopes;
        for body in 1..scopes.list.len() {
            if bands.list.iter().any(|band| scopes.is_within(body, band.body)) {
                continue;
            }
            let moments = time.marks[body].head..=time.marks[body].turn;
            let Some(rows) = moments.clone().find_map(|at| symbol(cells, time.moments[at])) else { continue };
            let mut check = Check { homes, rows, uses: BTreeMap::new(), strides: BTreeMap::new() };
            if check.all(cells, time, moments.clone(), copies) {
                let work = most_work(cells, time, moments.clone());
                bands.list.push(Band { body, rows, work, moments, strides: check.strides });
            }
        }
        bands.list.sort_by_key(|band| *band.moments.start());
        bands
    }

    /// The band that a moment belongs to.
    pub fn at(&self, moment: usize) -> Option<&Band> {
        self.list.iter().find(|band| band.moments.contains(&moment))
    }

    /// Stretches of moments in which no two values may share memory, since bands are at different ones.
    pub fn stretches(&self) -> impl Iterator<Item = &RangeInclusive<usize>> {
        self.list.iter().map(|band| &band.moments)
    }
}

impl Band {
    /// The place of a band's first row, for a word of the frame of the kernel at a moment.
    pub fn word(&self, moment: usize, word: usize, place: Place) -> Place {
        match self.strides.get(&moment).and_then(|strides| strides[word]) {
            Some(stride) => place.plus(RunIndex::Row, Dim::from(stride)),
            None => place,
        }
    }

    /// The place of a band's first row of what a copy takes `bytes` of for all rows.
    pub fn part(&self, bytes: &Dim, place: Place) -> Place {
        match stride(bytes, self.rows) {
            Some(stride) => place.plus(RunIndex::Row, Dim::from(stride)),
            None => place,
        }
    }

    /// A size for the rows of a band alone.
    pub fn size(&self, dim: &Dim, band_rows: Sym) -> Dim {
        super::checked(dim.substitute(&|sym| (sym == self.rows).then(|| Dim::from(band_rows))))
    }
}

fn pending<'a>(cells: &Cells<'a>, moment: Moment) -> Option<(&'a Pending, usize, usize)> {
    let Moment::Kernel { scope, group, at, home } = moment else { return None };
    Some((&cells.scopes.list[scope].groups[group][at], scope, home))
}

/// What counts the rows of the kernel at a moment.
fn symbol(cells: &Cells<'_>, moment: Moment) -> Option<Sym> {
    rows::symbol(&pending(cells, moment)?.0.nest)
}

/// The most that a kernel does; sizes are compared as if each symbol were large.
fn most_work(cells: &Cells<'_>, time: &Timeline, moments: RangeInclusive<usize>) -> Dim {
    let works = moments.filter_map(|at| pending(cells, time.moments[at])).map(|(pending, ..)| pending.work());
    let large = |work: &Dim| work.eval(&[LARGE; 64]).unwrap_or(i64::MAX);
    works.max_by_key(large).unwrap_or_else(Dim::zero)
}

/// A number of examples.
const LARGE: i64 = 64;

/// `c` of `c · rows`.
fn stride(bytes: &Dim, rows: Sym) -> Option<i64> {
    bytes.linear().filter(|(_, sym, constant)| *sym == rows && *constant == 0).map(|(coef, ..)| coef)
}

/// How the memory of a class of cells is used in a loop.
#[derive(Default)]
struct Use {
    /// Bytes from a row to the next, of all accesses; `None`: they are the same for all rows.
    strides: Vec<Option<i64>>,
    written: bool,
    /// Whether some row's accesses go beyond it.
    beyond: bool,
}

/// The test of a loop.
struct Check<'a> {
    homes: &'a Homes,
    rows: Sym,
    /// By where the memory is.
    uses: BTreeMap<usize, Use>,
    strides: BTreeMap<usize, Vec<Option<i64>>>,
}

impl Check<'_> {
    /// Whether each row is computed from itself, and from what no row changes.
    fn all(
        &mut self,
        cells: &mut Cells<'_>,
        time: &Timeline,
        moments: RangeInclusive<usize>,
        copies: &[Vec<Move>],
    ) -> bool {
        let each = moments
            .clone()
            .all(|at| self.moment(cells, time.moments[at], at) && copies[at].iter().all(|copy| self.copy(cells, copy)));
        each && self.uses.values().all(|used| {
            let alike = used.strides.windows(2).all(|pair| pair[0] == pair[1]);
            !used.written || alike && used.strides[0].is_some() && !used.beyond
        })
    }

    fn moment(&mut self, cells: &mut Cells<'_>, moment: Moment, at: usize) -> bool {
        match moment {
            Moment::Kernel { .. } => self.kernel(cells, moment, at),
            Moment::Head(body) => {
                let op = cells.scopes.op(body);
                let exact = matches!(&op.trip, Trip::Exact(trip) if !rows::has(trip, self.rows));
                exact && !op.until && !op.has_count() && cells.find(Key::Position(body)).is_none()
            }
            Moment::Begin(_) | Moment::Save { .. } | Moment::Turn(_) | Moment::End(_) => true,
            Moment::Call { .. } | Moment::Renew { .. } | Moment::Fault(_) | Moment::Finish => false,
        }
    }

    fn kernel(&mut self, cells: &mut Cells<'_>, moment: Moment, at: usize) -> bool {
        let Some((pending, scope, home)) = pending(cells, moment) else { return false };
        let nest = &pending.nest;
        let Some(follows) = rows::follow(nest, self.rows) else { return false };
        for (number, (buffer, follows)) in nest.buffers.iter().zip(&follows).enumerate() {
            let written = nest.stores.iter().any(|store| store.buffer == number);
            let read = pending.reads.contains(&buffer.source);
            if written || read {
                let view = cells.buffer(scope, home, buffer);
                self.note(cells, &view, follows.stride, written, !follows.own);
            }
        }
        let of_word = |word: &FrameWord| match word {
            FrameWord::Size(_) => None,
            FrameWord::Buffer(source) => {
                let buffer = nest.buffers.iter().position(|buffer| buffer.source == *source);
                buffer.and_then(|buffer| follows[buffer].stride)
            }
        };
        self.strides.insert(at, pending.lowered.frame.iter().map(of_word).collect());
        true
    }

    fn copy(&mut self, cells: &mut Cells<'_>, copy: &Move) -> bool {
        let Some(stride) = stride(&copy.bytes, self.rows) else { return false };
        for (end, written) in [(&copy.from, false), (&copy.to, true)] {
            if let End::Cell(view) = end {
                self.note(cells, view, Some(stride), written, false);
            }
        }
        true
    }

    fn note(&mut self, cells: &Cells<'_>, view: &View, stride: Option<i64>, written: bool, beyond: bool) {
        let used = self.uses.entry(self.homes.spot(cells, view).0).or_default();
        used.strides.push(stride);
        used.written |= written;
        used.beyond |= beyond;
    }
}
