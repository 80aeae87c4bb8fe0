//! Which processor this is: measured schedules are those of one model.

/// Its model, for people and as a key: `AMD EPYC 9B14 96-Core Processor, family 25 model 17 stepping 1`; the
/// architecture where it does not tell.
pub fn name() -> String {
    model().map_or_else(|| std::env::consts::ARCH.to_string(), |name| tidy(&name))
}

/// A name as it stands in a file: one line, no comment, single blanks.
fn tidy(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() || c == '#' { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(target_arch = "x86_64")]
fn model() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    let text = |registers: &[u32]| -> String {
        let bytes: Vec<u8> =
            registers.iter().flat_map(|word| word.to_le_bytes()).take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let vendor = __cpuid(0);
    let brand = match __cpuid(0x8000_0000).eax {
        0x8000_0004.. => {
            let parts = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(__cpuid);
            text(&parts.map(|part| [part.eax, part.ebx, part.ecx, part.edx]).concat())
        }
        _ => String::new(),
    };
    let maker = text(&[vendor.ebx, vendor.edx, vendor.ecx]);
    let signature = Signature::of(__cpuid(1).eax);
    let Signature { family, model, stepping } = signature;
    let name = if brand.trim().is_empty() { maker } else { brand };
    Some(format!("{name}, family {family} model {model} stepping {stepping}"))
}

#[cfg(not(target_arch = "x86_64"))]
fn model() -> Option<String> {
    None
}

/// What EAX of CPUID leaf 1 holds.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    family: u32,
    model: u32,
    stepping: u32,
}

#[cfg(target_arch = "x86_64")]
impl Signature {
    /// Extended families and models count from base family 15 and 6 on.
    fn of(eax: u32) -> Signature {
        let base = eax >> 8 & 15;
        let family = if base == 15 { base + (eax >> 20 & 255) } else { base };
        let extended = if base == 15 || base == 6 { (eax >> 16 & 15) << 4 } else { 0 };
        Signature { family, model: extended + (eax >> 4 & 15), stepping: eax & 15 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line() {
        assert_eq!(tidy("  A #1\tchip \n  (x) "), "A 1 chip (x)");
        assert_eq!(tidy(&name()), name());
        assert!(!name().is_empty());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn signatures_are_read_as_makers_write_them() {
        assert_eq!(Signature::of(0x000c_06f2), Signature { family: 6, model: 207, stepping: 2 });
        assert_eq!(Signature::of(0x00a1_0f11), Signature { family: 25, model: 17, stepping: 1 });
    }
}
