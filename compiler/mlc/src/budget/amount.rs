//! Bytes as people write and read them.

const UNITS: [(&str, i64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Bytes for people: `14.2 GiB`.
pub fn amount(bytes: i64) -> String {
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        None if bytes == 1 => "1 byte".to_string(),
        None => format!("{bytes} bytes"),
        Some((name, unit)) if bytes % unit == 0 => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
    }
}

/// A bound that so many bytes keep, as `--max-memory` takes it.
pub fn allowed(bytes: i64) -> String {
    match UNITS.iter().find(|(_, unit)| bytes >= 16 * *unit) {
        None => bytes.to_string(),
        Some((name, unit)) => format!("{}{name}", (bytes - 1) / unit + 1),
    }
}

/// What `--max-memory` is given: bytes, or a number with `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`.
pub fn parse(text: &str) -> Option<i64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        name => UNITS.iter().find(|(known, _)| *known == name)?.1,
    };
    let bytes = match number.parse::<i64>() {
        Ok(number) => number.checked_mul(factor)?,
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (bytes < i64::MAX as f64).then_some(bytes as i64)?
        }
    };
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown() {
        let read = [("4096", 4096), ("1KiB", 1024), ("1.5MiB", 3 << 19), ("2 GiB", 2 << 30), ("8GB", 8_000_000_000)];
        for (text, bytes) in read {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "0", "-1", "1TiBs", "GiB", "1.2.3", "99999999999GiB", "1e3"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(amount(512), "512 bytes");
        assert_eq!(amount(8 << 30), "8 GiB");
        assert_eq!(amount(1_500_000), "1.4 MiB");
        assert_eq!(parse(&allowed(1_500_000)).map(|bytes| bytes >= 1_500_000), Some(true));
    }
}
