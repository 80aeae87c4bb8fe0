//! The runtime without stack traces.
//!
//! The Rust library's own handler of panics can print a stack trace, and what reads debugging information for it is a
//! fifth of the runtime. Programs have a handler of their own, so it is never run, but a linker can't know. What would
//! print the trace is called from there alone: those calls are made to lead to a function that prints nothing, and
//! the linker drops the rest as unreached.

use object::LittleEndian;
use object::elf::{FileHeader64, Rela64, SHF_ALLOC, SHT_SYMTAB, STT_FUNC, STT_SECTION};
use object::read::SymbolIndex;
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use std::mem::size_of;

/// What prints nothing: `runtime/exe/src/product.rs`.
const NOTHING: &[u8] = b"mlc_no_stack_trace";

/// Part of the mangled name of what prints a trace: `fmt` of `std::sys::backtrace`'s `DisplayBacktrace`.
const TRACE: &[u8] = b"DisplayBacktrace";

/// Takes stack traces out of an archive of ELF objects; any other stays as it is, and so does one where a library
/// prints them otherwise.
pub fn leave_out(archive: &mut [u8]) {
    for (at, symbol) in redirected(archive).unwrap_or_default() {
        archive[at..at + size_of::<u32>()].copy_from_slice(&symbol.to_le_bytes());
    }
}

/// Places in an archive that hold the number of a relocation's symbol, with what they are to hold.
fn redirected(archive: &[u8]) -> object::read::Result<Vec<(usize, u32)>> {
    let mut found = Vec::new();
    for member in ArchiveFile::parse(archive)?.members() {
        let member = member?;
        let start = member.file_range().0 as usize;
        let data = member.data(archive)?;
        if let Ok(places) = in_object(data) {
            found.extend(places.into_iter().map(|(at, symbol)| (start + at, symbol)));
        }
    }
    Ok(found)
}

fn in_object(data: &[u8]) -> object::read::Result<Vec<(usize, u32)>> {
    let header = FileHeader64::<LittleEndian>::parse(data)?;
    let sections = header.sections(LittleEndian, data)?;
    let symbols = sections.symbols(LittleEndian, data, SHT_SYMTAB)?;
    let (mut trace, mut nothing) = (None, None);
    for (index, symbol) in symbols.enumerate().filter(|(_, symbol)| symbol.st_type() == STT_FUNC) {
        let name = symbols.symbol_name(LittleEndian, symbol)?;
        if name == NOTHING {
            nothing = Some(index.0 as u32);
        } else if is_trace(name) && symbol.st_value(LittleEndian) == 0 {
            trace = Some(symbol.st_shndx(LittleEndian));
        }
    }
    let (Some(trace), Some(nothing)) = (trace, nothing) else { return Ok(Vec::new()) };
    // The function is alone in its section, and also named by that.
    let is_of_trace = |index: u32| {
        symbols.symbol(SymbolIndex(index as usize)).is_ok_and(|symbol| {
            symbol.st_shndx(LittleEndian) == trace && matches!(symbol.st_type(), STT_FUNC | STT_SECTION)
        })
    };
    let mut found = Vec::new();
    for relocations in sections.iter() {
        let Some((entries, _)) = relocations.rela(LittleEndian, data)? else { continue };
        let patched = sections.section(relocations.info_link(LittleEndian))?;
        let tables = sections.section_name(LittleEndian, patched)?.starts_with(b".eh_frame");
        if patched.sh_flags(LittleEndian) & u64::from(SHF_ALLOC) == 0 || tables {
            continue;
        }
        let first = relocations.sh_offset(LittleEndian) as usize;
        let named = entries.iter().enumerate().filter(|(_, entry)| is_of_trace(entry.r_sym(LittleEndian, false)));
        found.extend(named.map(|(number, _)| (first + number * size_of::<Rela64<LittleEndian>>() + SYMBOL, nothing)));
    }
    Ok(found)
}

/// Where the number of its symbol is in an entry.
const SYMBOL: usize = 12;

fn is_trace(name: &[u8]) -> bool {
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    has(TRACE) && has(b"Display3fmt") || has(TRACE) && has(b"Display$GT$3fmt")
}
