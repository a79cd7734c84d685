//! C layout at compile time, x86-64 System V rules, little endian.

/// What the layout needs to know of a member.
#[derive(Clone, Copy, Debug)]
pub struct MemberIn {
    /// Size in bytes (of the declared type, for a bit field).
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
    /// Width of a bit field, 0 for an ordinary member.
    pub bits: u32,
}

/// Offsets of `N` members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<const N: usize> {
    /// Bit offset of each member.
    pub bit_offset: [u32; N],
    /// Size of the whole, in bytes.
    pub size: u32,
    /// Alignment of the whole, in bytes.
    pub align: u32,
}

/// Lays out a struct (or a union): a bit field shares its unit with the previous one while it fits into one aligned unit of
/// its declared type; an ordinary member starts at the next byte its alignment allows.
pub const fn layout<const N: usize>(is_union: bool, members: &[MemberIn; N]) -> Layout<N> {
    let mut out = Layout { bit_offset: [0; N], size: 0, align: 1 };
    let mut next = 0; // first free bit
    let mut end = 0; // largest bit used, for unions
    let mut i = 0;
    while i < N {
        let m = members[i];
        if is_union {
            next = 0;
        }
        if m.bits == 0 {
            next = up(next, m.align * 8);
            out.bit_offset[i] = next;
            next += m.size * 8;
        } else {
            let unit = m.size * 8;
            assert!(m.bits <= unit, "bit field wider than its type");
            if next / unit != (next + m.bits - 1) / unit {
                next = up(next, unit);
            }
            out.bit_offset[i] = next;
            next += m.bits;
        }
        if m.align > out.align {
            out.align = m.align;
        }
        if next > end {
            end = next;
        }
        i += 1;
    }
    out.size = up(end, out.align * 8) / 8;
    out
}

const fn up(value: u32, multiple: u32) -> u32 {
    value.div_ceil(multiple) * multiple
}
