//! Data sources and stages: known answers, messages, and damaged files.

#![expect(clippy::unwrap_used, reason = "a test may stop where it likes")]

#[path = "common/random.rs"]
mod random;

use mlc_rt_exe::data::augment::Augment;
use mlc_rt_exe::data::order::{Batch, batches, order};
use mlc_rt_exe::data::table::{Block, Table};
use mlc_rt_exe::data::vocabulary::Vocabulary;
use mlc_rt_exe::data::{Epoch, Wanted, arrays, csv, text, zip as own_zip};
use mlc_rt_exe::dtype::Dtype;
use mlc_rt_exe::mem::Aligned;
use mlc_rt_exe::meta::Stage;
use mlc_rt_exe::npy;
use mlc_rt_exe::tensor::Tensor;
use random::Random;
use std::io::Write;

fn wanted(name: &str, dtype: Dtype, row: &[Option<usize>]) -> Wanted {
    Wanted { name: name.to_owned(), dtype, row: row.to_vec() }
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    (0..tensor.shape.iter().product()).map(|i| tensor.number(i).unwrap()).collect()
}

fn ints(block: &Block, row: usize) -> Vec<i32> {
    block.bytes(row).as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

const IRIS: &str = "\u{feff}x0,x1,\"kind, of it\",label\r\n1.5,-2,a,0\r\n\r\n\" 3e2 \",.25,\"b\n\"\"q\"\"\",1\r\n";

#[test]
fn csv_reads_the_columns_that_are_asked_for() {
    let label = wanted("label", Dtype::I32, &[]);
    let read = csv::parse(IRIS.as_bytes(), "a.csv", true, &[label, wanted("x", Dtype::F32, &[Some(2)])]).unwrap();
    assert_eq!(read[0].1.shape, [2]);
    assert_eq!(floats(&read[0].1), [0.0, 1.0]);
    assert_eq!(read[1].1.shape, [2, 2]);
    assert_eq!(floats(&read[1].1), [1.5, -2.0, 300.0, 0.25]);
    let open = csv::parse(b"1,2,3\n4,5,6", "a.csv", false, &[wanted("x", Dtype::I64, &[None])]).unwrap();
    assert_eq!((open[0].1.shape.as_slice(), floats(&open[0].1)), (&[2, 3][..], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let last = csv::parse(b"1,2,3\n4,5,6\n", "a.csv", false, &[wanted("x2", Dtype::F64, &[])]).unwrap();
    assert_eq!(floats(&last[0].1), [3.0, 6.0]);
}

#[track_caller]
fn csv_fails(text: &[u8], column: Wanted, words: &[&str]) {
    let told = csv::parse(text, "a.csv", true, &[column]).unwrap_err().render();
    for word in words {
        assert!(told.contains(word), "`{word}` is not in:\n{told}");
    }
}

#[test]
fn csv_says_where_it_is_wrong() {
    let a = || wanted("a", Dtype::I32, &[]);
    csv_fails(b"a,b\n1,2\n3\n", a(), &["1 field instead of 2", "a.csv:3:1"]);
    csv_fails("ä,a\n1,2\nü,x\n".as_bytes(), a(), &["`x` is no number", "a.csv:3:3", "column `a`"]);
    csv_fails(b"a,b\n1.0,2\n", a(), &["1.0 is no whole number that fits into i32", "a.csv:2:1"]);
    csv_fails(b"a,b\n3000000000,2\n", a(), &["no whole number that fits into i32"]);
    csv_fails(b"a,b\n,2\n", a(), &["a number is missing", "a.csv:2:1"]);
    csv_fails(b"a,b\n1,2\n", wanted("c", Dtype::I32, &[]), &["no column `c`", "`a` and `b`"]);
    csv_fails(b"1,2\n3,4\n", a(), &["header: false"]);
    csv_fails(b"a,a\n1,2\n", a(), &["two columns `a`"]);
    csv_fails(b"a\n\"1\n2\n", a(), &["a quote isn't closed", "a.csv:2:1"]);
    csv_fails(b"a\n\"1\"2\n", a(), &["something follows the closing quote"]);
    csv_fails(b"a,b\n1,\xff\n", a(), &["isn't UTF-8", "0xff", "a.csv:2:3"]);
    csv_fails(b"a,b\n", a(), &["has no rows"]);
    csv_fails(b"", a(), &["has no rows"]);
    csv_fails(b"a\n1e39\n", wanted("a", Dtype::F32, &[]), &["doesn't fit into f32"]);
    csv_fails(b"a0,a1\n1,2\n", wanted("a", Dtype::F32, &[Some(3)]), &["no column `a2`"]);
    csv_fails(b"a\n1\n", wanted("a", Dtype::Bool, &[]), &["`a` is bool"]);
}

fn array(values: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    [npy::header(Dtype::F32, &[values.len()]).unwrap(), data].concat()
}

fn npz(method: zip::CompressionMethod, wide: bool) -> Vec<u8> {
    let mut file = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(wide);
    for (name, values) in [("a.npy", vec![1.0, 2.0, 3.0]), ("b.npy", vec![0.5; 2000])] {
        file.start_file(name, options).unwrap();
        file.write_all(&array(&values)).unwrap();
    }
    file.finish().unwrap().into_inner()
}

#[test]
fn npz_stored_deflated_and_wide() {
    let columns = [wanted("b", Dtype::F32, &[]), wanted("a", Dtype::F32, &[])];
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        for wide in [false, true] {
            let read = arrays::parse(&npz(method, wide), "a.npz", &columns).unwrap();
            assert_eq!(floats(&read[0].1), vec![0.5; 2000]);
            assert_eq!(floats(&read[1].1), [1.0, 2.0, 3.0]);
        }
    }
    let told = arrays::parse(&npz(zip::CompressionMethod::Stored, false), "a.npz", &[wanted("c", Dtype::F32, &[])]);
    assert!(told.unwrap_err().render().contains("its arrays are `a` and `b`"));
    let mut damaged = npz(zip::CompressionMethod::Stored, false);
    damaged[60] ^= 1;
    let told = arrays::parse(&damaged, "a.npz", &[wanted("a", Dtype::F32, &[])]).unwrap_err().render();
    assert!(told.contains("`a.npy` in `a.npz`") && told.contains("checksum"), "{told}");
}

#[test]
fn safetensors_as_arrays() {
    let header = r#"{"x":{"dtype":"I32","shape":[2,1],"data_offsets":[0,8]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[7, 0, 0, 0, 8, 0, 0, 0]].concat();
    let read = arrays::parse(&file, "a.safetensors", &[wanted("x", Dtype::F32, &[Some(1)])]).unwrap();
    assert_eq!((read[0].1.shape.as_slice(), floats(&read[0].1)), (&[2, 1][..], vec![7.0, 8.0]));
    let told = arrays::parse(&array(&[1.0]), "a.npy", &[]).unwrap_err().render();
    assert!(told.contains("--data COLUMN=FILE.npy"), "{told}");
}

#[track_caller]
fn encode(vocabulary: &Vocabulary, text: &str) -> Vec<i32> {
    let mut numbers = Vec::new();
    vocabulary.encode(text, &mut numbers).unwrap_or_else(|u| panic!("{u:?}"));
    numbers
}

#[test]
fn vocabularies() {
    let chars = Vocabulary::chars("hello wörld\n");
    assert_eq!(chars.size(), 10);
    assert_eq!(encode(&chars, "he ö\n"), [4, 3, 1, 9, 0]);
    assert_eq!(chars.decode([4, 3, 1, 9]), "he ö");
    let mut numbers = Vec::new();
    assert_eq!(chars.encode("heX", &mut numbers).unwrap_err().at, 2);
    let words = Vocabulary::list("the\ncat\nca\nt\n", "v.txt", true).unwrap();
    assert_eq!(encode(&words, "the  cat t\nca"), [3, 4, 6, 5], "the longest token wins, space is left out");
    assert_eq!(words.decode([1, 3, 4, 2, 5]), "the cat", "marks are left out, the end mark ends");
    let pieces = Vocabulary::list(" \na\nb\n\\n\n", "v.txt", false).unwrap();
    assert_eq!(encode(&pieces, "a b\n"), [1, 0, 2, 3]);
    assert_eq!(pieces.decode([1, 0, 2]), "a b");
    let unknown = Vocabulary::list("<unk>\nthe\n", "v.txt", true).unwrap();
    assert_eq!(encode(&unknown, "the dog the"), [4, 3, 4]);
    let bytes = Vocabulary::bytes();
    assert_eq!(bytes.decode(encode(&bytes, "é!")), "é!");
    for vocabulary in [chars, words, pieces, unknown, bytes] {
        assert_eq!(Vocabulary::from_text(&vocabulary.to_text()).unwrap(), vocabulary);
    }
    let told = |text: &str| Vocabulary::list(text, "v.txt", false).unwrap_err().render();
    assert!(told("a\n\nb").contains("v.txt:2"));
    assert!(told("a\nb\na").contains("in line 1 already"), "{}", told("a\nb\na"));
    assert!(told("a\n\\x").contains("v.txt:2"));
    assert!(told("").contains("0 tokens"));
}

#[test]
fn windows_of_a_text() {
    let file = "abcabcabca";
    let vocabulary = Vocabulary::chars(file);
    let table = text::windows(file.as_bytes(), "a.txt", &vocabulary, 4).unwrap();
    let (ids, gold) = (&table.column("ids").unwrap()[0], &table.column("gold").unwrap()[0]);
    assert_eq!((ids.rows, gold.rows), (2, 2));
    assert_eq!((ints(ids, 1), ints(gold, 1)), (vec![1, 2, 0, 1], vec![2, 0, 1, 2]));
    assert!(text::windows(b"abca", "a.txt", &vocabulary, 4).unwrap_err().render().contains("too few"));
    let told = text::windows(b"ab\ncxb", "a.txt", &Vocabulary::chars("abc\n"), 2).unwrap_err().render();
    assert!(told.contains("a.txt:2:2") && told.contains("`x`"), "{told}");
}

#[test]
fn pairs_are_padded_to_their_bucket() {
    let vocabulary = Vocabulary::list("a\nb\nc\n", "v.txt", true).unwrap();
    let file = "ab\tc\n\nabcab\tcc\nc\tabc\n";
    let table = text::pairs(file.as_bytes(), "p.tsv", &vocabulary, &[3, 5]).unwrap();
    let column = |name: &str| table.column(name).unwrap();
    assert_eq!(column("src").iter().map(|b| b.rows).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(table.places.as_ref().unwrap()[..], [(0, 0), (1, 0), (1, 1)]);
    assert_eq!(ints(&column("src")[0], 0), [3, 4, 0]);
    assert_eq!(ints(&column("tgt")[0], 0), [1, 5, 0]);
    assert_eq!(ints(&column("gold")[0], 0), [5, 2, 0]);
    assert_eq!(ints(&column("src")[1], 1), [5, 0, 0, 0, 0]);
    assert_eq!(ints(&column("tgt")[1], 1), [1, 3, 4, 5, 0]);
    assert_eq!(ints(&column("gold")[1], 1), [3, 4, 5, 2, 0]);
    let told = |file: &str| text::pairs(file.as_bytes(), "p.tsv", &vocabulary, &[3]).unwrap_err().render();
    assert!(told("a\tb\nabca\tb\n").contains("p.tsv:2"));
    assert!(told("ab\tabc\n").contains("needs 4 tokens, the largest bucket has 3"));
    assert!(told("a b\n").contains("divided by one tab"));
    assert!(told("a\tb\tc\n").contains("divided by one tab"));
    assert!(told("a\t \n").contains("empty"));
    assert!(told("a\txb\n").contains("p.tsv:1:3"), "{}", told("a\txb\n"));
    assert!(told("").contains("no rows"));
}

#[test]
fn split_and_rest_divide_the_rows() {
    let rows = |stages: &[Stage], seed| {
        let mut rows = Vec::new();
        order(stages, 10_000, seed, 0, &mut rows);
        rows
    };
    let (split, rest) = (rows(&[Stage::Split(0.9)], 1), rows(&[Stage::Rest(0.9)], 2));
    assert!((8_800..9_200).contains(&split.len()), "{}", split.len());
    let mut all = [split.clone(), rest].concat();
    all.sort_unstable();
    assert_eq!(all, (0..10_000).collect::<Vec<_>>());
    let mut shuffled = rows(&[Stage::Shuffle { buffer: 500 }, Stage::Split(0.9)], 3);
    assert_ne!(shuffled, split);
    shuffled.sort_unstable();
    assert_eq!(shuffled, split, "the same rows, whatever their order");
}

#[test]
fn batches_have_one_shape() {
    let mut rows = vec![5, 0, 3, 1, 4, 2];
    let made = batches(&mut rows, 2, 2, |row| row % 2);
    let batch = |start, rows, bucket| Batch { start, rows, bucket };
    assert_eq!(made, [batch(0, 2, 1), batch(2, 2, 0), batch(4, 1, 0), batch(5, 1, 1)]);
    assert_eq!(rows, [5, 3, 0, 4, 2, 1]);
    let mut rows = vec![4, 3, 2, 1, 0];
    assert_eq!(batches(&mut rows, 2, 1, |_| 0), [batch(0, 2, 0), batch(2, 2, 0), batch(4, 1, 0)]);
    assert_eq!(rows, [4, 3, 2, 1, 0]);
}

fn block(shape: &[usize], pixels: &[u8]) -> Block {
    Block::of(Tensor { dtype: Dtype::U8, shape: shape.to_vec(), data: Aligned::copy_of(pixels).unwrap() }).unwrap()
}

#[test]
fn augment_hangs_on_seed_epoch_and_row() {
    let epoch = |number| Epoch { seed: 3, number, training: true };
    let image = [1, 2, 3, 4, 5, 6];
    let rows = block(&[1, 2, 3, 1], &image);
    let mut flip = Augment::new(&rows, true, 0.0, 0.0).unwrap();
    let found: Vec<Vec<u8>> = (0..32).map(|row| flip.run(&image, epoch(0), row).to_vec()).collect();
    let mirrored = found.iter().filter(|found| found[..] == [3, 2, 1, 6, 5, 4]).count();
    assert!((8..24).contains(&mirrored), "{mirrored}");
    assert!(found.iter().all(|found| found[..] == image || found[..] == [3, 2, 1, 6, 5, 4]));
    let again: Vec<Vec<u8>> = (0..32).map(|row| flip.run(&image, epoch(0), row).to_vec()).collect();
    let later: Vec<Vec<u8>> = (0..32).map(|row| flip.run(&image, epoch(1), row).to_vec()).collect();
    assert!(found == again && found != later);
    // A slope stays a slope when a part of it is scaled up, and an even picture stays even.
    let slope: Vec<u8> = (0..16).flat_map(|_| (0..16).map(|x| x * 10)).collect();
    let mut crop = Augment::new(&block(&[1, 16, 16, 1], &slope), false, 0.5, 0.0).unwrap();
    for row in 0..20 {
        let found = crop.run(&slope, epoch(0), row).to_vec();
        let line = &found[..16];
        assert!(line.windows(2).all(|w| (4..=6).contains(&(w[1] as i32 - w[0] as i32))), "{line:?}");
        assert!(found.chunks(16).all(|other| other == line));
    }
    let mut turn = Augment::new(&block(&[1, 16, 16, 1], &[9; 256]), true, 0.2, 180.0).unwrap();
    assert!((0..20).all(|row| turn.run(&[9; 256], epoch(0), row) == [9; 256]));
    assert!(Augment::new(&block(&[1, 4], &[0; 4]), true, 0.0, 0.0).is_none());
}

#[test]
fn a_quarter_turn_turns_a_quarter() {
    // Of all angles up to 180 degrees, some row's is near 90: then what was above is at a side.
    let mut image = vec![0; 33 * 33];
    image[33 + 16] = 255;
    let mut turn = Augment::new(&block(&[1, 33, 33, 1], &image), false, 0.0, 180.0).unwrap();
    let found = (0..500).any(|row| {
        let out = turn.run(&image, Epoch { seed: 0, number: 0, training: true }, row);
        out[16 * 33 + 1] > 200 || out[16 * 33 + 31] > 200
    });
    assert!(found);
}

#[test]
fn damaged_files_never_panic() {
    let mut random = Random::new();
    let files = [
        IRIS.as_bytes().to_vec(),
        npz(zip::CompressionMethod::Stored, true),
        npz(zip::CompressionMethod::Deflated, false),
        "ab\tc\nabcab\tcc\nc\tabc\n".as_bytes().to_vec(),
        Vocabulary::list("the\ncat\n\\n\n", "v.txt", true).unwrap().to_text().into_bytes(),
    ];
    let vocabulary = Vocabulary::list("a\nb\nc\n", "v.txt", true).unwrap();
    let columns = [wanted("a", Dtype::F32, &[]), wanted("b", Dtype::F32, &[])];
    for _ in 0..4_000 {
        let [csv_file, stored, packed, pairs, vocabulary_file] = files.each_ref().map(|file| random.mutate(file));
        let _ =
            csv::parse(&csv_file, "a.csv", true, &[wanted("x", Dtype::F32, &[None]), wanted("label", Dtype::I32, &[])]);
        for bytes in [&stored, &packed] {
            let _ = arrays::parse(bytes, "a.npz", &columns);
            for entry in own_zip::entries(bytes).unwrap_or_default() {
                let _ = own_zip::read(bytes, &entry);
            }
        }
        if let Ok(Table { columns, places }) = text::pairs(&pairs, "p.tsv", &vocabulary, &[3, 8]) {
            assert!(columns.len() == 3 && places.is_some());
        }
        if let Ok(text) = std::str::from_utf8(&pairs) {
            let _ = text::windows(&pairs, "a.txt", &Vocabulary::chars(text), 3).map(|t| t.columns.len());
        }
        if let Some(found) = std::str::from_utf8(&vocabulary_file).ok().and_then(Vocabulary::from_text) {
            assert_eq!(Vocabulary::from_text(&found.to_text()).unwrap(), found);
        }
    }
}
