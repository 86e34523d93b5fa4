//! The plain data of a pickle. Values live in one table and refer to each other by index: a pickle may
//! share values, nest them a million deep or build circles, and nothing here recurses over them.

use super::dtype::DType;

/// Index of a value in its pickle's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) u32);

/// A callable that the allow-list knows. None is ever called: each is a shape of arguments to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`: an empty dict.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a view into a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: the tensor itself.
    RebuildParameter,
    /// A storage class of module `torch`.
    Storage(DType),
}

/// The bytes behind tensors: an entry `data/<key>` of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Element type.
    pub dtype: DType,
    /// Name of the entry below `data/`.
    pub key: Box<str>,
    /// Number of elements, as the pickle claims.
    pub elements: u64,
}

/// A tensor as the pickle describes it; its bytes are still in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Where the bytes are.
    pub storage: Storage,
    /// First element in the storage.
    pub offset: u64,
    /// Logical shape.
    pub shape: Vec<u64>,
    /// Distance in elements between neighbours along each axis; meaningless for axes of size 1.
    pub strides: Vec<u64>,
}

#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Tuple(Vec<NodeId>),
    List(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    Global(Global),
    Storage(Box<Storage>),
    Tensor(Box<TensorSpec>),
}

impl Node {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The data of a whole pickle.
#[derive(Debug)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Pickle {
    /// The value that the pickle stands for.
    pub const fn root(&self) -> Value<'_> {
        Value { pickle: self, id: self.root }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        // Ids are made only by the machine that fills the table; `None` stands in for an impossible one.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }
}

/// A value of a pickle.
#[derive(Clone, Copy)]
pub struct Value<'p> {
    pickle: &'p Pickle,
    id: NodeId,
}

impl<'p> Value<'p> {
    fn node(self) -> &'p Node {
        self.pickle.node(self.id)
    }

    const fn at(self, id: NodeId) -> Self {
        Self { pickle: self.pickle, id }
    }

    /// What kind of value this is, for messages: "a dict", "a tensor".
    pub fn kind(self) -> &'static str {
        self.node().kind()
    }

    /// The text, where this is one.
    pub fn as_text(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, where this is one (a bool is not).
    pub fn as_integer(self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, where this is an integer or a float.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The bool, where this is one.
    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The tensor, where this is one.
    pub fn as_tensor(self) -> Option<&'p TensorSpec> {
        match self.node() {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Whether this is a dict.
    pub fn is_dict(self) -> bool {
        matches!(self.node(), Node::Dict(_))
    }

    /// The elements of a tuple or list.
    pub fn elements(self) -> Option<impl ExactSizeIterator<Item = Value<'p>>> {
        match self.node() {
            Node::Tuple(items) | Node::List(items) => Some(items.iter().map(move |&id| self.at(id))),
            _ => None,
        }
    }

    /// The pairs of a dict whose keys are texts, in the order they were set; nothing for other values.
    pub fn items(self) -> impl Iterator<Item = (&'p str, Value<'p>)> {
        let pairs: &[(NodeId, NodeId)] = match self.node() {
            Node::Dict(pairs) => pairs,
            _ => &[],
        };
        pairs.iter().filter_map(move |&(key, value)| Some((self.at(key).as_text()?, self.at(value))))
    }

    /// The value under a text key of a dict; the last one set, as in Python.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        self.items().filter(|(k, _)| *k == key).last().map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Shallow on purpose: a pickle can hold circles.
        self.node().fmt(f)
    }
}
