//! Random numbers that a printed seed repeats.

/// xorshift64*.
#[derive(Debug)]
pub(crate) struct Lot(u64);

impl Lot {
    pub(crate) fn of(seed: u64) -> Lot {
        // Neighbouring seeds are not to begin alike.
        Lot(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}
