//! The restricted pickle machine: bytes to a table of plain values. It calls nothing.
//!
//! Every opcode makes at most one value, and every value takes at least one byte of the pickle, so memory is
//! bounded by the pickle's size, which the limits below bound in turn.

use std::collections::HashMap;

use super::error::PickleError;
use super::opcode as op;
use super::value::{Node, NodeId, Pickle};

/// Longest pickle read. A chip's has 500 bytes, a checkpoint of SAM 3 some 400 KB.
pub(super) const MAX_PICKLE_BYTES: usize = 16 << 20;
/// Most values made. A checkpoint of SAM 3 makes some 60 000; a value takes at most 400 bytes.
const MAX_VALUES: usize = 1 << 19;
/// Most values waiting on the stack.
const MAX_STACK: usize = 1 << 20;
/// Most values remembered.
const MAX_MEMO: usize = 1 << 20;
/// Deepest nesting of marks. torch needs four.
const MAX_MARKS: usize = 64;

/// Reads a pickle into plain values, without executing anything.
///
/// # Errors
/// Anything outside the allow-list of opcodes and globals, and every bound.
pub fn unpickle(bytes: &[u8]) -> Result<Pickle, PickleError> {
    if bytes.len() > MAX_PICKLE_BYTES {
        return Err(PickleError::TooMuch { what: "bytes", limit: MAX_PICKLE_BYTES });
    }
    let mut machine = Machine {
        bytes,
        at: 0,
        opcode_at: 0,
        nodes: vec![],
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle { nodes: machine.nodes, root })
}

pub(super) struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    opcode_at: usize,
    nodes: Vec<Node>,
    stack: Vec<NodeId>,
    marks: Vec<usize>,
    memo: HashMap<u32, NodeId>,
}

pub(super) type Step<T> = Result<T, PickleError>;

impl Machine<'_> {
    fn run(&mut self) -> Step<NodeId> {
        loop {
            self.opcode_at = self.at;
            let [opcode] = self.take()?;
            match opcode {
                op::STOP => return self.pop(),
                op::PROTO => match self.take()? {
                    [2] => {}
                    [other] => return Err(PickleError::Protocol(other)),
                },
                op::MARK => {
                    if self.marks.len() >= MAX_MARKS {
                        return Err(PickleError::TooMuch { what: "nested marks", limit: MAX_MARKS });
                    }
                    self.marks.push(self.stack.len());
                }
                op::NONE => self.push_new(Node::None)?,
                op::NEWTRUE => self.push_new(Node::Bool(true))?,
                op::NEWFALSE => self.push_new(Node::Bool(false))?,
                op::BININT => {
                    let value = i32::from_le_bytes(self.take()?);
                    self.push_new(Node::Int(value.into()))?;
                }
                op::BININT1 => {
                    let [value] = self.take()?;
                    self.push_new(Node::Int(value.into()))?;
                }
                op::BININT2 => {
                    let value = u16::from_le_bytes(self.take()?);
                    self.push_new(Node::Int(value.into()))?;
                }
                op::LONG1 => self.long()?,
                op::BINFLOAT => {
                    let value = f64::from_be_bytes(self.take()?);
                    self.push_new(Node::Float(value))?;
                }
                op::BINUNICODE => self.text()?,
                op::EMPTY_TUPLE => self.push_new(Node::Tuple(vec![]))?,
                op::TUPLE1 => self.tuple(1)?,
                op::TUPLE2 => self.tuple(2)?,
                op::TUPLE3 => self.tuple(3)?,
                op::TUPLE => {
                    let items = self.pop_to_mark()?;
                    self.push_new(Node::Tuple(items))?;
                }
                op::EMPTY_LIST => self.push_new(Node::List(vec![]))?,
                op::APPEND => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                op::APPENDS => {
                    let items = self.pop_to_mark()?;
                    self.append(&items)?;
                }
                op::EMPTY_DICT => self.push_new(Node::Dict(vec![]))?,
                op::SETITEM => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(&[key, value])?;
                }
                op::SETITEMS => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                op::GLOBAL => self.global()?,
                op::REDUCE => self.reduce()?,
                op::BUILD => self.build()?,
                op::BINPERSID => self.persistent()?,
                op::BINPUT => {
                    let [index] = self.take()?;
                    self.remember(index.into())?;
                }
                op::LONG_BINPUT => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.remember(index)?;
                }
                op::BINGET => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                op::LONG_BINGET => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index)?;
                }
                opcode => return Err(PickleError::Opcode { opcode, at: self.opcode_at }),
            }
        }
    }

    // ---- bytes

    fn take_slice(&mut self, length: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take_slice(N)?);
        Ok(bytes)
    }

    pub(super) fn take_line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length =
            rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated { at: self.bytes.len() })?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    pub(super) fn malformed<T>(&self, what: &'static str) -> Step<T> {
        Err(PickleError::Malformed { at: self.opcode_at, what })
    }

    // ---- stack

    fn new_node(&mut self, node: Node) -> Step<NodeId> {
        if self.nodes.len() >= MAX_VALUES {
            return Err(PickleError::TooMuch { what: "values", limit: MAX_VALUES });
        }
        // MAX_VALUES fits 32 bits.
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        Ok(id)
    }

    pub(super) fn push(&mut self, id: NodeId) -> Step<()> {
        if self.stack.len() >= MAX_STACK {
            return Err(PickleError::TooMuch { what: "values on its stack", limit: MAX_STACK });
        }
        self.stack.push(id);
        Ok(())
    }

    pub(super) fn push_new(&mut self, node: Node) -> Step<()> {
        let id = self.new_node(node)?;
        self.push(id)
    }

    pub(super) fn pop(&mut self) -> Step<NodeId> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().map_or_else(|| self.malformed("the stack is empty"), Ok),
            false => self.malformed("the stack is empty"),
        }
    }

    pub(super) fn top(&self) -> Step<NodeId> {
        self.stack.last().copied().map_or_else(|| self.malformed("the stack is empty"), Ok)
    }

    fn pop_to_mark(&mut self) -> Step<Vec<NodeId>> {
        match self.marks.pop() {
            // Marks never lie above the stack: `pop` stops at them.
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => self.malformed("there is no mark on the stack"),
        }
    }

    fn remember(&mut self, index: u32) -> Step<()> {
        let top = self.top()?;
        if self.memo.len() >= MAX_MEMO {
            return Err(PickleError::TooMuch { what: "remembered values", limit: MAX_MEMO });
        }
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Step<()> {
        match self.memo.get(&index) {
            Some(&id) => self.push(id),
            None => self.malformed("it recalls a value that was never remembered"),
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        // Ids come from `new_node` alone and the table only grows; `None` stands in for an impossible one.
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    // ---- values

    fn long(&mut self) -> Step<()> {
        let [length] = self.take()?;
        if length > 8 {
            return self.malformed("an integer has more than 64 bits");
        }
        let bytes = self.take_slice(length.into())?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push_new(Node::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self) -> Step<()> {
        let length = u32::from_le_bytes(self.take()?);
        // On 16-bit targets only would this not fit; the slice below is checked against what is there.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // Python writes lone surrogates of undecodable file names; they become replacement characters.
        let text = String::from_utf8_lossy(self.take_slice(length)?).into_owned();
        self.push_new(Node::Text(text.into()))
    }

    fn tuple(&mut self, length: usize) -> Step<()> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(length) {
            Some(start) if start >= floor => {
                let items = self.stack.split_off(start);
                self.push_new(Node::Tuple(items))
            }
            _ => self.malformed("a tuple has fewer items than it says"),
        }
    }

    fn append(&mut self, items: &[NodeId]) -> Step<()> {
        let list = self.top()?;
        match self.nodes.get_mut(list.0 as usize) {
            Some(Node::List(all)) => {
                all.extend_from_slice(items);
                Ok(())
            }
            _ => self.malformed("items are appended to something that is not a list"),
        }
    }

    fn set_items(&mut self, items: &[NodeId]) -> Step<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return self.malformed("a dict has a key without a value");
        }
        let dict = self.top()?;
        match self.nodes.get_mut(dict.0 as usize) {
            Some(Node::Dict(all)) => {
                all.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => self.malformed("items are set in something that is not a dict"),
        }
    }
}
