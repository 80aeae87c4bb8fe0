//! `docs/ops.md` says what the table says. `MLC_BLESS=1 cargo test -p mlc-ir --test reference` rewrites it.

use std::path::Path;

#[test]

fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ops.md");
    let page = mlc_ir::ops::reference::page();
    if std::env::var_os("MLC_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "docs/ops.md is out of date");
}
