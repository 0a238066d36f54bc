//! Pieces of any size into frames of one size.

/// Collects samples until a frame is whole.
pub(super) struct Frames {
    frame: Box<[i16]>,
    filled: usize,
}

impl Frames {
    /// Frames of `size` samples, at least one.
    pub(super) fn new(size: usize) -> Self {
        Frames { frame: vec![0; size.max(1)].into_boxed_slice(), filled: 0 }
    }

    pub(super) fn size(&self) -> usize {
        self.frame.len()
    }

    /// Takes a piece and gives the frames that it completes.
    pub(super) fn push(&mut self, mut piece: &[i16], mut on: impl FnMut(&[i16])) {
        while !piece.is_empty() {
            let size = self.frame.len();
            if self.filled == 0 && piece.len() >= size {
                let (whole, rest) = piece.split_at(size);
                on(whole);
                piece = rest;
                continue;
            }
            let (taken, rest) = piece.split_at(piece.len().min(size - self.filled));
            self.frame[self.filled..self.filled + taken.len()].copy_from_slice(taken);
            self.filled += taken.len();
            piece = rest;
            if self.filled == size {
                self.filled = 0;
                on(&self.frame);
            }
        }
    }
}
