//! PNG and JPEG against other implementations, and damaged files.

#![expect(clippy::unwrap_used, reason = "a test may stop where it likes")]

#[path = "common/random.rs"]
mod random;

use mlc_rt_exe::image::{Picture, decode, jpeg, png as own, write};
use mlc_rt_exe::inflate::crc32;
use png::{BitDepth, ColorType};
use random::Random;

/// Soft shapes with some noise: what pictures are like.
fn scene(height: usize, width: usize, channels: usize) -> Vec<u8> {
    let mut random = Random::new();
    let mut data = Vec::new();
    for i in 0..height * width * channels {
        let (y, x, c) = (i / channels / width, i / channels % width, i % channels);
        let wave = ((x as f32 * 0.21 + c as f32).sin() + (y as f32 * 0.13 - c as f32).cos()) * 50.0 + 128.0;
        data.push((wave as i32 + random.below(9) as i32 - 4).clamp(0, 255) as u8);
    }
    data
}

/// A file as the `png` crate writes it.
fn encoded(colour: ColorType, depth: BitDepth, width: usize, height: usize, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == ColorType::Indexed {
        encoder.set_palette((0..=255u8).flat_map(|i| [i, 255 - i, i / 2]).collect::<Vec<u8>>());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    file
}

/// The same file as the `png` crate reads it: 8 bits, without palette.
fn reference(file: &[u8]) -> (usize, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut data).unwrap();
    data.truncate(info.buffer_size());
    (info.color_type.samples(), data)
}

#[test]
fn png_of_all_types() {
    use BitDepth::{Eight, Four, One, Sixteen, Two};
    let types = [
        (ColorType::Grayscale, &[One, Two, Four, Eight, Sixteen][..]),
        (ColorType::Indexed, &[One, Two, Four, Eight]),
        (ColorType::GrayscaleAlpha, &[Eight, Sixteen]),
        (ColorType::Rgb, &[Eight, Sixteen]),
        (ColorType::Rgba, &[Eight, Sixteen]),
    ];
    for (colour, depths) in types {
        for &depth in depths {
            for (height, width) in [(1, 1), (7, 13), (30, 17)] {
                let line = (width * colour.samples() * depth as usize).div_ceil(8);
                let file = encoded(colour, depth, width, height, &scene(height, line, 1));
                let found = decode(&file).unwrap();
                let (channels, data) = reference(&file);
                assert_eq!((found.height, found.width, found.channels), (height, width, channels));
                assert!(found.data == data, "{colour:?} {depth:?} {height}x{width}");
            }
        }
    }
}

/// Interlaced by hand, since the `png` crate only reads such files: its reading is the reference.
#[test]
fn png_interlaced() {
    let passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)];
    for (height, width) in [(1, 1), (3, 2), (9, 5), (16, 23)] {
        let pixels = scene(height, width, 3);
        let mut raw = Vec::new();
        for (y0, x0, dy, dx) in passes {
            if x0 >= width {
                continue;
            }
            for y in (y0..height).step_by(dy) {
                raw.push(0);
                for x in (x0..width).step_by(dx) {
                    raw.extend_from_slice(&pixels[(y * width + x) * 3..][..3]);
                }
            }
        }
        let mut data = vec![0x78, 0x01, 1];
        data.extend((raw.len() as u16).to_le_bytes());
        data.extend((!(raw.len() as u16)).to_le_bytes());
        data.extend_from_slice(&raw);
        data.extend(mlc_rt_exe::inflate::adler32(&raw).to_be_bytes());
        let header = [&(width as u32).to_be_bytes()[..], &(height as u32).to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
        let mut file = own::SIGNATURE.to_vec();
        for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", &data), (b"IEND", &[])] {
            file.extend((data.len() as u32).to_be_bytes());
            let start = file.len();
            file.extend_from_slice(kind);
            file.extend_from_slice(data);
            file.extend(crc32(&file[start..]).to_be_bytes());
        }
        assert_eq!(decode(&file).unwrap().data, pixels);
        assert_eq!(reference(&file).1, pixels);
    }
}

#[test]
fn png_is_read_by_others_as_it_was_written() {
    for channels in 1..=4 {
        for (height, width) in [(1, 1), (5, 300), (64, 64), (200, 7)] {
            for data in [scene(height, width, channels), vec![7; height * width * channels]] {
                let picture = Picture { height, width, channels, data };
                let file = write::png(&picture);
                assert_eq!(reference(&file), (channels, picture.data.clone()));
                assert_eq!(decode(&file).unwrap(), picture);
            }
        }
    }
    let even = Picture { height: 256, width: 256, channels: 3, data: vec![9; 256 * 256 * 3] };
    assert!(write::png(&even).len() < 4000, "even pictures are packed");
}

#[test]
fn png_refuses() {
    let file = encoded(ColorType::Rgb, BitDepth::Eight, 4, 3, &scene(3, 4, 3));
    let bad = |file: &[u8]| decode(file).unwrap_err();
    assert_eq!(bad(&[]), "it is empty");
    assert_eq!(bad(b"GIF89a"), "it is neither PNG nor JPEG");
    assert_eq!(bad(&file[..file.len() - 1]), "it is cut off");
    let mut changed = file.clone();
    changed[45] ^= 1;
    assert!(bad(&changed).contains("checksum"), "{}", bad(&changed));
    let mut huge = file.clone();
    huge[16..20].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
    let sum = crc32(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&sum);
    assert!(bad(&huge).contains("claims"), "{}", bad(&huge));
}

fn jpeg_file(
    width: usize,
    height: usize,
    channels: usize,
    change: impl Fn(&mut jpeg_encoder::Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    change(&mut encoder);
    let colour = if channels == 1 { jpeg_encoder::ColorType::Luma } else { jpeg_encoder::ColorType::Rgb };
    encoder.encode(&scene(height, width, channels), width as u16, height as u16, colour).unwrap();
    file
}

/// Mean and largest difference from another decoder.
fn compare(file: &[u8]) -> (f64, u8) {
    let found = decode(file).unwrap();
    let mut other = zune_jpeg::JpegDecoder::new(zune_jpeg::zune_core::bytestream::ZCursor::new(file));
    let data = other.decode().unwrap();
    let (width, height) = other.dimensions().unwrap();
    assert_eq!((found.width, found.height), (width, height));
    // It gives gray pictures three equal channels.
    let own: Vec<u8> = found.data.iter().flat_map(|&x| vec![x; if found.channels == 1 { 3 } else { 1 }]).collect();
    assert_eq!(own.len(), data.len());
    let differences: Vec<u8> = own.iter().zip(&data).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
    (mean, differences.into_iter().max().unwrap())
}

#[test]
fn jpeg_of_all_kinds() {
    use jpeg_encoder::SamplingFactor::{F_1_1, F_1_2, F_2_1, F_2_2, F_4_1};
    for (height, width) in [(1, 1), (8, 8), (17, 23), (64, 50), (33, 16)] {
        for sampling in [F_1_1, F_2_1, F_1_2, F_2_2, F_4_1] {
            for progressive in [false, true] {
                let file = |restart: u16| {
                    jpeg_file(width, height, 3, |e| {
                        e.set_sampling_factor(sampling);
                        e.set_progressive(progressive);
                        if restart > 0 {
                            e.set_restart_interval(restart);
                        }
                    })
                };
                let (mean, most) = compare(&file(0));
                // Colours that were sent at half size are interpolated a little differently.
                let limit = if sampling == F_1_1 { (0.6, 4) } else { (2.5, 40) };
                let what = format!("{height}x{width} {sampling:?} progressive {progressive}");
                assert!(mean < limit.0 && most <= limit.1, "{what}: {mean} {most}");
                assert!(decode(&file(3)) == decode(&file(0)), "{what}: restart markers change nothing");
            }
        }
        let (mean, most) = compare(&jpeg_file(width, height, 1, |_| {}));
        assert!(mean < 0.3 && most <= 2, "gray {height}x{width}: {mean} {most}");
    }
}

#[test]
fn jpeg_gives_back_what_was_drawn() {
    let (height, width) = (40, 56);
    let drawn = scene(height, width, 3);
    for progressive in [false, true] {
        let found = decode(&jpeg_file(width, height, 3, |e| {
            e.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
            e.set_progressive(progressive);
        }));
        let found = found.unwrap().data;
        let mean = found.iter().zip(&drawn).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / drawn.len() as f64;
        assert!(mean < 3.0, "{mean}");
    }
}

#[test]
fn jpeg_refuses() {
    let file = jpeg_file(20, 20, 3, |_| {});
    for length in 3..file.len() {
        assert!(decode(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
    assert_eq!(jpeg::decode(&file[..file.len() - 1]).unwrap_err(), "it is cut off");
    let mut lossless = file.clone();
    let frame = file.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    lossless[frame + 1] = 0xc3;
    assert!(decode(&lossless).unwrap_err().contains("not supported"));
    let mut huge = file;
    huge[frame + 5..frame + 9].fill(0x7f);
    assert!(decode(&huge).is_err());
}

#[test]
fn damaged_pictures_never_panic() {
    let mut random = Random::new();
    let files = [
        encoded(ColorType::Rgb, BitDepth::Eight, 9, 7, &scene(7, 9, 3)),
        encoded(ColorType::Indexed, BitDepth::Two, 9, 7, &scene(7, 3, 1)),
        jpeg_file(20, 17, 3, |e| e.set_restart_interval(2)),
        jpeg_file(20, 17, 3, |e| e.set_progressive(true)),
        jpeg_file(9, 9, 1, |_| {}),
    ];
    for _ in 0..3_000 {
        for (i, file) in files.iter().enumerate() {
            let mut bytes = random.mutate(file);
            if i < 2 {
                repair(&mut bytes);
            }
            if let Ok(picture) = decode(&bytes) {
                assert_eq!(picture.data.len(), picture.height * picture.width * picture.channels);
            }
        }
    }
}

/// Makes the checksums right again, so that what is behind them is reached.
fn repair(file: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = file.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        let end = at + 8 + u32::from_be_bytes(*length) as usize;
        let Some(body) = file.get(at + 4..end) else { return };
        let sum = crc32(body).to_be_bytes();
        let Some(slot) = file.get_mut(end..end + 4) else { return };
        slot.copy_from_slice(&sum);
        at = end + 4;
    }
}
