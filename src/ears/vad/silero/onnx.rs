//! The little of ONNX that is needed to take tensors out of a model: protobuf's framing, and the paths on which a model
//! keeps constants (`onnx.proto`: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).

/// A tensor of 32-bit floats as it lies in the file.
#[derive(Debug, PartialEq)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) dims: Vec<u64>,
    /// Little-endian floats.
    raw: &'a [u8],
}

impl Tensor<'_> {
    pub(super) fn values(&self) -> Vec<f32> {
        self.raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// Why a file is no model, or not one we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnnxError {
    /// The file ends within a field.
    Truncated,
    /// A field's number, type or length that protobuf does not have, or that ONNX has otherwise.
    Malformed,
    /// Graphs within graphs beyond [`MAX_DEPTH`].
    TooDeep,
}

impl OnnxError {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "the model ends within a field",
            Self::Malformed => "the model is not an ONNX file",
            Self::TooDeep => "the model's graphs are nested too deep",
        }
    }
}

/// Every float tensor with raw data, of all graphs: initializers by their own name, constants by the name of their node's
/// output.
pub(super) fn tensors(model: &[u8]) -> Result<Vec<Tensor<'_>>, OnnxError> {
    let mut found = Vec::new();
    for field in Fields(model) {
        if let (MODEL_GRAPH, Value::Bytes(graph)) = field? {
            read_graph(graph, MAX_DEPTH, &mut found)?;
        }
    }
    Ok(found)
}

fn read_graph<'a>(graph: &'a [u8], depth: u32, found: &mut Vec<Tensor<'a>>) -> Result<(), OnnxError> {
    let depth = depth.checked_sub(1).ok_or(OnnxError::TooDeep)?;
    for field in Fields(graph) {
        match field? {
            (GRAPH_NODE, Value::Bytes(node)) => read_node(node, depth, found)?,
            (GRAPH_INITIALIZER, Value::Bytes(tensor)) => found.extend(read_tensor(tensor, None)?),
            _ => {}
        }
    }
    Ok(())
}

fn read_node<'a>(node: &'a [u8], depth: u32, found: &mut Vec<Tensor<'a>>) -> Result<(), OnnxError> {
    let mut output = None;
    for field in Fields(node) {
        match field? {
            (NODE_OUTPUT, Value::Bytes(name)) if output.is_none() => output = Some(text(name)?),
            (NODE_ATTRIBUTE, Value::Bytes(attribute)) => {
                for field in Fields(attribute) {
                    match field? {
                        (ATTRIBUTE_TENSOR, Value::Bytes(tensor)) => found.extend(read_tensor(tensor, output)?),
                        (ATTRIBUTE_GRAPH, Value::Bytes(graph)) => read_graph(graph, depth, found)?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `None` for a tensor of another type, or one that does not keep its values as raw data.
fn read_tensor<'a>(tensor: &'a [u8], name: Option<&'a str>) -> Result<Option<Tensor<'a>>, OnnxError> {
    let (mut read, mut kind, mut raw) = (Tensor { name: name.unwrap_or(""), dims: Vec::new(), raw: &[] }, 0, None);
    for field in Fields(tensor) {
        match field? {
            (TENSOR_DIMS, Value::Number(dim)) => read.dims.push(dim),
            (TENSOR_DIMS, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    read.dims.push(varint(&mut packed)?);
                }
            }
            (TENSOR_TYPE, Value::Number(number)) => kind = number,
            (TENSOR_NAME, Value::Bytes(own)) if name.is_none() => read.name = text(own)?,
            (TENSOR_RAW, Value::Bytes(bytes)) => raw = Some(bytes),
            _ => {}
        }
    }
    let Some(raw) = raw.filter(|_| kind == FLOAT) else { return Ok(None) };
    let count = read.dims.iter().try_fold(4_u64, |bytes, &dim| bytes.checked_mul(dim));
    if count != Some(raw.len() as u64) {
        return Err(OnnxError::Malformed);
    }
    read.raw = raw;
    Ok(Some(read))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed width: nothing that is read here is.
    Fixed,
}

/// The fields of one message; ends after the first error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u64, Value<'a>), OnnxError> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(&mut self.0)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(OnnxError::Malformed),
        };
        Ok((key >> 3, value))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], OnnxError> {
        let length = usize::try_from(length).map_err(|_| OnnxError::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(OnnxError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(OnnxError::Truncated)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(OnnxError::Malformed)
}

fn text(bytes: &[u8]) -> Result<&str, OnnxError> {
    std::str::from_utf8(bytes).map_err(|_| OnnxError::Malformed)
}

/// A bound on recursion; the model has five.
const MAX_DEPTH: u32 = 16;

const MODEL_GRAPH: u64 = 7;
const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const NODE_OUTPUT: u64 = 2;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_TENSOR: u64 = 5;
const ATTRIBUTE_GRAPH: u64 = 6;
const TENSOR_DIMS: u64 = 1;
const TENSOR_TYPE: u64 = 2;
const TENSOR_NAME: u64 = 8;
const TENSOR_RAW: u64 = 9;

/// TensorProto.DataType.FLOAT.
const FLOAT: u64 = 1;
