//! Writes a small checkpoint with a tensor of each dtype, for other programs:
//! `cargo run -p stormfire-checkpoint --example sample -- FILE`.
//! Element `i` of each tensor is `i`, and in a bool tensor whether `i` is odd. `xtask/python/checkpoint_check.py`
//! relies on this.

use burn::tensor::{DType, TensorData};
use stormfire_checkpoint::{Manifest, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: sample FILE")?;
    let numbers = || TensorData::new((0..24_i64).collect(), [2, 3, 4]);
    let dtypes = [
        ("f64", DType::F64),
        ("f32", DType::F32),
        ("f16", DType::F16),
        ("bf16", DType::BF16),
        ("i64", DType::I64),
        ("i32", DType::I32),
        ("i16", DType::I16),
        ("i8", DType::I8),
        ("u64", DType::U64),
        ("u32", DType::U32),
        ("u16", DType::U16),
        ("u8", DType::U8),
    ];
    let mut tensors = Vec::new();
    for (name, dtype) in dtypes {
        tensors.push((format!("layer.{name}"), numbers().try_cast(dtype)?));
    }
    tensors.push(("layer.bool".to_owned(), TensorData::new((0..24).map(|i| i % 2 == 1).collect(), [2, 3, 4])));
    tensors.push(("optimizer/Adam/layer.scalar/time".to_owned(), TensorData::new(vec![0_i64], Vec::<usize>::new())));
    tensors.push(("layer.empty".to_owned(), TensorData::new(Vec::<f32>::new(), [0, 3])));
    let progress = serde_json::json!({"epoch": 1, "batch_in_epoch": 0, "batches": 10, "global_step": 10});
    let metrics = [("val_loss".to_owned(), 0.1), ("nan".to_owned(), f64::NAN)].into();
    write(&path, &Manifest { progress, metrics, module: "Sample".to_owned(), ..Manifest::default() }, &tensors)?;
    Ok(())
}
