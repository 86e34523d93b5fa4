//! From shape and strides to what is read from a storage and how it lies in memory.

use super::value::TensorSpec;

/// Most elements of a tensor that is read, 1 GB of floats. The largest of a chip has 2.7 million.
const MAX_ELEMENTS: u64 = 1 << 28;

/// The memory layout of a tensor, checked against its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Logical shape.
    pub(super) shape: Vec<usize>,
    /// Distance in elements along each axis; 1 for axes of size 1, whose stride means nothing.
    pub(super) strides: Vec<usize>,
    /// First element in the storage.
    pub(super) first: u64,
    /// Elements from the first to the last, inclusive.
    pub(super) span: usize,
    /// Elements of the tensor.
    pub(super) elements: usize,
}

impl Layout {
    /// Whether every element between the first and the last belongs to the tensor: any permutation of
    /// axes, channels-last among them.
    pub(super) const fn is_dense(&self) -> bool {
        self.span == self.elements
    }

    /// Checks a tensor against a storage of `available` elements.
    pub(super) fn of(tensor: &TensorSpec, available: u64) -> Result<Self, String> {
        let claimed = tensor.storage.elements;
        if claimed > available {
            return Err(format!(
                "its storage should hold {claimed} elements, but the file holds {available}"
            ));
        }
        let too_large = || format!("its shape {:?} is too large", tensor.shape);
        let elements = tensor.shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d)).ok_or_else(too_large)?;
        if elements > MAX_ELEMENTS {
            return Err(too_large());
        }
        let to_index = |v: u64| usize::try_from(v).map_err(|_| too_large());

        let mut span = u64::from(elements > 0);
        if elements > 0 {
            for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides) {
                let reach = (size - 1).checked_mul(stride).and_then(|r| span.checked_add(r));
                span = reach.ok_or_else(too_large)?;
            }
        }
        let end = tensor.offset.checked_add(span).ok_or_else(too_large)?;
        if end > claimed {
            return Err(format!("it needs elements up to {end} of a storage of {claimed}"));
        }
        let layout = Self {
            shape: tensor.shape.iter().map(|&d| to_index(d)).collect::<Result<_, _>>()?,
            strides: (tensor.shape.iter().zip(&tensor.strides))
                .map(|(&size, &stride)| if size > 1 { to_index(stride) } else { Ok(1) })
                .collect::<Result<_, _>>()?,
            first: tensor.offset,
            span: to_index(span)?,
            elements: to_index(elements)?,
        };
        if layout.overlaps() {
            return Err("elements share memory, as in an expanded view; save a contiguous copy".to_owned());
        }
        // A view of a few elements scattered over a storage would cost the memory of the storage.
        if layout.span / 64 > layout.elements {
            return Err(format!(
                "it is a view of {elements} elements spread over {span}; save a contiguous copy"
            ));
        }
        Ok(layout)
    }

    /// Whether two indices meet in one element: sorted by stride, each axis must step over all smaller ones.
    /// (Exotic views that interleave without meeting are taken for overlapping; torch never saves such.)
    fn overlaps(&self) -> bool {
        if self.elements == 0 {
            return false;
        }
        let mut axes: Vec<_> = self
            .strides
            .iter()
            .zip(&self.shape)
            .filter(|&(_, &size)| size > 1)
            .map(|(&st, &n)| (st, n))
            .collect();
        axes.sort_unstable();
        let mut reach = 1_usize;
        for (stride, size) in axes {
            if stride < reach {
                return true;
            }
            // Bounded by `span`, which was computed without overflow.
            reach = reach.saturating_add(stride.saturating_mul(size - 1));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::torch::{DType, Storage};
    use proptest::prelude::*;

    fn tensor(shape: &[u64], strides: &[u64], offset: u64, elements: u64) -> TensorSpec {
        let storage = Storage { dtype: DType::F32, key: "0".into(), elements };
        TensorSpec { storage, offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    #[test]
    fn channels_last_is_dense_and_the_stride_of_a_single_row_means_nothing() {
        for first in [1_048_576, 256, 0, u64::MAX] {
            let spec = tensor(&[1, 256, 64, 64], &[first, 1, 16384, 256], 0, 1_048_576);
            let layout = Layout::of(&spec, 1_048_576).unwrap();
            assert!(layout.is_dense());
            assert_eq!(layout.strides, [1, 1, 16384, 256]);
        }
    }

    #[test]
    fn a_transposed_slice_has_gaps() {
        let layout = Layout::of(&tensor(&[3, 2], &[1, 8], 4, 100), 100).unwrap();
        assert!(!layout.is_dense());
        assert_eq!((layout.first, layout.span, layout.elements), (4, 11, 6));
    }

    #[test]
    fn lies_about_sizes_are_refused() {
        let cases: [(&str, TensorSpec, u64); 7] = [
            ("beyond the claim", tensor(&[11], &[1], 0, 10), 100),
            ("beyond the file", tensor(&[10], &[1], 0, 10), 9),
            ("offset beyond", tensor(&[1], &[1], 10, 10), 10),
            ("product overflows", tensor(&[u64::MAX, 2], &[1, 1], 0, 10), 10),
            ("reach overflows", tensor(&[2, 2], &[u64::MAX, u64::MAX], 0, 10), 10),
            ("expanded view", tensor(&[1000, 10], &[0, 1], 0, 10), 10),
            ("scattered view", tensor(&[2], &[1 << 20], 0, 1 << 21), 1 << 21),
        ];
        for (what, spec, available) in cases {
            assert!(Layout::of(&spec, available).is_err(), "{what} was accepted");
        }
    }

    #[test]
    fn empty_and_scalar_tensors_are_sound() {
        let empty = Layout::of(&tensor(&[0, 5], &[5, 1], 0, 0), 0).unwrap();
        assert_eq!((empty.span, empty.elements), (0, 0));
        let scalar = Layout::of(&tensor(&[], &[], 3, 4), 4).unwrap();
        assert_eq!((scalar.span, scalar.elements, scalar.first), (1, 1, 3));
    }

    proptest! {
        #[test]
        fn an_accepted_layout_reaches_every_element_once_and_stays_inside(
            axes in prop::collection::vec((0_u64..6, 0_u64..40), 0..4), offset in 0_u64..10, held in 0_u64..400,
        ) {
            let (shape, strides): (Vec<u64>, Vec<u64>) = axes.into_iter().unzip();
            let Ok(layout) = Layout::of(&tensor(&shape, &strides, offset, held), held) else { return Ok(()) };
            let mut seen = std::collections::HashSet::new();
            for index in 0..layout.elements {
                let (mut rest, mut at) = (index, layout.first);
                for (size, stride) in layout.shape.iter().zip(&layout.strides).rev() {
                    at += (rest % size * stride) as u64;
                    rest /= size;
                }
                prop_assert!(at < held);
                prop_assert!(seen.insert(at));
            }
        }
    }
}
