//! burn's dtypes and their names in a safetensors file.

use burn::tensor::{BoolStore, Bytes, DType};

/// The name in the file. `None` for quantized elements. Every kind of bool is stored as one byte.
pub(crate) fn name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "F64",
        DType::F32 | DType::Flex32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I16 => "I16",
        DType::I8 => "I8",
        DType::U64 => "U64",
        DType::U32 => "U32",
        DType::U16 => "U16",
        DType::U8 => "U8",
        DType::Bool(_) => "BOOL",
        DType::QFloat(_) => return None,
    })
}

/// The dtype with this name. `None` if burn does not have it.
pub(crate) fn from_name(name: &str) -> Option<DType> {
    Some(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "I64" => DType::I64,
        "I32" => DType::I32,
        "I16" => DType::I16,
        "I8" => DType::I8,
        "U64" => DType::U64,
        "U32" => DType::U32,
        "U16" => DType::U16,
        "U8" => DType::U8,
        "BOOL" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// Size of an element in the file, in bytes.
pub(crate) fn stored_size(dtype: DType) -> usize {
    if matches!(dtype, DType::Bool(_)) { 1 } else { dtype.size() }
}

/// Zeroed memory for `elements` elements, aligned for their type, so that burn takes it over without a copy.
pub(crate) fn zeroed(dtype: DType, elements: usize) -> Bytes {
    match stored_size(dtype) {
        8 => Bytes::from_elems(vec![0_u64; elements]),
        4 => Bytes::from_elems(vec![0_u32; elements]),
        2 => Bytes::from_elems(vec![0_u16; elements]),
        _ => Bytes::from_elems(vec![0_u8; elements]),
    }
}
