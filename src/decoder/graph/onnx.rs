//! The messages of ONNX that the decoder's graphs are made of, as protocol buffers.
//!
//! Names and numbers are those of `onnx.proto3` (ONNX 1.13, file format 8); fields that no graph of ours has are left
//! out, which protocol buffers allow. That other programs read what is written here is checked in the tests, by
//! tract, whose own messages are complete, and by ONNX Runtime.

use prost::{Message, Oneof};

/// A file: one graph, and which operators it means.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the file format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// For people.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// The sets of operators that the nodes are of.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Names and values for other programs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A set of operators.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OperatorSetIdProto {
    /// Whose; empty for ONNX itself.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Which version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A name and its value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringStringEntryProto {
    /// The name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Operations in an order in which they can be executed, with what goes in and comes out.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The operations.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// The graph's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The constants, by name.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// What goes in, in order.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// What comes out, in order.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// An operation.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// The names of what it takes.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The names of what it gives.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its own name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// What the operator is told.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
}

/// An attribute of an operation; which of the values counts is said by the type.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value of [`AttributeType::Float`].
    #[prost(float, tag = "2")]
    pub f: f32,
    /// The value of [`AttributeType::Int`].
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// The value of [`AttributeType::Ints`].
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which value counts.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
}

/// The types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// None.
    Undefined = 0,
    /// A number.
    Float = 1,
    /// An integer.
    Int = 2,
    /// Integers.
    Ints = 7,
}

/// A constant.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorProto {
    /// Its shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// What the values are.
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The values, little-endian, in row-major order.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// None.
    Undefined = 0,
    /// `f32`.
    Float = 1,
    /// `i64`.
    Int64 = 7,
}

/// An input or output.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValueInfoProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type and shape.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// For people.
    #[prost(string, tag = "3")]
    pub doc_string: String,
}

/// A type.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TypeProto {
    /// Which kind of type.
    #[prost(oneof = "TypeValue", tags = "1")]
    pub value: Option<TypeValue>,
}

/// The kinds of types.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum TypeValue {
    /// A tensor.
    #[prost(message, tag = "1")]
    TensorType(TensorType),
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorType {
    /// What the values are.
    #[prost(enumeration = "DataType", tag = "1")]
    pub elem_type: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TensorShapeProto {
    /// Its dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// A dimension.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DimensionProto {
    /// Its size, or the name of what is open.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// What is known of a dimension.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum DimensionValue {
    /// Its size.
    #[prost(int64, tag = "1")]
    DimValue(i64),
    /// A name; equal names mean equal sizes.
    #[prost(string, tag = "2")]
    DimParam(String),
}
