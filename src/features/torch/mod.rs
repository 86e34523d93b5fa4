//! Files of `torch.save`: a zip archive with a pickle and the bytes of the tensors.
//!
//! A pickle is a program for a stack machine that may call anything. Here it is read with an allow-list
//! of opcodes and of globals into plain data ([`Pickle`], [`Value`]); nothing is ever called. Tensors stay
//! in the file until they are asked for ([`TorchArchive::read_f32`]), so that a checkpoint of gigabytes
//! costs only its pickle and what is taken out of it.
//!
//! What the format looks like is in torch's `torch/serialization.py` and `caffe2/serialize`, and in
//! Python's `pickletools`.

mod archive;
mod dtype;
mod error;
mod foreign;
mod layout;
mod machine;
mod objects;
mod opcode;
mod value;
mod writer;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use archive::TorchArchive;
pub use dtype::DType;
pub use error::PickleError;
pub use machine::unpickle;
pub use value::{Pickle, Storage, TensorSpec, Value};
pub use writer::{Halved, write_halved};
