//! Readers of files from outside: known answers, and hostile bytes.

#![expect(clippy::unwrap_used, reason = "a test may stop where it likes")]

#[path = "common/random.rs"]
mod random;

use mlc_rt_core::json::Cursor;
use mlc_rt_core::safetensors::{Error, SafeTensors};
use mlc_rt_exe::data::{convert, idx, order, resize};
use mlc_rt_exe::dtype::Dtype;
use mlc_rt_exe::inflate::{crc32, gunzip};
use mlc_rt_exe::json::{Value, number};
use mlc_rt_exe::mem::Aligned;
use mlc_rt_exe::meta::Stage;
use mlc_rt_exe::npy;
use mlc_rt_exe::philox::philox;
use mlc_rt_exe::tensor::Tensor;
use random::Random;

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|i| i as u8));
    bytes
}

#[track_caller]
fn bad(header: &str, data: usize) -> Error {
    SafeTensors::parse(&safetensors(header, data)).expect_err(header)
}

#[test]
fn safetensors_finds_tensors() {
    let header = r#"{"__metadata__": {"a": "b"}, "x.\u0077": {"dtype": "F32", "shape": [2, 1], "data_offsets": [4, 12]},
        "y": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "e": {"shape": [0, 7], "dtype": "F64", "data_offsets": [4, 4]}}"#;
    let bytes = safetensors(header, 12);
    let file = SafeTensors::parse(&bytes).unwrap();
    assert_eq!(file.tensors().count(), 3);
    let x = file.find("x.w").unwrap().unwrap();
    assert_eq!((x.shape.dims(), x.data), (&[2, 1][..], &[4, 5, 6, 7, 8, 9, 10, 11][..]));
    assert!(file.find("z").unwrap().is_none());
    assert!(file.metadata("a").unwrap().is("b"));
}

#[test]
fn safetensors_refuses() {
    assert_eq!(SafeTensors::parse(&[1, 2, 3]).err(), Some(Error::Truncated));
    for length in [u64::MAX, u64::MAX - 7, 1 << 63] {
        assert_eq!(SafeTensors::parse(&length.to_le_bytes()).err(), Some(Error::HeaderTooLong));
    }
    assert_eq!(SafeTensors::parse(&9u64.to_le_bytes()).err(), Some(Error::Truncated));
    let one = |offsets: &str, shape: &str| {
        format!(r#"{{"a": {{"dtype": "U8", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    assert!(matches!(bad(&one("[0, 5]", "[5]"), 4), Error::Range { index: 0 }));
    assert!(matches!(bad(&one("[4, 0]", "[4]"), 4), Error::Range { index: 0 }));
    assert!(matches!(bad(&one("[18446744073709551615, 18446744073709551615]", "[0]"), 4), Error::Range { .. }));
    assert!(matches!(bad(&one("[0, 18446744073709551616]", "[4]"), 4), Error::Header(_)));
    assert!(matches!(bad(&one("[0, -1]", "[4]"), 4), Error::Header(_)));
    assert!(matches!(bad(&one("[0, 4.0]", "[4]"), 4), Error::Header(_)));
    assert!(matches!(bad(&one("[0, 4]", "[3]"), 4), Error::Size { index: 0 }));
    assert!(matches!(bad(&one("[0, 4]", "[4611686018427387904, 4, 4]"), 4), Error::Size { .. }));
    assert!(matches!(bad(&one("[0, 4]", "[1,1,1,1,1,1,1,1,4]"), 4), Error::Header(_)));
    assert!(matches!(bad(&one("[0, 4]", "[4]"), 5), Error::Layout));
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a": {{"dtype": "U8", "shape": [2], "data_offsets": {a}}}, "b": {{"dtype": "U8", "shape": [2], "data_offsets": {b}}}}}"#
        )
    };
    assert!(SafeTensors::parse(&safetensors(&two("[2, 4]", "[0, 2]"), 4)).is_ok());
    assert!(matches!(bad(&two("[0, 2]", "[1, 3]"), 3), Error::Layout));
    assert!(matches!(bad(&two("[0, 2]", "[0, 2]"), 2), Error::Layout));
    assert!(matches!(bad(&two("[0, 2]", "[3, 5]"), 5), Error::Layout));
    assert!(matches!(bad(r#"{"a": {"dtype": "U8", "shape": [0]}}"#, 0), Error::Entry { index: 0 }));
    assert!(matches!(bad("[]", 0), Error::Header(_)));
    assert!(matches!(bad("{} x", 0), Error::Header(_)));
    let twins = safetensors(&two("[0, 2]", "[2, 4]").replace("\"b\"", "\"a\""), 4);
    assert_eq!(SafeTensors::parse(&twins).unwrap().find("a").err(), Some(Error::Duplicate));
}

#[test]
fn json_is_strict() {
    for good in
        ["null", " [1, 2.5e3, -0] ", r#"{"a": {"b": []}, "c": "\ud83d\ude00\n"}"#, "1e-400", "18446744073709551615"]
    {
        assert!(Value::parse(good.as_bytes()).is_ok(), "{good}");
    }
    let wrong = [
        "",
        "nul",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e999",
        "-",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\u{1}\"",
        "\"open",
        "[1 2]",
        "{\"a\" 1}",
        "[] []",
        "{\"a\":1,\"a\":2}",
        "\"\\u12\"",
        "[",
        "{",
        "NaN",
        "Infinity",
    ];
    for text in wrong {
        assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Value::parse(&[b'"', 0xff, b'"']).is_err());
    assert!(Value::parse("[".repeat(100_000).as_bytes()).is_err());
    assert!(Cursor::new("{\"a\":".repeat(100_000).as_bytes()).skip().is_err());
    assert_eq!(Value::parse(br#""\ud83d\ude00\u00e9""#), Ok(Value::Str("\u{1f600}\u{e9}".to_owned())));
}

#[test]
fn numbers_are_written_short() {
    let cases = [
        (0.1f32 as f64, "0.1"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
        (1.0, "1"),
        (1e-7f32 as f64, "1e-7"),
        (0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e300"),
    ];
    for (x, text) in cases {
        assert_eq!(number(x), text);
        assert!(Value::parse(text.as_bytes()).is_ok());
    }
    assert_eq!(Value::from("a\"\\\n\u{1}").line(), r#""a\"\\\n\u0001""#);
}

#[test]
fn npy_round_trip_and_orders() {
    for shape in [&[][..], &[3], &[2, 3], &[1, 2, 1, 2]] {
        let count: usize = shape.iter().product();
        let mut bytes = npy::header(Dtype::I32, shape).unwrap();
        assert_eq!(bytes.len() % 64, 0);
        bytes.extend((0..count as i32).flat_map(i32::to_le_bytes));
        let tensor = npy::parse(&bytes).unwrap();
        assert_eq!((tensor.dtype, &tensor.shape[..]), (Dtype::I32, shape));
        assert_eq!(tensor.int(count - 1), Some(count as i64 - 1));
    }
    let header = String::from_utf8(npy::header(Dtype::U8, &[3]).unwrap().split_off(10)).unwrap();
    assert!(header.starts_with("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"), "{header}");
    let fortran = file(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", &[0, 3, 1, 4, 2, 5]);
    assert_eq!(&*npy::parse(&fortran).unwrap().data, &[0, 1, 2, 3, 4, 5]);
    for version in [2, 3] {
        assert!(
            npy::parse(&file(version, "{\"shape\": (1,), \"fortran_order\":False,\"descr\":\"<f8\"}", &[0; 8])).is_ok()
        );
    }
}

fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    let length = (header.len() as u32).to_le_bytes();
    bytes.extend(&length[..if version == 1 { 2 } else { 4 }]);
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn npy_refuses() {
    let cases = [
        ("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "big-endian"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "elements of type `<c8`"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "structured"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "cut off"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", "too long"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615,), }", "beyond any memory"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }", "beyond any memory"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,), }", "damaged"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "damaged"),
        ("{'descr': '<f4', 'fortran_order': False, }", "damaged"),
        ("{'descr': '<f4', 'fortran_order': No, 'shape': (1,), }", "damaged"),
        ("{'descr': '<f4", "damaged"),
        ("", "damaged"),
        ("{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }", "neither 0 nor 1"),
    ];
    for (header, text) in cases {
        let error = npy::parse(&file(1, header, &[7; 4])).expect_err(header);
        assert!(error.contains(text), "{header}: {error}");
    }
    assert!(npy::parse(&file(4, "{}", &[])).is_err());
    assert!(npy::parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").is_err());
}

#[test]
fn idx_refuses() {
    assert!(idx::parse(&[0, 0, 8, 1, 0, 0, 0, 2, 5, 6], 1).is_ok());
    let cases: [(&[u8], &str); 6] = [
        (&[0, 0, 8], "cut off"),
        (&[1, 0, 8, 1, 0, 0, 0, 0], "isn't an IDX"),
        (&[0, 0, 13, 1, 0, 0, 0, 0], "0x0d"),
        (&[0, 0, 8, 3, 0, 0, 0, 0], "3 axes instead of 1"),
        (&[0, 0, 8, 1, 0, 0, 0, 2, 5], "cut off"),
        (&[0, 0, 8, 1, 0, 0, 0, 1, 5, 6], "too long"),
    ];
    for (bytes, text) in cases {
        assert!(idx::parse(bytes, 1).expect_err(text).contains(text));
    }
    let absurd: Vec<u8> = [0, 0, 8, 3].into_iter().chain([0xff; 12]).collect();
    assert!(idx::parse(&absurd, 3).is_err());
}

/// `python3 -c "import gzip; print(gzip.compress(b'hello hello hello hello', mtime=0).hex())"`, and `hi` stored.
const PACKED: [&[u8]; 2] = [
    &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40,
        0x27, 0x01, 0xe3, 0x51, 0x3d, 0x8d, 0x17, 0x00, 0x00, 0x00,
    ],
    &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 1, 2, 0, 0xfd, 0xff, b'h', b'i', 0xac, 0x2a, 0x93, 0xd8, 2, 0, 0, 0],
];

#[test]
fn gzip_known_answers() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(gunzip(PACKED[0]).as_deref(), Ok(&b"hello hello hello hello"[..]));
    assert_eq!(gunzip(PACKED[1]).as_deref(), Ok(&b"hi"[..]));
    assert_eq!(gunzip(&PACKED.concat()).as_deref(), Ok(&b"hello hello hello hellohi"[..]));
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dsl-examples/data/digits/train-images-idx3-ubyte.gz");
    let images = idx::parse(&gunzip(&std::fs::read(digits).unwrap()).unwrap(), 3).unwrap();
    assert_eq!(images.shape, [1437, 8, 8]);
}

#[test]
fn mutated_files_never_panic() {
    let mut random = Random::new();
    let header = r#"{"__metadata__":{"format":"mlc"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"U8","shape":[3],"data_offsets":[24,27]}}"#;
    let weights = safetensors(header, 27);
    let array = file(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", &[1; 24]);
    let images: Vec<u8> = [0u8, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2].into_iter().chain([9; 8]).collect();
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dsl-examples/data/digits/test-labels-idx1-ubyte.gz");
    let packed = std::fs::read(digits).unwrap();
    for _ in 0..20_000 {
        let bytes = random.mutate(&weights);
        if let Ok(file) = SafeTensors::parse(&bytes) {
            file.tensors().for_each(|t| assert!(t.data.len() <= 27 + 9 * 4));
            let _ = (file.find("a"), file.metadata("format"));
        }
        let _ = npy::parse(&random.mutate(&array));
        let _ = idx::parse(&random.mutate(&images), 3);
        let _ = Value::parse(&random.mutate(header.as_bytes()));
    }
    for _ in 0..2_000 {
        let _ = gunzip(&random.mutate(&packed));
        let _ = gunzip(&random.mutate(PACKED[0]));
    }
}

#[test]
fn philox_known_answers() {
    assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let (counter, key) = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
    assert_eq!(philox(counter, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

#[test]
fn shuffle_take_skip() {
    let run = |stages: &[Stage], seed, epoch| {
        let mut rows = Vec::new();
        order::order(stages, 20, seed, epoch, &mut rows);
        rows
    };
    let shuffled = run(&[Stage::Shuffle { buffer: 5 }], 1, 0);
    assert_eq!(shuffled, run(&[Stage::Shuffle { buffer: 5 }], 1, 0));
    assert_ne!(shuffled, run(&[Stage::Shuffle { buffer: 5 }], 1, 1));
    assert_ne!(shuffled, run(&[Stage::Shuffle { buffer: 5 }], 2, 0));
    assert!(shuffled.iter().enumerate().all(|(i, &row)| row < i + 5), "a row can't come before the buffer holds it");
    let mut sorted = shuffled;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    assert_eq!(run(&[Stage::Shuffle { buffer: 1 }, Stage::Skip(3), Stage::Take(4)], 1, 0), [3, 4, 5, 6]);
    assert_eq!(run(&[Stage::Take(2), Stage::Skip(3)], 1, 0), []);
}

fn image(shape: &[usize], pixels: &[u8]) -> Tensor {
    Tensor { dtype: Dtype::U8, shape: shape.to_vec(), data: Aligned::copy_of(pixels).unwrap() }
}

#[test]
fn resize_by_hand() {
    let grown = resize::resize(image(&[1, 1, 2, 1], &[0, 100]), 1, 4).unwrap();
    assert_eq!((&grown.shape[..], &*grown.data), (&[1, 1, 4, 1][..], &[0, 25, 75, 100][..]));
    let shrunk = resize::resize(image(&[1, 2, 2, 1], &[1, 2, 3, 4]), 1, 1).unwrap();
    assert_eq!(&*shrunk.data, &[2], "2.5 goes to the even number");
    let shrunk = resize::resize(image(&[1, 1, 3, 1], &[30, 60, 90]), 1, 2).unwrap();
    assert_eq!(&*shrunk.data, &[40, 80]);
    let same = resize::resize(image(&[1, 1, 2, 1], &[7, 9]), 1, 2).unwrap();
    assert_eq!(&*same.data, &[7, 9]);
    let flat = resize::resize(image(&[2, 8, 8, 1], &[200; 128]), 28, 28).unwrap();
    assert!(flat.data.iter().all(|&b| b == 200));
    assert!(resize::resize(image(&[1, 0, 2, 1], &[]), 2, 2).is_err());
    assert!(resize::resize(image(&[2, 2], &[0; 4]), 2, 2).is_err());
}

#[test]
fn conversions() {
    let mut out = [0; 8];
    convert::convert(Dtype::U8, &[3, 255], Dtype::F32, &mut out);
    assert_eq!(out, [3f32.to_le_bytes(), 255f32.to_le_bytes()].concat()[..]);
    convert::convert(Dtype::I8, &[255, 1], Dtype::I32, &mut out);
    assert_eq!(out, [(-1i32).to_le_bytes(), 1i32.to_le_bytes()].concat()[..]);
    assert!(convert::check(Dtype::U8, &[200], Dtype::I8).is_err());
    assert!(convert::check(Dtype::I8, &[200], Dtype::U8).is_err());
    assert!(convert::check(Dtype::F32, &[0; 4], Dtype::F64).is_err());
    assert!(convert::check(Dtype::F64, &[0; 8], Dtype::F32).is_ok());
    assert!(convert::check(Dtype::Bool, &[1], Dtype::F32).is_err());
}
