//! A small builder of ONNX graphs: named operations, edges and initializers. Nothing here knows of decoders.

use std::collections::HashSet;

use ndarray::{ArrayBase, Data, Dimension};

use super::onnx::{
    AttributeProto, AttributeType, DataType, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto,
};

/// Operator set of every graph: the newest that all of tract, ONNX Runtime and TensorRT 8.6 read, and the first with
/// LayerNormalization.
const OPSET: i64 = 17;
/// File format version that belongs to the operator set.
const IR_VERSION: i64 = 8;

/// A tensor that flows through the graph, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge(String);

impl Edge {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A dimension of an input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size; the same name means the same size.
    Named(&'static str),
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Self::Fixed(size)
    }
}

/// An attribute of an operation.
#[derive(Debug, Clone)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A number.
    Float(f32),
}

/// Collects operations in the order in which they are given, which is the order of their execution.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
    names: HashSet<String>,
    scopes: Vec<String>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        let graph = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { graph, names: HashSet::new(), scopes: Vec::new() }
    }

    /// Puts `scope/` before the names of the operations that `build` adds.
    pub fn scoped<T>(&mut self, scope: &str, build: impl FnOnce(&mut Self) -> T) -> T {
        self.scopes.push(scope.to_owned());
        let result = build(self);
        self.scopes.pop();
        result
    }

    /// An input of `f32`.
    pub fn input(&mut self, name: &str, shape: &[Dim], doc: &str) -> Edge {
        self.names.insert(name.to_owned());
        self.graph.input.push(value_info(name, shape, doc));
        Edge(name.to_owned())
    }

    /// Makes an edge an output, under a name of its own.
    pub fn output(&mut self, edge: &Edge, name: &str, shape: &[Dim], doc: &str) {
        self.names.insert(name.to_owned());
        let node = node("Identity", name, &[edge], &[]);
        self.graph.node.push(node);
        self.graph.output.push(value_info(name, shape, doc));
    }

    /// An initializer of `f32`. A name that is taken gives the initializer that has it: equal names, equal values.
    pub fn weight<S, D>(&mut self, name: &str, values: &ArrayBase<S, D>) -> Edge
    where
        S: Data<Elem = f32>,
        D: Dimension,
    {
        if self.names.insert(name.to_owned()) {
            self.graph.initializer.push(TensorProto {
                name: name.to_owned(),
                data_type: DataType::Float as i32,
                dims: values.shape().iter().map(|&d| d as i64).collect(),
                raw_data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            });
        }
        Edge(name.to_owned())
    }

    /// A scalar constant, named after its value.
    pub fn scalar(&mut self, value: f32) -> Edge {
        self.weight(&format!("const/{value:?}"), &ndarray::arr0(value))
    }

    /// A list of integers (a shape, axes), named after its values.
    pub fn integers(&mut self, values: &[i64]) -> Edge {
        let name = values.iter().fold("const/int".to_owned(), |name, v| format!("{name}_{v}"));
        if self.names.insert(name.clone()) {
            self.graph.initializer.push(TensorProto {
                name: name.clone(),
                data_type: DataType::Int64 as i32,
                dims: vec![values.len() as i64],
                raw_data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            });
        }
        Edge(name)
    }

    /// An operation with one output, which bears the operation's name.
    pub fn op(&mut self, op: &str, name: &str, inputs: &[&Edge], attributes: &[(&str, Attr)]) -> Edge {
        let mut full = self.scopes.concat_with(name);
        if self.names.contains(&full) {
            let taken = |i: &usize| self.names.contains(&format!("{full}_{i}"));
            let free = (2_usize..).find(|i| !taken(i)).unwrap_or(usize::MAX);
            full = format!("{full}_{free}");
        }
        self.names.insert(full.clone());
        self.graph.node.push(node(op, &full, inputs, attributes));
        Edge(full)
    }

    /// The finished model.
    pub fn finish(self, doc: &str, metadata: &[(&str, String)]) -> ModelProto {
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: doc.to_owned(),
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto { key: (*key).to_owned(), value: value.clone() })
                .collect(),
            graph: Some(self.graph),
        }
    }
}

/// The operations that the decoder's graphs are made of.
impl GraphBuilder {
    pub fn add(&mut self, name: &str, a: &Edge, b: &Edge) -> Edge {
        self.op("Add", name, &[a, b], &[])
    }

    pub fn sub(&mut self, name: &str, a: &Edge, b: &Edge) -> Edge {
        self.op("Sub", name, &[a, b], &[])
    }

    pub fn mul(&mut self, name: &str, a: &Edge, b: &Edge) -> Edge {
        self.op("Mul", name, &[a, b], &[])
    }

    pub fn div(&mut self, name: &str, a: &Edge, b: &Edge) -> Edge {
        self.op("Div", name, &[a, b], &[])
    }

    pub fn matmul(&mut self, name: &str, a: &Edge, b: &Edge) -> Edge {
        self.op("MatMul", name, &[a, b], &[])
    }

    pub fn transpose(&mut self, name: &str, x: &Edge, permutation: &[i64]) -> Edge {
        self.op("Transpose", name, &[x], &[("perm", Attr::Ints(permutation.to_vec()))])
    }

    /// One dimension may be -1: whatever is left.
    pub fn reshape(&mut self, name: &str, x: &Edge, shape: &[i64]) -> Edge {
        let shape = self.integers(shape);
        self.op("Reshape", name, &[x, &shape], &[])
    }

    pub fn concat(&mut self, name: &str, parts: &[&Edge], axis: i64) -> Edge {
        self.op("Concat", name, parts, &[("axis", Attr::Int(axis))])
    }

    pub fn slice(&mut self, name: &str, x: &Edge, axis: i64, start: usize, end: usize) -> Edge {
        let (start, end) = (self.integers(&[start as i64]), self.integers(&[end as i64]));
        let axis = self.integers(&[axis]);
        self.op("Slice", name, &[x, &start, &end, &axis], &[])
    }

    pub fn softmax(&mut self, name: &str, x: &Edge, axis: i64) -> Edge {
        self.op("Softmax", name, &[x], &[("axis", Attr::Int(axis))])
    }

    pub fn relu(&mut self, name: &str, x: &Edge) -> Edge {
        self.op("Relu", name, &[x], &[])
    }

    /// The exact GELU, as PyTorch exports it before operator set 20; runtimes know the pattern.
    pub fn gelu(&mut self, name: &str, x: &Edge) -> Edge {
        let (root, one, half) = (self.scalar(std::f32::consts::SQRT_2), self.scalar(1.0), self.scalar(0.5));
        self.scoped(name, |g| {
            let scaled = g.div("Div", x, &root);
            let erf = g.op("Erf", "Erf", &[&scaled], &[]);
            let sum = g.add("Add", &erf, &one);
            let product = g.mul("Mul", x, &sum);
            g.mul("Mul_half", &product, &half)
        })
    }

    /// Over the last axis.
    pub fn layer_norm(&mut self, name: &str, x: &Edge, weight: &Edge, bias: &Edge, epsilon: f32) -> Edge {
        let attributes = [("axis", Attr::Int(-1)), ("epsilon", Attr::Float(epsilon))];
        self.op("LayerNormalization", name, &[x, weight, bias], &attributes)
    }
}

trait ConcatWith {
    fn concat_with(&self, last: &str) -> String;
}

impl ConcatWith for Vec<String> {
    fn concat_with(&self, last: &str) -> String {
        let mut path = String::new();
        for scope in self {
            path.push_str(scope);
            path.push('/');
        }
        path + last
    }
}

fn node(op: &str, name: &str, inputs: &[&Edge], attributes: &[(&str, Attr)]) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|edge| edge.0.clone()).collect(),
        output: vec![name.to_owned()],
        attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
    }
}

fn attribute(name: &str, value: &Attr) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    let kind = match value {
        Attr::Int(i) => {
            attribute.i = *i;
            AttributeType::Int
        }
        Attr::Ints(ints) => {
            attribute.ints.clone_from(ints);
            AttributeType::Ints
        }
        Attr::Float(f) => {
            attribute.f = *f;
            AttributeType::Float
        }
    };
    attribute.r#type = kind as i32;
    attribute
}

fn value_info(name: &str, shape: &[Dim], doc: &str) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|dim| DimensionProto {
            value: Some(match dim {
                Dim::Fixed(size) => DimensionValue::DimValue(*size as i64),
                Dim::Named(name) => DimensionValue::DimParam((*name).to_owned()),
            }),
        })
        .collect();
    let tensor = TensorType { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_owned(),
        doc_string: doc.to_owned(),
        r#type: Some(TypeProto { value: Some(TypeValue::TensorType(tensor)) }),
    }
}
