//! Checkpoints and weights made up for tests.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ndarray::{ArrayD, IxDyn};

use super::parameters::{Parameter, parameters};
use super::store::ModelInfo;
use super::weights::load_weights;
use crate::family::Family;
use crate::features::bytes::le_bytes;
use crate::features::torch::testing::{Py, PyTensor, TorchFile};

/// Values of a parameter: numbers in -0.125..0.125 that halves hold exactly, a window of one random sequence that
/// begins where its name says.
pub fn values(parameter: &Parameter) -> &'static [f32] {
    static SEQUENCE: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (f32::from(u8::try_from(state >> 24).unwrap()) - 127.0) / 1024.0
        };
        (0..2048 * 256 + 65_536).map(|_| next()).collect()
    });
    let start = crc32fast::hash(parameter.name.as_bytes()) as usize % 65_536;
    &SEQUENCE[start..start + parameter.shape.iter().product::<usize>()]
}

/// Weights of a family, always the same.
pub fn weights(family: Family) -> BTreeMap<String, ArrayD<f32>> {
    let array = |p: &Parameter| ArrayD::from_shape_vec(IxDyn(&p.shape), values(p).to_vec()).unwrap();
    parameters(family).into_iter().map(|p| (p.name.clone(), array(&p))).collect()
}

/// The weights that an imported model has.
pub fn loaded(info: &ModelInfo) -> BTreeMap<String, ArrayD<f32>> {
    load_weights(info).unwrap().iter().map(|(name, array)| (name.to_owned(), array)).collect()
}

/// A state dict of these weights, each name through `rename`; what becomes `None` is left out.
pub fn state_dict(family: Family, rename: impl Fn(&str) -> Option<String>) -> (Py, Vec<(String, Vec<u8>)>) {
    let (mut items, mut storages) = (vec![], vec![]);
    for (index, parameter) in parameters(family).iter().enumerate() {
        let Some(name) = rename(&parameter.name) else { continue };
        let shape: Vec<i64> = parameter.shape.iter().map(|&d| i64::try_from(d).unwrap()).collect();
        items.push((name, Py::Tensor(PyTensor::contiguous(index.to_string(), &shape))));
        storages.push((index.to_string(), le_bytes(values(parameter)).into_owned()));
    }
    (Py::OrderedDict(items), storages)
}

/// The file of a pickle and its storages.
pub fn torch_file(value: &Py, storages: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let file =
        storages.into_iter().fold(TorchFile::new(value), |file, (key, bytes)| file.storage(&key, bytes));
    file.bytes()
}
