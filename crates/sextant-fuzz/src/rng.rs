//! Numbers of a seed: xorshift64*, the same on every machine.

/// A stream of numbers.
pub struct Rng(u64);

/// Numbers at which things change.
const EDGES: [u64; 12] = [
    0,
    1,
    31,
    63,
    64,
    0x7f,
    0x7fff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
];

impl Rng {
    /// The stream of a seed; neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Rng {
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Rng((z ^ z >> 31) | 1)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 16) % n
    }

    /// True in `n` of 1000 cases.
    pub fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// One of them.
    pub fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A number of the dangerous kind: near an edge, small, or any width of noise; either sign.
    pub fn number(&mut self) -> u64 {
        let n = match self.below(4) {
            0 => self.of(&EDGES).wrapping_add(self.below(5)).wrapping_sub(2),
            1 => self.below(72),
            2 => self.bits() >> self.below(64),
            _ => self.below(1 << 12),
        };
        if self.below(4) == 0 { n.wrapping_neg() } else { n }
    }

    /// The same for an instruction's immediate.
    pub fn imm(&mut self) -> i32 {
        self.number() as i32
    }
}
