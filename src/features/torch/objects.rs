//! The few classes and functions that `torch.save` names in a pickle: each is a shape of arguments to read, and
//! becomes plain data. None is called.

use super::dtype::DType;
use super::error::PickleError;
use super::machine::{Machine, Step};
use super::value::{Global, Node, NodeId, Storage, TensorSpec};

/// Most axes of a tensor.
const MAX_AXES: usize = 8;
/// Longest key of a storage. Keys are decimal numbers; each tensor keeps a copy of its own.
const MAX_KEY_BYTES: usize = 32;

impl Machine<'_> {
    /// A class or function by module and name; refused unless it is on the list.
    pub(super) fn global(&mut self) -> Step<()> {
        let module = self.take_line()?;
        let name = self.take_line()?;
        let global = match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Some(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", class) => DType::from_storage_class(class).map(Global::Storage),
            _ => None,
        };
        match global {
            Some(global) => self.push_new(Node::Global(global)),
            None => Err(PickleError::Global { module, name }),
        }
    }

    /// State set on an object: `OrderedDict` carries `_metadata`, which is dropped.
    pub(super) fn build(&mut self) -> Step<()> {
        self.pop()?;
        let target = self.top()?;
        match self.node(target) {
            Node::Dict(_) => Ok(()),
            _ => self.malformed("state is set on something that is not a dict"),
        }
    }

    /// A call: the callee and a tuple of arguments become the value that the call would give.
    pub(super) fn reduce(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let callee = self.pop()?;
        let Node::Tuple(arguments) = self.node(arguments) else {
            return self.malformed("a call has no tuple of arguments");
        };
        match (self.node(callee), arguments.as_slice()) {
            (Node::Global(Global::OrderedDict), []) => self.push_new(Node::Dict(vec![])),
            (Node::Global(Global::RebuildParameter), &[tensor, _requires_grad, _hooks]) => {
                match self.node(tensor) {
                    Node::Tensor(_) => self.push(tensor),
                    _ => self.malformed("a parameter holds no tensor"),
                }
            }
            // storage, offset, shape, strides, requires_grad, hooks[, metadata]
            (Node::Global(Global::RebuildTensor), &[storage, offset, shape, strides, _, _])
            | (Node::Global(Global::RebuildTensor), &[storage, offset, shape, strides, _, _, _]) => {
                let tensor = self.tensor(storage, offset, shape, strides)?;
                self.push_new(Node::Tensor(Box::new(tensor)))
            }
            _ => self.malformed("a call has other arguments than torch.save writes"),
        }
    }

    fn tensor(&self, storage: NodeId, offset: NodeId, shape: NodeId, strides: NodeId) -> Step<TensorSpec> {
        let Node::Storage(storage) = self.node(storage) else {
            return self.malformed("a tensor has no storage");
        };
        let (offset, shape, strides) = (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return self.malformed("a tensor has other axes in its shape than in its strides");
        }
        Ok(TensorSpec { storage: (**storage).clone(), offset, shape, strides })
    }

    fn sizes(&self, id: NodeId) -> Step<Vec<u64>> {
        match self.node(id) {
            Node::Tuple(items) if items.len() <= MAX_AXES => items.iter().map(|&id| self.size(id)).collect(),
            Node::Tuple(_) => Err(PickleError::TooMuch { what: "axes in a tensor", limit: MAX_AXES }),
            _ => self.malformed("a shape is not a tuple"),
        }
    }

    fn size(&self, id: NodeId) -> Step<u64> {
        match self.node(id) {
            Node::Int(value) => u64::try_from(*value).or_else(|_| self.malformed("a size is negative")),
            _ => self.malformed("a size is not an integer"),
        }
    }

    /// A persistent id of `torch.save`: ("storage", class, key, device, elements).
    pub(super) fn persistent(&mut self) -> Step<()> {
        let id = self.pop()?;
        let Node::Tuple(parts) = self.node(id) else {
            return self.malformed("a storage is not described by a tuple");
        };
        let &[tag, class, key, _device, elements] = parts.as_slice() else {
            return self.malformed("a storage is not described by five values");
        };
        let (Node::Text(tag), Node::Global(Global::Storage(dtype)), Node::Text(key)) =
            (self.node(tag), self.node(class), self.node(key))
        else {
            return self.malformed("a storage has no class or key");
        };
        if &**tag != "storage" {
            return self.malformed("a persistent id is not that of a storage");
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(PickleError::TooMuch { what: "bytes in a storage's key", limit: MAX_KEY_BYTES });
        }
        let storage = Storage { dtype: dtype.clone(), key: key.clone(), elements: self.size(elements)? };
        self.push_new(Node::Storage(Box::new(storage)))
    }
}
